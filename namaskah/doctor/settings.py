"""Whether the settings are usable, strong, and meant for production."""

from collections.abc import Mapping
from typing import Any

from namaskah import production
from namaskah.doctor.findings import Finding, bad, ok, warning

SET_IT = "Set it in the environment of web and worker alike and restart both; .env.example explains each setting."


def look(values: Mapping[str, Any], faults: list[str]) -> list[Finding]:
    """`faults` are those that keep the application from starting."""
    found = [bad("settings", fault, SET_IT) for fault in faults]
    if values.get("ENVIRONMENT") != "production":
        says = f"ENVIRONMENT is {values.get('ENVIRONMENT', 'wrong')}: weak secrets and plain http are allowed"
        found.append(warning("environment", says, "Set ENVIRONMENT=production where customers come."))
        weak = [fault for fault in production.faults(values) if fault not in faults]
        found += [warning("secrets", fault, "Production refuses to start with it.") for fault in weak]
    elif not faults:
        found.append(ok("settings", "usable; secrets are strong and none is a placeholder"))
    return found + _left_out(values)


def _left_out(values: Mapping[str, Any]) -> list[Finding]:
    """What nobody must set, and somebody will miss."""
    found = []
    if not values.get("METRICS_TOKEN") and not values.get("METRICS_FROM"):
        mend = "Set METRICS_TOKEN, or METRICS_FROM, and load ops/alerts.yml: docs/operations.md."
        found.append(warning("metrics", "/metrics is closed: no alarm will come from it", mend))
    if not values.get("BACKUP_STORE"):
        mend = "Set BACKUP_STORE and BACKUP_RECIPIENTS: docs/backups.md."
        found.append(warning("backups", "no place for them is set: none is made", mend))
    for name in ("MAIL_FROM", "SUPPORT_EMAIL"):
        if "localhost" in values.get(name, "localhost"):
            says = f"{name} is an address nobody can write to"
            found.append(warning("mail addresses", says, f"Set {name} to an address of your own domain."))
    if not values.get("SELLER_ADDRESS"):
        mend = "Set SELLER_NAME, SELLER_ADDRESS and SELLER_TAX_ID: receipts keep what was set when they were issued."
        found.append(warning("receipts", "SELLER_ADDRESS is empty: receipts do not say who sells", mend))
    if not values.get("SENTRY_DSN"):
        found.append(ok("crashes", "SENTRY_DSN is empty: crashes stand in the log alone"))
    return found
