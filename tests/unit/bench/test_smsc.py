"""The simulated operator does what a number asks for, and its receipts are not lost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from smpplib.command import Command

from bench.smsc import outcomes
from bench.smsc.identifiers import Spelling, spell
from bench.smsc.outcomes import OUTCOMES, outcome_of
from bench.smsc.session import Session, SessionLost, status_code, status_name
from bench.smsc.smsc import FIRST_ID, Smsc
from bench.stack.process import free_port
from tests.support.service import eventually

SECONDS = 10.0


class Esme:
    """The other end: binds, submits, and keeps what it is sent, in order."""

    def __init__(self, session: Session, *, silent: bool) -> None:
        self.session = session
        self.received: list[Command] = []
        self._silent = silent
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def bind(
        cls, port: int, command: str = "bind_transceiver", *, silent: bool = False
    ) -> Esme:
        esme = cls(await Session.connect("127.0.0.1", port), silent=silent)
        answer = await esme.session.post(command, system_id="me", password="secret")
        assert status_name(answer.status) == "ESME_ROK"
        return esme

    async def submit(self, number: str, **fields: Any) -> Command:
        """Submit to a number, asking for a receipt; return the answer."""
        fields = {"short_message": b"hi", "registered_delivery": 1} | fields
        posted = self.session.post(
            "submit_sm", source_addr="34600", destination_addr=number, **fields
        )
        return await asyncio.wait_for(posted, SECONDS)

    async def texts(self, count: int) -> list[bytes]:
        """Wait for so many receipts by deliver_sm, and return what they say."""
        await self.receive(count)
        return [each.short_message for each in self.received]

    async def receive(self, count: int) -> None:
        """Wait for so many requests."""

        async def received() -> bool:
            return len(self.received) >= count

        await eventually(received, timeout=SECONDS)

    async def close(self) -> None:
        await self.session.close()
        await self._listening

    async def _listen(self) -> None:
        async for request in self.session.requests():
            self.received.append(request)
            if not self._silent:
                self.session.answer(request)


@asynccontextmanager
async def bound(**options: Any) -> AsyncIterator[tuple[Smsc, Esme]]:
    port = free_port()
    async with Smsc(port) as smsc:
        esme = await Esme.bind(port, **options)
        yield smsc, esme
        await esme.close()


def state(smsc: Smsc, name: str) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return getattr(smsc, name)

    return ask


def test_every_outcome_is_in_the_table_that_help_shows() -> None:
    described = re.findall(r"^(\d\d)  ", outcomes.__doc__ or "", re.MULTILINE)
    assert described == sorted(OUTCOMES)


def test_a_number_that_is_not_listed_is_delivered() -> None:
    assert "99" not in OUTCOMES
    assert [receipt.stat for receipt in outcome_of("34600000099").receipts] == ["DELIVRD"]


@pytest.mark.parametrize(
    ("spelling", "answered", "receipted"),
    [
        (Spelling.SAME, "6B0400AF", "6B0400AF"),
        (Spelling.ZEROS_IN_RECEIPT, "6b0400af", "000000006B0400AF"),
        (Spelling.ZEROS_IN_ANSWER, "000000006B0400AF", "6B0400AF"),
        (Spelling.DECIMAL_IN_RECEIPT, "6B0400AF", "1795424431"),
        (Spelling.DECIMAL_IN_ANSWER, "1795424431", "6B0400AF"),
    ],
)
def test_ids_are_spelt_as_operators_do(spelling: Spelling, answered: str, receipted: str) -> None:
    assert spell(0x6B0400AF, spelling) == (answered, receipted)


@pytest.mark.parametrize(
    ("code", "stats"),
    [
        ("00", ["DELIVRD"]),
        ("01", ["ACCEPTD", "DELIVRD"]),
        ("02", ["EXPIRED"]),
        ("03", ["DELETED"]),
        ("04", ["UNDELIV"]),
        ("05", ["UNKNOWN"]),
        ("06", ["REJECTD"]),
        ("12", ["DELIVRD", "DELIVRD"]),
    ],
)
async def test_receipts_name_the_message_and_its_state(code: str, stats: list[str]) -> None:
    async with bound() as (_, esme):
        answer = await esme.submit(f"346000001{code}")
        texts = await esme.texts(len(stats))
    assert [re.findall(rb"stat:(\w+)", text) for text in texts] == [[s.encode()] for s in stats]
    assert all(text.startswith(b"id:" + answer.message_id) for text in texts)


@pytest.mark.parametrize("status", ["ESME_RINVDSTADR", "ESME_RSUBMITFAIL", "ESME_RINVSRCADR"])
async def test_refuses(status: str) -> None:
    [code] = [code for code, outcome in OUTCOMES.items() if status in outcome.refusals]
    async with bound() as (smsc, esme):
        for _ in range(2):
            assert (await esme.submit(f"346000001{code}")).status == status_code(status)
    assert [each.attempt for each in smsc.journal.submissions] == [0, 1]
    assert not list(smsc.journal.receipts())


async def test_takes_at_last_what_it_could_not_take_at_first() -> None:
    async with bound() as (_, esme):
        answers = [status_name((await esme.submit("34600000131")).status) for _ in range(3)]
        other = await esme.submit("34600000231")
    assert answers == ["ESME_RMSGQFUL", "ESME_RMSGQFUL", "ESME_ROK"]
    assert status_name(other.status) == "ESME_RMSGQFUL"  # counted for each number


async def test_an_early_receipt_is_on_the_wire_before_the_answer() -> None:
    async with bound() as (_, esme):
        posted = esme.submit("34600000113")
        await posted
        assert len(esme.received) == 1


async def test_a_receipt_by_data_sm_has_parameters_and_no_text() -> None:
    async with bound() as (_, esme):
        answer = await esme.submit("34600000116")
        await esme.receive(1)
    [receipt] = esme.received
    assert receipt.command == "data_sm"
    assert receipt.receipted_message_id == answer.message_id
    assert receipt.message_state == 5  # UNDELIVERABLE


async def test_a_receipt_by_deliver_sm_may_have_parameters_besides_its_text() -> None:
    async with bound() as (_, esme):
        answer = await esme.submit("34600000119")
        [text] = await esme.texts(1)
    [receipt] = esme.received
    assert b"stat:DELIVRD" in text
    assert (receipt.receipted_message_id, receipt.message_state) == (answer.message_id, 2)


async def test_sends_no_receipt_that_is_not_asked_for() -> None:
    async with bound() as (smsc, esme):
        await esme.submit("34600000100", registered_delivery=0)
        await eventually(state(smsc, "is_busy"), False)
        assert not esme.received


@pytest.mark.parametrize("split", ["sar", "udh"])
async def test_each_part_of_a_long_message_has_an_id_of_its_own(split: str) -> None:
    async with bound() as (smsc, esme):
        for part in (1, 2):
            await esme.submit("34600000160", **part_of(part, split), registered_delivery=part - 1)
        texts = await esme.texts(2)  # for both: the number asks for it
    seen = [(each.part, each.parts) for each in smsc.journal.submissions]
    assert seen == [(1, 2), (2, 2)]
    assert sorted(re.findall(rb"id:(\w+)", b" ".join(texts))) == [
        f"{FIRST_ID + part:X}".encode() for part in (0, 1)
    ]


def part_of(part: int, split: str) -> dict[str, Any]:
    if split == "sar":
        return {"sar_msg_ref_num": 7, "sar_total_segments": 2, "sar_segment_seqnum": part}
    return {"esm_class": 0x40, "short_message": bytes([5, 0, 3, 7, 2, part]) + b"text"}


async def test_a_receipt_that_was_not_acknowledged_comes_again_in_the_next_bind() -> None:
    port = free_port()
    async with Smsc(port) as smsc:
        first = await Esme.bind(port, silent=True)
        await first.submit("34600000100")
        texts = await first.texts(1)
        await first.close()
        second = await Esme.bind(port)
        assert await second.texts(1) == texts
        await second.close()
    [receipt] = smsc.journal.receipts()
    assert (receipt.attempts, receipt.bind) == (2, 2)


async def test_receipts_wait_for_somebody_who_may_receive_them() -> None:
    port = free_port()
    async with Smsc(port) as smsc:
        sender = await Esme.bind(port, "bind_transmitter")
        await sender.submit("34600000100")
        await asyncio.sleep(0.2)
        assert not sender.received
        receiver = await Esme.bind(port, "bind_receiver")
        await receiver.texts(1)
        refused = await receiver.submit("34600000200")
        assert status_name(refused.status) == "ESME_RINVBNDSTS"
        assert smsc.binds == 2
        await sender.close()
        await receiver.close()


async def test_answers_enquire_link_and_unbind() -> None:
    async with bound() as (smsc, esme):
        assert (await esme.session.post("enquire_link")).command == "enquire_link_resp"
        assert (await esme.session.post("unbind")).command == "unbind_resp"
        await eventually(state(smsc, "is_bound"), False)
        with pytest.raises(SessionLost):
            await esme.submit("34600000100")


async def test_hangs_up_on_nonsense() -> None:
    port = free_port()
    async with Smsc(port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), SECONDS) == b""
        writer.close()


async def test_listens_where_it_is_told() -> None:
    port = free_port()
    async with Smsc(port, host="127.0.0.2"):
        _, writer = await asyncio.open_connection("127.0.0.2", port)
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
