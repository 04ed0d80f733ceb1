"""The account page: language, time zone, theme, sound, and who one is.

It stands on auth alone.
"""

from flask import Blueprint

blueprint = Blueprint("account", __name__)
