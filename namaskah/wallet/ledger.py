"""What moves money: every verb of the double-entry ledger, and nothing else does.

Each verb runs inside the caller's `transaction()`, is told the business reference it acts for ("activation:7"), makes
its idempotency key from it and does nothing the second time; it returns whether it moved money now. PostgreSQL refuses
unbalanced transactions, changed or deleted entries and overdrafts (migrations/versions/*_ledger.py), so a mistake here
becomes an error, never a wrong balance.

Sign: what we owe is positive (a customer's money), what we own or have spent is negative. Wallet amounts are in minor
units (scale 2), provider amounts in millionths of the provider's currency (scale 6).
Locks: the caller's own row first, then the customer's gifts, then the accounts; entries are written in account-id order
by every verb.
"""

from dataclasses import dataclass
from datetime import datetime

from flask import current_app
from sqlalchemy import insert, select
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.exc import IntegrityError

from namaskah.db import db, require_transaction, violated
from namaskah.wallet import house, promo_spending
from namaskah.wallet.models import LedgerAccount, LedgerEntry, LedgerTransaction

WALLET_SCALE = 2
PROVIDER_SCALE = 6


class InsufficientFunds(Exception):
    """The account would go below zero. The transaction it happened in cannot go on."""


class UnknownHold(Exception):
    """There is no hold for this reference, or it was resolved the other way already."""


@dataclass(frozen=True)
class Account:
    """Whose account, by meaning; its row is made when money first touches it."""

    kind: str
    currency: str
    user_id: int | None = None
    provider: str | None = None

    @property
    def scale(self) -> int:
        return PROVIDER_SCALE if self.provider else WALLET_SCALE


@dataclass(frozen=True)
class Balance:
    """A wallet as its owner sees it, in minor units. `available_minor` is the customer's own money, `promo_minor` gifts
    that have not run out; `promo_until` is when the first of those does."""

    available_minor: int
    held_minor: int
    currency: str
    promo_minor: int = 0
    promo_until: datetime | None = None
    refunding_minor: int = 0  # on its way back to where it was paid from

    @property
    def spendable_minor(self) -> int:
        """What a purchase may cost."""
        return self.available_minor + self.promo_minor


def balance(user_id: int) -> Balance:
    """What a user can spend and what is held; zero for who never had money."""
    currency = _wallet_currency()
    rows = db.session.execute(
        select(LedgerAccount.kind, LedgerAccount.balance).where(
            LedgerAccount.user_id == user_id, LedgerAccount.currency == currency
        )
    ).all()
    amounts = {row.kind: row.balance for row in rows}
    gifts = promo_spending.unexpired(user_id, currency) if amounts.get("user_promo") else (0, None)
    available, held, refunding = (amounts.get(f"user_{kind}") or 0 for kind in ("available", "held", "refunding"))
    return Balance(available, held, currency, *gifts, refunding_minor=refunding)


def top_up(user_id: int, reference: str, amount_minor: int, fees_minor: int = 0) -> bool:
    """Credit money that the gateway has confirmed. `fees_minor` is the part the gateway keeps from us."""
    return _post(
        "top_up",
        reference,
        {
            _user("user_available", user_id): amount_minor,
            _house("gateway_clearing"): fees_minor - amount_minor,
            _house("gateway_fees"): -fees_minor,
        },
    )


def surcharge(reference: str, amount_minor: int) -> bool:
    """The part of a payment that its payer added for the gateway's fee. It is no customer's money: it stands against
    the fees we bear, and whatever the gateway took more or less than it stays there, as the house's."""
    return _post(
        "surcharge", reference, {_house("gateway_clearing"): -amount_minor, _house("gateway_fees"): amount_minor}
    )


def refund_to_source_begin(user_id: int, reference: str, wallet_minor: int, loss_minor: int) -> bool:
    """Set aside what goes back to where it was paid from: the wallet's part, and what the house adds. Raises
    InsufficientFunds when the wallet holds less."""
    return _post(
        "refund_to_source_begin",
        reference,
        {
            _user("user_available", user_id): -wallet_minor,
            _house("promo"): -loss_minor,
            _user("user_refunding", user_id): wallet_minor + loss_minor,
        },
    )


def refund_to_source(user_id: int, reference: str, amount_minor: int) -> bool:
    """What was set aside has gone back: the gateway paid it out of what it holds for us."""
    return _post(
        "refund_to_source",
        reference,
        {_user("user_refunding", user_id): -amount_minor, _house("gateway_clearing"): amount_minor},
    )


def refund_to_source_back(user_id: int, reference: str, wallet_minor: int, house_minor: int, note: str) -> bool:
    """It did not go back: to the wallet and to the house what each had given."""
    return _post(
        "refund_to_source_back",
        reference,
        {
            _user("user_refunding", user_id): -wallet_minor - house_minor,
            _user("user_available", user_id): wallet_minor,
            _house("promo"): house_minor,
        },
        note=note,
    )


def refund_to_source_return(user_id: int, reference: str, wallet_minor: int, house_minor: int, actor: str) -> bool:
    """It had gone back and came again to the gateway: to the wallet and to the house what each had given."""
    return _post(
        "refund_to_source_return",
        reference,
        {
            _house("gateway_clearing"): -wallet_minor - house_minor,
            _user("user_available", user_id): wallet_minor,
            _house("promo"): house_minor,
        },
        actor=actor,
    )


def refund_to_source_late(user_id: int, reference: str, wallet_minor: int, house_minor: int, actor: str) -> bool:
    """It went back after we had booked that it did not: out of the wallet what is there, the rest is the house's loss.
    Raises InsufficientFunds when the wallet holds less."""
    return _post(
        "refund_to_source_late",
        reference,
        {
            _user("user_available", user_id): -wallet_minor,
            _house("promo"): -house_minor,
            _house("gateway_clearing"): wallet_minor + house_minor,
        },
        actor=actor,
    )


def hold(user_id: int, reference: str, amount_minor: int) -> bool:
    """Set money aside for a purchase: gifts first, those that run out first before others, then the customer's own.

    Raises InsufficientFunds, and then the caller's transaction must end.
    """
    written = _begin("hold", reference)
    if written is None:
        return False
    gift = promo_spending.take(user_id, _wallet_currency(), reference, amount_minor)
    amounts = {
        _user("user_available", user_id): gift - amount_minor,
        _user("user_promo", user_id): -gift,
        _user("user_held", user_id): amount_minor,
    }
    _enter(written, reference, amounts)
    return True


def capture(user_id: int, reference: str, amount_minor: int) -> bool:
    """Take held money: the goods were delivered. Raises UnknownHold without a hold, or after a release."""
    _require_hold(reference, amount_minor, unless="release")
    return _post(
        "capture",
        reference,
        {_user("user_held", user_id): -amount_minor, _house("revenue"): amount_minor},
    )


def release(user_id: int, reference: str, amount_minor: int, note: str = "") -> bool:
    """Give held money back, each part to where it came from. Raises UnknownHold without a hold, or after a capture."""
    _require_hold(reference, amount_minor, unless="capture")
    written = _begin("release", reference, note=note)
    if written is None:
        return False
    gift = promo_spending.give_back(reference)
    amounts = {
        _user("user_held", user_id): -amount_minor,
        _user("user_promo", user_id): gift,
        _user("user_available", user_id): amount_minor - gift,
    }
    _enter(written, reference, amounts)
    return True


def refund(user_id: int, reference: str, amount_minor: int, actor: str, note: str) -> bool:
    """Give captured money back, once and whole; what was a gift becomes one again.

    Raises UnknownHold when not just this much was captured for the reference.
    """
    if _amount_of("capture", reference) != amount_minor:
        raise UnknownHold(reference)
    written = _begin("refund", reference, actor=actor, note=note)
    if written is None:
        return False
    gift = promo_spending.give_anew(user_id, reference)
    amounts = {
        _house("revenue"): -amount_minor,
        _user("user_promo", user_id): gift,
        _user("user_available", user_id): amount_minor - gift,
    }
    _enter(written, reference, amounts)
    return True


def promo_grant(user_id: int, reference: str, amount_minor: int, actor: str, note: str) -> bool:
    """The house gives a customer credit. Whose row it is and until when stands in `promo_grants`: see promo.py."""
    amounts = {_user("user_promo", user_id): amount_minor, _house("promo"): -amount_minor}
    return _post("promo_granted", reference, amounts, actor=actor, note=note)


def promo_expire(user_id: int, reference: str, amount_minor: int, actor: str, note: str) -> bool:
    """What is left of a gift goes back to the house. Only promo.py calls it, with the gift's row locked."""
    amounts = {_user("user_promo", user_id): -amount_minor, _house("promo"): amount_minor}
    return _post("promo_expired", reference, amounts, actor=actor, note=note)


def adjust(user_id: int, reference: str, amount_minor: int, actor: str, note: str) -> bool:
    """Add to (positive) or take from (negative) a wallet by hand. Raises ValueError without a reason."""
    if not note.strip():
        raise ValueError("an adjustment needs a reason")
    return _post(
        "adjustment",
        reference,
        {_user("user_available", user_id): amount_minor, _house("promo"): -amount_minor},
        actor=actor,
        note=note,
    )


def opening_balance(user_id: int, reference: str, amount_minor: int, actor: str, note: str) -> bool:
    """What a customer had in the predecessor's books and has here from now on. `suspense` holds the other side, until
    whoever took that money pays it in."""
    amounts = {_user("user_available", user_id): amount_minor, _house("suspense"): -amount_minor}
    return _post("opening_balance", reference, amounts, actor=actor, note=note)


def provider_charge(provider: str, currency: str, reference: str, cost_micros: int) -> bool:
    """The provider took the cost of an order from our balance there."""
    return _post(
        "provider_charge", reference, _between("provider_cost", "provider_float", provider, currency, cost_micros)
    )


def provider_refund_due(provider: str, currency: str, reference: str, cost_micros: int) -> bool:
    """An order ended without delivery: from now on the provider owes us its cost."""
    entries = _between("provider_receivable", "provider_cost", provider, currency, cost_micros)
    return _post("provider_refund_due", reference, entries)


def provider_refund(provider: str, currency: str, reference: str, cost_micros: int) -> bool:
    """The provider gave the cost of an undelivered order back."""
    entries = _between("provider_float", "provider_receivable", provider, currency, cost_micros)
    return _post("provider_refund", reference, entries)


def provider_kept(provider: str, currency: str, reference: str, cost_micros: int) -> bool:
    """The provider will not give it back (it delivered, too late for the customer): what it owed is our cost."""
    entries = _between("provider_cost", "provider_receivable", provider, currency, cost_micros)
    return _post("provider_kept", reference, entries)


def provider_balance(provider: str, currency: str, reference: str, difference_micros: int, note: str) -> bool:
    """Bring our picture of a provider's balance to what it reports: money paid in there, or a difference that somebody
    has to explain."""
    entries = _between("provider_float", "provider_suspense", provider, currency, difference_micros)
    return _post("provider_balance", reference, entries, note=note)


def provider_float_micros(provider: str, currency: str) -> int:
    """Our money at a provider, by our books."""
    wanted = (LedgerAccount.provider == provider, LedgerAccount.currency == currency)
    return -sum(micros for _name, _kind, micros in house.balances(LedgerAccount.kind == "provider_float", *wanted))


def post(kind: str, reference: str, lines: dict[Account, int], *, actor: str = "system", note: str = "") -> bool:
    """One movement by a verb of another module of the wallet, under the same rules as those above: amounts by account
    sum to zero, and the second time nothing moves. Raises InsufficientFunds."""
    return _post(kind, reference, lines, actor=actor, note=note)


def _between(to: str, source: str, provider: str, currency: str, micros: int) -> dict[Account, int]:
    """`micros` from one of a provider's accounts to another. They hold what is ours: more of it is more negative."""
    return {
        Account(to, currency, provider=provider): -micros,
        Account(source, currency, provider=provider): micros,
    }


def _user(kind: str, user_id: int) -> Account:
    return Account(kind, _wallet_currency(), user_id=user_id)


def _house(kind: str) -> Account:
    return Account(kind, _wallet_currency())


def _wallet_currency() -> str:
    return str(current_app.config["WALLET_CURRENCY"])


def _post(kind: str, reference: str, amounts: dict[Account, int], *, actor: str = "system", note: str = "") -> bool:
    """Write one transaction and its entries, unless it was written before."""
    written = _begin(kind, reference, actor=actor, note=note)
    if written is not None:
        _enter(written, reference, amounts)
    return written is not None


def _begin(kind: str, reference: str, *, actor: str = "system", note: str = "") -> int | None:
    """Number of a new transaction, whose entries must follow; None when it was written before."""
    require_transaction()
    return db.session.execute(
        pg_insert(LedgerTransaction)
        .values(kind=kind, idempotency_key=f"{kind}:{reference}", reference=reference, actor=actor, note=note)
        .on_conflict_do_nothing(index_elements=["idempotency_key"])
        .returning(LedgerTransaction.id)
    ).scalar_one_or_none()


def _enter(transaction_id: int, reference: str, amounts: dict[Account, int]) -> None:
    """Write a transaction's entries, in order of their accounts. Raises InsufficientFunds."""
    lines = sorted((_account_id(account), amount) for account, amount in amounts.items() if amount)
    if not lines:
        raise ValueError(f"{reference} moves no money")
    try:
        db.session.execute(
            insert(LedgerEntry),
            [{"transaction_id": transaction_id, "account_id": account, "amount": amount} for account, amount in lines],
        )
    except IntegrityError as error:
        if violated(error) == "ck_ledger_accounts_not_negative":
            raise InsufficientFunds(reference) from None
        raise


def _account_id(account: Account) -> int:
    """Row of an account, made on first use. Two at once: one inserts, the other finds it."""
    values = {
        "kind": account.kind,
        "user_id": account.user_id,
        "provider": account.provider,
        "currency": account.currency,
    }
    found = select(LedgerAccount.id).filter_by(**values)
    known = db.session.scalar(found)
    if known is None:
        start = 0 if account.user_id else None
        db.session.execute(
            pg_insert(LedgerAccount).values(**values, scale=account.scale, balance=start).on_conflict_do_nothing()
        )
        known = db.session.scalars(found).one()
    return known


def _amount_of(kind: str, reference: str) -> int | None:
    """What a transaction moved (sum of its positive entries), or None when there is none."""
    amounts = db.session.scalars(
        select(LedgerEntry.amount)
        .join(LedgerTransaction)
        .where(LedgerTransaction.idempotency_key == f"{kind}:{reference}", LedgerEntry.amount > 0)
    ).all()
    return sum(amounts) if amounts else None


def _require_hold(reference: str, amount_minor: int, unless: str) -> None:
    if _amount_of("hold", reference) != amount_minor or _amount_of(unless, reference) is not None:
        raise UnknownHold(reference)
