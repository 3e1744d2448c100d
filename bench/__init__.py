"""Load, measurements and faults on a real broker and a real database; none of it is deployed."""

from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[1]
