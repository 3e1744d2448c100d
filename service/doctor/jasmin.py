"""What Jasmin's configuration file tells; options, sections, defaults as in Jasmin 0.10 and 0.11.

Jasmin's environment wins over its file, and nothing is known of that here:
``[sm-listener] publish_submit_sm_resp`` is also ``SM_LISTENER_PUBLISH_SUBMIT_SM_RESP``.
"""

from __future__ import annotations

import ast
import asyncio
from configparser import Error, RawConfigParser
from typing import TYPE_CHECKING, Any, Final

from service.database_url import LOCAL_HOSTS
from service.doctor.finding import Finding, ok, problem, warning
from service.events.statuses import RETRIED_ERRORS
from service.settings import variable_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from service.settings import Jasmin, Settings

BROKER: Final = "amqp-broker"
# Seconds after which Jasmin submits again, where its file does not say otherwise.
RETRIALS: Final = {
    "ESME_RSYSERR": {"count": 2, "delay": 30},
    "ESME_RTHROTTLED": {"count": 20, "delay": 30},
    "ESME_RMSGQFUL": {"count": 2, "delay": 180},
    "ESME_RINVSCHED": {"count": 2, "delay": 300},
}


class Unreadable(Exception):
    """Jasmin itself could not read this; the text says what."""


async def examine(path: Path, settings: Settings) -> AsyncIterator[Finding]:
    """Yield what is found in a jasmin.cfg."""
    config = RawConfigParser()
    try:
        config.read_string(await asyncio.to_thread(path.read_text, errors="replace"), str(path))
    except (OSError, Error) as error:
        yield problem("jasmin_config", f"{path}: cannot be read: {str(error).splitlines()[0]}")
        return
    for check in (_answers, _receipts, _billing, _retrials, _broker):
        try:
            for finding in check(config, settings):
                yield finding
        except Unreadable as error:
            yield problem("jasmin_config", f"{path}: {error}", "correct it and restart Jasmin")


def _answers(config: RawConfigParser, _: Settings) -> Iterator[Finding]:
    """Does Jasmin publish the answers to submissions?"""
    section, option = "sm-listener", "publish_submit_sm_resp"
    if _flag(config, section, option, default=False):
        yield ok("publish_submit_sm_resp", f"[{section}] {option} = True")
        return
    elsewhere = [other for other in config.sections() if config.has_option(other, option)]
    misplaced = [f"[{other}]" for other in elsewhere if other != section]
    hint = f"; Jasmin does not read it in {', '.join(misplaced)}" if misplaced else ""
    yield warning(
        "publish_submit_sm_resp",
        f"[{section}] {option} is not True, so that Jasmin does not publish submit.sm.resp.*: a "
        f"wrapper that makes billing events or DLRs of these makes none{hint}",
        f"set {option} = True in [{section}] of jasmin.cfg and restart Jasmin; a stock Jasmin "
        "publishes dlr.* and bill_request.* without it",
    )


def _receipts(config: RawConfigParser, _: Settings) -> Iterator[Finding]:
    """Do SMPP clients get a receipt for a submission that succeeded?"""
    section, option = "dlr", "smpp_receipt_on_success_submit_sm_resp"
    if _flag(config, section, option, default=False):
        yield ok("smpp_receipts", f"[{section}] {option} = True")
    else:
        yield warning(
            "smpp_receipts",
            f"[{section}] {option} is not True: SMPP clients get no receipt when a message has "
            "been submitted; this service does not need it",
            f"set {option} = True in [{section}] of jasmin.cfg if they should",
        )


def _billing(config: RawConfigParser, _: Settings) -> Iterator[Finding]:
    """Does Jasmin make bills at all?"""
    sections = ("http-api", "smpp-server")
    without = [s for s in sections if not _flag(config, s, "billing_feature", default=True)]
    for section in without:
        yield warning(
            "billing_feature",
            f"[{section}] billing_feature = False: what is submitted there makes no billing event",
            f"set billing_feature = True in [{section}] of jasmin.cfg and restart Jasmin",
        )
    if not without:
        yield ok("billing_feature", "billing_feature is on for HTTP and SMPP")


def _retrials(config: RawConfigParser, settings: Settings) -> Iterator[Finding]:
    """Is anything refunded while Jasmin still tries?"""
    refund = settings.refund
    retrials = _submit_error_retrial(config)
    if not refund.submissions:
        return
    level = warning if refund.after_delivery == "reverse" else problem
    final = sorted(set(retrials) - RETRIED_ERRORS)
    late = sorted(error for error in set(retrials) - set(final) if retrials[error] >= refund.settle)
    if final:
        yield level(
            "submit_error_retrial",
            f"Jasmin submits again after {', '.join(final)}, which this service takes for final: "
            "it refunds at once, and the message may be delivered all the same",
            "take them out of submit_error_retrial in [sm-listener] of jasmin.cfg, or set "
            f"refund.after_delivery ({variable_of('refund', 'after_delivery')}) to reverse",
        )
    if late:
        yield level(
            "submit_error_retrial",
            f"Jasmin submits again up to {max(retrials[error] for error in late):g} s after "
            f"{', '.join(late)}, but the refund is booked after {refund.settle:g} s",
            f"set refund.settle ({variable_of('refund', 'settle')}) well above that",
        )
    if not (final or late):
        yield ok("submit_error_retrial", "nothing is refunded while Jasmin still submits it again")


def _broker(config: RawConfigParser, settings: Settings) -> Iterator[Finding]:
    """Is it the same broker and virtual host as ours?"""
    jasmin = settings.jasmin
    vhost = config.get(BROKER, "vhost", fallback="/")
    host = config.get(BROKER, "host", fallback="127.0.0.1")
    port = config.get(BROKER, "port", fallback="5672")
    if vhost != jasmin.amqp_vhost:
        yield problem(
            "jasmin_vhost",
            f"Jasmin publishes to virtual host {vhost!r}, this service consumes from "
            f"{jasmin.amqp_vhost!r}",
            f"set jasmin.amqp_vhost ({variable_of('jasmin', 'amqp_vhost')}), or vhost in "
            f"[{BROKER}] of jasmin.cfg, so that they are the same",
        )
    else:
        yield ok("jasmin_vhost", f"virtual host {vhost!r}, as here")
    theirs, ours = f"{host}:{port}", ", ".join(map(str, jasmin.addresses))
    if _is_same_broker(host, port, jasmin):
        yield ok("jasmin_broker", f"broker {theirs}, as here")
    else:
        yield warning(
            "jasmin_broker",
            f"Jasmin connects to {theirs}, this service to {ours}",
            "see that both are the same broker or cluster; if not, set jasmin.amqp_host and "
            f"jasmin.amqp_port ({variable_of('jasmin', 'amqp_host')}, "
            f"{variable_of('jasmin', 'amqp_port')})",
        )
    yield from _credentials(config, jasmin)


def _is_same_broker(host: str, port: str, jasmin: Jasmin) -> bool:
    """Compare by name; the TLS port of one may well be beside the plain port of the other."""
    return any(
        (host.lower() == ours.host.lower() or {host, ours.host} <= LOCAL_HOSTS)
        and (port == str(ours.port) or jasmin.amqp_tls)
        for ours in jasmin.addresses
    )


def _credentials(config: RawConfigParser, jasmin: Jasmin) -> Iterator[Finding]:
    """Would one of two that log in as the same user be refused?"""
    user = config.get(BROKER, "username", fallback="guest")
    password = config.get(BROKER, "password", fallback="guest")
    if user != jasmin.amqp_user:
        yield ok("jasmin_user", f"Jasmin logs in as {user!r}, this service as {jasmin.amqp_user!r}")
    elif password == jasmin.amqp_password.get_secret_value():
        yield ok("jasmin_user", f"user {user!r} with the same password, as here")
    else:
        yield problem(
            "jasmin_user",
            f"Jasmin and this service log in as {user!r} with different passwords: RabbitMQ "
            "refuses one of them",
            f"compare jasmin.amqp_password ({variable_of('jasmin', 'amqp_password')}) with "
            f"password in [{BROKER}] of jasmin.cfg",
        )


def _flag(config: RawConfigParser, section: str, option: str, *, default: bool) -> bool:
    try:
        return config.getboolean(section, option, fallback=default)
    except ValueError as error:
        given = config.get(section, option)
        raise Unreadable(f"[{section}] {option} is neither True nor False: {given!r}") from error


def _submit_error_retrial(config: RawConfigParser) -> dict[str, float]:
    """Return after which errors Jasmin submits again, and after how many seconds."""
    given = config.get("sm-listener", "submit_error_retrial", fallback="")
    try:
        read: Any = ast.literal_eval(given.strip()) if given else RETRIALS
        return {
            str(error): float(rule["delay"]) for error, rule in read.items() if rule["count"] > 0
        }
    except (ValueError, SyntaxError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable("[sm-listener] submit_error_retrial is not as Jasmin wants it") from error
