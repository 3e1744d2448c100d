"""Schema changes: Alembic revisions, each of which runs the SQL file beside it."""

from pathlib import Path

from alembic import op

VERSIONS = Path(__file__).parent / "versions"


def execute_sql(name: str) -> None:
    """Run each statement of a SQL file in this folder (none of them contains a semicolon)."""
    for statement in (VERSIONS / name).read_text().split(";\n"):
        if statement.strip():
            op.get_bind().exec_driver_sql(statement)
