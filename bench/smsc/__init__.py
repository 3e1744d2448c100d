"""A simulated operator: an SMSC that speaks SMPP 3.4 and does what a number asks for."""
