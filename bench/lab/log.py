"""The log of a program that writes a line of JSON for each thing that happens."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class JsonLog:
    """A log that is being written; lines that are not JSON are passed over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Yield the complete lines that have not been read before."""
        if not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(self._offset)
            text = log.read()
        complete = text[: text.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.splitlines():
            if line.startswith(b"{"):
                yield json.loads(line)
