"""What became of a report is a sentence, whatever its handler's word was."""

from datetime import UTC, datetime

import pytest
from flask import Flask

from namaskah.wallet import event_words
from namaskah.wallet.dispute_models import DISPUTE_STATES, OUTCOMES
from namaskah.wallet.models import GatewayEvent
from namaskah.wallet.refund_models import REFUND_STATES


def said(app: Flask, name: str, outcome: str) -> str:
    event = GatewayEvent(event=name, outcome=outcome, handled_at=datetime.now(UTC), tries=1)
    with app.test_request_context():
        return event_words.outcome(event)


@pytest.mark.parametrize("word", [*sorted({*DISPUTE_STATES, *OUTCOMES} - {"resolved"})])
def test_a_dispute(app: Flask, word: str) -> None:
    told = said(app, "charge.dispute.create", word)
    assert "dispute" in told and word not in told.split() and not told.startswith("Done")


@pytest.mark.parametrize("word", REFUND_STATES)
def test_a_refund(app: Flask, word: str) -> None:
    assert said(app, "refund.processed", word).startswith("Asked about it, Paystack said how the refund stands: ")


def test_several_refunds_of_one_payment(app: Flask) -> None:
    assert said(app, "refund.failed", "processed needs_attention").endswith(": Processed, Needs attention.")


def test_a_pending_payment_is_no_dispute(app: Flask) -> None:
    assert "the bank is at it" in said(app, "charge.success", "pending")


def test_a_word_nobody_knows_is_shown_as_it_is(app: Flask) -> None:
    assert said(app, "charge.dispute.create", "mended") == "Done: mended."
