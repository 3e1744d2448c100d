from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from service.store.migrate import explain

URL = "postgresql://billing@db/billing"


@pytest.mark.parametrize("kind", [errors.DiskFull, errors.QueryCanceled, errors.DeadlockDetected])
def test_what_a_server_that_answers_complains_of_is_not_put_down_to_the_url(kind):
    assert explain(kind("no more of this"), URL) == "no more of this"


def test_where_no_connection_is_had_the_url_is_named():
    said = explain(psycopg.OperationalError("connection failed: nobody there\nreally"), URL)
    assert said.startswith("connection failed: nobody there; check database.url ")
