"""Around the whole application: each request's id, its one line in the log, its place in the counts."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask, request
from werkzeug.wsgi import ClosingIterator

from namaskah import crashes, metrics, tracing
from namaskah.admission import METHODS

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_log = logging.getLogger("namaskah.access")
_ABOUT = "namaskah.about"  # where a request's WSGI environment keeps what its line says


def register_request_log(app: Flask) -> None:
    """Put it around all that is there. Call it last: what is around it is not measured."""
    app.wsgi_app = _Around(app.wsgi_app)  # type: ignore[method-assign]  # Flask's own way
    app.teardown_request(_note)


def _note(_error: BaseException | None) -> None:
    """While the request is known: who and which route. Not the address, which may hold a token."""
    about = request.environ.get(_ABOUT)
    if about is not None:
        about["route"] = request.url_rule.rule if request.url_rule else "-"
        about["user"] = tracing.user_id()
        crashes.note_request(tracing.known_id(), about["user"])


class _Around:
    def __init__(self, wsgi: Wsgi) -> None:
        self._wsgi = wsgi

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request_id = tracing.accepted(environ.get("HTTP_X_REQUEST_ID"))
        tracing.set_id(request_id)
        about: dict[str, Any] = {"status": 101, "route": "-", "user": None}
        environ[_ABOUT] = about
        method = environ.get("REQUEST_METHOD", "")
        about["method"] = method if method in METHODS else "OTHER"  # anybody's word else, without end
        started = time.perf_counter()

        def answered(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            about["status"] = int(status.split(" ", 1)[0])
            return start_response(status, [*headers, (tracing.HEADER, request_id)], *more)

        def done() -> None:
            _write(about, request_id, time.perf_counter() - started)

        try:
            answer = self._wsgi(environ, answered)
        except BaseException:  # gunicorn's sockets end like this, too
            done()
            raise
        return ClosingIterator(answer, [done])


def _write(about: dict[str, Any], request_id: str, seconds: float) -> None:
    method, route, status = about["method"], about["route"], about["status"]
    metrics.count_request(method, route, status, None if status == 101 else seconds)
    milliseconds = round(seconds * 1000, 1)
    fields = {"request_id": request_id, "user": about["user"], "where": f"{method} {route}"}
    fields |= {"status": status, "ms": milliseconds}
    _log.info("%s %s %s %s ms", method, route, status, milliseconds, extra={"fields": fields})
    tracing.set_id(None)
