"""Paystack's webhook: who is believed, what is kept, what the worker makes of it."""

import gzip
import hashlib
import hmac
import json
import secrets
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.wallet import events, inbox, ledger, topups
from namaskah.wallet.models import GatewayEvent, TopUp
from namaskah.wallet.paystack import GatewayDown

from .counter import Counter

HEADER = "x-paystack-signature"


@pytest.fixture
def opened(payer: User, counter: Counter) -> TopUp:
    return topups.open_top_up(payer, 250_000, secrets.token_hex(16))


@pytest.fixture
def web(app: Flask) -> FlaskClient:
    return app.test_client()


def event(reference: str, name: str = "charge.success", **data: Any) -> bytes:
    return json.dumps({"event": name, "data": {"reference": reference, "amount": 250_000} | data}).encode()


def sign(app: Flask, body: bytes, algorithm: str = "sha512") -> str:
    return hmac.new(app.config["PAYSTACK_SECRET_KEY"].encode(), body, getattr(hashlib, algorithm)).hexdigest()


def kept(reference: str) -> list[GatewayEvent]:
    db.session.rollback()
    return list(db.session.scalars(select(GatewayEvent).filter_by(reference=reference).order_by(GatewayEvent.id)))


def jobs_for(event_id: int) -> int:
    query = text(
        "SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'handle_gateway_event'"
        " AND (args->>'event_id')::bigint = :id"
    )
    return int(db.session.scalar(query, {"id": event_id}) or 0)


def send(web: FlaskClient, body: bytes, *signatures: str, **headers: str) -> int:
    given = [(HEADER, signature) for signature in signatures] + list(headers.items())
    answer = web.post("/webhooks/paystack", data=body, headers=given, content_type="application/json")
    assert answer.data == b""
    return answer.status_code


def test_a_signed_event_is_kept_and_a_job_left_with_it(app: Flask, web: FlaskClient) -> None:
    body = event("somebody-elses")
    assert send(web, body, sign(app, body)) == 200
    [found] = kept("somebody-elses")
    assert (found.event, found.handled_at, found.body["data"]["amount"]) == ("charge.success", None, 250_000)
    assert found.raw == body
    assert jobs_for(found.id) == 1
    assert send(web, body, sign(app, body)) == 200
    assert [copy.id for copy in kept("somebody-elses")] == [found.id]
    assert jobs_for(found.id) == 1


def reserialised(body: bytes) -> bytes:
    return json.dumps(json.loads(body), indent=1).encode()


# Twelve ways to sign, and only the first is the documented one. Each makes (body sent, signatures) from a body.
SIGNATURES: dict[str, Any] = {
    "right": (200, lambda app, body: (body, [sign(app, body)])),
    "missing": (401, lambda app, body: (body, [])),
    "empty": (401, lambda app, body: (body, [""])),
    "wrong": (401, lambda app, body: (body, [secrets.token_hex(64)])),
    "sha256": (401, lambda app, body: (body, [sign(app, body, "sha256")])),
    "re-serialised": (401, lambda app, body: (reserialised(body), [sign(app, body)])),
    "trailing newline": (401, lambda app, body: (body + b"\n", [sign(app, body)])),
    "upper-case hex": (401, lambda app, body: (body, [sign(app, body).upper()])),
    "two headers": (401, lambda app, body: (body, [sign(app, body), secrets.token_hex(64)])),
    "gzip, signed before": (401, lambda app, body: (gzip.compress(body), [sign(app, body)])),
    "old key": (401, lambda app, body: (body, [hmac.new(b"the key before", body, "sha512").hexdigest()])),
    "valid for another body": (401, lambda app, body: (body, [sign(app, event("another"))])),
}


@pytest.mark.parametrize("case", SIGNATURES)
def test_only_the_documented_signature_has_an_effect(app: Flask, web: FlaskClient, case: str) -> None:
    reference = secrets.token_hex(8)
    status, make = SIGNATURES[case]
    body, signatures = make(app, event(reference))
    assert send(web, body, *signatures) == status
    assert len(kept(reference)) == (1 if status == 200 else 0)


def test_junk_is_refused_without_being_kept(app: Flask, web: FlaskClient) -> None:
    before = db.session.scalar(select(func.count(GatewayEvent.id)))
    megabyte = secrets.token_bytes(1_000_000)
    assert send(web, megabyte, secrets.token_hex(64)) == 401
    answer = web.post("/webhooks/paystack", data=megabyte + b"!", headers={HEADER: sign(app, megabyte + b"!")})
    assert answer.status_code == 413
    assert db.session.scalar(select(func.count(GatewayEvent.id))) == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"data": {}}', b"\xff\0" * 500_000])
def test_a_signed_body_that_is_no_event_is_kept_for_a_person(app: Flask, web: FlaskClient, body: bytes) -> None:
    assert [send(web, body, sign(app, body)) for _ in range(2)] == [200, 200]
    db.session.rollback()
    [found] = db.session.scalars(select(GatewayEvent))
    assert (found.event, found.outcome, found.raw, found.body) == ("not_an_event", "not_an_event", body, {})
    assert found.handled_at is not None and found.last_error
    assert jobs_for(found.id) == 0
    assert inbox.count_for_a_person() == 1


def test_without_a_key_nothing_is_believed(app: Flask, web: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "PAYSTACK_SECRET_KEY", "")
    body = event(secrets.token_hex(8))
    assert send(web, body, sign(app, body)) == 401


def test_text_that_postgresql_cannot_hold_is_no_reason_to_lose_an_event(app: Flask, web: FlaskClient) -> None:
    reference = secrets.token_hex(8)
    body = event(reference, message="a\0b\ud800c")
    assert send(web, body, sign(app, body)) == 200
    assert kept(reference)[0].body["data"]["message"] == "ab?c"


def test_the_worker_credits_what_the_gateway_confirms(opened: TopUp, payer: User, counter: Counter) -> None:
    counter.pay(opened.reference)
    stored = events.receive_event(event(opened.reference))
    for _ in range(2):
        events.handle_event(stored.id)
    [found] = kept(opened.reference)
    assert (found.outcome, found.handled_at is not None) == ("paid", True)
    assert ledger.balance(payer.id).available_minor == 250_000
    assert counter.calls("verify") == 1


def test_an_event_that_the_gateway_does_not_confirm_credits_nothing(opened: TopUp, payer: User) -> None:
    stored = events.receive_event(event(opened.reference, amount=99_000_000, status="success"))
    events.handle_event(stored.id)
    assert kept(opened.reference)[0].outcome == "abandoned"
    assert ledger.balance(payer.id).available_minor == 0


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("charge.failed", "not_handled_here"),
        ("something.new", "not_handled_here"),
    ],
)
def test_what_is_not_ours_to_act_on_is_kept_and_marked(counter: Counter, name: str, outcome: str) -> None:
    reference = secrets.token_hex(8)
    events.handle_event(events.receive_event(event(reference, name)).id)
    [found] = kept(reference)
    assert (found.outcome, found.handled_at is not None) == (outcome, True)
    assert counter.calls("verify") == 0


def test_an_event_waits_for_a_gateway_that_is_away(opened: TopUp, payer: User, counter: Counter) -> None:
    counter.pay(opened.reference)
    stored = events.receive_event(event(opened.reference))
    counter.breaks("verify", "error_500")
    with pytest.raises(GatewayDown):
        events.handle_event(stored.id)
    assert kept(opened.reference)[0].handled_at is None
    events.handle_event(stored.id)
    assert kept(opened.reference)[0].outcome == "paid"
    assert ledger.balance(payer.id).available_minor == 250_000


def test_news_of_a_failure_after_the_credit_changes_nothing(opened: TopUp, payer: User, counter: Counter) -> None:
    counter.pay(opened.reference)
    topups.settle(opened.reference)
    counter.becomes(opened.reference, "failed")
    events.handle_event(events.receive_event(event(opened.reference)).id)
    assert topups.get_top_up(opened.reference).state == "paid"
    assert ledger.balance(payer.id).available_minor == 250_000
