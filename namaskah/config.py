"""Every setting there is: its name, type, default and one line of why. Read from the environment, once, at start.

`load()` reports all faults together, so that nobody mends one only to meet the next.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from ipaddress import ip_network
from typing import Any
from zoneinfo import available_timezones

from namaskah import production
from namaskah.backups import settings as backup_settings
from namaskah.money import MINOR_DIGITS
from namaskah.papers.paper import unprintable
from namaskah.wallet import currency_settings

REQUIRED = object()


class ConfigError(Exception):
    """The environment does not make a usable configuration. The message lists every fault, one a line."""


@dataclass(frozen=True)
class Setting:
    """One environment variable. `parse` raises ValueError with a sentence that says what is wanted."""

    name: str
    parse: Callable[[str], Any]
    default: Any
    why: str


def text(value: str) -> str:
    return value.strip()


def integer(value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError("a whole number is wanted") from None


def yes_no(value: str) -> bool:
    if value.lower() not in {"yes", "no", "true", "false", "1", "0"}:
        raise ValueError("yes or no is wanted")
    return value.lower() in {"yes", "true", "1"}


def pairs(value: str) -> dict[str, str]:
    """'a=x,b=y' as a dictionary; the values may contain '='."""
    found: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in value.split(","))):
        key, separator, rest = item.partition("=")
        if not separator or not key.strip() or not rest.strip():
            raise ValueError("name=value pairs are wanted, separated by commas")
        found[key.strip()] = rest.strip()
    return found


def named_providers(value: str) -> dict[str, str]:
    """Pairs whose names also stand in the ledger's references, before a provider's order id of up to 64 characters."""
    found = pairs(value)
    wrong = [name for name in found if not re.fullmatch(r"[a-z0-9_-]{1,24}", name)]
    if wrong:
        raise ValueError(f"a provider's name is up to 24 of a-z, 0-9, _ and -, which {wrong[0]!r} is not")
    return found


def names(value: str) -> tuple[str, ...]:
    """'a, b' as a tuple."""
    return tuple(filter(None, (part.strip() for part in value.split(","))))


def networks(value: str) -> tuple[str, ...]:
    """'52.31.139.75, 10.0.0.0/8' as a tuple."""
    found = names(value)
    for each in found:
        try:
            ip_network(each)
        except ValueError:
            raise ValueError(f"addresses or networks as 52.31.139.75 or 10.0.0.0/8 are wanted, not {each!r}") from None
    return found


def rates(value: str) -> dict[str, Decimal]:
    try:
        found = {key: Decimal(rate) for key, rate in pairs(value).items()}
    except InvalidOperation:
        raise ValueError("decimal rates are wanted, as in USD=1600,EUR=1750") from None
    if any(not rate.is_finite() or rate <= 0 for rate in found.values()):
        raise ValueError("every rate must be above zero")
    return found


def environment(value: str) -> str:
    if value not in {"development", "test", "production"}:
        raise ValueError("development, test or production is wanted")
    return value


def log_level(value: str) -> str:
    if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("DEBUG, INFO, WARNING or ERROR is wanted")
    return value.upper()


def log_format(value: str) -> str:
    if value not in {"json", "text"}:
        raise ValueError("json or text is wanted")
    return value


def day(value: str) -> str:
    """A date as 2026-11-25: of two, the later one is the greater text too."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise ValueError("a day is wanted, as in 2026-11-25")
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError("a day is wanted, as in 2026-11-25") from None


def currency(value: str) -> str:
    if value not in MINOR_DIGITS:
        raise ValueError(f"one of {', '.join(MINOR_DIGITS)} is wanted")
    return value


def fee_payer(value: str) -> str:
    if value not in {"house", "customer"}:
        raise ValueError("house or customer is wanted")
    return value


def printable(value: str) -> str:
    """What stands on receipts; ';' begins a new line. At most 300 characters."""
    found = "\n".join(filter(None, (line.strip() for line in value.split(";"))))
    if strange := unprintable(found):
        raise ValueError(f"receipts cannot show {' '.join(strange)}")
    if len(found) > 300:
        raise ValueError("at most 300 characters are wanted")
    return found


def percent(value: str) -> int:
    """'7.5' as hundredths of a percent: 750."""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,2})?", value) or Decimal(value) > 100:
        raise ValueError("a percentage up to 100 with at most two decimals is wanted, as in 7.5")
    return int(Decimal(value) * 100)


def zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("a time zone is wanted, as in Africa/Lagos")
    return value


def database_url(value: str) -> str:
    """SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3; our web processes speak psycopg2."""
    if not re.match(r"postgres(ql)?(\+psycopg2)?://", value):
        # pragma: allowlist nextline secret
        raise ValueError("a PostgreSQL address is wanted, as in postgresql://user:password@host/name")
    return re.sub(r"^postgres(ql)?(\+psycopg2)?://", "postgresql+psycopg2://", value)


def web_url(value: str) -> str:
    if not re.match(r"https?://[^/\s]+", value):
        raise ValueError("an http or https address is wanted")
    return value.rstrip("/")


# Nothing is kept for more hours or days than this, and no date is left of what a calendar has.
LONGEST_KEPT = 36_500

SETTINGS: tuple[Setting, ...] = (
    # Where we run
    Setting("ENVIRONMENT", environment, "production", "development shows /dev pages and allows plain http"),
    Setting("SECRET_KEY", text, REQUIRED, "signs cookies and mailed links; at least 32 random characters"),
    Setting("SECRET_KEYS_OLD", names, (), "keys used before, comma separated: what they signed is good until removed"),
    Setting("BASE_URL", web_url, REQUIRED, "our public address; links in mails and Paystack's way back use it"),
    Setting("TRUSTED_HOSTS", names, (), "further host names we answer to, comma separated; BASE_URL's is always one"),
    Setting("HOST", text, "127.0.0.1", "address the web server listens on"),
    Setting("PORT", integer, 8000, "port the web server listens on"),
    Setting("WEB_WORKERS", integer, 2, "web processes; each serves thousands of open live pages"),
    Setting("PROXY_HOPS", integer, 0, "reverse proxies in front of us whose X-Forwarded headers we believe"),
    Setting(
        "DRAIN_SECONDS", integer, 0, "told to stop, serve on so long while /health/ready says no; 5 behind a proxy"
    ),
    Setting("LOG_LEVEL", log_level, "INFO", "DEBUG, INFO, WARNING or ERROR"),
    Setting("LOG_FORMAT", log_format, "", "json or text; empty means json in production and text elsewhere"),
    Setting("COMMIT", text, "", "the commit that runs, for /health; empty: Render's, or the checkout's own"),
    Setting("SENTRY_DSN", text, "", "where crashes are reported; empty switches reporting off"),
    Setting("SENTRY_TRACES_PERCENT", percent, 0, "percent of requests and jobs whose times go there too, as in 2.5"),
    Setting("METRICS_TOKEN", text, "", "what Prometheus sends as bearer token to read /metrics; empty closes that way"),
    Setting("METRICS_FROM", networks, (), "networks that read /metrics without it, comma separated: 10.0.0.0/8"),
    Setting(
        "STATUS_URL", web_url, "", "page the worker opens to see whether pages are up; empty: BASE_URL's front page"
    ),
    # What we stand on
    Setting("DATABASE_URL", database_url, REQUIRED, "PostgreSQL 15 to 18; everything that matters is in it"),
    Setting("DATABASE_POOL_SIZE", integer, 10, "database connections each process keeps"),
    Setting("DATABASE_STATEMENT_SECONDS", integer, 5, "longest a page's statement may take; workers' three times that"),
    Setting("DATABASE_REPLICA_URL", database_url, "", "a streaming replica for heavy reading; empty: there is none"),
    Setting("DATABASE_REPLICA_LAG_SECONDS", integer, 5, "further behind than this it is not read from"),
    Setting("REDIS_URL", text, REQUIRED, "Redis 7 or Valkey: limits, cache and live push; may be lost at any time"),
    # Mail
    Setting("MAIL_SERVER", text, "localhost", "SMTP host that takes our mail"),
    Setting("MAIL_PORT", integer, 25, "its port"),
    Setting("MAIL_USERNAME", text, "", "its user, if it asks for one"),
    Setting("MAIL_PASSWORD", text, "", "its password, if it asks for one"),
    Setting("MAIL_USE_TLS", yes_no, False, "STARTTLS before logging in"),
    Setting("MAIL_FROM", text, "Namaskah <hello@localhost>", "sender of our mails"),
    Setting("SUPPORT_EMAIL", text, "support@localhost", "address shown where a person may need help"),
    # Money
    Setting("WALLET_CURRENCY", currency, "NGN", "the one currency of all wallets; never change it later"),
    Setting("TOP_UP_MIN_MINOR", integer, 0, "smallest top-up, in minor units; 0: what suits the currency"),
    Setting("TOP_UP_MAX_MINOR", integer, 0, "largest top-up, in minor units; 0: what suits the currency"),
    Setting(
        "TOP_UP_FEE_PAYER", fee_payer, "house", "who bears Paystack's fee: house, or customer on top of the amount"
    ),
    Setting("PAYSTACK_SECRET_KEY", text, "", "Paystack's secret key; top-ups are closed without it"),
    Setting("PAYSTACK_BASE_URL", web_url, "https://api.paystack.co", "Paystack's API, or the sandbox's"),
    Setting(
        "PAYSTACK_WEBHOOK_IPS", networks, (), "the only addresses or networks its webhooks may come from; empty: any"
    ),
    # Receipts: what was issued keeps what was set then
    Setting("SELLER_NAME", printable, "Namaskah", "who sells, as it stands on receipts"),
    Setting("SELLER_ADDRESS", printable, "", "the seller's address; a semicolon begins a new line"),
    Setting("SELLER_TAX_ID", printable, "", "the seller's tax or registration number, with its name: TIN 1234-5678"),
    Setting("SELLER_TIMEZONE", zone, "Africa/Lagos", "whose calendar dates receipts, and whose years number them"),
    Setting("TAX_RATE", percent, 0, "percent of tax that is contained in each payment, as in 7.5; 0: no tax line"),
    Setting("TAX_NAME", printable, "VAT", "what that tax is called"),
    # Providers
    Setting("FIVESIM_TOKEN", text, "", "5sim's API key (5sim protocol); the provider is off without it"),
    Setting("FIVESIM_BASE_URL", web_url, "https://5sim.net/v1", "5sim's API, or the sandbox's"),
    Setting(
        "SMS_ACTIVATE_PROVIDERS",
        named_providers,
        {},
        "name=address of each provider that speaks the SMS-Activate protocol",
    ),
    Setting("SMS_ACTIVATE_KEYS", pairs, {}, "name=key for the same providers"),
    Setting("PROVIDER_CURRENCIES", pairs, {}, "name=currency of a provider's account where it is not USD"),
    Setting("PROVIDER_WEBHOOK_TOKEN", text, "", "secret in the address providers push SMS to; empty closes it"),
    # Prices: cost × rate × (1 + margin), rounded up to the step
    Setting(
        "FX_RATES",
        rates,
        {"USD": Decimal(1600)},
        "wallet currency for one unit of a provider's, until a dated rate is set on /admin/rates",
    ),
    Setting("FX_STALE_DAYS", integer, 7, "days after which the overview warns of an old rate; 0: never"),
    Setting("MARGIN_PERCENT", integer, 60, "added to the converted cost"),
    Setting("MIN_MARGIN_PERCENT", integer, 5, "the least we keep when a dearer provider steps in at the price shown"),
    Setting("PRICE_STEP_MINOR", integer, 0, "prices are rounded up to a multiple of this; 0: what suits the currency"),
    Setting("CATALOGUE_SYNC_SECONDS", integer, 300, "how often the providers' price lists are read"),
    Setting("OFFER_FRESH_SECONDS", integer, 1_200, "offers not confirmed for this long are not sold"),
    # Rules
    Setting("MAX_OPEN_ACTIVATIONS", integer, 20, "numbers one customer may have waiting at once"),
    Setting("DAILY_BUY_LIMIT", integer, 500, "numbers one customer may buy in 24 hours"),
    Setting(
        "PASSWORD_MEMORY_MIB", integer, 64, "memory one password hash takes; more makes a stolen database worth less"
    ),
    Setting("PASSWORD_HASHES_AT_ONCE", integer, 1, "password hashes each web process makes at the same time"),
    Setting("ADMIN_SECOND_FACTOR", yes_no, True, "admins need a second factor; no is for development alone"),
    Setting("POLICY_VERSION", day, "2026-11-28", "day from which the policies hold; a later one asks everybody"),
    # What is erased by itself, as docs/operations.md has it
    Setting(
        "MESSAGE_RETENTION_HOURS", integer, 24, "hours after a number is closed when its messages lose their words"
    ),
    Setting(
        "UNCONFIRMED_ACCOUNT_DAYS", integer, 30, "days after which an unused account of no confirmed address is erased"
    ),
    Setting("GATEWAY_REPORT_DAYS", integer, 90, "days after which the signed bytes of Paystack's reports are erased"),
    # Backups, as docs/backups.md has it
    Setting(
        "BACKUP_STORE", backup_settings.store, "", "a folder's whole path or s3://bucket/prefix; empty: no backups"
    ),
    Setting(
        "BACKUP_RECIPIENTS",
        backup_settings.recipients,
        (),
        "age's public keys a backup can be opened with, two or more",
    ),
    Setting("BACKUP_HOUR", backup_settings.hour, 2, "hour of the day, UTC, at which the worker makes the backup"),
    Setting("BACKUP_S3_ENDPOINT", web_url, "https://s3.amazonaws.com", "whose S3 it is, where that is not Amazon"),
    Setting("BACKUP_S3_REGION", text, "us-east-1", "the bucket's region; Cloudflare R2 wants auto"),
    Setting("BACKUP_S3_KEY_ID", text, "", "id of the access key to the bucket"),
    Setting("BACKUP_S3_SECRET", text, "", "that access key's secret"),
    Setting("BACKUP_PROGRAMS", text, "", "folder with pg_dump and pg_restore; empty: looked for in the usual places"),
    Setting("BACKUP_DRILL_IDENTITY", text, "", "file with a secret key of age; only on a host that makes drills"),
    Setting("BACKUP_DRILL_DATABASE_URL", database_url, "", "server drills restore into; empty: that of DATABASE_URL"),
    # Development
    Setting("SANDBOX_URL", text, "", "the sandbox's own page; production refuses to start with it"),
)


def load(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """All settings as Flask configuration keys. Raises ConfigError naming every missing or wrong one."""
    values, faults = read(os.environ if environ is None else environ)
    if faults:
        raise ConfigError("The settings are not usable:\n  " + "\n  ".join(faults))
    return values


def read(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The settings that can be read, and a sentence on each fault. What is missing or wrong is not among them."""
    values: dict[str, Any] = {}
    faults: list[str] = []
    for setting in SETTINGS:
        raw = environ.get(setting.name, "")
        if raw == "" and setting.default is REQUIRED:
            faults.append(f"{setting.name} is missing: {setting.why}")
            continue
        try:
            values[setting.name] = setting.parse(raw) if raw else setting.default
        except ValueError as error:
            faults.append(f"{setting.name} is wrong: {error}")
    values |= currency_settings.suited(values, [name for name, raw in environ.items() if raw])
    return values, faults + _contradictions(values)


def _contradictions(values: dict[str, Any]) -> list[str]:
    faults = currency_settings.faults(values) + backup_settings.faults(values)
    if values.get("ENVIRONMENT") == "production":
        faults += production.faults(values)
        if not values.get("ADMIN_SECOND_FACTOR", True):
            faults.append("ADMIN_SECOND_FACTOR is no: in production an admin's password alone must open nothing")
        if values.get("SANDBOX_URL"):
            faults.append("SANDBOX_URL is set: the sandbox hands out money and must never run beside production")
        if not values.get("BASE_URL", "https:").startswith("https:"):
            faults.append("BASE_URL must start with https in production")
        if values.get("PASSWORD_MEMORY_MIB", 64) < 12:
            faults.append("PASSWORD_MEMORY_MIB is below 12: passwords would be guessed too fast from a stolen database")
    if not 1 <= values.get("DATABASE_STATEMENT_SECONDS", 5) <= 9:
        faults.append(
            "DATABASE_STATEMENT_SECONDS is 1 to 9: a page must have its answer before a provider's ten are over"
        )
    if values.get("DATABASE_POOL_SIZE", 10) < 2 or values.get("DATABASE_REPLICA_LAG_SECONDS", 5) < 1:
        faults.append("DATABASE_POOL_SIZE is 2 at least, DATABASE_REPLICA_LAG_SECONDS 1")
    if len(values.get("TAX_NAME", "")) > 40:
        faults.append("TAX_NAME is longer than 40 characters")
    if min(values.get("PASSWORD_MEMORY_MIB", 64), values.get("PASSWORD_HASHES_AT_ONCE", 1)) < 1:
        faults.append("PASSWORD_MEMORY_MIB and PASSWORD_HASHES_AT_ONCE are 1 at least")
    for name, least in (("MESSAGE_RETENTION_HOURS", 1), ("UNCONFIRMED_ACCOUNT_DAYS", 2), ("GATEWAY_REPORT_DAYS", 1)):
        if not least <= values.get(name, least) <= LONGEST_KEPT:
            faults.append(f"{name} is {least} at least and {LONGEST_KEPT} at most")
    if values.get("SECRET_KEY") in values.get("SECRET_KEYS_OLD", ()):
        faults.append("SECRET_KEYS_OLD holds the present SECRET_KEY: it is for the keys before that one")
    if values.get("MIN_MARGIN_PERCENT", 0) > values.get("MARGIN_PERCENT", 0):
        faults.append("MIN_MARGIN_PERCENT is above MARGIN_PERCENT: nothing could be sold at its own price")
    missing = set(values.get("SMS_ACTIVATE_PROVIDERS", {})) - set(values.get("SMS_ACTIVATE_KEYS", {}))
    faults += [f"SMS_ACTIVATE_KEYS has no key for {name}" for name in sorted(missing)]
    return faults
