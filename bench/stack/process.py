"""Child processes: started so that they end with us, found again when they did not."""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")

# Below the range from which Linux takes the local ports of outgoing connections: while a server is
# down, a client that tries to reach it must not be given the very port that it tries to reach.
_PORTS = range(20_000, 32_000)

# Variables of these programs in the environment of the user would change what is started here.
_FOREIGN_VARIABLES = ("RABBITMQ_", "ERL_", "PG", "LC_", "LANG", "NOTIFY_SOCKET")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago. Raises OSError when there is none."""
    for port in random.sample(_PORTS, 100):
        if is_free(port):
            return port
    raise OSError("no free port on 127.0.0.1")


def is_free(port: int) -> bool:
    """Whether nobody listens on a TCP port of 127.0.0.1."""
    with socket.socket() as listener:
        # Connections that have been closed may linger for a minute, and are no obstacle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def environment(**variables: str) -> dict[str, str]:
    """The environment of this process without what would configure servers, plus `variables`."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_VARIABLES)
    }
    return inherited | {"LC_ALL": "C.UTF-8"} | variables


def as_user(account: pwd.struct_passwd | None) -> dict[str, Any]:
    """Arguments for `subprocess` to run a command as another user; None is the present one."""
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def spawn(
    command: Sequence[str],
    *,
    directory: Path,
    log: Path,
    variables: Mapping[str, str],
    end_with_us: signal.Signals,
    account: pwd.struct_passwd | None = None,
) -> subprocess.Popen[bytes]:
    """Start a server in `directory`, its output appended to `log`.

    It has a session of its own, so that Ctrl-C in the terminal does not reach it, and is sent
    `end_with_us` when this process ends, however it ends. Raises OSError when it cannot be started.
    """
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", end_with_us.name.removeprefix("SIG"), "--", *command]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=directory,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **as_user(account),
            )

    return _parent.run(start)


def processes_in(directory: Path, programs: frozenset[str]) -> list[int]:
    """The ids of living processes that run one of `programs` at work in `directory` or below."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            place = (entry / "cwd").readlink()
            program = (entry / "exe").readlink().name.removesuffix(" (deleted)")
        except OSError:  # ended, a zombie, or not ours to look at
            continue
        if program in programs and place.is_relative_to(directory):
            found.append(int(entry.name))
    return found


def sweep(directory: Path, programs: frozenset[str], *, seconds: float) -> None:
    """Wait until no process is left by `processes_in`; those that outlast `seconds` are killed."""
    deadline = time.monotonic() + seconds
    while left := processes_in(directory, programs):
        if time.monotonic() > deadline:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


class _Parent:
    """The thread that starts all children, and lives as long as the process.

    Linux sends the parent death signal when the thread that made the child ends: a server started
    from a thread of a pool would be stopped together with the pool.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        self._started = threading.Lock()
        self._thread: threading.Thread | None = None

    def run(self, call: Callable[[], _T]) -> _T:
        result: Future[_T] = Future()
        with self._started:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="spawn", daemon=True)
                self._thread.start()
        self._calls.put((call, result))
        return result.result()

    def _work(self) -> None:
        while True:
            call, result = self._calls.get()
            try:
                result.set_result(call())
            except BaseException as error:
                result.set_exception(error)


_parent = _Parent()


def answers(host: str, port: int, greeting: bytes = b"") -> bool:
    """Whether a port takes a connection and, when it is given a greeting, returns anything."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as peer:
            peer.sendall(greeting)
            return not greeting or bool(peer.recv(1))
    except OSError:
        return False
