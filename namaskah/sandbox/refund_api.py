"""Paystack's refund API, and the controls that play the payer's bank."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from .paystack import ok, serve
from .refunds import BANKS
from .till import Rejected
from .world import world

bp = Blueprint("refunds", __name__)


def _body() -> dict[str, Any]:
    wanted = request.get_json(silent=True)
    if not isinstance(wanted, dict):
        raise Rejected("Invalid request body")
    return wanted


@bp.post("/paystack/refund")
def create() -> Response:
    return serve("refund", _create)


def _create() -> Response:
    refunds = world().refunds
    return ok("Refund has been queued for processing", refunds.created_data(refunds.create(_body())))


@bp.get("/paystack/refund/<refund_id>")
def fetch(refund_id: str) -> Response:
    refunds = world().refunds
    return serve("refund_read", lambda: ok("Refund retrieved", refunds.data(refunds.get(refund_id))))


@bp.get("/paystack/refund")
def listing() -> Response:
    return serve("refund_read", _listing)


def _listing() -> Response:
    """Newest first. `transaction` is a number; `reference`, the text."""
    refunds, wanted = world().refunds, request.args
    size, page = min(1000, max(1, wanted.get("perPage", 50, int))), max(1, wanted.get("page", 1, int))
    transaction = wanted.get("transaction") or None
    if transaction and not transaction.isdigit():
        raise Rejected("Transaction ID should be numeric.")
    rows = refunds.listing(transaction or wanted.get("reference") or None)
    rows = [refund for refund in rows if wanted.get("currency") in (None, "", refund.currency)]
    begin = (page - 1) * size
    pages = -(-len(rows) // size)
    meta = {"total": len(rows), "skipped": begin, "perPage": size, "page": page, "pageCount": pages}
    return ok("Refunds retrieved", [refunds.data(refund) for refund in rows[begin : begin + size]], meta=meta)


@bp.post("/paystack/refund/retry_with_customer_details/<refund_id>")
def retry(refund_id: str) -> Response:
    return serve("refund_retry", lambda: _retry(refund_id))


def _retry(refund_id: str) -> Response:
    refunds = world().refunds
    refund = refunds.retry(refund_id, _body())
    return ok("Refund retried and has been queued for processing", refunds.created_data(refund))


@bp.get("/paystack/bank")
def banks() -> Response:
    told = [{"id": number, "name": name, "currency": "NGN", "country": "Nigeria"} for number, name in BANKS.items()]
    return serve("banks", lambda: ok("Banks retrieved", told))


@bp.post("/control/refunds")
def control() -> tuple[Response, int]:
    """`id`, and the `status` it shall have."""
    wanted = request.get_json(silent=True) or {}
    refunds = world().refunds
    try:
        refund = refunds.get(str(wanted.get("id")))
        refunds.move(refund, str(wanted.get("status")))
    except Rejected as rejection:
        return jsonify(error=rejection.message), rejection.status
    except ValueError as error:
        return jsonify(error=str(error)), 400
    return jsonify(refunds.data(refund)), 200


@bp.post("/refunds")
def move() -> BaseResponse:
    """The buttons of the sandbox's own page."""
    problem = None
    try:
        world().refunds.move(world().refunds.get(request.form.get("id", "")), request.form.get("status", ""))
    except Rejected as rejection:
        problem = rejection.message
    except ValueError as error:
        problem = str(error)
    return redirect(url_for("pages.home", problem=problem), 303)
