"""`flask provider`: what an operator books about our money at providers (provider_money.py)."""

from decimal import Decimal

import click
from flask.cli import AppGroup

from namaskah.auth.operators import name as operator_name
from namaskah.errors import UserError
from namaskah.money import MICROS, parse_balance_micros
from namaskah.numbers import provider_money

provider = AppGroup("provider", help="Our money at providers.")


@provider.command("paid-in")
@click.argument("name")
@click.argument("amount")
@click.option("--reference", required=True, help="The payment's own number there: the same one is booked once.")
def book_paid_in(name: str, amount: str, reference: str) -> None:
    """Book money that was paid in at a provider, in its currency, so that our books say what its balance says. Taken
    out: a negative amount, after two dashes at the end of the line (`-- fivesim -25.50`)."""
    try:
        micros = parse_balance_micros(amount)
    except ValueError:
        micros = 0
    if not micros:
        raise click.ClickException("an amount like 100 or 25.50 is wanted")
    try:
        booked = provider_money.pay_in(name, micros, reference, operator_name())
    except UserError as error:
        raise click.ClickException(error.message) from None
    click.echo(f"Booked at {name}." if booked else f"The payment {reference} at {name} was booked before.")


@provider.command("owed")
def list_owed() -> None:
    """Print the orders that providers have not given our money back for, the oldest first: provider, order, cost, since
    when, and how often it was asked, or that it denies knowing the order."""
    for each in provider_money.unsettled():
        said = each.outcome or f"asked {each.tries} times"
        cost = f"{Decimal(each.cost_micros or 0) / MICROS:f}"
        click.echo(f"{each.provider_name} {each.provider_ref} {cost} {each.created_at.isoformat()} {said}")


@provider.command("settle")
@click.argument("name")
@click.argument("order")
@click.option("--returned/--kept", required=True, help="Whether the provider has paid its cost back, or keeps it.")
@click.option("--reason", required=True, help="How we know; kept in the audit log.")
def settle_order(name: str, order: str, returned: bool, reason: str) -> None:
    """Decide about an order of `flask provider owed`, when its provider has told what became of the money."""
    try:
        provider_money.settle(name, order, is_returned=returned, who=operator_name(), reason=reason)
    except UserError as error:
        raise click.ClickException(error.message) from None
    click.echo(f"Order {order} of {name} is settled.")
