"""Buying with a gift: it goes first, comes back whole, and every page counts it as money that can be spent."""

import re

import pytest
from flask.testing import FlaskClient

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.numbers import activations, closing, presenting
from namaskah.providers.base import Sms
from namaskah.wallet import ledger, statement
from tests.numbers import shop
from tests.support import Control, give, log_in, make_user


def money(user: User) -> tuple[int, int, int]:
    db.session.rollback()
    found = ledger.balance(user.id)
    return found.available_minor, found.promo_minor, found.held_minor


@pytest.fixture(autouse=True)
def one_provider(app: object) -> None:
    shop.only("fivesim")


def test_a_gift_alone_buys_a_number_and_the_code_takes_it(control: Control) -> None:
    user = make_user("gifted@example.com")
    give(user, 500_000)
    bought = shop.buy(user)
    price = bought.price_minor
    assert (bought.state, money(user)) == ("waiting", (0, 500_000 - price, price))
    activations.receive(bought.id, [Sms("482913", "482913", "WhatsApp")])
    assert money(user) == (0, 500_000 - price, 0)
    assert statement.statement(user.id).rows == []
    assert [row.kind for row in statement.statement(user.id, "gifts").rows] == ["hold", "promo_granted"]


def test_both_parts_come_back_when_the_customer_cancels(alice: User, control: Control) -> None:
    control.settings(early_cancel_seconds=0)
    give(alice, 1_000)
    bought = shop.buy(alice)
    price = bought.price_minor
    assert money(alice) == (1_000_000 - price + 1_000, 0, price)
    view = presenting.present(bought)
    assert (view.balance_before_minor, view.balance_after_minor) == (1_001_000, 1_001_000 - price)
    closing.cancel(bought, "customer_cancelled")
    shop.later(200)
    shop.work()
    assert money(alice) == (1_000_000, 1_000, 0)
    view = presenting.present(shop.fresh(bought))
    assert (view.balance_before_minor, view.balance_after_minor) == (1_001_000 - price, 1_001_000)


def test_a_balance_is_told_only_as_long_as_it_came_of_this_number(alice: User, control: Control) -> None:
    control.settings(early_cancel_seconds=0)
    first = shop.buy(alice)
    closing.cancel(first, "number_used", replace=True)
    shop.later(200)
    shop.work()
    assert shop.fresh(first).state == "cancelled"
    replacement = closing.find_replacement(first)
    assert replacement is not None
    assert replacement.state == "waiting"
    old, new = presenting.present(shop.fresh(first)), presenting.present(replacement)
    # From the balance of now one would reckon that there were 1,000,000 less the price twice; there never were.
    assert (old.balance_before_minor, old.balance_after_minor) == (None, None)
    assert (new.balance_before_minor, new.balance_after_minor) == (1_000_000, 1_000_000 - replacement.price_minor)
    give(alice, 500)
    assert presenting.present(replacement).balance_after_minor is None


def test_what_is_missing_is_what_gift_and_own_money_do_not_cover(control: Control) -> None:
    user = make_user("nearly@example.com", money=500)
    give(user, 700)
    with pytest.raises(activations.NotEnoughMoney) as refusal:
        shop.buy(user)
    price = min(offer.price_minor for offer in shop.activations.routing.routes("whatsapp", "NG", "any"))
    assert refusal.value.details == {"missing_minor": price - 1_200}
    assert money(user) == (500, 700, 0)


def test_every_page_counts_the_gift_as_money_that_can_be_spent(client: FlaskClient) -> None:
    user = make_user("gifted@example.com", money=100_000)
    give(user, 400_000)
    browser = log_in(client, user)
    page = browser.get("/numbers?service=whatsapp&country=NG").text
    chip = re.search(r'id="wallet-chip".*?</a>', page, re.DOTALL)
    assert chip and "₦5,000" in chip.group()
    assert "<del>" in page and re.search(r"<del>.*?₦5,000", page)
    assert "short" not in page
    assert re.search(r"₦4,000</span> of it is a gift; use it before", page)
    other = log_in(client.application.test_client(), make_user("plain@example.com", money=500_000))
    assert "of it is a gift" not in other.get("/numbers?service=whatsapp&country=NG").text
