"""Who is measured: a program that consumes the queue, and logs a line for each batch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contestant:
    """A program under measurement.

    It consumes the workload's queue, which exists, and after each commit writes to standard error
    a line of JSON with ``"event": "batch"``, ``size`` and ``timestamp`` (ISO 8601, UTC). It ends
    on SIGTERM.

    Attributes:
        name: shown in results.
        command: what is started.
        variables: its environment, besides what this process has (and no other BILLING_*).
        copies: how many processes of it are started.
        settings: shown in results.
        is_complete: whether it writes all that the service writes, rather than the status alone.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    copies: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_complete: bool = False
