"""Paystack's refunds: ask for one, read it, name the bank account it waits for.

Built from plain values, like the rest of Paystack's API (paystack.py), with one difference that decides everything
above it: a refund has no reference of ours, so asking twice is refunding twice. Ours stands in `merchant_note`, where
it can be found again.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from namaskah.wallet.paystack import (
    DEADLINE_SECONDS,
    GatewayDown,
    GatewayRefused,
    Paystack,
    parse_amount,
)

PAGE = 100
MOST_PAGES = 20
OUR_REFERENCE = re.compile(r"RF-[0-9a-f]{20}")


@dataclass(frozen=True)
class Refund:
    """What the gateway knows of one refund. `status` is its own word; `our_reference` is read from the note we sent."""

    id: str
    status: str
    amount_minor: int
    currency: str
    our_reference: str | None


@dataclass(frozen=True)
class Bank:
    """A bank the gateway can pay into, by its own number."""

    id: str
    name: str


class PaystackRefunds(Paystack):
    """The part of the API that gives money back."""

    def create(self, payment_reference: str, amount_minor: int, currency: str, our_reference: str) -> Refund:
        """Ask for a refund of this payment. Not safe to repeat.

        Raises GatewayRefused on a definite no, GatewayDown when the outcome is unknown. Source: POST /refund.
        """
        wanted = {
            "transaction": payment_reference,
            "amount": amount_minor,
            "currency": currency,
            "merchant_note": our_reference,
        }
        return parse_refund(self._data("POST", "/refund", wanted))

    def fetch(self, refund_id: str) -> Refund:
        """One refund as it is now. Raises GatewayDown or GatewayRefused. Source: GET /refund/:id."""
        found = parse_refund(self._data("GET", f"/refund/{quote(refund_id, safe='')}"))
        if found.id != refund_id:
            raise GatewayDown("refund: an answer about another one")
        return found

    def of_payment(self, payment_reference: str) -> list[Refund]:
        """All refunds of a payment, whoever asked for them; the whole list or none of it.

        Raises GatewayDown or GatewayRefused. Source: GET /refund?transaction=, which wants the payment's number.
        """
        payment = self._data("GET", f"/transaction/verify/{quote(payment_reference, safe='')}")
        number = payment.get("id") if isinstance(payment, dict) else None
        if not isinstance(payment, dict) or payment.get("reference") != payment_reference or not _is_number(number):
            raise GatewayDown("refund: the payment has no number")
        found: list[Refund] = []
        for page in range(1, MOST_PAGES + 1):
            query = urlencode({"transaction": number, "perPage": PAGE, "page": page})
            rows = self._data("GET", f"/refund?{query}")
            if not isinstance(rows, list):
                raise GatewayDown("refund: no list")
            found += [parse_refund(row) for row in rows if _is_of(row, number)]
            if len(rows) < PAGE:
                return found
        raise GatewayDown("refund: a list without end")

    def retry_into(self, refund_id: str, currency: str, bank_id: str, account_number: str) -> Refund:
        """Name the account a refund that needs attention shall be paid into. A second time it is refused.

        Raises GatewayRefused (a wrong account, another state), or GatewayDown when the outcome is unknown.
        Source: POST /refund/retry_with_customer_details/:id.
        """
        account = {"currency": currency, "account_number": account_number, "bank_id": bank_id}
        path = f"/refund/retry_with_customer_details/{quote(refund_id, safe='')}"
        return parse_refund(self._data("POST", path, {"refund_account_details": account}))

    def banks(self, currency: str) -> list[Bank]:
        """Banks that money in this currency can go to. Raises GatewayDown or GatewayRefused. Source: GET /bank."""
        rows = self._data("GET", f"/bank?{urlencode({'currency': currency})}")
        if not isinstance(rows, list):
            raise GatewayDown("bank: no list")
        named = [row for row in rows if isinstance(row, dict) and _is_number(row.get("id")) and row.get("name")]
        return sorted((Bank(str(row["id"]), str(row["name"])[:100]) for row in named), key=lambda bank: bank.name)

    def _data(self, method: str, path: str, wanted: dict[str, Any] | None = None) -> Any:
        status, answer = self._call(method, path, DEADLINE_SECONDS, wanted)
        if status < 300 and str(answer.get("status")).lower() == "true":
            return answer.get("data")
        raise GatewayRefused(str(answer.get("message") or f"HTTP {status}")[:200])


def parse_refund(data: object) -> Refund:
    """A refund in an answer. Raises GatewayDown when a field that decides about money is missing or odd."""
    if not isinstance(data, dict):
        raise GatewayDown("refund: no data")
    number, status, currency = data.get("id"), data.get("status"), data.get("currency")
    if not (_is_number(number) and isinstance(status, str) and status and isinstance(currency, str)):
        raise GatewayDown("refund: no id, status or currency")
    note = data.get("merchant_note")
    ours = OUR_REFERENCE.search(note) if isinstance(note, str) else None
    return Refund(
        id=str(number),
        status=status.lower().replace("_", "-")[:32],
        amount_minor=parse_amount(data.get("amount")),
        currency=currency,
        our_reference=ours[0] if ours else None,
    )


def _is_of(row: object, payment_number: object) -> bool:
    """Were the filter ignored, others' refunds would come too. A row names its payment by number or whole."""
    told = row.get("transaction") if isinstance(row, dict) else None
    told = told.get("id") if isinstance(told, dict) else told
    return told is None or str(told) == str(payment_number)


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and re.fullmatch("[0-9]{1,20}", str(value)) is not None
