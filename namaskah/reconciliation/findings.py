"""Differences as they are found, kept and explained."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from sqlalchemy import case, exists, func, not_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.db import db, transaction
from namaskah.errors import UserError
from namaskah.reconciliation.models import Difference
from namaskah.wallet.models import TopUp

LONGEST_EXPLANATION = 500
SENTENCES = {
    "unknown_payment": _l("Paid there, and no top-up of ours has this reference"),
    "not_credited": _l("Paid there, not credited here"),
    "amount": _l("Credited here, and another amount was paid there"),
    "fees": _l("Another fee than we booked"),
    "reversed": _l("Credited here, and no longer paid there"),
    "unknown_there": _l("Credited here, and unknown there"),
    "balance": _l("The balance there is not what our books say"),
    "unknown_order": _l("An order there that nobody here has bought"),
    "order_cost": _l("An order cost something else than we booked"),
    "refunded_there": _l("The code came here, and the order was paid back there"),
}

# A payment whose top-up was written since it was found is none, though no comparison has noticed yet.
HAS_ITS_TOP_UP = (Difference.kind == "unknown_payment") & exists().where(TopUp.reference == Difference.subject)
IS_OPEN = Difference.gone_at.is_(None) & not_(HAS_ITS_TOP_UP)


@dataclass(frozen=True)
class Found:
    """One difference. `theirs` and `ours` in units of `scale` decimals, None where a side has no amount."""

    side: str
    kind: str
    subject: str
    currency: str
    scale: int
    theirs: int | None
    ours: int | None


def keep(side: str, found: Iterable[Found]) -> int:
    """These are all the differences with `side` now: new ones are added, others are gone. Returns how many there are.

    An explanation holds for the amounts it was given for.
    """
    rows = {(each.kind, each.subject): asdict(each) for each in found}
    with transaction():
        gone = update(Difference).where(Difference.side == side, Difference.gone_at.is_(None))
        if rows:
            gone = gone.where(tuple_(Difference.kind, Difference.subject).not_in(list(rows)))
        db.session.execute(gone.values(gone_at=func.now()).execution_options(synchronize_session=False))
        if rows:
            fresh = pg_insert(Difference).values(list(rows.values()))
            is_same = Difference.theirs.is_not_distinct_from(fresh.excluded.theirs) & (
                Difference.ours.is_not_distinct_from(fresh.excluded.ours)
            )
            db.session.execute(
                fresh.on_conflict_do_update(
                    index_elements=["side", "kind", "subject"],
                    index_where=Difference.gone_at.is_(None),
                    set_={
                        "theirs": fresh.excluded.theirs,
                        "ours": fresh.excluded.ours,
                        "seen_at": func.now(),
                        "explanation": case((is_same, Difference.explanation), else_=""),
                        "explained_by": case((is_same, Difference.explained_by), else_=None),
                    },
                )
            )
    return len(rows)


def open_differences(limit: int = 200) -> list[Difference]:
    """Those that are there now: first what nobody has explained, then by age."""
    wanted = select(Difference).where(IS_OPEN)
    return list(
        db.session.scalars(
            wanted.order_by(Difference.explanation != "", Difference.found_at, Difference.id)
            .limit(limit)
            .execution_options(populate_existing=True)
        )
    )


def unexplained() -> int:
    """How many differences wait for a person."""
    wanted = select(func.count()).select_from(Difference).where(IS_OPEN, Difference.explanation == "")
    return db.session.scalar(wanted) or 0


def oldest_open(side: str) -> datetime | None:
    """Since when there is a difference with `side`."""
    wanted = select(func.min(Difference.found_at)).where(Difference.side == side, Difference.gone_at.is_(None))
    return db.session.scalar(wanted)


def explain(difference_id: int, explanation: str, who: str) -> Difference:
    """A person says why a difference is there. Raises UserError without words, or when it is gone."""
    words = explanation.strip()[:LONGEST_EXPLANATION]
    if not words:
        raise UserError(_("Say in a few words why this difference is there."), status=422)
    with transaction():
        found = db.session.scalar(
            update(Difference)
            .where(Difference.id == difference_id, Difference.gone_at.is_(None))
            .values(explanation=words, explained_by=who)
            .returning(Difference)
        )
    if found is None:
        raise UserError(_("There is no such difference, or it is gone by now."), status=404)
    return found
