"""Buying a number: choose a service, then a country. Pages and the fragments htmx swaps in them."""

from typing import Any
from uuid import uuid4

from flask import Response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user

from namaskah import limits
from namaskah.auth.access import customer, go, public
from namaskah.errors import UserError
from namaskah.numbers import blueprint, catalogue, favourites
from namaskah.numbers.catalogue import CountryOffer, ServiceLine
from namaskah.wallet import ledger

SORTS = ("best", "price")


@blueprint.get("/numbers")
@public
@limits.limit("prices", limits.account, methods=("GET",))
def pick() -> str:
    """The buy page, whatever has been chosen so far: all of it is in the address, so Back and sharing work."""
    query, service = request.args.get("q", "").strip()[:60], _chosen_service()
    chosen = catalogue.lines_of([service]) if service else []
    return render_template(
        "numbers/pick.html",
        **_result_lists(query, service),
        **_offer_lists(service),
        service=chosen[0].code if chosen else None,
    )


@blueprint.get("/numbers/search")
@public
@limits.limit("search", limits.account, methods=("GET",))
def search() -> str:
    """Fragment: services that match what was typed so far."""
    return render_template(
        "numbers/_results.html", **_result_lists(request.args.get("q", "").strip()[:60], _chosen_service())
    )


@blueprint.get("/numbers/offers")
@public
@limits.limit("prices", limits.account, methods=("GET",))
def offers() -> str:
    """Fragment: countries of the chosen service."""
    service = _chosen_service()
    if service is None:
        raise UserError(_("We do not sell numbers for this service."), status=404)
    return render_template("numbers/_offers.html", **_offer_lists(service), service=service)


@blueprint.post("/numbers/favourite")
@customer
@limits.limit("preferences", limits.account)
def favourite() -> ResponseReturnValue:
    """Star a service, or take the star away."""
    service = request.form.get("service", "")
    if not catalogue.is_sold(service):
        raise UserError(_("We do not sell numbers for this service."), status=404)
    favourites.toggle(current_user.id, service)
    if request.headers.get("HX-Request"):
        return Response(status=204)
    return go(url_for("numbers.pick", service=service))


def _chosen_service() -> str | None:
    code = request.args.get("service", "")
    return code if code and catalogue.lines_of([code]) else None


def _result_lists(query: str, service: str | None) -> dict[str, Any]:
    """What the service list shows: matches of a query, or recent, favourite and popular services."""
    stars = favourites.of_user(current_user.id) if current_user.is_authenticated else []

    def rows(lines: list[ServiceLine]) -> list[dict[str, Any]]:
        return [_row(line, query, service, stars) for line in lines]

    if query:
        return {"q": query, "results": rows(catalogue.search(query)), "groups": {}}
    recent = catalogue.recent(current_user.id) if current_user.is_authenticated else []
    starred = [line for line in catalogue.lines_of(stars) if line not in recent]
    shown = {line.code for line in (*recent, *starred)}
    popular = [line for line in catalogue.popular(10) if line.code not in shown]
    chosen = [
        line for line in catalogue.lines_of([service] if service else []) if line not in (*recent, *starred, *popular)
    ]
    groups = {
        _("Chosen"): rows(chosen),
        _("Recent"): rows(recent),
        _("Favourites"): rows(starred),
        _("Popular"): rows(popular),
    }
    return {"q": "", "results": [], "groups": {title: lines for title, lines in groups.items() if lines}}


def _row(line: ServiceLine, query: str, service: str | None, stars: list[str]) -> dict[str, Any]:
    start = line.name.casefold().find(query.casefold()) if query else -1
    end = start + len(query)
    return {
        "code": line.code,
        "name": line.name,
        "price_minor": line.price_minor,
        "rate": line.rate,
        "is_favourite": line.code in stars,
        "is_chosen": line.code == service,
        "mark": (line.name[:start], line.name[start:end], line.name[end:]) if start >= 0 else None,
    }


def _offer_lists(service: str | None) -> dict[str, Any]:
    """What the country list shows, the chosen country open, the others shut."""
    sort = request.args.get("sort", "best")
    sort = sort if sort in SORTS else "best"
    country = request.args.get("country", "")[:2].upper()
    balance = ledger.balance(current_user.id).spendable_minor if current_user.is_authenticated else 0
    found = catalogue.offers(service, sort) if service else []
    opened = country if any(offer.country == country for offer in found) else (found[0].country if found else "")
    rows = [_offer_row(offer, balance, is_open=offer.country == opened) for offer in found]
    if service and country and opened != country:
        rows.append({"country": country, "available": False, "is_open": False})
    # The chosen country stands first, where the eye and the thumb are.
    rows.sort(key=lambda row: not row["is_open"])
    return {"offers": rows, "sort": sort, "balance": balance, "country": opened}


def _offer_row(offer: CountryOffer, balance: int, *, is_open: bool) -> dict[str, Any]:
    return {
        "country": offer.country,
        "price_minor": offer.price_minor,
        "stock": offer.stock,
        "rate": offer.rate,
        "wait_seconds": offer.wait_seconds,
        "operators": offer.operators if is_open else [],
        "is_open": is_open,
        "shortfall_minor": max(0, offer.price_minor - balance),
        "key": uuid4().hex,
        "available": True,
    }
