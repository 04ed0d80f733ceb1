"""Statements that PostgreSQL must refuse in the tables of the gateway, of gifts and of rates: rule → what breaks it and
no other rule. See test_refusals.py."""


def row(table: str, values: dict[str, str], **changes: str) -> str:
    """An INSERT of these values (SQL), some of them changed."""
    all_of_them = values | changes
    return f"INSERT INTO {table} ({', '.join(all_of_them)}) SELECT {', '.join(all_of_them.values())};"


PAID = "(SELECT max(id) FROM top_ups WHERE state = 'paid')"
CARD = "(SELECT max(id) FROM saved_cards)"
NEXT_WEEK = "now() + interval '7 days'"


# ── Top-ups, events, receipts ────────────────────────────────────────────────────────────────────────────────────────

ANOTHER = {"reference": "'another'", "user_id": ":user", "key": "'another'", "amount_minor": "9", "currency": "'NGN'"}
AUTOMATIC = ANOTHER | {"origin": "'auto'"}
EVENT = {"digest": "'a digest'", "event": "'charge.success'", "body": "'{}'"}
OF_TOP_UPS = {
    "ck_top_ups_surcharge": [
        row("top_ups", ANOTHER, surcharge_minor="-1"),
        "UPDATE top_ups SET surcharge_minor = paid_minor",
    ],
    "ck_top_ups_difference": [row("top_ups", ANOTHER, difference="'too_late'")],
    "ck_top_ups_origin": [row("top_ups", ANOTHER, origin="'cash'")],
    "ck_top_ups_reversed": [row("top_ups", ANOTHER, reversed_at="now()")],
    "ck_top_ups_reversal_note": [
        "UPDATE top_ups SET reversal_note = 'we sent it back'",
        "UPDATE top_ups SET reversed_at = now(), reversal_note = ''",
    ],
    "ck_top_ups_decided": [
        row("top_ups", ANOTHER, state="'closed'"),
        row("top_ups", ANOTHER, decided_at="now()"),
        row("top_ups", ANOTHER, decided_at="now()", decided_by="'user:1'"),
        row("top_ups", ANOTHER, decided_at="now()", decided_by="'user:1'", decision="''"),
    ],
    "uq_top_ups_auto_under_way": [
        row("top_ups", AUTOMATIC) + row("top_ups", AUTOMATIC, reference="'b'", key="'b'", state="'pending'")
    ],
    "ck_gateway_events_closed": [
        row("gateway_events", EVENT, closed_at="now()", closed_by="'user:1'", closed_reason="'x'"),
        row("gateway_events", EVENT, closed_at="now()", handled_at="now()", closed_by="'user:1'"),
        row("gateway_events", EVENT, closed_at="now()", handled_at="now()", closed_reason="'x'"),
    ],
    "ck_activations_exchange_rate": ["UPDATE activations SET exchange_rate = 0"],
}

# ── Refunds to where it was paid from ────────────────────────────────────────────────────────────────────────────────

REFUND = {
    "reference": "'RF-1'", "key": "'a key'", "top_up_id": PAID, "user_id": ":user", "amount_minor": "9",
    "currency": "'NGN'", "asked_by": "'user:1'", "reason": "'x'",
}  # fmt: skip
OTHER_REFUND = REFUND | {"reference": "'RF-2'", "key": "'another key'"}
CLOSED = {"state": "'processed'", "settled_at": "now()"}
OF_REFUNDS = {
    "ck_gateway_refunds_state": [row("gateway_refunds", REFUND, state="'lost'", settled_at="now()")],
    "ck_gateway_refunds_amounts": [
        row("gateway_refunds", REFUND, amount_minor="0"),
        row("gateway_refunds", REFUND, loss_minor="-1"),
        row("gateway_refunds", REFUND, loss_minor="10", loss_reason="'x'"),
    ],
    "ck_gateway_refunds_reasons": [
        row("gateway_refunds", REFUND, reason="''"),
        row("gateway_refunds", REFUND, loss_minor="1"),
        row("gateway_refunds", REFUND, loss_reason="'x'"),
    ],
    "ck_gateway_refunds_settled": [
        row("gateway_refunds", REFUND, state="'processed'"),
        row("gateway_refunds", REFUND, settled_at="now()"),
    ],
    "ck_gateway_refunds_check_at": [row("gateway_refunds", REFUND | CLOSED, check_at="now()")],
    "ck_gateway_refunds_returned": [row("gateway_refunds", REFUND | CLOSED, returned_at="now()")],
    "uq_gateway_refunds_reference": [
        row("gateway_refunds", REFUND) + row("gateway_refunds", REFUND, key="'another key'")
    ],
    "uq_gateway_refunds_key": [row("gateway_refunds", REFUND) + row("gateway_refunds", REFUND, reference="'RF-2'")],
    "uq_gateway_refunds_gateway_id": [
        row("gateway_refunds", REFUND, gateway_id="'7'") + row("gateway_refunds", OTHER_REFUND, gateway_id="'7'")
    ],
}

# ── Disputes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

DISPUTE = {
    "gateway_id": "'7'", "top_up_id": PAID, "user_id": ":user", "state": "'pending'", "currency": "'NGN'",
    "claimed_minor": "9", "amount_minor": "9", "debt_minor": "4",
}  # fmt: skip
OF_DISPUTES = {
    "ck_disputes_state": [row("disputes", DISPUTE, state="'forgotten'")],
    "ck_disputes_amounts": [
        row("disputes", DISPUTE, debt_minor="-1"),
        row("disputes", DISPUTE, debt_minor="10"),
        row("disputes", DISPUTE, claimed_minor="8"),
    ],
    "ck_disputes_debt": [
        row("disputes", DISPUTE, debt_paid_minor="-1"),
        row("disputes", DISPUTE, written_off_minor="-1"),
        row("disputes", DISPUTE, debt_paid_minor="3", written_off_minor="2"),
    ],
    "ck_disputes_outcome": [row("disputes", DISPUTE, state="'resolved'", outcome="'a draw'", resolved_at="now()")],
    "ck_disputes_resolved_says_how": [
        row("disputes", DISPUTE, state="'resolved'"),
        row("disputes", DISPUTE, outcome="'won'", resolved_at="now()"),
    ],
    "ck_disputes_resolved_says_when": [
        row("disputes", DISPUTE, state="'resolved'", outcome="'won'"),
        row("disputes", DISPUTE, resolved_at="now()"),
    ],
    "ck_disputes_answer": [row("disputes", DISPUTE, answer="'perhaps'", answer_asked_at="now()")],
    "ck_disputes_answer_says_when": [
        row("disputes", DISPUTE, answer="'declined'"),
        row("disputes", DISPUTE, answer_asked_at="now()"),
    ],
    "ck_disputes_answered": [
        row("disputes", DISPUTE, answered_at="now()"),
        row("disputes", DISPUTE, answer_due_at="now()"),
    ],
    "uq_disputes_gateway_id": [row("disputes", DISPUTE) * 2],
}

# ── Kept cards ───────────────────────────────────────────────────────────────────────────────────────────────────────

KEPT = {
    "user_id": ":user", "authorization_code": r"'\x01'", "email": "'a@example.com'", "signature": "'SIG_2'",
    "brand": "'visa'", "last4": "'4081'", "exp_month": "12", "exp_year": "2030",
}  # fmt: skip
WISH = {
    "user_id": ":user", "is_on": "true", "currency": "'NGN'", "below_minor": "5", "amount_minor": "9",
    "day_limit_minor": "9", "card_id": CARD,
}  # fmt: skip
FORGOTTEN = {"authorization_code": r"'\x01'", "code_digest": r"'\x02'"}
LETTER = {"user_id": ":user", "currency": "'NGN'", "below_minor": "0"}
OF_CARDS = {
    "ck_saved_cards_exp_month": [row("saved_cards", KEPT, exp_month="0"), row("saved_cards", KEPT, exp_month="13")],
    "ck_saved_cards_kept": [
        row("saved_cards", KEPT, authorization_code="NULL"),
        row("saved_cards", KEPT, email="NULL"),
        row("saved_cards", KEPT, removed_at="now()"),
    ],
    "uq_saved_cards_user_id_signature": [row("saved_cards", KEPT) * 2],
    "ck_auto_top_ups_amount": [
        row("auto_top_ups", WISH, below_minor="0"),
        row("auto_top_ups", WISH, below_minor="10"),
    ],
    "ck_auto_top_ups_day_limit": [row("auto_top_ups", WISH, day_limit_minor="8")],
    "ck_auto_top_ups_on": [
        row("auto_top_ups", WISH, card_id="NULL"),
        row("auto_top_ups", WISH, off_reason="'expired'"),
    ],
    "uq_card_deactivations_code_digest": [row("card_deactivations", FORGOTTEN) * 2],
    "ck_low_balance_letters_below": [row("low_balance_letters", LETTER)],
}

# ── Gifts and their codes ────────────────────────────────────────────────────────────────────────────────────────────

GIFT = {
    "user_id": ":user", "source": "'operator'", "reference": "'a gift'", "currency": "'NGN'", "amount_minor": "9",
    "left_minor": "0", "expires_at": NEXT_WEEK,
}  # fmt: skip
BATCH = {
    "key": "'a key'", "name": "'x'", "currency": "'NGN'", "amount_minor": "9", "lifetime_days": "7", "codes": "1",
    "uses_each": "1", "most_minor": "18", "valid_from": "now()", "valid_until": NEXT_WEEK, "made_by": "'user:1'",
    "sealed_codes": r"'\x01'",
}  # fmt: skip
CODE = {
    "batch_id": "(SELECT max(id) FROM voucher_batches)",
    "digest": r"'\x01'",
    "last_four": "'ABCD'",
    "uses_left": "1",
}
USED = "INSERT INTO voucher_redemptions (voucher_id, batch_id, user_id, grant_id, one_each)"
NEW_GIFT = row("promo_grants", GIFT)
OF_THIS = "(SELECT id FROM promo_grants WHERE reference = 'a gift')"
OF_GIFTS = {
    "ck_promo_grants_source": [row("promo_grants", GIFT, source="'the sky'")],
    "ck_promo_grants_amounts": [
        row("promo_grants", GIFT, amount_minor="0"),
        row("promo_grants", GIFT, left_minor="-1"),
        row("promo_grants", GIFT, expired_minor="-1"),
        row("promo_grants", GIFT, expired_minor="10"),
    ],
    "uq_promo_grants_reference": [row("promo_grants", GIFT) * 2],
    "ck_promo_parts_amount": [
        NEW_GIFT + f"INSERT INTO promo_parts (reference, grant_id, amount_minor) SELECT 'x', {OF_THIS}, 0"
    ],
    "ck_voucher_batches_amounts": [
        row("voucher_batches", BATCH, amount_minor="0"),
        row("voucher_batches", BATCH, most_minor="8"),
    ],
    "ck_voucher_batches_codes": [
        row("voucher_batches", BATCH, codes="0"),
        row("voucher_batches", BATCH, uses_each="0"),
    ],
    "ck_voucher_batches_lifetime": [
        row("voucher_batches", BATCH, lifetime_days="0"),
        row("voucher_batches", BATCH, lifetime_days="731"),
    ],
    "ck_voucher_batches_most": [
        row("voucher_batches", BATCH, redeemed="3"),
        row("voucher_batches", BATCH, redeemed="-1"),
    ],
    "ck_voucher_batches_sealed": [
        row("voucher_batches", BATCH, sealed_codes="NULL"),
        row("voucher_batches", BATCH, codes_gone_at="now()"),
    ],
    "ck_voucher_batches_valid": [row("voucher_batches", BATCH, valid_until="now()")],
    "uq_voucher_batches_key": [row("voucher_batches", BATCH) * 2],
    "ck_vouchers_uses_left": [row("vouchers", CODE, uses_left="-1")],
    "uq_vouchers_digest": [row("vouchers", CODE) * 2],
    "uq_voucher_redemptions_voucher_id_user_id": [
        NEW_GIFT + USED + f" SELECT voucher_id, batch_id, user_id, {OF_THIS}, false FROM voucher_redemptions"
    ],
    "uq_voucher_redemptions_grant_id": [
        row("vouchers", CODE)
        + USED
        + " SELECT (SELECT max(id) FROM vouchers), batch_id, user_id, grant_id, false FROM voucher_redemptions"
    ],
    "uq_voucher_redemptions_one_each": [
        NEW_GIFT
        + row("promo_grants", GIFT, reference="'a second one'")
        + "".join(
            row("vouchers", CODE, digest=digest)
            + USED
            + f" SELECT (SELECT max(id) FROM vouchers), batch_id, user_id, {gift}, true FROM voucher_redemptions"
            " LIMIT 1;"
            for digest, gift in ((r"'\x01'", OF_THIS), (r"'\x02'", "(SELECT max(id) FROM promo_grants)"))
        )
    ],
}

# ── Rates ────────────────────────────────────────────────────────────────────────────────────────────────────────────

RATE = {
    "currency": "'USD'", "wallet_currency": "'NGN'", "rate": "1600", "valid_from": "now()", "source": "'x'",
    "who": "'user:1'",
}  # fmt: skip
OF_RATES = {
    "ck_exchange_rates_rate": [row("exchange_rates", RATE, rate="0"), row("exchange_rates", RATE, rate="-1")],
    "ck_exchange_rates_currency": [
        row("exchange_rates", RATE, currency="'NGN'"),
        row("exchange_rates", RATE, currency="'usd'"),
    ],
    "uq_exchange_rates_valid_from": [row("exchange_rates", RATE) * 2],
}

NEWER = OF_TOP_UPS | OF_REFUNDS | OF_DISPUTES | OF_CARDS | OF_GIFTS | OF_RATES
