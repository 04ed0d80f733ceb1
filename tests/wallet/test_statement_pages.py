"""The statement as its owner uses it over HTTP: periods, words, files; and that nobody else's lines are in any."""

import csv
import io
import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO

import pytest
from flask import Flask
from flask.testing import FlaskClient
from pypdf import PdfReader
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import activations, catalogue
from namaskah.wallet import ledger, statement, statement_files, statement_words
from tests.support import log_in, make_receipt

Funded = Callable[[int], User]
NOTES = ("=HYPERLINK(1)", "+1", "-1", "@SUM", "\ttab", 'quote" and, comma')


def move(user: User, amount: int, note: str, at: str | None = None) -> None:
    """A correction, dated as told: behind the ledger's back, which dates everything now."""
    with transaction():
        number = db.session.scalar(text("SELECT count(*) FROM ledger_transactions"))
        assert ledger.adjust(user.id, f"test:{user.id}:{number}", amount, "admin", note)
    if at:
        with transaction():
            db.session.execute(text("SET LOCAL session_replication_role = replica"))
            db.session.execute(
                text("UPDATE ledger_transactions SET created_at = :at WHERE reference = :reference"),
                {"at": datetime.fromisoformat(at), "reference": f"test:{user.id}:{number}"},
            )


def live_in(user: User, zone: str, language: str = "en") -> None:
    with transaction():
        user.timezone, user.language = zone, language


def shown(browser: FlaskClient, **asked: str) -> list[str]:
    """The notes of the corrections on the page, newest first."""
    answer = browser.get("/wallet/statement", query_string=asked)
    assert answer.status_code == 200, answer.text
    return re.findall(r"Correction: ([^<]+)</td>", answer.text)


def rows_of(browser: FlaskClient, **asked: str) -> list[list[str]]:
    answer = browser.get("/wallet/statement.csv", query_string=asked)
    assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
    assert answer.data.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"), newline="")))


def pdf_of(browser: FlaskClient, **asked: str) -> str:
    answer = browser.get("/wallet/statement.pdf", query_string=asked)
    assert (answer.status_code, answer.mimetype) == (200, "application/pdf")
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(answer.data)).pages).replace("\u2060", "")


@pytest.fixture
def browser(client: FlaskClient, payer: User) -> FlaskClient:
    return log_in(client, payer)


@pytest.mark.parametrize(
    ("zone", "day", "first", "last"),
    [
        ("Africa/Lagos", "2026-03-29", "2026-03-28T23:00:00+00:00", "2026-03-29T22:59:59+00:00"),
        # 23 hours, then 25.
        ("Europe/London", "2026-03-29", "2026-03-29T00:00:00+00:00", "2026-03-29T22:59:59+00:00"),
        ("Europe/London", "2026-10-25", "2026-10-24T23:00:00+00:00", "2026-10-25T23:59:59+00:00"),
        # Midnight is skipped: the day begins at one.
        ("Africa/Cairo", "2024-04-26", "2024-04-25T22:00:00+00:00", "2024-04-26T20:59:59+00:00"),
    ],
)
def test_a_day_is_the_readers_day(
    browser: FlaskClient, payer: User, zone: str, day: str, first: str, last: str
) -> None:
    live_in(payer, zone)
    edges = [datetime.fromisoformat(edge).timestamp() for edge in (first, last)]
    for note, second in (("before", edges[0] - 1), ("first", edges[0]), ("last", edges[1]), ("after", edges[1] + 1)):
        move(payer, 100, note, datetime.fromtimestamp(second, UTC).isoformat())
    assert shown(browser, since=day, until=day) == ["last", "first"]
    assert shown(browser, since=day) == ["after", "last", "first"]
    assert shown(browser, until=day) == ["last", "first", "before"]


def test_a_line_dated_out_of_its_turn_is_on_one_side_of_a_day(browser: FlaskClient, payer: User) -> None:
    live_in(payer, "UTC")
    for note, at in (("a", "2026-05-01T23:59:58"), ("b", "2026-05-02T00:00:00"), ("c", "2026-05-01T23:59:59")):
        move(payer, 100, note, f"{at}+00:00")
    assert shown(browser, until="2026-05-01") == ["a"] and shown(browser, since="2026-05-02") == ["c", "b"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"since": "2026-02-30"}, "Write a day like 2026-11-25."),
        ({"until": "tomorrow"}, "Write a day like 2026-11-25."),
        ({"until": "9999-12-31"}, "Write a day like 2026-11-25."),
        ({"since": "2026-02-02", "until": "2026-02-01"}, "This day is before the first one."),
        ({"words": "a" * 81}, "Search for something shorter."),
    ],
)
def test_a_filter_that_cannot_be_says_so(browser: FlaskClient, payer: User, asked: dict[str, str], said: str) -> None:
    move(payer, 100, "here")
    answer = browser.get("/wallet/statement", query_string=asked)
    assert answer.status_code == 422 and said in answer.text and "Correction" not in answer.text
    answer = browser.get("/wallet/statement.csv", query_string=asked)
    assert answer.status_code == 303 and answer.headers["Location"].startswith("/wallet/statement?")


def test_words_find_what_stands_in_a_line(browser: FlaskClient, payer: User) -> None:
    receipt = make_receipt(payer)
    move(payer, 1_234_50, "for the Complaint of May")
    move(payer, -700, "100% wrong")
    assert shown(browser, words="complaint MAY") == ["for the Complaint of May"]
    assert shown(browser, words="0% wr") == ["100% wrong"]
    assert shown(browser, words="1,234.50") == shown(browser, words="₦1234.50") == ["for the Complaint of May"]
    assert shown(browser, words="-7") == ["100% wrong"]
    for words in (receipt.top_up.reference, receipt.full_number.lower()):
        page = browser.get("/wallet/statement", query_string={"words": words}).text
        assert f"/wallet/top-ups/{receipt.top_up.reference}" in page and "Correction" not in page
    page = browser.get("/wallet/statement?words=nowhere").text
    assert "Nothing matches" in page and "<table" not in page


def test_a_bought_number_is_found_by_service_and_country_and_links_to_it(client: FlaskClient, alice: User) -> None:
    offer = catalogue.offers("telegram", "price")[0]
    bought = activations.buy(alice, "telegram", offer.country, "any", offer.price_minor, "k" * 20)
    browser = log_in(client, alice)
    page = browser.get("/wallet/statement?words=telegram").text
    assert f'href="/activations/{bought.id}"' in page and "Correction" not in page
    assert f'href="/activations/{bought.id}"' not in browser.get("/wallet/statement?words=whatsapp").text


def test_a_search_ends_after_some_lines_and_goes_on_from_there(
    browser: FlaskClient, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement, "STEP", 2)
    monkeypatch.setattr(statement, "MOST_LOOKED_AT", 4)
    for number in range(10):
        move(payer, 100, f"needle {number}" if number in (0, 9) else "hay")
    page = browser.get("/wallet/statement?words=needle").text
    assert "needle 9" in page and "There may be more" in page
    older = re.search(r'rel="next" href="([^"]+)"', page)
    assert older is not None and "words=needle" in older[1]
    page = browser.get(older[1].replace("&amp;", "&")).text
    assert "needle" not in re.sub(r'(value|href|action)="[^"]*"', "", page) and "There may be more" in page
    found = statement.statement(payer.id, words="needle", before=3)
    assert [row.text for row in found.rows] == ["Correction: needle 0"] and not found.is_cut
    back = statement.statement(payer.id, words="needle", after=1)
    assert (back.rows, back.is_cut, back.next_after, back.next_before) == ([], True, 5, 2)
    assert [row.place for row in statement.statement(payer.id, words="needle", after=6).rows] == [10]


def test_a_filter_ends_after_some_lines_too(payer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "STEP", 2)
    monkeypatch.setattr(statement, "MOST_LOOKED_AT", 4)
    for number in range(10):
        move(payer, 100, f"number {number}")
    none = statement.statement(payer.id, "bought")
    assert (none.rows, none.is_cut, none.next_before) == ([], True, 7)
    some = statement.statement(payer.id, "in", limit=2)
    assert ([row.place for row in some.rows], some.next_before, some.is_cut) == ([10, 9], 9, False)
    back = statement.statement(payer.id, "in", after=3, limit=2)
    assert ([row.place for row in back.rows], back.next_after) == ([5, 4], 5)


def test_the_file_has_every_line_between_two_balances(browser: FlaskClient, payer: User) -> None:
    live_in(payer, "Africa/Lagos")
    move(payer, 5_000, "long ago", "2026-01-01T12:00:00+00:00")
    move(payer, 250_050, "came", "2026-02-01T12:00:00+00:00")
    move(payer, -50, "went", "2026-02-28T22:59:59+00:00")
    move(payer, 7, "later", "2026-02-28T23:00:00+00:00")
    rows = rows_of(browser, since="2026-02-01", until="2026-02-28", words="came", show="in")
    assert rows[0] == list(statement_files.COLUMNS)
    assert rows[1:] == [
        ["", "opening", "Balance before", "", "50.00", "NGN", "", "", ""],
        ["2026-02-01T13:00:00+01:00", "adjustment", "Correction: came", "2500.50", "2550.50", "NGN", "", "", ""],
        ["2026-02-28T23:59:59+01:00", "adjustment", "Correction: went", "-0.50", "2550.00", "NGN", "", "", ""],
        ["", "closing", "Balance after", "", "2550.00", "NGN", "", "", ""],
    ]
    empty = rows_of(browser, since="2026-03-02")
    assert [row[4] for row in empty[1:]] == ["2550.07", "2550.07"]
    name = browser.get("/wallet/statement.csv?since=2026-02-01&until=2026-02-28").headers["Content-Disposition"]
    assert name == 'attachment; filename="statement-2026-02-01-2026-02-28.csv"'


def test_the_file_comes_in_pieces_that_add_up(
    browser: FlaskClient, payer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statement, "STEP", 3)
    for number in range(8):
        move(payer, 100 + number, "x")
    lines = rows_of(browser)[2:-1]
    assert len(lines) == 8
    balance = Decimal(0)
    for line in lines:
        balance += Decimal(line[3])
        assert Decimal(line[4]) == balance
    assert balance == Decimal(ledger.balance(payer.id).available_minor) / 100


def test_no_text_becomes_a_formula(browser: FlaskClient, payer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a line says begins with words of ours; a describer's or an importer's text need not."""
    monkeypatch.setattr(statement_words, "_sentence", lambda _kind, _subject, _end, note: note)
    for note in NOTES:
        move(payer, -100 if note == "-1" else 200, note)
    rows = rows_of(browser)[2:-1]
    assert [row[2] for row in rows] == [note if note.startswith("quote") else f"'{note}" for note in NOTES]
    assert [row[3] for row in rows][:3] == ["2.00", "2.00", "-1.00"]


def test_a_file_of_who_never_had_money(client: FlaskClient, payer: User) -> None:
    browser = log_in(client, payer)
    assert [row[1] for row in rows_of(browser)[1:]] == ["opening", "closing"]
    assert "Nothing moved in this period." in pdf_of(browser)
    page = browser.get("/wallet/statement").text
    assert "Nothing has moved yet" in page and "statement.csv" not in page


def test_the_paper_says_the_same(browser: FlaskClient, payer: User) -> None:
    live_in(payer, "Africa/Lagos")
    move(payer, 5_000, "long ago", "2026-01-01T12:00:00+00:00")
    move(payer, 250_050, "came", "2026-02-01T12:00:00+00:00")
    move(payer, -50, "went", "2026-02-28T22:59:59+00:00")
    said = pdf_of(browser, since="2026-02-01", until="2026-02-28")
    wanted = ("Statement", "February 1, 2026 to February 28, 2026", payer.email, "Africa/Lagos", "Correction: came",
              "Feb 28, 2026, 23:59", "₦50.00", "₦2,500.50", "−₦0.50", "₦2,550.00")  # fmt: skip
    assert [text for text in wanted if text not in said] == []
    assert "long ago" not in said


def test_the_paper_speaks_the_readers_language(browser: FlaskClient, payer: User) -> None:
    live_in(payer, "Africa/Lagos", "ar")
    move(payer, 5_000, "x")
    answer = browser.get("/wallet/statement.pdf")
    assert PdfReader(BytesIO(answer.data)).trailer["/Root"]["/Lang"] == "ar"
    page = browser.get("/wallet/statement").text
    assert 'dir="rtl"' in page and "/wallet/statement.csv" in page


@pytest.mark.parametrize("kind", ["csv", "pdf"])
def test_too_long_a_period_says_so(
    browser: FlaskClient, payer: User, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(statement_files.MOST_LINES, kind, 2)
    for _number in range(3):
        move(payer, 100, "x")
    answer = browser.get(f"/wallet/statement.{kind}?since=2026-01-01", follow_redirects=True)
    assert answer.status_code == 200 and "This period has 3 lines" in answer.text
    assert 'value="2026-01-01"' in answer.text


def test_nobody_has_anothers_lines_in_any_file(client: FlaskClient, funded: Funded) -> None:
    alice, bob = funded(100), funded(200)
    move(alice, 100, "only hers")
    browser = log_in(client, bob)
    assert shown(browser, words="hers") == [] and "only hers" not in pdf_of(browser)
    assert [row[3] for row in rows_of(browser)[2:-1]] == ["2.00"]


def test_files_are_limited(app: Flask, browser: FlaskClient, payer: User) -> None:
    statuses = [browser.get("/wallet/statement.csv").status_code for _number in range(21)]
    assert statuses == [200] * 20 + [429]
    assert browser.get("/wallet/statement").status_code == 200
