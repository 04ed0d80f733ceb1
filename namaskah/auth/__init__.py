"""Accounts: who somebody is, what they may reach, and how they prove it.

accounts holds the verbs, passwords what is stored and refused, access the rules every route declares, views the pages.
"""

from flask import Blueprint

blueprint = Blueprint("auth", __name__)
