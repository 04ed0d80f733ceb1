"""The one way out keeps its deadline and its cap, and tells 'never sent' from 'no answer'."""

import gzip
import logging
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from namaskah.http import BadAnswer, NeverSent, NoAnswer, request

from .conftest import Canned

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@contextmanager
def serving(talk: Callable[[socket.socket], None], accepts: int = 1) -> Iterator[str]:
    """A raw server: `talk` gets each connection and says what it likes on it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(accepts):
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def drip(connection: socket.socket, words: bytes) -> None:
    for byte in words:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def read_then(act: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        act(connection)

    return talk


def test_an_answer_comes_back_whole_with_lower_case_headers(canned: Canned) -> None:
    canned.answer("hello", 404, X_Price="0.20")
    answer = request("GET", f"{canned.url}/a", params={"q": "a b&c"}, headers={"x-one": "1"})
    assert (answer.status, answer.body, answer.headers["x-price"]) == (404, b"hello", "0.20")
    path, query, headers = canned.asked[0]
    assert (path, query, headers["x-one"]) == ("/a", {"q": "a b&c"}, "1")


def test_redirects_are_answers_and_not_followed(canned: Canned) -> None:
    canned.answer("", 302, Location="/404.html")
    assert request("GET", canned.url).headers["location"] == "/404.html"
    assert len(canned.asked) == 1


def test_json_and_bytes_are_sent_as_bodies() -> None:
    seen: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        while b"}" not in b"".join(seen):
            seen.append(connection.recv(65_536))
        connection.sendall(HEAD % 0)

    with serving(talk) as url:
        assert request("POST", url, json={"a": 1}).status == 200
    assert b"POST / HTTP/1.1" in b"".join(seen)
    assert b'{"a":1}' in b"".join(seen)


def test_a_refused_connection_was_never_sent(closed_url: str) -> None:
    with pytest.raises(NeverSent):
        request("GET", closed_url)


@pytest.mark.parametrize("url", ["http://no-such-host.invalid/", "ftp://127.0.0.1/", "http:///x", "http://[::1/"])
def test_an_address_that_leads_nowhere_was_never_sent(url: str) -> None:
    with pytest.raises(NeverSent):
        request("GET", url, deadline=2)


def test_a_failed_tls_handshake_was_never_sent(canned: Canned) -> None:
    with pytest.raises(NeverSent):
        request("GET", canned.url.replace("http:", "https:"), deadline=2)
    assert canned.asked == []


def test_a_silent_tls_server_was_never_sent_and_keeps_the_deadline() -> None:
    with serving(lambda connection: time.sleep(3)) as url, pytest.raises(NeverSent):
        started = time.monotonic()
        try:
            request("GET", url.replace("http:", "https:"), deadline=0.3)
        finally:
            assert time.monotonic() - started < 1.6


def test_a_header_with_a_line_break_is_never_sent_nor_quoted(canned: Canned) -> None:
    with pytest.raises(NeverSent) as caught:
        request("GET", canned.url, headers={"authorization": "Bearer hush\r\nx: y"})
    assert "hush" not in str(caught.value)
    assert canned.asked == []


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(reset, id="reset"),
        pytest.param(lambda c: c.close(), id="closed"),
        pytest.param(lambda c: c.sendall(HEAD % 100 + b"half"), id="cut by length"),
        pytest.param(
            lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"), id="cut chunk"
        ),
        pytest.param(lambda c: c.sendall(b"ACCESS_NUMBER:1:2\r\n\r\n"), id="not HTTP"),
    ],
)
def test_bytes_out_and_no_whole_answer_is_no_answer(act: Callable[[socket.socket], None]) -> None:
    with serving(read_then(act)) as url, pytest.raises(NoAnswer):
        request("GET", url, deadline=2)


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda c: time.sleep(3), id="hangs"),
        pytest.param(lambda c: drip(c, b"HTTP/1.1 200 OK\r\n" + b"x-slow: yes\r\n" * 20), id="drips headers"),
        pytest.param(lambda c: drip(c, HEAD % 60 + b"x" * 60), id="drips all"),
        pytest.param(
            lambda c: (c.sendall(HEAD % 60), drip(c, b"x" * 60)),  # type: ignore[func-returns-value]
            id="drips body",
        ),
    ],
)
def test_the_deadline_is_a_total(act: Callable[[socket.socket], None]) -> None:
    with serving(read_then(act)) as url:
        started = time.monotonic()
        with pytest.raises(NoAnswer):
            request("GET", url, deadline=0.4)
        assert 0.3 < time.monotonic() - started < 1.6


def test_a_slow_answer_within_the_deadline_is_read(canned: Canned) -> None:
    with serving(read_then(lambda c: drip(c, HEAD % 3 + b"yes"))) as url:
        assert request("GET", url, deadline=20).body == b"yes"


def test_a_kept_connection_that_is_reset_on_reuse_may_have_been_read() -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(HEAD % 2 + b"ok")
        connection.recv(65_536)  # the second request, on the same connection
        reset(connection)

    with serving(talk) as url:
        assert request("GET", url).body == b"ok"
        with pytest.raises(NoAnswer):
            request("GET", url, deadline=2)


def test_a_kept_connection_gets_a_fresh_deadline(canned: Canned) -> None:
    canned.answer("1")
    request("GET", canned.url, deadline=0.3)
    time.sleep(0.4)
    assert request("GET", canned.url, deadline=2).body == b"1"


@pytest.mark.parametrize("told", [True, False], ids=["with length", "without"])
def test_a_body_over_the_cap_is_a_bad_answer(told: bool) -> None:
    head = HEAD % 5_000_000 if told else b"HTTP/1.1 200 OK\r\n\r\n"
    with serving(read_then(lambda c: c.sendall(head + b"x" * 5_000_000))) as url, pytest.raises(BadAnswer):
        request("GET", url, max_bytes=1000)


def test_a_compressed_body_is_capped_by_its_real_size(canned: Canned) -> None:
    canned.answer(gzip.compress(b"x" * 5_000_000), Content_Encoding="gzip")
    with pytest.raises(BadAnswer):
        request("GET", canned.url)
    assert len(request("GET", canned.url, max_bytes=6_000_000).body) == 5_000_000


def test_broken_compression_is_a_bad_answer(canned: Canned) -> None:
    canned.answer("plain", Content_Encoding="gzip")
    with pytest.raises(BadAnswer):
        request("GET", canned.url)


def test_no_log_line_carries_the_query(canned: Canned, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    request("GET", canned.url, params={"api_key": "hush"})
    with serving(read_then(lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-"))) as url:
        request("GET", url, params={"api_key": "hush"})  # cut inside a header: as good as empty
    with pytest.raises(NeverSent) as caught:
        request("GET", "http://127.0.0.1:1/", params={"api_key": "hush"})
    assert "hush" not in caplog.text + str(caught.value)


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys, time, gevent
from namaskah.http import NoAnswer, request
request("GET", sys.argv[1])
def ask():
    try:
        request("GET", sys.argv[2], deadline=0.4)
    except NoAnswer:
        return time.monotonic() - started
started = time.monotonic()
waits = [greenlet.get() for greenlet in [gevent.spawn(ask) for _ in range(5)]]
print(*waits)
"""


def test_under_gevent_the_deadline_holds_and_nobody_waits_for_another(canned: Canned) -> None:
    def slow(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            drip(connection, HEAD % 60 + b"x" * 60)

    def at_once(connection: socket.socket) -> None:
        threading.Thread(target=slow, args=[connection.dup()], daemon=True).start()

    with serving(at_once, accepts=5) as url:
        done = subprocess.run(
            [sys.executable, "-c", GREENLETS, canned.url, url], capture_output=True, text=True, timeout=20, check=False
        )
    waits = [float(word) for word in done.stdout.split()]
    assert len(waits) == 5, done.stderr
    assert all(0.3 < wait < 1.6 for wait in waits), waits
