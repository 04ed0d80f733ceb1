"""The site as the world sees it, through its proxy: TLS, redirects, the host's name, cookies."""

import re
import socket
import ssl
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from namaskah import http
from namaskah.doctor.findings import Finding, bad, ok, warning

EXPIRES_SOON_DAYS = 14
SECONDS = 8.0


def look(values: dict[str, Any]) -> list[Finding]:
    parts = urlsplit(values["BASE_URL"])
    if parts.scheme != "https":
        mend = "End TLS in a proxy before us and set BASE_URL to the https address."
        return [warning("tls", "BASE_URL is plain http: passwords travel in the clear", mend)]
    hops = values["PROXY_HOPS"]
    found = [ok("proxies", f"PROXY_HOPS is {hops}")]
    if hops < 1:
        mend = "Set it to the number of proxies that each request passes: 1 behind nginx or Render."
        found = [bad("proxies", "PROXY_HOPS is 0: we end no TLS ourselves, so every request would seem plain", mend)]
    certificate = _certificate(parts.hostname or "", parts.port or 443)
    found.append(certificate)
    return found if certificate.level == "bad" else found + _pages(values["BASE_URL"])


def _certificate(host: str, port: int) -> Finding:
    try:
        plain = socket.create_connection((host, port), timeout=SECONDS)
        with plain, ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secure:
            told = secure.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return bad("tls", f"the certificate is not good: {error.verify_message}", "Renew it, for this very name.")
    except OSError as error:
        mend = "Check the DNS entry, the proxy and the firewall. From inside some networks one's own address is closed."
        return bad("tls", f"{host}:{port} cannot be reached: {type(error).__name__}", mend)
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(told["notAfter"])), UTC)
    days = (ends - datetime.now(UTC)).days
    says = f"the certificate is good for {days} more days"
    if days < EXPIRES_SOON_DAYS:
        return warning("tls", says, "See why it was not renewed: certbot renew --dry-run.")
    return ok("tls", says)


def _pages(base: str) -> list[Finding]:
    try:
        page = http.request("GET", f"{base}/login", deadline=SECONDS)
    except (http.NeverSent, http.NoAnswer, http.BadAnswer) as error:
        return [bad("site", f"/login does not answer: {type(error).__name__}", "Start the web server; see its log.")]
    if page.status in (301, 302, 307, 308):
        mend = "PROXY_HOPS must be the number of proxies, and each must set X-Forwarded-Proto (ops/nginx.conf does)."
        return [bad("proxies", "https requests are sent to https again: we do not believe the proxy", mend)]
    if page.status == 400:
        mend = "The proxy must pass the Host header on; or name the host in TRUSTED_HOSTS."
        return [bad("proxies", "our own host name is refused", mend)]
    if page.status != 200:
        return [bad("site", f"/login answers {page.status}", "See the web server's log.")]
    return [ok("site", "answers, and believes its proxy"), _cookies(page), _strict(page), _push(base)]


def _cookies(page: http.Response) -> Finding:
    """The session's cookie, which opens accounts."""
    cookie = page.headers.get("set-cookie", "")
    wanted = ("__Host-", "Secure", "HttpOnly", "SameSite")
    missing = [word for word in wanted if not re.search(re.escape(word), cookie, re.IGNORECASE)]
    if not cookie:
        return ok("cookies", "/login sets none")
    if missing:
        mend = "ENVIRONMENT=production and an https BASE_URL make it so; a proxy must not rewrite cookies."
        return bad("cookies", f"the session's cookie lacks {', '.join(missing)}", mend)
    return ok("cookies", "for https alone, and out of scripts' reach")


def _strict(page: http.Response) -> Finding:
    if "strict-transport-security" not in page.headers:
        mend = "ENVIRONMENT=production sends it; a proxy must not take it away."
        return warning("tls", "browsers are not told to come by https alone (HSTS)", mend)
    return ok("tls", "browsers are told to come by https alone")


def _push(base: str) -> Finding:
    """A handshake without a log-in is refused by us, with 401; a proxy that drops it gives something else."""
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Origin": base,
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }  # fmt: skip
    try:
        status = http.request("GET", f"{base}/live", headers=headers, deadline=SECONDS).status
    except (http.NeverSent, http.NoAnswer, http.BadAnswer):
        status = 0
    if status != 401:
        mend = "The proxy must pass Upgrade and Connection on (ops/nginx.conf does). Until then pages poll."
        return warning("live pages", f"the proxy does not pass WebSockets on (it answered {status})", mend)
    return ok("live pages", "the proxy passes WebSockets on")
