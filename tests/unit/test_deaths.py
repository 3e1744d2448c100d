from __future__ import annotations

import pytest

from service import deaths
from service.deaths import Deaths

WELL = deaths.WELL_SECONDS
YOUNG = WELL - 0.1


def died(*lives: float) -> Deaths:
    seen = Deaths()
    for lived in lives:
        seen.add(lived)
    return seen


def test_a_worker_that_has_not_died_is_no_loop():
    assert not Deaths().are_a_loop(age=0)


def test_dying_young_again_and_again_is_a_loop():
    seen = Deaths()
    for _ in range(deaths.LIMIT):
        assert not seen.are_a_loop(age=0)
        assert seen.add(YOUNG)
    assert seen.are_a_loop(age=0)
    assert seen.are_a_loop(age=YOUNG)


@pytest.mark.parametrize("place", range(deaths.LIMIT))
def test_having_been_well_in_between_breaks_the_row(place):
    lives = [YOUNG] * deaths.LIMIT
    lives[place] = WELL
    assert not died(*lives).are_a_loop(age=0)


def test_what_was_is_forgotten_once_the_present_process_is_well():
    assert not died(*[YOUNG] * deaths.LIMIT).are_a_loop(age=WELL)


def test_dying_old_is_not_dying_young():
    assert not Deaths().add(WELL)
    assert not died(*[WELL] * 100).are_a_loop(age=0)
