"""Nothing is remembered from one test to the next, and a web page that the worker can look at."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask import Flask

from namaskah import draining
from namaskah.watch import health, heartbeats, status


class Page:
    """A server that answers with `status` and remembers what headers it was asked with."""

    def __init__(self) -> None:
        page = self
        self.status = 200
        self.asked: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page.asked.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(page.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def page(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    made = Page()
    monkeypatch.setitem(app.config, "STATUS_URL", made.url)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(draining._Process, "draining", False)
    monkeypatch.setattr(heartbeats._Process, "turns", {})
    monkeypatch.setattr(heartbeats._Process, "jobs", {})
    for name, value in {"states": {}, "figures": {}, "days": [], "measured_at": None}.items():
        monkeypatch.setattr(status._Last, name, value)
    health.forget()
    status.forget()
    yield
    health.forget()
    status.forget()
