"""Structured logs: lines for people on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TextIO, cast

import orjson
import structlog

from service.ops import privacy

if TYPE_CHECKING:
    from service.settings import Log

_NUMERIC_LEVELS = logging.getLevelNamesMapping()


def configure(settings: Log, **context: object) -> None:
    """Send this process's logs to standard error; may be called again with other settings.

    Args:
        settings: level, format, and whether phone numbers are shown.
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
            structlog.processors.ExceptionRenderer(_traces(as_json)),
            *([] if settings.show_numbers else [privacy.mask_line]),
            *([] if as_json else [privacy.escape_line]),
            _renderer(as_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", Unbreakable(sys.stderr))),
    )
    structlog.contextvars.bind_contextvars(**context)
    privacy.conceal_rows()
    # What libraries have to say about connections, this service says itself, once; and what they
    # quote from the wire is nothing for a log.
    logging.basicConfig(level=logging.CRITICAL)
    sys.excepthook = _crashed
    sys.unraisablehook = _ignored


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Log what would else be printed as it is."""
    if isinstance(error, Exception):
        structlog.get_logger().critical("crashed", exc_info=error)
    else:
        sys.__excepthook__(kind, error, trace)


def _ignored(unraisable: sys.UnraisableHookArgs) -> None:
    structlog.get_logger().error(
        unraisable.err_msg or "exception ignored", exc_info=unraisable.exc_value
    )


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


def _traces(as_json: bool) -> structlog.types.ExceptionTransformer:
    if as_json:
        return structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return structlog.processors.ExceptionRenderer().format_exception


def _renderer(as_json: bool) -> structlog.types.Processor:
    if as_json:
        return structlog.processors.JSONRenderer(_to_json)
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _to_json(line: object, **_: object) -> str:
    return orjson.dumps(line, default=str).decode()
