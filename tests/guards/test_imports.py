"""Who may import whom, and who may commit or call out: the table of the house, read from the sources themselves."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ANYTHING = {"*"}

# Room → the rooms of ours it may import. A module belongs to the longest name that fits it. Lower never imports higher:
# auth < wallet < numbers < {api, admin, account, pages, worker, commands} < create_app, which nobody imports.
ROOMS: dict[str, set[str]] = {
    "": ANYTHING,  # namaskah/__init__.py
    # what knows nothing of the product
    "wallet.currencies": set(),  # a table of plain values
    "wallet.fees": {"wallet.currencies"},
    "wallet.currency_settings": {"wallet.currencies", "wallet.fees"},
    "money": {"wallet.currencies"},
    "tracing": set(),
    "redaction": set(),
    "metrics": set(),
    "release": set(),
    "draining": set(),
    "logs": {"redaction", "tracing"},
    "http": {"tracing"},
    "db": set(),
    "claims": {"db"},
    "extensions": set(),
    "crashes": {"release", "tracing"},
    "postgres": set(),
    "versions": {"db", "extensions"},
    "replica": {"db", "metrics"},
    "strength": set(),
    "spreadsheets": set(),
    "production": {"strength"},
    "papers": set(),  # from plain values
    "backups.settings": set(),  # from plain values
    "config": {"backups.settings", "money", "papers", "production", "wallet.currency_settings"},
    "limits": {"extensions"},
    "errors": {"db", "limits", "metrics", "tracing"},
    "admission": {"errors"},
    "request_log": {"admission", "crashes", "metrics", "tracing"},
    "headers": set(),
    "jobs": {"db", "tracing"},
    "numbers.directory": set(),  # names of services and countries, from files
    # providers: built from plain values
    "providers": set(),
    "providers.base": set(),
    "providers.answers": {"providers.base", "http", "money"},
    "providers.listing": {"providers.base", "providers.answers"},
    "providers.price_lists": {"providers.base", "providers.answers"},
    "providers.fivesim": {"providers.base", "providers.answers", "providers.listing", "http"},
    "providers.sms_activate_answers": {"providers.base", "providers.answers", "http"},
    "providers.sms_activate": {
        "providers.base",
        "providers.answers",
        "providers.listing",
        "providers.price_lists",
        "providers.sms_activate_answers",
        "http",
    },
    # whoever reads
    "auth.models": {"db"},
    "language": {"auth.models"},
    "filters": {"language", "money", "numbers.directory"},
    "mail": {"auth.models", "filters", "jobs", "language"},
    "live": {"auth.models", "db", "extensions", "metrics"},
    "serving": {"draining", "live"},
    # the product, lowest first
    "auth": {"auth.models", "db", "errors", "extensions", "jobs", "language", "limits", "live", "mail"},
    "wallet.paystack": {"http"},
    "wallet.paystack_refunds": {"wallet.paystack"},
    "wallet.paystack_disputes": {"http", "wallet.paystack"},
    "wallet.paystack_cards": {"wallet.paystack"},
    "wallet": {
        "wallet.currencies", "wallet.fees", "wallet.paystack", "wallet.paystack_cards", "wallet.paystack_disputes",
        "wallet.paystack_refunds", "auth", "auth.models", "claims", "db", "errors", "filters", "jobs", "language",
        "limits", "live", "mail", "money", "papers", "replica", "spreadsheets",
    },
    "numbers.registry": {"db", "providers.base", "providers.fivesim", "providers.sms_activate"},
    "numbers": {
        "numbers.registry", "numbers.directory", "providers.base", "wallet", "auth", "auth.models", "claims", "db",
        "errors", "extensions", "jobs", "limits", "live", "money",
    },
    "legacy.models": {"db"},
    # what stands on all of it
    "health": {"auth", "extensions"},
    "reconciliation": {
        "db", "errors", "jobs", "numbers", "numbers.registry", "providers.base", "wallet", "wallet.paystack",
    },
    "watch": {
        "auth", "db", "draining", "extensions", "http", "metrics", "numbers", "numbers.registry", "postgres",
        "reconciliation", "release", "replica", "wallet",
    },
    "account": {
        "auth", "auth.models", "db", "errors", "jobs", "language", "legacy.models", "limits", "live", "mail", "money",
        "numbers", "papers", "replica", "spreadsheets", "wallet",
    },
    "legacy": {
        "legacy.models", "auth", "auth.models", "db", "live", "mail", "money", "numbers", "numbers.directory",
        "spreadsheets", "wallet",
    },
    "housekeeping": {"account", "auth", "db", "jobs", "numbers", "wallet", "watch"},
    "backups": {"account", "auth", "auth.models", "db", "extensions", "mail", "numbers", "reconciliation"},
    "pages": {"auth", "language", "limits", "numbers", "numbers.directory"},
    "api": set(),
    "api.paystack": {"auth", "extensions", "wallet", "wallet.paystack"},
    "api.providers": {"auth", "extensions", "numbers", "providers.answers", "providers.sms_activate_answers"},
    "admin": {
        "auth", "auth.models", "backups", "db", "errors", "housekeeping", "money", "numbers", "papers",
        "reconciliation", "wallet", "wallet.paystack", "watch",
    },
    "worker": {
        "account", "auth", "backups", "crashes", "db", "housekeeping", "jobs", "mail", "numbers", "postgres",
        "reconciliation", "tracing", "wallet", "watch",
    },
    "commands": {
        "account", "auth", "auth.models", "backups", "db", "doctor", "housekeeping", "legacy", "logs",
        "numbers", "numbers.registry", "reconciliation", "versions", "wallet", "worker",
    },
    "doctor": {
        "backups", "config", "http", "numbers.registry", "postgres", "production", "providers.base", "redaction",
        "versions", "watch",
    },
    # a program of its own
    "sandbox": set(),
}  # fmt: skip

# What a kind of file may not use, whatever its room may. Names as imported; "x.y" forbids y of x too.
FORBIDDEN: dict[str, tuple[str, ...]] = {
    "*/views.py": ("namaskah.db.transaction", "namaskah.http", "namaskah.numbers.registry"),
    "*/*_views.py": ("namaskah.db.transaction", "namaskah.http", "namaskah.numbers.registry"),
    "*/forms.py": ("namaskah.db", "namaskah.http", "namaskah.numbers.registry"),
    "api/*": ("namaskah.db", "namaskah.http", "namaskah.numbers.registry"),
    "admin/*": ("namaskah.db.transaction", "namaskah.http", "namaskah.numbers.registry"),
    "pages/*": ("namaskah.db", "namaskah.http", "namaskah.numbers.registry"),
    "account/*": ("namaskah.http", "namaskah.numbers.registry"),
    "*/models.py": ("flask", "namaskah.db.db", "namaskah.db.transaction", "requests", "urllib3", "redis", "psycopg2"),
    "*/checks.py": ("flask", "namaskah.db"),
    "providers/*": ("flask", "flask_babel", "sqlalchemy", "urllib3", "namaskah.db"),
    "wallet/paystack*.py": ("flask", "flask_babel", "sqlalchemy", "urllib3", "namaskah.db"),
}

# Libraries that reach out of the process → the files that may.
OUTBOUND = {
    "urllib3": {"http.py", "backups/s3_store.py", "sandbox/webhooks.py"},
    "minio": {"backups/s3_store.py"},
    "requests": set(),
    "httpx": set(),
    "urllib.request": set(),
    "http.client": {"http.py"},
    "socket": {"doctor/site.py", "http.py", "sandbox/faults.py", "sandbox/mailbox.py"},
    "smtplib": {"doctor/mail.py", "mail.py"},
    "subprocess": {"backups/programs.py"},
    "psycopg2": {"serving.py"},
    "redis": {
        "doctor/redis.py",
        "extensions.py",
        "limits.py",
        "live/publishing.py",
        "live/subscription.py",
        "numbers/catalogue.py",
        "numbers/pacing.py",
        "versions.py",
        "watch/probing.py",
    },
    "procrastinate": {"jobs.py", "worker.py"},
}


@dataclass(frozen=True)
class Import:
    """`name` is the dotted module, `what` the dotted thing taken from it (a module too, perhaps)."""

    name: str
    what: str
    line: int
    in_function: bool


def modules(package: Path) -> Iterator[tuple[Path, str, ast.Module]]:
    """File, dotted name below `package`, syntax tree."""
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        yield file, ".".join(part for part in parts if part != "__init__"), ast.parse(file.read_text())


def imports_of(package: Path, file: Path, tree: ast.Module) -> list[Import]:
    """Every import of one module, relative ones made absolute."""
    inside = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.walk(node)
    }
    here = (package.name, *file.relative_to(package).parent.parts)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [Import(name.name, name.name, node.lineno, id(node) in inside) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(here[: len(here) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module or "")))
            found += [Import(module, f"{module}.{name.name}", node.lineno, id(node) in inside) for name in node.names]
    return found


def room_of(dotted: str) -> str:
    """The room a module below the package belongs to; "?" for one that the table does not know."""
    parts = dotted.split(".") if dotted else []
    for length in range(len(parts), 0, -1):
        if (name := ".".join(parts[:length])) in ROOMS:
            return name
    return "?" if parts else ""


def target_of(package: Path, imported: Import) -> str | None:
    """The module of ours that an import reaches, dotted below the package; None for libraries."""
    root = package.name
    if imported.name != root and not imported.name.startswith(f"{root}."):
        return None
    below = imported.what.removeprefix(root).removeprefix(".")
    path = package.joinpath(*below.split(".")) if below else package
    if path.is_dir() or path.with_suffix(".py").is_file():
        return below
    return imported.name.removeprefix(root).removeprefix(".")


def direction_faults(package: Path) -> list[str]:
    """Imports that the table does not allow."""
    found = []
    for file, dotted, tree in modules(package):
        room = room_of(dotted)
        if room == "?":
            found.append(f"{dotted} has no row in the table")
            continue
        for imported in imports_of(package, file, tree):
            target = target_of(package, imported)
            if target is None or ROOMS[room] == ANYTHING:
                continue
            other = room_of(target)
            if other != room and other not in ROOMS[room]:
                found.append(f"{dotted}:{imported.line} imports {target or 'the application itself'}")
    return found


def forbidden_faults(package: Path) -> list[str]:
    """Kinds of files that use what their kind may not; libraries in the wrong place; imports inside functions."""
    found = []
    for file, dotted, tree in modules(package):
        path = file.relative_to(package)
        banned = {name for kind, names in FORBIDDEN.items() if path.match(kind) for name in names}
        if path.parts[0] == "sandbox":
            banned = set()
        for imported in imports_of(package, file, tree):
            place = f"{path}:{imported.line}"
            if any(_reaches(imported.what, name) for name in banned):
                found.append(f"{place} may not use {imported.what}")
            if any(_reaches(imported.what, name) and str(path) not in files for name, files in OUTBOUND.items()):
                found.append(f"{place} may not reach out with {imported.what}")
            if imported.in_function and dotted:
                found.append(f"{place} imports inside a function")
    return found


def _reaches(what: str, name: str) -> bool:
    return what == name or what.startswith(f"{name}.")


def commit_faults(package: Path) -> list[str]:
    """Calls of commit() or flush-and-forget sessions outside namaskah/db.py; the sandbox has its own books."""
    return [
        f"{file.relative_to(package)}:{node.lineno} commits"
        for file, dotted, tree in modules(package)
        if dotted != "db" and not dotted.startswith("sandbox")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"commit", "begin", "begin_nested", "autocommit"}
    ]


def test_lower_rooms_do_not_know_higher_ones() -> None:
    assert direction_faults(ROOT / "namaskah") == []


def test_each_kind_of_file_uses_only_what_its_kind_may() -> None:
    assert forbidden_faults(ROOT / "namaskah") == []


def test_only_transaction_commits() -> None:
    assert commit_faults(ROOT / "namaskah") == []


def test_what_serves_customers_knows_nothing_of_tests_and_tools() -> None:
    outside = [
        f"{dotted}:{imported.line}"
        for file, dotted, tree in modules(ROOT / "namaskah")
        for imported in imports_of(ROOT / "namaskah", file, tree)
        if imported.name.split(".")[0] in {"tests", "dev", "bench", "wsgi", "pytest"}
    ]
    assert outside == []


def planted(folder: Path, **files: str) -> Path:
    """A tiny package: keys are paths with __ for a slash."""
    package = folder / "namaskah"
    for name, source in files.items():
        file = package / (name.replace("__", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    return package


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("auth__accounts", "from namaskah.wallet import ledger"),
        ("wallet__ledger", "from namaskah.numbers.models import Activation"),
        ("numbers__buy", "from namaskah.providers.fivesim import FiveSim"),
        ("providers__fivesim", "from .sms_activate import SmsActivate"),
        ("sandbox__app", "from namaskah.money import MICROS"),
        ("worker", "from namaskah.sandbox import Sandbox"),
        ("jobs", "import namaskah"),
        ("utils", ""),
    ],
)
def test_a_wrong_direction_is_seen(tmp_path: Path, module: str, source: str) -> None:
    others = dict.fromkeys(
        ("wallet__ledger", "numbers__models", "providers__fivesim", "providers__sms_activate", "money"), ""
    )
    package = planted(tmp_path, **others | {"sandbox____init__": "", module: source})
    assert len(direction_faults(package)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("numbers__views", "from namaskah.db import transaction"),
        ("numbers__activation_views", "from namaskah.numbers import registry"),
        ("api__paystack", "from namaskah import http"),
        ("account__forms", "from namaskah.db import db"),
        ("wallet__models", "from flask import request"),
        ("providers__new", "from sqlalchemy import select"),
        ("wallet__paystack", "import flask"),
        ("wallet__topups", "import urllib3"),
        ("numbers__routing", "def x():\n    import json"),
    ],
)
def test_a_forbidden_use_is_seen(tmp_path: Path, module: str, source: str) -> None:
    assert len(forbidden_faults(planted(tmp_path, **{module: source}))) == 1


def test_a_commit_elsewhere_is_seen(tmp_path: Path) -> None:
    package = planted(tmp_path, db="db.session.commit()", wallet__ledger="db.session.commit()")
    assert commit_faults(package) == ["wallet/ledger.py:1 commits"]
