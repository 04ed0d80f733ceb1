"""Others' books against ours: what was missed is mended, what differs is named, shown and explained."""

from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select, text, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.reconciliation import findings, runs, upstream
from namaskah.reconciliation.models import Difference, Reconciliation
from namaskah.sandbox import Sandbox
from namaskah.wallet import disputes, ledger, paystack, refund_asking, refunds, reversals, topups
from namaskah.wallet.models import TopUp
from tests.numbers import shop
from tests.support import Control, log_in
from tests.wallet.counter import Counter


@pytest.fixture
def counter(app: Flask, sandbox: Sandbox) -> Counter:
    return Counter(sandbox)


@pytest.fixture(autouse=True)
def money_at_the_providers(app: Flask) -> None:
    shop.book_balances()


def compare() -> set[tuple[str, str, str]]:
    """Compare everything now: side, kind and subject of what differs."""
    runs.compare_now("a test")
    return {(each.side, each.kind, each.subject) for each in findings.open_differences()}


def paid(user: User, counter: Counter, amount_minor: int = 200_000) -> TopUp:
    top_up = topups.open_top_up(user, amount_minor, uuid4().hex)
    counter.pay(top_up.reference)
    return top_up


def change(table: str, change: str, row_id: int) -> None:
    """What no code of ours does."""
    with transaction():
        db.session.execute(text(f"UPDATE {table} SET {change} WHERE id = :id"), {"id": row_id})


def test_where_all_agrees_there_is_nothing(alice: User, counter: Counter, control: Control) -> None:
    topups.settle(paid(alice, counter).reference)
    bought, given_back = shop.buy(alice), shop.buy(alice)
    control.sms(bought.provider_name, bought.provider_ref or "", "Your code: 482913")
    shop.work()
    shop.later(1300)
    control.expire(given_back.provider_name, given_back.provider_ref or "")
    shop.work(2)
    assert compare() == set()
    latest = runs.latest()
    assert latest is not None
    assert (latest.failed, latest.ended_at is not None) == ("", True)
    assert latest.compared >= 2


def test_a_payment_that_was_missed_is_credited_on_the_way(alice: User, counter: Counter) -> None:
    before = ledger.balance(alice.id).available_minor
    missed = paid(alice, counter)
    assert compare() == set()
    assert topups.get_top_up(missed.reference).state == "paid"
    assert ledger.balance(alice.id).available_minor == before + 200_000


def test_every_difference_with_the_gateway_has_its_name(alice: User, counter: Counter) -> None:
    stranger, short, other, cheaper, back, never = (paid(alice, counter) for _ in range(6))
    for top_up in (other, cheaper, back, never):
        topups.settle(top_up.reference)
    counter.transaction(short.reference).paid_amount = 150_000
    counter.transaction(other.reference).paid_amount = 199_000
    counter.transaction(cheaper.reference).fees = 1
    counter.becomes(back.reference, "reversed")
    names = [top_up.reference for top_up in (stranger, short, other, cheaper, back, never)]
    change("top_ups", "reference = 'NK-somebodys'", stranger.id)
    change("top_ups", "reference = 'NK-invented'", never.id)
    found = {(kind, subject) for _side, kind, subject in compare()}
    assert found == {
        ("unknown_payment", names[0]),
        ("unknown_payment", names[5]),
        ("not_credited", names[1]),
        ("amount", names[2]),
        ("fees", names[3]),
        ("reversed", names[4]),
        ("unknown_there", "NK-invented"),
    }
    change("top_ups", f"reference = '{names[5]}'", never.id)  # the books are whole again for what checks them


def test_where_payers_bear_the_fee_all_that_was_paid_is_compared(
    app: Flask, alice: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "TOP_UP_FEE_PAYER", "customer")
    before = ledger.balance(alice.id).available_minor
    settled, missed, untold = paid(alice, counter), paid(alice, counter), paid(alice, counter)
    topups.settle(settled.reference)
    counter.transaction(untold.reference).fees = None
    topups.settle(untold.reference)
    assert compare() == set()
    assert ledger.balance(alice.id).available_minor == before + 3 * 200_000
    assert topups.get_top_up(missed.reference).paid_minor == 203_046
    counter.transaction(untold.reference).fees = 3_046  # it is told later what was taken
    counter.transaction(settled.reference).paid_amount = 200_000
    assert compare() == {("paystack", "fees", untold.reference), ("paystack", "amount", settled.reference)}


def test_a_payment_that_went_back_is_marked_and_no_difference_when_we_know_why(
    alice: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    back = topups.settle(paid(alice, counter).reference)
    counter.becomes(back.reference, "reversed")
    assert compare() == {("paystack", "reversed", back.reference)}
    assert topups.get_top_up(back.reference).reversed_at is not None
    monkeypatch.setattr(reversals, "explains_reversal", lambda _top_up: True)
    assert compare() == set()


def test_a_reversal_that_a_person_has_explained_is_asked_about_once(alice: User, counter: Counter) -> None:
    back = topups.settle(paid(alice, counter).reference)
    counter.becomes(back.reference, "reversed")
    compare()
    reversals.explain(back.reference, "user:7", "sent back by hand, booked by hand")
    assert compare() == set()


def test_every_difference_with_a_provider_has_its_name(alice: User, control: Control, sandbox: Sandbox) -> None:
    shop.only("fivesim")
    dearer, unknown, paid_back = shop.buy(alice), shop.buy(alice), shop.buy(alice)
    control.sms("fivesim", paid_back.provider_ref or "", "Your code: 482913")
    shop.work()
    change("activations", "cost_micros = cost_micros + 1", dearer.id)
    ref = unknown.provider_ref
    change("activations", "provider_ref = 'another'", unknown.id)
    sandbox.world.accounts["fivesim"].set_balance(1_000_000)
    assert compare() == {
        ("fivesim", "order_cost", dearer.provider_ref),
        ("fivesim", "unknown_order", ref),
        ("fivesim", "balance", "fivesim"),
    }
    change("activations", "cost_micros = cost_micros - 1", dearer.id)
    change("activations", f"provider_ref = '{ref}'", unknown.id)


def test_an_order_in_doubt_explains_a_balance(alice: User, control: Control) -> None:
    shop.only("fivesim")
    control.fault("fivesim", "buy", "html_after")
    doubtful = shop.buy(alice)
    assert doubtful.state == "in_doubt"
    assert compare() == set()


def test_a_payment_that_we_sent_back_ourselves_is_no_difference(alice: User, counter: Counter) -> None:
    ours, by_hand = paid(alice, counter), paid(alice, counter)
    for top_up in (ours, by_hand):
        topups.settle(top_up.reference)
    refund = refunds.start(ours.reference, 200_000, reason="asked for it", key=uuid4().hex, who="user:1")
    refund_asking.ask(refund.reference)
    counter.world.refunds.create({"transaction": by_hand.reference})
    for each in counter.world.refunds.listing():
        counter.world.refunds.move(each, "processed")
    assert compare() == {("paystack", "reversed", ours.reference), ("paystack", "reversed", by_hand.reference)}
    refund_asking.ask(refund.reference)
    assert compare() == {("paystack", "reversed", by_hand.reference)}


def test_a_difference_is_gone_when_it_is_and_a_new_one_when_it_returns(alice: User, counter: Counter) -> None:
    short = paid(alice, counter)
    counter.transaction(short.reference).paid_amount = 150_000
    assert len(compare()) == 1
    counter.transaction(short.reference).status = "failed"
    assert compare() == set()
    counter.transaction(short.reference).status = "success"
    assert len(compare()) == 1
    assert db.session.scalar(select(func.count()).select_from(Difference)) == 2


def test_an_explanation_holds_for_the_amounts_it_was_given_for(alice: User, counter: Counter) -> None:
    short = paid(alice, counter)
    counter.transaction(short.reference).paid_amount = 150_000
    compare()
    (difference,) = findings.open_differences()
    with pytest.raises(UserError):
        findings.explain(difference.id, "  ", "admin")
    findings.explain(difference.id, "sent back by hand", "admin")
    compare()
    assert findings.unexplained() == 0
    counter.transaction(short.reference).paid_amount = 140_000
    compare()
    assert findings.unexplained() == 1
    counter.becomes(short.reference, "failed")
    compare()
    with pytest.raises(UserError) as gone:
        findings.explain(difference.id, "too late", "admin")
    assert gone.value.status == 404


def test_a_side_that_cannot_be_asked_keeps_its_differences(alice: User, counter: Counter, control: Control) -> None:
    short = paid(alice, counter)
    counter.transaction(short.reference).paid_amount = 150_000
    found = compare()
    counter.breaks("list", "html")
    control.fault("herosms", "balance", "html")
    assert compare() == found
    latest = runs.latest()
    assert latest is not None
    assert set(latest.failed.split()) == {"herosms", "paystack"}


def test_all_pages_are_read(alice: User, counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    references = {paid(alice, counter).reference for _ in range(5)}
    monkeypatch.setattr(paystack, "PAGE", 2)
    gateway, read, page = topups.gateway(), [], None
    while True:
        rows, page = gateway.list_paid(db.session.scalars(select(func.now())).one() - timedelta(days=1), page)
        read += [row.reference for row in rows]
        if page is None:
            break
    assert (set(read), len(read)) == (references, 5)


def test_one_a_night_and_one_at_a_time(app: Flask) -> None:
    assert [runs.start_due(), runs.start_due()] == [1, 0]
    assert runs.start("somebody").requested_by == runs.NIGHTLY
    with transaction():
        db.session.execute(update(Reconciliation).values(started_at=func.now() - timedelta(days=1)))
    assert runs.start_due() == 1
    assert [name for _id, name, _arguments in shop.jobs()].count("reconcile") == 2


def test_the_page_shows_compares_and_takes_explanations(app: Flask, admin: User, alice: User, counter: Counter) -> None:
    short = paid(alice, counter)
    counter.transaction(short.reference).paid_amount = 150_000
    browser = log_in(app.test_client(), admin)
    assert "Nothing was compared yet" in browser.get("/admin/reconciliation").text
    assert browser.post("/admin/reconciliation").status_code == 303
    assert "under way" in browser.get("/admin/reconciliation").text
    shop.run_jobs()
    page = browser.get("/admin/reconciliation").text
    assert short.reference in page
    assert "NGN 1,500.00" in page
    assert "1 difference" in browser.get("/admin/").text
    (difference,) = findings.open_differences()
    address = f"/admin/reconciliation/{difference.id}/explain"
    refused = browser.post(address, data={"explanation": ""})
    assert (refused.status_code, "Say in a few words" in refused.text) == (422, True)
    assert browser.post(address, data={"explanation": "<b>bank error</b>"}).status_code == 303
    assert "&lt;b&gt;bank error&lt;/b&gt;" in browser.get("/admin/reconciliation").text


def test_what_providers_owe_is_shown_with_its_age(app: Flask, admin: User, alice: User, control: Control) -> None:
    shop.only("fivesim")
    bought = shop.buy(alice)
    control.fault("fivesim", "*", "reset", times=0)
    shop.later(1300)
    for _ in range(10):
        shop.work()
        shop.later(60)
    assert shop.fresh(bought).state == "expired"
    page = log_in(app.test_client(), admin).get("/admin/reconciliation").text
    assert "What providers owe us" in page
    assert f"USD {(bought.cost_micros or 0) / 1_000_000:,.4f}" in page


def test_the_command_prints_what_differs(app: Flask, alice: User, counter: Counter) -> None:
    done = app.test_cli_runner().invoke(args=["ledger", "reconcile"])
    assert (done.exit_code, done.output) == (0, "")
    short = paid(alice, counter)
    counter.transaction(short.reference).paid_amount = 150_000
    done = app.test_cli_runner().invoke(args=["ledger", "reconcile"])
    assert done.exit_code == 1
    assert f"paystack {short.reference}: not_credited, 150000 there, 0 here (NGN)" in done.output


def test_a_payment_that_a_dispute_took_back_is_no_difference(alice: User, counter: Counter) -> None:
    top_up = topups.settle(paid(alice, counter).reference)
    theirs = counter.world.disputes.open(top_up.reference)
    counter.world.disputes.decide(theirs, "lost")
    assert compare() == {("paystack", "reversed", top_up.reference)}
    disputes.refresh(str(theirs.id))
    assert compare() == set()


def test_a_purchase_whose_answer_comes_during_the_comparison_is_no_difference(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is under way as the provider is asked, and ours before its orders are compared."""
    shop.only("fivesim")
    bought = shop.buy(alice)
    ref = bought.provider_ref
    change("activations", "provider_ref = NULL, state = 'buying'", bought.id)
    looked = upstream._open_purchases

    def answered(name: str) -> bool:
        change("activations", f"provider_ref = '{ref}', state = 'waiting'", bought.id)
        return looked(name)

    monkeypatch.setattr(upstream, "_open_purchases", answered)
    assert compare() == set()
