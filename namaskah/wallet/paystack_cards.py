"""Paystack's API for cards that their owners let us keep: read what a payment leaves behind, charge it again, have it
forgotten.

Like `paystack`, built from plain values. A charge goes out under our own reference, so it may be asked for again: the
second one is a duplicate and takes nothing.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from namaskah.wallet.paystack import (
    DEADLINE_SECONDS,
    DuplicateReference,
    GatewayDown,
    GatewayRefused,
    Payment,
    Paystack,
)

# In refusals about our key or our account at the gateway, which may come as 400 too.
ABOUT_US = ("invalid key", "integration", "merchant")


class CardRefused(GatewayRefused):
    """The gateway will not charge this card at all: it knows the code no more, or not with this e-mail. A definite no,
    nothing was taken. (Any other refusal is about us, not about the card.)"""


@dataclass(frozen=True)
class Card:
    """What a payment leaves behind. `code` charges the card again, under the same `email`; `signature` is the card,
    whichever code it comes with."""

    code: str = field(repr=False)
    email: str = field(repr=False)
    signature: str
    brand: str
    last4: str
    exp_month: int
    exp_year: int
    bank: str


@dataclass(frozen=True)
class CardGateway(Paystack):
    """The same integration, for cards."""

    def charge(
        self, reference: str, card_code: str, email: str, amount_minor: int, currency: str, deadline: float
    ) -> str | None:
        """Charge a card under our reference. None: it was attempted, verify() tells what came of it. An address: the
        bank wants to see the cardholder there first, and nothing was taken yet.

        Raises DuplicateReference when an earlier call got through, CardRefused or GatewayRefused on any other no,
        GatewayDown when the outcome is unknown. Source: POST /transaction/charge_authorization.
        """
        wanted = {
            "reference": reference,
            "authorization_code": card_code,
            "email": email,
            "amount": amount_minor,
            "currency": currency,
        }
        status, answer = self._call("POST", "/transaction/charge_authorization", deadline, wanted)
        if not _is_yes(status, answer):
            raise _refusal(status, answer)
        data = answer.get("data")
        if not isinstance(data, dict) or data.get("reference") != reference:
            raise GatewayDown("charge: not the answer to what was asked")
        if not data.get("paused"):
            return None
        if not self._is_web_address(data.get("authorization_url")):
            raise GatewayDown("charge: no address to confirm it at")
        return str(data["authorization_url"])

    def deactivate(self, card_code: str) -> bool:
        """Have a code forgotten; whether it was known. Raises GatewayDown, or GatewayRefused (a wrong key).

        Source: POST /customer/deactivate_authorization.
        """
        wanted = {"authorization_code": card_code}
        status, answer = self._call("POST", "/customer/deactivate_authorization", DEADLINE_SECONDS, wanted)
        if _is_yes(status, answer):
            return True
        refusal = _refusal(status, answer)
        if isinstance(refusal, CardRefused):
            return False  # nothing is left that could be charged
        raise refusal


def card_of(payment: Payment) -> Card | None:
    """The card that a payment was made with, if it may be charged again; None for every other way to pay, and for one
    that is not told whole."""
    told = payment.authorization
    if payment.channel != "card" or told.get("reusable") is not True:
        return None
    words = {name: _word(told.get(name)) for name in ("authorization_code", "signature", "brand", "last4", "bank")}
    month, year = _number(told.get("exp_month")), _number(told.get("exp_year"))
    needed = (payment.email, words["authorization_code"], words["signature"], words["last4"])
    if not all(needed) or not 1 <= month <= 12 or not 2000 <= year <= 2200:
        return None
    return Card(
        code=words["authorization_code"],
        email=payment.email,
        signature=words["signature"],
        brand=(words["brand"] or _word(told.get("card_type")))[:40],
        last4=words["last4"][-4:],
        exp_month=month,
        exp_year=year,
        bank=words["bank"],
    )


def has_expired(exp_month: int, exp_year: int) -> bool:
    """Whether the month that stands on a card is over, everywhere but in the westernmost hours of its last day."""
    now = datetime.now(UTC)
    return (exp_year, exp_month) < (now.year, now.month)


def _is_yes(status: int, answer: dict[str, Any]) -> bool:
    return status < 300 and str(answer.get("status")).lower() == "true"


def _refusal(status: int, answer: dict[str, Any]) -> GatewayRefused:
    reason = _word(answer.get("message"), 200) or f"HTTP {status}"
    if "duplicate" in reason.lower():
        return DuplicateReference(reason)
    is_about_us = status not in (400, 404, 422) or any(word in reason.lower() for word in ABOUT_US)
    return (GatewayRefused if is_about_us else CardRefused)(reason)


def _word(value: object, limit: int = 100) -> str:
    """Text as the database can hold it."""
    if not isinstance(value, str):
        return ""
    return value.replace("\0", "").encode("utf-8", "replace").decode().strip()[:limit]


def _number(value: object) -> int:
    """The month or the year on a card, which come as text; 0 for anything odd."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
