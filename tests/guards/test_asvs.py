"""docs/asvs.csv says for each requirement that applies to us what holds and where that is shown; the places exist."""

import ast
import csv
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def rows() -> list[dict[str, str]]:
    with (ROOT / "docs/asvs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def missing(place: str) -> bool:
    """Whether a path, or path::test, is not there."""
    path, _separator, test = place.partition("::")
    file = ROOT / path
    if not file.is_file():
        return True
    return bool(test) and test not in {
        node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)
    }


def test_every_requirement_is_there_once_with_a_place_that_shows_it() -> None:
    found = rows()
    ids = [row["requirement"] for row in found]
    assert len(ids) == len(set(ids)) == 196
    assert [id for id in ids if not re.fullmatch(r"v5\.0\.0-\d+\.\d+\.\d+", id)] == []
    assert [row["requirement"] for row in found if not row["what holds here"] or not row["shown by"]] == []


def test_every_place_named_exists() -> None:
    places = {place for row in rows() for place in row["shown by"].split()}
    assert sorted(place for place in places if missing(place)) == []


def test_a_place_that_is_not_there_is_seen() -> None:
    assert missing("tests/guards/test_nothing.py")
    assert missing("tests/guards/test_asvs.py::test_that_nobody_wrote")
    assert not missing("tests/guards/test_asvs.py::test_every_place_named_exists")
