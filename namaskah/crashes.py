"""What Sentry is told of our errors: their kind and the way through our code. No value of any variable, no message, no
address and nothing of what was sent: all of these may hold a password, a code or a message."""

from typing import Any

import sentry_sdk

Event = dict[str, Any]
KEPT = (
    *("event_id", "timestamp", "level", "platform", "logger", "transaction", "release", "environment", "sdk"),
    *("exception", "logentry"),
)


def report_to(dsn: str) -> None:
    """Report crashes of this process from now on; an empty address reports nothing."""
    if dsn:
        sentry_sdk.init(
            dsn=dsn,
            send_default_pii=False,
            include_local_variables=False,
            max_request_body_size="never",
            max_breadcrumbs=0,
            before_send=without_values,  # type: ignore[arg-type]
        )


def without_values(event: Event, _hint: dict[str, Any]) -> Event:
    """The event with what is known to be harmless alone. What a later version of the SDK adds stays out."""
    kept: Event = {name: event[name] for name in KEPT if name in event}
    if "logentry" in event:
        # The sentence as it stands in the source, without what was put into it.
        kept["logentry"] = {"message": event["logentry"].get("message", "")}
    if "exception" in event:
        kept["exception"] = {"values": [_nameless(error) for error in event["exception"].get("values", [])]}
    return kept


def _nameless(error: Event) -> Event:
    names = ("type", "module", "mechanism")
    frames = error.get("stacktrace", {}).get("frames", [])
    places = ("filename", "abs_path", "function", "module", "lineno", "context_line", "in_app")
    return {
        **{name: error[name] for name in names if name in error},
        "stacktrace": {"frames": [{name: frame[name] for name in places if name in frame} for frame in frames]},
    }
