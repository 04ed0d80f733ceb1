"""Between us and PostgreSQL: a proxy that loses a COMMIT, or the server's answer to it, as a network does."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from namaskah.db import db

ON_ITS_WAY = "on its way"  # the server never hears of the COMMIT, so nothing was done
ON_ITS_WAY_BACK = "on its way back"  # the server has committed, and nobody learns of it


@dataclass
class Proxy:
    """Armed with a piece of SQL, it cuts the next connection that has sent it, at that connection's COMMIT."""

    server: tuple[str, int]
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    armed: tuple[bytes, str] | None = None
    cuts: int = 0

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def lose_commit(self, after_sql: str, where: str) -> None:
        """Once, for the next transaction that sends a statement with `after_sql` in it."""
        self.armed = (after_sql.encode(), where)

    def serve(self) -> None:
        """Until the listener is closed."""
        while True:
            try:
                client, _address = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, suppress(OSError, EOFError), socket.create_connection(self.server) as server:
            server.sendall(_read_start(client))
            is_cut = threading.Event()
            answers = threading.Thread(target=_pump, args=(server, client, is_cut), daemon=True)
            answers.start()
            is_marked = False
            while True:
                kind, body = _read_message(client)
                armed = self.armed
                if armed and armed[0] in body:
                    is_marked = True
                if armed and is_marked and kind == b"Q" and body.strip(b"\0 ;").upper() == b"COMMIT":
                    self.armed = None
                    self.cuts += 1
                    is_cut.set()
                    # Terminate, behind the COMMIT or instead of it: the server hangs up when it has done what it heard.
                    heard = _message(kind, body) if armed[1] == ON_ITS_WAY_BACK else b""
                    server.sendall(heard + _message(b"X", b""))
                    answers.join(10)
                    client.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(_message(kind, body))


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _read_start(client: socket.socket) -> bytes:
    length = _read(client, 4)
    return length + _read(client, struct.unpack("!i", length)[0] - 4)


def _read_message(client: socket.socket) -> tuple[bytes, bytes]:
    kind, length = _read(client, 1), _read(client, 4)
    return kind, _read(client, struct.unpack("!i", length)[0] - 4)


def _read(source: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = source.recv(size - len(found))
        if not piece:
            raise EOFError
        found += piece
    return found


def _pump(server: socket.socket, client: socket.socket, is_cut: threading.Event) -> None:
    with suppress(OSError):
        while piece := server.recv(65_536):
            if not is_cut.is_set():
                client.sendall(piece)
        if not is_cut.is_set():
            client.shutdown(socket.SHUT_RDWR)


@contextmanager
def between() -> Iterator[Proxy]:
    """Every connection of the application goes through the proxy, until the block ends."""
    engine: Engine = db.engine
    proxy = Proxy((engine.url.host or "127.0.0.1", engine.url.port or 5432))

    def lead_through(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        parameters |= {"host": "127.0.0.1", "port": proxy.port, "sslmode": "disable", "gssencmode": "disable"}

    threading.Thread(target=proxy.serve, daemon=True).start()
    event.listen(engine, "do_connect", lead_through)
    db.session.remove()
    engine.dispose()
    try:
        yield proxy
    finally:
        event.remove(engine, "do_connect", lead_through)
        db.session.remove()
        engine.dispose()
        proxy.listener.close()
