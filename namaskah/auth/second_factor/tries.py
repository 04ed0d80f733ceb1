"""How often codes may be tried for one account. Counted in PostgreSQL: exact when many come at once, and not forgotten
by a restart. Only who has the password, or is logged in, gets as far as using one up."""

from datetime import timedelta

from flask_babel import ngettext
from sqlalchemy import delete, func, insert, select

from namaskah.auth.models import User
from namaskah.auth.second_factor import factors
from namaskah.auth.second_factor.models import FactorTry
from namaskah.db import db, require_transaction, transaction
from namaskah.errors import UserError

ALLOWED = 5
WITHIN = timedelta(minutes=5)


class TooManyTries(UserError):
    """No code is looked at for now; `seconds` says how long."""

    status = 429

    def __init__(self, seconds: int) -> None:
        minutes = -(-seconds // 60)
        super().__init__(
            ngettext(
                "Too many wrong codes. Wait a minute, then try again.",
                "Too many wrong codes. Wait %(num)s minutes, then try again.",
                minutes,
            )
        )
        self.seconds = seconds


def take(user: User) -> int:
    """Use one try up before the code is looked at; returns its id. Raises TooManyTries."""
    with transaction():
        factors.lock(user)  # twenty at once are counted one after the other
        db.session.execute(delete(FactorTry).where(FactorTry.user_id == user.id, FactorTry.at <= _start()))
        seconds = _seconds_left(user)
        if seconds is None:
            taken = db.session.scalar(insert(FactorTry).values(user_id=user.id).returning(FactorTry.id))
            assert taken is not None
            return taken
    raise TooManyTries(seconds)


def give_back(taken: int) -> None:
    """The code was right: the try does not count. Those before it do: a thief who waits for it gains nothing."""
    with transaction():
        db.session.execute(delete(FactorTry).where(FactorTry.id == taken))


def are_used_up(user: User) -> bool:
    """Whether the next one would be refused. Needs an open transaction."""
    require_transaction()
    return _seconds_left(user) is not None


def forget_old_due(limit: int = 500) -> int:
    """Forget so many wrong codes that count no more; returns how many it were."""
    old = select(FactorTry.id).where(FactorTry.at <= _start()).limit(limit).with_for_update(skip_locked=True)
    with transaction():
        return len(db.session.scalars(delete(FactorTry).where(FactorTry.id.in_(old)).returning(FactorTry.id)).all())


def _seconds_left(user: User) -> int | None:
    """How long until the next try, or None when there is one now."""
    age = func.extract("epoch", func.clock_timestamp() - FactorTry.at)
    tries = select(age).where(FactorTry.user_id == user.id, FactorTry.at > _start()).order_by(FactorTry.at.desc())
    ages = list(db.session.scalars(tries.limit(ALLOWED)))
    if len(ages) < ALLOWED:
        return None
    return max(1, round(WITHIN.total_seconds() - float(ages[-1])))


def _start() -> object:
    return func.clock_timestamp() - WITHIN
