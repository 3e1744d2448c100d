"""What is taken away, one after another; each function says whom it hit."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from bench.chaos.keeper import DRAINED
from bench.chaos.observer import QUEUES
from bench.cluster.scene import Scene
from bench.stack import StackError

Strike = Callable[[Scene, float], Awaitable[str]]


async def _kill_leader(scene: Scene, seconds: float) -> str:
    """Kill the node that leads the queue of receipts, and start it again later."""
    node = await asyncio.to_thread(scene.servers.rabbitmq.leader, QUEUES[0])
    await asyncio.to_thread(node.kill)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(node.start)
    return node.node.partition("@")[0]


async def _cut_off(scene: Scene, seconds: float) -> str:
    """Take the network from a host."""
    host = scene.hosts[1]
    host.cut()
    try:
        await asyncio.sleep(seconds)
    finally:
        host.heal()
    return host.name


async def _drain(scene: Scene, seconds: float) -> str:
    """Stop the service on a host as systemd does, and start it again later."""
    host = scene.hosts[0]
    code = await host.keeper.drain(seconds)
    if code != DRAINED:
        raise StackError(f"{host.name} did not drain: exit code {code}")
    return host.name


async def _lose_majority(scene: Scene, seconds: float) -> str:
    """Kill one node and stop another in good order: the third alone may not go on."""
    killed, stopped, _ = scene.servers.rabbitmq.nodes
    await asyncio.to_thread(killed.kill)
    await asyncio.to_thread(stopped.stop)
    await asyncio.sleep(seconds)
    await asyncio.gather(*(asyncio.to_thread(node.start) for node in (killed, stopped)))
    return "two nodes"


FAULTS: Final[dict[str, Strike]] = {
    "leader killed": _kill_leader,
    "host cut off": _cut_off,
    "host drained": _drain,
    "majority lost": _lose_majority,
}
