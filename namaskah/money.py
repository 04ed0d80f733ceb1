"""Amounts: integers only. Wallet money is in minor units (kobo), provider costs in millionths of their currency."""

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from namaskah.wallet.currencies import CURRENCIES

MICROS = 1_000_000

# How many decimals the wallet currencies we support have, and the sign a person expects.
# CLDR shows the naira sign only in a few locales, so the signs are ours.
MINOR_DIGITS = {code: currency.decimals for code, currency in CURRENCIES.items()}
SIGNS = {code: currency.signs[0] for code, currency in CURRENCIES.items()}


def parse_minor(text: str, currency: str) -> int | None:
    """'2,000', '₦2000.50' or 'NGN 2000' as minor units; None when it is no such amount or has more decimals than the
    currency."""
    cleaned = _without_sign(text.strip().replace(",", "").replace(" ", "").replace("\u00a0", ""), currency)
    # Digits (of any script) alone: "1e999999" is a number to Decimal, and a million digits to int().
    if not re.fullmatch(r"\d{1,15}(\.\d{1,6})?", cleaned):
        return None
    amount = Decimal(cleaned) * 10 ** MINOR_DIGITS[currency]
    return int(amount) if amount == amount.to_integral_value() else None


def _without_sign(text: str, currency: str) -> str:
    """The same without what people write before an amount, in small or capital letters."""
    for sign in sorted((currency, *CURRENCIES[currency].signs), key=len, reverse=True):
        if text[: len(sign)].casefold() == sign.casefold():
            return text[len(sign) :]
    return text


def parse_micros(value: object) -> int:
    """A provider's price ('12.5', 0.1569, 12) as millionths, half-even. Raises ValueError for anything unusable:
    NaN, infinities, negatives, booleans and amounts past a million."""
    return _parse_between(value, 0, MICROS)


def parse_balance_micros(value: object) -> int:
    """What stands on an account at a provider, as millionths: it may be below zero, and large in a small currency.
    Raises ValueError past a trillion of either, for the database has its limits."""
    return _parse_between(value, -MICROS * MICROS, MICROS * MICROS)


def _parse_between(value: object, least: int, most: int) -> int:
    if isinstance(value, bool):
        raise ValueError("a boolean is no amount")
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"no amount: {value!r}"[:80]) from None
    if not amount.is_finite() or not least <= amount <= most:
        raise ValueError(f"amount out of range: {value!r}"[:80])
    return int((amount * MICROS).to_integral_value(ROUND_HALF_EVEN))
