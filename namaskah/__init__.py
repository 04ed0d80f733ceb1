"""Namaskah: temporary phone numbers for one code. This docstring is the map of the house.

config      every setting                        db          transaction(), the only way to commit
extensions  Flask extensions, instances          errors      what a person may be told
money       amounts                              filters     how amounts, numbers and times are shown
http        outbound calls and their three ends  jobs        what runs in the background, in one table
live        push to the page                     mail        one function per e-mail
auth/       accounts and access                  wallet/     ledger and top-ups
numbers/    catalogue, activations, messages     providers/  one file per upstream protocol
admin/      the operator's pages                 api/        webhooks in
sandbox/    a separate app that plays providers and Paystack for development and tests
"""

from typing import Any

from flask import Flask


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """The web application, also used by the worker and by commands. `config` replaces the environment in tests."""
    from namaskah import config as settings
    from namaskah.auth import models as _auth
    from namaskah.db import db
    from namaskah.extensions import migrate
    from namaskah.numbers import models as _numbers
    from namaskah.wallet import models as _wallet

    app = Flask(__name__)
    app.config.update(settings.load() if config is None else config)
    app.config["SQLALCHEMY_DATABASE_URI"] = app.config["DATABASE_URL"]
    db.init_app(app)
    migrate.init_app(app, db)
    return app
