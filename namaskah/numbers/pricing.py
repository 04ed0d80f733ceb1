"""Where the price is set: cost × exchange rate × (1 + margin), rounded up to the price step. Whole numbers all the way:
nothing is rounded but the end."""

from decimal import Decimal

from flask import current_app

from namaskah.money import MICROS, MINOR_DIGITS
from namaskah.numbers import rates

NoRate = rates.NoRate


def price_minor(cost_micros: int, currency: str, rate: Decimal | None = None) -> int:
    """What a customer pays, in minor units of the wallet currency: never zero, a whole number of price steps.

    `rate`: what one unit of the provider's currency costs; the one in force now unless given. Rounded up, so that the
    margin is never less than the one set. Raises NoRate.
    """
    step = int(current_app.config["PRICE_STEP_MINOR"])
    minor, of = _minor_rate(currency, rate)
    exact, parts = cost_micros * minor * (100 + current_app.config["MARGIN_PERCENT"]), MICROS * of * 100 * step
    return max(1, -(-exact // parts)) * step


def max_cost_micros(price: int, currency: str, rate: Decimal | None = None) -> int:
    """The most we may pay a provider for something sold at `price` minor units, in millionths of its currency.

    Leaves the minimum margin. `rate` as above. Raises NoRate.
    """
    minor, of = _minor_rate(currency, rate)
    least = 100 + current_app.config["MIN_MARGIN_PERCENT"]
    return int(price * 100 * of * MICROS // (least * minor))


def currencies() -> list[str]:
    """The providers' currencies that prices can be made from now."""
    return list(rates.current())


def _minor_rate(currency: str, rate: Decimal | None) -> tuple[int, int]:
    """Minor units of the wallet's currency for one unit of this one, as a fraction."""
    given = rates.rate_at(currency).rate if rate is None else Decimal(rate)
    minor, of = given.as_integer_ratio()
    return minor * 10 ** MINOR_DIGITS[rates.wallet_currency()], of
