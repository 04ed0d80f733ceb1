"""Deleting an account: what is erased, what stays under its bare number, and doing it again after a restore.

The books stay, as the law wants, and say nothing about a person any more. A banned account is not deleted: its row is
what keeps its address from being opened anew, for as long as the ban stands. An admin's is not either: the place
would be without one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import and_, or_, select
from sqlalchemy.sql import ColumnElement

from namaskah import mail
from namaskah.account import erasing
from namaskah.account.models import DeletedAccount
from namaskah.auth import account_locks, audit
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.numbers import closing
from namaskah.numbers.models import HOLDING, OPEN, Activation
from namaskah.wallet import debts, ledger, promo, refund_reading
from namaskah.wallet.models import LedgerAccount, TopUp
from namaskah.wallet.refund_models import GatewayRefund


class NotYet(UserError):
    """Something must be ended or looked at first; nothing was deleted."""

    status = 409


@dataclass(frozen=True)
class Tombstone:
    """Number of a deleted account, and since when, where that is known."""

    user_id: int
    deleted_at: datetime | None = None


@dataclass(frozen=True)
class Standing:
    """What an account has that stands in the way of deleting it, or is lost by it."""

    available_minor: int
    promo_minor: int
    waiting: Sequence[Activation]
    pending: Sequence[TopUp]
    refunding: Sequence[GatewayRefund]
    trouble: debts.Trouble
    is_admin: bool

    @property
    def is_free(self) -> bool:
        return not (
            self.waiting
            or self.pending
            or self.refunding
            or self.trouble.open
            or self.trouble.owed_minor
            or self.is_admin
        )


def standing(user: User) -> Standing:
    """How an account stands now. A number whose code has come is in nobody's way: it is paid and can be ended."""
    waiting = select(Activation).where(Activation.user_id == user.id, Activation.state.in_(HOLDING))
    pending = select(TopUp).where(TopUp.user_id == user.id, or_(TopUp.state == "pending", _is_being_charged()))
    balance = ledger.balance(user.id)
    return Standing(
        balance.available_minor,
        balance.promo_minor,
        db.session.scalars(waiting.order_by(Activation.id)).all(),
        db.session.scalars(pending.order_by(TopUp.id)).all(),
        refund_reading.open_of_user(user.id),
        debts.trouble(user.id),
        user.is_admin,
    )


def _is_being_charged() -> ColumnElement[bool]:
    """A kept card's payment on its way to the bank: unlike a checkout, it goes on without its payer."""
    return and_(TopUp.state == "opened", TopUp.origin != "checkout", TopUp.checkout_url.is_(None))


def delete(user: User, given_up_minor: int) -> None:
    """Delete the account for good; again, or from two tabs, is once. `given_up_minor` is the balance its owner was
    shown and agreed to lose. Raises NotYet when something stands in the way or the balance is another by now.
    """
    if standing(user).is_free:
        _finish_open(user)
    with transaction():
        # Purchases take the same lock, so none can begin behind our back.
        owner = account_locks.find_and_lock(user.id)
        if owner is None or owner.deleted_at is not None:
            return
        _require_free(owner)
        promo.forfeit(owner.id, f"user:{owner.id}")
        _give_up(owner.id, given_up_minor, f"user:{owner.id}")
        if ledger.balance(owner.id).available_minor != 0:
            raise NotYet(_("Your balance has just changed, so nothing was deleted. Look at it once more."))
        mail.account_deleted(owner)
        _erase(owner)


def reapply(tombstones: Iterable[Tombstone], actor: str) -> list[int]:
    """After a restore: erase again what was deleted before, whatever stands in the way. Returns the accounts that were
    there again.

    Run it before anybody is served. An account opened after its tombstone was written is somebody else's, who got the
    number anew, and stays.
    """
    return [tombstone.user_id for tombstone in tombstones if _reapply_one(tombstone, actor)]


def take_leftovers_due(limit: int = 20) -> int:
    """Worker: what has come into deleted accounts since is nobody's to spend: a number given back after a restore had
    erased its buyer once more, a dispute booked anew for less. It pays what is owed there, the rest goes to the house.
    Returns how many accounts that were."""
    spendable = LedgerAccount.kind.in_(("user_available", "user_promo")) & (LedgerAccount.balance > 0)
    left = select(DeletedAccount.user_id).join(LedgerAccount, LedgerAccount.user_id == DeletedAccount.user_id)
    found = db.session.scalars(left.where(spendable).distinct().limit(limit)).all()
    db.session.rollback()
    for user_id in found:
        with transaction():
            account_locks.lock(user_id)
            promo.forfeit(user_id, "system")
            debts.pay(user_id)
            amount_minor = ledger.balance(user_id).available_minor
            if amount_minor > 0:
                # Each movement of an account has the next number: what comes later has a reference of its own.
                reference = f"deletion:{user_id}.{_movements(user_id)}"
                ledger.adjust(user_id, reference, -amount_minor, "system", "came after the account was deleted")
    return len(found)


def tombstones() -> list[Tombstone]:
    """Every account that was deleted, for keeping outside this database."""
    rows = db.session.scalars(select(DeletedAccount).order_by(DeletedAccount.user_id))
    return [Tombstone(row.user_id, row.deleted_at) for row in rows]


def _reapply_one(tombstone: Tombstone, actor: str) -> bool:
    with transaction():
        owner = account_locks.find_and_lock(tombstone.user_id)
        if owner is None or (tombstone.deleted_at is not None and owner.created_at > tombstone.deleted_at):
            return False
        was_there = owner.deleted_at is None
        if was_there:
            promo.forfeit(owner.id, actor)
            _give_up(owner.id, ledger.balance(owner.id).available_minor, actor)
        _erase(owner, actor, tombstone.deleted_at)
    return was_there


def _finish_open(user: User) -> None:
    """Numbers whose code has come are done: nothing may arrive for them any more."""
    received = select(Activation).where(Activation.user_id == user.id, Activation.state == "received")
    for activation in db.session.scalars(received).all():
        closing.finish(activation)


def _require_free(owner: User) -> None:
    now = standing(owner)
    if owner.banned_at is not None or now.is_admin:
        raise NotYet(_("This account can't be deleted here. Write to us."), status=403)
    still_open = select(Activation.id).where(Activation.user_id == owner.id, Activation.state.in_(OPEN)).limit(1)
    if now.trouble.open or now.trouble.owed_minor:
        raise NotYet(_("A payment is disputed at its bank, or you owe what was spent of one, so nothing was deleted."))
    if not now.is_free or db.session.scalar(still_open) is not None:
        raise NotYet(_("A number, a payment or a refund is still under way, so nothing was deleted. End it first."))


def _give_up(user_id: int, amount_minor: int, actor: str) -> None:
    """What is left goes to the house, as one line of the books."""
    if amount_minor <= 0:
        return
    try:
        ledger.adjust(user_id, f"deletion:{user_id}", -amount_minor, actor, "given up when the account was deleted")
    except ledger.InsufficientFunds:
        raise NotYet(_("Your balance has just changed, so nothing was deleted. Look at it once more.")) from None


def _movements(user_id: int) -> int:
    own = select(LedgerAccount.sequence).filter_by(user_id=user_id, kind="user_available")
    return db.session.scalars(own).one()


def _erase(owner: User, actor: str = "", deleted_at: datetime | None = None) -> None:
    """Nothing personal is left after the commit. The event comes last, as all events do, and forgets at once where it
    came from."""
    is_first = owner.deleted_at is None
    erasing.erase(owner, deleted_at)
    if is_first:
        audit.record("deleted", owner.id, actor)
    audit.forget_origins_of(owner.id)
