"""The tables of this service."""

from service.store.migrations import execute_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    execute_sql("0002_service_tables.sql")
