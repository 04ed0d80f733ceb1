"""A forgotten password: the letter, a new one, and who was logged in is not any more."""

import secrets

import pytest
from playwright.sync_api import Page, expect

from tests.browser.stand import Stand, Visit, Watch

OLD, NEW = "purple tuba river", "seven quiet kettles"


def letter_link(page: Page, stand: Stand, to: str, path: str) -> str:
    """The newest link of this kind in the mailbox."""
    for _ in range(200):
        links = [link for mail in stand.control.mails(to) for link in mail["links"] if path in link]
        if links:
            return str(links[-1])
        page.wait_for_timeout(50)
    raise AssertionError(f"no letter with {path} came to {to}")


# Each device and each way once: the pages are the same, and what differs between devices every page is looked at for.
@pytest.mark.parametrize(
    ("device", "script"), [("phone", True), ("desktop", False)], ids=["phone, script", "desktop, no script"]
)
def test_a_forgotten_password(visit: Visit, stand: Stand, watch: Watch, device: str, script: bool) -> None:
    watch.allow("status of 422", "status of 410")
    owner = stand.person(password=OLD)
    elsewhere, page = visit(owner, device), visit(device=device, java_script_enabled=script)
    elsewhere.goto("/account")
    page.goto("/login")
    page.get_by_role("link", name="Forgot your password?").click()
    page.get_by_label("E-mail").fill(owner.email)
    page.get_by_role("button", name="Send the letter").click()
    expect(page.get_by_text("a letter is on its way there")).to_be_visible()
    link = letter_link(page, stand, owner.email, "/reset-password/")
    page.goto(link)
    page.get_by_label("New password", exact=True).fill("passwordpassword1")
    if script:
        expect(page.get_by_text("This one is guessed early")).to_be_visible()
        show_and_hide(page)
    page.get_by_role("button", name="Save the new password").click()
    expect(page.get_by_role("alert")).to_contain_text("guessed early")
    page.get_by_label("New password", exact=True).fill(NEW)
    if script:
        expect(page.get_by_text("Very good")).to_be_visible()
    page.get_by_role("button", name="Save the new password").click()
    expect(page.get_by_text("Your new password works from now on")).to_be_visible()
    elsewhere.reload()
    expect(elsewhere.get_by_role("heading", name="Log in")).to_be_visible()
    log_in(page, owner.email, OLD)
    expect(page.get_by_role("alert")).to_contain_text("do not belong together")
    log_in(page, owner.email, NEW)
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    page.goto(link)
    expect(page.get_by_role("heading", name="This link does not work any more")).to_be_visible()


def show_and_hide(page: Page) -> None:
    field, button = page.get_by_label("New password", exact=True), page.get_by_role("button", name="Show")
    button.click()
    expect(field).to_have_attribute("type", "text")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    expect(field).to_have_attribute("type", "password")


def log_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in", exact=True).click()


def test_another_address(visit: Visit, stand: Stand, device: str) -> None:
    owner, new = stand.person(password=OLD), f"new{secrets.token_hex(5)}@example.com"
    page = visit(owner, device)
    page.goto("/account")
    page.get_by_role("link", name="Change the address").click()
    page.get_by_label("New e-mail address").fill(new)
    page.get_by_role("button", name="Send the letter").click()
    expect(page.get_by_text("Waiting to be confirmed")).to_be_visible()
    page.goto(letter_link(page, stand, new, "/account/email/"))
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_text("has its new address")).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text(new)
    told = [mail["text"] for mail in stand.control.mails(owner.email)]
    assert any("asked to change the e-mail address" in text for text in told)
