"""Show the account, and keep what its owner chose."""

from flask import flash, redirect, render_template, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import refresh

from namaskah import limits
from namaskah.account import blueprint
from namaskah.account.forms import BillingForm, PreferencesForm
from namaskah.auth import accounts
from namaskah.auth.access import customer, me
from namaskah.wallet import invoices


@blueprint.get("/account")
@customer
def show() -> ResponseReturnValue:
    return render_template("account/show.html", form=PreferencesForm(obj=me()))


@blueprint.post("/account")
@customer
@limits.limit("preferences", limits.account)
def save() -> ResponseReturnValue:
    form = PreferencesForm()
    if not form.validate_on_submit():
        return render_template("account/show.html", form=form), 422
    accounts.set_preferences(
        me(),
        name=form.name.data or "",
        language=form.language.data,
        timezone=form.timezone.data,
        theme=form.theme.data,
        sound=form.sound.data,
        receipt_letters=form.receipt_letters.data,
    )
    # The browser keeps language and theme for after the log-out.
    session["language"], session["theme"] = form.language.data, form.theme.data
    refresh()
    flash(_("Saved."), "success")
    return redirect(url_for("account.show"), 303)


@blueprint.route("/account/billing", methods=["GET", "POST"])
@customer
@limits.limit("preferences", limits.account)
def billing() -> ResponseReturnValue:
    form, status = BillingForm(obj=invoices.buyer_details(me().id), name=me().name), 200
    if form.is_submitted():
        if form.validate():
            invoices.set_buyer_details(
                me(), **{name: form[name].data for name in ("name", "company", "address", "tax_id")}
            )
            flash(_("Saved. It stands on every receipt from now on."), "success")
            return redirect(url_for("account.billing"), 303)
        status = 422
    return render_template("account/billing.html", form=form), status
