"""Refunds, debits and opening balances."""

from service.store.migrations import execute_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    execute_sql("0004_money.sql")
