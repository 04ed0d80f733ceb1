"""What the operator should see first, read in one go."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, text
from sqlalchemy.orm import aliased

from namaskah.admin import disputes
from namaskah.db import db
from namaskah.numbers import checks as number_checks
from namaskah.numbers.models import Activation, Provider, StrayOrder
from namaskah.reconciliation import findings
from namaskah.wallet import checks as wallet_checks
from namaskah.wallet import events, house
from namaskah.wallet.models import GatewayEvent, LedgerAccount, LedgerTransaction, TopUp

SHOWN = 20
STUCK_AFTER = timedelta(minutes=10)


def read() -> dict[str, Any]:
    """Everything the page shows: providers, money they owe, orders in doubt, strays, payments nobody can match."""
    return {
        "now": datetime.now(UTC),
        "providers": db.session.scalars(select(Provider).order_by(Provider.name)).all(),
        "books": _provider_money(),
        "owed_since": _owed_since(),
        "in_doubt": _newest(select(Activation).where(Activation.state == "in_doubt"), Activation.id),
        "strays": _newest(select(StrayOrder).where(StrayOrder.closed_at.is_(None)), StrayOrder.id),
        "mismatched": _newest(select(TopUp).where(TopUp.state == "mismatch"), TopUp.id),
        "unmatched": _newest(select(GatewayEvent).where(_needs_a_person()), GatewayEvent.id),
        "faults": _faults(),
        "differences": findings.unexplained(),
        "disputes": disputes.open_count(),
    }


def _needs_a_person() -> ColumnElement[bool]:
    """What Paystack reported and software has not settled: a payment of nobody, a dispute or refund that
    nothing here handles, and whatever the worker has not managed to act on."""
    about_money_back = GatewayEvent.event.like("charge.dispute.%") | GatewayEvent.event.like("refund.%")
    stuck = GatewayEvent.handled_at.is_(None) & (GatewayEvent.received_at < func.now() - STUCK_AFTER)
    return or_(
        GatewayEvent.outcome == events.UNMATCHED, (GatewayEvent.outcome == events.NOT_HANDLED) & about_money_back, stuck
    )


def _newest(query: Any, column: Any) -> Any:
    return db.session.scalars(query.order_by(column.desc()).limit(SHOWN)).all()


def _provider_money() -> dict[str, dict[str, int]]:
    """By provider and account kind, what our books say, in millionths of its currency; what we own is positive."""
    found: dict[str, dict[str, int]] = {}
    for provider, kind, micros in house.balances(LedgerAccount.kind.in_(("provider_float", "provider_receivable"))):
        found.setdefault(str(provider), {})[kind] = -int(micros)
    return found


def _owed_since() -> dict[str, datetime]:
    """When the oldest order ended whose cost a provider still owes us."""
    due, end = aliased(LedgerTransaction), aliased(LedgerTransaction)
    settled = select(end.id).where(end.reference == due.reference, end.kind.in_(("provider_refund", "provider_kept")))
    provider = func.split_part(due.reference, ":", 2)
    rows = db.session.execute(
        select(provider, func.min(due.created_at))
        .where(due.kind == "provider_refund_due", ~settled.exists())
        .group_by(provider)
    )
    return {row[0]: row[1] for row in rows}


def _faults() -> list[tuple[str, str, int]]:
    """Money invariants that do not hold now: number, sentence, how many rows offend."""
    found = []
    for number, sentence, query in (*wallet_checks.CHECKS, *number_checks.CHECKS):
        offenders = len(db.session.execute(text(query)).all())
        if offenders:
            found.append((number, sentence, offenders))
    return found
