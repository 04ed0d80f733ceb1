"""What Sentry is told of our errors and of how long things take: kinds and places, the release, the id of the request
or job, and the number of who is logged in. No value of any variable, no message, no address and nothing of what was
sent: all of these may hold a password, a code or a message."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import sentry_sdk
from sentry_sdk.integrations.flask import FlaskIntegration
from sentry_sdk.integrations.sqlalchemy import SqlalchemyIntegration

from namaskah import release, tracing

Event = dict[str, Any]
KEPT = (
    *("event_id", "timestamp", "level", "platform", "logger", "transaction", "release", "environment", "sdk"),
    *("exception", "logentry"),
)
KEPT_OF_TIMES = (
    *("event_id", "timestamp", "start_timestamp", "type", "platform", "transaction", "transaction_info", "release"),
    *("environment", "sdk"),
)
KEPT_OF_SPAN = (
    *("span_id", "parent_span_id", "trace_id", "op", "status", "origin", "start_timestamp", "timestamp"),
    "same_process_as_parent",
)
REPORTED = "_reported_to_sentry"


def report_to(config: dict[str, Any]) -> None:
    """Report crashes of this process from now on; an empty address reports nothing."""
    if not config["SENTRY_DSN"]:
        return
    sentry_sdk.init(
        dsn=config["SENTRY_DSN"],
        environment=config["ENVIRONMENT"],
        release=release.name(config),
        integrations=[FlaskIntegration(transaction_style="url"), SqlalchemyIntegration()],
        auto_enabling_integrations=False,  # what a library brings along one day is not looked at by anybody
        traces_sampler=_sampler(config["SENTRY_TRACES_PERCENT"] / 10_000),
        trace_propagation_targets=[],  # providers are not told of it
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        auto_session_tracking=False,
        before_send=without_values,  # type: ignore[arg-type]  # to us an event is any dictionary
        before_send_transaction=only_times,  # type: ignore[arg-type]
    )


@contextmanager
def timed(kind: str, name: str) -> Iterator[None]:
    """Around a job or a turn: how long it took, for the share of them that is looked at, and its error if any."""
    if not sentry_sdk.get_client().is_active():
        yield
        return
    with sentry_sdk.isolation_scope(), sentry_sdk.start_transaction(op=kind, name=name, source="task"):
        try:
            yield
        except Exception as error:
            sentry_sdk.capture_exception(error)
            raise


def _sampler(share: float) -> Callable[[dict[str, Any]], float]:
    """Of requests and jobs the share of the setting; of turns, which come several times a second, a fiftieth of it."""
    return lambda about: share / 50 if about.get("transaction_context", {}).get("op") == "verb" else share


def without_values(event: Event, hint: dict[str, Any]) -> Event | None:
    """The event with what is known to be harmless alone. What a later version of the SDK adds stays out. None for an
    error that was reported before: its way out leads through several places that would."""
    error = (hint.get("exc_info") or (None, None, None))[1]
    if error is not None:
        if getattr(error, REPORTED, False):
            return None
        with suppress(AttributeError):
            setattr(error, REPORTED, True)
    kept: Event = {name: event[name] for name in KEPT if name in event}
    if "logentry" in event:
        # The sentence as it stands in the source, without what was put into it.
        kept["logentry"] = {"message": event["logentry"].get("message", "")}
    if "exception" in event:
        kept["exception"] = {"values": [_nameless(error) for error in event["exception"].get("values", [])]}
    return kept | _about(event)


def only_times(event: Event, _hint: dict[str, Any]) -> Event:
    """A request or job with its steps: how long each took and of what kind it was, not what it was about."""
    kept: Event = {name: event[name] for name in KEPT_OF_TIMES if name in event}
    trace = event.get("contexts", {}).get("trace", {})
    kept["contexts"] = {"trace": {name: trace[name] for name in KEPT_OF_SPAN if name in trace}}
    kept["spans"] = [
        {name: span[name] for name in KEPT_OF_SPAN if name in span} | {"description": span.get("op") or ""}
        for span in event.get("spans") or ()
    ]
    return kept | _about(event)


def note_request(request_id: str, user_id: int | None) -> None:
    """What the request's times are told with: they are known when nothing else of it is any more."""
    if sentry_sdk.get_client().is_active():
        scope = sentry_sdk.get_isolation_scope()
        scope.set_tag("request_id", request_id)
        scope.set_user({"id": str(user_id)} if user_id else None)


def _about(event: Event) -> Event:
    """Which request or job, and whose by number. Nothing more of that person goes out."""
    request_id = tracing.known_id() or event.get("tags", {}).get("request_id")
    user = tracing.user_id() or event.get("user", {}).get("id")
    tags = {"request_id": request_id, "work": tracing.work()}
    about: Event = {"tags": {name: value for name, value in tags.items() if value}}
    return about | ({"user": {"id": str(user)}} if user else {})


def _nameless(error: Event) -> Event:
    names = ("type", "module", "mechanism")
    frames = error.get("stacktrace", {}).get("frames", [])
    places = ("filename", "abs_path", "function", "module", "lineno", "context_line", "in_app")
    return {
        **{name: error[name] for name in names if name in error},
        "stacktrace": {"frames": [{name: frame[name] for name in places if name in frame} for frame in frames]},
    }
