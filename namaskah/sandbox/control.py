"""The control API: messages, faults, settings, books. For programs and for the forms of the sandbox's own page."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request

from .books import Account, Order, Refused
from .messages import compose, parse_code
from .world import World, world

bp = Blueprint("control", __name__, url_prefix="/control")


@bp.errorhandler(Refused)
def refused(error: Refused) -> tuple[Response, int]:
    status = 404 if error.reason == "not_found" else 409
    return jsonify(error=error.reason), status


@bp.errorhandler(ValueError)
@bp.errorhandler(TypeError)
@bp.errorhandler(KeyError)
def senseless(error: Exception) -> tuple[Response, int]:
    return jsonify(error=str(error)), 400


def _wanted() -> dict[str, Any]:
    wanted = request.get_json(silent=True) if request.get_data() else {}
    if not isinstance(wanted, dict):
        raise ValueError("a JSON object is needed")
    return wanted


def _account(here: World, wanted: dict[str, Any]) -> Account:
    provider = wanted.get("provider")
    if provider not in here.accounts:
        raise ValueError(f"provider must be one of {', '.join(here.accounts)}")
    return here.accounts[provider]


def find_order(account: Account, wanted: dict[str, Any]) -> Order:
    """By `order_id` or `phone`; raises Refused("not_found")."""
    if wanted.get("order_id") is not None:
        return account.get(int(wanted["order_id"]))
    return account.find_by_phone(str(wanted.get("phone") or ""))


def send_sms(here: World, wanted: dict[str, Any]) -> Order:
    """Deliver a message now, even to a closed order.

    Without `text` a realistic one is made up. Without `code` it is read out of the text as the provider would;
    a `code` of null means the provider found none.
    """
    account = _account(here, wanted)
    order = find_order(account, wanted)
    sender, text = realistic(account, order)
    text = str(wanted.get("text") or text)
    code = wanted["code"] if "code" in wanted else parse_code(text)
    sender = str(wanted.get("sender") or sender)
    return account.deliver(order.id, sender, text, None if code is None else str(code))


def realistic(account: Account, order: Order) -> tuple[str, str]:
    """A sender and a text such as the order's service sends; the style changes from order to order."""
    service = account.service(order.service)
    return compose(service.code, service.name, order.id + len(order.sms))


@bp.post("/sms")
def sms() -> Response:
    return jsonify(asdict(send_sms(world(), _wanted())))


@bp.post("/expire")
def expire() -> Response:
    wanted = _wanted()
    account = _account(world(), wanted)
    return jsonify(asdict(account.expire(find_order(account, wanted).id)))


@bp.get("/faults")
def list_faults() -> Response:
    return jsonify(faults=world().faults.listing())


@bp.post("/faults")
def add_fault() -> tuple[Response, int]:
    return jsonify(asdict(world().faults.add(_wanted()))), 201


@bp.delete("/faults")
@bp.delete("/faults/<int:fault_id>")
def remove_faults(fault_id: int | None = None) -> Response:
    world().faults.remove(fault_id)
    return list_faults()


@bp.get("/settings")
def settings() -> Response:
    return jsonify(settings_json(world()))


def settings_json(here: World) -> dict[str, Any]:
    """What is in force. Balances are decimal strings in US dollars; stock lists only what was set."""
    stock = {p: {"/".join(key): n for key, n in a.stock.items()} for p, a in here.accounts.items()}
    balance = {p: f"{Decimal(a.balance_micros) / 1_000_000:.6f}" for p, a in here.accounts.items()}
    return {**asdict(here.dials), "balance": balance, "stock": stock}


@bp.post("/settings")
def change_settings() -> Response:
    here, wanted = world(), _wanted()
    here.dials.turn(wanted)
    for provider, amount in (wanted.get("balance") or {}).items():
        _account(here, {"provider": provider}).set_balance(_balance_micros(amount))
    for provider, stock in (wanted.get("stock") or {}).items():
        for key, count in stock.items():
            _set_stock(_account(here, {"provider": provider}), key, int(count))
    return settings()


def _balance_micros(amount: Any) -> int:
    try:
        return int(Decimal(str(amount)) * 1_000_000)
    except InvalidOperation:
        raise ValueError(f"{amount!r} is no amount of dollars") from None


def _set_stock(account: Account, key: str, count: int) -> None:
    """`key` is country/service or country/operator/service in the provider's own names."""
    parts = key.split("/")
    if len(parts) not in (2, 3) or (parts[0], parts[-1]) not in account.shelf.offers:
        raise ValueError(f"{account.provider} sells no {key}")
    account.set_stock(parts[0], parts[-1], parts[1] if len(parts) == 3 else None, count)


@bp.get("/books")
def books() -> Response:
    here = world()
    told = {provider: account.as_json() for provider, account in here.accounts.items()}
    paystack = {**here.till.as_json(), "refunds": here.refunds.as_json(), "cards": here.cards.as_json()}
    return jsonify({**told, "paystack": paystack, "disputes": here.disputes.as_json()})


@bp.get("/calls")
def calls() -> Response:
    """Counts per provider/operation and the newest `last` requests of each (20 unless told)."""
    return jsonify(world().calls.as_json(request.args.get("last", 20, int)))


@bp.delete("/calls")
def forget_calls() -> Response:
    world().calls.reset()
    return calls()


@bp.post("/reset")
def reset() -> Response:
    world().reset()
    return jsonify(reset=True)


@bp.post("/transactions")
def change_transaction() -> Response:
    """What became of a payment, by its `reference`: `status`, `paid_amount`, `currency`, `domain`, `gateway_response`,
    `fees`. With `announce` the webhook is sent as well; nobody is told otherwise."""
    here, wanted = world(), _wanted()
    transaction = here.till.find(str(wanted.pop("reference", ""))) or abort(404)
    announce = bool(wanted.pop("announce", False))
    here.till.become(transaction, wanted)
    if announce:
        here.webhooks.announce(transaction)
    return jsonify(reference=transaction.reference, status=transaction.status)


@bp.post("/webhooks/paystack")
def paystack_webhooks() -> Response:
    """Send rightly signed copies of charge.success now; answers when all are through."""
    here, wanted = world(), _wanted()
    transaction = here.till.find(str(wanted.get("reference"))) or abort(404)
    count = min(1000, max(1, int(wanted.get("copies", 1))))
    return jsonify(statuses=here.webhooks.copies(transaction, count, bool(wanted.get("parallel"))))


@bp.errorhandler(404)
def missing(_error: Exception) -> tuple[Response, int]:
    return jsonify(error="not_found"), 404
