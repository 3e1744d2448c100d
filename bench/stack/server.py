"""What RabbitMQ and PostgreSQL have in common: a directory, ports, a log, an owner, a life."""

import atexit
import fcntl
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, ClassVar, Self

from bench.stack.errors import StackError
from bench.stack.process import environment, free_port, is_free, spawn, sweep

_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_LEFTOVER_SECONDS = 10.0
_IN_USE = re.compile("eaddrinuse|address already in use", re.IGNORECASE)
_START_ATTEMPTS = 5
_LOG_LINES = 15
_ERROR = re.compile(r"\[error\]|FATAL|PANIC|ERROR|LOG:  invalid")


class Server(ABC):
    """A private server on free ports of 127.0.0.1, with all that it writes in one directory.

    The ports are chosen at the first start and stay the same for the life of the object, so that
    clients find the server again after `restart()`, or after `kill()` and `start()`. The data
    outlive the object. Every method may be called from any thread.
    """

    host: ClassVar[str] = "127.0.0.1"
    name: ClassVar[str]
    programs: ClassVar[frozenset[str]]
    port_names: ClassVar[tuple[str, ...]]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._ports: dict[str, int] = {}
        self._password: str | None = None
        self._children: list[subprocess.Popen[bytes]] = []  # the server itself is the last
        self._lock: IO[str] | None = None
        self._mutex = threading.RLock()
        self._owner = os.getpid()
        self._account: pwd.struct_passwd | None = None  # to run as; None is the present user
        self._log_start = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> Path:
        """The file with what the server has written, of all its starts."""
        return self.directory / f"{self.name}.log"

    @property
    def running(self) -> bool:
        """Whether the server was started by this object and still lives."""
        return bool(self._children) and self._children[-1].poll() is None

    @property
    def pid(self) -> int:
        """The process id of the server. Raises StackError when it does not run."""
        if not self.running:
            raise StackError(f"{self.name} does not run")
        return self._children[-1].pid

    @property
    def port(self) -> int:
        """The port for clients. Raises StackError before the first start."""
        return self._port(self.name)

    @property
    def password(self) -> str:
        """The random password of the first user. Raises StackError before the first start."""
        if self._password is None:
            raise StackError(f"{self.name} has no password before its first start")
        return self._password

    def start(self) -> None:
        """Start the server and return when it serves clients; does nothing when it runs.

        Raises:
            StackError: it is not installed, did not start, or another process uses the directory.
            OSError: the directory cannot be made or written.
        """
        with self._mutex:
            if self.running:
                return
            self._end(signal.SIGKILL)  # what is left of a server that died without being asked
            self._prepare()
            self._take_lock()
            atexit.register(self.stop)
            try:
                sweep(self.directory, self.programs, seconds=_LEFTOVER_SECONDS)
                self._password = self._read_password()
                self._start_on_free_ports()
            except BaseException:
                self._end(signal.SIGKILL)
                raise

    def stop(self) -> None:
        """Shut the server down in good order and wait for its end; does nothing when it is down."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """Kill the server as a crash would, and wait until nothing of it is left."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same ports. Raises StackError like `start`."""
        self.stop()
        self.start()

    @abstractmethod
    def _launch(self) -> None:
        """Start the processes, and return when they serve. Raises StackError."""

    @property
    def _password_file(self) -> Path:
        return self.directory / "password"

    def _prepare(self) -> None:
        """Make the directory."""
        self.directory.mkdir(parents=True, exist_ok=True)

    def _port(self, name: str) -> int:
        if name not in self._ports:
            raise StackError(f"{self.name} has no port before its first start")
        return self._ports[name]

    def _read_password(self) -> str:
        if not self._password_file.exists():
            self._write_private(self._password_file, secrets.token_hex(16))
        return self._password_file.read_text()

    def _take_lock(self) -> None:
        try:
            lock = (self.directory / "lock").open("a+")
        except PermissionError:
            raise StackError(
                f"{self.directory} belongs to another user; run as that user, or remove it"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip()
            lock.close()
            raise StackError(
                f"{self.name} in {self.directory} is in use by process {owner}; "
                "stop that one first, or use another directory"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _write_private(self, file: Path, text: str) -> None:
        """Write what only the server's user may read."""
        file.touch(mode=0o600)
        file.write_text(text)
        if self._account is not None:
            shutil.chown(file, self._account.pw_uid, self._account.pw_gid)

    def _run(self, command: Sequence[str]) -> None:
        """Start one of the processes. Raises OSError."""
        child = spawn(
            command,
            directory=self.directory,
            log=self.log,
            variables=self._variables(),
            end_with_us=self.stop_signal,
            account=self._account,
        )
        self._children.append(child)

    def _variables(self) -> dict[str, str]:
        """The environment of the processes."""
        return environment()

    def _start_on_free_ports(self) -> None:
        if self._ports:
            self._launch()
            return
        for attempt in range(1, _START_ATTEMPTS + 1):
            self._ports = {name: free_port() for name in self.port_names}
            try:
                self._launch()
                return
            except StackError as error:
                self._end_children(signal.SIGKILL)
                # Who took one may be gone again, having found the same.
                was_taken = _IN_USE.search(str(error)) is not None
                taken = was_taken or not all(map(is_free, self._ports.values()))
                self._ports = {}
                if not taken or attempt == _START_ATTEMPTS:
                    raise

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if any(child.poll() is not None for child in self._children):
                raise StackError(f"{self.name} did not start; {self._complaints()}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.name} does not serve after {_START_SECONDS:.0f} s; {self._complaints()}"
                )
            time.sleep(0.02)

    def _mark_log(self) -> None:
        self._log_start = self.log.stat().st_size if self.log.exists() else 0

    def _complaints(self) -> str:
        """The first errors in the log of this start; what follows them is consequences."""
        with self.log.open(errors="replace") as log:
            log.seek(self._log_start)
            lines = log.readlines()
        errors = [line for line in lines if _ERROR.search(line)]
        shown = "".join(errors[:_LOG_LINES] or lines[-_LOG_LINES:]).strip()
        return f"from {self.log}:\n{shown or '(empty)'}"

    def _end(self, how: signal.Signals) -> None:
        # A forked child of this process inherits the object and its exit handler, not the server.
        if os.getpid() != self._owner:
            return
        with self._mutex:
            if self._lock is None:
                return
            self._end_children(how)
            self._lock.close()
            self._lock = None
            atexit.unregister(self.stop)

    def _end_children(self, how: signal.Signals) -> None:
        for child in reversed(self._children):
            child.send_signal(how)
            try:
                child.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children.clear()
        sweep(self.directory, self.programs, seconds=_LEFTOVER_SECONDS)
