"""The SMS-Activate handler_api protocol: the verbs of buying and following a number, in two flavours.

Classic (`/stubs/handler_api.php`): HTTP 200 always, text codes. HeroSMS (`/hero/stubs/handler_api.php`): real HTTP
codes and JSON errors with a title and details, a few texts left. Shapes follow the published protocol and answers
HeroSMS gave in 2026.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any

from flask import Blueprint, Response, g, request

from . import handler_catalogue as catalogue
from . import handler_orders as orders
from .books import Account, Refused
from .handler_wire import Call, refuse, text
from .world import world

bp = Blueprint("handler_api", __name__)


@bp.route("/stubs/handler_api.php", methods=["GET", "POST"])
def classic() -> Response:
    return _serve("smsactivate", world().config.smsactivate_key)


@bp.route("/hero/stubs/handler_api.php", methods=["GET", "POST"])
def hero() -> Response:
    return _serve("herosms", world().config.herosms_key)


def _serve(provider: str, key: str) -> Response:
    here = world()
    call = Call(here.accounts[provider], request.values, provider == "herosms")
    operation = _operation(call.get("action"), call.get("status"))

    def work() -> Response:
        return _refused_access(call, key) or _dispatch(call)

    refusals = {
        "no_stock": text("NO_NUMBERS"),
        "no_balance": refuse(call, "NO_BALANCE"),
        "bad_key": refuse(call, "BAD_KEY"),
        "rate_limited": refuse(call, "RATE_LIMIT"),
    }
    return here.serve(provider, operation, work, refusals)


def _refused_access(call: Call, key: str) -> Response | None:
    given = call.get("api_key")
    if call.is_hero and call.get("action") == "getCountries" and not given:
        return None  # HeroSMS lists its countries to anybody
    if not given:
        return refuse(call, "UNPROCESSABLE_ENTITY", field="api_key") if call.is_hero else text("NO_KEY")
    return None if hmac.compare_digest(given.encode(), key.encode()) else refuse(call, "BAD_KEY")


def _dispatch(call: Call) -> Response:
    action = _ACTIONS.get(call.get("action"))
    if action is None or (call.get("action") in _HERO_ONLY and not call.is_hero):
        return refuse(call, "BAD_ACTION")
    if call.is_hero and call.get("action") == "getFullSms":
        return refuse(call, "BAD_ACTION")
    try:
        return action(call)
    except Refused as refusal:
        return _refusal(call, refusal)


def _refusal(call: Call, refusal: Refused) -> Response:
    """What the books refuse, in the words of the flavour."""
    if refusal.reason == "too_dear":
        return refuse(call, "WRONG_MAX_PRICE", min=refusal.detail)
    if refusal.reason == "early":
        return refuse(call, "EARLY_CANCEL_DENIED", minActivationTime=int(refusal.detail))
    codes = {"no_stock": "NO_NUMBERS", "no_balance": "NO_BALANCE", "not_found": "NO_ACTIVATION"}
    if refusal.reason in codes:
        return refuse(call, codes[refusal.reason])
    if call.is_hero and refusal.reason in ("has_sms", "closed"):
        return refuse(call, "OTP_RECEIVED" if refusal.reason == "has_sms" else "ACTIVATION_NOT_ACTIVE")
    return refuse(call, "BAD_STATUS")


def _operation(action: str, status: str) -> str:
    if action == "setStatus":
        return {"1": "ready", "3": "again", "6": "finish", "8": "cancel", "-1": "cancel"}.get(status, "status")
    return _OPERATIONS.get(action, "prices")


def _micros(value: str) -> int | None:
    try:
        return int(Decimal(value) * 1_000_000) if value else None
    except (InvalidOperation, ValueError, OverflowError):
        return None


def _balance(call: Call) -> Response:
    places = 4 if call.is_hero else 2
    return text(f"ACCESS_BALANCE:{Decimal(call.account.balance_micros) / 1_000_000:.{places}f}")


def _unsold(call: Call) -> Response | None:
    """The refusal for a service or country that does not exist here."""
    for name, known, code in (
        ("service", call.account.shelf.services, "BAD_SERVICE"),
        ("country", call.account.shelf.countries, "BAD_COUNTRY"),
    ):
        value = call.get(name) or ("0" if name == "country" else "")
        if value in known or (name == "country" and value == "any"):
            continue
        if not call.is_hero:
            return text(code)
        if call.get("action") == "getNumber":
            return text(f"UNPROCESSABLE_ENTITY:{name}:INVALID")
        return refuse(call, "UNPROCESSABLE_ENTITY", field=name)
    return None


def _buy(call: Call) -> Response:
    unsold = _unsold(call)
    if unsold is not None:
        return unsold
    account, operators = call.account, call.get("operator")
    country = call.get("country") or "0"
    ceiling = _micros(call.get("maxPrice"))
    if call.get("fixedPrice") in ("1", "true") and not _costs_exactly(account, country, call.get("service"), ceiling):
        return text("NO_NUMBERS")
    order = account.buy(
        None if country == "any" else country,
        call.get("service"),
        None if operators in ("", "any") else frozenset(operators.split(",")),
        ceiling,
        overcharge=g.get("twist") == "wrong_price",
    )
    order_id = account.id_issued_before(order.id) if g.get("twist") == "duplicate_id" else order.id
    if call.get("action") == "getNumber":
        return text(f"ACCESS_NUMBER:{order_id}:{order.phone}")
    return orders.bought(call, order, order_id)


def _costs_exactly(account: Account, country: str, service: str, cost_micros: int | None) -> bool:
    """fixedPrice: sold at exactly maxPrice or not at all."""
    return any(offer.cost_micros == cost_micros for offer in account.shelf.matching(country, service))


def _set_status(call: Call) -> Response:
    account, order_id = call.account, call.order_id()
    verbs: dict[str, tuple[Callable[[int], Any], str]] = {
        "1": (account.mark_ready, "ACCESS_READY"),
        "3": (account.ask_again, "ACCESS_RETRY_GET"),
        "6": (account.finish, "ACCESS_ACTIVATION"),
        "8": (account.cancel, "ACCESS_CANCEL"),
        "-1": (account.cancel, "ACCESS_CANCEL"),
    }
    status = call.get("status")
    if status not in verbs or (call.is_hero and status == "1"):  # HeroSMS has no use for status 1
        account.get(order_id)
        return refuse(call, "BAD_STATUS")
    verb, answer = verbs[status]
    verb(order_id)
    return text(answer)


def _finish(call: Call) -> Response:
    call.account.finish(call.order_id())
    return Response(status=204)


def _cancel(call: Call) -> Response:
    call.account.cancel(call.order_id())
    return Response(status=204)


_HERO_ONLY = {"finishActivation", "cancelActivation", "getAllSms"}
_ACTIONS: dict[str, Callable[[Call], Response]] = {
    "getBalance": _balance,
    "getBalanceAndCashBack": _balance,
    "getCountries": catalogue.countries,
    "getServicesList": catalogue.services,
    "getOperators": catalogue.operators,
    "getNumbersStatus": catalogue.numbers_status,
    "getPrices": catalogue.prices,
    "getTopCountriesByService": catalogue.top_countries,
    "getNumber": _buy,
    "getNumberV2": _buy,
    "setStatus": _set_status,
    "getStatus": orders.status,
    "getStatusV2": orders.status_v2,
    "getFullSms": orders.full_sms,
    "getActiveActivations": orders.active,
    "getHistory": orders.history,
    "finishActivation": _finish,
    "cancelActivation": _cancel,
    "getAllSms": orders.all_sms,
}
_OPERATIONS = {
    "getBalance": "balance",
    "getBalanceAndCashBack": "balance",
    "getNumber": "buy",
    "getNumberV2": "buy",
    "getStatus": "poll",
    "getStatusV2": "poll",
    "getFullSms": "poll",
    "getAllSms": "poll",
    "getActiveActivations": "list",
    "getHistory": "list",
    "finishActivation": "finish",
    "cancelActivation": "cancel",
}
