"""SMS as they are stored: one row a message, with the code found in it."""

import hashlib
from dataclasses import replace

from flask import current_app
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.db import db
from namaskah.numbers import codes, message_retention
from namaskah.numbers.models import Activation, Message
from namaskah.providers.base import Order, Sms

LONGEST_BODY = 2_000


def fingerprint(sms: Sms, service: str) -> str:
    """By what one message of an activation is known: the provider's id where it gives one, else the code, else the
    text. One protocol's webhook brings the text and its poll only the code of the same message."""
    known_by = sms.provider_id or codes.find_code(sms.text, sms.code, service) or _body(sms)
    return hashlib.sha256(known_by.encode()).hexdigest()


def only_own(order: Order, activation: Activation) -> Order:
    """An order as its activation may see it: without messages if it is another number's. (One protocol's single orders
    tell no phone; there is nothing to compare.)

    A provider that mixes up its ids has answered our purchase with another customer's order. Its messages are not for
    this one: the window goes by, the money goes back, and what was really sold is found by the sweep.
    """
    if not order.phone or not activation.phone or order.phone == activation.phone:
        return order
    current_app.logger.error("order %s of activation %s has another number", order.provider_ref, activation.id)
    return replace(order, messages=())


def known(activation_ids: list[int]) -> dict[int, set[str]]:
    """Fingerprints of the messages that these activations have already."""
    found: dict[int, set[str]] = {activation_id: set() for activation_id in activation_ids}
    rows = db.session.execute(
        select(Message.activation_id, Message.fingerprint).where(Message.activation_id.in_(activation_ids))
    )
    for activation_id, its_fingerprint in rows:
        found[activation_id].add(its_fingerprint)
    return found


def store(activation: Activation, sms: Sms, is_late: bool) -> bool:
    """Keep a message; False when it is known already. Of one that comes when the others have lost their words, only
    that it came is kept."""
    known_by = fingerprint(sms, activation.service_code)
    if message_retention.is_over(activation):
        return message_retention.store_without_words(activation.id, known_by, is_late, sms.received_at)
    code = codes.find_code(sms.text, sms.code, activation.service_code)
    stored = db.session.scalar(
        pg_insert(Message)
        .values(
            activation_id=activation.id,
            fingerprint=known_by,
            body=_body(sms),
            code=code[:32] if code else None,
            sender=sms.sender[:80] if sms.sender else None,
            is_late=is_late,
            received_at=func.clock_timestamp(),
            provider_at=sms.received_at,
        )
        .on_conflict_do_nothing(index_elements=["activation_id", "fingerprint"])
        .returning(Message.id)
    )
    return stored is not None


def _body(sms: Sms) -> str:
    return (sms.text or sms.code or "")[:LONGEST_BODY]


def of_activation(activation_id: int) -> list[Message]:
    """All messages of an activation, newest first."""
    return list(
        db.session.scalars(
            select(Message)
            .where(Message.activation_id == activation_id)
            .order_by(Message.id.desc())
            .execution_options(populate_existing=True)
        )
    )
