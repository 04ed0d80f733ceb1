"""Paystack's refunds over real HTTP: its states, its sentences, its webhooks, and books that outlive a restart."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sandbox_help import Client, eventually
from test_sandbox_paystack import act, begin, verify

from namaskah.sandbox import Sandbox

ACCOUNT = {"currency": "NGN", "account_number": "0123456789", "bank_id": "9"}


def paid(client: Any) -> str:
    data = begin(client)
    act(client, data)
    return str(data["reference"])


def refund(client: Any, transaction: Any, **more: Any) -> Any:
    status, body = client.paystack("POST", "refund", json={"transaction": transaction, **more})
    assert (status, body["message"]) == (200, "Refund has been queued for processing"), body
    return body["data"]


def move(client: Any, refund_id: int, status: str) -> Any:
    return client.control("refunds", id=refund_id, status=status)


def announced(client: Any) -> list[Any]:
    return [told for each in client.books("paystack")["refunds"] for told in each["announced"]]


def test_parts_go_back_until_nothing_is_left_and_then_it_is_reversed(client: Any) -> None:
    reference = paid(client)
    first = refund(client, reference, amount=200000, merchant_note="RF-1")
    assert (first["status"], first["amount"], first["merchant_note"]) == ("pending", 200000, "RF-1")
    assert first["transaction"]["reference"] == reference
    too_much = client.paystack("POST", "refund", json={"transaction": reference, "amount": 300001})
    assert (too_much[0], too_much[1]["status"]) == (400, False)
    rest = refund(client, verify(client, reference)["id"])
    assert rest["amount"] == 300000
    move(client, first["id"], "processed")
    assert verify(client, reference)["status"] == "success"
    move(client, rest["id"], "processed")
    assert verify(client, reference)["status"] == "reversed"
    again = client.paystack("POST", "refund", json={"transaction": reference})
    assert again[1]["message"] == "Transaction has been fully reversed"
    move(client, rest["id"], "failed")
    assert verify(client, reference)["status"] == "success"
    assert refund(client, reference)["amount"] == 300000


def test_what_was_not_paid_or_is_unknown_cannot_go_back(client: Any) -> None:
    unpaid = begin(client)["reference"]
    assert client.paystack("POST", "refund", json={"transaction": unpaid})[0] == 400
    assert client.paystack("POST", "refund", json={"transaction": "nope"})[0] == 404
    assert client.paystack("POST", "refund", json=[])[0] == 400
    assert client.paystack("GET", "refund/1")[0] == 404
    assert client.books("paystack")["refunds"] == []


def test_refunds_are_read_one_by_one_and_by_transaction(client: Any) -> None:
    reference, other = paid(client), paid(client)
    made = [refund(client, reference, amount=100000)["id"] for _ in range(3)]
    refund(client, other)
    number = verify(client, reference)["id"]
    _, body = client.paystack("GET", f"refund?transaction={number}&perPage=2")
    assert [row["id"] for row in body["data"]] == made[:0:-1]
    assert (body["data"][0]["transaction"], body["meta"]["total"]) == (number, 3)
    _, rest = client.paystack("GET", f"refund?transaction={number}&perPage=2&page=2")
    assert [row["id"] for row in rest["data"]] == made[:1]
    assert len(client.paystack("GET", f"refund?reference={other}")[1]["data"]) == 1
    assert client.paystack("GET", f"refund?transaction={reference}")[0] == 400
    assert client.paystack("GET", f"refund/{made[0]}")[1]["data"]["status"] == "pending"


def test_a_bank_account_is_taken_only_where_it_is_needed(client: Any) -> None:
    number = refund(client, paid(client))["id"]
    path = f"refund/retry_with_customer_details/{number}"
    status, body = client.paystack("POST", path, json={"refund_account_details": ACCOUNT})
    assert (status, body["code"]) == (422, "invalid_params")
    assert body["message"] == 'Invalid Refund state, refund status should be "needs-attention"'
    move(client, number, "needs-attention")
    for wrong in ({"account_number": "12"}, {"bank_id": "1234"}, {"currency": "USD"}):
        assert client.paystack("POST", path, json={"refund_account_details": {**ACCOUNT, **wrong}})[0] == 400
    status, body = client.paystack("POST", path, json={"refund_account_details": ACCOUNT})
    assert (status, body["data"]["status"]) == (200, "processing")
    [kept] = client.books("paystack")["refunds"]
    assert kept["account"] == {"bank_id": "9", "last4": "6789"}
    assert {"id": 9, "name": "Guaranty Trust Bank"}.items() <= client.paystack("GET", "bank")[1]["data"][0].items()


def test_every_step_is_announced_under_a_signature(client: Any, receiver: Any) -> None:
    reference = paid(client)
    number = refund(client, reference, amount=200000)["id"]
    for status in ("processing", "needs-attention", "failed", "processed"):
        move(client, number, status)
    eventually(lambda: len(announced(client)) == 5 and all(told["statuses"] == [200] for told in announced(client)))
    key = client.sandbox.config.paystack_secret_key.encode()
    events = {}
    for headers, body in receiver.requests:
        assert headers["x-paystack-signature"] == hmac.new(key, body, hashlib.sha512).hexdigest()
        event = json.loads(body)
        events[event["event"]] = event["data"]
    assert set(events) == {
        "charge.success",
        *(f"refund.{s}" for s in ("pending", "processing", "processed", "failed")),
    } | {"refund.needs-attention"}
    assert events["refund.pending"] | {"refund_reference": None, "amount": "200000"} == events["refund.pending"]
    assert events["refund.failed"]["amount"] == 200000
    assert events["refund.needs-attention"]["id"] == str(number)
    assert events["refund.processed"]["transaction_reference"] == reference


def test_an_announcement_is_tried_until_200_and_after_a_restart(client: Any, receiver: Any, tmp_path: Path) -> None:
    config = replace(client.sandbox.config, data=str(tmp_path / "books"), webhook_retry_seconds=30)
    with Sandbox(config) as first:
        there = Client(first)
        reference = paid(there)
        eventually(lambda: receiver.requests)
        receiver.answers = [500]
        number = refund(there, reference)["id"]
        eventually(lambda: announced(there)[0]["statuses"] == [500])
    with Sandbox(config) as second:
        there = Client(second)
        eventually(lambda: announced(there)[0]["statuses"] == [500, 200])
        move(there, number, "processed")
        assert verify(there, reference)["status"] == "reversed"


def test_a_lost_answer_leaves_a_refund(client: Any) -> None:
    reference = paid(client)
    client.control("faults", provider="paystack", operation="refund", kind="error_after")
    assert client.paystack("POST", "refund", json={"transaction": reference})[0] == 500
    client.control("faults", provider="paystack", operation="refund", kind="error")
    assert client.paystack("POST", "refund", json={"transaction": reference})[0] == 500
    assert len(client.books("paystack")["refunds"]) == 1


def test_the_page_has_a_button_for_every_state(client: Any) -> None:
    number = refund(client, paid(client))["id"]
    address = client.sandbox.url
    answer = client.raw("POST", f"{address}/refunds", fields={"id": str(number), "status": "processed"})
    assert answer.status == 303
    assert client.books("paystack")["refunds"][0]["status"] == "processed"
    page = client.raw("GET", f"{address}/").data.decode()
    assert 'value="failed"' in page
    assert 'name="status" value="processed"' not in page
    wrong = client.raw("POST", f"{address}/refunds", fields={"id": str(number), "status": "gone"})
    assert "problem=" in wrong.headers["Location"]


@pytest.mark.parametrize(("wanted", "status"), [({"id": 1, "status": "failed"}, 404), ({"status": "x"}, 404)])
def test_the_control_says_what_is_wrong(client: Any, wanted: Any, status: int) -> None:
    assert client.call("POST", f"{client.sandbox.url}/control/refunds", json=wanted)[0] == status
