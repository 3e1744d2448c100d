"""What the pages tell people to run and to open is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from bench import PROJECT
from bench.__main__ import app as bench
from service.cli import app as service

PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted(PROJECT.glob("docs/*.md"))]
CODE = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)
# Not where it is the name of a container, in which the program of that name is run.
SERVICE = re.compile(r"\bbilling-service (?!billing-service)([a-z][\w-]*)(?: ([a-z][\w-]*))?")
TARGET = re.compile(r"\bmake ([a-z][\w-]*)")
MEASURE = re.compile(r'make bench ARGS="?([a-z][\w-]*)')
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code(page: Path) -> str:
    """Return what a page writes as code."""
    return "\n".join(CODE.findall(page.read_text()))


def anchors(page: Path) -> set[str]:
    """Return what links can name on a page: its headings, as GitHub spells them."""
    headings = HEADING.findall(page.read_text())
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_pages_name_commands() -> None:
    everything = "\n".join(map(code, PAGES))
    for pattern in (SERVICE, TARGET, MEASURE):
        assert len(set(pattern.findall(everything))) > 5


@every_page
def test_the_commands_of_the_service_exist(page: Path) -> None:
    commands = typer.main.get_command(service).commands
    for group, name in SERVICE.findall(code(page)):
        assert group in commands
        inner = getattr(commands[group], "commands", None)
        assert inner is None or not name or name in inner


@every_page
def test_the_targets_of_make_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(TARGET.findall(code(page))) <= targets


@every_page
def test_the_measurements_exist(page: Path) -> None:
    commands = typer.main.get_command(bench).commands
    assert set(MEASURE.findall(code(page))) <= commands.keys()


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text()):
        linked = page.parent / path if path else page
        assert linked.exists(), path
        assert not anchor or anchor in anchors(linked), f"{path}#{anchor}"
