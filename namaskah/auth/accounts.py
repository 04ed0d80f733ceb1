"""What can be done with an account. The only place that changes the users' rows."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from email_validator import EmailNotValidError, validate_email
from flask import current_app
from flask_babel import gettext as _
from itsdangerous import BadSignature, SignatureExpired
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from namaskah import jobs, mail
from namaskah import language as languages
from namaskah.auth import account_locks, audit, links, passwords, policies, sessions
from namaskah.auth.models import User
from namaskah.auth.signing import signer
from namaskah.db import db, leave_database, require_transaction, transaction, violated
from namaskah.errors import UserError

LINK_HOURS = 24
# No other signed value of ours can stand in for a confirmation.
VERIFY_EMAIL = "auth.verify-email"
DEMO_ACCOUNTS = (("demo@namaskah.test", "customer"), ("admin@namaskah.test", "admin"))


class InvalidLink(UserError):
    """The mailed link was never ours, is too old, or is for an address the account no longer has."""

    status = 410


class AccountClosed(UserError):
    """The password is right, but the account is banned."""

    status = 403


@dataclass(frozen=True)
class NewPassword:
    """An account for trying things out, with the password it has just been given."""

    email: str
    password: str
    role: str


def parse_email(text: str) -> str | None:
    """The address as we keep it (no spaces around, domain in lower case), or None when it is none.

    Outside production the domain `.test` counts, so that an account can be opened without a real mailbox.
    """
    try:
        known = validate_email(
            text.strip(),
            check_deliverability=False,
            test_environment=current_app.config["ENVIRONMENT"] != "production",
        )
    except EmailNotValidError:
        return None
    return known.normalized


def find_by_email(email: str) -> User | None:
    """Whose address this is, however it is capitalised. Takes anything that was typed."""
    if "\x00" in email:  # PostgreSQL has no such text, and refuses the question
        return None
    return db.session.scalar(select(User).where(func.lower(User.email) == func.lower(email.strip())))


def register(email: str, password: str, language: str, timezone: str = "") -> None:
    """Open an account and send its confirmation; for an address that has one, tell its owner instead.

    The caller cannot see which of the two happened; what takes time, the hash, is made before anything is looked up.
    `email` comes from parse_email; an empty `timezone` means the default.
    """
    password_hash = passwords.hashed(password)
    leave_database()
    try:
        with transaction():
            user = _add(email, password_hash, language, timezone=timezone or None)
            audit.record("registered", user.id, policy=user.policy_version)
            mail.verify_email(user, verification_link(user), LINK_HOURS)
    except IntegrityError as error:
        # The index decides, so two at once are one account too.
        if violated(error) != "uq_users_email_lower":
            raise
        with transaction():
            owner = find_by_email(email)
            if owner:
                mail.already_registered(owner)


def authenticate(email: str, password: str) -> User | None:
    """Whose address and password these are, or None. Takes the same time for an unknown address.

    Raises AccountClosed when they are right but the account is banned.
    """
    user = find_by_email(email)
    user_id, stored = (user.id, user.password_hash) if user else (0, passwords.nobodys())
    # Many log-ins at once must not keep all connections waiting for their hashes.
    leave_database()
    if not passwords.matches(stored, password) or user is None:
        with transaction():  # for an unknown address too: it must not take less time
            audit.record("login_failed", user_id or None)
        return None
    user = db.session.get_one(User, user_id)
    if user.password_hash != stored:  # changed while this one was being checked: it opens nothing any more
        return None
    refuse_closed(user)
    if passwords.is_outdated(stored):
        password_hash = passwords.hashed(password)
        with transaction():
            # Not over a password that was chosen meanwhile. If one was, sessions.log_in() sees that the hashes differ.
            db.session.execute(
                update(User)
                .where(User.id == user_id, User.password_hash == stored)
                .values(password_hash=password_hash)
                .execution_options(synchronize_session=False)
            )
        db.session.refresh(user)
        if user.password_hash != password_hash:
            return None
    return user


def refuse_closed(user: User) -> None:
    """Raises AccountClosed for somebody who has proved who they are, but is banned."""
    if not user.is_active:
        with transaction():
            audit.record("login_closed", user.id)
        raise AccountClosed(_("This account is closed. Write to us if you think that is a mistake."))


def is_password_of(user: User, password: str) -> bool:
    """Whether somebody who is logged in knows the password; a wrong one is written down."""
    stored = user.password_hash
    leave_database()
    if passwords.matches(stored, password):
        return True
    with transaction():
        audit.record("confirm_failed", user.id)
    return False


def verification_token(user: User) -> str:
    """What proves, within a day, that somebody reads the mail of this account's present address."""
    return signer(VERIFY_EMAIL).dumps([user.id, user.email])


def verification_link(user: User) -> str:
    """Where the letter leads: always our own public address, whatever the request's Host header says."""
    return links.to(f"verify-email/{verification_token(user)}")


def get_by_token(token: str) -> User:
    """Whose confirmation link this is. Raises InvalidLink.

    An old link to an address that is confirmed already is good: the second click, days later, is no mistake.
    """
    expired = False
    try:
        content = signer(VERIFY_EMAIL).loads(token, max_age=LINK_HOURS * 3600)
    except SignatureExpired as error:
        expired, content = True, signer(VERIFY_EMAIL).load_payload(error.payload) if error.payload else None
    except BadSignature:
        content = None
    user = _account_of(content)
    if user is None or (expired and not user.is_verified):
        raise InvalidLink(_("This link does not work any more. Ask for a new letter."))
    return user


def confirm_email(token: str) -> User:
    """Mark the address as its owner's; again is no error. Raises InvalidLink. Needs no log-in: any device will do."""
    user = get_by_token(token)
    if not user.is_verified:
        with transaction():
            # Of two at once one does it; and if the address has changed since we looked, neither.
            confirmed = db.session.scalar(
                update(User)
                .where(User.id == user.id, User.email == user.email, User.email_verified_at.is_(None))
                .values(email_verified_at=func.now())
                .returning(User.id)
            )
            if confirmed is not None:
                audit.record("email_confirmed", user.id)
    return user


def resend_verification(user: User) -> None:
    """Send the confirmation once more, unless it is not needed any more."""
    if not user.is_verified:
        with transaction():
            mail.verify_email(user, verification_link(user), LINK_HOURS)


def ask_for_verification(email: str) -> None:
    """Send the confirmation once more to an address that somebody has typed at registration, or what its owner was
    told then. Whether it has an account is for the worker to find out: the caller must not see it, nor measure it."""
    with transaction():
        jobs.defer("send_verification", email=email)


def send_verification(email: str) -> None:
    """The worker's part of ask_for_verification()."""
    user = find_by_email(email)
    if user and user.is_verified:
        with transaction():
            mail.already_registered(user)
    elif user:
        resend_verification(user)


def set_language(user: User, language: str) -> None:
    """`language`: one of language.CODES."""
    with transaction():
        user.language = language


def set_theme(user: User, theme: str) -> None:
    """`theme`: day, night, or empty for what the device says."""
    with transaction():
        user.theme = theme


def set_preferences(
    user: User, *, name: str, language: str, timezone: str, theme: str, sound: bool, receipt_letters: bool
) -> None:
    """What this user is called, how things look and sound, and which letters come besides those about security.
    `timezone` is a name of the zone database."""
    with transaction():
        user.name, user.receipt_letters = name, receipt_letters
        user.language, user.timezone, user.theme, user.sound = language, timezone, theme, sound


def ban(user: User, actor: str, reason: str) -> None:
    """Close the account for its owner, every open page of theirs included. `actor` is who decided, `reason` why. Once
    more changes nothing, and nobody is written to twice."""
    with transaction():
        owner = account_locks.lock(user.id)
        if not owner.is_active:
            return
        owner.banned_at = func.now()
        sessions.end_all(owner)
        mail.account_closed(owner)
        audit.record("banned", owner.id, actor, reason=reason)


def unban(user: User, actor: str, reason: str) -> None:
    """Let the account's owner in again. Once more changes nothing."""
    with transaction():
        owner = account_locks.lock(user.id)
        if owner.banned_at is not None:
            owner.banned_at = None
            audit.record("unbanned", owner.id, actor, reason=reason)


def create_demo_accounts() -> list[NewPassword]:
    """A confirmed customer and a confirmed admin with random passwords; returns those that did not exist."""
    missing = [(email, role) for email, role in DEMO_ACCOUNTS if find_by_email(email) is None]
    made = [NewPassword(email, secrets.token_urlsafe(12), role) for email, role in missing]
    for account in made:
        password_hash = passwords.hashed(account.password)
        with transaction():
            user = _add(account.email, password_hash, languages.DEFAULT, role=account.role)
            user.email_verified_at = datetime.now(UTC)
    return made


def reset_demo_passwords() -> list[NewPassword]:
    """New random passwords for the demo accounts there are; their open sessions end."""
    known = [(user, role) for email, role in DEMO_ACCOUNTS if (user := find_by_email(email))]
    made = [NewPassword(user.email, secrets.token_urlsafe(12), role) for user, role in known]
    for (user, _role), account in zip(known, made, strict=True):
        password_hash = passwords.hashed(account.password)
        with transaction():
            user.password_hash = password_hash
            sessions.end_all(user)
    return made


def bring_over(email: str, password_hash: str, created_at: datetime | None, is_verified: bool) -> User:
    """A customer of the predecessor: has accepted none of our rules yet, and is asked before money moves. Needs an open
    transaction; runs into uq_users_email_lower when the address has an account."""
    require_transaction()
    user = User(email=email, password_hash=password_hash, policy_version="", policy_accepted_at=func.now())
    if created_at is not None:
        user.created_at = created_at
    if is_verified:
        user.email_verified_at = func.now()
    db.session.add(user)
    db.session.flush()
    return user


def _add(email: str, password_hash: str, language: str, **values: Any) -> User:
    """A new row. Runs into uq_users_email_lower when the address has an account."""
    user = User(
        email=email,
        password_hash=password_hash,
        language=language,
        policy_version=current_app.config["POLICY_VERSION"],
        policy_accepted_at=datetime.now(UTC),
        **{name: value for name, value in values.items() if value is not None},
    )
    db.session.add(user)
    db.session.flush()
    policies.note(user, user.policy_version)
    return user


def _account_of(content: Any) -> User | None:
    """The account a token was made for, if it still has that address."""
    if not isinstance(content, list) or len(content) != 2:
        return None
    user = db.session.get(User, content[0])
    return user if user and user.email == content[1] else None
