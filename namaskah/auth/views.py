"""Pages to open an account, log in and out, and confirm the address."""

from flask import flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user

from namaskah import limits
from namaskah.auth import accounts, attempts, blueprint, sessions
from namaskah.auth.access import customer, me, public, safe_next
from namaskah.auth.forms import ConfirmForm, LoginForm, RegisterForm
from namaskah.auth.models import User
from namaskah.auth.second_factor import factors, pending
from namaskah.auth.second_factor.login_views import confirm_by_factor


@blueprint.route("/register", methods=["GET", "POST"])
@public
@attempts.register
def register() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(_next_page(), 303)
    form = RegisterForm()
    if not form.validate_on_submit():
        return render_template("auth/register.html", form=form), 422 if form.is_submitted() else 200
    email = form.email.data or ""
    accounts.register(email, form.password.data or "", str(get_locale()), form.timezone.data or "")
    session["registered_email"] = email
    if "next" in request.args:
        session["next"] = safe_next(request.args["next"])
    return redirect(url_for("auth.check_mail"), 303)


@blueprint.route("/login", methods=["GET", "POST"])
@public
@attempts.login
def login() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return redirect(_next_page(), 303)
    pending.forget()
    form = LoginForm()
    if form.validate_on_submit():
        user = _checked(form)
        if user:
            return redirect(pending.log_in_or_ask(user, "password", _next_page()), 303)
    return render_template("auth/login.html", form=form), 422 if form.is_submitted() else 200


@blueprint.route("/confirm", methods=["GET", "POST"])
@customer
@limits.limit("confirm", limits.session, counts=limits.was_refused)
def confirm() -> ResponseReturnValue:
    """Asks once more who somebody is, before a change that could take their account away."""
    if factors.are_set_up(me()):
        return confirm_by_factor()
    form = ConfirmForm()
    if form.validate_on_submit():
        if accounts.is_password_of(me(), form.password.data or ""):
            sessions.confirm(me())
            return redirect(_next_page(), 303)
        form.password.errors = [_("This is not your password. Try once more.")]
    return render_template("auth/confirm.html", form=form), 422 if form.is_submitted() else 200


@blueprint.post("/logout")
@public
def logout() -> ResponseReturnValue:
    sessions.log_out()
    return redirect(url_for("pages.landing"), 303)


@blueprint.get("/verify-email")
@public
def check_mail() -> ResponseReturnValue:
    """Where the letter went. A visitor sees it after opening an account, anybody else after logging in."""
    if current_user.is_authenticated and current_user.is_verified:
        return redirect(_next_page(), 303)
    email = current_user.email if current_user.is_authenticated else session.get("registered_email")
    if email is None:
        return redirect(url_for("auth.login", next=request.path), 303)
    return render_template("auth/check_mail.html", email=email)


def _registered_key() -> str:
    """One count an account, or for a visitor one an address typed at registration."""
    if current_user.is_authenticated or "registered_email" not in session:
        return limits.account()
    return limits.email_of(session["registered_email"])


@blueprint.post("/verify-email/resend")
@public
@limits.limit("letters from a network", limits.network)
@limits.limit("letters to oneself", _registered_key)
def resend() -> ResponseReturnValue:
    """A visitor who has just registered gets the same answer whether or not the address had an account before."""
    if not current_user.is_authenticated:
        if "registered_email" not in session:
            return redirect(url_for("auth.login", next=url_for("auth.check_mail")), 303)
        accounts.ask_for_verification(session["registered_email"])
        flash(_("A new letter is on its way to %(email)s.", email=session["registered_email"]), "success")
        return redirect(url_for("auth.check_mail"), 303)
    accounts.resend_verification(me())
    if not me().is_verified:
        flash(_("A new letter is on its way to %(email)s.", email=me().email), "success")
    return redirect(url_for("auth.check_mail"), 303)


@blueprint.route("/verify-email/<token>", methods=["GET", "POST"])
@public
@limits.limit("links", limits.account, methods=("GET", "POST"))
def verify_email(token: str) -> ResponseReturnValue:
    """A page with a button: programs that look into mails follow every link, but press nothing."""
    try:
        user = accounts.confirm_email(token) if request.method == "POST" else accounts.get_by_token(token)
    except accounts.InvalidLink as error:
        return render_template("auth/verify_email.html", token=None), error.status
    if request.method != "POST":
        return render_template("auth/verify_email.html", token=token, email=user.email)
    return redirect(_after_confirming(user), 303)


def _after_confirming(user: User) -> str:
    session.pop("registered_email", None)
    if current_user.is_authenticated and me().id == user.id:
        flash(_("Your address is confirmed. Top up to buy your first number."), "success")
        return url_for("wallet.show")
    flash(_("The address is confirmed. Log in to top up and buy."), "success")
    return url_for("auth.login", next=session.get("next", url_for("wallet.show")))


def _checked(form: LoginForm) -> User | None:
    """Who logs in; None after leaving the reason in the form."""
    try:
        user = accounts.authenticate(form.email.data or "", form.password.data or "")
    except accounts.AccountClosed as error:
        form.form_errors.append(error.message)
        return None
    if user is None:
        form.form_errors.append(_("This address and password do not belong together. Try once more."))
    return user


def _next_page() -> str:
    """Where somebody was going before an account was asked for."""
    return safe_next(request.args.get("next") or session.get("next"))
