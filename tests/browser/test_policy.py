"""The content policy in a real browser: what it stops is stopped and noticed, and what people write runs nowhere even
without it."""

import secrets
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Page
from sqlalchemy import select, update

from namaskah.db import db, transaction
from namaskah.numbers.models import Offer
from tests.browser.stand import Stand, Visit, Watch, buy_number, wait_for_socket
from tests.web.payloads import PAYLOADS

# Each is what an injected text would try; true when the browser let it.
ATTEMPTS = {
    "an inline script": """() => {
        const one = document.createElement('script');
        try { one.textContent = 'window.hit = 1'; } catch { return false; }
        document.body.append(one);
        return window.hit === 1;
    }""",
    "a script of another site": """() => {
        const one = document.createElement('script');
        try { one.src = 'https://evil.example/x.js'; } catch { return false; }
        return true;
    }""",
    "text that becomes elements": """() => {
        try { document.body.innerHTML += '<b id=hit></b>'; } catch { return false; }
        return true;
    }""",
    "a policy of its own for that": """() => {
        try { trustedTypes.createPolicy('evil', { createHTML: (text) => text }); } catch { return false; }
        return true;
    }""",
    "a handler in an attribute": """() => {
        const one = document.createElement('b');
        try { one.setAttribute('onclick', 'window.clicked = 1'); } catch { return false; }
        document.body.append(one);
        one.click();
        return window.clicked === 1;
    }""",
    "a style in an attribute": """() => {
        const one = document.createElement('p');
        one.setAttribute('style', 'width: 7px');
        document.body.append(one);
        return getComputedStyle(one).width === '7px';
    }""",
}


@pytest.mark.parametrize("attempt", list(ATTEMPTS))
def test_the_browser_refuses_and_the_watch_sees_it(attempt: str, visit: Visit, stand: Stand, watch: Watch) -> None:
    page = visit(stand.person())
    page.goto("/numbers")
    # Not by evaluate() alone, which is beyond the policy: by a task of the page's own.
    tried = f"() => new Promise((done) => setTimeout(() => done(({ATTEMPTS[attempt]})())))"
    assert page.evaluate(tried) is False
    page.wait_for_timeout(100)
    assert any("Content Security Policy" in fault or "Trusted" in fault for fault in watch.faults), watch.faults
    watch.faults.clear()


def trap(page: Page) -> list[str]:
    """What ran, and what was asked of strangers, from now on."""
    ran: list[str] = []
    page.expose_function("x9", lambda *_arguments: ran.append("x9 was called"))
    page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: ran.append(request.url) if _is_theirs(request.url) else None)
    return ran


def _is_theirs(url: str) -> bool:
    """Whether only a payload leads there: our own search carries payloads in its question."""
    parts = urlsplit(url)
    return (parts.hostname or "").endswith("evil.example") or "/x9" in parts.path


def test_nothing_of_what_is_written_runs_even_without_the_policy(
    app: Flask, visit: Visit, stand: Stand, watch: Watch
) -> None:
    watch.allow("status of 422", "status of 404")
    page = visit(stand.person(money=5_000_000), bypass_csp=True)
    ran = trap(page)
    _by_message(page, stand)
    _by_search(page)
    _by_operator(page)
    page.context.clear_cookies()
    # Log-ins are slow; tests/web/test_injection.py has all forty.
    for payload in PAYLOADS[::4]:
        page.goto("/login")
        page.locator("main [name=email]").evaluate(
            "(field, text) => { field.type = 'text'; field.value = text; }", payload
        )
        page.locator("main [name=password]").fill("wrong horse river")
        with page.expect_navigation():
            page.evaluate("document.querySelector('main form').submit()")
        stand.reset()
    page.wait_for_timeout(300)
    assert ran == []


def _by_message(page: Page, stand: Stand) -> None:
    """Pushed into an open page, and in a page that is loaded."""
    buy_number(page)
    wait_for_socket(page)
    for number, payload in enumerate(PAYLOADS):
        stand.send_sms(page, f"{payload} {100000 + number}")
    page.get_by_text(str(100000 + len(PAYLOADS) - 1)).first.wait_for(timeout=60_000)
    page.reload()
    page.get_by_text(str(100000 + len(PAYLOADS) - 1)).first.wait_for()
    shown = page.locator("blockquote.msg").count()
    # One protocol lists an order's newest message alone: of those that come between two looks it tells the last, as
    # long as that has a code. Of the other's none is missing (tests/numbers/test_bursts.py).
    assert shown == len(PAYLOADS) if stand.activation(page).provider_name == "fivesim" else shown


def _by_search(page: Page) -> None:
    page.goto("/numbers")
    for payload in PAYLOADS:
        with page.expect_response("**/numbers/search*"):
            page.locator("[data-search]").fill(f"{payload[:50]}{secrets.token_hex(2)}")
        page.mouse.move(300, 300)


def _by_operator(page: Page) -> None:
    chosen = select(Offer).where(Offer.service_code == "telegram", Offer.country_code == "NG", Offer.operator != "any")
    offers = list(db.session.scalars(chosen.limit(len(PAYLOADS))))
    db.session.rollback()
    was = {offer.id: offer.operator for offer in offers}
    try:
        for start in range(0, len(PAYLOADS), max(1, len(offers))):
            with transaction():
                for offer, payload in zip(offers, PAYLOADS[start:], strict=False):
                    db.session.execute(update(Offer).where(Offer.id == offer.id).values(operator=payload[:40]))
            page.goto("/numbers?service=telegram&country=NG")
            page.wait_for_load_state()
    finally:
        with transaction():
            for number, operator in was.items():
                db.session.execute(update(Offer).where(Offer.id == number).values(operator=operator))
