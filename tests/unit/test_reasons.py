from __future__ import annotations

import itertools
import socket
import ssl

import pytest

from service.reasons import reason

REFUSED = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)")


def chained(*errors: BaseException) -> BaseException:
    """Return the first of errors, each of which came of the one behind it."""
    for error, cause in itertools.pairwise(errors):
        error.__cause__ = cause
    return errors[0]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (REFUSED, "Connection refused"),
        (
            chained(RuntimeError("no"), ConnectionError("127.0.0.1:1: no"), REFUSED),
            "Connection refused",
        ),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('::1', 1, 0, 0), "
                "[Errno 111] Connect call failed ('127.0.0.1', 1)"
            ),
            "Connection refused",
        ),
        (
            OSError("Multiple exceptions: [Errno 101] ('::1', 1), [Errno 111] ('127.0.0.1', 1)"),
            "Network is unreachable, Connection refused",
        ),
        (
            socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
            "Name or service not known",
        ),
        (TimeoutError(), "no answer in time"),
        (ConnectionError("hung up\nin the middle"), "hung up"),
        (ssl.SSLError(1, "bad certificate"), "bad certificate"),
        (ValueError(), "ValueError"),
    ],
)
def test_why_is_said_in_a_line_and_where_is_not(error: BaseException, said: str) -> None:
    assert reason(error) == said
