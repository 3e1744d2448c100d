"""``python -m bench.sms``: send SMS through the HTTP API of a Jasmin, at a steady rate."""

import asyncio
import signal
import time
from contextlib import suppress
from typing import Annotated, Final

import aiohttp
import typer

# Numbers that nobody has. Their last two digits tell the simulated operator what to do; from 30 on
# it wants to be asked again, and Jasmin lets nothing else to the operator until it has.
_NUMBER: Final = "4477009000{:02d}"
_OUTCOMES: Final = 30
_TEXT: Final = "Your parcel comes today between 2 and 4 pm."


class Refused(Exception):
    """Jasmin does not take an SMS; the text says what it said."""


async def send(session: aiohttp.ClientSession, url: str, user: str, password: str, to: str) -> None:
    """Send one SMS, and ask for a receipt of both Jasmin and the operator.

    Raises:
        Refused: Jasmin does not take it.
        aiohttp.ClientError: it is not there.
    """
    form = {"username": user, "password": password, "to": to, "from": "demo", "content": _TEXT}
    async with session.post(url, data=form | {"dlr": "yes", "dlr-level": "3"}) as answer:
        if answer.status != 200:
            said = (await answer.text()).strip()
            raise Refused(f"Jasmin refuses an SMS of user {user}: {said}; see its users and routes")


async def send_many(url: str, user: str, password: str, rate: float) -> int:
    """Send SMS until SIGTERM or SIGINT; return how many.

    Args:
        url: of Jasmin's ``/send``.
        user: one of Jasmin's, as ``user -a`` in its console made it.
        password: that user's.
        rate: SMS per second.
    """
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    sent = 0
    begin = time.monotonic()
    async with aiohttp.ClientSession() as session:
        while not stop.is_set():
            await send(session, url, user, password, _NUMBER.format(sent % _OUTCOMES))
            sent += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), begin + sent / rate - time.monotonic())
    return sent


def main(
    url: Annotated[str, typer.Option(help="Where Jasmin takes SMS: its /send.")],
    user: Annotated[str, typer.Option(help="A user of Jasmin.")],
    password: Annotated[str, typer.Option(help="Its password.")],
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="SMS per second.")] = 5,
) -> None:
    """Send SMS through a Jasmin until SIGTERM or Ctrl-C."""
    try:
        sent = asyncio.run(send_many(url, user, password, rate))
    except (Refused, aiohttp.ClientError) as error:
        raise SystemExit(f"bench.sms: {error}") from None
    print(f"sent {sent} SMS")


if __name__ == "__main__":
    typer.run(main)
