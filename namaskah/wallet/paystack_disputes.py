"""Paystack's disputes: what is told about one, which there are, and our answer with its evidence.

Built from plain values, as paystack.py is. Reading is always safe. An answer is not repeated blindly: whoever gets no
clear outcome asks for the dispute first.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from namaskah import http
from namaskah.wallet.paystack import (
    DEADLINE_SECONDS,
    GatewayDown,
    GatewayRefused,
    Paystack,
    is_yes,
    moment,
    parse_amount,
    text,
)

PAGE = 100
UPLOAD_SECONDS = 30.0


@dataclass(frozen=True)
class ToldDispute:
    """What the gateway says of a dispute, in its own words. `amount_minor` is None where it names none: all of it."""

    gateway_id: str
    reference: str
    status: str
    resolution: str | None
    category: str
    currency: str
    amount_minor: int | None
    domain: str
    due_at: datetime | None
    changed_at: datetime | None
    payer_phone: str


@dataclass(frozen=True)
class DisputeDesk(Paystack):
    """The part of one integration where disputes are looked at and answered."""

    def dispute(self, gateway_id: str) -> ToldDispute | None:
        """One dispute; None when the gateway knows none by that number.

        Raises GatewayDown or GatewayRefused. Source: GET /dispute/:id.
        """
        status, answer = self._call("GET", f"/dispute/{gateway_id}", DEADLINE_SECONDS)
        if not is_yes(status, answer):
            # An unknown number is a 404; which sentence comes with it is not documented.
            if status == 404:
                return None
            raise _refusal(status, answer)
        told = parse_dispute(answer.get("data"))
        if told.gateway_id != gateway_id:
            raise GatewayDown("dispute: an answer about another one")
        return told

    def list_disputes(self, status: str, page: int) -> tuple[list[str], bool]:
        """The numbers of one page of the disputes with this status, and whether another follows. What else a row says
        is not read: one that is odd must not hide the others.

        Raises GatewayDown or GatewayRefused. Source: GET /dispute.
        """
        query = urlencode({"status": status, "perPage": PAGE, "page": page})
        code, answer = self._call("GET", f"/dispute?{query}", DEADLINE_SECONDS)
        if not is_yes(code, answer):
            raise _refusal(code, answer)
        rows = answer.get("data")
        if not isinstance(rows, list):
            raise GatewayDown("disputes: no data")
        found = [dispute_id(row.get("id")) for row in rows if isinstance(row, dict)]
        return [each for each in found if each], len(rows) >= PAGE

    def upload(self, gateway_id: str, name: str, content: bytes) -> str:
        """Put a file to an address the gateway signs for it; returns what the gateway calls it from then on. Each call
        is a new file, and one that no answer names is none.

        Raises GatewayDown or GatewayRefused. Source: GET /dispute/:id/upload_url.
        """
        query = urlencode({"upload_filename": name})
        data = self._done("GET", f"/dispute/{gateway_id}/upload_url?{query}")
        url, stored = data.get("signedUrl"), text(data.get("fileName"), 200)
        if not isinstance(url, str) or not self._is_web_address(url) or not stored:
            raise GatewayDown("upload: no address")
        try:
            # The key stays here: the address itself is the permission.
            answer = http.request(
                "PUT", url, headers={"Content-Type": "application/pdf"}, body=content, deadline=UPLOAD_SECONDS
            )
        except (http.NeverSent, http.NoAnswer, http.BadAnswer) as error:
            raise GatewayDown(f"upload: {type(error).__name__}") from None
        if answer.status not in (200, 201, 204):
            raise GatewayDown(f"upload: HTTP {answer.status}")
        return stored

    def add_evidence(self, gateway_id: str, evidence: dict[str, str]) -> str | None:
        """Tell who the customer is and what was delivered; gives the evidence's number.

        Raises GatewayDown or GatewayRefused. Source: POST /dispute/:id/evidence.
        """
        found = self._done("POST", f"/dispute/{gateway_id}/evidence", dict(evidence)).get("id")
        return str(found) if isinstance(found, int) else None

    def resolve(
        self, gateway_id: str, resolution: str, message: str, refund_minor: int, uploaded: str, evidence: str | None
    ) -> None:
        """Answer: "merchant-accepted" or "declined". Raises GatewayRefused on a clear no, GatewayDown when the outcome
        is unknown. Source: PUT /dispute/:id/resolve."""
        wanted: dict[str, Any] = {
            "resolution": resolution,
            "message": message,
            "refund_amount": refund_minor,
            "uploaded_filename": uploaded,
        }
        if evidence:
            wanted["evidence"] = int(evidence)
        status, answer = self._call("PUT", f"/dispute/{gateway_id}/resolve", DEADLINE_SECONDS, wanted)
        if not is_yes(status, answer):
            raise _refusal(status, answer)

    def _done(self, method: str, path: str, wanted: dict[str, Any] | None = None) -> dict[str, Any]:
        status, answer = self._call(method, path, DEADLINE_SECONDS, wanted)
        if not is_yes(status, answer):
            raise _refusal(status, answer)
        data = answer.get("data")
        if not isinstance(data, dict):
            raise GatewayDown("no data")
        return data


def parse_dispute(data: object) -> ToldDispute:
    """The `data` of GET /dispute/:id. Raises GatewayDown when a field that decides about money is missing or odd."""
    if not isinstance(data, dict):
        raise GatewayDown("dispute: no data")
    payment, customer = data.get("transaction"), data.get("customer")
    payment, customer = (each if isinstance(each, dict) else {} for each in (payment, customer))
    gateway_id = dispute_id(data.get("id"))
    found = {
        "status": text(data.get("status"), 32).lower(),
        "reference": text(payment.get("reference") or data.get("transaction_reference"), 100),
        "currency": text(data.get("currency") or payment.get("currency"), 3),
        "domain": text(data.get("domain") or payment.get("domain"), 16),
    }
    missing = [name for name, word in {**found, "id": gateway_id}.items() if not word]
    if missing:
        raise GatewayDown(f"dispute: no {', '.join(missing)}")
    amount = data.get("refund_amount")
    return ToldDispute(
        gateway_id=str(gateway_id),
        **found,
        resolution=text(data.get("resolution"), 32).lower() or None,
        category=text(data.get("category"), 24),
        amount_minor=None if amount is None else parse_amount(amount),
        due_at=moment(data.get("dueAt")),
        changed_at=moment(data.get("updatedAt") or data.get("updated_at")),
        payer_phone=text(customer.get("phone"), 40),
    )


def dispute_id(value: object) -> str | None:
    """The gateway's number of a dispute, from a number or digits; None for anything else."""
    found = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    return found if re.fullmatch("[0-9]{1,20}", found) else None


def _refusal(status: int, answer: dict[str, Any]) -> GatewayRefused:
    return GatewayRefused(text(answer.get("message"), 200) or f"HTTP {status}")
