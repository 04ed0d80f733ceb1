"""What customers owe: money of a disputed payment that was spent before its bank took the payment up.

A debt is paid before anything is bought: by the top-up that brings money, in its own transaction, and by whatever else
comes into the wallet, soon after. Locks: top-up, the customer (as a purchase does), disputes, ledger accounts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import func, select, text
from sqlalchemy.orm import joinedload

from namaskah import live
from namaskah.auth import account_locks, audit
from namaskah.auth.models import User
from namaskah.db import db, require_transaction, transaction
from namaskah.errors import UserError
from namaskah.filters import money_text
from namaskah.wallet import ledger
from namaskah.wallet.dispute_models import OWED, Dispute
from namaskah.wallet.ledger import Account
from namaskah.wallet.models import LedgerAccount, TopUp

LONGEST_REASON = 500
_OWED = text(OWED)  # as the index is written: PostgreSQL finds the few that owe


class InDebt(UserError):
    """The customer owes money, so nothing can be bought. `details["owed_minor"]` is how much."""

    status = 402


def owed_minor(user_id: int) -> int:
    """What a customer owes, in minor units; 0 for nearly everybody."""
    left = Dispute.debt_minor - Dispute.debt_paid_minor - Dispute.written_off_minor
    return int(db.session.scalar(select(func.sum(left)).where(Dispute.user_id == user_id, _OWED)) or 0)


@dataclass(frozen=True)
class Trouble:
    """What is disputed of a customer's money, and what the customer owes, in minor units."""

    open: Sequence[Dispute]
    owed_minor: int

    @property
    def disputed_minor(self) -> int:
        """What of it was the customer's to spend and is set aside."""
        return sum(dispute.held_minor for dispute in self.open)


def trouble(user_id: int) -> Trouble:
    """What stands in the way of a customer's buying and leaving; for nearly everybody nothing. A dispute of which
    nothing is booked troubles nobody."""
    booked = select(Dispute).where(Dispute.user_id == user_id, Dispute.outcome.is_(None), Dispute.amount_minor > 0)
    found = db.session.scalars(booked.order_by(Dispute.id).options(joinedload(Dispute.top_up)))
    return Trouble(found.all(), owed_minor(user_id))


def disputes_of(top_up: TopUp) -> Sequence[Dispute]:
    """All disputes of one top-up that its owner has felt, oldest first."""
    felt = (Dispute.top_up_id == top_up.id) & (Dispute.amount_minor > 0)
    return db.session.scalars(select(Dispute).where(felt).order_by(Dispute.id)).all()


def require_none(user_id: int) -> None:
    """Raise InDebt when the customer owes something. Call it with the customer's row locked: debts are made under the
    same lock, so none can come behind the caller's back."""
    owed = owed_minor(user_id)
    if owed:
        raise InDebt(
            _(
                "A payment of yours is disputed at its bank, and part of it was spent already: you owe %(amount)s. "
                "You have paid nothing now. Top up at least that much, then you can buy numbers again.",
                amount=money_text(owed),
            ),
            owed_minor=owed,
        )


def pay(user_id: int) -> int:
    """Pay what is owed, oldest first, as far as there is money to spend; gives how much that was, in minor units. Needs
    the open transaction that has locked the customer."""
    require_transaction()
    owing = _owing(user_id)
    left = spendable_minor(user_id) if owing else 0
    paid = 0
    for dispute in owing:
        amount = min(left - paid, dispute.owed_minor)
        if amount <= 0:
            break
        paid += _pay_one(dispute, amount)
    return paid


def spendable_minor(user_id: int) -> int:
    """What there is to spend, in minor units: it cannot become less before the open transaction ends."""
    require_transaction()
    currency = current_app.config["WALLET_CURRENCY"]
    account = select(LedgerAccount.balance).filter_by(user_id=user_id, kind="user_available", currency=currency)
    return db.session.scalar(account.with_for_update()) or 0


def collect_due(limit: int = 50) -> int:
    """Worker: pay debts out of money that has come in any other way than by a top-up: a number that was given back, a
    correction. Gives how many customers paid."""
    spendable = text(
        "EXISTS (SELECT FROM ledger_accounts a WHERE a.user_id = disputes.user_id AND a.kind = 'user_available'"
        " AND a.currency = :currency AND a.balance > 0)"
    ).bindparams(currency=current_app.config["WALLET_CURRENCY"])
    owing = db.session.scalars(select(Dispute.user_id).where(_OWED, spendable).distinct().limit(limit)).all()
    db.session.rollback()
    done = 0
    for user_id in owing:
        with transaction():
            account_locks.lock(user_id)
            if pay(user_id):
                live.publish_on_commit(user_id, "wallet")
                done += 1
    return done


def write_off(dispute_id: int, reason: str, operator: User) -> Dispute:
    """The house gives up what is still owed after a lost dispute; its loss stands in the books.

    Raises UserError without a reason, or when nothing is owed for a dispute that has ended."""
    words = reason.strip()[:LONGEST_REASON]
    if not words:
        raise UserError(_("Say in a few words why this is given up."), status=422)
    who = f"user:{operator.id}"
    with transaction():
        user_id = db.session.scalars(select(Dispute.user_id).filter_by(id=dispute_id)).one()
        account_locks.lock(user_id)
        dispute = lock_dispute(dispute_id)
        amount = dispute.owed_minor
        if dispute.outcome != "lost" or amount <= 0:
            raise UserError(_("Nothing is owed here that could be given up. Nothing was done."), status=409)
        dispute.written_off_minor += amount
        lines = {_debt(dispute): amount, Account("promo", dispute.currency): -amount}
        ledger.post("debt_written_off", _next_step(dispute), lines, actor=who, note=words)
        audit.record("debt_written_off", user_id, who, dispute=dispute.gateway_id, amount_minor=amount, reason=words)
    return dispute


def _pay_one(dispute: Dispute, amount_minor: int) -> int:
    dispute.debt_paid_minor += amount_minor
    available = Account("user_available", dispute.currency, user_id=dispute.user_id)
    ledger.post("debt_paid", _next_step(dispute), {available: -amount_minor, _debt(dispute): amount_minor})
    return amount_minor


def _next_step(dispute: Dispute) -> str:
    """Reference of the next movement of this debt: counted in the row, in the same transaction as the movement."""
    dispute.debt_steps += 1
    db.session.flush()
    return f"{dispute.reference}.{dispute.debt_steps}"


def _owing(user_id: int) -> Sequence[Dispute]:
    """The customer's debts, oldest first, locked."""
    wanted = select(Dispute).where(Dispute.user_id == user_id, _OWED).order_by(Dispute.id).with_for_update()
    return db.session.scalars(wanted.execution_options(populate_existing=True)).all()


def lock_dispute(dispute_id: int) -> Dispute:
    """The row, read anew and ours until the transaction ends; lock its customer before."""
    wanted = select(Dispute).filter_by(id=dispute_id).with_for_update()
    return db.session.scalars(wanted.execution_options(populate_existing=True)).one()


def _debt(dispute: Dispute) -> Account:
    return Account("user_debt", dispute.currency, user_id=dispute.user_id)
