"""Where an export goes: a file that is there as a whole or not at all, or standard output."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Open standard output to write octets to.

    Raises:
        OSError: it is closed, its reader has gone, or it takes no more.
    """
    if sys.stdout is None:  # it was closed already when we were started
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    with open(sys.stdout.fileno(), "wb", closefd=False) as output:
        yield cast("BinaryIO", output)


@contextmanager
def whole_file(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """Open a file to write; only at the end, and without an error, does it get its name.

    Only its owner may read it.

    Raises:
        IsADirectoryError: it is one.
        FileExistsError: it is there already, or is so at the end, and may not be replaced.
        OSError: it cannot be written.
    """
    if path.is_dir():
        raise IsADirectoryError(path)
    if not replace and path.exists():
        raise FileExistsError(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield cast("BinaryIO", file)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            Path(name).replace(path)
        else:
            path.hardlink_to(name)  # fails where there is such a file by now
    finally:
        Path(name).unlink(missing_ok=True)
