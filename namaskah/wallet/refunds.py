"""Refunds of a top-up to where it was paid from: their states, and the money that moves with each.

    asked ──► doubt ──► pending ──► processing ──► processed      the gateway paid it out: a credit note is issued
      │         │          │  ▲          │  ▲ │
      │         │          ▼  │          ▼  │ └──► failed         it could not: the money is in the wallet again
      │         │       needs_attention: it wants a bank account
      └─────────┴──► cancelled                                    it never began: the money is in the wallet again

`doubt`: the gateway was asked, or is being asked, and has not said what came of it (refund_asking.py settles that).
From the beginning to the end the money stands in `user_refunding`, whatever the customer does meanwhile.

A closed refund stays closed. Should the gateway say the opposite later, the row remembers since when
(`contradicted_at`), the operator is told what that means for the money, and books it: `give_back()`, `book_as_gone()`.

Locks: the top-up, the customer (only to begin), the refund, disputes of the top-up, ledger accounts, the credit note's
number, the audit event.
"""

import logging
import secrets
from collections.abc import Callable
from datetime import timedelta

from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from namaskah import live, mail
from namaskah.auth import account_locks, audit
from namaskah.auth.models import User
from namaskah.db import db, require_transaction, transaction, violated
from namaskah.errors import UserError
from namaskah.wallet import debts, disputes, invoices, ledger, notes, refund_reading
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack_refunds import Refund
from namaskah.wallet.refund_models import GatewayRefund, RefundStep

log = logging.getLogger(__name__)

FIRST_CHECK = timedelta(minutes=1)
SYSTEM = "system"
# The gateway's word → our state.
STATES = {
    "pending": "pending",
    "processing": "processing",
    "processed": "processed",
    "failed": "failed",
    "needs-attention": "needs_attention",
}


class KeyUsed(UserError):
    """The form's one-time key belongs to another refund."""

    status = 409


def start(
    top_up_reference: str,
    amount_minor: int,
    *,
    reason: str,
    key: str,
    who: str,
    loss_minor: int = 0,
    loss_reason: str = "",
) -> GatewayRefund:
    """Take the money out of the wallet and write down that it is to go back; the gateway is not asked yet.

    `loss_minor` of the amount is paid by the house, because the wallet no longer holds it; that wants a `loss_reason`
    of its own. The same `key` gives the same refund. Raises UserError when it is more than may go back, KeyUsed.
    """
    try:
        with transaction():
            top_up = _lock_top_up(top_up_reference)
            account_locks.lock(top_up.user_id)  # deleting an account takes the same lock: none goes behind our back
            known = db.session.scalar(select(GatewayRefund).filter_by(key=key))
            if known is not None:
                return _same(known, top_up, amount_minor, loss_minor)
            _require_room(top_up, amount_minor, reason, loss_minor, loss_reason)
            refund = GatewayRefund(
                reference=f"RF-{secrets.token_hex(10)}",
                key=key,
                top_up_id=top_up.id,
                user_id=top_up.user_id,
                amount_minor=amount_minor,
                currency=top_up.currency,
                loss_minor=loss_minor,
                loss_reason=loss_reason.strip(),
                asked_by=who,
                reason=reason.strip(),
                state="asked",
                check_at=func.now() + FIRST_CHECK,
            )
            db.session.add(refund)
            db.session.flush()
            ledger.refund_to_source_begin(refund.user_id, _books(refund), amount_minor - loss_minor, loss_minor)
            _step(refund, who, refund.reason)
            live.publish_on_commit(refund.user_id, "wallet")
            details = {"reference": refund.reference, "amount_minor": amount_minor, "reason": refund.reason}
            if loss_minor:
                details |= {"loss_minor": loss_minor, "loss_reason": refund.loss_reason}
            audit.record("refund_started", refund.user_id, who, **details)
    except ledger.InsufficientFunds:
        raise UserError(
            _("The customer has less in the wallet by now, so nothing was refunded. Look once more.")
        ) from None
    except IntegrityError as error:
        raise _explained(error) from None
    return refund


def claim_call(reference: str, state: str, tries: int) -> bool:
    """Whether it is ours to ask the gateway to begin this refund: of all who try at once, one is told so. From the
    commit on it is in doubt, until somebody notes an answer."""
    with transaction():
        refund = _lock(reference)
        if (refund.state, refund.tries) != (state, tries):
            return False
        refund.state, refund.tries, refund.asked_at = "doubt", tries + 1, func.now()
    return True


def note(reference: str, answer: Refund, actor: str = SYSTEM) -> GatewayRefund:
    """What the gateway says of a refund becomes its state, and at most once money."""
    with transaction():
        refund = _lock(reference)
        problem = _not_ours(refund, answer)
        if problem:
            log.error("refund %s needs a person: %s", reference, problem)
            _complain(refund, problem)
            return refund
        is_new = refund.gateway_id is None
        if is_new:
            refund.gateway_id = answer.id
            if refund.is_open:
                _write(refund, mail.refund_started)
        refund.gateway_status = answer.status
        state = STATES.get(answer.status)
        if state is None:
            log.error("refund %s: unknown status %r at the gateway", reference, answer.status)
            _complain(refund, f"Paystack calls it {answer.status!r}, which we do not know")
        elif refund.is_open:
            refund.problem = ""
            _move(refund, state, actor)
        else:
            _compare(refund, state)
        if is_new and actor != SYSTEM:
            audit.record("refund_attached", refund.user_id, actor, reference=reference, gateway_id=answer.id)
    return refund


def note_problem(reference: str, problem: str) -> GatewayRefund:
    """Why an open refund does not get on; shown to the operator."""
    with transaction():
        refund = _lock(reference)
        if refund.is_open:
            _complain(refund, problem)
    return refund


def cancel(reference: str, tries: int, why: str, who: str = SYSTEM) -> GatewayRefund:
    """It never began at the gateway: the money goes back into the wallet. Call it only when that is certain as of the
    try with this number; a later try, or an answer that came since, makes it do nothing."""
    with transaction():
        refund = _lock(reference)
        if refund.state in ("asked", "doubt") and refund.gateway_id is None and refund.tries == tries:
            refund.problem = why
            _move(refund, "cancelled", who, why)
            if who != SYSTEM:
                audit.record("refund_cancelled", refund.user_id, who, reference=reference)
    return refund


def note_account(reference: str, last4: str, who: str) -> None:
    """The operator has named the account it shall be paid into; of that we keep the last four digits."""
    with transaction():
        refund = _lock(reference)
        refund.account_last4 = last4
        _step(refund, who, f"to be paid into the account ending in {last4}")
        audit.record("refund_account_given", refund.user_id, who, reference=reference)


def give_back(reference: str, who: str) -> GatewayRefund:
    """The gateway said processed and then failed, so the money is with it again: into the wallet with it, and a debit
    note takes the credit note back. Raises UserError unless it is so."""
    with transaction():
        refund = _lock(reference)
        if refund.state != "processed" or not refund.is_contradicted:
            raise UserError(_("There is nothing to book: Paystack and our books agree on this refund."), status=409)
        wallet_minor, house_minor = _shares(refund)
        disputes.look_again(refund.top_up_id)
        ledger.refund_to_source_return(refund.user_id, _books(refund), wallet_minor, house_minor, who)
        refund.returned_at = func.now()
        notes.issue(refund.top_up, f"{refund.reference}:returned", 0)
        _step(refund, who, "booked into the wallet: it came back to Paystack")
        live.publish_on_commit(refund.user_id, "wallet")
        _write(refund, mail.refund_failed, wallet_minor)
        audit.record("refund_returned", refund.user_id, who, reference=reference, amount_minor=refund.amount_minor)
    return refund


def book_as_gone(reference: str, who: str) -> GatewayRefund:
    """The gateway paid it out after we had put it back into the wallet: taken out there as far as it goes, the rest is
    our loss. Raises UserError unless it is so, or when the top-up has gone back otherwise since."""
    try:
        with transaction():
            refund = _lock(reference)
            if refund.state not in ("failed", "cancelled") or not refund.is_contradicted:
                raise UserError(_("There is nothing to book: Paystack and our books agree on this refund."), status=409)
            wallet_minor = min(_shares(refund)[0], ledger.balance(refund.user_id).available_minor)
            # From here on it is one that was processed, and the gateway agrees.
            refund.state, refund.settled_at, refund.contradicted_at = "processed", func.now(), None
            db.session.flush()
            house_minor = refund.amount_minor - wallet_minor
            ledger.refund_to_source_late(refund.user_id, _books(refund), wallet_minor, house_minor, who)
            _issue_note(refund)
            _step(refund, who, "booked as gone: Paystack paid it out after all")
            live.publish_on_commit(refund.user_id, "wallet")
            details = {"amount_minor": refund.amount_minor, "loss_minor": house_minor}
            audit.record("refund_booked_late", refund.user_id, who, reference=reference, **details)
    except ledger.InsufficientFunds:
        raise UserError(_("The customer's balance has just changed, so nothing was booked. Try again.")) from None
    except IntegrityError as error:
        raise _explained(error) from None
    return refund


def _require_room(top_up: TopUp, amount_minor: int, reason: str, loss_minor: int, loss_reason: str) -> None:
    """Under the top-up's lock. PostgreSQL refuses too; here it is said in words."""
    room = refund_reading.room_of(top_up)
    if top_up.state != "paid":
        raise UserError(_("This top-up was not credited, so there is nothing of it to give back."), status=409)
    if any(dispute.outcome is None for dispute in debts.disputes_of(top_up)):
        problem = _("This payment is disputed at its bank, and the bank decides what goes back. Nothing was refunded.")
        raise UserError(problem, status=409)
    if not 0 < amount_minor <= room.left_minor:
        raise UserError(_("That is more than is left of this payment. Nothing was refunded."), status=422)
    if not 0 <= loss_minor <= max(0, amount_minor - room.available_minor):
        problem = _("The wallet still holds this, so it is not ours to pay. Nothing was refunded.")
        raise UserError(problem, status=422)
    if amount_minor - loss_minor > room.available_minor:
        problem = _("The customer has spent part of it. Refund less, or say how much of it we pay, and why.")
        raise UserError(problem, status=422)
    if not reason.strip() or bool(loss_minor) != bool(loss_reason.strip()):
        raise UserError(_("Say why it is given back, and why we pay what the wallet does not hold."), status=422)


def _same(known: GatewayRefund, top_up: TopUp, amount_minor: int, loss_minor: int) -> GatewayRefund:
    if (known.top_up_id, known.amount_minor, known.loss_minor) != (top_up.id, amount_minor, loss_minor):
        raise KeyUsed(_("This form was sent before, with another amount. Look at it once more and send it again."))
    return known


def _explained(error: IntegrityError) -> Exception:
    """The rule that PostgreSQL has held up, in words."""
    name = violated(error)
    if name == "uq_gateway_refunds_key":
        return KeyUsed(_("This form was sent before, with another amount. Look at it once more and send it again."))
    if name in ("gateway_refund_within_paid", "invoice_credit_within_receipt"):
        return UserError(_("More would go back than was paid. Nothing was booked."), status=409)
    return error


def _not_ours(refund: GatewayRefund, answer: Refund) -> str:
    """What is wrong with an answer that ought to be about this refund; nothing, usually."""
    if (answer.amount_minor, answer.currency) != (refund.amount_minor, refund.currency):
        return f"Paystack has it with another amount: {answer.amount_minor} {answer.currency} in minor units"
    if answer.our_reference not in (None, refund.reference) or refund.gateway_id not in (None, answer.id):
        return f"Paystack's refund {answer.id} is another one"
    taken = select(GatewayRefund.reference).where(GatewayRefund.gateway_id == answer.id)
    other = db.session.scalar(taken.where(GatewayRefund.id != refund.id))
    return f"Paystack's refund {answer.id} is that of {other}" if other else ""


def _complain(refund: GatewayRefund, problem: str) -> None:
    if refund.problem != problem:
        refund.problem = problem
        _step(refund, SYSTEM, problem)


def _compare(refund: GatewayRefund, state: str) -> None:
    """A closed refund and what the gateway says of it now. An answer that was long on its way may still call it
    pending: that says nothing."""
    says_gone, says_failed = state == "processed", state == "failed"
    if refund.returned_at is not None or not (says_gone or says_failed):
        return
    if says_gone == (refund.state == "processed"):
        refund.contradicted_at = None
    elif refund.contradicted_at is None:
        refund.contradicted_at = func.now()
        log.error("refund %s is %s here, and %s at the gateway", refund.reference, refund.state, state)
        _step(refund, SYSTEM, f"Paystack says {state} now")


def _move(refund: GatewayRefund, state: str, actor: str, why: str = "") -> None:
    if refund.state == state:
        return
    refund.state = state
    _step(refund, actor, why)
    live.publish_on_commit(refund.user_id, "wallet")
    if refund.is_open:
        return
    refund.settled_at, refund.check_at = func.now(), None
    db.session.flush()
    if state == "processed":
        ledger.refund_to_source(refund.user_id, _books(refund), refund.amount_minor)
        _write(refund, mail.refund_processed, _issue_note(refund))
    else:
        wallet_minor, house_minor = _shares(refund)
        disputes.look_again(refund.top_up_id)
        ledger.refund_to_source_back(refund.user_id, _books(refund), wallet_minor, house_minor, state)
        if refund.gateway_id is not None:  # else the customer was never told of it
            _write(refund, mail.refund_failed, wallet_minor)


def _shares(refund: GatewayRefund) -> tuple[int, int]:
    """What goes to the wallet and what to the house, when it comes back. Nobody can spend in a deleted account."""
    if db.session.get_one(User, refund.user_id).deleted_at is not None:
        return 0, refund.amount_minor
    return refund.amount_minor - refund.loss_minor, refund.loss_minor


def _issue_note(refund: GatewayRefund) -> str:
    """The number of the paper that takes it off the receipt. Where a lost dispute has taken off all that was paid, that
    is the dispute's: nothing is taken off twice."""
    note = notes.issue(refund.top_up, refund.reference, refund.amount_minor)
    return (note or invoices.documents_of(refund.top_up)[-1]).full_number


def _write(refund: GatewayRefund, letter: Callable[..., None], *about: int | str) -> None:
    letter(db.session.get_one(User, refund.user_id), refund.amount_minor, refund.top_up.reference, *about)


def _step(refund: GatewayRefund, actor: str, what: str = "") -> None:
    db.session.add(RefundStep(refund_id=refund.id, state=refund.state, actor=actor, note=what))


def _books(refund: GatewayRefund) -> str:
    """How the ledger refers to it."""
    return f"gateway_refund:{refund.reference}"


def _lock(reference: str) -> GatewayRefund:
    """The refund's row, read anew and ours until the transaction ends, and its top-up's before it."""
    require_transaction()
    about = select(GatewayRefund.top_up_id).filter_by(reference=reference).scalar_subquery()
    query = select(TopUp).where(TopUp.id == about).with_for_update()
    if db.session.scalar(query.execution_options(populate_existing=True)) is None:
        raise refund_reading.UnknownRefund(reference)
    mine = select(GatewayRefund).filter_by(reference=reference).with_for_update()
    return db.session.scalars(mine.execution_options(populate_existing=True)).one()


def _lock_top_up(reference: str) -> TopUp:
    query = select(TopUp).filter_by(reference=reference).with_for_update()
    found = db.session.scalar(query.execution_options(populate_existing=True))
    if found is None:
        raise UserError(_("There is no top-up with this reference."), status=404)
    return found
