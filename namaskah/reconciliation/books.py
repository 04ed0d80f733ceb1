"""Whether our own books agree with themselves: every money invariant, run by the worker, and what it found last.

A large ledger takes many seconds for it, so no page runs them; the operator's page shows the last result and its age.
"""

import logging
import time
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, text

from namaskah import jobs
from namaskah.db import db, transaction
from namaskah.numbers import checks as number_checks
from namaskah.reconciliation import upstream
from namaskah.reconciliation.models import BookCheck
from namaskah.wallet import checks as wallet_checks

log = logging.getLogger(__name__)

# As often as this, and less often where it takes long: a fiftieth of the time is given to it.
EVERY_SECONDS = 600
SHARE = 50
KEPT = 1_000
SAMPLE = 20
ALONE = 7_003_202  # advisory lock: one worker checks at a time


def check_due() -> int:
    """Worker: run all invariants when their time has come; returns 1 when it did."""
    gap = func.make_interval(0, 0, 0, 0, 0, 0, func.greatest(EVERY_SECONDS, SHARE * BookCheck.seconds))
    newest = select(BookCheck.checked_at + gap > func.now()).order_by(BookCheck.id.desc()).limit(1)
    is_fresh = db.session.scalar(newest)
    db.session.rollback()
    return 0 if is_fresh or check() is None else 1


def check() -> BookCheck | None:
    """Run all invariants now and keep what they say; None when another worker is at it. Also a job."""
    with transaction():
        if not db.session.scalar(select(func.pg_try_advisory_xact_lock(ALONE))):
            return None
        db.session.execute(text("SET LOCAL statement_timeout = 0"))  # a large ledger takes its minutes
        started = time.monotonic()
        faults = find_faults()
        owed = {each.provider: each.oldest.isoformat() for each in upstream.owed()}
        done = BookCheck(faults=faults, owed_since=owed, seconds=time.monotonic() - started)
        db.session.add(done)
        db.session.flush()
        db.session.execute(text("DELETE FROM book_checks WHERE id <= :id"), {"id": done.id - KEPT})
    for fault in faults:
        log.error("%s does not hold: %s (%s rows)", fault["number"], fault["sentence"], fault["count"])
    return done


def ask_for_check() -> None:
    """Have the worker run all invariants next."""
    with transaction():
        jobs.defer("check_books")


def latest() -> BookCheck | None:
    """What was found last; None before the first time."""
    return db.session.scalars(select(BookCheck).order_by(BookCheck.id.desc()).limit(1)).first()


def owed_since() -> dict[str, datetime]:
    """When the oldest order ended whose cost a provider still owes us, at the last check."""
    last = latest()
    return {name: datetime.fromisoformat(at) for name, at in last.owed_since.items()} if last else {}


def find_faults() -> list[dict[str, Any]]:
    """Every invariant that does not hold: its number, sentence, how many rows offend, and some of them."""
    found = []
    for number, sentence, query in (*wallet_checks.CHECKS, *number_checks.CHECKS):
        rows = db.session.execute(text(query)).mappings().all()
        if rows:
            sample = [{name: str(value) for name, value in row.items()} for row in rows[:SAMPLE]]
            found.append({"number": number, "sentence": sentence, "count": len(rows), "rows": sample})
    return found
