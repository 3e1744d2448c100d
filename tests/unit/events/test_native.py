from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from service.events import fields, native
from service.events.records import BillEvent, Receipt, Refused, SubmitResult
from service.events.statuses import status_of

from ..samples import bill, receipt, submit_result, with_headers

UTC_ZONE = ZoneInfo("UTC")


def dlr(message):
    [event] = native.dlrs([message], UTC_ZONE)
    return event


def test_a_receipt_names_only_the_operators_id():
    event = dlr(
        receipt(
            "6B04081F000E",
            b"UNDELIV",
            dlr_id="6b04081f000e",
            dlr_sub="001",
            dlr_dlvrd="000",
            dlr_sdate="2611231002",
            dlr_ddate="2611231003",
            dlr_err="0032",
            dlr_stat="UNDELIV",
            dlr_text="hello",
        )
    )
    assert event == Receipt(
        message_id=None,
        operator_ids=("6B04081F000E",),
        smpp_msgid="6B04081F000E",
        connector_id="smsc1",
        status=status_of("UNDELIV"),
        done_at=datetime(2026, 11, 23, 10, 3, tzinfo=UTC),
        error_code="0032",
        details=event.details,
    )
    assert json.loads(event.details) == {
        "id": "6b04081f000e",
        "sub": "001",
        "dlvrd": "000",
        "submit_date": "2611231002",
        "done_date": "2611231003",
        "stat": "UNDELIV",
        "err": "0032",
        "text": "hello",
    }


def test_a_data_sm_is_a_receipt_too():
    assert isinstance(dlr(receipt(type="data_sm")), Receipt)


def test_a_done_date_is_in_the_configured_zone():
    [event] = native.dlrs([receipt(dlr_ddate="2607011200")], ZoneInfo("Europe/Madrid"))
    assert event.done_at == datetime(2026, 7, 1, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("message_id", "dlr_id", "given", "guessed"),
    [
        ("6B04", "6b04", ("6B04",), ("27396",)),
        ("00ff", "0ff", ("FF",), ("255",)),
        ("10", "10", ("10",), ("16", "A")),
        ("27396", "6b04", ("27396", "6B04"), ()),
        ("abc-1", "abc-2", ("ABC-1", "ABC-2"), ()),
        ("0", "12x", ("12X",), ()),
        ("X1", "", ("X1",), ()),
    ],
)
def test_an_operators_id_is_taken_as_given_and_guessed_in_another_base(
    message_id, dlr_id, given, guessed
):
    event = dlr(receipt(message_id, dlr_id=dlr_id))
    assert (event.operator_ids, event.guessed_ids) == (given, guessed)
    assert event.smpp_msgid == given[0]


def test_a_receipt_does_without_details():
    event = dlr(with_headers(receipt("6B04"), {"type": "deliver_sm"}))
    assert event.operator_ids == ("6B04",)
    assert (event.connector_id, event.done_at, event.error_code) == (None, None, None)


def test_an_answer_links_the_operators_id_to_the_message():
    event = dlr(submit_result("m1", b"ESME_ROK", smpp_msgid="006b04"))
    assert event == SubmitResult("m1", status_of("ESME_ROK"), "6B04")


def test_a_refused_submission_has_no_operators_id():
    event = dlr(submit_result("m1", b"ESME_RTHROTTLED"))
    assert event == SubmitResult("m1", status_of("ESME_RTHROTTLED"), None)


def test_an_operators_id_of_zeros_is_none():
    assert dlr(submit_result(smpp_msgid="000")).smpp_msgid is None


def test_nothing_long_is_remembered():
    for spaces in range(3):
        assert dlr(receipt(body=b"DELIVRD" + b" " * spaces)).status.cdr_status == "delivered"
        dlr(receipt(dlr_ddate="2607011200" + "x" * 50 * spaces))
    before = native._bare_status.cache_info().currsize, fields._done_date.cache_info().currsize
    for spaces in range(3, 9):
        dlr(receipt(body=b"DELIVRD" + b" " * spaces, dlr_ddate="2607011200" + "x" * 50 * spaces))
    after = native._bare_status.cache_info().currsize, fields._done_date.cache_info().currsize
    assert after == before


def test_a_status_is_no_longer_than_any_id():
    with pytest.raises(Refused, match="body is longer than 255"):
        dlr(receipt(body=b"X" * 256))


def test_a_bill_knows_account_and_amount_but_no_message():
    [event] = native.bills([bill(b"bill-1", amount="0.30000000000000004")])
    assert event == BillEvent(
        bid="bill-1",
        uid="acct-1",
        amount=Decimal("0.30000000000000004"),
        message_id=None,
        connector_id=None,
        status=status_of("ESME_ROK"),
    )


def test_numbers_and_octets_are_read_as_text():
    event = dlr(receipt(type=b"deliver_sm", dlr_err=32, cid=b"smsc\xff", dlr_text=b"caf\xc3\xa9"))
    assert (event.error_code, event.connector_id) == ("32", "smsc\\xff")
    assert json.loads(event.details)["text"] == "café"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (receipt(type="query_sm"), "unknown type header: 'query_sm'"),
        (receipt(type="x" * 9000), "unknown type header"),
        (receipt(type=None), "unknown type header"),
        (receipt(type=["deliver_sm"]), "header type is no text but list"),
        (receipt(message_id=None), "property message-id is missing"),
        (receipt(message_id=""), "property message-id is missing"),
        (receipt(message_id=" "), "property message-id is missing"),
        (receipt(message_id="a\0b"), "property message-id contains a NUL"),
        (receipt(message_id="00", dlr_id="000"), "operator's message id is empty"),
        (receipt(body=b" \r\n"), "body is empty"),
        (receipt(body=b"DELIV\xff"), "body is not UTF-8"),
        (receipt(body=b"DELIVRD\0"), "body contains a NUL"),
        (receipt(cid="smsc\0"), "header cid contains a NUL"),
        (receipt(cid=1.5), "header cid is no text but float"),
        (receipt(dlr_err=True), "header dlr_err is no text but bool"),
        (receipt(dlr_text={"a": 1}), "header dlr_text is no text but dict"),
        (receipt(dlr_id=[1]), "header dlr_id is no text but list"),
        *[
            (receipt(**{f"dlr_{name}": "a\0"}), f"header dlr_{name} contains a NUL")
            for name in ("id", "stat", "sub", "dlvrd", "sdate", "ddate", "err", "text")
        ],
        (receipt(dlr_text=b"a\0"), "header dlr_text contains a NUL"),
        (receipt(message_id="a\x1eb"), r"property message-id contains U\+001E"),
        (receipt(body=b"DELI\x1fRD"), r"body contains U\+001F"),
        (receipt(cid="smsc\x1f"), r"header cid contains U\+001F"),
        (receipt(dlr_err="\x1e"), r"header dlr_err contains U\+001E"),
        (receipt(dlr_id="a\x1fb"), r"the operator's message id contains U\+001F"),
        (submit_result(message_id=None), "property message-id is missing"),
        (submit_result(body=b"  "), "body is empty"),
        (submit_result(smpp_msgid="1\0"), "header smpp_msgid contains a NUL"),
        (submit_result(smpp_msgid="1\x1f2"), r"the operator's message id contains U\+001F"),
        (submit_result(message_id="a\x1fb"), r"property message-id contains U\+001F"),
        (submit_result(body=b"ESME_R\x1fK"), r"body contains U\+001F"),
        (submit_result(smpp_msgid=[1]), "header smpp_msgid is no text but list"),
    ],
)
def test_a_dlr_that_can_never_be_applied_is_refused(message, reason):
    with pytest.raises(Refused, match=reason) as refusal:
        dlr(message)
    assert len(str(refusal.value)) < 200


def test_details_may_have_control_characters():
    event = dlr(receipt(dlr_text="a\x1eb\x1f"))
    assert json.loads(event.details)["text"] == "a\x1eb\x1f"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (bill(user_id=""), "user-id is empty"),
        (bill(user_id=None), "user-id is empty"),
        pytest.param(
            bill(user_id=" "),
            "user-id is empty",
        ),
        (bill(user_id=[1]), "header user-id is no text but list"),
        (bill(user_id="a\0"), "header user-id contains a NUL"),
        (bill(amount=""), "amount is no number"),
        (bill(amount=None), "amount is no number"),
        (bill(amount=0.01), "header amount is no text but float"),
        (bill(amount="-0.01"), "amount is negative"),
        (bill(amount="NaN"), "amount is no number"),
        (bill(amount="1\0"), "NUL"),
        (bill(body=b" "), "body is empty"),
        (bill(body=b"\xff"), "body is not UTF-8"),
        (bill(body=b"bill\0"), "body contains a NUL"),
        (bill(body=b"bill\x1e1"), r"body contains U\+001E"),
        (bill(user_id="a\x1fb"), r"header user-id contains U\+001F"),
    ],
)
def test_a_bill_that_can_never_be_applied_is_refused(message, reason):
    with pytest.raises(Refused, match=reason):
        native.bills([message])
