"""Paystack's transaction API: its envelopes, sentences and HTTP codes."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, request, url_for

from .charges import verify_data
from .till import Rejected, Transaction, parse_amount
from .world import world

bp = Blueprint("paystack", __name__, url_prefix="/paystack")


def answer(value: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), status, mimetype="application/json")


def ok(message: str, data: Any, **more: Any) -> Response:
    """Paystack's yes."""
    return answer({"status": True, "message": message, "data": data, **more})


def _rejected(rejection: Rejected) -> Response:
    kind = "validation_error" if rejection.status < 500 else "api_error"
    meta = {"nextStep": "Ensure that the values passed are valid and try again"}
    error = {"status": False, "message": rejection.message, "meta": meta, "type": kind, "code": rejection.code}
    return answer(error, rejection.status)


def _bad_key() -> Response:
    return answer({"status": False, "message": "Invalid key"}, 401)


def serve(operation: str, work: Callable[[], Response]) -> Response:
    """Answer a request of whoever has the key; `work` may raise Rejected."""
    here = world()

    def checked() -> Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode(), here.config.paystack_secret_key.encode()):
            return _bad_key()
        try:
            return work()
        except Rejected as rejection:
            return _rejected(rejection)

    too_many = answer({"status": False, "message": "Too many requests"}, 429)
    return here.serve("paystack", operation, checked, {"bad_key": _bad_key(), "rate_limited": too_many})


@bp.post("/transaction/initialize")
def initialize() -> Response:
    return serve("initialize", _initialize)


def _initialize() -> Response:
    wanted = request.get_json(silent=True)
    if wanted is None:
        wanted = request.form.to_dict()
    if not isinstance(wanted, dict):
        raise Rejected("Invalid request body")
    transaction = world().till.initialize(wanted)
    address = url_for("checkout.page", access_code=transaction.access_code, _external=True)
    told = {
        "authorization_url": address,
        "access_code": transaction.access_code,
        "reference": transaction.reference,
    }
    return ok("Authorization URL created", told)


@bp.get("/transaction/verify/<reference>")
def verify(reference: str) -> Response:
    return serve("verify", lambda: _verify(reference))


def _verify(reference: str) -> Response:
    """HTTP 200 whatever became of the payment; only an unknown reference is an error."""
    till = world().till
    transaction = till.find(reference)
    if transaction is None:
        raise Rejected("Transaction reference not found", "transaction_not_found", 404)
    return ok("Verification successful", verify_data(transaction, till.domain))


@bp.get("/transaction")
def listing() -> Response:
    return serve("list", _listing)


def _is_wanted(transaction: Transaction) -> bool:
    wanted = request.args
    data = verify_data(transaction, "")
    at = data["created_at"]
    return (
        wanted.get("status") in (None, "", transaction.status)
        and wanted.get("customer") in (None, "", str(data["customer"]["id"]), data["customer"]["customer_code"])
        and ("amount" not in wanted or parse_amount(wanted["amount"]) == transaction.amount)
        and wanted.get("from", "") <= at
        and (not wanted.get("to") or at[: len(wanted["to"])] <= wanted["to"])
    )


def _listing() -> Response:
    """Newest first, by page or, with use_cursor, by the id to go on from."""
    till = world().till
    size = min(1000, max(1, request.args.get("perPage", 50, int)))
    rows = [t for t in till.transactions() if _is_wanted(t)]
    if request.args.get("use_cursor") == "true":
        begin = next((i for i, t in enumerate(rows) if str(t.id) == request.args.get("next")), 0)
        more = str(rows[begin + size].id) if len(rows) > begin + size else None
        meta: dict[str, Any] = {"next": more, "previous": None, "perPage": size}
    else:
        page = max(1, request.args.get("page", 1, int))
        begin = (page - 1) * size
        volume = sum(t.paid_amount or 0 for t in rows)
        pages = -(-len(rows) // size)
        meta = {"total": len(rows), "total_volume": volume, "skipped": begin, "perPage": size}
        meta |= {"page": page, "pageCount": pages}
    data = [verify_data(t, till.domain) for t in rows[begin : begin + size]]
    return ok("Transactions retrieved", data, meta=meta)


@bp.get("/transaction/<transaction_id>")
def fetch(transaction_id: str) -> Response:
    return serve("verify", lambda: _fetch(transaction_id))


def _fetch(transaction_id: str) -> Response:
    if not transaction_id.isdigit():
        raise Rejected("Transaction ID should be numeric.")
    till = world().till
    found = next((t for t in till.transactions() if t.id == int(transaction_id)), None)
    if found is None:
        raise Rejected("Transaction not found", "transaction_not_found", 404)
    return ok("Transaction retrieved", verify_data(found, till.domain))


@bp.route("/<path:unknown>", methods=["GET", "POST", "PUT", "DELETE"])
def unknown(unknown: str) -> Response:
    return answer({"status": False, "message": "Endpoint not found"}, 404)
