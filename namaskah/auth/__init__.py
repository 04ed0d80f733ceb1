"""Accounts: who somebody is, what they may reach, and how they prove it.

accounts, credentials and email_changes hold the verbs, passwords what is stored, password_rule what is refused, access
the rules every route declares, and views, password_views and email_views the pages.
"""

from flask import Blueprint

blueprint = Blueprint("auth", __name__)
