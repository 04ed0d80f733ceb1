"""What is sold (services, countries, providers, offers) and what was bought (activations, messages, strays)."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from namaskah.db import Base
from namaskah.numbers.rate_models import RATE
from namaskah.wallet.models import one_of


class Service(Base):
    """What a code is for. `blocked` says why we never sell it; `search` holds its names, folded, for type-ahead."""

    __tablename__ = "services"

    code: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    category: Mapped[str] = mapped_column(String(40))
    popularity: Mapped[int | None] = mapped_column()
    blocked: Mapped[str | None] = mapped_column(String(24))
    search: Mapped[str] = mapped_column(Text)
    fivesim: Mapped[str | None] = mapped_column(String(64), unique=True)
    sms_activate: Mapped[str | None] = mapped_column(String(16), unique=True)


class Country(Base):
    """ISO 3166 alpha-2 and each protocol's own name for it."""

    __tablename__ = "countries"

    code: Mapped[str] = mapped_column(String(2), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    dial_code: Mapped[str] = mapped_column(String(8))
    popularity: Mapped[int | None] = mapped_column()
    search: Mapped[str] = mapped_column(Text)
    fivesim: Mapped[str | None] = mapped_column(String(64), unique=True)
    sms_activate: Mapped[str | None] = mapped_column(String(16), unique=True)


class Provider(Base):
    """An upstream we have credentials for. The `_due_at` columns are leases: whoever moves one forward has the turn."""

    __tablename__ = "providers"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    protocol: Mapped[str] = mapped_column(String(16))
    currency: Mapped[str] = mapped_column(String(3))
    weight: Mapped[int] = mapped_column(server_default=text("100"))
    paused_reason: Mapped[str | None] = mapped_column(Text)
    paused_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    balance_micros: Mapped[int | None] = mapped_column(BigInteger)
    balance_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    synced_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    sync_due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    poll_due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    sweep_due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class Offer(Base):
    """One service in one country from one operator at one provider. Fresh as long as its provider's `synced_at` is."""

    __tablename__ = "offers"
    __table_args__ = (
        UniqueConstraint("service_code", "country_code", "operator", "provider_name"),
        Index("ix_offers_stock", "service_code", "country_code", postgresql_where=text("stock > 0")),
        CheckConstraint("rate BETWEEN 0 AND 10000", name="rate"),
        CheckConstraint("cost_micros >= 0 AND price_minor > 0 AND stock >= 0", name="amounts"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    service_code: Mapped[str] = mapped_column(ForeignKey("services.code"))
    country_code: Mapped[str] = mapped_column(ForeignKey("countries.code"))
    operator: Mapped[str] = mapped_column(String(40))
    provider_name: Mapped[str] = mapped_column(ForeignKey("providers.name"))
    cost_micros: Mapped[int] = mapped_column(BigInteger)
    price_minor: Mapped[int] = mapped_column(BigInteger)
    stock: Mapped[int] = mapped_column()
    rate: Mapped[int | None] = mapped_column()  # hundredths of a percent of orders that got their SMS


class Favourite(Base):
    __tablename__ = "favourites"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    service_code: Mapped[str] = mapped_column(ForeignKey("services.code"), primary_key=True)


# The whole life of an activation. Money is held in the first three states, taken in the next two, given back in the
# last three.
TRANSITIONS: dict[str, tuple[str, ...]] = {
    "buying": ("waiting", "failed", "in_doubt"),
    "in_doubt": ("waiting", "failed"),
    "waiting": ("received", "cancelled", "expired"),
    "received": ("finished",),
    "finished": (),
    "cancelled": (),
    "expired": (),
    "failed": (),
}
STATES = tuple(TRANSITIONS)
HOLDING = ("buying", "in_doubt", "waiting")
CAPTURED = ("received", "finished")
RELEASED = ("cancelled", "expired", "failed")
OPEN = ("buying", "in_doubt", "waiting", "received")
END_REASONS = (
    "customer_cancelled",  # the customer gave the number back
    "number_used",  # the customer said the service knows the number already
    "no_code",  # the window went by
    "no_stock",  # no provider had a number
    "provider_refused",  # no provider would sell for another reason
    "provider_closed",  # the provider ended the order early
    "nothing_bought",  # in doubt, and the provider turned out to have sold nothing
)


class Activation(Base):
    """One number bought for one service. `attempt_at` is when the provider of the moment was last asked to sell;
    `due_at` when the worker must look next, whatever for."""

    __tablename__ = "activations"
    __table_args__ = (
        UniqueConstraint("user_id", "key"),
        # An order of a provider belongs to one activation only, however confused its answers are.
        UniqueConstraint("provider_name", "provider_ref"),
        CheckConstraint(one_of("state", STATES), name="state"),
        CheckConstraint(one_of("end_reason", END_REASONS), name="end_reason"),
        CheckConstraint("price_minor > 0", name="price"),
        CheckConstraint("exchange_rate > 0", name="exchange_rate"),
        CheckConstraint(f"({one_of('state', RELEASED)}) = (end_reason IS NOT NULL)", name="released_says_why"),
        CheckConstraint(
            f"({one_of('state', ('finished', *RELEASED))}) = (ended_at IS NOT NULL)", name="ended_says_when"
        ),
        CheckConstraint(
            f"NOT ({one_of('state', ('waiting', 'received', 'finished', 'expired', 'cancelled'))})"
            " OR (provider_ref IS NOT NULL AND phone IS NOT NULL AND expires_at IS NOT NULL)",
            name="number_known",
        ),
        CheckConstraint(f"({one_of('state', CAPTURED)}) = (received_at IS NOT NULL)", name="captured_has_code"),
        Index("ix_activations_due_at", "due_at", postgresql_where=text(one_of("state", OPEN))),
        Index("ix_activations_user_id_id", "user_id", "id"),
        # One customer may have bought hundreds of thousands: these find the few that are asked for among them.
        Index("ix_activations_user_id_open", "user_id", "id", postgresql_where=text(one_of("state", OPEN))),
        Index("ix_activations_user_id_released", "user_id", "id", postgresql_where=text(one_of("state", RELEASED))),
        Index("ix_activations_user_id_service_code_id", "user_id", "service_code", "id"),
        Index("ix_activations_open", "provider_name", postgresql_where=text(one_of("state", OPEN))),
        Index("ix_activations_ended_at", "ended_at"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    key: Mapped[str] = mapped_column(String(120))  # one-time key of the form: a double click is one activation
    service_code: Mapped[str] = mapped_column(ForeignKey("services.code"))
    country_code: Mapped[str] = mapped_column(ForeignKey("countries.code"))
    operator: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(16), server_default="buying")
    end_reason: Mapped[str | None] = mapped_column(String(24))
    price_minor: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(3))
    provider_name: Mapped[str] = mapped_column(ForeignKey("providers.name"))
    provider_ref: Mapped[str | None] = mapped_column(String(100))
    cost_micros: Mapped[int | None] = mapped_column(BigInteger)
    exchange_rate: Mapped[Decimal | None] = mapped_column(RATE)  # of the provider's currency, as it was asked
    phone: Mapped[str | None] = mapped_column(String(20))
    asked_again_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_from: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_requested_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    cancel_reason: Mapped[str | None] = mapped_column(String(24))
    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("activations.id"), unique=True)
    replace_wanted: Mapped[bool] = mapped_column(server_default=text("false"))
    attempt_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    received_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))

    @property
    def reference(self) -> str:
        """How the ledger knows it."""
        return f"activation:{self.id}"


class ActivationEvent(Base):
    """A step in the life of an activation, for its page and for whoever must explain it later."""

    __tablename__ = "activation_events"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activation_id: Mapped[int] = mapped_column(ForeignKey("activations.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    provider_name: Mapped[str | None] = mapped_column(String(40))
    detail: Mapped[str] = mapped_column(Text, server_default="")
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())


class Message(Base):
    """An SMS. Poll and webhook may both bring it: the fingerprint keeps one copy. Some time after its number was closed
    it loses its words (message_retention) and never has any again: PostgreSQL sees to that (migration 0022)."""

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("activation_id", "fingerprint"),
        CheckConstraint("erased_at IS NULL OR body = '' AND code IS NULL AND sender IS NULL", name="erased"),
        Index("ix_messages_activation_id_with_text", "activation_id", postgresql_where=text("erased_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    activation_id: Mapped[int] = mapped_column(ForeignKey("activations.id"))
    fingerprint: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    code: Mapped[str | None] = mapped_column(String(32))
    sender: Mapped[str | None] = mapped_column(String(80))
    is_late: Mapped[bool] = mapped_column(server_default=text("false"))
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    provider_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))  # when the provider says it had it
    erased_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class StrayOrder(Base):
    """An order at a provider that we do not want, or no longer want, and must give back: found open with no
    activation behind it, answered at a wrong price, or belonging to an activation whose money is back already."""

    __tablename__ = "stray_orders"
    __table_args__ = (
        UniqueConstraint("provider_name", "provider_ref"),
        Index("ix_stray_orders_due_at", "due_at", postgresql_where=text("closed_at IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    provider_name: Mapped[str] = mapped_column(ForeignKey("providers.name"))
    provider_ref: Mapped[str] = mapped_column(String(100))
    activation_id: Mapped[int | None] = mapped_column(ForeignKey("activations.id"))
    reason: Mapped[str] = mapped_column(String(24))
    ban: Mapped[bool] = mapped_column(server_default=text("false"))
    cost_micros: Mapped[int | None] = mapped_column(BigInteger)
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    outcome: Mapped[str | None] = mapped_column(String(24))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    due_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    closed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
