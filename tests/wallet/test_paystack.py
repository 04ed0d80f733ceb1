"""The gateway's adapter, over real HTTP against the simulator; what it reads, and what it will not."""

import hashlib
import hmac
import json
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from namaskah.sandbox import Sandbox
from namaskah.wallet.paystack import (
    DuplicateReference,
    GatewayDown,
    GatewayRefused,
    Paystack,
    parse_amount,
    parse_event,
    parse_payment,
)
from tests.support import Control

from .counter import Counter


@pytest.fixture
def paystack(control: Control, sandbox: Sandbox) -> Paystack:
    return Paystack(sandbox.config.paystack_secret_key, sandbox.paystack_url)


@pytest.fixture
def reference() -> str:
    return f"NK-{secrets.token_hex(8)}"


def open_checkout(paystack: Paystack, reference: str, deadline: float = 5, **other: Any) -> str:
    wanted: dict[str, Any] = {"email": "ada@example.com", "amount_minor": 250_000, "currency": "NGN"} | other
    return paystack.initialize(
        reference,
        callback_url="http://localhost/back",
        cancel_url="http://localhost/left",
        deadline=deadline,
        **wanted,
    )


def test_a_checkout_is_opened_under_our_reference(paystack: Paystack, reference: str, counter: Counter) -> None:
    url = open_checkout(paystack, reference)
    found = counter.transaction(reference)
    assert url.endswith(f"/checkout/{found.access_code}")
    assert (found.amount, found.currency, found.email) == (250_000, "NGN", "ada@example.com")
    assert found.callback_url == "http://localhost/back"
    assert found.metadata == {"cancel_action": "http://localhost/left"}


def test_a_payment_is_read_with_its_fee(paystack: Paystack, reference: str, counter: Counter) -> None:
    open_checkout(paystack, reference)
    counter.pay(reference)
    payment = paystack.verify(reference)
    assert payment is not None
    assert (payment.status, payment.amount_minor, payment.currency) == ("success", 250_000, "NGN")
    assert (payment.fees_minor, payment.domain, payment.channel) == (13_750, "test", "card")
    assert payment.paid_at is not None and payment.paid_at.tzinfo is not None


@pytest.mark.parametrize(
    "status", ["abandoned", "failed", "ongoing", "pending", "processing", "queued", "reversed", "success"]
)
def test_every_status_is_told_as_it_is(paystack: Paystack, reference: str, counter: Counter, status: str) -> None:
    open_checkout(paystack, reference)
    counter.becomes(reference, status)
    payment = paystack.verify(reference)
    assert payment is not None and payment.status == status


def test_a_reference_nobody_knows_is_none(paystack: Paystack, reference: str) -> None:
    assert paystack.verify(reference) is None


def test_a_reference_cannot_lead_to_another_address(paystack: Paystack, reference: str, counter: Counter) -> None:
    open_checkout(paystack, reference)
    with pytest.raises(GatewayRefused):
        paystack.verify(f"x/../{reference}")


def test_the_second_checkout_of_a_reference_is_a_duplicate(paystack: Paystack, reference: str) -> None:
    open_checkout(paystack, reference)
    with pytest.raises(DuplicateReference):
        open_checkout(paystack, reference)


@pytest.mark.parametrize("other", [{"email": "nobody"}, {"amount_minor": 10}, {"currency": "JPY"}])
def test_a_checkout_that_cannot_be_is_refused_with_the_reason(
    paystack: Paystack, reference: str, other: dict[str, Any], counter: Counter
) -> None:
    with pytest.raises(GatewayRefused) as refused:
        open_checkout(paystack, reference, **other)
    assert refused.value.reason and not isinstance(refused.value, DuplicateReference)
    assert counter.references() == []


def test_a_wrong_key_is_refused_and_is_no_unknown_reference(sandbox: Sandbox, reference: str) -> None:
    with pytest.raises(GatewayRefused, match="Invalid key"):
        Paystack(secrets.token_hex(8), sandbox.paystack_url).verify(reference)


FAULTS = ["error_500", "html", "cut_json", "empty", "huge", "reset", "rate_limited"]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("operation", ["verify", "initialize"])
def test_a_spoilt_answer_says_nothing(
    paystack: Paystack, reference: str, counter: Counter, operation: str, fault: str
) -> None:
    counter.breaks(operation, fault)
    with pytest.raises(GatewayDown):
        paystack.verify(reference) if operation == "verify" else open_checkout(paystack, reference)


def test_a_gateway_that_hangs_is_left_at_the_deadline(paystack: Paystack, reference: str, counter: Counter) -> None:
    counter.breaks("initialize", "hang", seconds=3)
    with pytest.raises(GatewayDown):
        open_checkout(paystack, reference, deadline=0.3)


def test_a_gateway_nobody_reaches_is_down(reference: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(GatewayDown):
        Paystack("key", address).verify(reference)


@pytest.fixture
def answering() -> Iterator[Callable[[int, Any], Paystack]]:
    """Makes a gateway that gives this one answer to everything."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int, answer: Any) -> Paystack:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(answer).encode()
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.do_GET()

            def log_message(self, *_: Any) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return Paystack("key", f"http://127.0.0.1:{servers[-1].server_port}")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_an_answer_about_another_payment_is_no_answer(answering: Callable[[int, Any], Paystack]) -> None:
    paystack = answering(200, {"status": True, "data": sampled(reference="r2")})
    with pytest.raises(GatewayDown):
        paystack.verify("r1")
    payment = paystack.verify("r2")
    assert payment is not None and payment.amount_minor == 5000


def test_a_no_in_words_is_a_no(answering: Callable[[int, Any], Paystack]) -> None:
    unknown = {"status": "false", "message": "Transaction reference not found.", "data": sampled()}
    assert answering(200, unknown | {"status": "true"}).verify("r1") is not None
    assert answering(400, unknown).verify("r1") is None
    with pytest.raises(GatewayRefused):
        answering(200, unknown).verify("r1")


@pytest.mark.parametrize(
    ("url", "reference"),
    [
        ("javascript:alert(1)", "r1"),
        ("//example.com/x", "r1"),
        ("https://example.com/a b", "r1"),
        ("https://example.com/\r\nSet-Cookie: x=1", "r1"),
        ("https://example.com/x", "r2"),
        ("", "r1"),
        (None, "r1"),
        (5, "r1"),
    ],
)
def test_only_a_web_address_for_our_reference_is_a_checkout(
    answering: Callable[[int, Any], Paystack], url: Any, reference: str
) -> None:
    paystack = answering(200, {"status": True, "data": {"authorization_url": url, "reference": reference}})
    with pytest.raises(GatewayDown):
        open_checkout(paystack, "r1")


def test_the_key_decides_the_mode_and_is_shown_nowhere() -> None:
    live = Paystack("_".join(("sk", "live", secrets.token_hex(8))), "https://example.com")
    test = Paystack("_".join(("sk", "test", secrets.token_hex(8))), "https://example.com")
    assert (live.domain, test.domain) == ("live", "test")
    assert live.secret_key not in repr(live)


def sampled(**other: Any) -> dict[str, Any]:
    return {
        "reference": "r1",
        "status": "success",
        "amount": 5000,
        "currency": "NGN",
        "domain": "live",
        "fees": 75,
        "metadata": 0,
        "channel": "card",
        "gateway_response": "Approved",
        "paid_at": "2026-01-30T21:10:19.000Z",
    } | other


@pytest.mark.parametrize("metadata", [None, 0, "", "text", [], {"deep": [{}]}, "{not json"])
def test_metadata_may_be_anything(metadata: Any) -> None:
    assert parse_payment(sampled(metadata=metadata)).amount_minor == 5000


@pytest.mark.parametrize(("amount", "minor"), [(5000, 5000), ("5000", 5000), (0, 0), ("0", 0)])
def test_amounts_are_integers_or_digits(amount: object, minor: int) -> None:
    assert parse_amount(amount) == minor


@pytest.mark.parametrize(
    "amount", [None, True, False, -1, "-1", 50.0, "50.0", "", " 50", "5e3", "٥٠", [], {}, 10**15, "9" * 16]
)
def test_other_amounts_are_refused(amount: object) -> None:
    with pytest.raises(GatewayDown):
        parse_payment(sampled(amount=amount))


@pytest.mark.parametrize(
    "odd",
    [{"status": None}, {"status": True}, {"currency": ""}, {"domain": 1}, {"reference": None}],
)
def test_a_payment_without_what_decides_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(GatewayDown):
        parse_payment(sampled(**odd))


def test_a_payment_without_its_trimmings_is_read() -> None:
    assert parse_payment(sampled(fees="1.5")).fees_minor is None
    assert parse_payment(sampled(fees=-1)).fees_minor is None
    payment = parse_payment(sampled(fees=None, channel=None, gateway_response=7, paid_at="yesterday"))
    assert (payment.fees_minor, payment.channel, payment.gateway_response, payment.paid_at) == (None, None, None, None)


def test_what_postgresql_cannot_hold_is_taken_out_of_text() -> None:
    assert parse_payment(sampled(gateway_response="a\0b\ud800c")).gateway_response == "ab?c"


def event(data: Any) -> bytes:
    return json.dumps({"event": "charge.success", "data": data}).encode()


@pytest.mark.parametrize(
    ("data", "reference"),
    [
        ({"reference": "r1"}, "r1"),
        ({"transaction_reference": "r2"}, "r2"),
        ({"transaction_reference": None, "transaction": {"reference": "r3"}}, "r3"),
        ([{"reference": "r4"}], None),
        ({"reference": 5}, None),
        ({"reference": "x" * 101}, None),
        (None, None),
    ],
)
def test_the_reference_of_an_event_is_where_its_kind_has_it(data: Any, reference: str | None) -> None:
    assert parse_event(event(data)).reference == reference


NO_EVENTS = [
    *(b"", b"[]", b"null", b'"x"', b"{", b"\xff", b'{"event": 1}', b'{"event": ""}', b'{"event": "x", "a": NaN}'),
    b'{"event": "x", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"event": "x", "a": ' + b"9" * 10_000 + b"}",
]


@pytest.mark.parametrize("body", NO_EVENTS)
def test_a_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="no "):
        parse_event(body)


BODY = b'{"event":"charge.success"}'


def signed(key: str, body: bytes, algorithm: str = "sha512") -> str:
    return hmac.new(key.encode(), body, getattr(hashlib, algorithm)).hexdigest()


def test_only_the_documented_signature_matches() -> None:
    key = secrets.token_hex(16)
    paystack, right = Paystack(key, "https://example.com"), signed(key, BODY)
    assert paystack.signature_matches(BODY, right)
    wrong = [
        None,
        "",
        right.upper(),
        right[:-1],
        right + " ",
        f"sha512={right}",
        "é" * 128,
        signed(key, BODY, "sha256"),
    ]
    assert not any(paystack.signature_matches(BODY, header) for header in wrong)
    assert not paystack.signature_matches(BODY + b"\n", right)


def test_without_a_key_no_signature_matches() -> None:
    assert not Paystack("", "https://example.com").signature_matches(BODY, signed("", BODY))
