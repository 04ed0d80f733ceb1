"""Paystack's side of the books: every transaction, what was paid, and every webhook attempt."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from .journal import Journal

# Smallest payment per currency, in subunits: ₦50, $2, ₵0.10, R1, KSh 3, 1 XOF.
MINIMUM = {"NGN": 5000, "USD": 200, "GHS": 10, "ZAR": 100, "KES": 300, "XOF": 100}
MAXIMUM = 1_000_000_000
# What the control API may set of a transaction.
PLAYABLE = {"status", "paid_amount", "currency", "domain", "gateway_response", "fees"}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_REFERENCE = re.compile(r"[A-Za-z0-9.=-]+")


class Rejected(Exception):
    """Paystack's no: its own sentence, its code and the HTTP status."""

    def __init__(self, message: str, code: str = "invalid_params", status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


@dataclass
class Transaction:
    """Amounts are integers in the currency's subunit (kobo, cent). `metadata` is kept as it was sent."""

    id: int
    reference: str
    access_code: str
    email: str
    amount: int
    currency: str
    metadata: Any
    callback_url: str | None
    created_at: datetime
    status: str = "abandoned"
    paid_amount: int | None = None
    fees: int | None = None
    gateway_response: str = "The transaction was not completed"
    paid_at: datetime | None = None
    attempts: int = 0
    errors: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    channel: str = "card"
    authorization: dict[str, Any] = field(default_factory=dict)
    webhook_deliveries: list[dict[str, Any]] = field(default_factory=list)
    domain: str | None = None  # another mode than the till's, where that was set

    @property
    def has_succeeded(self) -> bool:
        """It was paid, whatever of it has gone back since."""
        return self.status == "success" or (self.status == "reversed" and self.paid_amount is not None)

    @property
    def is_acknowledged(self) -> bool:
        return any(delivery["status"] == 200 for delivery in self.webhook_deliveries)


def fees(amount: int, currency: str) -> int:
    """What Paystack keeps of a local payment, in subunits, rounded up.

    Nigeria: 1.5 % + ₦100, the ₦100 waived under ₦2,500, never more than ₦2,000. Source: Paystack's pricing page.
    """
    if currency == "NGN":
        return min(-(-amount * 15 // 1000) + (10_000 if amount >= 250_000 else 0), 200_000)
    per_thousandths, flat = {"GHS": (195, 0), "KES": (290, 0), "ZAR": (290, 100), "USD": (390, 0), "XOF": (320, 0)}[
        currency
    ]
    return -(-amount * per_thousandths // 10_000) + flat


def parse_amount(value: Any) -> int:
    """Subunits from an int or a numeric string, as Paystack takes them. Raises Rejected."""
    if value in (None, ""):
        raise Rejected("You must specify a valid amount")
    if isinstance(value, bool) or not re.fullmatch(r"\d+", str(value)):
        raise Rejected("Invalid Amount Sent")
    if int(value) > MAXIMUM:
        raise Rejected("Transaction amount limit exceeded")
    return int(value)


def _transaction_from(document: dict[str, Any]) -> Transaction:
    times = {k: document[k] and datetime.fromisoformat(document[k]) for k in ("created_at", "paid_at")}
    return Transaction(**{**document, **times})


class Till:
    """All verbs take the journal's lock and are on disk when they return."""

    def __init__(self, journal: Journal, secret_key: str) -> None:
        self._journal = journal
        self.domain = "live" if secret_key.startswith("sk_live_") else "test"
        self.currency = "NGN"
        self._last_id = (int(time.time()) - 1_700_000_000) * 10
        self._by_reference: dict[str, Transaction] = {}
        for document in journal.all("transaction"):
            transaction = _transaction_from(document)
            self._by_reference[transaction.reference] = transaction
            self._last_id = max(self._last_id, transaction.id)

    def reset(self) -> None:
        with self._journal.writing():
            self._journal.forget("transaction")
            self._by_reference.clear()

    def _save(self, transaction: Transaction) -> None:
        self._journal.put("transaction", transaction.reference, asdict(transaction))

    def transactions(self) -> list[Transaction]:
        """Newest first."""
        with self._journal.lock:
            return list(reversed(self._by_reference.values()))

    def find(self, reference: str) -> Transaction | None:
        return self._by_reference.get(reference)

    def find_by_access_code(self, access_code: str) -> Transaction | None:
        return next((t for t in self.transactions() if t.access_code == access_code), None)

    def initialize(self, wanted: dict[str, Any]) -> Transaction:
        """Open a transaction from the body of Paystack's initialize call. Raises Rejected."""
        email = str(wanted.get("email") or "")
        if not email:
            raise Rejected("Email is not allowed to be empty")
        if not _EMAIL.fullmatch(email):
            raise Rejected("Invalid Email Address Passed")
        amount, currency = parse_amount(wanted.get("amount")), str(wanted.get("currency") or self.currency)
        if currency not in MINIMUM:
            raise Rejected("Currency not supported by merchant", "unsupported_currency", 403)
        if amount < MINIMUM[currency]:
            raise Rejected("Invalid Amount Sent")
        reference = str(wanted.get("reference") or secrets.token_hex(5))
        if not _REFERENCE.fullmatch(reference):
            raise Rejected("Invalid character in transaction reference")
        return self._open(reference, email, amount, currency, wanted)

    def _open(self, reference: str, email: str, amount: int, currency: str, wanted: dict[str, Any]) -> Transaction:
        with self._journal.writing():
            if reference in self._by_reference:
                raise Rejected("Duplicate Transaction Reference", "duplicate_reference")
            self._last_id += 1
            transaction = Transaction(
                id=self._last_id,
                reference=reference,
                access_code=secrets.token_hex(8),
                email=email,
                amount=amount,
                currency=currency,
                metadata=wanted.get("metadata", ""),
                callback_url=wanted.get("callback_url") or None,
                created_at=datetime.now(UTC),
            )
            self._by_reference[reference] = transaction
            self._save(transaction)
            return transaction

    def _step(self, transaction: Transaction, kind: str, message: str) -> None:
        spent = int((datetime.now(UTC) - transaction.created_at).total_seconds())
        transaction.history.append({"type": kind, "message": message, "time": spent})
        self._save(transaction)

    def pay(
        self, transaction: Transaction, amount: int, authorization: dict[str, Any] | None = None, channel: str = "card"
    ) -> bool:
        """The payer pays this amount, in subunits, and leaves this authorization behind. False when it was paid before:
        a charge succeeds once."""
        with self._journal.writing():
            if transaction.has_succeeded:
                return False
            transaction.status, transaction.gateway_response = "success", "Successful"
            transaction.paid_amount, transaction.fees = amount, fees(amount, transaction.currency)
            transaction.paid_at = datetime.now(UTC)
            transaction.authorization, transaction.channel = authorization or {}, channel
            transaction.attempts += 1
            self._step(transaction, "action", f"Attempted to pay with {channel}")
            self._step(transaction, "success", f"Successfully paid with {channel}")
            return True

    def mark_reversed(self, transaction: Transaction, is_reversed: bool) -> None:
        """All of a payment went back to the payer, or after all not."""
        with self._journal.writing():
            if transaction.has_succeeded:
                transaction.status = "reversed" if is_reversed else "success"
                self._save(transaction)

    def decline(self, transaction: Transaction, reason: str = "Insufficient Funds") -> None:
        """The card is refused; the payer may try again."""
        with self._journal.writing():
            if transaction.has_succeeded:
                return
            transaction.status, transaction.gateway_response = "failed", reason
            transaction.attempts += 1
            transaction.errors += 1
            self._step(transaction, "error", f"Error: {reason}")

    def wait(self, transaction: Transaction, status: str = "ongoing") -> None:
        """The bank is still at it, or waits for the cardholder."""
        with self._journal.writing():
            transaction.status, transaction.gateway_response = status, "Pending"
            self._save(transaction)

    def leave(self, transaction: Transaction) -> None:
        """The payer goes away without paying."""
        with self._journal.writing():
            if not transaction.has_succeeded:
                transaction.status = "abandoned"
                self._step(transaction, "close", "Page closed")

    def become(self, transaction: Transaction, wanted: dict[str, Any]) -> None:
        """What no checkout can play: any status, amount, currency, mode or words. Raises ValueError for a name that is
        none of these, or an amount that is none."""
        if strange := set(wanted) - PLAYABLE:
            raise ValueError(f"{', '.join(sorted(strange))} cannot be set, {', '.join(sorted(PLAYABLE))} can")
        for name in {"paid_amount", "fees"} & set(wanted):
            if type(wanted[name]) is not int or not 0 <= wanted[name] <= MAXIMUM:
                raise ValueError(f"{name} is a whole number of subunits")
        with self._journal.writing():
            for name, value in wanted.items():
                setattr(transaction, name, value if name in {"paid_amount", "fees"} else str(value))
            if transaction.status == "success" and transaction.paid_at is None:
                transaction.paid_at = datetime.now(UTC)
            self._step(transaction, "action", f"Became {transaction.status}")

    def set_status(self, transaction: Transaction, status: str) -> None:
        """What became of a payment later: reversed by a dispute, or standing again."""
        with self._journal.writing():
            transaction.status = status
            self._save(transaction)

    def record_delivery(self, transaction: Transaction, status: int) -> None:
        """One webhook attempt and the HTTP status it met, 0 for no answer."""
        with self._journal.writing():
            if transaction.reference in self._by_reference:
                at = datetime.now(UTC).isoformat()
                transaction.webhook_deliveries.append({"at": at, "status": status})
                self._save(transaction)

    def unacknowledged(self) -> Iterator[Transaction]:
        """Paid, but nobody answered the webhook with 200 yet."""
        return (t for t in self.transactions() if t.has_succeeded and not t.is_acknowledged)

    def as_json(self) -> dict[str, Any]:
        """Paystack's books as `/control/books` tells them."""
        names = ("reference", "amount", "paid_amount", "currency", "status", "fees", "webhook_deliveries", "id")
        with self._journal.lock:
            rows = [{n: getattr(t, n) for n in names} for t in self._by_reference.values()]
            return {"currency": self.currency, "transactions": [dict(row) for row in rows]}
