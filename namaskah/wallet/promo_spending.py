"""What a purchase takes from a customer's gifts, and how it comes back. The ledger calls this in the middle of its own
verbs; nothing else does.

Locks: a customer's gifts in order of their ids, before any account.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select

from namaskah.db import db, require_transaction
from namaskah.wallet.promo_models import PromoGrant, PromoPart

# A gift that ran out while a purchase held a part of it, and the purchase brought nothing: so long it is good again.
GRACE = timedelta(hours=24)
# What comes back of a purchase that was complained about is good for so long at least.
AFTER_REFUND = timedelta(days=7)


def unexpired(user_id: int, currency: str) -> tuple[int, datetime | None]:
    """What of a customer's gifts can be spent now, in minor units, and when the first of it runs out."""
    left = func.coalesce(func.sum(PromoGrant.left_minor), 0)
    row = db.session.execute(select(left, func.min(PromoGrant.expires_at)).where(*_usable(user_id, currency))).one()
    return int(row[0]), row[1]


def unexpired_of(user_id: Any, currency: Any) -> ColumnElement[int]:
    """The same amount inside a query, of the customer and the currency in two columns of it."""
    left = select(func.coalesce(func.sum(PromoGrant.left_minor), 0)).where(*_usable(user_id, currency))
    return left.correlate_except(PromoGrant).scalar_subquery()


def take(user_id: int, currency: str, reference: str, most_minor: int) -> int:
    """Take up to so much from gifts, from what runs out first; returns what it took. Needs an open transaction."""
    require_transaction()
    wanted = select(PromoGrant).where(*_usable(user_id, currency)).order_by(PromoGrant.id)
    locked = wanted.with_for_update(key_share=True).execution_options(populate_existing=True)
    rest = most_minor
    for grant in sorted(db.session.scalars(locked), key=lambda grant: (grant.expires_at, grant.id)):
        part = min(grant.left_minor, rest)
        if part:
            grant.left_minor -= part
            rest -= part
            db.session.add(PromoPart(reference=reference, grant_id=grant.id, amount_minor=part))
    db.session.flush()
    return most_minor - rest


def give_back(reference: str) -> int:
    """Each part of a hold returns to the gift it came from; returns how much that is. Needs an open transaction.

    A gift that has run out meanwhile is good for some hours more, the first time it happens. After that what comes
    back is gone with the next sweep: else a gift would never end for who buys and cancels.
    """
    require_transaction()
    now = _now()
    given = 0
    for grant, amount in _parts(reference, lock=True):
        grant.left_minor += amount
        given += amount
        if grant.expires_at <= now and grant.extended_at is None:
            grant.expires_at, grant.extended_at = now + GRACE, now
    db.session.flush()
    return given


def give_anew(user_id: int, reference: str) -> int:
    """What a captured purchase had taken from gifts becomes new ones that last as long, but some days at least;
    returns how much that is. Needs an open transaction."""
    require_transaction()
    earliest = _now() + AFTER_REFUND
    given = 0
    for grant, amount in _parts(reference):
        given += amount
        db.session.add(
            PromoGrant(
                user_id=user_id,
                source="refund",
                reference=f"refund:{reference}:{grant.id}",
                note=grant.note,
                currency=grant.currency,
                amount_minor=amount,
                left_minor=amount,
                expires_at=max(grant.expires_at, earliest),
            )
        )
    db.session.flush()
    return given


def _usable(user_id: Any, currency: Any) -> tuple[ColumnElement[bool], ...]:
    return (
        PromoGrant.user_id == user_id,
        PromoGrant.currency == currency,
        PromoGrant.left_minor > 0,
        PromoGrant.expires_at > func.now(),
    )


def _parts(reference: str, *, lock: bool = False) -> Sequence[Row[PromoGrant, int]]:
    wanted = (
        select(PromoGrant, PromoPart.amount_minor)
        .join(PromoPart, PromoPart.grant_id == PromoGrant.id)
        .where(PromoPart.reference == reference)
        .order_by(PromoGrant.id)
        .execution_options(populate_existing=True)
    )
    return db.session.execute(wanted.with_for_update(key_share=True, of=PromoGrant) if lock else wanted).all()


def _now() -> datetime:
    """As the database counts: when this transaction began."""
    return db.session.scalars(select(func.now())).one()
