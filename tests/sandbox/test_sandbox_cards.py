"""Kept cards over real HTTP: authorizations of payments, charges with them, and their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sandbox_help import Client, eventually
from test_sandbox_paystack import act, begin, verify

from namaskah.sandbox import Config, Sandbox

EMAIL = "alice@example.org"


def authorization(client: Any, **paid_with: str) -> Any:
    begun = begin(client)
    act(client, begun, **paid_with)
    return verify(client, begun["reference"])["authorization"]


@pytest.fixture
def code(client: Client) -> str:
    return str(authorization(client)["authorization_code"])


def charge(client: Any, code: str, reference: str = "auto-1", **more: Any) -> tuple[int, Any]:
    wanted = {"email": EMAIL, "amount": 200_000, "authorization_code": code, "reference": reference, **more}
    answer: tuple[int, Any] = client.paystack("POST", "transaction/charge_authorization", json=wanted)
    return answer


def test_a_card_is_told_with_all_that_one_keeps_of_it(client: Any) -> None:
    first, again = authorization(client), authorization(client)
    assert first["authorization_code"].startswith("AUTH_") and first["signature"].startswith("SIG_")
    assert (first["reusable"], first["last4"], first["exp_month"], first["exp_year"]) == (True, "4081", "12", "2030")
    assert again == first


def test_other_ways_to_pay_leave_nothing_to_charge_again(client: Any) -> None:
    once = authorization(client, **{"with": "once"})
    assert once["reusable"] is False
    assert charge(client, once["authorization_code"])[1]["message"] == "Authorization code is invalid"
    begun = begin(client)
    act(client, begun, **{"with": "transfer"})
    paid = verify(client, begun["reference"])
    assert (paid["channel"], paid["authorization"]) == ("bank_transfer", {})


def test_a_charge_succeeds_once_and_is_announced(client: Any, code: str, receiver: Any) -> None:
    status, body = charge(client, code)
    assert (status, body["message"]) == (200, "Charge attempted")
    assert (body["data"]["status"], body["data"]["amount"], body["data"]["reference"]) == ("success", 200_000, "auto-1")
    assert verify(client, "auto-1")["authorization"]["authorization_code"] == code
    eventually(lambda: any(b"auto-1" in raw for _headers, raw in receiver.requests))
    status, body = charge(client, code)
    assert (status, body["message"]) == (400, "Duplicate Transaction Reference")
    assert sum(t["reference"] == "auto-1" for t in client.books("paystack")["transactions"]) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"email": "eve@example.org"}, "Email does not match Authorization code. Please confirm"),
        ({"authorization_code": "AUTH_none"}, "Authorization code is invalid"),
        ({"authorization_code": ""}, "Authorization code is required"),
        ({"amount": 100}, "Invalid Amount Sent"),
    ],
)
def test_a_senseless_charge_is_refused(client: Any, code: str, wrong: dict[str, Any], message: str) -> None:
    status, body = charge(client, code, **wrong)
    assert (status, body["status"], body["message"]) == (400, False, message)
    assert client.paystack("GET", "transaction/verify/auto-1")[0] == 404


@pytest.mark.parametrize(("kind", "told"), [("declined", "failed"), ("undecided", "processing")])
def test_a_bank_may_decline_or_take_its_time(client: Any, code: str, kind: str, told: str) -> None:
    client.control("faults", provider="paystack", operation="charge", kind=kind)
    status, body = charge(client, code)
    assert (status, body["data"]["status"]) == (200, told)
    assert verify(client, "auto-1")["status"] == told


def test_a_challenge_gives_an_address_where_the_payer_may_still_pay(client: Any, code: str) -> None:
    client.control("faults", provider="paystack", operation="charge", kind="challenge")
    _status, body = charge(client, code)
    assert body["data"]["paused"] is True and set(body["data"]) == {
        "authorization_url",
        "reference",
        "access_code",
        "paused",
    }
    assert verify(client, "auto-1")["status"] == "ongoing"
    act(client, body["data"])
    assert verify(client, "auto-1")["status"] == "success"


def test_a_lost_answer_has_charged_all_the_same(client: Any, code: str) -> None:
    client.control("faults", provider="paystack", operation="charge", kind="error_500_after")
    assert charge(client, code)[0] == 500
    assert verify(client, "auto-1")["status"] == "success"


def test_a_deactivated_card_charges_nothing_and_the_next_payment_gives_another(client: Any, code: str) -> None:
    wanted = {"authorization_code": code}
    status, body = client.paystack("POST", "customer/deactivate_authorization", json=wanted)
    assert (status, body["message"]) == (200, "Authorization has been deactivated")
    assert client.paystack("POST", "customer/deactivate_authorization", json=wanted)[0] == 404
    assert charge(client, code)[1]["message"] == "Authorization code is invalid"
    new = authorization(client)
    assert new["authorization_code"] != code
    assert client.books("paystack")["cards"][0]["active"] is False


def test_cards_survive_a_restart(tmp_path: Path) -> None:
    config = Config(port=0, smtp_port=0, data=str(tmp_path / "books.sqlite"))
    with Sandbox(config) as first:
        client = Client(first)
        kept = authorization(client)
        gone = first.world.cards.authorize("bob@example.org").code
        assert first.world.cards.deactivate(gone)
    with Sandbox(config) as second:
        client = Client(second)
        assert charge(client, kept["authorization_code"])[1]["data"]["status"] == "success"
        assert second.world.cards.find(gone) is None
