from __future__ import annotations

import json
import sys

import asyncpg
import pytest
import structlog

from service.ops import log, privacy
from service.settings import Log

UUID = "12345678-1234-4234-8234-123456789012"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("34600123456", "346......56"),
        ("+34600123456", "+346......56"),
        ("to 34600123456.", "to 346......56."),
        ("'34600123456'", "'346......56'"),
        ("id:34600123456 sub:001", "id:346......56 sub:001"),
        ("bill_request.submit_sm_resp.34600123456", "bill_request.submit_sm_resp.346......56"),
        (r"'\n34600123456'", r"'\n346......56'"),
        ("1234567", "123..67"),
        ("123456789012345", "123..........45"),
        ("34-6001234567", "34-600.....67"),
    ],
)
def test_a_phone_number_keeps_its_ends(text, shown):
    assert privacy.mask(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "123456",
        "1234567890123456",
        UUID,
        f"message {UUID}, again",
        "0.1234567",
        "1234567.5",
        "2026-11-23T21:08:48.123456Z",
        "abc1234567",
        "1234567abc",
        "0x1234567890",
        "billing_service.dlr: 1000 messages",
        "127.0.0.1:25672",
    ],
)
def test_what_is_no_phone_number_stays(text):
    assert privacy.mask(text) == text


def test_a_line_is_masked_but_for_its_identifiers():
    line = {
        "event": "no 34600123456",
        "message_id": "34600123456",
        "pid": 1234567,
        "exception": [{"exc_value": "of 34600123456", "frames": [{"lineno": 12345678}]}],
    }
    assert privacy.mask_line(None, "", line) == {
        "event": "no 346......56",
        "message_id": "34600123456",
        "pid": 1234567,
        "exception": [{"exc_value": "of 346......56", "frames": [{"lineno": 12345678}]}],
    }


@pytest.fixture
def written(monkeypatch, capsys):
    """Let logging be configured as in a process; return what gives what was written."""
    for name in ("excepthook", "unraisablehook"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(asyncpg.PostgresError, "__str__", asyncpg.PostgresError.__str__)
    structlog.reset_defaults()
    yield lambda: capsys.readouterr().err
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def refusal() -> asyncpg.PostgresError:
    """Return what the server answers to a row that breaks a constraint."""
    fields = {"S": "ERROR", "C": "23514", "M": "violates check", "D": "Failing row (Hello Bob)"}
    return asyncpg.PostgresError.new(fields | {"H": "Hello Bob", "W": "COPY t: Hello Bob"})


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_stack_trace_quotes_no_row(written, form):
    log.configure(Log(format=form))
    try:
        try:
            raise refusal()
        except asyncpg.PostgresError as error:
            raise ExceptionGroup("of 34600123456", [error, ValueError("34600123456")]) from error
    except ExceptionGroup:
        structlog.get_logger().exception("failed")
    text = written()
    assert "violates check" in text
    assert "346......56" in text
    assert "34600123456" not in text
    assert "Hello Bob" not in text


def test_an_error_in_a_value_does_not_quote_it(written):
    log.configure(Log(format="json"))
    fields = {"S": "ERROR", "C": "22P02", "M": 'invalid input syntax for type uuid: "Hello Bob"'}
    assert str(asyncpg.PostgresError.new(fields)) == "invalid input syntax for type uuid"
    ours = asyncpg.DataError("invalid input for query argument $1: ['Hello Bob'] (a str)")
    assert str(ours) == "invalid input for query argument $1"


def test_numbers_are_shown_where_they_may_be(written):
    log.configure(Log(format="json", show_numbers=True))
    structlog.get_logger().info("no 34600123456")
    assert json.loads(written())["event"] == "no 34600123456"


def test_a_crash_is_logged(written):
    log.configure(Log(format="json"))
    sys.excepthook(ValueError, ValueError("34600123456"), None)
    text = written()
    assert json.loads(text)["event"] == "crashed"
    assert "34600123456" not in text


def test_nothing_from_the_wire_commands_a_terminal():
    line = {"event": "dead-lettered", "message_id": "\x1b[2Jid\x07", "size": 3, "exception": "a\nb"}
    assert privacy.escape_line(None, "error", line) == {
        "event": "dead-lettered",
        "message_id": "\\x1b[2Jid\\x07",
        "size": 3,
        "exception": "a\nb",
    }
