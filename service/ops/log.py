"""Structured logs: lines for people on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO, cast

import orjson
import structlog

if TYPE_CHECKING:
    from service.settings import Log

_NUMERIC_LEVELS = logging.getLevelNamesMapping()


def configure(settings: Log, **context: object) -> None:
    """Send this process's logs to standard error; may be called again with other settings.

    Args:
        settings: level and format.
        context: goes into every line, for example ``worker=1``.
    """
    as_json = settings.format == "json" or (
        settings.format == "auto" and not (sys.stderr and sys.stderr.isatty())
    )
    level = _NUMERIC_LEVELS[settings.level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=as_json),
            *_rendering(as_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", Unbreakable(sys.stderr))),
    )
    structlog.contextvars.bind_contextvars(**context)
    # What libraries have to say about connections, this service says itself, once.
    logging.basicConfig(level=logging.CRITICAL)


class Unbreakable:
    """A stream whose reader may go away: what is said then is lost, not the service."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write if there is still anyone to read it."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.write(text)

    def flush(self) -> None:
        """Likewise."""
        if self._stream is not None:
            with suppress(OSError, ValueError):
                self._stream.flush()


def _rendering(as_json: bool) -> list[structlog.types.Processor]:
    if as_json:
        traces = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        return [
            structlog.processors.ExceptionRenderer(traces),
            structlog.processors.JSONRenderer(_to_json),
        ]
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def _to_json(line: object, **_: object) -> str:
    return orjson.dumps(line, default=str).decode()
