"""The statement: every line adds up, says why, and only its owner's are there."""

import secrets
from collections.abc import Callable, Iterator
from itertools import chain

import pytest

from namaskah.auth.models import User
from namaskah.db import transaction
from namaskah.wallet import ledger, topups
from namaskah.wallet.statement import FILTERS, StatementRow, describers, statement

from .counter import Counter

Funded = Callable[[int], User]


@pytest.fixture(autouse=True)
def described(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """A describer that notes what it was asked."""
    asked: list[list[str]] = []

    def describe(ids: list[str]) -> dict[str, str]:
        asked.append(sorted(ids))
        return {number: f"WhatsApp {number}" for number in ids if number != "9"}

    monkeypatch.setitem(describers, "activation", describe)
    yield asked


def move(*verbs: Callable[[], bool]) -> None:
    for verb in verbs:
        with transaction():
            assert verb()


def hold(user: User, number: int, amount: int = 400) -> None:
    move(lambda: ledger.hold(user.id, f"activation:{number}", amount))


def texts(rows: list[StatementRow]) -> list[str]:
    return [row.text for row in rows]


def assert_adds_up(user: User, rows: list[StatementRow]) -> None:
    """From the newest line down each balance is the one before plus the amount, and the first is what can be spent."""
    assert rows[0].balance_after_minor == ledger.balance(user.id).available_minor
    for newer, older in zip(rows, [*rows[1:], None], strict=True):
        before = older.balance_after_minor if older else 0
        assert newer.balance_after_minor == before + newer.amount_minor


def test_a_wallet_without_movements_has_no_lines(payer: User) -> None:
    page = statement(payer.id)
    assert (page.rows, page.next_before, page.next_after) == ([], None, None)


def test_every_kind_of_movement_is_a_line_that_says_why(payer: User, counter: Counter) -> None:
    opened = topups.open_top_up(payer, 250_000, secrets.token_hex(16))
    counter.pay(opened.reference)
    topups.settle(opened.reference)
    for number in (1, 2, 3, 4, 9):
        hold(payer, number)
    move(
        lambda: ledger.capture(payer.id, "activation:1", 400),
        lambda: ledger.release(payer.id, "activation:2", 400, "no_code"),
        lambda: ledger.release(payer.id, "activation:3", 400, "customer_cancelled"),
        lambda: ledger.refund(payer.id, "activation:1", 400, "admin", "complaint"),
        lambda: ledger.adjust(payer.id, f"manual:{payer.id}", -50, "admin", "counted twice"),
    )
    rows = statement(payer.id).rows
    assert texts(rows) == [
        "Correction: counted twice",
        "WhatsApp 1: refunded",
        "WhatsApp 3: you cancelled, money back",
        "WhatsApp 2: no code came, money back",
        "A number: held while you wait",
        "WhatsApp 4: held while you wait",
        "WhatsApp 3: held, then given back",
        "WhatsApp 2: held, then given back",
        "WhatsApp 1: bought, the code came",
        "Top-up",
    ]
    assert [row.amount_minor for row in rows] == [-50, 400, 400, 400, -400, -400, -400, -400, -400, 250_000]
    assert_adds_up(payer, rows)
    assert (rows[-1].top_up_reference, rows[-1].activation_id) == (opened.reference, None)
    assert (rows[1].top_up_reference, rows[1].activation_id) == (None, "1")
    assert (rows[0].top_up_reference, rows[0].activation_id) == (None, None)


@pytest.mark.parametrize(
    "reason",
    [
        "customer_cancelled",
        "number_used",
        "no_code",
        "no_stock",
        "provider_refused",
        "provider_closed",
        "nothing_bought",
    ],
)
def test_every_reason_a_purchase_ends_for_has_its_sentence(funded: Funded, reason: str) -> None:
    user = funded(400)
    hold(user, 1)
    move(lambda: ledger.release(user.id, "activation:1", 400, reason))
    found = statement(user.id).rows[0].text
    assert found.startswith("WhatsApp 1: ") and found.endswith(", money back")


def test_a_subject_with_percent_signs_is_only_text(funded: Funded, monkeypatch: pytest.MonkeyPatch) -> None:
    user = funded(400)
    monkeypatch.setitem(describers, "activation", lambda ids: dict.fromkeys(ids, "100%(what)s %d"))
    hold(user, 1)
    assert statement(user.id).rows[0].text == "100%(what)s %d: held while you wait"


def test_a_describer_is_asked_once_for_a_page(funded: Funded, described: list[list[str]]) -> None:
    user = funded(1_200)
    for number in (1, 2, 3):
        hold(user, number)
    statement(user.id)
    assert described == [["1", "2", "3"]]


def test_pages_lead_to_the_end_and_back_without_gap_or_double(funded: Funded) -> None:
    user = funded(10_000)
    for number in range(1, 8):
        hold(user, number)
    everything = [row.place for row in statement(user.id).rows]
    pages: list[list[int]] = []
    before: int | None = None
    while not pages or before:
        page = statement(user.id, before=before, limit=3)
        pages.append([row.place for row in page.rows])
        before = page.next_before
    assert list(chain(*pages)) == everything and [len(page) for page in pages] == [3, 3, 2]
    back = statement(user.id, after=pages[2][0], limit=3)
    assert [row.place for row in back.rows] == pages[1]
    assert (back.next_before, back.next_after) == (pages[1][-1], pages[1][0])
    first = statement(user.id, after=pages[1][0], limit=3)
    assert [row.place for row in first.rows] == pages[0]
    assert first.next_after is None


def test_money_in_and_bought_share_out_all_lines(funded: Funded) -> None:
    user = funded(1_000)
    hold(user, 1)
    hold(user, 2)
    move(lambda: ledger.release(user.id, "activation:1", 400, "no_code"))
    move(lambda: ledger.adjust(user.id, f"manual:{user.id}", 70, "admin", "sorry"))
    by_filter = {show: {row.place for row in statement(user.id, show).rows} for show in FILTERS}
    assert by_filter["in"] | by_filter["bought"] == by_filter["all"]
    assert not by_filter["in"] & by_filter["bought"]
    assert [row.kind for row in statement(user.id, "in").rows] == ["adjustment", "adjustment"]
    with pytest.raises(KeyError):
        statement(user.id, "everything")


def test_nobody_sees_anothers_lines(funded: Funded) -> None:
    alice, bob = funded(1_000), funded(500)
    hold(alice, 1)
    assert [row.amount_minor for row in statement(bob.id).rows] == [500]
    newest = statement(alice.id).rows[0].place
    assert all(row.amount_minor == 500 for row in statement(bob.id, before=newest + 1).rows)
