"""What one unit of a provider's currency costs in the wallet's: dated, set by the operator, never changed afterwards.

The rate in force is the newest that is not in the future. Where there is none FX_RATES counts, so that an installation
that never sets one works as it always did. Rates are exact decimals.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from flask import current_app
from flask_babel import gettext as _
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as pg_insert

from namaskah.auth import audit
from namaskah.db import db, require_transaction, transaction
from namaskah.errors import UserError
from namaskah.numbers import registry
from namaskah.numbers.models import Provider
from namaskah.numbers.rate_models import ExchangeRate

# A rate this many percent away from the one before is one that somebody may have mistyped.
LARGEST_MOVE = 20
LONGEST_SOURCE = 120


class NoRate(Exception):
    """No exchange rate is set for a provider's currency, so nothing of it can be sold."""


class RateMoved(UserError):
    """The new rate is far from the one before, and nobody has said that it is meant. Nothing was changed."""

    status = 409


@dataclass(frozen=True)
class Rate:
    """A rate that counts. One of the settings, and the wallet's own 1, has no date and nobody who set it."""

    currency: str
    rate: Decimal
    valid_from: datetime | None = None
    source: str = "FX_RATES"
    who: str = ""

    def is_stale(self, now: datetime) -> bool:
        """Whether it is older than FX_STALE_DAYS; without a date it may be of any age."""
        days = current_app.config["FX_STALE_DAYS"]
        return days > 0 and (self.valid_from is None or now - self.valid_from > timedelta(days=days))


def rate_at(currency: str, at: datetime | None = None) -> Rate:
    """The rate in force at that time, or now. Raises NoRate."""
    if currency == wallet_currency():
        return Rate(currency, Decimal(1))
    found = _dated(_not_after(at), ExchangeRate.currency == currency) or _of_settings()
    if currency not in found:
        raise NoRate(currency)
    return found[currency]


def current(at: datetime | None = None) -> dict[str, Rate]:
    """The rates in force at that time, or now, by currency; the wallet's own among them."""
    own = wallet_currency()
    return {**_of_settings(), **_dated(_not_after(at)), own: Rate(own, Decimal(1))}


def history(limit: int = 50) -> list[ExchangeRate]:
    """What was set for this wallet's currency, newest first; rates yet to come are among it."""
    wanted = select(ExchangeRate).filter_by(wallet_currency=wallet_currency())
    newest = wanted.order_by(ExchangeRate.valid_from.desc(), ExchangeRate.id.desc())
    return list(db.session.scalars(newest.limit(limit)))


def to_come() -> list[ExchangeRate]:
    """What was set and does not hold yet, the next one first."""
    later = ExchangeRate.valid_from > func.now()
    wanted = select(ExchangeRate).where(ExchangeRate.wallet_currency == wallet_currency(), later)
    return list(db.session.scalars(wanted.order_by(ExchangeRate.valid_from, ExchangeRate.currency)))


def missing() -> list[str]:
    """Currencies of our providers that have no rate: nothing of theirs is sold."""
    return sorted(_providers_currencies() - set(current()))


def stale(now: datetime) -> list[Rate]:
    """Rates that prices are made from now and that are too old."""
    used = _providers_currencies() - {wallet_currency()}
    return [rate for currency, rate in sorted(current().items()) if currency in used and rate.is_stale(now)]


def parse_rate(text: str) -> Decimal | None:
    """'1,600.50' as an exact rate; None for anything else, zero and a decimal comma included."""
    written = text.strip()
    if not re.fullmatch(r"(\d{1,12}|\d{1,3}(,\d{3}){1,3})(\.\d{1,10})?", written):
        return None
    found = Decimal(written.replace(",", ""))
    return found if found > 0 else None


def set_rate(
    currency: str,
    rate: Decimal,
    who: str,
    *,
    user_id: int | None = None,
    source: str = "",
    at: datetime | None = None,
    is_meant: bool = False,
) -> datetime:
    """A new rate from `at`, or from now on; gives that time. `who` did it, with the account `user_id` if there is one.

    Raises RateMoved for a rate far from the one before unless it `is_meant`, and UserError when another one holds from
    that very moment; nothing is changed then.
    """
    with transaction():
        valid_from = at or db.session.scalars(select(func.now())).one()
        before = before_that(currency, valid_from)
        if not is_meant and is_far(rate, before):
            raise RateMoved(
                _("That is far from the rate before, %(before)s. Nothing was changed; if it is meant, say so below.",
                  before=shown(before.rate) if before else "")
            )  # fmt: skip
        if not add(currency, rate, valid_from, source, who):
            raise UserError(_("Another rate holds from that very moment. Choose another time."), status=409)
        audit.record("rate_set", user_id, who, currency=currency, rate=shown(rate), since=valid_from.isoformat())
    return valid_from


def add(currency: str, rate: Decimal, valid_from: datetime, source: str, who: str) -> bool:
    """Write a rate, and have price lists read anew; False when one of that moment is there. Needs the transaction."""
    require_transaction()
    added = db.session.scalar(
        pg_insert(ExchangeRate)
        .values(
            currency=currency,
            wallet_currency=wallet_currency(),
            rate=rate,
            valid_from=valid_from,
            source=source[:LONGEST_SOURCE],
            who=who,
        )
        .on_conflict_do_nothing()
        .returning(ExchangeRate.id)
    )
    if added is not None:
        db.session.execute(update(Provider).where(Provider.currency == currency).values(sync_due_at=func.now()))
    return added is not None


def before_that(currency: str, valid_from: datetime) -> Rate | None:
    """What a rate that holds from then on takes the place of."""
    earlier = _dated(ExchangeRate.valid_from < valid_from, ExchangeRate.currency == currency)
    return earlier.get(currency) or _of_settings().get(currency)


def is_far(rate: Decimal, before: Rate | None) -> bool:
    """Whether it is more than LARGEST_MOVE percent away from the one before."""
    return before is not None and abs(rate - before.rate) * 100 > before.rate * LARGEST_MOVE


def shown(rate: Decimal) -> str:
    """1,600.5, without zeros at its end."""
    return f"{rate.normalize():,f}"


def wallet_currency() -> str:
    """What rates are in."""
    return str(current_app.config["WALLET_CURRENCY"])


def _not_after(at: datetime | None) -> ColumnElement[bool]:
    return ExchangeRate.valid_from <= (func.now() if at is None else at)


def _dated(*wanted: ColumnElement[bool]) -> dict[str, Rate]:
    """The newest one of each currency for which all of `wanted` holds."""
    rows = db.session.scalars(
        select(ExchangeRate)
        .where(ExchangeRate.wallet_currency == wallet_currency(), *wanted)
        .ext(distinct_on(ExchangeRate.currency))
        .order_by(ExchangeRate.currency, ExchangeRate.valid_from.desc())
    )
    return {row.currency: Rate(row.currency, row.rate, row.valid_from, row.source, row.who) for row in rows}


def _of_settings() -> dict[str, Rate]:
    return {currency: Rate(currency, Decimal(rate)) for currency, rate in current_app.config["FX_RATES"].items()}


def _providers_currencies() -> set[str]:
    adapters = (registry.find(name) for name in registry.names())
    return {adapter.currency for adapter in adapters if adapter is not None}
