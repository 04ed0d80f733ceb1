"""Paystack: whether our key opens its books. One payment is listed, nothing is done."""

from typing import Any

from namaskah import http
from namaskah.doctor.findings import Finding, bad, ok, warning

DEADLINE_SECONDS = 8.0


def ask(values: dict[str, Any]) -> http.Response:
    """A harmless read with our key. Raises what http.request() does."""
    return http.request(
        "GET",
        values["PAYSTACK_BASE_URL"] + "/transaction",
        params={"perPage": "1"},
        headers={"Authorization": f"Bearer {values['PAYSTACK_SECRET_KEY']}"},
        deadline=DEADLINE_SECONDS,
    )


def look(values: dict[str, Any]) -> list[Finding]:
    if not values.get("PAYSTACK_SECRET_KEY"):
        mend = "Set PAYSTACK_SECRET_KEY to the live key of Paystack's dashboard (Settings, API keys)."
        return [warning("paystack", "there is no key: top-ups are closed", mend)]
    try:
        status = ask(values).status
    except (http.NeverSent, http.NoAnswer, http.BadAnswer) as error:
        mend = "Let this host reach api.paystack.co on port 443, and check status.paystack.com."
        return [bad("paystack", f"does not answer: {type(error).__name__}", mend)]
    if status in (401, 403):
        mend = "Take the secret key (not the public one) of the dashboard; look whether it limits addresses."
        return [bad("paystack", f"refuses our key ({status})", mend)]
    if status != 200:
        return [warning("paystack", f"answers {status}", "Try again; see status.paystack.com.")]
    hook = f"{values.get('BASE_URL', '')}/webhooks/paystack"
    return [ok("paystack", f"takes our key; its dashboard must name {hook} as webhook")]
