from __future__ import annotations

from service.broker.deliveries import Deliveries
from service.broker.delivery import Delivery
from service.settings import Dlr


class Channel:
    """Takes down what it is told to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int]] = []

    async def basic_ack(self, tag: int, multiple: bool) -> None:
        assert multiple
        self.sent.append(("ack", tag))

    async def basic_nack(self, tag: int, requeue: bool) -> None:
        assert requeue
        self.sent.append(("nack", tag))


async def test_what_was_given_back_is_in_hand_no_more() -> None:
    channel = Channel()
    deliveries = Deliveries(None, channel, "queue", Dlr(batch_size=3))
    deliveries._take([Delivery(tag, False, b"", b"", b"") for tag in (1, 2, 3)])
    batch = await deliveries.next_batch()
    assert (deliveries.received, deliveries.unacknowledged) == (3, 3)
    await deliveries.settle(batch, {1, 3})
    assert channel.sent == [("nack", 1), ("nack", 3), ("ack", 2)]
    assert deliveries.unacknowledged == 0
    assert deliveries.is_starved(1) is False
    assert deliveries.is_starved(1) is True
