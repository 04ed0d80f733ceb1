"""The whole life of money by HTTP, as Hypothesis makes it up: paid in, spent, taken, given back. A picture in plain
numbers says what each wallet must hold after every step; in the end our books are the providers' and the gateway's.

The short run is part of every test run. The long one (`make soak`) takes STEPS steps, 10,000 unless told otherwise.
"""

import os
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace

import hypothesis
import pytest
from flask import Flask
from hypothesis import HealthCheck, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.extensions import redis
from namaskah.numbers import routing
from namaskah.numbers.models import Activation
from namaskah.providers import sms_activate
from namaskah.wallet import ledger, refund_asking, refunds, topups
from namaskah.wallet.models import TopUp
from tests import support
from tests.money.ledger_check import assert_money_is_right
from tests.numbers import shop
from tests.support import Control, Visitor
from tests.wallet.counter import Counter
from tests.wallet.refund_desk import becomes
from tests.wallet.test_webhook import event, sign

PEOPLE = 2
START = 100_000
STEPS = int(os.environ.get("STEPS", "10000"))
HOLDING, TAKEN = {"waiting", "in_doubt"}, {"received", "finished"}
# What the provider's answer to a purchase becomes → the state afterwards, and whether it sold all the same.
FAULTS = {
    "": ("waiting", True),
    "no_stock": ("failed", False),
    "reset": ("in_doubt", False),
    "error": ("in_doubt", False),
    "reset_after": ("in_doubt", True),
    "html_after": ("in_doubt", True),
    "cut_after": ("in_doubt", True),
}


@dataclass
class Bought:
    """One activation as it must be."""

    owner: int
    price: int
    state: str
    provider: str
    is_sold: bool  # the provider has an order for it, until somebody else in doubt has been given that
    has_code: bool = False  # at the provider, not read by us
    is_refunded: bool = False


@dataclass
class PaidIn:
    """One top-up as it must be."""

    owner: int
    amount: int
    is_paid: bool = False  # at the gateway
    is_credited: bool = False
    sent_back: int = 0  # of it has gone back to where it was paid from, or is on its way there
    gone: int = 0  # of that the gateway has paid out


@dataclass
class Picture:
    """What there must be, by the rules in words."""

    given: list[int] = field(default_factory=lambda: [START] * PEOPLE)
    bought: dict[int, Bought] = field(default_factory=dict)
    paid_in: dict[str, PaidIn] = field(default_factory=dict)

    def wallet(self, person: int) -> tuple[int, int]:
        """What can be spent, own money and gifts together, and what is held."""
        mine = [one for one in self.bought.values() if one.owner == person]
        held = sum(one.price for one in mine if one.state in HOLDING)
        taken = sum(one.price for one in mine if one.state in TAKEN and not one.is_refunded)
        credited = sum(
            one.amount - one.sent_back for one in self.paid_in.values() if one.owner == person and one.is_credited
        )
        return self.given[person] + credited - held - taken, held

    def credit(self, *references: str) -> None:
        """Whoever asked the gateway about these has credited what was paid."""
        for reference in references:
            self.paid_in[reference].is_credited |= self.paid_in[reference].is_paid

    def work(self) -> None:
        """The worker has been through everything. All buy the same goods here, so a provider's orders that nobody has
        go to whoever has been in doubt longest, whoever's purchase it was that got through: settling.settle()."""
        doubtful = [self.bought[key] for key in sorted(self.bought) if self.bought[key].state == "in_doubt"]
        for provider in {one.provider for one in doubtful}:
            theirs = [one for one in doubtful if one.provider == provider]
            orders = sum(one.is_sold for one in theirs)
            for place, one in enumerate(theirs):
                one.is_sold = place < orders
                one.state = "waiting" if one.is_sold else "in_doubt"
        for one in self.bought.values():
            if one.state == "waiting" and one.has_code:
                one.state = "received"


def people() -> strategies.SearchStrategy[int]:
    return strategies.integers(0, PEOPLE - 1)


class Life(RuleBasedStateMachine):
    """The product, its two sides and the picture. `world` is set by the test that runs it."""

    world: tuple[Flask, Control, Counter]

    def __init__(self) -> None:
        super().__init__()
        self.app, self.control, self.counter = self.world
        support.empty()
        self.control.reset()
        self.control.settings(early_cancel_seconds=0)
        self.picture = Picture()
        self.users = [support.make_user(f"life{number}@example.com", money=START).id for number in range(PEOPLE)]
        self.browsers = [self.browser(user_id) for user_id in self.users]

    def browser(self, user_id: int) -> Visitor:
        made = support.log_in(self.app.test_client(), db.session.get_one(User, user_id))
        assert isinstance(made, Visitor)
        return made

    def post(self, person: int, path: str, **form: object) -> str:
        """Where a form leads to."""
        redis.client.flushdb()  # limits are another matter
        db.session.rollback()
        answer = self.browsers[person].post(path, data=form)
        assert answer.status_code == 303, (path, answer.status_code)
        return answer.headers["Location"]

    def some(self, number: int, *states: str) -> int | None:
        """One of the activations that must be in one of these states."""
        found = [key for key, one in self.picture.bought.items() if one.state in states]
        return found[number % len(found)] if found else None

    def top_up(self, number: int) -> str:
        return list(self.picture.paid_in)[number % len(self.picture.paid_in)]

    def own_money(self, person: int) -> int:
        """What of the wallet is no gift. Which part a purchase took of which is a matter of other tests."""
        db.session.rollback()
        return ledger.balance(self.users[person]).available_minor

    # ── Money in ─────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(person=people(), amount=strategies.sampled_from([100_000, 250_000, 1_000_000]))
    def opens_a_checkout(self, person: int, amount: int) -> None:
        page = self.post(person, "/wallet/top-up", key=shop.key(), amount=str(amount // 100))
        reference = page.split("/")[-1].split("?")[0]
        self.picture.paid_in[reference] = PaidIn(person, amount)

    @precondition(lambda self: self.picture.paid_in)
    @rule(number=strategies.integers(0, 99))
    def pays_at_the_gateway(self, number: int) -> None:
        reference = self.top_up(number)
        if not self.picture.paid_in[reference].is_paid:
            self.counter.pay(reference)
            self.picture.paid_in[reference].is_paid = True

    @precondition(lambda self: self.picture.paid_in)
    @rule(number=strategies.integers(0, 99), status=strategies.sampled_from(["failed", "abandoned", "pending"]))
    def does_not_pay(self, number: int, status: str) -> None:
        reference = self.top_up(number)
        if not self.picture.paid_in[reference].is_paid:
            self.counter.becomes(reference, status)

    @precondition(lambda self: self.picture.paid_in)
    @rule(number=strategies.integers(0, 99))
    def comes_back_from_the_gateway(self, number: int) -> None:
        reference = self.top_up(number)
        redis.client.flushdb()
        db.session.rollback()
        browser = self.browsers[self.picture.paid_in[reference].owner]
        assert browser.get(f"/wallet/top-up/return?reference={reference}").status_code < 400
        self.picture.credit(reference)

    @precondition(lambda self: self.picture.paid_in)
    @rule(number=strategies.integers(0, 99), copies=strategies.integers(1, 3))
    def is_announced_by_the_gateway(self, number: int, copies: int) -> None:
        """Whether it was paid or not: a webhook's word alone is worth nothing."""
        reference = self.top_up(number)
        body = event(reference, amount=self.picture.paid_in[reference].amount)
        headers = {"x-paystack-signature": sign(self.app, body)}
        for _copy in range(copies):
            db.session.rollback()
            answer = self.browsers[0].post("/webhooks/paystack", data=body, headers=headers)
            assert answer.status_code == 200
        shop.run_jobs()
        # What was acted upon is acted upon: the same bytes again would not make us ask.
        if not self.picture.paid_in[reference].is_paid:
            with transaction():
                db.session.execute(text("DELETE FROM gateway_events"))
        self.picture.credit(reference)

    @rule()
    def sweep_of_the_top_ups(self) -> None:
        db.session.rollback()
        with transaction():
            db.session.execute(text("UPDATE top_ups SET check_at = now() WHERE check_at IS NOT NULL"))
        while topups.sweep_due():
            pass
        self.picture.credit(*self.picture.paid_in)

    @rule(person=people(), amount=strategies.sampled_from([-5_000, 700, 40_000]), twice=strategies.booleans())
    def is_corrected_by_hand(self, person: int, amount: int, twice: bool) -> None:
        if self.own_money(person) + amount < 0:
            return
        reference = f"by-hand:{shop.key()}"
        db.session.rollback()
        for _time in range(1 + twice):
            with transaction():
                ledger.adjust(self.users[person], reference, amount, "admin", "a test")
        self.picture.given[person] += amount

    @rule(person=people(), amount=strategies.sampled_from([1, 700, 60_000]))
    def is_given_a_gift(self, person: int, amount: int) -> None:
        db.session.rollback()
        support.give(db.session.get_one(User, self.users[person]), amount)
        self.picture.given[person] += amount

    # ── Money out ────────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(
        person=people(), name=strategies.sampled_from(shop.PROVIDERS), fault=strategies.sampled_from(sorted(FAULTS)),
        presses=strategies.integers(1, 2),
    )  # fmt: skip
    def buys(self, person: int, name: str, fault: str, presses: int) -> None:
        self.restock(name)
        price = next(r.price_minor for r in routing.routes("whatsapp", "NG") if r.provider == name)
        if fault:
            self.control.fault(name, "buy", fault)
        form = {"service": "whatsapp", "country": "NG", "max_price_minor": price, "key": shop.key()}
        pages = {self.post(person, "/activations", **form) for _press in range(presses)}
        self.control.no_faults()
        if self.picture.wallet(person)[0] < price:
            assert all(page.startswith("/wallet?need=") for page in pages)
            return
        [page] = pages
        state, is_sold = FAULTS[fault]
        self.picture.bought[int(page.split("/")[-1])] = Bought(person, price, state, name, is_sold)

    def restock(self, name: str) -> None:
        """This provider alone is asked; what was learned about its stock comes back with the next price list."""
        db.session.rollback()
        with transaction():
            db.session.execute(text("UPDATE providers SET paused_until = NULL, weight = 100"))
            db.session.execute(text("UPDATE providers SET weight = 0 WHERE name <> :name"), {"name": name})
            db.session.execute(text("UPDATE offers SET stock = 50 WHERE stock = 0"))

    @rule(number=strategies.integers(0, 99))
    def a_code_comes(self, number: int) -> None:
        chosen = self.some(number, "waiting")
        if chosen and not self.picture.bought[chosen].has_code:
            found = db.session.get_one(Activation, chosen)
            self.control.sms(found.provider_name, found.provider_ref or "", f"Your code is {100_000 + number}")
            self.picture.bought[chosen].has_code = True

    @rule(number=strategies.integers(0, 99), copies=strategies.integers(1, 2))
    def a_code_is_pushed(self, number: int, copies: int) -> None:
        chosen = self.some(number, "waiting")
        found = db.session.get_one(Activation, chosen) if chosen else None
        if found is None or found.provider_name != "herosms" or self.picture.bought[found.id].has_code:
            return
        told = f"Your code is {100_000 + number}"
        self.control.sms("herosms", found.provider_ref or "", told)
        address = f"/webhooks/providers/herosms?token={self.app.config['PROVIDER_WEBHOOK_TOKEN']}"
        pushed = {"activationId": found.provider_ref, "text": told}
        for _copy in range(copies):
            db.session.rollback()
            assert self.browsers[0].post(address, json=pushed).status_code == 200
        self.picture.bought[found.id].state = "received"

    @rule(rounds=strategies.integers(1, 2))
    def the_worker_has_its_turn(self, rounds: int) -> None:
        shop.work(rounds)
        self.picture.work()

    @rule(number=strategies.integers(0, 99), verb=strategies.sampled_from(["cancel", "replace"]))
    def is_given_back(self, number: int, verb: str) -> None:
        chosen = self.some(number, "waiting")
        if chosen is None:
            return
        one = self.picture.bought[chosen]
        self.restock(db.session.get_one(Activation, chosen).provider_name)
        page = self.post(one.owner, f"/activations/{chosen}/{verb}")
        one.state = "received" if one.has_code else "cancelled"
        new = int(page.split("/")[-1])
        if new != chosen:
            assert (verb, one.has_code) == ("replace", False)
            self.picture.bought[new] = Bought(one.owner, one.price, "waiting", one.provider, is_sold=True)

    @rule(number=strategies.integers(0, 99))
    def its_window_ends(self, number: int) -> None:
        chosen = self.some(number, "waiting")
        if chosen is None:
            return
        found = db.session.get_one(Activation, chosen, populate_existing=True)
        if not self.picture.bought[chosen].has_code:
            self.control.expire(found.provider_name, found.provider_ref or "")
        db.session.rollback()
        with transaction():
            ended = "UPDATE activations SET expires_at = now() - interval '10 seconds', due_at = now() WHERE id = :id"
            db.session.execute(text(ended), {"id": chosen})
        shop.work()
        self.picture.work()
        # A code of the last moment is taken, and the end of the window is just the end.
        one = self.picture.bought[chosen]
        one.state = "finished" if one.has_code else "expired"

    @rule()
    def doubts_have_lasted_long_enough(self) -> None:
        db.session.rollback()
        with transaction():
            old = "UPDATE activations SET attempt_at = attempt_at - interval '95 seconds' WHERE state = 'in_doubt'"
            db.session.execute(text(old))
        shop.work()
        self.picture.work()
        for one in self.picture.bought.values():
            if one.state == "in_doubt":
                one.state = "failed"

    @rule(number=strategies.integers(0, 99))
    def is_done_with(self, number: int) -> None:
        chosen = self.some(number, "received")
        if chosen:
            self.post(self.picture.bought[chosen].owner, f"/activations/{chosen}/finish")
            self.picture.bought[chosen].state = "finished"

    @rule(number=strategies.integers(0, 99), twice=strategies.booleans())
    def is_refunded_out_of_goodwill(self, number: int, twice: bool) -> None:
        chosen = self.some(number, *TAKEN)
        if chosen is None:
            return
        one = self.picture.bought[chosen]
        db.session.rollback()
        for _time in range(1 + twice):
            with transaction():
                ledger.refund(self.users[one.owner], f"activation:{chosen}", one.price, "admin", "a complaint")
        one.is_refunded = True

    @precondition(lambda self: any(one.is_credited for one in self.picture.paid_in.values()))
    @rule(
        number=strategies.integers(0, 99), amount=strategies.sampled_from([1, 40_000, 100_000]),
        presses=strategies.integers(1, 2), fault=strategies.sampled_from(["", "reset_after"]),
        end=strategies.sampled_from(["", "processed", "failed"]),
    )  # fmt: skip
    def is_sent_back_to_where_it_was_paid_from(
        self, number: int, amount: int, presses: int, fault: str, end: str
    ) -> None:
        """Own money alone, and no more than was paid."""
        credited = [reference for reference, one in self.picture.paid_in.items() if one.is_credited]
        reference, key = credited[number % len(credited)], shop.key()
        one = self.picture.paid_in[reference]
        is_there = amount <= min(one.amount - one.sent_back, self.own_money(one.owner))
        if fault:
            self.counter.breaks("refund", fault)
        for _press in range(presses):
            with suppress(UserError) if not is_there else nullcontext():
                refund = refunds.start(reference, amount, reason="a test", key=key, who="user:1")
                assert is_there
                refund_asking.try_to_ask(refund.reference)
        self.control.no_faults()
        if not is_there:
            return
        one.sent_back += amount
        if end:
            assert becomes(self.counter, refund, end).state == end
            one.sent_back -= amount if end == "failed" else 0
            one.gone += amount if end == "processed" else 0

    # ── What must be ─────────────────────────────────────────────────────────────────────────────────────────────────

    @invariant()
    def all_is_as_in_the_picture(self) -> None:
        db.session.rollback()
        rows = db.session.execute(text("SELECT id, state FROM activations"))
        assert {row[0]: row[1] for row in rows} == {key: one.state for key, one in self.picture.bought.items()}
        for person, user_id in enumerate(self.users):
            balance = ledger.balance(user_id)
            assert (balance.spendable_minor, balance.held_minor) == self.picture.wallet(person)
        assert support.broken_invariants() == []

    def teardown(self) -> None:
        """Time passes until nothing is open; then everybody's books say the same."""
        shop.end_everything(self.control)
        shop.assert_books_agree(self.control)
        self.sweep_of_the_top_ups()
        paid = [one for one in self.counter.world.till.transactions() if one.paid_amount]
        ours = db.session.execute(db.select(TopUp.reference, TopUp.paid_minor).filter_by(state="paid"))
        assert {one.reference: one.paid_amount for one in paid} == {row[0]: row[1] for row in ours}
        fees, taken = sum(one.fees or 0 for one in paid), sum(one.paid_amount or 0 for one in paid)
        gone = sum(one.gone for one in self.picture.paid_in.values())
        query = (
            "SELECT kind, sum(amount) FROM ledger_accounts a JOIN ledger_entries e ON e.account_id = a.id GROUP BY 1"
        )
        house = {row[0]: int(row[1]) for row in db.session.execute(text(query))}
        assert (house.get("gateway_clearing", 0), house.get("gateway_fees", 0)) == (fees - taken + gone, -fees)
        assert_money_is_right()


@pytest.fixture
def life(app: Flask, control: Control, counter: Counter, monkeypatch: pytest.MonkeyPatch) -> type[Life]:
    # A cancel is carried out at once, so that a step says what comes of it; what must wait has tests of its own.
    quick = replace(sms_activate.SmsActivate.rules, cancel_lock_seconds=0)
    monkeypatch.setattr(sms_activate.SmsActivate, "rules", quick)
    Life.world = (app, control, counter)
    return Life


def run(life: type[Life], examples: int, steps: int, **more: bool) -> None:
    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **more,
    )
    run_state_machine_as_test(life, settings=settings)


def test_a_short_life(life: type[Life]) -> None:
    run(life, examples=12, steps=30)


def test_an_order_whose_answer_was_lost_goes_to_whoever_has_been_in_doubt_longest(life: type[Life]) -> None:
    """Found by a long life: the first one's purchase never got through, the second one's did. The goods are alike, so
    the first one has the number, and the second one's money comes back."""
    one = life()
    one.buys(person=0, name="herosms", fault="reset", presses=1)
    one.buys(person=1, name="herosms", fault="html_after", presses=1)
    one.the_worker_has_its_turn(rounds=1)
    one.all_is_as_in_the_picture()
    assert [(bought.owner, bought.state) for bought in one.picture.bought.values()] == [(0, "waiting"), (1, "in_doubt")]
    one.doubts_have_lasted_long_enough()
    one.all_is_as_in_the_picture()
    one.teardown()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_long_life(life: type[Life]) -> None:
    run(life, examples=max(1, STEPS // 100), steps=100, derandomize=False, print_blob=True)
