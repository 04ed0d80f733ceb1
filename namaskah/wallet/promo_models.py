"""Gifts: credit that we give, that runs out on a day, and what of it was spent on what."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    String,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base
from namaskah.wallet.models import one_of

GRANT_SOURCES = ("voucher", "operator", "refund")


class PromoGrant(Base):
    """One gift to one customer. What of it is neither left, expired nor given back is held or spent (PromoPart).

    `expired_minor` went back to the house. `extended_at`: it had run out while a purchase held a part of it, the
    purchase brought nothing, and so it got some more hours, once. PostgreSQL compares what is left of a customer's
    gifts with the account `user_promo` at every commit that changes one (migration 0014).
    """

    __tablename__ = "promo_grants"
    __table_args__ = (
        CheckConstraint(one_of("source", GRANT_SOURCES), name="source"),
        CheckConstraint(
            "amount_minor > 0 AND left_minor >= 0 AND expired_minor >= 0"
            " AND left_minor + expired_minor <= amount_minor",
            name="amounts",
        ),
        Index("ix_promo_grants_user_id_id", "user_id", "id"),
        Index("ix_promo_grants_left", "user_id", "expires_at", postgresql_where=text("left_minor > 0")),
        Index("ix_promo_grants_due", "expires_at", postgresql_where=text("left_minor > 0")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    source: Mapped[str] = mapped_column(String(16))
    reference: Mapped[str] = mapped_column(String(120), unique=True)  # what it was given for: given once
    note: Mapped[str] = mapped_column(String(200), server_default="")  # the reason, as the customer may read it
    currency: Mapped[str] = mapped_column(String(3))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    left_minor: Mapped[int] = mapped_column(BigInteger)
    expired_minor: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    extended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    reminded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class PromoPart(Base):
    """What a hold took from one gift. Written with the hold, never changed: whether it came back or was spent is what
    the ledger says of the reference."""

    __tablename__ = "promo_parts"
    __table_args__ = (CheckConstraint("amount_minor > 0", name="amount"),)

    reference: Mapped[str] = mapped_column(String(100), primary_key=True)
    grant_id: Mapped[int] = mapped_column(ForeignKey("promo_grants.id"), primary_key=True, index=True)
    amount_minor: Mapped[int] = mapped_column(BigInteger)
