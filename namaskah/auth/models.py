"""Who may use the product."""

from datetime import datetime

from flask_login import UserMixin
from sqlalchemy import BigInteger, CheckConstraint, DateTime, Identity, Index, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base


class User(UserMixin, Base):  # type: ignore[misc]
    __tablename__ = "users"
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
    # Part of the log-in cookie: a new value ends every session of the account.
    session_token: Mapped[str] = mapped_column(String(64))
    policy_version: Mapped[str] = mapped_column(String(20))
    policy_accepted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    email_verified_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    banned_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())

    def get_id(self) -> str:
        return f"{self.id}.{self.session_token}"

    @property
    def is_active(self) -> bool:
        return self.banned_at is None

    @property
    def is_verified(self) -> bool:
        return self.email_verified_at is not None

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"
