from __future__ import annotations

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram

from service.status.samples import Sample, Window, quantile


class Service:
    """Counters as a service has them, until it starts again."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter("events", "", ["stream", "outcome"], registry=self.registry)
        self.seconds = Histogram(
            "seconds", "", ["stream"], buckets=(0.1, 0.2, 1), registry=self.registry
        )

    def sample(self, at: float) -> Sample:
        return Sample(at, self.registry.collect())


@pytest.fixture
def service() -> Service:
    return Service()


def test_values_are_added_up_by_what_is_asked_for(service):
    service.events.labels("dlr", "applied").inc(3)
    service.events.labels("dlr", "parked").inc(2)
    service.events.labels("bill", "applied").inc(1)
    sample = service.sample(0)
    assert sample.by("events_total", "outcome") == {"applied": 4, "parked": 2}
    assert sample.by("events_total", "outcome", stream="dlr") == {"applied": 3, "parked": 2}
    assert sample.total("events_total", stream="dlr") == 5


def test_what_has_no_value_is_nothing_in_sum_but_not_known(service):
    sample = service.sample(0)
    assert (sample.total("events_total"), sample.known("events_total")) == (0, None)
    service.events.labels("dlr", "applied").inc(0)
    assert service.sample(0).known("events_total") == 0


def test_a_rate_is_the_growth_over_the_time(service):
    service.events.labels("dlr", "applied").inc(100)
    before = service.sample(10)
    service.events.labels("dlr", "applied").inc(30)
    service.events.labels("dlr", "parked").inc(10)
    window = Window(before, service.sample(14))
    assert window.rate("events_total", stream="dlr") == 10
    assert window.grown("events_total", "outcome") == {"applied": 30, "parked": 10}


def test_no_time_has_no_rate(service):
    sample = service.sample(10)
    assert Window(sample, sample).rate("events_total") == 0


def test_counters_that_begin_again_never_make_a_negative_rate(service):
    service.events.labels("dlr", "applied").inc(100)
    before = service.sample(0)
    again = Service()
    again.events.labels("dlr", "applied").inc(6)
    window = Window(before, again.sample(2))
    assert window.growth("events_total") == 6
    assert window.rate("events_total", stream="dlr") == 3


def test_a_quantile_is_of_what_came_within_the_window(service):
    for _ in range(1000):
        service.seconds.labels("dlr").observe(0.9)
    before = service.sample(0)
    for _ in range(100):
        service.seconds.labels("dlr").observe(0.15)
    window = Window(before, service.sample(60))
    assert window.quantile(0.5, "seconds", stream="dlr") == pytest.approx(0.15)
    assert window.quantile(0.99, "seconds", stream="dlr") == pytest.approx(0.199)
    assert window.mean("seconds", stream="dlr") == pytest.approx(0.15)


def test_a_histogram_that_begins_again_is_taken_as_it_is(service):
    for _ in range(50):
        service.seconds.labels("dlr").observe(0.15)
    before = service.sample(0)
    again = Service()
    for _ in range(40):
        again.seconds.labels("dlr").observe(0.05)
    window = Window(before, again.sample(2))
    assert 0 <= window.quantile(0.99, "seconds") <= 0.2
    assert window.mean("seconds") == pytest.approx(0.05)


def test_without_observations_there_is_neither_quantile_nor_mean(service):
    service.seconds.labels("dlr").observe(0.15)
    sample = service.sample(0)
    window = Window(sample, service.sample(2))
    assert window.quantile(0.5, "seconds") is None
    assert window.mean("seconds") is None
    assert window.quantile(0.5, "no_such") is None


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 0.0), (0.25, 0.5), (0.5, 1.0), (0.75, 2.0), (0.9, 2.0), (1, 2.0)]
)
def test_a_quantile_is_estimated_within_its_bucket(share, expected):
    buckets = {1.0: 2.0, 2.0: 3.0, math.inf: 4.0}
    assert quantile(share, buckets) == pytest.approx(expected)


def test_an_empty_bucket_has_no_quantile_in_it():
    assert quantile(0.0, {1.0: 0.0, 2.0: 4.0, math.inf: 4.0}) == pytest.approx(1.0)
    assert quantile(0.5, {1.0: 0.0, 2.0: 0.0, 3.0: 4.0, math.inf: 4.0}) == pytest.approx(2.5)
