"""What PostgreSQL refuses in the tables that money depends on, whoever writes it: one example for every rule, and no
rule without one."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.numbers import messages
from namaskah.providers.base import Sms
from namaskah.wallet import vouchers
from namaskah.wallet.card_models import SavedCard
from namaskah.wallet.models import GUARDED_KINDS
from tests.money.refused import NEWER
from tests.numbers import shop
from tests.support import make_receipt, make_vouchers

TABLES = (
    "activations", "messages", "stray_orders", "offers",
    "ledger_accounts", "ledger_transactions", "ledger_entries",
    "top_ups", "gateway_events", "invoices", "gateway_refunds", "gateway_refund_steps", "disputes", "dispute_papers",
    "saved_cards", "auto_top_ups", "card_deactivations", "low_balance_letters", "book_checks",
    "promo_grants", "promo_parts", "voucher_batches", "vouchers", "voucher_redemptions", "exchange_rates",
)  # fmt: skip

ACCOUNT = "INSERT INTO ledger_accounts (kind, user_id, provider, currency, scale, balance) VALUES "
ENTRY = """WITH t AS (INSERT INTO ledger_transactions (kind, idempotency_key, reference)
                      VALUES ('adjustment', 'a new one', 'x') RETURNING id)
           INSERT INTO ledger_entries (transaction_id, account_id, amount) SELECT t.id, %s, %s FROM t"""
OWN = "(SELECT id FROM ledger_accounts WHERE kind = 'user_available')"
NO_TRIGGERS = "SET LOCAL session_replication_role = replica;"
KEPT = "user_id, top_up_id, issued_on, paid_on, language, currency, tax_rate, tax_name, seller, buyer"


def invoice(**changes: str) -> str:
    """A copy of the receipt there is, with other values (SQL)."""
    values = {"kind": "kind", "year": "year", "total_minor": "total_minor", "tax_minor": "tax_minor"} | changes
    return (
        f"INSERT INTO invoices ({', '.join(values)}, {KEPT}) SELECT {', '.join(values.values())}, {KEPT} FROM invoices"
    )


NOTE = {"kind": "'credit_note'", "receipt_id": "id", "total_minor": "1", "tax_minor": "0"}
# Rule → statements that break it and no other one. Two activations wait, a top-up is paid and has its receipt, a card
# is kept and a code was used.
BROKEN = NEWER | {
    "ck_activations_state": ["UPDATE activations SET state = 'lost'"],
    "ck_activations_end_reason": ["UPDATE activations SET state = 'expired', ended_at = now(), end_reason = 'a whim'"],
    "ck_activations_price": ["UPDATE activations SET price_minor = 0", "UPDATE activations SET price_minor = -1"],
    "ck_activations_released_says_why": [
        "UPDATE activations SET end_reason = 'no_code'",
        "UPDATE activations SET state = 'expired', ended_at = now()",
    ],
    "ck_activations_ended_says_when": [
        "UPDATE activations SET ended_at = now()",
        "UPDATE activations SET state = 'expired', end_reason = 'no_code'",
    ],
    "ck_activations_number_known": [
        f"UPDATE activations SET {column} = NULL" for column in ("phone", "provider_ref", "expires_at")
    ],
    "ck_activations_captured_has_code": [
        "UPDATE activations SET received_at = now()",
        "UPDATE activations SET state = 'received'",
    ],
    "uq_activations_user_id_key": ["UPDATE activations SET key = 'one'"],
    "uq_activations_provider_name_provider_ref": [
        "UPDATE activations SET provider_name = 'fivesim', provider_ref = 'one'"
    ],
    "uq_activations_replaces_id": ["UPDATE activations SET replaces_id = (SELECT min(id) FROM activations)"],
    "uq_messages_activation_id_fingerprint": [
        "INSERT INTO messages (activation_id, fingerprint, body) SELECT activation_id, fingerprint, '' FROM messages"
    ],
    "ck_messages_erased": [
        f"UPDATE messages SET erased_at = now(), {rest}"
        for rest in ("code = NULL, sender = NULL", "body = '', sender = NULL", "body = '', code = NULL, sender = 'x'")
    ],
    "uq_stray_orders_provider_name_provider_ref": [
        "INSERT INTO stray_orders (provider_name, provider_ref, reason)"
        " VALUES ('fivesim', '7', 'one'), ('fivesim', '7', 'two')"
    ],
    "ck_offers_rate": ["UPDATE offers SET rate = 10001", "UPDATE offers SET rate = -1"],
    "ck_offers_amounts": [
        f"UPDATE offers SET {part}" for part in ("cost_micros = -1", "price_minor = 0", "stock = -1")
    ],
    "uq_offers_service_code_country_code_operator_provider_name": [
        "INSERT INTO offers (service_code, country_code, operator, provider_name, cost_micros, price_minor, stock)"
        " SELECT service_code, country_code, operator, provider_name, 1, 1, 1 FROM offers LIMIT 1"
    ],
    "uq_ledger_accounts_owner": [
        ACCOUNT + "('user_available', :user, NULL, 'NGN', 2, 0)",
        ACCOUNT + "('suspense', NULL, NULL, 'NGN', 2, NULL), ('suspense', NULL, NULL, 'NGN', 2, NULL)",
    ],
    "ck_ledger_accounts_kind": [ACCOUNT + "('elsewhere', NULL, NULL, 'NGN', 2, NULL)"],
    "ck_ledger_accounts_user": [
        ACCOUNT + "('suspense', :user, NULL, 'NGN', 2, NULL)",
        ACCOUNT + "('user_debt', NULL, NULL, 'NGN', 2, 0)",
    ],
    "ck_ledger_accounts_provider": [
        ACCOUNT + "('suspense', NULL, 'fivesim', 'NGN', 2, NULL)",
        ACCOUNT + "('provider_cost', NULL, NULL, 'NGN', 2, NULL)",
    ],
    "ck_ledger_accounts_running_balance": [
        ACCOUNT + "('suspense', NULL, NULL, 'NGN', 2, 0)",
        ACCOUNT + "('user_debt', :user, NULL, 'NGN', 2, NULL)",
    ],
    "ck_ledger_accounts_not_negative": [
        f"{ACCOUNT} ('{kind}', :user, NULL, 'NGN', 2, 0) ON CONFLICT DO NOTHING;"
        + ENTRY % (f"(SELECT id FROM ledger_accounts WHERE kind = '{kind}' AND user_id = :user)", -10_000_000)
        for kind in GUARDED_KINDS
    ],
    "uq_ledger_transactions_idempotency_key": [
        "INSERT INTO ledger_transactions (kind, idempotency_key, reference)"
        " SELECT kind, idempotency_key, reference FROM ledger_transactions LIMIT 1"
    ],
    "ck_ledger_entries_amount": [ENTRY % (OWN, 0)],
    "uq_ledger_entries_account_id_sequence": [
        f"{NO_TRIGGERS} INSERT INTO ledger_entries (transaction_id, account_id, amount, sequence)"
        " SELECT transaction_id, account_id, 1, sequence FROM ledger_entries WHERE sequence IS NOT NULL LIMIT 1"
    ],
    "ck_top_ups_state": ["UPDATE top_ups SET state = 'lost', paid_minor = NULL"],
    "ck_top_ups_amount": ["UPDATE top_ups SET amount_minor = 0", "UPDATE top_ups SET amount_minor = -1"],
    "ck_top_ups_paid": ["UPDATE top_ups SET paid_minor = NULL", "UPDATE top_ups SET state = 'failed'"],
    "uq_top_ups_reference": [
        "INSERT INTO top_ups (reference, user_id, key, amount_minor, currency)"
        " SELECT reference, user_id, 'another', 1, 'NGN' FROM top_ups"
    ],
    "uq_top_ups_key": [
        "INSERT INTO top_ups (reference, user_id, key, amount_minor, currency)"
        " SELECT 'another', user_id, key, 1, 'NGN' FROM top_ups"
    ],
    "uq_gateway_events_digest": [
        "INSERT INTO gateway_events (digest, event, body) VALUES ('one', 'a', '{}'), ('one', 'b', '{}')"
    ],
    "ck_invoices_kind": [invoice(kind="'bill'")],
    "ck_invoices_year": [invoice(year="1999")],
    "ck_invoices_amounts": [
        invoice(**NOTE | {"total_minor": "0", "refund_reference": "'r'"}),
        invoice(**NOTE | {"tax_minor": "2", "refund_reference": "'r'"}),
        invoice(**NOTE | {"tax_minor": "-1", "refund_reference": "'r'"}),
    ],
    "ck_invoices_credit_note": [
        invoice(**NOTE),
        invoice(kind="'credit_note'", refund_reference="'r'"),
    ],
    "ck_invoices_fee": [
        invoice(fee_minor="-1"),
        invoice(fee_minor="total_minor"),
        invoice(**NOTE | {"total_minor": "2", "fee_minor": "1", "refund_reference": "'r'"}),
    ],
    "uq_invoices_receipt": [invoice()],
    "uq_invoices_refund_reference": [(invoice(**NOTE | {"refund_reference": "'r'"}) + " WHERE kind = 'receipt';") * 2],
    "uq_invoices_year_number": [
        NO_TRIGGERS + invoice(**NOTE | {"refund_reference": "'r'", "number": "number", "issued_at": "now()"})
    ],
}


@pytest.fixture
def rows(alice: User, request: pytest.FixtureRequest) -> int:
    """Something in every table that examples build upon; gives the customer's id."""
    if "_activations_" in request.node.name or "_messages_" in request.node.name:
        bought, _other = shop.buy(alice), shop.buy(alice)
        with transaction():
            messages.store(bought, Sms("Your code is 482913"), is_late=False)
    make_receipt(alice)
    _batch, [code] = make_vouchers()
    vouchers.redeem(alice, code)
    with transaction():
        named = {"brand": "visa", "last4": "4081", "exp_month": 12, "exp_year": 2030}
        db.session.add(
            SavedCard(user_id=alice.id, authorization_code=b"1", email=alice.email, signature="SIG_1", **named)
        )
    return alice.id


@pytest.mark.parametrize("rule", list(BROKEN))
def test_postgresql_refuses(rule: str, rows: int) -> None:
    for statement in BROKEN[rule]:
        with pytest.raises(DBAPIError) as refused, transaction():
            db.session.execute(text(statement), {"user": rows} if ":user" in statement else {})
        assert violated(refused.value) == rule, statement  # type: ignore[arg-type]


def test_every_rule_has_its_example(app: object) -> None:
    found = db.session.scalars(
        text("""
            SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid::regclass::text = ANY(:tables)
            UNION SELECT indexrelid::regclass::text FROM pg_index
             WHERE indisunique AND NOT indisprimary AND indrelid::regclass::text = ANY(:tables)
        """),
        {"tables": list(TABLES)},
    )
    assert sorted(BROKEN) == sorted(found)
