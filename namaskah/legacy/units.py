"""What one credit of the predecessor's is worth here. Its rows do not say, so the operator does."""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from namaskah.money import MINOR_DIGITS
from namaskah.numbers import rates

# Minor units of ours that a credit may be worth at most; with the largest balance a file may state it stays a bigint.
MOST = 10**8
# In dollars, by the predecessor's version.
CUSTOMARY = {"2.0": Decimal(1), "2.1": Decimal(2), "4": Decimal(1)}


class NoUnit(Exception):
    """What was given is no unit. The message is for the operator."""


@dataclass(frozen=True)
class Unit:
    """`written` as it is kept: "2 USD". `minor` is what a credit is in minor units of the wallet's currency."""

    written: str
    amount: Decimal
    currency: str
    rate: Decimal
    minor: Decimal

    def of(self, cents: int) -> int:
        """So many hundredths of a credit in minor units of ours, half-even."""
        with localcontext(prec=60):
            return int((self.minor * cents / 100).to_integral_value(ROUND_HALF_EVEN))


def parse(text: str) -> Unit:
    """'2 USD', 'USD 2', '3300' (the wallet's currency). Raises NoUnit."""
    found = re.fullmatch(r"([A-Za-z]{3})?\s*(\d{1,9}(?:\.\d{1,6})?)\s*([A-Za-z]{3})?", text.strip())
    if not found or (found[1] and found[3]) or not Decimal(found[2]):
        raise NoUnit(f"{text!r} is no unit: say what one credit is worth, as in '2 USD' or '3300 NGN'")
    own = rates.wallet_currency()
    currency = (found[1] or found[3] or own).upper()
    try:
        rate = rates.rate_at(currency).rate
    except rates.NoRate:
        raise NoUnit(f"there is no exchange rate for {currency}; set one, or give the unit in {own}") from None
    amount = Decimal(found[2])
    minor = amount * rate * 10 ** MINOR_DIGITS[own]
    if minor > MOST:
        raise NoUnit(f"{text!r} is more than any credit was worth")
    return Unit(f"{amount.normalize():f} {currency}", amount, currency, rate, minor)
