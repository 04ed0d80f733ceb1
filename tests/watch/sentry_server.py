"""A Sentry that takes envelopes as the real one does and keeps what is in them."""

import gzip
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import brotli


class SentryServer:
    """`items`: kind and content of every item of every envelope. What is no envelope gets a 400 and is in `refused`."""

    def __init__(self) -> None:
        self.items: list[tuple[str, dict[str, Any]]] = []
        self.raw: list[str] = []
        self.refused: list[str] = []
        sentry = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status = sentry.take(self.path, dict(self.headers), body)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.dsn = f"http://public-key@127.0.0.1:{self._server.server_port}/42"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """One request, as https://develop.sentry.dev/sdk/data-model/envelopes/ has it."""
        unpack = {"gzip": gzip.decompress, "br": brotli.decompress}.get(headers.get("Content-Encoding", ""), bytes)
        try:
            assert path == "/api/42/envelope/", path
            assert headers["Content-Type"] == "application/x-sentry-envelope"
            assert re.search(r"sentry_key=public-key\b", headers["X-Sentry-Auth"])
            self._envelope(unpack(body))
        except (AssertionError, ValueError, KeyError) as error:
            self.refused.append(repr(error))
            return 400
        return 200

    def _envelope(self, content: bytes) -> None:
        head, _newline, rest = content.partition(b"\n")
        assert isinstance(json.loads(head), dict)
        self.raw.append(content.decode())
        while rest.strip():
            line, _newline, rest = rest.partition(b"\n")
            about = json.loads(line)
            length = about.get("length")
            payload = rest[:length] if length is not None else rest.partition(b"\n")[0]
            rest = rest[len(payload) :].removeprefix(b"\n")
            self.items.append((about["type"], json.loads(payload)))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [content for found, content in self.items if found == kind]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
