"""What PostgreSQL refuses about activations whoever writes it, and the one way states may go."""

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from namaskah.auth.models import User
from namaskah.db import db, transaction, violated
from namaskah.numbers.activations import move
from namaskah.numbers.models import STATES, TRANSITIONS
from tests.numbers.shop import buy

COPIED = "service_code, country_code, operator, currency, provider_name, attempt_at, due_at"
COPY = f"""INSERT INTO activations (user_id, key, price_minor, replaces_id, {COPIED})
           SELECT user_id, %s, price_minor, %s, {COPIED} FROM activations WHERE id = :id"""
REFUSED = [
    (COPY % ("key", "NULL"), "uq_activations_user_id_key"),
    ("UPDATE activations SET replaces_id = id; " + COPY % ("'another key'", "id"), "uq_activations_replaces_id"),
    ("UPDATE activations SET price_minor = 0 WHERE id = :id", "ck_activations_price"),
    ("UPDATE activations SET state = 'received' WHERE id = :id", "ck_activations_captured_has_code"),
    ("UPDATE activations SET received_at = now() WHERE id = :id", "ck_activations_captured_has_code"),
    ("UPDATE activations SET state = 'expired', ended_at = now() WHERE id = :id", "ck_activations_released_says_why"),
    ("UPDATE activations SET end_reason = 'no_code' WHERE id = :id", "ck_activations_released_says_why"),
]


@pytest.mark.parametrize(("statement", "constraint"), REFUSED)
def test_postgresql_refuses(app: Flask, alice: User, statement: str, constraint: str) -> None:
    bought = buy(alice)
    with pytest.raises(DBAPIError) as refused, transaction():
        db.session.execute(text(statement), {"id": bought.id})
    assert violated(refused.value) == constraint  # type: ignore[arg-type]


def test_a_state_moves_by_the_table_only(app: Flask, alice: User) -> None:
    bought = buy(alice)
    for before in STATES:
        for after in set(STATES).difference(TRANSITIONS[before]):
            with pytest.raises(ValueError, match=f"no way from {before} to {after}"), transaction():
                move(bought, (before,), state=after)
    db.session.refresh(bought)
    assert bought.state == "waiting"
