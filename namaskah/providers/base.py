"""What every upstream provider must be able to do, in our words, and the three ways it can fail.

An adapter is built from plain values, speaks one wire protocol and knows nothing of Flask, of the database or
of the other adapters. Everything above it decides by the three errors below and by nothing else:

    NotSold         a definite no: nothing was bought. Release the hold, or try the next provider.
    OutcomeUnknown  the request went out and no clear answer came back. Keep the hold, settle later.
    ProviderDown    a read failed. Ask again later; it says nothing about any order.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol


class ProviderError(Exception):
    """Base of the three decisions. `reason` is one of our own short words, safe to store and to show an operator."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail[:500]


class NotSold(ProviderError):
    """Definite no: the provider answered that it sold nothing, or was never reached.

    Reasons: no_stock, price_moved, no_balance, bad_credentials, account_blocked, rate_limited, too_many_open,
    not_offered, unreachable, refused.
    """


class OutcomeUnknown(ProviderError):
    """The request may have been acted upon. Reasons: no_answer, bad_answer, server_error."""


class ProviderDown(ProviderError):
    """A read, or a repeatable command, did not work this time.

    Reasons: no_answer, bad_answer, server_error, bad_credentials, rate_limited, unreachable, and those of NotSold where
    a provider refuses a read in such words (account_blocked, refused...).
    """


class OrderStatus(StrEnum):
    """Where an order stands at the provider, whatever the provider calls it."""

    WAITING = "waiting"  # number live, no SMS so far
    RECEIVED = "received"  # at least one SMS, still open
    FINISHED = "finished"  # closed with an SMS: the provider keeps the money
    REFUNDED = "refunded"  # closed without an SMS (cancelled, banned, timed out): the provider gave the money back


class CloseOutcome(StrEnum):
    """What came of asking the provider to cancel or ban an order."""

    CLOSED = "closed"  # cancelled now, money back
    ALREADY_CLOSED = "already_closed"  # was closed before without an SMS
    HAS_SMS = "has_sms"  # refused: an SMS arrived; read the order and take it
    TOO_EARLY = "too_early"  # refused for now; ask again after `retry_after` or a little later
    NOT_FOUND = "not_found"  # the provider knows no such order


@dataclass(frozen=True)
class Sms:
    """One message as the provider gives it. `provider_id` and `received_at` only where the protocol has them."""

    text: str
    code: str | None = None
    sender: str | None = None
    received_at: datetime | None = None
    provider_id: str | None = None


@dataclass(frozen=True)
class Order:
    """One number at the provider. Cost is in millionths of the provider's currency; phone is E.164 with `+`.

    buy() and list_orders() always give phone, service and country. get_order() leaves them empty where the protocol's
    status call does not repeat them. cost_micros is None where the protocol does not say it, created_at and expires_at
    are None where it does not say them, or says them without a time zone. They are by the provider's clock, never by
    this machine's; `window` is how long a fresh order waits, where the provider tells no moment but a length.
    """

    provider_ref: str
    phone: str
    service: str  # the provider's own code
    country: str  # the provider's own code
    status: OrderStatus = OrderStatus.WAITING
    operator: str | None = None
    cost_micros: int | None = None
    created_at: datetime | None = None
    expires_at: datetime | None = None
    window: timedelta | None = None
    messages: tuple[Sms, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The orders a provider lists. Unless it `is_whole`, it was cut, it moved while it was read, or a row of it could
    not be: then an order that is not among them may be open all the same."""

    orders: tuple[Order, ...] = ()
    is_whole: bool = True


@dataclass(frozen=True)
class Quote:
    """One thing on sale. `rate` is the share of orders that got an SMS, in hundredths of a percent (0…10000)."""

    service: str  # the provider's own code
    country: str  # the provider's own code
    operator: str  # "any", or the provider's own name
    cost_micros: int
    stock: int
    rate: int | None = None


@dataclass(frozen=True)
class Closing:
    """Answer to cancel() and ban(). Without `retry_after` Rules.cancel_lock_seconds is all there is."""

    outcome: CloseOutcome
    retry_after: timedelta | None = None


@dataclass(frozen=True)
class Rules:
    """What the provider's contract says about time; each adapter states where it has it from."""

    window_seconds: int  # how long an order waits for its SMS when the provider names no expiry
    cancel_lock_seconds: int  # no cancel during the first seconds after the purchase
    listing_lag_seconds: int  # a fresh order may take this long to show up in list_orders()
    min_seconds_between_calls: float  # below this the provider answers 429
    can_ban: bool = True
    can_ask_again: bool = True
    hides_old_messages: bool = False  # while another SMS is awaited, none is given: the one that shows again is new
    lists_last_message_alone: bool = False  # of an order's messages list_orders() and get_order() give the newest
    lists_closed_orders: bool = False  # list_orders() also shows orders that ended a short time ago


def no_pause() -> None:
    """Between two pages of a list: the next one at once."""


class Provider(Protocol):
    """One upstream. Every method makes at most one outbound call unless it says otherwise."""

    name: str  # our key for it: "fivesim", "herosms"
    protocol: str  # which code column of the directory it reads: "fivesim" or "sms_activate"
    currency: str  # ISO 4217 code its costs and balance are in
    rules: Rules

    def quotes(self, services: Iterable[str], countries: Iterable[str]) -> list[Quote]:
        """Everything on sale among these provider codes. Several calls allowed. Raises ProviderDown."""

    def buy(self, service: str, country: str, operator: str, max_cost_micros: int) -> Order:
        """Buy one number now, paying at most `max_cost_micros`. Raises NotSold or OutcomeUnknown, nothing else."""

    def get_order(self, provider_ref: str) -> Order | None:
        """One order with its messages; None when the provider says it knows none. Raises ProviderDown."""

    def all_messages(self, provider_ref: str) -> tuple[Sms, ...]:
        """Every message of an order, oldest first, of a provider that lists the last one alone; none from one that
        tells no more than that. Raises ProviderDown."""

    def list_orders(self, between_pages: Callable[[], None] = no_pause) -> Listing:
        """Open orders (and recently closed ones where the protocol lists them), messages included where the
        listing has them. As many calls as it has pages, up to a limit; `between_pages` is called before each but the
        first, to wait as long as the provider wants. Raises ProviderDown."""

    def ask_again(self, provider_ref: str) -> bool:
        """Ask for another SMS on the same number; False when the provider refuses. Safe to repeat, with a second call
        where that was refused. Raises ProviderDown."""

    def finish(self, provider_ref: str) -> None:
        """Close an order that got its SMS; closing twice is fine. Raises ProviderDown."""

    def cancel(self, provider_ref: str) -> Closing:
        """Give the number back. Safe to repeat. Raises ProviderDown."""

    def ban(self, provider_ref: str) -> Closing:
        """Give the number back because the service had seen it before. Safe to repeat. Raises ProviderDown."""

    def balance_micros(self) -> int:
        """What can still be spent, in millionths of `currency`. Raises ProviderDown."""
