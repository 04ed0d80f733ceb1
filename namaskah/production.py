"""What production refuses to start with: secrets that are missing, weak, placeholders, the sandbox's or for tests, and
addresses to which they would travel in the clear. Faults never show the secret itself."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from namaskah.strength import giveaway, is_repetition, weakness

HOW = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
MIN_PASSWORD = 12
MIN_KEY = 8  # of somebody else's making; we can only see that it is no placeholder
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def faults(values: Mapping[str, Any]) -> list[str]:
    """All of them. Settings that could not be read are not in `values` and are complained of elsewhere."""
    return [
        *_own_faults(values),
        *_paystack_faults(values),
        *_provider_faults(values),
        *_server_faults("DATABASE_URL", values.get("DATABASE_URL", "")),
        *_server_faults("DATABASE_REPLICA_URL", values.get("DATABASE_REPLICA_URL", "")),
        *_server_faults("REDIS_URL", values.get("REDIS_URL", "")),
        *_mail_faults(values),
    ]


def _own_faults(values: Mapping[str, Any]) -> list[str]:
    present, old = values.get("SECRET_KEY", ""), values.get("SECRET_KEYS_OLD", ())
    tokens = ("PROVIDER_WEBHOOK_TOKEN", "METRICS_TOKEN")
    own = {"SECRET_KEY": present} | {name: values.get(name, "") for name in tokens}
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
    if len(password) < MIN_PASSWORD or giveaway(password) or is_repetition(password):
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
