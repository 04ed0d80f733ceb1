"""The rules say what this installation does: each figure and promise in them is that of the code or the settings."""

import re
from html import unescape
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from namaskah import jobs
from namaskah.account import exports
from namaskah.auth import devices, email_changes, sessions
from namaskah.backups import retention
from namaskah.wallet import auto_topups, promo_spending


@pytest.fixture
def read(client: FlaskClient) -> Any:
    def text(path: str) -> str:
        return unescape(re.sub(r"\s+", " ", re.sub("<[^>]+>", "", client.get(path).text)))

    return text


def test_who_bears_the_fee_is_said_as_it_is_set(read: Any, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = "We bear Paystack’s fee", "Paystack’s fee, as its price list has it, comes on top"
    back = "Paystack’s fee that you paid on top"
    monkeypatch.setitem(app.config, "TOP_UP_FEE_PAYER", "house")
    assert ours in read("/terms") and theirs not in read("/terms")
    assert back not in read("/refunds")
    monkeypatch.setitem(app.config, "TOP_UP_FEE_PAYER", "customer")
    assert theirs in read("/terms") and ours not in read("/terms")
    assert back in read("/refunds")


def test_the_wallet_currency_is_named(read: Any, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.config, "WALLET_CURRENCY", "GHS")
    assert "Your wallet is in one currency, GHS." in read("/terms")


def test_a_strangers_eye_on_our_faults_is_named_only_where_there_is_one(
    read: Any, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = "Whoever collects reports of our faults"
    monkeypatch.setitem(app.config, "SENTRY_DSN", "")
    assert named not in read("/privacy")
    monkeypatch.setitem(app.config, "SENTRY_DSN", "https://key@faults.example/1")  # pragma: allowlist secret
    assert named in read("/privacy")


def test_how_long_copies_are_kept_is_said_where_we_make_them(
    read: Any, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (retention.DAILY, retention.WEEKLY) == (7, 4)
    ours = "the newest of each of the last seven days and of each of the four weeks before"
    monkeypatch.setitem(app.config, "BACKUP_STORE", "")
    assert ours not in read("/privacy") and "until they are overwritten" in read("/privacy")
    monkeypatch.setitem(app.config, "BACKUP_STORE", "/var/backups/namaskah")
    assert ours in read("/privacy")


def test_how_long_things_are_kept_is_said_as_the_settings_have_it(
    read: Any, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, kept in (("MESSAGE_RETENTION_HOURS", 36), ("UNCONFIRMED_ACCOUNT_DAYS", 31), ("GATEWAY_REPORT_DAYS", 91)):
        monkeypatch.setitem(app.config, name, kept)
    page = read("/privacy")
    assert "What a message says, with its code and sender: 36 hours after its number was closed." in page
    assert "nothing was done: 31 days, then it is erased" in page
    assert "exactly as it was signed: 91 days." in page


def test_figures_are_those_of_the_code(read: Any) -> None:
    terms, privacy = read("/terms"), read("/privacy")
    assert f"never more than {auto_topups.MOST_A_DAY} times" in terms
    assert f"for another {promo_spending.GRACE.total_seconds() / 3600:.0f} hours" in terms
    assert f"for {devices.REMEMBERED_DAYS} days" in privacy
    assert f"{exports.KEPT.days} days after it was made" in privacy
    assert f"at most {sessions.LIMITS['customer'][1].days} days" in privacy
    assert jobs.FAILED_KEPT_DAYS == 7 and "could not be delivered: a week" in privacy
    assert email_changes.HOURS == 24 and "you do not confirm: a day" in privacy


@pytest.mark.parametrize(
    ("path", "anchor"), [("/refunds", "disputes"), ("/refunds", "gifts"), ("/terms", "kept"), ("/refunds", "kept")]
)
def test_what_a_page_refers_to_is_there(client: FlaskClient, path: str, anchor: str) -> None:
    page = re.search(rf'href="([^"#]+)#{anchor}"', client.get(path).text)
    assert page, path
    assert f'id="{anchor}"' in client.get(page[1]).text
