"""Taking everything along, and leaving for good."""

import io
import re
import secrets
import time
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from namaskah.auth.models import User
from namaskah.db import db
from tests.browser.stand import Stand, Visit, Watch, buy_number
from tests.browser.test_every_page import look_at
from tests.support import wait_until


def take_the_file(page: Page, folder: Path) -> list[str]:
    with page.expect_download() as loading:
        page.get_by_role("link", name=re.compile("^Download it")).click()
    path = folder / "export.zip"
    loading.value.save_as(path)
    assert re.fullmatch(r"namaskah-\d{4}-\d\d-\d\d\.zip", loading.value.suggested_filename)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as packed:
        return packed.namelist()


def leave(page: Page, email: str) -> None:
    page.goto("/account")
    page.get_by_role("link", name="Delete the account").click()
    page.get_by_label("Your e-mail address").fill(email)
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_role("alert")).to_contain_text("say that you agree")
    page.get_by_role("checkbox", name="I give up the ₦10,000 in my wallet.").check()
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_text("Your account is deleted.")).to_be_visible()
    expect(page.get_by_role("link", name="Log in").first).to_be_visible()


# Each device and each way once: the pages are the same, and what differs between devices every page is looked at for.
@pytest.mark.parametrize(("device", "script"), [("desktop", True), ("phone", False)])
def test_a_customer_takes_everything_and_leaves(
    visit: Visit, stand: Stand, watch: Watch, device: str, script: bool, tmp_path: Path
) -> None:
    watch.allow("status of 422", "status of 401", "WebSocket")
    owner = stand.person(secrets.token_urlsafe(12))
    email, number = owner.email, owner.id
    page, elsewhere = visit(owner, device, java_script_enabled=script), visit(owner, device)
    page.goto("/account")
    page.get_by_role("link", name="Download what we hold of you").click()
    page.get_by_role("button", name="Make the file").click()
    expect(page.get_by_text("Your file is ready.")).to_be_visible(timeout=20_000)
    assert "account.json" in take_the_file(page, tmp_path)
    elsewhere.goto("/account/security")
    leave(page, email)
    elsewhere.wait_for_url("**/login?next=*", timeout=5_000)
    db.session.rollback()
    assert db.session.get_one(User, number, populate_existing=True).email == f"deleted-{number}@deleted.invalid"
    wait_until(lambda: [mail for mail in stand.control.mails(email) if "deleted" in mail["subject"]], 15, "the letter")


def test_a_late_answer_does_not_cover_what_was_pushed(visit: Visit, stand: Stand) -> None:
    page = visit(stand.person())

    def answer_late(route: Route) -> None:
        if "hx-request" not in route.request.headers:
            return route.continue_()
        answer = route.fetch()
        if "is being made" in answer.text():
            time.sleep(4)  # meanwhile the file gets ready, and the page is told by its socket
        return route.fulfill(response=answer)

    page.route("**/account/export", answer_late)
    page.goto("/account/export")
    page.get_by_role("button", name="Make the file").click()
    page.wait_for_timeout(9_000)
    assert page.locator("#export").get_attribute("data-state") == "ready"


def test_the_pages_of_leaving_with_everything_in_the_way(visit: Visit, stand: Stand, watch: Watch) -> None:
    owner = stand.person()
    page = visit(owner)
    buy_number(page)
    page.goto("/account/delete")
    expect(page.get_by_role("alert")).to_contain_text("A number is still waiting")
    assert look_at(page, "delete-waiting") == []
    page.goto("/account/export")
    page.get_by_role("button", name="Make the file").click()
    expect(page.get_by_text("Your file is ready.")).to_be_visible(timeout=20_000)
    assert look_at(page, "export-ready") == []


def test_the_page_of_leaving_with_money(visit: Visit, stand: Stand, watch: Watch) -> None:
    watch.allow("status of 422")
    page = visit(stand.person())
    page.goto("/account/delete")
    assert look_at(page, "delete-money") == []
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    assert look_at(page, "delete-errors") == []


def test_new_rules_are_read_and_accepted(visit: Visit, stand: Stand) -> None:
    page = visit(stand.person(policy_version="2026-11-01"))
    page.goto("/numbers?service=telegram")
    page.locator(".is-open button", has_text="Buy for").click()
    expect(page.get_by_role("heading", name="The rules have changed")).to_be_visible()
    assert look_at(page, "accept-policies") == []
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("do it now")).to_be_visible()
    buy_number(page)
