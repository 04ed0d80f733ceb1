"""Kept cards in the file of everything we hold, and when an account is deleted."""

import json
import secrets
from decimal import Decimal

import pytest
from flask import Flask
from sqlalchemy import func, select

from namaskah.account import deletion
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.sandbox import Sandbox
from namaskah.sandbox.charges import webhook_body
from namaskah.wallet import (
    auto_topups,
    card_charges,
    card_deactivations,
    cards,
    events,
    low_balance,
    mismatches,
    top_up_lists,
    topups,
)
from namaskah.wallet.card_models import AutoTopUp, CardDeactivation, LowBalanceLetter, SavedCard
from namaskah.wallet.models import GatewayEvent, TopUp
from tests.account.test_deletion import balance, tables_with
from tests.account.test_exports import made, rows, unpacked
from tests.support import log_in
from tests.together import at_once
from tests.wallet.carding import AMOUNT, BELOW, LIMIT, kept_card, switched_on
from tests.wallet.counter import Counter


@pytest.fixture
def counter(sandbox: Sandbox) -> Counter:
    return Counter(sandbox)


@pytest.fixture
def card(alice: User, counter: Counter) -> SavedCard:
    """Kept, charged by itself if need be, and with a letter wanted."""
    found = kept_card(alice, counter)
    switched_on(alice, found)
    low_balance.set_threshold(alice.id, BELOW)
    return found


def webhook(counter: Counter, reference: str) -> bytes:
    return webhook_body(counter.transaction(reference), "test")


def test_the_file_says_what_we_know_of_cards_but_for_their_codes(
    app: Flask, alice: User, card: SavedCard, counter: Counter
) -> None:
    code, paid = cards.code_of(card), db.session.scalars(select(TopUp)).one()
    raw = webhook(counter, paid.reference)
    assert code.encode() in raw, "else this test proves nothing"
    events.receive_event(raw)
    with transaction():  # as the releases before kept them
        db.session.add(
            GatewayEvent(digest="old", event="charge.success", reference=paid.reference, body=json.loads(raw))
        )
    export = made(alice)
    assert export.content is not None
    files = unpacked(export.content)
    assert [name for name, content in files.items() if code in content] == []
    [told] = rows(files, "cards")
    assert (told["last4"], told["brand"], told["exp_year"], told["email"]) == ("4081", "visa", "2030", alice.email)
    [wish] = rows(files, "auto-top-up")
    assert [Decimal(wish[name]) for name in ("below", "amount", "day_limit")] == [
        Decimal(minor) / 100 for minor in (BELOW, AMOUNT, LIMIT)
    ]
    assert rows(files, "low-balance")[0]["below"] in ("1000", "1000.00")
    payments = rows(files, "payments")
    assert len(payments) == 2 and all("SIG_" in payment["body"] for payment in payments)


def test_a_deleted_account_leaves_no_card_here_nor_at_the_gateway(
    app: Flask, alice: User, card: SavedCard, counter: Counter
) -> None:
    code, words = cards.code_of(card), (card.signature, card.bank, cards.code_of(card))
    assert len(tables_with(*words)) == 2, "else this test proves nothing"
    deletion.delete(alice, balance(alice))
    for model in (SavedCard, AutoTopUp, LowBalanceLetter):
        assert db.session.scalar(select(func.count()).select_from(model)) == 0
    assert tables_with(*words) == {}
    assert db.session.scalar(select(TopUp.card_id)) is None
    assert card_deactivations.deactivate_due() == 1
    assert counter.world.cards.find(code) is None
    assert db.session.scalar(select(func.count(CardDeactivation.id))) == 0
    assert auto_topups.charge_due() == 0


def test_a_charge_under_way_is_waited_for(app: Flask, alice: User, card: SavedCard, counter: Counter) -> None:
    counter.breaks("charge", "reset_after")
    counter.breaks("charge", "error_500")
    counter.breaks("verify", "error_500")
    under_way = card_charges.pay(alice, card.id, AMOUNT, secrets.token_hex(16))
    assert under_way.state == "opened"
    with pytest.raises(deletion.NotYet, match="payment"):
        deletion.delete(alice, balance(alice))
    topups.settle(under_way.reference)
    deletion.delete(alice, balance(alice))
    assert db.session.get_one(User, alice.id, populate_existing=True).deleted_at is not None


def test_what_is_paid_after_the_account_is_gone_waits_for_a_person_and_no_card_is_kept(
    app: Flask, alice: User, admin: User, counter: Counter
) -> None:
    """In the wallet of a deleted account nobody could spend it, and nobody would be told of it."""
    opened = topups.open_top_up(alice, AMOUNT, secrets.token_hex(16), keep_card=True)
    deletion.delete(alice, balance(alice))
    counter.pay_by_card(opened.reference)
    for _time in range(2):
        paid = topups.settle(opened.reference)
        assert (paid.state, paid.seen_minor, paid.check_at) == ("mismatch", AMOUNT, None)
    assert (balance(alice), top_up_lists.mismatched()) == (0, 1)
    assert db.session.scalar(select(func.count()).select_from(SavedCard)) == 0
    desk = log_in(app.test_client(), admin)
    page = desk.get(f"/admin/top-ups/{opened.reference}").text
    assert "The account is deleted: nothing was credited." in page
    assert "Credit what was paid" not in page and "Close without credit" in page
    with pytest.raises(mismatches.Undecidable, match="deleted"):
        mismatches.accept(opened.reference, AMOUNT, "user:7", "x")
    assert mismatches.close(opened.reference, "user:7", "sent back at Paystack")
    assert (topups.settle(opened.reference).state, top_up_lists.mismatched()) == ("closed", 0)


def test_a_payment_and_a_deletion_at_once_leave_no_money_behind(app: Flask, alice: User, counter: Counter) -> None:
    reference, left, user_id = (
        topups.open_top_up(alice, AMOUNT, secrets.token_hex(16)).reference,
        balance(alice),
        alice.id,
    )
    counter.pay(reference, AMOUNT)
    at_once(
        app,
        lambda: deletion.delete(db.session.get_one(User, user_id), left),
        lambda: topups.settle(reference),
    )
    is_gone = db.session.get_one(User, user_id, populate_existing=True).deleted_at is not None
    state = topups.get_top_up(reference).state
    assert (is_gone, state, balance(alice)) in ((True, "mismatch", 0), (False, "paid", left + AMOUNT))
