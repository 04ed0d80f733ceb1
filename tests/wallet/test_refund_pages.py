"""What the customer sees of money on its way back: the top-up's page, the wallet, the statement, the file of all."""

import pytest
from flask.testing import FlaskClient

from namaskah.auth.models import User
from namaskah.wallet import refund_asking, refund_words, refunds
from namaskah.wallet.models import TopUp
from namaskah.wallet.refund_models import REFUND_STATES, GatewayRefund
from namaskah.wallet.statement import statement
from tests.support import log_in

from .counter import Counter
from .refund_desk import PAID, WHO, becomes, begin, letters, paid, sent


@pytest.fixture
def top_up(payer: User, counter: Counter) -> TopUp:
    return paid(payer, counter)


@pytest.fixture
def browser(client: FlaskClient, payer: User) -> FlaskClient:
    return log_in(client, payer)


def page_of(browser: FlaskClient, top_up: TopUp) -> str:
    return browser.get(f"/wallet/top-ups/{top_up.reference}").text


def test_the_customer_sees_how_far_it_is(browser: FlaskClient, top_up: TopUp, counter: Counter) -> None:
    assert "Sent back" not in page_of(browser, top_up)
    assert "On its way back" not in browser.get("/wallet").text
    refund = sent(top_up, 100_000)
    page = page_of(browser, top_up)
    assert "It is no longer in your wallet" in page
    assert "₦2,500" in page  # what is in the wallet of it is still said as it was
    wallet = browser.get("/wallet").text
    assert "On its way back to your card or bank" in wallet
    assert f"/wallet/top-ups/{top_up.reference}" in wallet.split("On its way back")[0][-200:]
    becomes(counter, refund, "needs-attention")
    assert "may write to you" in page_of(browser, top_up)
    becomes(counter, refund, "processed")
    page = page_of(browser, top_up)
    assert "some days may pass" in page
    assert "Credit note" in page
    assert "On its way back" not in browser.get("/wallet").text
    becomes(counter, sent(top_up, 150_000), "processing")
    page = page_of(browser, top_up)
    assert "We have sent this top-up back to where you paid it from" in page
    assert "is in your wallet." not in page
    assert "Buy a number" not in page.split('id="top-up"')[1]


def test_two_stories_are_looked_at_and_then_settled(browser: FlaskClient, top_up: TopUp, counter: Counter) -> None:
    refund = becomes(counter, sent(top_up), "processed")
    becomes(counter, refund, "failed")
    assert "Being looked at" in page_of(browser, top_up)
    refunds.give_back(refund.reference, WHO)
    page = page_of(browser, top_up)
    assert "Your bank did not take it" in page
    assert "We have sent this top-up back" not in page


def texts(user: User) -> list[str]:
    return [row.text for row in statement(user.id).rows]


def test_every_movement_is_a_line_of_the_statement(payer: User, top_up: TopUp, counter: Counter) -> None:
    refund = sent(top_up)
    [line, _] = statement(payer.id).rows
    assert (line.text, line.amount_minor, line.top_up_reference, line.receipt) == (
        "On its way back to where you paid it from", -PAID, top_up.reference, None,
    )  # fmt: skip
    becomes(counter, refund, "failed")
    assert texts(payer)[:2] == [
        "Could not be sent back: in your wallet again",
        "Was to go back to where you paid it from",
    ]
    becomes(counter, refund, "processed")
    refunds.book_as_gone(refund.reference, WHO)
    assert texts(payer)[0] == "Sent back to where you paid it from after all"


def test_what_was_called_off_or_came_back_is_said(payer: User, top_up: TopUp, counter: Counter) -> None:
    refund_asking.withdraw(begin(top_up).reference, WHO)
    assert texts(payer)[0] == "Not sent back after all: in your wallet again"
    refund = becomes(counter, sent(top_up), "processed")
    assert texts(payer)[0] == "Sent back to where you paid it from"
    becomes(counter, refund, "failed")
    refunds.give_back(refund.reference, WHO)
    assert texts(payer)[0] == "Your bank did not take it: in your wallet again"
    assert len(statement(payer.id, show="in").rows) == 5
    assert "could not be sent back" in letters()[-1]


@pytest.mark.parametrize("state", REFUND_STATES)
def test_every_state_has_words_for_both(state: str) -> None:
    refund = GatewayRefund(state=state)
    assert refund_words.for_customer(refund).text
    assert refund_words.for_operator(refund).text
