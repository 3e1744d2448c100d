"""``python -m bench.smsc``: the simulated operator by itself, for a gateway to bind to."""

import asyncio
from contextlib import suppress
from typing import Annotated, Final

import typer

from bench.smsc import outcomes
from bench.smsc.journal import SentReceipt, Submission
from bench.smsc.smsc import LOOPBACK, Smsc

PORT: Final = 2775


def main(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")] = PORT,
) -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(host, port))


async def _serve(host: str, port: int) -> None:
    smsc = Smsc(port, host=host)
    smsc.submitted, smsc.sent = _show_submission, _show_receipt
    async with smsc:
        print(f"SMPP 3.4 on {host}:{port}; any name and password may bind", flush=True)
        await asyncio.Event().wait()


def _show_submission(submission: Submission) -> None:
    part = f" part {submission.part}/{submission.parts}" if submission.parts > 1 else ""
    given = f" id {submission.smpp_msgid}" if submission.smpp_msgid else ""
    print(f"submit_sm to {submission.destination}{part}: {submission.status}{given}", flush=True)


def _show_receipt(receipt: SentReceipt) -> None:
    again = f", attempt {receipt.attempts}" if receipt.attempts > 1 else ""
    print(f"{receipt.command} {receipt.smpp_msgid}: {receipt.stat}{again}", flush=True)


if __name__ == "__main__":
    # \b keeps click from filling the lines of the table.
    main.__doc__ = f"Simulate an operator's SMSC, SMPP 3.4.\n\n\b\n{outcomes.__doc__}"
    typer.run(main)
