"""Refunds of top-ups to where they were paid from: the list, a new one, each one with what can be done about it."""

import re
from typing import Any

from flask import abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from namaskah.admin import blueprint
from namaskah.admin.people import addresses_of
from namaskah.admin.refund_forms import AccountForm, RefundForm
from namaskah.auth.access import admin_only, me, stepped_up
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.errors import UserError
from namaskah.money import SIGNS
from namaskah.wallet import refund_accounts, refund_asking, refund_reading, refund_words, refunds, topups
from namaskah.wallet.models import TopUp
from namaskah.wallet.refund_models import OPEN_STATES, REFUND_STATES, GatewayRefund

PAGE = 25
FILTERS: dict[str, tuple[str, ...]] = {
    "": (),
    "open": OPEN_STATES,
    **{state: (state,) for state in REFUND_STATES if state != "asked"},
}


@blueprint.get("/refunds", endpoint="refunds")
@admin_only
def show_refunds() -> ResponseReturnValue:
    shown, before = request.args.get("state", ""), request.args.get("before", "")
    if shown not in FILTERS or not re.fullmatch("[0-9]{0,18}", before):
        abort(404)
    found = refund_reading.page(FILTERS[shown], int(before) if before else None, PAGE + 1)
    rows = found[:PAGE]
    older = url_for("admin.refunds", state=shown or None, before=rows[-1].id) if len(found) > PAGE else None
    return render_template(
        "admin/refunds.html",
        refunds=[(refund, refund_words.for_operator(refund)) for refund in rows],
        addresses=addresses_of(rows),
        filters=FILTERS,
        words=refund_words.OPERATORS,
        shown=shown,
        older_url=older,
        newest_url=url_for("admin.refunds", state=shown or None) if before else None,
    )


@blueprint.get("/refunds/new")
@admin_only
@stepped_up
def new_refund() -> ResponseReturnValue:
    reference = request.args.get("top_up", "").strip()
    if not reference:
        return render_template("admin/refund_find.html", reference="", problem="")
    top_up = _top_up(reference)
    return _form(top_up, RefundForm()) if top_up else (_not_found(reference), 404)


@blueprint.post("/refunds/new")
@admin_only
@stepped_up
def start_refund() -> ResponseReturnValue:
    """Written down first, then asked for; without a clear answer the worker goes on by itself."""
    reference = request.args.get("top_up", "").strip()
    top_up = _top_up(reference)
    if top_up is None:
        return _not_found(reference), 422
    form = RefundForm()
    if not form.validate():
        return _form(top_up, form), 422
    try:
        refund = refunds.start(
            reference,
            form.amount_minor,
            reason=form.reason.data or "",
            key=form.key.data or "",
            who=_who(),
            loss_minor=form.loss_minor,
            loss_reason=form.loss_reason.data or "",
        )
    except UserError as error:
        form.amount.errors = [error.message]
        return _form(top_up, form), error.status
    refund_asking.try_to_ask(refund.reference)
    return _to(refund.reference)


@blueprint.get("/refunds/<reference>")
@admin_only
def refund(reference: str) -> ResponseReturnValue:
    return _page(_refund(reference))


@blueprint.post("/refunds/<reference>/ask")
@admin_only
def ask_refund(reference: str) -> ResponseReturnValue:
    refund_asking.try_to_ask(_refund(reference).reference)
    return _to(reference)


@blueprint.post("/refunds/<reference>/withdraw")
@admin_only
def withdraw_refund(reference: str) -> ResponseReturnValue:
    """`sure`: the operator has looked at the payment's other refunds at Paystack."""
    sure = "sure" in request.form
    return _do(reference, lambda: refund_asking.withdraw(reference, _who(), is_none_of_them=sure))


@blueprint.post("/refunds/<reference>/attach")
@admin_only
def attach_refund(reference: str) -> ResponseReturnValue:
    number = request.form.get("gateway_id", "")[:32]
    return _do(reference, lambda: refund_asking.attach(reference, number, _who()))


@blueprint.post("/refunds/<reference>/account")
@admin_only
@stepped_up
def refund_account(reference: str) -> ResponseReturnValue:
    form = AccountForm()
    if not form.validate():
        return _page(_refund(reference), account=form), 422
    bank, number = form.bank.data or "", form.account_number.data or ""
    return _do(reference, lambda: refund_accounts.send_to(reference, bank, number, _who()))


@blueprint.post("/refunds/<reference>/settle")
@admin_only
@stepped_up
def settle_refund(reference: str) -> ResponseReturnValue:
    """Book what Paystack says against what our books say."""
    is_gone = _refund(reference).state == "processed"
    verb = refunds.give_back if is_gone else refunds.book_as_gone
    return _do(reference, lambda: verb(reference, _who()))


def _do(reference: str, verb: Any) -> ResponseReturnValue:
    """Back to its page, with what was in the way if something was."""
    found = _refund(reference)
    try:
        verb()
    except UserError as error:
        return _page(refund_reading.get_refund(found.reference), error.message), error.status
    return _to(reference)


def _page(found: GatewayRefund, problem: str = "", account: AccountForm | None = None) -> str:
    needs_account = found.state == "needs_attention"
    return render_template(
        "admin/refund.html",
        refund=found,
        words=refund_words.for_operator(found),
        states=refund_words.OPERATORS,
        steps=refund_reading.steps_of(found),
        owner=db.session.get_one(User, found.user_id),
        problem=problem,
        is_stuck_on_others=found.state == "doubt" and found.problem == refund_asking.WITHOUT_OURS,
        account=(account or AccountForm()) if needs_account else None,
        banks=refund_accounts.banks(found.currency) if needs_account else [],
    )


def _form(top_up: TopUp, form: RefundForm) -> str:
    return render_template(
        "admin/refund_new.html",
        top_up=top_up,
        owner=db.session.get_one(User, top_up.user_id),
        room=refund_reading.room_of(top_up),
        before=[(each, refund_words.for_operator(each)) for each in refund_reading.of_top_up(top_up)],
        sign=SIGNS.get(top_up.currency, top_up.currency),
        form=form,
    )


def _not_found(reference: str) -> str:
    return render_template("admin/refund_find.html", reference=reference[:40], problem="unknown" if reference else "")


def _top_up(reference: str) -> TopUp | None:
    try:
        return topups.get_top_up(reference) if topups.REFERENCE.fullmatch(reference) else None
    except topups.UnknownTopUp:
        return None


def _refund(reference: str) -> GatewayRefund:
    if not re.fullmatch("[A-Za-z0-9-]{1,40}", reference):
        abort(404)
    try:
        return refund_reading.get_refund(reference)
    except refund_reading.UnknownRefund:
        abort(404)


def _to(reference: str) -> ResponseReturnValue:
    return redirect(url_for("admin.refund", reference=reference), 303)


def _who() -> str:
    return f"user:{me().id}"
