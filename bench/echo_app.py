"""The product with a second kind of socket: what Redis says goes out as it is. It is what push is compared with."""

import threading

from flask import current_app
from redis import Redis
from redis.client import PubSub
from simple_websocket import Server

from namaskah import create_app
from namaskah.extensions import sock

CHANNEL = "echo:"

_sockets: dict[str, Server] = {}
_started = threading.Lock()


def _relay(url: str) -> None:
    subscription = PubSub(Redis.from_url(url, decode_responses=True).connection_pool)
    subscription.psubscribe(f"{CHANNEL}*")  # type: ignore[no-untyped-call]
    for message in subscription.listen():  # type: ignore[no-untyped-call]
        found = _sockets.get(message["channel"])
        if message["type"] == "pmessage" and found:
            found.send(message["data"])


def echo(ws: Server, number: int) -> None:
    """Send this socket whatever is published under its number."""
    if _started.acquire(blocking=False):
        url = current_app.config["REDIS_URL"]
        threading.Thread(target=_relay, args=(url,), daemon=True).start()
    _sockets[f"{CHANNEL}{number}"] = ws
    ws.receive()


app = create_app()
sock.route("/bench/echo/<int:number>")(echo)
