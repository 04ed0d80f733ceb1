"""Errors a person may see: one class, shown as a page, as a fragment for htmx, or as JSON."""

from typing import Any


class UserError(Exception):
    """Something the person can understand and act upon.

    `message` is a translated sentence that says what happened to their money and what to do; `status` the HTTP status.
    """

    status = 400

    def __init__(self, message: str, *, status: int | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.status = status or self.status
        self.details = details
