"""What the gateway has sent, for the operator: looking through it, having it tried again, closing what is nobody's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import Boolean, ColumnElement, func, literal_column, not_, select, update
from sqlalchemy.orm import undefer

from namaskah import jobs
from namaskah.auth import audit
from namaskah.db import db, require_transaction, transaction
from namaskah.errors import UserError
from namaskah.wallet import events
from namaskah.wallet.models import OPEN_EVENT, GatewayEvent

PAGE = 25
LONGEST_REASON = 500
# What the worker has not managed in this time is shown as work for a person, though it goes on trying.
STUCK_AFTER = timedelta(minutes=10)
# The very words of the index on what is open.
IS_OPEN = literal_column(f"({OPEN_EVENT})", Boolean())
IS_OVER = literal_column(f"({OPEN_EVENT}) IS NOT TRUE", Boolean())
WAITS = GatewayEvent.handled_at.is_(None)
STATES: dict[str, Sequence[ColumnElement[bool]]] = {
    "all": (),
    "open": (IS_OPEN,),
    "waiting": (IS_OPEN, WAITS),
    "person": (IS_OPEN, not_(WAITS)),
    "done": (IS_OVER, GatewayEvent.closed_at.is_(None)),
    "closed": (GatewayEvent.closed_at.is_not(None),),
}


@dataclass(frozen=True)
class Place:
    """Where a page ends: among what is open, or after it, at this id."""

    is_open: bool
    id: int


@dataclass(frozen=True)
class Page:
    """What is open comes first, then the rest, both newest first. `next` begins the page after, None at the end."""

    events: Sequence[GatewayEvent]
    next: Place | None


def look(state: str = "all", event: str = "", reference: str = "", after: Place | None = None) -> Page:
    """A page of events. Raises KeyError for a state that is none of STATES."""
    query = select(GatewayEvent).where(*STATES[state])
    if event:
        query = query.where(GatewayEvent.event == event)
    if reference:
        query = query.where(GatewayEvent.reference == reference)
    found: list[tuple[bool, GatewayEvent]] = []
    for is_open in (True, False):
        if after is not None and after.is_open < is_open:
            continue
        part = query.where(IS_OPEN if is_open else IS_OVER)
        if after is not None and after.is_open == is_open:
            part = part.where(GatewayEvent.id < after.id)
        found += [(is_open, row) for row in _newest(part, PAGE + 1 - len(found))]
    shown = found[:PAGE]
    last = Place(shown[-1][0], shown[-1][1].id) if len(found) > PAGE else None
    return Page([row for _is_open, row in shown], last)


def get_event(event_id: int) -> GatewayEvent | None:
    """One event with its raw bytes."""
    query = select(GatewayEvent).where(GatewayEvent.id == event_id).options(undefer(GatewayEvent.raw))
    return db.session.scalar(query.execution_options(populate_existing=True))


def kinds() -> Sequence[str]:
    """Names of the events that are handled here, for a list to choose from."""
    return sorted(events.HANDLERS)


def can_try(event: GatewayEvent) -> bool:
    """Whether a person may have it tried again."""
    return event.closed_at is None and event.event != events.NOT_AN_EVENT


def can_close(event: GatewayEvent) -> bool:
    """Whether there is something a person may close."""
    return db.session.scalar(select(GatewayEvent.id).where(*STATES["person"], GatewayEvent.id == event.id)) is not None


def needs_a_person() -> Any:
    """Events that software has not settled: of nobody, unreadable, unhandled where money moves, or stuck. One that may
    just have come early is none of them."""
    is_late = GatewayEvent.received_at < func.now() - STUCK_AFTER
    has_failed = GatewayEvent.outcome.is_(None) | GatewayEvent.last_error.is_not(None)
    return select(GatewayEvent).where(IS_OPEN, not_(WAITS) | is_late & has_failed)


def count_for_a_person() -> int:
    """How many of them there are."""
    return db.session.scalar(select(func.count()).select_from(needs_a_person().subquery())) or 0


def try_again(event_id: int, actor: str) -> None:
    """Have the worker act on an event now, whatever came of it before. Raises UserError when it is closed, or none."""
    with transaction():
        again = db.session.scalar(
            update(GatewayEvent)
            .where(
                GatewayEvent.id == event_id,
                GatewayEvent.closed_at.is_(None),
                GatewayEvent.event != events.NOT_AN_EVENT,
            )
            .values(handled_at=None, due_at=func.now() + events.JOBS_TURN)
            .returning(GatewayEvent.id)
            .execution_options(synchronize_session=False)
        )
        if again is None:
            raise UserError(_("This report is closed, or nothing can be done with it. Nothing was done."), status=409)
        jobs.defer("handle_gateway_event", event_id=event_id)
        audit.record("gateway_event_retried", None, actor, event=event_id)


def look_again(reference: str) -> None:
    """Have the worker act anew on what was nobody's: there is a top-up now that it is about. Needs an open
    transaction."""
    require_transaction()
    db.session.execute(
        update(GatewayEvent)
        .where(GatewayEvent.reference == reference, IS_OPEN, WAITS | (GatewayEvent.outcome == events.UNMATCHED))
        .values(handled_at=None, due_at=func.now())
        .execution_options(synchronize_session=False)
    )


def close(event_id: int, actor: str, reason: str) -> bool:
    """A person has seen to it; False when somebody had before. Raises UserError without a reason, or while the worker
    is still at it, or when there is nothing to see to."""
    words = reason.replace("\0", "").strip()[:LONGEST_REASON]
    if not words:
        raise UserError(_("Say in a few words why. Nothing was done."), status=422)
    with transaction():
        closed = _close(event_id, actor, words)
        if closed is not None:
            audit.record("gateway_event_closed", None, actor, event=event_id, reason=words)
            return True
    before: Any = db.session.scalar(select(GatewayEvent.closed_at).where(GatewayEvent.id == event_id))
    if before is None:
        raise UserError(
            _("The worker is at it, or it is done: there is nothing to close. Nothing was done."), status=409
        )
    return False


def _close(event_id: int, actor: str, words: str) -> int | None:
    return db.session.scalar(
        update(GatewayEvent)
        .where(GatewayEvent.id == event_id, IS_OPEN, not_(WAITS))
        .values(closed_at=func.now(), closed_by=actor[:100], closed_reason=words)
        .returning(GatewayEvent.id)
        .execution_options(synchronize_session=False)
    )


def _newest(query: Any, limit: int) -> Sequence[GatewayEvent]:
    if limit <= 0:
        return []
    newest = query.order_by(GatewayEvent.id.desc()).limit(limit).execution_options(populate_existing=True)
    found: Sequence[GatewayEvent] = db.session.scalars(newest).all()
    return found
