"""Dockerfile and compose.yaml: the rules that matter, and the Dockerfile's steps done here."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from namaskah.config import SETTINGS
from ops.dockerfile_steps import Build, Stage, StepFailed, steps_of

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def lint(text: str) -> list[str]:
    """What hadolint, part of `make lint`, does not know: who runs it, and what is left inside."""
    steps = steps_of(text)
    last = max(number for number, step in enumerate(steps) if step.word == "FROM")
    run, found = steps[last:], []
    for step in steps:
        if step.word == "COPY" and re.search(r"(^| )\.( |$)", step.rest.rsplit(" ", 1)[0]):
            found.append(f"{step.line}: name what is copied")
        if re.search(r"pip install (?!--require-hashes)", step.rest):
            found.append(f"{step.line}: packages need their hashes")
        if re.search(r"\b(gcc|g\+\+|build-essential|python3-dev|git|curl)\b", step.rest) and step in run:
            found.append(f"{step.line}: a tool is left inside")
        if re.search(r"(?i)(secret|password|token)\w*=\S", step.rest):
            found.append(f"{step.line}: a secret would be in the image for good")
    users = [step.rest for step in run if step.word == "USER"]
    if not users or users[-1].split(":")[0] in {"root", "0"}:
        found.append("it is run by root")
    words = [step.word for step in run]
    found += [f"no {word}" for word in ("HEALTHCHECK", "CMD") if word not in words]
    return found


def test_the_dockerfile_keeps_the_rules() -> None:
    assert lint(DOCKERFILE) == []
    assert [step.word for step in steps_of(DOCKERFILE)].count("FROM") == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("COPY gunicorn.conf.py wsgi.py ./", "COPY . ./", "name what is copied"),
        ("--require-hashes ", "", "hashes"),
        ("postgresql-client-18 ", "postgresql-client-18 gcc ", "a tool is left"),
        ("USER 10001:10001", "USER root", "run by root"),
        ("USER 10001:10001", "", "run by root"),
        ("PORT=8000", "PORT=8000 SECRET_KEY=x", "a secret"),
    ],
)
def test_a_dockerfile_that_breaks_a_rule_is_seen(old: str, new: str, said: str) -> None:
    assert old in DOCKERFILE
    assert any(said in fault for fault in lint(DOCKERFILE.replace(old, new)))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The steps, with the packages that are installed here already."""
    build = Build(tmp_path_factory.mktemp("image"), sys.executable, Path(sys.prefix))
    return build.run(DOCKERFILE)


def test_the_steps_make_an_image_that_starts(built: Stage, settings: dict[str, str]) -> None:
    """The application of the image, not of this folder, tells all its commands."""
    place = built.real(".")
    environment = settings | {"PATH": "/usr/bin:/bin", "FLASK_APP": "wsgi", "COMMIT": "1a2b3c"}
    python = built.real("/opt/venv/bin/python")
    told = subprocess.run(
        [python, "-m", "flask", "--help"], cwd=place, env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert all(word in told for word in ("worker", "db", "doctor", "ledger", "catalogue"))
    shown = "import namaskah, json; print(json.dumps([namaskah.__file__, namaskah.create_app().config['COMMIT']]))"
    found = subprocess.run(
        [python, "-c", shown], cwd=place, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout) == [str(place / "namaskah/__init__.py"), "1a2b3c"]


def test_the_image_holds_what_is_served_and_nothing_else(built: Stage) -> None:
    there = {path.name for path in built.real(".").iterdir()} - {"__pycache__"}
    assert there == {"gunicorn.conf.py", "wsgi.py", "migrations", "namaskah", "translations"}
    catalogues = {path.parents[1].name for path in built.real("translations").rglob("*.mo")}
    assert catalogues == {path.parents[1].name for path in (ROOT / "translations").rglob("*.po")}
    assert list(built.real("namaskah").rglob("__pycache__/*.pyc"))
    assert built.user == "10001:10001" and built.environment["HOST"] == "0.0.0.0"
    known = {setting.name for setting in SETTINGS}
    assert set(built.environment) - known == {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "FLASK_APP"}


def test_a_step_that_fails_is_named(tmp_path: Path) -> None:
    for spoilt, said in (
        (DOCKERFILE.replace("COPY babel.cfg", "COPY README.md"), "dockerignore keeps README.md out"),
        (DOCKERFILE.replace("-d translations", "-d nowhere"), "RUN .*pybabel"),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        with pytest.raises(StepFailed, match=said):
            Build(folder, sys.executable, Path(sys.prefix)).run(spoilt)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return read


def test_compose_starts_things_in_order_and_hardened(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"web", "worker", "migrate", "postgres", "redis"}
    for name in ("web", "worker"):
        waits = {other: told["condition"] for other, told in services[name]["depends_on"].items()}
        assert waits == {
            "migrate": "service_completed_successfully", "postgres": "service_healthy", "redis": "service_healthy",
        }  # fmt: skip
    for name in ("web", "worker", "migrate"):
        own = services[name]
        assert own["read_only"] and own["cap_drop"] == ["ALL"] and "no-new-privileges:true" in own["security_opt"]
    for name in ("postgres", "redis"):
        assert "healthcheck" in services[name] and "ports" not in services[name]
    assert services["web"]["ports"] == ["127.0.0.1:${WEB_PORT:-8000}:8000"]
    redis = services["redis"]["command"][2]
    assert "--appendonly yes" in redis and "--maxmemory-policy noeviction" in redis
    named = {volume.split(":")[0] for name in ("postgres", "redis") for volume in services[name]["volumes"]}
    assert named == set(compose["volumes"])


def test_compose_waits_for_the_real_postgresql(compose: dict[str, Any]) -> None:
    """At its first start the image makes the database with a server that listens on a socket alone and is stopped
    again; migrations begun meanwhile find nobody and are not begun a second time."""
    assert "--host 127.0.0.1" in compose["services"]["postgres"]["healthcheck"]["test"][1]


def test_composes_redis_is_told_to_stop(compose: dict[str, Any], tmp_path: Path) -> None:
    """Docker tells the first process: a shell there would not pass it on, and after ten seconds it is killed."""
    shell, option, script = compose["services"]["redis"]["command"]
    program = tmp_path / "valkey-server"
    program.write_text('#!/bin/sh\necho $$ "$@"\ncat "$1"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "REDIS_PASSWORD": "of this test"}
    script = script.replace("$$", "$").replace("/tmp/", f"{tmp_path}/")
    with subprocess.Popen([shell, option, script], env=environment, stdout=subprocess.PIPE, text=True) as started:
        told = started.communicate(timeout=20)[0].splitlines()
    assert int(told[0].split()[0]) == started.pid
    assert "of this test" not in told[0]
    assert told[1] == 'requirepass "of this test"'


def test_compose_holds_no_secret_and_stops_patiently(compose: dict[str, Any]) -> None:
    text = (ROOT / "compose.yaml").read_text()
    given = re.findall(r"(?:PASSWORD|SECRET|TOKEN)\w*: (\S+)", text)
    assert given and all(value.startswith("${") for value in given)
    assert int(compose["services"]["web"]["stop_grace_period"].removesuffix("s")) > 30 + 5
    assert int(compose["services"]["worker"]["stop_grace_period"].removesuffix("s")) > 18
    ours = set(compose["services"]["web"]["environment"])
    assert ours <= {setting.name for setting in SETTINGS}
