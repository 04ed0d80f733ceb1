"""A random life of the whole shop: purchases, faults, messages, cancels, time; in the end both books are equal."""

import random
from typing import Any

import pytest

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.numbers import closing
from namaskah.numbers.models import OPEN, Activation, Offer, Provider
from namaskah.wallet import promo
from namaskah.wallet.promo_models import PromoGrant
from tests import support
from tests.numbers import shop
from tests.support import Control

STEPS = 60
BUY_FAULTS = [f"{kind}{after}" for kind in ("reset", "error", "html", "cut", "empty") for after in ("", "_after")]
BUY_FAULTS += ["no_stock", "wrong_price", "duplicate_id"]
CALL_FAULTS = ["reset", "reset_after", "error", "html", "cut_after"]


class Life:
    """The world and what may happen in it next."""

    def __init__(self, seed: int, people: list[User], control: Control) -> None:
        self.chance = random.Random(seed)
        self.people, self.control = people, control
        self.told: list[str] = []

    def step(self) -> None:
        verbs = [self.buy, self.buy, self.buy, self.sms, self.sms, self.work, self.cancel, self.replace, self.time]
        verb = self.chance.choice([*verbs, self.expire, self.done, self.again, self.spoil, self.sweep])
        self.told.append(verb.__name__)
        verb()

    def one(self, *states: str) -> Activation | None:
        db.session.rollback()
        found = db.session.scalars(
            db.select(Activation)
            .where(Activation.state.in_(states))
            .order_by(Activation.id)
            .execution_options(populate_existing=True)
        ).all()
        return self.chance.choice(found) if found else None

    def buy(self) -> None:
        with transaction():  # what was learned as sold out or resting comes back with the next price list
            db.session.execute(db.update(Provider).values(paused_until=None))
            db.session.execute(db.update(Offer).where(Offer.stock == 0).values(stock=50))
        if self.chance.random() < 0.5:
            name, kind = self.chance.choice(shop.PROVIDERS), self.chance.choice(BUY_FAULTS)
            self.told.append(f"{name}:{kind}")
            self.control.fault(name, "buy", kind)
        user = db.session.get_one(User, self.chance.choice(self.people).id)
        self.quietly(lambda: shop.buy(user))

    def sms(self) -> None:
        activation = self.one("waiting", "received", "cancelled", "expired")
        if activation:
            code = self.chance.randrange(100_000, 999_999)
            self.control.sms(activation.provider_name, activation.provider_ref or "", f"Your code is {code}")

    def cancel(self, reason: str = "customer_cancelled", replace: bool = False) -> None:
        activation = self.one("waiting", "received")
        if activation:
            self.quietly(lambda: closing.cancel(activation, reason, replace=replace))

    def replace(self) -> None:
        self.cancel("number_used", replace=True)

    def done(self) -> None:
        activation = self.one("received")
        if activation:
            self.quietly(lambda: closing.finish(activation))

    def again(self) -> None:
        activation = self.one("received")
        if activation:
            self.quietly(lambda: closing.ask_again(activation))

    def expire(self) -> None:
        activation = self.one("waiting")
        if activation:
            order = next(
                o for o in self.control.orders(activation.provider_name) if str(o["id"]) == activation.provider_ref
            )
            if order["status"] in {"pending", "received", "retry"}:
                self.control.expire(activation.provider_name, order["id"])

    def spoil(self) -> None:
        name, kind = self.chance.choice(shop.PROVIDERS), self.chance.choice(CALL_FAULTS)
        self.control.fault(name, self.chance.choice(["list", "cancel", "ban", "poll", "again", "finish"]), kind)

    def time(self) -> None:
        shop.later(self.chance.choice([5, 31, 125, 300]))
        shop.work()  # the worker is never asleep: nothing may be open long past its end

    def work(self) -> None:
        shop.work()

    def sweep(self) -> None:
        shop.sweep()

    def quietly(self, verb: Any) -> None:
        try:
            verb()
        except UserError as refusal:
            self.told.append(type(refusal).__name__)
        db.session.rollback()


class GenerousLife(Life):
    """The same, and now and then somebody is given something, or what they were given runs out."""

    def step(self) -> None:
        if self.chance.random() < 0.3:
            support.give(self.chance.choice(self.people), self.chance.choice([7_000, 60_000, 150_000]))
        if self.chance.random() < 0.2:
            with transaction():
                db.session.execute(db.update(PromoGrant).values(expires_at=db.func.now()))
        if self.chance.random() < 0.5:
            promo.expire_due()
        super().step()


def test_gifts_are_part_of_life_and_only_the_own_money_and_gifts_are_spent(
    alice: User, bob: User, control: Control
) -> None:
    control.settings(early_cancel_seconds=0)
    life = GenerousLife(5, [alice, bob], control)
    for _step in range(STEPS):
        life.step()
        assert support.broken_invariants() == [], life.told
    control.no_faults()
    shop.end_everything(control)
    spent = sum(db.session.scalars(db.select(Activation.price_minor).where(Activation.received_at.is_not(None))).all())
    gifts = db.session.scalars(db.select(PromoGrant).execution_options(populate_existing=True)).all()
    from_gifts = sum(gift.amount_minor - gift.left_minor - gift.expired_minor for gift in gifts)
    assert 0 < from_gifts < spent, "else this life proves nothing"
    assert sum(shop.wallet(person)[0] for person in (alice, bob)) == 1_500_000 - spent + from_gifts, life.told
    assert support.broken_invariants() == []


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_happens_both_books_are_equal_in_the_end(seed: int, alice: User, bob: User, control: Control) -> None:
    control.settings(early_cancel_seconds={"fivesim": 0, "herosms": 0 if seed % 2 else 120})
    life = Life(seed, [alice, bob], control)
    for _step in range(STEPS):
        life.step()
        assert support.broken_invariants() == [], life.told
    control.no_faults()
    control.settings(early_cancel_seconds=0)
    shop.end_everything(control)
    still_open = db.session.scalars(db.select(Activation.id).where(Activation.state.in_(OPEN))).all()
    assert still_open == [], life.told
    spent = sum(db.session.scalars(db.select(Activation.price_minor).where(Activation.received_at.is_not(None))).all())
    assert sum(shop.wallet(person)[0] for person in (alice, bob)) == 1_500_000 - spent, life.told
    shop.assert_books_agree(control)
