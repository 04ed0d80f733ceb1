"""A gateway that repeats itself, to the real web server and worker: every copy is answered, one credit is made."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
import urllib3
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.sandbox.charges import signature, webhook_body
from namaskah.wallet import ledger, topups
from tests import support
from tests.chaos.stand import Browser, Stand, stand

COPIES = 100
AMOUNT = 250_000


@pytest.fixture
def installed(settings: dict[str, str], worker_number: int, tmp_path: Path) -> Iterator[Stand]:
    with stand(settings, f"namaskah_copies_{worker_number}", tmp_path) as made:
        made.installation.start_web(made.installation.port, workers=2)
        made.installation.start_worker()
        yield made


def paid_top_up(made: Stand, payer: User) -> tuple[str, bytes, str]:
    """A checkout that has been paid, and the gateway's announcement of it: reference, body, signature."""
    opened = topups.open_top_up(payer, AMOUNT, uuid4().hex)
    world = made.control.sandbox.world
    transaction = world.till.find(opened.reference)
    assert transaction is not None
    assert world.till.pay(transaction, AMOUNT)
    body = webhook_body(transaction, world.till.domain)
    return opened.reference, body, signature(body, world.config.paystack_secret_key)


def send_at_once(url: str, body: bytes, sign: str) -> list[tuple[int, float]]:
    """Status and milliseconds of each of a hundred copies, started at the same moment, each on its own connection."""
    pool = urllib3.PoolManager(maxsize=COPIES, retries=False)
    ready = threading.Barrier(COPIES)

    def send(_number: int) -> tuple[int, float]:
        ready.wait(30)
        started = time.perf_counter()
        headers = {"Content-Type": "application/json", "x-paystack-signature": sign}
        answer = pool.request("POST", url, body=body, headers=headers, timeout=30)
        return answer.status, 1000 * (time.perf_counter() - started)

    with ThreadPoolExecutor(COPIES) as threads:
        return list(threads.map(send, range(COPIES)))


def credits(reference: str) -> int:
    query = text("SELECT count(*) FROM ledger_transactions WHERE kind = 'top_up' AND reference = :reference")
    found = int(db.session.scalar(query, {"reference": f"top_up:{reference}"}) or 0)
    db.session.rollback()
    return found


def test_a_hundred_copies_of_a_webhook_credit_once(installed: Stand) -> None:
    payer = support.make_user("copies@example.com")
    browser = Browser(installed, payer)
    reference, body, sign = paid_top_up(installed, payer)
    came_back = threading.Thread(target=browser.get, args=(f"/wallet/top-up/return?reference={reference}",))
    came_back.start()
    answers = send_at_once(f"{installed.installation.url}/webhooks/paystack", body, sign)
    came_back.join()
    assert [status for status, _time in answers] == [200] * COPIES
    times = sorted(time for _status, time in answers)
    print(f"\n{COPIES} copies at once: p50 {times[COPIES // 2]:.0f} ms, p95 {times[COPIES * 95 // 100 - 1]:.0f} ms")
    assert times[-1] < 10_000
    support.wait_until(lambda: credits(reference), 20, "the credit")
    assert installed.control.paystack_webhooks(reference, COPIES) == [200] * COPIES
    support.wait_until(_no_jobs_left, 20, "the end of the jobs")
    assert credits(reference) == 1
    assert ledger.balance(payer.id).available_minor == AMOUNT
    db.session.rollback()
    assert support.broken_invariants() == []


def _no_jobs_left() -> bool:
    left = db.session.scalar(text("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"))
    db.session.rollback()
    return bool(left == 0)
