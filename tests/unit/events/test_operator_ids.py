from __future__ import annotations

import pytest

from service.events import operator_ids


@pytest.mark.parametrize(
    ("given", "forms"),
    [
        ("FF", ("255",)),
        ("10", ("16", "A")),
        ("255", ("597", "FF")),
        ("6B04081F000E", ("117665060290574",)),
        ("9", ()),
        ("XYZ", ()),
        ("12-34", ()),
        ("", ()),
        ("1" * 33, ()),
        ("F" * 65_000, ()),
    ],
)
def test_other_forms_are_the_id_read_as_hexadecimal_and_as_decimal(given, forms):
    assert operator_ids.other_forms(given) == forms


def test_other_forms_lead_back_to_the_id():
    assert "ABC123" in operator_ids.other_forms(*operator_ids.other_forms("ABC123"))


@pytest.mark.parametrize(
    ("given", "distance", "following"),
    [
        ("5", 1, ("6",)),
        ("9", 1, ("A", "10")),
        ("99", 2, ("9B", "101")),
        ("FF", 1, ("100",)),
        ("6B04081F000E", 3, ("6B04081F0011",)),
        ("XYZ", 1, ()),
        ("", 1, ()),
        ("1" * 33, 1, ()),
    ],
)
def test_following_ids_count_in_hexadecimal_and_in_decimal(given, distance, following):
    assert operator_ids.following_ids(given, distance) == following
