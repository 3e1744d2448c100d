"""Jasmin's daemon, as its own script ``jasmind.py`` starts it, but for the lock.

That is a file in /tmp: it would keep a second Jasmin from this machine, and one that has been
killed from starting again. Here bench/stack/server.py sees to it. Runs in Jasmin's environment.
"""

import signal

from jasmin.bin.jasmind import JasminDaemon, Options
from twisted.internet import reactor

options = Options()
options.parseOptions()
daemon = JasminDaemon(options)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, daemon.sighandler_stop)
daemon.start()
reactor.run()
