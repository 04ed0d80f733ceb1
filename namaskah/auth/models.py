"""Who may use the product, the browsers they are logged in with, and what happened to their accounts."""

import uuid
from datetime import datetime
from typing import Any

from flask_login import UserMixin
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    FetchedValue,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base


class User(UserMixin, Base):
    __tablename__ = "users"
    __allow_unmapped__ = True
    __table_args__ = (
        # One account an address, however it is capitalised.
        Index("uq_users_email_lower", text("lower(email)"), unique=True),
        CheckConstraint("role IN ('customer', 'admin')", name="role"),
        CheckConstraint("theme IN ('', 'day', 'night')", name="theme"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16), server_default="customer")
    language: Mapped[str] = mapped_column(String(12), server_default="en")
    timezone: Mapped[str] = mapped_column(String(64), server_default="Africa/Lagos")
    theme: Mapped[str] = mapped_column(String(8), server_default="")
    sound: Mapped[bool] = mapped_column(server_default=text("true"))
    # What somebody wants to be called on receipts; may be empty.
    name: Mapped[str] = mapped_column(String(80), server_default="")
    receipt_letters: Mapped[bool] = mapped_column(server_default=text("true"))
    policy_version: Mapped[str] = mapped_column(String(20))
    policy_accepted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    email_verified_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    banned_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    # Nothing personal is left in a deleted account: its number stands for whoever it was.
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    # The session this browser is in, and the token its cookie holds for it: sessions.py sets both for one request.
    session: "Session | None" = None
    session_token = ""

    def get_id(self) -> str:
        return self.session_token

    @property
    def is_active(self) -> bool:
        return self.banned_at is None and self.deleted_at is None

    @property
    def is_verified(self) -> bool:
        return self.email_verified_at is not None

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"


class Session(Base):
    """One browser somebody is logged in with. The row is the session: without it the browser's cookie is worth
    nothing."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    # SHA-256 of the cookie's token: who reads this table gets into no account.
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    # When the person last proved who they are: at log-in, or when asked again before a sensitive change.
    confirmed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    # Whether it was opened with a second factor.
    second_factor: Mapped[bool] = mapped_column(server_default=text("false"))
    address: Mapped[str] = mapped_column(String(45), server_default="")
    device: Mapped[str] = mapped_column(String(300), server_default="")


class EmailChange(Base):
    """The address an account shall have once somebody who reads its mail has said so; one at a time an account."""

    __tablename__ = "email_changes"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    # Not unique: whose it becomes is decided by who confirms first.
    email: Mapped[str] = mapped_column(String(254))
    # New for each address asked for: the link to the one before is dead.
    key: Mapped[str] = mapped_column(String(32))
    sent_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class AuditEvent(Base):
    """Something that happened to an account. PostgreSQL numbers, dates and chains the rows and refuses to change
    them; only where one came from may be forgotten (migration 0004)."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_user_id_id", "user_id", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, FetchedValue(), primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), FetchedValue())
    # No foreign key: the event outlives the account.
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(40))
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    address: Mapped[str | None] = mapped_column(String(45))
    device: Mapped[str | None] = mapped_column(String(300))
    salt: Mapped[uuid.UUID | None] = mapped_column(Uuid, FetchedValue())
    origin_hash: Mapped[bytes] = mapped_column(LargeBinary, FetchedValue())
    previous_hash: Mapped[bytes] = mapped_column(LargeBinary, FetchedValue())
    hash: Mapped[bytes] = mapped_column(LargeBinary, FetchedValue())


class PolicyAcceptance(Base):
    """A version of the policies somebody has accepted, when, and from which address on the network."""

    __tablename__ = "policy_acceptances"
    __table_args__ = (UniqueConstraint("user_id", "version"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    version: Mapped[str] = mapped_column(String(20))
    accepted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    address: Mapped[str | None] = mapped_column(String(45))
