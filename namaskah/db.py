"""The database handle and `transaction()`, the only way to commit."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import MetaData, event, func, select
from sqlalchemy.engine import Engine, ExceptionContext
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    # Constraints are named by rule, so that code can tell which one a race has violated.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# expire_on_commit is off: what was read stays readable during the provider call that follows a commit,
# without opening a new transaction around it.
db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})

ONLY_READING = "only_reading"


@contextmanager
def transaction() -> Iterator[None]:
    """Commit at the end, roll back on any error, refuse to nest.

    Raises RuntimeError when one is open already: a verb that opens its own must not be called inside another; and
    inside reading_only().
    """
    if in_transaction():
        raise RuntimeError("a transaction is open already")
    if db.session.info.get(ONLY_READING):
        raise RuntimeError("here is only read")
    db.session.info["transaction_open"] = True
    try:
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    finally:
        db.session.info["transaction_open"] = False


def in_transaction() -> bool:
    """Whether the caller is inside `transaction()`."""
    return bool(db.session.info.get("transaction_open", False))


def require_transaction() -> None:
    """Raise RuntimeError outside `transaction()`: ledger verbs compose inside the caller's, they never open one."""
    if not in_transaction():
        raise RuntimeError("this must run inside transaction()")


def leave_database() -> None:
    """Give the connection back before a slow call to somebody else. Raises RuntimeError inside a transaction().

    A provider that takes ten seconds must hold neither a lock nor a pooled connection.
    """
    if in_transaction():
        raise RuntimeError("no call to the outside inside a transaction")
    db.session.rollback()


def database_time() -> datetime:
    """The time by PostgreSQL's clock, the one that decides. Every process has a clock of its own, which may be wrong;
    what is due, over or too early is asked of this one alone."""
    return db.session.scalars(select(func.clock_timestamp())).one()


@contextmanager
def reading_only() -> Iterator[None]:
    """Inside, transaction() is refused: what may as well be read from a replica (replica.py) must not write."""
    info = db.session.info
    before = info.get(ONLY_READING, False)
    info[ONLY_READING] = True
    try:
        yield
    finally:
        info[ONLY_READING] = before


def end_reading() -> None:
    """As leave_database(), and what was read so far stays readable: a look at it opens no transaction again."""
    if in_transaction():
        raise RuntimeError("nothing is read elsewhere inside a transaction")
    if db.session.new or db.session.dirty or db.session.deleted:
        db.session.rollback()
    else:
        db.session.commit()


def violated(error: IntegrityError) -> str | None:
    """Name of the constraint that a statement ran into."""
    diagnostics: Any = getattr(error.orig, "diag", None)
    return getattr(diagnostics, "constraint_name", None)


@event.listens_for(Engine, "handle_error")
def _say_less(context: ExceptionContext) -> None:
    """Errors end up in logs, and PostgreSQL's quote the row they are about: a message, an address, a token. What is
    left names the error, the constraint and where it was; `violated()` still finds all of it."""
    error: Any = context.original_exception
    code = getattr(error, "pgcode", None)
    if not code:
        return
    # Class 22: what was sent does not fit its type. The sentence repeats it.
    sentence = "" if code.startswith("22") else error.diag.message_primary
    where = (error.diag.table_name, error.diag.column_name, error.diag.constraint_name)
    said = " ".join(part for part in (code, sentence, *where) if part)
    error.args = (said,)
    if context.sqlalchemy_exception is not None:
        context.sqlalchemy_exception.args = (f"({type(error).__name__}) {said}",)
