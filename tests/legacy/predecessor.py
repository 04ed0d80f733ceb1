"""Databases as the predecessor left them: both its versions and what came after, made anew by each test."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

# What 2.0 had, in the order of its columns; amounts were FLOAT, everything else text or 0 and 1. No keys, no checks.
V20 = {
    "users": "id TEXT PRIMARY KEY, email TEXT UNIQUE, password_hash TEXT, credits FLOAT, is_admin BOOLEAN,"
    " email_verified BOOLEAN, verification_token TEXT, reset_token TEXT, reset_token_expires DATETIME,"
    " referral_code TEXT UNIQUE, referred_by TEXT, referral_earnings FLOAT, created_at DATETIME",
    "verifications": "id TEXT PRIMARY KEY, user_id TEXT, service_name TEXT, phone_number TEXT, capability TEXT,"
    " status TEXT, verification_code TEXT, cost FLOAT, call_duration FLOAT, transcription TEXT, audio_url TEXT,"
    " created_at DATETIME, completed_at DATETIME",
    "transactions": "id TEXT PRIMARY KEY, user_id TEXT, amount FLOAT, type TEXT, description TEXT, created_at DATETIME",
    "number_rentals": "id TEXT PRIMARY KEY, user_id TEXT, phone_number TEXT, service_name TEXT, duration_hours FLOAT,"
    " cost FLOAT, status TEXT, started_at DATETIME, expires_at DATETIME, released_at DATETIME, auto_extend BOOLEAN,"
    " warning_sent BOOLEAN, created_at DATETIME",
    "api_keys": "id TEXT PRIMARY KEY, user_id TEXT, key TEXT UNIQUE, name TEXT, is_active BOOLEAN, created_at DATETIME",
    "webhooks": "id TEXT PRIMARY KEY, user_id TEXT, url TEXT, is_active BOOLEAN, created_at DATETIME",
    "notification_settings": "id TEXT PRIMARY KEY, user_id TEXT UNIQUE, email_on_sms BOOLEAN,"
    " email_on_low_balance BOOLEAN, low_balance_threshold FLOAT, created_at DATETIME",
    "referrals": "id TEXT PRIMARY KEY, referrer_id TEXT, referred_id TEXT, reward_amount FLOAT, created_at DATETIME",
}
V21 = V20 | {
    "users": V20["users"] + ", free_verifications FLOAT",
    "number_rentals": V20["number_rentals"] + ", mode TEXT",
    "support_tickets": "id TEXT PRIMARY KEY, user_id TEXT, name TEXT, email TEXT, category TEXT, message TEXT,"
    " status TEXT, admin_response TEXT, created_at DATETIME, updated_at DATETIME",
    "service_status": "id TEXT PRIMARY KEY, service_name TEXT, status TEXT, success_rate FLOAT, last_checked DATETIME,"
    " created_at DATETIME",
    "subscriptions": "id TEXT PRIMARY KEY, user_id TEXT UNIQUE, plan TEXT, status TEXT, price FLOAT, discount FLOAT,"
    " duration INTEGER, expires_at DATETIME, cancelled_at DATETIME, created_at DATETIME, updated_at DATETIME",
    "activity_logs": "id TEXT PRIMARY KEY, user_id TEXT, email TEXT, page TEXT, action TEXT, element TEXT, status TEXT,"
    " details TEXT, error_message TEXT, ip_address TEXT, user_agent TEXT, created_at DATETIME",
    "payment_logs": "id TEXT PRIMARY KEY, user_id TEXT, email TEXT, reference TEXT UNIQUE, amount_ngn FLOAT,"
    " amount_usd FLOAT, namaskah_amount FLOAT, status TEXT, payment_method TEXT, webhook_received BOOLEAN,"
    " credited BOOLEAN, error_message TEXT, created_at DATETIME, updated_at DATETIME",
    "banned_numbers": "id TEXT PRIMARY KEY, phone_number TEXT, service_name TEXT, area_code TEXT, carrier TEXT,"
    " fail_count FLOAT, last_failed_at DATETIME, created_at DATETIME",
}
V4 = V21 | {
    "sms_transactions": V20["transactions"] + ", reference TEXT, idempotency_key TEXT, payment_log_id TEXT",
    "balance_transactions": "id TEXT PRIMARY KEY, user_id TEXT, amount NUMERIC(10,2), type TEXT, description TEXT,"
    " balance_after NUMERIC(10,2), created_at DATETIME",
    "verifications": V20["verifications"] + ", country TEXT, provider TEXT",
}
SCHEMAS = {"2.0": V20, "2.1": V21, "4": V4}
# Late enough for credits of two dollars.
THEN = "2025-11-01 10:20:30.123456"
PRINT = "$2b$12$" + "x" * 53


class Predecessor:
    """A file that rows are put into: `put("users", id=…)`."""

    def __init__(self, path: Path, version: str = "2.1") -> None:
        self.path, self.version = path, version
        path.unlink(missing_ok=True)
        self._do(*(f"CREATE TABLE {name} ({columns})" for name, columns in SCHEMAS[version].items()))

    def put(self, table: str, **row: Any) -> None:
        row = {"created_at": THEN} | row
        marks = ", ".join("?" * len(row))
        self._do((f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())))

    def user(self, name: str, credits: Any = 0.0, *, explained: bool = True, **row: Any) -> str:
        """An account, with one movement that explains its balance. Its id is `user_NAME`."""
        given = {"id": f"user_{name}", "email": f"{name}@example.com", "password_hash": PRINT, "email_verified": 1}
        row = given | {"is_admin": 0, "credits": credits} | row
        self.put("users", **row)
        if explained and isinstance(credits, float) and credits > 0:
            self.put("transactions", id=f"txn_{name}", user_id=row["id"], amount=credits, type="credit")
        return str(row["id"])

    def sql(self, statement: str, *parameters: Any) -> None:
        self._do((statement, parameters))

    def _do(self, *statements: str | tuple[str, tuple[Any, ...]]) -> None:
        with closing(sqlite3.connect(self.path)) as file, file:
            for each in statements:
                file.execute(*((each,) if isinstance(each, str) else each))


def filled(path: Path, balances: Mapping[str, Any], version: str = "2.1") -> Predecessor:
    """A file with these accounts and nothing else."""
    made = Predecessor(path, version)
    for name, credits in balances.items():
        made.user(name, credits)
    return made
