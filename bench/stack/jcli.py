"""Jasmin's own console, asked over its telnet port."""

import re
import socket
from collections.abc import Mapping, Sequence
from typing import Final, Self

from bench.stack.errors import StackError

_SECONDS: Final = 30.0
# What a terminal would not show: telnet's negotiation, and control sequences.
_UNSEEN: Final = re.compile(rb"\xff[\xfb-\xfe].|\x1b\[[0-9;?]*[A-Za-z]|\x1bc|\x1b[()].", re.DOTALL)
_PROMPTS: Final = ("jcli : ", "> ")
_REFUSALS: Final = re.compile(
    r"^(?:Error|Unknown|Failed|Incorrect|Invalid|You must).*", re.MULTILINE
)


class Console:
    """A session with Jasmin's jCli, logged in."""

    def __init__(self, host: str, port: int, user: str, password: str) -> None:
        self._peer = socket.create_connection((host, port), timeout=_SECONDS)
        self._wait_for("Authentication required.\n\n", "Username: ")
        self._type(user)
        self._wait_for("Password: ")
        self.ask(password)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._peer.close()

    def ask(self, line: str) -> str:
        """Type a line, and return what is shown up to the next prompt.

        Raises:
            StackError: Jasmin refuses it, or says nothing for half a minute.
        """
        self._type(line)
        answer = self._wait_for(*_PROMPTS).removeprefix(line).strip()
        if refusal := _REFUSALS.search(answer):
            raise StackError(f"Jasmin refuses {line!r}: {refusal.group()}")
        return answer

    def fill_in(self, command: str, fields: Mapping[str, str] | Sequence[tuple[str, str]]) -> None:
        """Answer the questions of a command such as ``user -a``. Raises StackError like `ask`."""
        self.ask(command)
        for name, value in fields.items() if isinstance(fields, Mapping) else fields:
            self.ask(f"{name} {value}")
        self.ask("ok")

    def table(self, command: str) -> dict[str, str]:
        """Return a table of two columns that a command shows. Raises StackError like `ask`."""
        rows = (line.split() for line in self.ask(command).splitlines() if line.startswith("#"))
        return {row[0].removeprefix("#"): row[-1] for row in rows if len(row) > 1}

    def _type(self, line: str) -> None:
        self._peer.sendall(f"{line}\r\n".encode())

    def _wait_for(self, *prompts: str) -> str:
        """Return what is shown before one of the prompts, which are the last that is shown."""
        octets = b""
        while True:
            text = _UNSEEN.sub(b"", octets).decode(errors="replace").replace("\r", "")
            for prompt in prompts:
                if text.endswith(prompt):
                    return text.removesuffix(prompt)
            try:
                more = self._peer.recv(65536)
            except TimeoutError:
                raise StackError(f"Jasmin's console says nothing after: {text[-200:]!r}") from None
            if not more:
                raise StackError(f"Jasmin's console hung up after: {text[-200:]!r}")
            octets += more
