import http.client
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import live_app
import pytest
from flask import Flask
from sqlalchemy import update
from websocket import WebSocket, create_connection

from dev.process import free_port, spawn
from dev.redis import Redis, start_redis
from dev.servers import start_postgres
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.extensions import redis

ROOT = Path(__file__).parents[2]


@dataclass
class Web:
    """A running gunicorn."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    cookies: dict[int, str] = field(default_factory=dict)

    def get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse()

    def log_in(self, user_id: int) -> str:
        if user_id not in self.cookies:
            answer = self.get(f"/log-in/{user_id}")
            assert answer.status == 200
            self.cookies[user_id] = str(answer.headers["Set-Cookie"]).partition(";")[0]
        return self.cookies[user_id]

    def connect(self, user_id: int | None, origin: str | None = None, **options: object) -> WebSocket:
        """A page's socket, its first frame (the present state) not read yet."""
        return create_connection(
            f"ws://127.0.0.1:{self.port}/live",
            timeout=10,
            cookie=self.log_in(user_id) if user_id else None,
            origin=origin or f"http://127.0.0.1:{self.port}",
            **options,
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


@dataclass
class Stand:
    """What the pages stand on, and this process as one that publishes."""

    data: Path
    redis: Redis
    app: Flask

    def restart_redis(self, away: float = 0.0) -> None:
        self.redis.stop()
        time.sleep(away)
        self.redis = start_redis(self.data)


@pytest.fixture(scope="session")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    data = tmp_path_factory.mktemp("live")
    postgres = start_postgres(data, durable=False)
    cache = start_redis(data)
    settings = {
        "ENVIRONMENT": "test",
        "SECRET_KEY": secrets.token_hex(32),
        "BASE_URL": "http://127.0.0.1",
        "DATABASE_URL": postgres.url,
        "REDIS_URL": cache.url,
        "DATABASE_POOL_SIZE": "5",
        "LOG_LEVEL": "INFO",
    }
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        app = live_app.build()
        with app.app_context():
            db.create_all()
        running = Stand(data, cache, app)
        yield running
    with app.app_context():
        db.engine.dispose()
    running.redis.stop()
    postgres.stop()


def serve(stand: Stand, workers: int, **environment: str) -> Web:
    """Gunicorn with the project's own configuration, further environment as given. The caller stops it."""
    port = free_port()
    log = stand.data / f"web-{port}.log"
    with log.open("wb") as output:
        process = spawn(
            [sys.executable, "-m", "gunicorn", "--config", ROOT / "gunicorn.conf.py", "live_app:app"],
            output=output,
            cwd=ROOT,
            env={
                **os.environ,
                **environment,
                "PORT": str(port),
                "WEB_WORKERS": str(workers),
                "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}",
            },
        )
    web = Web(port, process, log)
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError):
            web.get("/nothing")
            return web
        time.sleep(0.05)
    web.stop()
    raise AssertionError(f"gunicorn did not start:\n{log.read_text()}")


@pytest.fixture(scope="session")
def web(stand: Stand) -> Iterator[Web]:
    running = serve(stand, workers=2)
    yield running
    running.stop()


@pytest.fixture
def lone_web(stand: Stand) -> Iterator[Web]:
    """One process of its own, for tests that stop it or fill it."""
    running = serve(stand, workers=1)
    yield running
    running.stop()


@pytest.fixture
def user(stand: Stand) -> Callable[..., int]:
    """Opens an account, answers its id."""

    def register(language: str = "en", timezone: str = "UTC") -> int:
        with stand.app.app_context():
            person = User(
                email=f"{secrets.token_hex(8)}@example.test",
                password_hash="",
                language=language,
                timezone=timezone,
                session_token=secrets.token_hex(16),
                policy_version="1",
                policy_accepted_at=datetime.now(UTC),
            )
            with transaction():
                db.session.add(person)
                db.session.flush()
            return person.id

    return register


@pytest.fixture
def change_user(stand: Stand) -> Callable[..., None]:
    """Writes columns of an account, as its owner or an admin would."""

    def change(user_id: int, **columns: object) -> None:
        with stand.app.app_context(), transaction():
            db.session.execute(update(User).where(User.id == user_id).values(**columns))

    return change


@pytest.fixture(autouse=True)
def fresh_outage(stand: Stand) -> Iterator[None]:
    """No test inherits another's lost Redis connection."""
    redis.client.connection_pool.disconnect()
    yield
