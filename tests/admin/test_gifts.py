"""The operator gives by hand and by codes, and every such act is on record."""

import csv
import io
import re
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction
from namaskah.wallet import ledger, vouchers
from namaskah.wallet.voucher_models import VoucherBatch
from tests.support import log_in

TODAY = datetime.now(UTC).date()
BATCH = {
    "name": "Spring", "note": "leaflets", "amount": "500", "lifetime_days": "30", "codes": "3", "uses_each": "1",
    "most": "", "valid_from": TODAY.isoformat(), "valid_until": (TODAY + timedelta(days=9)).isoformat(),
}  # fmt: skip


@pytest.fixture
def browser(app: Flask, admin: User) -> FlaskClient:
    return log_in(app.test_client(), admin)


def kinds() -> list[str]:
    return list(db.session.scalars(select(AuditEvent.kind).order_by(AuditEvent.id)))


def test_credit_for_one_customer_with_a_reason_and_an_end(browser: FlaskClient, admin: User, bob: User) -> None:
    key = secrets.token_urlsafe(24)
    sent = {"email": "Bob@example.com", "amount": "1,250.50", "days": "14", "reason": "Sorry for Friday", "key": key}
    for _time in range(2):  # a double click
        assert browser.post("/admin/promo", data=sent).location == "/admin/promo"
    assert ledger.balance(bob.id).promo_minor == 125_050
    page = browser.get("/admin/promo").text
    assert "Sorry for Friday" in page and "bob@example.com" in page
    [event] = db.session.scalars(select(AuditEvent).filter_by(kind="gift_given")).all()
    assert (event.user_id, event.actor, event.details["amount_minor"]) == (bob.id, f"user:{admin.id}", 125_050)
    assert "Friday" not in str(event.details)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"email": "nobody@example.com"}, "No account has this address"),
        ({"reason": " "}, "Fill this in."),
        ({"amount": "0"}, "Write an amount like 2,500."),
        ({"amount": "9999999999"}, "at most as large as the largest top-up"),
        ({"days": "0"}, "A number from 1 to 730 is wanted."),
        ({"email": "bob\0@example.com"}, "No account has this address"),
    ],
)
def test_what_cannot_be_given_is_said(browser: FlaskClient, bob: User, change: dict[str, str], said: str) -> None:
    sent = {"email": bob.email, "amount": "10", "days": "14", "reason": "Sorry", "key": secrets.token_urlsafe(24)}
    answer = browser.post("/admin/promo", data=sent | change)
    assert (answer.status_code, said in answer.text) == (422, True)
    assert ledger.balance(bob.id).promo_minor == 0


def test_a_batch_is_made_taken_once_used_and_revoked(browser: FlaskClient, admin: User, alice: User) -> None:
    made = browser.post("/admin/vouchers", data=BATCH | {"key": secrets.token_urlsafe(24), "one_each": "y"})
    batch = db.session.scalars(select(VoucherBatch)).one()
    assert made.location == f"/admin/vouchers/{batch.id}"
    assert (batch.amount_minor, batch.most_minor) == (50_000, 150_000)
    assert (batch.one_each, batch.made_by) == (True, f"user:{admin.id}")
    assert batch.valid_until - batch.valid_from == timedelta(days=10)
    assert "Good now" in browser.get("/admin/vouchers").text
    page = browser.get(made.location).text
    assert "Download the codes, once" in page
    file = browser.post(f"{made.location}/codes")
    assert (file.status_code, file.mimetype, file.headers["Cache-Control"]) == (200, "text/csv", "no-store")
    codes = [row[0] for row in csv.reader(io.StringIO(file.data.decode("utf-8-sig")))][1:]
    assert len(codes) == 3
    assert browser.post(f"{made.location}/codes").status_code == 410
    vouchers.redeem(alice, codes[0])
    page = browser.get(made.location).text
    assert f"…{codes[0][-4:]}" in page and alice.email in page
    assert not any(code in page or code.replace("-", "") in page for code in codes)
    assert browser.post(f"{made.location}/revoke").status_code == 303
    assert "Revoked" in browser.get("/admin/vouchers").text
    with pytest.raises(vouchers.CodeNotValid):
        vouchers.redeem(alice, codes[1])
    assert kinds() == ["vouchers_made", "vouchers_taken", "voucher_redeemed", "vouchers_revoked"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"amount": "much"}, "amount"),
        ({"codes": "5001"}, "codes"),
        ({"uses_each": "-1"}, "uses_each"),
        ({"most": "nothing"}, "most"),
        ({"valid_until": "2020-01-01"}, "valid_until"),
        ({"valid_until": "soon"}, "valid_until"),
        ({"valid_from": ""}, "valid_from"),
    ],
)
def test_a_batch_that_cannot_be_is_said_at_its_field(browser: FlaskClient, change: dict[str, str], field: str) -> None:
    answer = browser.post("/admin/vouchers", data=BATCH | {"key": secrets.token_urlsafe(24)} | change)
    assert answer.status_code == 422
    assert re.search(f'id="{field}-error', answer.text)
    assert db.session.scalar(select(VoucherBatch.id)) is None


def test_together_less_than_one_gives_is_refused(browser: FlaskClient) -> None:
    answer = browser.post("/admin/vouchers", data=BATCH | {"key": secrets.token_urlsafe(24), "most": "499"})
    assert (answer.status_code, "less than one of them gives" in answer.text) == (422, True)


def test_codes_are_for_who_has_proved_who_they_are_of_late(browser: FlaskClient) -> None:
    browser.post("/admin/vouchers", data=BATCH | {"key": secrets.token_urlsafe(24)})
    number = db.session.scalars(select(VoucherBatch.id)).one()
    with transaction():
        db.session.execute(text("UPDATE sessions SET confirmed_at = confirmed_at - interval '1 day'"))
    for path in (f"/admin/vouchers/{number}/codes", f"/admin/vouchers/{number}/revoke", "/admin/promo"):
        assert browser.post(path).location.startswith("/confirm?")
    db.session.rollback()
    batch = db.session.get_one(VoucherBatch, number, populate_existing=True)
    assert batch.sealed_codes is not None and batch.revoked_at is None


def test_a_batch_of_nobody_is_not_there(browser: FlaskClient) -> None:
    assert browser.get("/admin/vouchers/999999999999999999999").status_code == 404
    assert browser.post("/admin/vouchers/7/codes").status_code == 404
