"""What the operator should see first, read in one go."""

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import current_app
from sqlalchemy import select

from namaskah.admin import disputes
from namaskah.admin.places import places
from namaskah.backups import status
from namaskah.db import db
from namaskah.housekeeping import reading as housekeeping
from namaskah.numbers import rates, strays
from namaskah.numbers.models import Activation, Provider, StrayOrder
from namaskah.reconciliation import books, findings
from namaskah.wallet import endings, house, inbox, refund_reading, reversals, top_up_lists
from namaskah.wallet.models import GatewayEvent, LedgerAccount, TopUp
from namaskah.watch import heartbeats, probing

SHOWN = 20
# The books are checked every ten minutes; nobody has for this long: is a worker running?
CHECK_LATE_AFTER = timedelta(hours=1)


def read() -> dict[str, Any]:
    """Everything the page shows: providers, money they owe, orders in doubt, strays, payments nobody can match, rates
    that should be looked at."""
    checked = books.latest()
    now = datetime.now(UTC)
    found = {
        "now": now,
        "redis_answers": probing.redis_answers(),
        "fresh_since": now - timedelta(seconds=current_app.config["OFFER_FRESH_SECONDS"]),
        "stale_rates": [rate.currency for rate in rates.stale(now) if rate.valid_from],
        "undated_rates": [rate.currency for rate in rates.stale(now) if not rate.valid_from],
        "missing_rates": rates.missing(),
        "providers": db.session.scalars(select(Provider).order_by(Provider.name)).all(),
        "books": _provider_money(),
        "owed_since": books.owed_since(),
        "in_doubt": _newest(select(Activation).where(Activation.state == "in_doubt"), Activation.id),
        "strays": _newest(select(StrayOrder).where(StrayOrder.closed_at.is_(None)), StrayOrder.id),
        "stray_reasons": strays.REASONS,
        "mismatched": _newest(select(TopUp).where(TopUp.state == "mismatch"), TopUp.id),
        "what_differs": endings.what_differs,
        "unmatched": _newest(inbox.needs_a_person(), GatewayEvent.id),
        "events_open": inbox.count_for_a_person(),
        "mismatches_open": top_up_lists.mismatched(),
        "reversals_open": len(reversals.unexplained()),
        "checked": checked,
        "check_is_late": checked is None or checked.checked_at < now - CHECK_LATE_AFTER,
        "differences": findings.unexplained(),
        "refunds_waiting": refund_reading.waiting_for_a_person(),
        "disputes": disputes.open_count(),
        "workers": [worker for worker in heartbeats.workers() if worker.is_alive],
        "backups": status.read(now),
        "housekeeping_troubled": housekeeping.troubled(),
    }
    return found | {"places": places(found)}


def _newest(query: Any, column: Any) -> Any:
    return db.session.scalars(query.order_by(column.desc()).limit(SHOWN)).all()


def _provider_money() -> dict[str, dict[str, int]]:
    """By provider and account kind, what our books say, in millionths of its currency; what we own is positive."""
    found: dict[str, dict[str, int]] = {}
    for provider, kind, micros in house.balances(LedgerAccount.kind.in_(("provider_float", "provider_receivable"))):
        found.setdefault(str(provider), {})[kind] = -int(micros)
    return found
