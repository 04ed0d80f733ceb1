"""Disputes at will: the bank's and the clock's part, for programs and for the buttons of the sandbox's page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, abort, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from .control import missing, senseless
from .disputes import DAY, Dispute
from .world import world

bp = Blueprint("dispute_control", __name__)


@bp.errorhandler(ValueError)
@bp.errorhandler(TypeError)
def refused(error: Exception) -> tuple[Response, int]:
    return senseless(error)


@bp.errorhandler(404)
def not_there(error: Exception) -> tuple[Response, int]:
    return missing(error)


@bp.post("/control/disputes")
def open_dispute() -> tuple[Response, int]:
    return jsonify(asdict(_open(request.get_json(silent=True) or {}))), 201


@bp.post("/control/disputes/<int:dispute_id>/<any(remind, won, lost, expire, reopen, amount):act>")
def act(dispute_id: int, act: str) -> Response:
    """won and lost are the bank's decision; expire lets the time to answer run out; amount takes `amount`."""
    return jsonify(asdict(_act(dispute_id, act, (request.get_json(silent=True) or {}).get("amount"))))


@bp.post("/disputes")
def open_by_form() -> BaseResponse:
    form = request.form
    amount = form.get("amount", type=float)
    wanted = {"reference": form["reference"], "category": form.get("category", "chargeback")}
    try:
        _open(
            wanted
            | {"amount": amount and round(amount * 100), "due_seconds": (form.get("hours", type=float) or 24) * 3600}
        )
    except ValueError as error:
        return redirect(url_for("pages.home", problem=str(error)), 303)
    return redirect(url_for("pages.home"), 303)


@bp.post("/disputes/<int:dispute_id>/<any(remind, won, lost, expire, reopen):act>")
def act_by_form(dispute_id: int, act: str) -> BaseResponse:
    try:
        _act(dispute_id, act)
    except ValueError as error:
        return redirect(url_for("pages.home", problem=str(error)), 303)
    return redirect(url_for("pages.home"), 303)


def _open(wanted: dict[str, Any]) -> Dispute:
    amount = wanted.get("amount")
    return world().disputes.open(
        str(wanted.get("reference")),
        None if amount is None else int(amount),
        str(wanted.get("category") or "chargeback"),
        float(wanted.get("due_seconds", DAY)),
    )


def _act(dispute_id: int, act: str, amount: object = None) -> Dispute:
    disputes = world().disputes
    dispute = disputes.find(dispute_id) or abort(404)
    if act == "remind":
        disputes.remind(dispute)
    elif act == "expire":
        disputes.let_time_run_out(dispute)
    elif act == "reopen":
        disputes.reopen(dispute)
    elif act == "amount":
        disputes.change_amount(dispute, int(str(amount)))
    else:
        disputes.decide(dispute, act)
    return dispute
