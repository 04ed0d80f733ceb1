"""The account: what its owner chooses, sees and ends.

forms and views keep what is chosen · security_views shows devices and history · exports makes the file of all we hold,
export_sheets says what is in it · deletion erases. It stands on auth, wallet and numbers.
"""

from flask import Blueprint

blueprint = Blueprint("account", __name__)
