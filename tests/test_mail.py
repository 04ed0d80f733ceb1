"""Letters: made in the reader's language, left in the job queue with what caused them, and really sent."""

from email import message_from_string

import pytest
from flask import Flask
from sqlalchemy import text

from namaskah import extensions, mail
from namaskah.auth.models import User
from namaskah.db import db, transaction
from tests.support import Control


def waiting(to: str) -> list[dict[str, str]]:
    jobs = text("SELECT args FROM procrastinate_jobs WHERE task_name = 'send_mail' AND args->>'to' = :to ORDER BY id")
    return [dict(args) for args in db.session.scalars(jobs, {"to": to})]


def test_a_letter_waits_exactly_if_its_cause_was_committed(app: Flask, alice: User) -> None:
    with pytest.raises(ZeroDivisionError), transaction():
        mail.already_registered(alice)
        raise ZeroDivisionError
    assert waiting(alice.email) == []
    with transaction():
        mail.already_registered(alice)
    assert len(waiting(alice.email)) == 1


def test_a_letter_outside_a_transaction_is_refused(app: Flask, alice: User) -> None:
    with pytest.raises(RuntimeError):
        mail.already_registered(alice)


def test_a_paid_top_up_says_both_amounts(app: Flask, alice: User) -> None:
    with transaction():
        mail.top_up_paid(alice, 200_000, 1_200_050, "NK-2026-000001")
    [letter] = waiting(alice.email)
    assert "₦2,000" in letter["subject"]
    for part in (letter["text"], letter["html"]):
        assert "₦2,000" in part
        assert "₦12,000.50" in part
    assert "<b>₦2,000</b>" in letter["html"]
    assert "<" not in letter["text"]


def test_each_letter_is_in_its_readers_language_whoever_caused_it(app: Flask, alice: User, bob: User) -> None:
    with transaction():
        alice.language = "ar"
    with app.test_request_context(headers={"Accept-Language": "en"}), transaction():
        mail.verify_email(alice, "http://localhost/verify-email/x", 24)
        mail.verify_email(bob, "http://localhost/verify-email/x", 24)
    assert 'lang="ar" dir="rtl"' in waiting(alice.email)[0]["html"]
    assert 'lang="en" dir="ltr"' in waiting(bob.email)[0]["html"]


def test_links_come_from_the_setting_not_from_the_request(app: Flask, alice: User) -> None:
    with app.test_request_context(base_url="http://evil.example"), transaction():
        mail.already_registered(alice)
    [letter] = waiting(alice.email)
    assert "evil.example" not in letter["text"] + letter["html"]
    assert f"{app.config['BASE_URL']}/login" in letter["text"]


def test_a_letter_arrives_with_both_bodies_and_the_headers_of_a_program(
    app: Flask, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.extensions["mail"], "suppress", False)
    with extensions.mail.record_messages() as outbox:
        mail.send("ada@example.com", "₦2,000 is in your wallet", "Plain ₦2,000", "<p>Rich ₦2,000</p>")
    [arrived] = control.mails("ada@example.com")
    assert arrived["from"] == app.config["MAIL_FROM"]
    assert arrived["subject"] == "₦2,000 is in your wallet"
    assert (arrived["text"].strip(), arrived["html"].strip()) == ("Plain ₦2,000", "<p>Rich ₦2,000</p>")
    sent = message_from_string(outbox[0].as_string())
    assert sent["Auto-Submitted"] == "auto-generated"
    assert sent["Message-ID"].endswith("@localhost>")


def test_a_mail_server_that_is_away_is_an_error(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.extensions["mail"], "suppress", False)
    monkeypatch.setattr(app.extensions["mail"], "port", 1)
    with pytest.raises(OSError):
        mail.send("ada@example.com", "x", "y", "z")
