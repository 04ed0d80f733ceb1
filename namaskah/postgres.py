"""What every session of ours agrees upon with PostgreSQL: how long anything may take, and how many connections there
are. From plain values; docs/operations.md has the reasons and the sums."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine, make_url

# Each is shorter than what waits for it: lock < statement < connection, which is as long as a provider may take (10 s)
# < gunicorn's 30 s for requests under way < the proxy's 35.
LOCK_SHARE = 0.6  # of a statement's time
CONNECTION_SECONDS = 10
IDLE_SECONDS = 30  # a transaction nobody goes on with gives its locks back
PATIENCE = 3  # workers and commands wait so many times as long as pages: nobody looks on
REPLICA_STATEMENT_SECONDS = 15
REPLICA_CONNECTION_SECONDS = 1

# A server that has vanished without a word is noticed after 20 seconds, not after the system's two hours.
KEPT_ALIVE = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}

# Connections beside the pool. Web: the look of /health. Worker: the queue, the look, and those of a backup.
QUEUE_CONNECTIONS = 4
WEB_BESIDE = 1
WORKER_BESIDE = QUEUE_CONNECTIONS + 1 + 4

Values = Mapping[str, Any]


def timeouts(values: Values, *, pages: bool) -> dict[str, int]:
    """PostgreSQL's settings in milliseconds, for the sessions of pages or of everybody else."""
    statement = values["DATABASE_STATEMENT_SECONDS"] * 1000 * (1 if pages else PATIENCE)
    return _timeouts(statement)


def options(values: Values, *, pages: bool = False) -> str:
    """The same as libpq takes them."""
    return _as_options(timeouts(values, pages=pages))


def engine_options(values: Values) -> dict[str, Any]:
    """Of the pool that everything of a process shares."""
    return {
        "pool_size": values["DATABASE_POOL_SIZE"],
        "max_overflow": 0,
        "pool_timeout": CONNECTION_SECONDS,
        "pool_pre_ping": True,
        "hide_parameters": True,
        "connect_args": KEPT_ALIVE | {"application_name": "namaskah", "options": options(values)},
    }


def replica_options(values: Values) -> dict[str, Any]:
    """Of a pool of half the size for reading elsewhere. Nobody queues for it: the primary is there."""
    limits = _as_options(_timeouts(REPLICA_STATEMENT_SECONDS * 1000))
    reading = {
        "connect_timeout": 2,
        "application_name": "namaskah-reading",
        "options": f"{limits} -c default_transaction_read_only=on",
    }
    return {
        "url": values["DATABASE_REPLICA_URL"],
        "pool_size": max(2, values["DATABASE_POOL_SIZE"] // 2),
        "max_overflow": 0,
        "pool_timeout": REPLICA_CONNECTION_SECONDS,
        "pool_pre_ping": True,
        "hide_parameters": True,
        "connect_args": KEPT_ALIVE | reading,
    }


def queue_options(values: Values) -> dict[str, Any]:
    """Of the job queue's own pool, which speaks through psycopg 3. One of its connections only listens."""
    address = make_url(values["DATABASE_URL"]).set(drivername="postgresql").render_as_string(hide_password=False)
    return {
        "conninfo": address,
        "kwargs": KEPT_ALIVE | {"application_name": "namaskah-queue", "options": options(values)},
        "min_size": 2,
        "max_size": QUEUE_CONNECTIONS,
    }


def hurry(engine: Engine, values: Values) -> None:
    """Web servers: sessions opened from now on have the limits of pages. Somebody looks at a page that waits."""
    ours = options(values, pages=True)

    @event.listens_for(engine, "do_connect")
    def _with_the_limits_of_pages(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        parameters["options"] = ours


def connections(values: Values) -> tuple[int, int]:
    """The most that one web server of all its processes takes, and one worker."""
    each = values["DATABASE_POOL_SIZE"]
    return values["WEB_WORKERS"] * (each + WEB_BESIDE), each + WORKER_BESIDE


def _timeouts(statement: int) -> dict[str, int]:
    return {
        "statement_timeout": statement,
        "lock_timeout": int(statement * LOCK_SHARE),
        "idle_in_transaction_session_timeout": IDLE_SECONDS * 1000,
    }


def _as_options(settings: Mapping[str, int]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())
