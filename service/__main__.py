"""``python -m service`` and ``billing-service``."""

import os
import signal
import sys

from service.exits import Exit


def main() -> None:
    """Run the command line."""
    if os.getpid() == 1:
        # To process 1, as which a container runs it, SIGTERM does nothing unless it is asked for;
        # any other process it ends.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.TERMINATED))
    from service.cli import app  # noqa: PLC0415 - workers import this module too, and do without

    app(prog_name="billing-service")


if __name__ == "__main__":
    main()
