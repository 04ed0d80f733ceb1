"""The letter about a low balance: once each time it falls below, to those who want it."""

import pytest
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import auto_topups, ledger, low_balance
from tests.support import give

from .carding import BELOW, kept_card, letters, spend_to, switched_on, turn_up
from .counter import Counter


@pytest.fixture
def told(payer: User, counter: Counter) -> User:
    """Has money, and wants to know when it is less than BELOW."""
    turn_up(payer, 3 * BELOW)
    low_balance.set_threshold(payer.id, BELOW)
    return payer


def test_one_letter_each_time_it_falls_below(told: User) -> None:
    assert low_balance.tell_due() == 0
    spend_to(told, BELOW - 1)
    assert (low_balance.tell_due(), low_balance.tell_due()) == (1, 0)
    spend_to(told, 0)
    assert low_balance.tell_due() == 0
    [letter] = letters(told)
    assert "Your wallet is low: ₦999.99" in letter["subject"] and "₦1,000" in letter["text"]
    assert "http://localhost/wallet/auto-top-up" in letter["html"]
    turn_up(told, 3 * BELOW)
    assert (low_balance.tell_due(), len(letters(told))) == (1, 1)
    spend_to(told, 0)
    assert (low_balance.tell_due(), len(letters(told))) == (1, 2)


def test_who_has_less_already_is_written_to_the_next_time(told: User) -> None:
    low_balance.set_threshold(told.id, 4 * BELOW)
    assert (low_balance.tell_due(), letters(told)) == (0, [])
    turn_up(told, BELOW)
    low_balance.tell_due()
    spend_to(told, 0)
    low_balance.tell_due()
    assert len(letters(told)) == 1


def test_who_does_not_want_it_any_more_gets_none(told: User) -> None:
    low_balance.set_threshold(told.id, None)
    spend_to(told, 0)
    assert (low_balance.tell_due(), letters(told), low_balance.threshold(told.id)) == (0, [], None)


def test_a_closed_account_gets_none(told: User) -> None:
    with transaction():
        db.session.execute(text("UPDATE users SET banned_at = now() WHERE id = :id"), {"id": told.id})
    spend_to(told, 0)
    low_balance.tell_due()
    assert letters(told) == []


def test_nothing_is_written_when_an_automatic_top_up_takes_care_of_it(told: User, counter: Counter) -> None:
    switched_on(told, kept_card(told, counter))
    spend_to(told, 0)
    assert low_balance.tell_due() == 0
    auto_topups.charge_due()
    assert low_balance.tell_due() == 0
    assert ["by itself" in letter["subject"] for letter in letters(told)] == [True]


def test_it_is_written_when_the_automatic_top_up_cannot_help(told: User, counter: Counter) -> None:
    switched_on(told, kept_card(told, counter), limit=250_000)
    for _ in range(2):
        spend_to(told, 0)
        with transaction():
            db.session.execute(text("UPDATE auto_top_ups SET due_at = now()"))
        auto_topups.charge_due()
    assert low_balance.tell_due() == 1
    assert "is low" in letters(told)[-1]["subject"]


def test_money_nobody_can_spend_does_not_count(told: User) -> None:
    with transaction():
        ledger.hold(told.id, "activation:1", 3 * BELOW - 1)
    assert low_balance.tell_due() == 1


def test_a_gift_that_can_be_spent_counts_until_it_runs_out(told: User) -> None:
    spend_to(told, 0)
    gift = give(told, 2 * BELOW)
    assert (low_balance.tell_due(), letters(told)) == (0, [])
    with transaction():
        db.session.execute(
            text("UPDATE promo_grants SET expires_at = now() - interval '1 second' WHERE id = :id"), {"id": gift.id}
        )
    assert (low_balance.tell_due(), len(letters(told))) == (1, 1)


def test_the_letter_names_what_can_be_spent_gifts_and_all(told: User) -> None:
    spend_to(told, 2 * BELOW)
    give(told, BELOW // 2)
    low_balance.set_threshold(told.id, 3 * BELOW)
    assert (low_balance.tell_due(), letters(told)) == (0, [])  # who has less already knows
    low_balance.set_threshold(told.id, 2 * BELOW)
    with transaction():
        ledger.hold(told.id, "activation:99", BELOW)
    give(told, BELOW // 4)
    assert low_balance.tell_due() == 1
    assert "₦1,750" in letters(told)[0]["subject"]
