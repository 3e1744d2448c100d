from __future__ import annotations

import asyncpg
import pytest

from service.store.reconcile import explain

URL = "postgresql://billing:hunter2@db.example/billing"
PLACE = "PostgreSQL at db.example"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "no"), f"{PLACE} is away: Connection refused; check database"),
        (TimeoutError(), f"{PLACE} is away: no answer in time; check database.url"),
        (asyncpg.ConnectionDoesNotExistError("closed"), f"{PLACE} is away: ConnectionDoesNotExist"),
        (asyncpg.InterfaceError("closed"), f"{PLACE} is away: InterfaceError: closed; check"),
        (asyncpg.UndefinedColumnError("no x"), "no x; run: billing-service migrate"),
        (asyncpg.InvalidPasswordError("wrong"), "PostgreSQL refuses: InvalidPasswordError: wrong"),
    ],
)
def test_why_it_could_not_compare_is_said_with_what_to_do(error, said):
    assert explain(error, URL).startswith(said)


def test_a_server_that_answers_is_not_said_to_be_away():
    said = explain(asyncpg.QueryCanceledError("due to statement timeout"), URL)
    assert said == f"{PLACE} refuses: QueryCanceledError: due to statement timeout"
