"""Backups of the database, encrypted for keys this host does not have, and the drills that prove they can be restored.

making writes one, checking reads it again, restoring brings it back, drills restores it for practice and
throws it away; docs/backups.md is the runbook.
"""

from namaskah.backups.runs import Age, age, backup_age, drill_age
from namaskah.backups.status import troubles

__all__ = ["Age", "age", "backup_age", "drill_age", "troubles"]
