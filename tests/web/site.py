"""A browser at the product under https."""

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from namaskah.auth.models import User
from tests import support

SITE = "https://numbers.example"
SECURE: dict[str, Any] = {"base_url": SITE}


def visitor(app: Flask, user: User | None = None) -> FlaskClient:
    """A browser, logged in as `user`, with the cookies a log-in would have left."""
    client = app.test_client()
    if user:
        token = support.open_session(user)
        with client.session_transaction(base_url=SITE) as session:
            session["_user_id"], session["_fresh"] = token, True
    return client


def get(app: Flask, path: str, user: User | None = None, **options: Any) -> TestResponse:
    return visitor(app, user).get(path, **(SECURE | options))
