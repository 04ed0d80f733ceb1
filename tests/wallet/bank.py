"""The payer's bank, as the simulated gateway plays it, and what a dispute leaves in our books."""

import json
import secrets
from typing import Any

from sqlalchemy import select, text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.sandbox.disputes import Dispute as TheirDispute
from namaskah.wallet import disputes, events, ledger, topups
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.models import LedgerAccount, TopUp

from .counter import Counter

AMOUNT = 250_000


class Bank:
    """Disputes at the gateway, reached past its HTTP."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.books = counter.world.disputes

    def opens(self, top_up: TopUp, amount_minor: int | None = None, **more: Any) -> TheirDispute:
        return self.books.open(top_up.reference, amount_minor, **more)

    def decides(self, theirs: TheirDispute, outcome: str) -> None:
        self.books.decide(theirs, outcome)

    def expires(self, theirs: TheirDispute) -> None:
        self.books.let_time_run_out(theirs)

    def reopens(self, theirs: TheirDispute) -> None:
        self.books.reopen(theirs)


def paid_top_up(payer: User, counter: Counter, amount_minor: int = AMOUNT) -> TopUp:
    """Paid at the gateway and credited here."""
    opened = topups.open_top_up(payer, amount_minor, secrets.token_hex(16))
    counter.pay(opened.reference)
    return topups.settle(opened.reference)


def spend(user: User, amount_minor: int) -> None:
    """A number is bought and its code comes."""
    reference = f"activation:{secrets.randbelow(10**9)}"
    with transaction():
        ledger.hold(user.id, reference, amount_minor)
        ledger.capture(user.id, reference, amount_minor)


def heard(theirs: TheirDispute) -> Dispute:
    """We ask about it, as after a webhook."""
    return disputes.refresh(str(theirs.id))


def webhook(theirs: TheirDispute, what: str) -> str | None:
    """The webhook as it was sent last comes in and is handled; gives its outcome."""
    notice = next(each for each in reversed(theirs.notices) if each["event"] == f"charge.dispute.{what}")
    body = json.dumps({"event": notice["event"], "data": notice["data"]}).encode()
    stored = events.receive_event(body)
    events.handle_event(stored.id)
    db.session.refresh(stored)
    return stored.outcome


def books(user: User) -> dict[str, int]:
    """What stands where in this customer's accounts; what is zero is left out."""
    db.session.rollback()
    rows = db.session.execute(select(LedgerAccount.kind, LedgerAccount.balance).filter_by(user_id=user.id))
    return {kind.removeprefix("user_"): balance for kind, balance in rows if balance}


def ours(theirs: TheirDispute) -> Dispute:
    db.session.rollback()
    query = select(Dispute).filter_by(gateway_id=str(theirs.id)).execution_options(populate_existing=True)
    return db.session.scalars(query).one()


def letters(email: str) -> list[str]:
    """Subjects of the letters left for an address, oldest first."""
    query = text(
        "SELECT args->>'subject' FROM procrastinate_jobs"
        " WHERE task_name = 'send_mail' AND args->>'to' = :to ORDER BY id"
    )
    return list(db.session.scalars(query, {"to": email}))
