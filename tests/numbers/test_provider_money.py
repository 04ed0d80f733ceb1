"""What an operator books about money at a provider, and that it mends what nothing else could."""

import pytest
from click.testing import Result
from flask import Flask

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import provider_money, registry, settling, strays
from namaskah.numbers.models import StrayOrder
from namaskah.reconciliation import findings, upstream
from namaskah.sandbox import Sandbox
from tests.numbers import shop
from tests.support import Control


@pytest.fixture(autouse=True)
def money_at_the_providers(app: Flask) -> None:
    shop.book_balances()


def run(app: Flask, *words: str) -> Result:
    db.session.rollback()
    return app.test_cli_runner().invoke(args=["provider", *words])


def differences() -> list[str]:
    findings.keep("fivesim", upstream.compare("fivesim")[1])
    return [each.kind for each in findings.open_differences() if not each.explanation]


def top_up_there(sandbox: Sandbox, micros: int) -> None:
    before = registry.ask("fivesim").balance_micros()
    sandbox.world.accounts["fivesim"].set_balance(before + micros)


def test_money_paid_in_at_a_provider_is_no_difference_for_ever(
    app: Flask, alice: User, control: Control, sandbox: Sandbox
) -> None:
    shop.only("fivesim")
    top_up_there(sandbox, 100_000_000)
    assert differences() == ["balance"]
    findings.explain(findings.open_differences()[0].id, "paid in there", "a test")
    shop.buy(alice)
    assert differences() == ["balance"], "the explanation held for other amounts"
    for said in ("Booked at fivesim.", "The payment F-1 at fivesim was booked before."):
        done = run(app, "paid-in", "fivesim", "100", "--reference", "F-1")
        assert (done.exit_code, done.output.strip()) == (0, said)
    assert differences() == []
    top_up_there(sandbox, -25_500_000)
    assert run(app, "paid-in", "--reference", "F-2", "--", "fivesim", "-25.50").exit_code == 0
    assert differences() == []


@pytest.mark.parametrize("words", [("fivesim", "0"), ("fivesim", "much"), ("nobody", "5")])
def test_what_is_no_payment_is_not_booked(app: Flask, words: tuple[str, str]) -> None:
    done = run(app, "paid-in", *words, "--reference", "F-1")
    assert done.exit_code == 1 and "Error" in done.output


@pytest.mark.parametrize(("decision", "gone", "outcome"), [("--returned", 0, "refunded"), ("--kept", 100_000, "kept")])
def test_who_keeps_the_cost_of_an_order_nobody_knows_is_decided_once(
    app: Flask, control: Control, decision: str, gone: int, outcome: str
) -> None:
    with transaction():
        strays.add("fivesim", "12345", "too_late", 100_000)
    settling.close_strays_due()
    assert shop.paid("fivesim") == (100_000, 100_000)
    listed = run(app, "owed").output.split()
    assert (listed[:3], listed[-1]) == (["fivesim", "12345", "0.1"], "not_found")
    assert run(app, "settle", "fivesim", "12345", decision, "--reason", "their letter").exit_code == 0
    assert shop.paid("fivesim") == (gone, 0)
    assert [row.provider for row in upstream.owed()] == []
    assert run(app, "owed").output == ""
    again = run(app, "settle", "fivesim", "12345", "--returned", "--reason", "once more")
    assert again.exit_code == 1 and shop.paid("fivesim") == (gone, 0)
    assert db.session.scalar(db.select(StrayOrder.outcome)) == outcome


def test_an_order_that_a_provider_never_takes_back_can_be_given_up(app: Flask, alice: User, control: Control) -> None:
    shop.only("fivesim")
    activation = shop.buy(alice)
    shop.end_windows()
    control.fault("fivesim", "cancel", "reset", times=0)
    shop.work()
    assert [each.provider_ref for each in provider_money.unsettled()] == [activation.provider_ref]
    done = run(app, "settle", "fivesim", activation.provider_ref or "", "--kept", "--reason", "they refuse")
    assert done.exit_code == 0
    shop.later(3_600)
    assert settling.close_strays_due() == 0
    assert shop.paid("fivesim") == (activation.cost_micros, 0)


def test_an_order_that_belongs_to_a_customer_is_not_to_be_decided(app: Flask, alice: User, control: Control) -> None:
    activation = shop.buy(alice)
    done = run(app, "settle", activation.provider_name, activation.provider_ref or "", "--kept", "--reason", "mistaken")
    assert done.exit_code == 1 and "No such order" in done.output
