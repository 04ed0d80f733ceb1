"""How money, phone numbers, times and names are shown. Templates show them through these and in no other way.

Digits are 0 to 9 in every language: people compare them with their bank's letter, their phone, the SMS itself.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import phonenumbers
from babel import Locale, dates, numbers, units
from flask import Flask, current_app, request, url_for
from flask_babel import get_locale, get_timezone
from flask_babel import gettext as _
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from namaskah.language import DEFAULT, LANGUAGES, choose_theme
from namaskah.money import MINOR_DIGITS, SIGNS
from namaskah.numbers import directory

# What stands in a browser's User-Agent → what people call it. Each imitates those below it.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("UCBrowser/", "UC Browser"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
MINUS = "\u2212"
NO_BREAK = "\u00a0"


def money_text(amount_minor: int, sign: bool = False) -> str:
    """₦1,550 or −₦1,550.50: decimals only where there are some. `sign` puts a plus before what is above zero."""
    currency = current_app.config["WALLET_CURRENCY"]
    has_decimals = amount_minor % 10 ** MINOR_DIGITS[currency] != 0
    return ("+" if sign and amount_minor > 0 else "") + _amount(amount_minor, currency, has_decimals)


def exact_money(amount_minor: int, currency: str) -> str:
    """₦1,550.00, with its decimals always: for papers, whose currency is the one they were written in."""
    return _amount(amount_minor, currency, has_decimals=True)


def money(amount_minor: int, sign: bool = False) -> Markup:
    """The same, kept in one piece and in its own direction."""
    return Markup('<span class="money">{}</span>').format(money_text(amount_minor, sign))


def phone_text(number: str) -> str:
    """+234 803 555 0142, grouped as its country does; what is no number stays as it is."""
    try:
        parsed = phonenumbers.parse(number if number.startswith("+") else f"+{number}")
    except phonenumbers.NumberParseException:
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def phone(number: str) -> Markup:
    """The number with its country's part set apart; left to right also among Arabic words."""
    code, _space, rest = phone_text(number).partition(" ")
    if not rest:
        return Markup('<bdi class="num" dir="ltr">{}</bdi>').format(code)
    return Markup('<bdi class="num" dir="ltr"><span class="cc">{}</span> {}</bdi>').format(code, rest)


def clock(at: datetime) -> Markup:
    """14:12:31 in the reader's zone; the whole instant on hover."""
    return _time(at, dates.format_time(_local(at), "HH:mm:ss", locale=_locale()))


def moment(at: datetime) -> Markup:
    """Nov 3, 2026, 14:12 as the reader's language writes it; the whole instant on hover."""
    return _time(at, moment_on_paper(at))


def moment_text(at: datetime) -> str:
    """25 November 2026, 09:41 with the zone's name: for letters, where nothing can be hovered over."""
    return dates.format_datetime(_local(at), "d MMMM y, HH:mm zzzz", locale=_locale())


def moment_on_paper(at: datetime) -> str:
    """Nov 3, 2026, 14:12 as moment() writes it: where nothing can be hovered over and space is short."""
    locale, local = _locale(), _local(at)
    day = dates.format_skeleton("yMMMd", local, locale=locale)
    time = dates.format_time(local, "HH:mm", locale=locale)
    return str(locale.datetime_formats["medium"]).format(time, day)


def device(name: str) -> str:
    """What browser and what kind of machine a User-Agent header speaks of: Chrome · Android."""
    browser = next((known for sign, known in BROWSERS if sign in name), "")
    system = next((known for sign, known in SYSTEMS if sign in name), "")
    return " · ".join(filter(None, (browser, system))) or name.partition("/")[0][:40] or _("Unknown device")


def day(at: date) -> str:
    """November 25, 2026 as the reader's language writes it."""
    return dates.format_date(at, "long", locale=_locale())


def left(until: datetime) -> str:
    """What is left until then: 19:05, or 1:02:07 from an hour on; 0:00 when it is over."""
    seconds = max(int((until - datetime.now(UTC)).total_seconds()), 0)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def seconds_text(seconds: int) -> str:
    """20 sec or 3 min: a usual wait, minutes from two of them on."""
    unit, number = ("duration-second", seconds) if seconds < 120 else ("duration-minute", round(seconds / 60))
    return units.format_unit(number, unit, "short", locale=_locale())


def percent(hundredths: int) -> str:
    """9150, hundredths of a percent, as 91%; cut, so that 100% means each one."""
    return numbers.format_percent(Decimal(hundredths // 100) / 100, locale=_locale())


def count(number: int) -> str:
    """12,345, grouped as the reader's language does."""
    return numbers.format_decimal(number, locale=_locale())


def country_name(code: str) -> str:
    """A country's name in the reader's language."""
    return directory.country_name(code, str(_locale()))


def flag(code: str) -> str:
    """The emoji of a country's flag: its two letters as regional indicators."""
    return "".join(chr(ord(letter) - ord("A") + 0x1F1E6) for letter in code.upper())


def service_name(code: str) -> str:
    """What people call a service; the code of one that nobody knows."""
    return _service_names().get(code, code)


def tile(name: str) -> str:
    """Two letters that stand for a service: Wa for WhatsApp."""
    letters = [letter for letter in name if letter.isalnum()]
    return "".join(letters[:2]).capitalize()


def static(path: str) -> str:
    """The address of a static file with the hash of its content, so that browsers may keep it for good."""
    file = Path(current_app.static_folder or "") / path
    if not file.is_file():
        return url_for("static", filename=path)
    in_production = current_app.config["ENVIRONMENT"] == "production"
    return url_for("static", filename=path, v=_fingerprint(file, 0 if in_production else file.stat().st_mtime_ns))


def here() -> str:
    """Where a choice of language or theme leads back to: this page, unless its address holds a secret."""
    if "token" in {*(request.view_args or {}), *request.args}:
        return "/"
    return request.full_path.rstrip("?")


def register_filters(app: Flask) -> None:
    """Give the templates everything above, and what each page says about itself."""
    shown = (money, money_text, phone, phone_text, clock, moment, moment_text, day, left, seconds_text, percent, count)
    named = (country_name, flag, service_name, tile, device)
    app.jinja_env.filters.update({show.__name__: _for_the_reader(show) for show in (*shown, *named)})
    app.jinja_env.globals.update(
        static=static,
        here=here,
        languages=list(LANGUAGES),
        policy_version=app.config["POLICY_VERSION"],
        policy_day=date.fromisoformat(app.config["POLICY_VERSION"]),
        support_email=app.config["SUPPORT_EMAIL"],
    )
    app.context_processor(_about_the_page)


def _amount(amount_minor: int, currency: str, has_decimals: bool) -> str:
    digits = MINOR_DIGITS[currency]
    figure = numbers.format_decimal(
        Decimal(abs(amount_minor)).scaleb(-digits),
        format="#,##0." + "0" * digits if has_decimals else None,
        locale=_locale(),
    )
    symbol = SIGNS[currency]
    return (MINUS if amount_minor < 0 else "") + symbol + (NO_BREAK if symbol.isalpha() else "") + figure


def _for_the_reader(show: Callable[..., str]) -> Callable[..., str]:
    """A filter of a constant, too, is worked out anew for each reader: Jinja does it once unless the context is asked
    for, in the language of whoever comes first."""

    @pass_context
    def filtered(_context: Context, *arguments: Any, **named: Any) -> str:
        return show(*arguments, **named)

    return filtered


def _about_the_page() -> dict[str, Any]:
    locale = _locale()
    return {"lang": str(locale).replace("_", "-"), "dir": locale.text_direction, "theme": choose_theme()}


def _locale() -> Locale:
    return get_locale() or Locale.parse(DEFAULT)


def _local(at: datetime) -> datetime:
    return at.astimezone(get_timezone())


def _time(at: datetime, shown: str) -> Markup:
    whole = dates.format_datetime(_local(at), "d MMMM y, HH:mm:ss zzzz", locale=_locale())
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.astimezone(UTC).isoformat(), whole, shown)


@cache
def _service_names() -> dict[str, str]:
    return {entry.code: entry.name for entry in directory.services()}


@cache
def _fingerprint(file: Path, _changed_at: int) -> str:
    return sha256(file.read_bytes()).hexdigest()[:12]
