"""Whose failures are paid back: practice differs between operators, so it is set."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from service.settings import Refund


class RefundPolicy:
    """What the settings say about refunds; knows nothing of the database."""

    def __init__(self, settings: Refund) -> None:
        self.submissions = settings.submissions
        self.settle_seconds = settings.settle
        self.reverses = settings.after_delivery == "reverse"
        self._general = frozenset(settings.receipts)
        self._by_account = {k: frozenset(v) for k, v in settings.by_account.items()}
        self._by_connector = {k: frozenset(v) for k, v in settings.by_connector.items()}
        self.receipts: frozenset[str] = self._general.union(
            *self._by_account.values(), *self._by_connector.values()
        )
        """CDR statuses for which a receipt may refund anybody at all."""

    def covers(self, cdr_status: str, account_id: UUID | None, connector_id: str | None) -> bool:
        """Whether a receipt with this status refunds; an account's rule wins over a connector's."""
        rule = self._general
        if connector_id is not None:
            rule = self._by_connector.get(connector_id, rule)
        if account_id is not None:
            rule = self._by_account.get(account_id, rule)
        return cdr_status in rule
