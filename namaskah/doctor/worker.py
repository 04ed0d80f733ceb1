"""Whether anybody does the background work, and whether anybody may use the operator's pages."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from namaskah.doctor import database
from namaskah.doctor.findings import Finding, bad, ok, warning

ALIVE = text("SELECT count(*) FROM worker_heartbeats WHERE beat_at > now() - interval '45 seconds'")
ADMINS = text("SELECT count(*) FROM users WHERE role = 'admin' AND banned_at IS NULL")


def look(values: dict[str, Any]) -> list[Finding]:
    try:
        with database.connect(values).connect() as connection:
            workers, admins = connection.scalar(ALIVE) or 0, connection.scalar(ADMINS) or 0
    except SQLAlchemyError:
        return []  # the database's own findings say why
    found = [ok("worker", f"{workers} at work")]
    if not workers:
        mend = "Start one: flask --app wsgi worker. Without it no code arrives, no refund is made, no letter leaves."
        found = [bad("worker", "none is at work", mend)]
    if not admins:
        mend = "Register at the site, then: flask --app wsgi account make-admin ADDRESS --reason first"
        return [*found, warning("operators", "no account may open /admin/", mend)]
    return [*found, ok("operators", f"{admins}")]
