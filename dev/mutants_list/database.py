"""The rules of the database: CHECKs, unique indexes and triggers, by table."""

from dev.mutants_list.making import BELOW, INVOICES, LEDGER, Mutant


def _rule(table: str, name: str, *tests: str) -> Mutant:
    """A CHECK or a unique index: its example must not be refused in its name any more."""
    drop = f"ALTER TABLE {table} DROP CONSTRAINT {name}"
    if name in INDEXES:
        drop = f"DROP INDEX {name}"
    kind = "CHECK" if name.startswith("ck_") else "unique"
    example = f"tests/money/test_refusals.py::test_postgresql_refuses[{name}"
    # A rule with several examples has them numbered.
    return Mutant(name, f"{kind} {name}", table, drop, None, (*tests, f"{example}*]"))


def _trigger(table: str, name: str, *tests: str) -> Mutant:
    said = f"DROP TRIGGER {name} ON {table}"
    return Mutant(f"{name}_{table}", f"trigger {name}", table, said, None, tuple(f"tests/{test}" for test in tests))


INDEXES = {
    "uq_ledger_accounts_owner", "uq_ledger_entries_account_id_sequence", "uq_invoices_receipt",
    "uq_top_ups_auto_under_way", "uq_saved_cards_user_id_signature", "uq_voucher_redemptions_one_each",
    "uq_exchange_rates_valid_from",
}  # fmt: skip
RULES: dict[str, tuple[str, ...]] = {
    "activations": (
        "ck_activations_state", "ck_activations_end_reason", "ck_activations_price",
        "ck_activations_released_says_why", "ck_activations_ended_says_when", "ck_activations_number_known",
        "ck_activations_captured_has_code", "ck_activations_exchange_rate", "uq_activations_user_id_key",
        "uq_activations_provider_name_provider_ref", "uq_activations_replaces_id",
    ),
    "messages": ("uq_messages_activation_id_fingerprint", "ck_messages_erased"),
    "stray_orders": ("uq_stray_orders_provider_name_provider_ref",),
    "offers": (
        "ck_offers_rate", "ck_offers_amounts", "uq_offers_service_code_country_code_operator_provider_name",
    ),
    "ledger_accounts": (
        "uq_ledger_accounts_owner", "ck_ledger_accounts_kind", "ck_ledger_accounts_user", "ck_ledger_accounts_provider",
        "ck_ledger_accounts_running_balance", "ck_ledger_accounts_not_negative",
    ),
    "ledger_transactions": ("uq_ledger_transactions_idempotency_key",),
    "ledger_entries": ("ck_ledger_entries_amount", "uq_ledger_entries_account_id_sequence"),
    "top_ups": (
        "ck_top_ups_state", "ck_top_ups_amount", "ck_top_ups_paid", "ck_top_ups_surcharge", "ck_top_ups_difference",
        "ck_top_ups_origin", "ck_top_ups_reversed", "ck_top_ups_reversal_note", "ck_top_ups_decided",
        "uq_top_ups_reference", "uq_top_ups_key", "uq_top_ups_auto_under_way",
    ),
    "gateway_events": ("uq_gateway_events_digest", "ck_gateway_events_closed"),
    "invoices": (
        "ck_invoices_kind", "ck_invoices_year", "ck_invoices_amounts", "ck_invoices_fee", "ck_invoices_credit_note",
        "uq_invoices_receipt", "uq_invoices_refund_reference", "uq_invoices_year_number",
    ),
    "gateway_refunds": (
        "ck_gateway_refunds_state", "ck_gateway_refunds_amounts", "ck_gateway_refunds_reasons",
        "ck_gateway_refunds_settled", "ck_gateway_refunds_check_at", "ck_gateway_refunds_returned",
        "uq_gateway_refunds_reference", "uq_gateway_refunds_key", "uq_gateway_refunds_gateway_id",
    ),
    "disputes": (
        "ck_disputes_state", "ck_disputes_amounts", "ck_disputes_debt", "ck_disputes_outcome",
        "ck_disputes_resolved_says_how", "ck_disputes_resolved_says_when", "ck_disputes_answer",
        "ck_disputes_answer_says_when", "ck_disputes_answered", "uq_disputes_gateway_id",
    ),
    "saved_cards": ("ck_saved_cards_exp_month", "ck_saved_cards_kept", "uq_saved_cards_user_id_signature"),
    "auto_top_ups": ("ck_auto_top_ups_amount", "ck_auto_top_ups_day_limit", "ck_auto_top_ups_on"),
    "card_deactivations": ("uq_card_deactivations_code_digest",),
    "low_balance_letters": ("ck_low_balance_letters_below",),
    "promo_grants": ("ck_promo_grants_source", "ck_promo_grants_amounts", "uq_promo_grants_reference"),
    "promo_parts": ("ck_promo_parts_amount",),
    "voucher_batches": (
        "ck_voucher_batches_amounts", "ck_voucher_batches_codes", "ck_voucher_batches_lifetime",
        "ck_voucher_batches_most", "ck_voucher_batches_sealed", "ck_voucher_batches_valid", "uq_voucher_batches_key",
    ),
    "vouchers": ("ck_vouchers_uses_left", "uq_vouchers_digest"),
    "voucher_redemptions": (
        "uq_voucher_redemptions_voucher_id_user_id", "uq_voucher_redemptions_grant_id",
        "uq_voucher_redemptions_one_each",
    ),
    "exchange_rates": ("ck_exchange_rates_rate", "ck_exchange_rates_currency", "uq_exchange_rates_valid_from"),
}  # fmt: skip

TRIGGERS: tuple[tuple[str, str, str], ...] = (
    ("ledger_entries", "ledger_post_entry", LEDGER),
    ("ledger_entries", "ledger_check_zero", LEDGER),
    ("ledger_transactions", "ledger_check_zero", LEDGER),
    ("ledger_entries", "ledger_append_only", LEDGER),
    ("ledger_transactions", "ledger_append_only", LEDGER),
    ("ledger_entries", "ledger_no_truncate", LEDGER),
    ("ledger_transactions", "ledger_no_truncate", BELOW),
    ("ledger_accounts", "ledger_no_truncate", BELOW),
    ("ledger_accounts", "ledger_no_delete", LEDGER),
    ("ledger_accounts", "ledger_guard_account", LEDGER),
    ("invoices", "invoice_number", INVOICES),
    ("invoices", "invoice_immutable", INVOICES),
    ("invoices", "invoice_no_truncate", INVOICES),
    ("invoice_years", "invoice_guard_year", INVOICES),
    ("invoice_years", "invoice_no_delete", INVOICES),
    ("invoice_years", "invoice_no_truncate", INVOICES),
    ("top_ups", "invoice_receipt_due", INVOICES),
    ("ledger_accounts", "ledger_one_currency", "wallet/test_currencies.py"),
    ("exchange_rates", "exchange_rates_immutable", "numbers/test_rates.py"),
    ("exchange_rates", "exchange_rates_no_truncate", "numbers/test_rates.py"),
    ("promo_grants", "promo_check_left", "wallet/test_promo.py"),
    ("promo_grants", "promo_no_delete", "wallet/test_promo.py"),
    ("promo_parts", "promo_append_only", "wallet/test_promo.py"),
    ("voucher_redemptions", "promo_append_only", "wallet/test_vouchers.py"),
    ("promo_grants", "promo_no_truncate", BELOW),
    ("promo_parts", "promo_no_truncate", BELOW),
    ("voucher_redemptions", "promo_no_truncate", BELOW),
    ("messages", "message_stays_erased", "housekeeping/test_messages.py"),
    ("gateway_refunds", "gateway_refund_within_paid", "wallet/test_refunds.py"),
    ("gateway_refunds", "gateway_refund_within_paid_late", "wallet/test_refunds.py"),
    ("gateway_refunds", "gateway_refund_guard", "wallet/test_refunds.py"),
)

MUTANTS: tuple[Mutant, ...] = (
    *(_rule(table, name) for table, names in RULES.items() for name in names),
    *(_trigger(table, name, test) for table, name, test in TRIGGERS),
)
