"""Pages for anybody: what this is, what it costs, the rules, and the choice of language and theme.

They stand above numbers: prices come from its catalogue.
"""

from flask import Blueprint

blueprint = Blueprint("pages", __name__)
