"""A small application around the real socket: log-in without a password, three topics that show what the tests look at.

`gunicorn live_app:app` serves it; the tests build it once more in their own process to be "another process".
"""

import os
from datetime import UTC, datetime
from typing import Any

from flask import Flask, request
from flask_babel import format_datetime
from flask_login import current_user, login_user
from sqlalchemy import text

from namaskah import config as settings
from namaskah import http, live
from namaskah.auth.accounts import find_by_session
from namaskah.auth.models import User
from namaskah.db import db
from namaskah.extensions import babel, login, redis

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LARGE = 300_000


def build() -> Flask:
    app = Flask(__name__)
    app.config.update(settings.load())
    app.config["SQLALCHEMY_DATABASE_URI"] = app.config["DATABASE_URL"]
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
        "pool_size": app.config["DATABASE_POOL_SIZE"],
        "max_overflow": 0,
        "pool_timeout": 3,
    }
    db.init_app(app)
    login.init_app(app)
    login.user_loader(find_by_session)
    babel.init_app(app, locale_selector=_language, timezone_selector=_timezone)
    redis.init_app(app.config["REDIS_URL"])
    live.renderers.update(card=_card, large=_large, broken=_broken)
    app.register_blueprint(live.blueprint)
    app.add_url_rule("/log-in/<int:user_id>", "log_in", _log_in)
    app.add_url_rule("/call-out/<int:port>", "call_out", _call_out)
    app.add_url_rule("/call-itself", "call_itself", _call_itself)
    app.add_url_rule("/slow-query", "slow_query", _slow_query)
    return app


def _language() -> str:
    return str(current_user.language)


def _timezone() -> str:
    return str(current_user.timezone)


def _log_in(user_id: int) -> str:
    login_user(db.session.get_one(User, user_id))
    return "in"


def _slow_query() -> str:
    return str(db.session.scalar(text("SELECT 'slept' FROM pg_sleep(0.3)")))


def _call_out(port: int) -> bytes | str:
    try:
        return http.request("GET", f"https://localhost:{port}/", deadline=5).body
    except http.NeverSent as error:
        return type(error).__name__


def _call_itself() -> bytes:
    return http.request("GET", f"{request.host_url}slow-query", deadline=5).body


def _card(user: User, item: int | None) -> str:
    if item is None:
        return f'<hx-partial hx-target="#cards" hx-swap="outerMorph"><p id="cards">all of {user.id}</p></hx-partial>'
    when = format_datetime(NOON, "full")
    return (
        f'<hx-partial hx-target="#card-{item}" hx-swap="outerMorph">'
        f'<p id="card-{item}" data-of="{user.id}" data-process="{os.getpid()}">{when}</p></hx-partial>'
    )


def _large(user: User, item: int | None) -> str:
    return "" if item is None else f"<p>{item}:{'x' * LARGE}:{item}</p>"


def _broken(user: User, item: int | None) -> str:
    if item is None:
        return ""
    raise RuntimeError("a renderer with a fault")


def __getattr__(name: str) -> Any:
    if name == "app":
        return build()
    raise AttributeError(name)
