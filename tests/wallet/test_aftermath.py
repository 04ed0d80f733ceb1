"""What lists and pages say of a top-up whose money went back after its credit: never that it is in the wallet."""

import re
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.sandbox import Sandbox
from namaskah.wallet import aftermath
from namaskah.wallet.models import TopUp
from tests.support import log_in, make_user
from tests.wallet.bank import Bank, heard, paid_top_up
from tests.wallet.counter import Counter
from tests.wallet.refund_desk import becomes, sent

AMOUNT = 250_000
IN_THE_WALLET = "₦2,500 is in your wallet."


@pytest.fixture
def counter(app: Flask, sandbox: Sandbox) -> Counter:
    return Counter(sandbox)


@pytest.fixture
def payer(app: Flask) -> User:
    return make_user("payer@example.com")


@pytest.fixture
def top_up(payer: User, counter: Counter) -> TopUp:
    return paid_top_up(payer, counter, AMOUNT)


@pytest.fixture
def read(app: Flask, payer: User, admin: User, top_up: TopUp) -> Any:
    """The customer's list, the customer's page, and the operator's list, as words."""
    customer, operator = log_in(app.test_client(), payer), log_in(app.test_client(), admin)

    def words(browser: FlaskClient, path: str) -> str:
        main = browser.get(path).text.split("<main")[1].split("</main>")[0]
        return unescape(re.sub(r"\s+", " ", re.sub("<[^>]+>", "", main)))

    def everywhere() -> tuple[str, str, str]:
        page = f"/wallet/top-ups/{top_up.reference}"
        return words(customer, "/wallet/top-ups"), words(customer, page), words(operator, "/admin/top-ups")

    return everywhere


def test_what_is_disputed_is_not_said_to_be_in_the_wallet(read: Any, top_up: TopUp, counter: Counter) -> None:
    assert all(IN_THE_WALLET in text for text in read())
    bank = Bank(counter)
    theirs = bank.opens(top_up)
    heard(theirs)
    for text in read():
        assert IN_THE_WALLET not in text
        assert "₦2,500 came in, and was disputed." in text and "Disputed" in text
    assert "Its bank asks for ₦2,500 back and has not decided yet." in read()[0]
    bank.decides(theirs, "lost")
    heard(theirs)
    for text in read():
        assert IN_THE_WALLET not in text and "Taken back" in text
    assert "The bank has taken ₦2,500 back to where it was paid from." in read()[0]


def test_a_dispute_that_is_won_leaves_it_in_the_wallet(read: Any, top_up: TopUp, counter: Counter) -> None:
    bank = Bank(counter)
    theirs = bank.opens(top_up)
    heard(theirs)
    bank.decides(theirs, "won")
    heard(theirs)
    customers, _page, operators = read()
    assert IN_THE_WALLET in customers and IN_THE_WALLET in operators


def test_what_was_sent_back_is_told_in_part_and_whole(read: Any, top_up: TopUp, counter: Counter) -> None:
    becomes(counter, sent(top_up, 100_000), "processed")
    for text in read():
        assert IN_THE_WALLET not in text
        assert "₦2,500 came into your wallet, and a part of it went back." in text and "Partly sent back" in text
    assert "₦1,000 of it went back to where you paid it from, or is on its way there." in read()[1]
    sent(top_up, 150_000)
    for text in read():
        assert "We have sent this top-up back to where you paid it from." in text
        assert "Partly" not in text


def test_a_refund_that_came_back_is_in_the_wallet_again(read: Any, top_up: TopUp, counter: Counter) -> None:
    becomes(counter, sent(top_up, 100_000), "failed")
    assert all(IN_THE_WALLET in text for text in read())


def test_a_reversal_that_a_part_does_not_explain_is_told_first(top_up: TopUp, counter: Counter) -> None:
    becomes(counter, sent(top_up, 100_000), "processed")
    with transaction():
        db.session.get_one(TopUp, top_up.id).reversed_at = db.session.scalar(func.now())
    db.session.refresh(top_up)
    assert "has since sent the payment back" in aftermath.ending_of(top_up).verdict
