"""The verbs of the ledger, and what PostgreSQL refuses whoever asks."""

import secrets
import threading
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.wallet import ledger
from namaskah.wallet.ledger import InsufficientFunds, UnknownHold

Funded = Callable[[int], User]


def new_reference() -> str:
    return f"activation:{secrets.token_hex(6)}"


def in_wallet(user: User) -> tuple[int, int]:
    found = ledger.balance(user.id)
    return found.available_minor, found.held_minor


def in_one(*verbs: Callable[[], bool]) -> list[bool]:
    with transaction():
        return [verb() for verb in verbs]


def test_a_top_up_credits_the_whole_amount_and_books_the_fee_apart(payer: User) -> None:
    reference = f"top_up:{secrets.token_hex(6)}"
    assert in_one(lambda: ledger.top_up(payer.id, reference, 100_000, 1_500)) == [True]
    assert in_wallet(payer) == (100_000, 0)
    entries = db.session.execute(
        text(
            "SELECT a.kind, e.amount FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id"
            " JOIN ledger_transactions t ON t.id = e.transaction_id WHERE t.reference = :reference ORDER BY a.kind"
        ),
        {"reference": reference},
    ).all()
    assert [tuple(entry) for entry in entries] == [
        ("gateway_clearing", -98_500),
        ("gateway_fees", -1_500),
        ("user_available", 100_000),
    ]
    with transaction():  # the invariant that pairs credits with top-ups holds at the end of this test, too
        db.session.execute(
            text(
                "INSERT INTO top_ups (reference, user_id, key, amount_minor, currency, state, paid_minor)"
                " VALUES (:reference, :user, :reference, 100000, 'NGN', 'paid', 100000)"
            ),
            {"reference": reference.removeprefix("top_up:"), "user": payer.id},
        )


def test_held_money_is_taken_or_given_back_and_never_both(funded: Funded) -> None:
    user, taken, back = funded(1_000), new_reference(), new_reference()
    in_one(lambda: ledger.hold(user.id, taken, 400), lambda: ledger.hold(user.id, back, 300))
    assert in_wallet(user) == (300, 700)
    in_one(lambda: ledger.capture(user.id, taken, 400), lambda: ledger.release(user.id, back, 300, "no_code"))
    assert in_wallet(user) == (600, 0)
    with pytest.raises(UnknownHold):
        in_one(lambda: ledger.release(user.id, taken, 400))
    with pytest.raises(UnknownHold):
        in_one(lambda: ledger.capture(user.id, back, 300))
    assert in_wallet(user) == (600, 0)


def test_a_refund_needs_a_capture_and_gives_all_of_it_back_once(funded: Funded) -> None:
    user, reference = funded(1_000), new_reference()
    with pytest.raises(UnknownHold):
        in_one(lambda: ledger.refund(user.id, reference, 400, "admin", "complaint"))
    in_one(lambda: ledger.hold(user.id, reference, 400), lambda: ledger.capture(user.id, reference, 400))
    refunds = [in_one(lambda: ledger.refund(user.id, reference, 400, "admin", "complaint")) for _ in range(2)]
    assert refunds == [[True], [False]]
    assert in_wallet(user) == (1_000, 0)


def test_every_verb_moves_money_the_first_time_only(funded: Funded) -> None:
    user, taken, back, other = funded(1_000), new_reference(), new_reference(), new_reference()
    cost = ("fivesim", "USD", other, 125_000)
    verbs: list[Callable[[], bool]] = [
        lambda: ledger.adjust(user.id, other, 50, "admin", "sorry"),
        lambda: ledger.hold(user.id, taken, 400),
        lambda: ledger.hold(user.id, back, 100),
        lambda: ledger.capture(user.id, taken, 400),
        lambda: ledger.release(user.id, back, 100),
        lambda: ledger.refund(user.id, taken, 400, "admin", "complaint"),
        lambda: ledger.provider_charge(*cost),
        lambda: ledger.provider_refund_due(*cost),
        lambda: ledger.provider_refund(*cost),
        lambda: ledger.provider_kept(*cost),
    ]
    assert [in_one(verb) for verb in verbs] == [[True]] * len(verbs)
    before = in_wallet(user)
    # A capture or release repeated is no second effect either: done once, then refused or ignored as a whole.
    assert [in_one(verb) for verb in verbs] == [[False]] * len(verbs)
    assert in_wallet(user) == before == (1_050, 0)


def test_money_paid_in_at_a_provider_is_booked_once(app: Flask) -> None:
    reference = f"provider:{secrets.token_hex(6)}"
    paid_in = [
        in_one(lambda: ledger.provider_balance("fivesim", "USD", reference, 5_000_000, "paid in")) for _ in range(2)
    ]
    assert paid_in == [[True], [False]]


def test_what_is_not_there_cannot_be_held(funded: Funded) -> None:
    user = funded(399)
    with pytest.raises(InsufficientFunds):
        in_one(lambda: ledger.hold(user.id, new_reference(), 400))
    with pytest.raises(InsufficientFunds):
        in_one(lambda: ledger.adjust(user.id, new_reference(), -400, "admin", "mistake"))
    assert in_wallet(user) == (399, 0)


def test_money_for_one_is_sold_once_to_twenty_at_once(app: Flask, funded: Funded) -> None:
    user_id, outcomes, start = funded(400).id, list[str](), threading.Barrier(20)

    def buy() -> None:
        with app.app_context():
            start.wait()
            try:
                in_one(lambda: ledger.hold(user_id, new_reference(), 400))
                outcomes.append("held")
            except InsufficientFunds:
                outcomes.append("refused")

    threads = [threading.Thread(target=buy) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held"] + ["refused"] * 19
    assert ledger.balance(user_id).held_minor == 400


def test_one_reference_at_once_from_ten_sides_is_one_hold(app: Flask, funded: Funded) -> None:
    user_id, reference, results, start = funded(5_000).id, new_reference(), list[bool](), threading.Barrier(10)

    def buy() -> None:
        with app.app_context():
            start.wait()
            results.extend(in_one(lambda: ledger.hold(user_id, reference, 400)))

    threads = [threading.Thread(target=buy) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 9 + [True]
    assert ledger.balance(user_id).held_minor == 400


def test_a_verb_outside_a_transaction_is_refused(payer: User) -> None:
    with pytest.raises(RuntimeError):
        ledger.hold(payer.id, new_reference(), 1)


def test_a_transaction_that_moves_nothing_is_refused(payer: User) -> None:
    with pytest.raises(ValueError, match="moves no money"), transaction():
        ledger.adjust(payer.id, "test:nothing", 0, "test", "nothing at all")


def test_an_adjustment_without_a_reason_is_refused(payer: User) -> None:
    with pytest.raises(ValueError, match="reason"):
        in_one(lambda: ledger.adjust(payer.id, new_reference(), 1, "admin", "  "))


def unbalanced() -> str:
    return f"""
        WITH t AS (INSERT INTO ledger_transactions (kind, idempotency_key, reference)
                   VALUES ('adjustment', '{secrets.token_hex(8)}', 'x') RETURNING id)
        INSERT INTO ledger_entries (transaction_id, account_id, amount)
        SELECT t.id, (SELECT max(id) FROM ledger_accounts WHERE kind = 'user_available'), 5 FROM t"""


def without_entries() -> str:
    return f"""INSERT INTO ledger_transactions (kind, idempotency_key, reference)
               VALUES ('adjustment', '{secrets.token_hex(8)}', 'x')"""


REFUSED = [
    (unbalanced(), "ledger_transaction_sums_to_zero"),
    ("INSERT INTO ledger_entries (transaction_id, account_id, amount) SELECT max(t.id), max(a.id), 5"
     " FROM ledger_transactions t, ledger_accounts a WHERE a.kind = 'user_available'",
     "ledger_transaction_sums_to_zero"),
    (without_entries(), "ledger_transaction_has_entries"),
    ("UPDATE ledger_entries SET amount = amount + 1", "ledger_append_only"),
    ("DELETE FROM ledger_entries", "ledger_append_only"),
    ("TRUNCATE ledger_entries CASCADE", "ledger_append_only"),
    ("UPDATE ledger_transactions SET note = 'another story'", "ledger_append_only"),
    ("DELETE FROM ledger_transactions", "ledger_append_only"),
    ("TRUNCATE ledger_transactions CASCADE", "ledger_append_only"),
    ("UPDATE ledger_accounts SET balance = balance + 1 WHERE balance IS NOT NULL", "ledger_append_only"),
    ("UPDATE ledger_accounts SET sequence = sequence + 1", "ledger_append_only"),
    ("DELETE FROM ledger_accounts", "ledger_append_only"),
    ("TRUNCATE ledger_accounts CASCADE", "ledger_append_only"),
    (
        "INSERT INTO ledger_accounts (kind, user_id, currency, scale, balance)"
        " SELECT 'user_available', max(id), 'USD', 2, 1000 FROM users",
        "ledger_append_only",
    ),
    ("INSERT INTO ledger_accounts (kind, user_id, currency, scale, balance)"
     " SELECT kind, user_id, currency, scale, 0 FROM ledger_accounts WHERE kind = 'user_available'",
     "uq_ledger_accounts_owner"),
    ("SET LOCAL session_replication_role = replica;"  # the triggers that number the entries sleep
     " INSERT INTO ledger_entries (transaction_id, account_id, amount, sequence)"
     " SELECT transaction_id, account_id, 1, sequence FROM ledger_entries WHERE sequence IS NOT NULL LIMIT 1",
     "uq_ledger_entries_account_id_sequence"),
    ("INSERT INTO ledger_entries (transaction_id, account_id, amount) SELECT max(t.id), max(a.id), 0"
     " FROM ledger_transactions t, ledger_accounts a", "ck_ledger_entries_amount"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "constraint"), REFUSED)
def test_postgresql_refuses(statement: str, constraint: str, funded: Funded) -> None:
    user = funded(700)
    with pytest.raises(DBAPIError) as refused, transaction():
        db.session.execute(text(statement))
    assert violated(refused.value) == constraint  # type: ignore[arg-type]
    assert in_wallet(user) == (700, 0)


def test_postgresql_refuses_an_overdraft_whoever_writes_it(funded: Funded) -> None:
    user = funded(700)
    account = text("SELECT id FROM ledger_accounts WHERE kind = 'user_available' AND user_id = :user")
    account_id = db.session.scalar(account, {"user": user.id})
    with pytest.raises(IntegrityError) as refused, transaction():
        db.session.execute(
            text(
                "WITH t AS (INSERT INTO ledger_transactions (kind, idempotency_key, reference)"
                " VALUES ('adjustment', :key, 'x') RETURNING id) INSERT INTO ledger_entries"
                " (transaction_id, account_id, amount) SELECT t.id, :account, -701 FROM t"
            ),
            {"key": secrets.token_hex(8), "account": account_id},
        )
    assert violated(refused.value) == "ck_ledger_accounts_not_negative"
