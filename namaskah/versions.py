"""Which servers we run on: an old one is refused before anybody is served, not found out by a customer."""

import logging

from flask import current_app
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from namaskah.db import db
from namaskah.extensions import redis

# The oldest and the newest that the tests run on; of Redis also Valkey, which calls itself 7.
POSTGRES = (15, 18)
REDIS_OLDEST = 7

log = logging.getLogger(__name__)


class TooOld(Exception):
    """PostgreSQL is older than any that is supported. The message is for the operator."""


def refuse_old() -> None:
    """Raises TooOld in production; elsewhere, and about Redis, it is a warning in the log. While a server does not
    answer nothing can be told: `flask doctor` looks again."""
    found = postgres()
    if found is not None and found < POSTGRES[0]:
        says = f"PostgreSQL {found} is too old: {POSTGRES[0]} to {POSTGRES[1]} are supported. Nothing was changed."
        if current_app.config["ENVIRONMENT"] == "production":
            raise TooOld(f"{says} Move the database to {POSTGRES[1]}, as DEPLOY.md describes under Upgrading.")
        log.warning(says)
    if found is not None and found > POSTGRES[1]:
        log.warning("PostgreSQL %d is newer than any this release was tested with (%d)", found, POSTGRES[1])
    of_redis = redis_version()
    if of_redis is not None and of_redis < REDIS_OLDEST:
        log.warning("Redis %d is too old: %d is the oldest supported, or Valkey", of_redis, REDIS_OLDEST)


def postgres() -> int | None:
    """The server's major version; None while it does not answer."""
    try:
        return int(db.session.scalar(text("SELECT current_setting('server_version_num')")) or 0) // 10_000
    except SQLAlchemyError as error:
        log.warning("the version of PostgreSQL cannot be told now: %s", type(error).__name__)
        return None
    finally:
        db.session.rollback()


def redis_version() -> int | None:
    """Its major version; None while it does not answer."""
    try:
        told = str(redis.client.info("server")["redis_version"])  # type: ignore[index]
    except (RedisError, OSError, KeyError):
        return None
    return int(told.split(".", 1)[0])
