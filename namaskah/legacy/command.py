"""`flask import-legacy`: looks first, and writes only when told to."""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import click

from namaskah.auth import accounts, operators, passwords
from namaskah.legacy import importing, reader, report, rules, units
from namaskah.legacy.importing import Orders
from namaskah.legacy.rules import Account, Plan
from namaskah.wallet import currency_guard


@click.command("import-legacy")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--unit", required=True, help="What one credit of the file is worth: '1 USD', '2 USD', '3300 NGN'.")
@click.option("--commit", is_flag=True, help="Write. Without it the command only looks and reports.")
@click.option("--meant", is_flag=True, help="What the report asks to be confirmed is meant.")
@click.option(
    "--decisions",
    "decided",
    type=click.File(encoding="utf-8"),
    help="Accounts whose money shall not be set aside: an id a line, perhaps with another address behind it.",
)
@click.option(
    "--letters", is_flag=True, help="Write to everybody whose account is made, so that they choose a password."
)
@click.option("--report", "base", type=click.Path(path_type=Path), help="Where it goes: PATH.txt and PATH.csv.")
def import_legacy(
    file: Path, unit: str, commit: bool, meant: bool, decided: TextIO | None, letters: bool, base: Path | None
) -> None:
    """Bring over customers, balances and records of the predecessor (Namaskah 2.0, 2.1 or later) from its SQLite FILE.

    Looks first: without --commit nothing is written. Again is no error: what is here already is left alone, and what
    was cut off is finished. docs/import-legacy.md goes through it step by step.
    """
    wanted = _decisions(decided) if decided else {}
    plan = _plan(file, unit)
    may_write = commit and (meant or not plan.questions)
    print_of_nothing = passwords.hashed(secrets.token_urlsafe(32)) if may_write else ""
    orders = Orders(operators.name(), print_of_nothing, wanted, letters)
    outcomes = importing.bring_over(plan, orders, _progress) if may_write else importing.look(plan, orders)
    unknown = sorted(wanted.keys() - {account.legacy_id for account in plan.accounts})
    opened = importing.opened_in_ledger() if may_write else None
    made = report.Report(plan, outcomes, not may_write, unknown, opened)
    text, table = report.write(made, base or file.with_name(f"{file.name}.report"))
    click.echo("\n".join((*report.summary(made), "", f"Read {text}; {table} has every odd row.")))
    for question in plan.questions if not meant else ():
        click.echo(f"To be confirmed with --meant: {question}")
    if commit and not may_write:
        raise click.ClickException("nothing was written: confirm what stands above with --meant, or mend --unit")
    if not commit:
        click.echo("Nothing was written; --commit does it.")


def _plan(file: Path, unit: str) -> Plan:
    try:
        currency_guard.refuse_other_currency()
        return rules.plan(reader.read(file), units.parse(unit), accounts.parse_email)
    except (reader.NotLegacy, units.NoUnit, currency_guard.OtherCurrency) as error:
        raise click.ClickException(str(error)) from None


def _decisions(lines: TextIO) -> dict[str, str]:
    """By the predecessor's id, the address or nothing. '#' begins a remark. All of the list or nothing of it."""
    found = {}
    for number, line in enumerate(lines, 1):
        legacy_id, _space, address = line.partition("#")[0].strip().partition(" ")
        email = accounts.parse_email(address) if address.strip() else ""
        if email is None:
            raise click.ClickException(f"line {number} of --decisions: {address.strip()[:80]} is no address")
        if legacy_id:
            found[legacy_id] = email
    return found


def _progress(plan: list[Account]) -> Iterator[Account]:
    """One line, on the terminal only."""
    with click.progressbar(plan, label="Bringing over", file=sys.stderr) as shown:
        yield from shown
