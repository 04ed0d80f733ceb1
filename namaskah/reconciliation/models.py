"""Comparisons that were made, the differences they found, and whether our own books agreed with themselves."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Float, Identity, Index, String, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base


class Reconciliation(Base):
    """One comparison of everything. `failed` names the sides that could not be asked."""

    __tablename__ = "reconciliations"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    requested_by: Mapped[str] = mapped_column(String(100))
    compared: Mapped[int] = mapped_column(server_default=text("0"))
    failed: Mapped[str] = mapped_column(Text, server_default="")
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Difference(Base):
    """What one side's books and ours do not agree on. Amounts have `scale` decimals: 2 for a wallet's money, 6 for a
    provider's. It is gone once a later comparison does not find it any more."""

    __tablename__ = "differences"
    __table_args__ = (
        Index("uq_differences_open", "side", "kind", "subject", unique=True, postgresql_where=text("gone_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    side: Mapped[str] = mapped_column(String(40))  # "paystack" or a provider's name
    kind: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(100))
    currency: Mapped[str] = mapped_column(String(3))
    scale: Mapped[int] = mapped_column()
    theirs: Mapped[int | None] = mapped_column(BigInteger)
    ours: Mapped[int | None] = mapped_column(BigInteger)
    found_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    gone_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    explanation: Mapped[str] = mapped_column(Text, server_default="")
    explained_by: Mapped[str | None] = mapped_column(String(100))


class BookCheck(Base):
    """One run of all money invariants. `faults` are those that did not hold; `owed_since` is by provider."""

    __tablename__ = "book_checks"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    faults: Mapped[list[dict[str, Any]]] = mapped_column(JSONB)
    owed_since: Mapped[dict[str, str]] = mapped_column(JSONB)
    seconds: Mapped[float] = mapped_column(Float)
    checked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
