from __future__ import annotations

import pytest

from service.ops.reconciliation import as_text
from service.store.reconcile import CHECKS, Reconciliation, Result


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, ["1 account is new: its opening", ": 1 differs", "1 difference"]),
        (2, ["2 accounts are new: their opening", ": 2 differ", "2 differences"]),
    ],
)
def test_what_differs_is_counted(number, said):
    text = as_text(Reconciliation([Result(CHECKS[0], number, [])], {}, number))
    for part in said:
        assert part in text
    assert text.splitlines()[-1] == said[-1]


def test_where_nothing_differs_all_agrees():
    text = as_text(Reconciliation([Result(CHECKS[0], 0, [])], {}, 0))
    assert f"ok    {CHECKS[0].claim}" in text
    assert text.splitlines()[-1] == "everything agrees"
