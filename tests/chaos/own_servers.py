"""A PostgreSQL that keeps what it has committed and a Redis that keeps nothing, to be killed: one's own, on ports that
stay. Main thread only."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2

from dev.postgres import Postgres, start_postgres
from dev.redis import Redis, start_redis
from tests import support


@dataclass
class OwnServers:
    """`settings` is the environment of whoever uses them."""

    folder: Path
    postgres: Postgres
    redis: Redis

    def settings(self, others: Mapping[str, str]) -> dict[str, str]:
        url = self.postgres.url.replace("postgresql://", "postgresql+psycopg2://")
        return {**others, "DATABASE_URL": url, "REDIS_URL": self.redis.url}

    def kill_postgres(self, *, at_once: bool) -> None:
        """All its processes with SIGKILL at once, as a machine without memory does it; or as it is told to stop
        `immediate`. Either way what was under way is gone, and the next start recovers from the log."""
        leader = self.postgres.process
        if at_once:
            # Each of its processes leads a group of its own.
            for process in (leader.pid, *_children(leader.pid)):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        else:
            leader.send_signal(signal.SIGQUIT)
        leader.wait(20)

    def start_postgres(self) -> None:
        """Again, on the same data and port."""
        self.postgres.stop()
        self.postgres = start_postgres(self.folder)

    def kill_redis(self) -> None:
        os.killpg(self.redis.process.pid, signal.SIGKILL)
        self.redis.process.wait()

    def start_redis(self) -> None:
        """Again, on the same port, empty."""
        self.redis.stop()
        self.redis = start_redis(self.folder)

    def keeps_what_it_commits(self) -> bool:
        with closing(psycopg2.connect(self.postgres.url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT bool_and(setting = 'on') FROM pg_settings WHERE name IN"
                           " ('fsync', 'synchronous_commit', 'full_page_writes')")  # fmt: skip
            return cursor.fetchone() == (True,)

    def stop(self) -> None:
        self.redis.stop()
        self.postgres.stop()


@contextmanager
def own_servers(folder: Path) -> Iterator[OwnServers]:
    """Started, with a migrated template to clone; ended with the block. `folder` must be open to the account that
    PostgreSQL runs as."""
    made = OwnServers(folder, start_postgres(folder), start_redis(folder))
    try:
        support.make_template(made.postgres.url)
        assert made.keeps_what_it_commits(), "what is to survive must be on disk"
        yield made
    finally:
        made.stop()


def _children(pid: int) -> list[int]:
    """Processes that this one has started (Linux)."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(number) for number in found.split()]
