"""How the handler_api flavours write answers and refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response

from .books import Account, Refused

USD = 840

# HeroSMS's JSON errors: title → HTTP status and details.
_HERO = {
    "BAD_KEY": (401, "Unauthorized"),
    "BAD_ACTION": (404, "Method Not Found"),
    "NO_ACTIVATION": (404, "Activation Not Found"),
    "BAD_STATUS": (400, "Status is not allowed for this activation"),
    "WRONG_MAX_PRICE": (400, "The maximum price is less than the permitted price"),
    "NO_BALANCE": (402, "Payment Required"),
    "EARLY_CANCEL_DENIED": (409, "Too early to cancel this activation"),
    "OTP_RECEIVED": (409, "A code has been received already"),
    "ACTIVATION_NOT_ACTIVE": (409, "Activation is not active"),
    "UNPROCESSABLE_ENTITY": (422, "Unprocessable Entity"),
    "RATE_LIMIT": (429, ""),
}


@dataclass
class Call:
    """One request: whose account, which parameters (query or form), which flavour."""

    account: Account
    parameters: Mapping[str, str]
    is_hero: bool

    def get(self, name: str) -> str:
        return self.parameters.get(name, "")

    def number(self, name: str, default: int) -> int:
        value = self.get(name)
        return int(value) if value.isdigit() else default

    def order_id(self) -> int:
        """The activation id; raises Refused("not_found") when it is no number."""
        value = self.get("id") or self.get("activationId")
        if not value.isdigit():
            raise Refused("not_found")
        return int(value)


def text(code: str) -> Response:
    return Response(code, 200, mimetype="text/html")


def as_json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), status, mimetype="application/json")


def money(micros: int) -> float:
    """Prices are JSON numbers in these lists; only this line ever makes a float of them."""
    return round(micros / 1_000_000, 4)


def refuse(call: Call, code: str, **info: Any) -> Response:
    """A refusal in the caller's flavour. A few codes are plain text with HTTP 200 in both."""
    if "min" in info:
        info["min"] = money(info["min"])
    if call.is_hero and code in _HERO:
        return _hero_error(code, info)
    if code == "RATE_LIMIT":
        return Response("", 429, mimetype="text/html")
    return text(f"{code}:{info['min']}" if "min" in info else code)


def _hero_error(code: str, info: dict[str, Any]) -> Response:
    status, details = _HERO[code]
    error: dict[str, Any] = {"title": "NOT_FOUND" if code == "NO_ACTIVATION" else code, "details": details}
    if "field" in info:
        info |= {"code": "INVALID", "message": f"Param '{info['field']}' is invalid"}
    if info:
        error["info"] = info
    response = as_json(error, status)
    if status == 429:
        response.headers["Retry-After"] = "5"
    return response
