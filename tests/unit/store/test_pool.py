from __future__ import annotations

from pathlib import Path

import pytest

from service.store import migrations, pool


def test_the_schema_that_is_asked_for_is_the_one_that_migrations_make():
    versions = Path(migrations.__file__).parent / "versions"
    newest = max(path.name for path in versions.glob("[0-9]*.py"))
    assert newest.split("_")[0] == pool.SCHEMA_VERSION


@pytest.mark.parametrize("version", ["0042", "0043", "0999"])
def test_a_schema_that_was_only_added_to_serves(monkeypatch: pytest.MonkeyPatch, version: str):
    monkeypatch.setattr(pool, "SCHEMA_VERSION", "0042")
    assert pool.schema_problem(version) is None


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (None, "run: billing-service migrate"),
        ("0041", "run: billing-service migrate"),
        ("1000", "run a newer billing-service"),
        ("9999", "run a newer billing-service"),
    ],
)
def test_a_schema_that_does_not_serve(
    monkeypatch: pytest.MonkeyPatch, version: str | None, remedy: str
):
    monkeypatch.setattr(pool, "SCHEMA_VERSION", "0042")
    assert str(pool.schema_problem(version)).endswith(f"this version needs 0042; {remedy}")


def test_an_older_schema_of_another_thousand_does_not_serve(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pool, "SCHEMA_VERSION", "1001")
    assert "migrate" in str(pool.schema_problem("0999"))
