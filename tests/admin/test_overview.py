"""What the operator's page puts first."""

import json
import secrets

import pytest
from flask import Flask
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import strays
from namaskah.sandbox import Sandbox
from namaskah.wallet import events, topups
from tests.support import log_in
from tests.wallet.counter import Counter


def reported(name: str, reference: str, *, handled: bool = True) -> None:
    """Paystack has sent us this, and the worker has been there unless it could not."""
    body = {"event": name, "data": {"reference": reference, "status": "success", "domain": "test"}}
    stored = events.receive_event(json.dumps(body).encode())
    if handled:
        events.handle_event(stored.id)


def page(app: Flask, admin: User) -> str:
    return log_in(app.test_client(), admin).get("/admin/").text


def test_a_payment_of_nobody_is_shown_when_it_is_no_longer_early(app: Flask, admin: User) -> None:
    reported("charge.success", "NK-somewhere")
    assert "NK-somewhere" not in page(app, admin)
    with transaction():
        db.session.execute(
            text("UPDATE gateway_events SET due_at = now(), received_at = received_at - interval '1 hour'")
        )
    assert events.take_up_due() == 1
    shown = page(app, admin)
    assert "NK-somewhere" in shown and "1 report needs a person" in shown


@pytest.mark.parametrize("name", ["charge.dispute.create", "charge.dispute.remind", "refund.failed"])
def test_disputes_and_refunds_of_nobody_are_shown_after_an_hour(app: Flask, admin: User, name: str) -> None:
    reported(name, "NK-somewhere", handled=False)
    with transaction():
        db.session.execute(text("UPDATE gateway_events SET received_at = now() - interval '61 minutes'"))
    events.handle_event(db.session.scalars(text("SELECT max(id) FROM gateway_events")).one())
    shown = page(app, admin)
    assert name in shown
    assert "NK-somewhere" in shown


def test_what_needs_nobody_is_not(app: Flask, admin: User) -> None:
    reported("charge.failed", "NK-somewhere")
    assert "NK-somewhere" not in page(app, admin)


def test_what_could_not_be_worked_on_is_shown_after_ten_minutes(app: Flask, admin: User) -> None:
    reported("charge.success", "NK-somewhere", handled=False)
    assert "NK-somewhere" not in page(app, admin)
    with transaction():
        db.session.execute(text("UPDATE gateway_events SET received_at = now() - interval '11 minutes'"))
    assert "NK-somewhere" in page(app, admin)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("weight = 0", "Switched off"),
        ("synced_at = now() - interval '1 hour'", "Price list too old"),
        ("synced_at = NULL", "Price list too old"),
        ("balance_micros = 0", "No money there"),
        ("paused_until = now() + interval '1 minute', paused_reason = 'silent'", "Resting"),
        ("weight = 100", "Selling"),
    ],
)
def test_a_provider_that_sells_nothing_is_not_said_to_sell(app: Flask, admin: User, change: str, says: str) -> None:
    with transaction():
        db.session.execute(text(f"UPDATE providers SET {change}"))
    shown = page(app, admin)
    assert says in shown
    assert ("Selling" in shown) == (says == "Selling")


@pytest.mark.parametrize("reason", list(strays.REASONS))
def test_why_an_order_is_given_back_is_said_in_words(app: Flask, admin: User, reason: str) -> None:
    with transaction():
        strays.add("fivesim", "4711", reason, None)
    shown = page(app, admin)
    assert str(strays.REASONS[reason]) in shown
    assert f" {reason} " not in shown


def test_a_payment_that_differs_is_said_in_the_words_and_amounts_of_every_page(
    app: Flask, admin: User, alice: User, sandbox: Sandbox
) -> None:
    opened = topups.open_top_up(alice, 250_000, secrets.token_hex(16))
    Counter(sandbox).pay(opened.reference, 200_000)
    assert topups.settle(opened.reference).state == "mismatch"
    shown = page(app, admin).replace('<span class="money">', "").replace("</span>", "")
    assert "₦2,000 was paid where ₦2,500 was asked for." in shown
    assert "200000" not in shown


def test_the_menu_leads_operators_and_nobody_else_here(app: Flask, admin: User, alice: User) -> None:
    for user, leads in ((admin, True), (alice, False)):
        shown = log_in(app.test_client(), user).get("/account").text
        assert ('href="/admin/"' in shown) is leads
