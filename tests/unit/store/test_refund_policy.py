from __future__ import annotations

from uuid import UUID

import pytest

from service.settings import Refund
from service.store.refund_policy import RefundPolicy

OURS, OTHER = UUID(int=1), UUID(int=2)


def test_by_default_no_receipt_refunds_anybody():
    policy = RefundPolicy(Refund())
    assert policy.submissions
    assert not policy.reverses
    assert not policy.receipts
    assert not policy.covers("rejected", OURS, "smsc1")


@pytest.mark.parametrize(
    ("account", "connector", "covered"),
    [
        (OTHER, "smsc1", {"rejected"}),
        (OTHER, "smsc2", {"expired", "failed"}),
        (OTHER, "smsc3", set()),
        (OTHER, None, {"rejected"}),
        (None, "smsc2", {"expired", "failed"}),
        (OURS, "smsc1", {"failed"}),
        (OURS, "smsc2", {"failed"}),
        (OURS, None, {"failed"}),
    ],
)
def test_an_accounts_rule_wins_over_a_connectors_and_that_over_the_general_one(
    account, connector, covered
):
    policy = RefundPolicy(
        Refund(
            receipts=("rejected",),
            by_connector={"smsc2": ("expired", "failed"), "smsc3": ()},
            by_account={OURS: ("failed",)},
        )
    )
    statuses = ("rejected", "expired", "failed")
    assert {s for s in statuses if policy.covers(s, account, connector)} == covered
    assert policy.receipts == set(statuses)
