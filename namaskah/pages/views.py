"""The public pages, and the two choices that need no account."""

from dataclasses import asdict
from typing import Any

from flask import abort, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from namaskah import limits
from namaskah.auth import accounts
from namaskah.auth.access import me, public, safe_next
from namaskah.language import CODES, THEMES
from namaskah.numbers import catalogue, directory
from namaskah.pages import blueprint

POPULAR_ON_FRONT_PAGE = 4
POPULAR_ON_PRICES = 8
CHEAPEST_OF_EACH = 3
SERVICES_FOUND = 3


@blueprint.get("/")
@public
def landing() -> ResponseReturnValue:
    return render_template("pages/landing.html", popular=_popular(POPULAR_ON_FRONT_PAGE))


@blueprint.get("/pricing")
@public
@limits.limit("prices", limits.account, methods=("GET",))
def pricing() -> ResponseReturnValue:
    q = request.args.get("q", "").strip()[:60]
    services = [] if q else _popular(POPULAR_ON_PRICES)
    rows = _prices_of(q) if q else _cheapest_of([item["service"] for item in services])
    return render_template("pages/pricing.html", q=q, rows=rows, services=services)


@blueprint.get("/terms")
@public
def terms() -> ResponseReturnValue:
    return render_template("pages/terms.html")


@blueprint.get("/privacy")
@public
def privacy() -> ResponseReturnValue:
    return render_template("pages/privacy.html")


@blueprint.get("/acceptable-use")
@public
def acceptable_use() -> ResponseReturnValue:
    return render_template("pages/acceptable_use.html")


@blueprint.get("/refunds")
@public
def refunds() -> ResponseReturnValue:
    return render_template("pages/refunds.html")


@blueprint.route("/language/<code>", methods=["GET", "POST"])
@public
def language(code: str) -> ResponseReturnValue:
    """Read on in another language, from the page one was on. A link suffices: it does nothing that could harm."""
    if code not in CODES:
        abort(404)
    session["language"] = code
    session.permanent = True
    if current_user.is_authenticated:
        accounts.set_language(me(), code)
    return redirect(_back(), 303)


@blueprint.post("/theme")
@public
def theme() -> ResponseReturnValue:
    chosen = request.form.get("theme", "")
    if chosen not in THEMES:
        abort(400)
    session["theme"] = chosen
    session.permanent = True
    if current_user.is_authenticated:
        accounts.set_theme(me(), chosen)
    return redirect(_back(), 303)


def _popular(limit: int) -> list[dict[str, Any]]:
    return [asdict(line) | {"service": line.code} for line in catalogue.popular(limit)]


def _cheapest_of(services: list[str]) -> list[dict[str, Any]]:
    return [row for service in services for row in catalogue.price_list(service, limit=CHEAPEST_OF_EACH)]


def _prices_of(q: str) -> list[dict[str, Any]]:
    """Prices of the services, and of the country, that somebody may mean by `q`."""
    if not directory.fold(q):
        return []
    found = [row for line in catalogue.search(q, SERVICES_FOUND) for row in catalogue.price_list(line.code)]
    return found + catalogue.price_list(None, catalogue.find_country(q))


def _back() -> str:
    return safe_next(request.values.get("next"), url_for("pages.landing"))
