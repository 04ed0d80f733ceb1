"""Which passwords are kept how, and which are refused."""

import time

import pytest
from flask import Flask

from namaskah.auth import passwords

EMAIL = "ngozi.eze@example.com"


@pytest.mark.parametrize(
    "guessed",
    [
        *("1234567890", "qwertyuiop", "password12", "iloveyou123", "aaaaaaaaaaaa"),
        *("Nigeria2026", "naija12345", "jesusislord1", "godisgood123", "chukwuemeka1995", "Blessing@123"),
        *("namaskah2026", "whatsapp123", EMAIL, "ngozi.eze1", "Ngozieze2025", "example.com12"),
    ],
)
def test_what_is_guessed_early_is_refused(app: Flask, guessed: str) -> None:
    problem = passwords.problem(guessed, EMAIL)
    assert problem
    assert "guessed early" in problem


@pytest.mark.parametrize(
    "good",
    [
        "purple tuba river",
        "qX9!mZ2pLk",
        "correct horse battery",
        "kettle-Anthem-fog",
        "ثلاث كلمات طويلة",
        "x" + "y7Qz" * 63,
    ],
)
def test_what_is_long_or_strange_enough_will_do(app: Flask, good: str) -> None:
    assert passwords.problem(good, EMAIL) is None


def test_the_length_has_two_bounds(app: Flask) -> None:
    strange = "qX9!mZ2pLk" * 26
    assert passwords.problem(strange[:9], EMAIL)
    assert passwords.problem(strange[:10], EMAIL) is None
    assert passwords.problem(strange[:256], EMAIL) is None
    assert passwords.problem(strange[:257], EMAIL)


def test_a_password_made_to_be_slow_to_judge_is_judged_soon(app: Flask) -> None:
    started = time.process_time()
    passwords.problem("4@8({[<3691!|7105$+%2z" * 11, EMAIL)
    assert time.process_time() - started < 1.5


def test_a_hash_is_salted_argon2id_and_opens_for_its_password_alone() -> None:
    one, other = passwords.hashed("purple tuba river"), passwords.hashed("purple tuba river")
    assert one != other
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.matches(one, "purple tuba river")
    assert not passwords.matches(one, "purple tuba rive")
    assert not passwords.is_outdated(one)


def test_an_accent_typed_in_two_ways_is_one_password() -> None:
    assert passwords.matches(passwords.hashed("caf\u00e9 au lait"), "cafe\u0301 au lait")


@pytest.mark.parametrize("stored", ["", "none", "$argon2id$v=19$broken", "$2b$12$" + "x" * 53])
def test_what_is_no_hash_matches_nothing(stored: str) -> None:
    assert not passwords.matches(stored, "")
    assert not passwords.matches(stored, stored)


def test_the_words_of_our_own_list_are_folded_and_said_once() -> None:
    words = passwords._common_words()
    assert len(words) > 500
    assert len(set(words)) == len(words)
    assert all(word == word.strip().lower() and word for word in words)
