"""Paystack's fee before anything is paid: what is asked for covers the credit, and is the least that does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from namaskah.sandbox import till
from namaskah.wallet.currencies import CURRENCIES
from namaskah.wallet.fees import fee_minor, gross_minor

CODES = sorted(CURRENCIES)
every_currency = pytest.mark.parametrize("code", CODES)


@every_currency
@given(credit=st.integers(1, 1_000_000_000))
def test_after_the_fee_the_credit_is_left_and_a_smaller_payment_leaves_less(code: str, credit: int) -> None:
    gross = gross_minor(credit, code)
    assert gross - fee_minor(gross, code) >= credit
    below = gross - 1
    assert below - fee_minor(below, code) < credit


@every_currency
def test_no_smaller_payment_would_do_tried_one_by_one(code: str) -> None:
    fee = CURRENCIES[code].fee
    turns = {1, 2, 99, 100, 101, fee.flat_from_minor, fee.flat_from_minor - fee.flat_minor, 13_133_333, 13_000_000}
    for credit in sorted(near for turn in turns for near in range(turn - 3, turn + 4) if near > 0):
        gross = gross_minor(credit, code)
        smaller = range(max(credit, gross - 12_000), gross)
        assert all(paid - fee_minor(paid, code) < credit for paid in smaller), (code, credit)
        assert gross - fee_minor(gross, code) >= credit


@given(credit=st.integers(200_000, 300_000))
def test_where_nigerias_flat_sum_begins_the_least_payment_is_found(credit: int) -> None:
    gross = gross_minor(credit, "NGN")
    assert gross - fee_minor(gross, "NGN") >= credit
    assert all(paid - fee_minor(paid, "NGN") < credit for paid in range(credit, gross))


@pytest.mark.parametrize(
    ("code", "credit", "gross"),
    [
        ("NGN", 200_000, 203_046),  # ₦2,000: 1.5 % of ₦2,030.46 is ₦30.4569
        ("NGN", 246_249, 249_999),  # the last one without the ₦100
        ("NGN", 246_250, 260_153),
        ("NGN", 500_000, 517_767),
        ("NGN", 20_000_000, 20_200_000),  # the fee ends at ₦2,000
        ("GHS", 5_000, 5_100),
        ("KES", 50_000, 51_494),
        ("ZAR", 5_000, 5_253),
        ("USD", 1_000, 1_041),
    ],
)
def test_examples_one_can_check_by_hand(code: str, credit: int, gross: int) -> None:
    assert gross_minor(credit, code) == gross


@every_currency
@given(paid=st.integers(1, 1_000_000_000))
def test_the_sandboxs_paystack_has_the_same_price_list(code: str, paid: int) -> None:
    assert fee_minor(paid, code) == till.fees(paid, code)


@every_currency
def test_the_table_makes_sense(code: str) -> None:
    currency = CURRENCIES[code]
    assert currency.least_minor == till.MINIMUM[code]
    assert currency.least_minor <= currency.top_up_min_minor < currency.top_up_max_minor
    assert gross_minor(currency.top_up_max_minor, code) <= currency.most_minor == till.MAXIMUM
    assert list(currency.suggested) == sorted(set(currency.suggested))
    assert all(currency.top_up_min_minor <= each <= currency.top_up_max_minor for each in currency.suggested)
    assert currency.top_up_min_minor % currency.price_step_minor == 0
