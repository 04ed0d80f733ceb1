"""The operator's pages about what Paystack has told us, and about top-ups."""

import json
import re
import secrets
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text, update

from namaskah.admin.people import actor
from namaskah.auth.models import Session, User
from namaskah.db import db, transaction
from namaskah.sandbox import Sandbox
from namaskah.wallet import events, inbox, ledger, reversals, top_up_lists, topups
from namaskah.wallet.models import GatewayEvent, TopUp
from tests.support import log_in
from tests.wallet.counter import Counter

AMOUNT, PAID = 250_000, 200_000


@pytest.fixture
def counter(app: Flask, sandbox: Sandbox) -> Counter:
    return Counter(sandbox)


@pytest.fixture
def desk(app: Flask, admin: User) -> FlaskClient:
    return log_in(app.test_client(), admin)


@pytest.fixture
def differs(alice: User, counter: Counter) -> TopUp:
    opened = topups.open_top_up(alice, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference, PAID)
    return topups.settle(opened.reference)


def received(name: str = "charge.success", reference: str = "NK-somewhere", **data: Any) -> GatewayEvent:
    return events.receive_event(json.dumps({"event": name, "data": {"reference": reference} | data}).encode())


def unmatched(reference: str = "NK-somewhere") -> GatewayEvent:
    stored = received(reference=reference)
    with transaction():
        db.session.execute(text("UPDATE gateway_events SET due_at = now(), received_at = now() - interval '2 hours'"))
    assert events.take_up_due() == 1
    return stored


def links(page: str, rel: str) -> list[str]:
    return [found.replace("&amp;", "&") for found in re.findall(rf'rel="{rel}" href="([^"]+)"', page)]


# ── What Paystack has told us ────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_says_what_came_and_what_became_of_it(desk: FlaskClient, app: Flask) -> None:
    assert "Nothing has come yet" in desk.get("/admin/gateway-events").text
    unmatched()
    received("charge.failed", "NK-failed")
    events.receive_event(b"<rubbish>")
    page = desk.get("/admin/gateway-events").text
    for said in ("A payment succeeded.", "after an hour of tries", "The worker acts on it in a moment.", "no report"):
        assert said in page
    assert "NK-somewhere" in page and "NK-failed" in page
    assert "NK-failed" not in desk.get("/admin/gateway-events?state=person").text
    assert "NK-somewhere" not in desk.get("/admin/gateway-events?event=charge.failed").text
    assert "NK-failed" not in desk.get("/admin/gateway-events?reference=NK-somewhere").text
    assert "Nothing matches" in desk.get("/admin/gateway-events?reference=NK-nobody").text


def test_the_list_pages_by_places_that_new_events_do_not_move(
    desk: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "PAGE", 2)
    for number in range(5):
        stored = received("charge.failed", f"NK-{number}")
        if number < 3:
            events.handle_event(stored.id)
    seen: list[str] = []
    address = "/admin/gateway-events"
    while address:
        page = desk.get(address).text
        seen += re.findall(r">(NK-\d)<", page)
        received("charge.failed", f"NK-new-{len(seen)}")
        address = next(iter(links(page, "next")), "")
    assert seen == ["NK-4", "NK-3", "NK-2", "NK-1", "NK-0"]
    for wrong in ("state=odd", "after=x", "after=open-", "after=rest-٣"):
        assert desk.get(f"/admin/gateway-events?{wrong}").status_code == 404


def test_one_event_is_shown_whole_and_its_bytes_can_be_had(desk: FlaskClient, differs: TopUp) -> None:
    raw = (
        b'{ "event":"charge.success",\n"data":{"reference":"%s","note":"</textarea><b>"}}' % differs.reference.encode()
    )
    stored = events.receive_event(raw)
    events.handle_event(stored.id)
    page = desk.get(f"/admin/gateway-events/{stored.id}").text
    assert "Something else was paid than was asked for" in page
    assert f'href="/admin/top-ups/{differs.reference}"' in page
    assert (
        "&lt;/textarea&gt;&lt;b&gt;" in page and "<b>" not in page.partition("<textarea")[2].partition("</textarea>")[0]
    )
    file = desk.get(f"/admin/gateway-events/{stored.id}/raw")
    assert (file.data, file.mimetype) == (raw, "application/octet-stream")
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert desk.get("/admin/gateway-events/999999").status_code == 404
    assert desk.get(f"/admin/gateway-events/{10**30}").status_code == 404


def test_a_body_that_is_no_event_is_shown_as_it_is(desk: FlaskClient) -> None:
    stored = events.receive_event(b"\xff\0 <script>not json")
    page = desk.get(f"/admin/gateway-events/{stored.id}").text
    assert "&lt;script&gt;not json" in page and "could not be read" in page
    assert "try-again" not in page and f"/admin/gateway-events/{stored.id}/close" in page
    assert desk.get(f"/admin/gateway-events/{stored.id}/raw").data == b"\xff\0 <script>not json"


def test_what_was_erased_or_came_before_bytes_were_kept_has_none(desk: FlaskClient) -> None:
    stored = received("charge.failed")
    with transaction():
        db.session.execute(update(GatewayEvent).values(raw=None, body={}))
    page = desk.get(f"/admin/gateway-events/{stored.id}").text
    assert "was erased with the account" in page and f"/{stored.id}/raw" not in page
    assert desk.get(f"/admin/gateway-events/{stored.id}/raw").status_code == 404


def test_an_event_is_tried_again_and_closed_from_its_page(desk: FlaskClient, admin: User) -> None:
    stored = unmatched()
    address = f"/admin/gateway-events/{stored.id}"
    assert desk.post(f"{address}/try-again").status_code == 303
    page = desk.get(address).text
    assert "The worker is on it now." in page and "Next try" in page
    refused = desk.post(f"{address}/close", data={"reason": "why"})
    assert (refused.status_code, "there is nothing to close" in refused.text) == (409, True)
    events.handle_event(stored.id)
    wordless = desk.post(f"{address}/close", data={"reason": " "})
    assert (wordless.status_code, "Say in a few words why" in wordless.text) == (422, True)
    assert desk.post(f"{address}/close", data={"reason": "<i>the old shop’s</i>"}).status_code == 303
    page = desk.get(address).text
    assert "&lt;i&gt;the old shop’s&lt;/i&gt;" in page and admin.email in page and "Closed by a person." in page
    late = desk.post(f"{address}/close", data={"reason": "me too"})
    assert (late.status_code, "before you" in late.text) == (409, True)
    assert desk.post(f"{address}/try-again").status_code == 409
    assert "1 report needs a person" not in desk.get("/admin/").text


# ── Top-ups ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_top_ups_are_found_by_reference_customer_and_state(
    desk: FlaskClient, differs: TopUp, alice: User, bob: User, counter: Counter
) -> None:
    other = topups.open_top_up(bob, AMOUNT, secrets.token_hex(16))
    both = desk.get("/admin/top-ups").text
    assert differs.reference in both and other.reference in both
    for query in (
        f"words={differs.reference}",
        "words=ALICE@example.com",
        f"words={alice.id}",
        "show=mismatch",
        "show=attention",
    ):
        page = desk.get(f"/admin/top-ups?{query}").text
        assert differs.reference in page and other.reference not in page
    assert "Nothing matches" in desk.get("/admin/top-ups?words=nobody@example.com").text
    for wrong in ("show=odd", "before=x"):
        assert desk.get(f"/admin/top-ups?{wrong}").status_code == 404
    assert desk.get("/admin/top-ups/NK-never").status_code == 404


def test_top_ups_are_paged_by_number(desk: FlaskClient, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_up_lists, "PAGE", 2)
    with transaction():
        db.session.execute(
            text(
                "INSERT INTO top_ups (reference, user_id, key, amount_minor, currency)"
                " SELECT 'NK-' || n, :user, 'key-' || n, 50000, 'NGN' FROM generate_series(1, 5) n"
            ),
            {"user": alice.id},
        )
    seen: list[str] = []
    address = f"/admin/top-ups?words={alice.id}&show=opened"
    while address:
        page = desk.get(address).text
        seen += re.findall(r">(NK-\d)<", page)
        address = next(iter(links(page, "next")), "")
    assert seen == ["NK-5", "NK-4", "NK-3", "NK-2", "NK-1"]


def test_what_was_paid_for_a_deleted_account_can_only_be_closed(
    desk: FlaskClient, alice: User, counter: Counter
) -> None:
    opened = topups.open_top_up(alice, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference)
    with transaction():
        db.session.execute(text("UPDATE users SET deleted_at = now() WHERE id = :id"), {"id": alice.id})
    assert topups.settle(opened.reference).state == "mismatch"
    assert opened.reference in desk.get("/admin/top-ups?show=attention").text
    page = desk.get(f"/admin/top-ups/{opened.reference}").text
    assert "The account is deleted" in page and "/close" in page and "/accept" not in page


def test_what_was_paid_is_accepted_from_its_page(desk: FlaskClient, differs: TopUp, alice: User) -> None:
    before = ledger.balance(alice.id).available_minor
    assert "1 payment differs" in desk.get("/admin/").text
    address = f"/admin/top-ups/{differs.reference}"
    page = desk.get(address).text
    assert "NGN 2,000.00" in page and f'name="seen_minor" value="{PAID}"' in page and alice.email in page
    for form in (
        {"reason": "agreed"},
        {"reason": "agreed", "seen_minor": "x"},
        {"reason": "agreed", "seen_minor": "1"},
    ):
        refused = desk.post(f"{address}/accept", data=form)
        assert (refused.status_code, "another amount than this page" in refused.text) == (409, True)
    assert ledger.balance(alice.id).available_minor == before
    for sentence in ("in the customer’s wallet", "credited before"):
        done = desk.post(f"{address}/accept", data={"reason": "agreed", "seen_minor": PAID}, follow_redirects=True)
        assert sentence in done.text
    assert ledger.balance(alice.id).available_minor == before + PAID
    page = desk.get(address).text
    assert "agreed" in page and "Credit what was paid" not in page
    assert "payment differs" not in desk.get("/admin/").text


def test_it_is_closed_from_its_page(desk: FlaskClient, differs: TopUp, alice: User) -> None:
    before = ledger.balance(alice.id).available_minor
    address = f"/admin/top-ups/{differs.reference}"
    assert desk.post(f"{address}/close", data={"reason": ""}).status_code == 422
    for sentence in ("Closed without credit.", "closed before"):
        assert sentence in desk.post(f"{address}/close", data={"reason": "sent"}, follow_redirects=True).text
    assert desk.post(f"{address}/accept", data={"reason": "no", "seen_minor": PAID}).status_code == 409
    assert "Ask Paystack now" not in desk.get(address).text
    assert ledger.balance(alice.id).available_minor == before


@pytest.mark.parametrize(("field", "value"), [("currency", "GHS"), ("domain", "live")])
def test_another_currency_or_mode_is_not_offered_for_credit(
    desk: FlaskClient, alice: User, counter: Counter, field: str, value: str
) -> None:
    opened = topups.open_top_up(alice, AMOUNT, secrets.token_hex(16))
    setattr(counter.transaction(opened.reference), field, value)
    counter.pay(opened.reference)
    topups.settle(opened.reference)
    page = desk.get(f"/admin/top-ups/{opened.reference}").text
    assert "/accept" not in page and "/close" in page


def test_paystack_is_asked_from_the_page(desk: FlaskClient, differs: TopUp, counter: Counter) -> None:
    address = f"/admin/top-ups/{differs.reference}"
    counter.breaks("verify", "error_500")
    away = desk.post(f"{address}/ask")
    assert (away.status_code, "Paystack gave no answer" in away.text) == (503, True)
    counter.becomes(differs.reference, "reversed")
    assert "Paystack was asked" in desk.post(f"{address}/ask", follow_redirects=True).text
    assert topups.get_top_up(differs.reference).state == "failed"


def test_a_payment_that_went_back_is_shown_to_the_operator(desk: FlaskClient, alice: User, counter: Counter) -> None:
    opened = topups.open_top_up(alice, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference)
    topups.settle(opened.reference)
    reversals.note(opened.reference, "reversed")
    assert "1 payment went back after its credit" in desk.get("/admin/").text
    assert opened.reference in desk.get("/admin/top-ups?show=reversed").text
    address = f"/admin/top-ups/{opened.reference}"
    assert "no refund of ours says why" in desk.get(address).text
    assert desk.post(f"{address}/explain", data={"reason": " "}).status_code == 422
    assert desk.post(f"{address}/explain", data={"reason": "<b>charged back</b>"}).status_code == 303
    page = desk.get(address).text
    assert "&lt;b&gt;charged back&lt;/b&gt;" in page and "no refund of ours says why" not in page
    assert "went back after its credit" not in desk.get("/admin/").text
    assert opened.reference not in desk.get("/admin/top-ups?show=attention").text


@pytest.mark.parametrize("verb", ["accept", "close"])
def test_deciding_asks_once_more_who_it_is(
    app: Flask, desk: FlaskClient, admin: User, differs: TopUp, verb: str
) -> None:
    with transaction():
        db.session.execute(update(Session).values(confirmed_at=text("now() - interval '1 day'")))
    answer = desk.post(f"/admin/top-ups/{differs.reference}/{verb}", data={"reason": "why", "seen_minor": PAID})
    assert answer.status_code == 303 and answer.location.startswith("/confirm")
    assert topups.get_top_up(differs.reference).state == "mismatch"


def test_customers_are_told_that_there_is_no_such_page(app: Flask, alice: User, differs: TopUp) -> None:
    stored = unmatched()
    browser = log_in(app.test_client(), alice)
    for address in (
        "/admin/gateway-events",
        f"/admin/gateway-events/{stored.id}",
        f"/admin/gateway-events/{stored.id}/raw",
        "/admin/top-ups",
        f"/admin/top-ups/{differs.reference}",
    ):
        assert browser.get(address).status_code == 404
    for address in (
        f"/admin/gateway-events/{stored.id}/try-again",
        f"/admin/gateway-events/{stored.id}/close",
        f"/admin/top-ups/{differs.reference}/ask",
        f"/admin/top-ups/{differs.reference}/accept",
        f"/admin/top-ups/{differs.reference}/close",
        f"/admin/top-ups/{differs.reference}/explain",
    ):
        assert browser.post(address, data={"reason": "mine", "seen_minor": PAID}).status_code == 404
    assert topups.get_top_up(differs.reference).state == "mismatch"


@pytest.mark.parametrize("who", ["system", "operator", "user:999999999", "user:x", ""])
def test_who_has_no_account_is_named_as_the_books_name_them(app: Flask, who: str) -> None:
    assert actor(who) == who


def test_who_decided_is_named_by_address(desk: FlaskClient, admin: User, differs: TopUp) -> None:
    desk.post(f"/admin/top-ups/{differs.reference}/close", data={"reason": "sent back"})
    page = desk.get(f"/admin/top-ups/{differs.reference}").text
    assert f'<bdi class="wrap-anywhere">{admin.email}</bdi>' in page and f"user:{admin.id}" not in page
