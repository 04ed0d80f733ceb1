"""A top-up from the form to the credit: every way it can go, over real HTTP against the simulator."""

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.errors import UserError
from namaskah.wallet import ledger, topups
from namaskah.wallet.models import TopUp
from namaskah.wallet.paystack import GatewayDown, GatewayRefused, Paystack

from .counter import Counter

AMOUNT = 250_000


@pytest.fixture(autouse=True)
def at_the_counter(counter: Counter) -> None:
    """Every test here speaks to the simulated gateway."""


@pytest.fixture
def opened(payer: User) -> TopUp:
    return topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))


def aged(reference: str, age: str) -> None:
    """As if the top-up had been opened that long ago and were due for a look."""
    with transaction():
        db.session.execute(
            text(
                "UPDATE top_ups SET created_at = now() - cast(:age AS interval), check_at = now()"
                " WHERE reference = :ref"
            ),
            {"age": age, "ref": reference},
        )


def available(user: User) -> int:
    return ledger.balance(user.id).available_minor


def mails_to(user: User) -> list[dict[str, str]]:
    query = text("SELECT args FROM procrastinate_jobs WHERE task_name = 'send_mail' AND args->>'to' = :email")
    return list(db.session.scalars(query, {"email": user.email}))


def test_a_new_top_up_has_a_checkout_for_its_amount(payer: User, counter: Counter) -> None:
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    at_gateway = counter.transaction(opened.reference)
    assert (opened.state, at_gateway.amount, at_gateway.email) == ("opened", AMOUNT, payer.email)
    assert opened.checkout_url is not None and opened.checkout_url.endswith(at_gateway.access_code)
    assert at_gateway.callback_url == "http://localhost/wallet/top-up/return"
    assert at_gateway.metadata == {"cancel_action": f"http://localhost/wallet/top-ups/{opened.reference}"}
    assert available(payer) == 0


def test_the_same_form_twice_is_one_top_up(payer: User, counter: Counter) -> None:
    key = secrets.token_hex(16)
    first, second = (topups.open_top_up(payer, AMOUNT, key) for _ in range(2))
    assert first.reference == second.reference
    assert counter.references() == [first.reference]
    assert counter.calls("initialize") == 1


def test_a_used_key_with_other_content_is_refused(payer: User, new_user: Callable[[], User], counter: Counter) -> None:
    key = secrets.token_hex(16)
    topups.open_top_up(payer, AMOUNT, key)
    with pytest.raises(topups.KeyUsed):
        topups.open_top_up(payer, AMOUNT + 1, key)
    with pytest.raises(topups.KeyUsed):
        topups.open_top_up(new_user(), AMOUNT, key)
    assert len(counter.references()) == 1


@pytest.mark.parametrize("amount", [49_999, 20_000_001, 0, -250_000])
def test_an_amount_outside_the_limits_opens_nothing(payer: User, counter: Counter, amount: int) -> None:
    with pytest.raises(UserError):
        topups.open_top_up(payer, amount, secrets.token_hex(16))
    assert counter.calls("initialize") == 0


def test_without_a_gateway_top_ups_are_closed(app: Flask, payer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "PAYSTACK_SECRET_KEY", "")
    with pytest.raises(UserError) as closed:
        topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    assert closed.value.status == 503
    assert topups.sweep_due() == 0


@pytest.mark.parametrize("fault", ["error_500", "reset", "html", "empty"])
def test_a_gateway_that_fails_once_is_asked_again_under_the_same_reference(
    payer: User, counter: Counter, fault: str
) -> None:
    counter.breaks("initialize", fault)
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    assert opened.checkout_url is not None
    assert counter.references() == [opened.reference]


@pytest.mark.parametrize("fault", ["error_500_after", "reset_after", "cut_json_after"])
def test_a_checkout_whose_address_got_lost_ends_readably_and_with_one_reference(
    payer: User, counter: Counter, fault: str
) -> None:
    counter.breaks("initialize", fault)
    key = secrets.token_hex(16)
    opened = topups.open_top_up(payer, AMOUNT, key)
    assert (opened.state, opened.gateway_status, opened.checkout_url) == ("failed", "not_opened", None)
    assert counter.references() == [opened.reference]
    assert topups.open_top_up(payer, AMOUNT, key).reference == opened.reference
    assert topups.open_top_up(payer, AMOUNT, secrets.token_hex(16)).state == "opened"


def test_a_gateway_that_hangs_costs_two_deadlines_and_no_second_reference(
    payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topups, "INITIALIZE_DEADLINES", (0.3, 0.2))
    counter.breaks("initialize", "hang", times=2, seconds=2)
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    assert (opened.state, opened.gateway_status) == ("failed", "not_opened")
    assert counter.references() == []
    assert opened.check_at is not None  # should money have moved all the same, the sweep finds it


def test_a_refused_checkout_is_failed_with_the_gateways_reason(
    app: Flask, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "PAYSTACK_SECRET_KEY", secrets.token_hex(8))
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    assert (opened.state, opened.gateway_message) == ("failed", "Invalid key")


def test_a_verified_payment_is_credited_once_with_its_mail(opened: TopUp, payer: User, counter: Counter) -> None:
    counter.pay(opened.reference)
    settled = [topups.settle(opened.reference) for _ in range(3)]
    assert [found.state for found in settled] == ["paid"] * 3
    assert (settled[0].paid_minor, settled[0].fees_minor, settled[0].check_at) == (AMOUNT, 13_750, None)
    assert settled[0].settled_at is not None
    assert available(payer) == AMOUNT
    [mail] = mails_to(payer)
    assert "₦2,500" in mail["subject"]
    assert mail["text"].count("₦2,500") == mail["html"].count("₦2,500") == 2  # what came, what there is now
    assert counter.calls("verify") == 1  # what is paid is not asked about again


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("abandoned", "abandoned"),
        ("failed", "failed"),
        ("reversed", "failed"),
        ("ongoing", "pending"),
        ("pending", "pending"),
        ("processing", "pending"),
        ("queued", "pending"),
        ("something_new", "pending"),
    ],
)
def test_every_other_status_credits_nothing_and_may_still_become_paid(
    opened: TopUp, payer: User, counter: Counter, status: str, state: str
) -> None:
    counter.becomes(opened.reference, status)
    found = topups.settle(opened.reference)
    assert (found.state, found.gateway_status) == (state, status)
    assert available(payer) == 0
    assert found.check_at is not None
    counter.pay(opened.reference)
    assert topups.settle(opened.reference).state == "paid"
    assert available(payer) == AMOUNT


@pytest.mark.parametrize("paid", [AMOUNT - 1, AMOUNT + 1, AMOUNT * 10, AMOUNT // 10, 1])
def test_another_amount_is_not_credited_and_waits_for_a_person(
    opened: TopUp, payer: User, counter: Counter, paid: int, caplog: pytest.LogCaptureFixture
) -> None:
    counter.pay(opened.reference, paid)
    found = topups.settle(opened.reference)
    assert (found.state, found.paid_minor, found.check_at) == ("mismatch", None, None)
    assert available(payer) == 0
    assert f"paid {paid} NGN" in caplog.text and "needs a person" in caplog.text
    assert mails_to(payer) == []


def test_another_currency_is_not_credited(opened: TopUp, payer: User, counter: Counter) -> None:
    counter.transaction(opened.reference).currency = "GHS"
    counter.pay(opened.reference)
    assert topups.settle(opened.reference).state == "mismatch"
    assert available(payer) == 0


def test_play_money_is_not_credited_to_real_wallets_nor_the_reverse(
    opened: TopUp, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter.pay(opened.reference)
    monkeypatch.setattr(counter.world.till, "domain", "live")
    found = topups.settle(opened.reference)
    assert found.state == "mismatch" and "in live mode" in (found.gateway_message or "")
    assert available(payer) == 0


def test_a_top_up_in_a_currency_that_wallets_no_longer_have_waits_for_a_person(
    app: Flask, opened: TopUp, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter.pay(opened.reference)
    monkeypatch.setitem(app.config, "WALLET_CURRENCY", "GHS")
    assert topups.settle(opened.reference).state == "mismatch"


def test_a_mismatch_that_was_sent_back_is_over(opened: TopUp, counter: Counter) -> None:
    counter.pay(opened.reference, 1)
    topups.settle(opened.reference)
    counter.becomes(opened.reference, "reversed")
    found = topups.settle(opened.reference)
    assert (found.state, found.gateway_status) == ("failed", "reversed")


def test_an_older_answer_does_not_hide_a_mismatch(opened: TopUp, counter: Counter) -> None:
    counter.pay(opened.reference, 1)
    found = topups.settle(opened.reference)
    why = found.gateway_message
    counter.becomes(opened.reference, "ongoing")
    found = topups.settle(opened.reference)
    assert (found.state, found.gateway_message, found.gateway_status) == ("mismatch", why, "success")


def test_a_reference_we_never_gave_is_unknown(counter: Counter) -> None:
    with pytest.raises(topups.UnknownTopUp):
        topups.settle(f"NK-{secrets.token_hex(10)}")
    assert counter.calls("verify") == 0


@pytest.mark.parametrize(("fault", "error"), [("error_500", GatewayDown), ("bad_key", GatewayRefused)])
def test_a_gateway_that_does_not_tell_changes_nothing(
    opened: TopUp, payer: User, counter: Counter, fault: str, error: type[Exception]
) -> None:
    counter.pay(opened.reference)
    counter.breaks("verify", fault)
    with pytest.raises(error):
        topups.settle(opened.reference)
    assert topups.get_top_up(opened.reference).state == "opened"
    assert available(payer) == 0


def test_settling_inside_a_transaction_is_refused_before_anything_is_sent(opened: TopUp, counter: Counter) -> None:
    with pytest.raises(RuntimeError), transaction():
        topups.settle(opened.reference)
    assert counter.calls("verify") == 0


def test_the_credit_and_the_state_come_together_or_not_at_all(
    opened: TopUp, payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OSError("the disk is full")

    counter.pay(opened.reference)
    with monkeypatch.context() as now:
        now.setattr("namaskah.wallet.topups.mail.top_up_paid", broken)
        with pytest.raises(OSError, match="full"):
            topups.settle(opened.reference)
    assert available(payer) == 0
    assert topups.settle(opened.reference).state == "paid"
    assert available(payer) == AMOUNT


def test_the_sweep_finds_a_payment_whose_webhook_was_lost(opened: TopUp, payer: User, counter: Counter) -> None:
    counter.pay(opened.reference)
    assert topups.sweep_due() == 0
    aged(opened.reference, "1 minute")
    assert topups.sweep_due() == 1
    assert available(payer) == AMOUNT
    assert topups.sweep_due() == 0


@pytest.mark.parametrize(
    ("age", "gap_seconds"), [("1 minute", 60), ("40 minutes", 600), ("4 hours", 3600), ("70 hours", 3600)]
)
def test_the_sweep_asks_less_often_as_a_top_up_grows_old(opened: TopUp, age: str, gap_seconds: int) -> None:
    aged(opened.reference, age)
    topups.sweep_due()
    query = text("SELECT extract(epoch FROM check_at - now()) FROM top_ups WHERE reference = :ref")
    left = float(db.session.scalar(query, {"ref": opened.reference}) or 0)
    assert gap_seconds - 10 < left <= gap_seconds + 1


@pytest.mark.parametrize(
    ("status", "age", "state"),
    [
        ("abandoned", "71 hours 59 minutes", "abandoned"),
        ("abandoned", "72 hours", "expired"),
        ("pending", "72 hours", "expired"),
        ("failed", "72 hours", "failed"),
    ],
)
def test_after_three_days_the_sweep_gives_up(
    opened: TopUp, counter: Counter, status: str, age: str, state: str
) -> None:
    counter.becomes(opened.reference, status)
    aged(opened.reference, age)
    assert topups.sweep_due() == 1
    found = topups.get_top_up(opened.reference)
    assert (found.state, found.check_at is None) == (state, "72" in age)


def test_a_payment_confirmed_after_the_last_look_is_still_credited(
    opened: TopUp, payer: User, counter: Counter
) -> None:
    aged(opened.reference, "80 hours")
    topups.sweep_due()
    assert topups.get_top_up(opened.reference).state == "expired"
    counter.pay(opened.reference)
    assert topups.settle(opened.reference).state == "paid"
    assert available(payer) == AMOUNT


def test_the_sweep_stops_when_the_gateway_is_away_and_goes_on_later(payer: User, counter: Counter) -> None:
    references = [topups.open_top_up(payer, AMOUNT, secrets.token_hex(16)).reference for _ in range(3)]
    for reference in references:
        counter.pay(reference)
        aged(reference, "1 minute")
    counter.breaks("verify", "error_500")
    assert topups.sweep_due() == 0
    assert counter.calls("verify") == 1
    assert topups.sweep_due() == 2
    assert available(payer) == 2 * AMOUNT
    aged(next(r for r in references if topups.get_top_up(r).state == "opened"), "2 minutes")
    assert topups.sweep_due() == 1
    assert available(payer) == 3 * AMOUNT


def test_who_is_killed_before_the_call_leaves_a_top_up_that_ends_readably(
    payer: User, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> str:
        raise SystemExit

    key = secrets.token_hex(16)
    with monkeypatch.context() as now, pytest.raises(SystemExit):
        now.setattr("namaskah.wallet.paystack.Paystack.initialize", killed)
        topups.open_top_up(payer, AMOUNT, key)
    left = topups.open_top_up(payer, AMOUNT, key)
    assert (left.state, left.checkout_url) == ("opened", None)
    aged(left.reference, "1 minute")
    assert topups.sweep_due() == 1
    found = topups.get_top_up(left.reference)
    assert (found.state, found.gateway_status) == ("failed", "not_opened")
    assert counter.references() == []


def test_an_answer_later_than_the_sweep_still_opens_the_checkout(payer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    initialize = Paystack.initialize

    def slow(self: Paystack, reference: str, *rest: Any, **more: Any) -> str:
        aged(reference, "1 minute")
        topups.settle(reference)
        return initialize(self, reference, *rest, **more)

    monkeypatch.setattr(Paystack, "initialize", slow)
    opened = topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))
    assert (opened.state, opened.gateway_status) == ("opened", None)
    assert opened.checkout_url is not None


COPY = """INSERT INTO top_ups (reference, user_id, key, amount_minor, currency)
          SELECT %s, user_id, %s, amount_minor, currency FROM top_ups WHERE id = :id"""


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (COPY % ("reference", "'another key'"), "uq_top_ups_reference"),
        (COPY % ("'NK-another'", "key"), "uq_top_ups_key"),
        ("UPDATE top_ups SET state = 'paid' WHERE id = :id", "ck_top_ups_paid"),
        ("UPDATE top_ups SET paid_minor = amount_minor WHERE id = :id", "ck_top_ups_paid"),
    ],
)
def test_postgresql_refuses(opened: TopUp, statement: str, constraint: str) -> None:
    with pytest.raises(DBAPIError) as refused, transaction():
        db.session.execute(text(statement), {"id": opened.id})
    assert violated(refused.value) == constraint  # type: ignore[arg-type]


def test_a_payment_for_an_account_that_was_deleted_meanwhile_waits_for_a_person(
    opened: TopUp, payer: User, counter: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody could spend it there, and nobody would hear of it: an operator sends it back at the gateway."""
    with transaction():
        db.session.execute(text("UPDATE users SET deleted_at = now() WHERE id = :id"), {"id": payer.id})
    counter.pay(opened.reference)
    settled = topups.settle(opened.reference)
    assert (settled.state, settled.difference, available(payer)) == ("mismatch", None, 0)
    assert "the account is deleted" in (settled.gateway_message or "")
    assert "needs a person" in caplog.text
    assert topups.settle(opened.reference).state == "mismatch"
