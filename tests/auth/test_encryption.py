"""What the database holds encrypted, and what a change of the key does to it."""

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import select

from namaskah.auth import encryption
from namaskah.auth.models import User
from namaskah.auth.second_factor import totp
from namaskah.auth.second_factor.models import TotpSeed
from namaskah.db import db
from tests.auth.factor_people import code_of, give_app

OLD, NEW = "old secret, long enough for production", "new secret, long enough for production"


@pytest.fixture
def rotate(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def change(newest: str, *older: str) -> None:
        monkeypatch.setitem(app.config, "SECRET_KEY", newest)
        monkeypatch.setitem(app.config, "SECRET_KEYS_OLD", older)

    return change


def test_what_is_encrypted_is_read_again_and_looks_different_each_time(app: Flask) -> None:
    first, second = encryption.encrypt(b"seed", "totp:1"), encryption.encrypt(b"seed", "totp:1")
    assert first != second
    assert b"seed" not in first
    assert encryption.decrypt(first, "totp:1") == b"seed"


def test_of_another_context_changed_or_cut_it_is_not_read(app: Flask) -> None:
    sealed = encryption.encrypt(b"seed", "totp:1")
    for place in (0, 4, 16, len(sealed) - 1):
        changed = bytes([*sealed[:place], sealed[place] ^ 1, *sealed[place + 1 :]])
        with pytest.raises(encryption.Unreadable):
            encryption.decrypt(changed, "totp:1")
    for text, context in ((sealed, "totp:2"), (sealed[:-1], "totp:1"), (sealed[:10], "totp:1"), (b"", "totp:1")):
        with pytest.raises(encryption.Unreadable):
            encryption.decrypt(text, context)


def test_older_keys_still_read_and_forgotten_ones_do_not(app: Flask, rotate: Callable[..., None]) -> None:
    rotate(OLD)
    sealed = encryption.encrypt(b"seed", "totp:1")
    rotate(NEW, "another old secret", OLD)
    assert encryption.decrypt(sealed, "totp:1") == b"seed"
    assert not sealed.startswith(encryption.newest_name())
    assert encryption.encrypt(b"seed", "totp:1").startswith(encryption.newest_name())
    rotate(NEW)
    with pytest.raises(encryption.Unreadable):
        encryption.decrypt(sealed, "totp:1")


def test_after_reencrypting_the_old_key_may_be_forgotten(
    app: Flask, user: User, clock: object, rotate: Callable[..., None]
) -> None:
    rotate(OLD)
    seed = give_app(app, user)
    assert seed.encode() not in db.session.scalars(select(TotpSeed.seed)).one()
    rotate(NEW, OLD)
    result = app.test_cli_runner().invoke(args=["account", "reencrypt"])
    assert result.output.startswith("1 seeds"), result.output
    assert totp.reencrypt() == 0
    rotate(NEW)
    assert totp.accept(user, code_of(seed))
