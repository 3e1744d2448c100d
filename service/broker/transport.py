"""The public seam of the AMQP library: a connection whose stream reader is ours."""

from __future__ import annotations

import asyncio
from typing import Any

import aio_pika
from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError
from yarl import URL

from service.addresses import Address
from service.broker.reader import DeliveryReader


class PeelingTransport(TransportFactory):
    """Opens the one transport of a connection, over TCP or TLS, with a DeliveryReader on it."""

    reader: DeliveryReader

    async def create(
        self, url: URL, **kwargs: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, as the library asks for it.

        Raises:
            AMQPConnectionError: the broker cannot be reached.
        """
        provider = kwargs.pop("ssl_context_provider")
        context = await provider.get_context() if url.scheme == "amqps" else None
        loop = asyncio.get_running_loop()
        self.reader = DeliveryReader()
        protocol = asyncio.StreamReaderProtocol(self.reader)
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol, url.host or "", url.port or 0, ssl=context, **kwargs
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        return self.reader, asyncio.StreamWriter(transport, protocol, self.reader, loop)


class PeelingConnection(aio_pika.Connection):
    """A plain connection that can give a channel's deliveries as they come.

    Attributes:
        address: where it leads.
        deliveries: where channels are tapped.
    """

    address: Address

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._factory = PeelingTransport()
        self.kwargs["transport_factory"] = self._factory

    @property
    def deliveries(self) -> DeliveryReader:
        return self._factory.reader
