"""What the gateway has sent is tried until it is done, early events find their top-ups, and people see to the rest."""

import secrets
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from namaskah import create_app
from namaskah.auth import audit
from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction, violated
from namaskah.errors import UserError
from namaskah.wallet import event_words, events, inbox, ledger, topups
from namaskah.wallet.models import GatewayEvent, TopUp
from namaskah.wallet.paystack import GatewayDown, GatewayRefused
from tests import support
from tests.together import at_once

from .counter import Counter
from .test_webhook import event, jobs_for, send, sign

AMOUNT = 250_000


@pytest.fixture
def paid(payer: User, counter: Counter) -> TopUp:
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    counter.pay(opened.reference)
    return opened


def fresh(event_id: int) -> GatewayEvent:
    db.session.rollback()
    found = inbox.get_event(event_id)
    assert found is not None
    return found


def later(event_id: int, age: str = "0 seconds") -> None:
    """As if the event had come this much earlier, and its next try were due."""
    with transaction():
        change = text(
            "UPDATE gateway_events SET due_at = now(), received_at = received_at - cast(:age AS interval)"
            " WHERE id = :id"
        )
        db.session.execute(change, {"id": event_id, "age": age})


def seconds_to_next(event_id: int) -> float:
    query = text("SELECT extract(epoch FROM due_at - now()) FROM gateway_events WHERE id = :id")
    found = float(db.session.scalar(query, {"id": event_id}) or 0)
    db.session.rollback()
    return found


def received(name: str = "charge.success", **data: Any) -> GatewayEvent:
    return events.receive_event(event(secrets.token_hex(8), name, **data))


# ── Tried until done ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_event_that_comes_before_its_top_up_is_credited_when_that_is_there(
    paid: TopUp, payer: User, counter: Counter
) -> None:
    reference = paid.reference
    with transaction():
        db.session.execute(text("UPDATE top_ups SET reference = 'NK-not-yet' WHERE id = :id"), {"id": paid.id})
    early = events.receive_event(event(reference))
    events.handle_event(early.id)
    found = fresh(early.id)
    assert (found.outcome, found.handled_at, found.tries) == ("unmatched", None, 1)
    assert inbox.count_for_a_person() == 0
    with transaction():
        back = text("UPDATE top_ups SET reference = :ref WHERE id = :id")
        db.session.execute(back, {"ref": reference, "id": paid.id})
    later(early.id)
    assert events.take_up_due() == 1
    assert fresh(early.id).outcome == "paid"
    assert ledger.balance(payer.id).available_minor == AMOUNT


def test_what_is_nobodys_is_tried_for_an_hour_in_growing_gaps_and_then_left_to_a_person(counter: Counter) -> None:
    nobodys = received()
    gaps = []
    for age in ("0 seconds", "60 seconds", "10 minutes", "30 minutes", "18 minutes"):
        later(nobodys.id, age)
        assert events.take_up_due() == 1
        assert fresh(nobodys.id).handled_at is None
        gaps.append(round(seconds_to_next(nobodys.id)))
        assert inbox.count_for_a_person() == 0
    assert gaps == [5, 30, 330, 600, 600]
    later(nobodys.id, "2 minutes")
    events.take_up_due()
    found = fresh(nobodys.id)
    assert (found.outcome, found.handled_at is not None, found.tries) == ("unmatched", True, 6)
    assert events.take_up_due() == 0
    assert inbox.count_for_a_person() == 1
    assert counter.calls("verify") == 0


def test_an_event_whose_job_was_lost_is_taken_up_from_the_table(paid: TopUp, payer: User) -> None:
    stored = events.receive_event(event(paid.reference))
    with transaction():
        db.session.execute(text("DELETE FROM procrastinate_jobs"))
    assert events.take_up_due() == 0  # the job's own turn
    assert 25 < seconds_to_next(stored.id) <= 30
    later(stored.id)
    assert events.take_up_due() == 1
    assert fresh(stored.id).outcome == "paid"
    assert ledger.balance(payer.id).available_minor == AMOUNT


@pytest.mark.parametrize(("fault", "kind"), [("error_500", GatewayDown), ("bad_key", GatewayRefused)])
def test_a_gateway_that_does_not_confirm_is_asked_for_as_long_as_it_takes(
    paid: TopUp, payer: User, counter: Counter, fault: str, kind: type[Exception]
) -> None:
    stored = events.receive_event(event(paid.reference))
    counter.breaks("verify", fault, times=3)
    with pytest.raises(kind):
        events.handle_event(stored.id)
    for _ in range(2):
        later(stored.id, "10 days")
        assert events.take_up_due() == 0
    found = fresh(stored.id)
    assert (found.handled_at, found.tries, found.outcome) == (None, 3, None)
    assert kind.__name__ in (found.last_error or "")
    assert seconds_to_next(stored.id) <= 600
    assert inbox.count_for_a_person() == 1  # stuck: shown, and still tried
    later(stored.id)
    assert events.take_up_due() == 1
    found = fresh(stored.id)
    assert (found.outcome, found.last_error) == ("paid", None)
    assert ledger.balance(payer.id).available_minor == AMOUNT


def test_a_fault_of_our_own_stops_nobody_else_and_is_tried_again(
    paid: TopUp, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_event: GatewayEvent) -> str:
        raise KeyError("a customer's name")

    faulty, good = received("charge.broken"), events.receive_event(event(paid.reference))
    monkeypatch.setitem(events.HANDLERS, "charge.broken", broken)
    for each in (faulty, good):
        later(each.id)
    assert events.take_up_due() == 2
    assert fresh(good.id).outcome == "paid"
    found = fresh(faulty.id)
    assert (found.handled_at, found.last_error) == (None, "KeyError")
    monkeypatch.setitem(events.HANDLERS, "charge.broken", lambda _event: "mended")
    later(faulty.id)
    assert events.take_up_due() == 1
    assert (fresh(faulty.id).outcome, event_words.outcome(fresh(faulty.id))) == ("mended", "Done: mended.")


def test_a_worker_killed_between_the_outcome_and_its_mark_does_no_harm(
    paid: TopUp, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit

    stored = events.receive_event(event(paid.reference))
    with monkeypatch.context() as now, pytest.raises(SystemExit):
        now.setattr(events, "_mark", killed)
        events.handle_event(stored.id)
    assert ledger.balance(payer.id).available_minor == AMOUNT
    assert fresh(stored.id).handled_at is None
    later(stored.id)
    assert events.take_up_due() == 1
    found = fresh(stored.id)
    assert (found.outcome, found.tries) == ("paid", 2)
    assert ledger.balance(payer.id).available_minor == AMOUNT


def test_many_workers_take_each_event_once(app: Flask, counter: Counter) -> None:
    stored = [received().id for _ in range(8)]
    for event_id in stored:
        later(event_id)
    assert sum(at_once(app, *[events.take_up_due] * 4)) == 8  # type: ignore[arg-type]
    assert [fresh(event_id).tries for event_id in stored] == [1] * 8


# ── Who is let in ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("caller", "status"),
    [
        ("52.31.139.75", 200),
        ("::ffff:52.31.139.75", 200),
        ("10.1.2.3", 200),
        ("52.31.139.76", 403),
        ("::1", 403),
        ("", 403),
    ],
)
def test_only_addresses_of_the_list_are_let_in(
    app: Flask, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, caller: str, status: int
) -> None:
    monkeypatch.setitem(app.config, "PAYSTACK_WEBHOOK_IPS", ("52.31.139.75", "10.0.0.0/8"))
    web = app.test_client()
    web.environ_base["REMOTE_ADDR"] = caller
    body = event("NK-listed")
    assert send(web, body, sign(app, body)) == status
    assert len(inbox.look(reference="NK-listed").events) == (status == 200)
    assert ("PAYSTACK_WEBHOOK_IPS" in caplog.text) == (status == 403)


def test_a_stranger_cannot_borrow_an_address_by_a_header(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "PAYSTACK_WEBHOOK_IPS", ("52.31.139.75",))
    body = event("NK-listed")
    assert send(app.test_client(), body, sign(app, body), **{"X-Forwarded-For": "52.31.139.75"}) == 403


@pytest.mark.parametrize(
    ("forwarded", "status"), [("52.31.139.75", 200), ("52.31.139.75, 203.0.113.9", 403), ("203.0.113.9", 403)]
)
def test_behind_a_proxy_its_word_counts_and_no_other(
    app: Flask, settings: dict[str, str], forwarded: str, status: int
) -> None:
    proxied = create_app(
        support.load_settings(settings | {"PROXY_HOPS": "1", "PAYSTACK_WEBHOOK_IPS": "52.31.139.75,52.49.173.169"})
    )
    body = event("NK-listed")
    answer = proxied.test_client().post(
        "/webhooks/paystack",
        data=body,
        headers={"x-paystack-signature": sign(app, body), "X-Forwarded-For": forwarded},
    )
    with proxied.app_context():
        db.session.remove()
        db.engine.dispose()
    assert answer.status_code == status


# ── Looking through ──────────────────────────────────────────────────────────────────────────────────────────────────


def walk(**asked: Any) -> list[int]:
    found: list[int] = []
    page = inbox.look(**asked)
    while True:
        found += [row.id for row in page.events]
        if page.next is None:
            return found
        page = inbox.look(**asked, after=page.next)


def test_what_is_open_comes_first_and_every_event_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "PAGE", 3)
    done = [received("charge.failed").id for _ in range(4)]
    opened = [received().id for _ in range(4)]
    more = [received("transfer.success").id for _ in range(3)]
    for event_id in done + more:
        events.handle_event(event_id)
    assert walk() == opened[::-1] + more[::-1] + done[::-1]
    assert walk(state="open") == walk(state="waiting") == walk(event="charge.success") == opened[::-1]
    assert walk(state="done") == more[::-1] + done[::-1]
    assert walk(state="person") == walk(state="closed") == []
    reference = fresh(opened[0]).reference or ""
    assert walk(reference=reference) == [opened[0]]


def test_every_kind_and_every_outcome_has_its_sentence(app: Flask) -> None:
    for name in (*events.HANDLERS, "transfer.success", "subscription.disable", "something.new"):
        assert event_words.kind(GatewayEvent(event=name)).endswith(".")
    for word in (
        "paid",
        "unmatched",
        "not_handled_here",
        "not_an_event",
        *topups.STATES.values(),
        "mismatch",
        "closed",
    ):
        stood = GatewayEvent(event="charge.success", outcome=word, handled_at=db.func.now())
        assert event_words.outcome(stood).endswith(".") and "Done:" not in event_words.outcome(stood)


# ── What people do ───────────────────────────────────────────────────────────────────────────────────────────────────


def unmatched() -> GatewayEvent:
    stored = received()
    later(stored.id, "2 hours")
    events.take_up_due()
    return fresh(stored.id)


def audited(kind: str) -> list[AuditEvent]:
    db.session.rollback()
    return list(db.session.scalars(select(AuditEvent).filter_by(kind=kind)))


def test_a_person_has_it_tried_again(paid: TopUp, payer: User, counter: Counter) -> None:
    nobodys = unmatched()
    with transaction():
        db.session.execute(text("DELETE FROM procrastinate_jobs"))
        db.session.execute(
            text("UPDATE gateway_events SET reference = :ref WHERE id = :id"), {"ref": paid.reference, "id": nobodys.id}
        )
    inbox.try_again(nobodys.id, "user:7")
    assert jobs_for(nobodys.id) == 1 and fresh(nobodys.id).handled_at is None
    events.handle_event(nobodys.id)
    assert fresh(nobodys.id).outcome == "paid"
    assert [row.actor for row in audited("gateway_event_retried")] == ["user:7"]


def test_a_person_closes_what_is_nobodys_with_a_reason_once(app: Flask) -> None:
    nobodys = unmatched()
    with pytest.raises(UserError) as wordless:
        inbox.close(nobodys.id, "user:7", " \0 ")
    assert wordless.value.status == 422
    event_id = nobodys.id
    results = at_once(app, *[lambda: inbox.close(event_id, "user:7", "of the old shop")] * 4)
    assert sorted(map(bool, results)) == [False, False, False, True]
    found = fresh(event_id)
    assert (found.closed_by, found.closed_reason) == ("user:7", "of the old shop")
    assert event_words.outcome(found) == "Closed by a person."
    [record] = audited("gateway_event_closed")
    assert (record.actor, record.details["reason"]) == ("user:7", "of the old shop")
    assert audit.breaks() == []
    with pytest.raises(UserError):
        inbox.try_again(event_id, "user:7")
    assert inbox.count_for_a_person() == 0


def test_what_the_worker_is_at_or_has_done_cannot_be_closed(paid: TopUp, counter: Counter) -> None:
    waiting, done = received(), events.receive_event(event(paid.reference))
    events.handle_event(done.id)
    for each in (waiting, done):
        with pytest.raises(UserError) as refused:
            inbox.close(each.id, "user:7", "why not")
        assert refused.value.status == 409


def test_postgresql_refuses_to_close_what_is_not_done(app: Flask) -> None:
    stored = received()
    with pytest.raises(DBAPIError) as refused, transaction():
        change = "UPDATE gateway_events SET closed_at = now(), closed_by = 'x', closed_reason = 'y' WHERE id = :id"
        db.session.execute(text(change), {"id": stored.id})
    assert violated(refused.value) == "ck_gateway_events_closed"  # type: ignore[arg-type]


def test_both_lists_of_open_events_use_their_indexes(app: Flask) -> None:
    def plan(query: Any) -> str:
        with transaction():
            db.session.execute(text("SET LOCAL enable_seqscan = off"))
            sql = query.compile(db.engine, compile_kwargs={"literal_binds": True})
            return "\n".join(db.session.scalars(text(f"EXPLAIN {sql}")))

    opened = select(GatewayEvent.id).where(inbox.IS_OPEN).order_by(GatewayEvent.id.desc())
    due = select(GatewayEvent.id).where(GatewayEvent.handled_at.is_(None), GatewayEvent.due_at <= db.func.now())
    assert "ix_gateway_events_open" in plan(opened)
    assert "ix_gateway_events_due_at" in plan(due)
