"""A hundred copies of one webhook of Paystack's at the same moment, beside as many requests for a bare view.

    python -m bench.webhook [--copies 100] [--rounds 5]

To the product in two gunicorn processes, with a worker; each copy on a connection of its own. What counts is that every
copy is answered with 200 and that one credit comes of them; Paystack itself waits for 30 seconds. Under a minute.
"""

import argparse
import http.client
import json
import os
import secrets
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlalchemy import func, select

from bench.shop import shop
from bench.stand import ROOT, Stand, people, percentile, web
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.sandbox.charges import signature
from namaskah.wallet import topups
from namaskah.wallet.models import LedgerTransaction

AMOUNT = 250_000
WANTED = 500.0  # milliseconds
CREDIT_WITHIN = 30.0  # seconds


def main() -> None:
    asked = _arguments()
    with shop() as ground, web(ground, "bench.pages_app:app") as port, _worker(ground):
        user_id, _cookie = people(ground, 1)[0]
        bare, copies, credits = [], [], []
        for _round in range(asked.rounds):
            bare += _at_once(port, asked.copies, "GET", "/bench/bare")
            reference = _paid(ground, user_id)
            body = json.dumps({"event": "charge.success", "data": {"reference": reference, "amount": AMOUNT}}).encode()
            signed = {"x-paystack-signature": signature(body, ground.environment["PAYSTACK_SECRET_KEY"])}
            copies += _at_once(port, asked.copies, "POST", "/webhooks/paystack", body, signed)
            credits.append(_credits(ground, reference))
    _tell(bare, copies, credits, asked.copies)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Copies of one webhook at once.")
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


@contextmanager
def _worker(ground: Stand) -> Iterator[None]:
    with (ground.logs / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi", "worker"],
            cwd=ROOT,
            env=os.environ | ground.environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def _paid(ground: Stand, user_id: int) -> str:
    """A checkout that has been paid at the sandbox, of which nobody was told."""
    with ground.app.app_context():
        opened = topups.open_top_up(db.session.get_one(User, user_id), AMOUNT, secrets.token_hex(16))
        reference = opened.reference
        db.session.remove()
    told = {"reference": reference, "status": "success", "paid_amount": AMOUNT}
    request = urllib.request.Request(
        f"{ground.environment['SANDBOX_URL']}/control/transactions",
        json.dumps(told).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=10).close()
    return reference


def _at_once(
    port: int, count: int, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> list[float]:
    """Milliseconds of each of `count` requests begun at the same moment. Raises RuntimeError for any but 200."""
    ready = threading.Barrier(count)

    def send(_number: int) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        ready.wait(30)
        started = time.perf_counter()
        connection.request(method, path, body or None, {"Content-Type": "application/json"} | (headers or {}))
        answer = connection.getresponse()
        answer.read()
        took = 1000 * (time.perf_counter() - started)
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{path} was answered with {answer.status}")
        return took

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(send, range(count)))


def _credits(ground: Stand, reference: str) -> int:
    """How many credits have come of it, some time after the first one."""
    query = select(func.count(LedgerTransaction.id)).filter_by(kind="top_up", reference=f"top_up:{reference}")
    until = time.monotonic() + CREDIT_WITHIN
    with ground.app.app_context():
        while not db.session.scalar(query) and time.monotonic() < until:
            db.session.rollback()
            time.sleep(0.05)
        db.session.rollback()
        time.sleep(1)
        found = db.session.scalar(query) or 0
        db.session.remove()
    return found


def _tell(bare: list[float], copies: list[float], credits: list[int], count: int) -> None:
    print(f"{'':>24} {'requests':>9} {'p50 ms':>8} {'p95 ms':>8} {'max ms':>8}")
    for what, times in (("bare view, one query", bare), (f"{count} copies at once", copies)):
        figures = (percentile(times, 50), percentile(times, 95), max(times))
        print(f"{what:>24} {len(times):>9} " + " ".join(f"{figure:>8.0f}" for figure in figures))
    ratio = percentile(copies, 95) / percentile(bare, 95)
    print(f"p95 copies / bare view: {ratio:.1f}; wanted: p95 below {WANTED:.0f} ms")
    print(f"credits of each round: {', '.join(map(str, credits))} (wanted: 1)")


if __name__ == "__main__":
    main()
