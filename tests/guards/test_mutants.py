"""The list of guards to be taken away fits the code, names tests that exist and every rule of the database; and the
table says that each was noticed. What `make mutants` tries out, this only compares."""

from pathlib import Path

import pytest

from dev.mutants import SURVIVED, TABLE, Found, is_settled, mark, read_table, write_table
from dev.mutants_list import MUTANTS, RULES, TRIGGERS, Mutant
from tests.guards.test_asvs import missing
from tests.guards.test_migrations import OUR_TRIGGERS
from tests.money.test_refusals import BROKEN

ROOT = Path(__file__).parents[2]
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}


def test_names_are_single_and_there_are_enough() -> None:
    assert len(BY_NAME) == len(MUTANTS) >= 120


def test_each_text_stands_once_in_its_file() -> None:
    found = {
        mutant.name: (ROOT / mutant.where).read_text().count(mutant.old) for mutant in MUTANTS if mutant.new is not None
    }
    assert {name: count for name, count in found.items() if count != 1} == {}


def test_the_tests_that_should_notice_exist() -> None:
    named = {test.partition("[")[0] for mutant in MUTANTS for test in mutant.tests}
    assert sorted(test for test in named if missing(test)) == []


def test_every_rule_and_trigger_of_the_database_has_its_mutant() -> None:
    assert sorted(name for names in RULES.values() for name in names) == sorted(BROKEN)
    ours = {(table, name) for name, tables in OUR_TRIGGERS.items() for table in tables}
    assert {(table, name) for table, name, _test in TRIGGERS} == ours


def test_the_table_says_of_each_that_it_was_noticed() -> None:
    known = read_table(TABLE.read_text())
    assert [mutant.name for mutant in MUTANTS if not is_settled(mutant, known)] == [], "run make mutants"


@pytest.mark.parametrize("noticed_by", ["tests/money/test_transactions.py::test_a_job", SURVIVED])
def test_what_is_written_is_read_again(noticed_by: str) -> None:
    mutant = MUTANTS[0]
    known = read_table(write_table({mutant.name: Found(mark(mutant), noticed_by), "gone": Found("1", "x")}))
    assert known == {mutant.name: Found(mark(mutant), noticed_by)}
    assert is_settled(mutant, known) is (noticed_by != SURVIVED)


def test_a_changed_mutant_must_be_tried_out_anew() -> None:
    mutant = MUTANTS[0]
    changed = Mutant(mutant.name, mutant.guard, mutant.where, mutant.old, "pass\n", mutant.tests)
    assert not is_settled(changed, {mutant.name: Found(mark(mutant), "a test")})
