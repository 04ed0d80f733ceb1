"""The product with what the tests look at beside it: three topics, a slow query, calls out.

`gunicorn tests.live.live_app:app` serves it.
"""

import os
import time
from datetime import UTC, datetime

from flask import Flask, render_template_string, request
from flask_babel import format_datetime
from sqlalchemy import text

from namaskah import create_app, http, live
from namaskah.auth.models import User
from namaskah.db import db

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LARGE = 300_000


def build() -> Flask:
    app = create_app()
    live.renderers.update(card=card, large=large, broken=broken)
    app.add_url_rule("/test/call-out/<int:port>", "call_out", call_out)
    app.add_url_rule("/test/call-itself", "call_itself", call_itself)
    app.add_url_rule("/test/page", "page", page)
    app.add_url_rule("/test/part", "part", part)
    app.add_url_rule("/test/slow-query", "slow_query", slow_query)
    return app


def page() -> str:
    """The product's own frame, scripts and policy around two things that change."""
    return render_template_string(
        '{% extends "base.html" %}{% block main %}<p id="cards"></p><p id="card-7">old</p><input id="typed">'
        f"{part()}{{% endblock %}}",
        is_live=True,
    )


def part() -> str:
    """Another text each time it is asked for."""
    return (
        f'<p id="polled" data-poll hx-get="/test/part" hx-trigger="poll" hx-swap="outerMorph">{time.monotonic_ns()}</p>'
    )


def slow_query() -> str:
    return str(db.session.scalar(text("SELECT 'slept' FROM pg_sleep(0.3)")))


def call_out(port: int) -> bytes | str:
    try:
        return http.request("GET", f"https://localhost:{port}/", deadline=5).body
    except http.NeverSent as error:
        return type(error).__name__


def call_itself() -> bytes:
    return http.request("GET", f"{request.host_url}test/slow-query", deadline=5).body


def card(user: User, item: int | None) -> str:
    if item is None:
        return f'<hx-partial hx-target="#cards" hx-swap="outerMorph"><p id="cards">all of {user.id}</p></hx-partial>'
    when = format_datetime(NOON, "full")
    return (
        f'<hx-partial hx-target="#card-{item}" hx-swap="outerMorph">'
        f'<p id="card-{item}" data-of="{user.id}" data-process="{os.getpid()}">{when}</p></hx-partial>'
    )


def large(_user: User, item: int | None) -> str:
    return "" if item is None else f"<p>{item}:{'x' * LARGE}:{item}</p>"


def broken(_user: User, item: int | None) -> str:
    if item is None:
        return ""
    raise RuntimeError("a renderer with a fault")
