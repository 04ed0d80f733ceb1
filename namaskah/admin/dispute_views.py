"""Disputes at the operator's desk: the list with its deadlines, one with all we know, the pack, and the answer."""

from datetime import UTC, datetime

from flask import abort, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from namaskah.admin import blueprint, disputes
from namaskah.auth.access import admin_only, me, stepped_up
from namaskah.auth.passwords import beside_the_loop
from namaskah.db import leave_database
from namaskah.errors import UserError
from namaskah.papers.printer import printed
from namaskah.wallet import debts, dispute_answers, evidence
from namaskah.wallet import disputes as wallet_disputes
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.paystack import GatewayDown, GatewayRefused, SubjectUnknown

PAPERS = {"accepted": evidence.acceptance, "declined": evidence.pack}


@blueprint.get("/disputes", endpoint="disputes")
@admin_only
def list_disputes() -> ResponseReturnValue:
    found = disputes.listed()
    now = datetime.now(UTC)
    return render_template(
        "admin/disputes.html",
        disputes=found,
        tones={dispute.id: disputes.tone(dispute, now) for dispute in found},
        customers=disputes.customers_of(found),
        names=disputes,
    )


@blueprint.get("/disputes/<int:dispute_id>")
@admin_only
def dispute(dispute_id: int) -> ResponseReturnValue:
    return _page(disputes.find(dispute_id))


@blueprint.post("/disputes/<int:dispute_id>/refresh")
@admin_only
def refresh_dispute(dispute_id: int) -> ResponseReturnValue:
    found = disputes.find(dispute_id)
    try:
        wallet_disputes.refresh(found.gateway_id)
    except (GatewayDown, GatewayRefused, SubjectUnknown) as error:
        problem = _("Paystack gives no answer about it now (%(why)s). Nothing was changed.", why=str(error))
        return _page(disputes.find(dispute_id), problem), 503
    return redirect(url_for("admin.dispute", dispute_id=dispute_id), 303)


@blueprint.get("/disputes/<int:dispute_id>/evidence.pdf")
@admin_only
def evidence_file(dispute_id: int) -> Response:
    """The pack as it would be sent now."""
    found = disputes.find(dispute_id)
    return _file(_printed(found, "declined", request.args.get("reason", "")), f"evidence-{found.gateway_id}.pdf")


@blueprint.get("/disputes/<int:dispute_id>/sent/<int:paper_id>.pdf")
@admin_only
def sent_file(dispute_id: int, paper_id: int) -> Response:
    """The very bytes that were sent."""
    found = next((each for each in disputes.papers_of(disputes.find(dispute_id)) if each.id == paper_id), None)
    return _file(found.content, f"sent-{dispute_id}-{paper_id}.pdf") if found else abort(404)


@blueprint.post("/disputes/<int:dispute_id>/answer")
@admin_only
@stepped_up
def answer_dispute(dispute_id: int) -> ResponseReturnValue:
    """Decline or accept. Written down here and now; the worker brings it to Paystack."""
    found = disputes.find(dispute_id)
    what, reason = request.form.get("answer", ""), request.form.get("reason", "")
    if what not in PAPERS or request.form.get("sure") != what:
        return _page(found, _("Tick that you are sure: at Paystack an answer cannot be taken back.")), 422
    operator = me()
    try:
        paper = _printed(found, what, reason.strip())
        dispute_answers.answer(dispute_id, what, reason, paper, operator)
    except UserError as error:
        return _page(disputes.find(dispute_id), error.message), error.status
    return redirect(url_for("admin.dispute", dispute_id=dispute_id), 303)


@blueprint.post("/disputes/<int:dispute_id>/write-off")
@admin_only
@stepped_up
def write_off_debt(dispute_id: int) -> ResponseReturnValue:
    disputes.find(dispute_id)
    try:
        debts.write_off(dispute_id, request.form.get("reason", ""), me())
    except UserError as error:
        return _page(disputes.find(dispute_id), error.message), error.status
    return redirect(url_for("admin.dispute", dispute_id=dispute_id), 303)


def _printed(found: Dispute, what: str, reason: str) -> bytes:
    paper = PAPERS[what](found, reason, datetime.now(UTC).replace(microsecond=0))
    leave_database()
    return beside_the_loop(printed, paper)


def _file(content: bytes, name: str) -> Response:
    response = make_response(content)
    response.headers["Content-Type"] = "application/pdf"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _page(found: Dispute, problem: str = "") -> str:
    return render_template(
        "admin/dispute.html",
        dispute=found,
        customer=disputes.customer_of(found),
        papers=disputes.papers_of(found),
        steps=disputes.timeline(found),
        tone=disputes.tone(found, datetime.now(UTC)),
        can_answer=disputes.waits_for_us(found),
        names=disputes,
        problem=problem,
    )
