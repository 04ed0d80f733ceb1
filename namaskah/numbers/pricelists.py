"""The providers' price lists, read into offers: what we could sell, at what cost and price, how well it delivers."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from flask import current_app
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.db import db, transaction
from namaskah.numbers import directory, pricing, rates, registry
from namaskah.numbers.catalogue import MEASURED_DAYS, forget_cache
from namaskah.numbers.models import Activation, Country, Offer, Provider, Service
from namaskah.numbers.turns import take_turn
from namaskah.providers.base import ProviderDown, Quote
from namaskah.wallet import ledger

# Our own figure outweighs the provider's once we have this many orders behind it.
TRUST_AFTER = 20


def load() -> tuple[int, int]:
    """Bring the directory into the database and register the configured providers; returns how many services and
    countries there are. Repeatable; what the files no longer have stays for old activations, but is not sold."""
    with transaction():
        _upsert(Service, [_service_row(entry) for entry in directory.services()])
        _upsert(Country, [_country_row(entry) for entry in directory.countries()])
        for name in registry.names():
            adapter = registry.find(name)
            assert adapter is not None
            row = {"name": name, "protocol": adapter.protocol, "currency": adapter.currency}
            db.session.execute(pg_insert(Provider).values(row).on_conflict_do_update(index_elements=["name"], set_=row))
    return len(directory.services()), len(directory.countries())


def _service_row(entry: directory.ServiceEntry) -> dict[str, Any]:
    row = asdict(entry)
    row["search"] = " ".join(map(directory.fold, (entry.name, entry.code, *row.pop("aliases"))))
    return row


def _country_row(entry: directory.CountryEntry) -> dict[str, Any]:
    row = asdict(entry)
    del row["aliases"]
    return row | {"search": directory.country_search_terms(entry.code)}


def _upsert(model: type[Service] | type[Country], rows: list[dict[str, Any]]) -> None:
    statement = pg_insert(model).values(rows)
    changed = {name: statement.excluded[name] for name in rows[0] if name != "code"}
    db.session.execute(statement.on_conflict_do_update(index_elements=["code"], set_=changed))


def sync_due() -> int:
    """Read the price list of one provider whose turn it is. Returns how many were read (0 or 1)."""
    every = timedelta(seconds=current_app.config["CATALOGUE_SYNC_SECONDS"])
    name = take_turn(Provider.sync_due_at, every)
    if name is None:
        return 0
    sync(name)
    return 1


def sync(name: str) -> int:
    """Read one provider's price list and balance now; returns the number of offers.

    A list that cannot be read changes nothing: the offers age and are not sold once they pass their freshness limit. A
    balance that cannot be read is as it was.
    """
    adapter = registry.ask(name)
    protocol = adapter.protocol
    services = {code: e.code for e in directory.services() if (code := getattr(e, protocol)) and not e.blocked}
    countries = {code: e.code for e in directory.countries() if (code := getattr(e, protocol))}
    try:
        quotes = adapter.quotes(services, countries)
    except ProviderDown as error:
        current_app.logger.warning("price list of %s not read: %s", name, error)
        return 0
    try:
        rows = _offer_rows(name, adapter.currency, quotes, services, countries)
    except pricing.NoRate as error:
        current_app.logger.error("nothing of %s can be sold: there is no exchange rate for %s", name, error)
        return 0
    money = _read_balance(name)
    with transaction():
        _replace_offers(name, rows)
        db.session.execute(update(Provider).where(Provider.name == name).values(synced_at=func.now()))
        if money is not None:
            _keep_balance(name, adapter.currency, money)
    forget_cache()
    return len(rows)


def _read_balance(name: str) -> int | None:
    try:
        return registry.ask(name).balance_micros()
    except ProviderDown as error:
        current_app.logger.warning("balance of %s not read: %s", name, error)
        return None


def _keep_balance(name: str, currency: str, money: int) -> None:
    provider = db.session.get_one(Provider, name, populate_existing=True)
    if not provider.balance_micros:
        # Once, when there is money for the first time: from then on our books move by orders alone. Some may have been
        # bought before the balance could be read.
        missing = money - ledger.provider_float_micros(name, currency)
        if missing:
            ledger.provider_balance(name, currency, f"opening:{name}", missing, "balance when we began")
    provider.balance_micros, provider.balance_at = money, func.now()


def _offer_rows(
    provider: str, currency: str, quotes: list[Quote], services: dict[str, str], countries: dict[str, str]
) -> list[dict[str, Any]]:
    """Quotes in our own codes, with prices, one for each service, country and operator."""
    measured, exchange_rate = _measured(provider), rates.rate_at(currency).rate
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for quote in quotes:
        service, country = services.get(quote.service), countries.get(quote.country)
        if service is None or country is None or quote.stock <= 0 or len(quote.operator) > 40:
            continue
        rows[service, country, quote.operator] = {
            "provider_name": provider,
            "service_code": service,
            "country_code": country,
            "operator": quote.operator,
            "cost_micros": quote.cost_micros,
            "price_minor": pricing.price_minor(quote.cost_micros, currency, exchange_rate),
            "stock": min(quote.stock, 1_000_000),
            "rate": _blend(quote.rate, measured.get((service, country))),
        }
    return list(rows.values())


def _measured(provider: str) -> dict[tuple[str, str], tuple[int, int]]:
    """How many activations lately got a code, and how many there were, by service and country."""
    rows = db.session.execute(
        select(
            Activation.service_code,
            Activation.country_code,
            func.count().filter(Activation.received_at.is_not(None)),
            func.count(),
        )
        .where(
            Activation.provider_name == provider,
            Activation.provider_ref.is_not(None),
            Activation.ended_at > func.now() - timedelta(days=MEASURED_DAYS),
        )
        .group_by(Activation.service_code, Activation.country_code)
    ).all()
    return {(service, country): (delivered, total) for service, country, delivered, total in rows}


def _blend(theirs: int | None, ours: tuple[int, int] | None) -> int | None:
    """The provider's delivery rate and our own as one figure; ours counts by the number of orders behind it."""
    if ours is None or ours[1] == 0:
        return theirs
    delivered, total = ours
    if theirs is None:
        return delivered * 10_000 // total if total >= TRUST_AFTER else None
    return (theirs * TRUST_AFTER + delivered * 10_000) // (TRUST_AFTER + total)


def _replace_offers(provider: str, rows: list[dict[str, Any]]) -> None:
    """Make the provider's offers exactly these, writing only what changed: a price list has tens of thousands."""
    table = Offer.__table__
    key = ("service_code", "country_code", "operator")
    values = ("cost_micros", "price_minor", "stock", "rate")
    known = {
        tuple(row[name] for name in key): row
        for row in db.session.execute(select(table).where(Offer.provider_name == provider)).mappings()
    }
    wanted = {tuple(row[name] for name in key): row for row in rows}
    changed = [
        row
        for place, row in wanted.items()
        if place not in known or any(known[place][name] != row[name] for name in values)
    ]
    if changed:
        statement = pg_insert(Offer)
        db.session.execute(
            statement.on_conflict_do_update(
                index_elements=[*key, "provider_name"], set_={name: statement.excluded[name] for name in values}
            ),
            changed,
        )
    gone = [row["id"] for place, row in known.items() if place not in wanted]
    if gone:
        db.session.execute(delete(Offer).where(Offer.id.in_(gone)))
