"""What is published in place of Jasmin is what Jasmin publishes."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from bench import formats
from bench.formats import Publication, Report
from tests.support.gateway import capture

BILLS = "bill_request.submit_sm_resp."


class Account(NamedTuple):
    uid: str
    id: str = ""


class Sms(NamedTuple):
    message_id: str
    account: Account = Account("")
    connector_id: str = ""
    native: bool = True


def again(theirs: Publication) -> Publication:
    """Make a publication of Jasmin's from what it is about."""
    name, text, headers = theirs.message_id, theirs.body.decode(), theirs.headers
    if theirs.routing_key.startswith(BILLS):
        sms = Sms("", Account(headers["user-id"]))
        return formats.bill(sms, text, headers["amount"], "ESME_ROK")
    if theirs.routing_key == "dlr.submit_sm_resp":
        return formats.answer(Sms(name), headers.get("smpp_msgid", ""), text)
    dates = headers["dlr_sdate"], headers["dlr_ddate"]
    report = Report(*dates, headers["dlr_err"], headers["dlr_text"], headers["dlr_dlvrd"])
    return formats.receipt(Sms("", connector_id=headers["cid"]), name, text, report)


@pytest.mark.parametrize("key", ["dlr.submit_sm_resp", "dlr.deliver_sm", BILLS])
def test_native_publications_are_jasmins(key: str) -> None:
    captured = [theirs for theirs in capture() if theirs.routing_key.startswith(key)]
    captured = [theirs for theirs in captured if theirs.headers.get("type") != "data_sm"]
    assert captured
    for theirs in captured:
        ours = again(theirs)
        assert ours == theirs
        assert list(ours.headers) == list(theirs.headers)
