"""The operator's page: what needs a person, and whether the providers are well."""

from decimal import Decimal

from flask import Blueprint

blueprint = Blueprint("admin", __name__, url_prefix="/admin")


@blueprint.app_template_filter()
def micros(amount: int, currency: str) -> str:
    """A provider's money, given in millionths: "USD 12.3456"."""
    return scaled(amount, 6, currency)


@blueprint.app_template_filter()
def scaled(amount: int, scale: int, currency: str) -> str:
    """An amount with `scale` decimals, in whatever currency somebody else keeps books: "NGN 1,234.50"."""
    return f"{currency} {Decimal(amount).scaleb(-scale):,.{min(scale, 4)}f}"
