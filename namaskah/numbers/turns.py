"""Taking turns: whoever moves a due time forward in the database does the work; and each of many gets its chance."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import ColumnElement, func, update
from sqlalchemy.orm import InstrumentedAttribute

from namaskah.claims import claim_due
from namaskah.db import db, leave_database, transaction
from namaskah.numbers import pacing, registry, routing
from namaskah.numbers.models import Provider
from namaskah.providers.base import Listing, ProviderDown

# What it says of a provider, and not of us, that its orders cannot be read.
DEAF = {"no_answer", "bad_answer", "server_error", "unreachable"}


def take_turn(column: InstrumentedAttribute[datetime], every: timedelta, *also: ColumnElement[bool]) -> str | None:
    """Name of a configured provider whose time in `column` has come, moved on by `every`; None when there is none.

    A worker that is killed during its turn loses just that turn.
    """
    return claim_due(column, every, Provider.name, Provider.name.in_(registry.names()), *also)


def next_turn(column: InstrumentedAttribute[datetime], name: str, after: timedelta) -> None:
    """The work of a turn is done: the next one is `after` from now, not when the lease would have run out."""
    with transaction():
        db.session.execute(update(Provider).where(Provider.name == name).values({column: func.now() + after}))


def list_orders(name: str, column: InstrumentedAttribute[datetime], every: timedelta) -> Listing:
    """All orders a provider lists, in the turn taken in `column`: while there is another page the turn lasts `every`
    longer, and the pages come at the pace of single calls. Whether it answers decides whether it may sell. Raises
    ProviderDown."""

    def between_pages() -> None:
        next_turn(column, name, every)
        pace(name)

    try:
        listing = registry.ask(name).list_orders(between_pages)
    except ProviderDown as error:
        if error.reason in DEAF:
            routing.silent(name)
        raise
    routing.heard(name)
    return listing


@contextmanager
def apart(what: str) -> Iterator[None]:
    """Around the work for one of many: an error in it is logged and does not keep the others from theirs."""
    try:
        yield
    except Exception:
        current_app.logger.exception("%s failed", what)
        db.session.rollback()


def pace(name: str) -> None:
    """Wait until one more single call to a provider may be made, whichever worker makes it.

    They get half of what the provider allows; listings, purchases and customers' own clicks need the rest.
    """
    adapter = registry.find(name)
    wait = pacing.seconds_to_wait(name, 2 * adapter.rules.min_seconds_between_calls if adapter else 0.0)
    leave_database()
    time.sleep(wait)
