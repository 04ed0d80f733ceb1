"""docs/scenarios.csv says for each way in which money could go wrong which tests show that it does not."""

import csv
from pathlib import Path

from tests.guards.test_asvs import missing

ROOT = Path(__file__).parents[2]


def rows() -> list[dict[str, str]]:
    with (ROOT / "docs/scenarios.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_scenario_is_there_once_with_a_test_or_a_reason() -> None:
    found = rows()
    assert [row["scenario"] for row in found] == [f"S{number:02}" for number in range(1, 37)]
    assert [row["scenario"] for row in found if not row["what happens"] or not (row["shown by"] or row["note"])] == []


def test_every_test_named_exists() -> None:
    named = {place for row in rows() for place in row["shown by"].split()}
    assert sorted(place for place in named if "::" not in place or missing(place)) == []
