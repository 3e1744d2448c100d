"""Settles a Jasmin SMS gateway's billing events and delivery receipts in PostgreSQL."""

__version__ = "0.1.0"
