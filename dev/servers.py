"""PostgreSQL and Redis for development and tests: those of the environment, else embedded ones of our own.

with servers(Path(".data")) as running:
    running.database_url, running.redis_url
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dev.postgres import Postgres, start_postgres
from dev.process import StartError
from dev.redis import Redis, start_redis

__all__ = ["Postgres", "Redis", "Servers", "StartError", "servers", "start_postgres", "start_redis"]


@dataclass(frozen=True)
class Servers:
    """Where the two servers are reached."""

    database_url: str
    redis_url: str
    embedded: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """The processes we started for them, by name; none for a server of the environment."""


@contextmanager
def servers(data: Path, *, durable: bool = True) -> Iterator[Servers]:
    """Both servers, until the block ends: Redis stops first, PostgreSQL last. Main thread only.

    `DATABASE_URL` / `REDIS_URL` of the environment, when set, are used as they are and nothing is started for
    them. `data` keeps cluster, ports and passwords for the next start; `durable=False` is for tests.
    Raises StartError with a message for a person.
    """
    embedded: dict[str, subprocess.Popen[bytes]] = {}
    with ExitStack() as running:
        database_url, redis_url = os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")
        if not database_url:
            postgres = start_postgres(data, durable=durable)
            running.callback(postgres.stop)
            database_url, embedded["postgres"] = postgres.url, postgres.process
        if not redis_url:
            redis = start_redis(data)
            running.callback(redis.stop)
            redis_url, embedded["redis"] = redis.url, redis.process
        yield Servers(database_url, redis_url, embedded)
