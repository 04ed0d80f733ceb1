"""Providers' webhooks: who has the secret is believed about messages, and about nothing else."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from namaskah.auth.models import User
from namaskah.db import db
from namaskah.numbers import messages
from namaskah.numbers.models import Activation
from tests.numbers import shop
from tests.numbers.shop import buy, fresh
from tests.support import Control


@pytest.fixture
def waiting(alice: User) -> Activation:
    shop.only("herosms")
    return buy(alice)


def push(app: Flask, client: FlaskClient, body: Any, provider: str = "herosms", token: str | None = None) -> int:
    token = app.config["PROVIDER_WEBHOOK_TOKEN"] if token is None else token
    db.session.rollback()
    given = {"data": body, "content_type": "application/json"} if isinstance(body, bytes) else {"json": body}
    return client.post(f"/webhooks/providers/{provider}?token={token}", **given).status_code


def test_a_message_is_taken_whether_the_id_is_a_number_or_a_string(
    app: Flask, client: FlaskClient, waiting: Activation, alice: User
) -> None:
    ref = int(waiting.provider_ref or 0)
    assert push(app, client, {"activationId": ref, "text": "Your code is 482913", "code": "482913"}) == 200
    assert push(app, client, {"activationId": str(ref), "text": "Your code is 482913", "code": 482913}) == 200
    assert fresh(waiting).state == "received"
    assert [message.code for message in messages.of_activation(waiting.id)] == ["482913"]
    assert shop.ledger_lines(waiting) == ["hold", "capture"]


def test_a_code_alone_is_a_message(app: Flask, client: FlaskClient, waiting: Activation) -> None:
    assert push(app, client, {"activationId": waiting.provider_ref, "text": None, "code": "482913"}) == 200
    assert fresh(waiting).state == "received"


@pytest.mark.parametrize("token", ["", "wrong", "é", "%00"])
def test_without_the_secret_there_is_no_such_page(
    app: Flask, client: FlaskClient, waiting: Activation, token: str
) -> None:
    body = {"activationId": waiting.provider_ref, "text": "Your code is 482913"}
    assert push(app, client, body, token=token) == 404
    assert fresh(waiting).state == "waiting"


def test_without_a_secret_in_the_settings_it_is_closed(
    app: Flask, client: FlaskClient, waiting: Activation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.config, "PROVIDER_WEBHOOK_TOKEN", "")
    assert push(app, client, {"activationId": waiting.provider_ref, "text": "482913"}, token="") == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        {"text": "482913"},
        {"activationId": None, "text": "482913"},
        {"activationId": [1], "text": "482913"},
        {"activationId": "1\x00", "text": "482913"},
        {"activationId": "1" * 500, "text": "482913"},
        {"activationId": True, "text": "482913"},
        {"activationId": 1.5, "text": "482913"},
        {"activationId": 1},
        {"activationId": 1, "text": ["482913"]},
        {"activationId": 1, "text": "hello", "code": {"a": 1}},
    ],
)
def test_what_is_no_message_is_refused_and_breaks_nothing(
    app: Flask, client: FlaskClient, waiting: Activation, body: Any
) -> None:
    assert push(app, client, body) == 400
    assert fresh(waiting).state == "waiting"


@pytest.mark.parametrize("text", ["482913\x00 is your code", "482913 \ud83d is your code", "482913" + " x" * 20_000])
def test_a_text_that_cannot_be_stored_as_it_is_is_stored_as_well_as_can_be(
    app: Flask, client: FlaskClient, waiting: Activation, text: str
) -> None:
    assert push(app, client, {"activationId": waiting.provider_ref, "text": text}) == 200
    [message] = messages.of_activation(waiting.id)
    assert message.code == "482913"


def test_too_long_a_body_is_refused(app: Flask, client: FlaskClient, waiting: Activation) -> None:
    assert push(app, client, {"activationId": waiting.provider_ref, "text": "x" * 70_000}) == 413


def test_what_we_do_not_know_is_acknowledged_and_forgotten(
    app: Flask, client: FlaskClient, waiting: Activation
) -> None:
    assert push(app, client, {"activationId": 1, "text": "482913"}) == 200
    assert push(app, client, {"activationId": waiting.provider_ref, "text": "482913"}, provider="other") == 200
    assert fresh(waiting).state == "waiting"


def test_a_push_after_the_refund_is_shown_and_free(
    app: Flask, client: FlaskClient, waiting: Activation, alice: User, control: Control
) -> None:
    control.expire("herosms", waiting.provider_ref or "")
    shop.later(1_201)
    shop.work()
    assert fresh(waiting).state == "expired"
    assert push(app, client, {"activationId": waiting.provider_ref, "text": "Your code is 482913"}) == 200
    [message] = messages.of_activation(waiting.id)
    assert message.is_late and shop.wallet(alice) == (1_000_000, 0)
