"""The directory of services and countries: what we know by name, and what we never sell."""

import re
from collections.abc import Iterable
from typing import Any

import pytest

from namaskah.numbers import directory
from namaskah.numbers.directory import (
    BLOCKED_REASONS,
    country_name,
    country_search_terms,
    fold,
)

PROTOCOLS = ("fivesim", "sms_activate")
SERVICES = {entry.code: entry for entry in directory.services()}
COUNTRIES = {entry.code: entry for entry in directory.countries()}


def by_provider_code(entries: Iterable[Any], protocol: str, code: str) -> Any:
    """What a provider of this protocol means by `code`."""
    return next((entry for entry in entries if getattr(entry, protocol) == code), None)


BLOCKED = {
    "banking": "revolut wise monese santander au-bank agibank kotak811 monobank monobank-india caixa alfa banqi "
    "iti voltz akudo moneylion robinhood crefisa-mais tradeup",
    "payment": "paypal venmo gcash paytm papara ovo dana paysafecard alipay stripe keypay akulaku adakami mobikwik "
    "picpay paysend paycell astropay freecharge lazypay payzapp wing-money easypay ininal tosla momo zilch "
    "pingpong recargapay miloan dhani verse bit",
    "government": "cita-previa mos-ru primaries-2020",
    "telecom": "airtel irancell hamrah-e-aval mts-cashback ais globaltel vivo dent izi",
    "health": "pharmeasy apteka-ru sberapteka uteka vitaexpress zdravcity",
    "insurance": "rsa taikang fwd-max gabi",
    "crypto": "coinbase crypto-com kucoinplay paxful bitso stormgain nifty coindcx coinfield icrypex ziglu socios",
}
BLOCKED_PAIRS = [(code, reason) for reason, codes in BLOCKED.items() for code in codes.split()]
SOLD = (
    "whatsapp telegram google instagram facebook tiktok openai discord twitter microsoft amazon tinder apple "
    "snapchat wechat viber vk steam netflix uber signal line yahoo linkedin ebay airbnb bumble grab lazada "
    "aliexpress 1xbet betfair irctc mail-ru blizzard mercado-libre other"
)


def test_service_codes_are_short_slugs_and_unique() -> None:
    assert len(SERVICES) == len(directory.services()) > 500
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code) and len(code) <= 32 for code in SERVICES)


def test_service_names_are_unique_and_readable_in_latin_script() -> None:
    names = [entry.name.casefold() for entry in directory.services()]
    assert len(set(names)) == len(names)
    assert not [name for name in names if re.search(r"[^\x20-\u024f]", name)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_provider_code_means_two_things(protocol: str) -> None:
    services = [code for entry in directory.services() if (code := getattr(entry, protocol))]
    countries = [code for entry in directory.countries() if (code := getattr(entry, protocol))]
    assert len(set(services)) == len(services) > 200
    assert len(set(countries)) == len(countries) > 170


def test_every_blocked_reason_is_one_we_can_explain() -> None:
    reasons = {entry.blocked for entry in directory.services()} - {None}
    assert reasons == BLOCKED_REASONS


def test_popularity_is_a_ranking_without_gaps_and_never_of_a_blocked_service() -> None:
    for entries in (directory.services(), directory.countries()):
        ranks = sorted(entry.popularity for entry in entries if entry.popularity is not None)
        assert ranks == list(range(1, len(ranks) + 1))
        assert len(ranks) >= 40
    assert not [entry.code for entry in directory.services() if entry.popularity and entry.blocked]


def test_the_blocked_list_checked_here_is_long_enough_to_mean_something() -> None:
    assert len(set(BLOCKED_PAIRS)) >= 60


@pytest.mark.parametrize(("code", "reason"), BLOCKED_PAIRS)
def test_money_state_and_health_services_are_never_sold(code: str, reason: str) -> None:
    assert SERVICES[code].blocked == reason


@pytest.mark.parametrize("code", SOLD.split())
def test_what_customers_come_for_is_sold(code: str) -> None:
    assert SERVICES[code].blocked is None


@pytest.mark.parametrize(
    ("protocol", "provider_code", "code"),
    [
        ("fivesim", "openai", "openai"),
        ("fivesim", "odnoklassniki", "ok-ru"),
        ("fivesim", "grabtaxi", "grab"),
        ("fivesim", "other", "other"),
        ("sms_activate", "lf", "tiktok"),
        ("sms_activate", "wa", "whatsapp"),
        ("sms_activate", "dr", "openai"),
        ("sms_activate", "ot", "other"),
        ("sms_activate", "eh", "telegram-2"),
        ("sms_activate", "lb", "mail-ru-group"),
    ],
)
def test_provider_codes_of_services_are_read(protocol: str, provider_code: str, code: str) -> None:
    entry = by_provider_code(directory.services(), protocol, provider_code)
    assert entry is not None
    assert entry.code == code


@pytest.mark.parametrize(
    ("protocol", "provider_code", "code"),
    [
        ("fivesim", "england", "GB"),
        ("fivesim", "usa", "US"),
        ("fivesim", "bih", "BA"),
        ("fivesim", "swaziland", "SZ"),
        ("sms_activate", "0", "RU"),
        ("sms_activate", "16", "GB"),
        ("sms_activate", "187", "US"),
        ("sms_activate", "203", "XK"),
        ("sms_activate", "18", "CD"),
        ("sms_activate", "150", "CG"),
    ],
)
def test_provider_codes_of_countries_are_read(protocol: str, provider_code: str, code: str) -> None:
    entry = by_provider_code(directory.countries(), protocol, provider_code)
    assert entry is not None
    assert entry.code == code


def test_the_old_virtual_united_states_is_not_sold_as_the_united_states() -> None:
    assert by_provider_code(directory.countries(), "sms_activate", "12") is None


def test_codes_nobody_knows_are_none() -> None:
    assert by_provider_code(directory.services(), "fivesim", "unheard-of") is None
    assert by_provider_code(directory.countries(), "fivesim", "atlantis") is None


def test_every_country_is_a_real_one_with_a_dial_code() -> None:
    assert len(COUNTRIES) == len(directory.countries()) == 198
    for entry in directory.countries():
        assert re.fullmatch(r"[A-Z]{2}", entry.code)
        assert re.fullmatch(r"[1-9]\d{0,2}", entry.dial_code)
        assert country_name(entry.code, "de") != entry.code


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Whats App", "WHATSAPP"),
        ("Méliuz", "meliuz"),
        ("Şikayet var", "sikayetvar"),
        ("TÜRKİYE", "turkiye"),
        ("ısparta", "isparta"),
        ("Перекрёсток", "перекресток"),
        ("أمريكا", "امريكا"),
        ("إنستغرام", "انستغرام"),
        ("غلوفو", "غلـــوفو"),
        ("السعودية", "السعوديه"),
        ("دیجی‌کالا", "ديجي كالا"),
        ("مُحَمَّد", "محمد"),
        ("Côte d'Ivoire", "cote divoire"),
        ("Việt Nam", "viet nam"),
        ("Wmaracı", "wmaraci"),
        ("ＬＩＮＥ", "line"),
        ("ﾗｲﾝ", "ライン"),
        ("straße", "STRASSE"),
        ("Σκρουτζ", "σκρουτζ"),
        ("व्हाट्सऐप", "व्हाट्स ऐप"),
        ("mail.ru", "mail ru"),
    ],
)
def test_folding_makes_one_of_what_a_person_means_as_one(left: str, right: str) -> None:
    assert fold(left) == fold(right) != ""


@pytest.mark.parametrize(("left", "right"), [("कि", "की"), ("ไลน์", "ลน"), ("微信", "微博"), ("بیپ", "بوپ")])
def test_folding_keeps_different_words_apart(left: str, right: str) -> None:
    assert fold(left) != fold(right)


def test_folding_drops_what_is_not_a_letter_or_a_digit() -> None:
    assert fold(" -_.,!؟ \u200f\u200d") == ""


@pytest.mark.parametrize(
    ("code", "locale", "name"),
    [
        ("GB", "en", "United Kingdom"),
        ("HK", "en_US", "Hong Kong"),
        ("GB", "fr", "Royaume-Uni"),
        ("DE", "ru", "Германия"),
        ("US", "zh-Hant", "美國"),
        ("SA", "ar", "المملكة العربية السعودية"),
        ("GB", "tlh", "United Kingdom"),
        ("GB", "not a locale", "United Kingdom"),
        ("QQ", "fr", "QQ"),
    ],
)
def test_country_names_come_in_the_readers_language(code: str, locale: str, name: str) -> None:
    assert country_name(code, locale) == name


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("england", "GB"),
        ("Vereinigtes Königreich", "GB"),
        ("uk", "GB"),
        ("英国", "GB"),
        ("ivory coast", "CI"),
        ("Elfenbeinküste", "CI"),
        ("الامارات", "AE"),
        ("dubai", "AE"),
        ("भारत", "IN"),
        ("россия", "RU"),
        ("234", "NG"),
        ("+880", "BD"),
        ("ng", "NG"),
        ("holland", "NL"),
        ("ญี่ปุ่น", "JP"),
        ("독일", "DE"),
    ],
)
def test_countries_are_found_by_what_people_call_them(query: str, code: str) -> None:
    assert fold(query) in country_search_terms(code).split()


def test_a_country_nobody_knows_has_only_its_code_to_search_by() -> None:
    assert country_search_terms("QQ") == "qq"


def test_known_services_can_be_found_in_local_scripts() -> None:
    local = [e.code for e in directory.services() if re.search(r"[^\x00-\u024f]", " ".join(e.aliases))]
    assert len(local) >= 120
    assert "واتساب" in SERVICES["whatsapp"].aliases
    assert "youtube" in SERVICES["google"].aliases
