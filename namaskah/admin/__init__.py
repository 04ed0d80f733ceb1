"""The operator's page: what needs a person, and whether the providers are well."""

from flask import Blueprint

blueprint = Blueprint("admin", __name__, url_prefix="/admin")
