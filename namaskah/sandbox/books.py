"""One provider account's books: its balance, every number it sold and every message that came in.

The books know the truth; how it is told on the wire is the business of `fivesim` and `handler_api`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from .catalogue import Country, Offer, Service, Shelf
from .dials import Dials
from .journal import Journal
from .phones import Numbering

OPENING_BALANCE_MICROS = 500_000_000
FULL_RATING = 9600  # hundredths; 5sim counts from 0 to 96

# What each way of closing an order does to 5sim's rating, in hundredths.
_RATING_STEPS = {"finished": 50, "auto": 40, "timeout": -15, "canceled": -10, "banned": -10}


class Refused(Exception):
    """The provider says no. `reason` is one of no_stock, no_balance, too_dear, low_rating, not_found, closed,
    early, has_sms, no_sms, not_allowed; `detail` is the lowest price in micros (too_dear), the lock in seconds
    (early) or the order (closed)."""

    def __init__(self, reason: str, detail: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


@dataclass
class Sms:
    id: int
    sender: str
    text: str
    code: str | None
    received_at: datetime


@dataclass
class Order:
    """`status`: pending (nothing came), received, retry (waits for one more), finished, canceled, banned, timeout."""

    id: int
    phone: str
    service: str
    country: str
    operator: str
    cost_micros: int
    created_at: datetime
    expires_at: datetime
    waiting_since: datetime
    status: str = "pending"
    is_ready: bool = False
    refunded: bool = False
    sms: list[Sms] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status in ("pending", "received", "retry")

    @property
    def last_sms(self) -> Sms | None:
        return self.sms[-1] if self.sms else None

    def snapshot(self) -> Order:
        return replace(self, sms=list(self.sms))


def now() -> datetime:
    return datetime.now(UTC)


def _order_from(document: dict[str, Any]) -> Order:
    times = {k: datetime.fromisoformat(document[k]) for k in ("created_at", "expires_at", "waiting_since")}
    sms = [Sms(**{**s, "received_at": datetime.fromisoformat(s["received_at"])}) for s in document["sms"]]
    return Order(**{**document, **times, "sms": sms})


class Account:
    """All verbs are safe to call from any thread, take the journal's lock and are on disk when they return."""

    def __init__(self, shelf: Shelf, journal: Journal, dials: Dials, numbering: Numbering) -> None:
        self.provider = shelf.provider
        self.shelf = shelf
        self._journal = journal
        self._dials = dials
        self._numbering = numbering
        # Numeric ids that go on rising over restarts and resets, so a client's database never sees one twice.
        self._last_id = (int(time.time()) - 1_700_000_000) * 10
        self.on_sms: Callable[[Order, Sms], None] | None = None
        self._empty()
        self._load()

    def _empty(self) -> None:
        self.balance_micros = OPENING_BALANCE_MICROS
        self.rating = FULL_RATING
        self.max_prices: dict[str, dict[str, Any]] = {}
        self.orders: dict[int, Order] = {}
        self.payments: list[dict[str, Any]] = []
        self.stock: dict[tuple[str, str, str], int] = {}
        self._open: dict[int, Order] = {}
        self._sold: Counter[tuple[str, str, str]] = Counter()

    def _load(self) -> None:
        for document in self._journal.all(f"{self.provider}.order"):
            order = _order_from(document)
            self.orders[order.id] = order
            self._numbering.remember(order.phone)
            if order.is_open:
                self._open[order.id] = order
                self._sold[order.country, order.service, order.operator] += 1
        self.payments = self._journal.all(f"{self.provider}.payment")
        for state in self._journal.all(f"{self.provider}.state"):
            self.balance_micros, self.rating = state["balance_micros"], state["rating"]
            self.max_prices, self._last_id = state["max_prices"], max(self._last_id, state["last_id"])

    def reset(self) -> None:
        """Forget everything but which ids were used."""
        with self._journal.writing():
            for kind in ("order", "payment", "state"):
                self._journal.forget(f"{self.provider}.{kind}")
            self._empty()
            self._save_state()

    def _save(self, order: Order) -> None:
        self._journal.put(f"{self.provider}.order", order.id, asdict(order))

    def _save_state(self) -> None:
        state = {
            "balance_micros": self.balance_micros,
            "rating": self.rating,
            "max_prices": self.max_prices,
            "last_id": self._last_id,
        }
        self._journal.put(f"{self.provider}.state", "now", state)

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _pay(self, amount_micros: int, kind: str) -> None:
        self.balance_micros += amount_micros
        payment = {
            "id": self.next_id(),
            "kind": kind,
            "amount_micros": amount_micros,
            "balance_micros": self.balance_micros,
            "at": now().isoformat(),
        }
        self.payments.append(payment)
        self._journal.put(f"{self.provider}.payment", payment["id"], payment)
        self._save_state()

    def set_balance(self, balance_micros: int) -> None:
        with self._journal.writing():
            self._pay(balance_micros - self.balance_micros, "charge")

    def set_max_price(self, product: str, price_micros: int | None) -> None:
        """5sim's account-wide ceiling for one product; None removes it."""
        with self._journal.writing():
            if price_micros is None:
                self.max_prices.pop(product, None)
            else:
                limit = {"id": self.next_id(), "price_micros": price_micros, "created_at": now().isoformat()}
                self.max_prices[product] = limit
            self._save_state()

    def country(self, name: str) -> Country:
        return self.shelf.countries[name]

    def service(self, name: str) -> Service:
        return self.shelf.services[name]

    def in_stock(self, offer: Offer) -> int:
        """Numbers free now: what the catalogue (or a setting) says, less what is in use."""
        key = (offer.country, offer.service, offer.operator)
        return max(0, self.stock.get(key, offer.stock) - self._sold[key])

    def set_stock(self, country: str, service: str, operator: str | None, count: int) -> None:
        """Fix the stock of one operator; without one, the first operator gets it all and the others nothing."""
        with self._journal.lock:
            for index, offer in enumerate(self.shelf.matching(country, service)):
                if operator is None:
                    self.stock[country, service, offer.operator] = count if index == 0 else 0
                elif offer.operator == operator:
                    self.stock[country, service, operator] = count

    def _choose(
        self, country: str | None, service: str, operators: frozenset[str] | None, max_micros: int | None
    ) -> Offer:
        offers = [o for o in self.shelf.matching(country, service, operators) if self.in_stock(o)]
        if not offers:
            raise Refused("no_stock")
        offer = min(offers, key=lambda o: o.cost_micros)
        if max_micros is not None and offer.cost_micros > max_micros:
            raise Refused("too_dear", offer.cost_micros)
        return offer

    def buy(
        self,
        country: str | None,
        service: str,
        operators: frozenset[str] | None = None,
        max_micros: int | None = None,
        overcharge: bool = False,
    ) -> Order:
        """Allocate the cheapest number in stock and take its cost; None as country or operators means any.

        `overcharge` plays a dishonest provider: it charges half as much again as was asked or allowed.
        """
        with self._journal.writing():
            self._settle()
            if self.provider == "fivesim" and self.rating <= 0:
                raise Refused("low_rating")
            offer = self._choose(country, service, operators, max_micros)
            cost = offer.cost_micros
            if overcharge:
                cost = -(-max(cost, max_micros or 0) * 3 // 20_000) * 10_000
            if cost > self.balance_micros:
                raise Refused("no_balance")
            order = self._allocate(offer, cost)
            self._pay(-cost, "buy")
            return order.snapshot()

    def _allocate(self, offer: Offer, cost_micros: int) -> Order:
        at = now()
        order = Order(
            id=self.next_id(),
            phone=self._numbering.take(self.country(offer.country)),
            service=offer.service,
            country=offer.country,
            operator=offer.operator,
            cost_micros=cost_micros,
            created_at=at,
            expires_at=at + timedelta(seconds=self._dials.window(self.provider, offer.service)),
            waiting_since=at,
        )
        self.orders[order.id] = self._open[order.id] = order
        self._sold[order.country, order.service, order.operator] += 1
        self._save(order)
        return order

    def _close(self, order: Order, status: str, refund: bool, rating_step: str | None = None) -> None:
        order.status = status
        order.refunded = refund
        del self._open[order.id]
        self._sold[order.country, order.service, order.operator] -= 1
        self.rating = min(FULL_RATING, max(0, self.rating + _RATING_STEPS[rating_step or status]))
        self._save(order)
        if refund:
            self._pay(order.cost_micros, "refund")
        else:
            self._save_state()

    def _settle(self) -> None:
        at = now()
        for order in [o for o in self._open.values() if o.expires_at <= at]:
            if order.sms:
                self._close(order, "finished", refund=False, rating_step="auto")
            else:
                self._close(order, "timeout", refund=True)

    def settle(self) -> None:
        """Close every order whose window is over: finished if a message came, else timed out and refunded."""
        with self._journal.writing():
            self._settle()

    def _find(self, order_id: int) -> Order:
        self._settle()
        if order_id not in self.orders:
            raise Refused("not_found")
        return self.orders[order_id]

    def _find_open(self, order_id: int) -> Order:
        order = self._find(order_id)
        if not order.is_open:
            raise Refused("closed", order.snapshot())
        return order

    def get(self, order_id: int) -> Order:
        """Raises Refused("not_found")."""
        with self._journal.writing():
            return self._find(order_id).snapshot()

    def cancel(self, order_id: int, status: str = "canceled") -> Order:
        """Give the number back for a full refund; `status` may be "banned". Refused once a message came."""
        with self._journal.writing():
            order = self._find_open(order_id)
            if order.sms:
                raise Refused("has_sms")
            lock = self._dials.early_cancel_seconds[self.provider]
            if now() < order.created_at + timedelta(seconds=lock):
                raise Refused("early", lock)
            self._close(order, status, refund=True)
            return order.snapshot()

    def finish(self, order_id: int) -> Order:
        with self._journal.writing():
            order = self._find_open(order_id)
            if not order.sms:
                raise Refused("no_sms")
            self._close(order, "finished", refund=False)
            return order.snapshot()

    def ask_again(self, order_id: int) -> Order:
        """Wait for one more message on the same number."""
        with self._journal.writing():
            order = self._find_open(order_id)
            if not order.sms:
                raise Refused("no_sms")
            order.status, order.waiting_since = "retry", now()
            self._save(order)
            return order.snapshot()

    def mark_ready(self, order_id: int) -> Order:
        """The caller says its message was sent; only once, and only before one came."""
        with self._journal.writing():
            order = self._find_open(order_id)
            if order.sms or order.is_ready:
                raise Refused("not_allowed")
            order.is_ready = True
            self._save(order)
            return order.snapshot()

    def expire(self, order_id: int) -> Order:
        """Let the order's window end now."""
        with self._journal.writing():
            order = self._find_open(order_id)
            order.expires_at = now()
            self._settle()
            return order.snapshot()

    def deliver(self, order_id: int, sender: str, text: str, code: str | None) -> Order:
        """A message arrives. On a closed order it is kept too, as a late one, and changes neither state nor money."""
        with self._journal.writing():
            order = self._find(order_id)
            sms = Sms(self.next_id(), sender, text, code, now())
            order.sms.append(sms)
            if order.is_open:
                order.status = "received"
            self._save(order)
            self._save_state()
            snapshot = order.snapshot()
        if self.on_sms:
            self.on_sms(snapshot, sms)
        return snapshot

    def listing(self, only_open: bool = False) -> list[Order]:
        """Orders, newest first. Those younger than the listing lag are not there yet, as upstream caches do."""
        with self._journal.writing():
            self._settle()
            limit = now() - timedelta(seconds=self._dials.listing_lag_seconds)
            orders = self._open if only_open else self.orders
            return [o.snapshot() for o in reversed(orders.values()) if o.created_at <= limit]

    def waiting(self, seconds: float) -> list[Order]:
        """Open orders that have waited that long for their next message."""
        with self._journal.lock:
            limit = now() - timedelta(seconds=seconds)
            waits = ("pending", "retry")
            return [o.snapshot() for o in self._open.values() if o.status in waits and o.waiting_since <= limit]

    def find_by_phone(self, phone: str) -> Order:
        """The newest order on a number; raises Refused("not_found")."""
        digits = phone.lstrip("+")
        with self._journal.lock:
            for order in reversed(self.orders.values()):
                if order.phone == digits:
                    return order.snapshot()
        raise Refused("not_found")

    def id_issued_before(self, order_id: int) -> int:
        """The newest id sold before this one, or the same when there is none."""
        with self._journal.lock:
            return next((i for i in reversed(self.orders) if i < order_id), order_id)

    def as_json(self) -> dict[str, Any]:
        """The account as `/control/books` tells it. `charged`: the money is taken and kept at this moment."""
        with self._journal.writing():
            self._settle()
            orders = [{**asdict(o), "charged": not o.refunded} for o in self.orders.values()]
            return {"currency": "USD", "balance_micros": self.balance_micros, "orders": orders}
