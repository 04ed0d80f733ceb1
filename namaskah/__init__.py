"""Namaskah: temporary phone numbers for one code. This docstring is the map of the house.

config      every setting                        db          transaction(), the only way to commit
production  what it refuses to start with        strength    whether a secret can be guessed
admission   which requests come in at all        headers     what answers tell the browser
limits      how often what may be done           health      for whoever watches the processes
crashes     what an outside service is told of our errors
tracing     which request or job it is           request_log around each request
logs        what every process writes            redaction   what no log may hold
metrics     what a web process counts            release     which version runs
draining    whether this process is about to end
replica     what is read elsewhere               postgres    limits on time, how many connections
versions    which servers we run on
extensions  Flask extensions, instances          errors      what a person may be told
money       amounts                              filters     how amounts, numbers and times are shown
language    in which language and zone           mail        one function per e-mail
http        outbound calls and their three ends  jobs        work that must follow a commit
worker      what runs in the background          commands    what the flask command can do
papers/     what is printed as PDF
live/       push to the page                     serving     what gunicorn's workers need

auth/       accounts and access                  account/    choices, devices, export, deletion
wallet/     ledger, top-ups and receipts         pages/      public pages
numbers/    catalogue, activations, messages     providers/  one file per upstream protocol
admin/      the operator's pages                 api/        webhooks in
reconciliation/  others' books against ours
backups/   encrypted backups, restores and drills
housekeeping/    what is erased by itself, and when it was last
watch/      whether all is well: heartbeats, measurements, the status page, /health, /metrics
sandbox/    a separate app that plays providers and Paystack for development and tests
"""

from collections.abc import Callable
from typing import Any

from flask import Flask


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """The web application, also used by the worker and by commands. `config` replaces the environment in tests."""
    from namaskah import admission, commands, crashes, errors, extensions, filters, headers, language, limits
    from namaskah import config as settings
    from namaskah.auth import links, sessions
    from namaskah.db import db
    from namaskah.numbers import registry

    app = Flask(__name__)
    app.config.update(settings.load() if config is None else config)
    app.config.update(_derived(app.config))
    crashes.report_to(app.config)
    admission.register_admission(app)
    db.init_app(app)
    extensions.migrate.init_app(app, db, compare_type=True)
    extensions.redis.init_app(app.config["REDIS_URL"])
    extensions.login.init_app(app)
    # Flask-Login's own cookie is not used; looking for it would make every static file one visitor's.
    app.after_request_funcs[None].remove(extensions.login._update_remember_cookie)
    extensions.login.session_protection = None  # our sessions are rows; a phone's address changes all day
    extensions.login.user_loader(sessions.find_user)
    app.after_request(sessions.note_seen)
    app.after_request(links.hide_address)  # before the headers: what comes first here is done last
    extensions.csrf.init_app(app)
    extensions.mail.init_app(app)
    limits.register_limits(app)
    extensions.compress.init_app(app)
    extensions.babel.init_app(
        app,
        default_translation_directories=app.config["TRANSLATIONS"],
        locale_selector=language.choose_locale,
        timezone_selector=language.choose_timezone,
    )
    extensions.sock.init_app(app)
    headers.register_headers(app)
    registry.init_app(app)
    filters.register_filters(app)
    errors.register_errors(app)
    _register_blueprints(app)
    app.context_processor(_about_the_reader)
    _hand_over()
    commands.register_commands(app)
    return _watched(app)


def _hand_over() -> None:
    """What lower rooms need of higher ones."""
    from namaskah import backups, live
    from namaskah.account import export_views
    from namaskah.housekeeping import reading as housekeeping
    from namaskah.legacy import records
    from namaskah.numbers import presenting, proofs, pushing
    from namaskah.wallet import evidence, statement, unknown_payments
    from namaskah.watch import figures, health

    live.renderers.update(activation=pushing.activation, wallet=pushing.wallet, export=export_views.push)
    statement.describers["activation"] = presenting.describe
    evidence.sources["activation"] = proofs.purchases
    figures.ages.update(backup=backups.backup_age, restore_drill=backups.drill_age)
    figures.housekeeping.update(succeeded=housekeeping.succeeded, erased=housekeeping.erased)
    unknown_payments.booked_elsewhere[:] = [records.names_payment]
    health.troubles[:] = [backups.troubles]


def _watched(app: Flask) -> Flask:
    """The application with its log of requests around everything else."""
    from namaskah import request_log

    request_log.register_request_log(app)
    return app


def _derived(config: dict[str, Any]) -> dict[str, Any]:
    """What Flask and its extensions want to be told, made from our settings."""
    from datetime import timedelta
    from pathlib import Path

    from namaskah import admission, headers, postgres

    secure = headers.is_secure(config)
    return {
        "SQLALCHEMY_DATABASE_URI": config["DATABASE_URL"],
        "SQLALCHEMY_ENGINE_OPTIONS": postgres.engine_options(config),
        "SQLALCHEMY_BINDS": {"replica": postgres.replica_options(config)} if config["DATABASE_REPLICA_URL"] else {},
        "RATELIMIT_STORAGE_URI": config["REDIS_URL"],
        "RATELIMIT_STORAGE_OPTIONS": {"socket_connect_timeout": 0.2, "socket_timeout": 0.2},
        "RATELIMIT_HEADERS_ENABLED": False,
        "MAIL_DEFAULT_SENDER": config["MAIL_FROM"],
        "TRANSLATIONS": str(Path(__file__).parent.parent / "translations"),
        "TRUSTED_HOSTS": admission.trusted_hosts(config),
        "PROVIDE_AUTOMATIC_OPTIONS": False,
        # Signs with the present key, reads the older ones too; auth/signing.py does the same for what is ours.
        "SECRET_KEY_FALLBACKS": list(config["SECRET_KEYS_OLD"]),
        "WTF_CSRF_SECRET_KEY": [*config["SECRET_KEYS_OLD"], config["SECRET_KEY"]],
        "SESSION_COOKIE_NAME": "__Host-session" if secure else "session",
        "SESSION_COOKIE_SECURE": secure,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "PERMANENT_SESSION_LIFETIME": timedelta(days=30),
        # The cookie is sent when something in it has changed. With every answer it would, by one that was long on its
        # way, bring back a token that was exchanged meanwhile, and log its owner out.
        "SESSION_REFRESH_EACH_REQUEST": False,
        "SEND_FILE_MAX_AGE_DEFAULT": timedelta(days=365),  # addresses of static files carry their content's hash
        "WTF_CSRF_TIME_LIMIT": 12 * 3600,
        # Pages whose address is a secret send no Referer. What it is checked for, a cookie planted by a neighbour's
        # host, the prefix __Host- rules out.
        "WTF_CSRF_SSL_STRICT": False,
        "MAX_CONTENT_LENGTH": 1_100_000,
        "COMPRESS_MIMETYPES": ["text/html", "text/css", "text/javascript", "application/javascript", "image/svg+xml"],
        "COMPRESS_ALGORITHM": ["br", "gzip"],
        "COMPRESS_BR_LEVEL": 5,
    }


def _register_blueprints(app: Flask) -> None:
    from namaskah import account, admin, auth, health, live, numbers, pages, wallet, watch
    from namaskah.account import deletion_views as _deletion_views
    from namaskah.account import export_views as _export_views
    from namaskah.account import security_views as _security_views
    from namaskah.account import views as _account_views
    from namaskah.admin import dispute_views as _dispute_views
    from namaskah.admin import gateway_event_views as _gateway_event_views
    from namaskah.admin import housekeeping_views as _housekeeping_views
    from namaskah.admin import rate_views as _rate_views
    from namaskah.admin import reconciliation_views as _reconciliation_views
    from namaskah.admin import refund_views as _refund_views
    from namaskah.admin import top_up_views as _admin_top_up_views
    from namaskah.admin import unknown_payment_views as _unknown_payment_views
    from namaskah.admin import views as _admin_views
    from namaskah.admin import voucher_views as _admin_voucher_views
    from namaskah.api import paystack, providers
    from namaskah.auth import email_views as _email_views
    from namaskah.auth import password_views as _password_views
    from namaskah.auth import policy_views as _policy_views
    from namaskah.auth import second_factor
    from namaskah.auth import views as _auth_views
    from namaskah.auth.second_factor import login_views as _factor_login_views
    from namaskah.auth.second_factor import passkey_views as _passkey_views
    from namaskah.auth.second_factor import views as _factor_views
    from namaskah.numbers import activation_views as _activation_views
    from namaskah.numbers import views as _number_views
    from namaskah.pages import components
    from namaskah.pages import views as _page_views
    from namaskah.wallet import auto_top_up_views as _auto_top_up_views
    from namaskah.wallet import card_views as _card_views
    from namaskah.wallet import invoice_views as _invoice_views
    from namaskah.wallet import statement_views as _statement_views
    from namaskah.wallet import top_up_views as _top_up_views
    from namaskah.wallet import views as _wallet_views
    from namaskah.wallet import voucher_views as _voucher_views
    from namaskah.watch import status_views as _status_views
    from namaskah.watch import views as _watch_views

    for blueprint in (
        pages.blueprint,
        auth.blueprint,
        second_factor.blueprint,
        account.blueprint,
        wallet.blueprint,
        numbers.blueprint,
        numbers.activation_blueprint,
        admin.blueprint,
        live.blueprint,
        health.blueprint,
        watch.blueprint,
        paystack.blueprint,
        providers.blueprint,
    ):
        app.register_blueprint(blueprint)
    if app.config["ENVIRONMENT"] != "production":
        app.register_blueprint(components.blueprint)


def _about_the_reader() -> dict[str, Any]:
    """What every page's header shows of whoever reads it: read when a template asks for it, once a request."""
    from flask import g
    from flask_login import current_user
    from werkzeug.local import LocalProxy

    from namaskah.numbers.presenting import open_count
    from namaskah.wallet import debts, ledger

    def once(name: str, read: Callable[[int], Any], nobody: Any) -> Any:
        if name not in g:
            setattr(g, name, read(current_user.id) if current_user and current_user.is_authenticated else nobody)
        return g.get(name)

    return {
        "wallet": LocalProxy(lambda: once("reader_wallet", ledger.balance, None)),
        "trouble": LocalProxy(lambda: once("reader_trouble", debts.trouble, None)),
        "open_count": LocalProxy(lambda: once("reader_open_count", open_count, 0)),
    }
