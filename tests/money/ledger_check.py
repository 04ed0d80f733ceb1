"""`flask ledger check`, as an operator runs it."""

from flask import current_app


def assert_money_is_right() -> None:
    """The command finds nothing: silent, and exit code 0."""
    done = current_app.test_cli_runner().invoke(args=["ledger", "check"])
    assert (done.exit_code, done.output) == (0, "")
