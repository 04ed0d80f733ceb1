"""Accounts that nobody confirmed and nothing was done with go; everything that is somebody's stays."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, text

from namaskah.account import deletion, unconfirmed
from namaskah.auth import accounts, audit, email_changes
from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction
from namaskah.legacy.models import LegacyAccount, LegacyRecord
from namaskah.wallet import ledger
from tests.account import life
from tests.account.life import columns_later
from tests.housekeeping.stand import books, rows
from tests.support import give, make_user, open_session
from tests.together import at_once

PASSWORD = "purple tuba river"


@pytest.fixture
def stranger(app: Flask) -> User:
    """Somebody who registered thirty-one days ago, with the letter and all, and was never seen again."""
    accounts.register("typo@example.com", PASSWORD, "en")
    with transaction():
        db.session.execute(text("UPDATE users SET created_at = now() - interval '31 days'"))
    found = accounts.find_by_email("typo@example.com")
    assert found is not None
    return found


def fresh(user: User) -> User:
    db.session.rollback()
    return db.session.get_one(User, user.id, populate_existing=True)


def test_it_goes_as_if_its_owner_had_deleted_it(app: Flask, stranger: User, alice: User) -> None:
    token = accounts.verification_token(stranger)
    before = books()
    assert unconfirmed.erase_due() == 1
    gone = fresh(stranger)
    assert gone.email == f"deleted-{gone.id}@deleted.invalid" and gone.deleted_at is not None
    assert [stone.user_id for stone in deletion.tombstones()] == [gone.id]
    newest = db.session.scalars(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1)).one()
    assert (newest.kind, newest.user_id, newest.actor) == ("unconfirmed_deleted", gone.id, "housekeeping")
    assert rows("SELECT count(*) FROM audit_events WHERE salt IS NOT NULL AND user_id = :id", id=gone.id) == [(0,)]
    assert audit.breaks() == []
    assert books() == before
    assert unconfirmed.erase_due() == 0
    with pytest.raises(accounts.InvalidLink):
        accounts.confirm_email(token)
    accounts.register("typo@example.com", PASSWORD, "en")
    again = accounts.find_by_email("typo@example.com")
    assert again is not None and again.id != gone.id


def test_after_a_restore_it_is_erased_again(app: Flask, stranger: User) -> None:
    unconfirmed.erase_due()
    stones = deletion.tombstones()
    with transaction():  # as the backup of yesterday has it
        db.session.execute(text("DELETE FROM deleted_accounts"))
        db.session.execute(text("UPDATE users SET email = 'typo@example.com', deleted_at = NULL"))
    assert deletion.reapply(stones, "operator") == [stranger.id]
    assert accounts.find_by_email("typo@example.com") is None


def _confirmed(user: User) -> None:
    accounts.confirm_email(accounts.verification_token(user))


def _set(assignment: str) -> Callable[[User], None]:
    def change(user: User) -> None:
        with transaction():
            db.session.execute(text(f"UPDATE users SET {assignment} WHERE id = :id"), {"id": user.id})

    return change


def _money(user: User) -> None:
    with transaction():
        ledger.adjust(user.id, "test", 1, "test", "a kobo")


def _spent(user: User) -> None:
    _money(user)
    with transaction():
        ledger.adjust(user.id, "back", -1, "test", "nothing is left, but there are lines of the books")


def _legacy(user: User) -> None:
    with transaction():
        unit = {"unit": "test", "currency": "NGN", "state": "opened", "opened_at": text("now()")}
        db.session.add(LegacyAccount(legacy_id="7", user_id=user.id, **unit))


def _legacy_record(user: User) -> None:
    with transaction():
        db.session.add(LegacyRecord(source="payment_logs", legacy_id="7", user_id=user.id, content={}))


SPARED: dict[str, Callable[[User], None]] = {
    "confirmed": _confirmed,
    "young": _set("created_at = now() - interval '29 days 23 hours'"),
    "banned": _set("banned_at = now()"),
    "an operator": _set("role = 'admin'"),
    "money": _money,
    "lines of the books": _spent,
    "a gift": lambda user: give(user, 100) and None,
    "a payment that came to nothing": lambda user: life.top_up(user, "NK-7", "abandoned"),
    "the predecessor's": _legacy,
    "the predecessor's history": _legacy_record,
    "logged in": lambda user: open_session(user) and None,
    "a new address": lambda user: email_changes.ask(user, "right@example.com"),
}


@pytest.mark.parametrize("why", SPARED)
def test_what_spares_it(app: Flask, stranger: User, why: str) -> None:
    with app.test_request_context():
        SPARED[why](stranger)
    before = books()
    assert unconfirmed.erase_due() == 0
    assert fresh(stranger).deleted_at is None
    assert fresh(stranger).email == "typo@example.com"
    assert books() == before


def test_any_other_table_that_names_an_account_spares_it(app: Flask) -> None:
    """A table that is added later keeps accounts until somebody decides otherwise."""
    naming = {table.name for table in db.metadata.sorted_tables if "user_id" in table.c}
    assert naming >= unconfirmed.KEEPS_NOTHING
    money = {"ledger_accounts", "top_ups", "activations", "invoices", "disputes", "gateway_refunds", "promo_grants"}
    assert not unconfirmed.KEEPS_NOTHING & (money | {"saved_cards", "legacy_accounts", "voucher_redemptions"})


def test_the_setting_says_when(app: Flask, stranger: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "UNCONFIRMED_ACCOUNT_DAYS", 32)
    assert unconfirmed.erase_due() == 0
    columns_later("users", "created_at", timedelta(days=2))
    assert unconfirmed.erase_due() == 1


def test_one_that_is_being_confirmed_at_this_moment_stays(app: Flask, stranger: User) -> None:
    with db.engine.connect() as other, other.begin():
        confirm = text("UPDATE users SET email_verified_at = now() WHERE id = :id")
        other.execute(confirm, {"id": stranger.id})
        assert unconfirmed.erase_due() == 0
        db.session.rollback()
    assert unconfirmed.erase_due() == 0
    assert fresh(stranger).is_verified


def test_one_to_which_money_comes_at_this_moment_stays(app: Flask, stranger: User) -> None:
    """A row that refers to the account is being written: its foreign key holds the account's row."""
    with db.engine.connect() as other, other.begin():
        opening = text(
            "INSERT INTO ledger_accounts (kind, user_id, currency, scale, balance)"
            " VALUES ('user_available', :id, 'NGN', 2, 0)"
        )
        other.execute(opening, {"id": stranger.id})
        assert unconfirmed.erase_due() == 0
        db.session.rollback()
    assert unconfirmed.erase_due() == 0


def test_two_workers_erase_each_of_them_once(app: Flask) -> None:
    for number in range(6):
        make_user(f"stranger{number}@example.com", verified=False)
    columns_later("users", "created_at", timedelta(days=31))

    def work() -> int:
        return sum(unconfirmed.erase_due(2) for _turn in range(3))

    found = at_once(app, work, work)
    assert all(isinstance(count, int) for count in found), found
    total = sum(found) + unconfirmed.erase_due()  # type: ignore[arg-type]
    assert total == 6
    assert rows("SELECT count(*) FROM audit_events WHERE kind = 'unconfirmed_deleted'") == [(6,)]
    assert audit.breaks() == []


def test_what_came_between_looking_and_locking_spares_it(
    app: Flask, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first look is of a moment before the row is locked: here it sees nothing of the money that is there."""
    _money(stranger)
    rules = unconfirmed._is_forgotten
    looks = iter([[User.id == stranger.id], rules()])
    monkeypatch.setattr(unconfirmed, "_is_forgotten", lambda: next(looks))
    assert unconfirmed.erase_due() == 0
    assert next(looks, None) is None, "it was looked at twice"
    assert fresh(stranger).deleted_at is None
