from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from service.events import contract
from service.events.records import BillEvent, Receipt, Refused, SubmitResult
from service.events.statuses import status_of

from ..samples import BILL, DLR, bill_json, bill_json_amount, changed, dlr_json, without

UTC_ZONE = ZoneInfo("UTC")
DEEP = 10_500  # more than any Python lets C code recurse


def dlr(body):
    [event] = contract.dlrs([dlr_json(body).body], UTC_ZONE)
    return event


def bill(body):
    [event] = contract.bills([bill_json(body).body])
    return event


def test_the_specifications_receipt_says_all():
    event = dlr(DLR)
    assert event == Receipt(
        message_id="msg-uuid",
        operator_ids=(),
        smpp_msgid="OPERATOR-MESSAGE-ID",
        connector_id=None,
        status=status_of("DELIVRD"),
        done_at=datetime(2024, 1, 1, 12, 0, 5, tzinfo=UTC),
        error_code="000",
        details=event.details,
    )
    assert json.loads(event.details) == DLR["dlr_details"]


def test_a_done_date_is_in_the_configured_zone():
    [event] = contract.dlrs([dlr_json().body], ZoneInfo("Europe/Madrid"))
    assert event.done_at == datetime(2024, 1, 1, 11, 0, 5, tzinfo=UTC)


def test_details_are_kept_as_they_came():
    details = b'{"err":7, "extra" : [1.50, {"x":null}], "text":"caf\\u00e9"}'
    body = b'{"message_id":"m","status":"DELIVRD","dlr_details":' + details + b"}"
    event = dlr(body)
    assert event.details == details.decode()
    assert event.error_code == "7"


@pytest.mark.parametrize("details", [None, "absent"])
def test_a_receipt_does_without_details(details):
    body = without(DLR, "dlr_details") if details else changed(DLR, "dlr_details", None)
    event = dlr(body)
    assert (event.done_at, event.error_code, event.details) == (None, None, None)


def test_a_date_that_is_none_leaves_the_receipt_standing():
    event = dlr(changed(DLR, "dlr_details.done_date", "0000000000"))
    assert event.done_at is None
    assert event.status.cdr_status == "delivered"


@pytest.mark.parametrize("smpp_msgid", ["0006b04", "6B04"])
def test_an_answer_links_the_operators_id_to_the_message(smpp_msgid):
    body = {"message_id": "m1", "status": "ESME_ROK", "pdu_type": "submit_sm_resp"}
    assert dlr({**body, "smpp_msgid": smpp_msgid}) == SubmitResult(
        "m1", status_of("ESME_ROK"), "6B04"
    )


@pytest.mark.parametrize("smpp_msgid", [None, "", "000", 0])
def test_an_operators_id_of_nothing_is_none(smpp_msgid):
    assert dlr(changed(DLR, "smpp_msgid", smpp_msgid)).smpp_msgid is None


@pytest.mark.parametrize(
    ("pdu_type", "status", "kind"),
    [
        ("submit_sm_resp", "ESME_ROK", SubmitResult),
        ("submit_sm_resp", "ESME_RTHROTTLED", SubmitResult),
        ("deliver_sm", "DELIVRD", Receipt),
        ("data_sm", "DELIVRD", Receipt),
        (None, "esme_rok", SubmitResult),
        (None, "RESERVEDSTATUS_VENDOR_SPECIFIC", SubmitResult),
        (None, "DELIVRD", Receipt),
        ("deliver_sm", "ESME_RX", Receipt),
    ],
)
def test_the_pdu_type_or_else_the_status_tells_answers_from_receipts(pdu_type, status, kind):
    body = {**DLR, "pdu_type": pdu_type, "status": status}
    assert type(dlr(body)) is kind


def test_the_specifications_bill_says_all():
    assert bill(BILL) == BillEvent(
        bid="unique-bill-id",
        uid="account-uuid",
        amount=Decimal("0.01"),
        message_id="msg-uuid",
        connector_id="smpp-connector-1",
        status=status_of("ESME_ROK"),
    )


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("ESME_RSUBMITFAIL", ("failed", 5)),
        ("RESERVEDSTATUS_VENDOR_SPECIFIC", ("failed", 5)),
        ("ESME_RTHROTTLED", ("failed", 1)),
    ],
)
def test_a_bill_may_tell_of_a_failed_submission(status, meaning):
    event = bill(changed(BILL, "status", status))
    assert (event.status.cdr_status, event.status.rank) == meaning


@pytest.mark.parametrize(
    "text", ["0.01", "1e-05", "0.30000000000000004", "0", "123456789012.123456", "0.1000", "1E+2"]
)
@pytest.mark.parametrize("written", ["{}", '"{}"'])
def test_an_amount_never_passes_through_a_float(text, written):
    [event] = contract.bills([bill_json_amount(written.format(text)).body])
    amount = event.amount
    assert isinstance(amount, Decimal)
    assert amount == Decimal(text)


@pytest.mark.parametrize(
    "written",
    [
        *["-1", "1e400", "1e12", "null", "true", "[1]", '{"a":1}', "NaN", "Infinity", "-Infinity"],
        *["01", "0x10", "1_0", "", ".5", "+1"],
        *['"-1"', '"NaN"', '"Infinity"', '"1_0"', '" 1"', '"1 "', '""', '"1e400"', '"0x10"'],
        *['"١٢"', '"\\u0661"', '"abc"', '"1\\u0000"'],
    ],
)
def test_what_is_no_possible_amount_is_refused(written):
    with pytest.raises(Refused):
        contract.bills([bill_json_amount(written).body])


def test_what_is_quoted_of_a_message_ends_with_its_quote():
    with pytest.raises(Refused, match=r"unknown pdu_type: 'x{40}'$"):
        dlr({**DLR, "pdu_type": "x" * 100})


def test_details_of_another_kind_change_nothing_for_the_others_of_a_batch():
    bodies = [dlr_json(body).body for body in (DLR, changed(DLR, "dlr_details.sub", 1), DLR)]
    first, other, last = contract.dlrs(bodies, UTC_ZONE)
    assert first == last == dlr(DLR)
    assert json.loads(other.details)["sub"] == 1


def test_fields_that_nobody_knows_are_no_obstacle():
    assert dlr({**DLR, "more": {"x": [1, "é", "😀"]}}) == dlr(DLR)
    assert bill({**BILL, "more": 1}) == bill(BILL)


DLR_REFUSALS = [
    (without(DLR, "message_id"), "missing required field `message_id`"),
    (without(DLR, "status"), "missing required field `status`"),
    (changed(DLR, "message_id", ""), "message_id is empty"),
    (changed(DLR, "message_id", " "), "message_id is empty"),
    (changed(DLR, "status", "\t"), "status is empty"),
    (changed(DLR, "message_id", 5), "message_id"),
    (changed(DLR, "message_id", None), "message_id"),
    (changed(DLR, "status", ["DELIVRD"]), "status"),
    (changed(DLR, "pdu_type", "query_sm"), "unknown pdu_type: 'query_sm'"),
    (changed(DLR, "pdu_type", "x" * 9000), "unknown pdu_type"),
    (changed(DLR, "pdu_type", 1), "pdu_type"),
    (changed(DLR, "smpp_msgid", [1]), "smpp_msgid"),
    (changed(DLR, "smpp_msgid", 1.5), "smpp_msgid"),
    (changed(DLR, "dlr_details", "x"), "Expected `object"),
    (changed(DLR, "dlr_details", [1]), "Expected `object"),
    (changed(DLR, "dlr_details.err", True), "err"),
    (changed(DLR, "dlr_details.done_date", {}), "done_date"),
]


@pytest.mark.parametrize(("body", "reason"), DLR_REFUSALS)
def test_a_dlr_with_missing_or_wrong_fields_is_refused(body, reason):
    with pytest.raises(Refused, match=reason) as refusal:
        dlr(body)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (without(BILL, "bid"), "bid"),
        (without(BILL, "user"), "user"),
        (without(BILL, "user.uid"), "uid"),
        (without(BILL, "amounts"), "amounts"),
        (without(BILL, "amounts.submit_sm_resp"), "submit_sm_resp"),
        (without(BILL, "message_id"), "message_id"),
        (without(BILL, "status"), "status"),
        (changed(BILL, "bid", ""), "bid is empty"),
        (changed(BILL, "user.uid", " "), "user.uid is empty"),
        (changed(BILL, "message_id", ""), "message_id is empty"),
        (changed(BILL, "status", ""), "status is empty"),
        (changed(BILL, "bid", 7), "bid"),
        (changed(BILL, "user", "account"), "user"),
        (changed(BILL, "user.uid", 7), "uid"),
        (changed(BILL, "amounts", []), "amounts"),
        (changed(BILL, "connector_id", 7), "connector_id"),
    ],
)
def test_a_bill_with_missing_or_wrong_fields_is_refused(body, reason):
    with pytest.raises(Refused, match=reason):
        bill(body)


def paths(example: dict, prefix: str = "") -> list[str]:
    """Return the dotted paths of all texts of an example, and one that nobody knows."""
    found = [f"{prefix}unknown"]
    for name, value in example.items():
        if isinstance(value, dict):
            found += paths(value, f"{prefix}{name}.")
        elif isinstance(value, str):
            found.append(prefix + name)
    return found


STREAMS = [(dlr, DLR, path) for path in paths(DLR)] + [(bill, BILL, path) for path in paths(BILL)]
MARK = "@@"


@pytest.mark.parametrize(("decode", "example", "path"), STREAMS)
@pytest.mark.parametrize(
    "bad",
    [
        b"\0",
        b"\\u0000",
        b"\x01",
        b"\xff",
        b"\xed\xa0\x80",
        b"\\ud800",
        b"\\udc00",
        b"\\ud800 and more",
        b"\\ud800\\ud800",
        b"\\udc00\\ud800",
    ],
)
def test_text_that_cannot_be_stored_is_refused_in_any_field(decode, example, path, bad):
    body = json.dumps(changed(example, path, f"a{MARK}b")).encode()
    with pytest.raises(Refused):
        decode(body.replace(MARK.encode(), bad))


@pytest.mark.parametrize(("decode", "example"), [(dlr, DLR), (bill, BILL)])
def test_a_nul_in_a_name_or_deep_inside_is_refused(decode, example):
    for more in ({"a\0b": 1}, [[{"x": ["a\0"]}]], {"x": [{"y\0": []}]}):
        with pytest.raises(Refused, match="NUL"):
            decode({**example, "more": more})


@pytest.mark.parametrize("character", ["\x1e", "\x1f"])
@pytest.mark.parametrize(
    ("decode", "example", "path"),
    [
        *[(dlr, DLR, path) for path in ("message_id", "status", "smpp_msgid", "dlr_details.err")],
        *[(bill, BILL, path) for path in ("bid", "user.uid", "message_id", "status")],
        (bill, BILL, "connector_id"),
    ],
)
def test_what_separates_values_is_refused_in_one(decode, example, path, character):
    with pytest.raises(Refused, match=rf" contains U\+{ord(character):04X}$"):
        decode(changed(example, path, f"ESME_{character}b"))


@pytest.mark.parametrize("text", ["a\x1eb\x1f", "\\\\u0000", "é", "😀", "\x7f", "\u2028"])
def test_other_escapes_are_no_reason_to_refuse(text):
    escaped = json.dumps(changed(DLR, "dlr_details.text", text), ensure_ascii=True).encode()
    assert json.loads(dlr(escaped).details)["text"] == text


@pytest.mark.parametrize("decode", [dlr, bill])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not valid JSON"),
        (b'{"message_id": }', "not valid JSON"),
        (b"{} {}", "not"),
        (b"[]", "not the JSON contract"),
        (b"null", "not the JSON contract"),
        (b'\xff{"a":1}', "not UTF-8"),
        (b"{}", "missing required field"),
        (b'{"x":' + b"[" * DEEP + b"]" * DEEP + b"}", "nested too deeply"),
        (b'{"x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}", "nested too deeply"),
        (b'{"\\u0041":' + b"[" * DEEP + b"]" * DEEP + b"}", "nested too deeply"),
        (b'{"x":' + b"[" * DEEP, "nested too deeply"),
    ],
)
def test_what_is_not_the_contract_is_refused_with_the_reason(decode, body, reason):
    with pytest.raises(Refused, match=reason):
        decode(body)


@pytest.mark.parametrize("path", ["smpp_msgid", "dlr_details.err", "dlr_details.done_date"])
def test_a_number_of_thousands_of_digits_is_refused(path):
    body = json.dumps(changed(DLR, path, MARK)).replace(f'"{MARK}"', "9" * 5000)
    with pytest.raises(Refused, match="out of range"):
        dlr(body.encode())
