"""The whole round: settings first, then everything they lead to."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from namaskah import config
from namaskah.doctor import (
    backups,
    clock,
    database,
    host,
    mail,
    paystack,
    providers,
    redis,
    replica,
    settings,
    site,
    worker,
)
from namaskah.doctor.findings import Finding, bad
from namaskah.redaction import Redactor

# Name → what looks at it. Each takes the settings and needs those named beside it; without them it is left out.
CHECKS: tuple[tuple[str, Callable[[dict[str, Any]], list[Finding]], tuple[str, ...]], ...] = (
    ("database", database.look, ("DATABASE_URL",)),
    ("replica", replica.look, ("DATABASE_URL",)),
    ("worker", worker.look, ("DATABASE_URL",)),
    ("redis", redis.look, ("REDIS_URL",)),
    ("mail", mail.look, ("MAIL_SERVER",)),
    ("paystack", paystack.look, ("PAYSTACK_BASE_URL",)),
    ("providers", providers.look, ("SMS_ACTIVATE_KEYS", "SMS_ACTIVATE_PROVIDERS", "PROVIDER_CURRENCIES")),
    ("clock", clock.look, ("DATABASE_URL",)),
    ("site", site.look, ("BASE_URL", "PROXY_HOPS")),
    ("host", host.look, ()),
    ("backups", backups.look, ("BACKUP_STORE", "BACKUP_RECIPIENTS")),
)


def examine(environ: Mapping[str, str]) -> list[Finding]:
    """Everything that can be found out with these settings, the worst not first but each where it belongs."""
    values, faults = config.read(environ)
    defaults = {each.name: each.default for each in config.SETTINGS if each.default is not config.REQUIRED}
    found = settings.look(values, faults)
    for name, look, needed in CHECKS:
        if all(setting in values for setting in needed):
            found += _looking(name, look, defaults | values)
    say = Redactor(values)
    # The redactor knows telephone numbers and keys by their look; our own sentences hold neither.
    return [replace(each, says=say(each.says), mend=each.mend) for each in found]


def _looking(name: str, look: Callable[[dict[str, Any]], list[Finding]], values: dict[str, Any]) -> list[Finding]:
    """A check that breaks is a finding: whatever it met, nobody foresaw."""
    try:
        return look(values)
    except Exception as error:
        says = f"could not be looked at: {type(error).__name__}"
        return [bad(name, says, "Report it with the version you run; the other findings hold.")]
