"""Carries out the steps of the Dockerfile where there is no container engine: each stage gets a folder that plays its
file system, and its COPY, RUN, ENV, WORKDIR and CMD are done there in order. At the end the result is started and asked
for its health.

    python ops/dockerfile_steps.py [--keep FOLDER] [--python python3.11] [--install | --borrow VENV]

It stands in for `docker build`, and is weaker: the host's Python plays the base image's, steps that need root or
another system's package manager (apt-get, useradd, the system's own pip) are named and left out, and absolute paths are
moved below the folder. `--install` installs requirements.txt (needs the network); `--borrow` uses what is installed
already in a virtual environment, and leaves the steps of pip out.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent
# What only a container's root may do, or only Debian's tools can.
OF_THE_SYSTEM = re.compile(r"^(apt-get|/usr/share/postgresql-common/|rm -rf /var/lib/apt|useradd|python -m pip)\b")
PLACES = ("/srv/namaskah", "/opt/venv")


class StepFailed(Exception):
    """A step did not do what the Dockerfile wants of it; the message names it."""


@dataclass
class Step:
    line: int
    word: str
    rest: str


@dataclass
class Stage:
    """One FROM and what follows it."""

    name: str
    folder: Path
    directory: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    command: str = ""
    left_out: list[str] = field(default_factory=list)

    def real(self, path: str) -> Path:
        """Where a path of the image lies here."""
        whole = PurePosixPath(self.directory) / path
        return self.folder / whole.relative_to("/")

    def moved(self, text: str) -> str:
        for place in PLACES:
            text = text.replace(place, str(self.real(place)))
        return text


def steps_of(dockerfile: str) -> list[Step]:
    """Every instruction with its continued lines joined, comments left out."""
    found: list[Step] = []
    whole, began = "", 0
    for number, line in enumerate(dockerfile.splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not whole):
            continue
        began = began or number
        whole += line.rstrip().removesuffix("\\") + " "
        if not line.rstrip().endswith("\\"):
            word, _space, rest = whole.strip().partition(" ")
            found.append(Step(began, word.upper(), re.sub(r"\s+", " ", rest.strip())))
            whole, began = "", 0
    return found


def ignored(path: Path, patterns: list[str]) -> bool:
    """Whether .dockerignore keeps a top-level file out: `*` does, `!name` lets in again."""
    return "*" in patterns and f"!{path.relative_to(ROOT).parts[0]}" not in patterns


class Build:
    def __init__(self, folder: Path, python: str, borrowed: Path | None) -> None:
        self.folder, self.python, self.borrowed = folder, python, borrowed
        self.stages: dict[str, Stage] = {}
        self.patterns = (ROOT / ".dockerignore").read_text().split("\n")

    def run(self, dockerfile: str) -> Stage:
        """All steps in order; the last stage."""
        stage: Stage | None = None
        for step in steps_of(dockerfile):
            if step.word == "FROM":
                name = step.rest.split()[-1]
                stage = self.stages[name] = Stage(name, self.folder / name)
                stage.folder.mkdir(parents=True)
                continue
            if stage is None:
                continue  # ARG before the first FROM
            try:
                getattr(self, f"_{step.word.lower()}", self._nothing)(stage, step.rest)
            except (subprocess.CalledProcessError, OSError) as error:
                raise StepFailed(f"line {step.line}: {step.word} {step.rest[:80]}: {error}") from None
        assert stage is not None
        return stage

    def _nothing(self, stage: Stage, rest: str) -> None:
        """EXPOSE, STOPSIGNAL, HEALTHCHECK: words for whoever runs it."""

    def _workdir(self, stage: Stage, rest: str) -> None:
        stage.directory = rest
        stage.real(".").mkdir(parents=True, exist_ok=True)

    def _env(self, stage: Stage, rest: str) -> None:
        for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', rest):
            stage.environment[name] = re.sub(r"\$\w+", lambda name: os.environ.get(name[0][1:], ""), value.strip('"'))

    def _user(self, stage: Stage, rest: str) -> None:
        stage.user = rest

    def _cmd(self, stage: Stage, rest: str) -> None:
        stage.command = rest

    def _copy(self, stage: Stage, rest: str) -> None:
        *sources, target = [word for word in rest.split() if not word.startswith("--")]
        giver = re.search(r"--from=(\w+)", rest)
        for source in sources:
            origin = self.stages[giver[1]].real(source) if giver else ROOT / source
            if not giver and ignored(origin, self.patterns):
                raise StepFailed(f".dockerignore keeps {source} out")
            place = stage.real(target)
            if origin.is_symlink():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(origin.readlink())
            elif origin.is_dir():
                kept_out = shutil.ignore_patterns("__pycache__", *([] if giver else ["*.mo", "*.pyc"]))
                shutil.copytree(origin, place, symlinks=True, dirs_exist_ok=True, ignore=kept_out)
            else:
                shutil.copy(origin, place if place.suffix else place / origin.name)

    def _run(self, stage: Stage, rest: str) -> None:
        for part in rest.split(" && "):
            if OF_THE_SYSTEM.match(part):
                stage.left_out.append(part)
            elif "-m venv" in part and self.borrowed:
                stage.real("/opt").mkdir(parents=True)
                stage.real("/opt/venv").symlink_to(self.borrowed.resolve())
            elif "/pip " in part and self.borrowed:
                stage.left_out.append(part)
            else:
                self._do(stage, part)

    def _do(self, stage: Stage, part: str) -> None:
        command = stage.moved(re.sub(r"^python\b", self.python, part))
        # A copied script names the interpreter of where it came from.
        command = re.sub(r"^(\S*/bin)/(pybabel|pip) ", r"\1/python -m \2 ", command)
        command = command.replace("-m pybabel", "-m babel.messages.frontend")
        subprocess.run(  # noqa: S602
            command, shell=True, check=True, cwd=stage.real("."), env=os.environ | stage.environment
        )


def main() -> None:
    asked = argparse.ArgumentParser(description="Carry out the steps of the Dockerfile without a container engine.")
    asked.add_argument("--keep", type=Path, help="an empty folder to build in, kept afterwards")
    asked.add_argument("--python", default=sys.executable, help="plays the base image's python")
    asked.add_argument("--install", action="store_true", help="install requirements.txt from the registry")
    asked.add_argument("--borrow", type=Path, default=ROOT / ".venv", help="use this virtual environment's packages")
    wanted = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="namaskah-image-") as made:
        folder = wanted.keep or Path(made)
        build = Build(folder, wanted.python, None if wanted.install else wanted.borrow)
        last = build.run((ROOT / "Dockerfile").read_text())
        for stage in build.stages.values():
            for part in stage.left_out:
                print(f"left out in {stage.name}: {part}")  # noqa: T201
        size = sum(file.stat().st_size for file in last.folder.rglob("*") if file.is_file() and not file.is_symlink())
        print(f"built {last.name}: {size // 1_048_576} MiB, run by {last.user}: {last.command}")  # noqa: T201


if __name__ == "__main__":
    main()
