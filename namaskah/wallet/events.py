"""What the gateway sends by itself: kept as it came, then acted upon by the worker. It never credits by its own word;
it only makes us ask sooner."""

import hashlib
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah import jobs
from namaskah.db import db, transaction
from namaskah.wallet import topups
from namaskah.wallet.models import GatewayEvent
from namaskah.wallet.paystack import SubjectUnknown, parse_event

UNMATCHED = "unmatched"
NOT_HANDLED = "not_handled_here"


def receive_event(raw_body: bytes) -> GatewayEvent:
    """Store an event whose signature was right, once however many copies come, and have the worker look at it. It is
    kept whole, but for the codes that charge cards.

    Raises ValueError when the body is no event.
    """
    event = parse_event(raw_body)
    digest = hashlib.sha512(raw_body).hexdigest()
    with transaction():
        stored: GatewayEvent | None = db.session.scalar(
            pg_insert(GatewayEvent)
            .values(digest=digest, event=event.name, reference=event.reference, body=without_codes(event.body))
            .on_conflict_do_nothing(index_elements=["digest"])
            .returning(GatewayEvent)
        )
        if stored is not None:
            jobs.defer("handle_gateway_event", event_id=stored.id)
            return stored
        return db.session.scalars(select(GatewayEvent).filter_by(digest=digest)).one()


def without_codes(value: Any) -> Any:
    """The same without the codes that charge cards: what is kept of a webhook, and shown of it."""
    if isinstance(value, list):
        return [without_codes(item) for item in value]
    if isinstance(value, dict):
        return {name: without_codes(item) for name, item in value.items() if name != "authorization_code"}
    return value


def handle_event(event_id: int) -> None:
    """Worker: act on a stored event. Once done it is done; what we cannot match is kept, marked, never dropped.

    Raises GatewayDown or GatewayRefused while the gateway does not confirm; the job is then tried again.
    """
    event = db.session.get_one(GatewayEvent, event_id)
    if event.handled_at is None:
        outcome = _outcome(event)
        with transaction():
            db.session.execute(
                update(GatewayEvent).where(GatewayEvent.id == event_id).values(handled_at=func.now(), outcome=outcome)
            )


def _outcome(event: GatewayEvent) -> str:
    """For a charge the state its top-up has afterwards; else why nothing was done."""
    handler = HANDLERS.get(event.event)
    if handler is None:
        return NOT_HANDLED
    try:
        return handler(event)
    except SubjectUnknown:
        return UNMATCHED


def _charge_success(event: GatewayEvent) -> str:
    return topups.settle(event.reference or "").state


# Name of an event → what acts on it: asks the gateway itself, and gives a word for what came of it. It raises
# SubjectUnknown, GatewayDown or GatewayRefused, and may be called twice.
HANDLERS: dict[str, Callable[[GatewayEvent], str]] = {"charge.success": _charge_success}
