"""5sim's API v1 as it answers in reality: JSON when it works, short plain text when it does not, often with HTTP 200.

Shapes and texts follow 5sim's documentation and live answers observed in 2026.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from babel import Locale
from flask import Blueprint, Response, g, request
from werkzeug.wrappers import Response as BaseResponse

from .books import Account, Order, Refused, Sms, now
from .catalogue import Country, Offer
from .world import World, world

bp = Blueprint("fivesim", __name__, url_prefix="/5sim/v1")

PENDING_SECONDS = 2  # a real order says PENDING only while the number is being prepared

_STATUS = {"finished": "FINISHED", "canceled": "CANCELED", "banned": "BANNED", "timeout": "TIMEOUT"}
_REFUSALS = {
    "no_stock": ("no free phones", 200),
    "too_dear": ("no free phones", 200),
    "no_balance": ("not enough user balance", 400),
    "low_rating": ("not enough rating", 400),
    "not_found": ("order not found", 400),
    "closed": ("order expired", 400),
    "early": ("you need to wait time", 400),
    "has_sms": ("order has sms", 400),
    "no_sms": ("order no sms", 400),
}
_PERIODS = (
    ("rate", 0),
    ("rate1", -310),
    ("rate3", -120),
    ("rate24", 40),
    ("rate72", 90),
    ("rate168", -60),
    ("rate720", 20),
)


def _text(message: str, status: int = 400) -> Response:
    return Response(message, status, mimetype="text/plain")


def _json(value: Any) -> Response:
    return Response(json.dumps(value, ensure_ascii=False, separators=(",", ":")), mimetype="application/json")


def _number(micros: int) -> float:
    """5sim writes money as a JSON number; only this line ever makes a float of it."""
    return round(micros / 1_000_000, 4)


def _refusals() -> dict[str, Response]:
    return {
        "no_stock": _text(*_REFUSALS["no_stock"]),
        "no_balance": _text(*_REFUSALS["no_balance"]),
        "rate_limited": _text("api limit is 100 requests per second", 429),
        "bad_key": Response(status=401),
    }


def _account() -> Account:
    return world().accounts["fivesim"]


def _has_token(here: World) -> bool:
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    return hmac.compare_digest(given.encode(), here.config.fivesim_token.encode())


def _guest(operation: str, work: Callable[[], Response]) -> Response:
    return world().serve("fivesim", operation, work, _refusals())


def _user(operation: str, work: Callable[[], Response]) -> Response:
    """Like a guest call, but a missing or wrong token gets 401 with an empty body."""
    here = world()

    def checked() -> Response:
        if not _has_token(here):
            return Response(status=401)
        try:
            return work()
        except Refused as refusal:
            return _refuse(refusal, operation)

    return here.serve("fivesim", operation, checked, _refusals())


def _refuse(refusal: Refused, operation: str) -> Response:
    if refusal.reason == "not_found" and operation == "poll":
        return _text("order not found", 404)
    if refusal.reason == "closed" and operation != "finish" and refusal.detail.status == "finished":
        return _text("order has sms")
    return _text(*_REFUSALS[refusal.reason])


def _stamp(at: datetime) -> str:
    """RFC 3339 with nanoseconds, as 5sim writes it."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond * 1000 + at.microsecond % 1000:09d}Z"


def _sms(sms: Sms) -> dict[str, Any]:
    at = _stamp(sms.received_at)
    return {"created_at": at, "date": at, "sender": sms.sender, "text": sms.text, "code": sms.code or ""}


def _is_preparing(order: Order) -> bool:
    return order.status == "pending" and (now() - order.created_at).total_seconds() < PENDING_SECONDS


def _order(order: Order) -> dict[str, Any]:
    """A fresh order has `"sms": null`; once RECEIVED the list is there, and may still be empty."""
    is_preparing = _is_preparing(order)
    return {
        "id": order.id,
        "phone": f"+{order.phone}",
        "operator": order.operator,
        "product": order.service,
        "price": _number(order.cost_micros),
        "status": _STATUS.get(order.status, "PENDING" if is_preparing else "RECEIVED"),
        "expires": _stamp(order.expires_at),
        "sms": None if is_preparing else [_sms(s) for s in order.sms],
        "created_at": _stamp(order.created_at),
        "forwarding": False,
        "forwarding_number": "",
        "country": order.country,
    }


def _offer(offer: Offer) -> dict[str, Any]:
    """Delivery rates are left out below 20 % or with too few orders."""
    told: dict[str, Any] = {"cost": _number(offer.cost_micros), "count": _account().in_stock(offer)}
    if offer.rate is not None:
        told |= {name: min(9999, max(2000, offer.rate + step)) / 100 for name, step in _PERIODS}
    return told


def _country(country: Country) -> dict[str, Any]:
    operators = _account().shelf.operators(country.fivesim)
    return {
        "iso": {country.iso2.lower(): 1},
        "prefix": {f"+{country.dial}": 1},
        "text_en": country.name,
        "text_ru": Locale("ru").territories.get(country.iso2, country.name),
        **{operator: {"activation": 1} for operator in operators},
    }


@bp.get("/guest/countries")
def countries() -> Response:
    return _guest("prices", lambda: _json({n: _country(c) for n, c in _account().shelf.countries.items()}))


@bp.get("/guest/products/<country>/<operator>")
def products(country: str, operator: str) -> Response:
    return _guest("prices", lambda: _products(country, operator))


def _products(country: str, operator: str) -> Response:
    shelf = _account().shelf
    if country != "any" and country not in shelf.countries:
        return _text("country is incorrect")
    operators = None if operator == "any" else frozenset({operator})
    told: dict[str, dict[str, Any]] = {}
    for offer in shelf.matching(None if country == "any" else country, None, operators):
        price, count = _number(offer.cost_micros), _account().in_stock(offer)
        row = told.setdefault(offer.service, {"Category": "activation", "Qty": 0, "Price": price})
        row["Qty"] += count
        row["Price"] = min(row["Price"], price)
    return _json(told)


@bp.get("/guest/prices")
def prices() -> Response:
    return _guest("prices", lambda: _prices(request.args.get("country"), request.args.get("product")))


def _prices(country: str | None, product: str | None) -> Response:
    """country > product > operator, but product > country > operator when only a product is asked for."""
    shelf = _account().shelf
    if country and country not in shelf.countries:
        return _text("country is incorrect")
    if product and product not in shelf.services:
        return _text("product is incorrect")
    is_swapped = bool(product and not country)
    told: dict[str, dict[str, dict[str, Any]]] = {}
    for offer in shelf.matching(country or None, product or None):
        outer, inner = (offer.service, offer.country) if is_swapped else (offer.country, offer.service)
        told.setdefault(outer, {}).setdefault(inner, {})[offer.operator] = _offer(offer)
    return _json(told or None)  # real 5sim says null for a product it does not sell in a country


@bp.get("/guest/flash/<language>")
def flash(language: str) -> Response:
    return _guest("prices", lambda: _json({"text": ""}))


@bp.get("/user/profile")
def profile() -> Response:
    return _user("balance", _profile)


def _profile() -> Response:
    account = _account()
    is_open = account.listing(only_open=True)
    return _json(
        {
            "id": 1,
            "email": "sandbox@example.org",
            "vendor": "",
            "default_forwarding_number": "",
            "balance": _number(account.balance_micros),
            "rating": account.rating / 100,
            "default_country": {"name": "nigeria", "iso": "ng", "prefix": "+234"},
            "default_operator": {"name": "any"},
            "frozen_balance": _number(sum(o.cost_micros for o in is_open if not o.sms)),
            "total_active_orders": len(is_open),
        }
    )


def _page(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """limit, offset and reverse as the caller asked; oldest first unless reversed."""
    limit, offset = (request.args.get(name, default, int) for name, default in (("limit", 15), ("offset", 0)))
    is_reversed = request.args.get("reverse") == "true"
    ordered = sorted(rows, key=lambda row: int(row.get("id") or row["ID"]), reverse=is_reversed)
    return ordered[offset : offset + limit]


@bp.get("/user/orders")
def orders() -> Response:
    return _user("list", _orders)


def _orders() -> Response:
    listed = _account().listing() if request.args.get("category") == "activation" else []
    data = _page(_order(o) for o in listed)
    if data and g.get("twist") == "bad_row":
        data[0]["phone"] = ""
    return _json({"Data": data, "ProductNames": [], "Statuses": [], "Total": len(listed)})


@bp.get("/user/payments")
def payments() -> Response:
    return _user("payments", _payments)


def _payments() -> Response:
    rows = [
        {
            "ID": p["id"],
            "TypeName": p["kind"],
            "ProviderName": "",
            "Amount": _number(p["amount_micros"]),
            "Balance": _number(p["balance_micros"]),
            "CreatedAt": p["at"],
        }
        for p in list(_account().payments)
    ]
    kinds = [{"Name": kind} for kind in ("charge", "buy", "refund")]
    return _json({"Data": _page(rows), "PaymentTypes": kinds, "PaymentProviders": [], "Total": len(rows)})


@bp.route("/user/max-prices", methods=["GET", "POST", "DELETE"])
def max_prices() -> Response:
    return _user("prices", _max_prices)


def _max_prices() -> Response:
    account = _account()
    if request.method != "GET":
        wanted = request.get_json(silent=True) or {}
        product = str(wanted.get("product_name") or "")
        if not product:
            return _text("product_name is empty")
        price = None if request.method == "DELETE" else _micros(wanted.get("price"))
        if request.method == "POST" and price is None:
            return _text("price is incorrect")
        account.set_max_price(product, price)
    limits = sorted(account.max_prices.items(), key=lambda item: item[1]["id"])
    return _json(
        [
            {"id": m["id"], "product": product, "price": _number(m["price_micros"]), "CreatedAt": m["created_at"]}
            for product, m in limits
        ]
    )


def _micros(value: Any) -> int | None:
    """A price from the caller in micros; None when there is none or it makes no sense."""
    try:
        price = Decimal(str(value))
    except InvalidOperation:
        return None
    return int(price * 1_000_000) if price.is_finite() and price >= 0 else None


@bp.get("/user/buy/activation/<country>/<operator>/<product>")
def buy(country: str, operator: str, product: str) -> Response:
    return _user("buy", lambda: _buy(country, operator, product))


def _is_operator(account: Account, country: str, operator: str) -> bool:
    within = account.shelf.countries if country == "any" else (country,)
    return any(operator in account.shelf.operators(name) for name in within)


def _buy(country: str, operator: str, product: str) -> Response:
    account = _account()
    if country != "any" and country not in account.shelf.countries:
        return _text("bad country")
    if operator != "any" and not _is_operator(account, country, operator):
        return _text("bad operator")
    if product not in account.shelf.services:
        return _text("no product")
    order = account.buy(
        None if country == "any" else country,
        product,
        None if operator == "any" else frozenset({operator}),
        _ceiling(account, operator, product),
        overcharge=g.get("twist") == "wrong_price",
    )
    told = _order(order)
    if g.get("twist") == "duplicate_id":
        told["id"] = account.id_issued_before(order.id)
    return _json(told)


def _ceiling(account: Account, operator: str, product: str) -> int | None:
    """maxPrice counts only with operator `any`; otherwise the account's own limit for the product does."""
    asked = _micros(request.args.get("maxPrice")) if operator == "any" else None
    if asked is not None or product not in account.max_prices:
        return asked
    return int(account.max_prices[product]["price_micros"])


@bp.get("/user/<any(check,finish,cancel,ban):verb>/<int:order_id>")
def manage(verb: str, order_id: int) -> Response:
    account = _account()
    verbs: dict[str, Callable[[int], Order]] = {
        "check": account.get,
        "finish": account.finish,
        "cancel": account.cancel,
        "ban": lambda number: account.cancel(number, "banned"),
    }
    operation = "poll" if verb == "check" else verb
    return _user(operation, lambda: _json(_order(verbs[verb](order_id))))


@bp.get("/user/sms/inbox/<int:order_id>")
def inbox(order_id: int) -> Response:
    return _user("poll", lambda: _inbox(order_id))


def _inbox(order_id: int) -> Response:
    order = _account().get(order_id)
    data = [{"ID": s.id, **_sms(s), "is_wave": False, "wave_uuid": ""} for s in order.sms]
    return _json({"Data": data, "Total": len(data)})


@bp.route("/<path:unknown>")
def unknown(unknown: str) -> BaseResponse:
    """An address 5sim does not know is not an error there but a redirect to a page."""
    return Response(status=302, headers={"Location": "/404.html"})
