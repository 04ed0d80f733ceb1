"""The product as a person meets it: real processes, a real Chromium, and a sandbox in the place of the world."""

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page
from redis import Redis as Client
from sqlalchemy import text, update

from dev.redis import Redis
from namaskah.auth import passwords
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers.models import Activation, Provider
from namaskah.wallet import ledger
from tests import support
from tests.support import Control, Installation

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "is_mobile": True,
    "has_touch": True,
}
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
DEVICES = {"phone": PHONE, "desktop": DESKTOP}
CODE = "482913"
SHOWN_CODE = "482 913"
PROVIDERS = ("fivesim", "herosms")


@dataclass
class Watch:
    """What the browser complained about: scripts, failed requests, the content security policy, other origins."""

    origins: tuple[str, ...]
    faults: list[str] = field(default_factory=list)
    _allowed: list[str] = field(default_factory=list)

    def allow(self, *parts: str) -> None:
        """Complaints that belong to what the test does, known by a part of their text."""
        self._allowed += parts

    def follow(self, context: BrowserContext) -> None:
        context.on("console", lambda message: self._note(message.text) if message.type == "error" else None)
        context.on("weberror", lambda error: self._note(str(error.error)))
        context.on("request", lambda request: self._check_origin(request.url))

    def _check_origin(self, url: str) -> None:
        if not url.startswith((*self.origins, "data:", "blob:", "about:")):
            self._note(f"asked a stranger: {url}")

    def _note(self, fault: str) -> None:
        if fault not in self.faults:
            self.faults.append(fault)

    def unexpected(self) -> list[str]:
        return [fault for fault in self.faults if not any(part in fault for part in self._allowed)]


@dataclass
class Stand:
    """One installation with its sandbox; `app` is the product in this process, on the same database."""

    app: Flask
    site: Installation
    redis: Redis
    redis_folder: Path
    control: Control
    web: Any

    @property
    def url(self) -> str:
        return self.site.url

    def reset(self) -> None:
        """Between tests: no faults, the providers' real dials, full stock, every provider selling, no limits used up.
        Orders and people of earlier tests stay: the worker may still be at them."""
        self.control.no_faults()
        self.control.settings(
            auto_sms_seconds=0, window_seconds=None, early_cancel_seconds={"fivesim": 0, "herosms": 120}, latency_ms=0
        )
        self.sell_at(*PROVIDERS)
        with Client.from_url(self.redis.url) as client:
            client.flushdb()

    def sell_at(self, *names: str) -> None:
        """Only these providers sell now."""
        with transaction():
            for name in PROVIDERS:
                rest = None if name in names else text("now() + interval '1 hour'")
                db.session.execute(
                    update(Provider).where(Provider.name == name).values(paused_until=rest, paused_reason=None)
                )

    def person(self, password: str = "", **more: Any) -> User:
        """A customer nobody else knows, with money unless told otherwise."""
        user = support.make_user(f"{secrets.token_hex(5)}@example.com", **({"money": 1_000_000} | more))
        if password:
            with transaction():
                user.password_hash = passwords.hashed(password)
        return user

    def cookie(self, user: User) -> dict[str, str]:
        """What a log-in would have left in the browser."""
        serializer = self.app.session_interface.get_signing_serializer(self.app)  # type: ignore[attr-defined]
        value = serializer.dumps({"_user_id": support.open_session(user), "_fresh": True})
        return {"name": self.app.config["SESSION_COOKIE_NAME"], "value": value, "url": self.url}

    def activation(self, page_or_id: Page | int) -> Activation:
        """An activation as the database has it now; by its page or by its id."""
        id = page_or_id if isinstance(page_or_id, int) else int(page_or_id.url.split("/activations/")[1].split("?")[0])
        db.session.rollback()
        return db.session.get_one(Activation, id, populate_existing=True)

    def send_sms(self, page_or_id: Page | int, body: str = f"Your code: {CODE[:3]}-{CODE[3:]}") -> None:
        """An SMS comes to the number this page waits on."""
        bought = self.activation(page_or_id)
        self.control.sms(bought.provider_name, bought.provider_ref or "", body)

    def time_is_over(self, page: Page) -> None:
        """The window ends now, for the provider and for us."""
        bought = self.activation(page)
        self.control.expire(bought.provider_name, bought.provider_ref or "")
        with transaction():
            past = text("now() - interval '1 second'")
            db.session.execute(update(Activation).where(Activation.id == bought.id).values(expires_at=past))

    def available_minor(self, user: User) -> int:
        db.session.rollback()
        return int(ledger.balance(user.id).available_minor)


Visit = Callable[..., Page]


def open_context(browser: Browser, stand: Stand, watch: Watch, user: User | None, **options: Any) -> BrowserContext:
    """A browser of its own, logged in as `user`, under watch."""
    context = browser.new_context(**({"base_url": stand.url, "reduced_motion": "reduce"} | options))
    context.set_default_timeout(10_000)
    watch.follow(context)
    if user:
        context.add_cookies([stand.cookie(user)])  # type: ignore[list-item]
    return context


def wait_for_socket(page: Page) -> None:
    """Reload, and return when the live socket has brought the first state."""
    frames: list[Any] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame)))
    page.reload()
    until = time.monotonic() + 10
    while not frames:
        assert time.monotonic() < until, "no frame came by the socket"
        page.wait_for_timeout(20)
    page.wait_for_timeout(400)  # the poll that follows every connection


def no_polling(page: Page) -> None:
    """From now on the page's own questions bring nothing: what it learns comes by the socket."""
    page.route("**/activations/*/live", lambda route: route.fulfill(status=204))


def buy_number(page: Page, service: str = "telegram") -> None:
    """Buy the number that stands first."""
    page.goto(f"/numbers?service={service}")
    page.locator(".is-open button", has_text="Buy for").click()
    page.locator("article.live").wait_for()


def statement_lines(page: Page) -> list[str]:
    """The statement, newest first, each row as one line."""
    page.goto("/wallet/statement")
    return cut_lines(page.locator("table.ledger tbody tr").all_inner_texts())


def cut_lines(texts: Iterable[str]) -> list[str]:
    """Rows of a table as one line each."""
    return [" ".join(text.split()) for text in texts]


def shared_file(name: str) -> str:
    return (Path(__file__).parent / name).read_text()
