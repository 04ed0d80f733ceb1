"""The pages of buying and of one activation, as a browser gets them: who may see what, and what each button does."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import closing, directory, favourites, routing
from namaskah.numbers.models import Activation, Offer
from tests.numbers import shop
from tests.numbers.shop import buy, fresh, key
from tests.support import Control, log_in

HTMX = {"HX-Request": "true"}


@pytest.fixture
def browser(client: FlaskClient, alice: User) -> FlaskClient:
    """Alice's, logged in."""
    return log_in(client, alice)


@pytest.fixture
def waiting(alice: User) -> Activation:
    shop.only("fivesim")
    return buy(alice)


def form(**changes: object) -> dict[str, object]:
    price = routing.routes("whatsapp", "NG")[0].price_minor
    db.session.rollback()
    return {"service": "whatsapp", "country": "NG", "max_price_minor": price, "key": key()} | changes


def where(answer: TestResponse) -> str:
    assert answer.status_code == 303, (answer.status_code, answer.get_data(as_text=True)[:500])
    return answer.headers["Location"]


def post(browser: FlaskClient, path: str, **data: object) -> TestResponse:
    db.session.rollback()
    return browser.post(path, data=data)


def page(browser: FlaskClient, path: str, **headers: str) -> str:
    db.session.rollback()
    answer = browser.get(path, headers=headers)
    assert answer.status_code == 200, (path, answer.status_code)
    return answer.get_data(as_text=True)


def bought() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count()).select_from(Activation)) or 0


# ── Choosing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_anybody_can_look_at_services_countries_and_prices(client: FlaskClient) -> None:
    assert "WhatsApp" in page(client, "/numbers")
    chosen = page(client, "/numbers?service=whatsapp&country=NG")
    assert "Nigeria" in chosen and "₦" in chosen
    assert "Telegram" in page(client, "/numbers?q=теле")


def test_fragments_are_fragments(client: FlaskClient) -> None:
    for path in ("/numbers/search?q=whats", "/numbers/offers?service=whatsapp"):
        part = page(client, path, **{"HX-Request": "true"})
        assert "<html" not in part and "whatsapp" in part


def test_a_blocked_service_is_nowhere(client: FlaskClient, browser: FlaskClient) -> None:
    blocked = next(entry for entry in directory.services() if entry.blocked)
    assert client.get(f"/numbers/offers?service={blocked.code}").status_code == 404
    assert f"service={blocked.code}" not in page(client, f"/numbers/search?q={blocked.name}")
    assert post(browser, "/numbers/favourite", service=blocked.code).status_code == 404
    assert "/numbers" in where(post(browser, "/activations", **form(service=blocked.code)))
    assert bought() == 0


def test_a_star_is_kept_for_its_owner(browser: FlaskClient, alice: User) -> None:
    assert "service=whatsapp" in where(post(browser, "/numbers/favourite", service="whatsapp"))
    assert favourites.of_user(alice.id) == ["whatsapp"]
    db.session.rollback()
    assert browser.post("/numbers/favourite", data={"service": "whatsapp"}, headers=HTMX).status_code == 204
    db.session.rollback()
    assert favourites.of_user(alice.id) == []


@pytest.mark.parametrize("service", ["", "nope", "\x00", "x" * 900, "'; DROP TABLE users"])
def test_a_star_for_nothing_is_refused(browser: FlaskClient, service: str) -> None:
    assert post(browser, "/numbers/favourite", service=service).status_code == 404


# ── Buying ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_buying_leads_to_the_number_and_a_second_click_to_the_same(browser: FlaskClient, control: Control) -> None:
    order = form()
    first, second = where(post(browser, "/activations", **order)), where(post(browser, "/activations", **order))
    assert first == second and re.fullmatch(r"/activations/\d+", first)
    assert bought() == 1
    shown = page(browser, first)
    phone = db.session.scalar(select(Activation.phone)) or ""
    assert phone[-4:] in shown


def test_htmx_is_sent_on_as_a_whole_page(browser: FlaskClient) -> None:
    order = form()
    answer = browser.post("/activations", data=order, headers=HTMX)
    assert answer.status_code == 200 and answer.headers["HX-Redirect"].startswith("/activations/")


def test_a_doubt_that_the_provider_never_ended_promises_and_claims_no_more_than_is_known(
    browser: FlaskClient, control: Control
) -> None:
    shop.only("fivesim")
    control.fault("fivesim", "buy", "reset_after")  # it has sold, and will not say so
    there = where(post(browser, "/activations", **form()))
    assert "within 10 at the latest" in page(browser, there)
    control.fault("fivesim", "list", "reset", times=0)
    shop.later(481)
    shop.work()
    shown = page(browser, there)
    assert "No number came of it." in shown and "certain" not in shown


def test_a_visitor_logs_in_first_and_an_unconfirmed_customer_confirms(
    client: FlaskClient, carol: User, control: Control
) -> None:
    assert where(post(client, "/activations", **form())).startswith("/login")
    log_in(client, carol)
    assert "mail" in where(post(client, "/activations", **form()))
    assert bought() == 0


def test_without_money_the_way_leads_to_the_wallet_with_what_is_missing(browser: FlaskClient, alice: User) -> None:
    with transaction():
        db.session.execute(
            update(Offer)
            .where(Offer.service_code == "whatsapp", Offer.country_code == "NG")
            .values(price_minor=1_000_500)
        )
    assert where(post(browser, "/activations", **form())) == "/wallet?need=500"
    assert "balance" in page(browser, "/wallet").lower()


def test_a_moved_price_leads_back_to_the_new_one(browser: FlaskClient) -> None:
    asked = form(max_price_minor=1)
    assert where(post(browser, "/activations", **asked)) == "/numbers?service=whatsapp&country=NG"
    assert "gone up" in page(browser, "/numbers?service=whatsapp&country=NG")
    assert bought() == 0


def test_too_many_open_numbers_is_said_in_words(
    app: Flask, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "MAX_OPEN_ACTIVATIONS", 0)
    answer = post(browser, "/activations", **form())
    assert answer.status_code == 429 and "you have paid nothing" in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "change",
    [
        {"service": ""},
        {"service": "wh\x00"},
        {"service": "x" * 65},
        {"country": "ng"},
        {"country": "NGA"},
        {"country": "\x00\x00"},
        {"operator": "mtn"},
        {"operator": "mtn@"},
        {"operator": "mtn@1.5"},
        {"operator": "m\x00n@5"},
        {"max_price_minor": ""},
        {"max_price_minor": "-5"},
        {"max_price_minor": "1e9"},
        {"max_price_minor": "9" * 30},
        {"key": ""},
        {"key": "short"},
        {"key": "replace:1"},
    ],
)
def test_an_order_that_makes_no_sense_costs_nothing(browser: FlaskClient, change: dict[str, object]) -> None:
    answer = post(browser, "/activations", **form(**change))
    assert answer.status_code == 400 and "paid nothing" in answer.get_data(as_text=True)
    assert bought() == 0


def test_a_chosen_operator_has_its_own_price(browser: FlaskClient, control: Control) -> None:
    shop.only("fivesim")
    chosen = max(
        (route for route in routing.routes("whatsapp", "NG", operator=None) if route.operator != "any"),
        key=lambda route: route.price_minor,
    )
    where(post(browser, "/activations", **form(operator=f"{chosen.operator}@{chosen.price_minor}")))
    [activation] = db.session.scalars(select(Activation)).all()
    assert (activation.operator, activation.price_minor) == (chosen.operator, chosen.price_minor)


# ── One activation ───────────────────────────────────────────────────────────────────────────────────────────────────


ACTS = ("cancel", "replace", "again", "finish")


def test_nobody_else_can_see_or_touch_it(client: FlaskClient, bob: User, waiting: Activation) -> None:
    log_in(client, bob)
    for path in (f"/activations/{waiting.id}", f"/activations/{waiting.id}/live"):
        db.session.rollback()
        assert client.get(path).status_code == 404
    for act in ACTS:
        assert post(client, f"/activations/{waiting.id}/{act}").status_code == 404
    assert fresh(waiting).state == "waiting" and fresh(waiting).cancel_requested_at is None


def test_a_visitor_is_sent_to_log_in(client: FlaskClient, waiting: Activation) -> None:
    assert where(client.get(f"/activations/{waiting.id}")).startswith("/login")
    for act in ACTS:
        assert where(post(client, f"/activations/{waiting.id}/{act}")).startswith("/login")
    assert fresh(waiting).state == "waiting"


@pytest.mark.parametrize("number", ["0", "99999999", "9" * 25])
def test_what_does_not_exist_is_not_found(browser: FlaskClient, number: str) -> None:
    assert browser.get(f"/activations/{number}").status_code == 404
    assert browser.get(f"/activations/{number}/live").status_code == 404


def test_page_and_fragment_show_the_same_box(browser: FlaskClient, waiting: Activation, control: Control) -> None:
    part = page(browser, f"/activations/{waiting.id}/live")
    assert "<html" not in part and f'id="activation-{waiting.id}"' in part
    assert f'id="activation-{waiting.id}"' in page(browser, f"/activations/{waiting.id}")
    control.sms("fivesim", waiting.provider_ref or "", "Your code is 482913")
    shop.poll("fivesim")
    for path in ("", "/live"):
        shown = page(browser, f"/activations/{waiting.id}{path}")
        assert "482" in shown and "913" in shown


def test_every_state_has_its_page(browser: FlaskClient, alice: User, control: Control) -> None:
    shop.only("fivesim")
    made = {"waiting": buy(alice)}
    for state, kind in (("in_doubt", "reset_after"), ("failed", "no_stock")):
        control.fault("fivesim", "buy", kind)
        made[state] = buy(alice)
        with transaction():
            db.session.execute(update(Offer).where(Offer.stock == 0).values(stock=9))
    made["cancelled"], made["received"], made["finished"] = buy(alice), buy(alice), buy(alice)
    closing.cancel(made["cancelled"])
    for state in ("received", "finished"):
        control.sms("fivesim", made[state].provider_ref or "", "Your code is 482913")
    shop.poll("fivesim")
    closing.finish(fresh(made["finished"]))
    for state in ("cancelled", "finished", "failed", "received", "waiting"):
        assert fresh(made[state]).state == state
    for activation in made.values():
        assert f'id="activation-{activation.id}"' in page(browser, f"/activations/{activation.id}")
    history = page(browser, "/activations")
    assert all(f"/activations/{activation.id}" in history for activation in made.values())


def test_a_message_without_a_code_after_one_with_a_code_has_its_page(
    browser: FlaskClient, waiting: Activation, control: Control
) -> None:
    control.sms(waiting.provider_name, waiting.provider_ref or "", "Your code is 482913")
    control.sms(waiting.provider_name, waiting.provider_ref or "", "Welcome aboard!")
    db.session.rollback()
    shop.poll(waiting.provider_name)
    shown = page(browser, f"/activations/{waiting.id}")
    assert "Welcome aboard!" in shown
    assert "<title>● 482 913" in shown


def test_cancel_gives_the_money_back_and_says_so(browser: FlaskClient, alice: User, waiting: Activation) -> None:
    assert where(post(browser, f"/activations/{waiting.id}/cancel")) == f"/activations/{waiting.id}"
    assert fresh(waiting).state == "cancelled"
    assert shop.wallet(alice) == (1_000_000, 0)
    where(post(browser, f"/activations/{waiting.id}/cancel"))
    assert "over already" in page(browser, f"/activations/{waiting.id}")


def test_replace_leads_to_the_new_number_however_often_it_is_pressed(
    browser: FlaskClient, waiting: Activation, control: Control
) -> None:
    first = where(post(browser, f"/activations/{waiting.id}/replace"))
    assert first not in ("", f"/activations/{waiting.id}")
    assert where(post(browser, f"/activations/{waiting.id}/replace")) == first
    assert "over already" not in page(browser, first)
    assert (bought(), len(control.orders("fivesim"))) == (2, 2)


def test_a_replacement_that_must_wait_stays_on_the_page(browser: FlaskClient, alice: User) -> None:
    shop.only("herosms")
    activation = buy(alice)
    number = activation.id
    assert where(post(browser, f"/activations/{number}/replace")) == f"/activations/{number}"
    assert fresh(activation).replace_wanted


def test_another_code_and_done(browser: FlaskClient, waiting: Activation, control: Control) -> None:
    number = waiting.id
    where(post(browser, f"/activations/{number}/again"))
    assert "no more messages" in page(browser, f"/activations/{number}")
    control.sms("fivesim", waiting.provider_ref or "", "Your code is 482913")
    shop.poll("fivesim")
    where(post(browser, f"/activations/{number}/again"))
    assert fresh(waiting).asked_again_at is not None
    where(post(browser, f"/activations/{number}/finish"))
    assert fresh(waiting).state == "finished"
    control.fault("fivesim", "poll", "reset")
    assert post(browser, f"/activations/{number}/again").status_code == 303


def test_a_provider_that_does_not_answer_is_said_in_words(
    browser: FlaskClient, waiting: Activation, control: Control
) -> None:
    control.sms("fivesim", waiting.provider_ref or "", "Your code is 482913")
    shop.poll("fivesim")
    control.fault("fivesim", "poll", "reset")
    answer = post(browser, f"/activations/{waiting.id}/again")
    assert answer.status_code == 503 and "Nothing was charged" in answer.get_data(as_text=True)


# ── Looking back ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_history_is_ones_own_filtered_and_page_by_page(
    browser: FlaskClient, alice: User, bob: User, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "MAX_OPEN_ACTIVATIONS", 100)
    shop.only("fivesim")
    foreign = buy(bob).id
    rich = shop.rich_user()
    mine = [buy(rich).id for _ in range(27)]
    log_in(browser, rich)

    def shown(query: str = "") -> list[int]:
        links = re.findall(r'href="/activations/(\d+)"', page(browser, f"/activations{query}"))
        return sorted({int(link) for link in links}, reverse=True)

    assert shown() == mine[:1:-1]
    assert shown(f"?before={mine[2]}") == [mine[1], mine[0]]
    assert shown(f"?after={mine[1]}") == mine[:1:-1]
    assert foreign not in shown(f"?before={mine[0]}")
    assert shown("?state=code") == []
    assert shown("?state=open&service=whatsapp") == mine[:1:-1]


@pytest.mark.parametrize(
    "query", ["before=" + "9" * 30, "after=-1", "before=x", "state=nope", "service=%00", "service=nope"]
)
def test_any_question_about_history_has_an_answer(browser: FlaskClient, waiting: Activation, query: str) -> None:
    page(browser, f"/activations?{query}")
