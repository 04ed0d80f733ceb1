"""No provider and no gateway is called while a transaction, or even a connection of the pool, is held."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import urllib3
from flask import Flask
from sqlalchemy import func, select, text, update

from namaskah.auth.models import User
from namaskah.db import db, in_transaction, leave_database, transaction
from namaskah.numbers import activations, closing, polling, pricelists, registry, settling
from namaskah.numbers.models import Activation, Offer
from namaskah.sandbox import Sandbox
from namaskah.wallet import (
    auto_topups,
    card_charges,
    card_deactivations,
    cards,
    refund_accounts,
    refund_asking,
    refunds,
    topups,
    unknown_payments,
)
from namaskah.wallet.quotes import Quote
from tests.support import Control
from tests.wallet.carding import kept_card
from tests.wallet.counter import Counter

Watch = Callable[[], list[str]]


@pytest.fixture
def calls(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every outbound call of the test, with what the caller held while it waited."""
    made: list[str] = []
    original = urllib3.PoolManager.urlopen

    def watched(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        held = "transaction" if in_transaction() else "connection" if _connections() else "nothing"
        made.append(f"{held} held during {method} {url.partition('?')[0]}")
        return original(self, method, url, *args, **kwargs)

    monkeypatch.setattr(urllib3.PoolManager, "urlopen", watched)
    return made


def _connections() -> int:
    return int(db.engine.pool.checkedout())  # type: ignore[attr-defined]


def faults(calls: list[str]) -> list[str]:
    return [call for call in calls if not call.startswith("nothing held")]


def bought(user: User) -> Activation:
    offer = db.session.scalars(select(Offer).where(Offer.stock > 5).order_by(Offer.price_minor)).first()
    assert offer is not None
    return activations.buy(user, offer.service_code, offer.country_code, "any", 10**9, key=uuid4().hex)


def test_buying_watching_and_closing_hold_nothing(alice: User, control: Control, calls: list[str]) -> None:
    kept, given_back = bought(alice), bought(alice)
    control.settings(early_cancel_seconds=0)
    control.sms(kept.provider_name, str(kept.provider_ref), "Your code is 123456")
    assert polling.poll(kept.provider_name) == 1
    closing.ask_again(kept)
    closing.finish_order(kept.provider_name, str(kept.provider_ref))
    closing.close(given_back)
    assert given_back.state == "expired"
    assert len(calls) >= 6
    assert faults(calls) == []


def test_the_workers_verbs_hold_nothing(alice: User, control: Control, calls: list[str]) -> None:
    control.fault("*", "buy", "reset_after")
    doubtful = bought(alice)
    assert doubtful.state == "in_doubt"
    polling.poll(doubtful.provider_name)
    db.session.refresh(doubtful)
    db.session.rollback()
    assert doubtful.state == "waiting"
    with transaction():
        db.session.execute(update(Activation).values(due_at=func.now()))
    assert settling.advance_due() == 1
    settling.sweep_due()
    settling.close_strays_due()
    pricelists.sync(registry.names()[0])
    assert len(calls) >= 4
    assert faults(calls) == []


def test_a_top_up_holds_nothing(alice: User, calls: list[str]) -> None:
    opened = topups.open_top_up(alice, 100_000, uuid4().hex)
    topups.settle(opened.reference)
    assert len(calls) >= 2
    assert faults(calls) == []


def test_a_refund_holds_nothing(alice: User, sandbox: Sandbox, calls: list[str]) -> None:
    opened = topups.open_top_up(alice, 100_000, uuid4().hex)
    till, desk = sandbox.world.till, sandbox.world.refunds
    till.pay(next(iter(till.transactions())), 100_000)
    topups.settle(opened.reference)
    sandbox.world.faults.add({"provider": "paystack", "operation": "refund", "kind": "error_500_after"})
    refund = refunds.start(opened.reference, 100_000, reason="x", key=uuid4().hex, who="user:1")
    refund_asking.ask(refund.reference)  # in doubt
    refund_asking.ask(refund.reference)  # found in the list
    desk.move(desk.listing()[0], "needs-attention")
    refund_asking.ask(refund.reference)
    refund_accounts.banks("NGN")
    assert refund_accounts.send_to(refund.reference, "9", "0123456789", "user:1").state == "processing"
    assert len(calls) >= 7


def test_crediting_what_only_the_gateway_knew_holds_nothing(alice: User, sandbox: Sandbox, calls: list[str]) -> None:
    till = sandbox.world.till
    till.pay(till.initialize({"reference": "T1", "email": alice.email, "amount": 100_000}), 100_000)
    assert unknown_payments.credit("T1", alice.id, Quote(100_000, 0), "user:1", "why")
    assert len(calls) >= 3
    assert faults(calls) == []


def test_charging_and_forgetting_a_card_holds_nothing(alice: User, sandbox: Sandbox, calls: list[str]) -> None:
    card = kept_card(alice, Counter(sandbox))
    auto_topups.switch_on(alice, card.id, 2_000_000, 2_000_000, 2_000_000)
    before = len(calls)
    assert auto_topups.charge_due() == 1
    card_charges.pay(alice, card.id, 100_000, uuid4().hex)
    cards.remove(alice.id, card.id)
    assert card_deactivations.deactivate_due() == 1
    assert len(calls) - before >= 5
    assert faults(calls) == []


def test_the_watch_sees_what_it_looks_for(alice: User, calls: list[str]) -> None:
    adapter = registry.ask(registry.names()[0])
    with transaction():
        db.session.execute(text("SELECT 1"))
        adapter.list_orders()
    db.session.execute(text("SELECT 1"))
    adapter.list_orders()
    db.session.rollback()
    assert [fault.split(" ")[0] for fault in faults(calls)] == ["transaction", "connection"]


def test_asking_a_provider_inside_a_transaction_is_refused(app: Flask) -> None:
    with pytest.raises(RuntimeError, match="inside a transaction"), transaction():
        registry.ask(registry.names()[0])
    with pytest.raises(RuntimeError, match="inside a transaction"), transaction():
        leave_database()


def test_asking_a_provider_gives_the_connection_back(app: Flask) -> None:
    db.session.execute(text("SELECT 1"))
    assert _connections() == 1
    registry.ask(registry.names()[0])
    assert _connections() == 0
