"""Where the price is set: cost × exchange rate × (1 + margin), rounded up to the price step."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from flask import current_app

from namaskah.money import MICROS, MINOR_DIGITS


class NoRate(Exception):
    """No exchange rate is set for a provider's currency, so nothing of it can be sold."""


def price_minor(cost_micros: int, currency: str) -> int:
    """What a customer pays, in minor units of the wallet currency: never zero, a whole number of price steps.

    Rounded up, so that the margin is never less than the one set. Raises NoRate.
    """
    margin = Decimal(100 + current_app.config["MARGIN_PERCENT"]) / 100
    step = int(current_app.config["PRICE_STEP_MINOR"])
    exact = Decimal(cost_micros) / MICROS * _minor_rate(currency) * margin
    return max(1, int((exact / step).to_integral_value(ROUND_CEILING))) * step


def max_cost_micros(price: int, currency: str) -> int:
    """The most we may pay a provider for something sold at `price` minor units, in millionths of its currency.

    Leaves the minimum margin. Raises NoRate.
    """
    margin = Decimal(100 + current_app.config["MIN_MARGIN_PERCENT"]) / 100
    exact = Decimal(price) / margin / _minor_rate(currency) * MICROS
    return int(exact.to_integral_value(ROUND_FLOOR))


def currencies() -> list[str]:
    """The providers' currencies that prices can be made from."""
    return [current_app.config["WALLET_CURRENCY"], *current_app.config["FX_RATES"]]


def _minor_rate(currency: str) -> Decimal:
    wallet = current_app.config["WALLET_CURRENCY"]
    rate = Decimal(1) if currency == wallet else current_app.config["FX_RATES"].get(currency)
    if rate is None:
        raise NoRate(currency)
    return Decimal(rate) * 10 ** MINOR_DIGITS[wallet]
