from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from service.events import fields
from service.events.records import Refused

MADRID = ZoneInfo("Europe/Madrid")
UTC_ZONE = ZoneInfo("UTC")


@pytest.mark.parametrize(
    "text",
    [
        "0.01",
        "1e-05",
        "0.30000000000000004",
        "0",
        "0.0",
        "12",
        "1E+3",
        "2.5e0",
        "999999999999.999999",
        "0.000000000000000000000000000001",
    ],
)
def test_an_amount_is_exactly_what_is_written(text):
    assert fields.amount(text) == Decimal(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *[
            (text, "no number")
            for text in (
                "",
                " ",
                "NaN",
                "nan",
                "sNaN",
                "Infinity",
                "inf",
                "-Infinity",
                "1_0",
                " 1",
                "1 ",
                "1\n",
                "0x10",
                "0b1",
                "1,5",
                "1.",
                ".5",
                "1e",
                "1e5.0",
                "--1",
                "١٢",
                "\N{ARABIC-INDIC DIGIT ONE}.5",
                "1\0",
                "null",
                "1e99999",
            )
        ],
        *[(text, "negative") for text in ("-1", "-0.01", "-1e-05")],
        *[(text, "out of range") for text in ("1e400", "1e12", "1" * 13, "1e-31", "1e-9999")],
    ],
)
def test_what_is_no_possible_amount_is_refused(text, reason):
    with pytest.raises(Refused, match=reason):
        fields.amount(text)


def test_zero_has_no_sign():
    assert str(fields.amount("-0.00")) == "0.00"


def test_a_refused_amount_is_quoted_in_part_only():
    with pytest.raises(Refused) as refusal:
        fields.amount("9" * 60_000)
    assert len(str(refusal.value)) < 100


@pytest.mark.parametrize(
    ("given", "normal"),
    [("6b04081f000e", "6B04081F000E"), ("0000abc", "ABC"), (" 0012 ", "12"), ("", ""), ("000", "")],
)
def test_an_operator_id_is_upper_case_without_leading_zeros(given, normal):
    assert fields.operator_ids([given, "AB"]) == [normal, "AB"]


def test_an_operator_id_that_cannot_be_is_found_among_the_others():
    with pytest.raises(Refused, match="the operator's message id is longer than 255"):
        fields.operator_ids(["AB", "x" * 256])


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2407011230", datetime(2024, 7, 1, 12, 30, tzinfo=UTC)),
        ("240701123045", datetime(2024, 7, 1, 12, 30, 45, tzinfo=UTC)),
        ("201011101010", datetime(2020, 10, 11, 10, 10, 10, tzinfo=UTC)),
        ("202407011230", datetime(2024, 7, 1, 12, 30, tzinfo=UTC)),
        ("20240701123045", datetime(2024, 7, 1, 12, 30, 45, tzinfo=UTC)),
        ("2024-07-01 12:30:45", datetime(2024, 7, 1, 12, 30, 45, tzinfo=UTC)),
        ("2024-07-01T12:30:45", datetime(2024, 7, 1, 12, 30, 45, tzinfo=UTC)),
        (" 2407011230\r\n", datetime(2024, 7, 1, 12, 30, tzinfo=UTC)),
        ("2611231002", datetime(2026, 11, 23, 10, 2, tzinfo=UTC)),
    ],
)
def test_a_done_date_is_read_in_every_format(text, time):
    assert fields.done_date(text, UTC_ZONE) == time


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2401151200", datetime(2024, 1, 15, 11, 0, tzinfo=UTC)),
        ("2407151200", datetime(2024, 7, 15, 10, 0, tzinfo=UTC)),
    ],
)
def test_a_done_date_is_in_the_configured_zone_winter_and_summer(text, utc):
    assert fields.done_date(text, MADRID) == utc


def test_the_same_text_in_two_zones_is_two_times():
    assert fields.done_date("2401151200", MADRID) != fields.done_date("2401151200", UTC_ZONE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ND",
        "nul",
        "0",
        "0000000000",
        "000000000000",
        "00000000000000",
        "0000-00-00 00:00:00",
        "2413011200",
        "2402301200",
        "2401012500",
        "240101126060",
        "24010112",
        "2024-01-01",
        "not a date",
        "2401151200\0",
        "1" * 60_000,
    ],
)
def test_what_is_no_date_is_none(text):
    assert fields.done_date(text, UTC_ZONE) is None


@pytest.mark.parametrize(
    ("text", "zone"), [("99991231235959", "America/New_York"), ("00010101000000", "Asia/Tokyo")]
)
def test_a_done_date_beyond_the_calendar_is_none_or_can_be_stored(text, zone):
    done_at = fields.done_date(text, ZoneInfo(zone))
    assert done_at is None or done_at.astimezone(UTC)


@pytest.mark.parametrize("texts", [["m1", " "], ["m1", ""], ["m1", "x" * 256]])
def test_one_id_that_cannot_be_is_found_among_the_others(texts):
    with pytest.raises(Refused, match="message_id is"):
        fields.identifiers("message_id", texts)


def test_ids_of_a_batch_are_given_back():
    assert fields.identifiers("message_id", ["m1", "x" * 255]) == ["m1", "x" * 255]


@pytest.mark.parametrize(
    "number", ["1e131072", "-1E+131072", "1e-16384", "0." + "0" * 16_383 + "1", "1" * 140_000]
)
def test_a_number_that_postgresql_cannot_keep_is_refused(number):
    with pytest.raises(Refused, match="a number is out of range"):
        fields.check_numbers(f'{{"x":[1,{number}]}}'.encode())


@pytest.mark.parametrize("number", ["1e131071", "1e-16383", "0." + "0" * 16_382 + "1", "-1.5"])
def test_a_number_that_it_can_is_not(number):
    fields.check_numbers(f'{{"x":[1e1000,{number}]}}'.encode())


def test_digits_are_looked_at_once():
    # At every one of them again it would take longer than any test may.
    fields.check_numbers(b'{"x":"' + (b"5" * 14_999 + b" ") * 2700 + b'"}')
