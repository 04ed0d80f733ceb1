"""What a customer wants to stand on receipts."""

import pytest

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.wallet import invoices
from tests.account.conftest import Open

DETAILS = {"company": "Obi & Sons", "name": "Ada Obi", "address": "1 Marina\nLagos", "tax_id": "TIN 12-34"}


def kept(user: User) -> dict[str, str]:
    db.session.expire_all()
    db.session.rollback()
    found = invoices.buyer_details(user.id)
    return {"company": found.company, "name": user.name, "address": found.address, "tax_id": found.tax_id}


def test_details_are_kept_and_can_be_changed_and_emptied(enter: Open, alice: User) -> None:
    browser = enter(alice)
    assert browser.submit("/account/billing", **DETAILS).location == "/account/billing"
    assert kept(alice) == DETAILS
    page = browser.get("/account/billing").text
    assert "Obi &amp; Sons" in page and "1 Marina\nLagos</textarea>" in page
    assert browser.submit("/account/billing", **dict.fromkeys(DETAILS, "")).status_code == 303
    assert kept(alice) == dict.fromkeys(DETAILS, "")


def test_what_cannot_be_seen_is_taken_out_and_lines_stay(enter: Open, alice: User) -> None:
    enter(alice).submit(
        "/account/billing", company="\u202eObi\x00", address=" 1 Marina \r\n\r\n\tLagos ", name="र्\u200dय"
    )
    assert kept(alice) == {"company": "Obi", "name": "र्\u200dय", "address": "1 Marina\nLagos", "tax_id": ""}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"company": "c" * 121}, "Use at most 120 characters."),
        ({"name": "n" * 81}, "Use at most 80 characters."),
        ({"address": "a" * 301}, "Use at most 300 characters."),
        ({"address": "\n".join("1234567")}, "Use at most 6 lines."),
        ({"tax_id": "t" * 41}, "Use at most 40 characters."),
        ({"company": "王 & Co"}, "Receipts cannot show 王."),
    ],
)
def test_what_does_not_fit_a_receipt_changes_nothing(
    enter: Open, alice: User, wrong: dict[str, str], said: str
) -> None:
    browser = enter(alice)
    browser.submit("/account/billing", **DETAILS)
    answer = browser.submit("/account/billing", **(DETAILS | wrong))
    assert (answer.status_code, said in answer.text) == (422, True)
    assert kept(alice) == DETAILS
