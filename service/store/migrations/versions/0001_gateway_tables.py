"""The gateway's tables, created where they are missing, and our columns in them."""

from service.store.migrations import execute_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL file beside this one."""
    execute_sql("0001_gateway_tables.sql")
