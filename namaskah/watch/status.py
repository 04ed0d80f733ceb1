"""The public status page's content: each part's state as measured last, and how the last ninety days were."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from time import monotonic
from typing import Any

from flask_babel import lazy_gettext as _l

from namaskah.db import db
from namaskah.watch import judging, measuring
from namaskah.watch.judging import DEGRADED, DOWN, OK, UNKNOWN

FRESH_SECONDS = 300
CACHED_SECONDS = 10.0
DAYS = 90
# From so many minutes on a day's bar shows it.
BAD_MINUTES, WARNING_MINUTES = 5, 15

NAMES = {
    "pages": _l("Pages"),
    "buying": _l("Buying numbers"),
    "codes": _l("Codes arriving"),
    "top_ups": _l("Top-ups"),
    "mail": _l("E-mail"),
}
WORDS = {OK: _l("Works"), DEGRADED: _l("Not as usual"), DOWN: _l("Does not work"), UNKNOWN: _l("Not known")}
HEADLINES = {
    OK: _l("Everything works."),
    DEGRADED: _l("Most things work as usual."),
    DOWN: _l("Something does not work just now."),
    UNKNOWN: _l("We do not know just now how everything is."),
}
SENTENCES = {
    ("pages", OK): _l("Pages open as usual."),
    ("pages", DEGRADED): _l("Pages open slowly."),
    ("pages", DOWN): _l("Pages do not open for everybody. Your money is safe."),
    ("buying", OK): _l("Numbers can be bought."),
    ("buying", DEGRADED): _l("Some purchases do not work out. Whoever gets no number is not charged."),
    ("buying", DOWN): _l("No number can be bought just now. Nobody is charged."),
    ("codes", OK): _l("Codes arrive."),
    ("codes", DEGRADED): _l("Fewer codes arrive than usual. No code, no charge."),
    ("codes", DOWN): _l("Codes do not arrive just now. The price of a number without a code comes back by itself."),
    ("top_ups", OK): _l("Payments are in the wallet within a minute."),
    ("top_ups", DEGRADED): _l("Some payments take longer. Whatever was paid is credited by itself."),
    ("top_ups", DOWN): _l("Top-ups do not work just now. Whatever was paid is credited by itself."),
    ("mail", OK): _l("Letters are sent at once."),
    ("mail", DEGRADED): _l("Letters arrive late."),
    ("mail", DOWN): _l("Letters are not sent just now. They follow by themselves."),
}
NOT_KNOWN = _l("There is no fresh measurement of this.")


@dataclass(frozen=True)
class Day:
    """One bar. `look`: good, warn, bad, or nothing where nothing was measured."""

    day: date
    look: str


@dataclass(frozen=True)
class Part:
    name: Any
    state: str
    word: Any
    sentence: Any
    days: list[Day]
    uptime: float | None  # share of the measured minutes in which it was not down, cut to four decimals


@dataclass(frozen=True)
class Status:
    """`measured_at` is None before the first measurement."""

    headline: Any
    state: str
    measured_at: datetime | None
    parts: list[Part]
    figures: dict[str, Any] = field(default_factory=dict)


class _Last:
    """What this process read last, to be shown again for some seconds, and for want of a database."""

    at = -1e9
    measured_at: datetime | None = None
    states: dict[str, str] = {}
    figures: dict[str, Any] = {}
    days: list[dict[str, Any]] = []


def read() -> Status:
    """The page's content, at most ten seconds old. Raises what the database does when it does not answer."""
    if monotonic() - _Last.at > CACHED_SECONDS:
        last = measuring.latest()
        _Last.days = measuring.days()
        _Last.measured_at = last.minute if last else None
        _Last.states = (last.states or {}) if last else {}
        _Last.figures = last.figures if last else {}
        db.session.rollback()
        _Last.at = monotonic()
    return _status(_is_fresh(), {})


def without_database() -> Status:
    """What can be told when the database does not answer: nothing that needs it works."""
    needs_it = {"pages", "buying", "codes", "top_ups"}
    return _status(False, dict.fromkeys(sorted(needs_it), DOWN))


def forget() -> None:
    """Read anew at the next question."""
    _Last.at = -1e9


def _is_fresh() -> bool:
    at = _Last.measured_at
    return at is not None and (datetime.now(UTC) - at).total_seconds() < FRESH_SECONDS


def _status(is_fresh: bool, known: dict[str, str]) -> Status:
    shown = [part for part in judging.PARTS if part in _Last.states or part in known] or list(judging.PARTS)
    states = {part: known.get(part, _Last.states.get(part, UNKNOWN) if is_fresh else UNKNOWN) for part in shown}
    state = judging.worst(states)
    parts = [_part(part, state) for part, state in states.items()]
    return Status(HEADLINES[state], state, _Last.measured_at, parts, _Last.figures if is_fresh else {})


def _part(part: str, state: str) -> Part:
    rows = {row["day"]: row for row in _Last.days if row["part"] == part}
    today = datetime.now(UTC).date()
    days = [today - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]
    measured = sum(row[OK] + row[DEGRADED] + row[DOWN] for row in rows.values())
    down = sum(row[DOWN] for row in rows.values())
    return Part(
        name=NAMES[part],
        state=state,
        word=WORDS[state],
        sentence=SENTENCES.get((part, state), NOT_KNOWN),
        days=[Day(day, _look(rows.get(day))) for day in days],
        uptime=(measured - down) * 10_000 // measured / 10_000 if measured else None,
    )


def _look(row: dict[str, Any] | None) -> str:
    if row is None or not row[OK] + row[DEGRADED] + row[DOWN]:
        return ""
    if row[DOWN] >= BAD_MINUTES:
        return "bad"
    return "warn" if row[DEGRADED] + row[DOWN] >= WARNING_MINUTES else "good"
