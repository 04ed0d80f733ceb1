"""An installation in each currency: its settings, how amounts are read and shown, and that it never changes."""

from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_babel import force_locale
from sqlalchemy.exc import IntegrityError

from namaskah import config, filters
from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.money import parse_minor
from namaskah.papers.paper import unprintable
from namaskah.wallet import currency_guard, ledger, topups
from namaskah.wallet.currencies import CURRENCIES
from tests.support import log_in
from tests.test_config import GOOD, LIVE_KEY

from .counter import Counter

SUITED = ("TOP_UP_MIN_MINOR", "TOP_UP_MAX_MINOR", "PRICE_STEP_MINOR")
PRODUCTION = GOOD | {"PAYSTACK_SECRET_KEY": LIVE_KEY}


def loaded(**changes: str) -> dict[str, Any]:
    return config.load(PRODUCTION | changes)


def refused(**changes: str) -> str:
    with pytest.raises(config.ConfigError) as error:
        loaded(**changes)
    return str(error.value)


@pytest.fixture
def other_currency(app: Flask, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The installation is in another currency, from its first day."""
    for name, value in loaded(WALLET_CURRENCY=request.param).items():
        if name in {"WALLET_CURRENCY", "FX_RATES", *SUITED}:
            monkeypatch.setitem(app.config, name, value)
    return str(request.param)


in_each_other_currency = pytest.mark.parametrize(
    "other_currency", [code for code in CURRENCIES if code != "NGN"], indirect=True
)


# ── Settings ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", CURRENCIES)
def test_what_is_left_at_nothing_suits_the_currency(code: str) -> None:
    found, currency = loaded(WALLET_CURRENCY=code), CURRENCIES[code]
    assert [found[name] for name in SUITED] == [
        currency.top_up_min_minor,
        currency.top_up_max_minor,
        currency.price_step_minor,
    ]


def test_what_is_set_counts() -> None:
    found = loaded(WALLET_CURRENCY="GHS", TOP_UP_MIN_MINOR="700", TOP_UP_MAX_MINOR="0", PRICE_STEP_MINOR="50")
    assert [found[name] for name in SUITED] == [700, 200_000, 50]


def test_the_nairas_default_rate_is_no_other_currencys() -> None:
    assert loaded()["FX_RATES"] == {"USD": Decimal(1600)}
    assert loaded(WALLET_CURRENCY="GHS")["FX_RATES"] == {}
    assert loaded(WALLET_CURRENCY="GHS", FX_RATES="USD=11.4")["FX_RATES"] == {"USD": Decimal("11.4")}


@pytest.mark.parametrize("code", CURRENCIES)
def test_a_minimum_below_paystacks_is_refused_in_production(code: str) -> None:
    least = CURRENCIES[code].least_minor
    told = refused(WALLET_CURRENCY=code, TOP_UP_MIN_MINOR=str(least - 1))
    assert f"TOP_UP_MIN_MINOR is {least - 1}, and Paystack takes no payment in {code} below {least}" in told
    loaded(WALLET_CURRENCY=code, TOP_UP_MIN_MINOR=str(least))
    loaded(WALLET_CURRENCY=code, TOP_UP_MIN_MINOR=str(least - 1), ENVIRONMENT="development")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"TOP_UP_MAX_MINOR": "1000000001"}, "TOP_UP_MAX_MINOR is 1000000001"),
        ({"TOP_UP_MAX_MINOR": "1000000000", "TOP_UP_FEE_PAYER": "customer"}, "its fee included"),
        ({"TOP_UP_MIN_MINOR": "300000", "TOP_UP_MAX_MINOR": "200000"}, "nobody could top up"),
        ({"TOP_UP_MIN_MINOR": "-5"}, "TOP_UP_MIN_MINOR is below zero"),
        ({"PRICE_STEP_MINOR": "-5"}, "PRICE_STEP_MINOR is below zero"),
        ({"TOP_UP_FEE_PAYER": "nobody"}, "house or customer"),
        ({"WALLET_CURRENCY": "XOF"}, "WALLET_CURRENCY"),
    ],
)
def test_limits_that_cannot_be_are_refused(changes: dict[str, str], named: str) -> None:
    assert named in refused(**changes)


def test_the_house_bears_the_fee_unless_it_is_said_otherwise() -> None:
    assert loaded()["TOP_UP_FEE_PAYER"] == "house"
    loaded(TOP_UP_MAX_MINOR="1000000000")


# ── Amounts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("locale", ["en", "ar"])
@pytest.mark.parametrize(
    ("code", "whole", "exact"),
    [
        ("NGN", "₦1,234", "₦1,234.50"),
        ("GHS", "GH₵1,234", "GH₵1,234.50"),
        ("KES", "KSh\u00a01,234", "KSh\u00a01,234.50"),
        ("ZAR", "R\u00a01,234", "R\u00a01,234.50"),
        ("USD", "$1,234", "$1,234.50"),
    ],
)
def test_an_amount_is_shown_in_its_currency(
    app: Flask, monkeypatch: pytest.MonkeyPatch, code: str, whole: str, exact: str, locale: str
) -> None:
    monkeypatch.setitem(app.config, "WALLET_CURRENCY", code)
    with app.test_request_context(), force_locale(locale):
        assert filters.money_text(123_400) == whole
        assert filters.money_text(123_450) == filters.exact_money(123_450, code) == exact
    assert not unprintable(exact)


@pytest.mark.parametrize("code", CURRENCIES)
def test_an_amount_is_read_with_whatever_people_write_before_it(code: str) -> None:
    signs = CURRENCIES[code].signs
    for before in ("", *signs, *(sign.lower() for sign in signs), f"{code} ", f"{code.lower()}\u00a0"):
        assert parse_minor(f"{before}2,500.50", code) == 250_050
    other = next(known.signs[0] for name, known in CURRENCIES.items() if name != code)
    assert parse_minor(f"{other}2,500.50", code) is None
    assert parse_minor("2500.505", code) is None


@in_each_other_currency
def test_a_wallet_in_it_is_topped_up_and_shown(
    other_currency: str, client: FlaskClient, payer: User, counter: Counter
) -> None:
    currency = CURRENCIES[other_currency]
    browser = log_in(client, payer)
    page = browser.get("/wallet").text
    for amount in (*currency.suggested, currency.top_up_min_minor, currency.top_up_max_minor):
        assert filters.money_text(amount) in page
    opened = topups.open_top_up(payer, currency.suggested[0], "k" * 20)
    assert counter.transaction(opened.reference).currency == other_currency
    counter.pay(opened.reference)
    assert topups.settle(opened.reference).state == "paid"
    assert ledger.balance(payer.id) == ledger.Balance(currency.suggested[0], 0, other_currency)
    [document] = browser.get("/wallet/invoices").text.split("/wallet/invoices/")[1:2]
    receipt = browser.get(f"/wallet/invoices/{document[:14]}").text
    assert filters.exact_money(currency.suggested[0], other_currency) in receipt
    assert browser.get(f"/wallet/invoices/{document[:14]}.pdf").status_code == 200


# ── It never changes ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_with_money_in_the_ledger_another_currency_is_refused(
    app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    currency_guard.refuse_other_currency()
    monkeypatch.setitem(app.config, "WALLET_CURRENCY", "GHS")
    with pytest.raises(currency_guard.OtherCurrency, match="2 accounts in NGN"):
        currency_guard.refuse_other_currency()
    for command in (["ledger", "check"], ["worker"]):
        done = app.test_cli_runner().invoke(args=command)
        assert done.exit_code == 1
        assert "WALLET_CURRENCY is GHS, and the ledger has 2 accounts in NGN" in done.output
        assert "Set WALLET_CURRENCY back" in done.output


def test_postgresql_opens_no_account_in_another_currency(
    app: Flask, alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "WALLET_CURRENCY", "GHS")
    with pytest.raises(IntegrityError) as refused, transaction():
        ledger.top_up(bob.id, "top_up:NK-1", 5_000)
    assert violated(refused.value) == "ledger_one_currency"
    with transaction():
        ledger.provider_balance("fivesim", "USD", "opening:fivesim", 5_000_000, "for a test")


def test_an_empty_ledger_takes_any_and_providers_money_does_not_count(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction():
        ledger.provider_balance("fivesim", "USD", "opening:fivesim", 5_000_000, "for a test")
    monkeypatch.setitem(app.config, "WALLET_CURRENCY", "GHS")
    currency_guard.refuse_other_currency()


def test_while_the_database_is_away_nothing_can_be_told(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any) -> None:
        raise currency_guard.SQLAlchemyError("away")

    monkeypatch.setitem(app.config, "WALLET_CURRENCY", "GHS")
    with monkeypatch.context() as now:
        now.setattr(db.session, "execute", away)
        currency_guard.refuse_other_currency()
