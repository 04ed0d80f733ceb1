"""The score of a page by the published rules of Mozilla's HTTP Observatory, as they stand in its scoring table."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

HALF_A_YEAR = 15_768_000
STRICT_REFERRERS = {"no-referrer", "same-origin", "strict-origin", "strict-origin-when-cross-origin"}
# Where cookies of these names would be somebody's log-in.
SESSION_NAMES = re.compile(r"sess|auth|login|token", re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """What a scanner gets: the https answer, and where plain http led."""

    headers: Mapping[str, str]
    cookies: list[str]
    html: str
    http_location: str | None


def score(page: Page, host: str, *, isolation: bool = True) -> int:
    """From 100; bonuses count only from 90 on. `isolation`: COOP and COEP count too, as in the rules of 2026."""
    points = [
        _policy(page.headers.get("Content-Security-Policy", "")),
        _cookies(page.cookies, "Strict-Transport-Security" in page.headers),
        _sharing(page.headers),
        _transport(page.headers.get("Strict-Transport-Security", "")),
        _redirect(page.http_location, host),
        _referrer(page.headers.get("Referrer-Policy")),
        _scripts(page.html),
        0 if page.headers.get("X-Content-Type-Options") == "nosniff" else -5,
        _frames(page.headers),
        _resource(page.headers.get("Cross-Origin-Resource-Policy")),
    ]
    if isolation:
        points.append(10 if page.headers.get("Cross-Origin-Opener-Policy") == "same-origin" else 0)
        points.append(
            10 if page.headers.get("Cross-Origin-Embedder-Policy") in ("require-corp", "credentialless") else 0
        )
    plain = 100 + sum(point for point in points if point < 0)
    return plain + sum(point for point in points if point > 0) if plain >= 90 else max(0, plain)


def _policy(header: str) -> int:
    if not header:
        return -25
    rules: dict[str, list[str]] = {}
    for rule in header.split(";"):
        name, *values = rule.split() or [""]
        rules.setdefault(name.lower(), values)
    default = rules.get("default-src", ["*"])
    scripts, styles = rules.get("script-src", default), rules.get("style-src", default)
    broad = {"*", "http:", "https:", "data:", "blob:", "'unsafe-inline'"}
    if broad & {*scripts, *rules.get("object-src", default)}:
        return -20
    if "'unsafe-eval'" in (*scripts, *styles):
        return -10
    if broad & set(styles):
        return 0
    return 10 if default == ["'none'"] and "form-action" in rules else 5


def _cookies(cookies: list[str], has_hsts: bool) -> int:
    if not cookies:
        return 0
    worst = 5
    for cookie in cookies:
        name = cookie.partition("=")[0]
        is_session = bool(SESSION_NAMES.search(name))
        attributes = {part.strip().partition("=")[0].lower() for part in cookie.split(";")[1:]}
        if "secure" not in attributes:
            worst = min(worst, (-10 if is_session else -5) if has_hsts else (-40 if is_session else -20))
        if is_session and "httponly" not in attributes:
            worst = min(worst, -30)
        if "samesite" not in attributes:
            worst = min(worst, -20 if "csrf" in name.lower() else 0)
    return worst


def _sharing(headers: Mapping[str, str]) -> int:
    reflected = headers.get("Access-Control-Allow-Origin", "*") != "*"
    return -50 if reflected and headers.get("Access-Control-Allow-Credentials") == "true" else 0


def _transport(header: str) -> int:
    age = re.search(r"max-age=(\d+)", header)
    if not age:
        return -20
    return 0 if int(age[1]) >= HALF_A_YEAR else -10


def _redirect(location: str | None, host: str) -> int:
    if location is None or not location.startswith("https://"):
        return -20
    return 0 if location.startswith((f"https://{host}/", f"https://{host}?")) else -5


def _referrer(header: str | None) -> int:
    if header is None:
        return 0
    return 5 if header in STRICT_REFERRERS else -5


def _scripts(html: str) -> int:
    scripts = [tag for tag in re.findall(r"<script\b[^>]*>", html) if "src=" in tag]
    if any(re.search(r"src=[\"']?(?:http:)?//", tag) and "integrity=" not in tag for tag in scripts):
        return -50
    return 5 if scripts and all("integrity=" in tag for tag in scripts) else 0


def _frames(headers: Mapping[str, str]) -> int:
    if "frame-ancestors" in headers.get("Content-Security-Policy", ""):
        return 5
    return 5 if headers.get("X-Frame-Options", "").upper() in ("DENY", "SAMEORIGIN") else -20


def _resource(header: str | None) -> int:
    if header is None:
        return 0
    return {"same-origin": 10, "same-site": 10, "cross-origin": 0}.get(header, -5)
