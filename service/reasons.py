"""Why something could not be reached, as people read it."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import Final

# Of a name with several addresses asyncio tells only a text, which has them all in it.
_NUMBERS: Final = re.compile(r"\[Errno (\d+)\]")


def reason(error: BaseException) -> str:
    """Return, in a line, why something could not be reached; where it is the caller knows."""
    cause, below = error, error.__cause__
    while below is not None:
        cause, below = below if isinstance(below, OSError) else cause, below.__cause__
    text = (str(cause) or type(cause).__name__).splitlines()[0]
    if isinstance(cause, ssl.SSLError) or not isinstance(cause, OSError):
        return text
    if isinstance(cause, socket.gaierror):
        return cause.strerror or text
    if isinstance(cause, TimeoutError) and not cause.errno:
        return "no answer in time"
    numbers = [cause.errno] if cause.errno else [int(n) for n in _NUMBERS.findall(text)]
    return ", ".join(dict.fromkeys(os.strerror(n) for n in numbers if n > 0)) or text
