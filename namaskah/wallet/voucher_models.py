"""Codes that people type in to be given credit: the batch they were made in, each code, and each use."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base


class VoucherBatch(Base):
    """Codes made together, under the same terms. Each gives `amount_minor` for `lifetime_days` from its use on.

    The codes themselves are in `sealed_codes`, encrypted, until they are downloaded, once. `redeemed` counts uses of
    all of them: together they give no more than `most_minor`. `one_each`: one of these codes to a customer.
    """

    __tablename__ = "voucher_batches"
    __table_args__ = (
        CheckConstraint("amount_minor > 0 AND most_minor >= amount_minor", name="amounts"),
        CheckConstraint("lifetime_days BETWEEN 1 AND 730", name="lifetime"),
        CheckConstraint("codes > 0 AND uses_each > 0", name="codes"),
        CheckConstraint("valid_from < valid_until", name="valid"),
        CheckConstraint("redeemed >= 0 AND redeemed * amount_minor <= most_minor", name="most"),
        CheckConstraint("(sealed_codes IS NULL) = (codes_gone_at IS NOT NULL)", name="sealed"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)  # of the form: a double click makes one batch
    name: Mapped[str] = mapped_column(String(80))
    note: Mapped[str] = mapped_column(String(200), server_default="")
    currency: Mapped[str] = mapped_column(String(3))
    amount_minor: Mapped[int] = mapped_column(BigInteger)
    lifetime_days: Mapped[int] = mapped_column()
    codes: Mapped[int] = mapped_column()
    uses_each: Mapped[int] = mapped_column()
    one_each: Mapped[bool] = mapped_column(server_default=false())
    most_minor: Mapped[int] = mapped_column(BigInteger)
    redeemed: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    valid_from: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    valid_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    sealed_codes: Mapped[bytes | None] = mapped_column(LargeBinary)
    codes_gone_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    made_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    revoked_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    revoked_by: Mapped[str | None] = mapped_column(String(100))


class Voucher(Base):
    """One code, as its print alone: 80 random bits cannot be found from it by trying."""

    __tablename__ = "vouchers"
    __table_args__ = (CheckConstraint("uses_left >= 0", name="uses_left"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    batch_id: Mapped[int] = mapped_column(ForeignKey("voucher_batches.id"), index=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    last_four: Mapped[str] = mapped_column(String(4))
    uses_left: Mapped[int] = mapped_column()


class VoucherRedemption(Base):
    """One use of a code by one customer, and the gift that came of it. Never changed, never deleted."""

    __tablename__ = "voucher_redemptions"
    __table_args__ = (
        UniqueConstraint("voucher_id", "user_id"),
        Index("uq_voucher_redemptions_one_each", "batch_id", "user_id", unique=True, postgresql_where=text("one_each")),
        Index("ix_voucher_redemptions_batch_id_id", "batch_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    voucher_id: Mapped[int] = mapped_column(ForeignKey("vouchers.id"))
    batch_id: Mapped[int] = mapped_column(ForeignKey("voucher_batches.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    grant_id: Mapped[int] = mapped_column(ForeignKey("promo_grants.id"), unique=True)
    one_each: Mapped[bool] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
