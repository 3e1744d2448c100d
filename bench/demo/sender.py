"""What the demonstration wants of whoever sends the SMS that one watches."""

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from rich.console import RenderableType

from service.broker.topology import Source


class Sender(Protocol):
    """Sends SMS, of which events are published.

    Attributes:
        sent: SMS so far.
        published: events so far by stream, rubbish included.
        rubbish: how many of them nobody can settle.
        sources: the service's queues that the events come to.
        places: where to look further at the sender itself.
        story: what to tell of it at the end; None for nothing.
    """

    @property
    def sent(self) -> int: ...
    @property
    def published(self) -> Counter[str]: ...
    @property
    def rubbish(self) -> int: ...
    @property
    def sources(self) -> tuple[Source, ...]: ...
    @property
    def places(self) -> Mapping[str, str]: ...
    @property
    def story(self) -> RenderableType | None: ...

    async def run(self, rate: float) -> None:
        """Send ``rate`` SMS per second until :meth:`stop`, and see them through."""

    def stop(self) -> None:
        """Send no more."""
