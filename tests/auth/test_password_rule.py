"""Which passwords are refused."""

import time

import pytest
from flask import Flask
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from namaskah.auth import password_rule
from tests.auth.people import Browser

EMAIL = "ngozi.eze@example.com"
GOOD = "qX9!mZ2pLk" * 26


def refused(password: str, email: str = EMAIL) -> bool:
    return "guessed early" in (password_rule.problem(password, email) or "")


@pytest.mark.parametrize(
    "guessed",
    [
        *("123456789012345", "qwertyuiopasdfgh", "aaaaaaaaaaaaaaaaa", "Password1234567890", "iloveyou!!!!!!!!!"),
        *("passwordpassword1", "password-password", "PASSWORD1PASSWORD1", "p@ssw0rdp@ssw0rd", "1passwordpassword!"),
        *("PasswordPasswordPassword" * 8, "monkeymonkeymonk", "dragon dragon dragon", "!!!!!letmein!!!!!"),
        *("Nigeria20262026", "naija1234512345", "jesusislord12345", "chukwuemeka199519", "Blessing@123@123"),
        *("namaskahnamaskah", "Namaskah2026!!!", "whatsappwhatsapp1", "namaskah-namaskah-namaskah"),
        *(EMAIL, EMAIL.upper(), f"{EMAIL}1", "ngozi.eze.ngozi.eze", "ngozieze12345678", "example.com2026!"),
    ],
)
def test_what_is_guessed_early_is_refused(app: Flask, guessed: str) -> None:
    assert len(guessed) >= 15
    assert refused(guessed)


@pytest.mark.parametrize(
    "good",
    [
        *("purple tuba river", "qX9!mZ2pLkqW4v7", "correct horse battery", "kettle-Anthem-fog", "x" + "y7Qz" * 63),
        *(
            "ثلاث كلمات طويلة",
            "три разных слова",
            "紫色の大きな川と古い電話機と猫",
            "   spaces around   it ",
            "🦆🧭🪗🥝 four odd things",
        ),
    ],
)
def test_what_is_long_or_strange_enough_will_do_whatever_it_consists_of(app: Flask, good: str) -> None:
    assert password_rule.problem(good, EMAIL) is None


def test_every_common_password_that_is_long_enough_is_refused(app: Flask) -> None:
    common = [word for word in FREQUENCY_LISTS["passwords"] if len(word) >= 15]
    assert len(common) >= 20
    assert [word for word in common if not refused(word)] == []


def test_the_3000_most_common_are_refused_repeated_and_lengthened(app: Flask) -> None:
    assert len(FREQUENCY_LISTS["passwords"]) >= 3000
    let_through = [
        varied
        for word in FREQUENCY_LISTS["passwords"][:3000:25]
        for varied in ((word * 15)[: max(15, 2 * len(word))], word.upper() + "1" * 15, word.title() + "!" * 15)
        if not refused(varied)
    ]
    assert let_through == []


@pytest.mark.parametrize(("has_second_factor", "length"), [(False, 15), (True, 12)])
def test_the_length_has_two_bounds(app: Flask, has_second_factor: bool, length: int) -> None:
    def problem(password: str) -> str | None:
        return password_rule.problem(password, EMAIL, has_second_factor=has_second_factor)

    assert password_rule.min_length(has_second_factor) == length
    assert problem(GOOD[: length - 1]) == f"Use at least {length} characters."
    assert problem(GOOD[:length]) is None
    assert problem(GOOD[:256]) is None
    assert problem(GOOD[:257]) == "Use at most 256 characters."


def test_neither_spelling_of_a_sign_makes_a_password_longer(app: Flask) -> None:
    assert "at least" in (password_rule.problem("ﷺqX9!mZ2pLk", EMAIL) or "")  # one sign is eighteen when spelled out
    assert "at least" in (password_rule.problem("qe\u0301a\u0300o\u0302u\u0308i\u0302n\u0303x", EMAIL) or "")


def test_a_password_made_to_be_slow_to_judge_is_judged_soon(app: Flask) -> None:
    started = time.process_time()
    password_rule.problem("4@8({[<3691!|7105$+%2z" * 11, EMAIL)
    password_rule.problem("ab" * 127, EMAIL)
    assert time.process_time() - started < 10  # and not a minute


def test_the_words_of_our_own_list_are_folded_and_said_once() -> None:
    words = password_rule._common_words()
    assert len(words) > 500
    assert len(set(words)) == len(words)
    assert all(word == word.strip().lower() and word for word in words)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("short", "Use at least 15 characters."),
        ("passwordpassword1", "guessed early"),
        ("purple tuba river", "Very good"),
        ("x" * 5000, "Use at most 256 characters."),
    ],
)
def test_the_page_says_what_the_rule_will_say(browser: Browser, typed: str, said: str) -> None:
    answer = browser.submit("/password-strength", page="/register", password=typed, email=EMAIL)
    assert (answer.status_code, said in answer.text) == (200, True)
    assert typed not in answer.text


def test_nothing_is_said_before_anything_is_typed_and_not_without_end(browser: Browser) -> None:
    assert browser.submit("/password-strength", page="/register").text.strip() == ""
    answers = {browser.submit("/password-strength", page="/register").status_code for _ in range(60)}
    assert answers == {200, 429}
