"""Every test here watches the calls to providers: quick deadlines, and no connection held through any of them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from namaskah import http
from namaskah.db import db
from namaskah.numbers import pacing, registry
from namaskah.providers import fivesim, sms_activate


@pytest.fixture(autouse=True)
def watched_calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A deadline a test can wait for, no memory of silence or pace, and the rule: no transaction open while waiting."""
    if "app" not in request.fixturenames:
        yield
        return
    held: list[str] = []

    def watched(*args: Any, **kwargs: Any) -> http.Response:
        if db.session().in_transaction():
            held.append(str(args[1]))
        deadline = kwargs.get("deadline", 10.0)
        return http.request(*args, **{**kwargs, "deadline": 1.0 if deadline <= 10 else deadline})

    monkeypatch.setattr(fivesim, "request", watched)
    monkeypatch.setattr(sms_activate, "request", watched)
    monkeypatch.setattr(registry, "_silent_until", {})
    monkeypatch.setattr(pacing, "_free_at", {})
    quick = replace(sms_activate.SmsActivate.rules, min_seconds_between_calls=0.0)
    monkeypatch.setattr(sms_activate.SmsActivate, "rules", quick)
    yield
    assert held == [], "a connection was held while a provider was being asked"
