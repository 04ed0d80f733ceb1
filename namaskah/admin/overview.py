"""What the operator should see first, read in one go."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select, text

from namaskah.db import db
from namaskah.numbers import checks as number_checks
from namaskah.numbers.models import Activation, Provider, StrayOrder
from namaskah.wallet import checks as wallet_checks
from namaskah.wallet.models import GatewayEvent, LedgerAccount, LedgerEntry, TopUp

SHOWN = 20


def read() -> dict[str, Any]:
    """Everything the page shows: providers, money they owe, orders in doubt, strays, payments nobody can match."""
    return {
        "now": datetime.now(UTC),
        "providers": db.session.scalars(select(Provider).order_by(Provider.name)).all(),
        "owed": _owed(),
        "in_doubt": _newest(select(Activation).where(Activation.state == "in_doubt"), Activation.id),
        "strays": _newest(select(StrayOrder).where(StrayOrder.closed_at.is_(None)), StrayOrder.id),
        "mismatched": _newest(select(TopUp).where(TopUp.state == "mismatch"), TopUp.id),
        "unmatched": _newest(select(GatewayEvent).where(GatewayEvent.outcome == "unmatched"), GatewayEvent.id),
        "faults": _faults(),
    }


def _newest(query: Any, column: Any) -> Any:
    return db.session.scalars(query.order_by(column.desc()).limit(SHOWN)).all()


def _owed() -> dict[str, int]:
    """What each provider owes us for orders that ended without an SMS, in millionths of its currency."""
    rows = db.session.execute(
        select(LedgerAccount.provider, -func.sum(LedgerEntry.amount))
        .join(LedgerEntry)
        .where(LedgerAccount.kind == "provider_receivable")
        .group_by(LedgerAccount.provider)
    )
    return {str(provider): int(micros) for provider, micros in rows}


def _faults() -> list[tuple[str, str, int]]:
    """Money invariants that do not hold now: number, sentence, how many rows offend."""
    found = []
    for number, sentence, query in (*wallet_checks.CHECKS, *number_checks.CHECKS):
        offenders = len(db.session.execute(text(query)).all())
        if offenders:
            found.append((number, sentence, offenders))
    return found
