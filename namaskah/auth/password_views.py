"""Pages for a new password: by a letter, by knowing the old one; and what we think of one while it is typed."""

from flask import Response, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_login import current_user, logout_user

from namaskah import limits
from namaskah.auth import accounts, attempts, blueprint, credentials, devices, password_rule, passwords, sessions
from namaskah.auth.access import customer, me, public
from namaskah.auth.password_forms import AddressForm, ChangePasswordForm, NewPasswordForm
from namaskah.auth.second_factor import factors


def _was_wrong(_response: Response) -> bool:
    return bool(g.get("wrong_password", False))


@blueprint.route("/forgot-password", methods=["GET", "POST"])
@public
# Who is refused after three letters holds one whose link still works: nobody is kept out by others who ask.
@attempts.reset
def forgot_password() -> ResponseReturnValue:
    """The same answer after the same time for every address."""
    form = AddressForm(email=current_user.email if current_user.is_authenticated else None)
    if not form.validate_on_submit():
        return render_template("auth/forgot_password.html", form=form), 422 if form.is_submitted() else 200
    credentials.ask_for_reset(form.email.data or "")
    session["reset_email"] = form.email.data
    return redirect(url_for("auth.reset_sent"), 303)


@blueprint.get("/forgot-password/sent")
@public
def reset_sent() -> ResponseReturnValue:
    if "reset_email" not in session:
        return redirect(url_for("auth.forgot_password"), 303)
    return render_template("auth/reset_sent.html", email=session["reset_email"], minutes=credentials.RESET_MINUTES)


@blueprint.route("/reset-password/<token>", methods=["GET", "POST"])
@public
@limits.limit("links", limits.account, methods=("GET", "POST"))
@attempts.new_password
def reset_password(token: str) -> ResponseReturnValue:
    """Programs that look into mails follow every link, but fill in no form: looking uses nothing up."""
    try:
        user = credentials.get_by_token(token)
        form = NewPasswordForm(user.email, has_second_factor=factors.are_set_up(user))
        if not form.validate_on_submit():
            page = render_template("auth/reset_password.html", form=form, email=user.email)
            return page, 422 if form.is_submitted() else 200
        credentials.reset_password(token, form.password.data or "")
    except accounts.InvalidLink as error:
        return render_template("auth/reset_password.html", form=None), error.status
    if current_user.is_authenticated and current_user.id == user.id:
        logout_user()
        sessions.clear_cookie()
    session.pop("reset_email", None)
    devices.remember(user)  # so that a stranger's failures do not keep the owner waiting here
    flash(_("Your new password works from now on, and you are logged out everywhere. Log in with it."), "success")
    return redirect(url_for("auth.login"), 303)


@blueprint.route("/account/password", methods=["GET", "POST"])
@customer
@limits.limit("present password", limits.account, counts=_was_wrong)
def change_password() -> ResponseReturnValue:
    form = ChangePasswordForm(me().email, has_second_factor=factors.are_set_up(me()))
    if form.validate_on_submit():
        if credentials.change_password(me(), form.current.data or "", form.password.data or ""):
            flash(_("Your password is changed, and all other devices are logged out."), "success")
            return redirect(url_for("account.show"), 303)
        g.wrong_password = True
        form.current.errors = [_("This is not your present password. Try once more.")]
    return render_template("auth/change_password.html", form=form), 422 if form.is_submitted() else 200


@blueprint.post("/password-strength")
@public
@limits.limit("password strength", limits.account)
def password_strength() -> ResponseReturnValue:
    """What the rule says to what has been typed so far, for htmx. Nothing of it is kept or written down."""
    password = request.form.get("password", "")[: passwords.MAX_LENGTH + 1]
    email = current_user.email if current_user.is_authenticated else request.form.get("email", "")[:254]
    shorter = current_user.is_authenticated and factors.are_set_up(me())
    verdict = password_rule.judge(password, email, has_second_factor=shorter) if password else None
    return render_template("auth/_strength.html", verdict=verdict)
