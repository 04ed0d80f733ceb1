"""What the gateway sends by itself: kept as it came, then acted upon by the worker. It never credits by its own word;
it only makes us ask sooner.

The job that is left with an event acts on it at once. What that does not end, for whatever reason, is still due in the
table, and `take_up_due()` tries it again and again: nothing hangs on the queue.
"""

import hashlib
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Interval, case, func, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah import jobs
from namaskah.db import db, transaction
from namaskah.wallet import disputes, refund_events, topups
from namaskah.wallet.models import GatewayEvent
from namaskah.wallet.paystack import GatewayDown, GatewayRefused, SubjectUnknown, parse_event
from namaskah.wallet.paystack_disputes import dispute_id

log = logging.getLogger(__name__)

UNMATCHED = "unmatched"
NOT_HANDLED = "not_handled_here"
NOT_AN_EVENT = "not_an_event"  # its outcome, and its name too
# An event may come before we know what it is about, or out of order; later than this it is a person's.
EARLY_FOR = timedelta(hours=1)
# So long the job has the event for itself.
JOBS_TURN = timedelta(seconds=30)
NEXT_GAP = literal_column(
    "least(greatest((now() - received_at) / 2, interval '5 seconds'), interval '10 minutes')", Interval()
)
LONGEST_ERROR = 500


def receive_event(raw_body: bytes) -> GatewayEvent:
    """Store a body whose signature was right, once however many copies come, and have the worker act on it. Beside the
    very bytes, what is read and shown of it is kept without the codes that charge cards.

    A body that is no event is kept as well: signed as it is, it came from the gateway, and a person should see it.
    """
    values: dict[str, Any] = {"digest": hashlib.sha512(raw_body).hexdigest(), "raw": raw_body}
    copy = select(GatewayEvent).filter_by(digest=values["digest"])
    if (known := db.session.scalar(copy)) is not None:
        return known  # nothing to write: the commonest copy is answered fastest
    try:
        event = parse_event(raw_body)
        values |= {"event": event.name, "reference": event.reference, "body": without_codes(event.body)}
    except ValueError as error:
        values |= {"event": NOT_AN_EVENT, "outcome": NOT_AN_EVENT, "handled_at": func.now(), "body": {}}
        values["last_error"] = str(error)[:LONGEST_ERROR]
    with transaction():
        stored: GatewayEvent | None = db.session.scalar(
            pg_insert(GatewayEvent)
            .values(due_at=func.now() + JOBS_TURN, **values)
            .on_conflict_do_nothing(index_elements=["digest"])
            .returning(GatewayEvent)
        )
        if stored is None:
            return db.session.scalars(copy).one()
        if stored.handled_at is None:
            jobs.defer("handle_gateway_event", event_id=stored.id)
    if stored.handled_at is not None:
        log.error("event %s: a signed body that is no event (%s)", stored.id, stored.last_error)
    return stored


def without_codes(value: Any) -> Any:
    """The same without the codes that charge cards: what is kept of a webhook, and shown of it."""
    if isinstance(value, list):
        return [without_codes(item) for item in value]
    if isinstance(value, dict):
        return {name: without_codes(item) for name, item in value.items() if name != "authorization_code"}
    return value


def handle_event(event_id: int) -> None:
    """Job: act on a stored event. Once done it is done, and doing it twice is doing it once.

    Raises GatewayDown or GatewayRefused while the gateway does not confirm. Whoever calls, the event stays due.
    """
    event = _claim(GatewayEvent.id == event_id)
    if event is not None:
        _act(event)


def take_up_due(limit: int = 20) -> int:
    """Worker: act on events that are due, one after the other; gives how many were.

    Stops at the first sign that the gateway is away. What it could not end is due later, and tried until it is done.
    """
    due = select(GatewayEvent.id).where(GatewayEvent.handled_at.is_(None), GatewayEvent.due_at <= func.now())
    oldest = due.order_by(GatewayEvent.due_at).limit(1).with_for_update(skip_locked=True).scalar_subquery()
    for done in range(limit):
        event = _claim(GatewayEvent.id == oldest)
        if event is None:
            return done
        event_id = event.id
        try:
            _act(event)
        except (GatewayDown, GatewayRefused) as error:
            log.warning("event %s: the gateway does not confirm (%s)", event_id, error)
            return done
        except Exception:
            log.exception("event %s could not be acted upon", event_id)
    return limit


def _claim(which: ColumnElement[bool]) -> GatewayEvent | None:
    """One event that is not done, its try counted and its next one set, so that a worker that dies loses one turn."""
    with transaction():
        return db.session.scalar(
            update(GatewayEvent)
            .where(which, GatewayEvent.handled_at.is_(None))
            .values(tries=GatewayEvent.tries + 1, due_at=func.now() + NEXT_GAP)
            .returning(GatewayEvent)
            .execution_options(synchronize_session=False, populate_existing=True)
        )


def _act(event: GatewayEvent) -> None:
    """One try, and its mark."""
    event_id, due_at = event.id, event.due_at
    try:
        outcome = _outcome(event)
    except SubjectUnknown:
        # Not where it was made due meanwhile: there is something now that it is about.
        over = case((GatewayEvent.received_at <= func.now() - EARLY_FOR, func.now()), else_=None)
        _mark(event_id, GatewayEvent.due_at == due_at, outcome=UNMATCHED, handled_at=over, last_error=None)
    except Exception as error:
        db.session.rollback()
        _mark(event_id, last_error=_told(error))
        raise
    else:
        _mark(event_id, outcome=outcome, handled_at=func.now(), last_error=None)


def _outcome(event: GatewayEvent) -> str:
    """The word of its handler: for a charge the state its top-up has afterwards."""
    handler = HANDLERS.get(event.event)
    return NOT_HANDLED if handler is None else handler(event)


def _mark(event_id: int, *which: ColumnElement[bool], **values: Any) -> None:
    with transaction():
        db.session.execute(
            update(GatewayEvent)
            .where(GatewayEvent.id == event_id, GatewayEvent.handled_at.is_(None), *which)
            .values(**values)
            .execution_options(synchronize_session=False)
        )


def _told(error: Exception) -> str:
    """What a person reads of a failed try. Faults of our own give their kind alone: their words may quote anything."""
    kind = type(error).__name__
    return (f"{kind}: {error}" if isinstance(error, GatewayDown | GatewayRefused) else kind)[:LONGEST_ERROR]


def _charge_success(event: GatewayEvent) -> str:
    return topups.settle(event.reference or "").state


def _dispute(event: GatewayEvent) -> str:
    data = event.body.get("data")
    gateway_id = dispute_id(data.get("id")) if isinstance(data, dict) else None
    if gateway_id is None:
        raise SubjectUnknown("a dispute without a number")
    dispute = disputes.refresh(gateway_id)
    return dispute.outcome or dispute.state


# Name of an event → what acts on it: asks the gateway itself, and gives a word for what came of it. It raises
# SubjectUnknown, GatewayDown or GatewayRefused, and may be called twice.
HANDLERS: dict[str, Callable[[GatewayEvent], str]] = {
    "charge.success": _charge_success,
    **dict.fromkeys(refund_events.EVENTS, refund_events.handle),
    "charge.dispute.create": _dispute,
    "charge.dispute.remind": _dispute,
    "charge.dispute.resolve": _dispute,
}
