"""handler_api's activations as they are written: bought, polled, listed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Response, g

from .books import Order, Sms
from .handler_wire import USD, Call, as_json, money, text

# The numeric states of the lists: 3 waits for the next code, 4 is active, 6 done, 8 cancelled.
_STATE = {
    "pending": "4",
    "received": "4",
    "retry": "3",
    "finished": "6",
    "canceled": "8",
    "banned": "8",
    "timeout": "8",
}
_ENDED_EMPTY = ("canceled", "banned", "timeout")


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")


def _iso(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat()


def bought(call: Call, order: Order, order_id: int) -> Response:
    """getNumberV2. HeroSMS writes the id as a string, times in ISO form and adds the end of the window."""
    told: dict[str, Any] = {
        "activationId": order_id,
        "phoneNumber": order.phone,
        "activationCost": money(order.cost_micros),
        "currency": USD,
        "countryCode": order.country,
        "canGetAnotherSms": "1",
        "activationTime": _stamp(order.created_at),
        "activationOperator": order.operator,
    }
    if call.is_hero:
        told |= {
            "activationId": str(order_id),
            "countryCode": int(order.country),
            "countryPhoneCode": int(call.account.country(order.country).dial),
            "canGetAnotherSms": True,
            "activationTime": _iso(order.created_at),
            "activationEndTime": _iso(order.expires_at),
            "verificationType": "sms",
            "subtype": 1,
            "serviceCode": order.service,
            "status": 4,
        }
    return as_json(told)


def _said(sms: Sms) -> str:
    """The code, or the whole text when no code was found in it."""
    return sms.code or sms.text


def status(call: Call) -> Response:
    order = call.account.get(call.order_id())
    last = order.last_sms
    if order.status in _ENDED_EMPTY:
        return text("STATUS_CANCEL")
    if last is None:
        return text("STATUS_WAIT_CODE")
    if order.status == "retry":
        return text(f"STATUS_WAIT_RETRY:{_said(last)}")
    return text(f"STATUS_OK:{_said(last)}")


def _hero_sms(order: Order, sms: Sms) -> dict[str, Any]:
    return {
        "id": str(sms.id),
        "phoneFrom": sms.sender,
        "code": sms.code,
        "text": sms.text,
        "service": order.service,
        "date": _iso(sms.received_at),
        "type": "sms",
    }


def status_v2(call: Call) -> Response:
    """The message as JSON: under `sms` at the classic, under `data` at HeroSMS; null while waiting."""
    order = call.account.get(call.order_id())
    if order.status in _ENDED_EMPTY:
        return text("STATUS_CANCEL")
    last = None if order.status == "retry" else order.last_sms
    if call.is_hero:
        return as_json({"verificationType": "sms", "data": last and _hero_sms(order, last)})
    sms = last and {"dateTime": _stamp(last.received_at), "code": last.code, "text": last.text}
    return as_json({"verificationType": 0, "sms": sms})


def full_sms(call: Call) -> Response:
    order = call.account.get(call.order_id())
    if order.status in _ENDED_EMPTY:
        return text("STATUS_CANCEL")
    return text(f"FULL_SMS:{order.last_sms.text}" if order.last_sms else "STATUS_WAIT_CODE")


def all_sms(call: Call) -> Response:
    order = call.account.get(call.order_id())
    size, page = call.number("size", 20), max(1, call.number("page", 1))
    rows = [_hero_sms(order, s) for s in order.sms][(page - 1) * size : page * size]
    return as_json({"data": rows, "meta": {"total": len(order.sms), "service": order.service}})


def _active(call: Call, order: Order) -> dict[str, Any]:
    last = order.last_sms
    row: dict[str, Any] = {
        "activationId": str(order.id),
        "serviceCode": order.service,
        "phoneNumber": order.phone,
        "activationCost": f"{money(order.cost_micros):.2f}",
        "activationStatus": _STATE[order.status],
        "smsCode": last and last.code,
        "smsText": last and last.text,
        "activationTime": _stamp(order.created_at),
        "discount": "0.00",
        "repeated": "0",
        "countryCode": order.country,
        "countryName": call.account.country(order.country).name,
        "canGetAnotherSms": "1",
        "currency": USD,
    }
    if call.is_hero:
        row |= {"activationCost": money(order.cost_micros), "verificationType": "sms", "subtype": 1}
    return row


def active(call: Call) -> Response:
    """Open activations. HeroSMS keeps them in `data`, beside an empty relic of a database answer."""
    start, limit = call.number("start", 0), call.number("limit", 100)
    rows = [_active(call, o) for o in call.account.listing(only_open=True)][start : start + limit]
    if rows and g.get("twist") == "bad_row":
        rows[0]["phoneNumber"] = ""
    if call.is_hero:
        relic: dict[str, Any] = {"affected_rows": 0, "num_rows": 0, "row": [], "rows": []}
        return as_json({"status": "success", "data": rows, "activeActivations": relic})
    if not rows:
        return as_json({"status": "error", "error": "NO_ACTIVATIONS"})
    return as_json({"status": "success", "activeActivations": rows})


def history(call: Call) -> Response:
    """Orders bought between two Unix times, newest first, at most 100 at once."""
    start, end = call.number("start", 0), call.number("end", int(datetime.now(UTC).timestamp()) + 1)
    offset, size = call.number("offset", 0), min(call.number("size", 50), 100)
    within = [o for o in call.account.listing() if start <= o.created_at.timestamp() <= end]
    return as_json(
        [
            {
                "id": str(o.id) if call.is_hero else o.id,
                "date": _stamp(o.created_at),
                "phone": o.phone,
                "sms": o.last_sms and o.last_sms.text,
                "cost": 0 if o.refunded else money(o.cost_micros),
                "status": _STATE[o.status],
                "currency": USD,
            }
            for o in within[offset : offset + size]
        ]
    )
