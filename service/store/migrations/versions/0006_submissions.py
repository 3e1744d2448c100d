"""What is kept of captured submissions beside their CDRs."""

from service.store.migrations import execute_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the SQL file beside this one."""
    execute_sql("0006_submissions.sql")
