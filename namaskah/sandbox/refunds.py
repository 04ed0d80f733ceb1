"""Paystack's refunds: its books of them, what they do to a transaction, and what is announced about them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from .charges import stamp, verify_data
from .journal import Journal
from .till import Rejected, Till, Transaction, parse_amount
from .webhooks import TRIES, Webhooks

STATUSES = ("pending", "processing", "needs-attention", "processed", "failed")
# Nigerian banks by Paystack's own numbers, enough to choose from.
BANKS = {9: "Guaranty Trust Bank", 7: "First Bank of Nigeria", 18: "United Bank For Africa", 21: "Zenith Bank"}
WRONG_STATE = 'Invalid Refund state, refund status should be "needs-attention"'


@dataclass
class Refund:
    """`amount` in subunits. `announced` holds each webhook about it with the statuses its attempts met."""

    id: int
    transaction_reference: str
    amount: int
    currency: str
    merchant_note: str
    customer_note: str
    created_at: datetime
    updated_at: datetime
    status: str = "pending"
    refund_reference: str | None = None
    refunded_at: datetime | None = None
    account: dict[str, Any] = field(default_factory=dict)
    announced: list[dict[str, Any]] = field(default_factory=list)


def _refund_from(document: dict[str, Any]) -> Refund:
    names = ("created_at", "updated_at", "refunded_at")
    times = {name: document[name] and datetime.fromisoformat(document[name]) for name in names}
    return Refund(**{**document, **times})


class Refunds:
    """All verbs take the journal's lock and are on disk when they return."""

    def __init__(self, journal: Journal, till: Till, webhooks: Webhooks) -> None:
        self._journal = journal
        self._till = till
        self._webhooks = webhooks
        self._by_id = {refund.id: refund for refund in map(_refund_from, journal.all("refund"))}

    def reset(self) -> None:
        with self._journal.writing():
            self._journal.forget("refund")
            self._by_id.clear()

    def listing(self, transaction: str | None = None) -> list[Refund]:
        """Newest first; of one transaction, by its id or reference, if told."""
        with self._journal.lock:
            rows = list(reversed(self._by_id.values()))
        if not transaction:
            return rows
        found = self._transaction(transaction)
        return [refund for refund in rows if found and refund.transaction_reference == found.reference]

    def get(self, refund_id: int | str) -> Refund:
        """Raises Rejected (404)."""
        found = self._by_id.get(int(refund_id)) if str(refund_id).isdigit() else None
        if found is None:
            raise Rejected("Refund not found", "not_found", 404)
        return found

    def create(self, wanted: dict[str, Any]) -> Refund:
        """From the body of POST /refund. Raises Rejected. Asked twice it is two refunds, as at the real one."""
        transaction = self._transaction(str(wanted.get("transaction") or ""))
        if transaction is None:
            raise Rejected("Transaction not found", "transaction_not_found", 404)
        with self._journal.writing():
            if transaction.status == "reversed":
                raise Rejected("Transaction has been fully reversed")
            if transaction.status != "success":
                raise Rejected("Transaction cannot be refunded: it has not been paid")
            left = (transaction.paid_amount or 0) - self._amount_of(transaction, but="failed")
            amount = parse_amount(wanted["amount"]) if wanted.get("amount") not in (None, "") else left
            if not 0 < amount <= left:
                raise Rejected("Refund amount cannot be more than what is left of the transaction")
            now = datetime.now(UTC)
            refund = Refund(
                id=max(self._by_id, default=transaction.id * 10) + 1,
                transaction_reference=transaction.reference,
                amount=amount,
                currency=transaction.currency,
                merchant_note=str(wanted.get("merchant_note") or f"Refund for transaction {transaction.reference}"),
                customer_note=str(wanted.get("customer_note") or f"Refund for transaction {transaction.reference}"),
                created_at=now,
                updated_at=now,
            )
            self._by_id[refund.id] = refund
            self._note(refund, "pending")
        self._announce(refund, refund.announced[-1])
        return refund

    def move(self, refund: Refund, status: str) -> None:
        """On to any state, as the payer's bank would have it. Raises ValueError."""
        if status not in STATUSES:
            raise ValueError(f"a refund is one of {', '.join(STATUSES)}")
        with self._journal.writing():
            self._note(refund, status)
            transaction = self._till.find(refund.transaction_reference)
            if transaction is not None:
                back = self._amount_of(transaction, only="processed")
                self._till.mark_reversed(transaction, 0 < (transaction.paid_amount or 0) <= back)
        self._announce(refund, refund.announced[-1])

    def retry(self, refund_id: str, wanted: dict[str, Any]) -> Refund:
        """Pay it into the bank account that is told. Raises Rejected."""
        refund = self.get(refund_id)
        if refund.status != "needs-attention":
            raise Rejected(WRONG_STATE, "invalid_params", 422)
        details = wanted.get("refund_account_details")
        if not isinstance(details, dict):
            raise Rejected("refund_account_details is required")
        if details.get("currency") != refund.currency:
            raise Rejected("Currency does not match the refund's")
        if not re.fullmatch(r"\d{10}", str(details.get("account_number") or "")):
            raise Rejected("Account number should be 10 digits")
        if str(details.get("bank_id")) not in map(str, BANKS):
            raise Rejected("Bank is invalid")
        refund.account = {"bank_id": str(details["bank_id"]), "last4": str(details["account_number"])[-4:]}
        self.move(refund, "processing")
        return refund

    def resume(self) -> None:
        """After a restart: go on with what nobody acknowledged."""
        for refund in reversed(self.listing()):
            for announcement in refund.announced:
                if 200 not in announcement["statuses"]:
                    self._announce(refund, announcement)

    def as_json(self) -> list[dict[str, Any]]:
        """For `/control/books`."""
        names = ("id", "transaction_reference", "amount", "status", "merchant_note", "account", "announced")
        with self._journal.lock:
            return [{name: getattr(refund, name) for name in names} for refund in self._by_id.values()]

    def data(self, refund: Refund) -> dict[str, Any]:
        """A refund as GET tells it: its transaction by id."""
        transaction = self._till.find(refund.transaction_reference)
        return {
            "integration": 100_043,
            "transaction": transaction.id if transaction else None,
            "dispute": None,
            "settlement": None,
            "id": refund.id,
            "domain": self._till.domain,
            "currency": refund.currency,
            "amount": refund.amount,
            "status": refund.status,
            "refunded_at": stamp(refund.refunded_at),
            "refunded_by": "merchant@example.com",
            "customer_note": refund.customer_note,
            "merchant_note": refund.merchant_note,
            "deducted_amount": refund.amount,
            "fully_deducted": 1,
            "bank_reference": refund.refund_reference,
            "expected_at": stamp(refund.created_at),
            "createdAt": stamp(refund.created_at),
            "updatedAt": stamp(refund.updated_at),
        }

    def created_data(self, refund: Refund) -> dict[str, Any]:
        """The answer to POST: its transaction as an object."""
        transaction = self._till.find(refund.transaction_reference)
        whole = verify_data(transaction, self._till.domain) if transaction else {}
        return {**self.data(refund), "transaction": whole, "channel": None, "fully_deducted": False}

    def _transaction(self, wanted: str) -> Transaction | None:
        by_id = (t for t in self._till.transactions() if str(t.id) == wanted)
        return self._till.find(wanted) or next(by_id, None)

    def _amount_of(self, transaction: Transaction, *, only: str = "", but: str = "") -> int:
        mine = [r for r in self._by_id.values() if r.transaction_reference == transaction.reference]
        return sum(r.amount for r in mine if r.status != but and only in ("", r.status))

    def _note(self, refund: Refund, status: str) -> None:
        refund.status, refund.updated_at = status, datetime.now(UTC)
        if status in ("processed", "failed"):
            refund.refund_reference = f"TRF_{secrets.token_hex(6)}" if status == "failed" else str(refund.id * 7)
            refund.refunded_at = refund.updated_at
        event = {"event": f"refund.{status}", "data": _told(refund, self._till), "statuses": []}
        refund.announced.append(event)
        self._save(refund)

    def _save(self, refund: Refund) -> None:
        self._journal.put("refund", refund.id, asdict(refund))

    def _announce(self, refund: Refund, announcement: dict[str, Any]) -> None:
        self._webhooks.tell(
            announcement["event"], announcement["data"], self._recorder(refund, announcement["statuses"])
        )

    def _recorder(self, refund: Refund, statuses: list[int]) -> Callable[[int | None], bool]:
        """Keeps each attempt's status; says whether there should be another one."""

        def record(status: int | None) -> bool:
            with self._journal.writing():
                if self._by_id.get(refund.id) is not refund:
                    return False  # the books were emptied meanwhile
                if status is not None:
                    statuses.append(status)
                    self._save(refund)
                return 200 not in statuses and len(statuses) < TRIES

        return record


def _told(refund: Refund, till: Till) -> dict[str, Any]:
    """The `data` of a webhook. Only needs-attention names the refund, and the amount is text except in failed: so
    Paystack's own samples have it."""
    transaction = till.find(refund.transaction_reference)
    told: dict[str, Any] = {
        "status": refund.status,
        "transaction_reference": refund.transaction_reference,
        "refund_reference": refund.refund_reference,
        "amount": refund.amount if refund.status == "failed" else str(refund.amount),
        "currency": refund.currency,
        "customer": {"first_name": None, "last_name": None, "email": transaction.email if transaction else None},
        "integration": 100_043,
        "domain": till.domain,
    }
    if refund.status == "needs-attention":
        notes = {"customer_note": refund.customer_note, "merchant_note": refund.merchant_note}
        return {"id": str(refund.id), **told, **notes}
    return {**told, "processor": "mpgs_zen"}
