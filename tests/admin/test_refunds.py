"""The operator gives a top-up back: who may, what the pages show, what each button does."""

import re
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, text, update

from namaskah.auth.models import Session, User
from namaskah.db import db, transaction
from namaskah.sandbox import Sandbox
from namaskah.wallet import ledger, refund_asking, topups
from namaskah.wallet.models import TopUp
from namaskah.wallet.refund_models import GatewayRefund
from tests.support import log_in
from tests.wallet.counter import Counter
from tests.wallet.refund_desk import PAID, becomes, begin, later, sent, there


@pytest.fixture
def counter(app: Flask, sandbox: Sandbox) -> Counter:
    return Counter(sandbox)


@pytest.fixture
def top_up(bob: User, counter: Counter) -> TopUp:
    opened = topups.open_top_up(bob, PAID, uuid4().hex)
    counter.pay(opened.reference)
    return topups.settle(opened.reference)


@pytest.fixture
def desk(client: FlaskClient, admin: User) -> FlaskClient:
    return log_in(client, admin)


def form(desk: FlaskClient, top_up: TopUp, **more: str) -> dict[str, str]:
    """The form as the page gives it, filled in."""
    found = re.search(r'name="key"[^>]*value="([^"]+)"', desk.get(f"/admin/refunds/new?top_up={top_up.reference}").text)
    assert found is not None
    return {"key": found[1], "amount": "2,500", "reason": "paid twice"} | more


def start(desk: FlaskClient, top_up: TopUp, **more: str) -> tuple[int, str]:
    answer = desk.post(f"/admin/refunds/new?top_up={top_up.reference}", data=form(desk, top_up, **more))
    return answer.status_code, answer.location or answer.text


def press(desk: FlaskClient, refund: GatewayRefund, button: str, **more: str) -> tuple[int, str]:
    answer = desk.post(f"/admin/refunds/{refund.reference}/{button}", data=more)
    return answer.status_code, answer.text


def shown(desk: FlaskClient, refund: GatewayRefund) -> str:
    return desk.get(f"/admin/refunds/{refund.reference}").text


def only_one() -> GatewayRefund:
    db.session.rollback()
    return db.session.scalars(select(GatewayRefund).execution_options(populate_existing=True)).one()


def test_a_top_up_is_found_shown_and_given_back(desk: FlaskClient, top_up: TopUp, bob: User, counter: Counter) -> None:
    assert desk.get("/admin/refunds/new").status_code == 200
    assert "no top-up with this reference" in desk.get("/admin/refunds/new?top_up=NK-nothing").text
    page = desk.get(f"/admin/refunds/new?top_up={top_up.reference}").text
    assert bob.email in page
    assert "paid by us" not in page
    sent_form = form(desk, top_up)
    address = f"/admin/refunds/new?top_up={top_up.reference}"
    answers = [desk.post(address, data=sent_form) for _ in range(2)]
    assert len({answer.location for answer in answers}) == 1
    refund = only_one()
    assert (refund.state, refund.reason, len(there(counter))) == ("pending", "paid twice", 1)
    page = desk.get(answers[0].location).text
    assert "Paystack has it in its queue" in page
    assert "paid twice" in page
    assert "All of it has gone back" in desk.get(f"/admin/refunds/new?top_up={top_up.reference}").text


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"amount": ""}, "Write an amount"),
        ({"amount": "1e9"}, "Write an amount"),
        ({"amount": "0"}, "Write an amount"),
        ({"amount": "2,500.01"}, "more than is left"),
        ({"reason": " "}, "Say why"),
        ({"loss": "5"}, "Say why we pay"),
        ({"loss": "5", "loss_reason": "x"}, "not ours to pay"),
        ({"key": "short"}, "put right"),
    ],
)
def test_what_is_wrong_is_said_and_moves_nothing(
    desk: FlaskClient, top_up: TopUp, wrong: dict[str, str], sentence: str
) -> None:
    status, page = start(desk, top_up, **wrong)
    assert (status, sentence in page) == (422, True)
    assert db.session.scalar(select(func.count()).select_from(GatewayRefund)) == 0


def test_what_is_spent_goes_back_as_our_loss_when_it_is_said_why(desk: FlaskClient, top_up: TopUp, bob: User) -> None:
    with transaction():
        ledger.adjust(bob.id, "spent", 100_000 - ledger.balance(bob.id).available_minor, "test", "spent")
    page = desk.get(f"/admin/refunds/new?top_up={top_up.reference}").text
    assert "of it are spent" in page
    assert "has spent part of it" in start(desk, top_up)[1]
    assert start(desk, top_up, loss="1,500", loss_reason="our mistake")[0] == 303
    refund = only_one()
    assert (refund.loss_minor, refund.loss_reason) == (150_000, "our mistake")
    assert "our mistake" in shown(desk, refund)


def test_a_lost_answer_is_said_and_looked_for(desk: FlaskClient, top_up: TopUp, counter: Counter) -> None:
    counter.breaks("refund", "reset_after")
    assert start(desk, top_up)[0] == 303
    refund = only_one()
    assert "gave no clear answer" in shown(desk, refund)
    counter.breaks("refund_read", "error_500")
    assert press(desk, refund, "ask")[0] == 303
    assert only_one().state == "doubt"
    press(desk, refund, "ask")
    assert only_one().state == "pending"


def test_it_is_called_off_or_not(desk: FlaskClient, top_up: TopUp, counter: Counter) -> None:
    refund = begin(top_up, 100_000)
    assert "Not asked yet" in shown(desk, refund)
    assert press(desk, refund, "withdraw")[0] == 303
    assert "Called off" in shown(desk, refund)
    refund = sent(top_up, 100_000)
    status, page = press(desk, refund, "withdraw")
    assert (status, "can no longer be called off" in page) == (409, True)


def test_a_refund_without_our_note_is_named(desk: FlaskClient, top_up: TopUp, counter: Counter) -> None:
    refund = begin(top_up, 100_000)
    counter.breaks("refund", "reset")
    refund_asking.ask(refund.reference)
    by_hand = counter.world.refunds.create({"transaction": top_up.reference, "amount": 100_000})
    later(16)
    press(desk, refund, "ask")
    assert "None of them is this one" in shown(desk, refund)
    assert "1 waits for you" in desk.get("/admin/").text
    assert press(desk, refund, "attach", gateway_id="5")[0] == 422
    assert press(desk, refund, "attach", gateway_id=str(by_hand.id))[0] == 303
    assert only_one().state == "pending"


def test_none_of_them_is_it(desk: FlaskClient, top_up: TopUp, counter: Counter) -> None:
    refund = begin(top_up, 100_000)
    counter.breaks("refund", "reset")
    refund_asking.ask(refund.reference)
    counter.world.refunds.create({"transaction": top_up.reference, "amount": 100_000})
    later(16)
    assert press(desk, refund, "withdraw")[0] == 409
    assert press(desk, refund, "withdraw", sure="y")[0] == 303
    assert only_one().state == "cancelled"


def test_a_bank_account_is_asked_for_and_passed_on(desk: FlaskClient, top_up: TopUp, counter: Counter) -> None:
    refund = becomes(counter, sent(top_up), "needs-attention")
    assert "Guaranty Trust Bank" in shown(desk, refund)
    counter.breaks("banks", "error_500")
    assert "the list of banks could not be read" in shown(desk, refund)
    status, page = press(desk, refund, "account", bank="", account_number="12 ab")
    assert (status, "Choose a bank." in page, "digits only" in page) == (422, True, True)
    status, page = press(desk, refund, "account", bank="1234", account_number="0123456789")
    assert (status, "Bank is invalid" in page) == (422, True)
    assert press(desk, refund, "account", bank="9", account_number=" 01234 56789 ")[0] == 303
    page = shown(desk, refund)
    assert "…6789" in page
    assert "0123456789" not in page
    assert press(desk, refund, "account", bank="9", account_number="0123456789")[0] == 409


def test_two_stories_are_booked_by_a_button(desk: FlaskClient, top_up: TopUp, counter: Counter) -> None:
    first = becomes(counter, sent(top_up, 100_000), "processed")
    assert press(desk, first, "settle")[0] == 409
    becomes(counter, first, "failed")
    assert "neither at the bank nor in the wallet" in shown(desk, first)
    assert press(desk, first, "settle")[0] == 303
    assert "booked into the wallet by a person" in shown(desk, first)
    second = becomes(counter, sent(top_up, 100_000), "failed")
    becomes(counter, second, "processed")
    assert "the customer has it twice" in shown(desk, second)
    assert press(desk, second, "settle")[0] == 303
    assert "The money has left our Paystack balance" in shown(desk, second)


def test_the_list_is_filtered_and_goes_on(desk: FlaskClient, top_up: TopUp, counter: Counter) -> None:
    made = [begin(top_up, 1_000) for _ in range(27)]
    becomes(counter, made[0], "pending") if there(counter, made[0]) else refund_asking.ask(made[0].reference)
    page = desk.get("/admin/refunds").text
    assert (made[-1].reference in page, made[0].reference in page) == (True, False)
    older = re.search(r'rel="next" href="([^"]+)"', page)
    assert older is not None
    assert made[0].reference in desk.get(older[1].replace("&amp;", "&")).text
    page = desk.get("/admin/refunds?state=pending").text
    assert (made[0].reference in page, made[1].reference in page) == (True, False)
    assert "No refunds here" in desk.get("/admin/refunds?state=failed").text
    assert made[-1].reference in desk.get("/admin/refunds?state=open").text
    assert [desk.get(f"/admin/refunds?{wrong}").status_code for wrong in ("state=x", "before=x")] == [404, 404]


def test_money_leaves_only_after_a_fresh_proof_of_who_one_is(desk: FlaskClient, top_up: TopUp) -> None:
    refund = begin(top_up, 1_000)
    with transaction():
        db.session.execute(update(Session).values(confirmed_at=func.now() - text("interval '1 day'")))
    for method, path in (
        ("GET", f"/admin/refunds/new?top_up={top_up.reference}"),
        ("POST", f"/admin/refunds/new?top_up={top_up.reference}"),
        ("POST", f"/admin/refunds/{refund.reference}/account"),
        ("POST", f"/admin/refunds/{refund.reference}/settle"),
    ):
        assert desk.open(path, method=method).location.startswith("/confirm")
    assert desk.get("/admin/refunds").status_code == 200


def test_a_reference_that_cannot_be_is_not_found(desk: FlaskClient) -> None:
    assert [desk.get(f"/admin/refunds/{wrong}").status_code for wrong in ("RF-nothing", "x'y", "a" * 41)] == [404] * 3
    assert desk.post("/admin/refunds/new?top_up=x'y").status_code == 422
