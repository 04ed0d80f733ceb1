"""Which provider sells: what can be bought now for a service and country, best first, and what we learn from it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from flask import current_app
from sqlalchemy import ColumnElement, and_, func, or_, select, update

from namaskah.db import db, transaction
from namaskah.numbers import pricing, rates, registry
from namaskah.numbers.models import Offer, Provider, Service
from namaskah.providers.base import NotSold, OutcomeUnknown

# Without any figure a route counts as middling, so that a new provider is tried but does not win at once.
UNKNOWN_RATE = 6_000

# A provider that cannot sell anything for now is left alone for this long.
PAUSES = {
    "no_balance": timedelta(minutes=5),
    "bad_credentials": timedelta(minutes=30),
    "account_blocked": timedelta(minutes=30),
    "rate_limited": timedelta(seconds=20),
    "unreachable": timedelta(seconds=20),
}
# So is one that did not answer a purchase: else each customer after that one would wait for it, with money held.
UNANSWERED = "no_answer"
UNANSWERED_PAUSE = timedelta(seconds=20)
# Two lists in a row that cannot be read are an outage. Longer than to the next sweep (settling.SWEEP_EVERY), which
# is what finds out whether it is over.
SILENT = "silent"
SILENT_PAUSE = timedelta(seconds=90)


@dataclass(frozen=True)
class Route:
    """One way to get a number: an offer of one provider. Cost in millionths, price in minor units, rate 0…10000.

    `exchange_rate` is the one in force as the route was found: whatever is decided about it is reckoned with that."""

    offer_id: int
    country: str
    operator: str
    provider: str
    currency: str
    exchange_rate: Decimal
    cost_micros: int
    price_minor: int
    stock: int
    rate: int | None
    weight: int

    @property
    def score(self) -> float:
        """Weight × success² ÷ price: a code that does not come costs the customer minutes, so success counts twice."""
        rate = UNKNOWN_RATE if self.rate is None else self.rate
        return self.weight * rate * rate / self.price_minor


def routes(service: str, country: str | None = None, operator: str | None = "any") -> list[Route]:
    """Everything on sale now for a service, best first. `operator=None` means every operator."""
    known = rates.current()
    wanted: list[ColumnElement[bool]] = [Offer.service_code == service, on_sale(known)]
    if country is not None:
        wanted.append(Offer.country_code == country)
    if operator is not None:
        wanted.append(Offer.operator == operator)
    rows = db.session.execute(
        select(Offer, Provider.currency, Provider.weight).join(Provider).join(Service).where(*wanted)
    ).all()
    found = [
        Route(
            offer_id=offer.id,
            country=offer.country_code,
            operator=offer.operator,
            provider=offer.provider_name,
            currency=currency,
            exchange_rate=known[currency].rate,
            cost_micros=offer.cost_micros,
            price_minor=offer.price_minor,
            stock=offer.stock,
            rate=offer.rate,
            weight=weight,
        )
        for offer, currency, weight in rows
    ]
    return sorted(found, key=lambda route: route.score, reverse=True)


def on_sale(currencies: Collection[str] | None = None) -> ColumnElement[bool]:
    """What may be sold: in stock, confirmed lately, service not blocked, provider configured, awake and with
    money, and an exchange rate for it (`currencies` that have one, if they were looked up before)."""
    fresh = timedelta(seconds=current_app.config["OFFER_FRESH_SECONDS"])
    return and_(
        Offer.stock > 0,
        Service.blocked.is_(None),
        Provider.name.in_(registry.names()),
        Provider.currency.in_(list(pricing.currencies() if currencies is None else currencies)),
        Provider.weight > 0,
        Provider.synced_at > func.now() - fresh,
        or_(Provider.paused_until.is_(None), Provider.paused_until < func.now()),
        or_(Provider.balance_micros.is_(None), Provider.balance_micros >= Offer.cost_micros),
    )


def learn(route: Route, refusal: NotSold) -> None:
    """Take a definite no into account: the offer is gone until the next price list, or the provider rests."""
    pause = PAUSES.get(refusal.reason)
    if pause:
        _rest(route.provider, refusal.reason, func.now() + pause)
    elif refusal.reason in {"no_stock", "price_moved", "not_offered"}:
        with transaction():
            db.session.execute(update(Offer).where(Offer.id == route.offer_id).values(stock=0))


def unanswered(name: str, unclear: OutcomeUnknown) -> None:
    """A provider left a purchase in doubt. If it did not answer at all, nobody else's money is held for its sake."""
    if unclear.reason == UNANSWERED:
        _rest(name, UNANSWERED, func.now() + UNANSWERED_PAUSE)


def silent(name: str) -> None:
    """A provider's orders cannot be read, and so no code of its numbers. The first time is only noted; the second in a
    row, or one after a purchase that was not answered, lets it rest until a list is read again."""
    lately = func.now() - SILENT_PAUSE
    noted = Provider.paused_reason.in_((SILENT, UNANSWERED)) & (Provider.paused_until > lately)
    is_second = db.session.scalar(select(noted).where(Provider.name == name))
    _rest(name, SILENT, func.now() + SILENT_PAUSE if is_second else func.now())


def heard(name: str) -> None:
    """A provider's orders were read: it rests no longer for its silence."""
    is_silent = Provider.name == name, Provider.paused_reason == SILENT
    if db.session.scalar(select(Provider.name).where(*is_silent)):
        with transaction():
            db.session.execute(update(Provider).where(*is_silent).values(paused_until=None, paused_reason=None))


def _rest(name: str, reason: str, until: ColumnElement[datetime]) -> None:
    """Unless it rests for longer already."""
    shorter = or_(Provider.paused_until.is_(None), Provider.paused_until <= until)
    with transaction():
        db.session.execute(
            update(Provider)
            .where(Provider.name == name, shorter)
            .values(paused_until=until, paused_reason=reason)
            .execution_options(synchronize_session=False)
        )
