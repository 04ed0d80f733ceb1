"""The payment page a payer is sent to: pay, be declined, pay another amount, or leave."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from .till import MAXIMUM, Transaction
from .world import world

bp = Blueprint("checkout", __name__, url_prefix="/checkout")


def _transaction(access_code: str) -> Transaction:
    return world().till.find_by_access_code(access_code) or abort(404)


def _page(transaction: Transaction, error: str | None = None) -> str:
    return render_template("checkout.html", transaction=transaction, error=error)


@bp.get("/<access_code>")
def page(access_code: str) -> str:
    return _page(_transaction(access_code))


@bp.post("/<access_code>")
def act(access_code: str) -> Response | str:
    """`action` is pay, decline or leave; `amount`, in whole currency units, pays something else than was asked."""
    transaction, here = _transaction(access_code), world()
    action = request.form.get("action", "pay")
    if action == "leave":
        here.till.leave(transaction)
        return _go(_cancel_address(transaction) or _callback(transaction), transaction)
    if action == "decline":
        here.till.decline(transaction)
        return _page(transaction, "Declined: Insufficient Funds. You were not charged.")
    amount = _amount(request.form.get("amount"), transaction)
    if amount is None:
        return _page(transaction, "That is not an amount that can be paid.")
    if here.till.pay(transaction, amount, *_paid_with(request.form.get("with", "card"), transaction.email)):
        here.webhooks.announce(transaction)
    return _go(_callback(transaction), transaction)


def _paid_with(chosen: str, email: str) -> tuple[dict[str, Any], str]:
    """What is left behind, and the channel: a card that may be charged again, one that may not, or a transfer."""
    if chosen == "transfer":
        return {}, "bank_transfer"
    return world().cards.authorize(email, reusable=chosen != "once").as_told(), "card"


def _amount(given: str | None, transaction: Transaction) -> int | None:
    """Subunits of what the payer typed, or the amount asked for; None when it cannot be paid."""
    if not given:
        return transaction.amount
    try:
        amount = Decimal(given.replace(",", "")) * 100
    except InvalidOperation:
        return None
    return int(amount) if amount.is_finite() and 1 <= amount <= MAXIMUM else None


def _callback(transaction: Transaction) -> str | None:
    if not transaction.callback_url:
        return None
    query = urlencode({"trxref": transaction.reference, "reference": transaction.reference})
    return f"{transaction.callback_url}{'&' if '?' in transaction.callback_url else '?'}{query}"


def _cancel_address(transaction: Transaction) -> str | None:
    """`cancel_action` of the metadata, which may be an object or a string of JSON."""
    metadata: Any = transaction.metadata
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except ValueError:
            return None
    address = metadata.get("cancel_action") if isinstance(metadata, dict) else None
    return str(address) if address else None


def _go(address: str | None, transaction: Transaction) -> Response | str:
    return redirect(address, 303) if address else _page(transaction)
