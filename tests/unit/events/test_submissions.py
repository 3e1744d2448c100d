"""What Jasmin gives to its connectors, as a CDR needs it."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from service.events.decode import SubmitDecoder
from service.events.message import ROUTING_KEY, UNREADABLE, Message, from_json, to_json
from service.events.records import Refused, Submission

from ..samples import MAX_BODY, UTC_ZONE, captured, one_by_one, with_headers

SUBMISSIONS = captured("submit.sm.smsc")
ANSWERS = captured("submit.sm.resp")
BILL = "submit_sm_bill"

decode = one_by_one(SubmitDecoder(UTC_ZONE, MAX_BODY, keep_text=False))
decode_with_text = one_by_one(SubmitDecoder(UTC_ZONE, MAX_BODY, keep_text=True))


class Jasmin:
    """Pickles objects as Jasmin does, without it: classes of its names, with no code in them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.protocol = 2

    def make(self, module: str, name: str, base: type = object, **state: Any) -> Any:
        kind = type(name, (base,), {"__module__": module, "__qualname__": name})
        instance = self._enter(module, kind)()
        vars(instance).update(state)
        return instance

    def enumeration(self, name: str, *names: str) -> Any:
        module = "smpp.pdu.pdu_types"
        return self._enter(module, Enum(name, list(names), module=module))  # type: ignore[misc]

    def _enter(self, module: str, kind: Any) -> Any:
        for end in (*(at for at, char in enumerate(module) if char == "."), len(module)):
            if module[:end] not in sys.modules:
                self._monkeypatch.setitem(sys.modules, module[:end], ModuleType(module[:end]))
        existing = vars(sys.modules[module]).get(kind.__name__)
        self._monkeypatch.setitem(vars(sys.modules[module]), kind.__name__, existing or kind)
        return existing or kind

    def submission(self, *parts: dict[str, Any], bill: Any = None, **headers: Any) -> Message:
        next_pdu: dict[str, Any] = {}
        for given in reversed(parts or ({},)):
            params = {"destination_addr": b"34600111222", "short_message": b"hello", **given}
            pdu = self.make("smpp.pdu.operations", "SubmitSM", params=params, **next_pdu)
            next_pdu = {"nextPdu": pdu}
        table = {"source_connector": "httpapi", "created_at": "2026-01-02 03:04:05", **headers}
        if bill is not None:
            table[BILL] = bytearray(pickle.dumps(bill, self.protocol))
        body = pickle.dumps(next_pdu["nextPdu"], self.protocol)
        return Message("messaging", "submit.sm.smsc1", "m1", table, body)

    def bill(self, submit_sm: Any = 0.01, submit_sm_resp: Any = 0.0, **state: Any) -> Any:
        user = self.make("jasmin.routing.jasminApi", "User", uid="acct-1", password=b"\xff")
        amounts = {"submit_sm": submit_sm, "submit_sm_resp": submit_sm_resp}
        whole = {"bid": "b1", "user": user, "amounts": amounts, "actions": {}, **state}
        return self.make("jasmin.routing.Bills", "SubmitSmBill", **whole)


@pytest.fixture
def jasmin(monkeypatch: pytest.MonkeyPatch) -> Jasmin:
    return Jasmin(monkeypatch)


@pytest.mark.parametrize("message", SUBMISSIONS)
def test_every_submission_that_jasmin_published_decodes(message: Message) -> None:
    event = decode(message)
    parts = 3 if message is SUBMISSIONS[-1] else 1
    assert event.message_id == message.message_id
    assert (event.uid, event.sender, event.connector_id) == ("acct-1", "Acme", "smsc1")
    assert event.msisdn.startswith("9989")
    assert (event.parts, event.charged) == (parts, parts * Decimal("0.01"))
    assert event.price == parts * Decimal("0.02")
    assert event.submit_at == datetime.fromisoformat(message.headers["created_at"] + "+00:00")
    assert event.text is None
    assert decode(from_json(to_json(message))) == event


def test_the_capture_holds_what_is_claimed_of_it() -> None:
    assert (len(SUBMISSIONS), len(ANSWERS)) == (17, 17)
    assert len({decode(message).bid for message in SUBMISSIONS}) == 17


@pytest.mark.parametrize("message", ANSWERS[:1])
def test_an_answer_is_no_submission(message: Message) -> None:
    assert refusal(message) == "its pickle is no SubmitSM"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_that_jasmin_can_be_set_to_is_read(jasmin: Jasmin, protocol: int) -> None:
    jasmin.protocol = protocol
    message = jasmin.submission({"source_addr": b"Acme"}, {}, bill=jasmin.bill(0.1, 0.2))
    assert decode_with_text(message) == Submission(
        message_id="m1",
        uid="acct-1",
        bid="b1",
        sender="Acme",
        msisdn="34600111222",
        connector_id="smsc1",
        parts=2,
        price=Decimal("0.6"),
        charged=Decimal("0.2"),
        submit_at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        text="hellohello",
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", ["schedule_delivery_time", "validity_period"])
def test_a_time_in_a_time_zone_is_read_over(jasmin: Jasmin, protocol: int, name: str) -> None:
    jasmin.protocol = protocol
    state = {"_FixedOffset__offset": timedelta(hours=-1), "_FixedOffset__name": None}
    zone = jasmin.make("smpp.pdu.smpp_time", "FixedOffset", tzinfo, **state)
    at = datetime(2030, 1, 1, 12, tzinfo=zone)
    event = decode_with_text(jasmin.submission({name: at}, {name: at}, bill=jasmin.bill()))
    assert (event.msisdn, event.parts, event.text) == ("34600111222", 2, "hellohello")


# What it costs


@pytest.mark.parametrize(
    ("at_once", "on_answer", "charged", "price"),
    [
        (0.02, 0, "0.06", "0.06"),
        (0, 0.02, "0", "0.06"),
        (0.1, 0.2, "0.3", "0.9"),
        (1e-05, 0.30000000000000004, "0.00003", "0.90003000000000012"),
        (1, 2, "3", "9"),
        (0.0, 0.0, "0", "0"),
    ],
)
def test_each_part_is_charged_exactly(
    jasmin: Jasmin, at_once: float, on_answer: float, charged: str, price: str
) -> None:
    event = decode(jasmin.submission({}, {}, {}, bill=jasmin.bill(at_once, on_answer)))
    assert (event.charged, event.price) == (Decimal(charged), Decimal(price))


def test_a_client_of_the_smpp_server_pays_for_the_pdu_that_it_sent(jasmin: Jasmin) -> None:
    bill = jasmin.bill(0.01, 0.02)
    event = decode(jasmin.submission({}, {}, bill=bill, source_connector="smppsapi"))
    assert (event.charged, event.price) == (Decimal("0.01"), Decimal("0.05"))


def test_without_a_bill_nobody_pays(jasmin: Jasmin) -> None:
    event = decode(jasmin.submission())
    assert (event.uid, event.bid, event.charged, event.price) == (None, None, None, None)


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), -0.01, True, None, "0.01", 1e12])
def test_an_amount_that_is_none_is_refused(jasmin: Jasmin, amount: Any) -> None:
    assert "amount" in refusal(jasmin.submission(bill=jasmin.bill(amount)))
    assert "amount" in refusal(jasmin.submission(bill=jasmin.bill(0.01, amount)))


def test_a_price_beyond_money_is_refused(jasmin: Jasmin) -> None:
    bill = jasmin.bill(999_999_999_999.0)
    assert decode(jasmin.submission(bill=bill)).price == 999_999_999_999
    assert refusal(jasmin.submission({}, {}, bill=bill)) == "its price is out of range"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"bid": None}, "its bill id is missing"),
        ({"bid": " "}, "its bill id is empty"),
        ({"bid": "x" * 256}, "its bill id is longer than 255 characters"),
        ({"bid": "a\nb"}, "its bill id contains a control character"),
        ({"user": None}, "its bill has no user, or no amounts"),
        ({"amounts": []}, "its bill has no user, or no amounts"),
    ],
)
def test_a_bill_without_what_is_needed_is_refused(
    jasmin: Jasmin, state: dict[str, Any], reason: str
) -> None:
    assert refusal(jasmin.submission(bill=jasmin.bill(**state))) == reason


def test_a_uid_may_be_a_number(jasmin: Jasmin) -> None:
    user = jasmin.make("jasmin.routing.jasminApi", "User", uid=7)
    assert decode(jasmin.submission(bill=jasmin.bill(user=user))).uid == "7"


@pytest.mark.parametrize("bill", [7, {"amount": 1}, "text", bytearray(b"\x80\x02N."), b""])
def test_a_header_that_is_no_bill_is_refused(bill: Any) -> None:
    message = SUBMISSIONS[0]
    refusal(with_headers(message, {**message.headers, BILL: bill}))


# Who, where and when


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"destination_addr": None}, "its destination_addr is empty"),
        ({"destination_addr": b" "}, "its destination_addr is empty"),
        ({"destination_addr": b"x" * 256}, "its destination_addr is longer than 255 characters"),
        ({"destination_addr": b"346\x00"}, "its destination_addr contains a NUL character"),
        ({"destination_addr": 34600111222}, "its destination_addr is no text"),
        ({"source_addr": b"a\x1fb"}, "its source_addr contains U+001F"),
        ({"source_addr": ["Acme"]}, "its source_addr is no text"),
    ],
)
def test_an_address_that_is_none_is_refused(
    jasmin: Jasmin, params: dict[str, Any], reason: str
) -> None:
    assert refusal(jasmin.submission(params)) == reason


@pytest.mark.parametrize(
    ("address", "sender"), [(None, None), (b"", None), ("Acmé", "Acmé"), (b"\xff", r"\xff")]
)
def test_a_sender_may_be_missing_or_strange(jasmin: Jasmin, address: Any, sender: Any) -> None:
    assert decode(jasmin.submission({"source_addr": address})).sender == sender


@pytest.mark.parametrize(
    ("routing_key", "headers", "connector"),
    [
        ("submit.sm.smsc-2", {}, "smsc-2"),
        ("billing_service.submit", {ROUTING_KEY: "submit.sm.smsc-2"}, "smsc-2"),
        ("submit.sm.smsc-2", {ROUTING_KEY: "submit.sm.forged"}, "smsc-2"),
        ("billing_service.submit", {}, None),
        ("billing_service.submit", {ROUTING_KEY: 7}, None),
    ],
)
def test_the_connector_is_that_of_the_first_routing_key(
    jasmin: Jasmin, routing_key: str, headers: dict[str, Any], connector: str | None
) -> None:
    message = msgspec.structs.replace(jasmin.submission(**headers), routing_key=routing_key)
    assert decode(message).connector_id == connector


@pytest.mark.parametrize(
    ("created_at", "at"),
    [
        ("2026-07-01 12:00:00.5", datetime(2026, 7, 1, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-01 12:00:00", datetime(2026, 1, 1, 11, tzinfo=UTC)),
        ("2026-01-01T12:00:00+05:00", datetime(2026, 1, 1, 7, tzinfo=UTC)),
        ("0001-01-01T00:00:00+05:00", None),
        ("yesterday", None),
        (None, None),
        (7, None),
    ],
)
def test_the_time_is_in_the_zone_of_jasmins_host(
    jasmin: Jasmin, created_at: Any, at: datetime | None
) -> None:
    in_madrid = SubmitDecoder(ZoneInfo("Europe/Madrid"), MAX_BODY, keep_text=False)
    [event] = in_madrid([jasmin.submission(created_at=created_at)])
    assert event.submit_at == at


@pytest.mark.parametrize("message_id", [None, "", " ", "x" * 256, "a\0b"])
def test_a_message_id_is_needed(jasmin: Jasmin, message_id: str | None) -> None:
    message = msgspec.structs.replace(jasmin.submission(), message_id=message_id)
    assert refusal(message).startswith("property message-id ")


def test_unreadable_headers_are_refused(jasmin: Jasmin) -> None:
    assert "headers" in refusal(with_headers(jasmin.submission(), {UNREADABLE: "why"}))


def test_what_is_too_long_is_not_looked_at(jasmin: Jasmin) -> None:
    message = jasmin.submission({"short_message": b"x" * MAX_BODY})
    assert "is longer than 65536" in refusal(message)


# What it says

Params = Callable[[Jasmin], dict[str, Any]]


def gsm(coding: Any, text: bytes) -> Params:
    return lambda _: {"data_coding": coding, "short_message": text}


def unicode_over_smpp(jasmin: Jasmin) -> dict[str, Any]:
    scheme = jasmin.enumeration("DataCodingScheme", "RAW", "DEFAULT")
    names = ("SMSC_DEFAULT_ALPHABET", "IA5_ASCII", "OCTET_UNSPECIFIED", "LATIN_1")
    more = ("OCTET_UNSPECIFIED_COMMON", "JIS", "CYRILLIC", "ISO_8859_8", "UCS2")
    default = jasmin.enumeration("DataCodingDefault", *names, *more)
    coding = jasmin.make(
        "smpp.pdu.pdu_types", "DataCoding", scheme=scheme.DEFAULT, schemeData=default.UCS2
    )
    return {"data_coding": coding, "short_message": "Ω…".encode("utf-16-be")}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    ("params", "text"),
    [
        (gsm(0, b"price: \x1be 5 \x00 \x10"), "price: € 5 @ Δ"),
        (gsm(1, b"plain"), "plain"),
        (gsm(3, b"caf\xe9"), "café"),
        (gsm(8, "naïve ✓".encode("utf-16-be")), "naïve ✓"),
        (gsm(8, b"\x00"), "\N{REPLACEMENT CHARACTER}"),
        (gsm(4, b"\x00\xff"), "\N{REPLACEMENT CHARACTER}\\xff"),
        (gsm(None, b"x"), "x"),
        (gsm("?", b"x"), "x"),
        (gsm(3, b"a\x00\x1e\x1fb"), "a" + 3 * "\N{REPLACEMENT CHARACTER}" + "b"),
        (gsm(0, b""), ""),
        (unicode_over_smpp, "Ω…"),
        (lambda _: {"short_message": None, "message_payload": b"long"}, "long"),
    ],
)
def test_a_text_is_decoded_as_its_coding_says(
    jasmin: Jasmin, protocol: int, params: Params, text: str
) -> None:
    jasmin.protocol = protocol
    assert decode_with_text(jasmin.submission(params(jasmin))).text == text


def test_the_parts_of_a_long_text_are_put_together_without_their_headers() -> None:
    texts = {message.message_id: decode_with_text(message).text for message in SUBMISSIONS}
    assert list(texts.values())[:2] == ["hello1", "hello2"]
    assert texts[SUBMISSIONS[-1].message_id] == "x" * 400


def refusal(message: Message) -> str:
    with pytest.raises(Refused) as refused:
        decode(message)
    return str(refused.value)
