"""Files for people who asked for what we hold of them, and the list of accounts that were deleted."""

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
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base


class DataExport(Base):
    """Everything we hold of one person, as a file. It is kept here and not on a disk: any web process on any host can
    hand it out, it goes with the account, and a backup holds nothing beside the database. `done` counts its parts."""

    __tablename__ = "data_exports"
    __table_args__ = (
        CheckConstraint("state IN ('making', 'ready', 'failed')", name="state"),
        CheckConstraint("(state = 'ready') = (content IS NOT NULL)", name="content"),
        CheckConstraint("(state = 'making') = (ended_at IS NULL)", name="ended_says_when"),
        # One at a time.
        Index("uq_data_exports_making", "user_id", unique=True, postgresql_where=text("state = 'making'")),
        Index("ix_data_exports_user_id_id", "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    state: Mapped[str] = mapped_column(String(16), server_default="making")
    done: Mapped[int] = mapped_column(server_default=text("0"))
    failure: Mapped[str | None] = mapped_column(String(16))
    content: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    size: Mapped[int | None] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class DeletedAccount(Base):
    """That an account was deleted, for good: after a restore from a backup it is deleted again by this list. No
    foreign key: the list may know more than what was restored."""

    __tablename__ = "deleted_accounts"

    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    deleted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    # When it was written to the place of the backups, which a restore does not take back.
    kept_outside_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
