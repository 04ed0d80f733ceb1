"""Pages to give the account another address."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from namaskah import limits
from namaskah.auth import accounts, blueprint, email_changes
from namaskah.auth.access import customer, me, stepped_up
from namaskah.auth.password_forms import NewAddressForm


@blueprint.route("/account/email", methods=["GET", "POST"])
@stepped_up
@limits.limit("another address", limits.account, counts=limits.went_through)
@limits.limit("letters to an address", limits.email, counts=limits.went_through)
def change_email() -> ResponseReturnValue:
    """The same answer whether or not the new address has an account."""
    form = NewAddressForm(me().email)
    if form.validate_on_submit():
        email_changes.ask(me(), form.email.data or "")
        return redirect(url_for("auth.change_email"), 303)
    page = render_template(
        "auth/change_email.html", form=form, change=email_changes.find(me()), hours=email_changes.HOURS
    )
    return page, 422 if form.is_submitted() else 200


@blueprint.post("/account/email/resend")
@customer
@limits.limit("letters to oneself", limits.account)
def resend_email_change() -> ResponseReturnValue:
    email_changes.resend(me())
    if change := email_changes.find(me()):
        flash(_("A new letter is on its way to %(email)s.", email=change.email), "success")
    return redirect(url_for("auth.change_email"), 303)


@blueprint.post("/account/email/cancel")
@customer
def cancel_email_change() -> ResponseReturnValue:
    email_changes.cancel(me())
    flash(_("Your address stays what it is."), "success")
    return redirect(url_for("account.show"), 303)


@blueprint.route("/account/email/<token>", methods=["GET", "POST"])
@customer
@limits.limit("links", limits.account, methods=("GET", "POST"))
def confirm_email_change(token: str) -> ResponseReturnValue:
    """Opened from the letter: a page with a button, like the one that confirms a first address."""
    try:
        if request.method == "POST":
            email_changes.confirm(me(), token)
            flash(_("Your account has its new address. Other devices are logged out."), "success")
            return redirect(url_for("account.show"), 303)
        change = email_changes.get_by_token(me(), token)
    except accounts.InvalidLink as error:
        return render_template("auth/confirm_email_change.html", token=None, message=error.message), error.status
    return render_template("auth/confirm_email_change.html", token=token, change=change)
