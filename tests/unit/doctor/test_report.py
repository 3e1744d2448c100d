"""The report: a line for each finding, and the same for machines."""

from __future__ import annotations

import json

from service.doctor import report
from service.doctor.examination import Area
from service.doctor.finding import Level, ok, problem, unknown, warning

AREAS = [
    Area("RabbitMQ", [ok("broker", "it is there"), problem("queue", "it is gone", "start it")]),
    Area("Service", [unknown("readyz", "not asked"), warning("clock", "late", "follow NTP")]),
]


def test_text_says_what_is_so_and_what_to_do(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    text = report.as_text(AREAS)
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"):
        text = text.replace(code, "")
    assert text.splitlines() == [
        "RabbitMQ",
        "ok        it is there",
        "PROBLEM   it is gone",
        "          -> start it",
        "",
        "Service",
        "?         not asked",
        "warning   late",
        "          -> follow NTP",
        "",
        "1 problem, 1 warning, 1 not looked at",
    ]


def test_text_says_that_all_is_well():
    assert (
        report.as_text([Area("RabbitMQ", [ok("broker", "there")])]).splitlines()[-1]
        == "all is well"
    )


def test_json_has_each_finding_with_its_area_and_the_counts():
    told = json.loads(report.as_json(AREAS))
    counts = {name: told[name] for name in ("ok", "problems", "warnings", "unknown")}
    assert counts == {"ok": False, "problems": 1, "warnings": 1, "unknown": 1}
    assert told["findings"][1] == {
        "area": "RabbitMQ",
        "check": "queue",
        "level": "problem",
        "says": "it is gone",
        "remedy": "start it",
    }


def test_warnings_alone_are_ok():
    assert json.loads(report.as_json([Area("x", [warning("clock", "late")])]))["ok"]


def test_levels_are_counted():
    assert report.count(AREAS) == dict.fromkeys(Level, 1)


def test_lines_fit_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    long = Area("RabbitMQ", [problem("queue", "it is gone " * 20, "start it again " * 20)])
    lines = report.as_text([long]).splitlines()
    assert max(map(len, lines)) <= 60 + len("\x1b[31m\x1b[0m")
    assert len(lines) > 10
    assert all(line.startswith(" " * 10) for line in lines[2:-2])
