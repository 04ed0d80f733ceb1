"""What every answer tells the browser about what it may do with it. Talisman sets most of it; the rest is below."""

from typing import Any

from flask import Flask, g, request
from flask_talisman import Talisman
from werkzeug.wrappers import Response

YEAR = 31_536_000  # seconds

# Everything from us alone, nothing inline, nothing evaluated; see docs/decisions/0005. Only htmx may make elements out
# of text, by the policy of static/trusted.js, which makes no scripts.
CONTENT_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "object-src": "'none'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "htmx",
}
# What no page of ours asks for. Not here, because pages do: clipboard, sound, passkeys.
NEVER_ASKED_FOR = (
    *("accelerometer", "camera", "display-capture", "encrypted-media", "fullscreen", "geolocation", "gyroscope", "hid"),
    *("idle-detection", "local-fonts", "magnetometer", "microphone", "midi", "payment", "picture-in-picture"),
    *("screen-wake-lock", "serial", "sync-xhr", "usb", "xr-spatial-tracking"),
)
# Nothing of ours may be part of another site's page, and nothing of another site is part of ours.
APART = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# What one address may look different by: htmx's requests get fragments, visitors the language their browser asks for.
VARIES_BY = ("HX-Request", "Accept-Language", "Cookie")
# Rooms whose pages are the same for every visitor; the others' show addresses, tokens or money.
OPEN_ROOMS = {"pages", "numbers", "components"}


def register_headers(app: Flask) -> None:
    """Set them on every answer, errors included."""
    secure = is_secure(app.config)
    Talisman(
        app,
        force_https=secure,
        strict_transport_security=secure,
        strict_transport_security_max_age=YEAR,
        session_cookie_secure=secure,
        frame_options="DENY",
        referrer_policy="same-origin",
        content_security_policy=CONTENT_POLICY,
        permissions_policy=dict.fromkeys(NEVER_ASKED_FOR, "()"),
    )
    app.after_request(_say_what_may_be_kept)


def is_secure(config: dict[str, Any]) -> bool:
    """Whether we are reached by https, and only by https."""
    return bool(config["BASE_URL"].startswith("https:"))


def _say_what_may_be_kept(response: Response) -> Response:
    response.headers.update(APART)
    if request.endpoint == "static":
        if "v" in request.args:
            response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
        return response
    response.vary.update(VARIES_BY)
    # What only its owner may see is not kept, neither by the browser nor by anything between.
    is_open = request.blueprint in OPEN_ROOMS and not _is_somebody()
    response.headers["Cache-Control"] = "private, no-cache" if is_open else "no-store"
    return response


def _is_somebody() -> bool:
    """Whether the view has asked who is there, and somebody was; asking here would cost a query for every answer."""
    reader = g.get("_login_user")
    return bool(reader and reader.is_authenticated)
