from __future__ import annotations

import pytest

from service.quantities import quantity


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("worker",), "0 workers"),
        (1, ("worker",), "1 worker"),
        (2000, ("worker",), "2,000 workers"),
        (1, ("event waits", "events wait"), "1 event waits"),
        (2, ("event waits", "events wait"), "2 events wait"),
    ],
)
def test_only_one_is_singular(number, words, said):
    assert quantity(number, *words) == said
