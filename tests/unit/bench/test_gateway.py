"""What `make gateway` expects of a CDR, and what it lets a killed Jasmin get away with."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from bench.gateway.books import Books
from bench.gateway.expectation import asked_for, outcome_status, published
from bench.gateway.seen import LOSS_SECONDS, Seen
from bench.gateway.sms import ACCOUNTS, RATE, Sms, Writer
from bench.gateway.story import Story, name_unanswered, tell_stories
from bench.gateway.tap import Publication, Tap
from bench.smsc.journal import Journal, SentReceipt
from bench.smsc.outcomes import OUTCOMES
from service.events.statuses import status_of

NOW = 1_800_000_000.0
MESSAGE_ID = "46c01117"
GATEWAY = Books(captures=False, debits=False)
DEBITING = Books(captures=True, debits=True)
CONFIRMING = Books(captures=True, debits=False)


class Scene:
    """One message, and what happened to it so far."""

    def __init__(self, code: str = "00", parts: int = 1) -> None:
        self.sms = Sms(ACCOUNTS[0], f"346000001{code}", parts, MESSAGE_ID, NOW, NOW)
        self.journal = Journal()
        self.tap = Tap()
        number = self.sms.destination
        queued = Publication(NOW, "submit.sm.smsc1", MESSAGE_ID, "", {}, number)
        self.tap.publications.append(queued)

    def publish(self, key: str, text: str, message_id: str = MESSAGE_ID, **headers: Any) -> None:
        self.tap.publications.append(Publication(NOW, key, message_id, text, headers))

    def answer(
        self, status: str, given: str = "", *, told: bool = True, part: int = 1, at: float = NOW
    ) -> None:
        """The operator answers, and Jasmin tells of it unless it is killed."""
        submission = self.journal.add(1, self.sms.destination, part, self.sms.parts, at)
        submission.status, submission.answered_at = status, at
        submission.smpp_msgid = given or None
        if told:
            link = {"smpp_msgid": given.upper().lstrip("0")} if given else {}
            self.publish("dlr.submit_sm_resp", status, type="submit_sm_resp", **link)

    def receipt(
        self,
        stat: str,
        given: str,
        err: str = "000",
        date: str = "2701151200",
        *,
        told: bool = True,
    ) -> None:
        """The operator sends a receipt for the last submission, which Jasmin acknowledges."""
        receipt = SentReceipt(given, stat, err, "deliver_sm", False, date, NOW, NOW, 1, 1)
        self.journal.submissions[-1].receipts.append(receipt)
        if told:
            details = {"dlr_id": given, "dlr_err": err, "dlr_ddate": date}
            self.publish("dlr.deliver_sm", stat, given.upper(), type="deliver_sm", **details)

    @property
    def story(self) -> Story:
        return tell_stories([self.sms], self.journal, self.tap)[MESSAGE_ID]


def test_every_outcome_comes_to_the_status_of_its_best_event() -> None:
    for code, outcome in OUTCOMES.items():
        events = ["ESME_ROK" if not outcome.refused else outcome.refusals[-1]]
        events += [receipt.stat for receipt in outcome.receipts]
        best = max((status_of(event) for event in events), key=lambda status: status.rank)
        assert outcome_status(code) == best.cdr_status, code


def test_expects_what_the_best_receipt_says() -> None:
    scene = Scene("10")
    scene.answer("ESME_ROK", "00af")
    scene.receipt("UNDELIV", "AF", "001", "2701151200")
    scene.receipt("DELIVRD", "AF", "000", "270115120130")
    expected = published(scene.story)
    assert expected.status == "delivered"
    assert expected.smpp_msgids == {"AF"}
    assert expected.error_codes == {"000"}
    assert expected.delivery_ats == {datetime(2027, 1, 15, 12, 1, 30, tzinfo=UTC)}
    assert not expected.is_refunded


@pytest.mark.parametrize("status", ["ESME_RINVDSTADR", "ESME_RTHROTTLED"])
def test_expects_a_refund_of_what_was_refused(status: str) -> None:
    scene = Scene("20", parts=2)
    scene.answer(status, part=2)
    expected = published(scene.story)
    assert (expected.status, expected.error_codes) == ("failed", {status})
    assert GATEWAY.refund(scene.sms, expected) == 2 * RATE
    for books in (DEBITING, CONFIRMING):  # it has cost what Jasmin takes at once
        assert books.refund(scene.sms, expected) == scene.sms.charged


def test_expects_no_more_back_than_is_known_to_have_been_debited() -> None:
    scene = Scene("06")
    scene.answer("ESME_ROK", "AF")
    scene.receipt("REJECTD", "AF", "006")
    expected = published(scene.story)
    assert expected.is_refunded
    assert GATEWAY.refund(scene.sms, expected) == RATE
    assert CONFIRMING.refund(scene.sms, expected) == RATE
    assert DEBITING.refund(scene.sms, expected) == scene.sms.charged


def test_a_gateway_has_cdrs_of_what_was_accepted_and_capture_of_what_was_queued() -> None:
    scene = Scene()
    unanswered = Sms(ACCOUNTS[0], scene.sms.destination)
    assert name_unanswered([unanswered, Sms(ACCOUNTS[0], "34600000900")], scene.tap) == [unanswered]
    assert unanswered.message_id == MESSAGE_ID
    queued = tell_stories([unanswered], scene.journal, scene.tap)
    accepted = tell_stories([scene.sms], scene.journal, Tap())
    assert Seen(DEBITING, queued, scene.tap, []).written == queued
    assert Seen(GATEWAY, queued, scene.tap, []).written == {}
    assert Seen(DEBITING, accepted, Tap(), []).written == {}
    assert Seen(GATEWAY, accepted, Tap(), []).written == accepted


def test_expects_nothing_of_a_receipt_whose_answer_was_not_published() -> None:
    scene = Scene()
    scene.answer("ESME_ROK", "AF", told=False)
    scene.receipt("DELIVRD", "AF")
    assert published(scene.story).status == "queued"
    assert [what for what, _ in scene.story.unpublished()] == ["answer"]
    assert scene.story.joinable == []


def test_a_receipt_of_a_part_that_jasmin_does_not_name_is_not_joined() -> None:
    scene = Scene("60", parts=2)
    scene.answer("ESME_ROK", "AE", told=False, part=1)
    scene.receipt("UNDELIV", "AE")
    scene.answer("ESME_ROK", "AF", part=2)
    assert published(scene.story).status == "submitted"
    assert scene.story.unpublished() == []
    assert scene.story.linked == []
    assert len(scene.story.joinable) == 1  # by its id, which is next to the one that is named


def test_notices_a_receipt_that_was_acknowledged_and_not_published() -> None:
    scene = Scene("12")
    scene.answer("ESME_ROK", "AF")
    scene.receipt("DELIVRD", "AF")
    scene.receipt("DELIVRD", "AF", told=False)
    assert [what for what, _ in scene.story.unpublished()] == ["receipt DELIVRD"]


def test_of_two_answers_the_earlier_one_is_the_lost_one() -> None:
    scene = Scene()
    scene.answer("ESME_ROK", "AE", told=False, at=NOW - 3)
    scene.answer("ESME_ROK", "AF")
    assert scene.story.unpublished() == [("answer", NOW - 3)]
    assert scene.story.is_repeated


def test_a_kill_excuses_what_came_just_before_it_and_nothing_else() -> None:
    seen = Seen(GATEWAY, {}, Tap(), [(NOW, NOW + 5)])
    assert seen.is_by_kill(NOW - LOSS_SECONDS)
    assert seen.is_by_kill(NOW + 5)
    assert not seen.is_by_kill(NOW - LOSS_SECONDS - 0.1)
    assert not seen.is_by_kill(NOW + 5.1)
    assert not Seen(GATEWAY, {}, Tap(), []).is_by_kill(NOW)


def test_asks_for_every_outcome_at_least_once() -> None:
    messages = list(Writer(1).mixed(64))
    assert {sms.code for sms in messages} == set(OUTCOMES)
    assert {sms.account for sms in messages} == set(ACCOUNTS)
    assert any(sms.is_piece for sms in messages)
    assert {asked_for(sms) for sms in messages if sms.is_dropped} == {"queued"}
    assert {sms.parts > 1 for sms in messages if sms.is_unicode} == {True, False}
    assert max(sms.parts for sms in messages) > 1
    assert all(first.destination != second.destination for first, second in pairwise(messages))


@pytest.mark.parametrize(
    ("account", "charged", "bill"),
    [(0, "0.06", "0.14"), (1, "0.09", "0.11"), (2, "0.20", "0")],
)
def test_the_bill_is_what_jasmin_did_not_take_at_once(
    account: int, charged: str, bill: str
) -> None:
    sms = Sms(ACCOUNTS[account], "34600000100", parts=2)
    assert (sms.charged, sms.bill) == (Decimal(charged), Decimal(bill))
