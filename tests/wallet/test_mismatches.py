"""Payments that differ are decided upon by a person: once, whoever else decides at that moment, and by ledger verbs."""

import secrets

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from namaskah.auth import audit
from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction, violated
from namaskah.errors import UserError
from namaskah.wallet import events, invoices, ledger, mismatches, topups
from namaskah.wallet.models import TopUp
from tests.support import Control
from tests.together import at_once

from .counter import Counter
from .test_settle_races import credits
from .test_topups import mails_to
from .test_webhook import event

AMOUNT, PAID = 250_000, 200_000
WHY = "the customer agreed by letter"


@pytest.fixture
def differs(payer: User, counter: Counter) -> TopUp:
    """Asked for 2,500, paid 2,000."""
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference, PAID)
    found = topups.settle(opened.reference)
    assert (found.state, found.difference, found.seen_minor, found.seen_currency) == (
        "mismatch",
        "underpaid",
        PAID,
        "NGN",
    )
    return found


def audited(kind: str) -> list[AuditEvent]:
    db.session.rollback()
    return list(db.session.scalars(select(AuditEvent).filter_by(kind=kind)))


def available(user: User) -> int:
    db.session.rollback()
    return ledger.balance(user.id).available_minor


def test_what_was_paid_is_credited_with_receipt_letter_and_audit(differs: TopUp, payer: User, counter: Counter) -> None:
    assert mismatches.accept(differs.reference, PAID, "user:7", WHY)
    found = topups.get_top_up(differs.reference)
    assert (found.state, found.paid_minor, found.decided_by, found.decision) == ("paid", PAID, "user:7", WHY)
    assert available(payer) == PAID
    receipt = invoices.receipt_of(found)
    assert receipt is not None and receipt.total_minor == PAID
    assert len(mails_to(payer)) == 1
    [record] = audited("top_up_accepted")
    assert (record.user_id, record.actor, record.details["amount"]) == (payer.id, "user:7", PAID)
    assert audit.breaks() == []
    assert mismatches.accept(differs.reference, PAID, "user:8", "again") is False
    assert (available(payer), len(audited("top_up_accepted")), credits(differs.reference)) == (PAID, 1, 1)


def test_closing_credits_nothing_and_stays(differs: TopUp, payer: User, counter: Counter) -> None:
    assert mismatches.close(differs.reference, "user:7", WHY)
    assert mismatches.close(differs.reference, "user:8", "again") is False
    [record] = audited("top_up_closed")
    assert (record.user_id, record.actor, record.details["reason"]) == (payer.id, "user:7", WHY)
    assert topups.settle(differs.reference).state == "closed"
    stored = events.receive_event(event(differs.reference))
    events.handle_event(stored.id)
    assert topups.get_top_up(differs.reference).state == "closed"
    with pytest.raises(mismatches.Undecidable):
        mismatches.accept(differs.reference, PAID, "user:7", WHY)
    assert (available(payer), credits(differs.reference)) == (0, 0)


def test_a_closed_top_up_stays_closed_for_an_answer_that_was_on_its_way(
    differs: TopUp, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter.transaction(differs.reference).paid_amount = AMOUNT
    verify = topups.Paystack.verify

    def slow(self: topups.Paystack, reference: str) -> object:
        answer = verify(self, reference)
        with monkeypatch.context():
            mismatches.close(reference, "user:7", WHY)
        return answer

    monkeypatch.setattr(topups.Paystack, "verify", slow)
    assert topups.settle(differs.reference).state == "closed"
    assert available(payer) == 0


@pytest.mark.parametrize("_again", range(3))
def test_two_admins_at_once_credit_once(app: Flask, differs: TopUp, payer: User, _again: int) -> None:
    reference = differs.reference
    results = at_once(app, *[lambda: mismatches.accept(reference, PAID, "user:7", WHY)] * 6)
    assert sorted(map(bool, results)) == [False] * 5 + [True]
    assert (available(payer), credits(reference), len(audited("top_up_accepted"))) == (PAID, 1, 1)


@pytest.mark.parametrize("_again", range(3))
def test_of_one_who_accepts_and_one_who_closes_one_wins(app: Flask, differs: TopUp, payer: User, _again: int) -> None:
    reference = differs.reference
    results = at_once(
        app,
        lambda: mismatches.accept(reference, PAID, "user:7", WHY),
        lambda: mismatches.close(reference, "user:8", WHY),
    )
    assert [result for result in results if result is True] == [True]
    [refused] = [result for result in results if result is not True]
    assert isinstance(refused, mismatches.Undecidable)
    state = topups.get_top_up(reference).state
    assert available(payer) == (PAID if state == "paid" else 0)
    assert len(audited("top_up_accepted")) + len(audited("top_up_closed")) == 1


def test_accepting_while_the_gateway_settles_credits_once(
    app: Flask, differs: TopUp, payer: User, counter: Counter
) -> None:
    reference = differs.reference
    counter.transaction(reference).paid_amount = AMOUNT  # the payer has paid the rest, so it settles by itself
    results = at_once(
        app,
        lambda: mismatches.accept(reference, AMOUNT, "user:7", WHY),
        lambda: topups.settle(reference).state,
        lambda: topups.settle(reference).state,
    )
    assert results.count("paid") == 2
    assert (available(payer), credits(reference)) == (AMOUNT, 1)


@pytest.mark.parametrize(
    "becomes",
    [
        {"paid_amount": PAID + 1},
        {"paid_amount": 0},
        {"currency": "GHS"},
        {"domain": "live"},
        {"status": "reversed"},
        {"status": "failed"},
    ],
)
def test_what_is_not_there_any_more_as_it_was_seen_is_not_credited(
    differs: TopUp, payer: User, control: Control, becomes: dict[str, object]
) -> None:
    control.payment(differs.reference, **becomes)
    with pytest.raises(mismatches.Undecidable) as refused:
        mismatches.accept(differs.reference, PAID, "user:7", WHY)
    assert "nothing was credited" in refused.value.message
    found = topups.get_top_up(differs.reference)
    assert (found.state, found.decided_at) == ("mismatch", None)
    assert (available(payer), audited("top_up_accepted")) == (0, [])


@pytest.mark.parametrize("fault", ["error_500", "bad_key"])
def test_without_an_answer_of_the_gateway_nothing_changes(
    differs: TopUp, payer: User, counter: Counter, fault: str
) -> None:
    for verb in (
        lambda: mismatches.accept(differs.reference, PAID, "user:7", WHY),
        lambda: mismatches.ask_again(differs.reference),
    ):
        counter.breaks("verify", fault)
        with pytest.raises(UserError) as silent:
            verb()
        assert silent.value.status == 503
    assert topups.get_top_up(differs.reference).state == "mismatch"
    assert available(payer) == 0


def test_without_a_reason_nothing_is_decided(differs: TopUp, counter: Counter) -> None:
    for verb in (
        lambda: mismatches.accept(differs.reference, PAID, "user:7", " \0"),
        lambda: mismatches.close(differs.reference, "user:7", ""),
    ):
        with pytest.raises(UserError) as wordless:
            verb()
        assert wordless.value.status == 422
    assert topups.get_top_up(differs.reference).state == "mismatch"


def test_only_what_differs_is_decided_upon(payer: User, counter: Counter) -> None:
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference)
    for state in ("opened", "paid"):
        for verb in (
            lambda: mismatches.accept(opened.reference, AMOUNT, "user:7", WHY),
            lambda: mismatches.close(opened.reference, "user:7", WHY),
        ):
            with pytest.raises(mismatches.Undecidable):
                verb()
        assert topups.get_top_up(opened.reference).state == state
        topups.settle(opened.reference)
    assert available(payer) == AMOUNT


def test_a_deleted_account_is_given_nothing(differs: TopUp, payer: User) -> None:
    with transaction():
        db.session.execute(text("UPDATE users SET deleted_at = now() WHERE id = :id"), {"id": payer.id})
    with pytest.raises(topups.AccountGone, match="deleted"):
        mismatches.accept(differs.reference, PAID, "user:7", WHY)
    assert available(payer) == 0


def test_an_account_that_is_deleted_at_that_moment_is_given_nothing(
    differs: TopUp, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its deletion comes between the decision and the credit, which looks under the account's lock."""
    decide, who = mismatches._decide, payer.id

    def late(top_up: TopUp, actor: str, reason: str) -> None:
        decide(top_up, actor, reason)
        with db.engine.begin() as elsewhere:
            elsewhere.execute(text("SET LOCAL lock_timeout = 300"))
            elsewhere.execute(text("UPDATE users SET deleted_at = now() WHERE id = :id"), {"id": who})

    monkeypatch.setattr(mismatches, "_decide", late)
    with pytest.raises(topups.AccountGone):
        mismatches.accept(differs.reference, PAID, "user:7", WHY)
    db.session.rollback()
    assert db.session.scalar(select(User.deleted_at).where(User.id == who)) is not None
    assert (available(payer), topups.get_top_up(differs.reference).state) == (0, "mismatch")


def test_asked_again_a_mismatch_may_have_become_right_or_gone(differs: TopUp, payer: User, control: Control) -> None:
    control.payment(differs.reference, status="reversed")
    assert mismatches.ask_again(differs.reference).state == "failed"
    control.payment(differs.reference, status="success", paid_amount=AMOUNT)
    assert mismatches.ask_again(differs.reference).state == "paid"
    assert available(payer) == AMOUNT
    control.payment(differs.reference, status="reversed")
    assert mismatches.ask_again(differs.reference).reversed_at is not None
    assert available(payer) == AMOUNT


def test_the_credit_and_the_decision_come_together_or_not_at_all(
    differs: TopUp, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as now, pytest.raises(OSError, match="full"):
        now.setattr("namaskah.wallet.mismatches.audit.record", broken)
        mismatches.accept(differs.reference, PAID, "user:7", WHY)
    found = topups.get_top_up(differs.reference)
    assert (found.state, found.decided_at, available(payer)) == ("mismatch", None, 0)
    assert mismatches.accept(differs.reference, PAID, "user:7", WHY)
    assert available(payer) == PAID


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'closed'", "ck_top_ups_decided"),
        ("decided_at = now()", "ck_top_ups_decided"),
        ("decided_at = now(), decided_by = 'x', decision = ''", "ck_top_ups_decided"),
        ("reversed_at = now()", "ck_top_ups_reversed"),
        ("reversal_note = 'why'", "ck_top_ups_reversal_note"),
        ("difference = 'odd'", "ck_top_ups_difference"),
        ("state = 'odd'", "ck_top_ups_state"),
    ],
)
def test_postgresql_refuses(differs: TopUp, change: str, constraint: str) -> None:
    with pytest.raises(DBAPIError) as refused, transaction():
        db.session.execute(text(f"UPDATE top_ups SET {change} WHERE id = :id"), {"id": differs.id})
    assert violated(refused.value) == constraint  # type: ignore[arg-type]
