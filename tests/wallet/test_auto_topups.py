"""Automatic top-ups: exactly one charge when a wallet runs low, within the day's limit, off after a definite no."""

import secrets
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.errors import UserError
from namaskah.wallet import auto_topups, auto_wishes, card_charges, cards, debts, ledger, statement, topups
from namaskah.wallet.card_models import SavedCard
from namaskah.wallet.dispute_booking import set_aside
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.models import TopUp
from tests.support import give, make_receipt
from tests.together import at_once

from .carding import (
    AMOUNT,
    BELOW,
    available,
    charged,
    due_now,
    kept_card,
    letters,
    spend_to,
    switched_on,
    top_ups,
    wish,
)
from .counter import Counter
from .test_topups import aged


@pytest.fixture
def card(payer: User, counter: Counter) -> SavedCard:
    return kept_card(payer, counter)


@pytest.fixture
def low(payer: User, card: SavedCard) -> User:
    """Has it on, and less than the threshold."""
    switched_on(payer, card)
    spend_to(payer, BELOW - 1)
    return payer


def turn(user: User) -> int:
    due_now(user)
    return auto_topups.charge_due()


def test_nothing_is_charged_at_the_threshold_and_once_below_it(payer: User, card: SavedCard, counter: Counter) -> None:
    switched_on(payer, card)
    spend_to(payer, BELOW)
    assert auto_topups.charge_due() == 0
    spend_to(payer, BELOW - 1)
    assert auto_topups.charge_due() == 1
    assert turn(payer) == 0
    [paid] = top_ups(payer, "auto")
    assert (paid.state, paid.amount_minor, paid.card_id, charged(counter)) == ("paid", AMOUNT, card.id, 1)
    assert available(payer) == BELOW - 1 + AMOUNT


def test_the_letter_says_that_it_was_automatic_and_how_it_stops(low: User) -> None:
    with transaction():
        db.session.get_one(User, low.id).receipt_letters = False  # this one comes all the same
    auto_topups.charge_due()
    [letter] = letters(low)
    assert "by itself" in letter["subject"]
    for part in ("₦2,500", "Visa ···· 4081", "http://localhost/wallet/cards", "/wallet/invoices/NK-", "automatic"):
        assert part in letter["text"] and part in letter["html"], part


def test_the_statement_names_it(low: User, card: SavedCard) -> None:
    auto_topups.charge_due()
    card_charges.pay(low, card.id, AMOUNT, secrets.token_hex(16))
    rows = statement.statement(low.id, show="in").rows
    assert [row.text for row in rows] == ["Top-up with a kept card", "Automatic top-up", "Top-up"]
    assert all(row.receipt for row in rows)


def test_two_workers_at_once_charge_once(app: Flask, low: User, counter: Counter) -> None:
    at_once(app, *[auto_topups.charge_due] * 4)
    assert (charged(counter), len(top_ups(low, "auto"))) == (1, 1)
    assert available(low) == BELOW - 1 + AMOUNT


def test_turns_that_overlap_charge_once(app: Flask, low: User, counter: Counter) -> None:
    """As if every claim had failed to keep the others out."""
    user_id = low.id
    counter.breaks("charge", "slow", times=1, seconds=0.2)
    results = at_once(app, *[lambda: auto_topups._take_turn(user_id)] * 4)
    assert not [result for result in results if isinstance(result, Exception)]
    assert (charged(counter), len(top_ups(low, "auto"))) == (1, 1)
    assert available(low) == BELOW - 1 + AMOUNT


def test_the_database_allows_one_under_way(low: User) -> None:
    def begin() -> None:
        with transaction():
            topups.record(low.id, AMOUNT, secrets.token_hex(16), origin="auto")

    begin()
    with pytest.raises(IntegrityError) as refused:
        begin()
    assert violated(refused.value) == "uq_top_ups_auto_under_way"


def test_the_days_limit_holds_and_ends_with_the_day(low: User, counter: Counter) -> None:
    for _ in range(4):
        turn(low)
        spend_to(low, 0)
    assert (charged(counter), wish(low).waits_for) == (2, "limit")  # of 6,000 a day, 2,500 each
    with transaction():
        db.session.execute(text("UPDATE top_ups SET created_at = created_at - interval '25 hours'"))
    assert turn(low) == 1
    assert (charged(counter), wish(low).waits_for) == (3, "")


def test_there_is_a_most_a_day_whatever_the_amounts(payer: User, card: SavedCard, counter: Counter) -> None:
    switched_on(payer, card, amount=BELOW, limit=BELOW * 100)
    for _ in range(auto_topups.MOST_A_DAY + 2):
        spend_to(payer, 0)
        turn(payer)
    assert charged(counter) == auto_topups.MOST_A_DAY
    assert wish(payer).waits_for == "limit"


def test_a_bank_that_says_no_switches_it_off_with_a_letter(low: User, counter: Counter) -> None:
    counter.breaks("charge", "declined")
    assert auto_topups.charge_due() == 1
    off = wish(low)
    assert (off.is_on, off.off_reason, off.off_detail) == (False, "failed", "Insufficient Funds")
    [letter] = letters(low)
    [failed] = top_ups(low, "auto")
    assert "switched off" in letter["subject"]
    for part in ("Insufficient Funds", "Nothing was taken", f"/wallet/top-ups/{failed.reference}", "/wallet/auto-top"):
        assert part in letter["text"] and part in letter["html"], part
    assert turn(low) == 0
    assert available(low) == BELOW - 1
    for _ in range(2):
        topups.settle(failed.reference)
    assert len(letters(low)) == 1


def test_a_challenge_switches_it_off_and_leads_to_the_payment(low: User, card: SavedCard, counter: Counter) -> None:
    counter.breaks("charge", "challenge")
    auto_topups.charge_due()
    [waiting] = top_ups(low, "auto")
    assert (wish(low).off_reason, waiting.state) == ("challenge", "abandoned")
    assert waiting.checkout_url is not None
    [letter] = letters(low)
    assert "Confirm this payment yourself" in letter["text"] and waiting.reference in letter["html"]
    switched_on(low, card)  # the one that waits for its payer is in nobody's way
    assert turn(low) == 1
    counter.pay(waiting.reference)
    assert topups.settle(waiting.reference).state == "paid"
    assert available(low) == BELOW - 1 + 2 * AMOUNT


def test_a_card_the_gateway_refuses_switches_it_off(low: User, card: SavedCard, counter: Counter) -> None:
    assert counter.world.cards.deactivate(cards.code_of(card))
    auto_topups.charge_due()
    assert (wish(low).is_on, wish(low).off_reason, len(letters(low))) == (False, "refused", 1)


def test_a_bank_that_takes_its_time_is_waited_for(low: User, counter: Counter) -> None:
    counter.breaks("charge", "undecided")
    for _ in range(3):
        turn(low)
    [pending] = top_ups(low, "auto")
    assert (pending.state, wish(low).is_on, counter.calls("charge"), letters(low)) == ("pending", True, 1, [])
    counter.pay(pending.reference)
    assert topups.settle(pending.reference).state == "paid"
    assert available(low) == BELOW - 1 + AMOUNT


def test_a_gateway_that_is_away_switches_nothing_off(low: User, counter: Counter) -> None:
    counter.breaks("*", "error_500", times=0)
    for _ in range(3):
        turn(low)
    [waiting] = top_ups(low, "auto")
    assert (waiting.state, wish(low).is_on, wish(low).waits_for, letters(low)) == ("opened", True, "gateway", [])
    counter.world.faults.remove()
    assert turn(low) == 1
    assert [found.reference for found in top_ups(low, "auto")] == [waiting.reference]
    assert (charged(counter), available(low)) == (1, BELOW - 1 + AMOUNT)


def test_after_a_long_time_away_it_begins_anew(low: User, counter: Counter) -> None:
    counter.breaks("*", "error_500", times=0)
    turn(low)
    counter.world.faults.remove()
    [waiting] = top_ups(low, "auto")
    aged(waiting.reference, "3 hours")
    turn(low)
    [given_up] = top_ups(low, "auto")
    assert (given_up.state, given_up.gateway_status, wish(low).is_on) == ("failed", "not_opened", True)
    assert auto_topups.charge_due() == 0  # not at once: the first may be on its way still
    assert turn(low) == 1
    assert (charged(counter), available(low)) == (1, BELOW - 1 + AMOUNT)


def test_a_wrong_key_of_ours_says_nothing_about_the_card(
    app: Flask, low: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as wrong:
        wrong.setitem(app.config, "PAYSTACK_SECRET_KEY", secrets.token_hex(8))
        turn(low)
    assert (wish(low).is_on, wish(low).waits_for) == (True, "gateway")
    turn(low)
    assert charged(counter) == 1


@pytest.mark.parametrize("fault", ["error_500_after", "reset_after"])
def test_a_lost_answer_is_settled_by_verify(low: User, counter: Counter, fault: str) -> None:
    counter.breaks("charge", fault)
    auto_topups.charge_due()
    assert (charged(counter), available(low)) == (1, BELOW - 1 + AMOUNT)


class Killed(BaseException):
    """The worker is gone."""


@pytest.mark.parametrize("where", ["before the charge", "after the charge"])
def test_a_worker_killed_on_the_way_charges_once(
    low: User, counter: Counter, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def kill(*_args: object, **_more: object) -> None:
        raise Killed

    with monkeypatch.context() as cut:
        if where == "before the charge":
            cut.setattr(card_charges, "charge", kill)
        else:
            cut.setattr(card_charges, "_settled", kill)
        with pytest.raises(Killed):
            auto_topups.charge_due()
    [begun] = top_ups(low, "auto")
    assert begun.state == "opened"
    assert turn(low) == 1
    assert [found.reference for found in top_ups(low, "auto")] == [begun.reference]
    assert (charged(counter), available(low)) == (1, BELOW - 1 + AMOUNT)


def test_the_sweep_alone_settles_what_a_killed_worker_charged(
    low: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(_reference: str) -> TopUp:
        raise Killed

    with monkeypatch.context() as cut, pytest.raises(Killed):
        cut.setattr(card_charges, "_settled", kill)
        auto_topups.charge_due()
    [begun] = top_ups(low, "auto")
    aged(begun.reference, "2 minutes")
    assert topups.sweep_due() == 1
    assert turn(low) == 0
    assert (charged(counter), len(letters(low)), available(low)) == (1, 1, BELOW - 1 + AMOUNT)


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        ("banned_at = now()", "account"),
        ("email_verified_at = NULL", "account"),
        ("policy_version = '2000-01-01'", "account"),
    ],
)
def test_a_closed_account_is_charged_nothing(low: User, counter: Counter, change: str, waits: str) -> None:
    with transaction():
        db.session.execute(text(f"UPDATE users SET {change} WHERE id = :id"), {"id": low.id})
    auto_topups.charge_due()
    assert (wish(low).waits_for, counter.calls("charge"), top_ups(low, "auto")) == (waits, 0, [])


def test_whoever_owes_us_money_is_charged_nothing(low: User, counter: Counter) -> None:
    top_up = make_receipt(low).top_up
    with transaction():
        ledger.adjust(low.id, "spent", -(top_up.paid_minor or 0), "test", "spent since")
        about = {"top_up_id": top_up.id, "user_id": low.id, "currency": "NGN", "claimed_minor": top_up.paid_minor}
        dispute = Dispute(
            gateway_id="7", state="pending", amount_minor=top_up.paid_minor, debt_minor=0, round=1, **about
        )
        db.session.add(dispute)
        set_aside(dispute)
    assert debts.owed_minor(low.id) > 0
    auto_topups.charge_due()
    assert (wish(low).waits_for, counter.calls("charge")) == ("debt", 0)


def test_an_expired_card_is_not_charged(low: User, counter: Counter) -> None:
    with transaction():
        db.session.execute(text("UPDATE saved_cards SET exp_year = 2025"))
    auto_topups.charge_due()
    assert (wish(low).off_reason, counter.calls("charge")) == ("expired", 0)
    assert "expired" in letters(low)[0]["text"]


def test_a_removed_card_switches_it_off_without_a_letter(low: User, card: SavedCard, counter: Counter) -> None:
    cards.remove(low.id, card.id)
    assert (wish(low).off_reason, auto_topups.charge_due(), letters(low)) == ("card_removed", 0, [])


def test_switched_off_is_off(low: User, counter: Counter) -> None:
    auto_wishes.switch_off(low.id)
    auto_wishes.switch_off(low.id)
    assert (wish(low).is_on, wish(low).off_reason, auto_topups.charge_due()) == (False, "", 0)


def test_amounts_that_do_not_fit_together_are_refused(
    payer: User, card: SavedCard, new_user: Callable[[], User]
) -> None:
    for below, amount, limit in ((0, AMOUNT, AMOUNT), (AMOUNT + 1, AMOUNT, AMOUNT), (BELOW, AMOUNT, AMOUNT - 1)):
        with pytest.raises(UserError):
            switched_on(payer, card, below, amount, limit)
    with pytest.raises(UserError):
        switched_on(payer, card, 100, 100, 100)
    with pytest.raises(cards.CardGone):
        switched_on(new_user(), card)
    assert auto_wishes.of_user(payer.id) is None


def test_a_gift_that_can_be_spent_spares_the_card(low: User, counter: Counter) -> None:
    give(low, AMOUNT)
    assert (auto_topups.charge_due(), charged(counter)) == (0, 0)
    with transaction():  # as if it had been claimed before the gift came
        db.session.execute(text("UPDATE promo_grants SET expires_at = now() - interval '1 second'"))
    assert (auto_topups.charge_due(), charged(counter)) == (1, 1)


def test_a_gift_that_comes_after_the_claim_spares_the_card_too(low: User, counter: Counter) -> None:
    give(low, AMOUNT)
    auto_topups._take_turn(low.id)
    assert (charged(counter), top_ups(low, "auto")) == (0, [])


def test_a_late_word_on_one_given_up_waits_until_its_successor_is_over(
    low: User, card: SavedCard, counter: Counter
) -> None:
    """The gateway hears of the first so late that the second is under way: one is, and the sweep goes on."""
    references = []
    for _ in range(2):
        with transaction():
            one, _new = topups.record(low.id, AMOUNT, secrets.token_hex(16), origin="auto", card_id=card.id)
        references.append(one.reference)
        if len(references) == 1:
            topups.give_up(one.reference, auto_wishes.NOT_OPENED, "not heard of")
    first, second = references
    asked = {"reference": first, "email": low.email, "amount": AMOUNT, "currency": "NGN"}
    counter.world.till.wait(counter.world.till.initialize(asked))
    assert [topups.settle(first).state for _ in range(2)] == ["failed", "failed"]
    assert topups.get_top_up(first).gateway_status == auto_wishes.NOT_OPENED  # it still counts for the day
    counter.pay(first)
    assert topups.settle(first).state == "paid"  # money is never left waiting
    assert topups.get_top_up(second).state == "opened"
