"""The return page, the webhook and the sweep at the same moment: real threads, real commits, one credit."""

import secrets
import threading
import time
from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from werkzeug.serving import make_server

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import events, ledger, topups
from namaskah.wallet.models import GatewayEvent, LedgerTransaction, TopUp
from tests.together import at_once

from .counter import Counter
from .test_webhook import event

AMOUNT = 250_000


@pytest.fixture
def paid(payer: User, counter: Counter) -> TopUp:
    """Paid at the gateway, not settled by us."""
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference)
    return opened


@pytest.fixture
def webhook_url(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    server.socket.listen(256)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/webhooks/paystack"
    server.shutdown()
    server.server_close()
    thread.join()


def credits(reference: str) -> int:
    query = select(func.count(LedgerTransaction.id)).filter_by(kind="top_up", reference=f"top_up:{reference}")
    return int(db.session.scalar(query) or 0)


def assert_credited_once(paid: TopUp) -> None:
    db.session.rollback()
    assert credits(paid.reference) == 1
    assert topups.get_top_up(paid.reference).paid_minor == AMOUNT
    assert ledger.balance(paid.user_id).available_minor == AMOUNT
    mails = text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'send_mail'")
    assert db.session.scalar(mails) == 1


@pytest.mark.parametrize("_again", range(5))
def test_return_webhook_and_sweep_at_once_credit_once(app: Flask, paid: TopUp, _again: int) -> None:
    stored = events.receive_event(event(paid.reference)).id
    with transaction():
        db.session.execute(text("UPDATE top_ups SET check_at = now() WHERE id = :id"), {"id": paid.id})
    results = at_once(
        app,
        lambda: topups.settle(paid.reference).state,
        lambda: topups.settle(paid.reference).state,
        lambda: events.handle_event(stored),
        lambda: events.handle_event(stored),
        topups.sweep_due,
        topups.sweep_due,
    )
    assert not [result for result in results if isinstance(result, Exception)]
    assert_credited_once(paid)


def test_two_sweeps_at_once_never_take_the_same_top_up(app: Flask, payer: User, counter: Counter) -> None:
    for _ in range(6):
        topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    with transaction():
        due = text("UPDATE top_ups SET check_at = now() WHERE user_id = :user")
        db.session.execute(due, {"user": payer.id})
    results = at_once(app, *[topups.sweep_due] * 4)
    assert sum(result for result in results if isinstance(result, int)) == 6
    assert counter.calls("verify") == 6


def test_a_sweep_does_not_wait_for_a_top_up_that_somebody_else_has(app: Flask, paid: TopUp) -> None:
    due = text("UPDATE top_ups SET check_at = now() WHERE id = :id")
    with db.engine.connect() as other:
        with transaction():
            db.session.execute(due, {"id": paid.id})
        other.execute(text("SELECT 1 FROM top_ups WHERE id = :id FOR UPDATE"), {"id": paid.id})
        begun = time.monotonic()
        assert topups.sweep_due() == 0
        assert time.monotonic() - begun < 2
    assert topups.sweep_due() == 1


def test_ten_clicks_on_one_form_at_once_open_one_checkout(app: Flask, payer: User, counter: Counter) -> None:
    user_id, key = payer.id, secrets.token_hex(16)

    def click() -> str:
        return topups.open_top_up(db.session.get_one(User, user_id), AMOUNT, key).reference

    references = at_once(app, *[click] * 10)
    assert len(set(references)) == 1
    assert counter.references() == [references[0]]
    assert counter.calls("initialize") == 1


def test_a_hundred_copies_of_one_webhook_at_once_are_one_event_and_one_credit(
    app: Flask, paid: TopUp, counter: Counter, webhook_url: str
) -> None:
    counter.world.config.paystack_webhook_url = webhook_url
    try:
        begun = time.monotonic()
        statuses = counter.world.webhooks.copies(counter.transaction(paid.reference), 100, parallel=True)
        took = time.monotonic() - begun
    finally:
        counter.world.config.paystack_webhook_url = None
    assert statuses == [200] * 100
    assert took < 20
    stored = db.session.scalars(select(GatewayEvent.id).filter_by(reference=paid.reference)).all()
    assert len(stored) == 1
    deferred = text(
        "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'handle_gateway_event'"
        " AND (args->>'event_id')::bigint = :id"
    )
    assert db.session.scalar(deferred, {"id": stored[0]}) == 1
    at_once(app, *[lambda: events.handle_event(stored[0])] * 10)
    assert_credited_once(paid)
