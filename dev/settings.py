"""Settings of `make run`: the environment's, else those of `.env`, else development's own, with secrets made once."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from dev.process import StartError
from dev.state import write_private

SECRETS = ("SECRET_KEY", "FIVESIM_TOKEN", "HEROSMS_KEY", "PAYSTACK_SECRET_KEY", "PROVIDER_WEBHOOK_TOKEN")
PORTS = {"PORT": "8000", "SANDBOX_PORT": "8001", "SANDBOX_SMTP_PORT": "8025"}


def read_env_file(file: Path) -> dict[str, str]:
    """`NAME=value` lines of `file`; quotes around a value are taken off, empty values and comments count as unset.

    Raises StartError for a line that is neither. A missing file has no settings.
    """
    found: dict[str, str] = {}
    lines = file.read_text().splitlines() if file.exists() else []
    for number, line in enumerate(lines, start=1):
        stripped = line.strip().removeprefix("export ")
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals or not name.strip().isidentifier():
            raise StartError(f"{file.name}, line {number} is not NAME=value: {line.strip()[:40]}")
        value = value.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        if value:
            found[name.strip()] = value
    return found


def kept_secrets(file: Path) -> dict[str, str]:
    """The secrets in `file`, made at random once; readable by their owner alone."""
    kept = read_env_file(file)
    missing = {name: secrets.token_hex(32) for name in SECRETS if name not in kept}
    if missing:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, "".join(f"{name}={value}\n" for name, value in (kept | missing).items()))
    return kept | missing


def development(environ: Mapping[str, str], root: Path, data: Path) -> dict[str, str]:
    """Everything web, worker and sandbox get, but the addresses of the servers. Raises StartError."""
    given = read_env_file(root / ".env") | {name: value for name, value in environ.items() if value}
    chosen = PORTS | kept_secrets(data / "dev.env") | given
    for name in PORTS:
        if not chosen[name].isdecimal() or not 0 < int(chosen[name]) < 65536:
            raise StartError(f"{name}={chosen[name]} is no port: a number from 1 to 65535 is wanted.")
    port, upstream = chosen["PORT"], f"http://127.0.0.1:{chosen['SANDBOX_PORT']}"
    token = chosen["PROVIDER_WEBHOOK_TOKEN"]
    defaults = {
        "ENVIRONMENT": "development",
        "ADMIN_SECOND_FACTOR": "no",  # so that the demo admin works at once
        "BASE_URL": f"http://localhost:{port}",
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": chosen["SANDBOX_SMTP_PORT"],
        "MAIL_FROM": "Namaskah <hello@namaskah.test>",
        "PAYSTACK_BASE_URL": f"{upstream}/paystack",
        "FIVESIM_BASE_URL": f"{upstream}/5sim/v1",
        "SMS_ACTIVATE_PROVIDERS": f"herosms={upstream}/hero/stubs/handler_api.php",
        "SMS_ACTIVATE_KEYS": f"herosms={chosen['HEROSMS_KEY']}",
        "SANDBOX_URL": f"http://localhost:{chosen['SANDBOX_PORT']}",
        "SANDBOX_DATA": str(data / "sandbox.db"),
        "SANDBOX_AUTO_SMS_SECONDS": "12",
        "PAYSTACK_WEBHOOK_URL": f"http://127.0.0.1:{port}/webhooks/paystack",
        "PROVIDER_WEBHOOK_URL": f"http://127.0.0.1:{port}/webhooks/providers/herosms?token={token}",
        "PYTHONUNBUFFERED": "1",
    }
    return defaults | chosen
