"""Random lives of gifts and holds against a picture in plain numbers; all checks hold after each of them."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.wallet import ledger, promo
from namaskah.wallet.checks import CHECKS
from namaskah.wallet.ledger import InsufficientFunds, UnknownHold
from namaskah.wallet.promo_models import PromoGrant
from tests.support import give

VERBS = ("give", "hold", "hold", "capture", "release", "refund", "run out", "expire")
STEPS = st.lists(
    st.tuples(st.sampled_from(VERBS), st.integers(0, 3), st.sampled_from((1, 250, 400, 1_300))), max_size=20
)


class Picture:
    """Gifts as [left, place of their end]; a hold as what it took of each gift and of the own money."""

    def __init__(self, own: int) -> None:
        self.own = own
        self.gifts: list[list[int]] = []  # left, end (0: over), whether it was extended
        self.holds: dict[str, tuple[dict[int, int], int]] = {}
        self.ended: dict[str, str] = {}

    def hold(self, reference: str, amount: int) -> bool:
        """False when there is not so much."""
        usable = sorted((end, place) for place, (left, end, _extended) in enumerate(self.gifts) if end and left)
        rest, taken = amount, dict[int, int]()
        for _end, place in usable:
            part = min(rest, self.gifts[place][0])
            if part:
                taken[place] = part
                rest -= part
        if rest > self.own:
            return False
        for place, part in taken.items():
            self.gifts[place][0] -= part
        self.own -= rest
        self.holds[reference] = taken, rest
        return True

    def release(self, reference: str) -> None:
        taken, own = self.holds[reference]
        self.own += own
        for place, part in taken.items():
            gift = self.gifts[place]
            gift[0] += part
            if not gift[1] and not gift[2]:
                gift[1], gift[2] = 1, 1  # a day: before all others

    def refund(self, reference: str) -> None:
        taken, own = self.holds[reference]
        self.own += own
        for place, part in taken.items():
            self.gifts.append([part, max(self.gifts[place][1], 7), 0])

    @property
    def spendable(self) -> tuple[int, int]:
        return self.own, sum(left for left, end, _extended in self.gifts if end)


def run_out(user_id: int) -> None:
    """All gifts that last less than ten days are over."""
    with transaction():
        mine = update(PromoGrant).where(PromoGrant.user_id == user_id)
        soon = PromoGrant.expires_at < datetime.now(UTC) + timedelta(days=10)
        db.session.execute(mine.where(soon).values(expires_at=datetime.now(UTC) - timedelta(seconds=1)))


def act(verb: str, user_id: int, reference: str, amount: int) -> None:
    with transaction():
        if verb == "refund":
            ledger.refund(user_id, reference, amount, "test", "a complaint")
        else:
            getattr(ledger, verb)(user_id, reference, amount)


def follow(user: User, picture: Picture, step: tuple[str, int, int], reference: str) -> None:
    """One step in both; what the one refuses the other must refuse too."""
    verb, number, amount = step
    end = picture.ended.get(reference)
    is_held = reference in picture.holds
    if verb == "give":
        days = (5, 8, 20, 30)[number]
        give(user, amount, days=days)
        picture.gifts.append([amount, days, 0])
        return
    if verb == "run out":
        run_out(user.id)
        for gift in picture.gifts:
            gift[1] = gift[1] if gift[1] >= 10 else 0
        return
    if verb == "expire":
        due = sum(1 for left, until, _extended in picture.gifts if left and not until)
        assert promo.expire_due() == due
        for gift in picture.gifts:
            gift[0] = gift[0] if gift[1] else 0
        return
    if is_held and verb != "hold":
        taken, own = picture.holds[reference]
        amount = sum(taken.values()) + own
    try:
        act(verb, user.id, reference, amount)
    except InsufficientFunds:
        assert verb == "hold" and not is_held and not picture.hold(reference, amount)
    except UnknownHold:
        allowed = {"capture": end in (None, "capture"), "release": end in (None, "release")}
        assert not is_held or not allowed.get(verb, end in ("capture", "refund"))
    else:
        if verb == "hold":
            assert is_held or picture.hold(reference, amount)
        elif verb == "refund":
            assert end in ("capture", "refund")
            if end == "capture":
                picture.refund(reference)
                picture.ended[reference] = "refund"
        else:
            assert end in (None, verb) or (verb, end) == ("capture", "refund")
            if end is None:
                picture.ended[reference] = verb
                if verb == "release":
                    picture.release(reference)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(STEPS)
def test_no_life_of_gifts_breaks_the_books(funded: Callable[[int], User], steps: list[tuple[str, int, int]]) -> None:
    user, prefix, picture = funded(1_000), secrets.token_hex(6), Picture(1_000)
    for step in steps:
        follow(user, picture, step, f"activation:{prefix}-{step[1]}")
        found = ledger.balance(user.id)
        assert (found.available_minor, found.promo_minor) == picture.spendable
    held = sum(sum(taken.values()) + own for name, (taken, own) in picture.holds.items() if name not in picture.ended)
    assert ledger.balance(user.id).held_minor == held
    assert [name for name, _, sql in CHECKS if db.session.execute(text(sql)).first()] == []
    promo.expire_due()  # what has run out of this life is not due in the next one
