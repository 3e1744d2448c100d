"""Everything that can be broken, in one place."""

import random
from dataclasses import dataclass

import asyncpg

from bench.chaos.keeper import Keeper
from bench.chaos.proxy import Proxy
from bench.stack import Stack


@dataclass(frozen=True)
class Rig:
    """The servers, the networks to them, and the service.

    Attributes:
        stack: RabbitMQ and PostgreSQL.
        broker: the network between the service and RabbitMQ.
        database: the network between the service and PostgreSQL.
        keeper: the service.
        dice: for whoever has to choose a victim.
    """

    stack: Stack
    broker: Proxy
    database: Proxy
    keeper: Keeper
    dice: random.Random

    async def connect(self) -> asyncpg.Connection:
        """Connect to the service's database, past the proxy."""
        dsn = self.stack.postgres.dsn(DATABASE)
        return await asyncpg.connect(dsn, timeout=5, command_timeout=60)


DATABASE = "billing"
