"""What we answer to a dispute, and its way to the gateway: once, whole, and whatever gets lost on it."""

import base64
import hashlib

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.wallet import dispute_answers, disputes
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import GatewayDown
from tests.support import make_user
from tests.together import at_once

from .bank import AMOUNT, Bank, TheirDispute, books, heard, ours
from .counter import Counter

PAPER = b"%PDF-1.7 the proof"


@pytest.fixture
def operator(app: Flask) -> User:
    return make_user("op@example.com", role="admin")


@pytest.fixture
def theirs(top_up: TopUp, bank: Bank) -> TheirDispute:
    opened = bank.opens(top_up)
    heard(opened)
    return opened


def decide(theirs: TheirDispute, operator: User, what: str = "declined") -> Dispute:
    return dispute_answers.answer(ours(theirs).id, what, "It was delivered", PAPER, operator)


def due_again() -> None:
    with transaction():
        db.session.execute(update(Dispute).where(Dispute.answer.is_not(None)).values(answer_due_at=func.now()))


def there(counter: Counter, name: str | None) -> bytes:
    """What the gateway has under this name."""
    [found] = [each for each in counter.world.journal.all("upload") if each["name"] == name]
    return base64.b64decode(found["content"])


def test_declined_with_evidence_and_the_bank_decides(
    payer: User, theirs: TheirDispute, operator: User, bank: Bank, counter: Counter
) -> None:
    decide(theirs, operator)
    assert theirs.status == "awaiting-merchant-feedback"  # written down, and the worker sends it
    assert dispute_answers.send_due() == 1
    assert (theirs.status, theirs.message) == ("awaiting-bank-feedback", "It was delivered")
    assert there(counter, theirs.uploaded) == PAPER
    assert theirs.evidence is not None
    assert (theirs.evidence["customer_email"], theirs.evidence["customer_phone"]) == (payer.email, "not collected")
    dispute = ours(theirs)
    assert (dispute.state, dispute.answer_due_at, dispute.answer_problem) == ("awaiting_bank_feedback", None, "")
    assert dispute.answered_at is not None
    assert dispute.evidence_sent_at is not None
    assert books(payer) == {"disputed": AMOUNT}
    bank.decides(theirs, "won")
    heard(theirs)
    assert books(payer) == {"available": AMOUNT}
    assert dispute_answers.send_due() == 0


def test_giving_in_ends_it_at_once(payer: User, theirs: TheirDispute, operator: User, counter: Counter) -> None:
    decide(theirs, operator, "accepted")
    assert dispute_answers.send_due() == 1
    assert theirs.resolution == "merchant-accepted"
    assert theirs.evidence is None
    dispute = ours(theirs)
    assert (dispute.outcome, dispute.answered_at is not None) == ("lost", True)
    assert books(payer) == {}


def test_what_was_sent_is_kept_and_the_decision_is_on_record(theirs: TheirDispute, operator: User) -> None:
    dispute = decide(theirs, operator)
    kept = dispute_answers.paper_of(dispute.id)
    assert kept is not None
    assert (kept.content, kept.sha256) == (PAPER, hashlib.sha256(PAPER).hexdigest())
    [event] = db.session.scalars(select(AuditEvent).filter_by(kind="dispute_declined")).all()
    assert (event.user_id, event.actor) == (dispute.user_id, f"user:{operator.id}")
    assert event.details == {
        "dispute": dispute.gateway_id,
        "reason": "It was delivered",
        "paper_sha256": kept.sha256,
    }


def test_there_is_one_answer_however_often_it_is_given(
    app: Flask, theirs: TheirDispute, operator: User, counter: Counter
) -> None:
    dispute_id, user_id = ours(theirs).id, operator.id

    def say(what: str) -> object:
        return dispute_answers.answer(dispute_id, what, "because", PAPER, db.session.get_one(User, user_id)).answer

    results = at_once(app, *[lambda: say("declined")] * 3, lambda: say("accepted"))
    assert sorted(type(each).__name__ for each in results) == ["UserError"] * 3 + ["str"]
    at_once(app, *[dispute_answers.send_due] * 4)
    assert counter.calls("resolve") == 1
    assert len(db.session.scalars(select(AuditEvent).where(AuditEvent.kind.like("dispute_%"))).all()) == 1


@pytest.mark.parametrize(("what", "reason", "status"), [("declined", "  ", 422), ("perhaps", "because", 422)])
def test_an_answer_needs_words_and_sense(
    theirs: TheirDispute, operator: User, what: str, reason: str, status: int
) -> None:
    with pytest.raises(UserError) as refused:
        dispute_answers.answer(ours(theirs).id, what, reason, PAPER, operator)
    assert refused.value.status == status


def test_what_waits_for_nobody_here_is_not_answered(theirs: TheirDispute, operator: User, bank: Bank) -> None:
    bank.decides(theirs, "won")
    heard(theirs)
    with pytest.raises(UserError) as refused:
        decide(theirs, operator)
    assert refused.value.status == 409


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        *((step, fault) for step in ("dispute", "evidence", "resolve") for fault in ("reset", "cut_json")),
        ("upload", "error_500"),
    ],
)
def test_a_step_that_fails_is_done_with_the_next_try(
    theirs: TheirDispute, operator: User, counter: Counter, operation: str, fault: str
) -> None:
    decide(theirs, operator)
    counter.breaks(operation, fault)
    assert dispute_answers.send_due() == 0
    assert theirs.status == "awaiting-merchant-feedback"
    assert ours(theirs).answered_at is None
    assert dispute_answers.send_due() == 0  # not due yet
    due_again()
    assert dispute_answers.send_due() == 1
    assert theirs.status == "awaiting-bank-feedback"
    assert ours(theirs).answered_at is not None


@pytest.mark.parametrize(
    ("what", "fault"),
    [("declined", "error_500_after"), ("declined", "reset_after"), ("accepted", "cut_json_after")],
)
def test_an_answer_whose_outcome_was_lost_is_seen_and_not_repeated(
    theirs: TheirDispute, operator: User, counter: Counter, fault: str, what: str
) -> None:
    decide(theirs, operator, what)
    counter.breaks("resolve", fault)
    assert dispute_answers.send_due() == 0
    due_again()
    assert dispute_answers.send_due() == 1
    assert counter.calls("resolve") == 1
    assert ours(theirs).answered_at is not None
    assert ours(theirs).answer_due_at is None


def test_a_clear_no_is_told_and_leaves_room_for_another_answer(
    theirs: TheirDispute, operator: User, counter: Counter
) -> None:
    decide(theirs, operator)
    counter.breaks("evidence", "bad_key")
    assert dispute_answers.send_due() == 1
    dispute = ours(theirs)
    assert (dispute.answer, dispute.answer_problem, dispute.answer_due_at) == (None, "Invalid key", None)
    decide(theirs, operator, "accepted")
    assert dispute_answers.send_due() == 1
    assert (ours(theirs).outcome, ours(theirs).answer_problem) == ("lost", "")


def test_an_answer_that_comes_too_late_says_so(
    payer: User, theirs: TheirDispute, operator: User, bank: Bank, counter: Counter
) -> None:
    decide(theirs, operator)
    bank.expires(theirs)
    assert dispute_answers.send_due() == 1
    dispute = ours(theirs)
    assert (dispute.outcome, dispute.answered_at, dispute.answer_due_at) == ("lost", None, None)
    assert "ended before" in dispute.answer_problem
    assert counter.calls("resolve") == 0
    assert dispute_answers.send_due() == 0


def test_a_step_that_was_done_is_not_done_again(theirs: TheirDispute, operator: User, counter: Counter) -> None:
    dispute = decide(theirs, operator)
    counter.breaks("resolve", "error_500")
    with pytest.raises(GatewayDown):
        dispute_answers.send(dispute.id)
    dispute_answers.send(dispute.id)
    assert (counter.calls("upload"), counter.calls("evidence"), counter.calls("resolve")) == (1, 2, 2)


def test_a_new_round_wants_a_new_answer(theirs: TheirDispute, operator: User, bank: Bank) -> None:
    decide(theirs, operator)
    dispute_answers.send_due()
    bank.decides(theirs, "won")
    heard(theirs)
    bank.reopens(theirs)
    again = heard(theirs)
    assert (again.answer, again.answered_at, again.uploaded_as, again.evidence_sent_at) == (None, None, None, None)
    decide(theirs, operator, "accepted")
    dispute_answers.send_due()
    assert disputes.refresh(str(theirs.id)).outcome == "lost"
