"""The stand with something to sell: a sandbox in a process of its own, its catalogue read, customers with money."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from sqlalchemy import func, select

from bench.stand import ROOT, Stand, people, stand
from namaskah import config, create_app
from namaskah.db import db, transaction
from namaskah.numbers import pricelists, registry
from namaskah.numbers.models import Offer
from namaskah.wallet import ledger

MONEY = 10**12


@contextmanager
def shop() -> Iterator[Stand]:
    """As stand(), with one provider whose offers are on sale. Limits of customers are out of the way."""
    with stand() as ground, _sandbox() as settings:
        environment = ground.environment | settings | {"MAX_OPEN_ACTIVATIONS": "1000000", "DAILY_BUY_LIMIT": "1000000"}
        app = create_app(config.load(environment))
        with app.app_context():
            pricelists.load()
            for name in registry.names():
                if not pricelists.sync(name):
                    raise RuntimeError(f"{name} has no price list")
            db.session.remove()
        yield Stand(app, environment, ground.logs)


@contextmanager
def _sandbox() -> Iterator[dict[str, str]]:
    """The sandbox on free ports, and the settings that point at it."""
    key, paystack_key = secrets.token_hex(16), f"sk_test_{secrets.token_hex(16)}"
    own = {"SANDBOX_PORT": "0", "SANDBOX_SMTP_PORT": "0", "HEROSMS_KEY": key, "PAYSTACK_SECRET_KEY": paystack_key}
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "namaskah.sandbox"],
            cwd=ROOT,
            env=os.environ | own,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
        assert process.stdout is not None
        try:
            url = f"http://127.0.0.1:{json.loads(process.stdout.readline())['port']}"
            yield {
                "SANDBOX_URL": url,
                "PAYSTACK_BASE_URL": f"{url}/paystack",
                "PAYSTACK_SECRET_KEY": paystack_key,
                "SMS_ACTIVATE_PROVIDERS": f"herosms={url}/hero/stubs/handler_api.php",
                "SMS_ACTIVATE_KEYS": f"herosms={key}",
            }
        finally:
            process.terminate()
            process.wait(10)


def customers(ground: Stand, count: int) -> list[tuple[int, str]]:
    """People with money: their ids and the cookies of their log-ins."""
    found = people(ground, count)
    with ground.app.app_context(), transaction():
        for user_id, _cookie in found:
            ledger.adjust(user_id, f"bench:{user_id}", MONEY, "bench", "money to measure with")
    return found


def goods(app: Flask, count: int) -> list[tuple[str, str]]:
    """Service and country of what is most in stock."""
    with app.app_context():
        summed: Any = func.sum(Offer.stock)
        query = select(Offer.service_code, Offer.country_code).group_by(Offer.service_code, Offer.country_code)
        rows = db.session.execute(query.order_by(summed.desc()).limit(count)).all()
        db.session.remove()
        return [(service, country) for service, country in rows]
