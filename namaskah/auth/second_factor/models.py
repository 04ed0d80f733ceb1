"""What an account proves itself with besides its password."""

from datetime import datetime

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Index, LargeBinary, String, func
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base


class TotpSeed(Base):
    """The authenticator app of an account: what its codes are made of."""

    __tablename__ = "totp_seeds"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    # Encrypted (auth/encryption.py): who reads this table can make no codes.
    seed: Mapped[bytes] = mapped_column(LargeBinary)
    # The step of 30 seconds whose code came last; only a later one counts, so that a code works once.
    last_step: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class RecoveryCode(Base):
    """A code for when everything else is lost. Using it removes the row."""

    __tablename__ = "recovery_codes"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    # argon2id with its parameters; the codes of one set share their salt, so that one hash finds the row.
    code_hash: Mapped[str] = mapped_column(String(200))


class Passkey(Base):
    """A key in somebody's phone, computer or stick; only its public half is here."""

    __tablename__ = "passkeys"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    public_key: Mapped[bytes] = mapped_column(LargeBinary)
    # How often it has signed, as it says itself; keys that are kept in several devices always say 0.
    sign_count: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(60))
    # How browsers reach it, for their next question: "internal,hybrid".
    transports: Mapped[str] = mapped_column(String(100), server_default="")
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    used_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class SpentChallenge(Base):
    """A passkey's challenge that has been answered: the answer does not count twice."""

    __tablename__ = "spent_challenges"

    challenge_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    spent_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now(), index=True)


class FactorTry(Base):
    """A code typed for an account that was not right, or is being looked at."""

    __tablename__ = "factor_tries"
    __table_args__ = (Index("ix_factor_tries_user_id_at", "user_id", "at"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
