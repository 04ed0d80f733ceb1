"""Browsers that have logged in to an account before: each remembers so in a cookie of its own, which opens nothing."""

from flask import Response, after_this_request, current_app, request
from itsdangerous import BadSignature, URLSafeSerializer

from namaskah.auth.models import User

REMEMBERED_DAYS = 400  # what browsers allow at most
ACCOUNTS_A_BROWSER = 10
NAME_LENGTH = 300


def name() -> str:
    """What the browser that sends the request calls itself, as it says it."""
    return request.headers.get("User-Agent", "").replace("\x00", "")[:NAME_LENGTH]


def is_known(user: User) -> bool:
    """Whether this browser has logged in to this account before."""
    return user.id in _accounts()


def remember(user: User) -> None:
    """Have this browser know from now on that it has logged in to this account."""
    accounts = [user.id, *(known for known in _accounts() if known != user.id)][:ACCOUNTS_A_BROWSER]

    @after_this_request
    def tell(response: Response) -> Response:
        response.set_cookie(
            _cookie(),
            _signer().dumps(accounts),
            max_age=REMEMBERED_DAYS * 86_400,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",
        )
        return response


def _accounts() -> list[int]:
    try:
        known = _signer().loads(request.cookies.get(_cookie(), ""))
    except BadSignature:
        return []
    return known if isinstance(known, list) else []


def _cookie() -> str:
    return "__Host-device" if current_app.config["SESSION_COOKIE_SECURE"] else "device"


def _signer() -> URLSafeSerializer:
    return URLSafeSerializer(current_app.config["SECRET_KEY"], salt="namaskah.auth.devices")
