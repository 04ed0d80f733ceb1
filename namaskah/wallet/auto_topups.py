"""Automatic top-ups: the worker charges a kept card when a wallet runs low, as its owner has set up.

    below the threshold ──► intent (row `opened`, our reference) ──► charge ──► settle(): paid ──► letter
                                                                             ├─ a definite no ──► off, letter
                                                                             └─ not clear ──► verify decides, later too

At most one is under way per customer (a unique index), the day's limit is counted under the lock of the customer's
wish, and a charge is repeated only under the reference it went out with. Locks: the account, the wish, then the new
top-up.
"""

import logging
from datetime import timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import and_, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.auth import account_locks, audit, policies
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.wallet import auto_wishes, card_charges, cards, ledger, promo_spending, topups
from namaskah.wallet.card_models import AutoTopUp
from namaskah.wallet.models import AUTO_UNDER_WAY, LedgerAccount, TopUp
from namaskah.wallet.paystack import GatewayDown, GatewayRefused

log = logging.getLogger(__name__)

MOST_A_DAY = 5  # whatever the amounts
DAY = timedelta(days=1)
TURN = timedelta(seconds=45)  # longer than a charge with all its deadlines
# As long as the gateway may still be told for the first time; well before topups.UNHEARD_AFTER says that it was not.
CHARGE_AGAIN_FOR = timedelta(minutes=3)


def switch_on(user: User, card_id: int, below_minor: int, amount_minor: int, day_limit_minor: int) -> None:
    """From now on charge this card `amount_minor` when less than `below_minor` can be spent, at most `day_limit_minor`
    in 24 hours. Raises UserError when the amounts contradict each other or the limits, CardGone."""
    topups.require_amount(amount_minor)
    if not 0 < below_minor <= amount_minor <= day_limit_minor:
        raise UserError(_("These amounts do not fit together. Nothing was changed and nothing was charged."))
    values = {
        "is_on": True,
        "currency": current_app.config["WALLET_CURRENCY"],
        "below_minor": below_minor,
        "amount_minor": amount_minor,
        "day_limit_minor": day_limit_minor,
        "off_reason": "",
        "off_detail": "",
        "waits_for": "",
        "due_at": func.now(),
        "changed_at": func.now(),
    }
    with transaction():
        card = cards.get_locked(user.id, card_id)
        if cards.is_expired(card):
            raise UserError(_("This card has expired. Nothing was charged; choose another one."), status=422)
        values["card_id"] = card.id
        insert = pg_insert(AutoTopUp).values(user_id=user.id, **values)
        db.session.execute(insert.on_conflict_do_update(index_elements=["user_id"], set_=values))
        audit.record("auto_top_up_on", user.id)


def charge_due(limit: int = 20) -> int:
    """Worker: top up wallets that have run low, one after the other; gives how many had their turn. Stops at the first
    sign that the gateway is away."""
    if not current_app.config["PAYSTACK_SECRET_KEY"]:
        return 0
    for done in range(limit):
        user_id = _claim_due()
        if user_id is None:
            return done
        try:
            _take_turn(user_id)
        except (GatewayDown, GatewayRefused) as error:
            log.warning("automatic top-up of account %d: %s", user_id, error)
            with transaction():
                auto_wishes.put_off(user_id, "gateway", timedelta(minutes=1))
            return done
    return limit


def _take_turn(user_id: int) -> None:
    """Begin a charge, or go on with the one that is under way. Raises GatewayDown or GatewayRefused."""
    found = _under_way(user_id)
    if found is None:
        reference = _begin(user_id)
        if reference is not None:
            card_charges.charge(reference)
        return
    settled = topups.settle(found.reference)
    now = db.session.scalars(select(func.now())).one()
    if settled.state == "opened" and now - settled.created_at < CHARGE_AGAIN_FOR:
        # Whoever began it was killed before the gateway heard of it, or it was away.
        card_charges.charge(settled.reference)


def _under_way(user_id: int) -> TopUp | None:
    wanted = select(TopUp).where(TopUp.user_id == user_id, text(AUTO_UNDER_WAY))
    return db.session.scalar(wanted.execution_options(populate_existing=True))


def _begin(user_id: int) -> str | None:
    """The reference of a new top-up that is to be charged; None when something stands in its way, which is noted."""
    with transaction():
        user = account_locks.lock(user_id)
        locked = select(AutoTopUp).where(AutoTopUp.user_id == user_id, AutoTopUp.is_on).with_for_update()
        wish = db.session.scalar(locked.execution_options(populate_existing=True))
        # First whether one is under way, then the balance: one that has ended since is in the balance by now.
        if wish is None or _under_way(user_id) or ledger.balance(user_id).spendable_minor >= wish.below_minor:
            return None
        if hindrance := _hindrance(user, wish):
            auto_wishes.put_off(user_id, hindrance)
            return None
        if reason := _reason_to_stop(wish):
            auto_wishes.stop(user_id, reason)
            return None
        wish.waits_for = ""
        key = f"auto:{user_id}:{_number_of(user_id)}"
        top_up, is_ours = topups.record(user_id, wish.amount_minor, key, origin="auto", card_id=wish.card_id)
        return top_up.reference if is_ours else None


def _hindrance(user: User, wish: AutoTopUp) -> str | None:
    """What it must wait for, of auto_wishes.WAITS."""
    if not (user.is_active and user.is_verified and policies.has_accepted(user)):
        return "account"
    owed = select(LedgerAccount.id).where(
        LedgerAccount.user_id == user.id, LedgerAccount.kind == "user_debt", LedgerAccount.balance < 0
    )
    if db.session.scalar(owed) is not None:
        return "debt"
    count, sum_minor = _charged_today(user.id)
    if count >= MOST_A_DAY or sum_minor + wish.amount_minor > wish.day_limit_minor:
        return "limit"
    return None


def _reason_to_stop(wish: AutoTopUp) -> str | None:
    config = current_app.config
    if wish.currency != config["WALLET_CURRENCY"]:
        return "limits"
    if not config["TOP_UP_MIN_MINOR"] <= wish.amount_minor <= config["TOP_UP_MAX_MINOR"]:
        return "limits"
    try:
        return "expired" if cards.is_expired(cards.get(wish.user_id, wish.card_id or 0)) else None
    except cards.CardGone:
        return "card_removed"


def _charged_today(user_id: int) -> tuple[int, int]:
    """How many automatic top-ups of the last 24 hours took money or still may, and their sum. Under the wish's lock."""
    may_have_taken = or_(TopUp.state != "failed", TopUp.gateway_status == auto_wishes.NOT_OPENED)
    wanted = select(func.count(), func.coalesce(func.sum(TopUp.amount_minor), 0)).where(
        and_(TopUp.user_id == user_id, TopUp.origin == "auto", TopUp.created_at > func.now() - DAY, may_have_taken)
    )
    count, sum_minor = db.session.execute(wanted).one()
    return int(count), int(sum_minor)


def _number_of(user_id: int) -> int:
    """The customer's how-manieth automatic top-up the next one is. Under the wish's lock."""
    mine = select(func.count()).where(TopUp.user_id == user_id, TopUp.origin == "auto")
    return int(db.session.scalar(mine) or 0) + 1


def _claim_due() -> int | None:
    """Take one customer whose wallet is below the threshold, and move the next turn on, so that no other worker takes
    it meanwhile. Looks at no wallets but those of customers who have it on."""
    gifts = promo_spending.unexpired_of(AutoTopUp.user_id, AutoTopUp.currency)
    own_money = and_(
        LedgerAccount.user_id == AutoTopUp.user_id,
        LedgerAccount.kind == "user_available",
        LedgerAccount.currency == AutoTopUp.currency,
    )
    due = (
        select(AutoTopUp.user_id)
        .outerjoin(LedgerAccount, own_money)
        .where(
            AutoTopUp.is_on,
            AutoTopUp.due_at <= func.now(),
            func.coalesce(LedgerAccount.balance, 0) + gifts < AutoTopUp.below_minor,
        )
        .order_by(AutoTopUp.due_at)
        .limit(1)
        .with_for_update(of=AutoTopUp, skip_locked=True)
        .scalar_subquery()
    )
    with transaction():
        return db.session.scalar(
            update(AutoTopUp)
            .where(AutoTopUp.user_id == due)
            .values(due_at=func.now() + TURN)
            .returning(AutoTopUp.user_id)
            .execution_options(synchronize_session=False)
        )
