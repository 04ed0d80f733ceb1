"""PostgreSQL and Redis for development and tests: those of the environment, else embedded ones of our own.

with servers(Path(".data")) as running:
    running.database_url, running.redis_url
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dev.postgres import Postgres, remembered_postgres, start_postgres
from dev.process import StartError
from dev.redis import Redis, remembered_redis, start_redis
from dev.state import InUse

__all__ = [
    "Postgres",
    "Redis",
    "Servers",
    "StartError",
    "servers",
    "shared_servers",
    "start_postgres",
    "start_redis",
]


@dataclass(frozen=True)
class Servers:
    """Where the two servers are reached."""

    database_url: str
    redis_url: str
    embedded: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """The processes we started for them, by name; none for a server of the environment."""


@contextmanager
def servers(data: Path, *, durable: bool = True, environ: Mapping[str, str] = os.environ) -> Iterator[Servers]:
    """Both servers, until the block ends: Redis stops first, PostgreSQL last. Main thread only.

    `DATABASE_URL` / `REDIS_URL` of `environ`, when set, are used as they are and nothing is started for
    them. `data` keeps cluster, ports and passwords for the next start; `durable=False` is for tests.
    Raises StartError with a message for a person.
    """
    embedded: dict[str, subprocess.Popen[bytes]] = {}
    with ExitStack() as running:
        database_url, redis_url = environ.get("DATABASE_URL"), environ.get("REDIS_URL")
        if not database_url:
            postgres = start_postgres(data, durable=durable)
            running.callback(postgres.stop)
            database_url, embedded["postgres"] = postgres.url, postgres.process
        if not redis_url:
            redis = start_redis(data)
            running.callback(redis.stop)
            redis_url, embedded["redis"] = redis.url, redis.process
        yield Servers(database_url, redis_url, embedded)


@contextmanager
def shared_servers(data: Path, environ: Mapping[str, str] = os.environ) -> Iterator[Servers]:
    """As servers(), but those that another process has running in `data` are used along with it."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(servers(data, environ=environ))
        except InUse:
            running = Servers(
                environ.get("DATABASE_URL") or remembered_postgres(data),
                environ.get("REDIS_URL") or remembered_redis(data),
            )
        yield running
