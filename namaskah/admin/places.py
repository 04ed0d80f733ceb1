"""The operator's other pages, and what waits on each: what needs a person soonest comes first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from flask_babel import ngettext

TONES = ("bad", "warn", "info", "")


@dataclass(frozen=True)
class Place:
    """A page by its endpoint. `notes`: what there is to do on it, in words, each with the tone of its badge."""

    endpoint: str
    title: str
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def waits(self) -> bool:
        """Whether somebody should go there now."""
        return self.urgency < TONES.index("info")

    @property
    def urgency(self) -> int:
        """0 is the most urgent."""
        return min((TONES.index(tone) for _words, tone in self.notes), default=len(TONES))


def places(found: Mapping[str, Any]) -> list[Place]:
    """All of them; `found` is what overview.read() has found out."""
    opened, waiting = found["disputes"]
    disputes = [
        (waiting, ngettext("%(num)s waits for our answer", "%(num)s wait for our answer", waiting), "bad"),
        (opened, ngettext("%(num)s open", "%(num)s open", opened), "info"),
    ]
    differing, reversed_ = found["mismatches_open"], found["reversals_open"]
    top_ups = [
        (reversed_, ngettext("%(num)s payment went back after its credit",
                             "%(num)s payments went back after their credit", reversed_), "bad"),
        (differing, ngettext("%(num)s payment differs", "%(num)s payments differ", differing), "warn"),
    ]  # fmt: skip
    refunds, reports = found["refunds_waiting"], found["events_open"]
    differences = found["differences"]
    troubled = found["housekeeping_troubled"]
    housekeeping = [
        (troubled, ngettext("%(num)s job is in trouble", "%(num)s jobs are in trouble", troubled), "bad"),
    ]
    rates = found["stale_rates"] + found["missing_rates"]
    listed = (
        Place("admin.disputes", _("Disputes"), _noted(disputes)),
        Place("admin.top_ups", _("Top-ups"), _noted(top_ups)),
        Place(
            "admin.refunds",
            _("Refunds of top-ups"),
            _noted([(refunds, ngettext("%(num)s waits for you", "%(num)s wait for you", refunds), "warn")]),
        ),
        Place(
            "admin.gateway_events",
            _("What Paystack has told us"),
            _noted(
                [(reports, ngettext("%(num)s report needs a person", "%(num)s reports need a person", reports), "warn")]
            ),
        ),
        Place(
            "admin.reconciliation",
            _("Others’ books and ours"),
            _noted([(differences, ngettext("%(num)s difference", "%(num)s differences", differences), "warn")]),
        ),
        Place("admin.exchange_rates", _("Exchange rates"), _noted([(len(rates), ", ".join(rates), "warn")])),
        Place("admin.housekeeping", _("Housekeeping"), _noted(housekeeping)),
        Place("admin.vouchers", _("Gift codes")),
        Place("admin.promo_credit", _("Gifts")),
    )
    return sorted(listed, key=lambda place: place.urgency)


def _noted(notes: list[tuple[int, str, str]]) -> tuple[tuple[str, str], ...]:
    """Those of which there is something."""
    return tuple((words, tone) for count, words, tone in notes if count)
