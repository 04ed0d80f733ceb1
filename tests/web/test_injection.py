"""What customers, strangers and providers write stays text on every page: forty payloads through every way in."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text, update

from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.extensions import redis
from namaskah.numbers import activations, closing
from namaskah.numbers.models import Activation, Offer
from namaskah.numbers.pushing import activation as draw
from namaskah.providers.base import Sms
from tests.auth.people import PASSWORD, Browser
from tests.numbers import shop
from tests.support import log_in, make_user
from tests.web.payloads import PAYLOADS

# The same few paths forty times over.
pytestmark = pytest.mark.no_cover

MARK = "x9"
ADDRESSES = {"href", "src", "action", "formaction", "data", "srcdoc", "content"}


@dataclass
class Parsed:
    """What is wrong with a page, and where it holds the mark as plain text or in a value."""

    faults: list[str]
    is_shown: bool


class _Reader(HTMLParser):
    """Reads as browsers do: what is an element, what an attribute, what text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.is_shown = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if MARK in tag or (tag == "script" and "src" not in named) or tag in ("iframe", "base", "object", "style"):
            self.faults.append(f"element {tag}")
        for name, value in attrs:
            value = value or ""
            self.is_shown |= MARK in value
            if (
                MARK in name
                or name.startswith(("on", "hx-on"))
                or (name.startswith(("hx-", "data-hx-")) and _marked(value))
            ):
                self.faults.append(f"attribute {name} of {tag}")
            if name in ADDRESSES and re.match(r"\s*(javascript|data|vbscript):|\s*//", value, re.IGNORECASE):
                self.faults.append(f"address {value} of {tag}")

    handle_startendtag = handle_starttag

    def handle_data(self, data: str) -> None:
        self.is_shown |= MARK in data

    def handle_comment(self, data: str) -> None:
        if MARK in data:
            self.faults.append(f"comment {data}")

    def unknown_decl(self, data: str) -> None:
        self.faults.append(f"declaration {data}")


def _marked(value: str) -> bool:
    """An order to htmx may carry what was typed only as an argument of an address of ours."""
    return MARK in value and not re.match(r"/[a-z/]+\?", value)


def read(html: str) -> Parsed:
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return Parsed(reader.faults, reader.is_shown)


def faults_of(pages: Iterator[tuple[str, str]]) -> list[str]:
    """Faults of all pages, by their names; of each name one page at least must show what was written."""
    found, shown = [], {}
    for name, html in pages:
        parsed = read(html)
        found += [f"{name}: {fault}" for fault in parsed.faults]
        shown[name] = shown.get(name, False) or parsed.is_shown
    assert [name for name, was in shown.items() if not was and name in MUST_SHOW] == [], "nothing was tried"
    return found


# Where what was written stands as it is; elsewhere it may have been refused, cut or left out.
MUST_SHOW = {"message", "push", "search", "prices", "log-in form"}


def test_the_text_and_the_sender_of_a_message(app: Flask) -> None:
    reader = make_user("reader@example.com", money=100_000_000)
    client = log_in(app.test_client(), reader)

    def pages() -> Iterator[tuple[str, str]]:
        for payload in PAYLOADS:
            bought = shop.buy(reader)
            sms = [Sms(f"{payload} 482913", "482913", payload[:80]), Sms(payload, payload[:32], None)]
            activations.receive(bought.id, sms)
            db.session.rollback()
            for path in (f"/activations/{bought.id}", f"/activations/{bought.id}/live"):
                yield "message", client.get(path).text
            with app.test_request_context():
                yield "push", draw(db.session.get_one(User, reader.id), bought.id)
            closing.finish(bought)
            yield "history", client.get("/activations").text

    assert faults_of(pages()) == []


def test_what_is_typed_into_forms_boxes_and_addresses(app: Flask, alice: User) -> None:
    def pages() -> Iterator[tuple[str, str]]:
        for payload in PAYLOADS:
            redis.client.flushdb()  # no limit is what this is about
            yield from _typed(app.test_client(), log_in(app.test_client(), alice), payload)

    assert faults_of(pages()) == []


def _typed(visitor: FlaskClient, client: FlaskClient, payload: str) -> Iterator[tuple[str, str]]:
    arguments = ("q", "service", "country", "sort", "next", "need", "state", "show", "before")
    query = dict.fromkeys(arguments, payload)
    for path in ("/numbers", "/numbers/offers", "/login", "/register", "/", "/nothing"):
        yield path, visitor.get(path, query_string=query).text
        yield f"{path}, htmx", visitor.get(path, query_string=query, headers={"HX-Request": "true"}).text
    yield "search", visitor.get("/numbers/search", query_string={"q": payload}).text
    yield "prices", visitor.get("/pricing", query_string={"q": payload}).text
    for path in ("/numbers", "/activations", "/wallet", "/wallet/statement", "/account", "/confirm"):
        yield path, client.get(path, query_string=query).text
    yield "a path", visitor.get(f"/{quote(payload, safe='')}").text
    yield "log-in form", visitor.post("/login", data={"email": payload, "password": payload}).text
    form = {"email": payload, "password": payload, "timezone": payload}
    yield "register", visitor.post("/register", data=form).text
    yield "top-up", client.post("/wallet/top-up", data={"amount": payload, "preset": payload, "key": payload}).text
    settings = {"language": payload, "timezone": payload, "theme": payload}
    yield "account", client.post("/account", data=settings).text


@pytest.fixture
def an_offer(app: Flask) -> Iterator[Offer]:
    """One that a country's list of operators shows; put right afterwards."""
    offer = db.session.scalars(
        select(Offer).where(
            Offer.operator != "any", Offer.service_code == "whatsapp", Offer.country_code == "NG", Offer.stock > 0
        )
    ).first()
    assert offer
    was = offer.operator
    yield offer
    with transaction():
        db.session.execute(update(Offer).where(Offer.id == offer.id).values(operator=was))


def test_the_operators_of_a_provider(app: Flask, alice: User, an_offer: Offer) -> None:
    bought = shop.buy(alice)
    client = log_in(app.test_client(), alice)

    def pages() -> Iterator[tuple[str, str]]:
        for payload in PAYLOADS:
            with transaction():
                db.session.execute(update(Offer).where(Offer.id == an_offer.id).values(operator=payload[:40]))
                db.session.execute(update(Activation).where(Activation.id == bought.id).values(operator=payload[:40]))
            redis.client.flushdb()  # the catalogue's cache as well
            yield "offers", client.get("/numbers/offers?service=whatsapp&country=NG").text
            yield "buy page", client.get("/numbers?service=whatsapp&country=NG").text
            yield "activation", client.get(f"/activations/{bought.id}").text

    assert faults_of(pages()) == []


def test_the_name_a_browser_gives_itself(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is shown on the account's pages and in the letter about a new device."""
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", False)
    known = Browser(app)
    form = {"email": "ua@example.com", "password": PASSWORD}
    known.post("/register", data=form | {"accept": "y"})
    assert known.log_in("ua@example.com").status_code == 303
    for payload in PAYLOADS:
        name = payload.encode("ascii", "replace").decode()
        assert Browser(app).post("/login", data=form, headers={"User-Agent": name}).status_code == 303
    letters = list(db.session.scalars(text("SELECT args->>'html' FROM procrastinate_jobs ORDER BY id")))
    assert len(letters) > len(PAYLOADS)

    def pages() -> Iterator[tuple[str, str]]:
        yield from (("letter", html) for html in letters)
        mine = {rule.rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/account")}
        yield from ((path, known.get(path).text) for path in mine if "<" not in path)

    assert faults_of(pages()) == []


@pytest.mark.parametrize(
    "page",
    [
        "<p>x9<script>x9()</script>",
        "<p>x9<img src=x onerror=x9()>",
        '<p>x9<b hx-get="/a/x9">',
        '<p>x9<a href="javascript:x9()">',
        "<p>x9<x9>",
        "<p>x9<b x9>",
        "<p><!-- x9 -->",
    ],
)
def test_a_page_that_lets_text_become_more_is_seen(page: str) -> None:
    assert read(page).faults


def test_there_are_forty_payloads() -> None:
    assert len(set(PAYLOADS)) >= 40
