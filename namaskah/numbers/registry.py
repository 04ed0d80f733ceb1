"""The providers we have credentials for, as adapters made from the settings. Only `numbers` asks them anything."""

from typing import Any

from flask import Flask, current_app

from namaskah.db import leave_database
from namaskah.providers.base import Provider
from namaskah.providers.fivesim import FiveSim
from namaskah.providers.sms_activate import SmsActivate


def init_app(app: Flask) -> None:
    """Make the adapters; a provider without credentials is simply not there."""
    app.extensions["providers"] = {adapter.name: adapter for adapter in _adapters(app.config)}


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


def _adapters(config: dict[str, Any]) -> list[Provider]:
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
