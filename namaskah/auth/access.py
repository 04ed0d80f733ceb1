"""Who may reach which page. Every route declares one of these rules; a test fails the route that declares none.

A rule leaves its name in `view.access`, where the test, and anybody who wonders, finds it.
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import abort, current_app, flash, make_response, redirect, request, url_for
from flask_babel import gettext as _
from flask_login import current_user
from werkzeug.wrappers import Response

from namaskah.auth import policies, sessions
from namaskah.auth.models import User
from namaskah.auth.second_factor import factors

View = TypeVar("View", bound=Callable[..., Any])
HOME = "/numbers"

# One slash and no second one, no backslash (browsers take it for a slash), nothing they strip before reading.
_OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f-\x9f]{0,2000}")


def public(view: View) -> View:
    """Anybody."""
    return _ruled(view, "public", _let_in)


def customer(view: View) -> View:
    """Whoever is logged in; others log in first and come back."""
    return _ruled(view, "customer", _turn_away_visitors)


def verified(view: View) -> View:
    """Whoever is logged in, has confirmed the address and accepted the present policies: the rule of everything that
    moves money."""
    return _ruled(view, "verified", _turn_away_unverified)


def stepped_up(view: View) -> View:
    """Whoever is logged in and has proved who they are within the last minutes; others are asked again and come back.
    The rule of what could take an account away from its owner."""
    return _ruled(view, "stepped up", _turn_away_unconfirmed)


def admin_only(view: View) -> View:
    """Admins, in a session that used a second factor. Another customer is told that there is no such page; a visitor
    logs in first."""
    return _ruled(view, "admin", _turn_away_customers)


def signed(view: View) -> View:
    """Programs that prove themselves with each call; the view checks the signature. It takes no session."""
    return _ruled(view, "signed", _let_in)


def me() -> User:
    """Whoever is logged in, as the row itself. Only behind a rule that asks for it."""
    return cast(User, current_user._get_current_object())


def safe_next(target: str | None, default: str = HOME) -> str:
    """`target` when it is a path on this site, else `default`: a link must not send people elsewhere through us."""
    return target if target and _OWN_PATH.fullmatch(target) else default


def go(address: str) -> Response:
    """Send the browser on: 303, or for htmx the header that makes the whole page go, not the fragment."""
    if "HX-Request" in request.headers:
        response = make_response("", 200)
        response.headers["HX-Redirect"] = address
        return response
    return redirect(address, 303)


def _ruled(view: View, access: str, refusal: Callable[[], Response | None]) -> View:
    @wraps(view)
    def ruled(*args: Any, **kwargs: Any) -> Any:
        refused = refusal()
        return view(*args, **kwargs) if refused is None else refused

    ruled.access = access  # type: ignore[attr-defined]  # the rule, for the guard test and the pages
    return cast(View, ruled)


def _let_in() -> Response | None:
    return None


def _turn_away_visitors() -> Response | None:
    if current_user.is_authenticated:
        return None
    return go(url_for("auth.login", next=_way_back()))


def _turn_away_unverified() -> Response | None:
    refused = _turn_away_visitors()
    if refused is None and not current_user.is_verified:
        flash(_("Confirm your e-mail address first. Nothing was charged."), "warning")
        return go(url_for("auth.check_mail"))
    if refused is None and not policies.has_accepted(me()):
        return go(url_for("auth.accept_policies", next=_way_back()))
    return refused


def _turn_away_unconfirmed() -> Response | None:
    refused = _turn_away_visitors()
    if refused is None and not (sessions.is_confirmed(current_user.session) and _used_its_factor()):
        return go(url_for("auth.confirm", next=_way_back()))
    return refused


def _used_its_factor() -> bool:
    """Whether the session was opened, or confirmed since, with all that the account has to prove itself with."""
    return current_user.session.second_factor or not factors.are_set_up(current_user)


def _turn_away_customers() -> Response | None:
    refused = _turn_away_visitors()
    if refused is None and not current_user.is_admin:
        abort(404)
    return refused or _turn_away_one_factor()


def _turn_away_one_factor() -> Response | None:
    if current_user.session.second_factor or not current_app.config["ADMIN_SECOND_FACTOR"]:
        return None
    if factors.are_set_up(current_user):
        return go(url_for("auth.confirm", next=_way_back()))
    flash(_("What admins see is worth more than a password. Set up a second factor, then come back."), "warning")
    return go(url_for("second_factor.show"))


def _way_back() -> str:
    """The page the visitor was on: not the fragment htmx asked for, and not the address of a form."""
    if "HX-Request" in request.headers:
        return _own_path(request.headers.get("HX-Current-URL", ""))
    if request.method in ("GET", "HEAD"):
        return safe_next(request.full_path.rstrip("?"))
    return _own_path(request.referrer or "")


def _own_path(address: str) -> str:
    """The path of a whole address, if it is one of ours."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return HOME
    if parts.netloc != request.host:
        return HOME
    return safe_next(parts.path + (f"?{parts.query}" if parts.query else ""))
