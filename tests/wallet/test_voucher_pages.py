"""Gifts as their owner sees them: the code, the wallet, the statement of gifts and its files."""

import csv
import io
import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import ledger, promo, voucher_codes, vouchers
from tests.support import give, log_in, make_user, make_vouchers

from .test_statement_pages import pdf_of

Funded = Callable[[int], User]
NOT_VALID = "This code is not valid (any more)."


@pytest.fixture
def browser(client: FlaskClient, payer: User) -> FlaskClient:
    return log_in(client, payer)


def words_of(html: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", html).split())


def test_a_code_is_typed_in_and_the_wallet_says_what_it_gave(browser: FlaskClient, payer: User) -> None:
    _batch, [code] = make_vouchers()
    answer = browser.post("/wallet/voucher", data={"code": voucher_codes.shown(code).lower().replace("-", " ")})
    assert (answer.status_code, answer.location) == (303, "/wallet")
    page = words_of(browser.get("/wallet").text)
    assert "₦500 is in your wallet, a gift until" in page
    assert "You can spend ₦500" in page
    assert "Your own money ₦0 A gift until" in page
    again = browser.post("/wallet/voucher", data={"code": code}, follow_redirects=True)
    assert "You have used this code already" in again.text
    assert ledger.balance(payer.id).promo_minor == 50_000


def test_wrong_codes_are_told_kindly_and_five_of_them_are_enough(browser: FlaskClient, payer: User) -> None:
    _batch, [code] = make_vouchers()
    for number in range(5):
        answer = browser.post("/wallet/voucher", data={"code": voucher_codes.make() if number else "abc"})
        assert (answer.status_code, NOT_VALID in answer.text) == (422, True)
    blocked = browser.post("/wallet/voucher", data={"code": code})
    assert blocked.status_code == 429 and int(blocked.headers["Retry-After"]) > 0
    assert ledger.balance(payer.id).promo_minor == 0
    assert browser.get("/wallet/voucher").status_code == 200, "looking at the form is no try"


def test_codes_that_work_are_no_tries_and_one_customers_tries_block_no_other(
    browser: FlaskClient, payer: User, client: FlaskClient
) -> None:
    _batch, codes = make_vouchers(codes=7)
    for code in codes:
        assert browser.post("/wallet/voucher", data={"code": code}).status_code == 303
    for _number in range(5):
        browser.post("/wallet/voucher", data={"code": "x"})
    _other, [fresh] = make_vouchers()
    neighbour = log_in(client.application.test_client(), make_user("neighbour@example.com"))
    assert neighbour.post("/wallet/voucher", data={"code": fresh}).status_code == 303


def test_one_network_may_not_guess_under_many_names(client: FlaskClient) -> None:
    for number in range(10):
        guesser = log_in(client.application.test_client(), make_user(f"guesser{number}@example.com"))
        for _number in range(5):
            assert guesser.post("/wallet/voucher", data={"code": "x"}).status_code == 422
    eleventh = log_in(client.application.test_client(), make_user("eleventh@example.com"))
    assert eleventh.post("/wallet/voucher", data={"code": "x"}).status_code == 429


def test_an_empty_or_endless_code_is_said_to_be_one(browser: FlaskClient) -> None:
    for typed in ("", "x" * 101):
        answer = browser.post("/wallet/voucher", data={"code": typed})
        assert answer.status_code == 422 and "aria-invalid" in answer.text


def live(user: User) -> None:
    """A gift, one purchase from both kinds of money that came back, one from the gift alone, and the rest ran out."""
    gift = give(user, 30_000)
    for act in (
        lambda: ledger.hold(user.id, "activation:901", 40_000),
        lambda: ledger.release(user.id, "activation:901", 40_000, note="no_code"),
        lambda: ledger.hold(user.id, "activation:902", 20_000),
        lambda: ledger.capture(user.id, "activation:902", 20_000),
    ):
        with transaction():
            act()
    with transaction():
        db.session.execute(text("UPDATE promo_grants SET expires_at = now() WHERE id = :id"), {"id": gift.id})
    promo.expire_due()


def test_both_statements_add_up_and_say_which_money_it_was(client: FlaskClient, funded: Funded) -> None:
    user = funded(100_000)
    live(user)
    browser = log_in(client, user)
    own = words_of(browser.get("/wallet/statement").text)
    assert "A number: held, then given back (and ₦300 of a gift) −₦100 ₦900" in own
    assert "A number: no code came, money back (and ₦300 to your gifts) +₦100 ₦1,000" in own
    assert "activation:902" not in own and "bought, the code came" not in own
    gifts = words_of(browser.get("/wallet/statement?show=gifts").text)
    lines = (
        "Gift: what was left of it has run out −₦100 ₦0",
        "A number: bought, the code came −₦200 ₦100",
        "A number: no code came, money back +₦300 ₦300",
        "A number: held, then given back −₦300 ₦0",
        "Gift: a present +₦300 ₦300",
    )
    assert [gifts.index(line) for line in lines] == sorted(gifts.index(line) for line in lines)
    assert "Gift: a present" in browser.get("/wallet/statement?show=gifts&words=PRESENT").text
    assert "Gift: a present" not in browser.get("/wallet/statement?show=gifts&words=code").text


def test_the_files_of_gifts_hold_the_lines_of_gifts(client: FlaskClient, funded: Funded) -> None:
    user = funded(100_000)
    live(user)
    browser = log_in(client, user)
    answer = browser.get("/wallet/statement.csv?show=gifts")
    assert 'filename="gifts-' in answer.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert [(row[1], row[3], row[4]) for row in rows[1:]] == [
        ("opening", "", "0.00"),
        ("promo_granted", "300.00", "300.00"),
        ("hold", "-300.00", "0.00"),
        ("release", "300.00", "300.00"),
        ("hold", "-200.00", "100.00"),
        ("promo_expired", "-100.00", "0.00"),
        ("closing", "", "0.00"),
    ]
    assert "Gift: what was left of it has run out" in " ".join(pdf_of(browser, show="gifts").split())
    own = browser.get("/wallet/statement.csv").data.decode("utf-8-sig")
    assert "promo_granted" not in own and "(and ₦300 of a gift)" in own


def test_the_statement_names_a_gift_by_its_codes_last_letters(browser: FlaskClient, payer: User) -> None:
    _batch, [code] = make_vouchers()
    vouchers.redeem(payer, code)
    page = browser.get("/wallet/statement?show=gifts").text
    assert f"Gift by code …{code[-4:]}" in page and code not in page


def test_who_never_had_a_gift_sees_no_statement_of_them(browser: FlaskClient) -> None:
    assert "show=gifts" not in browser.get("/wallet/statement").text
    assert browser.get("/wallet/statement?show=gifts").status_code == 200
    assert browser.get("/wallet/statement?show=gifts&since=nonsense").status_code == 422
