"""What is read out of the gateway's disputes, whatever shape they come in; from plain values, without a server."""

from typing import Any

import pytest

from namaskah.wallet.paystack import GatewayDown
from namaskah.wallet.paystack_disputes import dispute_id, parse_dispute

TOLD: dict[str, Any] = {
    "id": 358950,
    "refund_amount": 5800,
    "currency": "NGN",
    "status": "awaiting-merchant-feedback",
    "resolution": None,
    "domain": "live",
    "transaction": {"reference": "v3mjf", "currency": "NGN"},
    "category": "chargeback",
    "customer": {"phone": "080"},
    "dueAt": "2026-11-25T18:00:00.000Z",
    "updatedAt": "2026-11-24T18:00:00.000Z",
}


def test_the_documented_sample_is_read() -> None:
    told = parse_dispute(TOLD)
    assert (told.gateway_id, told.reference, told.status) == ("358950", "v3mjf", "awaiting-merchant-feedback")
    assert (told.amount_minor, told.currency, told.domain, told.payer_phone) == (5800, "NGN", "live", "080")
    assert told.due_at is not None
    assert told.changed_at is not None
    assert told.due_at > told.changed_at


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"refund_amount": "5800"}, 5800),
        ({"refund_amount": None}, None),
        ({"id": "358950", "customer": None}, 5800),
        ({"updatedAt": None, "updated_at": "2026-11-24T18:00:00.000Z", "category": None}, 5800),
        ({"currency": None, "dueAt": "soon"}, 5800),
    ],
)
def test_what_may_be_missing_or_otherwise(change: dict[str, Any], found: int | None) -> None:
    assert parse_dispute(TOLD | change).amount_minor == found


@pytest.mark.parametrize(
    "change",
    [
        {"id": None},
        {"id": "3/../8"},
        {"status": None},
        {"transaction": None},
        {"domain": ""},
        {"refund_amount": "58.00"},
        {"refund_amount": -1},
        {"refund_amount": True},
    ],
)
def test_what_decides_about_money_must_be_there(change: dict[str, Any]) -> None:
    with pytest.raises(GatewayDown):
        parse_dispute(TOLD | change)
    with pytest.raises(GatewayDown):
        parse_dispute([TOLD])


def test_a_number_is_digits() -> None:
    assert [dispute_id(value) for value in (7, "7", True, 1.5, "x", "", None, -7, "9" * 21)] == ["7", "7", *[None] * 7]
