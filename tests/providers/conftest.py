"""Two real servers on loopback: one that answers whatever a test tells it to, and the sandbox."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from namaskah.sandbox import Config, Sandbox, create_sandbox


class Canned:
    """Answers by `action` or by path, else with the default; remembers what it was asked."""

    def __init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.forget()

    def forget(self) -> None:
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self._default: tuple[int, bytes, dict[str, str]] = (200, b"", {})
        self._named: dict[str, tuple[int, bytes, dict[str, str]]] = {}

    def answer(self, body: str | bytes, status: int = 200, to: str = "", **headers: str) -> None:
        """`to` is an action, or how a path begins; without it every question gets this answer."""
        reply = (status, body.encode() if isinstance(body, str) else body, headers)
        if to:
            self._named[to] = reply
        else:
            self._default = reply

    def find(self, target: str) -> tuple[int, bytes, dict[str, str]]:
        path, query = urlsplit(target).path, dict(parse_qs(urlsplit(target).query))
        action = query.get("action", [""])[0]
        return next((v for k, v in self._named.items() if k == action or path.startswith(k)), self._default)

    def _handler(canned) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes: 40 ms each without this

            def do_GET(self) -> None:
                split = urlsplit(self.path)
                query = {key: values[0] for key, values in parse_qs(split.query).items()}
                canned.asked.append((split.path, query, dict(self.headers)))
                status, body, headers = canned.find(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body if status != 204 else b"")

            def log_message(self, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture(scope="session")
def _canned() -> Iterator[Canned]:
    canned = Canned()
    yield canned
    canned.server.shutdown()
    canned.server.server_close()


@pytest.fixture
def canned(_canned: Canned) -> Canned:
    _canned.forget()
    return _canned


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Sandbox]:
    with create_sandbox(Config(port=0, smtp_port=0)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_sandbox: Sandbox) -> Sandbox:
    _sandbox.world.reset()
    return _sandbox


@pytest.fixture
def closed_url() -> str:
    """An address where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return f"http://127.0.0.1:{port}"
