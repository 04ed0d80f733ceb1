"""No code: each way it can end, with its sentence about the money, its line in the statement and the balance."""

import re

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers.models import Activation
from tests.browser.stand import Stand, Visit, buy_number, statement_lines


@pytest.fixture
def buyer(stand: Stand) -> User:
    return stand.person(money=1_000_000)


@pytest.fixture
def page(visit: Visit, stand: Stand, buyer: User, device: str) -> Page:
    stand.sell_at("fivesim")
    return visit(buyer, device)


def verdict(page: Page, sentence: str) -> None:
    """The page tells it by itself, without being touched."""
    expect(page.locator(".verdict")).to_have_text(re.compile(sentence + r" ₦[\d,.]+ is back in your wallet\.$"))
    expect(page.locator(".live .badge").first).to_have_text("Money back")


def the_money_is_back(page: Page, stand: Stand, buyer: User) -> None:
    """On the page, in the header, in the books; and the statement says why."""
    expect(page.locator(".refund .was-is ins")).to_have_text("₦10,000")
    expect(page.locator("#wallet-chip")).to_contain_text("₦10,000")
    assert stand.available_minor(buyer) == 1_000_000
    lines = statement_lines(page)
    assert len(lines) == 3, lines
    assert "+₦" in lines[0], lines
    assert "₦10,000" in lines[0], lines
    assert "Telegram" in lines[0], lines


def change(page: Page, stand: Stand, **columns: str) -> None:
    """Time goes by for this activation."""
    with transaction():
        values = {name: text(value) for name, value in columns.items()}
        db.session.execute(update(Activation).where(Activation.id == stand.activation(page).id).values(**values))


def test_no_code_in_time(page: Page, stand: Stand, buyer: User) -> None:
    buy_number(page)
    stand.time_is_over(page)
    verdict(page, "No code came.")
    expect(page.locator("#announce")).to_contain_text("is back in your wallet")
    the_money_is_back(page, stand, buyer)


def test_cancelled_at_once(page: Page, stand: Stand, buyer: User) -> None:
    buy_number(page)
    page.get_by_role("button", name="Cancel, get").click()
    verdict(page, "You cancelled.")
    the_money_is_back(page, stand, buyer)


def test_cancelled_before_the_provider_lets_go(page: Page, stand: Stand, buyer: User) -> None:
    stand.sell_at("herosms")
    stand.control.settings(early_cancel_seconds={"herosms": 0})
    buy_number(page)
    expect(page.get_by_text("This provider lets go of a number from")).to_be_visible()
    page.get_by_role("button", name="Cancel, get").click()
    expect(
        page.get_by_text(re.compile("we cancel it for you at .* and ₦.* comes back. You can leave."))
    ).to_be_visible()
    expect(page.get_by_role("button", name="Cancel, get")).to_have_count(0)
    change(page, stand, cancel_from="now()", due_at="now()")
    verdict(page, "You cancelled.")
    the_money_is_back(page, stand, buyer)


def test_a_number_already_used_is_replaced(page: Page, stand: Stand, buyer: User) -> None:
    buy_number(page)
    first, number = page.url, page.locator(".num-big").inner_text()
    page.get_by_role("button", name="Number already used? Replace it").click()
    expect(page.locator(".num-big")).not_to_have_text(number)
    assert page.url != first
    new = page.url
    page.goto(first)
    verdict(page, "That number was already used.")
    page.get_by_role("link", name="See the new number").click()
    expect(page).to_have_url(new)
    assert [("+₦" in line, "−₦" in line) for line in statement_lines(page)[:3]] == [
        (False, True),
        (True, False),
        (False, True),
    ]


def test_the_last_number_went_a_moment_ago(page: Page, stand: Stand, buyer: User) -> None:
    stand.control.fault("fivesim", "buy", "no_stock", times=0)
    buy_number(page)
    verdict(page, "No number was free.")
    expect(page.get_by_role("link", name="Choose another country")).to_be_visible()
    the_money_is_back(page, stand, buyer)


def test_in_doubt_it_becomes_a_number(page: Page, stand: Stand, buyer: User) -> None:
    sold_before = len(stand.control.orders("fivesim"))
    stand.control.fault("fivesim", "buy", "reset_after")
    stand.control.fault("fivesim", "list", "rate_limited", times=0)  # an error would let it rest, unsold
    buy_number(page)
    expect(page.get_by_text("the provider has not answered clearly")).to_be_visible()
    expect(
        page.get_by_text(re.compile("₦.* is held. As a rule within 3 minutes, within 10 at the latest"))
    ).to_be_visible()
    stand.control.no_faults()
    expect(page.locator("[data-state=waiting] .num-big")).to_be_visible(timeout=15_000)
    stand.send_sms(page)
    expect(page.locator("[data-state=received]")).to_be_visible(timeout=10_000)
    assert len(stand.control.orders("fivesim")) == sold_before + 1


def test_in_doubt_the_money_comes_back(page: Page, stand: Stand, buyer: User) -> None:
    stand.control.fault("fivesim", "buy", "reset")
    buy_number(page)
    expect(page.locator("[data-state=in_doubt]")).to_be_visible()
    change(page, stand, attempt_at="now() - interval '3 minutes'")
    verdict(page, "No number came of it.")
    the_money_is_back(page, stand, buyer)
