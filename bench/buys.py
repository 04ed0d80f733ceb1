"""Purchases a second through activations.buy(), beside the same SQL sent straight through psycopg2.

    python -m bench.buys [--seconds 6] [--threads 8]

Three rows: buying from the sandbox over HTTP; buying from a provider that answers at once, so that only our own work is
left; and the statements of such a purchase, recorded and sent again with fresh keys and ids, which is what PostgreSQL
takes for them. The last divided by the second is what Python, the ORM and the checks cost. Under a minute.
"""

import argparse
import itertools
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg2
from flask import Flask
from sqlalchemy import event, text

from bench.shop import customers, goods, shop
from bench.stand import percentile
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import activations
from namaskah.providers.base import Order, OrderStatus, Provider

# Ids of each table start in a range of their own, so that a recorded parameter tells by itself what it is.
FIRST_ID = {
    "activations": 71_000_000,
    "ledger_transactions": 72_000_000,
    "ledger_entries": 73_000_000,
    "users": 74_000_000,
    "ledger_accounts": 75_000_000,
}
FIRST_REF = 79_000_000
MARKED = re.compile(r"[0-9a-f]{32}|7[1-59]\d{6}")

# One purchase of one customer, from a thread with a connection of its own.
Purchase = Callable[[int], object]


def main() -> None:
    asked = _arguments()
    print(f"{'':>28} {'buys':>7} {'buys/s':>8} {'p50 ms':>8} {'p99 ms':>8}")
    with shop() as ground:
        app = ground.app
        _spread_ids(app)
        buyers = [user_id for user_id, _cookie in customers(ground, asked.threads)]
        wanted = goods(app, 1)[0]
        over_http = _run("buy(), sandbox over HTTP", _buying(app, wanted), buyers, asked.seconds)
        provider = _Instant(app.extensions["providers"]["herosms"])
        app.extensions["providers"]["herosms"] = provider
        at_once = _run("buy(), instant provider", _buying(app, wanted), buyers, asked.seconds)
        script = _record(app, wanted, buyers[0])
        straight = _run("its SQL, psycopg2", _replaying(app, script, buyers), buyers, asked.seconds)
        statements = sum(step is not None for step in script.steps)
        print(f"{statements} statements in {len(script.steps) - statements} transactions a purchase;", end=" ")
        print(f"SQL alone is {straight / at_once:.1f} × buy(), {straight / over_http:.1f} × buy() with HTTP")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Purchases a second.")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--threads", type=int, default=8)
    return parser.parse_args()


class _Instant:
    """An adapter whose purchases succeed at once; all else is the real one's."""

    def __init__(self, real: Provider) -> None:
        self._real = real
        self._refs = itertools.count(FIRST_REF)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def buy(self, service: str, country: str, _operator: str, _max_cost_micros: int) -> Order:
        ref = str(next(self._refs))
        return Order(
            provider_ref=ref, phone="+2348030000000", service=service, country=country, status=OrderStatus.WAITING
        )


def _spread_ids(app: Flask) -> None:
    with app.app_context(), transaction():
        for table, first in FIRST_ID.items():
            db.session.execute(text(f"ALTER TABLE {table} ALTER COLUMN id RESTART WITH {first}"))


def _run(what: str, purchase: Purchase, buyers: list[int], seconds: float) -> float:
    """Buy for so long, one thread a customer; prints a row and returns purchases a second."""
    times: list[float] = []
    errors: list[BaseException] = []
    until = 0.0
    ready = threading.Barrier(len(buyers) + 1)

    def work(buyer: int) -> None:
        try:
            purchase(buyer)  # connections and caches warm up
            ready.wait(30)
            while time.perf_counter() < until:
                started = time.perf_counter()
                purchase(buyer)
                times.append(1000 * (time.perf_counter() - started))
        except BaseException as error:
            errors.append(error)
            ready.abort()

    threads = [threading.Thread(target=work, args=(buyer,)) for buyer in buyers]
    for thread in threads:
        thread.start()
    until = time.perf_counter() + 3600  # set before anybody passes the barrier
    started = time.perf_counter()
    try:
        while ready.n_waiting < len(buyers) and not ready.broken:
            time.sleep(0.01)
        started = time.perf_counter()
        until = started + seconds
        ready.wait(30)
    except threading.BrokenBarrierError:
        pass
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    speed = len(times) / (time.perf_counter() - started)
    print(f"{what:>28} {len(times):>7} {speed:>8.1f} {percentile(times, 50):>8.1f} {percentile(times, 99):>8.1f}")
    return speed


def _buying(app: Flask, wanted: tuple[str, str]) -> Purchase:
    def purchase(buyer: int) -> None:
        with app.app_context():
            user = db.session.get_one(User, buyer)
            bought = activations.buy(user, *wanted, "any", 10**9, key=uuid4().hex)
            if bought.state != "waiting":
                raise RuntimeError(f"the purchase ended as {bought.state}")

    return purchase


@dataclass
class _Script:
    """The statements of one purchase with their parameters; None is a commit."""

    buyer: int
    key: str
    steps: list[tuple[str, Any] | None] = field(default_factory=list)


def _record(app: Flask, wanted: tuple[str, str], buyer: int) -> _Script:
    script = _Script(buyer, uuid4().hex)

    def statement(_connection: Any, _cursor: Any, sql: str, parameters: Any, _context: Any, _many: bool) -> None:
        script.steps.append((sql, parameters))

    def commit(_connection: Any) -> None:
        script.steps.append(None)

    with app.app_context():
        engine = db.engine
        event.listen(engine, "before_cursor_execute", statement)
        event.listen(engine, "commit", commit)
        try:
            activations.buy(db.session.get_one(User, buyer), *wanted, "any", 10**9, key=script.key)
        finally:
            event.remove(engine, "before_cursor_execute", statement)
            event.remove(engine, "commit", commit)
    return script


def _replaying(app: Flask, script: _Script, buyers: list[int]) -> Purchase:
    """The recorded purchase for any buyer. The new rows' ids take the recorded ones' places as they become known."""
    url = app.config["DATABASE_URL"].replace("+psycopg2", "")
    accounts = _accounts(app)
    refs = itertools.count(FIRST_REF + 500_000)
    mine = threading.local()

    def purchase(buyer: int) -> None:
        if not hasattr(mine, "connection"):
            mine.connection = psycopg2.connect(url)
        old, new = ([script.buyer, *accounts[script.buyer]], [buyer, *accounts[buyer]])
        known = {str(before): str(after) for before, after in zip(old, new, strict=True)}
        _replay(mine.connection, script, known | {script.key: uuid4().hex}, refs)

    return purchase


def _accounts(app: Flask) -> dict[int, list[int]]:
    """Each customer's accounts, in one order of kinds."""
    found: dict[int, list[int]] = {}
    with app.app_context():
        query = text("SELECT user_id, id FROM ledger_accounts WHERE user_id IS NOT NULL ORDER BY user_id, kind")
        for user_id, account_id in db.session.execute(query):
            found.setdefault(user_id, []).append(account_id)
        db.session.remove()
    return found


def _replay(connection: Any, script: _Script, known: dict[str, str], refs: "itertools.count[int]") -> None:
    """Send a script again. `known` says what becomes of ids and keys; ids that our INSERTs return are added as needed,
    in the order they came."""
    returned: list[str] = []

    def successor(mark: str) -> str:
        if mark not in known:
            is_ours = mark.startswith(("71", "72"))
            known[mark] = returned.pop(0) if is_ours else str(next(refs)) if mark.startswith("79") else mark
        return known[mark]

    def renewed(value: Any) -> Any:
        if isinstance(value, str):
            return MARKED.sub(lambda found: successor(found[0]), value)
        return int(successor(str(value))) if isinstance(value, int) and MARKED.fullmatch(str(value)) else value

    with connection.cursor() as cursor:
        for step in script.steps:
            if step is None:
                connection.commit()
                continue
            sql, parameters = step
            cursor.execute(sql, {name: renewed(value) for name, value in parameters.items()})
            rows = cursor.fetchall() if cursor.description else []
            if sql.startswith(("INSERT INTO activations ", "INSERT INTO ledger_transactions")):
                returned += [str(row[0]) for row in rows]
    connection.rollback()


if __name__ == "__main__":
    main()
