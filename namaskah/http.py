"""One way out: `request()`, with a total deadline, a size cap, no redirect and no retry.

It fails in three ways, and for a purchase they are three different decisions:

    NeverSent   certain: not one byte of the request left this machine (no address, connection refused or timed out,
                TLS handshake failed). Nothing was ordered; another provider may be tried.
    NoAnswer    bytes left and no complete answer came back (timeout, reset, cut). The other side may have acted.
                A kept-alive connection that turns out dead on reuse belongs here: it may have died after reading us.
    BadAnswer   an answer came that cannot be used (too big, or its compression is broken). It, too, may have acted.

Neither messages nor logs carry a URL, because some protocols put the API key into it.
"""

import http.client
import io
import logging
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from time import monotonic
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import DecodeError, HTTPError, LocationValueError
from urllib3.util.connection import create_connection

from namaskah import tracing

CONNECT_SECONDS = 3.0
CHUNK = 65_536

# urllib3 writes paths with their query, and so the API key: at DEBUG always, at WARNING when headers are malformed.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class NeverSent(Exception):
    """Not one byte of the request left us."""


class NoAnswer(Exception):
    """The request, or part of it, left; no complete answer came back."""


class BadAnswer(Exception):
    """An answer came back that cannot be read: too big, or wrongly compressed."""


@dataclass(frozen=True)
class Response:
    """Status, headers with lower-case names, and the whole decoded body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class _TimedReader(io.RawIOBase):
    """Reads from a socket until one moment, however few bytes each read brings."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, until: float) -> None:
        self._raw, self._sock, self._until = raw, sock, until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedAnswer(http.client.HTTPResponse):
    """Status line, headers and body all come through one _TimedReader: a slow header is as bad as a slow body."""

    def __init__(self, sock: socket.socket, *args: Any, until: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, until))


class _Outbound(HTTPConnection):
    """A connection that knows the moment before which nothing was sent, and whose deadline is a total."""

    def connect(self) -> None:
        # Called only while no byte of this request is out: a request gets one connection and is never retried.
        try:
            super().connect()
        except Exception as error:
            raise NeverSent(type(error).__name__) from None

    def _new_conn(self) -> socket.socket:
        # urllib3 grants each address of a name the whole timeout; four dead addresses would quadruple it.
        until = monotonic() + float(self.timeout or CONNECT_SECONDS)
        failure = OSError("no address")
        for *_, address in socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM):
            try:
                left = max(until - monotonic(), 0.001)
                return create_connection((str(address[0]), self.port), left, socket_options=self.socket_options)
            except OSError as error:
                failure = error
        raise failure

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:  # what the last answer left of its deadline must not hold for this request
            self.sock.settimeout(self.timeout)
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        timed = partial(_TimedAnswer, until=monotonic() + float(self.timeout or 0))
        self.response_class = timed  # type: ignore[assignment]  # a class is expected, and it is only called
        return super().getresponse()


class _SecureOutbound(_Outbound, HTTPSConnection):
    """The same over TLS: HTTPSConnection's connect() runs, with its handshake, inside ours."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Outbound


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureOutbound


@cache
def _manager(process_id: int) -> urllib3.PoolManager:
    """One pool per process: after a fork the child must not share its parent's open connections."""
    manager = urllib3.PoolManager(num_pools=32, maxsize=16)
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return manager


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    json: object = None,
    body: bytes | None = None,
    deadline: float = 10.0,
    max_bytes: int = 262_144,
) -> Response:
    """Send one request and read its whole answer within `deadline` seconds (connecting: at most three of them).

    `max_bytes` caps the decoded body. Any status is an answer, redirects included; they are not followed.
    Raises NeverSent, NoAnswer or BadAnswer, nothing else. Only resolving a host name is beyond the deadline's reach.
    """
    ours = {"accept-encoding": "gzip", "user-agent": "namaskah/1", tracing.HEADER.lower(): tracing.current_id()}
    wanted = {**ours, **(headers or {})}
    if any("\n" in value or "\r" in value or not value.isascii() for value in wanted.values()):
        raise NeverSent("a header that cannot be sent")  # http.client would quote it, token and all, in its error
    extra: dict[str, Any] = {"body": body} if json is None else {"json": json}
    try:
        answer = _manager(os.getpid()).request(
            method,
            f"{url}?{urlencode(params)}" if params else url,
            headers=wanted,
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, deadline), total=deadline),
            redirect=False,
            retries=False,
            preload_content=False,
            **extra,
        )
    except LocationValueError:
        raise NeverSent("no usable address") from None
    except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        raise NoAnswer(type(error).__name__) from None
    return _whole(answer, max_bytes)


def _whole(answer: urllib3.BaseHTTPResponse, max_bytes: int) -> Response:
    """Read the body to its end and give the connection back; a connection we stop reading from is closed."""
    chunks, size = [], 0
    try:
        while size <= max_bytes and (chunk := answer.read(CHUNK, decode_content=True)):
            chunks.append(chunk)
            size += len(chunk)
        if size > max_bytes:
            raise BadAnswer(f"more than {max_bytes} bytes")
    except DecodeError:
        raise BadAnswer("undecodable") from None
    except (HTTPError, http.client.HTTPException, OSError, ValueError) as error:
        raise NoAnswer(type(error).__name__) from None
    else:
        named = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, named, b"".join(chunks))
    finally:
        if not getattr(answer, "closed", True):
            answer.close()
        answer.release_conn()
