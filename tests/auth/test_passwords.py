"""How passwords are kept, and what that may cost."""

import threading

import pytest
from flask import Flask

from namaskah import config
from namaskah.auth import passwords
from tests.auth.work import together


def test_a_hash_is_salted_argon2id_and_opens_for_its_password_alone(app: Flask) -> None:
    one, other = passwords.hashed("purple tuba river"), passwords.hashed("purple tuba river")
    assert one != other
    assert one.startswith("$argon2id$v=19$m=1024,t=3,p=1$")
    assert passwords.matches(one, "purple tuba river")
    assert not passwords.matches(one, "purple tuba rive")
    assert not passwords.is_outdated(one)


def test_production_hashes_with_64_mib_in_three_passes(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = {setting.name: setting.default for setting in config.SETTINGS}
    monkeypatch.setitem(app.config, "PASSWORD_MEMORY_MIB", defaults["PASSWORD_MEMORY_MIB"])
    assert passwords.hashed("purple tuba river").startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert passwords.nobodys().startswith("$argon2id$v=19$m=65536,t=3,p=1$")


@pytest.mark.parametrize(("mib", "refused"), [("11", True), ("12", False)])
def test_production_refuses_hashes_that_are_too_cheap(settings: dict[str, str], mib: str, refused: bool) -> None:
    environment = settings | {"ENVIRONMENT": "production", "PASSWORD_MEMORY_MIB": mib}
    with pytest.raises(config.ConfigError) as found:
        config.load(environment)  # the sandbox is a fault of its own
    assert ("PASSWORD_MEMORY_MIB is below 12" in str(found.value)) is refused


def test_only_so_many_hashes_are_made_at_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    at_work, most = 0, 0
    lock = threading.Lock()
    really = passwords._giving_way

    def counted(work: object, *arguments: object) -> object:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        try:
            return really(work, *arguments)  # type: ignore[arg-type]
        finally:
            with lock:
                at_work -= 1

    monkeypatch.setattr(passwords, "_giving_way", counted)
    monkeypatch.setitem(app.config, "PASSWORD_HASHES_AT_ONCE", 2)
    assert len(together(app, 12, lambda: passwords.hashed("purple tuba river"))) == 12
    assert most == 2


def test_whoever_waits_too_long_for_a_turn_is_told_to_come_back(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAIT_SECONDS", 0.05)
    monkeypatch.setitem(app.config, "PASSWORD_HASHES_AT_ONCE", 3)
    turns = passwords._turns(3)
    for _ in range(3):
        turns.acquire()
    try:
        with app.test_request_context(), pytest.raises(passwords.TooManyLogIns) as found:
            passwords.hashed("purple tuba river")
        assert found.value.status == 503
    finally:
        for _ in range(3):
            turns.release()
    assert passwords.hashed("purple tuba river")


def test_an_accent_typed_in_two_ways_is_one_password(app: Flask) -> None:
    assert passwords.matches(passwords.hashed("caf\u00e9 au lait"), "cafe\u0301 au lait")


def test_every_one_of_256_characters_counts(app: Flask) -> None:
    long = "qX9!mZ2pLk ü" * 21 + "abcd"
    assert len(long) == passwords.MAX_LENGTH
    stored = passwords.hashed(long)
    assert passwords.matches(stored, long)
    assert not passwords.matches(stored, long[:-1] + "e")


@pytest.mark.parametrize("stored", ["", "none", "$argon2id$v=19$broken", "$2b$12$" + "x" * 53])
def test_what_is_no_hash_matches_nothing(app: Flask, stored: str) -> None:
    assert not passwords.matches(stored, "")
    assert not passwords.matches(stored, stored)
