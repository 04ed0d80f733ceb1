"""The doctor looks at the site from outside, by real TLS: the real application, served under a certificate made now."""

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from dev.process import free_port
from namaskah import config, create_app
from namaskah.doctor import BAD, OK, WARNING, site
from namaskah.strength import weakness
from tests.doctor.test_doctor import GOOD, levels

assert weakness(GOOD["SECRET_KEY"]) is None
Serve = Callable[..., str]


class Quiet(WSGIRequestHandler):
    def log(self, *_arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder: Path = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(folder / "cert.pem"), str(folder / "key.pem")


@pytest.fixture
def serve(settings: dict[str, str], certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts the application behind a proxy that ends TLS and sends these headers; gives its address."""
    monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
    with ExitStack() as stack:

        def start(forwarded: dict[str, str], *, host: str = "", **changes: str) -> str:
            port = free_port()
            # Unlike production: the settings of the tests' servers.
            environ = settings | {"BASE_URL": f"https://localhost:{port}", "PROXY_HOPS": "1"} | changes
            app = create_app(config.load(environ))

            def proxied(environ: dict[str, Any], start_response: Any) -> Any:
                for name in [name for name in environ if name.startswith("HTTP_X_FORWARDED")]:
                    del environ[name]
                environ |= {"wsgi.url_scheme": "http"} | forwarded
                environ["HTTP_HOST"] = host or environ["HTTP_HOST"]
                return app(environ, start_response)

            server = make_server(
                "127.0.0.1", port, proxied, threaded=True, ssl_context=certificate, request_handler=Quiet
            )
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
            thread.start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            return str(environ["BASE_URL"])

        yield start


GOOD_PROXY = {"HTTP_X_FORWARDED_FOR": "203.0.113.7", "HTTP_X_FORWARDED_PROTO": "https"}


def look(base: str, **changes: Any) -> dict[str, str]:
    return levels(site.look({"BASE_URL": base, "PROXY_HOPS": 1} | changes))


def test_a_site_as_it_should_be(serve: Serve) -> None:
    assert look(serve(GOOD_PROXY)) == {
        "proxies": OK, "tls": OK, "site": OK, "cookies": OK, "live pages": OK,
    }  # fmt: skip


def test_a_proxy_that_is_not_believed(serve: Serve) -> None:
    assert look(serve({}))["proxies"] == BAD  # it does not say how it was asked
    assert look(serve(GOOD_PROXY, PROXY_HOPS="2"))["proxies"] == BAD  # one is awaited that is not there
    assert look(serve(GOOD_PROXY, host="10.0.0.1:8000"))["proxies"] == BAD
    assert look(serve(GOOD_PROXY), PROXY_HOPS=0)["proxies"] == BAD


def test_certificates(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    base = serve(GOOD_PROXY)
    with monkeypatch.context() as later:
        later.setattr(site, "EXPIRES_SOON_DAYS", 400)
        assert [each.level for each in site.look({"BASE_URL": base, "PROXY_HOPS": 1}) if "more days" in each.says] == [
            WARNING
        ]
    monkeypatch.delenv("SSL_CERT_FILE")
    assert look(base) == {"proxies": OK, "tls": BAD}
    assert look(f"https://localhost:{free_port()}") == {"proxies": OK, "tls": BAD}
    assert look("http://localhost:8000") == {"tls": WARNING}


def test_what_a_proxy_may_take_away() -> None:
    def page(**headers: str) -> Any:
        return site.http.Response(200, {name.replace("_", "-"): value for name, value in headers.items()}, b"")

    assert site._cookies(page(set_cookie="session=x; HttpOnly")).level == BAD
    assert site._cookies(page(set_cookie="__Host-session=x; Secure; HttpOnly; Path=/; SameSite=Lax")).level == OK
    assert site._cookies(page()).level == OK
    assert site._strict(page()).level == WARNING
    assert site._strict(page(strict_transport_security="max-age=1")).level == OK
    assert site._push("http://127.0.0.1:1").level == WARNING
