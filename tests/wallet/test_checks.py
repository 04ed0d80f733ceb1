"""Each money invariant finds the fault it is there for. PostgreSQL refuses such faults, so its guards are switched off
for the length of a transaction that is rolled back."""

from collections.abc import Callable

import pytest
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import ledger, promo, vouchers
from namaskah.wallet.checks import CHECKS
from namaskah.wallet.dispute_booking import set_aside
from namaskah.wallet.dispute_models import Dispute
from tests.support import give, make_receipt, make_vouchers

USER_ACCOUNT = "(SELECT id FROM ledger_accounts WHERE kind = 'user_available' AND user_id = :user)"
ENTRY = f"(SELECT id FROM ledger_entries WHERE account_id = {USER_ACCOUNT} ORDER BY id LIMIT 1)"
LONE_CREDIT = """
    WITH t AS (INSERT INTO ledger_transactions (kind, idempotency_key, reference)
               VALUES ('top_up', :key, 'top_up:twice') RETURNING id)
    INSERT INTO ledger_entries (transaction_id, account_id, amount)
    SELECT t.id, a.id, CASE a.kind WHEN 'promo' THEN -70 ELSE 70 END FROM t, ledger_accounts a
     WHERE a.kind = 'promo' OR a.kind = 'user_available' AND a.user_id = :user
"""
CREDIT_NOTE = """
    INSERT INTO invoices (kind, year, number, user_id, top_up_id, receipt_id, refund_reference, issued_at, issued_on,
                          paid_on, language, currency, total_minor, tax_minor, tax_rate, tax_name, seller, buyer)
    SELECT 'credit_note', year, :number, user_id, top_up_id, id, 'refund', issued_at, issued_on - :earlier,
           paid_on, language, currency, :total, :tax, tax_rate, tax_name, seller, buyer
      FROM invoices WHERE kind = 'receipt'
"""


def credit_note(number: int, total: str, tax: int, earlier: int = 0) -> str:
    """One more document, `earlier` days before the receipt."""
    values = {":number": number, ":total": total, ":tax": tax, ":earlier": earlier}
    statement = CREDIT_NOTE
    for name, value in values.items():
        statement = statement.replace(name, str(value))
    return statement


def debit_note(number: int, total: str, tax: int) -> str:
    return credit_note(number, total, tax).replace("'credit_note'", "'debit_note'").replace("'refund'", "'back'")


def refund(amount: str, state: str) -> str:
    """A refund of the top-up that moved no money."""
    settled = "now()" if state in ("processed", "failed") else "NULL"
    return (
        "INSERT INTO gateway_refunds"
        " (reference, key, top_up_id, user_id, amount_minor, currency, asked_by, reason, state, settled_at)"
        f" SELECT 'RF-1', 'k', id, user_id, {amount}, currency, 'x', 'x', '{state}', {settled} FROM top_ups"
    )


# Invariant, then the statement that breaks it.
FAULTS = [
    ("I1", f"UPDATE ledger_entries SET amount = amount + 1 WHERE id = {ENTRY}"),
    ("I1", "INSERT INTO ledger_transactions (kind, idempotency_key, reference) VALUES ('hold', 'k', 'r')"),
    ("I2", f"DELETE FROM ledger_entries WHERE id = {ENTRY}"),
    ("I3", f"UPDATE ledger_accounts SET balance = balance + 1 WHERE id = {USER_ACCOUNT}"),
    ("I3s", "INSERT INTO ledger_snapshots (account_id, entry_id, balance)"
            " SELECT id, 9000000000, 7 FROM ledger_accounts WHERE kind = 'revenue'"),
    ("I4", f"UPDATE ledger_entries SET sequence = 99 WHERE id = {ENTRY}"),
    ("I4", f"UPDATE ledger_entries SET balance_after = 7 WHERE id = {ENTRY}"),
    ("I4", f"UPDATE ledger_accounts SET sequence = sequence + 1 WHERE id = {USER_ACCOUNT}"),
    ("I8", "DELETE FROM ledger_entries WHERE transaction_id IN"
           " (SELECT id FROM ledger_transactions WHERE kind = 'capture')"),
    ("I8", "UPDATE ledger_entries SET amount = 401 WHERE amount = 400 AND transaction_id IN"
           " (SELECT id FROM ledger_transactions WHERE kind = 'refund')"),
    ("I9", LONE_CREDIT.replace(":key", "'a'") + ";" + LONE_CREDIT.replace(":key", "'b'")),
    ("I10", LONE_CREDIT.replace(":key", "'a'")),
    ("I10", "INSERT INTO top_ups (reference, user_id, key, amount_minor, currency, state, paid_minor)"
            " VALUES ('paid', :user, 'key', 70, 'NGN', 'paid', 70)"),
    ("I10", LONE_CREDIT.replace(":key", "'a'") + "; INSERT INTO top_ups"
            " (reference, user_id, key, amount_minor, currency, state, paid_minor)"
            " VALUES ('twice', :user, 'key', 70, 'NGN', 'paid', 71)"),
    ("I10f", "UPDATE top_ups SET surcharge_minor = 5 WHERE state = 'paid'"),
    ("I10f", "INSERT INTO ledger_accounts (kind, currency, scale) VALUES ('gateway_fees', 'NGN', 2);"
             " WITH t AS (INSERT INTO ledger_transactions (kind, idempotency_key, reference)"
             " VALUES ('surcharge', 'k', 'top_up:gone') RETURNING id) INSERT INTO ledger_entries"
             " (transaction_id, account_id, amount) SELECT t.id, a.id, 5 FROM t, ledger_accounts a"
             " WHERE a.kind = 'gateway_fees'"),
    ("C1", "INSERT INTO ledger_accounts (kind, currency, scale) VALUES ('promo', 'GHS', 2)"),
    ("R1", "UPDATE invoices SET number = 2"),
    ("R1", "UPDATE invoice_years SET last = 2"),
    ("R1", credit_note(3, "1", 0)),
    ("R1", credit_note(2, "1", 0, earlier=1) + "; UPDATE invoice_years SET last = 2"),
    ("R2", "DELETE FROM invoices"),
    ("R2", "UPDATE invoices SET total_minor = total_minor - 1"),
    ("R2", "UPDATE invoices SET fee_minor = 1"),
    ("R2", "UPDATE top_ups SET state = 'failed', paid_minor = NULL WHERE state = 'paid'"),
    ("R2", "INSERT INTO receipts_due SELECT id FROM top_ups WHERE state = 'paid'"),
    ("R3", credit_note(2, "total_minor + 1", 0)),
    ("R3", credit_note(2, "1", 1)),
    ("R3", debit_note(2, "1", 0)),
    ("R3", credit_note(2, "2", 0) + ";" + debit_note(3, "2", 1)),
    ("R4", "UPDATE disputes SET state = 'resolved', outcome = 'lost', resolved_at = now()"),
    ("R4", "DELETE FROM disputes;" + credit_note(2, "1", 0)),
    ("R4", "DELETE FROM disputes;" + credit_note(2, "1", 0) + ";" + refund("2", "processed")),
    ("R4", "DELETE FROM disputes;" + refund("1", "processed")),
    ("P1", "UPDATE promo_grants SET left_minor = left_minor - 1 WHERE source = 'voucher'"),
    ("P1", "DELETE FROM promo_grants WHERE source = 'refund'"),
    ("P2", "UPDATE promo_grants SET expired_minor = 1, amount_minor = amount_minor + 2 WHERE source = 'operator'"),
    ("P2", "DELETE FROM promo_parts"),
    ("P3", "UPDATE promo_parts SET amount_minor = amount_minor + 1"),
    ("P3", "INSERT INTO promo_parts (reference, grant_id, amount_minor)"
           " SELECT 'activation:99', grant_id, 5 FROM promo_parts"),
    ("P3", "UPDATE ledger_entries SET amount = amount + 1 WHERE account_id ="
           " (SELECT id FROM ledger_accounts WHERE kind = 'user_promo' AND user_id = :user) AND transaction_id IN"
           " (SELECT id FROM ledger_transactions WHERE kind = 'refund')"),
    ("P4", "UPDATE promo_grants SET amount_minor = amount_minor + 1 WHERE source = 'operator'"),
    ("P4", "UPDATE promo_grants SET expired_minor = expired_minor - 1 WHERE expired_minor > 0"),
    ("P4", "DELETE FROM promo_grants WHERE source = 'operator'"),
    ("P4", "UPDATE promo_grants SET user_id = user_id + 1 WHERE source = 'operator'"),
    ("P5", "DELETE FROM voucher_redemptions"),
    ("P5", "UPDATE promo_grants SET source = 'operator' WHERE source = 'voucher'"),
    ("P5", "UPDATE voucher_batches SET amount_minor = amount_minor + 1, most_minor = most_minor + 1"),
    ("P6", "UPDATE vouchers SET uses_left = uses_left + 1"),
    ("P6", "UPDATE voucher_batches SET redeemed = redeemed - 1"),
    ("G1", refund("1", "asked")),
    ("G2", refund("paid_minor + 1", "pending")),
    ("G2", refund("1", "processed") + "; UPDATE top_ups SET state = 'failed', paid_minor = NULL"),
    ("G3", refund("1", "asked")),
    ("G3", refund("1", "processed")),
    ("G3", refund("1", "failed")),
    ("G3", credit_note(2, "1", 0).replace("'refund'", "'RF-1'")),
    ("D1", "UPDATE disputes SET amount_minor = amount_minor - 1"),
    ("D2", "UPDATE disputes SET debt_minor = 1"),
    ("D3", "UPDATE disputes SET state = 'resolved', outcome = 'won', resolved_at = now()"),
    ("D3", "DELETE FROM disputes"),
    ("D3", "UPDATE ledger_transactions SET kind = 'dispute_lost' WHERE kind = 'dispute_open'"),
    ("D4", "UPDATE disputes SET claimed_minor = claimed_minor + 1, amount_minor = amount_minor + 1"),
    ("K1", "INSERT INTO auto_top_ups (user_id, is_on, currency, below_minor, amount_minor, day_limit_minor, card_id)"
           " VALUES (:user, true, 'NGN', 1, 1, 1, 1)"),
    ("K1", "INSERT INTO saved_cards (user_id, authorization_code, email, signature, brand, last4, exp_month, exp_year)"
           " VALUES (0, '', '', '', '', '', 1, 2030);"
           "UPDATE top_ups SET card_id = (SELECT id FROM saved_cards WHERE user_id = 0)"),
    ("L1", "INSERT INTO legacy_accounts (legacy_id, user_id, state, unit, currency, opened_minor, opened_at)"
           " VALUES ('user_1', :user, 'opened', '2 USD', 'NGN', 70, now())"),
    ("L1", "UPDATE ledger_transactions SET kind = 'opening_balance' WHERE kind = 'adjustment'"),
]  # fmt: skip


@pytest.fixture
def customer(funded: Callable[[int], User]) -> User:
    """Somebody with one of each movement, and of each gift."""
    user = funded(1_000)
    with transaction():
        ledger.hold(user.id, "activation:1", 400)
    with transaction():
        ledger.capture(user.id, "activation:1", 400)
    with transaction():
        ledger.refund(user.id, "activation:1", 400, "admin", "complaint")
    top_up = make_receipt(user).top_up
    give(user, 100)
    for verb in (
        lambda: ledger.hold(user.id, "activation:2", 150),
        lambda: ledger.capture(user.id, "activation:2", 150),
        lambda: ledger.refund(user.id, "activation:2", 150, "admin", "complaint"),
    ):
        with transaction():
            verb()
    _batch, [code] = make_vouchers(amount_minor=70)
    vouchers.redeem(user, code)
    give(user, 30, days=-1)
    promo.expire_due()
    with transaction():
        about = {"top_up_id": top_up.id, "user_id": user.id, "currency": "NGN", "claimed_minor": 250_000}
        dispute = Dispute(gateway_id="7", state="pending", amount_minor=250_000, debt_minor=0, round=1, **about)
        db.session.add(dispute)
        set_aside(dispute)
    return user


def offended() -> set[str]:
    return {name for name, _, sql in CHECKS if db.session.execute(text(sql)).first()}


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_the_fault_is_found(customer: User, name: str, fault: str) -> None:
    assert offended() == set()
    db.session.execute(text("SET LOCAL session_replication_role = replica"))
    for statement in fault.split(";"):
        wanted = {"user": customer.id} if ":user" in statement else {}
        db.session.execute(text(statement), wanted)
    assert name in offended()
    db.session.rollback()


def test_less_than_nothing_is_found(customer: User) -> None:
    db.session.execute(text("ALTER TABLE ledger_accounts DROP CONSTRAINT ck_ledger_accounts_not_negative"))
    db.session.execute(text("SET LOCAL session_replication_role = replica"))
    db.session.execute(
        text(f"UPDATE ledger_accounts SET balance = -1 WHERE id = {USER_ACCOUNT}"), {"user": customer.id}
    )
    assert "I5" in offended()
    db.session.rollback()


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {name for name, _ in FAULTS} | {"I5"} == {name for name, _, _ in CHECKS}
