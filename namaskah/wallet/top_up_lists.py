"""Lists of top-ups, newest first and page by page: a customer's own, and the operator's search."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, or_, select

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.wallet.models import TOP_UP_STATES, TopUp

PAGE = 25
ATTENTION = or_(TopUp.state == "mismatch", TopUp.reversed_at.is_not(None) & TopUp.reversal_note.is_(None))
# What the operator may look for beside a state.
FILTERS: dict[str, ColumnElement[bool] | None] = {
    "all": None,
    "attention": ATTENTION,
    "reversed": TopUp.reversed_at.is_not(None),
    **{state: TopUp.state == state for state in TOP_UP_STATES},
}


@dataclass(frozen=True)
class Page:
    """`older`: the id to ask for older ones with, None at the end."""

    top_ups: Sequence[TopUp]
    older: int | None


def of_user(user_id: int, before: int | None = None) -> Page:
    """A customer's own, those older than the one with id `before`."""
    return _page([TopUp.user_id == user_id], before)


def search(words: str = "", show: str = "all", before: int | None = None) -> Page:
    """Those whose reference, or whose owner's e-mail address or number, is `words`. Raises KeyError for a filter that
    is none of FILTERS."""
    which, wanted = FILTERS[show], words.strip()
    conditions = [] if which is None else [which]
    if wanted:
        mentioned = [TopUp.reference == wanted]
        if "@" in wanted:
            mentioned.append(TopUp.user_id.in_(select(User.id).where(func.lower(User.email) == wanted.lower())))
        if wanted.isascii() and wanted.isdigit() and len(wanted) < 10:
            mentioned.append(TopUp.user_id == int(wanted))
        conditions.append(or_(*mentioned))
    return _page(conditions, before)


def owner_of(top_up: TopUp) -> User:
    """Whose it is."""
    return db.session.get_one(User, top_up.user_id)


def mismatched() -> int:
    """How many payments that differ wait for a person."""
    return db.session.scalar(select(func.count()).where(TopUp.state == "mismatch")) or 0


def _page(conditions: Sequence[ColumnElement[bool]], before: int | None) -> Page:
    query = select(TopUp).where(*conditions).order_by(TopUp.id.desc()).limit(PAGE + 1)
    if before is not None:
        query = query.where(TopUp.id < before)
    found = db.session.scalars(query.execution_options(populate_existing=True)).all()
    shown = found[:PAGE]
    return Page(shown, shown[-1].id if len(found) > PAGE else None)
