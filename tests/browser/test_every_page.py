"""Every page in every state, by day and night, left to right and right to left, on a phone and on a desk: accessible
by axe's whole book, nothing sticking out, nothing cut off, no complaint of the browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from flask import Flask
from playwright.sync_api import Page

from namaskah import errors
from namaskah.auth.models import User
from namaskah.db import db, transaction
from tests.browser import scenes
from tests.browser.axe import violations
from tests.browser.scenes import Gallery
from tests.browser.stand import DESKTOP, PHONE, Stand, Visit, Watch

GROUPS = ("visitor", "member", "live", "safe", "newcomer", "secured", "unverified", "admin")
DIRECTIONS = {"en": "ltr", "ar": "rtl"}
LOOKS: tuple[tuple[str, Literal["light", "dark"], dict[str, Any]], ...] = (
    ("desktop", "light", DESKTOP),
    ("phone", "dark", PHONE),
)

# What reaches over the edge of the screen, or is cut off by a box that hides what does not fit.
_STICKING_OUT = """() => {
  const width = document.documentElement.clientWidth, found = [];
  const needed = document.documentElement.scrollWidth;
  if (needed > width) found.push(`the page is ${needed} wide`);
  for (const part of document.body.querySelectorAll("*")) {
    if (part.closest(".sr-only, .skip, [hidden], svg, input") || !part.checkVisibility()) continue;
    const box = part.getBoundingClientRect(), style = getComputedStyle(part);
    if (part.clientWidth === 1) continue; // for screen readers
    const name = `${part.tagName.toLowerCase()}.${part.className} "${part.textContent.trim().slice(0, 40)}"`;
    if (box.width && (box.right > width + 1 || box.left < -1)) found.push(`${name} from ${box.left} to ${box.right}`);
    const hides = ["hidden", "clip"].includes(style.overflowX) && style.textOverflow !== "ellipsis";
    if (hides && part.scrollWidth > part.clientWidth + 1) found.push(`${name} cuts off what is in it`);
  }
  return found;
}"""


@pytest.fixture(scope="package")
def gallery(_stand: Stand, _app: Flask) -> Iterator[Gallery]:
    with _app.app_context():
        _stand.reset()
        made = scenes.make(_stand)
        db.session.remove()
    yield made


def speak(user: User, language: str) -> None:
    with transaction():
        user.language = language


@pytest.mark.parametrize("language", list(DIRECTIONS))
@pytest.mark.parametrize("group", GROUPS)
def test_page(group: str, language: str, gallery: Gallery, stand: Stand, visit: Visit, watch: Watch) -> None:
    watch.allow(*(f"status of {status}" for status in (400, 404, 409, 410, 422)))
    user = None if group == "visitor" else db.session.get_one(User, gallery.people[group])
    if user:
        speak(user, language)
    page = visit(user, "desktop", locale=language)
    faults: list[str] = []
    for name, path in gallery.pages[group]:
        page.goto(path)
        assert page.locator("html").get_attribute("dir") == DIRECTIONS[language], path
        again = language != "en"
        faults += [f"{name}, {fault}" for fault in look_at(page, f"{group}-{name}-{language}", again=again)]
    assert not faults, "\n".join(faults)


def test_these_checks_see_faults(visit: Visit) -> None:
    page = visit()
    page.goto("/login")
    page.evaluate("""() => {
      const wide = Object.assign(document.createElement("p"), { textContent: "w".repeat(200) });
      wide.style.cssText = "color: #ccc; background: #fff; white-space: nowrap";
      document.querySelector("main").append(wide, document.createElement("img"));
    }""")
    rules = {fault.split(":")[0] for fault in violations(page)}
    assert {"color-contrast", "image-alt"} <= rules
    assert violations(page, colours_only=True)
    assert page.evaluate(_STICKING_OUT)


@pytest.mark.parametrize("path", ["/login", "/register"])
def test_a_form_sent_empty(path: str, visit: Visit, watch: Watch) -> None:
    watch.allow("status of 422")
    page = visit()
    page.goto(path)
    page.locator("main form button[type=submit]").click()
    page.locator("[role=alert]").wait_for()
    assert look_at(page, f"errors-{path.strip('/')}") == []


def test_the_page_of_a_fault_of_ours(app: Flask, visit: Visit) -> None:
    with app.test_request_context("/numbers"):
        answer = errors._fault(ValueError("made for a test"))
    page = visit()
    page.route("**/broken", lambda route: route.fulfill(body=answer.get_data(), content_type="text/html"))
    page.goto("/broken")
    assert "Your money is safe" in page.locator("main").inner_text()
    assert look_at(page, "fault") == []


def test_a_large_balance_is_shown_whole_on_a_phone(stand: Stand, visit: Visit) -> None:
    page = visit(stand.person(money=12_345_678_950), "phone")
    page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/wallet", "/wallet/statement"):
        page.goto(path)
        assert "₦123,456,789.50" in page.locator("#wallet-chip").inner_text()
        assert page.locator("#wallet-chip").evaluate("part => part.scrollWidth <= part.clientWidth"), path
        assert page.evaluate(_STICKING_OUT) == []


def look_at(page: Page, name: str, again: bool = False) -> list[str]:
    """What is wrong with the page as it stands: on a desk by day, on a phone by night, and the colours of the desk by
    night. `again`, in another language, it is the same page: axe sees it on the phone alone, for the layout counts."""
    faults = []
    for device, light, options in LOOKS:
        page.set_viewport_size(options["viewport"])
        page.emulate_media(color_scheme=light)
        sticking_out: Any = page.evaluate(_STICKING_OUT)
        faults += [f"{device}: {fault}" for fault in sticking_out]
        if device == "phone" or not again:
            faults += [f"{device} {light}: {fault}" for fault in violations(page)]
        keep(page, f"{name}-{device}-{light}")
    if not again:
        page.set_viewport_size(DESKTOP["viewport"])
        faults += [f"desktop dark: {fault}" for fault in violations(page, colours_only=True)]
        keep(page, f"{name}-desktop-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESKTOP["viewport"])
    return faults


def keep(page: Page, name: str) -> None:
    """A picture for whoever wants to look: only when the folder test-artifacts/pages is there."""
    folder = Path("test-artifacts/pages")
    if folder.is_dir():
        page.screenshot(path=folder / f"{name.replace('/', '_')[:80]}.png", full_page=True)
