"""Where a customer types a gift code in."""

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah import limits
from namaskah.auth.access import me, verified
from namaskah.errors import UserError
from namaskah.filters import day, money_text
from namaskah.wallet import blueprint, vouchers
from namaskah.wallet.forms import VoucherForm


@blueprint.route("/wallet/voucher", methods=["GET", "POST"])
@verified
@limits.limit("wrong gift codes", limits.account, counts=limits.was_refused)
@limits.limit("wrong gift codes from a network", limits.network, counts=limits.was_refused)
def voucher() -> ResponseReturnValue:
    """The same answer for a code that never was and one that is over: nobody learns anything by trying."""
    form, status = VoucherForm(), 200
    if form.is_submitted():
        status = 422
        if form.validate():
            try:
                return _redeemed(vouchers.redeem(me(), form.code.data or ""))
            except UserError as error:
                form.code.errors = [error.message]
                status = error.status
    return render_template("wallet/voucher.html", voucher_form=form), status


def _redeemed(found: vouchers.Redeemed) -> ResponseReturnValue:
    values = {"amount": money_text(found.gift.amount_minor), "until": day(found.gift.expires_at)}
    if found.is_new:
        flash(_("%(amount)s is in your wallet, a gift until %(until)s. Purchases take it first.", **values), "success")
    else:
        flash(_("You have used this code already: it gave you %(amount)s until %(until)s.", **values), "info")
    return redirect(url_for("wallet.show"), 303)
