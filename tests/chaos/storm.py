"""The storm: customers who pay in, buy and change their minds, a provider that stammers, processes and servers that get
killed; all of it drawn from one seed."""

import os
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from urllib3.exceptions import HTTPError

from namaskah.db import db
from namaskah.numbers.models import RELEASED, Activation, Offer
from namaskah.wallet.models import TopUp
from tests import support
from tests.chaos.own_servers import OwnServers
from tests.chaos.stand import Browser, Stand

CUSTOMERS = 8
MONEY = 500_000_000
TOP_UP = 100_000
# How often which answer of a provider is spoilt, and how long it hangs.
FAULTS: tuple[tuple[str, str, float, float | None], ...] = (
    ("buy", "slow", 0.06, 1.0),
    ("buy", "slow_after", 0.06, 2.0),
    ("buy", "hang_after", 0.03, 3.0),
    ("buy", "reset_after", 0.08, None),
    ("buy", "error_after", 0.06, None),
    ("buy", "html_after", 0.05, None),
    ("buy", "cut_after", 0.05, None),
    ("buy", "empty_after", 0.03, None),
    ("buy", "no_stock", 0.06, None),
    ("buy", "reset", 0.04, None),
    ("buy", "error", 0.04, None),
    ("buy", "wrong_price", 0.03, None),
    ("list", "error", 0.05, None),
    ("list", "cut", 0.05, None),
    ("poll", "reset", 0.05, None),
    ("cancel", "reset_after", 0.10, None),
    ("cancel", "html", 0.05, None),
    ("finish", "error_after", 0.10, None),
)
PROVIDERS = ("fivesim", "herosms")


@dataclass
class Storm:
    """One run: at least so many `steps` (a purchase, a payment, a code, a change of mind), `kills` spread over it, one
    of each kind before any comes again; everything drawn from `seed`."""

    stand: Stand
    servers: OwnServers
    seed: int
    steps: int
    kills: int
    seconds_between_kills: tuple[float, float]
    victims: tuple[str, ...] = ("web", "child", "worker", "postgres", "redis")
    drivers: int = 4
    pause: float = 0.0
    # How often a customer who gets no answer presses the button again.
    presses: int = 60
    counts: Counter[str] = field(default_factory=Counter)
    bought: list[tuple[Browser, str]] = field(default_factory=list)
    paid: list[str] = field(default_factory=list)
    slowest_start: float = 0.0
    killing_is_over: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list)

    def run(self) -> None:
        """Everything at once until both steps and kills are done; returns with faults off and everything up."""
        self._spoil_answers()
        buyers = [threading.Thread(target=self._safely, args=(self._buy, number)) for number in range(self.drivers)]
        others = [
            threading.Thread(target=self._safely, args=(work, number))
            for number, work in enumerate((self._send_messages, self._change_minds, self._pay_in), start=100)
        ]
        for thread in (*buyers, *others):
            thread.start()
        self._kill()
        self.killing_is_over.set()
        for thread in buyers:
            thread.join()
        self.over.set()
        for thread in others:
            thread.join()
        self.stand.control.no_faults()
        if self.errors:
            raise self.errors[0]

    def prepare(self) -> None:
        """Customers with money, offers to choose from, processes."""
        users = [support.make_user(f"storm{number}@example.com", money=MONEY) for number in range(CUSTOMERS)]
        self.browsers = [Browser(self.stand, user) for user in users]
        stocked = select(Offer).where(Offer.stock > 100).order_by(func.md5(Offer.id.cast(db.Text)))
        self.offers = [(o.service_code, o.country_code) for o in db.session.scalars(stocked.limit(40))]
        db.session.rollback()
        self.web = self._start_web()
        self.workers = [self.stand.installation.start_worker() for _ in range(2)]

    def _start_web(self) -> subprocess.Popen[bytes]:
        """Patient: with everybody pressing buttons at once, a busy machine needs long for the first answer."""
        started = time.monotonic()
        try:
            process = self.stand.installation.start_web(self.stand.installation.port, workers=2)
        except AssertionError:
            process = self.stand.installation.processes[-1]
            support.wait_until(self._is_up, 60, "the web server's first answer")
        self.slowest_start = max(self.slowest_start, time.monotonic() - started)
        return process

    def _is_up(self) -> bool:
        try:
            return self.browsers[0].get("/login").status < 500
        except HTTPError:
            return False

    def _spoil_answers(self) -> None:
        for operation, kind, probability, seconds in FAULTS:
            for provider in PROVIDERS:
                # Tried one after the other, so each is given its share of what is left.
                self.stand.control.fault(
                    provider,
                    operation,
                    kind,
                    times=0,
                    probability=probability,
                    **({"seconds": seconds} if seconds else {}),
                )

    def _safely(self, work: Callable[[random.Random], None], number: int) -> None:
        try:
            with self.stand.app.app_context():
                work(random.Random(self.seed * 1000 + number))
        except BaseException as error:
            self.errors.append(error)

    def _has_more_to_do(self) -> bool:
        return not self.errors and (self.counts["steps"] < self.steps or not self.killing_is_over.is_set())

    def _buy(self, dice: random.Random) -> None:
        """Buy; without an answer press the same button again, or walk away. What is sold out by now does not count."""
        while self._has_more_to_do():
            browser, (service, country) = dice.choice(self.browsers), dice.choice(self.offers)
            form = {
                "service": service,
                "country": country,
                "operator": "",
                "max_price_minor": 10**9,
                "key": uuid4().hex,
            }
            if self._press(browser, form, dice):
                self.counts["steps"] += 1
            time.sleep(dice.random() * 2 * self.pause)

    def _press(self, browser: Browser, form: dict[str, Any], dice: random.Random) -> bool:
        """One purchase, whatever it takes; False when it was refused."""
        for attempt in range(self.presses):
            try:
                answer = browser.post("/activations", **form)
            except HTTPError:
                self.counts["unanswered"] += 1
                if dice.random() < 0.1:
                    self.counts["walked away"] += 1
                    return True
            else:
                if answer.status == 303 and "/activations/" in answer.headers["Location"]:
                    self.counts["answered"] += 1
                    self.counts["answered after more than one press"] += attempt > 0
                    self.bought.append((browser, answer.headers["Location"]))
                    return True
                if answer.status == 303:
                    self.counts["sold out"] += 1
                    return False
                self.counts[f"status {answer.status}"] += 1
                if answer.status < 500 and answer.status != 429:
                    raise AssertionError(f"a purchase was answered with {answer.status}")
            time.sleep(0.3)
        raise AssertionError(f"{self.presses} presses without an answer")

    def _send_messages(self, dice: random.Random) -> None:
        """Services send to about half of the numbers that a customer has seen, at once or a little later; to a few when
        the money is back already."""
        plans: dict[int, float] = {}
        query = select(Activation.id, Activation.provider_name, Activation.provider_ref, Activation.state)
        while not self.over.wait(0.3):
            for id, provider, ref, state in _read(query.where(Activation.phone.is_not(None))):
                if id not in plans:
                    lot = dice.random()
                    plans[id] = time.monotonic() + dice.uniform(0, 8) if lot < 0.5 else 0 if lot < 0.6 else float("inf")
                is_due = (
                    state in RELEASED
                    if plans[id] == 0
                    else time.monotonic() >= plans[id] and self._is_open(provider, ref)
                )
                if is_due:
                    plans[id] = float("inf")
                    self.stand.control.sms(provider, str(ref), f"Your code is {dice.randrange(100_000, 999_999)}")
                    self.counts["late messages" if state in RELEASED else "messages"] += 1
                    self.counts["steps"] += 1

    def _is_open(self, provider: str, ref: str | None) -> bool:
        # A message that a provider pushes for an order it has given back would be sold by us and a gift from it.
        return self.stand.control.sandbox.world.accounts[provider].get(int(ref or 0)).is_open

    def _change_minds(self, dice: random.Random) -> None:
        """Customers cancel, finish, ask again or ask for another number."""
        seen = 0
        while not self.over.wait(0.2):
            for browser, address in self.bought[seen:]:
                seen += 1
                act = dice.choices(("cancel", "replace", "finish", "again", ""), (25, 8, 15, 5, 47))[0]
                if not act:
                    continue
                self.over.wait(dice.random())
                try:
                    status = browser.post(f"{address[address.index('/activations') :]}/{act}").status
                except HTTPError:
                    status = 0
                self.counts[f"{act}: {status or 'no answer'}"] += 1
                self.counts["steps"] += 1

    def _pay_in(self, dice: random.Random) -> None:
        """Customers open a checkout and pay there; the gateway announces it, until somebody listens. Some come back to
        see. One key is one top-up, however often its form is sent."""
        till, webhooks = self.stand.control.sandbox.world.till, self.stand.control.sandbox.world.webhooks
        while not self.over.wait(dice.random() + self.pause):
            browser, form = dice.choice(self.browsers), {"key": uuid4().hex, "amount": str(TOP_UP // 100)}
            address = self._answered(browser, "/wallet/top-up", form, dice)
            reference = address.split("/")[-1].split("?")[0]
            opened = till.find(reference)
            if opened is None:  # refused (a limit), or its answer was lost on the way to the gateway
                self.counts["no checkout"] += 1
                continue
            assert till.pay(opened, TOP_UP)
            webhooks.announce(opened)
            self.paid.append(reference)
            self.counts["paid in"] += 1
            self.counts["steps"] += 1
            if dice.random() < 0.3:
                with suppress(HTTPError):
                    browser.get(f"/wallet/top-up/return?reference={reference}")

    def _answered(self, browser: Browser, path: str, form: dict[str, Any], dice: random.Random) -> str:
        """Where a form leads to, pressed until there is an answer; nowhere when it is refused, or all is over."""
        for _attempt in range(self.presses):
            with suppress(HTTPError):
                answer = browser.post(path, **form)
                if answer.status == 303:
                    return answer.headers["Location"]
                if answer.status < 500:
                    return ""
            if self.over.wait(0.3 + dice.random()):
                break
        return ""

    def _kill(self) -> None:
        """SIGKILL for the whole web server, one of its processes, a worker, PostgreSQL or Redis; each comes up again a
        moment later. The main thread: servers are started from no other."""
        dice = random.Random(self.seed)
        deck: list[str] = []
        for _ in range(self.kills):
            if self.errors:
                return
            time.sleep(dice.uniform(*self.seconds_between_kills))
            deck = deck or dice.sample(self.victims, len(self.victims))
            what = deck.pop()
            self.counts[f"killed: {what}"] += 1
            getattr(self, f"_kill_{what}")(dice)

    def _kill_child(self, dice: random.Random) -> None:
        children = _children(self.web)
        if children:
            with suppress(ProcessLookupError):
                os.kill(dice.choice(children), signal.SIGKILL)

    def _kill_web(self, dice: random.Random) -> None:
        self.stand.installation.kill(self.web)
        time.sleep(dice.random())
        self.web = self._start_web()

    def _kill_worker(self, dice: random.Random) -> None:
        victim = dice.choice(self.workers)
        self.stand.installation.kill(victim)
        time.sleep(dice.random())
        self.workers[self.workers.index(victim)] = self.stand.installation.start_worker()

    def _kill_postgres(self, dice: random.Random) -> None:
        self.servers.kill_postgres(at_once=dice.random() < 0.5)
        time.sleep(dice.random())
        self.servers.start_postgres()

    def _kill_redis(self, dice: random.Random) -> None:
        self.servers.kill_redis()
        time.sleep(dice.random())
        self.servers.start_redis()


def _read(query: Any) -> Sequence[Any]:
    """Rows of a query; none while the database is away."""
    try:
        return db.session.execute(query).all()
    except OperationalError:
        return []
    finally:
        with suppress(OperationalError):
            db.session.rollback()


def _children(process: subprocess.Popen[bytes]) -> list[int]:
    """Processes that this one has started (Linux)."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(number) for number in found.split()]


def unsettled(extra_states: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    """States that are not final yet, and strays that are not closed, with how many there are."""
    states = ("buying", "in_doubt", "waiting", *extra_states)
    counted = select(Activation.state, func.count()).where(Activation.state.in_(states)).group_by(Activation.state)
    found = [(state, int(count)) for state, count in db.session.execute(counted)]
    strays = db.session.scalar(text("SELECT count(*) FROM stray_orders WHERE closed_at IS NULL")) or 0
    db.session.rollback()
    return found + ([("stray", int(strays))] if strays else [])


def differences(control: support.Control) -> list[str]:
    """Where our books and the sandbox's do not say the same about an order, or about what it cost."""
    found: list[str] = []
    for provider in PROVIDERS:
        orders = {str(order["id"]): order for order in control.orders(provider)}
        ours = _ours(provider)
        for ref, order in orders.items():
            claims = ours.get(ref, [])
            kept = [claim for claim in claims if claim in ("received", "finished", "stray kept")]
            if order["charged"] and len(kept) != 1:
                found.append(f"{provider} {ref} is charged ({order['status']}, {len(order['sms'])} SMS), here {claims}")
            elif not order["charged"] and kept:
                found.append(f"{provider} {ref} was given back, here {claims}")
        found += [
            f"{provider} {ref} is {claims} here and unknown there" for ref, claims in ours.items() if ref not in orders
        ]
        found += _cost_differences(provider, orders)
    return found


def _ours(provider: str) -> dict[str, list[str]]:
    """What we say about each order of a provider: the activation's state, and how its stray ended."""
    query = text(
        "SELECT provider_ref, state FROM activations WHERE provider_name = :name AND provider_ref IS NOT NULL UNION ALL"
        " SELECT provider_ref, 'stray ' || coalesce(outcome, 'open') FROM stray_orders WHERE provider_name = :name"
    )
    ours: dict[str, list[str]] = {}
    for ref, claim in db.session.execute(query, {"name": provider}):
        ours.setdefault(ref, []).append(claim)
    db.session.rollback()
    return ours


def _cost_differences(provider: str, orders: dict[str, Any]) -> list[str]:
    """Orders for which by our ledger another amount has left us than the provider kept, and what it still owes."""
    query = text(
        "SELECT t.reference, a.kind, sum(e.amount) FROM ledger_accounts a JOIN ledger_entries e ON e.account_id = a.id"
        " JOIN ledger_transactions t ON t.id = e.transaction_id WHERE a.provider = :name"
        " AND t.reference LIKE 'order:%' GROUP BY t.reference, a.kind"
    )
    paid: Counter[str] = Counter()
    owed: Counter[str] = Counter()
    for reference, kind, amount in db.session.execute(query, {"name": provider}):
        (paid if kind == "provider_float" else owed if kind == "provider_receivable" else Counter())[reference] = int(
            amount
        )
    db.session.rollback()
    kept = {f"order:{provider}:{ref}": order["cost_micros"] if order["charged"] else 0 for ref, order in orders.items()}
    found = [
        f"{reference}: {kept.get(reference, 0)} kept there, {paid[reference]} paid here"
        for reference in kept.keys() | paid.keys()
        if kept.get(reference, 0) != paid[reference]
    ]
    return found + [f"{reference}: {amount} owed here" for reference, amount in owed.items() if amount]


def explain(fault: str) -> str:
    """A difference, with the timeline of the activation that has the order it is about."""
    query = text(
        "SELECT a.id, string_agg(concat_ws(' ', e.kind, e.provider_name, e.detail), ', ' ORDER BY e.id)"
        " FROM activations a JOIN activation_events e ON e.activation_id = a.id"
        " WHERE a.provider_ref = :ref GROUP BY a.id"
    )
    refs = re.findall(r"\b\d{6,}\b", fault)
    told = db.session.execute(query, {"ref": refs[0] if refs else ""}).all()
    db.session.rollback()
    return f"{fault}; {'; '.join(f'activation {id}: {events}' for id, events in told)}"


def lost(storm: Storm) -> list[str]:
    """What a customer has had an answer about and is not there: numbers bought, and payments that were not credited."""
    known = set(db.session.scalars(select(Activation.id)))
    credited = set(db.session.scalars(select(TopUp.reference).filter_by(state="paid")))
    db.session.rollback()
    addresses = [address for _browser, address in storm.bought if int(address.rpartition("/")[2]) not in known]
    return addresses + sorted(set(storm.paid) ^ credited)


def wallet_difference(storm: Storm) -> int:
    """What the customers have now, less what they were given, paid in and spent: nothing."""
    accounts = text(
        "SELECT coalesce(sum(balance), 0) FROM ledger_accounts WHERE kind IN ('user_available', 'user_held')"
    )
    captured = text("SELECT coalesce(sum(price_minor), 0) FROM activations WHERE state IN ('received', 'finished')")
    have, gone = (int(db.session.scalar(query) or 0) for query in (accounts, captured))
    db.session.rollback()
    return have - (len(storm.browsers) * MONEY + len(storm.paid) * TOP_UP - gone)
