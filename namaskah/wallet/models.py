"""Ledger, top-ups and what the gateway told us. The rules that keep the ledger right are in PostgreSQL (migrations)."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Identity, Index, String, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from namaskah.db import Base

ACCOUNT_KINDS = (
    "user_available",
    "user_held",
    "user_debt",
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
        CheckConstraint("kind NOT IN ('user_available', 'user_held') OR balance >= 0", name="not_negative"),
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
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    transaction_id: Mapped[int] = mapped_column(ForeignKey("ledger_transactions.id"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("ledger_accounts.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    balance_after: Mapped[int | None] = mapped_column(BigInteger)
    sequence: Mapped[int | None] = mapped_column(BigInteger)

    transaction: Mapped[LedgerTransaction] = relationship()


TOP_UP_STATES = ("opened", "pending", "paid", "failed", "abandoned", "expired", "mismatch")


class TopUp(Base):
    """Money on its way in. `opened`: not yet settled; `pending`: the payer's bank is still at it; `mismatch`: paid,
    but not what we asked for, so a person looks at it."""

    __tablename__ = "top_ups"
    __table_args__ = (
        CheckConstraint(one_of("state", TOP_UP_STATES), name="state"),
        CheckConstraint("amount_minor > 0", name="amount"),
        CheckConstraint("(state = 'paid') = (paid_minor IS NOT NULL)", name="paid"),
        Index("ix_top_ups_check_at", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index("ix_top_ups_user_id_id", "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    reference: Mapped[str] = mapped_column(String(40), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    key: Mapped[str] = mapped_column(String(64), unique=True)  # of the form: a double click opens one checkout
    amount_minor: Mapped[int] = mapped_column(BigInteger)
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


class GatewayEvent(Base):
    """A webhook from the gateway as it came, kept for good: acted upon by the worker, never dropped."""

    __tablename__ = "gateway_events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    digest: Mapped[str] = mapped_column(String(128), unique=True)  # of the raw body: a copy is stored once
    event: Mapped[str] = mapped_column(String(64))
    reference: Mapped[str | None] = mapped_column(String(100), index=True)
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    handled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    outcome: Mapped[str | None] = mapped_column(String(64))
