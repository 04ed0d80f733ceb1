"""What is taken out of the gateway's reports some time after they came: the very bytes, for they hold the codes that
charge cards. What is read and shown of a report is kept without such codes, as the books and disputes want it.

Without the bytes their signature can't be shown again. Their SHA-512 stays: it says whether a copy kept elsewhere is
the same, and keeps a repetition from being stored anew.
"""

from flask import current_app
from sqlalchemy import func, select, update

from namaskah.db import db, transaction
from namaskah.wallet.inbox import IS_OVER
from namaskah.wallet.models import GatewayEvent

AT_ONCE = 500


def days() -> int:
    """How many days the very bytes are kept."""
    return int(current_app.config["GATEWAY_REPORT_DAYS"])


def erase_due(limit: int = AT_ONCE) -> int:
    """Erase the bytes of so many old reports; returns how many it were. A report that waits for the worker or for a
    person keeps them."""
    is_old = GatewayEvent.received_at < func.now() - func.make_interval(0, 0, 0, days())
    old = (
        select(GatewayEvent.id)
        .where(GatewayEvent.raw.is_not(None), is_old, IS_OVER)
        .order_by(GatewayEvent.received_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    with transaction():
        erased = update(GatewayEvent).where(GatewayEvent.id.in_(old)).values(raw=None).returning(GatewayEvent.id)
        return len(db.session.scalars(erased.execution_options(synchronize_session=False)).all())
