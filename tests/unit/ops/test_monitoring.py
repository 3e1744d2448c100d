"""The dashboard and the alerts ask for what the service counts, and agree with what it has."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
import typer.main
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from bench import PROJECT
from service.broker.dead_letters import Cause
from service.broker.topology import STREAMS
from service.cli import app
from service.ops import metrics
from tests.support.monitoring import (
    PROMETHEUS,
    RULES,
    Selector,
    alerts,
    dashboard,
    grouping,
    panels,
    selectors,
    targets,
)

DOCUMENT = PROJECT / "docs/monitoring.md"
SCRAPED = {"job", "instance"}
QUEUE = {"vhost", "queue"}
# What others than this service export.
FOREIGN = {
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "severity"},
    "rabbitmq_queue_messages_ready": QUEUE,
    "rabbitmq_detailed_queue_messages_ready": QUEUE,
}
GRAFANAS_VARIABLES = {"__rate_interval", "__interval"}


def exported() -> dict[str, set[str]]:
    """Return the series that the service exports, each with its labels."""
    series: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = metric.describe()
            labels = set(metric._labelnames)
            match family.type:
                case "counter":
                    series[f"{family.name}_total"] = labels
                case "histogram":
                    series[f"{family.name}_bucket"] = labels | {"le"}
                    series[f"{family.name}_sum"] = series[f"{family.name}_count"] = labels
                case _:
                    series[family.name] = labels
    return series


SERIES = exported() | FOREIGN
QUERIES = [*alerts().values(), *(target["expr"] for target in targets())]


def test_queries_about_our_queues_are_about_all_of_them() -> None:
    patterns = {
        pattern.replace("\\\\", "\\")
        for query in QUERIES
        for pattern in re.findall(r'queue=~"([^"]*)"', query)
    }
    for queues in (
        {source.queue for source in STREAMS.values()},
        {source.dead_queue for source in STREAMS.values()},
    ):
        matches = [{q for q in queues if re.fullmatch(pattern, q)} for pattern in patterns]
        assert queues in matches
        assert all(matched in (queues, set()) for matched in matches)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("up == 0", [("up", set())]),
        ('absent(up{job="x"} == 1)', [("up", {"job"})]),
        ('sum by (a, b) (rate(m_total{c="d", e!~"f}"}[5m])) > 1e3', [("m_total", {"c", "e"})]),
        ('x and on (job) y{a="b"} offset 1h', [("x", set()), ("y", {"a"})]),
        ("histogram_quantile(0.99, sum by (le) (rate(h_bucket[$__rate_interval])))",
         [("h_bucket", set())]),
        ("q * 2 or vector(0)", [("q", set())]),
    ],
)  # fmt: skip
def test_queries_are_read(query: str, expected: list[tuple[str, set[str]]]) -> None:
    assert selectors(query) == [Selector(*selector) for selector in expected]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_about_series_that_are_exported(query: str) -> None:
    asked = selectors(query)
    assert asked
    for name, labels in asked:
        assert name in SERIES
        assert labels <= SERIES[name] | SCRAPED, name
    known = set().union(*(SERIES[name] for name, _ in asked))
    assert grouping(query) <= known | SCRAPED


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {name for target in targets() for name, _ in selectors(target["expr"])}
    for name in exported():
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert any(each.startswith(family) for each in shown), name


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        *(
            ("billing_dead_letters_total", {"stream": stream, "cause": cause})
            for stream in ("dlr", "bill")
            for cause in Cause
        ),
        ("billing_events_total", {"stream": "dlr", "outcome": "requeued"}),
        ("billing_events_total", {"stream": "bill", "outcome": "requeued"}),
        ("billing_redelivered_total", {"stream": "dlr"}),
        ("billing_redelivered_total", {"stream": "bill"}),
        ("billing_money_total", {"kind": "given up"}),
    ],
)
def test_the_first_event_that_an_alert_waits_for_is_an_increase(
    name: str, labels: dict[str, str]
) -> None:
    assert REGISTRY.get_sample_value(name, labels) is not None


# The dashboard


def test_panels_have_their_places() -> None:
    everything = dashboard()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    places = [panel["gridPos"] for panel in everything]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        ), (one, other)


def test_panels_say_what_they_show_and_where_it_comes_from() -> None:
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels():
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] == "state-timeline"
        references = [target["refId"] for target in panel["targets"]]
        assert references
        assert len(set(references)) == len(references)
        assert all(each["datasource"] == source for each in (panel, *panel["targets"]))


@pytest.mark.parametrize("target", targets(), ids=lambda target: target["expr"])
def test_a_legend_names_labels_that_are_there(target: dict[str, str]) -> None:
    assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= grouping(target["expr"])


def test_variables_are_those_that_are_defined() -> None:
    variables = dashboard()["templating"]["list"]
    texts = [target["expr"] for target in targets()] + [each["query"] for each in variables]
    used = set(re.findall(r"\$(\w+)", " ".join(texts))) - GRAFANAS_VARIABLES
    assert used | {"datasource"} == {variable["name"] for variable in variables}


# The alerts, in words


def test_alerts_are_tested_and_documented() -> None:
    tested = re.findall(r'alertname="(\w+)"', (PROMETHEUS / "rules_test.yml").read_text())
    documented = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(), re.MULTILINE)
    assert set(tested) == set(alerts())
    assert documented == list(alerts())


def test_the_commands_to_run_exist() -> None:
    commands = typer.main.get_command(app).commands
    text = re.sub(r"\s+", " ", RULES.read_text())
    named = re.findall(r"billing-service (dlq \w+|reconcile|check-config|migrate|run)\b", text)
    assert named
    for command in named:
        group, _, name = command.partition(" ")
        assert group in commands
        assert not name or name in commands[group].commands
