from __future__ import annotations

import pytest

from service.events import statuses
from service.events.statuses import status_of

# domain.md section 2, which holds all of the specification's table.
TABLE = {
    "ESME_RTHROTTLED": ("failed", 1),
    "ESME_RMSGQFUL": ("failed", 1),
    "ESME_RSYSERR": ("failed", 1),
    "ESME_RINVSCHED": ("failed", 1),
    "ESME_ROK": ("submitted", 2),
    "ACCEPTD": ("pending", 3),
    "ENROUTE": ("pending", 3),
    "SCHEDULED": ("pending", 3),
    "UNKNOWN": ("failed", 4),
    "EXPIRED": ("expired", 5),
    "REJECTD": ("rejected", 5),
    "UNDELIV": ("failed", 5),
    "DELETED": ("failed", 5),
    "ESME_RINVDSTADR": ("failed", 5),
    "ESME_RSUBMITFAIL": ("failed", 5),
    "ESME_RUNKNOWNERR": ("failed", 5),
    "ESME_RX_T_APPN": ("failed", 5),
    "ESME_": ("failed", 5),
    # Not in there: what Jasmin makes of the numbers that SMPP has no name for.
    "RESERVEDSTATUS_VENDOR_SPECIFIC": ("failed", 5),
    "RESERVEDSTATUS_SMPP_EXTENSION": ("failed", 5),
    "RESERVEDSTATUS_UNKNOWN_STATUS": ("failed", 5),
    "RESERVEDSTATUS": ("failed", 5),
    "DELIVRD": ("delivered", 6),
}


@pytest.mark.parametrize(("text", "meaning"), TABLE.items())
@pytest.mark.parametrize("spell", [str.upper, str.lower, str.title, "  {}\r\n".format])
def test_a_status_means_what_the_table_says_in_any_case(text, meaning, spell):
    status = status_of(spell(text))
    assert (status.cdr_status, status.rank) == meaning
    assert status.known
    assert status.text == text


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("DELIVER", "DELIVRD"),
        ("DELIVERED", "DELIVRD"),
        ("delivr", "DELIVRD"),
        ("REJECTE", "REJECTD"),
        ("REJECTED", "REJECTD"),
        ("REJECT", "REJECTD"),
        ("UNDELI", "UNDELIV"),
        ("UNDELIVERABL", "UNDELIV"),
        ("undeliverable", "UNDELIV"),
        ("ACCEPTE", "ACCEPTD"),
        ("ACCEPTED", "ACCEPTD"),
        ("EXPIRE", "EXPIRED"),
        ("DELETE", "DELETED"),
        ("UNKNOW", "UNKNOWN"),
        ("ENROUT", "ENROUTE"),
        ("SCHEDUL", "SCHEDULED"),
    ],
)
def test_truncated_and_full_words_mean_the_same(cut, whole):
    assert status_of(cut)[1:] == status_of(whole)[1:]


@pytest.mark.parametrize(
    "text",
    [
        "DELIVERY_FAILED",
        "DELIVERY FAILED",
        "DELIVERYFAILED",
        "DELIVRDX",
        "DELIVERED_TO_SMSC",
        "NOT DELIVRD",
        "DELI",
        "DELE",
        "D",
        "",
        "ESMEROK",
        "ESME",
        "ROK",
        "BUFFERED",
        "[1]",
    ],
)
def test_unknown_text_is_pending_and_counted(text):
    status = status_of(text)
    assert (status.cdr_status, status.rank, status.known) == ("pending", 3, False)
    assert status.text == text


@pytest.mark.parametrize(
    "text", ["ESME_ROK_NOT", "ESME_ROKX", "ESME_RTHROTTLEDX", "esme_rthrottle"]
)
def test_a_look_alike_of_an_esme_is_a_final_failure(text):
    assert (status_of(text).cdr_status, status_of(text).rank) == ("failed", statuses.FAILED)


def rank(text: str) -> int:
    return status_of(text).rank


def test_a_failure_never_replaces_delivered():
    assert all(rank(text) < rank("DELIVRD") for text in TABLE if text != "DELIVRD")


def test_any_answer_replaces_a_retriable_error():
    retried = [text for text, (_, level) in TABLE.items() if level == 1]
    better = [text for text, (_, level) in TABLE.items() if level > 1]
    assert set(retried) == statuses.RETRIED_ERRORS
    assert max(map(rank, retried)) < min(map(rank, better))


def test_unknown_is_a_weak_failure_between_pending_and_final():
    assert rank("ENROUTE") < rank("UNKNOWN") < rank("UNDELIV")


def test_final_failures_are_equal_so_that_the_first_one_stays():
    assert len({rank(t) for t in ("EXPIRED", "REJECTD", "UNDELIV", "DELETED", "ESME_RX")}) == 1
