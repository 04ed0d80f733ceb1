"""Asking for a refund happens once, whatever is lost, killed or done at the same time."""

import json
import secrets
from unittest.mock import patch

import pytest
from flask import Flask
from sqlalchemy import select, text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.wallet import events, refund_accounts, refund_asking, refund_reading, refunds
from namaskah.wallet.models import GatewayEvent, TopUp
from namaskah.wallet.paystack import GatewayDown, GatewayRefused
from namaskah.wallet.paystack_refunds import parse_refund
from namaskah.wallet.refund_models import GatewayRefund
from tests.together import at_once

from .counter import Counter
from .refund_desk import (
    PAID,
    WHO,
    becomes,
    begin,
    fresh,
    later,
    letters,
    moved,
    noted,
    paid,
    sent,
    there,
    wallet,
)

UNCLEAR = ("reset", "reset_after", "error_500", "error_500_after", "html_after", "cut_json_after", "empty_after")


@pytest.fixture
def top_up(payer: User, counter: Counter) -> TopUp:
    return paid(payer, counter)


@pytest.mark.parametrize("kind", UNCLEAR)
def test_an_unclear_answer_is_looked_up_before_it_is_asked_again(
    top_up: TopUp, payer: User, counter: Counter, kind: str
) -> None:
    counter.breaks("refund", kind)
    refund = sent(top_up)
    assert (refund.state, wallet(payer.id)) == ("doubt", (0, PAID))
    began = len(there(counter))
    found = refund_asking.ask(refund.reference)
    assert found.state == ("pending" if began else "doubt")
    assert counter.calls("refund") == 1
    later(16)
    assert refund_asking.ask(refund.reference).state == "pending"
    assert (len(there(counter)), counter.calls("refund")) == (1, 1 if began else 2)


def test_a_list_that_cannot_be_read_is_no_reason_to_ask_again(top_up: TopUp, counter: Counter) -> None:
    counter.breaks("refund", "reset_after")
    refund = sent(top_up)
    later(16)
    counter.breaks("refund_read", "cut_json_after")
    with pytest.raises(GatewayDown):
        refund_asking.ask(refund.reference)
    assert refund_asking.try_to_ask(refund.reference).state == "pending"
    assert len(there(counter)) == 1


def test_killed_between_our_commit_and_the_call_it_is_asked_once_later(top_up: TopUp, counter: Counter) -> None:
    refund = begin(top_up)
    assert refunds.claim_call(refund.reference, "asked", 0)  # and then nothing
    assert refund_asking.ask(refund.reference).state == "doubt"
    assert there(counter) == []
    later(16)
    assert refund_asking.ask(refund.reference).state == "pending"
    assert len(there(counter)) == 1


def test_killed_between_the_answer_and_our_commit_it_is_found(top_up: TopUp, counter: Counter) -> None:
    refund = begin(top_up)
    with patch.object(refunds, "note", side_effect=SystemExit), pytest.raises(SystemExit):
        refund_asking.ask(refund.reference)
    assert (fresh(refund).state, len(there(counter))) == ("doubt", 1)
    assert refund_asking.ask(refund.reference).state == "pending"
    assert len(there(counter)) == 1


def test_a_definite_no_puts_the_money_back_at_once(top_up: TopUp, payer: User, counter: Counter) -> None:
    counter.becomes(top_up.reference, "reversed")
    before = letters()
    refund = sent(top_up)
    assert (refund.state, "fully reversed" in refund.problem, wallet(payer.id)) == ("cancelled", True, (PAID, 0))
    assert letters() == before


def test_a_no_to_the_second_asking_is_not_believed(top_up: TopUp, payer: User, counter: Counter) -> None:
    counter.breaks("refund", "reset")
    refund = sent(top_up)
    later(16)
    counter.becomes(top_up.reference, "reversed")
    found = refund_asking.ask(refund.reference)
    assert (found.state, "fully reversed" in found.problem, wallet(payer.id)) == ("doubt", True, (0, PAID))


def test_a_refund_made_by_hand_is_not_taken_for_ours_nor_doubled(top_up: TopUp, counter: Counter) -> None:
    refund = begin(top_up, 100_000)
    counter.breaks("refund", "reset")
    refund_asking.ask(refund.reference)
    by_hand = counter.world.refunds.create({"transaction": top_up.reference, "amount": 100_000})
    later(16)
    found = refund_asking.ask(refund.reference)
    assert (found.state, found.problem) == ("doubt", refund_asking.WITHOUT_OURS)
    with pytest.raises(UserError, match="not certain"):
        refund_asking.withdraw(refund.reference, WHO)
    with pytest.raises(UserError, match="no refund of this payment"):
        refund_asking.attach(refund.reference, "123", WHO)
    assert refund_asking.attach(refund.reference, str(by_hand.id), WHO).state == "pending"
    assert len(there(counter)) == 1
    other = begin(top_up, 100_000)
    counter.breaks("refund", "reset")
    refund_asking.ask(other.reference)
    with pytest.raises(UserError, match="is that of"):
        refund_asking.attach(other.reference, str(by_hand.id), WHO)
    assert fresh(other).gateway_id is None


def test_a_person_may_say_that_none_of_them_is_ours(top_up: TopUp, payer: User, counter: Counter) -> None:
    refund = begin(top_up, 100_000)
    counter.breaks("refund", "reset")
    refund_asking.ask(refund.reference)
    counter.world.refunds.create({"transaction": top_up.reference, "amount": 100_000})
    with pytest.raises(UserError, match="not certain"):  # too early, whatever the person says
        refund_asking.withdraw(refund.reference, WHO, is_none_of_them=True)
    later(16)
    assert refund_asking.withdraw(refund.reference, WHO, is_none_of_them=True).state == "cancelled"
    assert wallet(payer.id) == (PAID, 0)


def test_it_can_be_called_off_until_it_has_begun(top_up: TopUp, payer: User, counter: Counter) -> None:
    early = begin(top_up, 100_000)
    assert refund_asking.withdraw(early.reference, WHO).state == "cancelled"
    assert refund_asking.ask(early.reference).state == "cancelled"
    assert (there(counter), wallet(payer.id)) == ([], (PAID, 0))
    lost = begin(top_up, 100_000)
    counter.breaks("refund", "reset_after")
    refund_asking.ask(lost.reference)
    with pytest.raises(UserError, match="has begun it"):
        refund_asking.withdraw(lost.reference, WHO)
    assert fresh(lost).state == "pending"
    counter.breaks("refund", "reset")
    never = sent(top_up, 50_000)
    later(16)
    counter.breaks("refund_read", "error_500")
    with pytest.raises(UserError, match="does not answer"):
        refund_asking.withdraw(never.reference, WHO)
    assert refund_asking.withdraw(never.reference, WHO).state == "cancelled"


def test_one_that_was_called_off_and_turns_up_is_said(top_up: TopUp, counter: Counter) -> None:
    counter.breaks("refund", "reset")
    refund = sent(top_up)
    later(16)
    refund_asking.withdraw(refund.reference, WHO)
    counter.world.refunds.create({"transaction": top_up.reference, "merchant_note": refund.reference})
    before = letters()
    assert becomes(counter, refund, "processed").is_contradicted
    assert letters() == before
    assert refunds.book_as_gone(refund.reference, WHO).state == "processed"


@pytest.mark.parametrize("_again", range(3))
def test_all_at_once_ask_once_and_book_once(app: Flask, top_up: TopUp, counter: Counter, _again: int) -> None:
    refund = begin(top_up)
    reference = refund.reference
    with transaction():
        db.session.execute(text("UPDATE gateway_refunds SET check_at = now()"))
    asking = lambda: refund_asking.ask(reference).state  # noqa: E731
    results = at_once(app, *[asking] * 4, refund_asking.sweep_due, refund_asking.sweep_due)
    assert not [result for result in results if isinstance(result, Exception)]
    assert (len(there(counter)), counter.calls("refund")) == (1, 1)
    counter.world.refunds.move(there(counter)[0], "processed")
    at_once(app, *[asking] * 4)
    assert (fresh(refund).state, moved("refund_to_source"), noted()) == ("processed", 1, [PAID])


def test_two_admins_at_once_cannot_give_back_more_than_was_paid(app: Flask, top_up: TopUp, payer: User) -> None:
    reference = top_up.reference

    def give() -> str:
        key = secrets.token_hex(16)
        return refunds.start(reference, 150_000, reason="x", key=key, who=WHO).reference

    results = at_once(app, *[give] * 6)
    assert len([result for result in results if isinstance(result, str)]) == 1
    assert {type(result) for result in results if not isinstance(result, str)} == {UserError}
    assert wallet(payer.id) == (PAID - 150_000, 150_000)


def test_ten_clicks_on_one_form_are_one_refund(app: Flask, top_up: TopUp, payer: User) -> None:
    reference, key = top_up.reference, secrets.token_hex(16)
    click = lambda: refunds.start(reference, PAID, reason="x", key=key, who=WHO).reference  # noqa: E731
    assert len(set(at_once(app, *[click] * 10))) == 1
    assert (wallet(payer.id), moved("refund_to_source_begin")) == ((0, PAID), 1)


def test_calling_off_and_asking_at_once_end_in_one_of_both(app: Flask, top_up: TopUp, counter: Counter) -> None:
    refund = begin(top_up)
    reference = refund.reference
    at_once(
        app, lambda: refund_asking.ask(reference), lambda: refund_asking.withdraw(reference, WHO),
        lambda: refund_asking.ask(reference),
    )  # fmt: skip
    assert (fresh(refund).state == "cancelled") == (there(counter) == [])


def event(name: str, **data: object) -> GatewayEvent:
    return events.receive_event(json.dumps({"event": f"refund.{name}", "data": data}).encode())


def outcome(stored: GatewayEvent) -> str | None:
    events.handle_event(stored.id)
    db.session.rollback()
    return db.session.scalar(select(GatewayEvent.outcome).filter_by(id=stored.id))


@pytest.mark.parametrize("name", ["pending", "processing", "processed", "failed", "needs-attention"])
def test_every_event_makes_us_ask(top_up: TopUp, counter: Counter, name: str) -> None:
    refund = sent(top_up)
    counter.world.refunds.move(there(counter)[0], name)
    data = {"transaction_reference": top_up.reference, "amount": str(PAID), "status": name}
    assert outcome(event(name, **data)) == name.replace("-", "_")
    assert fresh(refund).state == name.replace("-", "_")


def test_an_event_proves_nothing_and_the_order_of_events_does_not_matter(top_up: TopUp, counter: Counter) -> None:
    refund = sent(top_up)
    data = {"transaction_reference": top_up.reference, "amount": PAID}
    assert outcome(event("processed", **data)) == "pending"
    counter.world.refunds.move(there(counter)[0], "processed")
    assert outcome(event("processing", **data)) == "processed"
    assert outcome(event("pending", **data)) == "processed"
    assert (fresh(refund).is_contradicted, noted()) == (False, [PAID])


def test_an_event_about_nobodys_refund_is_unmatched(top_up: TopUp, counter: Counter) -> None:
    sent(top_up, 100_000)
    for data in (
        {"transaction_reference": "NK-nobody", "amount": 1},
        {"transaction_reference": top_up.reference, "amount": 99_999},
        {"transaction_reference": top_up.reference, "amount": "many"},
        {"transaction_reference": top_up.reference, "amount": 100_000, "id": "77"},
    ):
        assert outcome(event("processed", **data)) == "unmatched"


def test_an_event_waits_for_a_gateway_that_is_away(top_up: TopUp, counter: Counter) -> None:
    sent(top_up)
    counter.breaks("refund_read", "error_500")
    stored = event("pending", transaction_reference=top_up.reference)
    with pytest.raises(GatewayDown):
        events.handle_event(stored.id)
    assert outcome(stored) == "pending"


def test_the_sweep_takes_what_is_due_with_growing_gaps(top_up: TopUp, counter: Counter) -> None:
    refund = sent(top_up)
    assert refund_asking.sweep_due() == 0
    later(2)
    counter.world.refunds.move(there(counter)[0], "processing")
    assert (refund_asking.sweep_due(), fresh(refund).state) == (1, "processing")
    gap = text("SELECT extract(epoch FROM check_at - now())::int / 60 FROM gateway_refunds")
    with transaction():
        db.session.execute(text("ALTER TABLE gateway_refunds DISABLE TRIGGER gateway_refund_guard"))
        db.session.execute(text("UPDATE gateway_refunds SET created_at = now() - interval '2 hours', check_at = now()"))
        db.session.execute(text("ALTER TABLE gateway_refunds ENABLE TRIGGER gateway_refund_guard"))
    assert refund_asking.sweep_due() == 1
    assert db.session.scalar(gap) in (29, 30)
    db.session.rollback()
    later(40)
    counter.breaks("refund_read", "error_500")
    assert refund_asking.sweep_due() == 0
    later(40)
    counter.breaks("refund_read", "bad_key")
    assert refund_asking.sweep_due() == 0
    assert fresh(refund).problem == "Paystack: Invalid key"


def test_without_a_key_nothing_is_asked(app: Flask, top_up: TopUp, monkeypatch: pytest.MonkeyPatch) -> None:
    refund = begin(top_up)
    monkeypatch.setitem(app.config, "PAYSTACK_SECRET_KEY", "")
    assert refund_asking.sweep_due() == 0
    with pytest.raises(UserError):
        refund_asking.ask(refund.reference)
    assert fresh(refund).state == "asked"


def needy(top_up: TopUp, counter: Counter) -> GatewayRefund:
    return becomes(counter, sent(top_up), "needs-attention")


def test_a_bank_account_is_passed_on_and_not_kept(top_up: TopUp, payer: User, counter: Counter) -> None:
    refund = needy(top_up, counter)
    assert (refund.state, refund_reading.waiting_for_a_person()) == ("needs_attention", 1)
    assert ("9", "Guaranty Trust Bank") in [(bank.id, bank.name) for bank in refund_accounts.banks("NGN")]
    found = refund_accounts.send_to(refund.reference, "9", "0123456789", WHO)
    assert (found.state, found.account_last4) == ("processing", "6789")
    assert there(counter)[0].account == {"bank_id": "9", "last4": "6789"}
    tables = db.session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).all()
    for table in tables:
        query = text(f"SELECT count(*) FROM {table} t WHERE to_jsonb(t)::text LIKE '%0123456789%'")
        assert db.session.scalar(query) == 0
    assert becomes(counter, refund, "processed").state == "processed"


def test_an_account_that_is_not_taken_says_why(top_up: TopUp, payer: User, counter: Counter) -> None:
    refund = needy(top_up, counter)
    for bank_id, number in (("9", "12"), ("9", "01234x6789"), ("", "0123456789"), ("nine", "0123456789")):
        with pytest.raises(UserError, match="digits only"):
            refund_accounts.send_to(refund.reference, bank_id, number, WHO)
    assert fresh(refund).account_last4 is None
    with pytest.raises(UserError, match="Bank is invalid"):
        refund_accounts.send_to(refund.reference, "12345", "0123456789", WHO)
    assert wallet(payer.id) == (0, PAID)
    counter.breaks("refund_retry", "error_500")
    with pytest.raises(UserError, match="no clear answer"):
        refund_accounts.send_to(refund.reference, "9", "0123456789", WHO)
    counter.breaks("refund_retry", "error_500_after")
    assert refund_accounts.send_to(refund.reference, "9", "0123456789", WHO).state == "processing"
    with pytest.raises(UserError, match="does not wait"):
        refund_accounts.send_to(refund.reference, "9", "0123456789", WHO)


def test_somebody_else_was_first_with_the_account(top_up: TopUp, counter: Counter) -> None:
    refund = needy(top_up, counter)
    counter.world.refunds.move(there(counter)[0], "processing")
    assert refund_accounts.send_to(refund.reference, "9", "0123456789", WHO).state == "processing"


def test_banks_that_are_not_told_are_none(app: Flask, counter: Counter) -> None:
    counter.breaks("banks", "html")
    assert refund_accounts.banks("NGN") == []


def test_what_the_adapter_does_not_take(top_up: TopUp, counter: Counter) -> None:
    refund = sent(top_up)
    desk = refund_asking.gateway()
    with pytest.raises(GatewayRefused):
        desk.fetch("1")
    with pytest.raises(GatewayRefused):
        desk.of_payment("NK-nothing")
    there(counter)[0].merchant_note = f"Refund {refund.reference}, by hand"
    assert desk.of_payment(top_up.reference)[0].our_reference == refund.reference


def test_a_list_without_end_is_no_list(top_up: TopUp) -> None:
    """A gateway that knows no pages gives the same one for ever."""
    desk = refund_asking.gateway()
    payment = {"id": 1, "reference": top_up.reference}
    row = {"id": 1, "status": "pending", "currency": "NGN", "amount": 1, "transaction": {"id": 1}}
    others = {**row, "transaction": 2}
    with patch.object(type(desk), "_data", side_effect=[payment, [others, row]]):
        assert [found.id for found in desk.of_payment(top_up.reference)] == ["1"]
    for answers in ([payment, *[[row]] * 100], [payment, {}], [{}], [{**payment, "id": None}]):
        with (
            patch("namaskah.wallet.paystack_refunds.PAGE", 1),
            patch.object(type(desk), "_data", side_effect=answers),
            pytest.raises(GatewayDown),
        ):
            desk.of_payment(top_up.reference)


GOOD = {"id": 1, "status": "pending", "currency": "NGN", "amount": "5"}


@pytest.mark.parametrize("wrong", [{"id": None}, {"id": True}, {"status": ""}, {"currency": 5}, {"amount": 1.5}])
def test_an_odd_refund_is_no_answer(wrong: dict[str, object]) -> None:
    assert parse_refund(GOOD).amount_minor == 5
    with pytest.raises(GatewayDown):
        parse_refund({**GOOD, **wrong})
    with pytest.raises(GatewayDown):
        parse_refund(None)
