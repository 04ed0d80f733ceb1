"""Every job of housekeeping: what it erases, after how long, and the verb that does it.

A verb erases a batch in a transaction of its own, passing over what others have locked, and returns how many rows that
were; nothing is left when it returns 0. It may be killed anywhere, and run in many workers at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from flask_babel import LazyString, ngettext
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from namaskah import jobs
from namaskah.account import erasing, exports, unconfirmed
from namaskah.auth import audit, email_changes, sessions
from namaskah.auth.second_factor import challenges, tries
from namaskah.numbers import message_retention
from namaskah.wallet import event_retention
from namaskah.watch import heartbeats, measuring

OFTEN, HOURLY = 300, 3600


@dataclass(frozen=True)
class Job:
    """`every`: seconds from the end of one run to the next. `kept` says after how long things go, in the reader's
    language and by the present settings."""

    name: str
    what: LazyString
    kept: Callable[[], str]
    batch: Callable[[], int]
    every: int = 600


def _hours(length: timedelta) -> str:
    count = round(length.total_seconds() / 3600)
    return ngettext("%(num)s hour", "%(num)s hours", count)


def _days(length: timedelta) -> str:
    return ngettext("%(num)s day", "%(num)s days", length.days)


def _minutes(length: timedelta) -> str:
    return ngettext("%(num)s minute", "%(num)s minutes", round(length.total_seconds() / 60))


def _messages_kept() -> str:
    return _("%(time)s after the number was closed", time=_hours(message_retention.kept_for()))


def _sessions_kept() -> str:
    idle, oldest = sessions.LIMITS["customer"]
    return _("%(idle)s without use, %(oldest)s in all", idle=_days(idle), oldest=_days(oldest))


def _measured_kept() -> str:
    minutes, days = _days(measuring.MINUTES_KEPT), _days(measuring.DAYS_KEPT)
    return _("Single minutes %(minutes)s, days %(days)s", minutes=minutes, days=days)


JOBS = (
    Job(
        "messages",
        _l("Text, code and sender of messages. That a message came, and when, stays."),
        _messages_kept,
        message_retention.erase_due,
        OFTEN,
    ),
    Job(
        "unconfirmed_accounts",
        _l("Accounts whose address was never confirmed and that nothing was done with: no money, no number."),
        lambda: _days(timedelta(days=unconfirmed.days())),
        unconfirmed.erase_due,
        HOURLY,
    ),
    Job(
        "deleted_accounts",
        _l("What still comes for deleted accounts: late messages, and what Paystack writes about the payer."),
        lambda: _("at once"),
        erasing.erase_late_due,
    ),
    Job(
        "export_files",
        _l("Files of everything we hold of a person."),
        lambda: _days(exports.KEPT),
        exports.remove_old_due,
    ),
    Job(
        "sessions",
        _l("Log-ins that have ended by themselves, with their device and network address."),
        _sessions_kept,
        sessions.end_old_due,
    ),
    Job(
        "origins",
        _l("From which device and network address an event of the audit log came. The event stays."),
        lambda: _days(audit.ORIGIN_KEPT),
        audit.forget_origins_due,
    ),
    Job(
        "new_addresses",
        _l("New e-mail addresses that nobody confirmed, and with them the link in the letter."),
        lambda: _hours(timedelta(hours=email_changes.HOURS)),
        email_changes.drop_old_due,
    ),
    Job(
        "passkey_challenges",
        _l("Questions that a passkey has answered once."),
        lambda: _minutes(challenges.KEPT),
        challenges.forget_old_due,
    ),
    Job("wrong_codes", _l("Wrong codes of a second factor."), lambda: _minutes(tries.WITHIN), tries.forget_old_due),
    Job(
        "gateway_reports",
        _l("The signed bytes of Paystack’s reports, with the codes that charge cards. What is read of them stays."),
        lambda: _days(timedelta(days=event_retention.days())),
        event_retention.erase_due,
        HOURLY,
    ),
    Job(
        "queue",
        _l("Jobs that were given up after all their tries, letters and the links in them among these."),
        lambda: _days(timedelta(days=jobs.FAILED_KEPT_DAYS)),
        jobs.forget_ended_due,
    ),
    Job(
        "measurements",
        _l("What was measured for the status page."),
        _measured_kept,
        measuring.forget_old_due,
        HOURLY,
    ),
    Job(
        "heartbeats",
        _l("Workers that are not there any more."),
        lambda: _minutes(timedelta(seconds=heartbeats.KEPT_SECONDS)),
        heartbeats.forget_gone_due,
        OFTEN,
    ),
)  # fmt: skip


def names() -> list[str]:
    """Of all jobs, in the order of the list."""
    return [job.name for job in JOBS]


def get(name: str) -> Job:
    """The job of this name. Raises KeyError."""
    return {job.name: job for job in JOBS}[name]
