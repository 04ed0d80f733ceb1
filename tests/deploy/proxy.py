"""nginx before web servers, by ops/nginx.conf: all that is changed in it is written here."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.binaries import find_proxy
from dev.process import StartError, port_is_free, spawn, stop
from tests.support import ROOT, wait_until

CONF = ROOT / "ops/nginx.conf"
# Which server answered, for tests alone to know.
UPSTREAM = "X-Upstream"
_AROUND = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    {temporary}
    add_header {upstream} $upstream_addr always;
    include {folder}/namaskah.conf;
}}
"""
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass
class Proxy:
    """A running one; `log` is what it says of servers it could not reach."""

    port: int
    log: Path


def programs(*names: str) -> list[Path]:
    """The system's; skips the test where one is missing."""
    try:
        return [find_proxy(name) for name in names]
    except StartError as error:
        pytest.skip(f"{error} `.ci/run` does it.")


def adapted(port: int, servers: Sequence[int]) -> str:
    """ops/nginx.conf for one port of this machine, without TLS, before these servers."""
    text = CONF.read_text()
    changes = (
        (r"(?s)\nserver \{\n    listen 80;.*?\n\}\n", "\n"),  # leads to https, where there is none
        (r"    listen 443 ssl http2;\n    listen \[::\]:443 ssl http2;\n", f"    listen 127.0.0.1:{port};\n"),
        (r"    # The older spelling.*\n", ""),
        (r"(    ssl_\w+ .*\n)+", ""),
        (r"server 127\.0\.0\.1:8001 (.*)\n.*:8002 .*\n",
         "".join(rf"server 127.0.0.1:{server} \1" + "\n" for server in servers)),
        # Nobody's browser names the port of https.
        (r"(proxy_set_header Host +)\$host;", r"\1$http_host;"),
    )  # fmt: skip
    for old, new in changes:
        text, times = re.subn(old, new, text)
        assert times == 1, f"{old!r} is {times} times in {CONF}"
    return text


def whole(folder: Path, namaskah_conf: str) -> Path:
    """A configuration that keeps everything in `folder`."""
    built = subprocess.run([*programs("nginx"), "-V"], capture_output=True, text=True, check=True).stderr
    there = [name for name in _TEMPORARY if f"--without-http_{name}_module" not in built]
    (folder / "namaskah.conf").write_text(namaskah_conf)
    main = folder / "nginx.conf"
    main.write_text(
        _AROUND.format(
            folder=folder,
            user="user root;" if os.geteuid() == 0 else "",
            temporary=" ".join(f"{name}_temp_path {folder}/{name};" for name in there),
            upstream=UPSTREAM,
        )
    )
    return main


@contextmanager
def nginx(folder: Path, port: int, servers: Sequence[int]) -> Iterator[Proxy]:
    """Running before `servers` until the block ends. Skips the test where there is no nginx."""
    (program,) = programs("nginx")
    folder.mkdir()
    main = whole(folder, adapted(port, servers))
    with (folder / "said.log").open("wb") as output:
        process = spawn([program, "-p", folder, "-e", folder / "error.log", "-c", main], output=output)
    try:
        wait_until(lambda: not port_is_free(port) or process.poll() is not None, 10, "nginx")
        assert process.poll() is None, (folder / "said.log").read_text() + (folder / "error.log").read_text()
        yield Proxy(port, folder / "error.log")
    finally:
        stop(process, signal.SIGTERM, 10)
