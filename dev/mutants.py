"""Whether the tests notice when a guard of the money is gone: takes one away after the other and runs the few tests
that should fail then. `make mutants`; the table is docs/mutants.md.

    python -m dev.mutants                 those that are not in the table yet, or have changed since
    python -m dev.mutants --all           all of them again
    python -m dev.mutants --only NAME…    these
    python -m dev.mutants --from NAME     this one and what comes after it in the list

The table is written after each one, so a run may be broken off and gone on with. Nothing of the working copy is
touched: the code is changed in a copy, the database in a clone.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from dev.mutants_list import MUTANTS, Mutant
from dev.servers import servers

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs/mutants.md"
NEEDED = ("namaskah", "migrations", "tests", "dev", "bench", "docs", "translations", "assets")
FILES = ("wsgi.py", "gunicorn.conf.py", "pyproject.toml", ".env.example", "Makefile", "babel.cfg")
SECONDS_EACH = 240
SURVIVED = "SURVIVED"
HEAD = """# What the tests notice

Each line is a guard of the money that was taken away, and the first test that failed without it. Written by
`make mutants` (`dev/mutants.py`); the lists are in `dev/mutants_list/`.

| mutant | guard | where | noticed by |
|---|---|---|---|
"""
LINE = re.compile(r"^\| ([\w-]+) <!-- (\w+) --> \| .* \| `?([^`|]+)`? \|$")


@dataclass(frozen=True)
class Found:
    """What came of a mutant the last time: the test, or SURVIVED; and the state of the list it was run with."""

    mark: str
    noticed_by: str


def mark(mutant: Mutant) -> str:
    """Changes with everything that decides about a mutant's end."""
    said = "\0".join((mutant.where, mutant.old, str(mutant.new), *mutant.tests))
    return hashlib.sha256(said.encode()).hexdigest()[:8]


def read_table(text: str) -> dict[str, Found]:
    """Name → what stands in the table about it."""
    lines = filter(None, map(LINE.match, text.splitlines()))
    return {line[1]: Found(line[2], line[3].strip()) for line in lines}


def write_table(found: dict[str, Found]) -> str:
    """The table, in the order of the list; what is not in the list any more is dropped."""
    lines = []
    for mutant in MUTANTS:
        known = found.get(mutant.name)
        if known:
            noticed = known.noticed_by if known.noticed_by == SURVIVED else f"`{known.noticed_by}`"
            lines.append(f"| {mutant.name} <!-- {known.mark} --> | {mutant.guard} | {mutant.where} | {noticed} |\n")
    return HEAD + "".join(lines)


class Laboratory:
    """A copy of the project, servers of its own, and a migrated database to clone."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        self.copy, self.url = folder / "copy", database_url
        self.copy.mkdir()
        for name in NEEDED:
            shutil.copytree(ROOT / name, self.copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, self.copy / name)
        self.environment = os.environ | {
            "TEST_DATABASE_URL": database_url,
            "TEST_REDIS_URL": redis_url,
            "PYTHONPATH": str(self.copy),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._run("-c", "import sys; from tests import support; support.make_template(sys.argv[1])", database_url)
        self._sql("ALTER DATABASE namaskah_test_template RENAME TO mutants_pristine")

    def try_out(self, mutant: Mutant) -> str:
        """The first test that notices, or SURVIVED. Raises RuntimeError when the tests could not be run at all."""
        self._sql(
            "DROP DATABASE IF EXISTS namaskah_test_template WITH (FORCE)",
            "CREATE DATABASE namaskah_test_template TEMPLATE mutants_pristine",
        )
        if mutant.new is None:
            self._sql(mutant.old, database="namaskah_test_template")
            return self._first_failure(mutant.tests)
        file = self.copy / mutant.where
        source = file.read_text()
        if source.count(mutant.old) != 1:
            raise RuntimeError(f"{mutant.name}: its text stands {source.count(mutant.old)} times in {mutant.where}")
        file.write_text(source.replace(mutant.old, mutant.new))
        try:
            return self._first_failure(mutant.tests)
        finally:
            file.write_text(source)

    def _first_failure(self, tests: Iterable[str]) -> str:
        arguments = ["-m", "pytest", "-x", "-q", "-rfE", "--timeout=60", "-p", "no:cacheprovider", "-m", "not soak"]
        paths, words = [], ""
        for test in tests:
            path, _, wanted = test.partition("[")
            paths.append(path)
            words = wanted.rstrip("*]")
        done = self._run(*arguments, *(("-k", words) if words else ()), *paths, check=False)
        noticed = re.search(r"^(?:FAILED|ERROR) (tests/\S+?)(?:\[.*)?(?: - .*)?$", done.stdout, re.MULTILINE)
        if done.returncode == 1 and noticed:
            return noticed[1]
        if done.returncode == 0:
            return SURVIVED
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")

    def _run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        with subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.copy,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            try:
                output, errors = process.communicate(timeout=SECONDS_EACH)
            except subprocess.TimeoutExpired:
                process.kill()
                output, errors = process.communicate()
        done = subprocess.CompletedProcess(arguments, process.returncode, output, errors)
        if check and done.returncode:
            raise RuntimeError(errors[-2000:])
        return done

    def _sql(self, *statements: str, database: str = "") -> None:
        url = self.url.rpartition("/")[0] + f"/{database}" if database else self.url
        connection = psycopg2.connect(url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
        connection.close()


def chosen(arguments: argparse.Namespace, known: dict[str, Found]) -> list[Mutant]:
    """Which to run now."""
    names = [mutant.name for mutant in MUTANTS]
    unknown = {*(arguments.only or ()), *([arguments.start] if arguments.start else [])} - set(names)
    if unknown:
        raise SystemExit(f"not in dev/mutants_list/: {', '.join(sorted(unknown))}")
    if arguments.only:
        return [mutant for mutant in MUTANTS if mutant.name in arguments.only]
    if arguments.start:
        return list(MUTANTS[names.index(arguments.start) :])
    return [mutant for mutant in MUTANTS if arguments.all or not is_settled(mutant, known)]


def is_settled(mutant: Mutant, known: dict[str, Found]) -> bool:
    """Whether the table says of this very mutant that a test notices it."""
    found = known.get(mutant.name)
    return found is not None and found.mark == mark(mutant) and found.noticed_by != SURVIVED


def run(mutants: list[Mutant]) -> int:
    """Try them out, writing the table after each; returns how many were noticed by nobody."""
    found = read_table(TABLE.read_text()) if TABLE.exists() else {}
    missed = 0
    with tempfile.TemporaryDirectory(prefix="namaskah-mutants-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        environ = {key: value for key, value in os.environ.items() if key not in {"DATABASE_URL", "REDIS_URL"}}
        with servers(folder / "servers", durable=False, environ=environ) as running:
            laboratory = Laboratory(folder, running.database_url, running.redis_url)
            for number, mutant in enumerate(mutants, 1):
                try:
                    noticed_by = laboratory.try_out(mutant)
                except RuntimeError as error:
                    print(f"{mutant.name}: {error}", flush=True)
                    missed += 1
                    continue
                missed += noticed_by == SURVIVED
                print(f"{number}/{len(mutants)} {mutant.name}: {noticed_by}", flush=True)
                found[mutant.name] = Found(mark(mutant), noticed_by)
                TABLE.write_text(write_table(found))
    return missed


def main() -> None:
    parser = argparse.ArgumentParser(description="Take guards away and see whether a test notices.")
    parser.add_argument("--all", action="store_true", help="also those that the table has already")
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--from", dest="start", metavar="NAME")
    arguments = parser.parse_args()
    known = read_table(TABLE.read_text()) if TABLE.exists() else {}
    with suppress(KeyboardInterrupt):
        missed = run(chosen(arguments, known))
        if missed:
            sys.exit(f"{missed} not noticed by any test")


if __name__ == "__main__":
    main()
