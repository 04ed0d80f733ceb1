"""Settings that depend on the wallet's currency: what they are when left at 0, and what Paystack would refuse."""

from collections.abc import Collection, Mapping
from typing import Any

from namaskah.wallet.currencies import CURRENCIES
from namaskah.wallet.fees import gross_minor

# The default of FX_RATES says what a dollar costs in naira, and nothing of other currencies.
RATES_ARE_FOR = "NGN"
SUITED = ("TOP_UP_MIN_MINOR", "TOP_UP_MAX_MINOR", "PRICE_STEP_MINOR")


def suited(values: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """Those left at 0, with what suits the currency, and no rates where the default ones, which are not among the
    `given` settings, would be wrong. Settings that could not be read are not in `values`."""
    code = values.get("WALLET_CURRENCY", "")
    currency = CURRENCIES.get(code)
    if currency is None:
        return {}
    found: dict[str, Any] = {name: getattr(currency, name.lower()) for name in SUITED if values.get(name) == 0}
    if code != RATES_ARE_FOR and "FX_RATES" not in given:
        found["FX_RATES"] = {}
    return found


def faults(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with them, as sentences; in production also what Paystack would not take."""
    code = values.get("WALLET_CURRENCY", "")
    currency = CURRENCIES.get(code)
    if currency is None or any(name not in values for name in SUITED):
        return []
    found = [f"{name} is below zero" for name in SUITED if values[name] < 0]
    least, most = values["TOP_UP_MIN_MINOR"], values["TOP_UP_MAX_MINOR"]
    if least > most:
        found.append(f"TOP_UP_MIN_MINOR ({least}) is above TOP_UP_MAX_MINOR ({most}): nobody could top up")
    if values.get("ENVIRONMENT") != "production":
        return found
    if least < currency.least_minor:
        found.append(
            f"TOP_UP_MIN_MINOR is {least}, and Paystack takes no payment in {code} below {currency.least_minor}:"
            " set it to that at least, or to 0"
        )
    asked = gross_minor(most, code) if values.get("TOP_UP_FEE_PAYER") == "customer" else most
    if asked > currency.most_minor:
        found.append(
            f"TOP_UP_MAX_MINOR is {most}, and Paystack takes no payment in {code} above {currency.most_minor},"
            " its fee included where the customer pays it: set it lower, or to 0"
        )
    return found
