"""Into the database: each account in a transaction of its own, with its money and its records, or not at all.

Killed in the middle, what is done is done and a second run does the rest: the row of `legacy_accounts`, unique by the
predecessor's id, is written first and says whether this account was here before. Locks: that row, the user, the
ledger's accounts, the audit log.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from flask import current_app
from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import IntegrityError

from namaskah import live, mail
from namaskah.auth import accounts, audit
from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.legacy.models import LegacyAccount, LegacyRecord
from namaskah.legacy.rules import Account, Plan
from namaskah.wallet import ledger

AT_ONCE = 1_000
NOTE = "balance of the earlier Namaskah"
# No decision makes money of these.
NOTHING_TO_PAY = {"negative_balance", "no_amount"}
# Whoever opened the account that is here may be a stranger: nothing of it is theirs, neither money nor records.
DOUBTED = "address_not_confirmed"


@dataclass(frozen=True)
class Orders:
    """What the operator wants: `decisions` names accounts whose money shall not wait, each perhaps with an address in
    the place of the file's; `password_hash` is of a password nobody knows; `actor` is who does it."""

    actor: str
    password_hash: str
    decisions: Mapping[str, str] = field(default_factory=dict)
    letters: bool = False

    def address(self, account: Account) -> str:
        return self.decisions.get(account.legacy_id) or account.email


@dataclass(frozen=True)
class Outcome:
    """What became of one account, or would. `action`: new (an account was made), joined (to one that was here), nobody
    (no address, or one that whoever has an account with it never confirmed), released (set aside until now), waits (set
    aside before, and still), known (nothing to do). `minor` came into the wallet now, `before_minor` earlier,
    `aside_minor` waits, for `reasons`; `notes` are other kinds of findings."""

    account: Account
    action: str
    minor: int = 0
    before_minor: int = 0
    aside_minor: int = 0
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def look(plan: Plan, orders: Orders) -> list[Outcome]:
    """What bring_over() would do. PostgreSQL itself refuses every write meanwhile."""
    found = []
    for account in plan.accounts:
        with transaction():
            db.session.execute(text("SET TRANSACTION READ ONLY"))
            known = db.session.scalar(select(LegacyAccount).where(LegacyAccount.legacy_id == account.legacy_id))
            owner = _find_owner(account, known, orders, lock=False)
            found.append(_judge(plan, account, known, owner, orders))
    return found


def bring_over(plan: Plan, orders: Orders, progress: Callable[[list[Account]], Iterable[Account]]) -> list[Outcome]:
    """Do it. Again is no error and does only what is left. `progress` passes the accounts through and may show how far
    it is."""
    found = []
    for account in progress(plan.accounts):
        try:
            found.append(_bring(plan, account, orders))
        except IntegrityError as error:
            # Its owner has registered at this very moment: now there is an account to join.
            if violated(error) != "uq_users_email_lower":
                raise
            found.append(_bring(plan, account, orders))
    return found


def opened_in_ledger() -> tuple[int, int]:
    """How many accounts have an opening entry, of this and all earlier runs, and what those sum to."""
    sums = select(func.count(), func.coalesce(func.sum(LegacyAccount.opened_minor), 0))
    count, total = db.session.execute(sums.where(LegacyAccount.opened_minor > 0)).one()
    return int(count), int(total)


def _bring(plan: Plan, account: Account, orders: Orders) -> Outcome:
    with transaction():
        is_new = _claim(plan, account)
        row = db.session.scalars(
            select(LegacyAccount)
            .where(LegacyAccount.legacy_id == account.legacy_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one()
        known = None if is_new else row
        owner = _find_owner(account, known, orders, lock=True)
        outcome = _judge(plan, account, known, owner, orders)
        if owner is None and outcome.action in {"new", "released"}:
            address = orders.address(account)
            owner = accounts.bring_over(address, orders.password_hash, account.created_at, account.is_verified)
        if outcome.action == "nobody":
            owner = None
        _keep_records(account, owner, outcome)
        if outcome.action not in {"known", "waits"}:
            _write(plan, row, owner, outcome, orders)
    return outcome


def _claim(plan: Plan, account: Account) -> bool:
    """Whether this account is here for the first time. Somebody else's import of it is waited for."""
    values = {"legacy_id": account.legacy_id, "state": "set_aside", "reasons": "being_read", "unit": plan.unit.written}
    values["currency"] = current_app.config["WALLET_CURRENCY"]
    added = pg_insert(LegacyAccount).values(values).on_conflict_do_nothing(index_elements=["legacy_id"])
    return db.session.scalar(added.returning(LegacyAccount.id)) is not None


def _find_owner(account: Account, known: LegacyAccount | None, orders: Orders, *, lock: bool) -> User | None:
    """Whose it is already: by an earlier run, by the older account of the same address, or by the address. Locks the
    row as deleting the account does: no money comes in behind its back."""
    address = orders.address(account)
    user_id = known.user_id if known else None
    if known is not None and user_id is None and account.legacy_id not in orders.decisions:
        return None  # nobody's, as was found then
    if user_id is None and account.older and address == account.email:
        user_id = db.session.scalar(select(LegacyAccount.user_id).where(LegacyAccount.legacy_id == account.older))
    if user_id is None and address:
        found = accounts.find_by_email(address)
        user_id = found.id if found else None
    if user_id is None:
        return None
    wanted = select(User).where(User.id == user_id).execution_options(populate_existing=True)
    return db.session.scalar(wanted.with_for_update(key_share=True) if lock else wanted)


def _judge(plan: Plan, account: Account, known: LegacyAccount | None, owner: User | None, orders: Orders) -> Outcome:
    """The one place that decides, for dry runs and real ones."""
    minor = max(plan.unit.of(account.cents or 0), 0)
    notes = _notes(account, known, owner)
    if known is not None and known.state == "opened":
        return Outcome(account, "known", before_minor=known.opened_minor, notes=notes)
    is_decided = account.legacy_id in orders.decisions
    if known is None:
        reasons, action = _reasons(account, owner), _first_action(account, owner, orders)
    else:
        reasons, action = tuple(known.reasons.split()), "waits"
    if is_decided and "other_address" not in notes:
        gone = owner is not None and owner.deleted_at is not None
        reasons = tuple(
            kind for kind in reasons if kind in NOTHING_TO_PAY and (account.cents is None or account.cents < 0)
        )
        reasons += ("account_closed",) if gone else () if orders.address(account) else ("no_address",)
        action = "released" if action == "waits" and not reasons else action
    elif DOUBTED in reasons and known is None:
        action = "nobody"
    if reasons:
        return Outcome(account, action, aside_minor=minor, reasons=reasons, notes=notes)
    return Outcome(account, action, minor=minor, notes=notes)


def _first_action(account: Account, owner: User | None, orders: Orders) -> str:
    address = orders.address(account)
    is_theirs = owner is not None or (account.older and address == account.email)
    return "nobody" if not address else "joined" if is_theirs else "new"


def _reasons(account: Account, owner: User | None) -> tuple[str, ...]:
    """Why the money of an account that was never here waits."""
    if owner is None or account.older:
        return account.reasons
    closed = () if owner.is_active else ("account_closed",)
    return account.reasons + closed + (() if owner.is_verified else (DOUBTED,))


def _notes(account: Account, known: LegacyAccount | None, owner: User | None) -> tuple[str, ...]:
    if known is None:
        return ("joined",) if owner is not None and owner.is_verified and not account.older else ()
    notes = ["deleted_since"] if owner is not None and owner.deleted_at else []
    if known.credits != account.credits:
        notes.append("changed_since")
    before = select(LegacyRecord.content["email"].astext).filter_by(source="users", legacy_id=account.legacy_id)
    email = db.session.scalar(before)
    if email is not None and email.strip().lower() != account.written.strip().lower():
        notes.append("other_address")
    return tuple(notes)


def _keep_records(account: Account, owner: User | None, outcome: Outcome) -> None:
    """What is known of somebody, but of nobody who has left since: that was erased, and stays so."""
    if owner is None or owner.deleted_at is not None or "other_address" in outcome.notes:
        return
    rows = [
        {
            "source": each.source,
            "legacy_id": each.legacy_id,
            "user_id": owner.id,
            "at": each.at,
            "content": each.content,
        }
        for each in account.records
    ]
    for first in range(0, len(rows), AT_ONCE):
        db.session.execute(pg_insert(LegacyRecord).on_conflict_do_nothing(), rows[first : first + AT_ONCE])


def _write(plan: Plan, row: LegacyAccount, owner: User | None, outcome: Outcome, orders: Orders) -> None:
    """The account's own row, its money, and word of it."""
    account = outcome.account
    row.credits = account.credits
    row.unit, row.user_id = plan.unit.written, owner.id if owner else None
    row.reasons = " ".join(outcome.reasons)
    if owner is not None and not outcome.reasons:
        row.state, row.opened_minor, row.opened_at = "opened", outcome.minor, func.now()
    db.session.flush()
    if owner is None:
        return
    if outcome.minor:
        ledger.opening_balance(owner.id, row.reference, outcome.minor, orders.actor, NOTE)
        live.publish_on_commit(owner.id, "wallet")
    if outcome.action == "new" and orders.letters:
        mail.account_moved(owner)
    audit.record("brought_over", owner.id, orders.actor, legacy_id=account.legacy_id, minor=outcome.minor)
