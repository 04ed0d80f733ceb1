"""Disputes of payments: what payers' banks take up, what the merchant answers, and how it ends.

awaiting-merchant-feedback ──► awaiting-bank-feedback   the merchant declines, with evidence
           ├────────────────► resolved, merchant-accepted   the merchant gives in
           └────────────────► resolved, auto-accepted       nobody answered in time, or the bank is for the payer
awaiting-bank-feedback ──────► resolved, declined            the bank is for the merchant
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from .charges import customer_data, stamp, verify_data
from .journal import Journal
from .till import Rejected, Till, Transaction
from .webhooks import TRIES, Webhooks

CATEGORIES = ("chargeback", "fraud", "general")
STATUSES = ("awaiting-merchant-feedback", "awaiting-bank-feedback", "pending", "resolved")
DAY = 86_400.0


@dataclass
class Dispute:
    """`notices`: every webhook there was about it, each with the statuses it met."""

    id: int
    reference: str
    refund_amount: int
    category: str
    due_at: datetime
    created_at: datetime
    updated_at: datetime
    status: str = STATUSES[0]
    resolution: str | None = None
    resolved_at: datetime | None = None
    message: str | None = None
    uploaded: str | None = None
    evidence: dict[str, Any] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status != "resolved"


def _dispute_from(document: dict[str, Any]) -> Dispute:
    names = ("due_at", "created_at", "updated_at", "resolved_at")
    times = {name: document[name] and datetime.fromisoformat(document[name]) for name in names}
    return Dispute(**{**document, **times})


class Disputes:
    """All verbs take the journal's lock and are on disk when they return."""

    def __init__(self, journal: Journal, till: Till, webhooks: Webhooks) -> None:
        self._journal, self._till, self._webhooks = journal, till, webhooks
        self._last_id = int(time.time()) - 1_700_000_000
        self._all: dict[int, Dispute] = {}
        for document in journal.all("dispute"):
            dispute = _dispute_from(document)
            self._all[dispute.id] = dispute
            self._last_id = max(self._last_id, dispute.id)

    def reset(self) -> None:
        with self._journal.writing():
            self._journal.forget("dispute")
            self._journal.forget("upload")
            self._all.clear()

    def resume(self) -> None:
        """After a restart: go on with webhooks that nobody acknowledged."""
        for dispute in self.listing():
            for notice in dispute.notices:
                if 200 not in notice["statuses"] and len(notice["statuses"]) < TRIES:
                    self._send(dispute, notice)

    def listing(self) -> list[Dispute]:
        """Newest first."""
        with self._journal.lock:
            return list(reversed(self._all.values()))

    def find(self, dispute_id: int) -> Dispute | None:
        return self._all.get(dispute_id)

    def must_find(self, dispute_id: object) -> Dispute:
        """Raises Rejected (404)."""
        found = self._all.get(int(str(dispute_id))) if str(dispute_id).isdigit() else None
        if found is None:
            raise Rejected("Dispute not found", "dispute_not_found", 404)
        return found

    def transaction_of(self, dispute: Dispute) -> Transaction:
        found = self._till.find(dispute.reference)
        assert found is not None, "disputes are opened on payments that are there"
        return found

    def open(
        self, reference: str, amount: int | None = None, category: str = CATEGORIES[0], due_seconds: float = DAY
    ) -> Dispute:
        """The payer's bank takes a payment up, or `amount` subunits of it. Raises ValueError when that cannot be."""
        paid = self._till.find(reference)
        if paid is None or paid.paid_amount is None:
            raise ValueError("only a payment that succeeded can be disputed")
        wanted = paid.paid_amount if amount is None else amount
        if category not in CATEGORIES or wanted <= 0:
            raise ValueError(f"an amount above zero and one of {', '.join(CATEGORIES)} are needed")
        with self._journal.writing():
            self._last_id += 1
            at = datetime.now(UTC)
            due = at + timedelta(seconds=due_seconds)
            dispute = Dispute(self._last_id, reference, wanted, category, due, at, at)
            self._all[dispute.id] = dispute
            self._step(dispute, "bank@example.com")
            self._tell(dispute, "create")
        return dispute

    def remind(self, dispute: Dispute) -> None:
        """The gateway says once more that it waits for an answer."""
        with self._journal.writing():
            self._step(dispute, "support@paystack.example")
            self._tell(dispute, "remind")

    def answer(self, dispute: Dispute, resolution: str, message: str, uploaded: str) -> None:
        """What the merchant says: merchant-accepted ends it, declined leaves the decision to the bank."""
        with self._journal.writing():
            if dispute.status != STATUSES[0]:
                raise Rejected("Dispute has already been answered or resolved", "invalid_state", 422)
            dispute.message, dispute.uploaded = message, uploaded
            dispute.messages.append({"sender": "merchant", "body": message, "createdAt": stamp(datetime.now(UTC))})
            if resolution == "declined":
                dispute.status = "awaiting-bank-feedback"
                self._step(dispute, "merchant")
            else:
                self._end(dispute, resolution, "merchant")

    def decide(self, dispute: Dispute, outcome: str) -> None:
        """The bank decides: won or lost by the merchant. Raises ValueError."""
        if outcome not in ("won", "lost") or not dispute.is_open:
            raise ValueError("an open dispute is won or lost")
        with self._journal.writing():
            self._end(dispute, "declined" if outcome == "won" else "auto-accepted", "bank@example.com")

    def reopen(self, dispute: Dispute) -> None:
        """The bank takes it up again. Raises ValueError while it is open."""
        if dispute.is_open:
            raise ValueError("it is open")
        with self._journal.writing():
            dispute.status, dispute.resolution, dispute.resolved_at = STATUSES[0], None, None
            dispute.due_at = datetime.now(UTC) + timedelta(seconds=DAY)
            self._till.set_status(self.transaction_of(dispute), "success")
            self._step(dispute, "bank@example.com")
            self._tell(dispute, "remind")

    def change_amount(self, dispute: Dispute, amount: int) -> None:
        """The bank wants another part of the payment back."""
        with self._journal.writing():
            dispute.refund_amount = amount
            self._step(dispute, "bank@example.com")
            self._tell(dispute, "remind")

    def let_time_run_out(self, dispute: Dispute) -> None:
        """As if the deadline had come."""
        with self._journal.writing():
            dispute.due_at = min(dispute.due_at, datetime.now(UTC))
            self.settle()

    def settle(self) -> None:
        """Whatever nobody answered in time counts as accepted."""
        with self._journal.writing():
            at = datetime.now(UTC)
            for dispute in self._all.values():
                if dispute.status == STATUSES[0] and dispute.due_at <= at:
                    self._end(dispute, "auto-accepted", "system")

    def keep_evidence(self, dispute: Dispute, evidence: dict[str, Any]) -> dict[str, Any]:
        with self._journal.writing():
            self._last_id += 1
            dispute.evidence = {"id": self._last_id, "dispute": dispute.id, **evidence}
            self._save(dispute)
            return dispute.evidence

    def _end(self, dispute: Dispute, resolution: str, by: str) -> None:
        dispute.status, dispute.resolution, dispute.resolved_at = "resolved", resolution, datetime.now(UTC)
        if resolution != "declined":
            self._till.set_status(self.transaction_of(dispute), "reversed")
        self._step(dispute, by)
        self._tell(dispute, "resolve")

    def _step(self, dispute: Dispute, by: str) -> None:
        # Two steps never have one time: who reads them must see which is later.
        dispute.updated_at = max(datetime.now(UTC), dispute.updated_at + timedelta(milliseconds=1))
        dispute.history.append({"status": dispute.status, "by": by, "createdAt": stamp(dispute.updated_at)})
        self._save(dispute)

    def _tell(self, dispute: Dispute, what: str) -> None:
        data = dispute_data(dispute, self.transaction_of(dispute), self._till.domain)
        data |= {
            "created_at": data.pop("createdAt"),
            "updated_at": data.pop("updatedAt"),
            "transaction_reference": None,
        }
        notice = {"event": f"charge.dispute.{what}", "data": data, "statuses": []}
        dispute.notices.append(notice)
        self._save(dispute)
        self._send(dispute, notice)

    def _send(self, dispute: Dispute, notice: dict[str, Any]) -> None:
        def record(status: int | None) -> bool:
            with self._journal.writing():
                if self._all.get(dispute.id) is not dispute:
                    return False  # the books were emptied meanwhile
                if status is not None:
                    notice["statuses"].append(status)
                    self._save(dispute)
                return 200 not in notice["statuses"] and len(notice["statuses"]) < TRIES

        self._webhooks.tell(notice["event"], notice["data"], record)

    def _save(self, dispute: Dispute) -> None:
        self._journal.put("dispute", dispute.id, asdict(dispute))

    def as_json(self) -> list[dict[str, Any]]:
        """The disputes as `/control/books` tells them."""
        with self._journal.lock:
            return [asdict(dispute) for dispute in self._all.values()]


def dispute_data(dispute: Dispute, transaction: Transaction, domain: str) -> dict[str, Any]:
    """The `data` of GET /dispute/:id; webhooks say created_at and updated_at."""
    return {
        "id": dispute.id,
        "refund_amount": dispute.refund_amount,
        "currency": transaction.currency,
        "status": dispute.status,
        "resolution": dispute.resolution,
        "domain": domain,
        "transaction": verify_data(transaction, domain),
        "category": dispute.category,
        "customer": customer_data(transaction),
        "bin": "408408",
        "last4": "4081",
        "dueAt": stamp(dispute.due_at),
        "resolvedAt": stamp(dispute.resolved_at),
        "evidence": dispute.evidence,
        "attachments": dispute.uploaded,
        "note": None,
        "history": [dict(step) for step in dispute.history],
        "messages": [dict(message) for message in dispute.messages],
        "createdAt": stamp(dispute.created_at),
        "updatedAt": stamp(dispute.updated_at),
    }
