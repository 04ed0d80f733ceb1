"""What a measurement runs on: throwaway servers, a migrated database, the product in gunicorn, people logged in."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask

from dev.process import free_port
from dev.servers import servers
from namaskah import config, create_app
from namaskah.auth import sessions
from namaskah.auth.models import User
from namaskah.db import db, transaction

ROOT = Path(__file__).parents[1]


@dataclass
class Stand:
    """`app` is the product in this process, on the same database and Redis as the web processes."""

    app: Flask
    environment: dict[str, str]
    logs: Path


@contextmanager
def stand() -> Iterator[Stand]:
    """Servers and a database as the migrations make it, gone with the block."""
    with tempfile.TemporaryDirectory(prefix="namaskah-bench-") as folder:
        data = Path(folder)
        data.chmod(0o755)
        with servers(data, durable=False) as running:
            environment = {
                "ENVIRONMENT": "test",
                "SECRET_KEY": secrets.token_hex(32),
                "BASE_URL": "http://127.0.0.1",
                "DATABASE_URL": running.database_url,
                "REDIS_URL": running.redis_url,
                "LOG_LEVEL": "WARNING",
            }
            _flask(environment, "db", "upgrade")
            yield Stand(create_app(config.load(environment)), environment, data)


def _flask(environment: dict[str, str], *command: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", *command],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        capture_output=True,
    )


@contextmanager
def web(stand: Stand, application: str = "wsgi:app", processes: int = 2) -> Iterator[int]:
    """The product in gunicorn until the block ends; gives its port."""
    port = free_port()
    own = {"PORT": str(port), "WEB_WORKERS": str(processes), "BASE_URL": f"http://127.0.0.1:{port}"}
    with (stand.logs / "web.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", application],
            cwd=ROOT,
            env=os.environ | stand.environment | own,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(port, server)
        yield port
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(10)
        server.kill()


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/login", timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("the web server does not answer")


def people(stand: Stand, count: int) -> list[tuple[int, str]]:
    """This many customers: their ids, and the cookie a log-in would have set."""
    now = datetime.now(UTC)
    rows = [
        User(
            email=f"bench{number}-{secrets.token_hex(4)}@example.test",
            password_hash="!",
            policy_version="bench",
            policy_accepted_at=now,
            email_verified_at=now,
        )
        for number in range(count)
    ]
    with stand.app.app_context():
        with transaction():
            db.session.add_all(rows)
        return [(row.id, _cookie(stand.app, row)) for row in rows]


def _cookie(app: Flask, user: User) -> str:
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    with transaction():
        token = sessions.open_session(user).token
    session = serializer.dumps({"_user_id": token, "_fresh": True})
    return f"{app.config['SESSION_COOKIE_NAME']}={session}"


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
