"""Paystack's API for cards that were kept: charge one again, or have it forgotten."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, request, url_for

from .cards import Card
from .charges import verify_data
from .paystack import answer, ok, serve
from .till import Rejected
from .world import world

bp = Blueprint("paystack_cards", __name__, url_prefix="/paystack")


@bp.post("/transaction/charge_authorization")
def charge() -> Response:
    """`data.status` says what came of it. The faults `declined` (the bank says no), `challenge` (it wants to see the
    cardholder) and `undecided` (it is still at it) make it so for one charge."""
    return serve("charge", _charge)


def _charge() -> Response:
    wanted = _wanted()
    here = world()
    card = _card(wanted)
    transaction = here.till.initialize(wanted)
    outcome = getattr(g, "twist", "")
    if outcome == "challenge":
        here.till.wait(transaction)
        address = url_for("checkout.page", access_code=transaction.access_code, _external=True)
        told = {"reference": transaction.reference, "access_code": transaction.access_code, "paused": True}
        return ok(
            "Please, redirect your customer to the authorization url provided", {"authorization_url": address, **told}
        )
    if outcome == "undecided":
        here.till.wait(transaction, "processing")
    elif outcome == "declined":
        here.till.decline(transaction)
    elif here.till.pay(transaction, transaction.amount, card.as_told()):
        here.webhooks.announce(transaction)
    return ok("Charge attempted", verify_data(transaction, here.till.domain))


@bp.post("/customer/deactivate_authorization")
def deactivate() -> Response:
    return serve("deactivate", _deactivate)


def _deactivate() -> Response:
    if not world().cards.deactivate(str(_wanted().get("authorization_code") or "")):
        raise Rejected("Authorization code not found", "not_found", 404)
    return answer({"status": True, "message": "Authorization has been deactivated"})


def _card(wanted: dict[str, Any]) -> Card:
    code = str(wanted.get("authorization_code") or "")
    if not code:
        raise Rejected("Authorization code is required")
    card = world().cards.find(code)
    if card is None or not card.reusable:
        raise Rejected("Authorization code is invalid")
    if str(wanted.get("email") or "").casefold() != card.email.casefold():
        raise Rejected("Email does not match Authorization code. Please confirm")
    return card


def _wanted() -> dict[str, Any]:
    wanted = request.get_json(silent=True)
    if not isinstance(wanted, dict):
        raise Rejected("Invalid request body")
    return wanted
