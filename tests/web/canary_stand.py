"""An installation whose secrets can be recognised, and everything of it that a secret might leak into."""

import gzip
import http.server
import json
import os
import re
import secrets
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import brotli
import psycopg2
from redis import Redis as Client
from redis.exceptions import RedisError

from dev.redis import start_redis
from namaskah.sandbox import Config, Sandbox
from tests import support
from tests.support import Control, Installation, installation


def canary(what: str) -> str:
    return f"CNRY-{what}-{secrets.token_hex(8)}"


@dataclass
class Place:
    """`seen` collects what may not hold a canary: by where it was, text."""

    site: Installation
    control: Control
    database_url: str
    logs: Path
    reports: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    def sql(self, statement: str, *values: Any) -> list[Any]:
        with closing(psycopg2.connect(self.database_url.replace("+psycopg2", ""))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else []

    def note_jobs(self) -> None:
        """Arguments of the jobs there are now; of letters all but what the letter says, which holds its link."""
        for name, arguments in self.sql("SELECT task_name, args FROM procrastinate_jobs"):
            kept = {key: value for key, value in arguments.items() if (name, key) not in LETTERS}
            self.jobs.append(f"{name} {json.dumps(kept)}")

    def note_what_is_told(self, token: str) -> None:
        """/metrics, /health and the status page."""
        for path in ("/metrics", "/health", "/health/ready", "/status"):
            request = urllib.request.Request(f"{self.site.url}{path}", headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.told.append(answer.read().decode())

    def personal(self, *patterns: str) -> list[str]:
        """What of somebody's data is in a log or at Sentry, where it has nothing to look for at all."""
        places = {path.name: path.read_text(errors="replace") for path in self.logs.glob("*.log")}
        places["Sentry"] = "\n".join(self.reports)
        return [
            f"{place}: …{text[max(0, found.start() - 120) : found.end()]}…"
            for place, text in places.items()
            for pattern in patterns
            for found in re.finditer(pattern, text)
        ]

    def leaks(self, wanted: dict[str, str]) -> list[str]:
        """Which canary is where it must not be."""
        places = {path.name: path.read_text(errors="replace") for path in self.logs.glob("*.log")}
        places |= {
            "Sentry": "\n".join(self.reports),
            "Redis": "\n".join(self.commands),
            "an error page": "\n".join(self.errors),
            "a job": "\n".join(self.jobs),
            "what is told of us": "\n".join(self.told),
        }
        return [
            f"{what} in {place}: …{text[max(0, text.index(value) - 120) : text.index(value) + 20]}…"
            for place, text in places.items()
            for what, value in wanted.items()
            if value in text
        ]


LETTERS = {("send_mail", "text"), ("send_mail", "html")}


class Person:
    """A browser at the installation; remembers every error page it was shown."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()), _Stay())
        self._token = ""

    def open(self, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, str]:
        data = urllib.parse.urlencode(form | {"csrf_token": self._token}).encode() if form is not None else None
        request = urllib.request.Request(f"{self._place.site.url}{path}", data, headers)
        try:
            with self._opener.open(request, timeout=60) as answer:
                status, body = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read().decode()
        if found := re.search(r'name="csrf_token"[^>]* value="([^"]+)"', body):
            self._token = found[1]
        if status >= 400:
            self._place.errors.append(body)
        return status, body


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: object) -> None:
        return None


@contextmanager
def place(name: str, folder: Path, keys: dict[str, str]) -> Iterator[Place]:
    """`keys`: the provider's, the gateway's and the webhook's, by their names in the settings."""
    database = support.clone_template(os.environ["TEST_DATABASE_URL"], name)
    redis = start_redis(folder / "redis")
    config = Config(
        port=0,
        smtp_port=0,
        fivesim_token=keys["FIVESIM_TOKEN"],
        herosms_key=keys["HEROSMS_KEY"],
        paystack_secret_key=keys["PAYSTACK_SECRET_KEY"],
    )
    logs = folder / "logs"
    logs.mkdir()
    with Sandbox(config) as sandbox, _reports() as (dsn, reports):
        environment = support.settings(database, redis.url, sandbox)
        environment |= {
            "SENTRY_DSN": dsn,
            "SENTRY_TRACES_PERCENT": "100",
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": "json",
            "METRICS_TOKEN": keys["METRICS_TOKEN"],
            "PROVIDER_WEBHOOK_TOKEN": keys["PROVIDER_WEBHOOK_TOKEN"],
        }
        with installation(environment, logs) as site:
            made = Place(site, Control(sandbox), database, logs, reports)
            listening = threading.Thread(target=_listen, args=(redis.url, made.commands), daemon=True)
            listening.start()
            yield made
    redis.stop()
    listening.join(5)


@contextmanager
def _reports() -> Iterator[tuple[str, list[str]]]:
    """A Sentry that keeps what it is sent."""
    found: list[str] = []

    class Keep(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            unpack = {"gzip": gzip.decompress, "br": brotli.decompress}[self.headers["Content-Encoding"]]
            found.append(unpack(body).decode())
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keep)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://public@127.0.0.1:{server.server_port}/1", found
    server.shutdown()
    server.server_close()


def _listen(url: str, commands: list[str]) -> None:
    """Every command Redis is sent, with its values."""
    with Client.from_url(url) as client:
        try:
            with client.monitor() as monitor:
                for command in monitor.listen():
                    commands.append(str(command["command"]))
        except (RedisError, OSError, ValueError):
            return  # it was stopped
