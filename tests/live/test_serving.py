"""What the web processes need to be: unblocked by the database, able to call out, configured as documented."""

import os
import runpy
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_connection
from types import SimpleNamespace

import psycopg2
import pytest
from gevent import socket as gevent_socket
from gevent.pool import Pool
from psycopg2 import extensions

from namaskah import serving
from namaskah.config import SETTINGS
from tests.live.stand import ROOT, Stand, Web, serve


def test_a_slow_query_holds_up_nobody_else(lone_web: Web) -> None:
    with ThreadPoolExecutor(5) as many:
        started = time.monotonic()
        slept = list(many.map(lambda _: lone_web.get("/test/slow-query").read(), range(5)))
        seconds = time.monotonic() - started
    assert slept == [b"slept"] * 5
    assert seconds < 1.0  # five times 0.3 s, one after the other, would be 1.5


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Certificate and key for localhost, made now."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    made = tmp_path / "localhost.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", made, "-out", tmp_path / "only-certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    with made.open("a") as whole:
        whole.write((tmp_path / "only-certificate.pem").read_text())
    return made


@pytest.fixture
def tls_port(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        with suppress(OSError):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_patched_process_calls_out_over_checked_tls(stand: Stand, certificate: Path, tls_port: int) -> None:
    trusting = serve(stand, workers=1, SSL_CERT_FILE=str(certificate))
    doubting = serve(stand, workers=1)
    try:
        assert trusting.get(f"/test/call-out/{tls_port}").read() == b"hello"
        assert doubting.get(f"/test/call-out/{tls_port}").read() == b"NeverSent"
    finally:
        trusting.stop()
        doubting.stop()


def test_a_patched_process_waits_for_many_upstreams_at_once(lone_web: Web) -> None:
    with ThreadPoolExecutor(5) as many:
        started = time.monotonic()
        answers = list(many.map(lambda _: lone_web.get("/test/call-itself").read(), range(5)))
        seconds = time.monotonic() - started
    assert answers == [b"slept"] * 5
    assert seconds < 1.0


def test_a_server_that_takes_a_connection_and_says_nothing_is_given_up_in_its_own_time() -> None:
    """A replica is worth two seconds, not five: /health/ready stands behind it."""
    with gevent_socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(4)
        extensions.set_wait_callback(serving._wait)
        try:
            for asked, longest in (({"connect_timeout": 1}, 3), ({}, 8)):
                started = time.monotonic()
                with pytest.raises(psycopg2.OperationalError, match="does not answer"):
                    psycopg2.connect(host="127.0.0.1", port=silent.getsockname()[1], sslmode="disable", **asked)
                assert time.monotonic() - started < longest
        finally:
            extensions.set_wait_callback(None)


def test_the_servers_defaults_are_the_documented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    conf = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
    defaults = {setting.name: setting.default for setting in SETTINGS}
    assert conf["bind"] == f"{defaults['HOST']}:{defaults['PORT']}"
    assert conf["workers"] == defaults["WEB_WORKERS"]
    assert conf["loglevel"] == defaults["LOG_LEVEL"].lower()


def test_who_stands_at_the_door_is_let_in_before_it_closes() -> None:
    """The loop never ran between the two coming and the door closing: the kernel alone knows that they are there."""
    let_in: list[object] = []
    with gevent_socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        pool = Pool(10)
        # gunicorn's begins in the same way.
        handle = lambda _visitor, _address: let_in.append(listener.getsockname())  # noqa: E731
        server = serving.LastCall(listener, handle=handle, spawn=pool)
        server.start()
        with closing(create_connection(server.address)), closing(create_connection(server.address)):
            server.close()
            pool.join(2)
        assert len(let_in) == 2
        with pytest.raises(ConnectionRefusedError):
            create_connection(server.address)


def test_two_servers_of_one_environment_keep_their_counts_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PROMETHEUS_MULTIPROC_DIR names one place for both; one that starts or stops must not touch the other's."""
    named = tmp_path / "counts"  # nobody has made it
    server = SimpleNamespace(log=SimpleNamespace(warning=pytest.fail))
    monkeypatch.delenv("GUNICORN_PID", raising=False)
    own = []
    for _server in range(2):
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(named))
        conf = runpy.run_path(str(ROOT / "gunicorn.conf.py"))
        conf["on_starting"](server)
        own.append(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        (own[-1] / "counter_1.db").write_text("counted")
    assert [(folder / "counter_1.db").exists() for folder in own] == [True, True]
    conf["on_exit"](server)
    assert [folder.is_dir() for folder in own] == [True, False]
