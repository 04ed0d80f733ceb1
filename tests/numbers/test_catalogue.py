"""What is on sale: price lists read in, services found by name, offers as the buy page shows them."""

from typing import Any

import pytest
from flask import Flask
from redis import RedisError
from sqlalchemy import func, select, text, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.extensions import redis
from namaskah.numbers import catalogue, directory, favourites, pricelists, registry, routing
from namaskah.numbers.models import Activation, Offer, Provider, Service
from namaskah.providers.base import Quote
from namaskah.wallet import ledger
from tests.numbers import shop
from tests.numbers.shop import buy
from tests.support import Control

NIGERIA = ("whatsapp", "nigeria")


def quote(operator: str = "any", cost: int = 100_000, stock: int = 5, rate: int | None = None, **more: Any) -> Quote:
    service, country = more.get("service", "whatsapp"), more.get("country", "nigeria")
    return Quote(service, country, operator, cost, stock, rate)


@pytest.fixture
def listed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make 5sim's next price list these quotes. Afterwards its offers are what they were."""
    before = db.session.execute(select(Offer.__table__).where(Offer.provider_name == "fivesim")).mappings().all()
    db.session.rollback()

    def read(*quotes: Quote) -> int:
        monkeypatch.setattr(registry.find("fivesim"), "quotes", lambda _services, _countries: list(quotes))
        return pricelists.sync("fivesim")

    yield read
    with transaction():
        db.session.execute(db.delete(Offer).where(Offer.provider_name == "fivesim"))
        db.session.execute(db.insert(Offer), [dict(row) for row in before])


def offers_of_fivesim() -> dict[tuple[str, str, str], tuple[int, int, int | None]]:
    rows = db.session.execute(select(Offer.__table__).where(Offer.provider_name == "fivesim")).mappings()
    return {
        (row["service_code"], row["country_code"], row["operator"]): (row["cost_micros"], row["stock"], row["rate"])
        for row in rows
    }


# ── Price lists ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_offers_become_exactly_what_the_list_says(listed: Any) -> None:
    assert listed(quote(), quote("mtn", 120_000, 3, 8_000)) == 2
    assert offers_of_fivesim() == {
        ("whatsapp", "NG", "any"): (100_000, 5, None),
        ("whatsapp", "NG", "mtn"): (120_000, 3, 8_000),
    }
    assert listed(quote(cost=110_000)) == 1
    assert offers_of_fivesim() == {("whatsapp", "NG", "any"): (110_000, 5, None)}


def test_what_cannot_be_sold_is_left_out(listed: Any) -> None:
    blocked = next(entry.fivesim for entry in directory.services() if entry.blocked and entry.fivesim)
    unusable = [
        quote(stock=0),
        quote(service="never-heard-of"),
        quote(country="atlantis"),
        quote("x" * 41),
        quote(service=blocked),
    ]
    assert listed(*unusable) == 0
    assert offers_of_fivesim() == {}


def test_only_rows_that_changed_are_written(listed: Any) -> None:
    def versions() -> dict[str, str]:
        rows = db.session.execute(text("SELECT operator, xmin::text FROM offers WHERE provider_name = 'fivesim'"))
        return {row[0]: row[1] for row in rows}

    listed(quote(), quote("mtn"), quote("glo"))
    before = versions()
    db.session.rollback()
    listed(quote(), quote("mtn", cost=99_000), quote("glo"))
    after = versions()
    assert {name for name in after if after[name] != before[name]} == {"mtn"}


def test_a_list_that_cannot_be_read_changes_nothing_and_ages(app: Flask, control: Control) -> None:
    before = offers_of_fivesim()
    with transaction():
        db.session.execute(update(Provider).values(synced_at=func.now() - func.make_interval(0, 0, 0, 0, 0, 10)))
    aged = db.session.scalar(select(Provider.synced_at).where(Provider.name == "fivesim"))
    control.fault("fivesim", "prices", "html")
    assert pricelists.sync("fivesim") == 0
    assert offers_of_fivesim() == before
    assert db.session.scalar(select(Provider.synced_at).where(Provider.name == "fivesim")) == aged


def balance_of_fivesim() -> tuple[int | None, int]:
    """As it was last told, and by our books."""
    db.session.rollback()
    told = db.session.scalar(select(Provider.balance_micros).where(Provider.name == "fivesim"))
    return told, ledger.provider_float_micros("fivesim", "USD")


def test_a_balance_that_cannot_be_read_discards_no_prices(app: Flask, control: Control) -> None:
    with transaction():
        db.session.execute(update(Provider).values(synced_at=func.now() - func.make_interval(0, 0, 0, 0, 0, 10)))
    aged = db.session.scalar(select(Provider.synced_at).where(Provider.name == "fivesim"))
    control.fault("fivesim", "balance", "html")
    assert pricelists.sync("fivesim") == len(offers_of_fivesim())
    synced = db.session.scalar(select(Provider.synced_at).where(Provider.name == "fivesim"))
    assert synced and aged and synced > aged
    assert balance_of_fivesim()[0] == 500_000_000, "the last one known"


@pytest.mark.parametrize(("told", "micros"), [("1500000", 1_500_000_000_000), ("-3.5", -3_500_000), ("0", 0)])
def test_a_first_balance_may_be_large_or_nothing_or_below_zero(
    app: Flask, control: Control, told: str, micros: int
) -> None:
    with transaction():
        db.session.execute(update(Provider).values(balance_micros=None, balance_at=None))
    control.settings(balance={"fivesim": told})
    assert pricelists.sync("fivesim") > 0
    assert balance_of_fivesim() == (micros, micros)


def test_a_balance_read_after_the_first_purchase_is_the_balance_by_our_books(alice: User, control: Control) -> None:
    with transaction():
        db.session.execute(update(Provider).values(balance_micros=None, balance_at=None))
    shop.only("fivesim")
    activation = buy(alice)
    for _time in range(2):
        pricelists.sync("fivesim")
        assert activation.cost_micros
        assert balance_of_fivesim() == (500_000_000 - activation.cost_micros,) * 2


def test_each_provider_has_its_turn_and_then_waits(app: Flask) -> None:
    with transaction():
        db.session.execute(update(Provider).values(sync_due_at=func.now()))
    assert [pricelists.sync_due(), pricelists.sync_due(), pricelists.sync_due()] == [1, 1, 0]


def test_our_own_delivery_rate_outweighs_theirs_with_every_order() -> None:
    assert pricelists._blend(8_000, None) == 8_000
    assert pricelists._blend(None, None) is None
    assert pricelists._blend(None, (5, 10)) is None, "too few to say"
    assert pricelists._blend(None, (15, 20)) == 7_500
    assert pricelists._blend(8_000, (0, 20)) == 4_000
    assert pricelists._blend(8_000, (1_000, 1_000)) == 9_960


def test_what_customers_got_is_measured(app: Flask, alice: User, control: Control) -> None:
    shop.only("fivesim")
    good, _bad = buy(alice), buy(alice)
    control.sms("fivesim", good.provider_ref or "", "Your code is 482913")
    shop.poll("fivesim")
    shop.later(1_215)
    shop.work()
    assert pricelists._measured("fivesim") == {("whatsapp", "NG"): (1, 2)}


def test_loading_the_directory_again_changes_nothing(app: Flask) -> None:
    counted = select(func.count()).select_from(Service)
    before = db.session.scalar(counted)
    db.session.rollback()
    services, countries = pricelists.load()
    assert (services, countries) == (len(directory.services()), len(directory.countries()))
    assert db.session.scalar(counted) == before


# ── Finding ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "query, code",
    [
        ("whatsapp", "whatsapp"),
        ("WHATS app", "whatsapp"),
        ("واتساب", "whatsapp"),
        ("ватсап", "whatsapp"),
        ("왓츠앱", "whatsapp"),
        ("telegram", "telegram"),
        ("تلگرام", "telegram"),
        ("телеграм", "telegram"),
        ("电报", "telegram"),
        ("टेलीग्राम", "telegram"),
        ("tele", "telegram"),
    ],
)
def test_a_service_is_found_by_its_name_in_any_script(app: Flask, query: str, code: str) -> None:
    assert catalogue.search(query)[0].code == code


def test_what_is_never_sold_is_never_found(app: Flask) -> None:
    blocked = [entry for entry in directory.services() if entry.blocked]
    assert len(blocked) > 20
    codes = {entry.code for entry in blocked}
    for entry in blocked[:40]:
        assert not codes & {line.code for line in catalogue.search(entry.name, limit=50)}, entry.name
        assert not catalogue.is_sold(entry.code)
        assert catalogue.lines_of([entry.code]) == []
        assert catalogue.offers(entry.code) == []
    assert not codes & {line.code for line in catalogue.popular(200)}


@pytest.mark.parametrize("query", ["", "   ", "%", "_", "'", "\\", "\x00", "x" * 500, "zzzzzz", "<b>"])
def test_any_query_has_an_answer(app: Flask, query: str) -> None:
    for line in catalogue.search(query):
        assert catalogue.is_sold(line.code)


def test_a_service_without_numbers_is_found_last_and_without_a_price(app: Flask) -> None:
    with transaction():
        db.session.execute(update(Offer).where(Offer.service_code == "whatsapp").values(stock=0))
    catalogue.forget_cache()
    lines = catalogue.search("wha", limit=50)
    [whatsapp] = [line for line in lines if line.code == "whatsapp"]
    assert whatsapp.price_minor is None
    priced = [line.price_minor is not None for line in lines]
    assert priced == sorted(priced, reverse=True)


def test_popular_services_are_on_sale_and_in_order(app: Flask) -> None:
    lines = catalogue.popular(6)
    assert lines[0].code == "whatsapp" and len(lines) == 6
    assert all(line.price_minor for line in lines)


def test_the_price_from_is_the_cheapest_on_sale(app: Flask) -> None:
    cheapest = min(route.price_minor for route in routing.routes("whatsapp"))
    assert catalogue.price_from()["whatsapp"][0] == cheapest


def test_recent_services_come_newest_first_and_once(alice: User, bob: User) -> None:
    for service in ("whatsapp", "telegram", "whatsapp"):
        buy(alice, service=service)
    assert [line.code for line in catalogue.recent(alice.id)] == ["whatsapp", "telegram"]
    assert catalogue.recent(bob.id) == []


def test_a_star_is_given_and_taken_back(alice: User, bob: User) -> None:
    assert favourites.toggle(alice.id, "whatsapp") is True
    assert (favourites.of_user(alice.id), favourites.of_user(bob.id)) == (["whatsapp"], [])
    db.session.rollback()
    assert favourites.toggle(alice.id, "whatsapp") is False
    assert favourites.of_user(alice.id) == []


def test_a_countrys_line_is_what_buying_there_means(app: Flask, alice: User) -> None:
    [nigeria] = [line for line in catalogue.offers("whatsapp") if line.country == "NG"]
    best = routing.routes("whatsapp", "NG")[0]
    assert (nigeria.price_minor, nigeria.rate) == (best.price_minor, best.rate)
    assert nigeria.stock == sum(route.stock for route in routing.routes("whatsapp", "NG"))
    assert nigeria.operators == sorted(nigeria.operators, key=lambda item: item[1]) != []
    assert buy(alice).price_minor == nigeria.price_minor


def test_countries_can_be_sorted_by_price(app: Flask) -> None:
    prices = [line.price_minor for line in catalogue.offers("whatsapp", "price")]
    assert prices == sorted(prices)
    assert prices != [line.price_minor for line in catalogue.offers("whatsapp", "best")]


def test_the_usual_wait_is_told_after_five_codes(alice: User, control: Control) -> None:
    shop.only("fivesim")
    for number in range(5):
        assert catalogue._waits("whatsapp") == {}
        redis.client.flushdb()
        activation = buy(alice)
        control.sms("fivesim", activation.provider_ref or "", f"Your code is 48291{number}")
    shop.poll("fivesim")
    with transaction():
        db.session.execute(
            update(Activation).values(received_at=Activation.created_at + func.make_interval(0, 0, 0, 0, 0, 0, 30))
        )
    assert catalogue._waits("whatsapp") == {"NG": 30}


def test_public_prices_are_by_service_or_by_country(app: Flask) -> None:
    by_service = catalogue.price_list("whatsapp")
    by_country = catalogue.price_list(None, "NG")
    assert {row["service"] for row in by_service} == {"whatsapp"} and len(by_service) > 20
    assert {row["country"] for row in by_country} == {"NG"} and len(by_country) > 20
    [row] = catalogue.price_list("whatsapp", "NG")
    assert row in by_service and row in by_country
    assert catalogue.price_list(None) == []


@pytest.mark.parametrize(
    "query, code",
    [("nigeria", "NG"), ("Nigéria", "NG"), ("نيجيريا", "NG"), ("Германия", "DE"), ("x", None), ("qqq", None)],
)
def test_a_country_is_found_by_its_name_in_any_script(app: Flask, query: str, code: str | None) -> None:
    assert catalogue.find_country(query) == code


def test_without_redis_everything_is_computed(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = catalogue.price_from()

    class Away:
        def __getattr__(self, _name: str) -> Any:
            def refuse(*_arguments: Any, **_more: Any) -> None:
                raise RedisError("away")

            return refuse

    monkeypatch.setattr(redis, "_client", Away())
    assert catalogue.price_from() == expected
    catalogue.forget_cache()


def test_the_prices_of_a_provider_without_money_are_read_too(app: Flask, control: Control) -> None:
    control.settings(balance={"fivesim": "0"})
    assert pricelists.sync("fivesim") > 0
    assert db.session.get_one(Provider, "fivesim", populate_existing=True).balance_micros == 0
    control.settings(balance={"fivesim": "25"})
    assert pricelists.sync("fivesim") > 0
    booked = text(
        "SELECT -sum(amount) FROM ledger_entries e JOIN ledger_accounts a ON a.id = e.account_id"
        " WHERE a.kind = 'provider_float' AND a.provider = 'fivesim'"
    )
    assert db.session.scalar(booked) == 25_000_000
