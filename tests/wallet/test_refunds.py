"""A top-up goes back to where it was paid from: states, money, papers, letters; what is refused; what contradicts."""

import secrets
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, InternalError

from namaskah.auth import audit
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.wallet import ledger, refund_asking, refund_reading, refunds, topups
from namaskah.wallet.models import TopUp
from namaskah.wallet.refund_models import GatewayRefund

from .bank import Bank, heard
from .counter import Counter
from .refund_desk import (
    PAID,
    WHO,
    becomes,
    begin,
    fresh,
    house,
    letters,
    moved,
    noted,
    paid,
    sent,
    there,
    wallet,
)


@pytest.fixture
def top_up(payer: User, counter: Counter) -> TopUp:
    return paid(payer, counter)


def notes(refund: GatewayRefund) -> list[tuple[str, str]]:
    return [(step.state, step.actor) for step in refund_reading.steps_of(refund)]


def test_the_whole_way_of_a_refund(top_up: TopUp, payer: User, counter: Counter) -> None:
    clearing = house("gateway_clearing")
    refund = begin(top_up)
    assert (refund.state, wallet(payer.id)) == ("asked", (0, PAID))
    assert there(counter) == []
    assert refund_asking.ask(refund.reference).state == "pending"
    [at_paystack] = there(counter)
    assert (at_paystack.amount, at_paystack.merchant_note) == (PAID, refund.reference)
    assert becomes(counter, refund, "processing").state == "processing"
    assert (wallet(payer.id), house("gateway_clearing"), noted()) == ((0, PAID), clearing, [])
    done = becomes(counter, refund, "processed")
    assert (done.state, done.gateway_status, done.check_at) == ("processed", "processed", None)
    assert (wallet(payer.id), house("gateway_clearing"), noted()) == ((0, 0), clearing + PAID, [PAID])
    assert [state for state, _ in notes(refund)] == ["asked", "pending", "processing", "processed"]
    subjects = letters()
    assert ["on its way back" in subjects[-2], "has gone back" in subjects[-1]] == [True, True]
    assert audit.has_happened("refund_started", payer.id)


def test_a_refund_that_failed_is_in_the_wallet_again_and_may_be_repeated(
    top_up: TopUp, payer: User, counter: Counter
) -> None:
    refund = sent(top_up)
    assert becomes(counter, refund, "failed").state == "failed"
    assert (wallet(payer.id), noted()) == ((PAID, 0), [])
    assert "could not be sent back" in letters()[-1]
    assert becomes(counter, sent(top_up), "processed").state == "processed"
    assert noted() == [PAID]


def test_parts_add_up_to_what_was_paid_and_no_further(top_up: TopUp, payer: User, counter: Counter) -> None:
    with transaction():
        ledger.adjust(payer.id, "gift", PAID, "test", "a gift")
    becomes(counter, sent(top_up, 100_000), "processed")
    sent(top_up, 100_000)
    room = refund_reading.room_of(top_up)
    assert (room.left_minor, room.available_minor, room.most_minor) == (50_000, 300_000, 50_000)
    with pytest.raises(UserError, match="more than is left"):
        begin(top_up, 50_001)
    assert begin(top_up, 50_000).amount_minor == 50_000
    with pytest.raises(UserError):
        begin(top_up, 1)


def test_what_is_spent_does_not_go_back_unless_we_pay_it(top_up: TopUp, payer: User, counter: Counter) -> None:
    with transaction():
        ledger.adjust(payer.id, "spent", -200_000, "test", "spent")
    given = house("promo")
    wrong: dict[str, Any]
    for wrong, told in (
        ({}, "has spent part of it"),
        ({"loss_minor": 199_999, "loss_reason": "too little"}, "has spent part of it"),
        ({"loss_minor": 200_001, "loss_reason": "too much"}, "still holds this"),
        ({"loss_minor": 200_000}, "Say why"),
        ({"loss_minor": 200_000, "loss_reason": "x", "reason": "  "}, "Say why"),
    ):
        with pytest.raises(UserError, match=told):
            begin(top_up, PAID, **wrong)
    assert wallet(payer.id) == (50_000, 0)
    refund = begin(top_up, PAID, loss_minor=200_000, loss_reason="a mistake of ours")
    assert (wallet(payer.id), house("promo")) == ((0, PAID), given - 200_000)
    [event] = [event for event in audit.history(payer) if event.kind == "refund_started"]
    assert (event.details["loss_minor"], event.details["loss_reason"]) == (200_000, "a mistake of ours")
    refund_asking.ask(refund.reference)
    becomes(counter, refund, "failed")
    assert (wallet(payer.id), house("promo")) == ((50_000, 0), given)


def test_what_its_bank_decides_about_is_not_given_back_by_us_as_well(
    top_up: TopUp, payer: User, bank: Bank, counter: Counter
) -> None:
    """Not even the part that is not disputed: the bank may want all of it yet."""
    theirs = bank.opens(top_up, 50_000)
    heard(theirs)
    with pytest.raises(UserError, match="disputed at its bank") as refused:
        begin(top_up, 50_000)
    assert (refused.value.status, wallet(payer.id)) == (409, (PAID - 50_000, 0))
    bank.decides(theirs, "won")
    heard(theirs)
    assert sent(top_up).state == "pending"


def test_what_was_not_credited_has_nothing_to_give_back(payer: User) -> None:
    opened = topups.open_top_up(payer, PAID, secrets.token_hex(16))
    with pytest.raises(UserError, match="not credited"):
        begin(opened)
    with pytest.raises(UserError) as unknown:
        refunds.start("NK-nothing", 1, reason="x", key=secrets.token_hex(16), who=WHO)
    assert unknown.value.status == 404


def test_one_form_is_one_refund(top_up: TopUp, payer: User) -> None:
    key = secrets.token_hex(16)
    first = begin(top_up, 100_000, key=key)
    assert begin(top_up, 100_000, key=key).id == first.id
    with pytest.raises(refunds.KeyUsed):
        begin(top_up, 50_000, key=key)
    assert (moved("refund_to_source_begin"), wallet(payer.id)) == (1, (150_000, 100_000))


def test_money_on_its_way_cannot_be_spent(top_up: TopUp, payer: User) -> None:
    begin(top_up)
    with pytest.raises(ledger.InsufficientFunds), transaction():
        ledger.hold(payer.id, "activation:1", 1)


@pytest.mark.parametrize(
    "change",
    [
        "amount_minor = amount_minor + 1",
        "top_up_id = top_up_id + 1",
        "state = 'pending', settled_at = NULL",
        "reference = 'RF-other'",
        "gateway_id = '1'",
        "asked_by = 'user:2'",
    ],
)
def test_postgresql_keeps_a_closed_refund_as_it_is(top_up: TopUp, counter: Counter, change: str) -> None:
    refund = becomes(counter, sent(top_up), "processed")
    with pytest.raises((IntegrityError, InternalError)), transaction():
        db.session.execute(text(f"UPDATE gateway_refunds SET {change} WHERE id = :id"), {"id": refund.id})
    with pytest.raises((IntegrityError, InternalError)), transaction():
        db.session.execute(text("DELETE FROM gateway_refunds"))


def test_postgresql_itself_adds_up(top_up: TopUp, payer: User) -> None:
    begin(top_up, 200_000)
    row = (
        "INSERT INTO gateway_refunds (reference, key, top_up_id, user_id, amount_minor, currency, asked_by, reason)"
        " VALUES ('RF-x', 'x', :top_up, :user, :amount, 'NGN', 'x', 'x')"
    )
    wrong: Any
    for wrong in ({"amount": 50_001}, {"amount": 0}, {"user": payer.id + 1}):
        values = {"top_up": top_up.id, "user": payer.id, "amount": 1} | wrong
        with pytest.raises(IntegrityError), transaction():
            db.session.execute(text(row), values)


def test_processed_before_anything_else_was_heard(top_up: TopUp, payer: User, counter: Counter) -> None:
    refund = begin(top_up)
    counter.breaks("refund", "reset_after")
    assert refund_asking.ask(refund.reference).state == "doubt"
    assert becomes(counter, refund, "processed").state == "processed"
    assert (wallet(payer.id), noted()) == ((0, 0), [PAID])


def test_a_status_we_do_not_know_moves_nothing(top_up: TopUp, counter: Counter) -> None:
    refund = sent(top_up)
    there(counter)[0].status = "meditating"
    found = refund_asking.ask(refund.reference)
    assert (found.state, "meditating" in found.problem) == ("pending", True)
    assert refund_reading.waiting_for_a_person() == 1
    assert becomes(counter, refund, "processing").problem == ""


def test_another_amount_at_the_gateway_moves_nothing(top_up: TopUp, payer: User, counter: Counter) -> None:
    refund = sent(top_up)
    there(counter)[0].amount = PAID - 1
    found = becomes(counter, refund, "processed")
    assert (found.state, "another amount" in found.problem) == ("pending", True)
    assert wallet(payer.id) == (0, PAID)


def test_failed_after_processed_is_said_and_booked_by_a_person(top_up: TopUp, payer: User, counter: Counter) -> None:
    clearing = house("gateway_clearing")
    refund = becomes(counter, sent(top_up), "processed")
    with pytest.raises(UserError):
        refunds.give_back(refund.reference, WHO)
    found = becomes(counter, refund, "failed")
    assert (found.state, found.is_contradicted, wallet(payer.id)) == ("processed", True, (0, 0))
    assert refund_reading.waiting_for_a_person() == 1
    assert becomes(counter, refund, "processed").is_contradicted is False
    becomes(counter, refund, "failed")
    with pytest.raises(UserError):
        refunds.book_as_gone(refund.reference, WHO)
    refunds.give_back(refund.reference, WHO)
    assert (wallet(payer.id), house("gateway_clearing"), noted()) == ((PAID, 0), clearing, [PAID, -PAID])
    assert (fresh(refund).is_contradicted, refund_reading.waiting_for_a_person()) == (False, 0)
    with pytest.raises(UserError):
        refunds.give_back(refund.reference, WHO)
    assert becomes(counter, refund, "processed").is_contradicted is False
    with pytest.raises(UserError):
        begin(top_up, 1)


@pytest.mark.parametrize("spent", [0, 100_000, PAID])
def test_processed_after_failed_is_taken_from_the_wallet_as_far_as_it_goes(
    top_up: TopUp, payer: User, counter: Counter, spent: int
) -> None:
    clearing, promo = house("gateway_clearing"), house("promo")
    refund = becomes(counter, sent(top_up), "failed")
    if spent:
        with transaction():
            ledger.adjust(payer.id, "spent", -spent, "test", "spent")
    found = becomes(counter, refund, "processed")
    assert (found.state, found.is_contradicted, wallet(payer.id)) == ("failed", True, (PAID - spent, 0))
    refunds.book_as_gone(refund.reference, WHO)
    assert (fresh(refund).state, wallet(payer.id), noted()) == ("processed", (0, 0), [PAID])
    assert house("gateway_clearing") == clearing + PAID
    # Of what was spent the house has got the adjustment, and lost it again.
    assert house("promo") == promo


def test_the_gateway_may_change_its_mind_to_the_last(top_up: TopUp, payer: User, counter: Counter) -> None:
    refund = becomes(counter, sent(top_up), "failed")
    becomes(counter, refund, "processed")
    refunds.book_as_gone(refund.reference, WHO)
    assert becomes(counter, refund, "failed").is_contradicted
    refunds.give_back(refund.reference, WHO)
    assert (wallet(payer.id), noted()) == ((PAID, 0), [PAID, -PAID])


def test_processed_after_failed_cannot_be_booked_when_it_went_back_otherwise(top_up: TopUp, counter: Counter) -> None:
    refund = becomes(counter, sent(top_up), "failed")
    becomes(counter, sent(top_up), "processed")
    assert becomes(counter, refund, "processed").is_contradicted
    with pytest.raises(UserError, match="More would go back than was paid"):
        refunds.book_as_gone(refund.reference, WHO)
    assert fresh(refund).state == "failed"


def test_an_old_answer_does_not_open_a_closed_refund(top_up: TopUp, payer: User, counter: Counter) -> None:
    refund = sent(top_up)
    old = refund_asking.gateway().fetch(str(refund.gateway_id))
    becomes(counter, refund, "processed")
    found = refunds.note(refund.reference, old)
    assert (found.state, found.is_contradicted, wallet(payer.id)) == ("processed", False, (0, 0))


def test_what_came_back_to_a_deleted_account_is_the_houses(top_up: TopUp, payer: User, counter: Counter) -> None:
    promo = house("promo")
    refund = sent(top_up)
    with transaction():
        db.session.execute(text("UPDATE users SET deleted_at = now() WHERE id = :id"), {"id": payer.id})
    db.session.expire_all()
    becomes(counter, refund, "failed")
    assert (wallet(payer.id), house("promo")) == ((0, 0), promo + PAID)
