"""The second factor in a real browser: an app's codes, and passkeys of Chromium's own virtual authenticator."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Page, expect
from pyotp import TOTP
from sqlalchemy import update

from dev.process import free_port
from namaskah.auth.models import Session, User
from namaskah.auth.second_factor import factors
from namaskah.db import db, transaction
from tests.browser.stand import Stand, Visit, Watch
from tests.browser.test_every_page import look_at
from tests.support import Installation, installation

PASSWORD = "purple tuba river"
HUB = "/account/second-factor"
WALLET = re.compile(r"//[^/]+/wallet$")  # not another page that leads there


@pytest.fixture(scope="module")
def site(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The product under a name: passkeys are for names, not for numbers."""
    with installation(settings, Path(tmp_path_factory.mktemp("localhost"))) as made:
        made.host = "localhost"
        made.start_web(free_port())
        yield made


@pytest.fixture
def user(stand: Stand) -> User:
    return stand.person(password=PASSWORD)


@pytest.fixture
def visit_name(visit: Visit, watch: Watch, site: Installation) -> Visit:
    """Opens browsers at the named site."""
    watch.origins += (site.url,)
    return lambda *arguments, **options: visit(*arguments, base_url=site.url, **options)


def authenticator(page: Page, *, verified: bool = True) -> CDPSession:
    """A phone's lock inside the browser; `verified` is whether it knows its owner."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options: dict[str, Any] = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": verified,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session


def give_password(page: Page, user: User) -> None:
    page.goto("/login?next=/wallet")
    page.get_by_label("E-mail").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.wait_for_url(lambda url: "/login?" not in url)


def log_out(page: Page) -> None:
    page.goto("/account")
    page.locator("main").get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in").first).to_be_visible()


def wait_for_next_code(seed: str, page: Page) -> str:
    """The code after the one of now; it is taken already, for clocks that are ahead."""
    while time.time() % 30 > 25:
        page.wait_for_timeout(500)
    return TOTP(seed).generate_otp(int(time.time()) // 30 + 1)


def set_up_app(page: Page) -> str:
    page.goto(f"{HUB}/totp")
    picture = page.get_by_alt_text("QR code")
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 100
    seed = page.locator("code").inner_text().replace(" ", "")
    page.get_by_label("Code").fill(TOTP(seed).now())
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    return seed


def add_passkey(page: Page, name: str) -> None:
    page.goto(f"{HUB}/passkeys/new")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Make the passkey").click()
    page.wait_for_url(re.compile(r"/(recovery-codes|second-factor)$"))


def test_from_setting_up_an_app_to_logging_in_with_it_and_with_a_recovery_code(
    visit: Visit, user: User, watch: Watch, device: str
) -> None:
    watch.allow("status of 422")
    page = visit(user, device)
    seed = set_up_app(page)
    page.get_by_role("button", name="Show my codes").click()
    expect(page.locator("ol code")).to_have_count(10)
    codes = page.locator("ol code").all_inner_texts()
    faults = look_at(page, "recovery-codes-shown")
    with page.expect_download() as download:
        page.get_by_role("button", name="Keep as a file").click()
    assert all(code in Path(download.value.path()).read_text() for code in codes)
    page.get_by_role("link", name="I have them").click()
    expect(page.get_by_text("10 of 10 left")).to_be_visible()
    log_out(page)
    give_password(page, user)
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    faults += look_at(page, "second-step")
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert").first).to_contain_text("not right")
    faults += look_at(page, "second-step-wrong")
    page.get_by_label("Code").fill(wait_for_next_code(seed, page))
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url(WALLET)
    log_out(page)
    give_password(page, user)
    page.get_by_role("link", name="Use a recovery code").click()
    page.get_by_label("Code").fill(codes[0])
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("9 recovery codes are left.")).to_be_visible()
    assert faults == []


def test_a_passkey_is_added_is_the_second_factor_and_logs_in_alone(
    visit_name: Visit, user: User, watch: Watch, device: str
) -> None:
    page = visit_name(device=device)
    authenticator(page)
    give_password(page, user)
    page.wait_for_url(WALLET)
    add_passkey(page, "Blue phone")
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.goto(HUB)
    expect(page.get_by_text("Blue phone")).to_be_visible()
    expect(page.get_by_text("Your password alone opens nothing")).to_be_visible()
    log_out(page)
    give_password(page, user)
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(WALLET)
    log_out(page)
    page.goto("/login?next=/wallet/statement")
    page.get_by_role("button", name="Log in with a passkey").click()
    page.wait_for_url(re.compile(r"//[^/]+/wallet/statement$"))
    page.goto("/confirm?next=/wallet")
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(WALLET)
    page.goto(HUB)
    page.get_by_role("link", name="Remove Blue phone").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("Off.")).to_be_visible()
    db.session.rollback()
    assert not factors.are_set_up(user)


def test_one_device_makes_one_passkey_for_an_account(visit_name: Visit, user: User) -> None:
    page = visit_name()
    authenticator(page)
    give_password(page, user)
    add_passkey(page, "One")
    page.goto(f"{HUB}/passkeys/new")
    page.get_by_role("button", name="Make the passkey").click()
    expect(page.get_by_role("alert")).to_have_text("This device has a passkey for your account already.")
    expect(page.get_by_role("button", name="Make the passkey")).to_be_enabled()


def test_a_device_that_does_not_know_its_owner_makes_none_and_the_page_says_what_to_do(
    visit_name: Visit, user: User
) -> None:
    page = visit_name()
    authenticator(page, verified=False)
    give_password(page, user)
    page.goto(f"{HUB}/passkeys/new")
    page.get_by_role("button", name="Make the passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("No passkey came")
    assert look_at(page, "passkey-cancelled") == []
    assert not factors.are_set_up(user)


def test_a_passkey_nobody_knows_any_more_is_refused_in_words(visit_name: Visit, user: User, watch: Watch) -> None:
    watch.allow("status of 422")
    page = visit_name()
    authenticator(page)
    give_password(page, user)
    add_passkey(page, "Lost")
    factors.reset(user, "operator:test", "a test")
    page.goto("/login")
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("does not belong to an account here")


def test_a_proof_that_is_too_old_is_asked_for_again_on_the_way(visit_name: Visit, user: User) -> None:
    page = visit_name()
    authenticator(page)
    give_password(page, user)
    page.goto(f"{HUB}/passkeys/new")
    forget_proof(user)
    page.get_by_role("button", name="Make the passkey").click()
    page.wait_for_url(f"**/confirm?next={HUB}/passkeys/new")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Make the passkey").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()


def forget_proof(user: User) -> None:
    """The person proved who they are six minutes ago."""
    with transaction():
        earlier = Session.confirmed_at - timedelta(minutes=6)
        db.session.execute(update(Session).where(Session.user_id == user.id).values(confirmed_at=earlier))


def test_without_javascript_the_pages_say_so_and_offer_the_other_ways(visit: Visit, user: User, device: str) -> None:
    page = visit(user, device, java_script_enabled=False)
    page.goto(f"{HUB}/passkeys/new")
    expect(page.locator("noscript p", has_text="Passkeys need JavaScript")).to_be_visible()
    expect(page.get_by_role("button", name="Make the passkey")).to_be_hidden()
    page.get_by_role("link", name="Set up an authenticator app").click()
    seed = page.locator("code").inner_text().replace(" ", "")
    page.get_by_label("Code").fill(TOTP(seed).now())
    page.get_by_role("button", name="Confirm").click()
    page.get_by_role("button", name="Show my codes").click()
    expect(page.locator("ol code")).to_have_count(10)
    log_out(page)
    page.goto("/login")
    expect(page.locator("noscript p", has_text="Passkeys need JavaScript")).to_be_visible()
    give_password(page, user)
    page.get_by_label("Code").fill(wait_for_next_code(seed, page))
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url(WALLET)
