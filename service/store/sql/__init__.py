"""The statements, one a file."""

from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@cache
def statement(name: str) -> str:
    """Return the text of ``name``.sql in this folder."""
    return (FOLDER / f"{name}.sql").read_text()
