"""A person at a browser, over the real application."""

import re
import secrets
from contextvars import Context
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

PASSWORD = "purple tuba river"


class Browser:
    """Keeps cookies, sends the page's own protection along, and shares nothing with the test: each request runs in a
    context of its own, as on a server, or Flask would take the last request's user for this one's."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()
        self.client.environ_base["REMOTE_ADDR"] = f"10.{'.'.join(str(secrets.randbelow(250) + 1) for _ in range(3))}"

    def get(self, path: str, **options: Any) -> TestResponse:
        return Context().run(self.client.open, path, **({"method": "GET"} | options))

    def post(self, path: str, **options: Any) -> TestResponse:
        return Context().run(self.client.post, path, **options)

    def submit(self, path: str, *, page: str = "", headers: dict[str, str] | None = None, **data: str) -> TestResponse:
        """Open `page` (else `path` itself), then send its form."""
        return self.post(path, data=self.protection(page or path) | data, headers=headers)

    def protection(self, page: str) -> dict[str, str]:
        """What the forms of this page send along."""
        token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', self.get(page).text)
        return {"csrf_token": token[1]} if token else {}

    def log_in(self, email: str, password: str = PASSWORD, **options: Any) -> TestResponse:
        return self.submit("/login", email=email, password=password, **options)

    def sees_account(self) -> bool:
        """Whether this browser is logged in."""
        return self.get("/account").status_code == 200
