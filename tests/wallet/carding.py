"""A payer whose card is kept, and what else tests about cards look at."""

import secrets
from typing import Any

from sqlalchemy import select, text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import auto_topups, auto_wishes, cards, ledger, topups
from namaskah.wallet.card_models import AutoTopUp, SavedCard
from namaskah.wallet.models import TopUp

from .counter import Counter

AMOUNT = 250_000
BELOW = 100_000
LIMIT = 600_000


def kept_card(user: User, counter: Counter, **card: Any) -> SavedCard:
    """Paid for and kept as a customer does it: by a checkout with the box ticked. The wallet has AMOUNT more then."""
    opened = topups.open_top_up(user, AMOUNT, secrets.token_hex(16), keep_card=True)
    counter.pay_by_card(opened.reference, **card)
    assert topups.settle(opened.reference).state == "paid"
    return cards.of_user(user.id)[0]


def spend_to(user: User, left_minor: int) -> None:
    """Hold so much that this is left to spend."""
    too_much = available(user) - left_minor
    if too_much:
        with transaction():
            ledger.hold(user.id, f"activation:{secrets.randbelow(10**9)}", too_much)


def switched_on(user: User, card: SavedCard, below: int = BELOW, amount: int = AMOUNT, limit: int = LIMIT) -> None:
    auto_topups.switch_on(user, card.id, below, amount, limit)


def wish(user: User) -> AutoTopUp:
    db.session.rollback()
    found = auto_wishes.of_user(user.id)
    assert found is not None
    return found


def due_now(user: User) -> None:
    """Its next turn has come."""
    with transaction():
        db.session.execute(text("UPDATE auto_top_ups SET due_at = now() WHERE user_id = :id"), {"id": user.id})


def available(user: User) -> int:
    return ledger.balance(user.id).available_minor


def top_ups(user: User, origin: str) -> list[TopUp]:
    db.session.rollback()
    query = select(TopUp).filter_by(user_id=user.id, origin=origin).order_by(TopUp.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def letters(user: User) -> list[dict[str, str]]:
    """What was written to the user, oldest first, but for receipts of checkouts."""
    query = text("SELECT args FROM procrastinate_jobs WHERE task_name = 'send_mail' AND args->>'to' = :to ORDER BY id")
    found = db.session.scalars(query, {"to": user.email})
    return [letter for letter in found if "is in your wallet" not in letter["subject"]]


def charged(counter: Counter) -> int:
    """How often the gateway took money from a kept card."""
    return sum(found.status == "success" and not found.callback_url for found in counter.world.till.transactions())


def turn_up(user: User, amount_minor: int) -> None:
    """So much more to spend."""
    with transaction():
        ledger.adjust(user.id, f"test:{secrets.token_hex(6)}", amount_minor, "test", "more to spend")
