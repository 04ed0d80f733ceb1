"""Disputes: a payer's bank wants money back that we have credited. What the gateway says of one becomes ours here.

    open ──► won     the payment stands: exactly what was set aside comes back, and what was paid of a debt
      │ ▲──► lost    the payment is gone: what was set aside goes out, and what was spent of it stays owed
      │ └─── taken up again by the bank, or for another amount: one more round
      └ awaiting us, awaiting the bank, or pending

Opened: the disputed amount is taken from what the customer can spend as far as it is there; the rest was spent already
and becomes a debt. All of it stands in user_disputed, for all of it may be lost. A webhook or a list only makes us ask;
what is done is decided by the gateway's answer about the one dispute, under the locks of its top-up and its customer.
"""

import logging
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import Interval, func, literal_column, select, update

from namaskah import live
from namaskah.auth import account_locks
from namaskah.claims import claim_due
from namaskah.db import db, leave_database, require_transaction, transaction
from namaskah.wallet import debts, dispute_letters, notes, refund_reading, topups
from namaskah.wallet.dispute_booking import book_more, book_out, give_back, set_aside, take_up_again
from namaskah.wallet.dispute_models import DISPUTE_STATES, Dispute
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import GatewayDown, GatewayRefused, SubjectUnknown
from namaskah.wallet.paystack_disputes import DisputeDesk, ToldDispute

log = logging.getLogger(__name__)

AWAITS_US = "awaiting_merchant_feedback"
# The gateway's last word → what became of the payment.
OUTCOMES = {"declined": "won", "merchant-accepted": "lost", "auto-accepted": "lost"}
ANSWERS = {"accepted": "merchant-accepted", "declined": "declined"}
# Towards the deadline, and after it, the end may come at any time.
NEXT_GAP = literal_column(
    "CASE WHEN due_at < now() + interval '3 hours' THEN interval '5 minutes' ELSE interval '1 hour' END", Interval()
)
MOST_PAGES = 20


def desk() -> DisputeDesk:
    """Where the gateway takes questions and answers about disputes. Raises UserError (503) when none is configured."""
    gateway = topups.gateway()
    return DisputeDesk(gateway.secret_key, gateway.base_url)


def refresh(gateway_id: str) -> Dispute:
    """Ask the gateway about one dispute and bring our books to what it says; any number of times at once.

    Raises SubjectUnknown when neither side can say what it is about, GatewayDown or GatewayRefused; then nothing has
    changed and it is asked again.
    """
    paystack = desk()
    leave_database()
    told = paystack.dispute(gateway_id)
    if told is None or told.domain != paystack.domain:
        raise SubjectUnknown(gateway_id)
    top_up = topups.get_top_up(told.reference)
    if top_up.state != "paid":
        topups.settle(told.reference)  # the dispute may be heard of before the payment
    with transaction():
        top_up = db.session.scalars(
            select(TopUp).filter_by(id=top_up.id).with_for_update().execution_options(populate_existing=True)
        ).one()
        account_locks.lock(top_up.user_id)
        dispute = _find_or_begin(told, top_up)
        if not _is_older(told, dispute):
            _follow(dispute, told, top_up)
            live.publish_on_commit(top_up.user_id, "wallet")
    return dispute


def sweep_due(limit: int = 20) -> int:
    """Worker: ask about open disputes whose time to ask has come; gives how many were asked about. Stops when the
    gateway is away."""
    if not current_app.config["PAYSTACK_SECRET_KEY"]:
        return 0
    for done in range(limit):
        gateway_id = claim_due(Dispute.check_at, NEXT_GAP, Dispute.gateway_id, tries=Dispute.tries + 1)
        if gateway_id is None or not _refreshed(gateway_id):
            return done
    return limit


def find_open() -> int:
    """Worker: look through the gateway's list for open disputes whose webhook was lost; gives 0, for once in a while
    is enough. Asking twice does no harm, so workers need not take turns."""
    if not current_app.config["PAYSTACK_SECRET_KEY"]:
        return 0
    paystack = desk()
    for state in DISPUTE_STATES[:-1]:
        for page in range(1, MOST_PAGES + 1):
            leave_database()
            try:
                listed, has_more = paystack.list_disputes(state.replace("_", "-"), page)
            except (GatewayDown, GatewayRefused) as error:
                log.warning("the gateway does not list its disputes (%s)", error)
                return 0
            known = _open_ids()
            if not all(_refreshed(gateway_id) for gateway_id in listed if gateway_id not in known):
                return 0
            if not has_more:
                break
    return 0


def look_again(top_up_id: int) -> None:
    """Something of this payment has come to nothing, a refund or another dispute: what its bank claims and was not
    booked for its sake is booked with the next sweep, also of what was lost. Needs an open transaction."""
    require_transaction()
    short = Dispute.outcome.is_distinct_from("won") & (Dispute.amount_minor < Dispute.claimed_minor)
    db.session.execute(
        update(Dispute)
        .where(Dispute.top_up_id == top_up_id, short)
        .values(check_at=func.now())
        .execution_options(synchronize_session=False)
    )


def was_taken_back(top_up: TopUp) -> bool:
    """Whether money of this top-up went back to its payer by a dispute."""
    lost = select(Dispute.id).filter_by(top_up_id=top_up.id, outcome="lost").limit(1)
    return db.session.scalar(lost) is not None


def _refreshed(gateway_id: str) -> bool:
    """Whether the sweep may go on."""
    try:
        refresh(gateway_id)
    except SubjectUnknown:
        log.warning("dispute %s is about no payment of ours", gateway_id)
    except GatewayDown as error:
        log.warning("dispute %s: the gateway does not answer (%s)", gateway_id, error)
        return False
    except GatewayRefused as error:
        log.error("dispute %s: the gateway refuses to tell (%s)", gateway_id, error)
        return False
    return True


def _open_ids() -> set[str]:
    return set(db.session.scalars(select(Dispute.gateway_id).where(Dispute.outcome.is_(None))))


def _find_or_begin(told: ToldDispute, top_up: TopUp) -> Dispute:
    found = db.session.scalar(
        select(Dispute)
        .filter_by(gateway_id=told.gateway_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        return Dispute(
            gateway_id=told.gateway_id,
            top_up_id=top_up.id,
            user_id=top_up.user_id,
            state="pending",
            currency=told.currency,
            claimed_minor=told.amount_minor or top_up.paid_minor or top_up.amount_minor,
            amount_minor=0,
            debt_minor=0,
            debt_paid_minor=0,
            written_off_minor=0,
            debt_steps=0,
            round=1,
        )
    if found.top_up_id != top_up.id:
        log.error("dispute %s was about another payment before", told.gateway_id)
        raise SubjectUnknown(told.gateway_id)
    return found


def _is_older(told: ToldDispute, dispute: Dispute) -> bool:
    """Whether this answer was long on its way and a later one has been acted upon."""
    before = dispute.gateway_changed_at
    if told.changed_at is None or before is None:
        return dispute.outcome is not None and told.status != "resolved"
    return told.changed_at < before


def _follow(dispute: Dispute, told: ToldDispute, top_up: TopUp) -> None:
    """Under the locks: what the gateway said becomes state, and at most once money."""
    require_transaction()
    is_new = dispute.id is None
    now: datetime = db.session.scalars(select(func.now())).one()
    outcome = OUTCOMES.get(told.resolution or "") if told.status == "resolved" else None
    dispute.resolution, dispute.category = told.resolution, told.category
    dispute.due_at, dispute.gateway_changed_at = told.due_at, told.changed_at
    # None and 0 say nothing: an answer of ours may have asked for 0 to be given back.
    dispute.claimed_minor = max(told.amount_minor or dispute.claimed_minor, dispute.amount_minor)
    db.session.add(dispute)
    db.session.flush()
    wanted = _bookable(dispute, told, top_up)
    if outcome is None and (dispute.is_open or _state_of(told) is not None):
        _keep_open(dispute, told, wanted, now, is_new)
    elif outcome is not None and outcome != dispute.outcome:
        _end(dispute, outcome, wanted, top_up, now)
    elif outcome == "lost" and wanted > dispute.amount_minor:
        _lose_more(dispute, wanted, top_up)
    if not dispute.is_open:
        dispute.check_at = None
    dispute.claimed_minor = max(told.amount_minor or dispute.claimed_minor, dispute.amount_minor)
    _note_answer(dispute, told, now)
    db.session.flush()


def _state_of(told: ToldDispute) -> str | None:
    """Our word for an open dispute's status; None for a resolved one, and for a status nobody has told us of."""
    state = told.status.replace("-", "_")
    return state if state in DISPUTE_STATES[:-1] else None


def _keep_open(dispute: Dispute, told: ToldDispute, wanted: int, now: datetime, is_new: bool) -> None:
    is_again = dispute.outcome is not None
    if is_again:
        take_up_again(dispute)
    _resize(dispute, wanted)
    if _state_of(told) is None:
        log.error("dispute %s: what are %r and %r?", dispute.gateway_id, told.status, told.resolution)
    dispute.state = _state_of(told) or dispute.state
    if dispute.check_at is None:
        dispute.check_at = now + timedelta(minutes=5)
    if is_new or is_again:
        dispute_letters.tell_opened(dispute, now)


def _end(dispute: Dispute, outcome: str, wanted: int, top_up: TopUp, now: datetime) -> None:
    """Won: whatever is booked comes back, which is nothing where we hear of the dispute only now."""
    if dispute.outcome is not None:
        take_up_again(dispute)  # decided otherwise, and we have not seen it open in between
    if outcome == "lost":
        _resize(dispute, wanted)
    dispute.state, dispute.outcome, dispute.resolved_at, dispute.check_at = "resolved", outcome, now, None
    db.session.flush()
    if outcome == "won":
        give_back(dispute)
        debts.pay(dispute.user_id)  # of other disputes
        look_again(dispute.top_up_id)
    elif dispute.amount_minor:
        book_out(dispute)
    notes.issue(top_up, dispute.reference, dispute.amount_minor)
    dispute_letters.tell_ended(dispute)


def _lose_more(dispute: Dispute, wanted: int, top_up: TopUp) -> None:
    """What was on its way back to the payer otherwise has come to nothing, and the bank had taken it all the same."""
    book_more(dispute, wanted)
    notes.issue(top_up, dispute.reference, dispute.amount_minor)
    dispute_letters.tell_ended(dispute)


def _bookable(dispute: Dispute, told: ToldDispute, top_up: TopUp) -> int:
    """How much of the claim is to be booked: no more than was paid and is not disputed, lost or refunded already."""
    if top_up.state != "paid" or told.currency != top_up.currency:
        log.error("dispute %s is about a payment that was not credited as it says", dispute.gateway_id)
        return 0
    others = db.session.scalar(
        select(func.coalesce(func.sum(Dispute.amount_minor), 0)).where(
            Dispute.top_up_id == top_up.id, Dispute.id != dispute.id, Dispute.outcome.is_distinct_from("won")
        )
    )
    claimed = told.amount_minor or dispute.claimed_minor
    refunded = refund_reading.gone_minor(refund_reading.of_top_up(top_up))
    return max(0, min(claimed, (top_up.paid_minor or 0) - int(others or 0) - refunded))


def _resize(dispute: Dispute, wanted: int) -> None:
    """Book the dispute, or book it anew when the bank wants another amount back than before."""
    if dispute.amount_minor == wanted:
        return
    if dispute.amount_minor:
        give_back(dispute, note="changed")
        dispute.round += 1
    dispute.debt_minor = dispute.debt_paid_minor = dispute.written_off_minor = 0
    dispute.amount_minor = wanted
    dispute.claimed_minor = max(dispute.claimed_minor, wanted)
    if wanted:
        set_aside(dispute)


def _note_answer(dispute: Dispute, told: ToldDispute, now: datetime) -> None:
    """Whether the gateway has taken our answer: seen here also when its own word of it was lost."""
    if dispute.answer is None or dispute.answered_at is not None:
        return
    if told.resolution == ANSWERS[dispute.answer] or dispute.state == "awaiting_bank_feedback":
        dispute.answered_at, dispute.answer_due_at, dispute.answer_problem = now, None, ""
    elif dispute.outcome is not None:
        dispute.answer_due_at, dispute.answer_problem = None, "the dispute ended before the answer arrived"
