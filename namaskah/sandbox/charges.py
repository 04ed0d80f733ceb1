"""A transaction as Paystack describes it, in answers to verify and in the charge.success webhook."""

from __future__ import annotations

import hashlib
import hmac
import json
import zlib
from datetime import datetime
from typing import Any

from .till import Transaction


def stamp(at: datetime | None) -> str | None:
    """Paystack's times: UTC, milliseconds, Z."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z" if at else None


def customer_data(transaction: Transaction) -> dict[str, Any]:
    """The payer, as the gateway knows them."""
    number = zlib.crc32(transaction.email.encode())
    return {
        "id": number,
        "first_name": None,
        "last_name": None,
        "email": transaction.email,
        "customer_code": f"CUS_{number:08x}",
        "phone": None,
        "metadata": None,
        "risk_action": "default",
        "international_format_phone": None,
    }


def _log(transaction: Transaction) -> dict[str, Any] | None:
    if not transaction.history:
        return None
    return {
        "start_time": int(transaction.created_at.timestamp()),
        "time_spent": transaction.history[-1]["time"],
        "attempts": transaction.attempts,
        "errors": transaction.errors,
        "success": transaction.status == "success",
        "mobile": False,
        "input": [],
        "history": transaction.history,
    }


def _metadata(sent: Any) -> Any:
    """Sent as an object or as a string of JSON, told as an object; anything else comes back as it was sent."""
    if isinstance(sent, str) and sent.startswith(("{", "[")):
        try:
            return json.loads(sent)
        except ValueError:
            return sent
    return sent


def _core(transaction: Transaction, domain: str) -> dict[str, Any]:
    """`amount` is what was really paid; what was asked for is in `requested_amount`."""
    amount = transaction.amount if transaction.paid_amount is None else transaction.paid_amount
    return {
        "id": transaction.id,
        "domain": transaction.domain or domain,
        "status": transaction.status,
        "reference": transaction.reference,
        "receipt_number": None,
        "amount": amount,
        "message": None,
        "gateway_response": transaction.gateway_response,
        "paid_at": stamp(transaction.paid_at),
        "created_at": stamp(transaction.created_at),
        "channel": transaction.channel,
        "currency": transaction.currency,
        "ip_address": "127.0.0.1",
        "metadata": _metadata(transaction.metadata),
        "log": _log(transaction),
        "fees": transaction.fees,
        "fees_split": None,
        "authorization": transaction.authorization,
        "customer": customer_data(transaction),
        "plan": None,
        "split": {},
        "order_id": None,
        "paidAt": stamp(transaction.paid_at),
        "createdAt": stamp(transaction.created_at),
        "requested_amount": transaction.amount,
        "pos_transaction_data": None,
        "source": None,
        "fees_breakdown": None,
        "connect": None,
    }


def verify_data(transaction: Transaction, domain: str) -> dict[str, Any]:
    """The `data` of verify and of a transaction in a list."""
    more: dict[str, Any] = {"transaction_date": stamp(transaction.created_at), "plan_object": {}, "subaccount": {}}
    return {**_core(transaction, domain), **more}


def webhook_body(transaction: Transaction, domain: str) -> bytes:
    """The raw charge.success body. Without metadata the webhook says 0 where verify says an empty string."""
    data = {**_core(transaction, domain), "plan": {}, "subaccount": {}}
    if data["metadata"] == "":
        data["metadata"] = 0
    return json.dumps({"event": "charge.success", "data": data}, separators=(",", ":")).encode()


def signature(body: bytes, secret_key: str) -> str:
    """x-paystack-signature: lower-case hex HMAC-SHA512 of the raw body under the secret key itself."""
    return hmac.new(secret_key.encode(), body, hashlib.sha512).hexdigest()
