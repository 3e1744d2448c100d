"""Judgements on what RabbitMQ tells."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from service.addresses import Address
from service.broker.depth import Depth
from service.doctor import broker
from service.doctor.finding import Level
from service.settings import Settings


@pytest.mark.parametrize(
    ("waiting", "level"), [(500, Level.PROBLEM), (100, Level.WARNING), (99, Level.OK)]
)
def test_a_queue_that_fills_is_the_worse_the_fuller(waiting, level):
    assert broker._waiting("q", Depth(waiting, 1), 1000).level is level


@pytest.mark.parametrize(
    ("depth", "level"),
    [(Depth(5, 0), Level.PROBLEM), (Depth(0, 0), Level.WARNING), (Depth(5, 1), Level.OK)],
)
def test_no_consumer_is_worse_when_messages_wait(depth, level):
    assert broker._consumed("q", depth).level is level


def test_one_consumer_and_one_message_are_no_plurals():
    assert broker._consumed("q", Depth(0, 1)).says == "queue q: 1 consumer"
    assert broker._consumed("q", Depth(0, 2)).says == "queue q: 2 consumers"
    assert broker._waiting("q", Depth(1, 1), 1000).says.startswith("queue q: 1 message waits, of")
    assert broker._waiting("q", Depth(0, 1), 1000).says.startswith("queue q: 0 messages wait, of")


def settings(**sections) -> Settings:
    return Settings(database={"url": "postgresql://billing@db/billing"}, **sections)


def connection(version: str) -> SimpleNamespace:
    told = {"product": "RabbitMQ", "version": version}
    return SimpleNamespace(
        address=Address("rabbit-2", 5672),
        transport=SimpleNamespace(connection=SimpleNamespace(server_properties=told)),
    )


@pytest.mark.parametrize(
    ("version", "queue_type", "checks"),
    [
        ("3.9.29", "quorum", ["broker", "broker_version"]),
        ("3.9.29", "classic", ["broker"]),
        ("3.10.0", "quorum", ["broker"]),
        ("4.1.0-rc.1", "quorum", ["broker"]),
        ("unknown", "quorum", ["broker"]),
    ],
)
def test_a_broker_may_be_too_old_for_quorum_queues(no_variables, version, queue_type, checks):
    wanted = {"queue_type": queue_type}
    found = list(broker._version(connection(version), settings(dlr=wanted, bill=wanted)))
    assert [finding.check for finding in found] == checks
    assert "rabbit-2:5672" in found[0].says


@pytest.mark.parametrize(
    ("jasmin", "level"),
    [
        ({"amqp_host": "mq.example"}, Level.WARNING),
        ({"amqp_host": "mq.example", "amqp_tls": True}, Level.OK),
        ({"amqp_host": "localhost"}, Level.OK),
    ],
)
def test_a_link_that_others_can_read_is_told(no_variables, jasmin, level):
    assert broker._exposure(settings(jasmin=jasmin).jasmin).level is level
