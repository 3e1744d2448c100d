from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from service.events.records import BillEvent, Receipt, SubmitResult
from service.events.statuses import status_of
from service.store.bill_writer import BillWriter
from service.store.dlr_writer import DlrWriter, _outcomes
from service.store.outcomes import Outcome
from service.store.parking import Keys

ACCOUNT = "0b6c1f0e-7a0b-4d5e-9f57-0d9f3d5f2a11"
DELIVERED = status_of("DELIVRD")


def receipt(message_id: str | None, operator_ids: tuple[str, ...] = ()) -> Receipt:
    return Receipt(message_id, operator_ids, None, "smsc1", DELIVERED, None, None, None)


def bill(uid: str, message_id: str | None) -> BillEvent:
    return BillEvent("b1", uid, Decimal(1), message_id, None, status_of("ESME_ROK"))


def test_a_receipt_waits_for_its_message_or_for_a_link_of_any_of_its_ids():
    assert DlrWriter.keys(receipt("m1")) == Keys(message_id="m1")
    keys = DlrWriter.keys(receipt(None, ("0FF", "FF")))
    assert keys == Keys(operator_ids=("0FF", "FF"), guessed_ids=("255",))


def test_a_failure_of_what_was_delivered_before_is_a_conflict_whatever_follows_in_its_batch():
    failed = Receipt("m1", (), None, "smsc1", status_of("UNDELIV"), None, None, None)
    events = [failed, receipt("m1")]
    outcomes = _outcomes(events, ["m1", "m1"], {"m1": 1}, {"m1": DELIVERED.rank})
    assert outcomes == [Outcome.CONFLICT, Outcome.UNCHANGED]


def test_an_answer_waits_for_its_message():
    assert DlrWriter.keys(SubmitResult("m1", DELIVERED, "FF")) == Keys(message_id="m1")


def test_a_bill_waits_for_its_account_by_either_name_and_for_its_message():
    assert BillWriter.keys(bill("acct-1", None)) == Keys(uid="acct-1")
    assert BillWriter.keys(bill(ACCOUNT, "m1")) == Keys("m1", uid=ACCOUNT, account_id=UUID(ACCOUNT))
