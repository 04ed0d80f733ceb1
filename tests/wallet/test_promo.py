"""Gifts: spent first, given back where they came from, gone on their day, and never anybody's money but the house's."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from flask import Flask
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError

from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.wallet import ledger, promo, promo_spending
from namaskah.wallet.currencies import CURRENCIES
from namaskah.wallet.ledger import InsufficientFunds, UnknownHold
from namaskah.wallet.models import LedgerTransaction
from namaskah.wallet.promo_models import PromoGrant, PromoPart
from tests.support import give
from tests.together import at_once

Funded = Callable[[int], User]


def new_reference() -> str:
    return f"activation:{secrets.token_hex(6)}"


def hold(user: User, amount: int, reference: str | None = None) -> str:
    reference = reference or new_reference()
    user_id = user.id
    with transaction():
        ledger.hold(user_id, reference, amount)
    return reference


def release(user: User, reference: str, amount: int) -> bool:
    user_id = user.id
    with transaction():
        return ledger.release(user_id, reference, amount, note="no_code")


def capture(user: User, reference: str, amount: int) -> bool:
    user_id = user.id
    with transaction():
        return ledger.capture(user_id, reference, amount)


def refund(user: User, reference: str, amount: int) -> bool:
    user_id = user.id
    with transaction():
        return ledger.refund(user_id, reference, amount, "admin", "complaint")


def wallet(user: User) -> tuple[int, int, int]:
    """The own money, gifts that can be spent, what is held."""
    db.session.rollback()
    found = ledger.balance(user.id)
    return found.available_minor, found.promo_minor, found.held_minor


def fresh(gift: PromoGrant) -> PromoGrant:
    db.session.rollback()
    return db.session.get_one(PromoGrant, gift.id, populate_existing=True)


def run_out(gift: PromoGrant, ago: timedelta = timedelta(seconds=1)) -> None:
    """Its time is over."""
    with transaction():
        fresh_one = db.session.get_one(PromoGrant, gift.id, populate_existing=True)
        fresh_one.expires_at = datetime.now(UTC) - ago


def test_a_gift_is_a_booking_of_the_house_and_given_once(payer: User) -> None:
    until = datetime.now(UTC) + timedelta(days=3)
    made = []
    for _time in range(2):
        with transaction():
            made.append(promo.grant(payer.id, "operator", "test:once", 700, until, actor="admin", note="sorry"))
    assert made[0] is not None and made[1] is None
    assert wallet(payer) == (0, 700, 0)
    assert ledger.balance(payer.id).promo_until == until
    assert ledger.balance(payer.id).spendable_minor == 700
    booked = db.session.scalars(select(LedgerTransaction).filter_by(kind="promo_granted")).one()
    assert (booked.reference, booked.actor, booked.note) == (f"promo_grant:{made[0].id}", "admin", "sorry")


def test_gifts_go_first_those_that_end_first_before_others_and_then_the_own_money(funded: Funded) -> None:
    user = funded(1_000)
    late, soon = give(user, 300, days=20), give(user, 200, days=2)
    hold(user, 100)
    assert (fresh(soon).left_minor, fresh(late).left_minor) == (100, 300)
    reference = hold(user, 350)
    assert (fresh(soon).left_minor, fresh(late).left_minor) == (0, 50)
    assert wallet(user) == (1_000, 50, 450)
    last = hold(user, 400)
    assert wallet(user) == (650, 0, 850)
    parts = db.session.scalars(select(PromoPart).filter_by(reference=reference).order_by(PromoPart.amount_minor)).all()
    assert [(part.grant_id, part.amount_minor) for part in parts] == [(soon.id, 100), (late.id, 250)]
    assert db.session.scalar(select(func.count()).where(PromoPart.reference == last)) == 1


def test_more_than_both_together_is_refused_and_takes_nothing(funded: Funded) -> None:
    user = funded(100)
    gift = give(user, 200)
    with pytest.raises(InsufficientFunds):
        hold(user, 301)
    assert (wallet(user), fresh(gift).left_minor) == ((100, 200, 0), 200)
    assert db.session.scalar(select(func.count()).select_from(PromoPart)) == 0
    hold(user, 300)
    assert wallet(user) == (0, 0, 300)


def test_a_gift_whose_time_is_over_is_not_spent(funded: Funded) -> None:
    user = funded(100)
    gift = give(user, 200)
    run_out(gift)
    with pytest.raises(InsufficientFunds):
        hold(user, 101)
    assert wallet(user) == (100, 0, 0)


def test_the_same_hold_twice_takes_from_gifts_once(funded: Funded) -> None:
    user = funded(100)
    give(user, 200)
    reference = hold(user, 150)
    hold(user, 150, reference)
    assert wallet(user) == (100, 50, 150)


def test_what_is_released_goes_back_to_where_it_came_from(funded: Funded) -> None:
    user = funded(1_000)
    soon, late = give(user, 200, days=2), give(user, 300, days=20)
    reference = hold(user, 600)
    assert [release(user, reference, 600) for _time in range(2)] == [True, False]
    assert wallet(user) == (1_000, 500, 0)
    assert (fresh(soon).left_minor, fresh(late).left_minor) == (200, 300)
    with pytest.raises(UnknownHold):
        capture(user, reference, 600)


def test_captured_is_both_parts_for_good(funded: Funded) -> None:
    user = funded(1_000)
    gift = give(user, 200)
    reference = hold(user, 600)
    assert [capture(user, reference, 600) for _time in range(2)] == [True, False]
    assert wallet(user) == (600, 0, 0)
    run_out(gift)
    assert promo.expire_due() == 0, "nothing of it is left to run out"


def test_a_gift_that_ran_out_during_the_purchase_is_good_for_some_hours_more_once(funded: Funded) -> None:
    user = funded(0)
    gift = give(user, 400)
    reference = hold(user, 300)
    run_out(gift)
    assert promo.expire_due() == 1
    assert (fresh(gift).left_minor, fresh(gift).expired_minor) == (0, 100)
    release(user, reference, 300)
    assert wallet(user) == (0, 300, 0)
    left = fresh(gift).expires_at - datetime.now(UTC)
    assert promo_spending.GRACE - timedelta(minutes=1) < left <= promo_spending.GRACE
    # Buying and cancelling again makes it no longer.
    again = hold(user, 300)
    run_out(gift)
    release(user, again, 300)
    assert wallet(user) == (0, 0, 0)
    assert promo.expire_due() == 1
    assert (fresh(gift).left_minor, fresh(gift).expired_minor) == (0, 400)


def test_a_refund_gives_the_own_money_and_new_gifts_that_last_some_days_at_least(funded: Funded) -> None:
    user = funded(1_000)
    soon, late = give(user, 200, days=2), give(user, 300, days=20)
    reference = hold(user, 600)
    with pytest.raises(UnknownHold):
        refund(user, reference, 600)
    capture(user, reference, 600)
    with pytest.raises(UnknownHold):
        refund(user, reference, 599)
    assert [refund(user, reference, 600) for _time in range(2)] == [True, False]
    assert wallet(user) == (1_000, 500, 0)
    first, second = promo.gifts(user.id)
    assert (first.source, first.amount_minor, second.amount_minor) == ("refund", 200, 300)
    assert first.expires_at - datetime.now(UTC) > promo_spending.AFTER_REFUND - timedelta(minutes=1)
    assert second.expires_at == fresh(late).expires_at
    assert (fresh(soon).left_minor, fresh(late).left_minor) == (0, 0)


def test_a_correction_takes_no_gift(funded: Funded) -> None:
    user = funded(100)
    give(user, 200)
    with pytest.raises(InsufficientFunds), transaction():
        ledger.adjust(user.id, new_reference(), -101, "admin", "mistake")
    assert wallet(user) == (100, 200, 0)


def test_what_is_left_runs_out_once(payer: User) -> None:
    due, other = give(payer, 700), give(payer, 50)
    run_out(due)
    assert [promo.expire_due(), promo.expire_due()] == [1, 0]
    assert wallet(payer) == (0, 50, 0)
    assert (fresh(due).left_minor, fresh(due).expired_minor, fresh(other).left_minor) == (0, 700, 50)


def test_two_purchases_at_once_share_the_last_of_a_gift_out(app: Flask, funded: Funded) -> None:
    user = funded(400)
    gift = give(user, 400)
    ends = at_once(app, *[lambda: hold(user, 400)] * 6)
    assert sum(isinstance(end, str) for end in ends) == 2
    assert sum(isinstance(end, InsufficientFunds) for end in ends) == 4
    assert (wallet(user), fresh(gift).left_minor) == ((0, 0, 800), 0)


def test_a_gift_for_one_is_spent_once(app: Flask, payer: User) -> None:
    give(payer, 400)
    ends = at_once(app, *[lambda: hold(payer, 400)] * 6)
    assert sum(isinstance(end, str) for end in ends) == 1
    assert wallet(payer) == (0, 0, 400)


def test_running_out_and_a_purchase_at_the_same_moment(app: Flask, payer: User) -> None:
    for _time in range(4):
        gift = give(payer, 400)
        reference = hold(payer, 100)
        run_out(gift)
        back = partial(release, payer, reference, 100)
        swept, also, bought, _released = at_once(
            app, promo.expire_due, promo.expire_due, lambda: hold(payer, 300), back
        )
        # The release may come first and give the gift its grace: then the purchase may have it, and no sweep.
        assert isinstance(bought, str | InsufficientFunds)
        assert (swept, also) in {(0, 0), (0, 1), (1, 0), (1, 1)}
        if isinstance(bought, str):
            release(payer, bought, 300)
        run_out(gift)
        promo.expire_due()
        assert (fresh(gift).left_minor, fresh(gift).expired_minor) == (0, 400)


def test_one_letter_goes_out_before_a_gift_with_something_left_runs_out(app: Flask, payer: User) -> None:
    worth, small, far = give(payer, 50_000), give(payer, promo.worth_a_letter() - 1), give(payer, 50_000, days=40)
    short = give(payer, 50_000, days=2)  # known to be short from the beginning
    with transaction():
        db.session.execute(
            text("UPDATE promo_grants SET expires_at = now() + interval '2 days',"
                 " created_at = now() - interval '9 days' WHERE id IN (:worth, :small)"),
            {"worth": worth.id, "small": small.id},
        )  # fmt: skip
    assert [promo.remind_due(), promo.remind_due()] == [1, 0]
    assert fresh(worth).reminded_at is not None
    assert not any(fresh(gift).reminded_at for gift in (small, far, short))
    [letter] = db.session.scalars(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'send_mail'"))
    assert letter["subject"] == "Your gift of ₦500 ends soon"
    assert "₦500 is left" in letter["text"]


def test_what_is_worth_a_letter_suits_the_currency(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand kobo are little, ten thousand cents are more than most gifts."""
    assert promo.worth_a_letter() == 10_000
    monkeypatch.setitem(app.config, "TOP_UP_MIN_MINOR", CURRENCIES["USD"].top_up_min_minor)
    assert promo.worth_a_letter() == 40


NOT_BOOKED = "promo_left_is_in_the_ledger"
REFUSED = [
    ("UPDATE promo_grants SET left_minor = left_minor + 1 WHERE left_minor < amount_minor", NOT_BOOKED),
    ("UPDATE promo_grants SET left_minor = -1", "ck_promo_grants_amounts"),
    ("UPDATE promo_grants SET left_minor = amount_minor + 1", "ck_promo_grants_amounts"),
    ("DELETE FROM promo_grants", "promo_append_only"),
    ("TRUNCATE promo_grants CASCADE", "promo_append_only"),
    ("UPDATE promo_parts SET amount_minor = 1", "promo_append_only"),
    ("DELETE FROM promo_parts", "promo_append_only"),
    ("TRUNCATE promo_parts", "promo_append_only"),
    ("INSERT INTO promo_grants (user_id, source, reference, currency, amount_minor, left_minor, expires_at)"
     " SELECT user_id, 'operator', 'twice', currency, 5, 5, expires_at FROM promo_grants", NOT_BOOKED),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "constraint"), REFUSED)
def test_postgresql_refuses(payer: User, statement: str, constraint: str) -> None:
    give(payer, 400)
    hold(payer, 300)
    with pytest.raises(DBAPIError) as refused, transaction():
        db.session.execute(text(statement))
    assert violated(refused.value) == constraint  # type: ignore[arg-type]
    assert wallet(payer) == (0, 100, 300)


def test_an_account_that_is_gone_is_given_nothing(payer: User) -> None:
    with transaction():
        db.session.get_one(User, payer.id).deleted_at = datetime.now(UTC)
    with pytest.raises(promo.NotGiven):
        give(payer, 100)


def test_the_demo_customer_has_a_gift(app: Flask) -> None:
    assert app.test_cli_runner().invoke(args=["demo", "accounts"]).exit_code == 0
    db.session.rollback()
    [gift] = db.session.scalars(select(PromoGrant)).all()
    assert (gift.left_minor, ledger.balance(gift.user_id).spendable_minor) == (30_000, 530_000)
