"""Where the second factor is asked for: after the password, and before changes that could take the account away."""

from collections.abc import Callable

from flask import flash, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_login import current_user

from namaskah import limits
from namaskah.auth import sessions
from namaskah.auth.access import me, public, safe_next
from namaskah.auth.models import User
from namaskah.auth.second_factor import blueprint, codes, factors, pending, tries
from namaskah.auth.second_factor.forms import CodeForm


@blueprint.route("/login/second-factor", methods=["GET", "POST"])
@public
@limits.limit("codes, whatever comes of it", limits.network)
def log_in() -> ResponseReturnValue:
    """The second half of a log-in."""
    target = safe_next(request.args.get("next"))
    if current_user.is_authenticated:
        return redirect(target, 303)
    user = pending.find_user()
    if user is None:
        if pending.is_noted():
            pending.forget()
            flash(_("That took too long, or something has changed meanwhile. Log in once more."), "warning")
        return redirect(url_for("auth.login", next=target), 303)

    def enter(kind: str) -> ResponseReturnValue:
        sessions.log_in(user, kind, second_factor=True)
        return redirect(_after_recovery(user) if kind == "recovery_code" else target, 303)

    return _ask(user, "second_factor/log_in.html", enter, with_recovery=True)


def confirm_by_factor() -> ResponseReturnValue:
    """The step-up page of who has a factor. A recovery code will not do: it is for getting in, once."""
    target = safe_next(request.args.get("next") or session.get("next"))

    def go_on(_kind: str) -> ResponseReturnValue:
        sessions.confirm(me(), second_factor=True)
        return redirect(target, 303)

    return _ask(me(), "second_factor/confirm.html", go_on, with_recovery=False)


def _ask(
    user: User, template: str, done: Callable[[str], ResponseReturnValue], *, with_recovery: bool
) -> ResponseReturnValue:
    """The page with the form for a code, or what `done` answers once a right one has come."""
    form, status, wait = CodeForm(), 200, 0
    if form.validate_on_submit():
        try:
            kind = codes.accept(user, form.code.data or "", with_recovery=with_recovery)
        except tries.TooManyTries as error:
            form.form_errors.append(error.message)
            status, wait = error.status, error.seconds
        else:
            if kind:
                return done(kind)
            form.code.errors = [_("This code is not right, or it was used already. Wait for the next one.")]
    if form.is_submitted() and not wait:
        status = 422
    form.code.data = ""
    answer = make_response(render_template(template, form=form, factors=factors.of(user)), status)
    if wait:
        answer.headers["Retry-After"] = str(wait)
    return answer


def _after_recovery(user: User) -> str:
    left = factors.of(user).codes_left
    said = ngettext("%(num)s recovery code is left.", "%(num)s recovery codes are left.", left)
    flash(_("You used a recovery code. Is your app or key lost? Remove it here and add a new one now."), "warning")
    flash(said, "warning")
    return url_for("second_factor.show")
