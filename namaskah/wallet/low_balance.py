"""A letter when a wallet runs low, for those who want one: each time it falls below their threshold, once.

Where an automatic top-up is about to take care of it, there is nothing to write.
"""

from flask import current_app
from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.sql import ColumnElement

from namaskah import mail
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import ledger, promo_spending
from namaskah.wallet.card_models import AutoTopUp, LowBalanceLetter
from namaskah.wallet.models import LedgerAccount

# While it waits for these, an automatic top-up takes care of nothing.
NO_HELP = ("limit", "debt", "account")


def threshold(user_id: int) -> int | None:
    """Below which balance, in minor units, a customer wants to be told; None for who does not."""
    return db.session.scalar(select(LowBalanceLetter.below_minor).where(LowBalanceLetter.user_id == user_id))


def set_threshold(user_id: int, below_minor: int | None) -> None:
    """Tell this customer from now on when less than that can be spent, or (None) no more. Who has less already knows:
    the first letter comes when it falls below the next time."""
    with transaction():
        if below_minor is None:
            db.session.execute(delete(LowBalanceLetter).where(LowBalanceLetter.user_id == user_id))
            return
        values = {
            "below_minor": below_minor,
            "currency": current_app.config["WALLET_CURRENCY"],
            "is_told": ledger.balance(user_id).spendable_minor < below_minor,
        }
        insert = pg_insert(LowBalanceLetter).values(user_id=user_id, **values)
        db.session.execute(insert.on_conflict_do_update(index_elements=["user_id"], set_=values))


def tell_due(limit: int = 50) -> int:
    """Worker: write to those whose wallets have fallen below, and note whose are above again; gives how many rows were
    changed."""
    for done in range(limit):
        if not _tell_one():
            return done
    return limit


def _tell_one() -> bool:
    """One row whose mark is no longer true. Mark and letter are one transaction."""
    can_spend = _can_spend()
    is_low = can_spend < LowBalanceLetter.below_minor
    wrong = or_(and_(LowBalanceLetter.is_told, ~is_low), and_(~LowBalanceLetter.is_told, is_low, ~_is_taken_care_of()))
    wanted = (
        select(LowBalanceLetter.user_id, LowBalanceLetter.is_told, LowBalanceLetter.below_minor, can_spend)
        .outerjoin(
            LedgerAccount,
            and_(
                LedgerAccount.user_id == LowBalanceLetter.user_id,
                LedgerAccount.kind == "user_available",
                LedgerAccount.currency == LowBalanceLetter.currency,
            ),
        )
        .where(LowBalanceLetter.currency == current_app.config["WALLET_CURRENCY"], wrong)
        .limit(1)
        .with_for_update(of=LowBalanceLetter, skip_locked=True)
    )
    with transaction():
        found = db.session.execute(wanted).one_or_none()
        if found is None:
            return False
        user_id, was_told, below_minor, balance_minor = found
        db.session.execute(
            update(LowBalanceLetter).where(LowBalanceLetter.user_id == user_id).values(is_told=not was_told)
        )
        user = db.session.get_one(User, user_id, populate_existing=True)
        if not was_told and user.is_active:
            mail.low_balance(user, balance_minor, below_minor)
    return True


def _can_spend() -> ColumnElement[int]:
    """Own money, and gifts that have not run out: purchases take both."""
    gifts = promo_spending.unexpired_of(LowBalanceLetter.user_id, LowBalanceLetter.currency)
    return func.coalesce(LedgerAccount.balance, 0) + gifts


def _is_taken_care_of() -> ColumnElement[bool]:
    on = select(AutoTopUp.user_id).where(
        AutoTopUp.user_id == LowBalanceLetter.user_id,
        AutoTopUp.is_on,
        AutoTopUp.waits_for.not_in(NO_HELP),
        _can_spend() < AutoTopUp.below_minor,
    )
    return on.correlate(LowBalanceLetter, LedgerAccount).exists()
