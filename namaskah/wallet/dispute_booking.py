"""What disputes do to the ledger. Each verb needs the open transaction that has locked top-up and customer; its
reference names the dispute and its round, so that each is done once.

A disputed amount stands whole in user_disputed: it may be lost whole. What the customer had of it was theirs to spend;
the rest is lent to them by user_debt until they pay it, or until the dispute is won.
"""

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.wallet import debts, ledger
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.ledger import Account


def set_aside(dispute: Dispute) -> None:
    """Opened: take `amount_minor` from what can be spent, as far as it is there; the rest becomes a debt."""
    dispute.debt_minor = 0
    _take(dispute, dispute.amount_minor)


def give_back(dispute: Dispute, note: str = "") -> None:
    """Won: the opening line by line the other way. What was paid of the debt meanwhile comes back too, and what the
    house had given up of it is its own again."""
    if not dispute.amount_minor:
        return
    owed = dispute.debt_minor - dispute.debt_paid_minor - dispute.written_off_minor
    lines = {
        "user_available": dispute.held_minor + dispute.debt_paid_minor,
        "user_disputed": -dispute.amount_minor,
        "user_debt": owed,
        "promo": dispute.written_off_minor,
    }
    if not dispute.is_open and db.session.get_one(User, dispute.user_id).deleted_at is not None:
        lines["promo"] += lines.pop("user_available")  # nobody can spend in a deleted account
    _post("dispute_won", dispute, note, **lines)


def book_out(dispute: Dispute) -> None:
    """Lost: the gateway has taken the money. A debt stays: it was spent, and is owed until it is paid or given up."""
    _post("dispute_lost", dispute, user_disputed=-dispute.amount_minor, gateway_clearing=dispute.amount_minor)


def book_more(dispute: Dispute, amount_minor: int) -> None:
    """Lost, and this much in all, more than was booked: the rest is taken like the first part, and goes out at once."""
    more = amount_minor - dispute.amount_minor
    dispute.round += 1
    dispute.amount_minor = amount_minor
    _take(dispute, more)
    _post("dispute_lost", dispute, user_disputed=-more, gateway_clearing=more)


def take_up_again(dispute: Dispute) -> None:
    """The bank has taken it up again: after a win it begins anew, with nothing booked; after a loss the gateway holds
    what it had taken, and the debt goes on. Our answer was to the round before; this one wants another."""
    was_lost = dispute.outcome == "lost"
    dispute.round += 1
    dispute.outcome = dispute.resolved_at = dispute.check_at = None
    dispute.state = "pending"
    dispute.forget_answer()
    dispute.answer_problem = ""
    dispute.early_reminder_at = dispute.late_reminder_at = None
    if was_lost and dispute.amount_minor:
        _post("dispute_open", dispute, user_disputed=dispute.amount_minor, gateway_clearing=-dispute.amount_minor)
    elif not was_lost:
        dispute.amount_minor = dispute.debt_minor = dispute.debt_paid_minor = dispute.written_off_minor = 0


def _take(dispute: Dispute, amount_minor: int) -> None:
    taken = min(debts.spendable_minor(dispute.user_id), amount_minor)
    dispute.debt_minor += amount_minor - taken
    lines = {"user_available": -taken, "user_disputed": amount_minor, "user_debt": taken - amount_minor}
    _post("dispute_open", dispute, **lines)


def _post(kind: str, dispute: Dispute, note: str = "", /, **minor: int) -> None:
    """One transaction of lines by account kind; those of nothing are left out."""
    db.session.flush()
    lines = {
        Account(name, dispute.currency, user_id=dispute.user_id if name.startswith("user_") else None): amount
        for name, amount in minor.items()
        if amount
    }
    ledger.post(kind, dispute.reference, lines, note=note)
