"""Every kind of fault as the client's socket sees it, and what the books say afterwards."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from sandbox_help import eventually

BUY = "user/buy/activation/nigeria/any/whatsapp"


def fault(client: Any, kind: str, operation: str = "buy", provider: str = "fivesim", **more: Any) -> None:
    client.control("faults", provider=provider, operation=operation, kind=kind, **more)


def count(client: Any, provider: str = "fivesim") -> int:
    return len(client.books(provider)["orders"])


def raw_answer(client: Any, path: str, seconds: float = 5) -> bytes:
    """The bytes that come back, read to the end. Raises ConnectionResetError on RST, TimeoutError on silence."""
    parts = urlsplit(client.sandbox.fivesim_url)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        head = (
            f"GET {parts.path}/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.tokens['fivesim']}\r\n\r\n"
        )
        connection.sendall(head.encode())
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
        return b"".join(chunks)


@pytest.mark.parametrize(("kind", "sold"), [("reset", 0), ("reset_after", 1)])
def test_reset_tears_the_connection_down(client: Any, kind: str, sold: int) -> None:
    fault(client, kind)
    with pytest.raises(ConnectionResetError):
        raw_answer(client, BUY)
    assert count(client) == sold
    assert client.books("fivesim")["balance_micros"] == 500_000_000 - sum(
        o["cost_micros"] for o in client.books("fivesim")["orders"]
    )
    assert client.fivesim(BUY)[0] == 200  # used up: the next one works


@pytest.mark.parametrize(("kind", "sold"), [("error_500", 0), ("error_after", 1)])
def test_server_errors(client: Any, kind: str, sold: int) -> None:
    fault(client, kind)
    assert client.fivesim(BUY) == (500, "internal error")
    assert count(client) == sold


@pytest.mark.parametrize(("kind", "sold"), [("html", 0), ("html_after", 1)])
def test_html_instead_of_an_answer(client: Any, kind: str, sold: int) -> None:
    fault(client, kind)
    status, body = client.fivesim(BUY)
    assert (status, body[:15]) == (200, "<!DOCTYPE html>")
    assert count(client) == sold


@pytest.mark.parametrize(("kind", "sold"), [("empty", 0), ("empty_after", 1)])
def test_an_empty_answer(client: Any, kind: str, sold: int) -> None:
    fault(client, kind)
    assert client.fivesim(BUY) == (200, "")
    assert count(client) == sold


@pytest.mark.parametrize(("kind", "sold"), [("cut_json", 0), ("cut_after", 1)])
def test_a_body_cut_short_of_its_length(client: Any, kind: str, sold: int) -> None:
    fault(client, kind)
    head, _, body = raw_answer(client, BUY).partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(body) == length // 2
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    assert count(client) == sold


@pytest.mark.parametrize(("kind", "sold"), [("huge", 0), ("huge_after", 1)])
def test_a_body_far_too_big(client: Any, kind: str, sold: int) -> None:
    fault(client, kind)
    assert len(raw_answer(client, BUY)) > 10_000_000
    assert count(client) == sold


@pytest.mark.parametrize(("kind", "sold"), [("hang", 0), ("hang_after", 1)])
def test_hanging_says_nothing(client: Any, kind: str, sold: int) -> None:
    fault(client, kind, seconds=1)
    with pytest.raises(TimeoutError):
        raw_answer(client, BUY, seconds=0.3)
    assert count(client) == sold


def test_slow_does_the_work_after_the_client_has_gone(client: Any) -> None:
    fault(client, "slow", seconds=0.5)
    with pytest.raises(TimeoutError):
        raw_answer(client, BUY, seconds=0.1)
    assert count(client) == 0
    assert eventually(lambda: count(client) == 1)


def test_a_reset_lets_go_of_what_is_slow_before_it_has_sold_anything(client: Any) -> None:
    fault(client, "slow", seconds=30)
    with pytest.raises(TimeoutError):
        raw_answer(client, BUY, seconds=0.2)
    begun = time.monotonic()
    client.control("reset")
    assert time.monotonic() - begun < 5
    assert client.sandbox.world.faults._era.requests == 0
    assert count(client) == 0
    assert client.fivesim(BUY)[0] == 200


def test_slow_after_has_done_the_work_already(client: Any) -> None:
    fault(client, "slow_after", seconds=0.4)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        raw_answer(client, BUY, seconds=0.1)
    assert count(client) == 1
    assert time.monotonic() - begun < 0.4


def test_drip_sends_a_byte_a_second(client: Any) -> None:
    fault(client, "drip")
    parts = urlsplit(client.sandbox.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=5) as connection:
        request = f"GET /5sim/v1/{BUY} HTTP/1.0\r\nAuthorization: Bearer {client.tokens['fivesim']}\r\n\r\n"
        connection.sendall(request.encode())
        got = b""
        while b"\r\n\r\n" not in got or got.endswith(b"\r\n\r\n"):
            got += connection.recv(65536)
        first = time.monotonic()
        assert got.partition(b"\r\n\r\n")[2] == b"{"
        assert len(connection.recv(65536)) == 1
        assert 0.8 < time.monotonic() - first < 1.5
    assert count(client) == 1


def test_wrong_price_charges_more_than_was_allowed(client: Any) -> None:
    fault(client, "wrong_price")
    _, order = client.fivesim(f"{BUY}?maxPrice=0.5")
    assert order["price"] > 0.5
    booked = client.books("fivesim")["orders"][0]
    assert booked["cost_micros"] == round(order["price"] * 1_000_000)
    fault(client, "wrong_price", provider="herosms")
    _, bought = client.handler("herosms", "getNumberV2", service="wa", country=19, maxPrice=0.5)
    assert bought["activationCost"] > 0.5


def test_duplicate_id_answers_with_one_issued_before(client: Any) -> None:
    first = client.buy_fivesim()
    fault(client, "duplicate_id")
    second = client.buy_fivesim()
    assert second["id"] == first["id"]
    assert second["phone"] != first["phone"]
    booked = client.books("fivesim")["orders"]
    assert [o["phone"] for o in booked] == [first["phone"][1:], second["phone"][1:]]
    assert booked[0]["id"] != booked[1]["id"]


def test_refusals_on_request_in_each_providers_words(client: Any) -> None:
    for kind, five, classic, hero in (
        ("no_stock", (200, "no free phones"), (200, "NO_NUMBERS"), 200),
        ("no_balance", (400, "not enough user balance"), (200, "NO_BALANCE"), 402),
        ("rate_limited", (429, "api limit is 100 requests per second"), (429, ""), 429),
        ("bad_key", (401, ""), (200, "BAD_KEY"), 401),
    ):
        fault(client, kind, provider="*", times=3)
        assert client.fivesim(BUY) == five
        assert client.handler("smsactivate", "getNumber", service="wa", country=19) == classic
        assert client.handler("herosms", "getNumberV2", service="wa", country=19)[0] == hero
    assert [count(client, p) for p in ("fivesim", "smsactivate", "herosms")] == [0, 0, 0]


def test_a_fault_strikes_only_its_operation_and_as_often_as_told(client: Any) -> None:
    fault(client, "error_500", operation="poll", times=2)
    number = client.buy_fivesim()["id"]
    answers = [client.fivesim(f"user/check/{number}")[0] for _ in range(3)]
    assert answers == [500, 500, 200]
    fault(client, "error_500", operation="poll", times=0)
    assert [client.fivesim(f"user/check/{number}")[0] for _ in range(4)] == [500] * 4
    listed = client.control("faults", "GET")["faults"]
    assert [(f["kind"], f["times"]) for f in listed] == [("error_500", 0)]
    client.control(f"faults/{listed[0]['id']}", "DELETE")
    assert client.fivesim(f"user/check/{number}")[0] == 200


def test_probability_zero_never_strikes(client: Any) -> None:
    fault(client, "error_500", operation="*", times=0, probability=0.0)
    assert client.fivesim("guest/prices?country=nigeria&product=whatsapp")[0] == 200


@pytest.mark.parametrize(
    ("operation", "status", "left"),
    [("cancel", 8, "canceled"), ("finish", 6, "finished"), ("again", 3, "retry")],
)
def test_answers_lost_after_a_status_change(client: Any, operation: str, status: int, left: str) -> None:
    client.control("settings", early_cancel_seconds=0)
    number = client.buy_handler("herosms")
    if status != 8:
        client.control("sms", provider="herosms", order_id=number)
    fault(client, "reset_after", operation, "herosms")
    with pytest.raises(urllib3.exceptions.ProtocolError):
        client.handler("herosms", "setStatus", id=number, status=status)
    assert client.books("herosms")["orders"][0]["status"] == left


def test_initialize_lost_after_the_work_leaves_a_transaction(client: Any) -> None:
    fault(client, "reset_after", "initialize", "paystack")
    wanted = {"email": "alice@example.org", "amount": 500000, "reference": "lost-one"}
    with pytest.raises(urllib3.exceptions.ProtocolError):
        client.paystack("POST", "transaction/initialize", json=wanted)
    assert client.paystack("GET", "transaction/verify/lost-one")[1]["data"]["status"] == "abandoned"


def test_nonsense_faults_are_refused(client: Any) -> None:
    url = f"{client.sandbox.url}/control/faults"
    for wanted in ({"kind": "earthquake"}, {"provider": "nobody"}, {"operation": "dance"}, {"colour": "red"}):
        assert client.call("POST", url, json=wanted)[0] == 400


def test_two_hundred_parallel_buys_share_out_the_stock(client: Any) -> None:
    client.control("settings", stock={"fivesim": {"nigeria/whatsapp": 150}})
    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(lambda _: client.fivesim(BUY), range(200)))
    sold = [body for _, body in answers if isinstance(body, dict)]
    assert len(sold) == 150
    assert [body for _, body in answers if not isinstance(body, dict)] == ["no free phones"] * 50
    assert len({o["id"] for o in sold}) == len({o["phone"] for o in sold}) == 150
    books = client.books("fivesim")
    assert books["balance_micros"] == 500_000_000 - sum(o["cost_micros"] for o in books["orders"])
