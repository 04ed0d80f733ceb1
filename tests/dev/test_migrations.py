"""The lint of migrations sees what would lock a live table."""

from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from dev import migrations

SCRIPT = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "{0}", {1}
def upgrade():
    {2}
"""


def directory(folder: Path, later: str) -> ScriptDirectory:
    """A first release that adds a column any old way, and one migration after it doing `later`."""
    (folder / "versions").mkdir()
    first = SCRIPT.format(migrations.FIRST_RELEASE, None, "op.create_index('ix_t_a', 't', ['a'])")
    (folder / "versions/first.py").write_text(first)
    second = SCRIPT.format("later", repr(migrations.FIRST_RELEASE), later)
    (folder / "versions/second.py").write_text(second)
    return ScriptDirectory(str(folder))


@pytest.mark.parametrize(
    ("later", "clean"),
    [
        ("op.add_column('t', sa.Column('b', sa.Text()))", True),
        ("op.create_index('ix_t_b', 't', ['b'])", False),
        ("op.alter_column('t', 'b', nullable=False)", False),
    ],
)
def test_only_what_makes_customers_wait_is_a_fault(tmp_path: Path, later: str, clean: bool) -> None:
    (found,) = migrations.later_migrations(directory(tmp_path, later))
    assert found.revision == "later"
    assert migrations.lint("second.py", migrations.sql_of(found)) is clean


def test_the_migrations_of_this_project_pass() -> None:
    assert migrations.main() == 0
