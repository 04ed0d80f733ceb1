"""Where the customer bears Paystack's fee the sum is seen before paying: with a script at once, without on the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.stand import PHONE, Stand, Watch, open_context
from tests.support import Installation, installation

SUM = "You pay ₦5,177.67, of which ₦177.67 is Paystack’s fee; ₦5,000 goes to your wallet."


@pytest.fixture
def site(stand: Stand, tmp_path: Path) -> Iterator[Installation]:
    """The same installation, served with another setting."""
    environment = stand.site.environment | {"TOP_UP_FEE_PAYER": "customer"}
    with installation(environment, tmp_path) as made:
        made.start_web()
        yield made


def test_the_sum_is_seen_before_paying(browser: Browser, stand: Stand, site: Installation) -> None:
    watch = Watch((site.url, stand.control.sandbox.url))
    buyer = stand.person(money=0)
    with open_context(browser, stand, watch, buyer, base_url=site.url) as context:
        page = context.new_page()
        page.goto("/wallet")
        expect(page.get_by_text("You pay ₦2,030.46, of which ₦30.46 is")).to_be_visible()
        page.get_by_role("radio", name="₦5,000").check()
        expect(page.get_by_text(SUM)).to_be_visible()
        page.get_by_label("Or another amount").fill("5000.")
        expect(page.get_by_text("comes on top of the amount you choose")).to_be_visible()
        page.get_by_label("Or another amount").fill("5,000")
        expect(page.get_by_text(SUM)).to_be_visible()
        page.get_by_role("button", name="Go to payment").click()
        page.get_by_role("button", name="Pay NGN 5,177.67").click()
        expect(page.get_by_text("₦5,000 is in your wallet.")).to_be_visible()
    with open_context(browser, stand, watch, buyer, base_url=site.url, java_script_enabled=False, **PHONE) as context:
        page = context.new_page()
        page.goto("/wallet")
        page.get_by_label("Or another amount").fill("5,000")
        page.get_by_role("button", name="Go to payment").click()
        expect(page.get_by_text(SUM)).to_be_visible()
        page.get_by_role("link", name="Go on with the payment").click()
        page.get_by_role("button", name="Pay NGN 5,177.67").click()
        expect(page.get_by_text("₦5,000 is in your wallet.")).to_be_visible()
    assert watch.unexpected() == []
    assert stand.available_minor(buyer) == 1_000_000
