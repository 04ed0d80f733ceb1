"""What finds payments that nobody has told us of, and those that went back: the gateway's own lists, read every few
minutes by one worker, with one call for all customers.

A top-up of the last ten minutes is asked about by itself, every minute or two (`topups.sweep_due()`); with its age the
gaps grow to an hour. Whoever pays late on an old checkout is found here within PAID_GAP.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from flask import current_app
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.db import db, leave_database, transaction
from namaskah.wallet import reversals, topups
from namaskah.wallet.models import GatewayLook, TopUp
from namaskah.wallet.paystack import GatewayDown, GatewayRefused, Payment

log = logging.getLogger(__name__)

PAID_GAP = timedelta(minutes=3)
MOST_UNCONFIRMED = 3  # in a turn: one that is refused each time holds up no other, a gateway that is away is left alone
REVERSED_GAP = timedelta(minutes=30)
# Banks take payments back for about this long.
REVERSED_FOR = timedelta(days=120)
# The gateway's clock and ours may differ by so much.
CLOCKS = timedelta(minutes=5)

Page = tuple[list[Payment], str | None]


def find_paid_due() -> int:
    """Worker: settle open top-ups that the gateway has as paid; gives how many. No call while none is open."""
    since = _oldest_open() if current_app.config["PAYSTACK_SECRET_KEY"] else None
    if since is None or not _claim("paid", PAID_GAP):
        return 0
    paystack, found, unconfirmed = topups.gateway(), 0, 0
    for payments in _pages("paid", lambda page: paystack.list_paid(since, page)):
        for reference in _ours(payments, TopUp.check_at.is_not(None)):
            try:
                topups.settle(reference)
                found += 1
            except (GatewayDown, GatewayRefused) as error:
                log.warning("top-up %s: paid by the gateway's list, and not confirmed (%s)", reference, error)
                unconfirmed += 1
            if unconfirmed == MOST_UNCONFIRMED:
                return found
    return found


def find_reversed_due() -> int:
    """Worker: note which credited payments the gateway has sent back; gives how many are news."""
    if not current_app.config["PAYSTACK_SECRET_KEY"] or not _claim("reversed", REVERSED_GAP):
        return 0
    since = datetime.now(UTC) - REVERSED_FOR
    paystack, found = topups.gateway(), 0
    for payments in _pages("reversed", lambda page: paystack.list_reversed(since, page)):
        for reference in _ours(payments, TopUp.state == "paid", TopUp.reversed_at.is_(None)):
            found += reversals.note(reference, "reversed")
    return found


def _oldest_open() -> datetime | None:
    """Since when the gateway is to be asked; None when no top-up is open."""
    first: datetime | None = db.session.scalar(select(func.min(TopUp.created_at)).where(TopUp.check_at.is_not(None)))
    db.session.rollback()
    return first and first - CLOCKS


def _claim(name: str, gap: timedelta) -> bool:
    """Whether it is this worker's turn to read a list."""
    due_at = func.now() + gap
    with transaction():
        taken = db.session.scalar(
            pg_insert(GatewayLook)
            .values(name=name, due_at=due_at)
            .on_conflict_do_update(
                index_elements=["name"], set_={"due_at": due_at}, where=GatewayLook.due_at <= func.now()
            )
            .returning(GatewayLook.name)
        )
    return taken is not None


def _pages(name: str, read: Callable[[str | None], Page]) -> Iterator[Sequence[Payment]]:
    """Page after page, to the end or to the first that cannot be had: the next turn begins anew."""
    following: str | None = None
    while True:
        leave_database()
        try:
            payments, following = read(following)
        except (GatewayDown, GatewayRefused) as error:
            log.warning("the gateway's list of %s payments could not be read (%s)", name, error)
            return
        yield payments
        if not following:
            return


def _ours(payments: Sequence[Payment], *which: ColumnElement[bool]) -> list[str]:
    """References of those that are our top-ups, and such as are looked for."""
    wanted = select(TopUp.reference).where(TopUp.reference.in_([payment.reference for payment in payments]), *which)
    return list(db.session.scalars(wanted))
