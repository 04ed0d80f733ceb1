"""The page where an account is deleted."""

from flask import flash, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import logout_user

from namaskah.account import blueprint, deletion
from namaskah.account.forms import DeleteForm
from namaskah.auth import sessions
from namaskah.auth.access import go, me, stepped_up


@blueprint.route("/account/delete", methods=["GET", "POST"])
@stepped_up
def delete() -> ResponseReturnValue:
    """Says what happens, then does it. What was agreed to is what was shown: the amount comes with the form."""
    form, status = DeleteForm(), 200
    now = deletion.standing(me())
    if form.is_submitted():
        status = 422
        if form.validate_for(me().email, now.available_minor) and now.is_free:
            try:
                deletion.delete(me(), form.given_up_minor)
            except deletion.NotYet as error:
                form.form_errors.append(error.message)
                status, now = error.status, deletion.standing(me())
            else:
                return _good_bye()
    form.show_amount(now.available_minor)
    return render_template("account/delete.html", form=form, standing=now), status


def _good_bye() -> ResponseReturnValue:
    sessions.clear_cookie()
    logout_user()
    flash(_("Your account is deleted. A last letter is on its way to you. Farewell!"), "success")
    return go(url_for("pages.landing"))
