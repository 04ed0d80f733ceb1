"""Which provider sells: what can be bought now for a service and country, best first, and what we learn from it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from flask import current_app
from sqlalchemy import ColumnElement, and_, func, or_, select, update

from namaskah.db import db, transaction
from namaskah.numbers import pricing, rates, registry
from namaskah.numbers.models import Activation, Offer, Provider, Service
from namaskah.providers.base import NotSold

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
# A provider that swallows purchases, and whose list clears up none of them, is asked again after the pause by one
# customer, whose doubt sends it to rest anew. One doubt alone may be an accident.
SILENT_DOUBTS = 3
SILENT_WITHIN = timedelta(minutes=3)
SILENT_PAUSE = timedelta(minutes=1)


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
    with transaction():
        if pause:
            db.session.execute(
                update(Provider)
                .where(Provider.name == route.provider)
                .values(paused_until=func.now() + pause, paused_reason=refusal.reason)
            )
        elif refusal.reason in {"no_stock", "price_moved", "not_offered"}:
            db.session.execute(update(Offer).where(Offer.id == route.offer_id).values(stock=0))


def rest_if_silent(provider: str) -> None:
    """Sell nothing more of a provider for a minute whose last purchases are all in doubt still: each of them keeps a
    customer waiting and their money held. Only those count that its list has not settled: a provider that sold and
    spoilt its answer is known again within seconds."""
    doubtful = select(func.count()).where(
        Activation.provider_name == provider,
        Activation.state == "in_doubt",
        Activation.attempt_at > func.now() - SILENT_WITHIN,
    )
    with transaction():
        if (db.session.scalar(doubtful) or 0) >= SILENT_DOUBTS:
            db.session.execute(
                update(Provider)
                .where(Provider.name == provider)
                .values(paused_until=func.now() + SILENT_PAUSE, paused_reason="no_answer")
            )
