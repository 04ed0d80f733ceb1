"""The file of everything we hold of a person: asked for by its owner, made by the worker, kept for a week.

One at a time an account and three a day. The file is a row of PostgreSQL (models.DataExport says why).
"""

import logging
from datetime import timedelta

from flask_babel import gettext as _
from sqlalchemy import Interval, delete, func, literal, select, update
from sqlalchemy.exc import OperationalError

from namaskah import live
from namaskah.account import export_sheets
from namaskah.account.models import DataExport
from namaskah.auth import account_locks, audit
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.jobs import defer

KEPT = timedelta(days=7)
A_DAY = 3
TRIES_A_DAY = 10  # those that failed through our fault included
# No job takes so long: what it began is given up, and may be asked for again.
LONGEST = timedelta(hours=1)
PARTS = len(export_sheets.SHEETS) + 2  # the account itself, and packing

log = logging.getLogger(__name__)


class TooMany(UserError):
    """As many files were made today as one account may have, or as many tries failed."""

    status = 429


def ask(user: User) -> DataExport:
    """Have the file made; while one is being made it is that one, however often it is asked for. Raises TooMany."""
    with transaction():
        # One at a time decides: a count needs a lock.
        account_locks.lock(user.id)
        mine = select(DataExport).where(DataExport.user_id == user.id)
        making = db.session.scalar(mine.where(DataExport.state == "making"))
        if making is not None:
            return making
        _check_limits(user)
        export = DataExport(user_id=user.id)
        db.session.add(export)
        db.session.flush()
        defer("make_export", export_id=export.id)
        audit.record("export_asked", user.id)
    db.session.refresh(export)
    return export


def latest(user: User) -> DataExport | None:
    """The file asked for last, as it stands now."""
    mine = select(DataExport).where(DataExport.user_id == user.id).order_by(DataExport.id.desc()).limit(1)
    return db.session.scalar(mine.execution_options(populate_existing=True))


def take(user: User, export_id: int) -> bytes | None:
    """The user's own file, and a line in the history that it was taken; None when there is none."""
    wanted = select(DataExport.content).where(
        DataExport.id == export_id, DataExport.user_id == user.id, DataExport.ended_at > func.now() - KEPT
    )
    content = db.session.scalar(wanted)
    if content is not None:
        db.session.rollback()
        with transaction():
            audit.record("export_downloaded", user.id)
    return content


def make(export_id: int) -> None:
    """Job: collect and pack. It may run twice, after a kill or side by side: the first to finish has made the file.

    A fault of ours ends it, and the page says so. Raises OperationalError while the database is away; then the queue
    tries again.
    """
    export = db.session.get(DataExport, export_id)
    if export is None or export.state != "making":
        return
    user = db.session.get_one(User, export.user_id)
    try:
        content = export_sheets.pack(user, lambda done: _note(user.id, export_id, done=done))
    except OperationalError:
        raise
    except export_sheets.TooLarge:
        _end(user.id, export_id, state="failed", failure="too_large")
    except Exception:
        log.exception("export %s failed", export_id)
        db.session.rollback()
        _end(user.id, export_id, state="failed", failure="fault")
    else:
        _end(user.id, export_id, state="ready", done=PARTS, content=content, size=len(content))


def remove_old_due(limit: int = 50) -> int:
    """Remove so many files after a week, and give up those whose making has been lost; returns how many it were."""
    over = select(DataExport.id).where(DataExport.ended_at < func.now() - _interval(KEPT))
    chosen = over.limit(limit).with_for_update(skip_locked=True)
    with transaction():
        lost = db.session.scalars(
            update(DataExport)
            .where(DataExport.state == "making", DataExport.created_at < func.now() - _interval(LONGEST))
            .values(state="failed", failure="fault", ended_at=func.now())
            .returning(DataExport.id)
        ).all()
        old = db.session.scalars(delete(DataExport).where(DataExport.id.in_(chosen)).returning(DataExport.id)).all()
    return len(lost) + len(old)


def _check_limits(user: User) -> None:
    today = select(func.count()).where(
        DataExport.user_id == user.id, DataExport.created_at > func.now() - _interval(timedelta(days=1))
    )
    made = db.session.scalar(today.where(DataExport.state == "ready")) or 0
    tried = db.session.scalar(today) or 0
    if made >= A_DAY:
        raise TooMany(_("You have had three files today. Take the last one, or come back tomorrow."))
    if tried >= TRIES_A_DAY:
        raise TooMany(_("Making the file has failed too often today. Come back tomorrow, or write to us."))


def _note(user_id: int, export_id: int, **changes: object) -> None:
    """Change an export that is still being made, and tell its page."""
    db.session.rollback()
    with transaction():
        db.session.execute(
            update(DataExport)
            .where(DataExport.id == export_id, DataExport.state == "making")
            .values(**changes)
            .execution_options(synchronize_session=False)
        )
        live.publish_on_commit(user_id, "export")


def _end(user_id: int, export_id: int, **changes: object) -> None:
    _note(user_id, export_id, ended_at=func.now(), **changes)


def _interval(length: timedelta) -> object:
    return literal(length, Interval())
