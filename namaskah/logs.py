"""What every process writes: one JSON object a line in production, a readable line in development, both to where the
operator's tools look (stdout), both without personal data and secrets, both safe from what others put into them.

at, level, logger, message   when, how bad, which module, what
request_id, user, where      which request (or what caused the job), who by number, route or job
error, trace                 the kind of an exception, and the way to it
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from flask import has_request_context, request

from namaskah import tracing
from namaskah.redaction import Redactor

# Whose lines come through the root alone; some set up handlers of their own.
OTHERS = ("gunicorn", "gunicorn.error", "gunicorn.access", "procrastinate", "namaskah", "alembic", "sqlalchemy.engine")
# Libraries that write addresses with their query, or each step they take. The queue tells each job that it begins and
# ends; worker.py does so in one line, with the request that caused it.
QUIET = {
    "urllib3": logging.ERROR,
    "fontTools": logging.WARNING,
    "asyncio": logging.WARNING,
    "alembic": logging.WARNING,
    "procrastinate": logging.WARNING,
}
LONGEST = 20_000  # characters of one message or trace
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def configure(config: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Have this process write as the settings say, to `stream` (stdout) and nowhere else."""
    as_json = (config["LOG_FORMAT"] or _usual(config)) == "json"
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter((JsonLines if as_json else TextLines)(Redactor(config)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config["LOG_LEVEL"])
    for name in OTHERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger("gunicorn.error").setLevel(max(root.level, logging.INFO))  # its DEBUG is every address
    logging.captureWarnings(True)


def _usual(config: Mapping[str, Any]) -> str:
    return "json" if config["ENVIRONMENT"] == "production" else "text"


class _Lines(logging.Formatter):
    """What both kinds of lines are made of."""

    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def _said(self, record: logging.LogRecord) -> str:
        try:
            said = record.getMessage()
        except Exception:  # a line with the wrong number of values must not be an error of its own
            said = str(record.msg)
        return self._redact(said[:LONGEST])

    def _trace(self, record: logging.LogRecord) -> str:
        if not record.exc_info or record.exc_info[0] is None:
            return ""
        return self._redact("".join(traceback.format_exception(*record.exc_info))[-LONGEST:])

    def _about(self, record: logging.LogRecord) -> dict[str, Any]:
        """Who and where, as far as it is known, and what the line brings along."""
        found: dict[str, Any] = {"request_id": tracing.known_id() or None, "user": tracing.user_id()}
        found["where"] = tracing.work() or _route()
        found |= getattr(record, "fields", {})
        if record.exc_info and record.exc_info[0] is not None:
            found["error"] = record.exc_info[0].__name__
        return {name: value for name, value in found.items() if value not in (None, "")}


class JsonLines(_Lines):
    """One object a line. Whatever was put into it, it stays one line of ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._said(record),
            "process": record.process,
        }
        line |= self._about(record)
        if trace := self._trace(record):
            line["trace"] = trace
        return json.dumps(line, default=str)


class TextLines(_Lines):
    """For people: time, level, module, sentence, and in brackets what it is about. Further lines are indented, so that
    none of them can pass for a record."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        about = " ".join(f"{name}={value}" for name, value in self._about(record).items())
        line = f"{at} {record.levelname} {record.name}: {_visible(self._said(record))}"
        line += f" [{_visible(about)}]" if about else ""
        rows = self._trace(record).rstrip().split("\n")
        return "\n    | ".join([line, *map(_visible, rows)]) if rows != [""] else line


def _visible(text: str) -> str:
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _route() -> str:
    """The rule of the route, never the address: that may be a secret."""
    if not has_request_context():
        return ""
    return f"{request.method} {request.url_rule.rule if request.url_rule else '-'}"
