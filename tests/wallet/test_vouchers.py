"""Codes: unguessable, used as often as they may be and no more, whatever comes at once."""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction, violated
from namaskah.errors import UserError
from namaskah.wallet import ledger, promo, voucher_batches, voucher_codes, vouchers
from namaskah.wallet.voucher_models import Voucher, VoucherBatch, VoucherRedemption
from tests.support import make_user, make_vouchers
from tests.together import at_once

Funded = Callable[[int], User]


def gifts_of(user: User) -> int:
    db.session.rollback()
    return ledger.balance(user.id).promo_minor


def batch_now(batch: VoucherBatch) -> VoucherBatch:
    db.session.rollback()
    return db.session.get_one(VoucherBatch, batch.id, populate_existing=True)


def test_a_code_has_eighty_bits_and_is_read_however_it_was_typed() -> None:
    codes = {voucher_codes.make() for _number in range(200)}
    assert len(codes) == 200 and {len(code) for code in codes} == {16}
    assert len(voucher_codes.LETTERS) == 32 and set("".join(codes)) == set(voucher_codes.LETTERS)
    code = "K7QD0X1VABCDEFGH"
    assert voucher_codes.shown(code) == "K7QD-0X1V-ABCD-EFGH"
    typed = ("k7qd-0x1v-abcd-efgh", " K7QD 0X1V ABCD EFGH ", "k7qdoxlvabcdefgh", "K7QD–OXIV–ABCD–EFGH",
             "Ｋ7QD0X1VABCDEFGH", "K٧QD٠X١VABCDEFGH")  # fmt: skip
    assert [voucher_codes.read(text) for text in typed] == [code] * len(typed)
    wrong = ("", "K7QD", code + "A", "K7QD0X1VABCDEFGé", "\0" * 16, "x" * 100_000)
    assert {voucher_codes.read(text) for text in wrong} == {voucher_codes.NOT_A_CODE}


def test_a_code_gives_a_gift_once_and_says_so_the_second_time(payer: User) -> None:
    batch, [code] = make_vouchers()
    first = vouchers.redeem(payer, voucher_codes.shown(code).lower())
    again = vouchers.redeem(payer, code)
    assert (first.is_new, again.is_new, first.gift.id) == (True, False, again.gift.id)
    assert gifts_of(payer) == 50_000
    lasts = first.gift.expires_at - datetime.now(UTC)
    assert timedelta(days=29) < lasts <= timedelta(days=30)
    assert batch_now(batch).redeemed == 1
    [event] = db.session.scalars(select(AuditEvent).filter_by(kind="voucher_redeemed")).all()
    assert (event.user_id, event.details["amount_minor"]) == (payer.id, 50_000)
    assert code not in str(event.details)


def test_the_database_does_not_hold_the_code(payer: User) -> None:
    _batch, [code] = make_vouchers()
    vouchers.redeem(payer, code)
    rows = db.session.scalars(
        text("SELECT v::text FROM vouchers v UNION ALL SELECT b::text FROM voucher_batches b"
             " UNION ALL SELECT t::text FROM ledger_transactions t UNION ALL SELECT g::text FROM promo_grants g")
    ).all()  # fmt: skip
    assert len(rows) >= 4
    assert not any(code in row or code.encode().hex() in row for row in rows)


NOW = datetime.now(UTC)
REFUSED: list[dict[str, Any]] = [
    {"valid_until": NOW - timedelta(hours=1)},
    {"valid_from": NOW + timedelta(hours=1), "valid_until": NOW + timedelta(days=2)},
    {"uses_each": 2, "most_minor": 50_000},  # the other use has taken all there was
]


@pytest.mark.parametrize("terms", REFUSED)
def test_whatever_is_wrong_with_a_code_it_is_told_in_the_same_words(payer: User, terms: dict[str, Any]) -> None:
    _batch, [code] = make_vouchers(**terms)
    if "most_minor" in terms:
        vouchers.redeem(make_user("first@example.com"), code)
    said = set()
    for typed in (code, voucher_codes.make(), "nothing like a code"):
        with pytest.raises(vouchers.CodeNotValid) as refused:
            vouchers.redeem(payer, typed)
        said.add((refused.value.message, refused.value.status))
    assert len(said) == 1
    assert gifts_of(payer) == 0


def test_a_revoked_batch_gives_nothing_more_and_what_was_given_stays(payer: User, funded: Funded) -> None:
    batch, [code, other] = make_vouchers(codes=2)
    vouchers.redeem(payer, code)
    revoked = voucher_batches.revoke(batch.id, "user:1")
    voucher_batches.revoke(batch.id, "user:2")
    assert batch_now(batch).revoked_by == "user:1"
    assert revoked.sealed_codes is None, "codes that give nothing are not kept to be read"
    with pytest.raises(vouchers.CodeNotValid):
        vouchers.redeem(funded(0), other)
    assert gifts_of(payer) == 50_000
    assert vouchers.redeem(payer, code).is_new is False


def test_one_each_is_one_of_a_batch_to_a_customer(payer: User, funded: Funded) -> None:
    _batch, [first, second] = make_vouchers(codes=2, one_each=True)
    vouchers.redeem(payer, first)
    with pytest.raises(vouchers.OneEach):
        vouchers.redeem(payer, second)
    assert vouchers.redeem(funded(0), second).is_new
    _other, [third, fourth] = make_vouchers(codes=2)
    assert vouchers.redeem(payer, third).is_new and vouchers.redeem(payer, fourth).is_new


def test_the_last_use_goes_to_one_of_many(app: Flask, funded: Funded) -> None:
    batch, [code] = make_vouchers(uses_each=2)
    users = [funded(0) for _number in range(6)]
    ends = at_once(app, *[partial(vouchers.redeem, user, code) for user in users])
    assert sum(isinstance(end, vouchers.Redeemed) for end in ends) == 2
    assert sum(isinstance(end, vouchers.CodeNotValid) for end in ends) == 4
    assert batch_now(batch).redeemed == 2
    assert sorted(gifts_of(user) for user in users) == [0, 0, 0, 0, 50_000, 50_000]


def test_a_used_code_gives_nothing_though_its_batch_has_money_left(payer: User, funded: Funded) -> None:
    batch, [code, _other] = make_vouchers(codes=2)
    vouchers.redeem(funded(0), code)
    with pytest.raises(vouchers.CodeNotValid):
        vouchers.redeem(payer, code)
    assert (batch_now(batch).redeemed, gifts_of(payer)) == (1, 0)


def test_the_last_money_of_a_batch_goes_to_one_of_many(app: Flask, funded: Funded) -> None:
    batch, codes = make_vouchers(codes=5, most_minor=120_000)
    ends = at_once(app, *[partial(vouchers.redeem, funded(0), code) for code in codes])
    assert sum(isinstance(end, vouchers.Redeemed) for end in ends) == 2
    assert batch_now(batch).redeemed == 2


def test_a_form_sent_many_times_at_once_is_one_gift(app: Flask, payer: User) -> None:
    _batch, [code] = make_vouchers(uses_each=10)
    ends = at_once(app, *[partial(vouchers.redeem, payer, code)] * 6)
    assert [end.is_new for end in ends if isinstance(end, vouchers.Redeemed)].count(True) == 1
    assert all(isinstance(end, vouchers.Redeemed) for end in ends)
    assert gifts_of(payer) == 50_000


def test_two_codes_of_one_each_at_once_are_one_gift(app: Flask, payer: User) -> None:
    _batch, codes = make_vouchers(codes=4, one_each=True)
    ends = at_once(app, *[partial(vouchers.redeem, payer, code) for code in codes])
    assert sum(isinstance(end, vouchers.Redeemed) for end in ends) == 1
    assert sum(isinstance(end, vouchers.OneEach) for end in ends) == 3
    assert gifts_of(payer) == 50_000


def test_revoking_and_using_at_once_leaves_one_truth(app: Flask, payer: User) -> None:
    batch, [code] = make_vouchers()
    used, _revoked = at_once(
        app, lambda: vouchers.redeem(payer, code), lambda: voucher_batches.revoke(batch.id, "user:1")
    )
    assert gifts_of(payer) == (50_000 if isinstance(used, vouchers.Redeemed) else 0)
    assert batch_now(batch).revoked_at is not None


def test_codes_are_downloaded_once_and_work(payer: User) -> None:
    batch, codes = make_vouchers(codes=3, valid_until=datetime(2100, 3, 1, tzinfo=UTC))
    file = voucher_batches.take_codes(batch.id, "user:1")
    head, *rows = csv.reader(io.StringIO(file.removeprefix("\ufeff")))
    assert head == ["code", "amount", "uses", "valid_until"]
    assert {row[3] for row in rows} == {"2100-02-28"}  # the last day on which they give anything
    assert [row[0] for row in rows] == [voucher_codes.shown(code) for code in codes]
    assert all(re.fullmatch("([0-9A-Z]{4}-){3}[0-9A-Z]{4}", row[0]) and row[1] == "₦500.00" for row in rows)
    with pytest.raises(UserError) as gone:
        voucher_batches.take_codes(batch.id, "user:1")
    assert gone.value.status == 410
    assert batch_now(batch).sealed_codes is None
    assert vouchers.redeem(payer, rows[1][0]).is_new
    events = select(AuditEvent.kind).where(AuditEvent.user_id.is_(None)).order_by(AuditEvent.id)
    assert db.session.scalars(events).all() == ["vouchers_made", "vouchers_taken"]


def test_codes_sealed_with_a_key_that_is_gone_say_so(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, _codes = make_vouchers()
    monkeypatch.setitem(app.config, "SECRET_KEY", "another-key-" + "y" * 40)  # pragma: allowlist secret
    with pytest.raises(UserError) as gone:
        voucher_batches.take_codes(batch.id, "user:1")
    assert gone.value.status == 410
    assert batch_now(batch).sealed_codes is not None, "with the key back they can still be had"


@pytest.mark.parametrize(
    "terms",
    [
        {"name": "  "},
        {"note": "x" * 201},
        {"amount_minor": 0},
        {"amount_minor": 10**12},
        {"lifetime_days": 731},
        {"codes": 0},
        {"codes": voucher_batches.MOST_CODES + 1},
        {"uses_each": 0},
        {"valid_until": NOW - timedelta(days=3)},
        {"most_minor": 49_999},
    ],
)
def test_terms_that_cannot_be_are_refused(app: Flask, terms: dict[str, Any]) -> None:
    with pytest.raises(UserError) as refused:
        make_vouchers(**terms)
    assert refused.value.status == 422
    assert db.session.scalar(select(VoucherBatch.id)) is None


def test_one_form_makes_one_batch(app: Flask) -> None:
    terms = voucher_batches.Terms("Spring", 100, 5, 2, 1, False, NOW, NOW + timedelta(days=1))
    made = {voucher_batches.make(terms, "the-same-key", "user:1").id for _time in range(2)}
    assert len(made) == 1
    assert len(db.session.scalars(select(Voucher)).all()) == 2


def test_the_operator_gives_once_for_a_form_and_refuses_what_cannot_be(payer: User) -> None:
    given = [promo.give(payer.email.upper(), 700, 10, " Sorry ", "a-key", "user:1") for _time in range(2)]
    assert given[0].id == given[1].id and given[0].note == "Sorry"
    assert gifts_of(payer) == 700
    [event] = db.session.scalars(select(AuditEvent).filter_by(kind="gift_given")).all()
    assert (event.user_id, event.actor, event.details["days"]) == (payer.id, "user:1", 10)
    hers = payer.email
    wrong = ((hers, 0, 10, "x"), (hers, 10**12, 10, "x"), (hers, 1, 0, "x"), (hers, 1, 731, "x"), (hers, 1, 1, " "),
             ("nobody@example.com", 1, 1, "x"))  # fmt: skip
    for email, amount, days, reason in wrong:
        with pytest.raises(promo.NotGiven):
            promo.give(email, amount, days, reason, "other-key", "user:1")


def test_a_form_that_was_sent_does_not_pass_for_another_gift(payer: User, new_user: Callable[[], User]) -> None:
    """Else the operator would read that it was given."""
    promo.give(payer.email, 700, 10, "Sorry", "a-key", "user:1")
    for email, amount in ((payer.email, 900), (new_user().email, 700)):
        with pytest.raises(promo.NotGiven, match="sent before"):
            promo.give(email, amount, 10, "Sorry", "a-key", "user:1")
    assert gifts_of(payer) == 700


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE vouchers SET uses_left = -1", "ck_vouchers_uses_left"),
        ("UPDATE voucher_batches SET redeemed = 2", "ck_voucher_batches_most"),
        ("DELETE FROM voucher_redemptions", "promo_append_only"),
        ("UPDATE voucher_redemptions SET one_each = true", "promo_append_only"),
        (
            "INSERT INTO voucher_redemptions (voucher_id, batch_id, user_id, grant_id, one_each)"
            " SELECT voucher_id, batch_id, user_id, grant_id, true FROM voucher_redemptions",
            "uq_voucher_redemptions_voucher_id_user_id",
        ),
    ],
)
def test_postgresql_refuses(payer: User, statement: str, constraint: str) -> None:
    _batch, [code] = make_vouchers()
    vouchers.redeem(payer, code)
    with pytest.raises(DBAPIError) as refused, transaction():
        db.session.execute(text(statement))
    assert violated(refused.value) == constraint  # type: ignore[arg-type]
    assert db.session.scalar(select(VoucherRedemption.one_each)) is False
