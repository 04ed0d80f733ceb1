"""The wallet's pages, as a browser sees them."""

import re
import secrets
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import ledger, topups
from namaskah.wallet.models import TopUp
from tests.support import log_in

from .counter import Counter

AMOUNT = 250_000


@pytest.fixture
def browser(client: FlaskClient, payer: User, counter: Counter) -> FlaskClient:
    """The payer's, logged in; the gateway is up."""
    return log_in(client, payer)


@pytest.fixture
def opened(payer: User, counter: Counter) -> TopUp:
    return topups.open_top_up(payer, AMOUNT, secrets.token_hex(16))


def form_key(page: str) -> str:
    found = re.search(r'name="key"[^>]*value="([^"]+)"', page)
    assert found is not None
    return found[1]


def top_ups_of(user: User) -> list[TopUp]:
    db.session.rollback()
    query = select(TopUp).filter_by(user_id=user.id).order_by(TopUp.id)
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def change(opened: TopUp, what: str) -> None:
    """Behind the application's back; its session shares this test's, so it must forget what it read."""
    with transaction():
        db.session.execute(text(f"UPDATE top_ups SET {what} WHERE id = :id"), {"id": opened.id})
    db.session.expire_all()


def send(browser: FlaskClient, **fields: str) -> tuple[int, str]:
    """Status and where it leads, or the page."""
    answer = browser.post("/wallet/top-up", data={"key": secrets.token_hex(16)} | fields)
    return answer.status_code, answer.headers.get("Location") or answer.text


def test_the_wallet_shows_balance_limits_and_presets(client: FlaskClient, funded: Callable[[int], User]) -> None:
    user = funded(123_400)
    with transaction():
        ledger.hold(user.id, "activation:1", 23_400)
    page = log_in(client, user).get("/wallet").text
    assert "₦1,000" in page and "₦234" in page and "₦1,234" in page
    assert "₦500" in page and "₦200,000" in page
    assert page.count('name="preset"') == 4 and page.count(" checked") == 1
    assert len(form_key(page)) >= 16


def test_presets_keep_within_the_limits(app: Flask, browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "TOP_UP_MIN_MINOR", 500_000)
    page = browser.get("/wallet").text
    assert re.findall(r'name="preset" value="(\d+)"', page) == ["500000", "1000000"]


def test_a_form_opens_a_checkout_and_its_page_leads_there(browser: FlaskClient, payer: User) -> None:
    status, place = send(browser, preset="200000", key=form_key(browser.get("/wallet").text))
    [found] = top_ups_of(payer)
    assert (status, found.amount_minor) == (303, 200_000)
    assert place == f"/wallet/top-ups/{found.reference}?go=1"
    answer = browser.get(place)
    assert answer.headers["Refresh"] == f"0; url={found.checkout_url}"
    assert f'href="{found.checkout_url}"' in answer.text
    assert "Refresh" not in browser.get(place.removesuffix("?go=1")).headers


def test_who_comes_back_later_is_not_sent_to_the_checkout_again(browser: FlaskClient, opened: TopUp) -> None:
    change(opened, "created_at = now() - interval '61 seconds'")
    assert "Refresh" not in browser.get(f"/wallet/top-ups/{opened.reference}?go=1").headers


def test_htmx_is_told_to_take_the_whole_page_to_the_checkout(browser: FlaskClient, payer: User) -> None:
    fields = {"preset": "200000", "key": secrets.token_hex(16)}
    answer = browser.post("/wallet/top-up", data=fields, headers={"HX-Request": "true"})
    [found] = top_ups_of(payer)
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (200, found.checkout_url)


def test_the_same_form_twice_leads_to_the_same_page(browser: FlaskClient, payer: User) -> None:
    key = secrets.token_hex(16)
    assert send(browser, preset="200000", key=key) == send(browser, preset="200000", key=key)
    assert len(top_ups_of(payer)) == 1


def test_a_used_form_with_another_amount_comes_back_with_a_new_key(browser: FlaskClient, payer: User) -> None:
    key = secrets.token_hex(16)
    send(browser, preset="200000", key=key)
    status, page = send(browser, amount="5000", key=key)
    assert status == 409 and "sent before" in page
    assert form_key(page) != key
    assert send(browser, amount="5000", key=form_key(page))[0] == 303
    assert [found.amount_minor for found in top_ups_of(payer)] == [200_000, 500_000]


@pytest.mark.parametrize(
    ("amount", "minor"),
    [("2500", 250_000), (" 2,500 ", 250_000), ("₦2,500.50", 250_050), ("٢٥٠٠", 250_000), ("500", 50_000)],
)
def test_an_amount_of_ones_own_counts_instead_of_a_preset(
    browser: FlaskClient, payer: User, amount: str, minor: int
) -> None:
    assert send(browser, preset="100000", amount=amount)[0] == 303
    assert [found.amount_minor for found in top_ups_of(payer)] == [minor]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"preset": ""},
        {"preset": "-100000"},
        {"preset": "1e9"},
        {"preset": "٢٠٠٠٠٠"},
        {"preset": "9" * 40},
        {"preset": "20000001"},
        {"amount": "499.99"},
        {"amount": "200000.01"},
        {"amount": "-500"},
        {"amount": "500.001"},
        {"amount": "1e3"},
        {"amount": "1e999999"},
        {"amount": "NaN"},
        {"amount": "sNaN"},
        {"amount": "Infinity"},
        {"amount": "five hundred"},
        {"amount": "5" * 200},
        {"preset": "200000", "key": ""},
        {"preset": "200000", "key": "short"},
        {"preset": "200000", "key": "k" * 65},
    ],
)
def test_a_form_that_makes_no_sense_comes_back_and_opens_nothing(
    browser: FlaskClient, payer: User, counter: Counter, fields: dict[str, str]
) -> None:
    status, page = send(browser, **fields)
    assert status == 422 and 'role="alert"' in page
    assert top_ups_of(payer) == [] and counter.calls("initialize") == 0


def test_the_way_back_asks_the_gateway_and_shows_what_it_says(
    browser: FlaskClient, opened: TopUp, payer: User, counter: Counter
) -> None:
    way_back = f"/wallet/top-up/return?trxref={opened.reference}&reference={opened.reference}"
    answer = browser.get(way_back)
    assert (answer.status_code, answer.location) == (303, f"/wallet/top-ups/{opened.reference}")
    assert top_ups_of(payer)[0].state == "abandoned"
    counter.pay(opened.reference)
    page = browser.get(way_back, follow_redirects=True).text
    assert "is in your wallet" in page
    assert ledger.balance(payer.id).available_minor == AMOUNT


@pytest.mark.parametrize("fault", ["error_500", "bad_key"])
def test_the_way_back_works_while_the_gateway_is_away(
    browser: FlaskClient, opened: TopUp, payer: User, counter: Counter, fault: str
) -> None:
    counter.pay(opened.reference)
    counter.breaks("verify", fault)
    answer = browser.get(f"/wallet/top-up/return?reference={opened.reference}", follow_redirects=True)
    assert answer.status_code == 200
    assert ledger.balance(payer.id).available_minor == 0
    topups.settle(opened.reference)
    assert ledger.balance(payer.id).available_minor == AMOUNT


@pytest.mark.parametrize(
    ("state", "verdict", "way_on"),
    [
        ("opened", "not seen a payment yet", "Go on with the payment"),
        ("pending", "Your bank is still at it", "Look again"),
        ("failed", "your wallet is as it was", "Try again"),
        ("abandoned", "was not finished", "Try again"),
        ("expired", "was not finished", "Try again"),
        ("mismatch", "not as we asked for it", "help@namaskah.test"),
        ("paid", "is in your wallet", "Buy a number"),
    ],
)
def test_every_state_says_what_it_means_and_what_to_do(
    browser: FlaskClient, opened: TopUp, state: str, verdict: str, way_on: str
) -> None:
    paid = opened.amount_minor if state == "paid" else "NULL"
    change(opened, f"state = '{state}', paid_minor = {paid}")
    page = browser.get(f"/wallet/top-ups/{opened.reference}").text
    assert verdict.lower() in page.lower() and way_on in page
    change(opened, "state = 'opened', paid_minor = NULL")  # nothing was paid


@pytest.mark.parametrize("address", ["/wallet/top-ups/{}", "/wallet/top-up/return?reference={}"])
def test_anothers_top_up_and_one_that_never_was_are_not_found(
    client: FlaskClient, opened: TopUp, bob: User, counter: Counter, address: str
) -> None:
    log_in(client, bob)
    counter.pay(opened.reference)
    for reference in (opened.reference, "NK-none", ""):
        assert client.get(address.format(reference)).status_code == 404
    assert counter.calls("verify") == 0
    assert ledger.balance(opened.user_id).available_minor == 0


@pytest.mark.parametrize("address", ["/wallet", "/wallet/statement", "/wallet/top-ups/x", "/wallet/top-up/return"])
def test_visitors_log_in_first(client: FlaskClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 303 and "/login" in answer.location


def test_without_a_confirmed_address_nothing_is_opened(client: FlaskClient, carol: User, counter: Counter) -> None:
    log_in(client, carol)
    assert client.get("/wallet").status_code == 200
    status, place = send(client, preset="200000")
    assert status == 303 and place != "" and "top-ups" not in place
    assert counter.calls("initialize") == 0


def test_the_statement_pages_through_everything(client: FlaskClient, funded: Callable[[int], User]) -> None:
    user = funded(10_000)
    for number in range(30):
        with transaction():
            ledger.hold(user.id, f"activation:{1_000_000 + number}", 100)
    log_in(client, user)
    first = client.get("/wallet/statement").text
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older is not None and 'rel="prev"' not in first
    second = client.get(older[1].replace("&amp;", "&")).text
    newer = re.search(r'rel="prev" href="([^"]+)"', second)
    assert newer is not None and 'rel="next"' not in second
    rows = [page.count('class="n after"') for page in (first, second)]
    assert rows == [25, 6]
    assert client.get(newer[1].replace("&amp;", "&")).text.count('class="n after"') == 25
    assert client.get("/wallet/statement?show=in").text.count('class="n after"') == 1


@pytest.mark.parametrize("query", ["show=everything", "before=x", "after=-1", "before=" + "9" * 30, "before=٣"])
def test_an_address_of_the_statement_that_cannot_be_is_not_found(browser: FlaskClient, query: str) -> None:
    assert browser.get(f"/wallet/statement?{query}").status_code == 404


@pytest.mark.parametrize("reference", ["%00", "a%00b", "a" * 41, "%C3%A9"])
def test_a_reference_that_cannot_be_is_unknown(browser: FlaskClient, reference: str) -> None:
    assert browser.get(f"/wallet/top-ups/{reference}").status_code == 404
    assert browser.get(f"/wallet/top-up/return?reference={reference}").status_code == 404


def test_a_key_that_no_form_of_ours_has_is_refused(browser: FlaskClient, payer: User) -> None:
    status, _page = send(browser, preset="200000", key="a" * 20 + "\x00")
    assert status == 422
    assert top_ups_of(payer) == []
