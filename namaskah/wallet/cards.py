"""Cards that customers keep with us: kept when a payment with one has been confirmed, listed, removed.

A card is kept only if its owner ticked the box and Paystack says that it may be charged again. Charging is in
card_charges, having Paystack forget one in card_deactivations.
"""

import hashlib
from contextlib import suppress
from typing import Any

from flask_babel import gettext as _
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.auth import audit, encryption
from namaskah.db import db, require_transaction, transaction
from namaskah.errors import UserError
from namaskah.wallet import auto_wishes
from namaskah.wallet.card_models import CardDeactivation, SavedCard
from namaskah.wallet.paystack import Payment
from namaskah.wallet.paystack_cards import Card, card_of, has_expired

DEACTIVATION = "card deactivation"  # of what is encrypted in card_deactivations
LARGEST_ID = 2**63 - 1


class CardGone(UserError):
    """There is no such card among the customer's, or it was removed."""

    status = 404


def of_user(user_id: int) -> list[SavedCard]:
    """A customer's cards, the newest first."""
    wanted = select(SavedCard).where(SavedCard.user_id == user_id, SavedCard.removed_at.is_(None))
    newest_first = wanted.order_by(SavedCard.id.desc()).execution_options(populate_existing=True)
    return list(db.session.scalars(newest_first))


def get(user_id: int, card_id: int) -> SavedCard:
    """One of a customer's own cards. Raises CardGone for removed ones and those of others alike."""
    return _require(_find(user_id, card_id))


def get_locked(user_id: int, card_id: int) -> SavedCard:
    """The same, and not to be removed by anybody before the open transaction ends."""
    require_transaction()
    return _require(_find(user_id, card_id, lock=True))


def name(card: SavedCard) -> str:
    """As people tell their cards apart: "Visa ···· 4081"."""
    return f"{card.brand.title()} ···· {card.last4}"


def is_expired(card: SavedCard) -> bool:
    return has_expired(card.exp_month, card.exp_year)


def code_of(card: SavedCard) -> str:
    """The secret by which a card is charged. Raises CardGone when it was removed, Unreadable when none of our keys made
    it."""
    if card.authorization_code is None:
        raise CardGone(_("This card was removed. Nothing was charged."))
    return encryption.decrypt(card.authorization_code, _context(card.user_id)).decode()


def keep(user_id: int, payment: Payment) -> bool:
    """Keep the card of a confirmed payment, unless it may not be charged again; whether it is kept.

    Needs an open transaction, and is its last step. The same card once more brings its newest code.
    """
    require_transaction()
    card = card_of(payment)
    if card is None:
        return False
    mine = select(SavedCard).where(
        SavedCard.user_id == user_id, SavedCard.signature == card.signature, SavedCard.removed_at.is_(None)
    )
    before = db.session.scalar(mine.with_for_update(key_share=True).execution_options(populate_existing=True))
    with suppress(encryption.Unreadable):  # a lost key must not stand in the way of the credit
        if before is not None and (old := code_of(before)) != card.code:
            _have_forgotten(old)
    db.session.execute(delete(CardDeactivation).where(CardDeactivation.code_digest == _digest(card.code)))
    _write(user_id, card)
    if before is None:
        audit.record("card_kept", user_id)
    return True


def remove(user_id: int, card_id: int) -> None:
    """Forget a card here at once, and at Paystack as soon as the worker gets through. What it was to be charged with by
    itself is switched off. Raises CardGone."""
    with transaction():
        card = get_locked(user_id, card_id)
        _forget(card)
        auto_wishes.card_is_gone(user_id, card.id)
        audit.record("card_removed", user_id)


def forget_all(user_id: int) -> None:
    """The account is being deleted: Paystack shall forget its cards too. Needs an open transaction."""
    require_transaction()
    wanted = select(SavedCard).where(SavedCard.user_id == user_id, SavedCard.removed_at.is_(None))
    locked = wanted.with_for_update(key_share=True).execution_options(populate_existing=True)
    for card in db.session.scalars(locked).all():
        _forget(card)
    db.session.flush()


def reencrypt() -> int:
    """Bring the codes of all cards under the newest key; returns how many were under an older one. Repeatable."""
    return sum(_reencrypt(model, row_id) for model in (SavedCard, CardDeactivation) for row_id in _under_older(model))


def _under_older(model: type[SavedCard] | type[CardDeactivation]) -> list[int]:
    sealed: Any = model.authorization_code
    is_old = func.substr(sealed, 1, encryption.NAME_BYTES) != encryption.newest_name()
    return list(db.session.scalars(select(model.id).where(sealed.is_not(None), is_old)))


def _reencrypt(model: type[SavedCard] | type[CardDeactivation], row_id: int) -> bool:
    with transaction():
        row: Any = db.session.get(model, row_id, with_for_update=True, populate_existing=True)
        if row is None or row.authorization_code is None:
            return False
        context = _context(row.user_id) if isinstance(row, SavedCard) else DEACTIVATION
        row.authorization_code = encryption.encrypt(encryption.decrypt(row.authorization_code, context), context)
    return True


def _find(user_id: int, card_id: int, *, lock: bool = False) -> SavedCard | None:
    wanted = select(SavedCard).where(SavedCard.id == min(card_id, LARGEST_ID), SavedCard.user_id == user_id)
    # Not FOR UPDATE: a top-up that is to be charged to it refers to the row, and its worker has the wish that we want.
    wanted = wanted.with_for_update(key_share=True) if lock else wanted
    found = db.session.scalar(wanted.execution_options(populate_existing=True))
    return found if found is not None and found.removed_at is None else None


def _require(found: SavedCard | None) -> SavedCard:
    if found is None:
        raise CardGone(_("There is no such card among yours; perhaps it was removed. Nothing was charged."))
    return found


def _write(user_id: int, card: Card) -> None:
    values = {
        "authorization_code": encryption.encrypt(card.code.encode(), _context(user_id)),
        "email": card.email,
        "brand": card.brand or "Card",
        "last4": card.last4,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "bank": card.bank,
    }
    insert = pg_insert(SavedCard).values(user_id=user_id, signature=card.signature, **values)
    where = SavedCard.removed_at.is_(None)
    db.session.execute(
        insert.on_conflict_do_update(index_elements=["user_id", "signature"], index_where=where, set_=values)
    )


def _forget(card: SavedCard) -> None:
    """Under the row's lock."""
    with suppress(encryption.Unreadable):  # then the key is lost, and nobody can charge it either
        _have_forgotten(code_of(card))
    now = db.session.scalars(select(func.now())).one()
    card.authorization_code, card.email, card.removed_at = None, None, now


def _have_forgotten(code: str) -> None:
    sealed = encryption.encrypt(code.encode(), DEACTIVATION)
    db.session.execute(
        pg_insert(CardDeactivation)
        .values(authorization_code=sealed, code_digest=_digest(code))
        .on_conflict_do_nothing(index_elements=["code_digest"])
    )


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


def _context(user_id: int) -> str:
    return f"card:{user_id}"
