"""Exchange rates: dated, never changed, read from files whole or not at all, and what they do to prices."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from namaskah.auth.models import AuditEvent, User
from namaskah.db import db, transaction, violated
from namaskah.errors import UserError
from namaskah.numbers import activations, pricelists, pricing, rate_files, rates, routing
from namaskah.numbers.models import Offer, Provider
from namaskah.numbers.rate_models import ExchangeRate
from namaskah.wallet import ledger
from tests.numbers import shop
from tests.support import Control

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def rate(value: str, at: datetime | None = None, **more: Any) -> datetime:
    return rates.set_rate("USD", Decimal(value), "a test", at=at, **({"is_meant": True} | more))


def stored() -> list[tuple[str, Decimal]]:
    db.session.rollback()
    return [(row.currency, row.rate) for row in rates.history()]


# ── Which one holds ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_dated_one_the_settings_hold(app: Flask) -> None:
    found = rates.rate_at("USD")
    assert (found.rate, found.valid_from) == (Decimal(1600), None)
    assert rates.rate_at("NGN").rate == 1
    assert set(rates.current()) == {"NGN", "USD"} == set(pricing.currencies())
    with pytest.raises(pricing.NoRate):
        rates.rate_at("RUB")


def test_the_newest_that_is_not_in_the_future_holds(app: Flask) -> None:
    rate("1500", NOW - 9 * DAY)
    rate("1550", NOW - 2 * DAY)
    rate("1540", NOW - 5 * DAY)  # told late: it is older
    rate("1700", NOW + DAY)
    assert rates.rate_at("USD").rate == rates.current()["USD"].rate == 1550
    at = {days: rates.rate_at("USD", NOW + days * DAY).rate for days in (-10, -9, -6, -5, -2, 0, 1, 30)}
    assert at == {-10: 1600, -9: 1500, -6: 1500, -5: 1540, -2: 1550, 0: 1550, 1: 1700, 30: 1700}
    assert [row.rate for row in rates.to_come()] == [1700]


def test_one_that_is_set_now_holds_at_once(app: Flask) -> None:
    rate("1650.1234567891")
    assert rates.rate_at("USD").rate == Decimal("1650.1234567891")


def test_rates_of_another_wallet_currency_do_not_count(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    rate("1650")
    monkeypatch.setitem(app.config, "WALLET_CURRENCY", "GHS")
    assert rates.rate_at("USD").rate == 1600
    assert rates.history() == []


def test_a_currency_with_a_dated_rate_needs_none_of_the_settings(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "FX_RATES", {})
    assert rates.missing() == ["USD"]
    assert routing.routes("whatsapp", "NG") == []
    rate("1600")
    assert rates.missing() == []
    assert routing.routes("whatsapp", "NG") != []


@pytest.mark.parametrize("change", ["UPDATE exchange_rates SET rate = 1", "DELETE FROM exchange_rates"])
def test_what_was_set_stays(app: Flask, change: str) -> None:
    rate("1650")
    for statement in (change, "TRUNCATE exchange_rates"):
        with pytest.raises(DBAPIError) as refused, transaction():
            db.session.execute(text(statement))
        assert violated(refused.value) == "exchange_rates_immutable"  # type: ignore[arg-type]
    assert stored() == [("USD", Decimal(1650))]


@pytest.mark.parametrize(("currency", "value"), [("usd", "1"), ("NGN", "1"), ("USD", "0"), ("USD", "-1")])
def test_postgresql_refuses_what_is_no_rate(app: Flask, currency: str, value: str) -> None:
    with pytest.raises(DBAPIError), transaction():
        rates.add(currency, Decimal(value), NOW, "", "a test")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1600", "1600"),
        (" 1,600.50 ", "1600.50"),
        ("0.0125", "0.0125"),
        ("1600,50", None),
        ("1,60", None),
        ("0", None),
        ("0.00", None),
        ("-5", None),
        ("1e5", None),
        ("1.23456789012", None),
        ("1" * 13, None),
        ("", None),
        ("NaN", None),
    ],
)
def test_a_rate_is_read_exactly_or_not_at_all(written: str, read: str | None) -> None:
    assert rates.parse_rate(written) == (None if read is None else Decimal(read))


# ── Setting one ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("value", "is_far"), [("1920", False), ("1280", False), ("1920.01", True), ("1279.99", True)])
def test_a_rate_a_fifth_away_must_be_meant(app: Flask, value: str, is_far: bool) -> None:
    if is_far:
        with pytest.raises(rates.RateMoved, match="1,600"):
            rate(value, is_meant=False)
        assert stored() == []
        rate(value)
    else:
        rate(value, is_meant=False)
    assert stored() == [("USD", Decimal(value))]


def test_it_is_compared_with_the_one_it_takes_the_place_of(app: Flask) -> None:
    rate("3000", NOW - 5 * DAY)
    rate("3100", NOW - 4 * DAY, is_meant=False)
    rate("3700", NOW + DAY, is_meant=False)
    with pytest.raises(rates.RateMoved):
        rate("4000", is_meant=False)
    rate("4000", NOW + 2 * DAY, is_meant=False)


def test_the_first_one_of_a_currency_is_compared_with_nothing(app: Flask) -> None:
    rates.set_rate("RUB", Decimal("17.5"), "a test")
    assert rates.rate_at("RUB").rate == Decimal("17.5")


def test_two_of_the_same_moment_are_refused(app: Flask) -> None:
    rate("1600", NOW)
    with pytest.raises(UserError) as refused:
        rate("1610", NOW)
    assert refused.value.status == 409
    assert stored() == [("USD", Decimal(1600))]


def test_who_set_it_is_in_the_audit_log(app: Flask, admin: User) -> None:
    rates.set_rate("USD", Decimal("1650.50"), f"user:{admin.id}", user_id=admin.id, source="bank", at=NOW)
    event = db.session.scalars(select(AuditEvent).filter_by(kind="rate_set")).one()
    assert (event.user_id, event.actor) == (admin.id, f"user:{admin.id}")
    assert event.details == {"currency": "USD", "rate": "1,650.5", "since": NOW.isoformat()}
    [row] = rates.history()
    assert (row.source, row.who) == ("bank", f"user:{admin.id}")


@pytest.mark.parametrize(("days", "age", "stale"), [(7, 6, False), (7, 8, True), (0, 900, False)])
def test_an_old_rate_is_told_of(app: Flask, monkeypatch: pytest.MonkeyPatch, days: int, age: int, stale: bool) -> None:
    monkeypatch.setitem(app.config, "FX_STALE_DAYS", days)
    rate("1600", NOW - age * DAY)
    rates.set_rate("RUB", Decimal(17), "a test", at=NOW - 900 * DAY)  # none of our providers is paid in it
    assert [found.currency for found in rates.stale(datetime.now(UTC))] == (["USD"] if stale else [])
    assert routing.routes("whatsapp", "NG") != []  # sales go on


def test_one_without_a_date_may_be_of_any_age(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [found.currency for found in rates.stale(NOW)] == ["USD"]
    monkeypatch.setitem(app.config, "FX_STALE_DAYS", 0)
    assert rates.stale(NOW) == []


# ── From a file ──────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = """\ufeffcurrency,rate,valid_from,source
USD,1600,2026-01-02
usd,"1,610.5",2026-01-03T09:00+01:00,central bank

RUB,17.25,2026-01-02
"""


def taken(content: str, **more: Any) -> tuple[int, int]:
    return rate_files.take(content.splitlines(keepends=True), "operator:test", **more)


def test_a_file_is_taken_and_a_second_time_changes_nothing(app: Flask) -> None:
    assert taken(GOOD) == (3, 0)
    before = [(row.id, row.rate) for row in rates.history()]
    assert taken(GOOD) == (0, 3)
    assert [(row.id, row.rate) for row in rates.history()] == before
    newest = rates.rate_at("USD", datetime(2026, 1, 3, 8, tzinfo=UTC))
    assert (newest.rate, newest.source, newest.who) == (Decimal("1610.5"), "central bank", "operator:test")
    assert newest.valid_from == datetime(2026, 1, 3, 8, tzinfo=UTC)
    assert rates.rate_at("USD", datetime(2026, 1, 2, tzinfo=UTC)).rate == 1600
    assert len(db.session.scalars(select(AuditEvent).filter_by(kind="rate_set")).all()) == 1


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("USD,0,2026-01-05", "line 3: a rate above zero"),
        ("USD,1.600,50,2026-01-05,x", "line 3: currency,rate,valid_from is wanted"),
        ("USD,x,2026-01-05", "line 3: a rate above zero like 1600.50 is wanted, not 'x'"),
        ("DOLLAR,1600,2026-01-05", "line 3: a currency of three letters"),
        ("NGN,1,2026-01-05", "line 3: a currency of three letters other than the wallet's"),
        ("USD,1600,yesterday", "line 3: a day or time like 2026-11-25"),
        ("USD,1600,0001-01-01", "line 3: a day or time like 2026-11-25"),
        ("USD,1600", "line 3: currency,rate,valid_from is wanted"),
        ("USD,1601,2026-01-02", "line 3: USD is 1,600 from that moment already"),
        ("USD,16000,2026-01-05", "line 3: USD 16,000 is more than 20 % away from 1,600; if it is meant, say --meant"),
    ],
)
def test_a_file_with_a_fault_is_not_taken_and_says_where(app: Flask, line: str, told: str) -> None:
    with pytest.raises(rate_files.FileRefused) as refused:
        taken(f"currency,rate,valid_from\nUSD,1600,2026-01-02\n{line}\n")
    [fault] = refused.value.faults
    assert fault.startswith(told)
    assert stored() == []


def test_all_faults_are_told_together_and_in_order(app: Flask) -> None:
    with pytest.raises(rate_files.FileRefused) as refused:
        taken("USD,0,2026-01-05\nUSD,1600,2026-01-06\nUSD,1600\n")
    assert [fault[:7] for fault in refused.value.faults] == ["line 1:", "line 3:"]
    with pytest.raises(rate_files.FileRefused) as refused:
        taken("USD,9000,2026-02-05\nUSD,1600,2026-01-06\nRUB,1,2026-01-01\nRUB,9,2026-01-02\n")
    assert [fault[:7] for fault in refused.value.faults] == ["line 1:", "line 4:"]


@pytest.mark.parametrize("content", ["", "\n\n", "currency,rate,valid_from\n"])
def test_an_empty_file_is_no_file_of_rates(app: Flask, content: str) -> None:
    with pytest.raises(rate_files.FileRefused, match="no rate in this file"):
        taken(content)


def test_far_rates_of_a_file_are_taken_when_they_are_meant(app: Flask) -> None:
    assert taken("USD,16000,2026-01-05\n", are_meant=True) == (1, 0)


def test_the_commands_import_and_list(app: Flask, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = app.test_cli_runner().invoke(args=["rates", *words])
        return done.exit_code, done.output

    good, bad, binary = tmp_path / "good.csv", tmp_path / "bad.csv", tmp_path / "photo.csv"
    good.write_text(GOOD + "USD,1700,2199-01-01\n")
    bad.write_text("USD,many,2026-01-01\nUSD,1600,soon\n")
    binary.write_bytes(b"\xff\xfe\x00\x80")
    assert run("list") == (0, "USD 1,600 NGN since ever (FX_RATES)\n")
    assert run("import", str(good)) == (0, "4 new rates, 0 known already.\n")
    assert run("import", str(good)) == (0, "0 new rates, 4 known already.\n")
    code, told = run("import", str(bad))
    assert code == 1 and "nothing was taken" in told and "line 1: a rate" in told and "line 2: a day" in told
    code, told = run("import", str(binary))
    assert code == 1 and "no CSV in UTF-8" in told
    assert run("list")[1].splitlines() == [
        "RUB 17.25 NGN since 2026-01-02T00:00+00:00 (file)",
        "USD 1,610.5 NGN since 2026-01-03T08:00+00:00 (central bank)",
        "USD 1,700 NGN from 2199-01-01T00:00+00:00 on (file)",
    ]


# ── Prices ───────────────────────────────────────────────────────────────────────────────────────────────────────────

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(
    cost=st.integers(0, 10**12),
    rate=st.integers(1, 10**22 - 1).map(lambda parts: Decimal(parts).scaleb(-10)),
)
def test_a_price_is_exact_for_whatever_rate_can_be_kept(app: Flask, cost: int, rate: Decimal) -> None:
    step = app.config["PRICE_STEP_MINOR"]
    price = pricing.price_minor(cost, "USD", rate)
    exact = Fraction(cost, 10**6) * Fraction(rate) * 100 * Fraction(160, 100)
    assert price % step == 0 and price >= exact
    assert price - step < exact or price == step
    ceiling = pricing.max_cost_micros(price, "USD", rate)
    left = Fraction(105, 100) * Fraction(rate) * 100 / 10**6
    assert ceiling >= cost and ceiling * left <= price < (ceiling + 1) * left


def test_a_new_rate_has_price_lists_read_anew_with_it(app: Flask) -> None:
    before = {offer.id: offer for offer in db.session.scalars(select(Offer).filter_by(provider_name="fivesim"))}
    due = select(Provider.name).where(Provider.sync_due_at <= text("now()"))
    assert db.session.scalars(due).all() == []
    rate("3200")
    assert sorted(db.session.scalars(due)) == ["fivesim", "herosms"]
    pricelists.sync("fivesim")
    db.session.expire_all()
    for offer in db.session.scalars(select(Offer).filter_by(provider_name="fivesim")):
        if offer.id in before:
            assert offer.price_minor == pricing.price_minor(offer.cost_micros, "USD", Decimal(3200))


def test_the_rate_of_the_purchase_is_kept(alice: User) -> None:
    rate("1500.5")
    bought = shop.buy(alice)
    rate("1800")
    assert shop.fresh(bought).exchange_rate == Decimal("1500.5")
    assert activations.max_cost_micros(bought, "USD") == pricing.max_cost_micros(
        bought.price_minor, "USD", Decimal("1500.5")
    )


@pytest.mark.parametrize("value", ["1900", "1300"])
def test_a_rate_that_moves_after_the_page_changes_nothing_for_who_buys(alice: User, value: str) -> None:
    shown = routing.routes("whatsapp", "NG")[0].price_minor
    before = ledger.balance(alice.id).available_minor
    rate(value)
    bought = shop.buy(alice, max_price_minor=shown)
    assert (bought.state, bought.price_minor <= shown) == ("waiting", True)
    assert before - ledger.balance(alice.id).available_minor == bought.price_minor


def test_a_price_that_went_up_with_the_rate_asks_again(alice: User) -> None:
    shown = routing.routes("whatsapp", "NG")[0].price_minor
    before = ledger.balance(alice.id)
    rate("1900")
    with transaction():
        for offer in db.session.scalars(select(Offer).filter_by(service_code="whatsapp", country_code="NG")):
            offer.price_minor = pricing.price_minor(offer.cost_micros, "USD")
    with pytest.raises(activations.PriceMoved) as moved:
        shop.buy(alice, max_price_minor=shown)
    assert moved.value.details["price_minor"] > shown
    assert ledger.balance(alice.id) == before


def test_where_a_rate_leaves_no_margin_nothing_is_sold_at_the_old_price(alice: User) -> None:
    rate("16000")
    before = ledger.balance(alice.id)
    with pytest.raises(activations.NothingOnSale):
        shop.buy(alice)
    assert ledger.balance(alice.id) == before


def test_a_purchase_in_doubt_is_judged_by_its_own_rate(alice: User, control: Control) -> None:
    shop.only("fivesim")
    control.fault("fivesim", "buy", "html_after")
    doubtful = shop.buy(alice)
    assert doubtful.state == "in_doubt"
    rate("16000")  # by this one the order that was made would be far too dear
    with transaction():
        db.session.execute(update(Provider).values(poll_due_at=text("now()")))
    shop.work()
    assert shop.fresh(doubtful).state == "waiting"


def test_an_activation_of_before_rates_were_kept_goes_by_the_present_one(alice: User) -> None:
    bought = shop.buy(alice)
    bought.exchange_rate = None
    assert activations.max_cost_micros(bought, "USD") == pricing.max_cost_micros(bought.price_minor, "USD")
    db.session.rollback()


def test_rates_are_kept_whole(app: Flask) -> None:
    rate("0.0000000001")
    assert db.session.scalars(select(ExchangeRate.rate)).one() == Decimal("0.0000000001")
