"""Lints what migrations do to a live database: `python -m dev.migrations`, part of `make lint`.

The migrations of the first release fill an empty database and may lock what they like; every later one runs while
customers wait, and squawk knows which statements make them wait.
"""

import io
import subprocess
import sys
from pathlib import Path

from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import Script, ScriptDirectory

ROOT = Path(__file__).resolve().parents[1]
FIRST_RELEASE = "0003"
SQUAWK = Path(sys.executable).with_name("squawk")
EXCLUDED = (
    "prefer-bigint-over-int",  # money and keys are bigint; what is left counts tries and ranks
    "prefer-text-field",  # a length limit is wanted where the value comes from a person
    "prefer-robust-stmts",  # every migration is one transaction, there is nothing half to repeat
    "transaction-nesting",  # an autocommit_block(), for CONCURRENTLY, ends it and begins another
    "ban-uncommitted-transaction",  # which alembic ends
    "ban-drop-constraint",  # a wider one takes its place in the same transaction
    "require-timeout-settings",  # env.py sets lock_timeout for all of them
)


def sql_of(migration: Script) -> str:
    """The statements `migration` sends on the way up."""
    written = io.StringIO()
    options = {"as_sql": True, "output_buffer": written}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    with Operations.context(context):
        migration.module.upgrade()
    return written.getvalue()


def later_migrations(scripts: ScriptDirectory) -> list[Script]:
    """Those written after the first release, oldest first."""
    return [script for script in reversed(list(scripts.walk_revisions(FIRST_RELEASE, "heads")))
            if script.revision != FIRST_RELEASE]  # fmt: skip


def lint(name: str, sql: str) -> bool:
    """Whether squawk has nothing to say about `sql`."""
    options = [
        "--assume-in-transaction",
        "--pg-version=15",
        f"--exclude={','.join(EXCLUDED)}",
        f"--stdin-filepath={name}",
    ]
    judged = subprocess.run([SQUAWK, *options], input=sql, text=True, check=False, capture_output=True)
    if judged.returncode:
        print(judged.stdout, judged.stderr)
    return judged.returncode == 0


def main() -> int:
    """Lint every later migration; 1 when one has a fault."""
    if not (ROOT / "migrations/versions").is_dir():
        return 0
    found = later_migrations(ScriptDirectory(str(ROOT / "migrations")))
    faulty = [script for script in found if not lint(Path(script.path).name, sql_of(script))]
    return 1 if faulty else 0


if __name__ == "__main__":
    sys.exit(main())
