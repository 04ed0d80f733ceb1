"""Each provider of numbers: whether it knows our key, and whether there is money on our account."""

from typing import Any

from namaskah.doctor.findings import Finding, bad, ok, warning
from namaskah.numbers import registry
from namaskah.providers.base import Provider, ProviderDown

KEY_REFUSED = {"bad_credentials", "account_blocked"}


def look(values: dict[str, Any]) -> list[Finding]:
    found = [_one(adapter) for adapter in registry.adapters(values)]
    mend = "Set FIVESIM_TOKEN, or SMS_ACTIVATE_PROVIDERS and SMS_ACTIVATE_KEYS."
    return found or [warning("providers", "there is none: nothing can be sold", mend)]


def _one(adapter: Provider) -> Finding:
    check = f"provider {adapter.name}"
    try:
        micros = adapter.balance_micros()
    except ProviderDown as error:
        if error.reason in KEY_REFUSED:
            return bad(
                check, f"refuses us: {error.reason}", "Take the key of its account page; see whether it is open."
            )
        mend = "Nothing of it is sold meanwhile; try again, then ask its support."
        return warning(check, f"does not tell our balance: {error.reason}", mend)
    says = f"takes our key; {micros // 10_000 / 100:.2f} {adapter.currency} on our account"
    if micros <= 0:
        return bad(check, says, "Pay money in: it sells us nothing.")
    return ok(check, says)
