"""What the sandbox sells: services, countries, operators, and each provider's deterministic prices and stock."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

PROVIDERS = ("fivesim", "smsactivate", "herosms")

# Sold everywhere and never empty, so that a first visit and every test find something to buy.
_STAPLES = {"wa", "tg", "go", "fb", "ig", "lf"}
_MAIN_MARKETS = {"NG", "GH", "KE", "ID", "IN", "PH", "ZA", "GB", "US", "BR", "EG", "DE"}


@dataclass(frozen=True)
class Country:
    iso2: str
    name: str
    dial: str
    number: str
    fivesim: str
    factor: int
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Service:
    code: str
    name: str
    fivesim: str
    price: int


@dataclass(frozen=True)
class Offer:
    """One thing on sale, under the provider's own names.

    `rate` is the share of messages delivered, in hundredths of a percent; None when unknown.
    """

    country: str
    service: str
    operator: str
    cost_micros: int
    stock: int
    rate: int | None


@dataclass
class Shelf:
    """One provider's catalogue, keyed by that provider's own country and service names."""

    provider: str
    countries: dict[str, Country] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    offers: dict[tuple[str, str], tuple[Offer, ...]] = field(default_factory=dict)

    def matching(
        self, country: str | None, service: str | None, operators: frozenset[str] | None = None
    ) -> Iterator[Offer]:
        """Offers for a country, a service and operators; None means any."""
        if country is not None and service is not None:
            found: list[tuple[Offer, ...]] = [self.offers.get((country, service), ())]
        else:
            found = [
                offers
                for (its_country, its_service), offers in self.offers.items()
                if country in (None, its_country) and service in (None, its_service)
            ]
        return (o for offers in found for o in offers if operators is None or o.operator in operators)

    def operators(self, country: str) -> tuple[str, ...]:
        """The operators of a country: its mobile networks and, at 5sim, the virtual pools."""
        return _operators(self.provider, self.countries[country])


def _rows(name: str) -> list[dict[str, str]]:
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@lru_cache
def countries() -> tuple[Country, ...]:
    return tuple(
        Country(r["iso2"], r["name"], r["dial"], r["id"], r["fivesim"], int(r["factor"]), tuple(r["operators"].split()))
        for r in _rows("countries.tsv")
    )


@lru_cache
def services() -> tuple[Service, ...]:
    return tuple(Service(r["code"], r["name"], r["fivesim"], int(r["price"])) for r in _rows("services.tsv"))


def _spread(low: int, high: int, *parts: str) -> int:
    """A number between low and high that depends on nothing but the words given: the same on every start."""
    return low + zlib.crc32("|".join(parts).encode()) % (high - low + 1)


def _operators(provider: str, country: Country) -> tuple[str, ...]:
    if provider != "fivesim":
        return country.operators
    pools = {f"virtual{_spread(4, 58, country.iso2, n)}" for n in ("first", "second")}
    return (*country.operators, *sorted(pools))


def _stock(provider: str, country: Country, service: Service, operator: str) -> int:
    words = (provider, country.iso2, service.code, operator)
    if service.code in _STAPLES and country.iso2 in _MAIN_MARKETS:
        return _spread(400, 9000, *words)
    if _spread(1, 100, "empty", *words) <= 12:
        return 0
    return _spread(1, 40 if service.price > 4000 else 2500, *words)


def _is_sold(provider: str, country: Country, service: Service) -> bool:
    staple = service.code in _STAPLES and country.iso2 in _MAIN_MARKETS
    return staple or _spread(1, 100, "sold", provider, country.iso2, service.code) <= 92


def _rate(*words: str) -> int | None:
    """5sim leaves the rate out below 20 % or with too few orders; about one offer in seven."""
    return None if _spread(1, 7, "few", *words) == 1 else _spread(2000, 9950, "rate", *words)


def _offers(provider: str, country: Country, service: Service, own: tuple[str, str]) -> tuple[Offer, ...]:
    """handler_api providers quote one price per country and service; 5sim one per operator."""
    price = service.price * country.factor // 100
    price = price * _spread(82, 118, provider, country.iso2, service.code) // 100
    offers = []
    for operator in _operators(provider, country):
        words = (provider, country.iso2, service.code, operator)
        cost = price * _spread(88, 135, *words) // 100 if provider == "fivesim" else price
        step = 10_000 if provider == "smsactivate" else 100  # two decimals there, four at the other two
        cost_micros = max(step, cost * 100 // step * step)
        offers.append(Offer(*own, operator, cost_micros, _stock(provider, country, service, operator), _rate(*words)))
    return tuple(offers)


@lru_cache
def shelf(provider: str) -> Shelf:
    """Everything one provider sells. Deterministic: no clock, no chance."""
    names = provider == "fivesim"
    made = Shelf(provider)
    made.countries = {c.fivesim if names else c.number: c for c in countries() if c.fivesim or not names}
    made.services = {s.fivesim if names else s.code: s for s in services() if s.fivesim or not names}
    for own_country, country in made.countries.items():
        for own_service, service in made.services.items():
            if _is_sold(provider, country, service):
                own = (own_country, own_service)
                made.offers[own] = _offers(provider, country, service, own)
    return made
