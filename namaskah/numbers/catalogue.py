"""What is on sale: services and countries a person can find, and their offers. (pricelists.py reads them in.)"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

from flask import current_app
from redis import RedisError
from sqlalchemy import Integer, cast, extract, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from namaskah.db import db
from namaskah.extensions import redis
from namaskah.numbers import directory, routing
from namaskah.numbers.models import Activation, Offer, Provider, Service

# Delivery and waiting times are told from this many days.
MEASURED_DAYS = 14


@dataclass(frozen=True)
class CountryOffer:
    """One line of the buy page: a country with its best route's price, and what to expect of it."""

    country: str
    price_minor: int
    stock: int
    rate: int | None
    wait_seconds: int | None
    operators: list[tuple[str, int]]  # name and price of each operator that can be chosen


@dataclass(frozen=True)
class ServiceLine:
    """One line of the service list; price and rate of its cheapest country, None when nothing is on sale."""

    code: str
    name: str
    price_minor: int | None
    rate: int | None


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def is_sold(code: str) -> bool:
    """Whether this is a service of ours, and not one that we never sell."""
    return any(entry.code == code for entry, _terms in _sellable())


def offers(service: str, sort: str = "best") -> list[CountryOffer]:
    """Every country with numbers for a service now; sorted by `best` (the router's score) or `price`."""
    by_country: dict[str, list[routing.Route]] = {}
    for route in routing.routes(service, operator=None):
        by_country.setdefault(route.country, []).append(route)
    waits = _waits(service)
    lines = [
        _country_offer(country, found, waits.get(country))
        for country, found in by_country.items()
        if any(route.operator == "any" for route in found)
    ]
    if sort == "price":
        lines.sort(key=lambda line: (line.price_minor, -(line.rate or 0)))
    return lines


def _country_offer(country: str, found: list[routing.Route], wait: int | None) -> CountryOffer:
    general = [route for route in found if route.operator == "any"]
    operators: dict[str, int] = {}
    for route in found:
        if route.operator != "any":
            operators[route.operator] = min(route.price_minor, operators.get(route.operator, route.price_minor))
    return CountryOffer(
        country=country,
        price_minor=general[0].price_minor,
        stock=sum(route.stock for route in general),
        rate=general[0].rate,
        wait_seconds=wait,
        operators=sorted(operators.items(), key=lambda item: item[1]),
    )


def _waits(service: str) -> dict[str, int]:
    """Usual seconds from purchase to code, by country, where at least five codes came lately."""

    def compute() -> dict[str, int]:
        seconds = func.percentile_cont(0.5).within_group(
            extract("epoch", Activation.received_at - Activation.created_at)
        )
        rows = db.session.execute(
            select(Activation.country_code, cast(seconds, Integer))
            .where(
                Activation.service_code == service,
                Activation.received_at > func.now() - timedelta(days=MEASURED_DAYS),
            )
            .group_by(Activation.country_code)
            .having(func.count() >= 5)
        ).all()
        return {country: max(1, wait) for country, wait in rows}

    return dict(cached(f"waits:{service}", 60, compute))


def price_from() -> dict[str, tuple[int, int | None]]:
    """Cheapest price on sale of each service, and the delivery rate of that route."""

    def compute() -> dict[str, list[Any]]:
        rows = db.session.execute(
            select(Offer.service_code, Offer.price_minor, Offer.rate)
            .join(Provider)
            .join(Service)
            .where(routing.on_sale(), Offer.operator == "any")
            .ext(distinct_on(Offer.service_code))
            .order_by(Offer.service_code, Offer.price_minor, Offer.rate.desc().nulls_last())
        ).all()
        return {code: [price, rate] for code, price, rate in rows}

    return {code: (price, rate) for code, (price, rate) in cached("price_from", 20, compute).items()}


def search(query: str, limit: int = 8) -> list[ServiceLine]:
    """Services whose name in any language contains the query; those that start with it first, then popular ones.

    Blocked services are never found. What is not on sale now is listed last, without a price.
    """
    folded = directory.fold(query)[:64]
    if not folded:
        return popular(limit)
    prices = price_from()
    found = [entry for entry in _sellable() if any(folded in term for term in entry[1])]
    found.sort(
        key=lambda entry: (
            entry[0].code not in prices,
            not any(term.startswith(folded) for term in entry[1]),
            entry[0].popularity or 10_000,
            entry[0].name.casefold(),
        )
    )
    return [_line(entry.code, entry.name, prices) for entry, _terms in found[:limit]]


def popular(limit: int = 8) -> list[ServiceLine]:
    """The most wanted services that are on sale now."""
    prices = price_from()
    wanted = sorted(
        (entry for entry, _terms in _sellable() if entry.popularity and entry.code in prices),
        key=lambda entry: entry.popularity or 0,
    )
    return [_line(entry.code, entry.name, prices) for entry in wanted[:limit]]


def recent(user_id: int, limit: int = 4) -> list[ServiceLine]:
    """Services a customer bought last, newest first."""
    latest = func.max(Activation.id)
    codes = db.session.scalars(
        select(Activation.service_code)
        .where(Activation.user_id == user_id)
        .group_by(Activation.service_code)
        .order_by(latest.desc())
        .limit(limit)
    ).all()
    return lines_of(codes)


def lines_of(codes: Iterable[str]) -> list[ServiceLine]:
    """Service lines for known, sellable codes, in the order given."""
    prices = price_from()
    known = {entry.code: entry for entry, _terms in _sellable()}
    return [_line(code, known[code].name, prices) for code in codes if code in known]


def price_list(service: str | None, country: str | None = None, limit: int = 200) -> list[dict[str, Any]]:
    """Public prices, cheapest first: of a service in all countries, or of a country for all services."""
    if service is None and country is None:
        return []
    wanted = [routing.on_sale(), Offer.operator == "any"]
    wanted += [Offer.service_code == service] if service else []
    wanted += [Offer.country_code == country] if country else []
    rows = db.session.execute(
        select(
            Offer.service_code,
            Offer.country_code,
            func.min(Offer.price_minor),
            func.sum(Offer.stock),
            func.max(Offer.rate),
        )
        .join(Provider)
        .join(Service)
        .where(*wanted)
        .group_by(Offer.service_code, Offer.country_code)
        .order_by(func.min(Offer.price_minor))
        .limit(limit)
    ).all()
    names = ("service", "country", "price_minor", "stock", "rate")
    return [dict(zip(names, row, strict=True)) for row in rows]


def find_country(query: str) -> str | None:
    """Code of the country a person most likely means, by its name in any language."""
    folded = directory.fold(query)
    if len(folded) < 2:
        return None
    matches = [
        entry
        for entry in directory.countries()
        if any(term.startswith(folded) for term in directory.country_search_terms(entry.code).split())
    ]
    matches.sort(key=lambda entry: entry.popularity or 1_000)
    return matches[0].code if matches else None


def _line(code: str, name: str, prices: dict[str, tuple[int, int | None]]) -> ServiceLine:
    price, rate = prices.get(code, (None, None))
    return ServiceLine(code, name, price, rate)


@cache
def _sellable() -> tuple[tuple[directory.ServiceEntry, tuple[str, ...]], ...]:
    """The directory without what we never sell, each with its folded names."""
    return tuple(
        (entry, tuple(map(directory.fold, (entry.name, entry.code, *entry.aliases))))
        for entry in directory.services()
        if not entry.blocked
    )


def cached(key: str, seconds: int, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A small JSON answer kept in Redis for a while; Redis away, it is computed each time."""
    name = f"catalogue:{key}"
    try:
        kept = redis.client.get(name)
    except RedisError:
        return compute()
    if isinstance(kept, str):
        loaded: dict[str, Any] = json.loads(kept)
        return loaded
    fresh = compute()
    try:
        redis.client.set(name, json.dumps(fresh), ex=seconds)
    except RedisError:
        current_app.logger.info("the cache is away: %s was computed", key)
    return fresh


def forget_cache() -> None:
    """Prices have changed: compute them anew. Harmless when Redis is away, entries live for seconds."""
    try:
        redis.client.delete("catalogue:price_from")
    except RedisError:
        current_app.logger.info("the cache is away: nothing to forget")
