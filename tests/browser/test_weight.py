"""How heavy the pages are on the wire, and that nothing on them jumps."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.stand import Stand, Visit, buy_number, wait_for_socket

FIRST_VIEW_BYTES = 60_000
NEXT_PAGE_BYTES = 15_000

_COUNT_SHIFTS = """
window.shifts = [];
const source = (one) => one.node?.outerHTML?.slice(0, 80);
new PerformanceObserver((list) => {
  for (const entry of list.getEntries())
    if (!entry.hadRecentInput) window.shifts.push({ value: entry.value, what: entry.sources.map(source) });
}).observe({ type: "layout-shift", buffered: true });
"""
# What the web vitals call good. The page is in another state then: what stands beside the box moves a little.
SMALL_SHIFT = 0.1


def wire(page: Page) -> list[float]:
    """Grows with the bytes of every answer, headers and compression included."""
    received: list[float] = []
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    return received


def test_the_first_view_and_the_next_page_are_light(visit: Visit, stand: Stand, device: str) -> None:
    page = visit(stand.person(), device)
    received = wire(page)
    page.goto("/numbers?service=telegram", wait_until="networkidle")
    first = sum(received)
    assert len(received) >= 4, "document, style, scripts"
    assert 10_000 < first <= FIRST_VIEW_BYTES
    for path in ("/numbers?service=whatsapp", "/activations", "/wallet", "/account"):
        received.clear()
        page.goto(path, wait_until="networkidle")
        assert 1_000 < sum(received) <= NEXT_PAGE_BYTES, path


@pytest.mark.parametrize("path", ["/", "/pricing", "/login", "/numbers", "/numbers?service=telegram", "/wallet"])
def test_nothing_jumps_while_a_page_loads(path: str, visit: Visit, stand: Stand, device: str) -> None:
    page = visit(None if path in ("/", "/pricing", "/login") else stand.person(), device, bypass_csp=True)
    page.add_init_script(_COUNT_SHIFTS)
    shifts = []
    for _ in range(3):
        page.goto(path, wait_until="networkidle")
        shifts = page.evaluate("window.shifts")
        if not shifts:
            break  # on a busy machine the parser may pause in the middle of a page; what jumps, jumps every time
    assert shifts == []


def test_little_moves_when_the_code_comes(visit: Visit, stand: Stand, device: str) -> None:
    """The box waited for becomes the box of the code; what stands below it may move by the difference."""
    page = visit(stand.person(), device, bypass_csp=True)
    page.add_init_script(_COUNT_SHIFTS)
    buy_number(page)
    wait_for_socket(page)
    assert page.evaluate("window.shifts") == []
    heading = page.locator("#activation-h").bounding_box()
    stand.send_sms(page)
    expect(page.locator("[data-state=received] .slip-in")).to_contain_text("482", timeout=10_000)
    page.wait_for_timeout(300)
    shifts = page.evaluate("window.shifts")
    assert sum(shift["value"] for shift in shifts) < SMALL_SHIFT, shifts
    assert page.locator("#activation-h").bounding_box() == heading
