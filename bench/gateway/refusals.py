"""What Jasmin refuses by itself: such messages must leave no trace."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from bench.gateway.sms import ACCOUNTS, Account, Sms, Writer
from bench.gateway.submit import NotAccepted, channels, close_all
from bench.lab.check import Check
from bench.stack.jasmin import Jasmin

POOR: Final = Account("poor", "s3cret-4", "http")
"""Has less in Jasmin than a message costs."""

_PLAIN: Final = "00"


async def offer_unacceptable(jasmin: Jasmin, writer: Writer) -> Check:
    """Submit messages that Jasmin must refuse; what it has done with them shows at the end."""
    check = Check("Jasmin refuses wrong passwords, wrong numbers, and users who cannot pay")
    messages = list(_unacceptable(writer))
    ways = channels(jasmin, {sms.account for sms in messages})
    try:
        for sms in messages:
            check.compared += 1
            with suppress(NotAccepted):
                check.differ(f"{sms} became {await ways[sms.account].submit(sms)}")
    finally:
        await close_all(ways)
    return check


def _unacceptable(writer: Writer) -> Iterator[Sms]:
    for account in (POOR, replace(POOR, channel="smpp")):
        yield writer.write(account, _PLAIN)
    for account in ACCOUNTS:
        yield writer.write(replace(account, password=POOR.password), _PLAIN)
    yield replace(writer.write(ACCOUNTS[0], _PLAIN), destination="nobody")
