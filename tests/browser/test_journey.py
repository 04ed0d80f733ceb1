"""From the front page to the code, as one does it: with a mouse and a keyboard, and with a thumb."""

import re
import secrets

from playwright.sync_api import Page, expect

from tests.browser.stand import CODE, SHOWN_CODE, Stand, Visit, Watch, no_polling, statement_lines, wait_for_socket
from tests.support import wait_until


def test_a_stranger_gets_a_code(visit: Visit, stand: Stand, watch: Watch, device: str) -> None:
    watch.allow("status of 422")
    page = visit(device=device)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    email, password = f"{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(12)
    register(page, email, password)
    confirm(page, stand, email)
    log_in(page, email, password)
    top_up(page)
    the_webhook_came_too(page, stand)
    choose(page, device)
    buy(page)
    the_code_comes(page, stand)
    copy_and_finish(page)
    it_is_in_the_books(page)


def register(page: Page, email: str, password: str) -> None:
    page.goto("/")
    page.get_by_role("link", name="Create account").last.click()
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill("password12")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Create account").click()
    summary = page.get_by_role("alert")
    expect(summary).to_be_focused()
    expect(summary).to_contain_text("Password")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Create account").click()
    expect(page.get_by_role("heading", name="Look in your mail")).to_be_visible()


def confirm(page: Page, stand: Stand, email: str) -> None:
    """In the sandbox's mailbox, as in any other."""
    link = page.locator("main a[href*='/verify-email/']").first
    for _ in range(50):
        page.goto(f"{stand.control.sandbox.url}/mail?to={email}")
        if link.is_visible():
            break
        page.wait_for_timeout(100)
    link.click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("The address is confirmed.")).to_be_visible()


def log_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("heading", name="Wallet")).to_be_visible()


def top_up(page: Page) -> None:
    page.get_by_role("radio", name="₦2,000").check(force=True)
    page.get_by_role("button", name="Go to payment").click()
    page.get_by_role("button", name="Decline").click()
    expect(page.get_by_role("alert")).to_contain_text("not charged")
    page.get_by_role("button", name=re.compile("^Pay ")).first.click()
    expect(page.get_by_text("₦2,000 is in your wallet.")).to_be_visible()
    expect(page.locator("#wallet-chip")).to_contain_text("₦2,000")


def the_webhook_came_too(page: Page, stand: Stand) -> None:
    """Beside the browser's return, which was first or second; the money is there once."""
    reference = page.url.rpartition("/")[2]

    def answers() -> list[int]:
        [charge] = [c for c in stand.control.books()["paystack"]["transactions"] if c["reference"] == reference]
        return [delivery["status"] for delivery in charge["webhook_deliveries"]]

    assert wait_until(answers, what="the webhook") == [200]
    page.reload()
    expect(page.locator("#wallet-chip")).to_contain_text("₦2,000")


def choose(page: Page, device: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Buy").click()
    search = page.get_by_role("searchbox", name="Which service")
    search.press_sequentially("telegr", delay=20)
    found = page.locator("#services a", has_text="Telegram")
    expect(found.first).to_be_visible()
    expect(page.locator("#announce")).to_contain_text("service")
    if device == "phone":
        found.first.tap()
    else:
        search.press("ArrowDown")
        expect(found.first).to_be_focused()
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Telegram numbers")).to_be_visible()
    expect(page).to_have_url(re.compile("service=telegram"))
    shut = page.locator("#offer-list a.go").nth(1)
    country = shut.inner_text()
    shut.tap() if device == "phone" else shut.click()
    expect(page.locator("#offer-list .is-open h3")).to_have_text(country)


def buy(page: Page) -> None:
    before = page.locator(".is-open .was-is ins").inner_text()
    page.locator(".is-open button", has_text="Buy for").click()
    expect(page.locator("[data-state=waiting]")).to_be_visible()
    expect(page.locator("#wallet-chip")).to_contain_text(before)
    expect(page.locator(".num-big")).to_have_text(re.compile(r"^\+\d[\d ]{8,}$"))


def the_code_comes(page: Page, stand: Stand) -> None:
    """Pushed: asking would bring nothing."""
    wait_for_socket(page)
    no_polling(page)
    stand.send_sms(page)
    expect(page.locator("[data-state=received]")).to_be_visible(timeout=8_000)
    expect(page).to_have_title(re.compile(f"^● {SHOWN_CODE} · Telegram"))
    expect(page.locator("#announce")).to_have_text(f"Your code is {SHOWN_CODE}.")
    expect(page.locator(".slip-in")).to_contain_text("482")
    expect(page.locator("#open-count")).to_be_hidden()


def copy_and_finish(page: Page) -> None:
    page.get_by_role("button", name="Copy code").click()
    expect(page.locator(".toast-n")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == CODE
    page.get_by_role("button", name="Done").click()
    expect(page.locator("[data-state=finished]")).to_contain_text("please don’t use it again")


def it_is_in_the_books(page: Page) -> None:
    paid = page.locator(".live-side .kv dd").first.inner_text()
    page.goto("/activations")
    expect(page.locator("table.history tbody tr")).to_contain_text(["Done"])
    expect(page.locator("table.history tbody tr")).to_contain_text([f"paid {paid}"])
    lines = statement_lines(page)
    assert f"−{paid}" in " ".join(lines[:-1]), lines
    assert "+₦2,000" in lines[-1], lines
