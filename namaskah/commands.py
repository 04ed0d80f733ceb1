"""What the `flask` command can do besides serving: load the catalogue, check the ledger, work, make demo accounts."""

import json
import logging
import sys

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from sqlalchemy import text

from namaskah import worker as background
from namaskah.auth import accounts
from namaskah.db import db, transaction
from namaskah.numbers import checks as number_checks
from namaskah.numbers import pricelists, registry
from namaskah.wallet import checks as wallet_checks
from namaskah.wallet import ledger

catalogue = AppGroup("catalogue", help="Services, countries and the providers' price lists.")
ledger_group = AppGroup("ledger", help="The double-entry ledger.")
demo = AppGroup("demo", help="Accounts to try things with; not in production.")


def register_commands(app: Flask) -> None:
    """Add the commands to `flask`."""
    for group in (catalogue, ledger_group, demo):
        app.cli.add_command(group)
    app.cli.add_command(worker)


@click.command()
def worker() -> None:
    """Do the background work until stopped."""
    logging.basicConfig(level=current_app.config["LOG_LEVEL"], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    background.run(current_app._get_current_object())  # type: ignore[attr-defined]


@catalogue.command("load")
def load_catalogue() -> None:
    """Bring services, countries and configured providers into the database; repeatable."""
    services, countries = pricelists.load()
    click.echo(f"{services} services, {countries} countries, providers: {', '.join(registry.names()) or 'none'}")


@catalogue.command("sync")
def sync_catalogue() -> None:
    """Read every provider's price list now."""
    for name in registry.names():
        click.echo(f"{name}: {pricelists.sync(name)} offers")


@ledger_group.command("check")
def check_ledger() -> None:
    """Run all invariants and print what breaks them; silent and exit code 0 when nothing does."""
    broken = 0
    for number, sentence, query in (*wallet_checks.CHECKS, *number_checks.CHECKS):
        rows = db.session.execute(text(query)).mappings().all()
        broken += len(rows)
        if rows:
            click.echo(f"{number} does not hold: {sentence}")
        for row in rows[:20]:
            click.echo(f"    {dict(row)}")
    sys.exit(1 if broken else 0)


@demo.command("accounts")
def make_demo_accounts() -> None:
    """Make the demo customer and admin, with some money for the customer; prints those made now, as JSON lines."""
    _not_in_production()
    for made in accounts.create_demo_accounts():
        click.echo(json.dumps({"role": made.role, "email": made.email, "password": made.password}))
        user = accounts.find_by_email(made.email)
        if user and made.role == "customer":
            with transaction():
                ledger.adjust(user.id, f"demo:{user.id}", 500_000, "flask demo accounts", "demo money")


@demo.command("passwords")
def reset_demo_passwords() -> None:
    """Give the demo accounts new random passwords and print them."""
    _not_in_production()
    for made in accounts.reset_demo_passwords():
        click.echo(json.dumps({"role": made.role, "email": made.email, "password": made.password}))


def _not_in_production() -> None:
    if current_app.config["ENVIRONMENT"] == "production":
        raise click.ClickException("demo accounts have no place in production")
