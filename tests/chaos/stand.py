"""A whole installation in real processes, its database and sandbox its own, and customers who use it by HTTP."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from flask import Flask
from itsdangerous import URLSafeTimedSerializer

from dev.process import free_port
from namaskah import create_app
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.extensions import redis
from namaskah.numbers import pricelists, registry
from namaskah.sandbox import Config, Sandbox
from tests import support
from tests.support import Control, Installation


@dataclass
class Stand:
    """`app` is the product in this process too, on the same database, to look at what the processes did."""

    app: Flask
    control: Control
    installation: Installation
    environment: dict[str, str]


@contextmanager
def stand(settings: Mapping[str, str], database: str, logs: Path) -> Iterator[Stand]:
    """Servers' addresses come from `settings`; the database is a fresh clone called `database`."""
    port = free_port()
    token = settings["PROVIDER_WEBHOOK_TOKEN"]
    ours = Config(
        port=0,
        smtp_port=0,
        webhook_retry_seconds=0.5,
        paystack_webhook_url=f"http://127.0.0.1:{port}/webhooks/paystack",
        provider_webhook_url=f"http://127.0.0.1:{port}/webhooks/providers/herosms?token={token}",
    )
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(ours))
        url = support.clone_template(settings["DATABASE_URL"], database)
        environment = support.settings(url, settings["REDIS_URL"], sandbox) | {
            "PROVIDER_WEBHOOK_TOKEN": token,
            "BASE_URL": f"http://127.0.0.1:{port}",
            "MAX_OPEN_ACTIVATIONS": "500",
            "DAILY_BUY_LIMIT": "5000",
        }
        stack.callback(setattr, redis, "_client", redis._client)  # which the suite's own application goes on with
        app = create_app(support.load_settings(environment))
        installation = stack.enter_context(support.installation(environment, logs))
        installation.port = port
        stack.enter_context(app.app_context())
        stack.callback(db.engine.dispose)
        stack.callback(db.session.remove)
        pricelists.load()
        for name in registry.names():
            assert pricelists.sync(name)
        yield Stand(app, Control(sandbox), installation, environment)


class Browser:
    """One customer's browser: a session cookie, the forms' token, and no patience for redirects."""

    def __init__(self, stand: Stand, user: User) -> None:
        self.user_id = user.id
        session_token = secrets.token_hex(16)
        client = support.log_in(stand.app.test_client(), user)
        with client.session_transaction() as session:
            session["csrf_token"] = session_token
        cookie = client.get_cookie("session")
        assert cookie is not None
        key = stand.environment["SECRET_KEY"]
        self._token = URLSafeTimedSerializer(key, salt="wtf-csrf-token").dumps(session_token)
        self._headers = {"Cookie": f"session={cookie.value}", "Origin": stand.installation.url}
        self._url = stand.installation.url
        self._pool = urllib3.PoolManager(maxsize=4, retries=False)

    def get(self, path: str, timeout: float = 40) -> urllib3.BaseHTTPResponse:
        """Raises urllib3.exceptions.HTTPError when no answer comes."""
        return self._pool.request("GET", self._url + path, headers=self._headers, timeout=timeout, redirect=False)

    def post(self, path: str, timeout: float = 40, **form: Any) -> urllib3.BaseHTTPResponse:
        """A form as the page would send it. Raises urllib3.exceptions.HTTPError when no answer comes."""
        fields = {name: str(value) for name, value in form.items()} | {"csrf_token": self._token}
        return self._pool.request(
            "POST",
            self._url + path,
            fields=fields,
            encode_multipart=False,
            headers=self._headers,
            timeout=timeout,
            redirect=False,
        )
