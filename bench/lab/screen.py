"""What is said while a run goes on: a timeline, and how far it is."""

import time
from typing import Final, Self

from rich.console import Console
from rich.status import Status

_LINE_SECONDS: Final = 5.0


class Screen:
    """Prints lines with the seconds since its making; on a terminal the last one shows progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._line_at = 0.0
        self._status: Status | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    @property
    def seconds(self) -> float:
        """For how long it has been."""
        return time.monotonic() - self._began

    def tell(self, text: str) -> None:
        """Add a line to the timeline."""
        self._console.print(f"{self.seconds:6.1f} s  {text}", markup=False, soft_wrap=True)

    def progress(self, text: str) -> None:
        """Show how far it is; not on a terminal, that is a line every few seconds."""
        if self._status is not None:
            self._status.update(f"{self.seconds:.0f} s  {text}")
        elif self.seconds >= self._line_at:
            self._line_at = self.seconds + _LINE_SECONDS
            self.tell(text)
