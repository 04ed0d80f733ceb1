"""How big things are: a room one can take in at a glance."""

import ast
from collections.abc import Sequence
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "namaskah"

LONGEST_FUNCTION, FUNCTION_MEDIAN, FUNCTION_NINTH_DECILE = 60, 8, 32
LONGEST_FILE, FILE_MEDIAN, FILE_NINTH_DECILE = 400, 110, 250


def functions_of(package: Path) -> dict[str, int]:
    """Lines of every function, from its def to its end."""
    found: dict[str, int] = {}
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                place = f"{file.relative_to(package)}:{node.name}"
                found[place] = max(found.get(place, 0), (node.end_lineno or 0) - node.lineno + 1)
    return found


def files_of(package: Path) -> dict[str, int]:
    """Lines of every file that says something."""
    lines = {str(file.relative_to(package)): len(file.read_text().splitlines()) for file in package.rglob("*.py")}
    return {file: count for file, count in lines.items() if count}


def quantile(sizes: Sequence[int], part: float) -> int:
    return sorted(sizes)[int((len(sizes) - 1) * part)]


def too_long(sizes: dict[str, int], longest: int) -> list[str]:
    return [f"{name}: {lines} lines" for name, lines in sizes.items() if lines > longest]


def test_functions_are_short() -> None:
    sizes = functions_of(PACKAGE)
    median, ninth = quantile(list(sizes.values()), 0.5), quantile(list(sizes.values()), 0.9)
    print(f"{len(sizes)} functions: median {median}, ninth decile {ninth}, longest {max(sizes.values())} lines")
    assert too_long(sizes, LONGEST_FUNCTION) == []
    assert median <= FUNCTION_MEDIAN
    assert ninth <= FUNCTION_NINTH_DECILE


def test_files_are_short() -> None:
    sizes = files_of(PACKAGE)
    median, ninth = quantile(list(sizes.values()), 0.5), quantile(list(sizes.values()), 0.9)
    print(f"{len(sizes)} files: median {median}, ninth decile {ninth}, longest {max(sizes.values())} lines")
    assert too_long(sizes, LONGEST_FILE) == []
    assert median <= FILE_MEDIAN
    assert ninth <= FILE_NINTH_DECILE


def test_a_long_function_and_a_long_file_are_seen(tmp_path: Path) -> None:
    body = "\n".join(f"    x = {number}" for number in range(60))
    (tmp_path / "short.py").write_text("def f():\n    return 1\n")
    (tmp_path / "long.py").write_text(f"def f():\n{body}\n" + "y = 1\n" * 340)
    assert too_long(functions_of(tmp_path), LONGEST_FUNCTION) == ["long.py:f: 61 lines"]
    assert too_long(files_of(tmp_path), LONGEST_FILE) == ["long.py: 401 lines"]
    assert quantile([1, 2, 3, 100], 0.9) == 3
