"""The sandbox seen from outside: a client for each of its faces, and a server that receives its webhooks."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable
from typing import Any

import urllib3

from namaskah.sandbox import Sandbox

http_pool = urllib3.PoolManager(maxsize=50, retries=False, timeout=urllib3.Timeout(10))


class Receiver:
    """Answers webhooks with the statuses it is given, 200 when they have run out; keeps what came."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.requests.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket.listen(256)  # the default of 5 turns a hundred parallel webhooks away
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"


class Client:
    """The sandbox from outside: what comes back is (status, body as JSON or text)."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        config = sandbox.config
        self.tokens = {"fivesim": config.fivesim_token, "paystack": config.paystack_secret_key}
        self.keys = {"smsactivate": config.smsactivate_key, "herosms": config.herosms_key}

    def raw(self, method: str, url: str, **more: Any) -> urllib3.BaseHTTPResponse:
        return http_pool.request(method, url, redirect=False, **more)

    def call(self, method: str, url: str, **more: Any) -> tuple[int, Any]:
        answer = self.raw(method, url, **more)
        body = answer.data.decode()
        return answer.status, answer.json() if "json" in answer.headers.get("Content-Type", "") else body

    def fivesim(self, path: str, method: str = "GET", token: str | None = None, **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token or self.tokens['fivesim']}"}
        return self.call(method, f"{self.sandbox.fivesim_url}/{path}", headers=headers, **more)

    def handler(self, provider: str, action: str, method: str = "GET", **parameters: Any) -> tuple[int, Any]:
        url = self.sandbox.herosms_url if provider == "herosms" else self.sandbox.smsactivate_url
        fields = {"api_key": self.keys[provider], "action": action, **{k: str(v) for k, v in parameters.items()}}
        return self.call(method, url, fields=fields)

    def paystack(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.tokens['paystack']}"}
        return self.call(method, f"{self.sandbox.paystack_url}/{path}", headers=headers, **more)

    def control(self, path: str, method: str = "POST", **wanted: Any) -> Any:
        more = {"json": wanted} if method == "POST" else {}
        status, body = self.call(method, f"{self.sandbox.url}/control/{path}", **more)
        assert status < 300, body
        return body

    def books(self, provider: str) -> Any:
        return self.control("books", "GET")[provider]

    def buy_fivesim(self, service: str = "whatsapp") -> Any:
        status, order = self.fivesim(f"user/buy/activation/nigeria/any/{service}")
        assert status == 200, order
        return order

    def buy_handler(self, provider: str, service: str = "wa") -> int:
        status, order = self.handler(provider, "getNumberV2", service=service, country=19)
        assert status == 200, order
        return int(order["activationId"])


def eventually(check: Callable[[], Any], seconds: float = 3.0) -> Any:
    """The first true value `check` gives within the time; fails when there is none."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := check():
            return value
        time.sleep(0.02)
    raise AssertionError("it never came true")
