"""Whether backups could be made and restored as things stand, for `flask doctor`: each finding says how to mend it."""

from datetime import UTC, datetime

from flask import current_app
from sqlalchemy.exc import OperationalError

from namaskah.backups import alarms, databases, drills, place, programs, sets
from namaskah.backups.making import sentence
from namaskah.backups.problems import BackupError
from namaskah.db import leave_database


def findings() -> list[str]:
    """What is wrong, a sentence each; none when all is well. Asks the store and the database, and changes nothing."""
    if not place.is_set_up():
        return ["no backups are made: set BACKUP_STORE and BACKUP_RECIPIENTS, see docs/backups.md"]
    found = []
    for look in (_store, _programs, _keys):
        try:
            found += look()
        except (BackupError, OperationalError) as error:
            found.append(sentence(error))
    found += [str(alarms.SENTENCES[reason]) for reason in alarms.late(datetime.now(UTC))]
    leave_database()
    return found


def _store() -> list[str]:
    there = sets.listed(place.store())
    return [] if any(each.is_whole for each in there) else ["there is no backup yet: make one with flask backup create"]


def _programs() -> list[str]:
    with databases.connection(current_app.config["DATABASE_URL"]) as opened:
        version = databases.version(opened)
    for program in ("pg_dump", "pg_restore"):
        programs.find(program, version)
    return []


def _keys() -> list[str]:
    recipients = current_app.config["BACKUP_RECIPIENTS"]
    found = []
    if len(recipients) < 2:
        found.append("BACKUP_RECIPIENTS names one key: when it is lost, so is every backup; add a second one")
    own = drills.own_identity()
    if own is not None and not {str(key.to_public()) for key in own} & set(recipients):
        found.append("BACKUP_DRILL_IDENTITY is none of BACKUP_RECIPIENTS: drills cannot open the backups")
    return found
