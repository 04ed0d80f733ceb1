"""Paystack over real HTTP: envelopes, checkout, fees, and signed webhooks until somebody says 200."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sandbox_help import Client, eventually

from namaskah.sandbox import Sandbox

FIELDS = (
    "id domain status reference receipt_number amount message gateway_response paid_at created_at channel currency "
    "ip_address metadata log fees fees_split authorization customer plan split order_id paidAt createdAt "
    "requested_amount pos_transaction_data source fees_breakdown connect transaction_date plan_object subaccount"
)


def begin(client: Any, **more: Any) -> Any:
    wanted = {"email": "alice@example.org", "amount": 500000, "callback_url": "http://127.0.0.1:1/done", **more}
    status, body = client.paystack("POST", "transaction/initialize", json=wanted)
    assert status == 200, body
    return body["data"]


def act(client: Any, data: Any, action: str = "pay", **more: str) -> Any:
    return client.raw("POST", data["authorization_url"], fields={"action": action, **more}, encode_multipart=False)


def verify(client: Any, reference: str) -> Any:
    status, body = client.paystack("GET", f"transaction/verify/{reference}")
    assert (status, body["message"]) == (200, "Verification successful")
    return body["data"]


def test_initialize_gives_an_address_to_pay_at(client: Any) -> None:
    status, body = client.paystack("POST", "transaction/initialize", json={"email": "a@b.co", "amount": "20000"})
    assert (status, body["status"], body["message"]) == (200, True, "Authorization URL created")
    assert set(body["data"]) == {"authorization_url", "access_code", "reference"}
    page = client.raw("GET", body["data"]["authorization_url"])
    assert page.status == 200
    assert "NGN 200.00" in page.data.decode()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"email": ""}, "Email is not allowed to be empty"),
        ({"email": "nobody"}, "Invalid Email Address Passed"),
        ({"amount": None}, "You must specify a valid amount"),
        ({"amount": "12.5"}, "Invalid Amount Sent"),
        ({"amount": 4999}, "Invalid Amount Sent"),
        ({"amount": 199, "currency": "USD"}, "Invalid Amount Sent"),
        ({"amount": 1_000_000_001}, "Transaction amount limit exceeded"),
        ({"reference": "with space"}, "Invalid character in transaction reference"),
    ],
)
def test_initialize_refuses_in_paystacks_words(client: Any, wrong: Any, message: str) -> None:
    wanted = {"email": "alice@example.org", "amount": 500000, **wrong}
    status, body = client.paystack("POST", "transaction/initialize", json=wanted)
    assert (status, body["status"], body["message"]) == (400, False, message)
    assert (body["type"], set(body)) == ("validation_error", {"status", "message", "meta", "type", "code"})
    assert client.books("paystack")["transactions"] == []


def test_a_reference_is_good_once(client: Any) -> None:
    begin(client, reference="one.and=only-1")
    wanted = {"email": "a@b.co", "amount": 500000, "reference": "one.and=only-1"}
    status, body = client.paystack("POST", "transaction/initialize", json=wanted)
    assert (status, body["message"]) == (400, "Duplicate Transaction Reference")


def test_a_wrong_key_is_401(client: Any) -> None:
    client.tokens["paystack"] = "wrong"
    answer = client.paystack("GET", "transaction/verify/x")
    assert answer == (401, {"status": False, "message": "Invalid key"})


def test_paying_redirects_back_and_verifies(client: Any) -> None:
    data = begin(client, callback_url="http://127.0.0.1:1/done?from=shop")
    before = verify(client, data["reference"])
    assert (before["status"], before["paid_at"], before["metadata"]) == ("abandoned", None, "")
    answer = act(client, data)
    reference = data["reference"]
    expected = f"http://127.0.0.1:1/done?from=shop&trxref={reference}&reference={reference}"
    assert (answer.status, answer.headers["Location"]) == (303, expected)
    paid = verify(client, reference)
    assert set(paid) == set(FIELDS.split())
    assert (paid["status"], paid["amount"], paid["requested_amount"]) == ("success", 500000, 500000)
    assert (paid["currency"], paid["domain"], paid["fees"]) == ("NGN", "test", 17500)
    assert paid["authorization"]["reusable"] is True


def test_a_declined_card_may_try_again(client: Any) -> None:
    data = begin(client)
    page = act(client, data, "decline")
    assert (page.status, "Insufficient Funds" in page.data.decode()) == (200, True)
    failed = verify(client, data["reference"])
    assert (failed["status"], failed["gateway_response"]) == ("failed", "Insufficient Funds")
    act(client, data)
    assert verify(client, data["reference"])["status"] == "success"


def test_another_amount_shows_in_verify(client: Any) -> None:
    data = begin(client)
    act(client, data, amount="1,000.50")
    paid = verify(client, data["reference"])
    assert (paid["amount"], paid["requested_amount"], paid["fees"]) == (100050, 500000, 1501)
    assert client.books("paystack")["transactions"][0]["paid_amount"] == 100050


def test_leaving_goes_to_cancel_action_or_back(client: Any) -> None:
    plain = begin(client)
    assert act(client, plain, "leave").headers["Location"].startswith("http://127.0.0.1:1/done?trxref=")
    assert verify(client, plain["reference"])["status"] == "abandoned"
    as_text = begin(client, metadata=json.dumps({"cancel_action": "http://127.0.0.1:1/cancelled"}))
    assert act(client, as_text, "leave").headers["Location"] == "http://127.0.0.1:1/cancelled"
    assert verify(client, as_text["reference"])["metadata"] == {"cancel_action": "http://127.0.0.1:1/cancelled"}


@pytest.mark.parametrize(
    ("amount", "fees"),
    [(249_999, 3750), (250_000, 13_750), (12_666_666, 200_000), (100_000_000, 200_000)],
)
def test_nigerian_fees_waive_the_hundred_and_stop_at_two_thousand(client: Any, amount: int, fees: int) -> None:
    data = begin(client, amount=amount)
    act(client, data)
    assert verify(client, data["reference"])["fees"] == fees


def test_a_payment_is_announced_once_under_a_valid_signature(client: Any, receiver: Any) -> None:
    data = begin(client, metadata={"cart": "7"})
    act(client, data)
    act(client, data)  # a second press of the button charges nothing
    eventually(lambda: client.books("paystack")["transactions"][0]["webhook_deliveries"])
    (headers, body), *more = receiver.requests
    assert more == []
    key = client.sandbox.config.paystack_secret_key.encode()
    assert headers["x-paystack-signature"] == hmac.new(key, body, hashlib.sha512).hexdigest()
    event = json.loads(body)
    assert event["event"] == "charge.success"
    told = event["data"]
    assert (told["reference"], told["status"], told["amount"]) == (data["reference"], "success", 500000)
    assert (told["metadata"], told["plan"], told["customer"]["email"]) == ({"cart": "7"}, {}, "alice@example.org")


def test_the_webhook_is_tried_until_200(client: Any, receiver: Any) -> None:
    receiver.answers = [500, 302, 201]
    act(client, begin(client))
    deliveries = eventually(
        lambda: (
            len(client.books("paystack")["transactions"][0]["webhook_deliveries"]) == 4
            and client.books("paystack")["transactions"][0]["webhook_deliveries"]
        )
    )
    assert [d["status"] for d in deliveries] == [500, 302, 201, 200]


def test_the_webhook_gives_up_after_ten_tries(client: Any, receiver: Any) -> None:
    receiver.answers = [503] * 12
    act(client, begin(client))
    eventually(lambda: len(client.books("paystack")["transactions"][0]["webhook_deliveries"]) == 10)
    assert len(receiver.requests) == 10


def test_a_restart_goes_on_announcing_what_nobody_acknowledged(client: Any, receiver: Any, tmp_path: Path) -> None:
    config = replace(client.sandbox.config, data=str(tmp_path / "books"), webhook_retry_seconds=30)
    receiver.answers = [500]
    with Sandbox(config) as first:
        data = begin(Client(first))
        act(Client(first), data)
        eventually(lambda: Client(first).books("paystack")["transactions"][0]["webhook_deliveries"])
    with Sandbox(config) as second:
        eventually(lambda: len(Client(second).books("paystack")["transactions"][0]["webhook_deliveries"]) == 2)
        assert verify(Client(second), data["reference"])["status"] == "success"
    assert len(receiver.requests) == 2


def test_webhook_faults(client: Any, receiver: Any) -> None:
    client.control("faults", provider="paystack", operation="webhook", kind="reset")
    client.control("faults", provider="paystack", operation="webhook", kind="bad_key")
    client.control("faults", provider="paystack", operation="webhook", kind="duplicate_id")
    receiver.answers = [401]
    act(client, begin(client))
    eventually(lambda: len(client.books("paystack")["transactions"][0]["webhook_deliveries"]) == 3)
    statuses = [d["status"] for d in client.books("paystack")["transactions"][0]["webhook_deliveries"]]
    assert statuses == [0, 401, 200]
    signatures = [headers["x-paystack-signature"] for headers, _ in receiver.requests]
    assert signatures[0] != signatures[1] == signatures[2]


def test_a_hundred_copies_at_once(client: Any, receiver: Any) -> None:
    data = begin(client)
    act(client, data)
    eventually(lambda: receiver.requests)
    told = client.control("webhooks/paystack", reference=data["reference"], copies=100, parallel=True)
    assert told["statuses"] == [200] * 100
    assert len({body for _, body in receiver.requests}) == 1


def test_transactions_are_listed_and_fetched(client: Any) -> None:
    first, second = begin(client), begin(client, amount=700000)
    act(client, second)
    _, body = client.paystack("GET", "transaction?perPage=1&page=2")
    assert [t["reference"] for t in body["data"]] == [first["reference"]]
    expected = {"total": 2, "total_volume": 700000, "skipped": 1, "perPage": 1, "page": 2, "pageCount": 2}
    assert body["meta"] == expected
    _, paid = client.paystack("GET", "transaction?status=success&from=2020-01-01")
    assert [t["reference"] for t in paid["data"]] == [second["reference"]]
    _, cursor = client.paystack("GET", "transaction?use_cursor=true&perPage=1")
    _, rest = client.paystack("GET", f"transaction?use_cursor=true&perPage=1&next={cursor['meta']['next']}")
    assert [t["reference"] for t in rest["data"]] == [first["reference"]]
    number = paid["data"][0]["id"]
    assert client.paystack("GET", f"transaction/{number}")[1]["data"]["reference"] == second["reference"]
    assert client.paystack("GET", "transaction/abc")[1]["message"] == "Transaction ID should be numeric."
    assert client.paystack("GET", "transaction/1")[0] == 404
    missing = client.paystack("GET", "transaction/verify/nope")
    assert (missing[0], missing[1]["message"]) == (404, "Transaction reference not found")
