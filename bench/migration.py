"""Whether customers notice a migration of a table of two million rows.

    python -m bench.migration [--activations 2000000] [--seconds 30] [--rate 10]

A database with so many activations is made (big_ledger.py). Purchases and looks at the wallet go through two web
processes at a steady pace, each at its own moment: one that is held up counts from when it should have begun. So for a
while without a migration, then while the sample of growing.py runs through `flask db upgrade`: a new column, its
backfill, an index, a rule, its proof; behind a transaction of somebody else's that keeps the table for two seconds.
Wanted: no request waits for a second. Ten minutes or so for two million.
"""

import argparse
import http.client
import itertools
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode
from uuid import uuid4

import psycopg2

from bench import big_ledger, growing
from bench.shop import customers, goods, shop
from bench.stand import ROOT, Stand, percentile, web
from namaskah.db import db

WANTED = 1.0
PEOPLE = 24
IN_THE_WAY_SECONDS = 2.0
WARM_UP_SECONDS = 5.0


@dataclass
class Waits:
    """Of requests, in seconds from the moment at which each should have begun; and those that failed."""

    buys: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def main() -> None:
    asked = _arguments()
    with shop() as ground, tempfile.TemporaryDirectory(prefix="namaskah-growing-") as folder:
        people = customers(ground, PEOPLE)
        wanted = goods(ground.app, 4)
        started = time.perf_counter()
        big_ledger.fill(ground.app, asked.activations, max(asked.activations // 100, 1), people[0][0], wanted)
        _describe(ground, asked.activations, time.perf_counter() - started)
        with web(ground) as port:
            crowd = _Crowd(port, [cookie for _user_id, cookie in people], wanted[0], asked.rate)
            with crowd.at_work():
                time.sleep(WARM_UP_SECONDS)
                crowd.waits = Waits()
                time.sleep(asked.seconds)
                before, crowd.waits = crowd.waits, Waits()
                took = _migrate(ground, growing.write(Path(folder)))
                time.sleep(1)
                during = crowd.waits
    _tell(before, during, took)
    sys.exit(0 if max(during.buys + during.looks) < WANTED and not during.failed else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A migration of a large table beside customers.")
    parser.add_argument("--activations", type=int, default=2_000_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=10, help="requests a second, one in two a purchase")
    return parser.parse_args()


class _Crowd:
    """People who come at a steady pace, whatever becomes of those before them."""

    def __init__(self, port: int, cookies: list[str], wanted: tuple[str, str], rate: float) -> None:
        self.waits = Waits()
        self._port, self._cookies, self._rate = port, itertools.cycle(cookies), rate
        self._service, self._country = wanted
        self._tokens = {cookie: self._token(cookie) for cookie in cookies}

    @contextmanager
    def at_work(self) -> Iterator[None]:
        stop = threading.Event()
        with ThreadPoolExecutor(PEOPLE) as people:
            clock = threading.Thread(target=self._send, args=(people, stop))
            clock.start()
            try:
                yield
            finally:
                stop.set()
                clock.join()

    def _send(self, people: ThreadPoolExecutor, stop: threading.Event) -> None:
        begun = time.perf_counter()
        for number in itertools.count():
            due = begun + number / self._rate
            if stop.wait(max(0.0, due - time.perf_counter())):
                return
            people.submit(self._come, due, next(self._cookies), number % 2 == 0)

    def _come(self, due: float, cookie: str, buys: bool) -> None:
        waits = self.waits
        try:
            status = self._buy(cookie) if buys else self._ask(cookie, "GET", "/wallet")[0]
        except OSError as error:
            waits.failed.append(type(error).__name__)
            return
        (waits.buys if buys else waits.looks).append(time.perf_counter() - due)
        if status != (303 if buys else 200):
            waits.failed.append(str(status))

    def _buy(self, cookie: str) -> int:
        form = {
            "csrf_token": self._tokens[cookie][0],
            "service": self._service,
            "country": self._country,
            "max_price_minor": "1000000000",
            "key": uuid4().hex,
        }
        return self._ask(self._tokens[cookie][1], "POST", "/activations", form)[0]

    def _token(self, cookie: str) -> tuple[str, str]:
        """The form's protection, and the cookie that belongs to it."""
        _status, page, renewed = self._ask(cookie, "GET", f"/numbers?service={self._service}")
        found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page)
        if found is None:
            raise RuntimeError("the buy page has no form")
        return found[1], renewed or cookie

    def _ask(self, cookie: str, method: str, path: str, form: dict[str, str] | None = None) -> tuple[int, str, str]:
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as line:
            line.request(method, path, urlencode(form) if form else None, headers)
            answer = line.getresponse()
            renewed = (answer.getheader("Set-Cookie") or "").partition(";")[0]
            return answer.status, answer.read().decode(), renewed


def _describe(ground: Stand, count: int, seconds: float) -> None:
    url = ground.app.config["DATABASE_URL"].replace("+psycopg2", "")
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_size_pretty(pg_database_size(current_database())), current_setting('server_version')")
        size, version = cursor.fetchone() or ("", "")
    with ground.app.app_context():
        db.engine.dispose()
    print(f"{count:,} activations, {size}, PostgreSQL {version}: made in {seconds:.0f} s", flush=True)


def _migrate(ground: Stand, scripts: Path) -> dict[str, float]:
    """Each step's seconds. Somebody's transaction is in the way of the first."""
    took = {}
    for name, (what, _up, _down) in zip(growing.NAMES, growing.STEPS, strict=True):
        url = ground.app.config["DATABASE_URL"].replace("+psycopg2", "")
        with closing(psycopg2.connect(url)) as other:
            if name == growing.NAMES[0]:
                other.cursor().execute("SELECT FROM activations LIMIT 1")
                threading.Timer(IN_THE_WAY_SECONDS, other.close).start()
            started = time.perf_counter()
            command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade", "-d", str(scripts), name]
            subprocess.run(command, cwd=ROOT, env=_environment(ground), check=True, capture_output=True)
            took[what] = time.perf_counter() - started
            print(f"  {took[what]:6.1f} s  {what}", flush=True)
    return took


def _environment(ground: Stand) -> dict[str, str]:
    return os.environ | ground.environment


def _tell(before: Waits, during: Waits, took: dict[str, float]) -> None:
    print(f"\n{'':>22} {'requests':>9} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'longest':>9}")
    for what, waits in (("before", before), ("during", during)):
        for kind, values in (("purchases", waits.buys), ("wallet", waits.looks)):
            found = [1000 * percentile(values, percent) for percent in (50, 95, 99, 100)]
            print(f"{kind + ', ' + what:>22} {len(values):>9}" + "".join(f" {value:>8.0f}" for value in found))
    print(f"{len(before.failed)} failed before, {len(during.failed)} during: {during.failed[:5]}")
    print(f"the migration took {sum(took.values()):.0f} s")


if __name__ == "__main__":
    main()
