"""Logging another device out: its open pages notice within seconds, and lead back to where they were."""

import re
import secrets

import pytest
from playwright.sync_api import Page, expect

from tests.browser.stand import Stand, Visit, Watch, buy_number, no_polling, wait_for_socket

SECONDS = 5_000


def log_the_other_out(page: Page, button: str) -> None:
    page.goto("/account/security")
    page.get_by_role("link", name="Logged in on 2 devices").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("status").filter(has_text="logged out")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(1)


# Each device and each way once: the pages are the same, and what differs between devices every page is looked at for.
@pytest.mark.parametrize(("device", "button"), [("desktop", "Log out"), ("phone", "Log out everywhere else")])
def test_its_open_page_leads_to_the_log_in_and_back(
    visit: Visit, stand: Stand, watch: Watch, device: str, button: str
) -> None:
    watch.allow("status of 401", "WebSocket")
    password = secrets.token_urlsafe(12)
    owner = stand.person(password)
    here, there = visit(owner, device), visit(owner, device)
    buy_number(there)
    was_at = there.url
    wait_for_socket(there)
    no_polling(there)  # it hears of it by the socket
    log_the_other_out(here, button)
    there.wait_for_url("**/login?next=*", timeout=SECONDS)
    there.get_by_label("E-mail").fill(owner.email)
    there.get_by_label("Password").fill(password)
    there.get_by_role("button", name="Log in", exact=True).click()
    expect(there).to_have_url(was_at)
    expect(there.locator(".num-big")).to_be_visible()


def test_a_page_that_shows_a_refused_form_leads_back_to_the_form(visit: Visit, stand: Stand, watch: Watch) -> None:
    watch.allow("status of 401", "status of 422", "WebSocket")
    owner = stand.person(secrets.token_urlsafe(12))
    here, there = visit(owner), visit(owner)
    buy_number(there)
    there.goto("/wallet")
    there.get_by_label("Or another amount").fill("1")
    frames: list[object] = []
    there.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
    there.get_by_role("button", name="Go to payment").click()
    expect(there.get_by_role("alert")).to_be_visible()
    for _wait in range(100):
        if frames:
            break
        there.wait_for_timeout(100)
    assert frames, "the page of the refused form has its socket"
    log_the_other_out(here, "Log out")
    there.wait_for_url("**/login?next=%2Fwallet", timeout=SECONDS)


def test_without_javascript_the_next_press_leads_to_the_log_in(visit: Visit, stand: Stand, device: str) -> None:
    owner = stand.person()
    here, there = visit(owner, device, java_script_enabled=False), visit(owner, device, java_script_enabled=False)
    there.goto("/account/sessions")
    log_the_other_out(here, "Log out")
    there.get_by_role("navigation", name="Main").get_by_role("link", name="Wallet").click()
    expect(there).to_have_url(re.compile(r"/login\?next=/wallet$"))


def test_what_happened_stands_in_the_history(visit: Visit, stand: Stand, device: str) -> None:
    owner = stand.person()
    here, _there = visit(owner, device), visit(owner, device)
    log_the_other_out(here, "Log out")
    here.goto("/account/security")
    expect(here.locator("tbody tr").first).to_contain_text("Another device was logged out")
