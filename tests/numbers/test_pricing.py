"""Where the price is set: never below cost and margin, always a whole step, exact to the last part."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from namaskah.numbers import pricelists, pricing

COSTS = st.integers(0, 10**12)
RATES = st.decimals("0.0001", "100000", places=4)
PERCENTS = st.integers(0, 500)
STEPS = st.sampled_from([1, 5, 100, 1_000, 5_000])
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def set_rules(app: Flask, rate: Decimal, margin: int, least: int, step: int) -> None:
    app.config.update(FX_RATES={"USD": rate}, MARGIN_PERCENT=margin, MIN_MARGIN_PERCENT=least, PRICE_STEP_MINOR=step)


@pytest.fixture
def rules(_app: Flask) -> Iterator[Flask]:
    names = ("FX_RATES", "MARGIN_PERCENT", "MIN_MARGIN_PERCENT", "PRICE_STEP_MINOR")
    before = {name: _app.config[name] for name in names}
    with _app.app_context():
        yield _app
    _app.config.update(before)


@quick
@given(cost=COSTS, rate=RATES, margin=PERCENTS, step=STEPS)
def test_a_price_is_the_smallest_whole_step_that_keeps_the_margin(
    rules: Flask, cost: int, rate: Decimal, margin: int, step: int
) -> None:
    set_rules(rules, rate, margin, 0, step)
    price = pricing.price_minor(cost, "USD")
    exact = Fraction(cost, 10**6) * Fraction(rate) * 100 * Fraction(100 + margin, 100)
    assert price % step == 0 and price > 0
    assert price >= exact
    assert price - step < exact or price == step


@quick
@given(cost=COSTS, rate=RATES, least=PERCENTS, more=PERCENTS, step=STEPS)
def test_what_is_sold_at_its_own_price_may_always_be_bought(
    rules: Flask, cost: int, rate: Decimal, least: int, more: int, step: int
) -> None:
    set_rules(rules, rate, least + more, least, step)
    price = pricing.price_minor(cost, "USD")
    ceiling = pricing.max_cost_micros(price, "USD")
    assert ceiling >= cost
    assert Fraction(ceiling, 10**6) * Fraction(rate) * 100 * Fraction(100 + least, 100) <= price


def test_an_example_one_can_check_by_hand(rules: Flask) -> None:
    set_rules(rules, Decimal("1600"), 60, 5, 1_000)
    # $0.21 × ₦1,600 × 1.60 = ₦537.60, in steps of ₦10: ₦540
    assert pricing.price_minor(210_000, "USD") == 54_000
    # ₦540 ÷ 1.05 ÷ 1600 = $0.3214285…
    assert pricing.max_cost_micros(54_000, "USD") == 321_428


def test_the_wallets_own_currency_needs_no_rate(rules: Flask) -> None:
    set_rules(rules, Decimal("1600"), 0, 0, 1)
    assert pricing.price_minor(1_500_000, "NGN") == 150
    assert set(pricing.currencies()) == {"NGN", "USD"}


def test_without_a_rate_there_is_no_price_and_the_list_is_not_read(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(app.config, "FX_RATES", {"EUR": Decimal(1700)})
    with pytest.raises(pricing.NoRate):
        pricing.price_minor(1, "USD")
    with pytest.raises(pricing.NoRate):
        pricing.max_cost_micros(1, "USD")
    assert pricelists.sync("fivesim") == 0
    assert "no exchange rate for USD" in caplog.text
