"""How money, numbers, times and names are shown."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask, render_template_string
from flask_babel import force_locale
from markupsafe import Markup

from namaskah import filters, language
from namaskah.auth.models import User

AT = datetime(2026, 11, 3, 13, 12, 31, tzinfo=UTC)
NO_BREAK = "\u00a0"


@pytest.fixture
def page(app: Flask) -> Iterator[None]:
    with app.test_request_context():
        yield


@pytest.fixture
def reader() -> User:
    return User(language="ar", timezone="Africa/Nairobi", theme="night")


@pytest.mark.parametrize(
    ("minor", "shown"),
    [
        (0, "₦0"),
        (45_000, "₦450"),
        (155_000, "₦1,550"),
        (155_050, "₦1,550.50"),
        (5, "₦0.05"),
        (-45_000, "−₦450"),
        (-1, "−₦0.01"),
        (123_456_789_012, "₦1,234,567,890.12"),
    ],
)
def test_money_has_decimals_only_where_there_are_some(page: None, minor: int, shown: str) -> None:
    assert filters.money_text(minor) == shown
    assert filters.money(minor) == Markup(f'<span class="money">{shown}</span>')


def test_money_with_its_sign(page: None) -> None:
    assert [filters.money_text(minor, sign=True) for minor in (45_000, 0, -45_000)] == ["+₦450", "₦0", "−₦450"]


@pytest.mark.parametrize(
    ("locale", "shown"), [("en", "₦1,550.50"), ("ar", "₦1,550.50"), ("de", "₦1.550,50"), ("fr", "₦1\u202f550,50")]
)
def test_money_is_grouped_as_the_language_does_in_western_digits(page: None, locale: str, shown: str) -> None:
    with force_locale(locale):
        assert filters.money_text(155_050) == shown


@pytest.mark.parametrize(
    ("currency", "shown"),
    [("NGN", "₦12"), ("GHS", "GH₵12"), ("USD", "$12"), ("ZAR", f"R{NO_BREAK}12"), ("KES", f"KSh{NO_BREAK}12")],
)
def test_a_sign_of_letters_stands_apart(
    app: Flask, page: None, monkeypatch: pytest.MonkeyPatch, currency: str, shown: str
) -> None:
    monkeypatch.setitem(app.config, "WALLET_CURRENCY", currency)
    assert filters.money_text(1200) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+2348035550142", "+234 803 555 0142"),
        ("2348035550142", "+234 803 555 0142"),
        ("+447700900123", "+44 7700 900123"),
        ("+12025550123", "+1 202-555-0123"),
        ("+999123", "+999123"),
        ("unknown", "unknown"),
    ],
)
def test_a_phone_number_is_grouped_as_its_country_does(number: str, shown: str) -> None:
    assert filters.phone_text(number) == shown


def test_a_phone_number_keeps_its_direction_and_its_countrys_part_apart() -> None:
    assert filters.phone("+2348035550142") == Markup(
        '<bdi class="num" dir="ltr"><span class="cc">+234</span> 803 555 0142</bdi>'
    )
    assert filters.phone("<b>") == Markup('<bdi class="num" dir="ltr">&lt;b&gt;</bdi>')


def test_times_are_the_readers_and_carry_the_whole_instant(page: None, reader: User) -> None:
    reader.language = "en"
    with language.reading_as(reader):
        clock, moment = filters.clock(AT), filters.moment(AT)
    assert ">16:12:31</time>" in clock
    assert ">Nov 3, 2026, 16:12</time>" in moment
    for shown in (clock, moment):
        assert 'datetime="2026-11-03T13:12:31+00:00"' in shown
        assert 'title="3 November 2026, 16:12:31 East Africa Time"' in shown


def test_a_time_in_arabic_has_western_digits(page: None, reader: User) -> None:
    with language.reading_as(reader):
        assert ">3 نوفمبر 2026، 16:12</time>" in filters.moment(AT)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0:00"),
        (0, "0:00"),
        (0.9, "0:00"),
        (9, "0:09"),
        (65, "1:05"),
        (3599, "59:59"),
        (3600, "1:00:00"),
        (3727, "1:02:07"),
    ],
)
def test_what_is_left(seconds: float, shown: str) -> None:
    with time_machine.travel(AT, tick=False):
        assert filters.left(AT + timedelta(seconds=seconds)) == shown


@pytest.mark.parametrize(
    ("seconds", "english", "arabic"),
    [
        (1, "1 sec", "1 ث"),
        (20, "20 sec", "20 ث"),
        (119, "119 sec", "119 ث"),
        (120, "2 min", "2 د"),
        (200, "3 min", "3 د"),
    ],
)
def test_a_usual_wait(page: None, seconds: int, english: str, arabic: str) -> None:
    with force_locale("en"):
        assert filters.seconds_text(seconds) == english
    with force_locale("ar"):
        assert filters.seconds_text(seconds) == arabic


@pytest.mark.parametrize(("hundredths", "shown"), [(0, "0%"), (9150, "91%"), (9999, "99%"), (10_000, "100%")])
def test_a_rate_is_cut_so_that_100_means_each_one(page: None, hundredths: int, shown: str) -> None:
    for locale in ("en", "ar"):
        with force_locale(locale):
            assert filters.percent(hundredths) == shown


def test_counts_names_flags_and_tiles(page: None) -> None:
    assert filters.count(12_345) == "12,345"
    assert filters.country_name("NG") == "Nigeria"
    with force_locale("ar"):
        assert filters.country_name("NG") == "نيجيريا"
        assert filters.count(12_345) == "12,345"
    assert filters.flag("NG") == "🇳🇬"
    assert filters.service_name("whatsapp") == "WhatsApp"
    assert filters.service_name("nobody-knows") == "nobody-knows"
    assert [filters.tile(name) for name in ("WhatsApp", "7-Eleven", "X", "")] == ["Wh", "7e", "X", ""]


def test_a_static_files_address_changes_with_its_content(
    app: Flask, page: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "static_folder", str(tmp_path))
    file = tmp_path / "a.css"
    file.write_text("one")
    first = filters.static("a.css")
    assert first.startswith("/static/a.css?v=")
    assert filters.static("a.css") == first
    file.write_text("two, longer")
    assert filters.static("a.css") != first
    assert filters.static("missing.css") == "/static/missing.css"


def test_in_production_a_file_is_read_once(
    app: Flask, page: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "static_folder", str(tmp_path))
    monkeypatch.setitem(app.config, "ENVIRONMENT", "production")
    (tmp_path / "b.css").write_text("one")
    first = filters.static("b.css")
    (tmp_path / "b.css").write_text("two, longer")
    assert filters.static("b.css") == first


def test_templates_have_all_of_it(app: Flask, page: None, reader: User) -> None:
    with language.reading_as(reader):
        shown = render_template_string(
            "{{ lang }} {{ dir }} {{ theme }} {{ 45000 | money }} {{ languages[1][1] }} {{ policy_version }}"
            " {{ support_email }} {{ static('nothing') }}"
        )
    assert shown == (
        'ar rtl night <span class="money">₦450</span> العربية'
        f" {app.config['POLICY_VERSION']} {app.config['SUPPORT_EMAIL']} /static/nothing"
    )


def test_reading_as_somebody_ends_where_it_ends(app: Flask, page: None, reader: User) -> None:
    with language.reading_as(reader):
        assert filters.count(1) == "1"
        assert str(filters._locale()) == "ar"
    assert str(filters._locale()) == "en"
    reader.language = "xx"
    with language.reading_as(reader):
        assert str(filters._locale()) == "en"


def test_reading_as_somebody_needs_no_request(app: Flask, reader: User) -> None:
    with app.app_context(), language.reading_as(reader):
        assert str(filters._locale()) == "ar"
        assert ">16:12:31</time>" in filters.clock(AT)


def test_a_constant_in_a_template_is_shown_in_each_readers_language(app: Flask, page: None) -> None:
    template = app.jinja_env.from_string('{{ "NG" | country_name }} {{ 155050 | money_text }}')
    with force_locale("ar"):
        assert template.render() == "نيجيريا ₦1,550.50"
    with force_locale("de"):
        assert template.render() == "Nigeria ₦1.550,50"
