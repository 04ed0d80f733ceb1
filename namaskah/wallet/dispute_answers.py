"""What an operator answers to a dispute, and its way to the gateway.

The decision and the very paper that goes with it are written down first; the worker then sends it, step by step, each
step noted when it is done. Before each try the gateway is asked how the dispute stands: an answer whose outcome was
lost on the way is seen there and not given twice.
"""

import hashlib
import logging
from datetime import timedelta

from flask_babel import gettext as _
from sqlalchemy import func, select, update

from namaskah.auth import account_locks, audit
from namaskah.auth.models import User
from namaskah.claims import claim_due
from namaskah.db import db, leave_database, transaction
from namaskah.errors import UserError
from namaskah.wallet import debts, disputes
from namaskah.wallet.dispute_models import ANSWERS, Dispute, DisputePaper
from namaskah.wallet.paystack import GatewayDown, GatewayRefused, SubjectUnknown
from namaskah.wallet.paystack_disputes import DisputeDesk

log = logging.getLogger(__name__)

LONGEST_REASON = 1000
# Longer than all calls of one try together.
NEXT_TRY = timedelta(minutes=2)
NO_PHONE = "not collected"


def answer(dispute_id: int, what: str, reason: str, paper: bytes, operator: User) -> Dispute:
    """Decide to give in ("accepted") or to fight ("declined"), with the paper the gateway shall get; the worker sends
    both. `reason` is told to the bank.

    Raises UserError without a reason (422), or when the dispute does not wait for us or is being answered (409).
    """
    words = reason.strip()[:LONGEST_REASON]
    if what not in ANSWERS or not words:
        raise UserError(_("Say in a few words why. The bank reads it."), status=422)
    who = f"user:{operator.id}"
    with transaction():
        found = db.session.get_one(Dispute, dispute_id)
        account_locks.lock(found.user_id)
        dispute = debts.lock_dispute(dispute_id)
        if dispute.answer is not None or dispute.state != disputes.AWAITS_US:
            raise UserError(
                _("This dispute was answered already, or waits for nobody here. Look at it again."), status=409
            )
        now = db.session.scalars(select(func.now())).one()
        dispute.answer, dispute.answer_reason, dispute.answered_by = what, words, who
        dispute.answer_asked_at = dispute.answer_due_at = now
        dispute.answer_problem = ""
        digest = hashlib.sha256(paper).hexdigest()
        db.session.add(DisputePaper(dispute_id=dispute.id, user_id=dispute.user_id, content=paper, sha256=digest))
        db.session.flush()
        about = {"dispute": dispute.gateway_id, "reason": words, "paper_sha256": digest}
        audit.record(f"dispute_{what}", dispute.user_id, who, **about)
    return dispute


def send_due(limit: int = 5) -> int:
    """Worker: send answers that are due; gives how many tries were made. Stops when the gateway is away."""
    for done in range(limit):
        dispute_id = claim_due(Dispute.answer_due_at, NEXT_TRY, Dispute.id)
        if dispute_id is None:
            return done
        try:
            send(dispute_id)
        except (GatewayDown, SubjectUnknown) as error:
            log.warning("the answer to dispute no. %s is not through yet (%s)", dispute_id, error)
            return done
    return limit


def send(dispute_id: int) -> None:
    """Bring one answer to the gateway, from where the last try had ended. Raises GatewayDown: it is tried again, after
    a look at what the gateway has. A clear no is kept with the dispute, which then waits for another answer."""
    gateway_id = db.session.get_one(Dispute, dispute_id).gateway_id
    try:
        if not _still_to_be_sent(disputes.refresh(gateway_id)):
            return
        _send_steps(disputes.desk(), dispute_id)
        refusal = ""
    except GatewayRefused as error:
        log.error("dispute %s: the gateway refuses the answer (%s)", gateway_id, error)
        refusal = error.reason
    if _still_to_be_sent(disputes.refresh(gateway_id)) and refusal:
        _give_up(dispute_id, refusal)


def paper_of(dispute_id: int) -> DisputePaper | None:
    """What was sent last about a dispute."""
    wanted = select(DisputePaper).filter_by(dispute_id=dispute_id).order_by(DisputePaper.id.desc()).limit(1)
    return db.session.scalar(wanted)


def _still_to_be_sent(dispute: Dispute) -> bool:
    return dispute.answer is not None and dispute.answered_at is None and dispute.state == disputes.AWAITS_US


def _send_steps(desk: DisputeDesk, dispute_id: int) -> None:
    """Paper, evidence, answer: what is done is written down before the next step."""
    dispute = db.session.get_one(Dispute, dispute_id, populate_existing=True)
    owner = db.session.get_one(User, dispute.user_id)
    paper = paper_of(dispute_id)
    assert paper is not None, "an answer comes with its paper"
    leave_database()
    if dispute.uploaded_as is None:
        name = f"dispute-{dispute.gateway_id}.pdf"
        _note(dispute_id, uploaded_as=desk.upload(dispute.gateway_id, name, paper.content))
    if dispute.answer == "declined" and dispute.evidence_sent_at is None:
        reference = desk.add_evidence(dispute.gateway_id, _about(desk, dispute, owner))
        _note(dispute_id, evidence_ref=reference, evidence_sent_at=func.now())
    dispute = db.session.get_one(Dispute, dispute_id, populate_existing=True)
    leave_database()
    is_given_up = dispute.answer == "accepted"
    desk.resolve(
        dispute.gateway_id,
        disputes.ANSWERS[dispute.answer or ""],
        dispute.answer_reason,
        dispute.claimed_minor if is_given_up else 0,
        dispute.uploaded_as or "",
        dispute.evidence_ref,
    )


def _about(desk: DisputeDesk, dispute: Dispute, owner: User) -> dict[str, str]:
    """Who the customer is. We ask nobody for a phone number: the gateway may know the payer's."""
    told = desk.dispute(dispute.gateway_id)
    return {
        "customer_email": owner.email,
        "customer_name": owner.name or f"Customer {owner.id}",
        "customer_phone": (told and told.payer_phone) or NO_PHONE,
        "service_details": "Wallet top-up, spent on numbers that receive verification codes by SMS. "
        + dispute.answer_reason,
    }


def _note(dispute_id: int, **values: object) -> None:
    with transaction():
        db.session.execute(update(Dispute).where(Dispute.id == dispute_id).values(**values))


def _give_up(dispute_id: int, refusal: str) -> None:
    with transaction():
        dispute = debts.lock_dispute(dispute_id)
        dispute.forget_answer()
        dispute.answer_problem = refusal
