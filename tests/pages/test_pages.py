"""The public pages, and the choice of language and theme."""

import pytest
from flask import Flask

from namaskah.auth.models import User
from namaskah.numbers import catalogue
from tests.auth.people import Browser
from tests.support import log_in


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)


PAGES = ["/", "/pricing", "/terms", "/privacy", "/acceptable-use", "/refunds"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["en", "ar"])
def test_everybody_sees_it_in_their_language(browser: Browser, path: str, language: str) -> None:
    browser.get(f"/language/{language}")
    answer = browser.get(path)
    assert answer.status_code == 200
    assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}"' in answer.text


def test_the_front_page_has_popular_services_with_their_price(browser: Browser) -> None:
    page = browser.get("/").text
    for line in catalogue.popular(4):
        assert line.name in page
        assert f"/numbers?service={line.code}" in page


def test_whoever_is_logged_in_can_go_and_buy(browser: Browser, alice: User) -> None:
    assert "Create account" in browser.get("/").text
    log_in(browser.client, alice)
    page = browser.get("/").text
    assert 'href="/numbers"' in page
    assert "Create account" not in page


def test_prices_are_found_by_service_and_by_country(browser: Browser) -> None:
    by_service = browser.get("/pricing?q=whatsapp").text
    assert "WhatsApp" in by_service
    assert "₦" in by_service
    by_country = browser.get("/pricing?q=Nigeria").text
    assert "country=NG" in by_country
    assert "country=GB" not in by_country


@pytest.mark.parametrize("q", ["zzzzzz", "???", "\x00", "<script>alert(1)</script>"])
def test_what_we_do_not_have_is_said(browser: Browser, q: str) -> None:
    page = browser.get("/pricing", query_string={"q": q}).text
    assert "Nothing found" in page
    assert "<script>alert" not in page


def test_a_blocked_service_has_no_price(browser: Browser) -> None:
    assert "Nothing found" in browser.get("/pricing?q=paypal").text


def test_the_browser_says_which_language_unless_a_person_does(browser: Browser) -> None:
    def language(accepted: str) -> str:
        return browser.get("/refunds", headers={"Accept-Language": accepted}).text.partition('lang="')[2][:2]

    assert language("fr, ar-EG;q=0.9, en;q=0.5") == "ar"
    assert language("fr") == "en"
    assert language("ar;q=0") == "en"
    assert language("") == "en"
    browser.get("/language/ar")
    assert language("en") == "ar"
    browser.post("/language/en")
    assert language("ar") == "en"


def test_choosing_a_language_leads_back_but_not_away(browser: Browser) -> None:
    assert browser.get("/language/ar?next=/pricing?q%3Dx").headers["Location"] == "/pricing?q=x"
    assert browser.get("/language/ar?next=//evil.example").headers["Location"] == "/"
    assert browser.get("/language/xx").status_code == 404


def test_a_theme_is_kept_by_the_browser(browser: Browser) -> None:
    assert "data-theme" not in browser.get("/refunds").text
    answer = browser.post("/theme", data={"theme": "night", "next": "/refunds"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/refunds")
    assert 'data-theme="night"' in browser.get("/refunds").text
    browser.post("/theme", data={"theme": ""})
    assert "data-theme" not in browser.get("/refunds").text
    assert browser.post("/theme", data={"theme": "pink"}).status_code == 400
