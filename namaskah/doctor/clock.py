"""Whether this host's clock goes right: by the database's, and by Paystack's. Codes, links and log-ins live by it."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from namaskah import http
from namaskah.doctor import database, paystack
from namaskah.doctor.findings import Finding, bad, ok, warning

MEND = "Let it be set by the network: timedatectl set-ntp true (or chrony)."
# An authenticator's code lives for 30 seconds; a header tells whole seconds.
WARN_SECONDS, BAD_SECONDS = 3, 20


def look(values: dict[str, Any]) -> list[Finding]:
    found = []
    try:
        with database.connect(values).connect() as connection:
            asked = datetime.now(UTC)
            theirs = connection.scalar(text("SELECT clock_timestamp()"))
            answered = datetime.now(UTC)
        if theirs is not None:
            found.append(judge("the database", theirs, asked, answered))
    except SQLAlchemyError:
        pass  # that it does not answer is said elsewhere
    if values.get("PAYSTACK_SECRET_KEY"):
        found += _by_paystack(values)
    return found


def _by_paystack(values: dict[str, Any]) -> list[Finding]:
    asked = datetime.now(UTC)
    try:
        told = paystack.ask(values).headers.get("date", "")
        theirs = parsedate_to_datetime(told)
    except (http.NeverSent, http.NoAnswer, http.BadAnswer, ValueError):
        return []
    return [judge("Paystack", theirs, asked, datetime.now(UTC))]


def judge(whose: str, theirs: datetime, asked: datetime, answered: datetime) -> Finding:
    """Their clock was read between two looks at ours; what the answer took is nobody's fault."""
    off = max(asked - theirs, theirs - answered, timedelta()).total_seconds()
    says = f"{off:.0f} seconds from that of {whose}"
    if off > BAD_SECONDS:
        return bad("clock", says, MEND)
    return warning("clock", says, MEND) if off > WARN_SECONDS else ok("clock", says)
