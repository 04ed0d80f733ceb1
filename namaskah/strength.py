"""Whether the secrets of an installation are good enough for production. Faults never show the secret itself."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

HOW = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
MIN_LENGTH = 32
MIN_BITS = 85  # of Shannon's measure; 32 random hexadecimal digits have about 115, hardly ever below 90
MIN_PASSWORD = 12
MIN_KEY = 8  # of somebody else's making; we can only see that it is no placeholder
# Five letters and more: a random key of 64 characters holds one by chance once in some hundred thousand.
GIVEAWAYS = (
    *("changeme", "change-me", "change_me", "replace", "secret", "example", "password", "default", "insecure"),
    *("placeholder", "sandbox", "namaskah", "development", "qwerty", "your-key", "your_key", "xxxxx"),
)
ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "0123456789", "0123456789abcdef")
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def weakness(value: str, shortest: int = MIN_LENGTH) -> str | None:
    """Why a secret of our own making can be guessed, or None."""
    if len(value) < shortest:
        return f"is too short: {shortest} random characters or more"
    if named := giveaway(value):
        return f"contains {named!r}: it comes from an example"
    if _is_repetition(value) or _bits(value) < MIN_BITS * shortest / MIN_LENGTH or _is_sequence(value):
        return "is not random: it repeats itself or follows an order"
    return None


def giveaway(value: str) -> str | None:
    """The word that says nobody chose this value."""
    return next((word for word in GIVEAWAYS if word in value.lower()), None)


def production_faults(values: Mapping[str, Any]) -> list[str]:
    """Every secret that is missing, weak, a placeholder, for tests only, or would travel in the clear. Settings that
    could not be read are not in `values` and are complained of elsewhere."""
    return [
        *_own_faults(values),
        *_paystack_faults(values),
        *_provider_faults(values),
        *_server_faults("DATABASE_URL", values.get("DATABASE_URL", "")),
        *_server_faults("REDIS_URL", values.get("REDIS_URL", "")),
        *_mail_faults(values),
    ]


def _own_faults(values: Mapping[str, Any]) -> list[str]:
    present, old = values.get("SECRET_KEY", ""), values.get("SECRET_KEYS_OLD", ())
    own = {"SECRET_KEY": present, "PROVIDER_WEBHOOK_TOKEN": values.get("PROVIDER_WEBHOOK_TOKEN", "")}
    found = [
        f"{name} {fault}; {HOW}" for name, value in own.items() if value and (fault := weakness(value)) is not None
    ]
    # A weak key that is still accepted lets a forger in like a weak one in use.
    faults = [fault for key in old if (fault := weakness(key)) is not None]
    return found + [f"SECRET_KEYS_OLD holds a key that {fault}" for fault in faults]


def _paystack_faults(values: Mapping[str, Any]) -> list[str]:
    key = values.get("PAYSTACK_SECRET_KEY", "")
    if not key:
        return []
    found = []
    if not key.startswith("sk_live_"):
        found.append(
            "PAYSTACK_SECRET_KEY is no live key (sk_live_...): anybody could top up without paying;"
            " a staging site runs with ENVIRONMENT=test"
        )
    elif len(key) < 24 or giveaway(key):
        found.append("PAYSTACK_SECRET_KEY is a placeholder: take the one of Paystack's dashboard")
    return found + _plain_address("PAYSTACK_BASE_URL", values.get("PAYSTACK_BASE_URL", ""))


def _provider_faults(values: Mapping[str, Any]) -> list[str]:
    keys = {"FIVESIM_TOKEN": values.get("FIVESIM_TOKEN", "")}
    keys |= {f"SMS_ACTIVATE_KEYS for {name}": key for name, key in values.get("SMS_ACTIVATE_KEYS", {}).items()}
    found = [
        f"{name} is a placeholder: take the one of the provider's account page"
        for name, key in keys.items()
        if key and (len(key) < MIN_KEY or giveaway(key))
    ]
    if keys["FIVESIM_TOKEN"]:
        found += _plain_address("FIVESIM_BASE_URL", values.get("FIVESIM_BASE_URL", ""))
    for name, address in values.get("SMS_ACTIVATE_PROVIDERS", {}).items():
        found += _plain_address(f"SMS_ACTIVATE_PROVIDERS for {name}", address)
    return found


def _plain_address(name: str, address: str) -> list[str]:
    if not address or address.startswith("https:"):
        return []
    return [f"{name} must start with https in production: our key goes there"]


def _server_faults(name: str, address: str) -> list[str]:
    try:
        parts = urlsplit(address)
        host, password = parts.hostname or "", parts.password or ""
    except ValueError:
        return [f"{name} cannot be read as an address"]
    given = parse_qs(parts.query)
    password = password or given.get("password", [""])[0]
    host = host or given.get("host", [""])[0]
    if not host or host in LOOPBACK or host.startswith(("/", "%2F", "%2f")):
        return []
    if not password:
        return [f"{name} has no password, and its server is on another machine; {HOW}"]
    if len(password) < MIN_PASSWORD or giveaway(password) or _is_repetition(password):
        return [f"{name} has a password that is guessed early; {HOW}"]
    return []


def _mail_faults(values: Mapping[str, Any]) -> list[str]:
    if not values.get("MAIL_USERNAME"):
        return []
    found = []
    if not values.get("MAIL_PASSWORD"):
        found.append("MAIL_PASSWORD is missing: MAIL_USERNAME is set")
    elif giveaway(values["MAIL_PASSWORD"]):
        found.append("MAIL_PASSWORD is a placeholder")
    if not values.get("MAIL_USE_TLS") and values.get("MAIL_SERVER") not in LOOPBACK:
        found.append("MAIL_USE_TLS must be yes: the password would travel in the clear")
    return found


def _bits(value: str) -> float:
    """Shannon's measure of the characters as they are, times their number."""
    size = len(value)
    return -sum(count * math.log2(count / size) for count in Counter(value).values())


def _is_repetition(value: str) -> bool:
    """Whether some part of it, written again and again, makes all of it: 'abcabcab'."""
    return any(
        all(letter == value[at % size] for at, letter in enumerate(value)) for size in range(1, len(value) // 2 + 1)
    )


def _is_sequence(value: str) -> bool:
    """Whether most of it follows the alphabet or the digits, either way round."""
    low = value.lower()
    follows = sum(
        any(low[at : at + 2] in alphabet or low[at : at + 2] in alphabet[::-1] for alphabet in ALPHABETS)
        for at in range(len(low) - 1)
    )
    return follows > len(low) // 2
