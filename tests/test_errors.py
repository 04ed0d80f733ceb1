"""What a person sees when something of ours fails."""

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from namaskah.auth import sessions
from namaskah.auth.models import User
from tests.support import log_in


@pytest.mark.parametrize(
    "fault", [PoolExhausted("no connection"), OperationalError("SELECT 1", {}, Exception("gone"))], ids=["pool", "gone"]
)
def test_a_database_that_does_not_answer_is_a_503_that_says_when_to_come_back(
    app: Flask, alice: User, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(_value: str) -> None:
        raise fault

    client = log_in(app.test_client(), alice)
    monkeypatch.setattr(app.login_manager, "_user_callback", refuse)  # type: ignore[attr-defined]
    answer = client.get("/wallet")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "Your money is safe" in answer.text
    monkeypatch.setattr(app.login_manager, "_user_callback", sessions.find_user)  # type: ignore[attr-defined]
    assert client.get("/wallet").status_code == 200


def test_an_unknown_address_says_that_the_money_is_where_it_was(app: Flask) -> None:
    answer = app.test_client().get("/nothing-here")
    assert answer.status_code == 404
    assert "Your money is where it was" in answer.text


def test_htmx_gets_a_fragment(app: Flask) -> None:
    answer = app.test_client().get("/nothing-here", headers={"HX-Request": "true"})
    assert answer.status_code == 404
    assert "<html" not in answer.text
