"""An activation as its page shows it: one view object for the page, the poll and the push."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any
from uuid import uuid4

from flask_babel import get_locale
from flask_babel import gettext as _
from sqlalchemy import func, select

from namaskah.db import database_time, db
from namaskah.numbers import catalogue, codes, directory, message_retention, messages, registry
from namaskah.numbers.models import HOLDING, RELEASED, Activation, ActivationEvent, Message
from namaskah.wallet import ledger, statement


@dataclass(frozen=True)
class MessageView:
    """One SMS: `halves` are the code's two panels. After `erased_at` nothing of what it said is known."""

    text: str
    code: str | None
    halves: tuple[str, str] | None
    link: str | None
    sender: str | None
    received_at: datetime
    is_late: bool
    erased_at: datetime | None


@dataclass
class View:
    """What `_activation.html` needs, and nothing it has to compute."""

    id: int
    service: str
    service_name: str
    country: str
    operator: str
    state: str
    end_reason: str | None
    price_minor: int
    phone: str | None
    started_at: datetime
    expires_at: datetime | None
    window_seconds: int
    cancel_from: datetime | None
    cancel_requested: bool
    can_cancel: bool
    can_replace: bool
    can_ask_again: bool
    asked_again: bool
    can_finish: bool
    seconds_to_code: int | None
    refunded_minor: int
    balance_before_minor: int | None  # only while nothing else has moved the wallet since
    balance_after_minor: int | None
    messages: list[MessageView]
    timeline: list[dict[str, Any]]
    replaced_by: int | None = None
    code: str | None = None
    usual_seconds: int | None = None
    rate: int | None = None
    kept_hours: int = 0
    words_until: datetime | None = None  # when the messages of a closed number lose their words
    try_again: dict[str, Any] | None = None
    others: list[dict[str, Any]] = field(default_factory=list)


def service_name(code: str) -> str:
    """A service's name by our code."""
    return next((entry.name for entry in directory.services() if entry.code == code), code)


def present(activation: Activation) -> View:
    """Everything the page shows about an activation, read now."""
    found = [_message(message) for message in messages.of_activation(activation.id)]
    before, after = _balances(activation)
    refunded = activation.price_minor if activation.state in RELEASED else 0
    is_open = activation.state == "received" and not _is_over(activation)
    view = View(
        id=activation.id,
        service=activation.service_code,
        service_name=service_name(activation.service_code),
        country=activation.country_code,
        operator=activation.operator,
        state=activation.state,
        end_reason=activation.end_reason,
        price_minor=activation.price_minor,
        phone=activation.phone,
        started_at=activation.created_at,
        expires_at=activation.expires_at,
        window_seconds=_window_seconds(activation),
        cancel_from=_still_locked_until(activation),
        cancel_requested=activation.cancel_requested_at is not None and activation.state == "waiting",
        can_cancel=activation.state == "waiting" and activation.cancel_requested_at is None,
        can_replace=activation.state == "waiting" and activation.cancel_requested_at is None,
        can_ask_again=is_open and activation.asked_again_at is None and _provider_can_ask_again(activation),
        asked_again=is_open and activation.asked_again_at is not None,
        can_finish=activation.state == "received",
        seconds_to_code=_seconds_to_code(activation),
        refunded_minor=refunded,
        balance_before_minor=before,
        balance_after_minor=after,
        messages=found,
        timeline=_timeline(activation),
        code=next((message.code for message in found if message.code), None),
        kept_hours=round(message_retention.kept_for().total_seconds() / 3600),
        words_until=_words_until(activation) if any(not message.erased_at for message in found) else None,
    )
    if activation.state in (*HOLDING, *RELEASED):
        _add_chances(view)
    if activation.state in RELEASED:
        view.replaced_by = db.session.scalar(select(Activation.id).where(Activation.replaces_id == activation.id))
    return view


def _balances(activation: Activation) -> tuple[int | None, int | None]:
    """What the customer could spend before and after this purchase, or its money's return. Nothing once something else
    has moved the wallet: from the figure of now one would reckon a balance that never was."""
    if not statement.moved_last(activation.user_id, activation.reference):
        return None, None
    after = ledger.balance(activation.user_id).spendable_minor
    price = activation.price_minor
    return max(after - price if activation.state in RELEASED else after + price, 0), after


def _message(message: Message) -> MessageView:
    return MessageView(
        text=message.body,
        code=message.code,
        halves=codes.group_code(message.code) if message.code else None,
        link=codes.find_link(message.body) if not message.code else None,
        sender=message.sender,
        received_at=message.received_at,
        is_late=message.is_late,
        erased_at=message.erased_at,
    )


def _words_until(activation: Activation) -> datetime | None:
    return activation.ended_at + message_retention.kept_for() if activation.ended_at else None


def _is_over(activation: Activation) -> bool:
    return activation.expires_at is not None and activation.expires_at <= database_time()


def _still_locked_until(activation: Activation) -> datetime | None:
    """When the provider will let go of the number, while it does not yet."""
    allowed = activation.cancel_from
    return allowed if allowed is not None and allowed > database_time() else None


def _window_seconds(activation: Activation) -> int:
    if activation.expires_at is None:
        return 0
    return max(1, int((activation.expires_at - activation.created_at).total_seconds()))


def _seconds_to_code(activation: Activation) -> int | None:
    if activation.received_at is None:
        return None
    return max(1, round((activation.received_at - activation.created_at).total_seconds()))


def _provider_can_ask_again(activation: Activation) -> bool:
    adapter = registry.find(activation.provider_name)
    return adapter is not None and adapter.rules.can_ask_again


def _add_chances(view: View) -> None:
    """What is normal for this service and country and, once the money is back, what else to try."""
    offers = catalogue.offers(view.service)
    mine = next((offer for offer in offers if offer.country == view.country), None)
    if mine:
        view.usual_seconds, view.rate = mine.wait_seconds, mine.rate
    if view.state not in RELEASED:
        return
    if mine:
        view.try_again = {"country": mine.country, "price_minor": mine.price_minor, "key": uuid4().hex}
    others = sorted((offer for offer in offers if offer.country != view.country), key=lambda offer: -(offer.rate or 0))
    view.others = [
        {"country": offer.country, "rate": offer.rate, "price_minor": offer.price_minor}
        for offer in others[:2]
        if offer.rate
    ]


def _timeline(activation: Activation) -> list[dict[str, Any]]:
    events = db.session.scalars(
        select(ActivationEvent).where(ActivationEvent.activation_id == activation.id).order_by(ActivationEvent.id)
    )
    return [
        {"kind": event.kind, "at": event.at, "text": text}
        for event in events
        if (text := _event_text(event.kind, event.detail))
    ]


def _event_text(kind: str, detail: str) -> str | None:
    """What a customer is told of a step; a provider's refusal is our business, the next one is asked."""
    if kind == "money_back":
        return {
            "customer_cancelled": _("Cancelled, your money is back"),
            "number_used": _("Number given back, your money is back"),
            "no_code": _("Time over without an SMS, your money is back"),
            "no_stock": _("No number was free, your money is back"),
            "provider_refused": _("No number could be bought, your money is back"),
            "provider_closed": _("The provider closed the number, your money is back"),
            "nothing_bought": _("No number came of it, your money is back"),
        }.get(detail)
    return {
        "bought": _("You bought the number, the price is held"),
        "in_doubt": _("The provider gave no clear answer, we are finding out"),
        "number": _("Number ready"),
        "code": _("Message came"),
        "late_sms": _("A message came late, you paid nothing for it"),
        "cancel_wanted": _("You asked to cancel"),
        "asked_again": _("You asked for another code"),
        "finished": _("Done"),
    }.get(kind)


def describe(ids: list[str]) -> dict[str, str]:
    """One short name for each of these activations, for the statement's lines."""
    wanted = select(Activation.id, Activation.service_code, Activation.country_code)
    rows = db.session.execute(wanted.where(Activation.id.in_(map(int, ids))))
    said = cache(_goods)  # of a thousand lines most are about the same few
    return {str(row.id): said(row.service_code, row.country_code) for row in rows}


def _goods(service_code: str, country_code: str) -> str:
    return str(_("%(service)s, %(country)s", service=service_name(service_code), country=country_label(country_code)))


def country_label(code: str) -> str:
    """A country in the reader's language."""
    return directory.country_name(code, str(get_locale() or "en"))


def open_count(user_id: int) -> int:
    """How many of a customer's activations still wait for something."""
    waiting = select(func.count()).where(Activation.user_id == user_id, Activation.state.in_(HOLDING))
    return db.session.scalar(waiting) or 0
