"""What became of top-ups after their credit: a bank wants the payment back or has taken it, or we have sent it back.

What a customer reads of a top-up is `ending_of()`; `endings_of()` is the same for a list, with two queries for all.
"""

from collections import defaultdict
from collections.abc import Sequence

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from namaskah.db import db
from namaskah.filters import money
from namaskah.wallet import refund_reading
from namaskah.wallet.dispute_models import Dispute
from namaskah.wallet.endings import Ending, ending, filled
from namaskah.wallet.models import TopUp
from namaskah.wallet.refund_models import GatewayRefund


def ending_of(top_up: TopUp, is_leaving: bool = False) -> Ending:
    """How one top-up stands now, with what came after its credit."""
    return _after(top_up, *_found([top_up])) or ending(top_up, is_leaving)


def endings_of(top_ups: Sequence[TopUp]) -> list[tuple[TopUp, Ending]]:
    """Each top-up of a list, and how it stands now."""
    disputes, refunds = _found(top_ups)
    return [(top_up, _after(top_up, disputes, refunds) or ending(top_up)) for top_up in top_ups]


def _found(top_ups: Sequence[TopUp]) -> tuple[dict[int, list[Dispute]], dict[int, list[GatewayRefund]]]:
    """Disputes their owners have felt and did not end well, and refunds, by top-up."""
    disputes: dict[int, list[Dispute]] = defaultdict(list)
    refunds: dict[int, list[GatewayRefund]] = defaultdict(list)
    paid = [top_up.id for top_up in top_ups if top_up.state == "paid"]
    if paid:
        felt = Dispute.outcome.is_distinct_from("won") & (Dispute.amount_minor > 0)
        for dispute in db.session.scalars(select(Dispute).where(Dispute.top_up_id.in_(paid), felt)):
            disputes[dispute.top_up_id].append(dispute)
        for refund in db.session.scalars(select(GatewayRefund).where(GatewayRefund.top_up_id.in_(paid))):
            refunds[refund.top_up_id].append(refund)
    return disputes, refunds


def _after(top_up: TopUp, disputes: dict[int, list[Dispute]], refunds: dict[int, list[GatewayRefund]]) -> Ending | None:
    mine = disputes.get(top_up.id)
    if mine:
        return _disputed(top_up, mine)
    gone = refund_reading.gone_minor(refunds.get(top_up.id, ()))
    if not gone or (top_up.reversed_at is not None and gone != top_up.paid_minor):
        return None  # a reversal that our refund does not explain is the first thing to say
    return _sent_back(top_up, gone)


def _disputed(top_up: TopUp, disputes: Sequence[Dispute]) -> Ending:
    verdict = filled(_("%(amount)s came in, and was disputed."), amount=money(_credited(top_up)))
    if any(dispute.is_open for dispute in disputes):
        asked = money(sum(dispute.claimed_minor for dispute in disputes if dispute.is_open))
        advice = filled(_("Its bank asks for %(amount)s back and has not decided yet."), amount=asked)
        return Ending(_l("Disputed"), "warn", verdict, advice, "contact")
    lost = money(sum(dispute.amount_minor for dispute in disputes))
    advice = filled(_("The bank has taken %(amount)s back to where it was paid from."), amount=lost)
    return Ending(_l("Taken back"), "bad", verdict, advice, "contact")


def _sent_back(top_up: TopUp, gone_minor: int) -> Ending:
    if gone_minor == top_up.paid_minor:
        verdict = _("We have sent this top-up back to where you paid it from.")
        return Ending(_l("Sent back"), "", verdict, _("How far it has come stands on its page."), "wait")
    verdict = filled(
        _("%(amount)s came into your wallet, and a part of it went back."), amount=money(_credited(top_up))
    )
    advice = filled(
        _("%(gone)s of it went back to where you paid it from, or is on its way there."), gone=money(gone_minor)
    )
    return Ending(_l("Partly sent back"), "info", verdict, advice, "buy")


def _credited(top_up: TopUp) -> int:
    return top_up.credited_minor or top_up.amount_minor
