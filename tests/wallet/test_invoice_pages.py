"""Receipts and credit notes as their owner sees them: list, page, PDF, and where they are linked from."""

import re
from io import BytesIO

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import invoices, topups
from namaskah.wallet.models import Invoice
from tests.support import log_in, make_receipt, make_user


@pytest.fixture
def broken_on_purpose() -> set[str]:
    """Notes are issued here for money that has not moved."""
    return {"R4"}


@pytest.fixture
def browser(client: FlaskClient, payer: User) -> FlaskClient:
    return log_in(client, payer)


@pytest.fixture
def receipt(app: Flask, payer: User, monkeypatch: pytest.MonkeyPatch) -> Invoice:
    """With tax, and all there can be of seller and buyer."""
    settings = {
        "SELLER_NAME": "Acme (Nigeria) Ltd",
        "SELLER_ADDRESS": "2 Broad Street\nLagos",
        "SELLER_TAX_ID": "TIN 98",
    }
    for name, value in (settings | {"TAX_RATE": 750}).items():
        monkeypatch.setitem(app.config, name, value)
    invoices.set_buyer_details(
        payer, name="<b>Ada</b>", company="شركة النور", address="1 Marina\nLagos", tax_id="12-34"
    )
    return make_receipt(payer)


def credited(receipt: Invoice) -> Invoice:
    with transaction():
        return invoices.credit_note(receipt.top_up, "refund:1", 100_000)


def path(document: Invoice) -> str:
    return f"/wallet/invoices/{document.full_number}"


def file_of(browser: FlaskClient, document: Invoice) -> str:
    """The text of its PDF."""
    answer = browser.get(f"{path(document)}.pdf")
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{document.full_number}.pdf"'
    return PdfReader(BytesIO(answer.data)).pages[0].extract_text().replace("\u2060", "")


def speak(user: User, language: str) -> None:
    with transaction():
        user.language = language


def test_the_page_says_all_of_it(browser: FlaskClient, receipt: Invoice) -> None:
    page = browser.get(path(receipt)).text
    said = ("Acme (Nigeria) Ltd", "2 Broad Street", "TIN 98", "help@namaskah.test", "شركة النور", "1 Marina")
    assert [text for text in said if text not in page] == []
    assert "&lt;b&gt;Ada&lt;/b&gt;" in page and "<b>Ada</b>" not in page
    assert "Tax number 12-34" in page and f"Customer {receipt.user_id}" in page
    assert [amount in page for amount in ("₦2,500.00", "₦174.42", "₦2,325.58")] == [True] * 3
    assert "VAT 7.5%" in page and receipt.top_up.reference in page
    assert f'href="{path(receipt)}.pdf"' in page


def test_without_tax_there_is_no_word_of_it(browser: FlaskClient, payer: User) -> None:
    receipt = make_receipt(payer)
    for text in (browser.get(path(receipt)).text, file_of(browser, receipt)):
        assert "VAT" not in text and "Without tax" not in text
        assert "₦2,500.00" in text


def test_the_file_says_the_same_and_is_the_same_twice(browser: FlaskClient, receipt: Invoice) -> None:
    text = file_of(browser, receipt)
    said = ("Receipt", receipt.full_number, "Acme (Nigeria) Ltd", "TIN 98", "<b>Ada</b>", "12-34", "النور")
    assert [part for part in said if part not in text] == []
    assert [amount in text for amount in ("₦2,500.00", "₦174.42", "₦2,325.58")] == [True] * 3
    first, second = (browser.get(f"{path(receipt)}.pdf").data for _ in range(2))
    assert first == second


def test_a_credit_note_names_its_receipt(browser: FlaskClient, receipt: Invoice) -> None:
    note = credited(receipt)
    for text in (browser.get(path(note)).text, file_of(browser, note)):
        assert "Credit note" in text and receipt.full_number in text and note.full_number in text
        assert [amount in text for amount in ("₦1,000.00", "₦69.77", "₦930.23")] == [True] * 3


def test_a_debit_note_names_its_receipt(browser: FlaskClient, receipt: Invoice) -> None:
    credited(receipt)
    with transaction():
        note = invoices.debit_note(receipt.top_up, "refund:1:returned", 100_000)
    for text in (browser.get(path(note)).text, file_of(browser, note)):
        assert "Debit note" in text and receipt.full_number in text and note.full_number in text
        assert [amount in text for amount in ("₦1,000.00", "₦69.77", "₦930.23")] == [True] * 3
    page = browser.get(f"{topups.PAGE_PATH}{receipt.top_up.reference}").text
    assert [name in page for name in ("Receipt", "Credit note", "Debit note")] == [True] * 3


def test_the_file_stays_in_its_language_and_the_page_follows_the_reader(
    browser: FlaskClient, payer: User, receipt: Invoice
) -> None:
    speak(payer, "ar")
    arabic = make_receipt(payer)
    page = browser.get(path(receipt)).text
    assert '<html lang="ar" dir="rtl"' in page and "إيصال" in page
    assert "Receipt" in file_of(browser, receipt)
    assert "إيصال" in file_of(browser, arabic) and "Receipt" not in file_of(browser, arabic)
    speak(payer, "en")
    assert "إيصال" in file_of(browser, arabic)
    assert "Receipt" in browser.get(path(arabic)).text


def test_a_language_that_is_no_longer_on_offer_reads_in_english(browser: FlaskClient, payer: User) -> None:
    speak(payer, "xx")
    assert "Receipt" in file_of(browser, make_receipt(payer))


def test_the_list_is_paged_and_holds_nobody_elses(browser: FlaskClient, payer: User) -> None:
    assert "No receipts yet" in browser.get("/wallet/invoices").text
    make_receipt(make_user("somebody@example.com"))
    mine = [make_receipt(payer).full_number for _ in range(27)]
    first = browser.get("/wallet/invoices").text
    assert re.findall(r'href="/wallet/invoices/([^".]+)"', first) == mine[:1:-1]
    older = re.search(r'href="(/wallet/invoices\?before=\d+)"', first)
    assert older is not None
    assert re.findall(r'href="/wallet/invoices/([^".]+)"', browser.get(older[1]).text) == mine[1::-1]
    assert browser.get("/wallet/invoices?before=x").status_code == 404


@pytest.mark.parametrize(
    "number",
    ["NK-2026-1", "NK-2026-0000001", "NK-0000-000001", "nk-2026-000001", "NK-2026-9999999", "x", "NK-٢٠٢٦-000001"],
)
def test_a_number_that_cannot_be_is_not_there(browser: FlaskClient, receipt: Invoice, number: str) -> None:
    assert browser.get(f"/wallet/invoices/{number}").status_code == 404
    assert browser.get(f"/wallet/invoices/{number}.pdf").status_code == 404


def test_another_customer_is_told_of_no_such_document(app: Flask, receipt: Invoice) -> None:
    other = log_in(app.test_client(), make_user("other@example.com"))
    assert other.get(path(receipt)).status_code == 404
    assert other.get(f"{path(receipt)}.pdf").status_code == 404


def test_the_top_up_and_its_line_in_the_statement_lead_to_the_receipt(browser: FlaskClient, receipt: Invoice) -> None:
    note = credited(receipt)
    db.session.rollback()
    top_up = browser.get(f"/wallet/top-ups/{receipt.top_up.reference}").text
    assert f'href="{path(receipt)}"' in top_up and f'href="{path(note)}"' in top_up
    statement = browser.get("/wallet/statement").text
    assert f'href="{path(receipt)}"' in statement and f'href="{path(note)}"' not in statement


def test_files_have_a_limit(browser: FlaskClient, receipt: Invoice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("namaskah.wallet.invoice_views.printed", lambda paper: b"%PDF")
    statuses = [browser.get(f"{path(receipt)}.pdf").status_code for _ in range(61)]
    assert statuses == [200] * 60 + [429]
