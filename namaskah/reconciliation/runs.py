"""A comparison of everything: every night by itself, and whenever somebody asks for one."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from flask import current_app
from sqlalchemy import func, select, text

from namaskah import jobs
from namaskah.db import db, transaction
from namaskah.numbers import registry
from namaskah.providers.base import ProviderDown
from namaskah.reconciliation import findings, gateway, upstream
from namaskah.reconciliation.findings import Found
from namaskah.reconciliation.models import Reconciliation
from namaskah.wallet.paystack import GatewayDown, GatewayRefused

log = logging.getLogger(__name__)

NIGHTLY = "every night"
# The hour it begins, by UTC: most customers sleep, and the night's backup comes after it.
HOUR = 2
LOOK_BACK = timedelta(days=7)
LONGEST_LOOK_BACK = timedelta(days=90)
# A worker that died in the middle of one is not waited for longer.
LONGEST_RUN = timedelta(hours=1)
TOGETHER = 7_003_201  # advisory lock: one comparison is begun at a time


def start_due() -> int:
    """Worker: begin tonight's comparison, once; returns 1 when it did."""
    tonight = text("date_trunc('day', now() AT TIME ZONE 'UTC' - make_interval(hours => :hour)) AT TIME ZONE 'UTC'")
    with transaction():
        db.session.execute(select(func.pg_advisory_xact_lock(TOGETHER)))
        began = db.session.scalar(select(tonight.bindparams(hour=HOUR))) + timedelta(hours=HOUR)
        last = db.session.scalar(select(func.max(Reconciliation.started_at)))
        if last is not None and last >= began:
            return 0
        _defer(_begin(NIGHTLY))
    return 1


def start(requested_by: str) -> Reconciliation:
    """Begin a comparison in the background; while one is under way that one is given."""
    with transaction():
        db.session.execute(select(func.pg_advisory_xact_lock(TOGETHER)))
        running = select(Reconciliation).where(
            Reconciliation.ended_at.is_(None), Reconciliation.started_at > func.now() - LONGEST_RUN
        )
        return db.session.scalars(running.limit(1)).first() or _defer(_begin(requested_by))


def compare_now(requested_by: str) -> Reconciliation:
    """Compare everything here and now, for whoever waits at a terminal."""
    with transaction():
        begun = _begin(requested_by)
    run(begun.id)
    return begun


def latest() -> Reconciliation | None:
    """The comparison that was begun last."""
    wanted = select(Reconciliation).order_by(Reconciliation.id.desc()).limit(1)
    return db.session.scalars(wanted.execution_options(populate_existing=True)).first()


def run(reconciliation_id: int) -> int:
    """Job: compare with every side; returns how many differences there are. A side that cannot be asked keeps the
    differences it had."""
    sides: dict[str, Callable[[], tuple[int, list[Found]]]] = {
        name: partial(upstream.compare, name) for name in registry.names()
    }
    if current_app.config["PAYSTACK_SECRET_KEY"]:
        sides[gateway.SIDE] = lambda: gateway.compare(_since())
    compared, found, failed = 0, 0, []
    for side, compare in sides.items():
        try:
            count, differences = compare()
        except (ProviderDown, GatewayDown, GatewayRefused) as error:
            log.warning("not compared with %s: %s", side, error)
            failed.append(side)
            continue
        compared += count
        found += findings.keep(side, differences)
    with transaction():
        done = db.session.get_one(Reconciliation, reconciliation_id)
        done.ended_at, done.compared, done.failed = db.session.scalar(select(func.now())), compared, " ".join(failed)
    return found


def _begin(requested_by: str) -> Reconciliation:
    begun = Reconciliation(requested_by=requested_by)
    db.session.add(begun)
    db.session.flush()
    return begun


def _defer(begun: Reconciliation) -> Reconciliation:
    jobs.defer("reconcile", reconciliation_id=begun.id)
    return begun


def _since() -> datetime:
    """A week back, and further where a difference is older: it must be looked at again."""
    now: datetime = db.session.scalars(select(func.now())).one()
    oldest = findings.oldest_open(gateway.SIDE) or now
    return max(min(now, oldest) - LOOK_BACK, now - LONGEST_LOOK_BACK)
