"""Who runs a command on the machine itself, as the audit log and the ledger name them."""

import getpass


def name() -> str:
    """Who sits at the keyboard, as far as the machine knows."""
    try:
        return f"operator:{getpass.getuser()}"
    except (OSError, KeyError):
        return "operator"
