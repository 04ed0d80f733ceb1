"""Whether backups can be made and restored as things stand. Asked by the application alone, of its store and tables."""

from typing import Any

from flask import has_app_context

from namaskah.backups import checkup, place
from namaskah.doctor.findings import Finding, ok, warning


def look(_values: dict[str, Any]) -> list[Finding]:
    """Nothing where the application does not start, and where no place is set, which the settings' findings say."""
    if not has_app_context() or not place.is_set_up():
        return []
    found = [warning("backups", says, "docs/backups.md says more.") for says in checkup.findings()]
    return found or [ok("backups", "there is one, the store answers, and keys and programs are right")]
