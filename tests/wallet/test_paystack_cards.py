"""What we read of cards at the gateway, and what we will not."""

from collections.abc import Callable
from typing import Any

import pytest

from namaskah.wallet.events import without_codes
from namaskah.wallet.paystack import DuplicateReference, GatewayDown, GatewayRefused, Paystack, parse_payment
from namaskah.wallet.paystack_cards import CardGateway, CardRefused, card_of, has_expired

from .test_paystack import answering, sampled

__all__ = ["answering"]

CODE = "AUTH_f00"
TOLD = {
    "authorization_code": CODE, "last4": "8877", "exp_month": "08", "exp_year": "2030", "channel": "card",
    "card_type": "mastercard DEBIT", "bank": "Guaranty Trust Bank", "brand": "mastercard", "reusable": True,
    "signature": "SIG_x",
}  # fmt: skip
Answering = Callable[[int, Any], Paystack]


def told(channel: str = "card", email: Any = "a@b.co", **other: Any) -> Any:
    data = sampled(channel=channel, customer={"email": email}, authorization=TOLD | other)
    return card_of(parse_payment(data))


def charge(paystack: Paystack) -> str | None:
    gateway = CardGateway(paystack.secret_key, paystack.base_url)
    return gateway.charge("r1", CODE, "a@b.co", 250_000, "NGN", 5)


def test_a_card_is_read_whole_and_its_secrets_shown_nowhere() -> None:
    card = told()
    assert (card.code, card.email, card.signature, card.brand) == (CODE, "a@b.co", "SIG_x", "mastercard")
    assert (card.last4, card.exp_month, card.exp_year, card.bank) == ("8877", 8, 2030, "Guaranty Trust Bank")
    payment = parse_payment(sampled(customer={"email": "a@b.co"}, authorization=TOLD))
    assert not any(secret in repr(shown) for secret in (CODE, "a@b.co") for shown in (card, payment))


@pytest.mark.parametrize(
    "other",
    [
        {"channel": "bank_transfer"},
        {"email": None},
        {"reusable": False},
        {"reusable": "true"},
        {"signature": None},
        {"authorization_code": ""},
        {"last4": 8877},
        {"exp_month": "13"},
        {"exp_month": "٨"},
        {"exp_year": True},
        {"exp_year": "30"},
    ],
)
def test_what_is_not_told_whole_is_not_kept(other: dict[str, Any]) -> None:
    assert told(**other) is None


@pytest.mark.parametrize("odd", [None, 0, "", [], "AUTH_1"])
def test_an_odd_authorization_is_none(odd: Any) -> None:
    payment = parse_payment(sampled(customer=odd, authorization=odd))
    assert (payment.email, payment.authorization, card_of(payment)) == ("", {}, None)


@pytest.mark.parametrize(
    ("status", "sentence", "error"),
    [
        (400, "Authorization code is invalid", CardRefused),
        (404, "Authorization code not found", CardRefused),
        (400, "Duplicate Transaction Reference", DuplicateReference),
        (401, "Invalid key", GatewayRefused),
        (400, "Invalid key", GatewayRefused),
        (403, "Currency not supported", GatewayRefused),
        (400, "Integration has been deactivated", GatewayRefused),
        (400, "Invalid Merchant Selected", GatewayRefused),
        (500, "", GatewayDown),
        (429, "", GatewayDown),
    ],
)
def test_each_no_is_told_apart(answering: Answering, status: int, sentence: str, error: type[Exception]) -> None:
    with pytest.raises(error) as refused:
        charge(answering(status, {"status": False, "message": sentence}))
    assert type(refused.value) is error


@pytest.mark.parametrize(
    ("data", "address"),
    [
        ({"reference": "r1", "status": "failed"}, None),
        ({"reference": "r1", "paused": True, "authorization_url": "http://bank.example/x"}, "http://bank.example/x"),
    ],
)
def test_an_attempt_and_a_challenge_are_told_apart(answering: Answering, data: Any, address: str | None) -> None:
    assert charge(answering(200, {"status": True, "data": data})) == address


@pytest.mark.parametrize(
    "data",
    [
        None,
        {"reference": "r2", "status": "success"},
        {"reference": "r1", "paused": True},
        {"reference": "r1", "paused": True, "authorization_url": "javascript:alert(1)"},
    ],
)
def test_an_answer_that_is_none_leaves_the_outcome_open(answering: Answering, data: Any) -> None:
    with pytest.raises(GatewayDown):
        charge(answering(200, {"status": True, "data": data}))


def test_codes_are_taken_out_wherever_they_stand() -> None:
    body = {"data": [{"authorization": TOLD}, {"x": {"authorization_code": CODE}}], "n": 1}
    assert CODE not in str(without_codes(body)) and "SIG_x" in str(without_codes(body))
    assert CODE in str(body)


def test_a_card_is_good_until_its_month_is_over() -> None:
    assert has_expired(12, 2025) and not has_expired(12, 2099)
