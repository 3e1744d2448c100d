"""Where a server is: one address or several, and in which order they are tried."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address
from typing import Final, Generic, NamedTuple, TypeVar

T = TypeVar("T")

MAX_PORT: Final = 65_535

_FORM: Final = re.compile(
    r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<name>[^\s/@:\[\]]+))(?::(?P<port>[0-9]{1,5}))?"
)


class Address(NamedTuple):
    """A host, by name or number, and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str, port: int) -> tuple[Address, ...]:
    """Read ``rabbit-1,rabbit-2:5673,[2001:db8::1]:5672``.

    Args:
        text: hosts, separated by commas. One with a port of its own, if it is an IPv6 address,
            stands in brackets.
        port: of those that name none.

    Raises:
        ValueError: it has another form, or names an address twice. The text is not repeated, as
            it may be a URL with a password.
    """
    addresses = tuple(_parse_one(item.strip(), port) for item in text.split(","))
    twice = [address for address in addresses if addresses.count(address) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is named twice")
    return addresses


def _parse_one(item: str, port: int) -> Address:
    is_bare_ipv6 = item.count(":") > 1 and not item.startswith("[")
    found = _FORM.fullmatch(f"[{item}]" if is_bare_ipv6 else item)
    if found is None or not (_is_ipv6(found["ipv6"]) if found["ipv6"] else is_host(found["name"])):
        raise ValueError(
            "expected a host, or several separated by commas, each with a port or without: "
            "rabbit-1,rabbit-2:5673,[2001:db8::1]:5672"
        )
    given = int(found["port"] or port)
    if not 1 <= given <= MAX_PORT:
        raise ValueError(f"{given} is no port; ports are 1 to {MAX_PORT}")
    return Address(found["ipv6"] or found["name"], given)


def is_host(text: str) -> bool:
    """Whether it can be looked up: one with an empty or too long label only raises UnicodeError."""
    try:
        text.encode("idna")
    except UnicodeError:
        return False
    return True


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


class Turns(Generic[T]):
    """What is tried one after another; what has failed comes last from then on."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = list(items)

    def __iter__(self) -> Iterator[T]:
        """Yield all, in the order of now; failures on the way do not change it."""
        return iter(tuple(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def failed(self, item: T) -> None:
        """Put an item last."""
        self._items.remove(item)
        self._items.append(item)
