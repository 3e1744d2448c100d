"""When to look again for the long message that a parked receipt may be a part of."""

from service.store.migrations import execute_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    execute_sql("0007_looks.sql")
