"""Tells Jasmin who may send, what it costs and where it goes, in its own console."""

from bench.gateway.cdrs import CONNECTOR
from bench.gateway.refusals import POOR
from bench.gateway.sms import ACCOUNTS, RATE, Account
from bench.stack.jasmin import Jasmin
from bench.stack.jcli import Console

JASMIN_BALANCE = 10_000
"""What each user has in Jasmin. One without a balance is never billed."""

_GROUP = "customers"
# Seconds until Jasmin connects again, and until it submits again what could not be.
_SOON = "1"


def provision(jasmin: Jasmin, smsc_port: int) -> None:
    """Make users, a connector to the operator and a route, and keep them over restarts.

    Raises:
        StackError: Jasmin refuses something.
    """
    with jasmin.console() as console:
        console.fill_in("group -a", {"gid": _GROUP})
        for account in ACCOUNTS:
            _add_user(console, account, str(JASMIN_BALANCE))
        _add_user(console, POOR, str(RATE / 2))
        console.fill_in(
            "smppccm -a",
            {
                "cid": CONNECTOR,
                "host": "127.0.0.1",
                "port": str(smsc_port),
                "username": "jasmin",
                "password": "operator",
                "bind": "transceiver",
                "submit_throughput": "0",  # messages a second; 0 is without a limit
                "con_loss_delay": _SOON,
                "con_fail_delay": _SOON,
                "requeue_delay": _SOON,
            },
        )
        console.ask(f"smppccm -1 {CONNECTOR}")
        console.fill_in(
            "mtrouter -a",
            {"type": "DefaultRoute", "connector": f"smppc({CONNECTOR})", "rate": str(RATE)},
        )
        console.ask("persist")


def _add_user(console: Console, account: Account, balance: str) -> None:
    fields = [
        ("uid", account.uid),
        ("gid", _GROUP),
        ("username", account.uid),
        ("password", account.password),
        ("mt_messaging_cred", f"quota balance {balance}"),
    ]
    if account.early_percent is not None:
        percent = f"quota early_percent {account.early_percent}"
        fields.append(("mt_messaging_cred", percent))
    console.fill_in("user -a", fields)
