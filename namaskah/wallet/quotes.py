"""What a top-up costs its payer, said before anything is paid."""

from dataclasses import dataclass

from flask import current_app

from namaskah.wallet.currencies import CURRENCIES
from namaskah.wallet.fees import fee_minor, gross_minor


@dataclass(frozen=True)
class Quote:
    """`credit_minor` comes into the wallet, `surcharge_minor` is Paystack's fee by its price list where the payer bears
    it, and `asked_minor`, both together, is what the checkout is opened with."""

    credit_minor: int
    surcharge_minor: int

    @property
    def asked_minor(self) -> int:
        return self.credit_minor + self.surcharge_minor


def quote(amount_minor: int) -> Quote:
    """For a top-up of this much, by the present settings. Deterministic: page, preview and checkout say the same."""
    if not customer_pays_fee():
        return Quote(amount_minor, 0)
    return Quote(amount_minor, gross_minor(amount_minor, _currency()) - amount_minor)


def of_payment(paid_minor: int) -> Quote:
    """What a payment of this much brings, by the present settings: the quote that asks for it. Where none does, it is
    parted in the same way, and the credit may be nothing or less."""
    surcharge = fee_minor(paid_minor, _currency()) if customer_pays_fee() else 0
    return Quote(paid_minor - surcharge, surcharge)


def customer_pays_fee() -> bool:
    """Whether Paystack's fee comes on top of what the customer chooses; else the house bears it."""
    return bool(current_app.config["TOP_UP_FEE_PAYER"] == "customer")


def is_allowed(amount_minor: int) -> bool:
    """Whether a top-up of this much is within our limits and, with the fee, within Paystack's."""
    config = current_app.config
    if not config["TOP_UP_MIN_MINOR"] <= amount_minor <= config["TOP_UP_MAX_MINOR"]:
        return False
    return quote(amount_minor).asked_minor <= CURRENCIES[_currency()].most_minor


def suggested() -> list[int]:
    """The round amounts that suit the currency and the limits."""
    return [amount for amount in CURRENCIES[_currency()].suggested if is_allowed(amount)]


def _currency() -> str:
    return str(current_app.config["WALLET_CURRENCY"])
