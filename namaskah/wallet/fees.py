"""Paystack's fee, reckoned before anything is paid: exact integers, rounded up, from the table of currencies."""

from namaskah.wallet.currencies import CURRENCIES

WHOLE = 10_000  # hundredths of a percent


def fee_minor(paid_minor: int, currency: str) -> int:
    """What Paystack keeps of a payment, by its price list. It may keep something else in the end."""
    fee = CURRENCIES[currency].fee
    kept = -(-paid_minor * fee.rate // WHOLE) + (fee.flat_minor if paid_minor >= fee.flat_from_minor else 0)
    return kept if fee.cap_minor is None else min(kept, fee.cap_minor)


def gross_minor(credit_minor: int, currency: str) -> int:
    """The smallest payment of which, after Paystack's fee, this much is left at least.

    What is left never shrinks as the payment grows, but for one place: where the flat sum begins. So the smallest
    payment below it is tried first, then the smallest from there on.
    """
    fee = CURRENCIES[currency].fee
    below = _covering(credit_minor, 0, currency)
    if below < fee.flat_from_minor:
        return below
    return max(fee.flat_from_minor, _covering(credit_minor, fee.flat_minor, currency))


def _covering(credit_minor: int, flat_minor: int, currency: str) -> int:
    """The smallest payment that leaves the credit after the percentage and this flat sum, or after the cap if that is
    less. A percentage rounded up leaves floor(payment × (1 - rate)), which reaches the credit at its ceiling."""
    fee = CURRENCIES[currency].fee
    least = -(-(credit_minor + flat_minor) * WHOLE // (WHOLE - fee.rate))
    return least if fee.cap_minor is None else min(least, credit_minor + fee.cap_minor)
