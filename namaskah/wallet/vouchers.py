"""A customer types a code in and is given credit, once.

Decided under the code's row and then its batch's, so the last use of a code, and the last money of a batch, go to one
customer of many at once. The same customer with the same code again gets the same answer and no second gift.
Locks: the code, its batch, the customer, ledger accounts.
"""

from dataclasses import dataclass
from datetime import timedelta

from flask_babel import gettext as _
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from namaskah.auth import audit
from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.errors import UserError
from namaskah.wallet import promo, voucher_codes
from namaskah.wallet.promo_models import PromoGrant
from namaskah.wallet.voucher_models import Voucher, VoucherBatch, VoucherRedemption


class CodeNotValid(UserError):
    """Unknown, used up, over, not yet, or taken back: whoever guesses must not learn which."""

    status = 422


class OneEach(UserError):
    """The code is good, and this customer has had one of its kind."""

    status = 409


@dataclass(frozen=True)
class Redeemed:
    """The gift, and whether it was made now or by an earlier click."""

    gift: PromoGrant
    is_new: bool


def redeem(user: User, typed: str) -> Redeemed:
    """Give this customer what the code is worth. Raises CodeNotValid or OneEach; then nothing has changed."""
    user_id, code = user.id, voucher_codes.read(typed)
    if code == voucher_codes.NOT_A_CODE:
        raise _not_valid()
    try:
        with transaction():
            voucher = db.session.scalar(
                select(Voucher)
                .where(Voucher.digest == voucher_codes.digest(code))
                .with_for_update(key_share=True)
                .execution_options(populate_existing=True)
            )
            if voucher is None:
                raise _not_valid()
            if earlier := _gift_of(voucher, user_id):
                return Redeemed(earlier, is_new=False)
            return Redeemed(_use(voucher, user_id), is_new=True)
    except IntegrityError as error:
        if violated(error) == "uq_voucher_redemptions_one_each":
            raise _one_each() from None
        raise


def _use(voucher: Voucher, user_id: int) -> PromoGrant:
    batch = _good_batch(voucher)
    if batch.one_each and db.session.scalar(
        select(VoucherRedemption.id).filter_by(batch_id=batch.id, user_id=user_id).limit(1)
    ):
        raise _one_each()
    voucher.uses_left -= 1
    batch.redeemed += 1
    expires_at = db.session.scalars(select(func.now() + timedelta(days=batch.lifetime_days))).one()
    gift = promo.grant(
        user_id,
        "voucher",
        f"voucher:{voucher.id}:{user_id}",
        batch.amount_minor,
        expires_at,
        note=f"…{voucher.last_four}",
        booked_as=f"voucher:{voucher.last_four}",
    )
    assert gift is not None, "a use without its redemption"
    db.session.add(
        VoucherRedemption(
            voucher_id=voucher.id, batch_id=batch.id, user_id=user_id, grant_id=gift.id, one_each=batch.one_each
        )
    )
    db.session.flush()
    audit.record("voucher_redeemed", user_id, voucher=voucher.id, grant=gift.id, amount_minor=batch.amount_minor)
    return gift


def _good_batch(voucher: Voucher) -> VoucherBatch:
    """The code's batch, locked, if it and the code still give something. Raises CodeNotValid."""
    now = db.session.scalars(select(func.now())).one()
    locked = select(VoucherBatch).where(VoucherBatch.id == voucher.batch_id).with_for_update(key_share=True)
    batch = db.session.scalars(locked.execution_options(populate_existing=True)).one()
    if (
        voucher.uses_left == 0
        or batch.revoked_at is not None
        or not batch.valid_from <= now < batch.valid_until
        or (batch.redeemed + 1) * batch.amount_minor > batch.most_minor
    ):
        raise _not_valid()
    return batch


def _gift_of(voucher: Voucher, user_id: int) -> PromoGrant | None:
    return db.session.scalar(
        select(PromoGrant)
        .join(VoucherRedemption, VoucherRedemption.grant_id == PromoGrant.id)
        .where(VoucherRedemption.voucher_id == voucher.id, VoucherRedemption.user_id == user_id)
    )


def _not_valid() -> CodeNotValid:
    return CodeNotValid(_("This code is not valid (any more). Your balance is untouched. Look at the code once more."))


def _one_each() -> OneEach:
    return OneEach(_("You have had one of these codes already; each customer may use one. Your balance is untouched."))
