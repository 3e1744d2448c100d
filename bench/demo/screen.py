"""Where the view goes: redrawn in place on a terminal, a line every other second elsewhere."""

import io
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.live import Live

from bench.demo import view
from bench.demo.probe import History
from bench.demo.sender import Sender

_LINE_SECONDS: Final = 2.0
_WIDTH: Final = 98  # of the picture


class Screen:
    """Shows what goes on, from its making on. ``phase`` is what to say beside it."""

    def __init__(self, console: Console, sender: Sender, places: Mapping[str, str]) -> None:
        self.phase = "Ctrl-C drains and stops"
        self._console = console
        self._sender = sender
        self._places = places
        self._started = time.monotonic()
        self._line_at = 0.0
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        else:
            for what, where in self._places.items():
                self._console.print(f"{what}: {where}", soft_wrap=True, markup=False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, history: History) -> None:
        """Show the newest snapshot."""
        seconds = time.monotonic() - self._started
        if self._live is not None:
            self._live.update(self._view(history), refresh=True)
        elif seconds >= self._line_at:
            self._line_at += _LINE_SECONDS
            text = view.line(seconds, self._sender, history)
            self._console.print(text, soft_wrap=True, markup=False)

    def save(self, history: History, path: Path) -> None:
        """Write what a terminal shows of the newest snapshot as an SVG."""
        console = Console(record=True, width=_WIDTH, file=io.StringIO(), highlight=False)
        console.print(self._view(history))
        console.save_svg(str(path), title="make run", unique_id="run")

    def _view(self, history: History) -> RenderableType:
        seconds = time.monotonic() - self._started
        return view.live(self.phase, seconds, self._sender, history, self._places)

    def say(self, phase: str) -> None:
        """Change the phase."""
        self.phase = phase
        if self._live is None:
            self._console.print(phase)
