"""Which requests come in at all, before any view: for our own name, by https, from our own pages."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, abort, current_app, make_response, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from werkzeug.exceptions import MethodNotAllowed, SecurityError
from werkzeug.middleware.proxy_fix import ProxyFix

from namaskah.errors import UserError

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
METHODS = ("GET", "HEAD", "POST")  # all that any page or program of ours uses
HEALTH = ("/health", "/health/live", "/health/ready", "/metrics")


class FromElsewhere(UserError):
    """A page of another site sent a form or a script's request to us, with our cookies."""

    status = 403


def register_admission(app: Flask) -> None:
    """Put all of it before the application."""
    app.wsgi_app = _Forwarded(app.wsgi_app, app.config)  # type: ignore[method-assign]  # Flask's own way
    app.register_error_handler(SecurityError, _wrong_host)
    app.before_request(_refuse_odd_methods)
    app.before_request(_refuse_plain_calls)
    app.before_request(_refuse_other_sites)


def trusted_hosts(config: dict[str, Any]) -> list[str]:
    """The names we answer to: BASE_URL's, those of the setting, and on plain http this machine's own."""
    own = urlsplit(config["BASE_URL"])
    here = LOOPBACK if own.scheme == "http" else ()
    return list(dict.fromkeys(name.lower() for name in (_host(own.netloc), *config["TRUSTED_HOSTS"], *here)))


class _Forwarded:
    """Believes the forwarded headers of as many proxies as there are, and no others. The host is never one of them:
    proxies pass the Host header on."""

    def __init__(self, wsgi: Wsgi, config: dict[str, Any]) -> None:
        hops = config["PROXY_HOPS"]
        self._inner = self._without(wsgi, _host(urlsplit(config["BASE_URL"]).netloc))
        self._wsgi = ProxyFix(self._inner, x_for=hops, x_proto=hops, x_host=0, x_port=0) if hops else self._inner

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return self._wsgi(environ, start_response)

    @staticmethod
    def _without(wsgi: Wsgi, host: str) -> Wsgi:
        def admit(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            # What ProxyFix has not taken is anybody's word.
            for name in [name for name in environ if name.startswith(("HTTP_X_FORWARDED", "HTTP_FORWARDED"))]:
                del environ[name]
            # Whoever watches or balances the load asks by the machine's address, not by our name.
            if environ.get("PATH_INFO") in HEALTH:
                environ["HTTP_HOST"] = host
            elif "HTTP_HOST" in environ:
                environ["HTTP_HOST"] = environ["HTTP_HOST"].lower()
            return wsgi(environ, start_response)

        return admit


def _wrong_host(_error: SecurityError) -> ResponseReturnValue:
    """Without a page: its links would lead to the wrong name. What was asked for is not repeated."""
    current_app.logger.warning("refused a request for a host that is not ours; TRUSTED_HOSTS adds one")
    response = make_response("400: there is no such site here.\n", 400)
    response.mimetype = "text/plain"
    return response


def _refuse_odd_methods() -> None:
    if request.method not in METHODS:
        raise MethodNotAllowed(METHODS)


def _refuse_plain_calls() -> None:
    """Programs are not led from http to https: whoever sent a secret in the clear should notice at the first call."""
    if _is_signed() and current_app.config["SESSION_COOKIE_SECURE"] and not request.is_secure:
        abort(403)


def _refuse_other_sites() -> None:
    """Beside the form's token: browsers say where a request comes from, and cannot be made to lie about it."""
    if request.method != "POST" or _is_signed():
        return
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        is_ours = site in ("same-origin", "none")
    elif origin == "null" and "token" in (request.view_args or {}):
        is_ours = True  # a page whose address is a secret has its forms name no page (auth/links.py)
    else:
        is_ours = origin is None or urlsplit(origin).netloc == request.host
    if not is_ours:
        raise FromElsewhere(_("This was sent by another site, so nothing was done. Open the page here and repeat it."))


def _is_signed() -> bool:
    view = current_app.view_functions.get(request.endpoint or "")
    return getattr(view, "access", None) == "signed"


def _host(netloc: str) -> str:
    """Without user and port; IPv6 keeps its brackets."""
    name = netloc.rpartition("@")[2]
    return name[: name.index("]") + 1] if name.startswith("[") else name.partition(":")[0]
