"""The signed bytes of Paystack's reports go after ninety days; what is read of them stays."""

import hashlib
import json

import pytest
from flask import Flask
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import event_retention, events, inbox
from namaskah.wallet.models import GatewayEvent
from tests.account.life import columns_later, timedelta
from tests.housekeeping.stand import books, rows
from tests.support import log_in, make_receipt
from tests.together import at_once

CODE = "AUTH_canary"


def report(reference: str, name: str = "charge.failed") -> bytes:
    card = {"authorization_code": CODE, "last4": "4081", "brand": "visa"}
    return json.dumps({"event": name, "data": {"reference": reference, "authorization": card}}).encode()


def received(raw: bytes) -> GatewayEvent:
    stored = events.receive_event(raw)
    if stored.handled_at is None:
        events.handle_event(stored.id)
    return stored


def later(days: float) -> None:
    columns_later("gateway_events", "received_at due_at handled_at", timedelta(days=days))


def fresh(event: GatewayEvent) -> GatewayEvent:
    db.session.rollback()
    found = inbox.get_event(event.id)
    assert found is not None
    return found


def test_the_bytes_go_and_what_is_read_stays(app: Flask, alice: User, admin: User) -> None:
    make_receipt(alice)
    raw = report("NK-7")
    stored = received(raw)
    before = books()
    later(89)
    assert event_retention.erase_due() == 0
    assert fresh(stored).raw == raw
    later(2)
    body = fresh(stored).body
    assert event_retention.erase_due() == 1
    kept = fresh(stored)
    assert (kept.raw, kept.body, kept.reference, kept.event) == (None, body, "NK-7", "charge.failed")
    assert kept.body["data"]["authorization"]["last4"] == "4081"
    assert kept.digest == hashlib.sha512(raw).hexdigest()
    assert rows("SELECT count(*) FROM gateway_events WHERE position(:code IN body::text) > 0", code=CODE) == [(0,)]
    assert books() == before
    assert event_retention.erase_due() == 0
    browser = log_in(app.test_client(), admin)
    assert browser.get(f"/admin/gateway-events/{stored.id}").status_code == 200
    assert browser.get(f"/admin/gateway-events/{stored.id}/raw").status_code == 404


def test_a_copy_that_comes_after_that_is_still_known(app: Flask) -> None:
    stored = received(report("NK-7"))
    later(91)
    event_retention.erase_due()
    assert events.receive_event(report("NK-7")).id == stored.id
    assert fresh(stored).raw is None


@pytest.mark.parametrize(
    ("raw", "handled"),
    [
        (b"signed, and no event", True),  # a person has to look
        (report("NK-7", "refund.failed"), False),  # the worker is still at it
    ],
)
def test_what_is_not_over_keeps_them(app: Flask, raw: bytes, handled: bool) -> None:
    stored = received(raw) if handled else events.receive_event(raw)
    later(91)
    assert event_retention.erase_due() == 0
    assert fresh(stored).raw == raw
    with transaction():
        db.session.execute(
            text(
                "UPDATE gateway_events SET handled_at = now(), closed_at = now(), closed_by = 'user:1',"
                " closed_reason = 'seen'"
            )
        )
    assert event_retention.erase_due() == 1


def test_two_workers_share_the_work(app: Flask) -> None:
    for number in range(6):
        received(report(f"NK-{number}"))
    later(91)

    def work() -> int:
        return sum(event_retention.erase_due(1) for _turn in range(6))

    found = at_once(app, work, work)
    assert all(isinstance(count, int) for count in found), found
    assert sum(found) + event_retention.erase_due() == 6  # type: ignore[arg-type]
    assert rows("SELECT count(*) FROM gateway_events WHERE raw IS NOT NULL") == [(0,)]
