"""What one of each takes: rows, bytes and commits of a purchase, memory of a page, a process and a limit.

    python -m bench.sizes [--purchases 1000] [--sockets 500]

The sums in docs/scaling.md are made of these figures. A minute or two.
"""

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psutil
from flask import Flask
from limits import parse_many
from sqlalchemy import text

from bench.push import pages
from bench.shop import customers, goods, shop
from bench.stand import ROOT, Stand, web
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.extensions import limiter, redis
from namaskah.limits import FIGURES
from namaskah.numbers import activations, polling
from namaskah.providers.base import Sms

PROVIDER = "herosms"
TABLES = ("activations", "activation_events", "messages", "ledger_transactions", "ledger_entries")
BUYERS = 50


@dataclass
class Counted:
    """What PostgreSQL has counted since it was started."""

    commits: int
    inserted: int
    updated: int
    wal: int

    @classmethod
    def now(cls) -> "Counted":
        time.sleep(1.2)  # sessions tell what they did once a second
        row = db.session.execute(
            text("SELECT xact_commit, tup_inserted, tup_updated, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"
                 " FROM pg_stat_database WHERE datname = current_database()")
        ).one()  # fmt: skip
        db.session.remove()
        return cls(*map(int, row))

    def since(self, before: "Counted", times: int) -> str:
        each = {name: (value - getattr(before, name)) / times for name, value in vars(self).items()}
        return (f"{each['commits']:.1f} commits, {each['inserted']:.1f} rows written, {each['updated']:.1f} changed,"
                f" {each['wal'] / 1024:.1f} KiB of WAL")  # fmt: skip


def main() -> None:
    asked = _arguments()
    with shop() as ground, ground.app.app_context():
        people = customers(ground, max(BUYERS, asked.sockets))
        _purchases(ground.app, [user_id for user_id, _cookie in people[:BUYERS]], asked.purchases)
        _tables()
        _limits()
        _web(ground, people[: asked.sockets])
        _worker(ground)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What one of each takes.")
    parser.add_argument("--purchases", type=int, default=1000)
    parser.add_argument("--sockets", type=int, default=500)
    return parser.parse_args()


def _purchases(app: Flask, buyers: list[int], count: int) -> None:
    """Bought one after the other, looked for together, and each then given its code."""
    wanted = itertools.cycle(goods(app, 20))
    before, bought = Counted.now(), []
    with _timed(count, "bought"):
        for number in range(count):
            user = db.session.get_one(User, buyers[number % len(buyers)])
            bought.append(activations.buy(user, *next(wanted), "any", 10**9, key=uuid4().hex).id)
            db.session.remove()
    after_buying = Counted.now()
    print(f"  a purchase: {after_buying.since(before, count)}")
    with _timed(count, f"waiting, in one poll of {PROVIDER}"):
        polling.poll(PROVIDER)
    db.session.remove()
    before = Counted.now()
    with _timed(count, "messages received"):
        for id in bought:
            activations.receive(id, [Sms(text="Your code is 482-913")])
            db.session.remove()
    print(f"  its message: {Counted.now().since(before, count)}")


@contextmanager
def _timed(count: int, what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    print(f"{count} {what}: {seconds:.2f} s, {count / seconds:.0f}/s, {1000 * seconds / count:.1f} ms each", flush=True)


def _tables() -> None:
    """With indexes, as they lie after so many rows."""
    for table in TABLES:
        db.session.execute(text(f"ANALYZE {table}"))
        rows, size = db.session.execute(text(f"SELECT count(*), pg_total_relation_size('{table}') FROM {table}")).one()
        print(f"{table}: {rows} rows, {size / max(rows, 1):.0f} bytes each with indexes")
    db.session.rollback()


def _limits() -> None:
    """A customer's count of purchases, used once and used up."""
    [item] = parse_many(FIGURES["buy"].usual)
    for hits in (1, item.amount):
        for _hit in range(hits):
            limiter.limiter.hit(item, f"bench:{hits}")
    for key in redis.client.scan_iter("*bench*"):
        print(f"limit {key}: {redis.client.memory_usage(key)} bytes")
    print(f"Redis in all: {int(redis.client.info()['used_memory']) / 2**20:.1f} MiB")


def _web(ground: Stand, people: list[tuple[int, str]]) -> None:
    with web(ground, processes=1) as port, ExitStack() as opened:
        child = psutil.Process().children(recursive=True)
        server = max((each for each in child if "gunicorn" in " ".join(each.cmdline())), key=lambda each: each.pid)
        for _number, ws in itertools.islice(pages(port, people), 20):  # whatever is loaded at first use
            ws.close()
        time.sleep(2)
        empty = server.memory_full_info().uss
        for _number, ws in pages(port, people):
            opened.enter_context(closing(ws))
        time.sleep(2)
        full = server.memory_full_info().uss
        each = (full - empty) / max(len(people), 1)
        print(f"web process: {empty / 2**20:.0f} MiB, {len(people)} pages open: {each / 1024:.0f} KiB each")


def _worker(ground: Stand) -> None:
    before = _connections()
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "worker"]
    with (ground.logs / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | ground.environment, stdout=log, stderr=log)
        try:
            time.sleep(20)
            size = psutil.Process(process.pid).memory_full_info().uss
            print(f"worker: {size / 2**20:.0f} MiB, {_connections() - before} connections")
        finally:
            process.terminate()
            process.wait(30)


def _connections() -> int:
    held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    count = db.session.scalar(text(held)) or 0
    db.session.rollback()
    return count


if __name__ == "__main__":
    main()
