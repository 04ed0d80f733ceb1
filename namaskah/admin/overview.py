"""What the operator should see first, read in one go."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import aliased

from namaskah.db import db
from namaskah.numbers import checks as number_checks
from namaskah.numbers.models import Activation, Provider, StrayOrder
from namaskah.reconciliation import findings
from namaskah.wallet import checks as wallet_checks
from namaskah.wallet import house, inbox, reversals, top_up_lists
from namaskah.wallet.models import GatewayEvent, LedgerAccount, LedgerTransaction, TopUp

SHOWN = 20


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
        "unmatched": _newest(inbox.needs_a_person(), GatewayEvent.id),
        "events_open": inbox.count_for_a_person(),
        "mismatches_open": top_up_lists.mismatched(),
        "reversals_open": len(reversals.unexplained()),
        "faults": _faults(),
        "differences": findings.unexplained(),
    }


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
