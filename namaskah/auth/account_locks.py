"""The lock of one account. Purchases, top-ups, disputes, gifts, refunds and deletion all take it, so that of two at
once the second sees what the first has done. Its place among other locks: docs/architecture.md, "Transactions".
"""

from sqlalchemy import Select, select

from namaskah.auth.models import User
from namaskah.db import db, require_transaction


def lock(user_id: int) -> User:
    """The account, read anew and ours until the open transaction ends. Raises NoResultFound for one that never was."""
    require_transaction()
    return db.session.scalars(_locked(user_id)).one()


def find_and_lock(user_id: int) -> User | None:
    """The same, for who may ask for one that never was."""
    require_transaction()
    return db.session.scalar(_locked(user_id))


def _locked(user_id: int) -> Select[User]:
    # Not FOR UPDATE: a top-up that opens the first account of the wallet refers to this row, and would wait for us
    # while we wait for its account.
    wanted = select(User).where(User.id == user_id).with_for_update(key_share=True)
    return wanted.execution_options(populate_existing=True)
