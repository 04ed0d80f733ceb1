"""The second factor: what somebody has besides the password, so that the password alone opens nothing.

factors knows which ones an account has and takes them away; totp, passkeys and recovery_codes are the three kinds;
codes checks one that was typed, within tries; pending is who has given the password and nothing more yet.
"""

from flask import Blueprint

blueprint = Blueprint("second_factor", __name__)
