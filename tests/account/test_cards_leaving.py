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
from namaskah.wallet import auto_topups, card_charges, card_deactivations, cards, events, low_balance, topups
from namaskah.wallet.card_models import AutoTopUp, CardDeactivation, LowBalanceLetter, SavedCard
from namaskah.wallet.models import GatewayEvent, TopUp
from tests.account.test_deletion import balance, tables_with
from tests.account.test_exports import made, rows, unpacked
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


def test_a_card_paid_for_after_the_account_is_gone_is_not_kept(app: Flask, alice: User, counter: Counter) -> None:
    opened = topups.open_top_up(alice, AMOUNT, secrets.token_hex(16), keep_card=True)
    deletion.delete(alice, balance(alice))
    counter.pay_by_card(opened.reference)
    assert topups.settle(opened.reference).state == "mismatch"
    assert balance(alice) == 0
    assert db.session.scalar(select(func.count()).select_from(SavedCard)) == 0
