"""What customers want charged by itself, as it stands: read, switched off, put off. Charging is in auto_topups.

A definite no of the card, or of its bank, switches it off with a letter; everything else waits. Locks: a top-up first,
its ledger accounts, then the wish.
"""

from datetime import timedelta
from typing import Any

from flask_babel import lazy_gettext as _l
from sqlalchemy import func, select, text, update

from namaskah import mail
from namaskah.auth import audit
from namaskah.auth.models import User
from namaskah.db import db, require_transaction, transaction
from namaskah.wallet.card_models import AutoTopUp
from namaskah.wallet.models import AUTO_UNDER_WAY, TopUp

CARD_REFUSED = "card_refused"  # our own word beside the gateway's: it will not charge this card at all
NOT_OPENED = "not_opened"  # and: the gateway never heard of it, nothing was taken
PUT_OFF = timedelta(minutes=5)
UNDER_WAY = ("opened", "pending")

# Why we switched it off, as the customer reads it.
REASONS = {
    "failed": _l("The payment failed: your bank or Paystack said no to the card. Nothing was taken."),
    "challenge": _l("Your bank wants you to confirm the payment yourself. Nothing was taken so far."),
    "refused": _l("Paystack can't charge this card any more. Nothing was taken."),
    "expired": _l("The card has expired. Nothing was taken."),
    "mismatch": _l("A payment came, but not as we asked for it. A person looks at it before it is credited."),
    "unclear": _l("The payment was neither confirmed nor refused for three days. If it still arrives, it is credited."),
    "limits": _l("The amount is outside the present limits of a top-up. Nothing was taken."),
    "card_removed": _l("You removed the card."),
}
# What stands in its way for now.
WAITS = {
    "gateway": _l("Paystack could not be reached. We try again by ourselves."),
    "limit": _l("What you allow in 24 hours is used up. It goes on by itself when there is room again."),
    "debt": _l("Your wallet owes us money. It goes on once that is settled."),
    "account": _l("Your account must be open, confirmed and agree to the present rules first."),
}


def of_user(user_id: int) -> AutoTopUp | None:
    """What a customer has set up, on or off."""
    wanted = select(AutoTopUp).where(AutoTopUp.user_id == user_id)
    return db.session.scalar(wanted.execution_options(populate_existing=True))


def switch_off(user_id: int) -> None:
    """The customer does not want it any more. A charge that is under way is still settled."""
    with transaction():
        if _end(user_id):
            audit.record("auto_top_up_off", user_id)


def card_is_gone(user_id: int, card_id: int) -> None:
    """The customer removed this card. Needs an open transaction."""
    _end(user_id, AutoTopUp.card_id == card_id, off_reason="card_removed")


def stop(user_id: int, reason: str, *, detail: str = "", top_up: TopUp | None = None) -> None:
    """Switch it off for one of REASONS and tell its owner; once, however often it is called. Needs an open transaction,
    and is its last step. `detail` is the bank's own sentence; `top_up` the payment that failed."""
    require_transaction()
    same_card = () if top_up is None else (AutoTopUp.card_id == top_up.card_id,)
    if _end(user_id, *same_card, off_reason=reason, off_detail=detail[:300]):
        page = None if top_up is None else f"wallet/top-ups/{top_up.reference}"
        to_confirm = reason == "challenge" and top_up is not None and top_up.checkout_url is not None
        user = db.session.get_one(User, user_id)
        mail.auto_top_up_off(user, REASONS[reason], detail, page, to_confirm=to_confirm)
        audit.record("auto_top_up_stopped", user_id, "system", reason=reason)


def put_off(user_id: int, what: str, by: timedelta = PUT_OFF) -> None:
    """Something of WAITS stands in the way: look again after a while. Needs an open transaction."""
    require_transaction()
    db.session.execute(
        update(AutoTopUp).where(AutoTopUp.user_id == user_id).values(waits_for=what, due_at=func.now() + by)
    )


def note_outcome(top_up: TopUp, before: str) -> None:
    """Under the lock of an automatic top-up: what its new state means for the next ones. `before` is the state it had.

    Needs an open transaction, and is its last step.
    """
    require_transaction()
    if before not in UNDER_WAY or top_up.state in ("paid", *UNDER_WAY):
        return
    if top_up.gateway_status == NOT_OPENED:
        put_off(top_up.user_id, "gateway")
        return
    reason = {"abandoned": "challenge", "mismatch": "mismatch", "expired": "unclear"}.get(top_up.state, "failed")
    if top_up.gateway_status == CARD_REFUSED:
        reason = "refused"
    said = (top_up.gateway_message or "") if reason == "failed" else ""
    stop(top_up.user_id, reason, detail=said, top_up=top_up)


def has_successor(top_up: TopUp) -> bool:
    """Whether this automatic top-up was over, and another one of the same customer is under way."""
    if top_up.origin != "auto" or top_up.state in UNDER_WAY:
        return False
    others = select(TopUp.id).where(TopUp.user_id == top_up.user_id, TopUp.id != top_up.id, text(AUTO_UNDER_WAY))
    return db.session.scalar(others.limit(1)) is not None


def _end(user_id: int, *where: Any, **values: str) -> bool:
    """Whether it was on until now."""
    ended = (
        update(AutoTopUp)
        .where(AutoTopUp.user_id == user_id, AutoTopUp.is_on, *where)
        .values({"is_on": False, "waits_for": "", "off_detail": "", "changed_at": func.now(), **values})
        .returning(AutoTopUp.user_id)
        .execution_options(synchronize_session=False)
    )
    return db.session.scalar(ended) is not None
