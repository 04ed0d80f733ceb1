"""handler_api's catalogue actions: countries, services, operators, stock and prices."""

from __future__ import annotations

from typing import Any

from babel import Locale
from flask import Response

from .books import Account
from .catalogue import Country, Offer
from .handler_wire import Call, as_json, money, refuse, text

# The share of the stock sold up to each price, for auctions: price in percent of the usual one → stock in percent.
_TIERS = ((100, 60), (112, 85), (130, 100))


def _country(country: Country) -> dict[str, Any]:
    return {
        "id": int(country.number),
        "rus": Locale("ru").territories.get(country.iso2, country.name),
        "eng": country.name,
        "chn": Locale("zh").territories.get(country.iso2, country.name),
        "visible": 1,
        "retry": 1,
        "rent": 0,
        "multiService": 0,
    }


def countries(call: Call) -> Response:
    return as_json({number: _country(c) for number, c in call.account.shelf.countries.items()})


def services(call: Call) -> Response:
    """All services, or those sold in one country."""
    shelf, country = call.account.shelf, call.get("country")
    rows = [
        {"code": code, "name": service.name}
        for code, service in shelf.services.items()
        if not country or (country, code) in shelf.offers
    ]
    return as_json({"status": "success", "services": rows})


def operators(call: Call) -> Response:
    known, country = call.account.shelf.countries, call.get("country")
    if country and country not in known:
        if call.is_hero:
            return text("OPERATORS_NOT_FOUND")
        return as_json({"status": "error", "error": "OPERATORS_NOT_FOUND"})
    wanted = [country] if country else list(known)
    return as_json({"status": "success", "countryOperators": {c: list(known[c].operators) for c in wanted}})


def _stock(account: Account, offers: list[Offer]) -> int:
    return sum(account.in_stock(offer) for offer in offers)


def _by_country_and_service(call: Call, country: str | None, service: str | None) -> dict[tuple[str, str], list[Offer]]:
    grouped: dict[tuple[str, str], list[Offer]] = {}
    for offer in call.account.shelf.matching(country, service):
        grouped.setdefault((offer.country, offer.service), []).append(offer)
    return grouped


def numbers_status(call: Call) -> Response:
    """Stock per service of one country. The classic keys end in _0 (no forwarding); HeroSMS wants a country."""
    country = call.get("country")
    if call.is_hero and not country.isdigit():
        return refuse(call, "UNPROCESSABLE_ENTITY", field="country")
    grouped = _by_country_and_service(call, country or "0", None)
    suffix = "" if call.is_hero else "_0"
    return as_json({f"{s}{suffix}": _stock(call.account, offers) for (_, s), offers in grouped.items()})


def prices(call: Call) -> Response:
    shelf, country, service = call.account.shelf, call.get("country"), call.get("service")
    if service and service not in shelf.services:
        return as_json({"status": "false", "msg": "service is incorrect"})
    if country and country not in shelf.countries:
        return as_json({"status": "false", "msg": "country is incorrect"})
    told: dict[str, dict[str, Any]] = {}
    for (its_country, its_service), offers in _by_country_and_service(call, country or None, service or None).items():
        count = _stock(call.account, offers)
        row = {"cost": money(offers[0].cost_micros), "count": count, "physicalCount": count * 3 // 4}
        told.setdefault(its_country, {})[its_service] = row
    if not told and not call.is_hero:
        return as_json([])
    return as_json(told)


def _tiers(offer: Offer, count: int) -> dict[str, int]:
    return {str(money(offer.cost_micros * price // 100)): count * share // 100 for price, share in _TIERS}


def _top(call: Call, service: str) -> dict[str, Any]:
    """Countries selling a service, best stocked first, keyed by rank."""
    rows = []
    for (country, _), offers in _by_country_and_service(call, None, service).items():
        cost, count = offers[0].cost_micros, _stock(call.account, offers)
        prices = {"price": money(cost), "retail_price": money(cost * 6 // 5)}
        row: dict[str, Any] = {"country": int(country), "count": count, **prices}
        if call.get("freePrice") in ("1", "true"):
            row["freePriceMap"] = _tiers(offers[0], count)
        rows.append(row)
    rows.sort(key=lambda row: -row["count"])
    return {str(rank): row for rank, row in enumerate(rows)}


def top_countries(call: Call) -> Response:
    service = call.get("service")
    if not service:
        return as_json({code: _top(call, code) for code in call.account.shelf.services})
    if service not in call.account.shelf.services:
        return refuse(call, "UNPROCESSABLE_ENTITY", field="service") if call.is_hero else text("BAD_SERVICE")
    return as_json(_top(call, service))
