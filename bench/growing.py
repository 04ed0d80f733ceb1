"""A sample of how a large table grows: a folder of migrations, the project's own and after them these four, one step
each, by the pattern of CONTRIBUTING.md. Used by bench.migration and by a test."""

import shutil
from pathlib import Path

MIGRATIONS = Path(__file__).parents[1] / "migrations"
_HEAD = '''"""{what}"""

import sqlalchemy as sa
from alembic import op

from migrations import gently

revision = "{revision}"
down_revision = "{before}"


def upgrade():
    {up}


def downgrade():
    {down}
'''
# What each does on the way up, and on the way down.
STEPS = (
    (
        "expand: a column that nothing uses yet",
        'op.add_column("activations", sa.Column("price_class", sa.Integer()))',
        'op.drop_column("activations", "price_class")',
    ),
    (
        "backfill, a thousand rows at a time",
        'gently.backfill("activations", "price_class = price_minor / 1000", "price_class IS NULL")',
        "pass",
    ),
    (
        "an index, built beside the customers",
        'gently.create_index("ix_activations_price_class_id", "activations", ["price_class", "id"])',
        'op.drop_index("ix_activations_price_class_id", "activations")',
    ),
    (
        "a rule that new rows obey",
        'gently.add_check("ck_activations_price_class", "activations", "price_class >= 0")',
        'op.drop_constraint("ck_activations_price_class", "activations")',
    ),
    ("and old ones are proved to", 'gently.validate("ck_activations_price_class", "activations")', "pass"),
)
NAMES = [f"x{number}" for number, _step in enumerate(STEPS, 1)]


def write(folder: Path) -> Path:
    """A copy of the project's migrations in `folder` with the sample behind them; returns where."""
    copy = folder / "migrations"
    shutil.copytree(MIGRATIONS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = max(file.name[:4] for file in (copy / "versions").glob("[0-9]*.py"))
    for name, (what, up, down) in zip(NAMES, STEPS, strict=True):
        script = _HEAD.format(what=what, revision=name, before=before, up=up, down=down)
        (copy / f"versions/{name}.py").write_text(script)
        before = name
    return copy
