"""What the `flask` command can do besides serving: load the catalogue, check the ledger, work, make demo accounts."""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import TextIO

import click
from flask import Flask, current_app
from flask.cli import AppGroup
from sqlalchemy import text

from namaskah import logs, versions
from namaskah import worker as background
from namaskah.account import deletion
from namaskah.auth import accounts, audit, roles, sessions
from namaskah.auth.models import User
from namaskah.auth.operators import name as _operator
from namaskah.auth.second_factor import factors, totp
from namaskah.backups.commands import backup
from namaskah.db import db, transaction
from namaskah.doctor.command import doctor
from namaskah.housekeeping.command import housekeeping
from namaskah.legacy.command import import_legacy
from namaskah.numbers import pricelists, rate_files, rates, registry
from namaskah.numbers.provider_commands import provider
from namaskah.reconciliation import books, findings, runs
from namaskah.wallet import cards, currency_guard, ledger, promo

catalogue = AppGroup("catalogue", help="Services, countries and the providers' price lists.")
ledger_group = AppGroup("ledger", help="The double-entry ledger.")
account = AppGroup("account", help="What an operator decides about somebody's account.")
audit_group = AppGroup("audit", help="The chained log of what happened to accounts.")
rates_group = AppGroup("rates", help="What providers' currencies cost in the wallet's.")
demo = AppGroup("demo", help="Accounts to try things with; not in production.")


def register_commands(app: Flask) -> None:
    """Add the commands to `flask`."""
    for group in (catalogue, ledger_group, account, audit_group, rates_group, provider, demo, backup, housekeeping):
        app.cli.add_command(group)
    app.cli.add_command(worker)
    app.cli.add_command(import_legacy)
    app.cli.add_command(doctor)


@click.command()
def worker() -> None:
    """Do the background work until stopped."""
    _refuse_other_currency()
    _refuse_old_servers()
    logs.configure(current_app.config)
    background.run(current_app._get_current_object())  # type: ignore[attr-defined]  # of the proxy that stands for it


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
    _refuse_other_currency()
    db.session.execute(text("SET LOCAL statement_timeout = 0"))  # a large ledger takes its minutes
    faults = books.find_faults()
    for fault in faults:
        click.echo(f"{fault['number']} does not hold: {fault['sentence']}")
        for row in fault["rows"]:
            click.echo(f"    {row}")
    sys.exit(1 if faults else 0)


@ledger_group.command("reconcile")
def reconcile() -> None:
    """Compare our books with Paystack's and the providers' now; prints what does not agree, silent when all does."""
    compared = runs.compare_now(_operator())
    for side in compared.failed.split():
        click.echo(f"{side} could not be asked")
    open_now = findings.open_differences()
    for each in open_now:
        click.echo(f"{each.side} {each.subject}: {each.kind}, {each.theirs} there, {each.ours} here ({each.currency})")
    sys.exit(1 if open_now or compared.failed else 0)


@account.command("ban")
@click.argument("email")
@click.option("--reason", required=True, help="Kept in the audit log.")
def ban(email: str, reason: str) -> None:
    """Close an account and log it out everywhere, at once."""
    accounts.ban(_get_account(email), _operator(), reason)
    click.echo(f"{email} is closed and logged out.")


@account.command("unban")
@click.argument("email")
@click.option("--reason", required=True, help="Kept in the audit log.")
def unban(email: str, reason: str) -> None:
    """Let the owner of a closed account in again."""
    accounts.unban(_get_account(email), _operator(), reason)
    click.echo(f"{email} is open again.")


@account.command("make-admin")
@click.argument("email")
@click.option("--reason", required=True, help="Kept in the audit log.")
def make_admin(email: str, reason: str) -> None:
    """Open the operator's pages to an account, which must have confirmed its address."""
    try:
        roles.make_admin(_get_account(email), _operator(), reason)
    except roles.NotFit as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{email} may open /admin/ after the next log-in, which asks for a second factor.")


@account.command("end-admin")
@click.argument("email")
@click.option("--reason", required=True, help="Kept in the audit log.")
def end_admin(email: str, reason: str) -> None:
    """Close the operator's pages to an account, at once."""
    roles.end_admin(_get_account(email), _operator(), reason)
    click.echo(f"{email} may not open /admin/ any more.")


@account.command("end-sessions")
@click.argument("email")
def end_sessions(email: str) -> None:
    """Log an account out everywhere."""
    user = _get_account(email)
    with transaction():
        ended = sessions.end_all(user)
        audit.record("sessions_ended", user.id, _operator(), count=ended)
    click.echo(f"{ended} sessions of {email} have ended.")


@account.command("reset-second-factor")
@click.argument("email")
@click.option("--reason", required=True, help="How we know that the owner asked; kept in the audit log.")
def reset_second_factor(email: str, reason: str) -> None:
    """Take all factors from an account whose owner has lost them, and log it out everywhere."""
    factors.reset(_get_account(email), _operator(), reason)
    click.echo(f"{email} has no second factor now and is logged out.")


@account.command("reencrypt")
def reencrypt() -> None:
    """After a change of SECRET_KEY: bring the seeds of authenticator apps and the codes of cards under the new one."""
    click.echo(f"{totp.reencrypt()} seeds are under the newest key now.")
    click.echo(f"{cards.reencrypt()} codes of cards are under the newest key now.")


@account.command("deletions")
def list_deletions() -> None:
    """Print the accounts that were deleted, one a line. Keep it outside the database: a restore brings them back."""
    for gone in deletion.tombstones():
        click.echo(f"{gone.user_id} {gone.deleted_at.isoformat() if gone.deleted_at else ''}")


@account.command("reapply-deletions")
@click.argument("file", type=click.File(), required=False)
def reapply_deletions(file: TextIO | None) -> None:
    """After a restore, before anybody is served: delete again what was deleted. FILE is what `deletions` printed
    ("-" reads it from the input); without it the list in the database counts."""
    gone = deletion.tombstones() if file is None else _tombstones(file)
    done = deletion.reapply(gone, _operator())
    click.echo(f"{len(gone)} deletions, {len(done)} accounts were there again and are deleted.")


@audit_group.command("verify")
def verify_audit() -> None:
    """Check that no event was changed or taken out; silent and exit code 0 when the log is whole."""
    found = audit.breaks()
    for broken in found[:20]:
        click.echo(f"event {broken.id}: {broken.reason}")
    sys.exit(1 if found else 0)


@audit_group.command("head")
def show_audit_head() -> None:
    """Print number and hash of the newest event. Kept elsewhere, they prove later that the end was not cut off."""
    number, digest = audit.head()
    click.echo(f"{number} {digest}")


@rates_group.command("import")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--meant", is_flag=True, help="Rates far from the one before are meant.")
def import_rates(file: TextIO, meant: bool) -> None:
    """Take exchange rates from a CSV file, currency,rate,valid_from[,source] a line: all of them or none. Days and
    times without a zone are UTC. The same file a second time changes nothing. "-" reads the input."""
    try:
        added, known = rate_files.take(file, _operator(), are_meant=meant)
    except rate_files.FileRefused as error:
        faults = "\n  ".join(error.faults[:20])
        more = f"\n  and {len(error.faults) - 20} more" if len(error.faults) > 20 else ""
        raise click.ClickException(f"nothing was taken:\n  {faults}{more}") from None
    click.echo(f"{added} new rates, {known} known already.")


@rates_group.command("list")
def list_rates() -> None:
    """Print the rates that hold now, then those to come."""
    own = rates.wallet_currency()
    for currency, rate in sorted(rates.current().items()):
        if currency != own:
            since = rate.valid_from.isoformat(timespec="minutes") if rate.valid_from else "ever"
            click.echo(f"{currency} {rates.shown(rate.rate)} {own} since {since} ({rate.source})")
    for each in rates.to_come():
        at = each.valid_from.isoformat(timespec="minutes")
        click.echo(f"{each.currency} {rates.shown(each.rate)} {own} from {at} on ({each.source})")


@demo.command("accounts")
def make_demo_accounts() -> None:
    """Make the demo customer and admin, with some money for the customer; prints those made now, as JSON lines."""
    _not_in_production()
    for made in accounts.create_demo_accounts():
        click.echo(json.dumps({"role": made.role, "email": made.email, "password": made.password}))
        user = accounts.find_by_email(made.email)
        if user and made.role == "customer":
            with transaction():
                until = datetime.now(UTC) + timedelta(days=30)
                promo.grant(user.id, "operator", f"demo:{user.id}", 30_000, until, note="Welcome")
                ledger.adjust(user.id, f"demo:{user.id}", 500_000, "flask demo accounts", "demo money")


@demo.command("passwords")
def reset_demo_passwords() -> None:
    """Give the demo accounts new random passwords and print them."""
    _not_in_production()
    for made in accounts.reset_demo_passwords():
        click.echo(json.dumps({"role": made.role, "email": made.email, "password": made.password}))


def _get_account(email: str) -> User:
    user = accounts.find_by_email(email)
    if user is None:
        raise click.ClickException(f"there is no account with the address {email}")
    return user


def _tombstones(lines: TextIO) -> list[deletion.Tombstone]:
    """All of the list or nothing of it: a line that is none may be of another file."""
    found = []
    for number, line in enumerate(lines, 1):
        user_id, _space, at = line.strip().partition(" ")
        try:
            if user_id:
                found.append(deletion.Tombstone(int(user_id), datetime.fromisoformat(at) if at else None))
        except ValueError:
            raise click.ClickException(f"line {number} is no deletion: {line.strip()[:60]}") from None
    return found


def _refuse_other_currency() -> None:
    try:
        currency_guard.refuse_other_currency()
    except currency_guard.OtherCurrency as error:
        raise click.ClickException(str(error)) from None


def _refuse_old_servers() -> None:
    try:
        versions.refuse_old()
    except versions.TooOld as error:
        raise click.ClickException(str(error)) from None


def _not_in_production() -> None:
    if current_app.config["ENVIRONMENT"] == "production":
        raise click.ClickException("demo accounts have no place in production")
