"""Which backups are kept: seven daily, four weekly.

It goes by backups and not by the calendar: after weeks without one, the old ones are still there.
"""

from collections.abc import Iterable
from datetime import datetime

DAILY, WEEKLY = 7, 4


def kept(times: Iterable[datetime]) -> dict[datetime, str]:
    """Those to keep of backups made at these times (UTC), each with the reason. All others may go.

    The newest one of each of the last 7 days that have one; and the newest one of each of the last 4 weeks that have
    one, Monday to Sunday, without the newest one's own week, whose days are in the first seven.
    """
    newest_first = sorted(set(times), reverse=True)
    found: dict[datetime, str] = {}
    days: set[object] = set()
    weeks: set[object] = set()
    this_week = newest_first[0].isocalendar()[:2] if newest_first else None
    for at in newest_first:
        week = at.isocalendar()[:2]
        if week != this_week and week not in weeks and len(weeks) < WEEKLY:
            weeks.add(week)
            found[at] = "weekly"
        if at.date() not in days and len(days) < DAILY:
            days.add(at.date())
            found[at] = "daily"
    return found
