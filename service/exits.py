"""Exit codes, and the error that ends a run before it has begun."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the process says when it ends.

    OK: done, or drained after a signal.
    FAILED: a command found or left something that is not well; or an error that is none of the
        others.
    CONFIG: the settings, the command line or the environment cannot work.
    CANNOT_START: broker or database refuse for good: credentials, privileges, schema, queue
        arguments; or are away, from a command that does not wait for them as a run does. Likewise
        the address of the status page, which a run cannot have and ``top`` has no answer from.
    CRASH_LOOP: workers die as soon as they are started, again and again.
    ABANDONED: the drain did not finish in time; what was not committed is delivered again.
    TERMINATED: SIGTERM ended it before it had begun to work, as a shell tells it of any process.
    """

    OK = 0
    FAILED = 1
    CONFIG = 2
    CANNOT_START = 3
    CRASH_LOOP = 4
    ABANDONED = 5
    TERMINATED = 143


class CannotStart(Exception):
    """Waiting will not help; the text says what to do."""
