"""Taking turns at a provider: whoever moves its due time forward in the database does the work, the others don't."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import InstrumentedAttribute

from namaskah.db import db, transaction
from namaskah.numbers import registry
from namaskah.numbers.models import Provider


def take_turn(column: InstrumentedAttribute[datetime], every: timedelta, *also: ColumnElement[bool]) -> str | None:
    """Name of a configured provider whose time in `column` has come, moved on by `every`; None when there is none.

    A worker that is killed during its turn loses just that turn.
    """
    mine = (
        select(Provider.name)
        .where(column <= func.now(), Provider.name.in_(registry.names()), *also)
        .order_by(column)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    with transaction():
        return db.session.scalar(
            update(Provider)
            .where(Provider.name == mine.scalar_subquery())
            .values({column: func.now() + every})
            .returning(Provider.name)
        )
