"""The operator makes codes, takes them away once, looks at their use, and takes them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import Row, func, insert, select
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.auth import audit, encryption
from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.filters import exact_money
from namaskah.spreadsheets import MARK, csv_lines
from namaskah.wallet import voucher_codes
from namaskah.wallet.promo import LONGEST_DAYS
from namaskah.wallet.promo_models import PromoGrant
from namaskah.wallet.voucher_models import Voucher, VoucherBatch, VoucherRedemption

MOST_CODES = 5_000
MOST_USES = 100_000
LARGEST_ID = 2**63 - 1  # what the database calls a number; an address may hold any


@dataclass(frozen=True)
class Terms:
    """What a batch shall be. Amounts in minor units; `most_minor` 0: as much as all codes together give."""

    name: str
    amount_minor: int
    lifetime_days: int
    codes: int
    uses_each: int
    one_each: bool
    valid_from: datetime
    valid_until: datetime
    most_minor: int = 0
    note: str = ""


def make(terms: Terms, key: str, actor: str) -> VoucherBatch:
    """Make a batch and its codes; with the same `key` again it is the same batch. Raises UserError (422) for terms
    that cannot be."""
    _check(terms)
    everything = terms.codes * terms.uses_each * terms.amount_minor
    with transaction():
        batch: VoucherBatch | None = db.session.scalar(
            pg_insert(VoucherBatch)
            .values(
                key=key,
                name=terms.name.strip(),
                note=terms.note.strip(),
                currency=current_app.config["WALLET_CURRENCY"],
                amount_minor=terms.amount_minor,
                lifetime_days=terms.lifetime_days,
                codes=terms.codes,
                uses_each=terms.uses_each,
                one_each=terms.one_each,
                most_minor=min(terms.most_minor or everything, everything),
                valid_from=terms.valid_from,
                valid_until=terms.valid_until,
                codes_gone_at=func.now(),
                made_by=actor,
            )
            .on_conflict_do_nothing(index_elements=["key"])
            .returning(VoucherBatch)
        )
        if batch is not None:
            _make_codes(batch)
            audit.record("vouchers_made", None, actor, batch=batch.id, codes=terms.codes, most_minor=batch.most_minor)
    return batch or db.session.scalars(select(VoucherBatch).where(VoucherBatch.key == key)).one()


def take_codes(batch_id: int, actor: str) -> str:
    """The codes as a CSV file, this once: from now on we only know their prints.

    Raises UserError: 404 for no such batch, 410 when they were taken before or nobody can read them any more.
    """
    with transaction():
        batch = _lock(batch_id)
        if batch.sealed_codes is None:
            raise UserError(
                _("These codes are gone: we only keep prints of them. Revoke the batch and make another one."),
                status=410,
            )
        try:
            codes = encryption.decrypt(batch.sealed_codes, _context(batch)).decode().split()
        except encryption.Unreadable:
            raise UserError(
                _("These codes were sealed with a key that is gone. Revoke the batch and make another."), status=410
            ) from None
        batch.sealed_codes, batch.codes_gone_at = None, db.session.scalars(select(func.now())).one()
        audit.record("vouchers_taken", None, actor, batch=batch.id)
    amount = exact_money(batch.amount_minor, batch.currency)
    # It ends as a day begins: people are told the last day on which a code gives anything.
    until = (batch.valid_until - timedelta(microseconds=1)).astimezone(UTC).date().isoformat()
    lines = [(voucher_codes.shown(code), amount, batch.uses_each, until) for code in codes]
    return MARK + csv_lines([("code", "amount", "uses", "valid_until"), *lines])


def revoke(batch_id: int, actor: str) -> VoucherBatch:
    """From now on none of its codes gives anything; what was given stays given. Raises UserError (404)."""
    with transaction():
        batch = _lock(batch_id)
        if batch.revoked_at is None:
            now = db.session.scalars(select(func.now())).one()
            batch.revoked_at, batch.revoked_by = now, actor
            batch.sealed_codes, batch.codes_gone_at = None, batch.codes_gone_at or now
            audit.record("vouchers_revoked", None, actor, batch=batch.id)
    return batch


def newest(limit: int = 100) -> Sequence[VoucherBatch]:
    """Batches, newest first."""
    wanted = select(VoucherBatch).order_by(VoucherBatch.id.desc()).limit(limit)
    return db.session.scalars(wanted.execution_options(populate_existing=True)).all()


def get_batch(batch_id: int) -> VoucherBatch:
    """One batch. Raises UserError (404)."""
    found = db.session.get(VoucherBatch, min(batch_id, LARGEST_ID), populate_existing=True)
    if found is None:
        raise UserError(_("There is no such batch of codes."), status=404)
    return found


def uses(batch: VoucherBatch, limit: int = 50) -> Sequence[Row[VoucherRedemption, str, PromoGrant]]:
    """Who used which code (its last four), newest first, and what became of the gift."""
    return db.session.execute(
        select(VoucherRedemption, Voucher.last_four, PromoGrant)
        .join(Voucher, Voucher.id == VoucherRedemption.voucher_id)
        .join(PromoGrant, PromoGrant.id == VoucherRedemption.grant_id)
        .where(VoucherRedemption.batch_id == batch.id)
        .order_by(VoucherRedemption.id.desc())
        .limit(limit)
    ).all()


def _check(terms: Terms) -> None:
    faults = (
        (not 0 < len(terms.name.strip()) <= 80, _("Give the batch a name of at most 80 letters.")),
        (len(terms.note.strip()) > 200, _("The note is too long: 200 letters at most.")),
        (
            not 0 < terms.amount_minor <= current_app.config["TOP_UP_MAX_MINOR"],
            _("A gift is more than nothing and at most as large as the largest top-up."),
        ),
        (not 1 <= terms.lifetime_days <= LONGEST_DAYS, _("A gift lasts between one day and two years.")),
        (not 1 <= terms.codes <= MOST_CODES, _("A batch has between 1 and 5,000 codes.")),
        (not 1 <= terms.uses_each <= MOST_USES, _("A code may be used between 1 and 100,000 times.")),
        (terms.valid_from >= terms.valid_until, _("The last day is before the first one.")),
        (
            terms.most_minor and terms.most_minor < terms.amount_minor,
            _("What they may give together is less than one of them gives."),
        ),
    )
    if found := next((sentence for is_wrong, sentence in faults if is_wrong), None):
        raise UserError(found, status=422)


def _make_codes(batch: VoucherBatch) -> None:
    codes = [voucher_codes.make() for _number in range(batch.codes)]
    rows = [
        {
            "batch_id": batch.id,
            "digest": voucher_codes.digest(code),
            "last_four": code[-4:],
            "uses_left": batch.uses_each,
        }
        for code in codes
    ]
    db.session.execute(insert(Voucher), rows)
    batch.sealed_codes, batch.codes_gone_at = encryption.encrypt(" ".join(codes).encode(), _context(batch)), None
    db.session.flush()


def _lock(batch_id: int) -> VoucherBatch:
    locked = select(VoucherBatch).where(VoucherBatch.id == min(batch_id, LARGEST_ID)).with_for_update(key_share=True)
    found = db.session.scalar(locked.execution_options(populate_existing=True))
    if found is None:
        raise UserError(_("There is no such batch of codes."), status=404)
    return found


def _context(batch: VoucherBatch) -> str:
    return f"voucher codes:{batch.id}"
