"""The peer in C, compiled by the machine that runs it."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench.lab.database import Unusable

_SOURCE: Final = Path(__file__).with_name("consumer.c")
# Debian keeps the headers of libpq in a directory of their own.
_FLAGS: Final = ["-std=c11", "-O2", "-Wall", "-Wextra", "-I/usr/include/postgresql"]
_LIBRARIES: Final = ["-lrabbitmq", "-lpq"]
_ADVICE: Final = "apt-get install gcc libc6-dev librabbitmq-dev libpq-dev"


class CannotCompile(Unusable):
    """Compiler or headers are missing; the text says what to do about it."""


def compile_consumer(directory: Path) -> Path:
    """Compile consumer.c and return the program. Raises CannotCompile."""
    if shutil.which("cc") is None:
        raise CannotCompile(f"no C compiler is installed here. Run: {_ADVICE}")
    program = directory / "consumer"
    command = ["cc", *_FLAGS, str(_SOURCE), "-o", str(program), *_LIBRARIES]
    made = subprocess.run(command, check=False, capture_output=True, text=True)
    if made.returncode != 0:
        raise CannotCompile(f"consumer.c does not compile. Run: {_ADVICE}\n{made.stderr}")
    return program
