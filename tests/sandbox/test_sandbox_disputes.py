"""Paystack's disputes over real HTTP: the API, the bank's decisions, the deadline, and signed webhooks until 200."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from sandbox_help import Client, Receiver, eventually, http_pool
from test_sandbox_paystack import act, begin, verify

from namaskah.sandbox import Config, Sandbox


def paid(client: Client, **more: Any) -> str:
    opened = begin(client, **more)
    act(client, opened)
    return str(opened["reference"])


def disputed(client: Client, **more: Any) -> Any:
    return client.control("disputes", reference=paid(client), **more)


def told(client: Client, dispute_id: int) -> Any:
    status, body = client.paystack("GET", f"dispute/{dispute_id}")
    assert (status, body["message"]) == (200, "Dispute retrieved")
    return body["data"]


def uploaded(client: Client, dispute_id: int, content: bytes = b"%PDF-1.7 proof") -> str:
    """Take an address for a file and put the file there, without a key."""
    status, body = client.paystack("GET", f"dispute/{dispute_id}/upload_url?upload_filename=proof.pdf")
    assert status == 200
    assert http_pool.request("PUT", body["data"]["signedUrl"], body=content).status == 200
    return str(body["data"]["fileName"])


def resolve(client: Client, dispute_id: int, resolution: str, **more: Any) -> tuple[int, Any]:
    wanted = {"resolution": resolution, "message": "Look", "refund_amount": 0, **more}
    return client.paystack("PUT", f"dispute/{dispute_id}/resolve", json=wanted)


def events(receiver: Receiver) -> list[str]:
    return [json.loads(body)["event"] for _headers, body in receiver.requests]


def test_a_dispute_is_told_as_the_documents_say(client: Client) -> None:
    made = disputed(client, amount=5800, category="fraud")
    data = told(client, made["id"])
    assert (data["refund_amount"], data["category"], data["status"]) == (5800, "fraud", "awaiting-merchant-feedback")
    assert (data["resolution"], data["resolvedAt"], data["domain"], data["currency"]) == (None, None, "test", "NGN")
    assert data["transaction"]["reference"] == made["reference"]
    assert data["dueAt"] > data["createdAt"]
    assert data["history"][0]["status"] == "awaiting-merchant-feedback"
    transaction_id = data["transaction"]["id"]
    assert client.paystack("GET", f"dispute/transaction/{transaction_id}")[1]["data"]["id"] == made["id"]
    assert client.paystack("GET", "dispute/transaction/1")[0] == 404
    assert client.paystack("GET", "dispute/1")[0] == 404


def test_the_list_has_pages_and_filters(client: Client) -> None:
    first, second, third = (disputed(client)["id"] for _ in range(3))
    client.control(f"disputes/{second}/won")
    status, body = client.paystack("GET", "dispute?perPage=2&page=1")
    assert (status, [each["id"] for each in body["data"]], body["meta"]["pageCount"]) == (200, [third, second], 2)
    assert [each["id"] for each in client.paystack("GET", "dispute?perPage=2&page=2")[1]["data"]] == [first]
    assert [each["id"] for each in client.paystack("GET", "dispute?status=resolved")[1]["data"]] == [second]
    only = told(client, first)["transaction"]["id"]
    assert [each["id"] for each in client.paystack("GET", f"dispute?transaction={only}")[1]["data"]] == [first]
    assert client.paystack("GET", "dispute?from=2999-01-01")[1]["data"] == []
    assert client.paystack("GET", "dispute?status=never")[0] == 400


def test_only_a_paid_transaction_can_be_disputed(client: Client) -> None:
    unpaid = begin(client)["reference"]
    address = f"{client.sandbox.url}/control/disputes"
    for wanted in ({"reference": unpaid}, {"reference": "nobody"}, {"reference": paid(client), "amount": 0}):
        assert client.call("POST", address, json=wanted)[0] == 400


def test_declining_takes_evidence_and_leaves_it_to_the_bank(client: Client) -> None:
    made = disputed(client)
    assert resolve(client, made["id"], "declined", uploaded_filename="nothing")[0] == 400
    wanted = {"customer_email": "a@b.co", "customer_name": "A", "customer_phone": "1", "service_details": "codes"}
    assert client.paystack("POST", f"dispute/{made['id']}/evidence", json={**wanted, "customer_name": ""})[0] == 400
    status, body = client.paystack("POST", f"dispute/{made['id']}/evidence", json=wanted)
    assert (status, body["data"]["dispute"]) == (200, made["id"])
    name = uploaded(client, made["id"])
    assert resolve(client, made["id"], "perhaps", uploaded_filename=name)[0] == 400
    status, body = resolve(client, made["id"], "declined", uploaded_filename=name, evidence=body["data"]["id"])
    assert (status, body["data"]["status"], body["data"]["resolution"]) == (200, "awaiting-bank-feedback", None)
    assert resolve(client, made["id"], "declined", uploaded_filename=name)[0] == 422
    client.control(f"disputes/{made['id']}/won")
    assert told(client, made["id"])["resolution"] == "declined"
    assert verify(client, made["reference"])["status"] == "success"


def test_giving_in_reverses_the_payment(client: Client) -> None:
    made = disputed(client)
    name = uploaded(client, made["id"])
    status, body = resolve(client, made["id"], "merchant-accepted", refund_amount=500000, uploaded_filename=name)
    assert (status, body["data"]["status"], body["data"]["resolution"]) == (200, "resolved", "merchant-accepted")
    assert verify(client, made["reference"])["status"] == "reversed"
    client.control(f"disputes/{made['id']}/reopen")
    assert verify(client, made["reference"])["status"] == "success"
    assert told(client, made["id"])["resolution"] is None


def test_a_file_needs_the_signature_of_its_address(client: Client) -> None:
    made = disputed(client)
    body = client.paystack("GET", f"dispute/{made['id']}/upload_url?upload_filename=x.pdf")[1]
    address = body["data"]["signedUrl"]
    assert http_pool.request("PUT", address + "0", body=b"x").status == 403
    assert http_pool.request("PUT", address, body=b"").status == 400
    assert client.paystack("GET", f"dispute/{made['id']}/upload_url")[0] == 400


def test_who_does_not_answer_in_time_has_accepted(client: Client, receiver: Receiver) -> None:
    by_clock, by_hand = disputed(client, due_seconds=0.1), disputed(client)
    client.control(f"disputes/{by_hand['id']}/expire")
    for made in (by_clock, by_hand):
        assert eventually(lambda made=made: told(client, made["id"])["resolution"]) == "auto-accepted"
        assert verify(client, made["reference"])["status"] == "reversed"


def test_each_step_is_a_signed_webhook_told_until_somebody_says_200(client: Client, receiver: Receiver) -> None:
    reference = paid(client)
    eventually(lambda: len(receiver.requests) == 1)
    receiver.requests.clear()
    receiver.answers.append(500)
    made = client.control("disputes", reference=reference)
    eventually(lambda: len(receiver.requests) == 2)
    client.control(f"disputes/{made['id']}/remind")
    eventually(lambda: len(receiver.requests) == 3)
    client.control(f"disputes/{made['id']}/lost")
    eventually(lambda: len(receiver.requests) == 4)
    assert events(receiver) == [f"charge.dispute.{name}" for name in ("create", "create", "remind", "resolve")]
    headers, body = receiver.requests[-1]
    key = client.sandbox.config.paystack_secret_key.encode()
    assert headers["x-paystack-signature"] == hmac.new(key, body, hashlib.sha512).hexdigest()
    data = json.loads(body)["data"]
    assert (data["status"], data["resolution"], data["transaction"]["status"]) == (
        "resolved",
        "auto-accepted",
        "reversed",
    )
    assert "createdAt" not in data
    assert data["transaction_reference"] is None
    [books] = client.books("disputes")
    assert [notice["statuses"] for notice in books["notices"]] == [[500, 200], [200], [200]]


@pytest.mark.parametrize("operation", ["dispute", "evidence", "resolve"])
def test_faults_strike_disputes(client: Client, operation: str) -> None:
    made = disputed(client)
    client.control("faults", provider="paystack", operation=operation, kind="error_500")
    calls = {
        "dispute": lambda: client.paystack("GET", f"dispute/{made['id']}"),
        "evidence": lambda: client.paystack("GET", f"dispute/{made['id']}/upload_url?upload_filename=x"),
        "resolve": lambda: resolve(client, made["id"], "declined"),
    }
    assert calls[operation]()[0] == 500
    assert calls[operation]()[0] != 500


def test_the_page_has_buttons_for_all_of_it(client: Client) -> None:
    reference, page = paid(client), f"{client.sandbox.url}/"
    assert "Open a dispute" in client.raw("GET", page).data.decode()
    fields = {"reference": reference, "amount": "12.50", "category": "general", "hours": "3"}
    answer = client.raw("POST", f"{page}disputes", fields=fields, encode_multipart=False)
    assert answer.status == 303
    [made] = client.books("disputes")
    assert (made["refund_amount"], made["category"]) == (1250, "general")
    client.raw("POST", f"{page}disputes/{made['id']}/won")
    assert client.books("disputes")[0]["resolution"] == "declined"
    assert "Open it again" in client.raw("GET", page).data.decode()
    again = client.raw("POST", f"{page}disputes/{made['id']}/won")
    assert "problem" in again.headers["Location"]


def test_disputes_and_unheard_webhooks_survive_a_restart(tmp_path: Path) -> None:
    receiver = Receiver()
    config = Config(port=0, smtp_port=0, data=str(tmp_path / "books"), webhook_retry_seconds=0.05)
    with Sandbox(config) as sandbox:
        client = Client(sandbox)
        made = disputed(client, amount=7000)
        client.control(f"disputes/{made['id']}/amount", amount=6000)
    config.paystack_webhook_url = receiver.url
    with Sandbox(config) as sandbox:
        assert told(Client(sandbox), made["id"])["refund_amount"] == 6000
        eventually(lambda: {"charge.dispute.create", "charge.dispute.remind"} <= set(events(receiver)))
    receiver.server.shutdown()
