"""TLS: contexts that verify chain and host name, and what a handshake that failed means."""

from __future__ import annotations

import ssl
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

# OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH.
_OTHER_NAME: Final = {62, 64}
# What OpenSSL says of an answer that is no TLS.
_NO_TLS: Final = {"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}


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
        if Path(path).exists() and not Path(path).is_file():
            raise OSError(0, "no regular file")
        Path(path).open("rb").close()
    except OSError as error:
        raise UnusableFile(which, f"{path}: {(error.strerror or str(error)).lower()}") from error


class Problem(Enum):
    """Why a handshake failed.

    HOST: the certificate is for another name.
    TRUST: nobody that we trust vouches for the certificate, or no longer.
    NO_TLS: the other side does not speak TLS.
    REFUSED: the other side refuses us: our certificate, versions, ciphers.
    """

    HOST = auto()
    TRUST = auto()
    NO_TLS = auto()
    REFUSED = auto()


def diagnose(error: ssl.SSLError) -> Problem | None:
    """Say why a handshake failed; None where the connection was only cut."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return Problem.HOST if error.verify_code in _OTHER_NAME else Problem.TRUST
    if error.reason in _NO_TLS:
        return Problem.NO_TLS
    is_cut = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError)
    return None if is_cut else Problem.REFUSED


def reason(error: ssl.SSLError) -> str:
    """Return what OpenSSL says, without the place in its source."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    return (error.reason or str(error)).lower().replace("_", " ")


def unverified() -> ssl.SSLContext:
    """Return a context that only finds out whether somebody speaks TLS."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made
