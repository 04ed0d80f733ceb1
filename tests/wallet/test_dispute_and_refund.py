"""One payment of which a part goes back by us and a part is taken back by its bank: whatever comes first or fails,
nobody has the same money twice, and the papers say what went back."""

import pytest
from sqlalchemy import text

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import disputes, refunds
from namaskah.wallet.models import TopUp

from .bank import AMOUNT, Bank, books, heard, ours, spend
from .counter import Counter
from .refund_desk import WHO, becomes, fresh, noted, sent


def later() -> None:
    """The time to ask about disputes has come, for those that have one."""
    with transaction():
        db.session.execute(text("UPDATE disputes SET check_at = now() - interval '1 second' WHERE check_at <= now()"))


def test_a_refund_that_fails_leaves_its_money_to_the_open_dispute(
    payer: User, top_up: TopUp, bank: Bank, counter: Counter
) -> None:
    refund = sent(top_up, 200_000)
    theirs = bank.opens(top_up)
    heard(theirs)
    assert books(payer) == {"disputed": 50_000, "refunding": 200_000}
    becomes(counter, refund, "failed")
    later()
    disputes.sweep_due()
    assert books(payer) == {"disputed": AMOUNT}


@pytest.mark.parametrize(("spent", "left"), [(0, {}), (120_000, {"debt": -120_000})])
def test_a_refund_that_fails_after_the_dispute_was_lost_is_lost_too(
    payer: User, top_up: TopUp, bank: Bank, counter: Counter, spent: int, left: dict[str, int]
) -> None:
    """The bank has the whole payment back: what returns to the wallet is nobody's to spend a second time."""
    refund = sent(top_up, 200_000)
    theirs = bank.opens(top_up)
    heard(theirs)
    bank.decides(theirs, "lost")
    heard(theirs)
    becomes(counter, refund, "failed")
    if spent:
        spend(payer, spent)
    later()
    for _ in range(2):
        disputes.sweep_due()
    assert books(payer) == left
    dispute = ours(theirs)
    assert (dispute.outcome, dispute.amount_minor, dispute.check_at) == ("lost", AMOUNT, None)
    assert noted() == [50_000, 200_000]
    bank.reopens(theirs)
    heard(theirs)
    bank.decides(theirs, "won")
    heard(theirs)
    assert books(payer) == {"available": AMOUNT - spent}
    assert noted() == [50_000, 200_000, -AMOUNT]


def test_what_came_back_to_the_wallet_is_disputed_like_the_rest(
    payer: User, top_up: TopUp, bank: Bank, counter: Counter
) -> None:
    refund = becomes(counter, sent(top_up), "processed")
    becomes(counter, refund, "failed")
    refunds.give_back(refund.reference, WHO)
    assert books(payer) == {"available": AMOUNT}
    theirs = bank.opens(top_up)
    heard(theirs)
    assert books(payer) == {"disputed": AMOUNT}
    bank.decides(theirs, "lost")
    heard(theirs)
    assert (books(payer), noted()) == ({}, [AMOUNT, -AMOUNT, AMOUNT])


def test_lost_a_second_time_takes_the_receipt_back_once(payer: User, top_up: TopUp, bank: Bank) -> None:
    theirs = bank.opens(top_up, 90_000)
    for _ in range(2):
        bank.decides(theirs, "lost")
        heard(theirs)
        bank.reopens(theirs)
        heard(theirs)
    assert noted() == [90_000]


@pytest.mark.parametrize("of_it", [AMOUNT, 90_000])
def test_what_was_won_in_the_end_can_be_refunded(
    payer: User, top_up: TopUp, bank: Bank, counter: Counter, of_it: int
) -> None:
    """The papers say each step: lost, won after all, given back by us."""
    theirs = bank.opens(top_up, of_it)
    bank.decides(theirs, "lost")
    heard(theirs)
    bank.reopens(theirs)
    bank.decides(theirs, "won")
    heard(theirs)
    refund = sent(top_up)
    becomes(counter, refund, "processed")
    assert (fresh(refund).state, books(payer)) == ("processed", {})
    assert noted() == [of_it, -of_it, AMOUNT]


def test_what_came_back_after_the_dispute_was_lost_is_lost_too(
    payer: User, top_up: TopUp, bank: Bank, counter: Counter
) -> None:
    refund = becomes(counter, sent(top_up, 200_000), "processed")
    theirs = bank.opens(top_up)
    bank.decides(theirs, "lost")
    assert heard(theirs).amount_minor == 50_000
    becomes(counter, refund, "failed")
    refunds.give_back(refund.reference, WHO)
    later()
    disputes.sweep_due()
    assert (books(payer), ours(theirs).amount_minor) == ({}, AMOUNT)
    assert noted() == [200_000, 50_000, -200_000, 200_000]


def test_what_one_dispute_has_won_is_booked_for_the_other(payer: User, top_up: TopUp, bank: Bank) -> None:
    first, second = bank.opens(top_up, 200_000), bank.opens(top_up, 100_000)
    heard(first)
    bank.decides(second, "lost")
    assert heard(second).amount_minor == 50_000
    bank.decides(first, "won")
    heard(first)
    later()
    disputes.sweep_due()
    assert (books(payer), ours(second).amount_minor) == ({"available": 150_000}, 100_000)


def test_lost_again_for_less_puts_the_rest_back_on_the_receipt(payer: User, top_up: TopUp, bank: Bank) -> None:
    theirs = bank.opens(top_up, 90_000)
    bank.decides(theirs, "lost")
    heard(theirs)
    bank.reopens(theirs)
    theirs.refund_amount = 30_000
    heard(theirs)
    assert noted() == [90_000], "what the papers say stands until it is decided"
    bank.decides(theirs, "lost")
    heard(theirs)
    assert (books(payer), noted()) == ({"available": AMOUNT - 30_000}, [90_000, -60_000])


def test_a_refund_that_goes_through_while_a_lost_dispute_is_open_again_has_its_own_note(
    payer: User, top_up: TopUp, bank: Bank, counter: Counter
) -> None:
    refund = sent(top_up, 100_000)
    theirs = bank.opens(top_up, 90_000)
    bank.decides(theirs, "lost")
    heard(theirs)
    bank.reopens(theirs)
    heard(theirs)
    becomes(counter, refund, "processed")
    assert noted() == [90_000, 100_000]
    bank.decides(theirs, "won")
    heard(theirs)
    assert (books(payer), noted()) == ({"available": 150_000}, [90_000, 100_000, -90_000])


def test_where_both_took_the_same_money_the_papers_keep_what_is_still_gone(
    payer: User, top_up: TopUp, bank: Bank, counter: Counter
) -> None:
    """A refund that had failed by our books went through beside the loss: both together have taken more than there was,
    and the receipt loses no more than it has. Once the dispute is won, what the refund took is still off it."""
    refund = becomes(counter, sent(top_up, 150_000), "failed")
    theirs = bank.opens(top_up, 200_000)
    bank.decides(theirs, "lost")
    heard(theirs)
    becomes(counter, refund, "processed")
    refunds.book_as_gone(refund.reference, WHO)
    assert (books(payer), noted()) == ({}, [200_000, 50_000])
    bank.reopens(theirs)
    heard(theirs)
    bank.decides(theirs, "won")
    heard(theirs)
    assert (books(payer), noted()) == ({"available": 200_000}, [200_000, 50_000, -100_000])
