"""The frames as the page's own htmx takes them, in a real browser and under the product's content security policy."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from playwright.sync_api import Page, Route, expect, sync_playwright

from dev.browser import find_chromium
from namaskah import live
from tests.live.stand import Stand, Web, cookie, serve

pytestmark = pytest.mark.browser


@pytest.fixture
def faults() -> list[str]:
    """What the browser complained about."""
    return []


@pytest.fixture
def page(faults: list[str]) -> Iterator[Page]:
    chromium = find_chromium()
    if not chromium:
        pytest.skip("no Chromium found")
    with (
        sync_playwright() as playwright,
        closing(playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])) as browser,
    ):
        made = browser.new_page()
        made.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        made.on("pageerror", lambda error: faults.append(str(error)))
        yield made


def open_page(page: Page, web: Web, user_id: int) -> None:
    name, _, value = cookie(web.app, user_id).partition("=")
    address = f"http://127.0.0.1:{web.port}"
    page.context.add_cookies([{"name": name, "value": value, "url": address}])
    page.goto(f"{address}/test/page")
    expect(page.locator("#cards")).to_have_text(f"all of {user_id}")


def test_a_push_changes_the_page_and_keeps_what_is_typed(
    page: Page, web: Web, user: Callable[..., int], faults: list[str]
) -> None:
    alice = user()
    open_page(page, web, alice)
    page.locator("#typed").fill("half a word")
    live.publish(alice, "card", 7)
    expect(page.locator("#card-7")).to_have_attribute("data-of", str(alice))
    assert page.locator("#typed").input_value() == "half a word"
    live.publish(alice, "card", 99)  # not on this page
    live.publish(alice, "card")
    expect(page.locator("#cards")).to_have_text(f"all of {alice}")
    assert faults == []


def test_the_socket_opens_though_its_script_comes_last(page: Page, web: Web, user: Callable[..., int]) -> None:
    """htmx starts as soon as it is there, not when the deferred scripts after it are: on a first visit or a slow line
    it has read the page before hx-ws has said what its attributes mean."""

    def late(route: Route) -> None:
        page.wait_for_timeout(700)
        route.continue_()

    page.route("**/hx-ws*", late)
    alice = user()
    open_page(page, web, alice)
    live.publish(alice, "card", 7)
    expect(page.locator("#card-7")).to_have_attribute("data-of", str(alice))


def test_the_page_comes_back_by_itself_when_the_server_restarts(
    page: Page, stand: Stand, user: Callable[..., int]
) -> None:
    alice = user()
    first = serve(stand, workers=1)
    open_page(page, first, alice)
    page.evaluate("document.getElementById('cards').textContent = 'stale'")
    first.stop()
    second = serve(stand, workers=1, port=first.port)
    try:
        expect(page.locator("#cards")).to_have_text(f"all of {alice}", timeout=15_000)
        # The new process may not be listening yet: a real page is sent everything once it does.
        for _push in range(30):
            live.publish(alice, "card", 7)
            if page.locator("#card-7").get_attribute("data-of") == str(alice):
                break
            page.wait_for_timeout(300)
        expect(page.locator("#card-7")).to_have_attribute("data-of", str(alice))
    finally:
        second.stop()


def test_a_page_told_to_fetch_again_polls_once(page: Page, web: Web, user: Callable[..., int]) -> None:
    alice = user()
    open_page(page, web, alice)
    page.wait_for_timeout(1_500)  # the poll that follows every connection
    before = page.locator("#polled").inner_text()
    page.wait_for_timeout(3_500)
    expect(page.locator("#polled")).to_have_text(before)
    live.publish(alice, "broken", 1)
    expect(page.locator("#polled")).not_to_have_text(before)
    expect(page.locator("[data-fetch-again]")).to_have_count(0)
