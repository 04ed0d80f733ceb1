"""Cards and automatic top-ups as a browser without JavaScript sees them."""

import re
import secrets
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import auto_topups, auto_wishes, card_charges, cards, low_balance
from namaskah.wallet.card_models import SavedCard
from tests.support import log_in

from .carding import AMOUNT, BELOW, LIMIT, charged, kept_card, spend_to, switched_on, top_ups, wish
from .counter import Counter
from .test_wallet_pages import form_key

AUTO = "/wallet/auto-top-up"


@pytest.fixture
def browser(client: FlaskClient, payer: User, counter: Counter) -> FlaskClient:
    return log_in(client, payer)


@pytest.fixture
def card(payer: User, counter: Counter) -> SavedCard:
    return kept_card(payer, counter)


def fields(card: SavedCard, **more: str) -> dict[str, str]:
    return {"below": "1,000", "amount": "2500", "day_limit": "₦6,000", "card": str(card.id)} | more


def press(browser: FlaskClient, card: SavedCard, **more: str) -> tuple[int, str]:
    answer = browser.post(f"/wallet/cards/{card.id}/pay", data={"key": secrets.token_hex(16)} | more)
    return answer.status_code, answer.headers.get("Location") or answer.text


def test_the_box_is_there_and_not_ticked(browser: FlaskClient, payer: User) -> None:
    page = browser.get("/wallet").text
    box = re.search(r'<input[^>]*name="keep_card"[^>]*>', page)
    assert box is not None and "checked" not in box[0]
    assert "never its number" in page
    for ticked in ({}, {"keep_card": "y"}):
        browser.post("/wallet/top-up", data={"preset": "200000", "key": secrets.token_hex(16), **ticked})
    assert [found.keep_card for found in top_ups(payer, "checkout")] == [False, True]


def test_the_cards_page_lists_cards_and_no_secrets(browser: FlaskClient, card: SavedCard) -> None:
    page = browser.get("/wallet/cards").text
    assert "Visa ···· 4081" in page and "12/2030" in page and "TEST BANK" in page
    assert cards.code_of(card) not in page and card.signature not in page


def test_without_a_card_the_pages_say_how_to_keep_one(browser: FlaskClient) -> None:
    assert "No card is kept" in browser.get("/wallet/cards").text
    assert "It needs a kept card" in browser.get(AUTO).text


def test_one_press_pays_and_the_page_says_so(browser: FlaskClient, card: SavedCard, counter: Counter) -> None:
    key = form_key(browser.get("/wallet/cards").text)
    first, second = (press(browser, card, preset="200000", key=key) for _ in range(2))
    assert first == second and first[0] == 303
    assert charged(counter) == 1
    page = browser.get(first[1]).text
    assert "₦2,000 is in your wallet." in re.sub("<[^>]+>", "", page) and "Visa ···· 4081" in page


def test_a_used_form_with_another_amount_comes_back(browser: FlaskClient, card: SavedCard, counter: Counter) -> None:
    key = secrets.token_hex(16)
    press(browser, card, preset="200000", key=key)
    status, page = press(browser, card, amount="3000", key=key)
    assert status == 409 and "sent before" in page and form_key(page) != key
    assert press(browser, card, amount="1")[0] == 422
    assert charged(counter) == 1


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ("declined", ("Paystack says the payment failed.", "Insufficient Funds")),
        ("challenge", ("Your bank wants you to confirm this payment.", "Go on with the payment")),
        ("undecided", ("Your bank is still at it.", "Look again")),
    ],
)
def test_what_the_bank_says_can_be_read(
    browser: FlaskClient, card: SavedCard, counter: Counter, fault: str, verdict: tuple[str, ...]
) -> None:
    counter.breaks("charge", fault)
    _status, place = press(browser, card, preset="200000")
    answer = browser.get(place)
    for sentence in verdict:
        assert sentence in answer.text
    assert ("Refresh" in answer.headers) == (fault == "challenge")


def test_a_bank_that_has_not_answered_and_one_never_reached_can_be_read(
    browser: FlaskClient, payer: User, card: SavedCard, counter: Counter
) -> None:
    counter.breaks("*", "error_500", times=3)
    _status, place = press(browser, card, preset="200000")
    assert "Wait for that before you pay once more." in browser.get(place).text
    with transaction():
        db.session.execute(text("UPDATE top_ups SET state = 'failed', gateway_status = 'not_opened'"
                                " WHERE origin = 'card'"))  # fmt: skip
    db.session.expire_all()
    assert "Paystack was not to be reached" in browser.get(place).text


def test_somebody_elses_card_is_unknown(browser: FlaskClient, new_user: Callable[[], User], counter: Counter) -> None:
    other = kept_card(new_user(), counter)
    assert press(browser, other, preset="200000")[0] == 404
    assert browser.post(f"/wallet/cards/{other.id}/remove").status_code == 404
    assert browser.post(f"/wallet/cards/{10**30}/remove").status_code == 404
    assert browser.post(AUTO, data=fields(other)).status_code == 422
    assert cards.get(other.user_id, other.id).removed_at is None


def test_a_removed_card_is_gone_from_the_page(browser: FlaskClient, payer: User, card: SavedCard) -> None:
    switched_on(payer, card)
    assert browser.post(f"/wallet/cards/{card.id}/remove").status_code == 303
    page = browser.get("/wallet/cards").text
    assert "The card is removed" in page and "4081" not in page
    assert wish(payer).off_reason == "card_removed"


def test_setting_it_up_asks_who_one_is(client: FlaskClient, payer: User, card: SavedCard) -> None:
    browser = log_in(client, payer)
    with transaction():
        db.session.execute(text("UPDATE sessions SET confirmed_at = now() - interval '1 day'"))
    assert "/confirm" in browser.post(AUTO, data=fields(card)).headers["Location"]
    assert auto_wishes.of_user(payer.id) is None
    assert browser.post(f"{AUTO}/off").status_code == 303
    assert browser.get("/wallet/cards").status_code == 200


def test_it_is_set_up_changed_and_switched_off(browser: FlaskClient, payer: User, card: SavedCard) -> None:
    assert browser.post(AUTO, data=fields(card)).status_code == 303
    on = wish(payer)
    assert (on.is_on, on.below_minor, on.amount_minor, on.day_limit_minor) == (True, BELOW, AMOUNT, LIMIT)
    page = browser.get(AUTO).text
    assert 'value="2500"' in page and "You get a letter each time." in page
    assert browser.post(AUTO, data=fields(card, amount="3000")).status_code == 303
    assert wish(payer).amount_minor == 300_000
    assert "we top up by" in browser.get("/wallet/cards").text
    browser.post(f"{AUTO}/off")
    assert wish(payer).is_on is False


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"below": "0"}, "above zero"),
        ({"below": "3000"}, "so that once is enough"),
        ({"amount": "1"}, "Write an amount from ₦500 to"),
        ({"amount": "much"}, "Write an amount like"),
        ({"day_limit": "2000"}, "at least one top-up a day"),
        ({"card": "x"}, "one of your cards"),
        ({"card": ""}, "one of your cards"),
    ],
)
def test_what_does_not_fit_is_said_at_its_field(
    browser: FlaskClient, payer: User, card: SavedCard, wrong: dict[str, str], sentence: str
) -> None:
    answer = browser.post(AUTO, data=fields(card) | wrong)
    assert answer.status_code == 422 and sentence in answer.text
    assert auto_wishes.of_user(payer.id) is None


def test_an_expired_card_cannot_be_chosen(browser: FlaskClient, payer: User, card: SavedCard) -> None:
    with transaction():
        db.session.execute(text("UPDATE saved_cards SET exp_year = 2020"))
    answer = browser.post(AUTO, data=fields(card))
    assert answer.status_code == 422 and "This card has expired" in answer.text
    assert "Expired" in browser.get("/wallet/cards").text


def test_why_it_is_off_or_waits_can_be_read(
    browser: FlaskClient, payer: User, card: SavedCard, counter: Counter
) -> None:
    switched_on(payer, card)
    spend_to(payer, 0)
    with transaction():
        auto_wishes.put_off(payer.id, "limit")
    assert "What you allow in 24 hours is used up." in browser.get(AUTO).text
    with transaction():
        db.session.execute(text("UPDATE auto_top_ups SET due_at = now()"))
    counter.breaks("charge", "declined")
    auto_topups.charge_due()
    page = browser.get(AUTO).text
    assert "We switched it off." in page and "Insufficient Funds" in page
    [failed] = top_ups(payer, "auto")
    assert "Charged by itself" in browser.get(f"/wallet/top-ups/{failed.reference}").text


def test_the_letter_about_a_low_balance_is_wanted_or_not(browser: FlaskClient, payer: User) -> None:
    assert browser.post("/wallet/low-balance", data={"low": "500.50"}).status_code == 303
    assert low_balance.threshold(payer.id) == 50_050
    assert 'value="500.50"' in browser.get(AUTO).text
    for wrong in ("0", "x"):
        assert browser.post("/wallet/low-balance", data={"low": wrong}).status_code == 422
    assert browser.post("/wallet/low-balance", data={"low": ""}).status_code == 303
    assert low_balance.threshold(payer.id) is None


def test_no_log_holds_a_code(
    app: Flask, payer: User, card: SavedCard, counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    code = cards.code_of(card)
    for fault in ("reset", "declined", "error_500_after", "challenge", "bad_key"):
        counter.breaks("charge", fault)
        card_charges.pay(payer, card.id, AMOUNT, secrets.token_hex(16))
    assert caplog.text and code not in caplog.text and payer.email not in caplog.text
