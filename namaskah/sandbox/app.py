"""The sandbox as a Flask app, and as a server with its SMTP listener and its clock."""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from types import TracebackType
from typing import Any

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.serving import BaseWSGIServer, make_server

from . import (
    card_charges,
    checkout,
    control,
    dispute_api,
    dispute_control,
    fivesim,
    handler_api,
    pages,
    paystack,
    refund_api,
)
from .control import realistic
from .mailbox import SmtpListener
from .messages import parse_code
from .world import Config, World

TICK_SECONDS = 0.25


class IsoJson(DefaultJSONProvider):
    """Times in ISO 8601, not in the HTTP dates Flask writes."""

    @staticmethod
    def default(o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime) else DefaultJSONProvider.default(o)


def create_app(world: World) -> Flask:
    app = Flask(__name__)
    app.json = IsoJson(app)
    app.extensions["sandbox"] = world
    app.url_map.strict_slashes = False
    apis = (fivesim, handler_api, refund_api, dispute_api, card_charges, paystack)
    for module in (*apis, checkout, control, dispute_control, pages):
        app.register_blueprint(module.bp)
    app.jinja_env.filters["usd"] = lambda micros: f"${micros / 1_000_000:,.4f}"
    app.jinja_env.filters["units"] = lambda subunits: f"{subunits / 100:,.2f}"
    return app


class Sandbox:
    """One sandbox with its servers. `start()` returns when both listen; `stop()` when both have ended."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.world = World(config)
        self.app = create_app(self.world)
        self._server: BaseWSGIServer | None = None
        self._smtp: SmtpListener | None = None
        self._threads: list[threading.Thread] = []

    @property
    def port(self) -> int:
        assert self._server is not None, "not started"
        return self._server.server_port

    @property
    def smtp_port(self) -> int:
        assert self._smtp is not None, "not started"
        return int(self._smtp.port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def fivesim_url(self) -> str:
        return f"{self.url}/5sim/v1"

    @property
    def smsactivate_url(self) -> str:
        return f"{self.url}/stubs/handler_api.php"

    @property
    def herosms_url(self) -> str:
        return f"{self.url}/hero/stubs/handler_api.php"

    @property
    def paystack_url(self) -> str:
        return f"{self.url}/paystack"

    def start(self) -> Sandbox:
        """Serve on the configured ports, in threads of their own."""
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self._server = make_server("127.0.0.1", self.config.port, self.app, threaded=True)
        self._server.socket.listen(1024)  # the default backlog drops connections when hundreds come at once
        self._smtp = SmtpListener(self.world.mailbox, self.config.smtp_port)
        self._smtp.start()
        for work in (self._server.serve_forever, self._tick):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._threads.append(thread)
        self.world.webhooks.resume()
        self.world.refunds.resume()
        self.world.disputes.resume()
        return self

    def stop(self) -> None:
        """End at once: whatever a fault keeps waiting is let go."""
        self.world.faults.stop()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        if self._smtp is not None:
            self._smtp.stop()
        for thread in self._threads:
            thread.join(timeout=2)

    def __enter__(self) -> Sandbox:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _tick(self) -> None:
        while not self.world.faults.stopping.wait(TICK_SECONDS):
            for account in self.world.accounts.values():
                account.settle()
            self.world.disputes.settle()
            self._send_due_messages()

    def _send_due_messages(self) -> None:
        """For demonstrations: numbers that waited long enough get a message by themselves."""
        seconds = self.world.dials.auto_sms_seconds
        if seconds <= 0:
            return
        for account in self.world.accounts.values():
            for order in account.waiting(seconds):
                sender, text = realistic(account, order)
                account.deliver(order.id, sender, text, parse_code(text))


def create_sandbox(config: Config | None = None) -> Sandbox:
    """A sandbox that has not started yet; without a config, in memory and on free ports."""
    return Sandbox(config or Config(port=0, smtp_port=0))
