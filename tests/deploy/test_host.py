"""systemd units, nginx and DEPLOY.md: what they promise agrees with each other and with the code."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dev.process import free_port
from namaskah import create_app, worker
from namaskah.config import SETTINGS, load
from tests.deploy import proxy

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "ops/systemd").glob("*.service"))
SAFE = {
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
    "PrivateDevices": "yes", "CapabilityBoundingSet": "", "RestrictNamespaces": "yes", "User": "namaskah",
    "RestrictSUIDSGID": "yes", "SystemCallArchitectures": "native", "LockPersonality": "yes",
}  # fmt: skip


def read(unit: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_are_hardened(unit: Path) -> None:
    told = read(unit)
    assert {name: told.get(name) for name in SAFE} == SAFE
    # setrlimit() is among @resources, and gunicorn.conf.py calls it.
    assert "@resources" not in unit.read_text()
    assert "EnvironmentFile" in told and not re.search(r"(SECRET|PASSWORD|TOKEN)\w*=", unit.read_text())


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_itself_understands_them(unit: Path, tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd here")
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / unit.name.replace("@", "@1")
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={program}", unit.read_text()))
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    ).stderr
    assert [line for line in said.splitlines() if unit.stem.split("@")[0] in line] == []


def test_they_wait_as_long_as_the_processes_take() -> None:
    units = {unit.stem: read(unit) for unit in UNITS}
    web, background = units["namaskah-web@"], units["namaskah-worker@"]
    assert web["KillMode"] == background["KillMode"] == "mixed"  # only the parent is told, and drains
    assert int(web["TimeoutStopSec"]) > 30 + 5
    assert int(background["TimeoutStopSec"]) > worker.LAST_JOB_SECONDS + worker.LAST_TURN_SECONDS


def test_nginx_passes_on_what_the_application_reads() -> None:
    conf = (ROOT / "ops/nginx.conf").read_text()
    for header in ("Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Request-ID", "Upgrade", "Connection"):
        assert re.search(rf"proxy_set_header {header}\s", conf), header
    assert int(re.search(r"proxy_read_timeout\s+(\d+)s", conf)[1]) > 30  # type: ignore[index]
    assert "non_idempotent" not in conf  # a purchase is never sent twice
    assert conf.count("{") == conf.count("}")
    for line in conf.splitlines():
        code = line.split("#")[0].strip()
        assert not code or code[-1] in "{};", line


def test_every_name_in_deploy_md_exists(settings: dict[str, str]) -> None:
    """Settings, files, commands and links: a newcomer follows it to the letter."""
    text = (ROOT / "DEPLOY.md").read_text()
    known = {setting.name for setting in SETTINGS}
    others = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "WEB_PORT", "PGPASSWORD"}
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:=[^`]*)?`", text))
    assert named - known - others == set()
    # What another part of the work brings is looked for where it is there.
    links = set(re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text))
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []
    files = re.findall(r"`((?:ops|docs|tests)/[\w./@-]+|render\.yaml|compose\.yaml|Dockerfile)`", text)
    assert [file for file in files if not (ROOT / file).exists()] == []
    app = create_app(load(settings))
    commands = set(app.cli.commands) | {"db"}
    used = set(re.findall(r"flask (?:--app wsgi )?([a-z-]+)", text)) - {"backup", "import-legacy"}
    assert used and used <= commands
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", text, re.M)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= anchors


def test_a_newcomer_has_a_certificate_before_nginx_asks_for_it() -> None:
    """nginx does not load a file that names one that is not there; and it must read each renewed one."""
    text = (ROOT / "DEPLOY.md").read_text()
    asked = re.search(r"^certbot certonly --webroot -w (\S+) .*--deploy-hook \"systemctl reload nginx\"", text, re.M)
    assert asked
    assert asked.start() < text.index("cp /srv/namaskah/current/ops/nginx.conf")
    # Where the site that Debian's nginx comes with looks, and from then on ours.
    assert asked[1] == "/var/www/html"
    assert f"/.well-known/acme-challenge/ {{ root {asked[1]}; }}" in (ROOT / "ops/nginx.conf").read_text()


def test_commands_in_deploy_md_run_from_any_folder() -> None:
    """systemd-run looks for its program from where one stands, whatever WorkingDirectory says."""
    for command in re.findall(r"`systemd-run ([^`]+)`", (ROOT / "DEPLOY.md").read_text()):
        program = next(word for word in command.split() if "=" not in word and not word.startswith("-"))
        assert program.startswith("/"), command


def test_nginx_itself_understands_the_file(tmp_path: Path) -> None:
    """The whole of it, TLS and HTTP/2 and all; only its ports and its certificate are others."""
    (program,) = proxy.programs("nginx")
    certificate = tmp_path / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=sms.example.com", "-keyout", tmp_path / "key.pem", "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    text = (ROOT / "ops/nginx.conf").read_text()
    text = re.sub(r"/etc/letsencrypt/\S+/fullchain.pem", str(certificate), text)
    text = re.sub(r"/etc/letsencrypt/\S+/privkey.pem", str(tmp_path / "key.pem"), text)
    text = re.sub(r"    listen \[::\].*\n", "", text)  # not every machine has IPv6
    text = text.replace("listen 80;", f"listen {free_port()};").replace("listen 443 ", f"listen {free_port()} ")
    main = proxy.whole(tmp_path, text)
    done = subprocess.run(
        [program, "-t", "-p", tmp_path, "-e", tmp_path / "error.log", "-c", main],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_scaling_md_names_exists() -> None:
    text = (ROOT / "docs/scaling.md").read_text()
    files = re.findall(r"`((?:ops|docs|tests)/[\w./@-]+|bench\.\w+|[a-z]+/[a-z_]+\.py)`", text)
    places = [file.replace(".", "/") + ".py" if file.startswith("bench.") else file for file in files]
    assert len(set(places)) > 5
    assert [place for place in places if not any((root / place).exists() for root in (ROOT, ROOT / "namaskah"))] == []
    assert [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not (ROOT / "docs" / link).exists()] == []
