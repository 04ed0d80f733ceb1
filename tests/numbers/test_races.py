"""Many at once, with real threads and real servers: the database decides, and nobody sees an error page."""

import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.numbers import activations, closing, polling, registry, routing, settling, strays
from namaskah.numbers.models import Activation, StrayOrder
from tests.numbers import shop
from tests.numbers.shop import buy, fresh, key
from tests.support import Control, installation, log_in, make_user
from tests.together import at_once


def user_now(user_id: int) -> User:
    return db.session.get_one(User, user_id)


def test_a_twentyfold_click_buys_one_number(app: Flask, alice: User, control: Control) -> None:
    once, alices_id = key(), alice.id
    results = at_once(app, *[lambda: buy(user_now(alices_id), key=once).id] * 20)
    assert len(set(results)) == 1, results
    assert sum(len(control.orders(name)) for name in shop.PROVIDERS) == 1
    shop.assert_books_agree(control)


@pytest.mark.no_cover
def test_two_hundred_purchases_with_money_for_one_buy_one(app: Flask, control: Control) -> None:
    price = routing.routes("whatsapp", "NG")[0].price_minor
    poor = make_user("poor@example.com", money=price).id
    # As many as there are connections: who waits longer than the pool allows is told to come back, which is no race.
    results = at_once(app, *[lambda: buy(user_now(poor)).state] * 200, most=app.config["DATABASE_POOL_SIZE"])
    kinds = Counter(result if isinstance(result, str) else type(result).__name__ for result in results)
    assert kinds == {"waiting": 1, "NotEnoughMoney": 199}
    assert sum(len(control.orders(name)) for name in shop.PROVIDERS) == 1
    shop.assert_books_agree(control)


def test_the_limit_of_open_numbers_holds_under_a_rush(
    app: Flask, alice: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "MAX_OPEN_ACTIVATIONS", 3)
    alices_id = alice.id
    results = at_once(app, *[lambda: buy(user_now(alices_id)).state] * 12)
    assert Counter(type(result).__name__ for result in results) == {"str": 3, "TooMany": 9}


def test_a_cancel_and_a_code_at_once_end_in_one_of_both(app: Flask, control: Control) -> None:
    user = shop.rich_user()
    user_id = user.id
    shop.only("fivesim")
    for number in range(10):
        activation = buy(user_now(user_id))
        found, ref = activation.id, activation.provider_ref or ""
        db.session.rollback()
        results = at_once(
            app,
            lambda: control.sms("fivesim", ref, f"Your code is 4829{number}1"),  # noqa: B023
            lambda: closing.cancel(activations.get_activation(found, user_id)),  # noqa: B023
            lambda: polling.poll("fivesim"),
            lambda: closing.cancel(activations.get_activation(found, user_id)),  # noqa: B023
        )
        assert all(not isinstance(r, Exception) or isinstance(r, activations.NotNow) for r in results), results
        shop.work()
        now = fresh(activation)
        assert now.state in {"received", "cancelled"}
        assert shop.ledger_lines(now)[1:] == [{"received": "capture", "cancelled": "release"}[now.state]]
    shop.end_everything(control)
    shop.assert_books_agree(control)


def test_everybody_who_ends_an_activation_ends_it_once(app: Flask, alice: User, control: Control) -> None:
    alices_id = alice.id
    shop.only("fivesim")
    activation = buy(alice)
    found = activation.id
    control.expire("fivesim", activation.provider_ref or "")
    shop.end_windows()
    results = at_once(
        app,
        *[lambda: polling.poll("fivesim")] * 3,
        *[settling.advance_due] * 3,
        *[lambda: closing.cancel(activations.get_activation(found, alices_id))] * 3,
    )
    assert all(not isinstance(r, Exception) or isinstance(r, activations.NotNow) for r in results), results
    shop.work()
    assert fresh(activation).state in {"expired", "cancelled"}
    assert shop.ledger_lines(activation) == ["hold", "release"]
    assert shop.wallet(alice) == (1_000_000, 0)
    assert shop.events(activation).count("money_back") == 1
    shop.assert_books_agree(control)


def test_two_workers_settle_one_doubt_once(app: Flask, alice: User, control: Control) -> None:
    shop.only("herosms")
    control.fault("herosms", "buy", "reset_after")
    activation = buy(alice)
    results = at_once(app, *[lambda: polling.poll("herosms")] * 6)
    assert all(result == 0 for result in results), results
    assert (fresh(activation).state, shop.events(activation)) == ("waiting", ["bought", "in_doubt", "number"])
    shop.assert_books_agree(control)


def test_two_polls_at_once_leave_each_doubt_its_order(
    app: Flask, alice: User, bob: User, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one poll looks for free orders, another one attaches the first of two; the second is the second's still."""
    shop.only("herosms")
    control.fault("herosms", "buy", "reset_after", times=2)
    doubts = [buy(alice), buy(bob)]
    listing = registry.ask("herosms").list_orders()
    free, first_id = strays.free, doubts[0].id

    def attach() -> bool:
        activation = db.session.get_one(Activation, first_id)
        oldest = min(listing.orders, key=lambda order: int(order.provider_ref))
        return activations.accept(activation, oldest)

    def meanwhile(name: str, refs: list[str]) -> set[str]:
        monkeypatch.setattr(strays, "free", free)
        assert at_once(app, *[attach]) == [True]
        return free(name, refs)

    monkeypatch.setattr(strays, "free", meanwhile)
    settling.settle("herosms", listing, datetime.now(UTC))
    refs = [str(order["id"]) for order in control.orders("herosms")]
    assert [fresh(activation).provider_ref for activation in doubts] == refs
    assert db.session.scalar(select(func.count()).select_from(StrayOrder)) == 0
    shop.assert_books_agree(control)


def test_an_order_found_for_an_activation_that_has_one_by_now_stays_free(
    app: Flask, alice: User, control: Control
) -> None:
    shop.only("herosms")
    activation = buy(alice)
    control.fault("herosms", "buy", "reset_after")
    other = buy(alice)
    found = next(o for o in registry.ask("herosms").list_orders().orders if o.provider_ref != activation.provider_ref)
    assert activations.accept(activation, found, is_found=True) is False
    assert db.session.scalar(select(func.count()).select_from(StrayOrder)) == 0
    polling.poll("herosms")
    assert fresh(other).provider_ref == found.provider_ref


def test_a_first_top_up_and_a_purchase_at_once_do_not_lock_each_other_out(app: Flask) -> None:
    for number in range(5):
        nobody = make_user(f"new{number}@example.com").id
        db.session.rollback()

        def pay(user_id: int = nobody, reference: int = number) -> str:
            with activations.transaction():
                activations.ledger.adjust(user_id, f"rush:{reference}", 1_000_000, "test", "money")
            return "paid"

        results = at_once(app, pay, *[lambda user_id=nobody: buy(user_now(user_id)).state] * 3)  # type: ignore[misc]
        assert results[0] == "paid"
        assert {r if isinstance(r, str) else type(r).__name__ for r in results[1:]} <= {"waiting", "NotEnoughMoney"}


def test_two_hundred_posts_with_money_for_one_are_answered_in_order(
    app: Flask, settings: dict[str, str], control: Control, client: FlaskClient, tmp_path: Path
) -> None:
    price = routing.routes("whatsapp", "NG")[0].price_minor
    poor = make_user("poor@example.com", money=price)
    with installation(settings, tmp_path) as place:
        place.start_web(workers=2)
        cookie, token = session_of(place.url, log_in(client, poor))

        def post(_number: int) -> tuple[int, str]:
            form = {
                "service": "whatsapp",
                "country": "NG",
                "max_price_minor": price,
                "key": key(),
                "csrf_token": token,
            }
            request = urllib.request.Request(
                f"{place.url}/activations",
                urllib.parse.urlencode(form).encode(),
                {"Cookie": cookie, "Referer": place.url},
            )
            try:
                with urllib.request.build_opener(Stay).open(request, timeout=60) as answer:
                    return answer.status, answer.headers.get("Location", "")
            except urllib.error.HTTPError as error:
                return error.code, error.headers.get("Location", "")

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(post, range(200)))
        log = (tmp_path / "web.log").read_text()
    shown = [where for status, where in answers if status == 303 and where.startswith("/activations/")]
    sent_to_pay = [where for status, where in answers if status == 303 and where.startswith("/wallet")]
    throttled = [status for status, _where in answers if status == 429]
    assert (len(shown), len(shown) + len(sent_to_pay) + len(throttled)) == (1, 200), (Counter(answers), log[-3000:])
    assert len(sent_to_pay) >= 50
    assert db.session.scalar(select(func.count()).select_from(Activation)) == 1
    assert sum(len(control.orders(name)) for name in shop.PROVIDERS) == 1
    shop.assert_books_agree(control)


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


def session_of(url: str, client: FlaskClient) -> tuple[str, str]:
    """The log-in's cookie and a form token, as the real server gives them for it."""
    cookie = client.get_cookie("session")
    assert cookie is not None
    request = urllib.request.Request(f"{url}/numbers?service=whatsapp", headers={"Cookie": f"session={cookie.value}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        page = answer.read().decode()
        given = answer.headers.get("Set-Cookie")
    token = page.split('name="csrf_token"')[1].split('value="')[1].split('"')[0]
    return (given.split(";")[0] if given else f"session={cookie.value}"), token
