"""Browsers that have logged in to an account before: each remembers so in a cookie of its own, which opens nothing."""

import secrets
from typing import Any

from flask import Response, after_this_request, current_app, request
from itsdangerous import BadSignature

from namaskah.auth.models import User
from namaskah.auth.signing import lasting_signer

REMEMBERED_DAYS = 400  # what browsers allow at most
ACCOUNTS_A_BROWSER = 10
NAME_LENGTH = 300
PURPOSE = "auth.devices"


def name() -> str:
    """What the browser that sends the request calls itself, as it says it."""
    return request.headers.get("User-Agent", "").replace("\x00", "")[:NAME_LENGTH]


def is_known(user: User) -> bool:
    """Whether this browser has logged in to this account before."""
    return user.id in accounts()


def accounts() -> list[int]:
    """Ids of the accounts this browser has logged in to, the last one first."""
    return list(_kept()["accounts"])


def identity() -> str:
    """What tells this browser from others; empty for one that never logged in."""
    return str(_kept()["id"])


def remember(user: User) -> None:
    """Have this browser know from now on that it has logged in to this account."""
    kept = _kept()
    known = [user.id, *(other for other in kept["accounts"] if other != user.id)][:ACCOUNTS_A_BROWSER]
    content = {"id": kept["id"] or secrets.token_urlsafe(12), "accounts": known}

    @after_this_request
    def tell(response: Response) -> Response:
        response.set_cookie(
            _cookie(),
            lasting_signer(PURPOSE).dumps(content),
            max_age=REMEMBERED_DAYS * 86_400,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
        return response


def _kept() -> dict[str, Any]:
    nothing = {"id": "", "accounts": []}
    try:
        known = lasting_signer(PURPOSE).loads(request.cookies.get(_cookie(), ""))
    except BadSignature:
        return nothing
    return known if isinstance(known, dict) and nothing.keys() == known.keys() else nothing


def _cookie() -> str:
    return "__Host-device" if current_app.config["SESSION_COOKIE_SECURE"] else "device"
