"""Everything but the push, by links and forms alone."""

import re
import secrets

import pytest
from playwright.sync_api import Page, expect

from tests.browser.stand import Stand, Visit, Watch, buy_number, statement_lines


@pytest.fixture
def page(visit: Visit, device: str) -> Page:
    return visit(device=device, java_script_enabled=False)


def test_from_opening_an_account_to_the_code(page: Page, stand: Stand, watch: Watch, device: str) -> None:
    watch.allow("status of 422")
    email, password = f"{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(12)
    register(page, email, password)
    confirm(page, stand, email)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in", exact=True).click()
    top_up(page)
    choose(page)
    page.locator(".is-open button", has_text="Buy for").click()
    expect(page.locator(".num-big")).to_be_visible()
    expect(page.locator(".script-only").first).to_be_hidden()
    stand.send_sms(page)
    # The page looks again by itself, every five seconds.
    expect(page.locator("[data-state=received] .slip-in")).to_contain_text("482", timeout=15_000)
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_text("please don’t use it again")).to_be_visible()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Activations").click()
    expect(page.locator("table.history tbody tr")).to_contain_text("Done")
    page.get_by_label("State").select_option("back")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()


def register(page: Page, email: str, password: str) -> None:
    page.goto("/register")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill("password12")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("alert")).to_contain_text("Password")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="Look in your mail")).to_be_visible()


def confirm(page: Page, stand: Stand, email: str) -> None:
    links: list[str] = []
    while not links:
        links = [link for mail in stand.control.mails(email) for link in mail["links"] if "/verify-email/" in link]
        page.wait_for_timeout(50)
    page.goto(links[0])
    page.get_by_role("button", name="Confirm").click()


def top_up(page: Page) -> None:
    page.get_by_label("Or another amount").fill("1,500")
    page.get_by_role("button", name="Go to payment").click()
    page.get_by_role("button", name=re.compile("^Pay ")).first.click()
    expect(page.get_by_text("₦1,500 is in your wallet.")).to_be_visible()


def choose(page: Page) -> None:
    page.get_by_role("link", name="Buy a number").click()
    page.get_by_role("searchbox", name="Which service").fill("telegr")
    page.get_by_role("button", name="Search").click()
    page.locator("#services").get_by_role("link", name="Telegram from").click()
    country = page.locator("#offer-list a.go").nth(1)
    name = country.inner_text()
    country.click()
    expect(page.locator(".is-open h3")).to_have_text(name)


def test_the_money_comes_back(visit: Visit, stand: Stand, device: str) -> None:
    stand.sell_at("fivesim")
    buyer = stand.person()
    page = visit(buyer, device, java_script_enabled=False)
    buy_number(page)
    stand.time_is_over(page)
    expect(page.locator(".verdict")).to_have_text(
        re.compile(r"No code came\. ₦[\d,]+ is back in your wallet\."), timeout=15_000
    )
    assert stand.available_minor(buyer) == 1_000_000
    assert "+₦" in statement_lines(page)[0]
    buy_number(page)
    page.get_by_role("button", name="Cancel, get").click()
    expect(page.locator(".verdict")).to_contain_text("You cancelled.")


def test_logging_out_and_choosing_language_and_theme(visit: Visit, stand: Stand, device: str) -> None:
    page = visit(stand.person(), device, java_script_enabled=False)
    page.goto("/account")
    page.get_by_label("Theme").select_option("night")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "night")
    page.locator("summary").first.click()
    page.locator(".menu-box").get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in").first).to_be_visible()
    page.get_by_role("button", name="Day").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "day")
    page.locator(".foot-languages a[lang=ar]").click()
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
