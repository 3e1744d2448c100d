"""Hands messages to Jasmin: over its HTTP API, and over its SMPP server."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Protocol
from urllib.parse import urlencode

import aiohttp
from smpplib import consts

from bench.gateway.sms import Account, Sms
from bench.smsc.pdus import text_of
from bench.smsc.session import Session, SessionLost, status_name
from bench.stack.jasmin import Jasmin

_ANSWER_SECONDS: Final = 60.0
_SUCCESS: Final = 'Success "'
# The header of a part (3GPP TS 23.040, 9.2.3.24.1): reference 7, two parts, the second.
_SECOND_OF_TWO: Final = b"\x05\x00\x03\x07\x02\x02"


class NotAccepted(Exception):
    """Jasmin did not answer, so that nothing is known of the message; or it refused it."""


class NotSent(NotAccepted):
    """Jasmin is not there, so that the message can be sent again as it is."""


class Channel(Protocol):
    """A way to submit."""

    async def submit(self, sms: Sms) -> str:
        """Return Jasmin's message id. Raises NotAccepted."""

    async def close(self) -> None:
        """Hang up."""


class Http:
    """The HTTP API (Jasmin's ``/send``)."""

    def __init__(self, jasmin: Jasmin) -> None:
        self._jasmin = jasmin
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_ANSWER_SECONDS))

    async def submit(self, sms: Sms) -> str:
        """Return Jasmin's message id. Raises NotAccepted."""
        url = f"{self._jasmin.http_url}/send"
        try:
            async with self._http.post(url, data=_form(sms)) as response:
                answer = await response.text()
        except aiohttp.ClientConnectorError as error:
            raise NotSent(f"HTTP API: {error}") from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotAccepted(f"HTTP API: {error!r}") from None
        if not answer.startswith(_SUCCESS):
            raise NotAccepted(f"HTTP API: {answer}")
        return answer.removeprefix(_SUCCESS).rstrip('"')

    async def close(self) -> None:
        """Hang up."""
        await self._http.close()


class Smpp:
    """Jasmin's SMPP server, as one of its users; binds when there is something to submit."""

    def __init__(self, jasmin: Jasmin, account: Account) -> None:
        self._jasmin = jasmin
        self._account = account
        self._session: Session | None = None
        self._listening: set[asyncio.Task[None]] = set()
        self._binding = asyncio.Lock()

    async def submit(self, sms: Sms) -> str:
        """Return Jasmin's message id. Raises NotAccepted."""
        session = await self._bound()
        try:
            answer = await asyncio.wait_for(
                session.post(
                    "submit_sm",
                    source_addr=sms.sender or "",
                    destination_addr=sms.destination,
                    short_message=(_SECOND_OF_TWO if sms.is_piece else b"") + sms.text.encode(),
                    esm_class=consts.SMPP_GSMFEAT_UDHI if sms.is_piece else 0,
                    registered_delivery=1,
                ),
                _ANSWER_SECONDS,
            )
        except (SessionLost, TimeoutError) as error:
            raise NotAccepted(f"SMPP server: {error!r}") from None
        if answer.is_error():
            raise NotAccepted(f"SMPP server: {status_name(answer.status)}")
        return text_of(answer.message_id)

    async def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            await self._session.close()
        await asyncio.gather(*self._listening)

    async def _bound(self) -> Session:
        async with self._binding:
            if self._session is None or self._session.is_lost:
                self._session = await self._bind()
            return self._session

    async def _bind(self) -> Session:
        try:
            session = await Session.connect(self._jasmin.host, self._jasmin.smpp_port)
        except OSError as error:
            raise NotSent(f"SMPP server: {error}") from None
        listening = asyncio.create_task(self._listen(session))
        self._listening.add(listening)
        listening.add_done_callback(self._listening.discard)
        try:
            await self._introduce(session)
        except NotSent:
            await session.close()
            raise
        return session

    async def _introduce(self, session: Session) -> None:
        posted = session.post(
            "bind_transceiver", system_id=self._account.uid, password=self._account.password
        )
        try:
            answer = await asyncio.wait_for(posted, _ANSWER_SECONDS)
        except (SessionLost, TimeoutError) as error:
            raise NotSent(f"SMPP server: bind: {error!r}") from None
        if answer.is_error():
            raise NotSent(f"SMPP server: bind: {status_name(answer.status)}")

    async def _listen(self, session: Session) -> None:
        """Take the receipts that Jasmin passes on to its users, and its enquire_link."""
        async for request in session.requests():
            session.answer(request)


def _form(sms: Sms) -> dict[str, str]:
    text = {"content": sms.text}
    if sms.is_unicode:
        text = {"hex-content": sms.text.encode("utf-16-be").hex()}
    return {
        "username": sms.account.uid,
        "password": sms.account.password,
        "to": sms.destination,
        "dlr": "yes",
        **text,
        **({} if sms.sender is None else {"from": sms.sender}),
        **sms.options,
    }


async def hand_over_and_leave(jasmin: Jasmin, sms: Sms) -> None:
    """Submit a message over HTTP, and hang up before Jasmin answers."""
    sms.submitted_at = time.time()
    _, writer = await asyncio.open_connection(jasmin.host, jasmin.port)
    writer.write(f"GET /send?{urlencode(_form(sms))} HTTP/1.0\r\n\r\n".encode())
    writer.close()
    await writer.wait_closed()


def channels(jasmin: Jasmin, accounts: Iterable[Account]) -> dict[Account, Channel]:
    """Return each account's way to submit."""
    return {
        account: Http(jasmin) if account.channel == "http" else Smpp(jasmin, account)
        for account in accounts
    }


async def hand_over(channel: Channel, sms: Sms) -> None:
    """Submit a message, and note when, and what Jasmin called it. Raises NotAccepted."""
    sms.submitted_at = time.time()
    sms.message_id = await channel.submit(sms)
    sms.accepted_at = time.time()


async def close_all(ways: dict[Account, Channel]) -> None:
    """Hang up everywhere."""
    for channel in ways.values():
        with suppress(OSError):
            await channel.close()
