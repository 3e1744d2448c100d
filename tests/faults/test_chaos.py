"""The harness in its two-minute version; and that it finds what it is there to find."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench import PROJECT
from tests.support.trial import differing, run_trial


def broken_service(directory: Path, *changes: tuple[str, str, str]) -> Path:
    """Return a directory that has the service with texts in its files replaced."""
    code = directory / "broken"
    shutil.copytree(PROJECT / "service", code / "service", ignore=shutil.ignore_patterns("*.pyc"))
    for name, old, new in changes:
        file = code / "service" / name
        text = file.read_text()
        assert text.count(old) == 1, f"{name} has changed: {old!r}"
        file.write_text(text.replace(old, new))
    return code


@pytest.mark.timeout(900)
def test_nothing_is_lost_and_nothing_counted_twice(tmp_path: Path) -> None:
    code, result = run_trial("bench.chaos", tmp_path, "run", "--short")
    assert result["problems"] == []
    assert differing(result) == set()
    assert code == 0


@pytest.mark.timeout(900)
def test_every_charge_is_debited_once_whatever_is_killed(tmp_path: Path) -> None:
    kills = ["worker killed", "supervisor killed", "broker killed", "database killed"]
    arguments = [argument for kill in kills for argument in ("--only", kill)]
    arguments += ["--charge-mode", "debit", "--short", "--events", "3000", "--rate", "400"]
    code, result = run_trial("bench.chaos", tmp_path, "run", *arguments)
    assert result["problems"] == []
    assert differing(result) == set()
    assert code == 0
    assert result["debits"] > 0
    assert result["refunds"] > 0


@pytest.mark.timeout(900)
def test_an_outage_of_the_database_dead_letters_and_redelivers_nothing(tmp_path: Path) -> None:
    arguments = ["--seconds", "10", "--rate", "500", "--charge-mode", "debit"]
    code, result = run_trial("bench.chaos", tmp_path, "outage", *arguments)
    assert result["problems"] == []
    assert differing(result) == set()
    assert code == 0
    assert result["dead_letters"] == 0
    assert result["redelivered_by_the_broker"] == 0
    assert result["published_during_outage"] > 0


@pytest.mark.timeout(900)
def test_finds_events_that_were_acknowledged_before_they_were_committed(tmp_path: Path) -> None:
    code = broken_service(
        tmp_path,
        (
            "stream.py",
            "as held:\n",
            "as held:\n"
            "                await deliveries.settle(batch, set())\n"
            "                await asyncio.sleep(0.2)\n",
        ),
    )
    arguments = ["--events", "4000", "--rate", "400", "--only", "worker killed"]
    exit_code, result = run_trial("bench.chaos", tmp_path, "run", "--code", str(code), *arguments)
    assert exit_code == 1
    assert "receipts" in differing(result)


@pytest.mark.timeout(900)
def test_finds_refunds_that_were_paid_twice(tmp_path: Path) -> None:
    """As they are without the key that makes a refund one."""
    code = broken_service(
        tmp_path,
        (
            "store/migrations/versions/0004_money.sql",
            "message_id         text PRIMARY KEY",
            "message_id         text",
        ),
        (
            "store/sql/note_refunds.sql",
            "ON CONFLICT (message_id) DO UPDATE\n"
            "SET cause = excluded.cause, due_at = excluded.due_at\n"
            "WHERE r.booked_at IS NULL\n",
            "",
        ),
    )
    arguments = ["--events", "3000", "--rate", "400", "--no-faults"]
    exit_code, result = run_trial("bench.chaos", tmp_path, "run", "--code", str(code), *arguments)
    assert exit_code == 1
    assert {"ledger", "balances"} <= differing(result)


@pytest.mark.timeout(900)
def test_finds_charges_that_were_debited_twice(tmp_path: Path) -> None:
    """As they are when every copy of a bill counts as new, and none as debited before."""
    code = broken_service(
        tmp_path,
        (
            "store/sql/record_bills.sql",
            "WHERE e.status_rank < excluded.status_rank\n"
            "   OR (excluded.confirmed AND NOT e.confirmed)\n"
            "   OR (e.message_id IS NULL AND excluded.message_id IS NOT NULL)\n",
            "",
        ),
        ("store/sql/book_debits.sql", "  AND e.ledger_id IS NULL\n", ""),
    )
    arguments = ["--events", "2000", "--rate", "400", "--no-faults", "--charge-mode", "debit"]
    exit_code, result = run_trial("bench.chaos", tmp_path, "run", "--code", str(code), *arguments)
    assert exit_code == 1
    assert {"ledger", "balances"} <= differing(result)
