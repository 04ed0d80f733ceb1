"""The mailbox, the pages, the control API, the clock, and the process itself."""

from __future__ import annotations

import json
import os
import signal
import smtplib
import subprocess
import sys
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from sandbox_help import eventually, http_pool

from namaskah.sandbox.catalogue import countries
from namaskah.sandbox.messages import compose, parse_code
from namaskah.sandbox.phones import Numbering


def send(port: int, to: str, subject: str = "Confirm your address") -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Shop <shop@example.org>", to, subject
    mail.set_content("Open http://127.0.0.1/confirm/abc?x=1&y=2. Thanks! ₦")
    mail.add_alternative('<p><a href="http://127.0.0.1/confirm/abc?x=1&amp;y=2">Go</a></p>', subtype="html")
    with smtplib.SMTP("127.0.0.1", port) as smtp:
        smtp.send_message(mail)


def test_mail_sent_by_smtp_lands_in_the_mailbox(client: Any) -> None:
    send(client.sandbox.smtp_port, "alice@example.org")
    send(client.sandbox.smtp_port, "bob@example.org", "Second")
    _, told = client.call("GET", f"{client.sandbox.url}/mail.json")
    assert [m["subject"] for m in told["mails"]] == ["Second", "Confirm your address"]
    _, told = client.call("GET", f"{client.sandbox.url}/mail.json?to=ALICE@example.org")
    (mail,) = told["mails"]
    assert (mail["from"], mail["to"]) == ("Shop <shop@example.org>", ["alice@example.org"])
    assert mail["links"] == ["http://127.0.0.1/confirm/abc?x=1&y=2"]
    assert "₦" in mail["text"]
    assert mail["received_at"]
    _, page = client.call("GET", f"{client.sandbox.url}/mail?to=alice@example.org")
    assert "Confirm your address" in page
    assert "Second" not in page
    _, page = client.call("GET", f"{client.sandbox.url}/mail/{mail['id']}")
    assert "<iframe sandbox title" in page
    assert "&lt;p&gt;" in page


def test_the_home_page_sends_messages_and_switches_faults(client: Any) -> None:
    order = client.buy_fivesim()
    url = client.sandbox.url
    _, page = client.call("GET", url)
    assert order["phone"] in page
    form = {"provider": "fivesim", "order_id": str(order["id"]), "text": "WhatsApp code 111-222"}
    assert client.raw("POST", f"{url}/sms", fields=form, encode_multipart=False).status == 303
    assert client.books("fivesim")["orders"][0]["sms"][0]["code"] == "111222"
    fault = {"provider": "fivesim", "operation": "poll", "kind": "error_500", "times": "1", "seconds": ""}
    assert client.raw("POST", f"{url}/faults", fields=fault, encode_multipart=False).status == 303
    assert client.fivesim(f"user/check/{order['id']}")[0] == 500
    ended = client.raw("POST", f"{url}/expire", fields=form, encode_multipart=False)
    assert ended.headers["Location"] == "/"
    assert client.books("fivesim")["orders"][0]["status"] == "finished"


def test_calls_are_counted_per_operation(client: Any) -> None:
    client.fivesim("user/orders?category=activation")
    client.fivesim("user/profile")
    client.handler("herosms", "getActiveActivations")
    told = client.control("calls", "GET")
    assert told["counts"] == {"fivesim/list": 1, "fivesim/balance": 1, "herosms/list": 1}
    assert told["last"]["herosms/list"][0]["query"] == {"action": "getActiveActivations"}


def test_settings_change_what_they_name_and_keep_the_rest(client: Any) -> None:
    told = client.control("settings", window_seconds=60, balance={"herosms": "12.5"})
    assert told["window_seconds"] == {"fivesim": 60, "smsactivate": 60, "herosms": 60}
    assert told["early_cancel_seconds"] == {"fivesim": 0, "smsactivate": 120, "herosms": 120}
    assert told["balance"] == {"fivesim": "500.000000", "smsactivate": "500.000000", "herosms": "12.500000"}
    url = f"{client.sandbox.url}/control/settings"
    assert client.call("POST", url, json={"stock": {"herosms": {"19/zzz": 1}}})[0] == 400
    assert client.call("POST", url, json={"balance": {"nobody": 1}})[0] == 400


def test_the_control_api_says_what_is_wrong(client: Any) -> None:
    url = f"{client.sandbox.url}/control"
    assert client.call("POST", f"{url}/sms", json={"provider": "fivesim", "order_id": 1}) == (
        404,
        {"error": "not_found"},
    )
    assert client.call("POST", f"{url}/sms", json={"provider": "nobody", "order_id": 1})[0] == 400
    order = client.buy_fivesim()
    client.fivesim(f"user/cancel/{order['id']}")
    again = client.call("POST", f"{url}/expire", json={"provider": "fivesim", "order_id": order["id"]})
    assert again == (409, {"error": "closed"})


def test_messages_come_by_themselves_when_wanted(client: Any) -> None:
    client.control("settings", auto_sms_seconds=0.1)
    number = client.buy_handler("herosms")
    first = eventually(lambda: client.books("herosms")["orders"][0]["sms"])
    assert first[0]["code"]
    client.handler("herosms", "setStatus", id=number, status=3)
    eventually(lambda: len(client.books("herosms")["orders"][0]["sms"]) == 2)


def test_windows_end_by_themselves(client: Any) -> None:
    client.control("settings", window_seconds=0.05)
    client.buy_handler("herosms")
    assert eventually(lambda: client.books("herosms")["orders"][0]["status"] == "timeout")
    assert client.books("herosms")["balance_micros"] == 500_000_000


def test_numbers_are_valid_and_never_repeat() -> None:
    numbering = Numbering()
    for country in countries():
        taken = [numbering.take(country) for _ in range(20)]
        assert len(set(taken)) == 20
        assert all(phonenumbers.is_valid_number(phonenumbers.parse(f"+{phone}")) for phone in taken)


@pytest.mark.parametrize("code", ["wa", "tg", "go", "fb", "ig", "bw", "zz"])
def test_messages_carry_a_code_and_vary(code: str) -> None:
    texts = [compose(code, "Some Service", seed)[1] for seed in range(30)]
    assert all(4 <= len(parse_code(text) or "") <= 8 for text in texts)
    assert len(set(texts)) == 30


def start(data: Path) -> tuple[subprocess.Popen[str], dict[str, int]]:
    environment = {**os.environ, "SANDBOX_PORT": "0", "SANDBOX_SMTP_PORT": "0", "SANDBOX_DATA": str(data)}
    command = [sys.executable, "-m", "namaskah.sandbox"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())


def get(port: int, path: str, **headers: str) -> Any:
    return http_pool.request("GET", f"http://127.0.0.1:{port}{path}", headers=headers).json()


def test_a_killed_process_finds_its_books_again_and_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    key = {"Authorization": "Bearer sandbox-fivesim"}
    process, ports = start(tmp_path / "books")
    order = get(ports["port"], "/5sim/v1/user/buy/activation/ghana/any/telegram", **key)
    get(ports["port"], "/5sim/v1/user/buy/activation/kenya/any/google", **key)
    get(ports["port"], f"/5sim/v1/user/ban/{order['id']}", **key)
    send(ports["smtp_port"], "alice@example.org")
    before = get(ports["port"], "/control/books")
    process.kill()  # no chance to tidy up: what was answered must be on disk
    process.wait()
    process, ports = start(tmp_path / "books")
    assert get(ports["port"], "/control/books") == before
    assert len(get(ports["port"], "/mail.json")["mails"]) == 1
    after = get(ports["port"], "/5sim/v1/user/buy/activation/ghana/any/telegram", **key)
    assert after["id"] > order["id"]
    assert after["phone"] != order["phone"]
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
    assert time.monotonic() - begun < 2
