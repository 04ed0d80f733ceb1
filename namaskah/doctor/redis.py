"""Redis or Valkey: version, what it keeps over a restart, and what it throws away when it is full."""

from time import monotonic
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from namaskah import versions
from namaskah.doctor.findings import Finding, bad, ok, warning

OLDEST = versions.REDIS_OLDEST
SLOW_SECONDS = 0.05  # our calls give up after 0.2


def look(values: dict[str, Any]) -> list[Finding]:
    client = Redis.from_url(values["REDIS_URL"], socket_connect_timeout=3, socket_timeout=3, decode_responses=True)
    try:
        with client:
            client.ping()
            started = monotonic()
            client.ping()
            seconds = monotonic() - started
            about: dict[str, Any] = client.info()  # type: ignore[assignment]  # typed for asyncio too
            return [_version(about), _speed(seconds), _persistence(client, about), _eviction(about), _health(about)]
    except (RedisError, OSError) as error:
        mend = "Check REDIS_URL, that it runs and lets this host in. Until then pushes wait and limits are weak."
        return [bad("redis", f"cannot be used: {type(error).__name__}", mend)]


def _version(about: dict[str, Any]) -> Finding:
    told = str(about.get("redis_version", "0"))
    if int(told.split(".", 1)[0]) < OLDEST:
        return bad("redis version", f"{told} is too old", f"Move to Redis {OLDEST} or later, or to Valkey.")
    return ok("redis version", f"{about.get('server_name', 'redis')} {about.get('valkey_version', told)}")


def _speed(seconds: float) -> Finding:
    if seconds > SLOW_SECONDS:
        says = f"takes {seconds * 1000:.0f} ms to answer, and we wait for 200"
        return warning("redis speed", says, "Bring it nearer: same network, same region.")
    return ok("redis speed", f"answers within {max(1, round(seconds * 1000))} ms")


def _persistence(client: Redis, about: dict[str, Any]) -> Finding:
    """Hosts that rent out Redis often refuse CONFIG; INFO tells of the journal alone."""
    if about.get("aof_enabled"):
        return ok("redis persistence", "keeps a journal")
    try:
        snapshots = str(client.config_get("save").get("save", ""))  # type: ignore[union-attr]  # likewise
    except RedisError:
        mend = "See your host's page; a journal (appendonly yes) is best."
        return warning("redis persistence", "keeps no journal, and does not tell of snapshots", mend)
    if not snapshots:
        says = "keeps nothing: a restart forgets who guessed passwords how often"
        return warning("redis persistence", says, "Set appendonly yes (and appendfsync everysec).")
    return ok("redis persistence", "keeps snapshots")


def _eviction(about: dict[str, Any]) -> Finding:
    policy = str(about.get("maxmemory_policy", "unknown"))
    if policy != "noeviction":
        says = f"is {policy}: when full it forgets limits, and whoever fills it may guess on"
        return bad("redis eviction", says, "Set maxmemory-policy noeviction.")
    return ok("redis eviction", "noeviction")


def _health(about: dict[str, Any]) -> Finding:
    failed = [name for name in ("rdb_last_bgsave_status", "aof_last_write_status") if about.get(name, "ok") != "ok"]
    most, used = int(about.get("maxmemory", 0)), int(about.get("used_memory", 0))
    if failed or about.get("loading"):
        return bad("redis state", "cannot write to its disk, or is loading", "Look at its log and at its disk.")
    if most and used > most * 0.8:
        return warning("redis state", f"{used * 100 // most} % of its memory is used", "Give it more memory.")
    return ok("redis state", f"uses {used // 1_048_576} MiB" + (f" of {most // 1_048_576}" if most else ""))
