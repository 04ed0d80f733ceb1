"""Taking what is due, one row at a time, by any number of workers at once."""

from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, func, inspect, select, update
from sqlalchemy.orm import InstrumentedAttribute

from namaskah.db import db, transaction

Given = TypeVar("Given")


def claim_due(
    due: InstrumentedAttribute[Any],
    again_in: timedelta | ColumnElement[timedelta],
    give: InstrumentedAttribute[Given] | type[Given],
    *only: ColumnElement[bool],
    first: tuple[Any, ...] = (),
    **more: ColumnElement[Any],
) -> Given | None:
    """Take the row whose time in the column `due` has come, the longest waiting (or `first`) before others, and move
    its time on: nobody else takes it meanwhile, and a worker that dies loses this one turn. None when nothing is due.

    `again_in` may be reckoned from the row's own columns. `give` is the column that is given back, or the model for the
    whole row; `only` are further conditions, `more` further columns to be set. Commits: must run outside transaction().
    """
    model = due.class_
    [key] = inspect(model).primary_key
    oldest = (
        select(key)
        .where(due <= func.now(), *only)
        .order_by(*first, due)
        .limit(1)
        # Not FOR UPDATE: rows that only refer to this one (a purchase being written) must not cost it its turn.
        .with_for_update(skip_locked=True, key_share=True)
    )
    with transaction():
        taken: Given | None = db.session.scalar(
            update(model)
            .where(key == oldest.scalar_subquery())
            .values({due: func.now() + again_in, **more})
            .returning(give)
            .execution_options(synchronize_session=False, populate_existing=True)
        )
    return taken
