"""The operator: takes binds and messages, answers, and sends receipts until they are taken."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Self

from smpplib.command import Command

from bench.smsc import pdus
from bench.smsc.identifiers import spell
from bench.smsc.journal import Journal, SentReceipt, Submission
from bench.smsc.outcomes import Outcome, Receipt, outcome_of
from bench.smsc.session import Session, SessionLost

LOOPBACK: Final = "127.0.0.1"
FIRST_ID: Final = 0x6B04_0000_0001
_ANSWER_SECONDS: Final = 60.0
_RETRY_SECONDS: Final = 0.5
_RECEIVING: Final = {"bind_receiver", "bind_transceiver"}
_SENDING: Final = {"bind_transmitter", "bind_transceiver"}


class Smsc:
    """An SMSC on a port of this machine; any name and password may bind.

    A receipt that was not acknowledged is sent again, in the next bind if need be, as a store and
    forward operator does.

    Attributes:
        journal: all that came and went.
        binds: how many there have been.
        submitted: is given each submission once it has been answered.
        sent: is given each receipt once it has been acknowledged.
    """

    def __init__(self, port: int, *, host: str = LOOPBACK, first_id: int = FIRST_ID) -> None:
        self.journal = Journal()
        self.binds = 0
        self.submitted: Callable[[Submission], None] = lambda _: None
        self.sent: Callable[[SentReceipt], None] = lambda _: None
        self._address = host, port
        self._next_id = first_id
        self._receivers: dict[Session, int] = {}
        self._is_received = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, *self._address)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for session in list(self._receivers):
            await session.close()

    @property
    def is_bound(self) -> bool:
        """Whether somebody can be sent receipts."""
        return bool(self._receivers)

    @property
    def is_busy(self) -> bool:
        """Whether there is a message to be answered, or a receipt to be sent or acknowledged."""
        return bool(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(reader, writer)
        bound, number = "", 0
        try:
            async for pdu in session.requests():
                if pdu.command.startswith("bind_") and not bound:
                    bound, number = pdu.command, self._bind(session, pdu)
                elif pdu.command == "submit_sm" and bound in _SENDING:
                    self._start(self._take(session, number, pdu))
                elif pdu.command in {"enquire_link", "unbind"}:
                    session.answer(pdu)
                    if pdu.command == "unbind":
                        break
                else:
                    session.answer(pdu, "ESME_RINVBNDSTS")
        finally:
            self._receivers.pop(session, None)
            if not self._receivers:
                self._is_received.clear()
            await session.close()

    def _bind(self, session: Session, pdu: Command) -> int:
        self.binds += 1
        session.answer(pdu, system_id="operator")
        if pdu.command in _RECEIVING:
            self._receivers[session] = self.binds
            self._is_received.set()
        return self.binds

    async def _take(self, session: Session, bind: int, submit: Command) -> None:
        """Answer a submit_sm, and see its receipts through."""
        destination = pdus.text_of(submit.destination_addr)
        outcome = outcome_of(destination)
        submission = self.journal.add(bind, destination, *pdus.part_of(submit), time.time())
        submission.sender = pdus.text_of(submit.source_addr)
        status = outcome.answer(submission.attempt)
        if status != "ESME_ROK":
            self._answer(session, submit, submission, status)
            return
        answered, receipted = spell(self._claim_id(), outcome.spelling)
        receipts = list(self._receipts(outcome, submit))
        if outcome.early and receipts:
            self._start(self._deliver(submission, submit, receipts.pop(0), receipted))
            await asyncio.sleep(0)  # the receipt is written by then
        self._answer(session, submit, submission, status, answered)
        for receipt in receipts:
            await asyncio.sleep(receipt.after)
            await self._deliver(submission, submit, receipt, receipted)

    def _answer(
        self,
        session: Session,
        submit: Command,
        submission: Submission,
        status: str,
        smpp_msgid: str | None = None,
    ) -> None:
        session.answer(submit, status, message_id=smpp_msgid)
        submission.status, submission.smpp_msgid = status, smpp_msgid
        submission.answered_at = time.time()
        self.submitted(submission)

    def _receipts(self, outcome: Outcome, submit: Command) -> tuple[Receipt, ...]:
        return outcome.receipts if outcome.unasked or pdus.wants_receipt(submit) else ()

    def _claim_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    async def _deliver(
        self, submission: Submission, submit: Command, plan: Receipt, smpp_msgid: str
    ) -> None:
        """Send a receipt until it is acknowledged."""
        receipt = pdus.receipt_of(plan, smpp_msgid)
        submission.receipts.append(receipt)
        fields = pdus.fields_of(receipt, submit)
        while receipt.acknowledged_at is None:
            await self._is_received.wait()
            session, bind = next(iter(self._receivers.items()))
            receipt.sent_at = receipt.sent_at or time.time()
            receipt.attempts += 1
            with suppress(SessionLost, TimeoutError):
                answer = await asyncio.wait_for(
                    session.post(receipt.command, **fields), _ANSWER_SECONDS
                )
                if not answer.is_error():
                    receipt.acknowledged_at, receipt.bind = time.time(), bind
                    self.sent(receipt)
                    return
            await asyncio.sleep(_RETRY_SECONDS)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
