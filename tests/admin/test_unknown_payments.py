"""An operator credits a payment that only Paystack knows: what the pages show, who may, and that it is booked once."""

import hashlib
import hmac
import html
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text, update

from namaskah.auth.models import AuditEvent, Session, User
from namaskah.db import db, transaction
from namaskah.legacy.models import LegacyRecord
from namaskah.reconciliation import findings, runs
from namaskah.sandbox import Sandbox
from namaskah.sandbox.charges import webhook_body
from namaskah.sandbox.till import Transaction
from namaskah.wallet import (
    disputes,
    events,
    inbox,
    invoices,
    ledger,
    refund_asking,
    refunds,
    sweeping,
    topups,
    unknown_payments,
)
from namaskah.wallet.models import GatewayEvent, TopUp
from namaskah.wallet.quotes import Quote
from tests.numbers import shop
from tests.support import log_in, make_user
from tests.together import at_once
from tests.wallet.bank import Bank, books, letters
from tests.wallet.counter import Counter

PAID, REFERENCE = 250_000, "T482913000731"
PAGE = f"/admin/unknown-payments/{REFERENCE}"
WHY = "the payer sent the bank's receipt"


@pytest.fixture
def counter(app: Flask, sandbox: Sandbox) -> Counter:
    shop.book_balances()
    return Counter(sandbox)


@pytest.fixture
def desk(app: Flask, admin: User) -> FlaskClient:
    return log_in(app.test_client(), admin)


@pytest.fixture
def payer(app: Flask) -> User:
    return make_user("payer@example.com")


@pytest.fixture
def stranger(counter: Counter, payer: User) -> Transaction:
    """Paid at Paystack, begun by nobody of ours."""
    return paid_there(counter)


def paid_there(counter: Counter, reference: str = REFERENCE, amount: int = PAID, **more: Any) -> Transaction:
    wanted = {"reference": reference, "email": "payer@example.com", "amount": amount, "currency": "NGN"} | more
    theirs = counter.world.till.initialize(wanted)
    assert counter.world.till.pay(theirs, amount)
    return theirs


def form(desk: FlaskClient, account: object, **more: object) -> dict[str, object]:
    """What the page asks to confirm, filled in."""
    page = desk.get(f"{PAGE}?account={account}").text
    confirming = page.partition('id="credit-h"')[2]
    assert confirming, page
    hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', confirming)
    return {name: html.unescape(value) for name, value in hidden} | {"reason": WHY} | more


def announced(counter: Counter, hours: int = 2) -> GatewayEvent:
    """Paystack's webhook came so long ago, and was nobody's."""
    stored = events.receive_event(webhook_body(counter.transaction(REFERENCE), counter.world.till.domain))
    nobodys(stored, hours)
    return stored


def nobodys(stored: GatewayEvent, hours: int = 2) -> None:
    with transaction():
        early = text("UPDATE gateway_events SET due_at = now(), received_at = now() - make_interval(hours => :hours)")
        db.session.execute(early, {"hours": hours})
    db.session.rollback()  # by whose clock it is due
    assert events.take_up_due() == 1
    assert outcome_of(stored) == "unmatched"


def outcome_of(stored: GatewayEvent) -> str | None:
    db.session.rollback()
    return db.session.scalar(select(GatewayEvent.outcome).where(GatewayEvent.id == stored.id))


def credits() -> int:
    db.session.rollback()
    query = "SELECT count(*) FROM ledger_transactions WHERE reference = :reference AND kind = 'top_up'"
    return int(db.session.scalar(text(query), {"reference": f"top_up:{REFERENCE}"}) or 0)


def assert_nothing_was_credited(*users: User) -> None:
    assert (credits(), [books(user) for user in users]) == (0, [{} for _user in users])
    assert db.session.scalar(select(func.count()).select_from(TopUp)) == 0


# ── From where it was found into the wallet ──────────────────────────────────────────────────────────────────────────


def test_it_is_credited_from_the_difference_with_all_its_paper(
    app: Flask, desk: FlaskClient, admin: User, payer: User, stranger: Transaction
) -> None:
    runs.compare_now("a test")
    assert "1 difference" in desk.get("/admin/").text
    page = desk.get("/admin/reconciliation").text
    assert f'href="{PAGE}"' in page and "no top-up of ours" in page
    page = desk.get(PAGE).text
    assert f'value="{payer.email}"' in page and "₦2,500" in page and "Comes into the wallet" not in page
    page = desk.get(f"{PAGE}?account={payer.email}").text
    assert "Comes into the wallet" in page and "another e-mail address than" not in page
    done = desk.post(PAGE, data=form(desk, payer.email), follow_redirects=True)
    assert (done.request.path, "It is in the customer’s wallet." in done.text) == (f"/admin/top-ups/{REFERENCE}", True)
    top_up = topups.get_top_up(REFERENCE)
    receipt = invoices.receipt_of(top_up)
    assert receipt is not None and receipt.full_number in done.text and WHY in html.unescape(done.text)
    assert (top_up.state, top_up.fees_minor, receipt.total_minor) == ("paid", stranger.fees, PAID)
    assert stranger.paid_at is not None and abs(top_up.created_at - stranger.paid_at) < timedelta(seconds=1)
    assert top_up.decided_by == f"user:{admin.id}"
    assert books(payer) == {"available": PAID}
    assert len(letters(payer.email)) == 1
    event = db.session.scalars(select(AuditEvent).filter_by(kind="unknown_payment_credited")).one()
    assert (event.user_id, event.actor) == (payer.id, f"user:{admin.id}")
    assert event.details == {"top_up": REFERENCE, "paid": PAID, "credited": PAID, "reason": WHY}
    customers = log_in(app.test_client(), payer)
    assert "₦2,500 is in your wallet" in re.sub("<[^>]+>", "", customers.get(f"/wallet/top-ups/{REFERENCE}").text)
    assert "Top-up" in customers.get("/wallet/statement").text
    assert customers.get(f"/wallet/invoices/{receipt.full_number}").status_code == 200


def test_no_page_and_no_comparison_tells_of_it_any_more(
    desk: FlaskClient, payer: User, stranger: Transaction, counter: Counter
) -> None:
    stored = announced(counter)
    runs.compare_now("a test")
    assert (findings.unexplained(), inbox.count_for_a_person()) == (1, 1)
    assert desk.post(PAGE, data=form(desk, payer.id)).status_code == 303
    assert (findings.unexplained(), findings.open_differences(), inbox.count_for_a_person()) == (0, [], 0)
    db.session.rollback()  # by whose clock it is due
    assert events.take_up_due() == 1
    assert outcome_of(stored) == "paid"
    runs.compare_now("a test")
    assert findings.open_differences() == []
    page = desk.get(PAGE).text
    assert "there is nothing to credit here" in page and f'href="/admin/top-ups/{REFERENCE}"' in page
    assert books(payer) == {"available": PAID}


def test_the_way_there_from_a_report_and_from_the_search(
    desk: FlaskClient, payer: User, stranger: Transaction, counter: Counter
) -> None:
    stored = announced(counter)
    assert f'href="{PAGE}"' in desk.get(f"/admin/gateway-events/{stored.id}").text
    assert f'href="{PAGE}"' in desk.get(f"/admin/top-ups?words={REFERENCE}").text
    assert desk.post(PAGE, data=form(desk, payer.id)).status_code == 303
    assert f'href="{PAGE}"' not in desk.get(f"/admin/gateway-events/{stored.id}").text
    assert f'href="{PAGE}"' not in desk.get(f"/admin/top-ups?words={REFERENCE}").text
    assert "unknown-payments" not in desk.get("/admin/top-ups?words=nobody@example.com").text


def test_the_receipt_says_when_it_was_paid_not_when_it_was_found(
    app: Flask, desk: FlaskClient, payer: User, stranger: Transaction
) -> None:
    app.config["SELLER_TIMEZONE"] = "UTC"
    stranger.paid_at = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
    assert desk.post(PAGE, data=form(desk, payer.id)).status_code == 303
    top_up = topups.get_top_up(REFERENCE)
    receipt = invoices.receipt_of(top_up)
    assert receipt is not None and receipt.paid_on == date(2026, 1, 31) < receipt.issued_on
    assert top_up.created_at == stranger.paid_at


def test_a_reference_that_paystack_gave_by_itself_leads_to_every_page(
    app: Flask, desk: FlaskClient, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "namaskah.sandbox.till._REFERENCE", re.compile(".+")
    )  # its own have signs that it takes of nobody
    theirs = paid_there(counter, "tvu_412829.4b=d-c7")
    assert unknown_payments.credit(theirs.reference, payer.id, Quote(PAID, 0), "user:1", WHY)
    customers = log_in(app.test_client(), payer)
    for browser, path in (
        (customers, f"/wallet/top-ups/{theirs.reference}"),
        (desk, f"/admin/top-ups/{theirs.reference}"),
        (desk, f"/admin/refunds/new?top_up={theirs.reference}"),
    ):
        assert theirs.reference in browser.get(path).text, path
    assert customers.get(f"/wallet/top-up/return?reference={theirs.reference}").status_code == 303


def test_where_payers_bear_the_fee_they_bear_it_here(
    app: Flask, desk: FlaskClient, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "TOP_UP_FEE_PAYER", "customer")
    paid_there(counter, amount=203_046)
    page = desk.get(f"{PAGE}?account={payer.id}").text
    assert "₦30.46" in page and "₦2,000<" in page
    done = desk.post(PAGE, data=form(desk, payer.id), follow_redirects=True).text
    assert books(payer) == {"available": 200_000}
    assert "₦2,030.46" in done and "₦2,000<" in done
    runs.compare_now("a test")
    assert findings.open_differences() == []


def test_what_the_operator_should_think_of_is_said(
    desk: FlaskClient, payer: User, bob: User, stranger: Transaction
) -> None:
    with transaction():
        db.session.execute(update(User).where(User.id == bob.id).values(banned_at=func.now()))
        named = LegacyRecord(
            source="credits", legacy_id="1", user_id=payer.id, content={"description": f"of {REFERENCE}"}
        )
        db.session.add(named)
    page = desk.get(f"{PAGE}?account={bob.id}").text
    for said in (
        "another e-mail address than",
        "This account is closed by us",
        "it may be in a balance that came over",
    ):
        assert said in page


# ── Once, whoever does it and whatever turns up ──────────────────────────────────────────────────────────────────────


def test_sent_twice_it_is_booked_once_and_another_account_gets_nothing(
    desk: FlaskClient, payer: User, bob: User, stranger: Transaction
) -> None:
    before = books(bob)
    mine, others = form(desk, payer.id), form(desk, bob.id)
    assert "It is in the customer’s wallet." in desk.post(PAGE, data=mine, follow_redirects=True).text
    assert "credited before; nothing was done" in desk.post(PAGE, data=mine, follow_redirects=True).text
    refused = desk.post(PAGE, data=others)
    assert (refused.status_code, "Another account has this payment already" in refused.text) == (409, True)
    assert (credits(), books(payer), books(bob)) == (1, {"available": PAID}, before)
    assert len(letters(payer.email)) == 1


@pytest.mark.parametrize("_again", range(3))
def test_two_operators_a_webhook_and_the_sweeps_at_once(
    app: Flask, payer: User, bob: User, stranger: Transaction, counter: Counter, _again: int
) -> None:
    stored, before, ids = announced(counter, hours=0), books(bob), (payer.id, bob.id)

    def by(user_id: int) -> Callable[[], bool]:
        return lambda: unknown_payments.credit(REFERENCE, user_id, Quote(PAID, 0), "user:1", WHY)

    acts = [by(ids[0]), by(ids[1])] * 3
    heard: list[Callable[[], Any]] = [
        lambda: events.handle_event(stored.id), sweeping.find_paid_due, lambda: runs.compare_now("a test").id,
    ]  # fmt: skip
    results = at_once(app, *acts, *heard)
    assert [each for each in results[6:] if isinstance(each, Exception)] == []
    assert results[:6].count(True) == 1
    assert sum(isinstance(each, unknown_payments.Undecidable) for each in results[:6]) == 3, results
    owner = topups.get_top_up(REFERENCE).user_id
    got = {payer.id: {"available": PAID} if owner == payer.id else {},
           bob.id: before if owner == payer.id else {"available": before["available"] + PAID}}  # fmt: skip
    assert (credits(), books(payer), books(bob)) == (1, got[payer.id], got[bob.id])
    assert findings.open_differences() == []
    while events.take_up_due():
        pass
    topups.settle(REFERENCE)
    assert (credits(), books(payer)) == (1, got[payer.id])


def test_the_credit_and_its_record_come_together_or_not_at_all(
    payer: User, stranger: Transaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as now, pytest.raises(OSError, match="full"):
        now.setattr("namaskah.wallet.unknown_payments.audit.record", broken)
        unknown_payments.credit(REFERENCE, payer.id, Quote(PAID, 0), "user:1", WHY)
    assert_nothing_was_credited(payer)
    assert unknown_payments.credit(REFERENCE, payer.id, Quote(PAID, 0), "user:1", WHY)


def test_two_browsers_and_a_signed_webhook_at_once(
    app: Flask, desk: FlaskClient, admin: User, payer: User, stranger: Transaction, counter: Counter
) -> None:
    body = webhook_body(stranger, counter.world.till.domain)
    signature = hmac.new(app.config["PAYSTACK_SECRET_KEY"].encode(), body, hashlib.sha512).hexdigest()
    headers = {"x-paystack-signature": signature, "Content-Type": "application/json"}
    colleague, paystack = log_in(app.test_client(), make_user("colleague@example.com", role="admin")), app.test_client()
    forms = [(desk, form(desk, payer.id)), (colleague, form(colleague, admin.id))]
    posts = [lambda browser=browser, data=data: browser.post(PAGE, data=data).status_code for browser, data in forms]
    results = at_once(
        app, *posts, *posts, lambda: paystack.post("/webhooks/paystack", data=body, headers=headers).status_code
    )
    assert (sorted(results[:4]), results[4]) == ([303, 303, 409, 409], 200)
    shop.run_jobs()
    while events.take_up_due():
        pass
    owner = payer if topups.get_top_up(REFERENCE).user_id == payer.id else admin
    assert (credits(), books(owner)) == (1, {"available": PAID})
    assert [books(user) for user in (payer, admin) if user is not owner] == [{}]
    assert inbox.count_for_a_person() == 0


def test_a_report_on_its_last_try_at_that_moment_is_acted_upon(
    payer: User, stranger: Transaction, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has looked for its top-up a moment too early, and ends after the credit."""
    stored = events.receive_event(webhook_body(stranger, counter.world.till.domain))
    settle = topups.settle

    def too_early(reference: str) -> TopUp:
        try:
            return settle(reference)
        except topups.UnknownTopUp:
            assert unknown_payments.credit(reference, payer.id, Quote(PAID, 0), "user:1", WHY)
            raise

    with transaction():
        early = text("UPDATE gateway_events SET due_at = now(), received_at = now() - interval '2 hours'")
        db.session.execute(early)
    monkeypatch.setattr(topups, "settle", too_early)
    while events.take_up_due():
        pass
    assert outcome_of(stored) == "paid"
    assert (inbox.count_for_a_person(), credits()) == (0, 1)


# ── What is not credited ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("becomes", "said"),
    [
        ({"status": "reversed"}, "as “reversed”"),
        ({"status": "failed"}, "as “failed”"),
        ({"status": "pending"}, "as “pending”"),
        ({"domain": "live"}, "other mode"),
        ({"currency": "GHS"}, "another currency"),
        ({"paid_amount": 0}, "Nothing would be left"),
        ({"paid_amount": PAID - 1}, "another amount than this page"),
    ],
)
def test_what_is_not_as_it_was_seen_is_not_credited(
    desk: FlaskClient, payer: User, stranger: Transaction, counter: Counter, becomes: dict[str, Any], said: str
) -> None:
    seen = form(desk, payer.id)
    counter.world.till.become(stranger, becomes)
    refused = desk.post(PAGE, data=seen)
    assert (refused.status_code, said in refused.text, "nothing was credited" in refused.text) == (409, True, True)
    assert 'id="credit-h"' not in refused.text and "Ask Paystack again" in refused.text
    assert_nothing_was_credited(payer)
    if "paid_amount" not in becomes:
        page = desk.get(f"{PAGE}?account={payer.id}")
        assert (page.status_code, said in page.text, 'id="credit-h"' in page.text) == (409, True, False)


def test_what_goes_back_at_paystack_is_not_credited(
    desk: FlaskClient, payer: User, stranger: Transaction, counter: Counter
) -> None:
    """Somebody has sent a part of it back at Paystack's own pages, where the payment still stands as paid."""
    seen = form(desk, payer.id)
    theirs = counter.world.refunds.create({"transaction": REFERENCE, "amount": 100_000})
    for status in ("pending", "processing", "needs-attention", "processed"):
        counter.world.refunds.move(theirs, status)
        refused = desk.post(PAGE, data=seen)
        assert (refused.status_code, "has gone back at Paystack" in refused.text) == (409, True)
        assert "has gone back at Paystack" in desk.get(PAGE).text
    assert_nothing_was_credited(payer)
    counter.world.refunds.move(theirs, "failed")
    assert desk.post(PAGE, data=seen).status_code == 303
    assert books(payer) == {"available": PAID}


@pytest.mark.parametrize("operation", ["verify", "refund_read"])
def test_without_an_answer_of_paystack_nothing_changes(
    desk: FlaskClient, payer: User, stranger: Transaction, counter: Counter, operation: str
) -> None:
    seen = form(desk, payer.id)
    for ask in (lambda: desk.post(PAGE, data=seen), lambda: desk.get(PAGE)):
        counter.breaks(operation, "error_500")
        answer = ask()
        assert (answer.status_code, "gave no answer, so nothing was changed" in answer.text) == (503, True)
    assert_nothing_was_credited(payer)
    assert desk.post(PAGE, data=seen).status_code == 303


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"reason": " "}, 422, "Say in a few words why"),
        ({"account_id": "999999"}, 409, "no such account"),
        ({"account_id": "9" * 15}, 409, "no such account"),
        ({"account_id": "x"}, 409, "no such account"),
        ({"credit_minor": "1"}, 409, "another amount"),
        ({"surcharge_minor": "1"}, 409, "another amount"),
    ],
)
def test_a_form_that_says_less_or_else_credits_nothing(
    desk: FlaskClient, payer: User, stranger: Transaction, change: dict[str, str], status: int, said: str
) -> None:
    refused = desk.post(PAGE, data=form(desk, payer.id, **change))
    assert (refused.status_code, said in refused.text) == (status, True)
    assert_nothing_was_credited(payer)


def test_a_deleted_account_is_given_nothing(desk: FlaskClient, payer: User, stranger: Transaction) -> None:
    seen = form(desk, payer.id)
    with transaction():
        db.session.execute(update(User).where(User.id == payer.id).values(deleted_at=func.now()))
    assert desk.post(PAGE, data=seen).status_code == 409
    for words in (payer.id, "nobody@example.com", "9" * 30, "%00"):
        page = desk.get(f"{PAGE}?account={words}").text
        assert 'id="credit-h"' not in page
    assert "no account with this address" in desk.get(f"{PAGE}?account={payer.id}").text
    assert_nothing_was_credited(payer)


def test_an_account_deleted_at_that_moment_is_given_nothing(
    payer: User, stranger: Transaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = unknown_payments.ask

    def slow(reference: str) -> unknown_payments.Found:
        found = ask(reference)
        with transaction():
            db.session.execute(update(User).where(User.id == payer.id).values(deleted_at=func.now()))
        return found

    monkeypatch.setattr(unknown_payments, "ask", slow)
    with pytest.raises(unknown_payments.Undecidable, match="no such account"):
        unknown_payments.credit(REFERENCE, payer.id, Quote(PAID, 0), "user:1", WHY)
    assert_nothing_was_credited(payer)


def test_what_paystack_does_not_know_or_no_top_up_can_be_called(desk: FlaskClient, counter: Counter) -> None:
    for reference, said in (
        ("T1", "knows no payment"),
        ("T" * 41, "No top-up can have"),
        ("a%00b", "No top-up can have"),
    ):
        page = desk.get(f"/admin/unknown-payments/{reference}")
        assert (page.status_code, said in page.text) == (409, True)


def test_a_top_up_of_ours_is_decided_upon_on_its_own_page(desk: FlaskClient, payer: User, counter: Counter) -> None:
    ours = topups.open_top_up(payer, PAID, shop.key()).reference
    counter.pay(ours)
    assert "there is nothing to credit here" in desk.get(f"/admin/unknown-payments/{ours}").text
    posted = {"account_id": payer.id, "credit_minor": PAID, "surcharge_minor": 0, "reason": WHY}
    refused = desk.post(f"/admin/unknown-payments/{ours}", data=posted)
    assert (refused.status_code, "decide on its own page" in refused.text) == (409, True)
    assert topups.settle(ours).state == "paid"
    assert books(payer) == {"available": PAID}


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_it_is_asked_once_more_who_it_is(desk: FlaskClient, payer: User, stranger: Transaction, method: str) -> None:
    seen = form(desk, payer.id)
    with transaction():
        db.session.execute(update(Session).values(confirmed_at=text("now() - interval '1 day'")))
    answer = desk.open(PAGE, method=method, data=seen if method == "POST" else None)
    assert answer.status_code == 303 and answer.location.startswith("/confirm")
    assert_nothing_was_credited(payer)


# ── Later ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_it_is_refunded_like_any_other(desk: FlaskClient, payer: User, stranger: Transaction, counter: Counter) -> None:
    desk.post(PAGE, data=form(desk, payer.id))
    assert "Can go back now" in desk.get(f"/admin/refunds/new?top_up={REFERENCE}").text
    refund = refunds.start(REFERENCE, PAID, reason="asked for it", key=shop.key(), who="user:1")
    refund_asking.ask(refund.reference)
    for theirs in counter.world.refunds.listing():
        counter.world.refunds.move(theirs, "processed")
    assert refund_asking.ask(refund.reference).state == "processed"
    assert books(payer) == {}
    runs.compare_now("a test")
    assert findings.open_differences() == []


def test_a_dispute_that_was_heard_of_before_finds_it(
    desk: FlaskClient, payer: User, stranger: Transaction, counter: Counter
) -> None:
    bank = Bank(counter)
    theirs = counter.world.disputes.open(REFERENCE)
    notice = theirs.notices[-1]
    stored = events.receive_event(json.dumps({"event": notice["event"], "data": notice["data"]}).encode())
    nobodys(stored)
    assert f'href="{PAGE}"' in desk.get(f"/admin/gateway-events/{stored.id}").text
    assert desk.post(PAGE, data=form(desk, payer.id)).status_code == 303
    db.session.rollback()  # by whose clock it is due
    assert events.take_up_due() == 1
    assert outcome_of(stored) == "awaiting_merchant_feedback"
    assert books(payer) == {"disputed": PAID}
    bank.decides(theirs, "lost")
    disputes.refresh(str(theirs.id))
    assert books(payer) == {}
    runs.compare_now("a test")
    assert findings.open_differences() == []
    assert ledger.balance(payer.id).available_minor == 0
