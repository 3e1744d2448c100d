"""Certificates: what is given in files, made into a context that verifies chain and host name."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple


class Files(NamedTuple):
    """PEM files; an empty name is none.

    Attributes:
        ca: authorities to trust; empty: those of the system.
        cert: a client certificate with its chain.
        key: its private key, not encrypted; empty: in ``cert``.
    """

    ca: str = ""
    cert: str = ""
    key: str = ""

    def given(self, pattern: str) -> list[str]:
        """Return the names, made by ``pattern``, of those that are given."""
        return [pattern.format(which) for which, path in self._asdict().items() if path]


class UnusableFile(Exception):
    """One of the files cannot be used; ``which`` is ca, cert or key."""

    def __init__(self, which: str, reason: str) -> None:
        self.which = which
        super().__init__(reason)


def context(files: Files) -> ssl.SSLContext:
    """Return a context for clients.

    Raises:
        UnusableFile: one of the files cannot be read or does not hold what it should.
    """
    for which, path in files._asdict().items():
        if path:
            _check_readable(which, path)
    try:
        made = ssl.create_default_context(cafile=files.ca or None)
    except ssl.SSLError as error:
        raise UnusableFile("ca", f"{files.ca}: no certificates in PEM format") from error
    if files.key and not files.cert:
        raise UnusableFile("cert", "not given, but the private key for it is")
    if files.cert:
        try:
            made.load_cert_chain(files.cert, files.key or None, password=lambda: b"")
        except ssl.SSLError as error:
            raise UnusableFile(
                "cert",
                f"{files.cert}: no certificate and private key that belong together, in PEM format "
                "and not encrypted",
            ) from error
    return made


def _check_readable(which: str, path: str) -> None:
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise UnusableFile(which, f"{path}: {(error.strerror or str(error)).lower()}") from error
