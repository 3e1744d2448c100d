"""Structured logs: lines for people on a terminal, JSON elsewhere."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import orjson
import structlog

if TYPE_CHECKING:
    from service.settings import Log

_NUMERIC_LEVELS = logging.getLevelNamesMapping()


def configure(settings: Log, **context: object) -> None:
    """Send this process's logs to standard error.

    Args:
        settings: level and format.
        context: goes into every line, for example ``worker=1``.
    """
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    level = _NUMERIC_LEVELS[settings.level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=as_json),
            *_rendering(as_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**context)
    # What libraries have to say about connections, this service says itself, once.
    logging.basicConfig(level=logging.CRITICAL)


def _rendering(as_json: bool) -> list[structlog.types.Processor]:
    if as_json:
        return [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(_to_json)]
    return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]


def _to_json(line: object, **_: object) -> str:
    return orjson.dumps(line, default=str).decode()
