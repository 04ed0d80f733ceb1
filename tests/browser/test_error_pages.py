"""The error pages as people meet them: on a phone and on a desk, by day and by night, in English and in Arabic, whole
and as parts of a page."""

from collections.abc import Callable

import pytest
from flask import Flask
from playwright.sync_api import Route
from sqlalchemy.exc import TimeoutError as PoolExhausted
from werkzeug.exceptions import HTTPException, default_exceptions

from namaskah import errors
from tests.browser.stand import Stand, Visit, Watch
from tests.browser.test_every_page import look_at
from tests.support import log_in

STATUSES = (400, 403, 404, 405, 413, 429, 500, 503)


def answer(
    app: Flask, stand: Stand, status: int, language: str, *, is_member: bool, is_part: bool
) -> tuple[bytes, str]:
    """Body and policy of an error, made by the product for this reader."""
    client = log_in(app.test_client(), stand.person(language=language)) if is_member else app.test_client()
    with client.session_transaction() as session:
        session["language"] = language
    cookies = {"Cookie": f"session={cookie.value}"} if (cookie := client.get_cookie("session")) else {}
    headers = cookies | ({"HX-Request": "true"} if is_part else {})
    with app.test_request_context("/numbers", headers=headers):
        response = app.process_response(_made(status))
        return response.get_data(), response.headers["Content-Security-Policy"]


def _serving(status: int, body: bytes, policy: str) -> Callable[[Route], None]:
    headers = {"Content-Security-Policy": policy, "Content-Type": "text/html; charset=utf-8"}
    return lambda route: route.fulfill(status=status, body=body, headers=headers)


def _made(status: int) -> errors.Response:
    if status == 500:
        return errors._fault(ValueError("made for a test"))
    if status == 503:
        return errors._too_busy(PoolExhausted("made for a test"))
    error: HTTPException = default_exceptions[status]()
    return errors._http_error(error)


@pytest.mark.parametrize("is_member", [False, True], ids=["visitor", "member"])
@pytest.mark.parametrize("language", ["en", "ar"])
def test_error_pages(_app: Flask, visit: Visit, stand: Stand, watch: Watch, language: str, is_member: bool) -> None:
    watch.allow("status of")
    page = visit()
    faults = []
    for status in STATUSES:
        body, policy = answer(_app, stand, status, language, is_member=is_member, is_part=False)
        page.route("**/broken", _serving(status, body, policy))
        page.goto("/broken")
        assert page.locator("html").get_attribute("lang") == language
        assert page.locator("h1").inner_text()
        assert len(page.locator("main p").all_inner_texts()) >= 2, "what happened, and what to do"
        name = f"error-{status}-{language}-{'member' if is_member else 'visitor'}"
        faults += [f"{name}: {fault}" for fault in look_at(page, name, again=language != "en")]
        page.unroute("**/broken")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("status", STATUSES)
def test_error_parts(_app: Flask, visit: Visit, stand: Stand, watch: Watch, status: int) -> None:
    """As htmx puts them where the part of the page was to be."""
    watch.allow("status of")
    body, _policy = answer(_app, stand, status, "en", is_member=False, is_part=True)
    page = visit()
    page.goto("/numbers")
    page.route("**/numbers/offers*", lambda route: route.fulfill(status=status, body=body, content_type="text/html"))
    page.locator("[data-service]").first.click()
    shown = page.locator("[data-error]")
    shown.wait_for()
    assert len(shown.locator("p").all()) >= 2
    assert look_at(page, f"error-part-{status}") == []
