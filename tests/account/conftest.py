"""Forms are protected here as they are outside, and everybody has a browser of their own."""

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from namaskah.auth.models import Session, User
from namaskah.db import db, transaction
from tests.auth.people import Browser
from tests.support import log_in

Open = Callable[..., Browser]


@pytest.fixture(autouse=True)
def forms_are_protected(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "app" in request.fixturenames:
        monkeypatch.setitem(request.getfixturevalue("app").config, "WTF_CSRF_ENABLED", True)


@pytest.fixture
def enter(app: Flask) -> Open:
    """A new browser in which this user is logged in."""

    def open_browser(user: User, device: str = "") -> Browser:
        browser = Browser(app)
        if device:
            browser.client.environ_base["HTTP_USER_AGENT"] = device
        log_in(browser.client, user)
        with transaction():
            newest = select(func.max(Session.id)).where(Session.user_id == user.id).scalar_subquery()
            db.session.execute(update(Session).where(Session.id == newest).values(device=device))
        return browser

    return open_browser
