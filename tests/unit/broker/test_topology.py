from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelPreconditionFailed,
)
from prometheus_client import REGISTRY

from service.broker import topology, watchdog
from service.broker.topology import BILL, DLR, SUBMIT
from service.exits import CannotStart
from service.settings import Bill, Dlr


class Broker:
    """Records what is declared; refuses it if it is given an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.exchanges: dict[str, tuple] = {}
        self.queues: dict[str, dict] = {}
        self.bindings: list[tuple[str, str, str]] = []

    @asynccontextmanager
    async def channel(self):
        yield self

    async def declare_exchange(self, name, kind, *, durable=False, auto_delete=False, **_):
        self.exchanges[name] = (kind.value, durable, auto_delete)

    async def declare_queue(self, name, *, durable=False, arguments=None, **more):
        if self.error is not None:
            raise self.error
        self.queues[name] = {"durable": durable, "arguments": arguments, **more}

        async def bind(exchange, routing_key):
            self.bindings.append((name, exchange, routing_key))

        return SimpleNamespace(bind=bind, declaration_result=SimpleNamespace(message_count=7))


async def refusal(error: Exception) -> str:
    with pytest.raises(CannotStart) as refused:
        await topology.declare(Broker(error), {DLR: Dlr()})
    return str(refused.value)


@pytest.mark.parametrize("source", [DLR, BILL, SUBMIT])
@pytest.mark.parametrize(
    ("queue_type", "more"), [("quorum", {"x-delivery-limit": 2**31 - 1}), ("classic", {})]
)
def test_a_queue_has_the_limits_of_the_specification_and_dead_letters(source, queue_type, more):
    assert topology.queue_arguments(source, Dlr(queue_type=queue_type)) == {
        "x-queue-type": queue_type,
        "x-message-ttl": 86_400_000,
        "x-max-length": 100_000,
        "x-overflow": "drop-head",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{source.queue}.dead",
        **more,
    }


async def test_exchanges_are_declared_as_jasmin_declares_them():
    broker = Broker()
    await topology.declare(broker, {DLR: Dlr(), BILL: Bill(queue_type="classic")})
    assert broker.exchanges == {
        "messaging": ("topic", False, False),
        "billing": ("topic", False, False),
    }


async def test_what_waits_in_each_queue_is_told_and_counted():
    waiting = await topology.declare(Broker(), {DLR: Dlr(), BILL: Bill()})
    queues = (DLR.queue, DLR.dead_queue, BILL.queue, BILL.dead_queue)
    assert waiting == dict.fromkeys(queues, 7)
    watchdog.note(waiting)
    for queue in queues:
        assert REGISTRY.get_sample_value("billing_queue_messages", {"queue": queue}) == 7


async def test_queues_are_durable_and_bound_as_the_specification_says():
    broker = Broker()
    await topology.declare(broker, {DLR: Dlr(), BILL: Bill(queue_type="classic")})
    assert broker.bindings == [
        ("billing_service.dlr", "messaging", "dlr.#"),
        ("billing_service.submit_sm_resp", "billing", "bill_request.submit_sm_resp.#"),
    ]
    for source, settings in ((DLR, Dlr()), (BILL, Bill(queue_type="classic"))):
        arguments = topology.queue_arguments(source, settings)
        assert broker.queues[source.queue] == {"durable": True, "arguments": arguments}
        dead = broker.queues[source.dead_queue]
        assert dead["durable"]
        assert dead["arguments"] == topology.dead_queue_arguments(settings.queue_type)


def test_streams_are_named_once():
    assert {name: source.section for name, source in topology.STREAMS.items()} == {
        "dlr": "dlr",
        "bill": "bill",
        "submit": "capture",
    }


def test_nothing_is_ever_pushed_out_of_a_dead_queue():
    quorum = topology.dead_queue_arguments("quorum")
    assert quorum == {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}
    assert topology.dead_queue_arguments("classic") == {"x-queue-type": "classic"}


# As RabbitMQ words them.
MISMATCH = "PRECONDITION_FAILED - inequivalent arg '{}' for {} '{}' in vhost 'sms prod': {}"


@pytest.mark.parametrize(
    ("argument", "kind", "name", "rest", "said"),
    [
        (
            "x-max-length",
            "queue",
            DLR.queue,
            "received the value '100000' of type 'long' but current is the value '10' of type "
            "'signedint'",
            [
                "queue billing_service.dlr exists with another x-max-length",
                "it has '10', this service declares '100000'. Set dlr.max_length "
                "(BILLING_DLR_MAX_LENGTH) back to 10 and start. To change it, first stop Jasmin "
                'and let the queue run empty: docs/operations.md, "Another queue"',
            ],
        ),
        (
            "x-message-ttl",
            "queue",
            BILL.queue,
            "received the value '86400000' of type 'signedint' but current is none",
            [
                "x-message-ttl: it has none",
                "declares '86400000'. No setting allows that. Stop Jasmin, let what has consumed "
                "it so far empty it, delete it (rabbitmqctl delete_queue -p 'sms prod' "
                'billing_service.submit_sm_resp) and start: docs/operations.md, "Another queue"',
            ],
        ),
        (
            "durable",
            "queue",
            DLR.queue,
            "received 'true' but current is 'false'",
            ["another durable: it has 'false', this service declares 'true'"],
        ),
        (
            "x-queue-type",
            "queue",
            DLR.queue,
            "received the value 'quorum' of type 'longstr' but current is the value 'classic' of "
            "type 'longstr'",
            ["it has 'classic'", "dlr.queue_type (BILLING_DLR_QUEUE_TYPE) back to classic"],
        ),
        (
            "x-delivery-limit",
            "queue",
            DLR.queue,
            "received the value '2147483647' of type 'signedint' but current is none",
            [
                "x-delivery-limit: it has none",
                "declares '2147483647'",
                "let what has consumed it so far empty it",
            ],
        ),
        (
            "x-queue-type",
            "queue",
            BILL.dead_queue,
            "received the value 'quorum' of type 'longstr' but current is none",
            [
                "Set bill.queue_type (BILLING_BILL_QUEUE_TYPE) back to classic and start. To "
                "change it, first stop Jasmin, replay or remove what is in it (billing-service dlq "
                "replay or dlq purge; nothing reads back what dlq export writes), and let "
                "billing_service.submit_sm_resp run empty: docs",
            ],
        ),
        (
            "x-delivery-limit",
            "queue",
            DLR.dead_queue,
            "received the value '2147483647' of type 'signedint' but current is none",
            [
                "No setting allows that. Stop Jasmin, replay or remove what is in it",
                "delete it (rabbitmqctl delete_queue -p 'sms prod' billing_service.dlr.dead)",
            ],
        ),
        (
            "x-max-length",
            "queue",
            SUBMIT.queue,
            "received the value '100000' of type 'long' but current is none",
            ["No setting allows that", f"delete_queue -p 'sms prod' {SUBMIT.queue}"],
        ),
        (
            "x-max-length",
            "queue",
            SUBMIT.queue,
            "",
            ["Set capture.max_length (BILLING_CAPTURE_MAX_LENGTH) back to what it was"],
        ),
        (
            "type",
            "exchange",
            "messaging",
            "received 'topic' but current is 'direct'",
            [
                "exchange messaging exists with another type: it has 'direct'",
                "topic, not durable, not auto-delete",
                "rabbitmqadmin --vhost 'sms prod' delete exchange name=messaging",
                "restart Jasmin",
            ],
        ),
        (
            "durable",
            "exchange",
            "billing",
            "received 'false' but current is 'true'",
            ["exchange billing exists with another durable", "'true'", "'false'"],
        ),
        ("x-overflow", "queue", DLR.queue, "", ["another x-overflow", "something else"]),
    ],
)
async def test_a_mismatch_names_the_argument_both_values_and_the_way_out(
    argument, kind, name, rest, said
):
    text = await refusal(ChannelPreconditionFailed(MISMATCH.format(argument, kind, name, rest)))
    for part in said:
        assert part in text
    if argument != "x-queue-type":
        assert "queue_type" not in text
    if " back to " in text:  # nobody is led to delete what has events in it
        assert "delete" not in text


async def test_any_other_precondition_is_passed_on():
    text = await refusal(ChannelPreconditionFailed("PRECONDITION_FAILED - invalid arg 'x-foo'"))
    assert "invalid arg 'x-foo'" in text


async def test_a_missing_permission_names_what_is_needed():
    text = await refusal(ChannelAccessRefused("ACCESS_REFUSED - access to queue refused"))
    assert "ACCESS_REFUSED" in text
    assert "billing_service.dlr.* and on exchange messaging" in text


async def test_an_outage_is_no_reason_to_give_up():
    with pytest.raises(ConnectionResetError):
        await topology.declare(Broker(ConnectionResetError()), {DLR: Dlr()})
