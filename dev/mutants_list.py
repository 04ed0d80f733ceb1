"""The guards of the money, each with what takes it away and the tests that must notice.

A mutant of the code is a text of one file (it must stand there exactly once) and what takes its place; one of the
database is a statement run after the migrations. Keep the texts short: they break when the code changes, and a test
says so. After a change here run `make mutants`, which runs what is new or changed.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One guard taken away. `tests` are arguments of pytest, the narrowest that should notice."""

    name: str
    guard: str  # what it protects, in words
    where: str  # a file, or the table of a rule
    old: str  # its text there, or the statement that takes it away
    new: str | None  # the text that takes its place; None for a statement
    tests: tuple[str, ...]


def _code(name: str, guard: str, where: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(name, guard, f"namaskah/{where}", old, new, tuple(f"tests/{test}" for test in tests))


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


INDEXES = {"uq_ledger_accounts_owner", "uq_ledger_entries_account_id_sequence", "uq_invoices_receipt"}
RULES: dict[str, tuple[str, ...]] = {
    "activations": (
        "ck_activations_state", "ck_activations_end_reason", "ck_activations_price",
        "ck_activations_released_says_why", "ck_activations_ended_says_when", "ck_activations_number_known",
        "ck_activations_captured_has_code", "uq_activations_user_id_key",
        "uq_activations_provider_name_provider_ref", "uq_activations_replaces_id",
    ),
    "messages": ("uq_messages_activation_id_fingerprint",),
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
    "top_ups": ("ck_top_ups_state", "ck_top_ups_amount", "ck_top_ups_paid", "uq_top_ups_reference", "uq_top_ups_key"),
    "gateway_events": ("uq_gateway_events_digest",),
    "invoices": (
        "ck_invoices_kind", "ck_invoices_year", "ck_invoices_amounts", "ck_invoices_credit_note", "uq_invoices_receipt",
        "uq_invoices_refund_reference", "uq_invoices_year_number",
    ),
}  # fmt: skip

LEDGER, INVOICES = "wallet/test_ledger.py", "wallet/test_invoices.py"
BELOW = "money/test_transactions.py"
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
)

TOPUPS, RACES, WEBHOOK = "wallet/test_topups.py", "wallet/test_settle_races.py", "wallet/test_webhook.py"
BUYING, DOUBT, ENDINGS = "numbers/test_activations.py", "numbers/test_doubt.py", "numbers/test_endings.py"
RUSH, SCENARIOS, LOST = "numbers/test_races.py", "money/test_scenarios.py", "money/test_lost_commits.py"
CODE: tuple[Mutant, ...] = (
    # transactions
    _code("db-nesting", "transaction() refuses to nest", "db.py",
          '    if in_transaction():\n        raise RuntimeError("a transaction is open already")\n', "",
          BELOW),
    _code("db-rollback", "an error in transaction() takes everything back", "db.py",
          "    except BaseException:\n        db.session.rollback()\n        raise\n",
          "    except BaseException:\n        db.session.commit()\n        raise\n",
          BELOW),
    _code("db-require", "ledger verbs run inside transaction() only", "db.py",
          '    if not in_transaction():\n        raise RuntimeError("this must run', '    if False:\n        raise RuntimeError("this must run',
          LEDGER),
    _code("db-leave", "no call to the outside inside a transaction", "db.py",
          '    if in_transaction():\n        raise RuntimeError("no call', '    if False:\n        raise RuntimeError("no call',
          TOPUPS, "guards/test_calls_outside.py"),
    _code("db-leave-rollback", "a call to the outside holds no connection", "db.py",
          'transaction")\n    db.session.rollback()\n\n\ndef database_time', 'transaction")\n\n\ndef database_time',
          "guards/test_calls_outside.py"),
    _code("jobs-require", "a job is written in somebody's transaction", "jobs.py",
          "    require_transaction()\n    task =", "    task =", BELOW),
    _code("jobs-connection", "a job exists only if its transaction committed", "jobs.py",
          "connection=db.session.connection())", "connection=db.engine.connect().execution_options(isolation_level='AUTOCOMMIT'))",
          BELOW),
    # the ledger
    _code("ledger-key", "each verb has one idempotency key a reference", "wallet/ledger.py",
          'idempotency_key=f"{kind}:{reference}", reference=reference', 'idempotency_key=f"{kind}:{reference}:{id(amounts)}", reference=reference',
          LEDGER),
    _code("ledger-known", "what was written before is not written again", "wallet/ledger.py",
          "    if written is None:\n        return False\n", "", LEDGER),
    _code("ledger-capture-hold", "only what is held is captured", "wallet/ledger.py",
          '    _require_hold(reference, amount_minor, unless="release")\n', "", LEDGER),
    _code("ledger-release-hold", "only what is held is released", "wallet/ledger.py",
          '    _require_hold(reference, amount_minor, unless="capture")\n', "", LEDGER),
    _code("ledger-hold-amount", "what is captured or released is the amount held", "wallet/ledger.py",
          '_amount_of("hold", reference) != amount_minor or', '_amount_of("hold", reference) is None or',
          BELOW),
    _code("ledger-hold-unless", "captured is not released and the reverse", "wallet/ledger.py",
          " or _amount_of(unless, reference) is not None:", ":", LEDGER),
    _code("ledger-refund-capture", "only what was captured is refunded", "wallet/ledger.py",
          '    if _amount_of("capture", reference) is None:\n        raise UnknownHold(reference)\n', "", LEDGER),
    _code("ledger-order", "accounts are locked in the order of their ids", "wallet/ledger.py",
          "lines = sorted((_account_id(account), amount) for account, amount in amounts.items() if amount)",
          "lines = [(_account_id(account), amount) for account, amount in amounts.items() if amount]",
          SCENARIOS),
    _code("ledger-overdraft", "an overdraft is told as such", "wallet/ledger.py",
          'violated(error) == "ck_ledger_accounts_not_negative"', "False", LEDGER),
    _code("ledger-reason", "a correction has a reason", "wallet/ledger.py",
          "    if not note.strip():\n", "    if False:\n", LEDGER),
    _code("ledger-empty", "a transaction moves something", "wallet/ledger.py",
          "    if not lines:\n", "    if False:\n", LEDGER),
    # top-ups
    _code("topup-signature", "a webhook's signature is checked", "api/paystack.py",
          "if not paystack.signature_matches(raw_body, request.headers.get(\"x-paystack-signature\")):", "if False:", WEBHOOK),
    _code("topup-signature-key", "without a key no signature is right", "wallet/paystack.py",
          "if not self.secret_key or not header:", "if not header:", WEBHOOK, "wallet/test_paystack.py"),
    _code("topup-signature-all", "the whole signature counts", "wallet/paystack.py",
          "hmac.compare_digest(expected.encode(), header.encode", "hmac.compare_digest(expected[:8].encode(), header[:8].encode", WEBHOOK),
    _code("topup-lock", "a top-up is settled under the lock of its row", "wallet/topups.py",
          "select(TopUp).filter_by(reference=reference).with_for_update()\n", "select(TopUp).filter_by(reference=reference)\n", RACES),
    _code("topup-paid-once", "what is paid is not settled again", "wallet/topups.py",
          '    if top_up.state == "paid":\n        return  # somebody', '    if False:\n        return  # somebody', RACES),
    _code("topup-status", "only a success is credited", "wallet/topups.py",
          '    if payment.status != "success":\n        if', "    if False:\n        if", TOPUPS),
    _code("topup-amount", "what was paid is what was asked for", "wallet/topups.py",
          "(payment.amount_minor, payment.currency, payment.domain) != (top_up.amount_minor, top_up.currency, domain)",
          "(payment.currency, payment.domain) != (top_up.currency, domain)", TOPUPS),
    _code("topup-currency", "the currency is the one asked for", "wallet/topups.py",
          "(payment.amount_minor, payment.currency, payment.domain) != (top_up.amount_minor, top_up.currency, domain)",
          "(payment.amount_minor, payment.domain) != (top_up.amount_minor, domain)", TOPUPS),
    _code("topup-mode", "play money is no money", "wallet/topups.py",
          "(payment.amount_minor, payment.currency, payment.domain) != (top_up.amount_minor, top_up.currency, domain)",
          "(payment.amount_minor, payment.currency) != (top_up.amount_minor, top_up.currency)", TOPUPS),
    _code("topup-wallet-currency", "wallets are in one currency", "wallet/topups.py",
          "    if top_up.currency != wallet_currency:\n", "    if False:\n", TOPUPS),
    _code("topup-mismatch", "a late answer does not hide what a person must see", "wallet/topups.py",
          'if top_up.state == "mismatch" and payment.status not in', 'if False and payment.status not in', TOPUPS),
    _code("topup-limits", "a top-up is within the limits", "wallet/topups.py",
          'if not config["TOP_UP_MIN_MINOR"] <= amount_minor <= config["TOP_UP_MAX_MINOR"]:', "if False:", TOPUPS),
    _code("topup-key-used", "a key belongs to one amount and one customer", "wallet/topups.py",
          "if (top_up.user_id, top_up.amount_minor) != (user_id, amount_minor):", "if False:", TOPUPS),
    _code("topup-one-checkout", "one form opens one checkout", "wallet/topups.py",
          "    if not is_ours_to_open:\n        return top_up\n", "", RACES),
    _code("topup-sweep-lock", "two sweeps do not take one top-up", "wallet/topups.py",
          ".with_for_update(skip_locked=True)\n", "\n", RACES),
    _code("topup-give-up", "what is not paid is given up after three days, not before", "wallet/topups.py",
          "now - top_up.created_at >= GIVE_UP_AFTER", "now >= top_up.created_at", TOPUPS),
    _code("event-once", "an event is acted upon once", "wallet/events.py",
          "    if event.handled_at is None:\n", "    if True:\n", BELOW),
    _code("event-job-once", "copies of an event leave one job", "wallet/events.py",
          '            jobs.defer("handle_gateway_event", event_id=stored.id)\n            return stored\n        return',
          '            pass\n        stored =', WEBHOOK),
    _code("receipt-once", "a top-up has one receipt", "wallet/invoices.py",
          "    if issued is not None:\n        return issued\n    if top_up.paid_minor", "    if top_up.paid_minor", INVOICES),
    _code("credit-note-once", "a refund has one credit note", "wallet/invoices.py",
          "    if issued is not None:\n        if (issued", "    if False:\n        if (issued", INVOICES),
    _code("credit-note-amount", "no more is credited than was paid", "wallet/invoices.py",
          "if not 0 < amount_minor <= receipt.total_minor - before:", "if False:", INVOICES),
    # buying
    _code("buy-hold", "nothing is bought without its hold", "numbers/activations.py",
          "            ledger.hold(user.id, activation.reference, price)\n", "", BUYING),
    _code("buy-lock", "a customer's purchases are counted one after the other", "numbers/activations.py",
          "select(User).where(User.id == user.id).with_for_update(key_share=True)", "select(User).where(User.id == user.id)", RUSH),
    _code("buy-ban", "a closed account buys nothing", "numbers/activations.py",
          "    if not user.is_active:\n", "    if False:\n", BUYING),
    _code("buy-open-limit", "so many numbers wait at once and no more", "numbers/activations.py",
          'if waiting >= current_app.config["MAX_OPEN_ACTIVATIONS"]:', "if False:", BUYING),
    _code("buy-day-limit", "so many are bought in a day and no more", "numbers/activations.py",
          "if db.session.scalar(select(earliest.c.created_at >", "if False and db.session.scalar(select(earliest.c.created_at >", BUYING),
    _code("buy-key", "one key buys one number", "numbers/activations.py",
          "    known = find_by_key(user.id, key)\n    if known:\n", "    known = find_by_key(user.id, key)\n    if False:\n", BELOW),
    _code("buy-price", "nobody pays more than the price shown", "numbers/activations.py",
          "if route.price_minor <= max_price_minor), None)", "), None)", BUYING),
    _code("buy-ceiling", "a number dearer than it may be is given back", "numbers/activations.py",
          "    if (order.cost_micros or 0) > ceiling:\n", "    if False:\n", BUYING),
    _code("buy-affordable", "nothing is sold below its smallest margin", "numbers/activations.py",
          "    return route.cost_micros <= pricing.max_cost_micros(price, route.currency)", "    return True", BELOW),
    _code("buy-doubt", "an unclear answer is no refusal", "numbers/activations.py",
          "            doubt(activation, error.reason)\n            return\n", "            continue\n", BUYING),
    _code("buy-attempt", "the worker that took a purchase over keeps it", "numbers/activations.py",
          "or not _start_attempt(activation, route):", "or (_start_attempt(activation, route), False)[1]:", BELOW),
    _code("own-activation", "an activation is its owner's", "numbers/activations.py",
          "if found is None or found.user_id != user_id:", "if found is None:", BUYING),
    _code("accept-claim", "an order being given back is nobody's", "numbers/activations.py",
          "if not strays.claim(activation.provider_name, order.provider_ref):", "if False:", DOUBT),
    _code("accept-cost", "what an order cost is booked", "numbers/activations.py",
          "                strays.book_cost(activation)\n", "", BUYING),
    _code("accept-late", "an answer that comes too late is given back", "numbers/activations.py",
          "            elif not is_found and strays.unclaimed(", "            elif False and strays.unclaimed(", DOUBT),
    # moving and ending
    _code("move-from", "a state moves only from where it may", "numbers/activations.py",
          "Activation.state.in_(allowed))\n        .values(**changes)", "True)\n        .values(**changes)", RUSH, ENDINGS),
    _code("move-table", "states go by the table", "numbers/activations.py",
          "        if wrong:\n", "        if False:\n", "numbers/test_states.py"),
    _code("receive-lock", "a code is taken under the lock of its row", "numbers/activations.py",
          "activation_id, with_for_update=True, populate_existing=True)\n        late", "activation_id, populate_existing=True)\n        late", BELOW),
    _code("receive-new", "only a new message takes the money", "numbers/activations.py",
          'if new and activation.state == "waiting":', 'if activation.state == "waiting":', BELOW),
    _code("receive-late", "a code after the refund moves nothing and says so", "numbers/activations.py",
          "late = activation.end_reason is not None", "late = False", ENDINGS),
    _code("receive-capture", "a code takes the held money", "numbers/activations.py",
          "            ledger.capture(activation.user_id, activation.reference, activation.price_minor)\n", "", BUYING),
    _code("message-once", "a message is stored once", "numbers/messages.py",
          "fingerprint=fingerprint(sms, activation.service_code),", "fingerprint=fingerprint(sms, activation.service_code)[:-8] + str(id(sms))[-8:],", "numbers/test_messages.py"),
    _code("give-back-once", "the money comes back once", "numbers/activations.py",
          '("waiting",), state=state, end_reason=reason, ended_at=func.now())\n        if moved:',
          '("waiting",), state=state, end_reason=reason, ended_at=func.now())\n        if True:', RUSH),
    _code("fail-release", "a purchase that bought nothing gives the hold back", "numbers/activations.py",
          'cost_micros=None\n        )\n        if moved:\n            ledger.release', 'cost_micros=None\n        )\n        if False:\n            ledger.release', BUYING),
    _code("refund-due", "what a provider owes is booked", "numbers/strays.py",
          '    book("provider_refund_due", provider, ref, cost)\n    if closed', "    if closed", ENDINGS),
    _code("stray-kept", "an order that is not closed becomes a stray", "numbers/strays.py",
          '        _insert(provider, ref, "released", cost, activation_id=activation.id, ban=ban)\n', "        pass\n", ENDINGS),
    _code("stray-owned", "an order that somebody owns is not given back", "numbers/strays.py",
          "        if not unclaimed(provider, [ref]):\n", "        if False:\n", DOUBT),
    _code("stray-free", "an order that somebody owns is not handed out", "numbers/strays.py",
          "    return unclaimed(provider, refs) - set(given_back)", "    return set(refs)", DOUBT),
    _code("stray-closed-once", "a stray ends once", "numbers/strays.py",
          "StrayOrder.closed_at.is_(None))\n        .values(closed_at", "True)\n        .values(closed_at", BELOW),
    _code("settle-whole", "only a whole list proves that nothing was bought", "numbers/settling.py",
          "elif listing.is_whole and _is_certain(", "elif _is_certain(", DOUBT),
    _code("settle-certain", "nothing is given back before it is certain", "numbers/settling.py",
          "elif listing.is_whole and _is_certain(activation, listed_at):", "elif listing.is_whole:", DOUBT),
    _code("settle-goods", "an order in doubt is of the same goods", "numbers/settling.py",
          "(order.service, order.country) == activations.provider_codes(activation, name)", "True", DOUBT),
    _code("settle-cost", "an order dearer than allowed is not attached", "numbers/settling.py",
          "and (order.cost_micros or 0) <= activations.max_cost_micros(activation, adapter.currency)", "and True", DOUBT),
    _code("settle-shown", "a number somebody has is nobody else's", "numbers/settling.py",
          "if alive[ref].phone not in shown]", "]", DOUBT),
    _code("advance-lock", "two workers do not take one activation", "numbers/settling.py",
          ".with_for_update(skip_locked=True, key_share=True)\n    )\n    with transaction():\n        taken", "\n    )\n    with transaction():\n        taken", BELOW),
    _code("stray-lock", "two workers do not give back one order", "numbers/settling.py",
          "            .with_for_update(skip_locked=True)\n", "", BELOW),
    _code("only-own", "nobody reads another number's message", "numbers/messages.py",
          "    if not order.phone or not activation.phone or order.phone == activation.phone:\n", "    if True:\n", DOUBT),
    _code("close-sms", "a code that came before the cancel is taken", "numbers/closing.py",
          "        receive(activation.id, found)\n", "", ENDINGS),
    _code("poll-over", "a window ends when it is over", "numbers/polling.py",
          "activation.expires_at <= listed_at and not fresh", "not fresh", ENDINGS, "money/test_clock.py"),
    _code("poll-all", "no window ends unasked", "numbers/polling.py",
          "(is_refunded or (is_over and is_all))", "(is_refunded or is_over)", "numbers/test_messages.py"),
    _code("poll-clock", "PostgreSQL's clock decides what is over", "numbers/polling.py",
          "listed_at = database_time()", "listed_at = datetime.now().astimezone()", "money/test_clock.py"),
    _code("accept-clock", "PostgreSQL's clock says when a window begins", "numbers/activations.py",
          "    now = database_time()\n", "    now = windows.datetime.now().astimezone()\n", "money/test_clock.py"),
    _code("push-token", "a provider's push has the secret", "api/providers.py",
          'if not secret or not compare_digest(request.args.get("token", "").encode(), secret.encode()):', "if not secret:", "api/test_provider_webhooks.py"),
    _code("push-no-token", "without a secret nobody pushes", "api/providers.py",
          "if not secret or not compare_digest", "if not compare_digest", "api/test_provider_webhooks.py"),
    _code("price-up", "a price keeps its margin when it is rounded", "numbers/pricing.py",
          "to_integral_value(ROUND_CEILING)", "to_integral_value(ROUND_FLOOR)", "numbers/test_pricing.py"),
    _code("cost-down", "the most a number may cost is rounded down", "numbers/pricing.py",
          "exact.to_integral_value(ROUND_FLOOR)", "exact.to_integral_value(ROUND_CEILING)", "numbers/test_pricing.py"),
)  # fmt: skip

MUTANTS: tuple[Mutant, ...] = (
    *CODE,
    *(_rule(table, name) for table, names in RULES.items() for name in names),
    *(_trigger(table, name, test) for table, name, test in TRIGGERS),
)
