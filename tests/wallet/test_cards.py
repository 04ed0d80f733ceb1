"""Cards: kept only when wanted and possible, charged once, removed for good."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select, text

from namaskah.auth import encryption
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.wallet import card_charges, card_deactivations, cards, topups
from namaskah.wallet.card_models import CardDeactivation, SavedCard
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import GatewayDown
from namaskah.wallet.paystack_cards import CardGateway, CardRefused
from tests.together import at_once

from .carding import AMOUNT, available, charged, kept_card, top_ups
from .counter import Counter
from .test_topups import aged


@pytest.fixture
def card(payer: User, counter: Counter) -> SavedCard:
    return kept_card(payer, counter)


def pay(user: User, card: SavedCard, key: str = "", amount: int = AMOUNT) -> TopUp:
    return card_charges.pay(user, card.id, amount, key or secrets.token_hex(16))


def opened(user: User, **more: Any) -> TopUp:
    return topups.open_top_up(user, AMOUNT, secrets.token_hex(16), **more)


def test_a_card_is_kept_when_its_owner_wants_it_once(payer: User, counter: Counter) -> None:
    first = kept_card(payer, counter)
    assert (cards.name(first), first.exp_month, first.exp_year, first.bank) == ("Visa ···· 4081", 12, 2030, "TEST BANK")
    assert first.email == payer.email
    assert cards.code_of(first) == counter.world.cards.authorize(payer.email).code
    assert kept_card(payer, counter).id == first.id
    assert len(cards.of_user(payer.id)) == 1


@pytest.mark.parametrize("left_behind", [{"reusable": False}, {}])
def test_nothing_is_kept_unless_ticked_and_reusable(payer: User, counter: Counter, left_behind: dict[str, Any]) -> None:
    top_up = opened(payer, keep_card=bool(left_behind))
    counter.pay_by_card(top_up.reference, **left_behind)
    assert topups.settle(top_up.reference).state == "paid"
    assert cards.of_user(payer.id) == []


def test_another_way_to_pay_leaves_nothing(payer: User, counter: Counter) -> None:
    top_up = opened(payer, keep_card=True)
    transaction_there = counter.transaction(top_up.reference)
    told = counter.world.cards.authorize(payer.email).as_told()
    assert counter.world.till.pay(transaction_there, AMOUNT, told, "bank_transfer")
    assert topups.settle(top_up.reference).state == "paid"
    assert cards.of_user(payer.id) == []


def test_the_code_lies_encrypted_and_nowhere_else(card: SavedCard, payer: User, counter: Counter) -> None:
    code = cards.code_of(card)
    assert encryption.decrypt(bytes(card.authorization_code or b""), f"card:{payer.id}").decode() == code
    with pytest.raises(encryption.Unreadable):
        encryption.decrypt(bytes(card.authorization_code or b""), f"card:{payer.id + 1}")
    names = db.session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    for name in names:
        found = text(f"SELECT count(*) FROM {name} t WHERE to_jsonb(t)::text LIKE :code")
        assert db.session.scalar(found, {"code": f"%{code}%"}) == 0, name
    assert code not in repr(card) and code not in repr(card_charges.gateway())


def test_one_press_pays_with_a_kept_card(card: SavedCard, payer: User, counter: Counter) -> None:
    paid = pay(payer, card)
    assert (paid.state, paid.origin, paid.card_id, paid.paid_minor) == ("paid", "card", card.id, AMOUNT)
    assert available(payer) == 2 * AMOUNT
    assert charged(counter) == 1


def test_the_same_form_twice_is_one_charge(app: Flask, card: SavedCard, payer: User, counter: Counter) -> None:
    user_id, card_id, key = payer.id, card.id, secrets.token_hex(16)

    def press() -> str:
        return card_charges.pay(db.session.get_one(User, user_id), card_id, AMOUNT, key).reference

    assert len(set(at_once(app, *[press] * 6))) == 1
    assert (counter.calls("charge"), charged(counter), available(payer)) == (1, 1, 2 * AMOUNT)
    with pytest.raises(topups.KeyUsed):
        pay(payer, card, key, AMOUNT + 100)


@pytest.mark.parametrize("fault", ["error_500_after", "reset_after", "cut_json_after"])
def test_a_charge_whose_answer_got_lost_is_credited_once(
    card: SavedCard, payer: User, counter: Counter, fault: str
) -> None:
    counter.breaks("charge", fault)
    assert pay(payer, card).state == "paid"
    assert (charged(counter), available(payer)) == (1, 2 * AMOUNT)


def test_a_no_to_the_second_try_is_not_believed(
    card: SavedCard, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try, of which we heard nothing, may have taken the money."""
    charge, tries = CardGateway.charge, iter((True, False))

    def breaks_off(self: CardGateway, *about: Any) -> str | None:
        if next(tries):
            charge(self, *about)
            raise GatewayDown("the answer got lost")
        raise CardRefused("no such authorization")

    monkeypatch.setattr(CardGateway, "charge", breaks_off)
    assert pay(payer, card).state == "paid"
    assert (charged(counter), available(payer)) == (1, 2 * AMOUNT)


def test_a_charge_that_never_arrived_is_asked_for_again_under_its_reference(
    card: SavedCard, payer: User, counter: Counter
) -> None:
    counter.breaks("charge", "reset")
    assert pay(payer, card).state == "paid"
    assert (charged(counter), counter.calls("charge")) == (1, 2)


def test_a_gateway_that_is_away_leaves_it_open_and_the_sweep_ends_it(
    card: SavedCard, payer: User, counter: Counter
) -> None:
    counter.breaks("*", "error_500", times=3)
    waiting = pay(payer, card)
    assert (waiting.state, waiting.checkout_url) == ("opened", None)
    assert topups.settle(waiting.reference).state == "opened"  # it may be on its way still
    aged(waiting.reference, "6 minutes")
    assert topups.sweep_due() == 1
    [gone] = top_ups(payer, "card")
    assert (gone.state, gone.gateway_status, charged(counter)) == ("failed", "not_opened", 0)
    assert gone.check_at is not None


def test_money_that_was_taken_after_all_is_found(card: SavedCard, payer: User, counter: Counter) -> None:
    counter.breaks("charge", "reset_after")
    counter.breaks("charge", "error_500")
    counter.breaks("verify", "error_500")
    waiting = pay(payer, card)
    assert (waiting.state, charged(counter), available(payer)) == ("opened", 1, AMOUNT)
    aged(waiting.reference, "6 minutes")
    assert topups.sweep_due() == 1
    assert available(payer) == 2 * AMOUNT


def test_a_bank_that_says_no_is_readable_and_takes_nothing(card: SavedCard, payer: User, counter: Counter) -> None:
    counter.breaks("charge", "declined")
    failed = pay(payer, card)
    assert (failed.state, failed.gateway_message) == ("failed", "Insufficient Funds")
    assert available(payer) == AMOUNT


def test_a_bank_that_wants_to_see_the_cardholder_gives_an_address(
    card: SavedCard, payer: User, counter: Counter
) -> None:
    counter.breaks("charge", "challenge")
    waiting = pay(payer, card)
    assert waiting.state == "opened" and waiting.checkout_url is not None
    counter.pay(waiting.reference)
    assert topups.settle(waiting.reference).state == "paid"
    assert available(payer) == 2 * AMOUNT


def test_an_address_that_got_lost_is_not_waited_for_in_vain(card: SavedCard, payer: User, counter: Counter) -> None:
    counter.breaks("charge", "challenge")
    waiting = pay(payer, card)
    with transaction():
        db.session.execute(text("UPDATE top_ups SET checkout_url = NULL WHERE id = :id"), {"id": waiting.id})
    assert topups.settle(waiting.reference).state == "pending"
    aged(waiting.reference, "11 minutes")
    assert topups.settle(waiting.reference).state == "abandoned"


def test_a_card_the_gateway_does_not_know_any_more_is_refused(card: SavedCard, payer: User, counter: Counter) -> None:
    assert counter.world.cards.deactivate(cards.code_of(card))
    refused = pay(payer, card)
    assert (refused.state, refused.gateway_status) == ("failed", "card_refused")
    assert refused.gateway_message == "Authorization code is invalid"


def test_a_wrong_key_of_ours_takes_nothing(
    app: Flask, card: SavedCard, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "PAYSTACK_SECRET_KEY", secrets.token_hex(8))
    assert pay(payer, card).gateway_status == "not_opened"


def test_what_cannot_be_charged_is_refused_before_anything_is_written(
    app: Flask, card: SavedCard, payer: User, new_user: Callable[[], User], counter: Counter
) -> None:
    with pytest.raises(cards.CardGone):
        pay(new_user(), card)
    with pytest.raises(UserError):
        pay(payer, card, amount=100)
    with transaction():
        db.session.execute(text("UPDATE saved_cards SET exp_year = 2020"))
    with pytest.raises(UserError, match="expired"):
        pay(payer, card)
    cards.remove(payer.id, card.id)
    with pytest.raises(cards.CardGone):
        pay(payer, card)
    assert (top_ups(payer, "card"), counter.calls("charge")) == ([], 0)


def test_a_removed_card_is_forgotten_here_and_at_the_gateway(card: SavedCard, payer: User, counter: Counter) -> None:
    code = cards.code_of(card)
    cards.remove(payer.id, card.id)
    gone = db.session.get_one(SavedCard, card.id, populate_existing=True)
    assert (gone.authorization_code, gone.email) == (None, None) and gone.removed_at is not None
    with pytest.raises(cards.CardGone):
        cards.remove(payer.id, card.id)
    counter.breaks("deactivate", "error_500")
    assert card_deactivations.deactivate_due() == 0
    assert counter.world.cards.find(code) is not None
    with transaction():
        db.session.execute(text("UPDATE card_deactivations SET due_at = now()"))
    assert card_deactivations.deactivate_due() == 1
    assert counter.world.cards.find(code) is None
    assert db.session.scalar(select(func.count(CardDeactivation.id))) == 0


def test_a_card_that_the_gateway_has_forgotten_already_is_done(card: SavedCard, payer: User, counter: Counter) -> None:
    assert counter.world.cards.deactivate(cards.code_of(card))
    cards.remove(payer.id, card.id)
    assert card_deactivations.deactivate_due() == 1
    assert card_deactivations.deactivate_due() == 0


def test_a_card_that_is_kept_again_is_not_forgotten(card: SavedCard, payer: User, counter: Counter) -> None:
    cards.remove(payer.id, card.id)
    again = kept_card(payer, counter)
    assert again.id != card.id
    assert card_deactivations.deactivate_due() == 0
    assert pay(payer, again).state == "paid"


def test_a_new_code_of_the_same_card_takes_the_place_of_the_old_one(
    card: SavedCard, payer: User, counter: Counter
) -> None:
    old = cards.code_of(card)
    counter.world.cards.find(old).exp_year = "2029"  # type: ignore[union-attr]
    again = kept_card(payer, counter, exp_year="2031")
    assert (again.id, again.exp_year) == (card.id, 2031)
    assert cards.code_of(again) != old
    assert card_deactivations.deactivate_due() == 1
    assert counter.world.cards.find(old) is None
    assert pay(payer, again).state == "paid"


def test_a_lost_key_stands_in_the_way_of_no_credit(card: SavedCard, payer: User, counter: Counter) -> None:
    with transaction():
        db.session.execute(text("UPDATE saved_cards SET authorization_code = 'unreadable'"))
    assert pay(payer, card).gateway_status == "card_refused"
    assert cards.code_of(kept_card(payer, counter)) == counter.world.cards.authorize(payer.email).code
    assert available(payer) == 2 * AMOUNT


def test_what_was_given_up_meanwhile_is_not_charged_any_more(card: SavedCard, payer: User, counter: Counter) -> None:
    counter.breaks("*", "error_500", times=3)
    slow = pay(payer, card)
    aged(slow.reference, "6 minutes")
    assert topups.settle(slow.reference).state == "failed"
    assert card_charges.charge(slow.reference).state == "failed"
    assert charged(counter) == 0


def test_codes_come_under_the_newest_key(
    app: Flask, card: SavedCard, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, old = cards.code_of(card), app.config["SECRET_KEY"]
    monkeypatch.setitem(app.config, "SECRET_KEY", secrets.token_hex(32))
    monkeypatch.setitem(app.config, "SECRET_KEYS_OLD", (old,))
    assert (cards.reencrypt(), cards.reencrypt()) == (1, 0)
    monkeypatch.setitem(app.config, "SECRET_KEYS_OLD", ())
    assert cards.code_of(cards.get(payer.id, card.id)) == code
