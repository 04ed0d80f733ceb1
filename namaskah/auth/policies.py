"""The rules everybody accepts: their versions, what changed between them, and who accepted which one when.

A version is the day from which it holds. Whoever has not accepted the present one is asked before money moves; reading,
cancelling and getting money back stay open.
"""

from collections.abc import Sequence

from flask import current_app, has_request_context, request
from flask_babel import LazyString
from flask_babel import lazy_gettext as _l
from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.auth import audit
from namaskah.auth.models import PolicyAcceptance, User
from namaskah.db import db, require_transaction, transaction

# What each version changed, oldest first, as sentences for those who had accepted the one before.
CHANGES: dict[str, tuple[LazyString, ...]] = {
    "2026-11-25": (
        _l("Privacy now says for how long each thing is kept, and names the second cookie: it remembers your browser."),
        _l("You can download what we hold of you, and delete your account, by yourself."),
        _l("What becomes of money that is left when you delete your account is written under Terms."),
    ),
    "2026-11-28": (
        _l("Terms now say how kept cards, automatic top-ups and gifts work, and what becomes of disputed payments."),
        _l("Who bears Paystack’s fee, and how a payment goes back to your card or account, is written down."),
        _l("Privacy now says what is kept of a card, what a bank is told, and how long copies are kept."),
    ),
}


def present() -> str:
    """The version that holds now."""
    return str(current_app.config["POLICY_VERSION"])


def has_accepted(user: User) -> bool:
    """Whether this user has accepted the present version, or a later one that was taken back."""
    return user.policy_version >= present()


def changes_since(version: str) -> Sequence[LazyString]:
    """What is different now from what it was in `version`; nothing when nobody wrote it down, or to somebody who never
    accepted one."""
    return [change for at, changes in CHANGES.items() if version and version < at <= present() for change in changes]


def accept(user: User) -> None:
    """The user accepts the present version; again is no error."""
    version = present()
    with transaction():
        is_new = note(user, version)
        user.policy_version, user.policy_accepted_at = version, func.now()
        db.session.flush()
        if is_new:
            audit.record("policies_accepted", user.id, policy=version)


def note(user: User, version: str) -> bool:
    """Write down that a version was accepted; False when it is on record already. Needs an open transaction."""
    require_transaction()
    address = (request.remote_addr or "")[:45] if has_request_context() else None
    written = db.session.scalar(
        pg_insert(PolicyAcceptance)
        .values(user_id=user.id, version=version, address=address)
        .on_conflict_do_nothing(index_elements=["user_id", "version"])
        .returning(PolicyAcceptance.id)
    )
    return written is not None
