"""The product with one page more: a bare view that makes one query, which the product's pages are compared with."""

from sqlalchemy import text

from namaskah import create_app
from namaskah.db import db


def bare() -> str:
    """As little as a page that reads the database can do."""
    return str(db.session.scalar(text("SELECT 1")))


app = create_app()
app.add_url_rule("/bench/bare", view_func=bare)
