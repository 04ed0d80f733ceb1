"""Seven daily and four weekly backups, whatever happened."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from namaskah.backups.retention import DAILY, WEEKLY, kept

START = datetime(2026, 1, 1, 2, tzinfo=UTC)
TIMES = st.lists(st.integers(0, 400 * 24 * 60).map(lambda minutes: START + timedelta(minutes=minutes)), max_size=120)


def week(at: datetime) -> tuple[int, int]:
    return at.isocalendar()[:2]


@given(TIMES)
def test_what_is_kept_of_any_backups(times: list[datetime]) -> None:
    keep = kept(times)
    assert keep.keys() <= set(times)
    assert len(keep) <= DAILY + WEEKLY
    if not times:
        assert keep == {}
        return
    assert keep[max(times)] == "daily"
    days = sorted({at.date() for at in times}, reverse=True)[:DAILY]
    assert {at.date() for at in keep} >= set(days), "the newest days that have one, however long ago"
    weeks = sorted({week(at) for at in times} - {week(max(times))}, reverse=True)[:WEEKLY]
    assert {week(at) for at in keep} >= set(weeks)
    for at in keep:
        assert at == max(other for other in times if other.date() == at.date()), "the newest of its day"


@given(TIMES)
def test_keeping_twice_is_keeping_once(times: list[datetime]) -> None:
    once = kept(times)
    assert kept(once) == once


@given(TIMES, st.integers(1, 10))
def test_removing_as_one_goes_keeps_what_removing_at_the_end_does(times: list[datetime], every: int) -> None:
    """What was removed on the way is never missed later."""
    there: set[datetime] = set()
    for number, at in enumerate(sorted(set(times))):
        there.add(at)
        if number % every == 0:
            there = set(kept(there))
    assert kept(there) == kept(times)


@given(st.integers(36, 90), st.sets(st.integers(0, 90)))
def test_daily_backups_reach_back_over_three_weeks(days: int, missed: set[int]) -> None:
    """With one a day for five weeks and more, the oldest is 22 to 28 days old; missed days take nothing away."""
    there: set[datetime] = set()
    for day in range(days):
        there = set(kept(there | {START + timedelta(days=day)}))
    assert timedelta(days=22) <= max(there) - min(there) <= timedelta(days=28)
    assert len([at for at in there if at > max(there) - timedelta(days=7)]) == DAILY
    with_gaps = kept(START + timedelta(days=day) for day in range(days) if day not in missed)
    assert len(with_gaps) >= min(DAILY, len(set(range(days)) - missed))
