"""Codes found in real-looking messages, in hostile ones, and shown in two halves."""

import csv
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from namaskah.numbers.code_candidates import MAX_TEXT, normalise
from namaskah.numbers.codes import find_code, find_link, group_code

with (Path(__file__).parent / "messages.tsv").open(encoding="utf-8", newline="") as lines:
    MESSAGES = [
        row | {"text": row["text"].replace("\\r", "\r").replace("\\n", "\n")}
        for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    ]


@pytest.mark.parametrize("message", MESSAGES, ids=[f"{i}-{m['service']}" for i, m in enumerate(MESSAGES, 2)])
def test_the_code_of_a_message_is_the_one_a_person_would_type(message: dict[str, str]) -> None:
    found = find_code(message["text"], message["provider_code"] or None, message["service"])
    assert found == (message["expected"] or None)


def test_the_collection_of_messages_is_wide_enough() -> None:
    assert len(MESSAGES) >= 170
    assert len({message["service"] for message in MESSAGES}) >= 60
    assert len({message["language"] for message in MESSAGES}) >= 25
    assert sum(not message["expected"] for message in MESSAGES) >= 20
    several = [m for m in MESSAGES if m["expected"] and len(set(re.findall(r"\d{2,}", m["text"]))) >= 3]
    assert len(several) >= 25
    assert len({message["text"] for message in MESSAGES if message["text"]}) >= len(MESSAGES) - 8


def test_the_service_is_a_hint_and_not_needed() -> None:
    missed = [m["text"] for m in MESSAGES if find_code(m["text"], m["provider_code"]) != (m["expected"] or None)]
    assert missed == []


@pytest.mark.parametrize(
    ("given_code", "code"),
    [
        ("123456", "123456"),
        ("123-456", "123456"),
        ("123 456", "123456"),
        ("G-123456", "123456"),
        ("FB-12345", "12345"),
        (" 4829.", "4829"),
        ("٤٨٢٩", "4829"),
        ("a8f3k2", "a8f3k2"),
        ("R4V7K", "R4V7K"),
        ("X7K-9QP", "X7K9QP"),
        ("AB-12CDE", "AB-12CDE"),
        ("WKXRTPBA", "WKXRTPBA"),
        ("1 2 3 4", "1234"),
    ],
)
def test_a_plausible_code_of_the_provider_wins_over_the_text(given_code: str, code: str) -> None:
    assert find_code("Your code is 999111", given_code) == code


@pytest.mark.parametrize("junk", ["", " ", "null", "NULL", "none", "NONE", "-", "0", "WAIT", "1234567890123", "?"])
def test_what_is_no_code_is_not_believed_from_a_provider(junk: str) -> None:
    assert find_code("Your code is 999111", junk) == "999111"
    assert find_code("Thank you.", junk) is None


def test_a_message_put_in_the_code_field_is_read_as_a_message() -> None:
    assert find_code("", "Use 482913 to log in, valid 10 minutes") == "482913"


def test_the_services_own_name_is_not_its_code() -> None:
    assert find_code("【1688】您正在登录，请勿泄露", None, "1688") is None
    assert find_code("【1688】您的验证码是7305", None, "1688") == "7305"


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("Tap to log in: https://example.com/v/8h2K.", "https://example.com/v/8h2K"),
        ("Confirm your number (http://ex.co/a?b=1)", "http://ex.co/a?b=1"),
        ("Verify here: v.example.com/abc12", "https://v.example.com/abc12"),
        ("Подтвердите номер: https://example.ru/c/77120455", "https://example.ru/c/77120455"),
        ("Log in: https://ex.co/otp482913", "https://ex.co/otp482913"),
        ("点击https://ex.cn/abc，完成验证", "https://ex.cn/abc"),
    ],
)
def test_a_message_that_verifies_by_a_link_gives_the_link(text: str, link: str) -> None:
    assert find_code(text) is None
    assert find_link(text) == link


@pytest.mark.parametrize(
    "text",
    [
        "Your code is 482913. Or tap https://example.com/v/482913 to log in",
        "50% off today: https://shop.example.com/sale, log in now",
        "Your parcel is here https://ex.co/1",
        "Log in to see your bill",
        "Log in: javascript:alert(1)",
        "",
    ],
)
def test_a_message_with_a_code_or_an_offer_or_no_link_gives_none(text: str) -> None:
    assert find_link(text) is None


@pytest.mark.parametrize(
    ("code", "halves"),
    [
        ("123456", ("123", "456")),
        ("1234", ("12", "34")),
        ("12345", ("12", "345")),
        ("1234567", ("123", "4567")),
        ("12345678", ("1234", "5678")),
        ("X7K9QP", ("X7K", "9QP")),
        ("R4V7K", ("R4", "V7K")),
        ("AB-12CDE", ("AB", "12CDE")),
        ("", ("", "")),
    ],
)
def test_a_code_is_shown_in_two_halves(code: str, halves: tuple[str, str]) -> None:
    assert group_code(code) == halves


HOSTILE = [
    "1 " * 5000,
    "1-" * 5000,
    "1." * 5000,
    "1,000" * 2000,
    "123 456 " * 1250,
    "code " * 2000,
    "1234 code " * 1000,
    "A-1" * 3334,
    "A1-" * 3334,
    "a." * 5000,
    "a-" * 5000,
    "+1" * 5000,
    "+1 " * 3334,
    "@a.#" * 2500,
    "https://" * 1250,
    "*1#" * 3334,
    "xX" * 5000,
    "a" * 10_000,
    "1" * 10_000,
    " " * 10_000,
    "\n" * 10_000,
    "code" + " " * 9_990 + "123456",
    "\u200b" * 10_000,
    "ﷺ" * 10_000,
    "验证码" * 3334,
    "e\u0301" * 5000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=[ascii(text[:8]) for text in HOSTILE])
def test_a_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    assert len(normalise(text)) <= MAX_TEXT
    started = time.process_time()
    find_code(text, text, "whatsapp")
    find_link(text)
    assert time.process_time() - started < 2


PIECES = [
    "code",
    " ",
    "-",
    ".",
    "\n",
    "123",
    "4567",
    "G-",
    "is",
    "код",
    "验证码",
    "٤٨٢",
    "X7K",
    "https://",
    "@a.b #",
    "+",
]
TEXTS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=30).map("".join))


@pytest.mark.no_cover
@settings(max_examples=300, deadline=None)
@given(TEXTS, st.one_of(st.none(), st.text(max_size=20)), st.sampled_from([None, "whatsapp", "1688", "unheard-of"]))
def test_any_text_gives_none_or_characters_of_the_text(
    text: str, provider_code: str | None, service: str | None
) -> None:
    code = find_code(text, provider_code, service)
    link = find_link(text)
    if code is not None:
        assert 3 <= len(code) <= 14
        assert re.fullmatch(r"[A-Za-z0-9-]+", code)
        remaining = iter(normalise(provider_code or "") + normalise(text))
        assert all(char in remaining for char in code)
    if link is not None:
        assert re.match(r"(?i)https?://", link)
        assert find_code(text) is None


def test_a_space_is_never_part_of_a_code() -> None:
    assert find_code("", "00 A") == "00A"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789ABCDEFxyz", max_size=14))
def test_the_two_halves_are_the_code(code: str) -> None:
    left, right = group_code(code)
    assert left + right == code
    assert 0 <= len(right) - len(left) <= 1


@settings(max_examples=200, deadline=None)
@given(st.integers(min_value=0, max_value=10**6 - 1), st.sampled_from(["{}", "Code: {}", "{} is your code.", "код {}"]))
def test_any_six_digits_are_found_whatever_they_are(number: int, template: str) -> None:
    code = f"{number:06d}"
    assert find_code(template.format(code)) == code
    assert find_code(template.format(f"{code[:3]}-{code[3:]}")) == code
