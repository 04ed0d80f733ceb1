"""The currencies a wallet can be in, as one table: how an amount is written, what Paystack takes at least, at most and
for itself, and which amounts suit people. Plain values; knows nothing of the rest.

Sources: minimum and maximum of a payment, Paystack's API reference ("Transactions", amounts by currency); fees of local
payments, https://paystack.com/pricing and https://support.paystack.com/hc/en-us/articles/360009973579. They are what a
local card costs; other ways to pay may cost less, foreign cards more, and where the law wants it a tax is added. So a
fee from here is an estimate: what Paystack took in the end stands in its answer, and that alone is booked.
Of a dollar payment Paystack takes what it takes of international ones.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fee:
    """What Paystack keeps of a payment: a part in hundredths of a percent, rounded up, and a flat sum that is taken
    from `flat_from_minor` on; together never more than `cap_minor`."""

    rate: int
    flat_minor: int = 0
    flat_from_minor: int = 0
    cap_minor: int | None = None


@dataclass(frozen=True)
class Currency:
    """One currency; amounts in its hundredth. `signs`: what people write before an amount, the one we write first.

    `least_minor`, `most_minor`: of one payment, by Paystack. `suggested`: amounts offered for a top-up. The last three
    hold where the setting of that name is 0.
    """

    signs: tuple[str, ...]
    least_minor: int
    fee: Fee
    suggested: tuple[int, ...]
    top_up_min_minor: int
    top_up_max_minor: int
    price_step_minor: int
    decimals: int = 2
    most_minor: int = 1_000_000_000


CURRENCIES = {
    "NGN": Currency(
        ("₦", "N"),
        least_minor=5_000,
        fee=Fee(150, flat_minor=10_000, flat_from_minor=250_000, cap_minor=200_000),
        suggested=(100_000, 200_000, 500_000, 1_000_000),
        top_up_min_minor=50_000,
        top_up_max_minor=20_000_000,
        price_step_minor=1_000,
    ),
    "GHS": Currency(
        ("GH₵", "₵"),
        least_minor=10,
        fee=Fee(195),
        suggested=(1_000, 2_000, 5_000, 10_000),
        top_up_min_minor=500,
        top_up_max_minor=200_000,
        price_step_minor=10,
    ),
    "KES": Currency(
        ("KSh",),
        least_minor=300,
        fee=Fee(290),
        suggested=(10_000, 20_000, 50_000, 100_000),
        top_up_min_minor=5_000,
        top_up_max_minor=2_000_000,
        price_step_minor=100,
    ),
    "ZAR": Currency(
        ("R",),
        least_minor=100,
        fee=Fee(290, flat_minor=100),
        suggested=(2_000, 5_000, 10_000, 20_000),
        top_up_min_minor=1_000,
        top_up_max_minor=250_000,
        price_step_minor=10,
    ),
    "USD": Currency(
        ("$", "US$"),
        least_minor=200,
        fee=Fee(390),
        suggested=(500, 1_000, 2_000, 5_000),
        top_up_min_minor=200,
        top_up_max_minor=20_000,
        price_step_minor=1,
    ),
}
