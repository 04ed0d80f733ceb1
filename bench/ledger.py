"""What a page and a purchase cost beside a ledger of five million entries, against the same beside ten thousand.

    python -m bench.ledger [--activations 1000000] [--small 2000]

Two ledgers are made one after the other (big_ledger.py), each on servers of its own: one customer with a fifth of all
activations, the rest spread. Then every money invariant is run and must hold; then that customer's pages, and purchases
at a provider that answers over HTTP. Prints p50, their ratio, and the plans PostgreSQL chooses.
"""

import argparse
import statistics
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid4

from flask import Flask
from sqlalchemy import event, text

from bench.big_ledger import fill
from bench.pages import Line
from bench.shop import customers, goods, shop
from bench.stand import Stand, web
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.numbers import activations
from namaskah.numbers import checks as number_checks
from namaskah.wallet import checks as wallet_checks
from namaskah.wallet import house, periods

CUSTOMER_HAS = 100  # activations, all but the one with many
CSV_LINES = 400
DEEP_PAGES, PAGE = 1_000, 25
WARM = 6


@dataclass
class Measured:
    """One ledger's figures: what → milliseconds, p50; and the plans of its queries."""

    times: dict[str, float]
    plans: dict[str, list[str]]


def main() -> None:
    asked = _arguments()
    small = _measure(asked.small, with_plans=False)
    big = _measure(asked.activations, with_plans=True)
    print(f"\n{'p50, ms':>34} {'small':>9} {'big':>9} {'ratio':>7}")
    for what, took in big.times.items():
        if what in small.times:
            print(f"{what:>34} {small.times[what]:>9.1f} {took:>9.1f} {took / small.times[what]:>7.2f}")
        else:
            print(f"{what:>34} {'':>9} {took:>9.1f}")
    for what, plans in big.plans.items():
        print(f"\n── plans: {what} " + "─" * 60)
        print("\n\n".join(plans))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pages and purchases beside a large ledger.")
    parser.add_argument("--activations", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=2_000)
    return parser.parse_args()


def _measure(count: int, *, with_plans: bool) -> Measured:
    """Everything about a ledger with so many activations."""
    with shop() as ground:
        ground.environment["DAILY_BUY_LIMIT"] = "5000"
        ground.app.config["DAILY_BUY_LIMIT"] = 5000
        (heavy, cookie), (_other, other_cookie) = customers(ground, 2)
        wanted = goods(ground.app, 8)
        started = time.perf_counter()
        fill(ground.app, count, max(count // 5 * 4 // CUSTOMER_HAS, 1), heavy, wanted)
        _describe(ground.app, count, time.perf_counter() - started)
        _check(ground.app)
        paths = _paths(ground.app, heavy)
        times = _pages(ground, paths, cookie)
        times |= _pages(ground, {"wallet of a new customer": "/wallet"}, other_cookie)
        times["activations.buy, over HTTP"] = _median(_buying(ground.app, heavy, wanted[0]), 100)
        times["house balances"] = _median(_house(ground.app), 30)
        plans = {what: _plans(ground.app, path, cookie) for what, path in paths.items()} if with_plans else {}
        if with_plans:
            with ground.app.app_context():
                plans["activations.buy"] = _explained(_recorded(ground.app, _buying(ground.app, heavy, wanted[0])))
                plans["house balances"] = _explained(_recorded(ground.app, _house(ground.app)))
        return Measured(times, plans)


def _describe(app: Flask, count: int, seconds: float) -> None:
    with app.app_context():
        entries = db.session.scalar(text("SELECT count(*) FROM ledger_entries"))
        size = db.session.scalar(text("SELECT pg_size_pretty(pg_database_size(current_database()))"))
        db.session.remove()
    print(f"\n{entries:,} entries, {count:,} activations, {size}: made in {seconds:.0f} s")


def _check(app: Flask) -> None:
    """What `flask ledger check` runs, each with its time. Raises RuntimeError if one does not hold."""
    with app.app_context():
        db.session.execute(text("SET LOCAL statement_timeout = 0"))
        for number, sentence, query in (*wallet_checks.CHECKS, *number_checks.CHECKS):
            started = time.perf_counter()
            if offenders := db.session.execute(text(query)).all():
                raise RuntimeError(f"{number} does not hold: {sentence}: {offenders[:3]}")
            print(f"  {number:>4} holds, {time.perf_counter() - started:5.1f} s: {sentence}")
        db.session.remove()


def _paths(app: Flask, heavy: int) -> dict[str, str]:
    """Pages of the customer with many lines. The deep ones are page 1,000, or half-way where there are not so many."""
    with app.test_request_context():
        lines = periods.whole(heavy).end
        own = "SELECT id FROM activations WHERE user_id = :user ORDER BY id DESC OFFSET :place LIMIT 1"
        mine = db.session.scalar(text("SELECT count(*) FROM activations WHERE user_id = :user"), {"user": heavy}) or 0
        deep = db.session.scalar(text(own), {"user": heavy, "place": min(DEEP_PAGES * PAGE, mine // 2)})
        since = db.session.scalar(
            text("SELECT CAST(t.created_at AS date) + 1 FROM ledger_entries e JOIN ledger_transactions t"
                 " ON t.id = e.transaction_id JOIN ledger_accounts a ON a.id = e.account_id"
                 " WHERE a.kind = 'user_available' AND a.user_id = :user AND e.sequence = :place"),
            {"user": heavy, "place": max(lines - CSV_LINES, 1)},
        )  # fmt: skip
        db.session.remove()
    service = "service=whatsapp"
    return {
        "wallet": "/wallet",
        "statement, page 1": "/wallet/statement",
        "statement, page 1,000": f"/wallet/statement?before={max(lines - DEEP_PAGES * PAGE, lines // 2)}",
        "statement of a period": f"/wallet/statement?since={since}&until=2100-01-01",
        "statement, money in": "/wallet/statement?show=in&words=",
        "statement, words found nowhere": "/wallet/statement?words=nowhere",
        "history, page 1": "/activations",
        "history, page 1,000": f"/activations?before={deep}",
        "history, open ones": "/activations?state=open",
        "history, of one service": f"/activations?{service}",
        "statement as CSV, 400 lines": f"/wallet/statement.csv?since={since}",
    }


def _pages(ground: Stand, paths: dict[str, str], cookie: str) -> dict[str, float]:
    """p50 of each path over one kept connection."""
    found = {}
    with web(ground) as port:
        for what, path in paths.items():
            rounds = 8 if ".csv" in path else 60
            if ".csv" in path:
                found[what] = _median(partial(_fetch, port, path, cookie), rounds)
                continue
            with Line(port, path, cookie) as line:
                found[what] = _median(line.ask, rounds)
    return found


def _fetch(port: int, path: str, cookie: str) -> None:
    """A streamed answer, to its end."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Cookie": cookie})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.read().count(b"\n") > 3


def _median(work: Callable[[], object], rounds: int) -> float:
    """Milliseconds, of so many rounds or of as many as fit into ten seconds. The first warm caches and do not count."""
    times: list[float] = []
    until = time.perf_counter() + 10
    for number in range(rounds + WARM):
        started = time.perf_counter()
        if times and started > until:
            break
        work()
        if number >= WARM:
            times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def _buying(app: Flask, user_id: int, wanted: tuple[str, str]) -> Callable[[], None]:
    def buy() -> None:
        with app.app_context():
            user = db.session.get_one(User, user_id)
            found = activations.buy(user, *wanted, "any", 10**9, key=uuid4().hex)
            assert found.state == "waiting", found.state

    return buy


def _house(app: Flask) -> Callable[[], None]:
    def read() -> None:
        with app.app_context():
            assert house.balances()

    return read


# ── Plans ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _plans(app: Flask, path: str, cookie: str) -> list[str]:
    name, _equals, value = cookie.partition("=")
    client = app.test_client()
    client.set_cookie(name, value)
    with app.app_context():
        client.get(path).get_data()
        return _explained(_recorded(app, lambda: client.get(path).get_data()))


def _recorded(app: Flask, work: Callable[[], object]) -> list[tuple[str, Any]]:
    """The reading statements of some work on the large tables, each once."""
    found: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        reads = statement.lstrip().upper().startswith(("SELECT", "WITH"))
        if reads and any(name in statement for name in ("ledger_", "activations")):
            found.setdefault(statement, parameters)

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    return list(found.items())


def _explained(statements: list[tuple[str, Any]]) -> list[str]:
    found = []
    with db.engine.connect() as connection:
        for statement, parameters in statements:
            rows = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", parameters)
            found.append(" ".join(statement.split()) + "\n" + "\n".join(f"    {row[0]}" for row in rows))
        connection.rollback()
    return found


if __name__ == "__main__":
    main()
