"""The plan's events and rubbish as they are published."""

from typing import Final

from bench import formats
from bench.chaos.plan import Event
from bench.chaos.rubbish import Rubbish
from bench.formats import Publication, Report
from service.broker.topology import BILL, DLR

_DATE: Final = "2411231200"


def publication(what: Event | Rubbish) -> Publication:
    """Return an event, or rubbish, as it is published."""
    if isinstance(what, Rubbish):
        return _rubbish(what)
    if what.kind == "answer":
        return formats.answer(what.sms, what.key, what.text)
    if what.kind == "bill":
        return formats.bill(what.sms, what.key, what.amount, what.text)
    report = Report(_DATE, _DATE, err="000", text=what.key)
    return formats.receipt(what.sms, _receipt_id(what), what.text, report)


def _rubbish(what: Rubbish) -> Publication:
    exchange, key = {
        "dlr": (DLR.exchange, "dlr.deliver_sm"),
        "bill": (BILL.exchange, "bill_request.submit_sm_resp.rubbish"),
    }[what.stream]
    return Publication(exchange, key, what.body, what.message_id, what.headers)


def _receipt_id(event: Event) -> str:
    """Return the operator's id in hexadecimal, in which every receipt has it here."""
    sms = event.sms
    last = int(sms.operator_id, 10 if sms.operator_id.isdecimal() else 16)
    before = int(event.key.rpartition("-")[2]) + 1 if event.kind == "part" else 0
    return f"{last - before:x}"
