"""What is the case now, for a minute's measurement; each read by an index, however much there is."""

from typing import Any

from flask import current_app
from sqlalchemy import Select, and_, func, or_, select, text

from namaskah.db import db
from namaskah.numbers import pricing, registry
from namaskah.numbers.models import Activation, Provider
from namaskah.wallet import auto_wishes
from namaskah.wallet.models import GatewayEvent, TopUp
from namaskah.watch.judging import Facts
from namaskah.watch.totals import Totals

LAST_CHECKOUTS = 50


def read(page_status: int, page_seconds: float, hour: Totals) -> Facts:
    """All of it. `hour` is what was counted in the last one."""
    checkouts = _checkouts()
    return Facts(
        page_status=page_status,
        page_seconds=page_seconds,
        providers=len(registry.names()),
        providers_selling=_providers_selling(),
        oldest_doubt=age(select(func.min(Activation.attempt_at)).where(Activation.state == "in_doubt")),
        top_ups_open=bool(current_app.config["PAYSTACK_SECRET_KEY"]),
        checkouts=len(checkouts),
        checkouts_refused=checkouts.count(auto_wishes.NOT_OPENED),
        oldest_event=age(select(func.min(GatewayEvent.received_at)).where(GatewayEvent.id.in_(_open_events()))),
        oldest_letter=oldest_job("send_mail"),
        hour=hour,
    )


def age(when: Select[Any]) -> float:
    """Seconds since the one moment of a query; 0 when there is none."""
    at = db.session.scalar(when)
    return 0.0 if at is None else float(db.session.scalar(select(func.extract("epoch", func.now() - at))) or 0)


def oldest_job(task: str | None = None) -> float:
    """Seconds since the oldest job that should be done by now was left in the queue (of one task, or of all); 0 without
    one. What waits to be tried again counts for its own task alone: it waits for somebody else, not for a worker."""
    found = db.session.scalar(
        text("""
            SELECT extract(epoch FROM now() - min(coalesce(
                       (SELECT min(at) FROM procrastinate_events WHERE job_id = job.id AND type = 'deferred'), now())))
              FROM procrastinate_jobs job
             WHERE status = 'todo'
               AND CASE WHEN CAST(:task AS text) IS NULL THEN scheduled_at IS NULL OR scheduled_at <= now()
                        ELSE task_name = :task AND (scheduled_at IS NULL OR scheduled_at <= now() OR attempts > 0) END
        """),
        {"task": task},
    )
    return float(found or 0)


def _providers_selling() -> int:
    """How many could sell something now: configured, with a fresh price list, awake, and money that we can convert."""
    fresh = func.make_interval(0, 0, 0, 0, 0, 0, current_app.config["OFFER_FRESH_SECONDS"])
    selling = and_(
        Provider.name.in_(registry.names()),
        Provider.currency.in_(pricing.currencies()),
        Provider.weight > 0,
        Provider.synced_at > func.now() - fresh,
        or_(Provider.paused_until.is_(None), Provider.paused_until < func.now()),
        or_(Provider.balance_micros.is_(None), Provider.balance_micros > 0),
    )
    return db.session.scalar(select(func.count()).select_from(Provider).where(selling)) or 0


def _checkouts() -> list[str | None]:
    """What the gateway said to the last hour's newest top-ups when a checkout was asked for."""
    newest = select(TopUp.created_at, TopUp.gateway_status).order_by(TopUp.id.desc()).limit(LAST_CHECKOUTS).subquery()
    wanted = select(newest.c.gateway_status).where(newest.c.created_at > func.now() - func.make_interval(0, 0, 0, 0, 1))
    return list(db.session.scalars(wanted))


def _open_events() -> Any:
    """The gateway's newest events that nobody has acted upon. Older ones a person looks at, on the operator's page."""
    newest = select(GatewayEvent.id, GatewayEvent.handled_at).order_by(GatewayEvent.id.desc()).limit(500).subquery()
    return select(newest.c.id).where(newest.c.handled_at.is_(None))
