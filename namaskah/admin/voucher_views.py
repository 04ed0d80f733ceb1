"""Gifts, as the operator gives them: to one customer by hand, to many by codes."""

from datetime import UTC, datetime

from flask import flash, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah.admin import blueprint
from namaskah.admin.forms import BatchForm, GiftForm
from namaskah.admin.people import addresses_of
from namaskah.auth.access import admin_only, me, stepped_up
from namaskah.errors import UserError
from namaskah.wallet import promo, voucher_batches


@blueprint.route("/promo", methods=["GET", "POST"])
@admin_only
@stepped_up
def promo_credit() -> ResponseReturnValue:
    """Give one customer credit, with a reason."""
    form, status, problem = GiftForm(), 200, ""
    if form.is_submitted():
        status = 422
        if form.validate():
            try:
                promo.give(
                    form.email.data or "",
                    form.amount_minor,
                    form.days.data or 0,
                    form.reason.data or "",
                    form.key.data or "",
                    _who(),
                )
            except UserError as error:
                problem, status = error.message, error.status
            else:
                flash(_("The gift is in the customer’s wallet."), "success")
                return redirect(url_for("admin.promo_credit"), 303)
    page = render_template("admin/promo.html", form=form, problem=problem, given=promo.given_by_hand())
    return page, status


@blueprint.route("/vouchers", methods=["GET", "POST"])
@admin_only
@stepped_up
def vouchers() -> ResponseReturnValue:
    """All batches, and a form for another one."""
    form, status, problem = BatchForm(), 200, ""
    if form.is_submitted():
        status = 422
        if form.validate():
            try:
                made = voucher_batches.make(form.terms(), form.key.data or "", _who())
            except UserError as error:
                problem, status = error.message, error.status
            else:
                return redirect(url_for("admin.voucher_batch", batch_id=made.id), 303)
    batches = voucher_batches.newest()
    page = render_template("admin/vouchers.html", form=form, problem=problem, batches=batches, now=datetime.now(UTC))
    return page, status


@blueprint.get("/vouchers/<int:batch_id>")
@admin_only
def voucher_batch(batch_id: int) -> ResponseReturnValue:
    batch = voucher_batches.get_batch(batch_id)
    uses = voucher_batches.uses(batch)
    owners = addresses_of(use for use, _last_four, _gift in uses)
    return render_template("admin/voucher_batch.html", batch=batch, uses=uses, owners=owners, now=datetime.now(UTC))


@blueprint.post("/vouchers/<int:batch_id>/codes")
@admin_only
@stepped_up
def voucher_codes(batch_id: int) -> ResponseReturnValue:
    """The codes as a file, once. Never from a cache: whoever has it has the money."""
    response = make_response(voucher_batches.take_codes(batch_id, _who()))
    response.mimetype = "text/csv"
    response.headers["Content-Disposition"] = f'attachment; filename="codes-{batch_id}.csv"'
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.post("/vouchers/<int:batch_id>/revoke")
@admin_only
@stepped_up
def revoke_vouchers(batch_id: int) -> ResponseReturnValue:
    voucher_batches.revoke(batch_id, _who())
    flash(_("None of these codes gives anything any more. What was given stays with its customers."), "success")
    return redirect(url_for("admin.voucher_batch", batch_id=batch_id), 303)


def _who() -> str:
    return f"user:{me().id}"
