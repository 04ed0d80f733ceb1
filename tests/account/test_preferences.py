"""What one chooses on the account page."""

from flask import Flask
from sqlalchemy import text

from namaskah import mail
from namaskah.auth.models import User
from namaskah.db import db, transaction
from tests.account.conftest import Open

CHOICES = {"language": "en", "timezone": "Africa/Lagos", "theme": "night"}


def fresh(user: User) -> User:
    db.session.rollback()
    return db.session.get_one(User, user.id, populate_existing=True)


def test_name_and_letters_are_kept(enter: Open, alice: User) -> None:
    browser = enter(alice)
    assert browser.submit("/account", name="  Ada \u202e\x00 Obi\n", **CHOICES).location == "/account"
    assert (fresh(alice).name, alice.receipt_letters, alice.sound) == ("Ada Obi", False, False)
    assert "Ada Obi" in browser.get("/account").text
    browser.submit("/account", name="", receipt_letters="y", sound="y", **CHOICES)
    assert (fresh(alice).name, alice.receipt_letters, alice.sound) == ("", True, True)


def test_a_name_of_eighty_characters_fits_and_one_more_does_not(enter: Open, alice: User) -> None:
    browser = enter(alice)
    assert browser.submit("/account", name="n" * 80, **CHOICES).status_code == 303
    answer = browser.submit("/account", name="n" * 81, **CHOICES)
    assert (answer.status_code, "Use at most 80 characters." in answer.text) == (422, True)
    assert fresh(alice).name == "n" * 80


def test_a_name_stays_text_on_the_page_and_in_the_receipt(app: Flask, enter: Open, alice: User) -> None:
    browser = enter(alice)
    browser.submit("/account", name="<b>Ada</b>", **CHOICES)
    assert "&lt;b&gt;Ada&lt;/b&gt;" in browser.get("/account").text
    with transaction():
        mail.top_up_paid(fresh(alice), 100_000, 200_000, "NK-2026-000001")
    letter = db.session.scalars(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'send_mail'")).one()
    assert "Hello &lt;b&gt;Ada&lt;/b&gt;," in letter["html"]
    assert "Hello <b>Ada</b>," in letter["text"]


def test_the_page_leads_to_everything_about_the_account(enter: Open, alice: User) -> None:
    page = enter(alice).get("/account").text
    for path in ("billing", "security", "sessions", "export", "delete"):
        assert f'href="/account/{path}"' in page
