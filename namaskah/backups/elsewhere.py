"""The application's own verbs at work on another database: one that has just been restored.

A second create_app() would bind the process's extensions anew. Here there is an application of the database, the
migrations and the translations alone, with the same settings.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.script import ScriptDirectory
from flask import Flask, current_app
from sqlalchemy.pool import NullPool

from namaskah.backups import databases
from namaskah.backups.problems import BackupError
from namaskah.db import db
from namaskah.extensions import babel, migrate

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


@contextmanager
def at(url: str) -> Iterator[None]:
    """Inside, `db.session` is a session of this database, and statements may take as long as they do."""
    app = Flask("namaskah.elsewhere")
    app.config.update(current_app.config)
    options: dict[str, Any] = {"poolclass": NullPool, "connect_args": databases.PATIENT, "hide_parameters": True}
    app.config.update(SQLALCHEMY_DATABASE_URI=url, DATABASE_URL=url, SQLALCHEMY_ENGINE_OPTIONS=options)
    app.config.update(SQLALCHEMY_BINDS={}, DATABASE_REPLICA_URL="")  # those are of the database we serve from
    db.init_app(app)
    migrate.init_app(app, db, compare_type=True)
    babel.init_app(app, default_translation_directories=app.config["TRANSLATIONS"])
    with app.app_context():
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()


def head() -> str:
    """The newest migration of this program."""
    return str(ScriptDirectory(str(MIGRATIONS)).get_current_head())


def require_known(revision: str) -> None:
    """Raises BackupError for a database of a newer program than this one."""
    if revision not in {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}:
        raise BackupError(
            f"the backup is of a newer version of Namaskah (migration {revision}): restore it with that version"
        )


def upgrade() -> None:
    """Bring the database of at() to the newest migration."""
    config = current_app.extensions["migrate"].migrate.get_config(str(MIGRATIONS))
    command.upgrade(config, "head")
