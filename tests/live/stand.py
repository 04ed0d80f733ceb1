"""A real web server with the project's own configuration, a Redis that may be lost, and pages that connect to them."""

import http.client
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from flask import Flask
from websocket import WebSocket, WebSocketTimeoutException, create_connection

from dev.process import free_port, spawn
from dev.redis import Redis, start_redis
from namaskah.auth.models import User
from namaskah.db import db
from tests.support import open_session

ROOT = Path(__file__).parents[2]
SMALL_BUFFER = (1, 8, 4096)  # SOL_SOCKET, SO_RCVBUF


@dataclass
class Stand:
    """What the pages stand on. Redis is the stand's own: channels know no database numbers, and it is restarted."""

    data: Path
    redis: Redis
    app: Flask
    environment: dict[str, str]

    def restart_redis(self, away: float) -> None:
        self.redis.stop()
        time.sleep(away)
        self.redis = start_redis(self.data)


@dataclass
class Web:
    """A running gunicorn."""

    app: Flask
    port: int
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse()

    def connect(
        self, user_id: int | None, *, origin: str | None = "own", buffer: tuple[int, int, int] | None = None
    ) -> WebSocket:
        """A page's socket, its first frame (the present state) not read yet."""
        return create_connection(
            f"ws://127.0.0.1:{self.port}/live",
            timeout=10,
            cookie=cookie(self.app, user_id) if user_id else None,
            origin=f"http://127.0.0.1:{self.port}" if origin == "own" else origin,
            suppress_origin=origin is None,
            sockopt=[buffer] if buffer else (),
        )

    def page(self, user_id: int) -> WebSocket:
        """A page that has its first state and is heard of by everybody."""
        ws = self.connect(user_id)
        assert f"all of {user_id}" in ws.recv()
        return ws

    def stop(self) -> float:
        """SIGTERM; seconds until it was gone."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(40)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        return time.monotonic() - started


def cookie(app: Flask, user_id: int) -> str:
    """The session cookie a log-in would have set."""
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    session = serializer.dumps({"_user_id": open_session(db.session.get_one(User, user_id)), "_fresh": True})
    return f"{app.config['SESSION_COOKIE_NAME']}={session}"


def serve(stand: Stand, workers: int, port: int | None = None, **environment: str) -> Web:
    """Start gunicorn, further environment as given. The caller stops it."""
    port = free_port(port)
    log = stand.data / f"web-{port}.log"
    own = {"PORT": str(port), "WEB_WORKERS": str(workers), "BASE_URL": f"http://127.0.0.1:{port}"}
    with log.open("wb") as output:
        process = spawn(
            [sys.executable, "-m", "gunicorn", "--config", ROOT / "gunicorn.conf.py", "tests.live.live_wsgi:app"],
            output=output,
            cwd=ROOT,
            env=os.environ | stand.environment | environment | own,
        )
    web = Web(stand.app, port, process)
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError):
            web.get("/test/nothing")
            return web
        time.sleep(0.05)
    web.stop()
    raise AssertionError(f"gunicorn did not start:\n{log.read_text()}")


def pushed(ws: WebSocket) -> str:
    """The next frame that is not the whole state, which comes once more when the process has just subscribed."""
    while True:
        frame = str(ws.recv())
        if 'id="cards"' not in frame:
            return frame


def nothing_arrives(ws: WebSocket, seconds: float = 0.4) -> bool:
    ws.settimeout(seconds)
    try:
        pushed(ws)
    except WebSocketTimeoutException:
        return True
    return False


def close_code(ws: WebSocket) -> int:
    """Reads on until the server closes."""
    while True:
        opcode, data = ws.recv_data()
        if opcode == 8:
            return int.from_bytes(data[:2], "big")
