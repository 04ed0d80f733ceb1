"""Disputes at the operator's desk: the list, the evidence as a PDF, the answer, and what the customer meets."""

import secrets
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader
from sqlalchemy import func, select, update

from namaskah.account import deletion
from namaskah.auth.models import Session, User
from namaskah.db import db, transaction
from namaskah.numbers import activations
from namaskah.numbers.models import Activation
from namaskah.providers.base import Sms
from namaskah.sandbox import Sandbox
from namaskah.sandbox.charges import webhook_body
from namaskah.wallet import debts, dispute_answers, events, ledger, topups
from namaskah.wallet.dispute_models import Dispute, DisputePaper
from namaskah.wallet.models import TopUp
from tests.numbers import shop
from tests.support import Control, log_in, make_user
from tests.wallet.bank import Bank, TheirDispute, heard, ours, paid_top_up, webhook
from tests.wallet.counter import Counter

AMOUNT = 300_000
SMS = "Your secret code is 482913"


@pytest.fixture
def bank(app: Flask, sandbox: Sandbox) -> Bank:
    return Bank(Counter(sandbox))


@pytest.fixture
def dora(app: Flask) -> User:
    """A customer with nothing but what she pays in."""
    return make_user("dora@example.com", name="Dora Bello")


@pytest.fixture
def top_up(dora: User, bank: Bank) -> TopUp:
    return paid_top_up(dora, bank.counter, AMOUNT)


@pytest.fixture
def bought(dora: User, top_up: TopUp, control: Control) -> Activation:
    """A number of hers, and the code that came."""
    shop.only("fivesim")
    found = shop.buy(dora)
    activations.receive(found.id, [Sms(SMS, "482913", "WhatsApp")])
    return shop.fresh(found)


@pytest.fixture
def desk(app: Flask, admin: User) -> FlaskClient:
    return log_in(app.test_client(), admin)


def opened(bank: Bank, top_up: TopUp, **more: Any) -> tuple[TheirDispute, str]:
    """A dispute we have heard of, and the address of its page."""
    theirs = bank.opens(top_up, **more)
    return theirs, f"/admin/disputes/{heard(theirs).id}"


def text_of(pdf: bytes) -> str:
    pages = PdfReader(BytesIO(pdf)).pages
    told = " ".join(page.extract_text() for page in pages).replace("\u2060", "")
    return " ".join(told.split())


def answer(desk: FlaskClient, page: str, what: str, **more: str) -> Any:
    return desk.post(f"{page}/answer", data={"answer": what, "sure": what, "reason": "It was delivered"} | more)


def test_the_list_shows_what_waits_with_its_deadline_in_colour(
    desk: FlaskClient, dora: User, top_up: TopUp, bank: Bank
) -> None:
    assert "No payment was ever disputed" in desk.get("/admin/disputes").text
    assert "waits for our answer" not in desk.get("/admin/").text
    near, _page = opened(bank, top_up, amount_minor=100_000, due_seconds=3600)
    far, _page = opened(bank, top_up, amount_minor=50_000, due_seconds=10 * 86_400)
    over, _page = opened(bank, top_up, amount_minor=20_000)
    bank.decides(over, "won")
    heard(over)
    shown = desk.get("/admin/disputes").text
    places = [shown.index(f">{each.id}<") for each in (near, far, over)]
    assert places == sorted(places)
    assert "tone-bad" in shown
    assert dora.email in shown
    overview = desk.get("/admin/").text
    assert "2 open" in overview
    assert "2 wait for our answer" in overview


def test_the_evidence_says_what_a_bank_must_know_and_nothing_else(
    app: Flask, desk: FlaskClient, dora: User, bought: Activation, top_up: TopUp, bank: Bank
) -> None:
    log_in(app.test_client(), dora)
    webhook_of_the_charge(bank, top_up)
    _theirs, page = opened(bank, top_up)
    file = desk.get(f"{page}/evidence.pdf")
    assert (file.status_code, file.headers["Content-Type"]) == (200, "application/pdf")
    told = text_of(file.data)
    assert all(
        word in told
        for word in (top_up.reference, dora.email, "Dora Bello", "₦3,000.00", "WhatsApp, Nigeria", "127.0.0.1", "4081")
    )
    assert f"{bought.received_at:%Y-%m-%d %H:%M} UTC" in told
    assert "bought, the code came" in told
    assert "482913" not in told
    phone = str(bought.phone).lstrip("+")
    assert phone not in told
    assert f"+{phone[:5]}" in told


def webhook_of_the_charge(bank: Bank, top_up: TopUp) -> None:
    """Paystack's own message about the payment is kept, as on an installation that has its webhooks."""
    charge = bank.counter.transaction(top_up.reference)
    charge.authorization = {"last4": "4081", "bin": "408408", "bank": "TEST BANK", "brand": "visa"}
    events.receive_event(webhook_body(charge, "test"))


def test_declining_sends_the_very_paper_that_is_kept(
    desk: FlaskClient, dora: User, bought: Activation, top_up: TopUp, bank: Bank
) -> None:
    theirs, page = opened(bank, top_up)
    assert answer(desk, page, "declined", sure="").status_code == 422
    assert answer(desk, page, "declined", reason=" ").status_code == 422
    assert answer(desk, page, "maybe").status_code == 422
    assert ours(theirs).answer is None
    assert answer(desk, page, "declined").status_code == 303
    assert "on its way to Paystack" in desk.get(page).text
    assert answer(desk, page, "declined").status_code == 409
    db.session.rollback()  # the worker has a session of its own
    assert dispute_answers.send_due() == 1
    shown = desk.get(page).text
    assert "Paystack has our answer" in shown
    assert "Decline with this evidence" not in shown
    [paper] = db.session.scalars(select(DisputePaper)).all()
    assert desk.get(f"{page}/sent/{paper.id}.pdf").data == paper.content
    assert "It was delivered" in text_of(paper.content)
    assert paper.sha256 in shown
    assert desk.get(f"{page}/sent/{paper.id + 1}.pdf").status_code == 404


def test_accepting_gives_in_with_a_paper_that_tells_nothing_of_the_customer(
    desk: FlaskClient, dora: User, bought: Activation, top_up: TopUp, bank: Bank
) -> None:
    theirs, page = opened(bank, top_up)
    assert answer(desk, page, "accepted").status_code == 303
    assert dispute_answers.send_due() == 1
    assert ours(theirs).outcome == "lost"
    [paper] = db.session.scalars(select(DisputePaper)).all()
    assert dora.email not in text_of(paper.content)
    shown = desk.get(page).text
    assert "Lost: the money went back" in shown
    assert "Give the debt up" in shown
    assert desk.post(f"{page}/write-off", data={"reason": ""}).status_code == 422
    assert desk.post(f"{page}/write-off", data={"reason": "gone"}).status_code == 303
    assert debts.owed_minor(dora.id) == 0
    assert "Give the debt up" not in desk.get(page).text


def test_an_answer_wants_the_operator_to_have_proved_who_they_are_lately(
    desk: FlaskClient, admin: User, top_up: TopUp, bank: Bank
) -> None:
    theirs, page = opened(bank, top_up)
    with transaction():
        db.session.execute(update(Session).values(confirmed_at=func.now() - func.make_interval(0, 0, 0, 1)))
    refused = answer(desk, page, "declined")
    assert refused.status_code == 303
    assert refused.location.startswith("/confirm")
    assert ours(theirs).answer is None


def test_paystack_can_be_asked_at_once(desk: FlaskClient, top_up: TopUp, bank: Bank, dora: User) -> None:
    theirs, page = opened(bank, top_up)
    bank.decides(theirs, "won")
    bank.counter.breaks("dispute", "error_500")
    refused = desk.post(f"{page}/refresh")
    assert refused.status_code == 503
    assert "Nothing was changed" in refused.text
    assert desk.post(f"{page}/refresh").status_code == 303
    assert ours(theirs).outcome == "won"
    assert desk.get("/admin/disputes/999999").status_code == 404


def test_who_owes_buys_nothing_and_is_told_why(
    app: Flask, dora: User, bought: Activation, top_up: TopUp, bank: Bank
) -> None:
    opened(bank, top_up)
    with pytest.raises(debts.InDebt):
        shop.buy(dora)
    assert db.session.scalar(select(func.count(Activation.id)).where(Activation.user_id == dora.id)) == 1
    price = bought.price_minor
    browser = log_in(app.test_client(), dora)
    for address in ("/wallet", "/wallet/statement", "/numbers", f"/wallet/top-ups/{top_up.reference}"):
        page = browser.get(address).text
        assert "no numbers can be bought" in page, address
        assert f"₦{price // 100:,}" in page, address
    form = {"service": "whatsapp", "country": "NG", "max_price_minor": 10**9, "key": secrets.token_hex(16)}
    refused = browser.post("/activations", data=form)
    assert (refused.status_code, refused.location) == (303, "/wallet")
    assert "you owe" in browser.get("/wallet").text
    more = topups.open_top_up(dora, AMOUNT, secrets.token_hex(16))
    bank.counter.pay(more.reference)
    topups.settle(more.reference)
    assert ledger.balance(dora.id).available_minor == AMOUNT - price
    assert shop.buy(dora).state == "waiting"
    assert "no numbers can be bought" not in browser.get("/wallet").text


def test_what_comes_back_from_a_number_pays_what_is_owed(
    dora: User, bought: Activation, top_up: TopUp, bank: Bank
) -> None:
    waiting = shop.buy(dora)
    theirs, _page = opened(bank, top_up)
    before = debts.owed_minor(dora.id)
    assert before == bought.price_minor + waiting.price_minor
    activations.give_back(waiting, "cancelled", "customer_cancelled", closed_at_provider=True)
    assert debts.collect_due() == 1
    assert debts.owed_minor(dora.id) == bought.price_minor
    bank.decides(theirs, "won")
    heard(theirs)
    assert debts.owed_minor(dora.id) == 0
    assert shop.buy(dora).state == "waiting"


def test_an_account_is_not_deleted_while_its_payment_is_disputed_or_something_is_owed(
    app: Flask, dora: User, bought: Activation, top_up: TopUp, bank: Bank
) -> None:
    browser = log_in(app.test_client(), dora)
    theirs, _page = opened(bank, top_up)
    for outcome in (None, "lost"):
        if outcome:
            bank.decides(theirs, outcome)
            heard(theirs)
        with pytest.raises(deletion.NotYet) as refused:
            deletion.delete(dora, 0)
        assert "disputed" in refused.value.message
        assert "nothing was deleted" in browser.get("/account/delete").text
    debts.write_off(ours(theirs).id, "gone", make_user("op@example.com", role="admin"))
    deletion.delete(dora, 0)
    assert db.session.scalars(select(User).filter_by(id=dora.id)).one().deleted_at is not None
    assert db.session.scalar(select(func.count(Dispute.id))) == 1


def test_won_and_lost_are_told_on_the_payments_page(app: Flask, dora: User, top_up: TopUp, bank: Bank) -> None:
    browser = log_in(app.test_client(), dora)
    address = f"/wallet/top-ups/{top_up.reference}"
    assert "disputed" not in browser.get(address).text
    won, _page = opened(bank, top_up, amount_minor=100_000)
    assert "Until it has decided" in browser.get(address).text
    bank.decides(won, "won")
    heard(won)
    assert "the payment stands" in browser.get(address).text
    lost, _page = opened(bank, top_up, amount_minor=50_000)
    bank.decides(lost, "lost")
    webhook(lost, "resolve")
    page = browser.get(address).text
    assert "has taken" in page
    assert "Credit note" in page
