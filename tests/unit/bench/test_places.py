from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import typer
from rich.console import Console

from bench.lab import given
from bench.lab.command import PlaceOptions
from bench.lab.contestant import service, settings_of
from bench.lab.database import Database, Unusable
from bench.lab.place import Place
from bench.lab.screen import Screen
from bench.lab.workload import Kind, Tables, Workload
from service import config


class Elsewhere(Database):
    is_ours = False

    async def _fresh_tables(self, tables: Tables) -> None:
        raise NotImplementedError


@pytest.fixture
def place(tmp_path: Path) -> Place:
    url = "amqps://jas%2Fmin:s%40cret@broker.example/of%2Fbench"
    dsn = "postgresql://u:p@db.example/billing"
    return Place(url, Elsewhere(dsn, Screen(Console())), tmp_path, "classic")


async def use(amqp_url: str, database_url: str = "postgresql://u:p@db.example/billing") -> None:
    async with given.given_place(amqp_url, database_url, "quorum", Screen(Console())):
        pass


def test_leads_the_service_there(place: Place, monkeypatch, no_variables) -> None:
    workload = Workload(Kind.JSON, events=10, cdrs=10)
    settings = settings_of(workload, batch_size=123, flush_ms=None, queue_type="classic")
    contestant = service(place, workload, settings, workers=3)
    for name, value in contestant.variables.items():
        monkeypatch.setenv(name, value)
    read = config.load()
    assert (read.jasmin.amqp_host, read.jasmin.amqp_port) == ("broker.example", 5671)
    assert read.jasmin.amqp_user == "jas/min"
    assert read.jasmin.amqp_password.get_secret_value() == "s@cret"
    assert read.jasmin.amqp_vhost == "of/bench"
    assert (read.workers, read.dlr.batch_size, read.dlr.flush_ms) == (3, 123, 100)
    assert {read.dlr.queue_type, read.bill.queue_type} == {"classic"}
    assert min(read.dlr.max_length, read.bill.max_length) >= 10_000_000
    assert contestant.settings["batch_size"] == 123


def test_settings_that_cannot_work_are_refused_before_anything_is_started() -> None:
    with pytest.raises(ValueError, match="prefetch: 2000 is less than"):
        settings_of(Workload(Kind.JSON, events=10, cdrs=10), batch_size=2000)


@pytest.mark.parametrize("vhost", ["", "/", "/%2F"])
async def test_does_not_measure_where_jasmin_is(vhost: str) -> None:
    with pytest.raises(Unusable, match="not in the virtual host /"):
        await use(f"amqp://u:p@broker.example{vhost}")


@pytest.mark.parametrize("url", ["http://broker.example/bench", "broker.example"])
async def test_says_what_an_amqp_url_is(url: str) -> None:
    with pytest.raises(Unusable, match="amqp://USER"):
        await use(url)


@pytest.mark.parametrize(
    "url", ["mysql://u:p@db.example/billing", "postgresql://u:p@db.example/b?options=-cjit%3Doff"]
)
async def test_says_what_a_database_url_is(url: str) -> None:
    with pytest.raises(Unusable, match="--database-url"):
        await use("amqp://u:p@broker.example/bench", url)


async def test_says_that_a_broker_is_not_there(closed_port: int) -> None:
    with pytest.raises(Unusable, match=r"RabbitMQ refuses.*--amqp-url"):
        await asyncio.wait_for(use(f"amqp://u:p@127.0.0.1:{closed_port}/bench"), 20)


def test_one_server_alone_is_not_enough() -> None:
    with pytest.raises(typer.BadParameter, match="both"):
        PlaceOptions(amqp_url="amqp://u:p@broker.example/bench")
