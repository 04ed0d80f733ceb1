"""The providers we have credentials for, as adapters made from the settings. Only `numbers` asks them anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from flask import Flask, current_app

from namaskah.db import leave_database
from namaskah.providers.base import Provider, ProviderDown
from namaskah.providers.fivesim import FiveSim
from namaskah.providers.sms_activate import SmsActivate

# A provider that has failed to answer is left alone for this long by everything that can wait.
SILENCE_SECONDS = 5.0
# Reason of a ProviderDown that says nothing new: nobody was asked.
RESTING = "resting"
_silent_until: dict[str, float] = {}


def init_app(app: Flask) -> None:
    """Make the adapters; a provider without credentials is simply not there."""
    app.extensions["providers"] = {adapter.name: adapter for adapter in adapters(app.config)}


def names() -> list[str]:
    """Names of the configured providers."""
    return list(current_app.extensions["providers"])


def find(name: str) -> Provider | None:
    """The adapter of a provider, or None when it is not configured any more."""
    adapter: Provider | None = current_app.extensions["providers"].get(name)
    return adapter


def ask(name: str) -> Provider:
    """The adapter, ready to be called: gives the database connection back first.

    Raises RuntimeError inside a transaction, KeyError for a provider that is not configured.
    """
    leave_database()
    adapter: Provider = current_app.extensions["providers"][name]
    return adapter


@contextmanager
def asking(name: str) -> Iterator[Provider]:
    """The adapter, for calls that may be put off. Raises ProviderDown at once for a provider that is not configured any
    more, and for one that failed to answer a moment ago: a dead one costs a long queue one deadline, not one each."""
    if find(name) is None:
        raise ProviderDown("unreachable", "not configured any more")
    if monotonic() < _silent_until.get(name, 0.0):
        raise ProviderDown(RESTING, "it was silent a moment ago")
    try:
        yield ask(name)
    except ProviderDown as error:
        if error.reason in {"no_answer", "unreachable"}:
            _silent_until[name] = monotonic() + SILENCE_SECONDS
        raise


def adapters(config: dict[str, Any]) -> list[Provider]:
    """One for each provider the settings have credentials for."""
    found: list[Provider] = []
    currencies = config["PROVIDER_CURRENCIES"]
    if config["FIVESIM_TOKEN"]:
        found.append(
            FiveSim(config["FIVESIM_TOKEN"], config["FIVESIM_BASE_URL"], currency=currencies.get("fivesim", "USD"))
        )
    for name, address in config["SMS_ACTIVATE_PROVIDERS"].items():
        key = config["SMS_ACTIVATE_KEYS"][name]
        found.append(SmsActivate(name, address, key, currency=currencies.get(name, "USD")))
    return found
