"""The sandbox: a separate small app that answers as the number providers and Paystack do, and keeps its own books.

It imports nothing from the rest of the project and nothing imports it. `python -m namaskah.sandbox` runs it;
tests start one in a thread with `create_sandbox().start()`.
"""

from .app import Sandbox, create_sandbox
from .world import Config

__all__ = ["Config", "Sandbox", "create_sandbox"]
