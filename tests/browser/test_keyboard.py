"""Without a mouse: every step by keys, always with a visible focus; and for those whom motion makes ill."""

import re

from playwright.sync_api import Page, expect

from tests.browser.stand import Stand, Visit, wait_for_socket

_FOCUS_SHOWN = """() => {
  const part = document.activeElement, style = getComputedStyle(part), near = getComputedStyle(part.parentElement);
  const outlined = (look) => look.outlineStyle !== "none" && parseFloat(look.outlineWidth) >= 2;
  const drawn = (look) => outlined(look) || look.boxShadow !== "none";
  return part !== document.body && (drawn(style) || drawn(near));
}"""


def tab_to(page: Page, name: str, most: int = 60) -> None:
    """Press Tab until the thing of this name has the focus; every stop on the way must show that it has it."""
    for _ in range(most):
        page.keyboard.press("Tab")
        assert page.evaluate(_FOCUS_SHOWN), page.evaluate("document.activeElement.outerHTML.slice(0, 200)")
        found = page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()")
        if re.search(name, " ".join(found.split())):
            return
    raise AssertionError(f"{name} is not among the first {most} stops")


def test_a_number_is_bought_and_used_by_keys_alone(visit: Visit, stand: Stand) -> None:
    page = visit(stand.person())
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.goto("/numbers")
    tab_to(page, "Which service")
    page.keyboard.type("telegr", delay=20)
    expect(page.locator("#services a").first).to_contain_text("Telegram")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#offers-h")).to_be_focused()
    tab_to(page, "^Buy for")
    page.keyboard.press("Enter")
    expect(page.locator("[data-state=waiting]")).to_be_visible()
    wait_for_socket(page)
    tab_to(page, "Copy number")
    stand.send_sms(page)
    expect(page.locator("[data-state=received]")).to_be_visible(timeout=10_000)
    tab_to(page, "^Done")
    page.keyboard.press("Enter")
    expect(page.locator("[data-state=finished]")).to_be_visible()


def test_the_focus_survives_a_push(visit: Visit, stand: Stand) -> None:
    page = visit(stand.person())
    page.goto("/numbers?service=telegram")
    page.locator(".is-open button", has_text="Buy for").click()
    page.locator("article.live").wait_for()
    wait_for_socket(page)
    page.get_by_label("Sound when the code comes").focus()
    stand.send_sms(page)
    expect(page.locator("[data-state=received]")).to_be_visible(timeout=10_000)
    expect(page.get_by_label("Sound when the code comes")).to_be_focused()


def test_the_menu_opens_and_closes_by_keys(visit: Visit, stand: Stand) -> None:
    page = visit(stand.person())
    page.goto("/numbers")
    menu = page.locator("details.menu-wrap")
    tab_to(page, "^Menu$")
    page.keyboard.press("Enter")
    expect(menu).to_have_attribute("open", "")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(menu).not_to_have_attribute("open", "")
    expect(menu.locator("summary")).to_be_focused()


def test_nothing_moves_for_those_who_asked_for_it(visit: Visit, stand: Stand) -> None:
    page = visit(stand.person())
    page.goto("/numbers?service=telegram")
    page.locator(".is-open button", has_text="Buy for").click()
    page.locator("article.live").wait_for()
    assert running(page) == []
    stand.send_sms(page)
    expect(page.locator("[data-state=received]")).to_be_visible(timeout=10_000)
    assert running(page) == []
    page.emulate_media(reduced_motion="no-preference")
    page.reload()
    page.locator(".slip-new").wait_for()
    assert page.evaluate("matchMedia('(prefers-reduced-motion: no-preference)').matches")


def running(page: Page) -> list[str]:
    """Animations under way that last longer than a blink."""
    found: list[str] = page.evaluate(
        "document.getAnimations().filter((one) => one.effect.getComputedTiming().activeDuration > 50)"
        ".map((one) => one.effect.target.className)"
    )
    return found
