"""Ledger, top-ups, receipts and what the gateway told us. What keeps ledger and receipts right is in PostgreSQL
(migrations)."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    FetchedValue,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from namaskah.db import Base

ACCOUNT_KINDS = (
    "user_available",
    "user_held",
    "user_debt",
    "user_refunding",
    "user_disputed",
    "user_promo",
    "gateway_clearing",
    "gateway_fees",
    "provider_float",
    "provider_receivable",
    "provider_cost",
    "revenue",
    "promo",
    "suspense",
    "provider_suspense",
)
# A customer's money, wherever it is: never below zero. (A debt is what the customer owes us.)
GUARDED_KINDS = ("user_available", "user_held", "user_refunding", "user_disputed", "user_promo")


def one_of(column: str, values: tuple[str, ...]) -> str:
    """SQL of a CHECK that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class LedgerAccount(Base):
    """A place money can be. Amounts are integers with `scale` decimals: 2 for kobo, 6 for providers' costs.

    What we owe is positive, what we own or spent is negative, so every transaction sums to zero.
    Only users' accounts keep a running balance: they are read at each page and guarded against overdraft. The
    house's accounts are touched by every purchase; one running balance there would make all customers queue for it.
    """

    __tablename__ = "ledger_accounts"
    __table_args__ = (
        Index(
            "uq_ledger_accounts_owner",
            "kind",
            "user_id",
            "provider",
            "currency",
            unique=True,
            postgresql_nulls_not_distinct=True,
        ),
        CheckConstraint(one_of("kind", ACCOUNT_KINDS), name="kind"),
        CheckConstraint(f"NOT ({one_of('kind', GUARDED_KINDS)}) OR balance >= 0", name="not_negative"),
        CheckConstraint("(kind LIKE 'user%') = (user_id IS NOT NULL)", name="user"),
        CheckConstraint("(kind LIKE 'provider%') = (provider IS NOT NULL)", name="provider"),
        CheckConstraint("(kind LIKE 'user%') = (balance IS NOT NULL)", name="running_balance"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)
    provider: Mapped[str | None] = mapped_column(String(40))
    currency: Mapped[str] = mapped_column(String(3))
    scale: Mapped[int] = mapped_column()
    balance: Mapped[int | None] = mapped_column(BigInteger)
    sequence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class LedgerTransaction(Base):
    """One movement of money, done once: the idempotency key is made from the business reference."""

    __tablename__ = "ledger_transactions"
    __table_args__ = (Index("ix_ledger_transactions_reference", "reference"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    idempotency_key: Mapped[str] = mapped_column(String(120), unique=True)
    reference: Mapped[str] = mapped_column(String(100))
    actor: Mapped[str] = mapped_column(String(100), server_default="system")
    note: Mapped[str] = mapped_column(Text, server_default="")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class LedgerEntry(Base):
    """One signed line of a transaction. Never changed, never deleted. For users' accounts the database fills in
    the balance after it and its place in the account."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        Index("uq_ledger_entries_account_id_sequence", "account_id", "sequence", unique=True),
        CheckConstraint("amount <> 0", name="amount"),
        Index(
            "ix_ledger_entries_house",
            "account_id",
            "id",
            postgresql_include=["amount"],
            postgresql_where=text("sequence IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    transaction_id: Mapped[int] = mapped_column(ForeignKey("ledger_transactions.id"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("ledger_accounts.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    balance_after: Mapped[int | None] = mapped_column(BigInteger)
    sequence: Mapped[int | None] = mapped_column(BigInteger)

    transaction: Mapped[LedgerTransaction] = relationship()


class LedgerSnapshot(Base):
    """What one of the house's accounts held after entry `entry_id`: its balance is this and whatever came later."""

    __tablename__ = "ledger_snapshots"

    account_id: Mapped[int] = mapped_column(ForeignKey("ledger_accounts.id"), primary_key=True, autoincrement=False)
    entry_id: Mapped[int] = mapped_column(BigInteger)
    balance: Mapped[int] = mapped_column(BigInteger)
    taken_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


# Paid on the gateway's page, with a kept card at a press, or with one by itself.
TOP_UP_ORIGINS = ("checkout", "card", "auto")
AUTO_UNDER_WAY = "origin = 'auto' AND state IN ('opened', 'pending') AND checkout_url IS NULL"
TOP_UP_STATES = ("opened", "pending", "paid", "failed", "abandoned", "expired", "mismatch", "closed")
# How a payment differs from what was asked for.
DIFFERENCES = ("wrong_mode", "wrong_currency", "underpaid", "overpaid", "other_wallet")


class TopUp(Base):
    """Money on its way in. `opened`: not yet settled; `pending`: the payer's bank is still at it; `mismatch`: paid,
    but not what we asked for, so a person looks at it; `closed`: a person did, and nothing was credited.

    `amount_minor` is what the customer chose and is credited; `surcharge_minor` is asked for on top of it where the
    payer bears the gateway's fee. `paid_minor` is all that was paid, `fees_minor` what the gateway took of it.
    `seen_minor` and `seen_currency` are what was paid where that differs from what was asked for. `reversed_at`: since
    when we know that the gateway has sent a credited payment back.
    """

    __tablename__ = "top_ups"
    __table_args__ = (
        CheckConstraint(one_of("state", TOP_UP_STATES), name="state"),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("(state = 'paid') = (paid_minor IS NOT NULL)", name="paid"),
        CheckConstraint(
            "surcharge_minor >= 0 AND (paid_minor IS NULL OR paid_minor > surcharge_minor)", name="surcharge"
        ),
        CheckConstraint(one_of("difference", DIFFERENCES), name="difference"),
        CheckConstraint("reversed_at IS NULL OR state = 'paid'", name="reversed"),
        CheckConstraint(
            "reversal_note IS NULL OR reversed_at IS NOT NULL AND reversal_note <> ''", name="reversal_note"
        ),
        CheckConstraint(
            "(decided_at IS NULL) = (decided_by IS NULL) AND (decided_at IS NULL) = (decision IS NULL)"
            " AND decision <> '' AND (state <> 'closed' OR decided_at IS NOT NULL)",
            name="decided",
        ),
        Index("ix_top_ups_check_at", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index("ix_top_ups_user_id_id", "user_id", "id"),
        Index("ix_top_ups_attention", "id", postgresql_where=text("state = 'mismatch' OR reversed_at IS NOT NULL")),
        CheckConstraint(one_of("origin", TOP_UP_ORIGINS), name="origin"),
        # At most one of them at a time is charged by itself. One that waits for a person is not under way.
        Index("uq_top_ups_auto_under_way", "user_id", unique=True, postgresql_where=text(AUTO_UNDER_WAY)),
        Index("ix_top_ups_card_id", "card_id", postgresql_where=text("card_id IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    reference: Mapped[str] = mapped_column(String(40), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    key: Mapped[str] = mapped_column(String(64), unique=True)  # of the form: a double click opens one checkout
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    surcharge_minor: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    currency: Mapped[str] = mapped_column(String(3))
    state: Mapped[str] = mapped_column(String(16), server_default="opened")
    checkout_url: Mapped[str | None] = mapped_column(Text)
    paid_minor: Mapped[int | None] = mapped_column(BigInteger)
    fees_minor: Mapped[int | None] = mapped_column(BigInteger)
    gateway_status: Mapped[str | None] = mapped_column(String(32))
    gateway_message: Mapped[str | None] = mapped_column(Text)
    channel: Mapped[str | None] = mapped_column(String(32))
    check_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # next time the sweep asks Paystack
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    difference: Mapped[str | None] = mapped_column(String(16))
    seen_minor: Mapped[int | None] = mapped_column(BigInteger)
    seen_currency: Mapped[str | None] = mapped_column(String(16))
    reversed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    reversal_note: Mapped[str | None] = mapped_column(Text)  # why, where a person has found out
    # A person's decision on a mismatch: when, whose ("user:7"), and why.
    decided_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    decided_by: Mapped[str | None] = mapped_column(String(100))
    decision: Mapped[str | None] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(String(16), server_default="checkout")
    keep_card: Mapped[bool] = mapped_column(server_default=text("false"))  # the payer asked for it
    card_id: Mapped[int | None] = mapped_column(ForeignKey("saved_cards.id", ondelete="SET NULL"))  # what is charged

    @property
    def asked_minor(self) -> int:
        """What the checkout is opened with."""
        return self.amount_minor + self.surcharge_minor

    @property
    def credited_minor(self) -> int | None:
        """What came into the wallet of what was paid; None while nothing has."""
        return None if self.paid_minor is None else self.paid_minor - self.surcharge_minor


# What is not over: the worker is still at it, or it waits for a person. Refunds and disputes that nothing here acts on
# are among it, for money moves there.
OPEN_EVENT = (
    "closed_at IS NULL AND (handled_at IS NULL OR outcome IN ('unmatched', 'not_an_event') OR outcome ="
    " 'not_handled_here' AND (starts_with(event, 'charge.dispute.') OR starts_with(event, 'refund.')))"
)


class GatewayEvent(Base):
    """A webhook from the gateway as it came, kept for good: acted upon by the worker, never dropped.

    `raw`: the very bytes that were signed; empty for events from before they were kept, for deleted accounts', and
    after some time (event_retention).
    While `handled_at` is empty the worker tries again at `due_at`, and `outcome` says what the last try came to.
    """

    __tablename__ = "gateway_events"
    __table_args__ = (
        Index("ix_gateway_events_due_at", "due_at", postgresql_where=text("handled_at IS NULL")),
        Index("ix_gateway_events_open", "id", postgresql_where=text(OPEN_EVENT)),
        Index("ix_gateway_events_received_at_with_raw", "received_at", postgresql_where=text("raw IS NOT NULL")),
        CheckConstraint(
            "closed_at IS NULL OR handled_at IS NOT NULL AND closed_by IS NOT NULL AND closed_reason IS NOT NULL",
            name="closed",
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    digest: Mapped[str] = mapped_column(String(128), unique=True)  # of the raw body: a copy is stored once
    event: Mapped[str] = mapped_column(String(64))
    reference: Mapped[str | None] = mapped_column(String(100), index=True)
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    handled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    outcome: Mapped[str | None] = mapped_column(String(64))
    raw: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    last_error: Mapped[str | None] = mapped_column(Text)
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    closed_by: Mapped[str | None] = mapped_column(String(100))
    closed_reason: Mapped[str | None] = mapped_column(Text)


class GatewayLook(Base):
    """When the gateway's list of payments of some kind is read next: any number of workers read it once."""

    __tablename__ = "gateway_looks"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class BuyerDetails(Base):
    """What a customer wants to stand on receipts, beside the account's name. Copied into each as it is issued."""

    __tablename__ = "buyer_details"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    company: Mapped[str] = mapped_column(String(120), server_default="")
    address: Mapped[str] = mapped_column(String(300), server_default="")
    tax_id: Mapped[str] = mapped_column(String(40), server_default="")


INVOICE_KINDS = ("receipt", "credit_note", "debit_note")
NOTES = one_of("kind", INVOICE_KINDS[1:])


class Invoice(Base):
    """A receipt for a top-up, a credit note for money that went back, or a debit note for what of that came back.
    Never changed, never deleted.

    PostgreSQL numbers them as they are inserted, without a gap in a year, and dates run with the numbers. Amounts are
    above zero in all kinds; tax and the fee that a payer bore are parts of the total. `seller` and `buyer` are copies
    of what was known then. Insert with no ON CONFLICT: a document that is then left out would take its number with it.
    """

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("year", "number"),
        Index("uq_invoices_receipt", "top_up_id", unique=True, postgresql_where=text("kind = 'receipt'")),
        Index("ix_invoices_user_id_id", "user_id", "id"),
        CheckConstraint(one_of("kind", INVOICE_KINDS), name="kind"),
        CheckConstraint("year = extract(year FROM issued_on)", name="year"),
        CheckConstraint("total_minor > 0 AND tax_minor BETWEEN 0 AND total_minor", name="amounts"),
        CheckConstraint(
            "fee_minor >= 0 AND fee_minor < total_minor AND (kind = 'receipt' OR fee_minor = 0)", name="fee"
        ),
        CheckConstraint(
            f"({NOTES}) = (receipt_id IS NOT NULL) AND ({NOTES}) = (refund_reference IS NOT NULL)", name="credit_note"
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    year: Mapped[int] = mapped_column()
    number: Mapped[int] = mapped_column(BigInteger, FetchedValue())
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    top_up_id: Mapped[int] = mapped_column(ForeignKey("top_ups.id"))
    receipt_id: Mapped[int | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    refund_reference: Mapped[str | None] = mapped_column(String(100), unique=True)
    issued_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), FetchedValue())
    # Days of the seller's calendar; the year is of the first.
    issued_on: Mapped[date] = mapped_column(Date)
    paid_on: Mapped[date] = mapped_column(Date)
    language: Mapped[str] = mapped_column(String(12))
    currency: Mapped[str] = mapped_column(String(3))
    total_minor: Mapped[int] = mapped_column(BigInteger)
    fee_minor: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    tax_minor: Mapped[int] = mapped_column(BigInteger)
    tax_rate: Mapped[int] = mapped_column()  # hundredths of a percent; 0: no tax line
    tax_name: Mapped[str] = mapped_column(String(40))
    seller: Mapped[dict[str, str]] = mapped_column(JSONB)
    buyer: Mapped[dict[str, str]] = mapped_column(JSONB)

    top_up: Mapped[TopUp] = relationship()
    receipt: Mapped["Invoice | None"] = relationship(remote_side=[id])

    @property
    def full_number(self) -> str:
        """As people write it: NK-2026-000001."""
        return f"NK-{self.year}-{self.number:06d}"


class InvoiceYear(Base):
    """The last number given in a year, and its day. Locked from then until the commit: numbers are given one by one."""

    __tablename__ = "invoice_years"

    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(BigInteger)
    last_on: Mapped[date] = mapped_column(Date)


class ReceiptDue(Base):
    """A paid top-up without a receipt: PostgreSQL enters it as it becomes paid and takes it out as the receipt is
    issued, usually within one transaction. What is left, because older code credited it, the worker issues."""

    __tablename__ = "receipts_due"

    top_up_id: Mapped[int] = mapped_column(ForeignKey("top_ups.id"), primary_key=True)
