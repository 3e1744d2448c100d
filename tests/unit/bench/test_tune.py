from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bench.__main__ import app
from bench.lab.check import Check
from bench.lab.result import Measurement
from bench.lab.workload import Kind, Workload
from bench.tune.cell import Axes, Cell, admit
from bench.tune.halving import affords_round, ladder, survivors
from bench.tune.knee import front, knee
from bench.tune.recommend import recommend, toml
from bench.tune.standing import Spread, Standing, standings
from bench.tune.tuning import Tuning
from service.settings import Bill, Dlr

GOAL = 250


def standing(
    rate: float,
    p99: float = 100,
    *,
    p50: float = 0,
    batch: int = 500,
    prefetch: int = 1000,
    workers: int = 2,
    flush: int = 50,
    is_void: bool = False,
) -> Standing:
    """Make up a cell: ``p99`` is that of publish to commit."""
    cell = Cell(batch, prefetch, workers, flush)
    spread = Spread(rate, rate, rate)
    return Standing(cell, 3, 1000, spread, p50, p99 - flush, is_void=is_void)


def measured(
    cell: Cell,
    rate: float | None,
    *,
    commit_p99: float = 20.0,
    events: int = 1000,
    paced_p99: float | None = None,
    is_void: bool = False,
) -> Measurement:
    return Measurement(
        cell.name,
        {**cell._asdict(), "queue_type": "quorum"},
        Workload(events=events, cdrs=100_000).describe(),
        events,
        rate=rate,
        cpu_us={"workers": 9.0},
        commit_ms={"p50": 10.0, "p95": 15.0, "p99": commit_p99, "max": 30.0},
        due_rate=None if paced_p99 is None else 500.0,
        latency_ms={} if paced_p99 is None else {"p99": paced_p99},
        checks=[Check("CDRs", compared=events, different=int(is_void))],
    )


# Cells


def test_what_the_service_would_refuse_is_not_tried() -> None:
    axes = Axes((500, 1000, 1500), (1000, 2000, 3000), (1, 257), (100, 250))
    grid = admit(axes.cells(), Workload(), GOAL, queue_type="quorum")
    assert {(cell.batch_size, cell.prefetch) for cell in grid.admitted} == {
        *((500, 1000), (500, 2000)),
        (1000, 2000),
    }
    assert {(cell.workers, cell.flush_ms) for cell in grid.admitted} == {(1, 100)}
    reasons = "\n".join(reason for _, reason in grid.refused)
    for text in (
        "less than 2 x batch_size",
        "quorum queue",
        "none of 1 to 256",
        "latency of 250 ms",
    ):
        assert text in reasons
    assert len(grid.admitted) + len(grid.refused) == 3 * 3 * 2 * 2


def test_a_classic_queue_may_prefetch_more() -> None:
    cells = [Cell(1500, 3000, 1, 100)]
    assert not admit(cells, Workload(), GOAL, queue_type="quorum").admitted
    assert admit(cells, Workload(), GOAL, queue_type="classic").admitted == {
        cells[0]: Dlr(batch_size=1500, prefetch=3000, queue_type="classic")
    }


def test_charges_have_settings_of_their_own() -> None:
    bills = Workload(Kind.BILL)
    (settings,) = admit([Cell(500, 1000, 1, 100)], bills, GOAL).admitted.values()
    assert isinstance(settings, Bill)


# Halving


def test_the_better_half_goes_on_with_twice_as_many_events() -> None:
    steps = ladder(20, 200_000, rounds=7, finalists=4)
    assert [(step.cells, step.events) for step in steps] == [
        (20, 25_000),
        (10, 50_000),
        (5, 100_000),
        (4, 200_000),
    ]
    assert steps[-1].rounds == 7
    assert max(step.rounds for step in steps[:-1]) < 7


def test_few_cells_are_all_finalists() -> None:
    assert [step.cells for step in ladder(3, 9000, rounds=2)] == [3]
    assert [step.events for step in ladder(3, 9000, rounds=2)] == [9000]


def test_no_drain_is_too_short_to_tell_or_longer_than_asked_for() -> None:
    assert [step.events for step in ladder(16, 20_000, rounds=1)] == [10_000, 10_000, 20_000]
    assert [step.events for step in ladder(16, 3000, rounds=1)] == [3000, 3000, 3000]


def test_the_fastest_survive() -> None:
    cells = [standing(30, batch=1), standing(10, batch=2), standing(20, batch=3)]
    assert [cell.batch_size for cell in survivors(cells, 2, GOAL)] == [1, 3]


def test_who_loses_an_event_or_cannot_keep_the_goal_does_not_survive_others() -> None:
    void = standing(90, batch=1, is_void=True)
    late = standing(80, batch=2, flush=200, p50=60)
    slow = standing(10, batch=3)
    assert [cell.batch_size for cell in survivors([void, late, slow], 3, GOAL)] == [3, 2]


def test_a_commit_that_was_slow_once_is_no_reason_to_leave_a_cell_behind() -> None:
    hiccup, steady = standing(20, p99=900, batch=1), standing(10, batch=2)
    assert [cell.batch_size for cell in survivors([hiccup, steady], 1, GOAL)] == [1]


@pytest.mark.parametrize(
    ("left", "rungs", "spent", "rounds", "affords"),
    [
        (300, 3, 50, 1, True),  # 100 s for this rung; two rounds take 100 s
        (300, 3, 51, 1, False),
        (300, 1, 200, 2, True),  # the last rung has all that is left
        (300, 1, 201, 2, False),
        (-5, 1, 10, 1, False),
    ],
)
def test_another_round_has_to_fit(
    left: float, rungs: int, spent: float, rounds: int, *, affords: bool
) -> None:
    assert affords_round(left, rungs, spent, rounds) is affords


# Standings


def test_only_the_longest_drains_of_a_cell_count() -> None:
    cell = Cell(500, 1000, 2, 50)
    runs = [measured(cell, 1.0, events=500)] + [measured(cell, rate) for rate in (30, 10, 20)]
    (found,) = standings(runs)
    assert (found.runs, found.events, found.rate) == (3, 1000, Spread(20, 10, 30))
    assert found.p99_ms == 50 + 20
    assert found.cpu_us == 9.0
    assert not found.is_void


def test_what_was_measured_at_a_steady_rate_is_the_latency_and_not_the_throughput() -> None:
    cell = Cell(500, 1000, 2, 50)
    paced = [measured(cell, 9.0, events=90_000, paced_p99=p99) for p99 in (100, 140)]
    (found,) = standings([measured(cell, 20.0), *paced])
    assert found.rate == Spread(20, 20, 20)
    assert found.p99_ms == 120


def test_a_void_run_of_any_length_voids_the_cell() -> None:
    cell = Cell(500, 1000, 2, 50)
    (found,) = standings([measured(cell, 9.0, events=500, is_void=True), measured(cell, 9.0)])
    assert found.is_void


# Knee


def curve(*points: tuple[float, float]) -> list[Standing]:
    return [standing(rate, p99, batch=index) for index, (p99, rate) in enumerate(points)]


def test_the_front_is_what_nobody_beats_in_both() -> None:
    cells = curve((300, 40), (100, 10), (200, 30), (250, 20), (400, 40))
    assert [(each.p99_ms, each.rate.median) for each in front(cells)] == [
        (100, 10),
        (200, 30),
        (300, 40),
    ]
    assert front([standing(99, is_void=True)]) == []


@pytest.mark.parametrize(
    ("points", "at"),
    [
        ([(50, 10), (100, 38), (200, 42), (400, 44)], 100),
        ([(50, 10), (100, 20), (300, 43), (400, 44)], 300),
        ([(50, 10), (100, 11), (200, 13), (400, 44)], None),  # bends upwards only
        ([(50, 10), (100, 38)], None),
        ([], None),
    ],
)
def test_knee(points: Sequence[tuple[float, float]], at: float | None) -> None:
    bend = knee(front(curve(*points)))
    assert (bend and bend.p99_ms) == at


# Recommendation


def test_the_fastest_within_the_goal_is_recommended() -> None:
    found = recommend(curve((100, 20), (240, 40), (260, 50)), GOAL)
    assert found is not None
    assert found.keeps_goal
    assert found.standing.rate.median == 40
    assert "the fastest of the 2 finalists within 250 ms" in found.reason


@pytest.mark.parametrize(
    ("better", "advantage"),
    [
        ({"workers": 1}, "fewer workers"),
        ({"flush": 90}, "fuller batches"),
        ({"prefetch": 900}, "less that comes again"),
    ],
)
def test_among_equals_the_humbler_is_recommended(better: dict[str, int], advantage: str) -> None:
    found = recommend([standing(100), standing(98, **better)], GOAL)
    assert found is not None
    assert found.standing.rate.median == 98
    assert advantage in found.reason
    clearly_slower = recommend([standing(100), standing(95, **better)], GOAL)
    assert clearly_slower is not None
    assert clearly_slower.standing.rate.median == 100


def test_a_goal_that_nobody_keeps_is_said() -> None:
    found = recommend(curve((300, 20), (500, 40)), GOAL)
    assert found is not None
    assert not found.keeps_goal
    assert found.standing.p99_ms == 300
    assert "No finalist keeps" in found.reason


def test_nothing_void_is_recommended() -> None:
    assert recommend([standing(100, is_void=True)], GOAL) is None
    found = recommend([standing(100, is_void=True), standing(10)], GOAL)
    assert found is not None
    assert found.standing.rate.median == 10


def test_it_is_said_when_the_noise_tells_nothing() -> None:
    best, other = standing(100), standing(90)
    doubtful = replace(other, rate=Spread(90, 80, 100))
    assert "overlap with those of another" in recommend([best, doubtful], GOAL).reason
    assert "overlap" not in recommend([best, other], GOAL).reason


def test_the_knee_is_told() -> None:
    found = recommend(curve((50, 10), (100, 38), (200, 44)), GOAL)
    assert found is not None
    assert "The knee is at batch 1," in found.reason
    found = recommend(curve((50, 10), (100, 38), (400, 44)), GOAL)
    assert found is not None
    assert "also the knee" in found.reason


def test_the_block_is_what_the_service_reads() -> None:
    others = {"queue_type": "classic", "receipt_log": False}
    block = tomllib.loads(toml(standing(1, batch=400, prefetch=900), "dlr", others))
    assert block.pop("workers") == 2
    assert block["dlr"].keys() > others.keys()
    found = Dlr(**block.pop("dlr"))
    assert found == Dlr(batch_size=400, flush_ms=50, prefetch=900, **others)
    assert block == {}


# Report


class References(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "img", "iframe"}:
            self.found.append(tag)
        self.found += [
            value
            for name, value in attrs
            if name in {"src", "href", "xlink:href"} and value and not value.startswith("#")
        ]


@pytest.fixture
def tuning() -> Tuning:
    figures = {250: (1000, 12), 500: (1900, 25), 1000: (2000, 100)}  # rate, commit p99
    axes = Axes(tuple(figures), (1000, 2000), (2,), (25,))
    workload = Workload(events=1000, cdrs=100_000)
    grid = admit(axes.cells(), workload, GOAL, queue_type="quorum")
    tuning = Tuning("tune", workload=workload, others={"queue_type": "quorum"}, goal_ms=GOAL)
    tuning.refused = grid.refused
    tuning.finalists = [cell for cell in grid.admitted if cell.prefetch == 2000]
    for cell in [*grid.admitted] * 2:
        rate, commit_p99 = figures[cell.batch_size]
        tuning.measurements.append(measured(cell, rate, commit_p99=commit_p99))
    return tuning


def test_the_report_stands_alone(tuning: Tuning, tmp_path: Path) -> None:
    tuning.write(tmp_path / "result.json")
    page = (tmp_path / "result.html").read_text()
    references = References()
    references.feed(page)
    assert references.found == []
    assert "url(http" not in page
    assert "@import" not in page
    for text in (
        "knee",
        "batch_size = 1000",
        "less than 2 x batch_size",
        "2,000 events/s",
        "prefers-color",
    ):
        assert text in page
    assert "#0101" not in page  # colours that stand for those of the page
    assert page.count("<svg") == 2 + len(tuning.standings())


def test_the_report_goes_where_it_is_told(tuning: Tuning, tmp_path: Path) -> None:
    tuning.report = tmp_path / "sub" / "page.html"
    tuning.write(tmp_path / "result.json")
    assert tuning.report.exists()
    assert not (tmp_path / "result.html").exists()


def test_the_result_has_the_recommendation(tuning: Tuning, tmp_path: Path) -> None:
    tuning.write(tmp_path / "result.json")
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["recommendation"]["settings"] == {
        "batch_size": 1000,
        "prefetch": 2000,
        "workers": 2,
        "flush_ms": 25,
    }
    assert not result["void"]
    assert len(result["finalists"]) == 3
    assert {row["batch_size"] for row in result["refused"]} == {1000}


def test_it_is_said_what_the_latencies_are(tuning: Tuning, tmp_path: Path) -> None:
    assert "derived, not measured" in tuning.latency_note()
    tuning.measurements += [measured(cell, 9.0, paced_p99=33) for cell in tuning.finalists]
    assert "finalists is measured" in tuning.latency_note()
    tuning.write(tmp_path / "result.json")
    recommendation = json.loads((tmp_path / "result.json").read_text())["recommendation"]
    assert (recommendation["p99_ms"], recommendation["p99_is_measured"]) == (33, True)


def test_a_result_in_which_everything_is_void_says_so(tuning: Tuning, tmp_path: Path) -> None:
    for measurement in tuning.measurements:
        measurement.checks = [Check("CDRs", compared=1, different=1)]
    tuning.write(tmp_path / "result.json")
    assert "Nothing to recommend" in (tmp_path / "result.html").read_text()
    console = Console(width=120, file=StringIO())
    tuning.show(console)
    assert "nothing to recommend" in console.file.getvalue()
    assert tuning.is_void


# Command line


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--p99", "soon"], "expected a latency"),
        (["--p99", "0ms"], "expected a latency"),
        (["--batch-sizes", "500,many"], "expected numbers"),
        (["--batch-sizes", "5000", "--prefetch", "100"], "would refuse all"),
        (["--events", "10", "--cdrs", "5"], "give fewer"),
    ],
)
def test_what_cannot_be_tried(arguments: list[str], complaint: str) -> None:
    ran = CliRunner().invoke(app, ["tune", *arguments], env={"COLUMNS": "200"})
    assert ran.exit_code == 2
    assert complaint in ran.output
