"""Signed links in letters. Each purpose has a salt of its own, so that no link can stand in for one of another kind."""

from typing import Any

from flask import Response, current_app, request
from itsdangerous import BadSignature

from namaskah.auth.signing import signer


def sign(purpose: str, *content: Any) -> str:
    """A token that says this and when it was made."""
    return signer(f"auth.{purpose}").dumps(list(content))


def read(purpose: str, token: str, seconds: int) -> list[Any] | None:
    """What the token says; None when it is not ours, of another purpose, or older than this."""
    try:
        content = signer(f"auth.{purpose}").loads(token, max_age=seconds)
    except BadSignature:
        return None
    return content if isinstance(content, list) else None


def to(path: str) -> str:
    """A page's whole address: always our own public one, whatever the request's Host header says."""
    return f"{current_app.config['BASE_URL']}/{path}"


def hide_address(response: Response) -> Response:
    """After each request: a page whose address holds a token tells that address to nobody, and is not kept."""
    if "token" in (request.view_args or {}):
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
    return response
