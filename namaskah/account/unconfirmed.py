"""Accounts whose address was never confirmed and with which nothing was done: erased after a while, as if their owner
had deleted them. A typing error in an address, or a stranger's joke, is not kept for good.

No letter is sent: whoever reads that address may never have heard of us.
"""

from flask import current_app
from sqlalchemy import ColumnElement, exists, func, select

from namaskah.account import erasing
from namaskah.auth import audit
from namaskah.auth.models import User
from namaskah.db import db, transaction

AT_ONCE = 25
# Rows that keep no account: they come with opening it, or are of no use without it. Whatever else names an account
# (money, an activation, an account of the predecessor, an open session) keeps it, and so does any table that is added
# later.
KEEPS_NOTHING = {
    "audit_events",
    "buyer_details",
    "factor_tries",
    "favourites",
    "low_balance_letters",
    "passkeys",
    "policy_acceptances",
    "recovery_codes",
    "totp_seeds",
}


def days() -> int:
    """After how many days such an account is erased."""
    return int(current_app.config["UNCONFIRMED_ACCOUNT_DAYS"])


def erase_due(limit: int = AT_ONCE) -> int:
    """Erase so many of them; returns how many it were."""
    with transaction():
        chosen = select(User.id).where(*_is_forgotten()).order_by(User.id).limit(limit)
        # FOR UPDATE: nothing can be hung on a row that is locked so.
        locked = list(db.session.scalars(chosen.with_for_update(skip_locked=True)))
        # What came between looking and locking is seen by looking again.
        still = select(User).where(User.id.in_(locked), *_is_forgotten()).order_by(User.id)
        owners = db.session.scalars(still.execution_options(populate_existing=True)).all()
        for owner in owners:
            erasing.erase(owner)
        for owner in owners:
            audit.record("unconfirmed_deleted", owner.id, "housekeeping", days=days())
            audit.forget_origins_of(owner.id)
        return len(owners)


def _is_forgotten() -> list[ColumnElement[bool]]:
    tables = [table for table in db.metadata.sorted_tables if "user_id" in table.c and table.name not in KEEPS_NOTHING]
    return [
        User.role == "customer",
        User.email_verified_at.is_(None),
        User.deleted_at.is_(None),
        User.banned_at.is_(None),  # its row keeps its address from being opened anew
        User.created_at < func.now() - func.make_interval(0, 0, 0, days()),
        *(~exists().where(table.c.user_id == User.id) for table in tables),
    ]
