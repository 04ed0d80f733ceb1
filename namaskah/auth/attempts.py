"""How often one may try to log in, so that guessing is hopeless and nobody is locked out by somebody else's guesses.

A stranger's failures are counted by network and account, by network, and by account. A browser that has logged in to
the account before is no stranger: it has a count of its own, which nobody else's failures fill. So whoever fails on
purpose stops other strangers for at most a quarter of an hour, never the owner at the owner's own browser; on a new one
the owner waits, or sets a new password by mail, which makes that browser a known one.
"""

from collections.abc import Callable
from typing import Any

from flask import g, request

from namaskah import limits
from namaskah.auth import accounts, devices

View = Callable[..., Any]


def is_known_here() -> bool:
    """Whether this browser has logged in before to the account whose address was typed."""
    if "known_here" not in g:
        # Only who brings the cookie costs a query.
        user = accounts.find_by_email(request.form.get("email", "")) if devices.identity() else None
        g.known_here = user is not None and devices.is_known(user)
    return bool(g.known_here)


def is_stranger() -> bool:
    return not is_known_here()


def browser_and_email() -> str:
    return f"browser:{devices.identity()} {limits.email()}"


def whoever_tries() -> str:
    """The known browser, else the network, at this account."""
    return browser_and_email() if is_known_here() else limits.network_and_email()


def login(view: View) -> View:
    """All limits of the log-in form."""
    wrong = limits.was_refused
    for rule in (
        limits.limit(
            "login from a network to an account", limits.network_and_email, counts=wrong, unless=is_known_here
        ),
        limits.limit("login from a network", limits.network, counts=wrong, unless=is_known_here),
        limits.limit("login to an account", limits.email, counts=wrong, unless=is_known_here),
        limits.limit("login by a known browser", browser_and_email, counts=wrong, unless=is_stranger),
        limits.limit("login, whatever comes of it", whoever_tries),
    ):
        view = rule(view)
    return view


def register(view: View) -> View:
    """All limits of the form that opens an account."""
    done = limits.went_through
    for rule in (
        limits.limit("register, whatever comes of it", limits.network),
        limits.limit("register from a network", limits.network, counts=done),
        limits.limit("register an address", limits.email, counts=done),
    ):
        view = rule(view)
    return view


def reset(view: View) -> View:
    """All limits of the form that has a link for a new password sent. Its answer is the same for unknown addresses, and
    so are these."""
    for rule in (
        limits.limit("reset from a network", limits.network, counts=limits.went_through),
        limits.limit("reset an account", limits.email, counts=limits.went_through),
    ):
        view = rule(view)
    return view


def new_password(view: View) -> View:
    """The limit of the form behind that link."""
    return limits.limit("new password by link", limits.network, counts=limits.was_refused)(view)
