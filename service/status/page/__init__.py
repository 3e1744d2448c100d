"""The page as it goes out: files of this folder, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple


class File(NamedTuple):
    """What is sent for one path."""

    body: bytes
    content_type: str


def _read(name: str, content_type: str) -> File:
    return File((Path(__file__).parent / name).read_bytes(), content_type)


FILES: Final = {
    "/": _read("index.html", "text/html"),
    "/status.css": _read("status.css", "text/css"),
    "/status.js": _read("status.js", "text/javascript"),
    "/icon.svg": _read("icon.svg", "image/svg+xml"),
}
