"""Gifts: credit of ours that a customer may spend until a day. Given here, taken back here when the day has come.

What a purchase takes of them is in promo_spending.py, and every movement is a verb of the ledger. A gift is never paid
out, pays no debt, and has no receipt: nobody has paid anything.
"""

from datetime import datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah import live, mail
from namaskah.auth import account_locks, accounts, audit
from namaskah.auth.models import User
from namaskah.db import db, require_transaction, transaction
from namaskah.errors import UserError
from namaskah.wallet import ledger
from namaskah.wallet.promo_models import PromoGrant

LONGEST_DAYS = 730
REMIND_BEFORE = timedelta(days=3)
AT_ONCE = 50


class NotGiven(UserError):
    """No gift was made."""

    status = 422


def grant(
    user_id: int,
    source: str,
    reference: str,
    amount_minor: int,
    expires_at: datetime,
    *,
    actor: str = "system",
    note: str = "",
    booked_as: str = "",
) -> PromoGrant | None:
    """Give a customer so many minor units until then, once for a `reference`; None when it was given before.

    `note` is the reason as the customer may read it; `booked_as` what the ledger notes instead of it. Needs an open
    transaction. Raises NotGiven when there is no such customer (any more).
    """
    require_transaction()
    # The lock that deleting an account takes: no gift comes in behind its back.
    owner = account_locks.find_and_lock(user_id)
    if owner is None or owner.deleted_at is not None:
        raise NotGiven(_("There is no such customer. Nothing was given."))
    made: PromoGrant | None = db.session.scalar(
        pg_insert(PromoGrant)
        .values(
            user_id=user_id,
            source=source,
            reference=reference,
            note=note,
            currency=current_app.config["WALLET_CURRENCY"],
            amount_minor=amount_minor,
            left_minor=amount_minor,
            expires_at=expires_at,
        )
        .on_conflict_do_nothing(index_elements=["reference"])
        .returning(PromoGrant)
    )
    if made is not None:
        ledger.promo_grant(user_id, f"promo_grant:{made.id}", amount_minor, actor, booked_as or note)
        live.publish_on_commit(user_id, "wallet")
    return made


def give(email: str, amount_minor: int, days: int, reason: str, key: str, actor: str) -> PromoGrant:
    """The operator gives one customer credit for so many days; with the same `key` again it is the same gift.

    Raises NotGiven for an unknown address, no reason, an amount above the largest top-up, too long a time, or a key
    that came with another customer or amount.
    """
    owner = accounts.find_by_email(email.strip())
    if owner is None:
        raise NotGiven(_("No account has this address. Nothing was given."))
    if not reason.strip():
        raise NotGiven(_("Say why, in words that the customer may read."))
    if not 0 < amount_minor <= current_app.config["TOP_UP_MAX_MINOR"]:
        raise NotGiven(_("A gift is more than nothing and at most as large as the largest top-up."))
    if not 1 <= days <= LONGEST_DAYS:
        raise NotGiven(_("A gift lasts between one day and two years."))
    reference = f"operator:{key}"
    with transaction():
        expires_at = db.session.scalars(select(func.now() + timedelta(days=days))).one()
        made = grant(owner.id, "operator", reference, amount_minor, expires_at, actor=actor, note=reason.strip()[:200])
        if made is not None:
            audit.record("gift_given", owner.id, actor, grant=made.id, amount_minor=amount_minor, days=days)
    made = made or db.session.scalars(select(PromoGrant).where(PromoGrant.reference == reference)).one()
    if (made.user_id, made.amount_minor) != (owner.id, amount_minor):
        raise NotGiven(
            _("This form was sent before, for another customer or amount, and that was given. Nothing was given now.")
        )
    return made


def gifts(user_id: int) -> list[PromoGrant]:
    """A customer's gifts that can be spent, the one that runs out first before the others."""
    wanted = select(PromoGrant).where(
        PromoGrant.user_id == user_id, PromoGrant.left_minor > 0, PromoGrant.expires_at > func.now()
    )
    ordered = wanted.order_by(PromoGrant.expires_at, PromoGrant.id).execution_options(populate_existing=True)
    return list(db.session.scalars(ordered))


def has_had_gifts(user_id: int) -> bool:
    """Whether this customer was ever given anything."""
    return db.session.scalar(select(PromoGrant.id).where(PromoGrant.user_id == user_id).limit(1)) is not None


def given_by_hand(limit: int = 30) -> list[tuple[PromoGrant, User]]:
    """What the operator gave, newest first."""
    wanted = (
        select(PromoGrant, User)
        .join(User, User.id == PromoGrant.user_id)
        .where(PromoGrant.source == "operator")
        .order_by(PromoGrant.id.desc())
        .limit(limit)
    )
    return [(row[0], row[1]) for row in db.session.execute(wanted)]


def expire_due() -> int:
    """Worker: take back what is left of gifts whose time is over, each in its own transaction; returns how many."""
    for done in range(AT_ONCE):
        with transaction():
            over = _lock_one(PromoGrant.expires_at <= func.now())
            if over is None:
                return done
            _take_back(over, "system", "expired")
            live.publish_on_commit(over.user_id, "wallet")
    return AT_ONCE


def worth_a_letter() -> int:
    """Of how much, in minor units, a customer is reminded: a fifth of the smallest top-up, whatever the currency."""
    return int(current_app.config["TOP_UP_MIN_MINOR"]) // 5


def remind_due() -> int:
    """Worker: one letter for each gift that is about to run out with something worth it left; returns how many."""
    soon = (
        PromoGrant.expires_at.between(func.now(), func.now() + REMIND_BEFORE),
        PromoGrant.left_minor >= worth_a_letter(),
        PromoGrant.reminded_at.is_(None),
        # Who got it for two days knows.
        PromoGrant.expires_at - PromoGrant.created_at > REMIND_BEFORE + timedelta(days=1),
    )
    for done in range(AT_ONCE):
        with transaction():
            found = _lock_one(*soon)
            if found is None:
                return done
            found.reminded_at = db.session.scalars(select(func.now())).one()
            mail.gift_ends(db.session.get_one(User, found.user_id), found.left_minor, found.expires_at)
    return AT_ONCE


def forfeit(user_id: int, actor: str) -> int:
    """Take everything that is left of a customer's gifts back, because the account goes; returns how much that was.
    Needs an open transaction, and comes before other movements of the customer's money in it."""
    require_transaction()
    wanted = select(PromoGrant).where(PromoGrant.user_id == user_id, PromoGrant.left_minor > 0).order_by(PromoGrant.id)
    locked = wanted.with_for_update(key_share=True).execution_options(populate_existing=True)
    return sum(_take_back(each, actor, "account deleted") for each in db.session.scalars(locked).all())


def _lock_one(*which: ColumnElement[bool]) -> PromoGrant | None:
    """The first that is due and that nobody else has in hand."""
    return db.session.scalar(
        select(PromoGrant)
        .where(PromoGrant.left_minor > 0, *which)
        .order_by(PromoGrant.expires_at, PromoGrant.id)
        .limit(1)
        .with_for_update(key_share=True, skip_locked=True)
        .execution_options(populate_existing=True)
    )


def _take_back(over: PromoGrant, actor: str, note: str) -> int:
    """What is left of a gift, back to the house. A part may come back later and run out too: the reference says up to
    which amount of the gift it was."""
    amount, over.left_minor = over.left_minor, 0
    over.expired_minor += amount
    db.session.flush()
    ledger.promo_expire(over.user_id, f"promo_grant:{over.id}:{over.expired_minor}", amount, actor, note)
    return amount
