from __future__ import annotations

import pytest

from service.events.fields import UNSTORABLE
from service.store.columns import NULL, SEPARATOR, NotStorable, column


def test_values_are_joined_in_order():
    assert column(["a", "b", "c"]) == "a\x1fb\x1fc"


def test_what_is_empty_becomes_null():
    assert column(["a", None, "", "d"]) == "a\x1f\x1e\x1f\x1e\x1fd"


def test_one_value_alone():
    assert column(["a"]) == "a"
    assert column([None]) == "\x1e"


@pytest.mark.parametrize("bad", ["\x1f", "a\x1fb", "\x1e", "a\x1eb"])
@pytest.mark.parametrize("others", [[], ["x"], [None], ["x", None, ""]])
def test_a_value_that_would_be_taken_apart_is_not_storable(bad, others):
    with pytest.raises(NotStorable, match=r"U\+001F"):
        column([*others, bad])


def test_decoders_refuse_what_separates_values():
    assert {SEPARATOR, NULL} < UNSTORABLE.keys()
