"""/metrics: who may read it, what it tells, and that dashboard and alarms ask for nothing that is not there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from dev.process import free_port
from namaskah import metrics
from namaskah.auth.models import User
from namaskah.db import db, transaction
from namaskah.reconciliation import books
from namaskah.watch import exposition, figures, heartbeats, measuring, probing, totals
from tests.numbers import shop
from tests.watch.conftest import Page

OPS = Path(__file__).parents[2] / "ops"
TOKEN = "a-token-of-this-test-alone"


@pytest.fixture
def scraped(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What Prometheus reads now: name and labels → value."""
    monkeypatch.setitem(app.config, "METRICS_TOKEN", TOKEN)

    def read() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        answer = app.test_client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
        assert answer.status_code == 200
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    return read


def value(found: Any, name: str, **labels: str) -> float:
    return float(found[name, frozenset(labels.items())])


@pytest.mark.parametrize(
    ("headers", "address", "token", "networks", "status"),
    [
        ({}, "127.0.0.1", "", (), 404),
        ({"Authorization": "Bearer "}, "127.0.0.1", "", (), 404),
        ({}, "127.0.0.1", TOKEN, (), 404),
        ({"Authorization": "Bearer wrong"}, "127.0.0.1", TOKEN, (), 404),
        ({"Authorization": TOKEN}, "127.0.0.1", TOKEN, (), 404),
        ({"Authorization": f"Bearer {TOKEN}"}, "203.0.113.9", TOKEN, (), 200),
        ({}, "10.1.2.3", "", ("10.0.0.0/8",), 200),
        ({}, "::1", "", ("10.0.0.0/8", "::1/128"), 200),
        ({}, "11.1.2.3", "", ("10.0.0.0/8",), 404),
        ({"X-Forwarded-For": "10.1.2.3"}, "11.1.2.3", "", ("10.0.0.0/8",), 404),
    ],
)
def test_who_may_read_it(
    app: Flask,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    address: str,
    token: str,
    networks: tuple[str, ...],
    status: int,
) -> None:
    monkeypatch.setitem(app.config, "METRICS_TOKEN", token)
    monkeypatch.setitem(app.config, "METRICS_FROM", networks)
    answer = app.test_client().get("/metrics", headers=headers, environ_overrides={"REMOTE_ADDR": address})
    assert answer.status_code == status
    assert (b"namaskah" in answer.data) == (status == 200)


def test_it_tells_what_is_and_what_was(app: Flask, alice: User, page: Page, scraped: Any) -> None:
    totals.advance()
    activation = shop.buy(alice)
    with transaction():
        db.session.execute(text("SET LOCAL session_replication_role = replica"))
        db.session.execute(text("UPDATE ledger_transactions SET created_at = created_at - interval '2 minutes'"))
        db.session.execute(
            text(
                "UPDATE providers SET paused_until = now() + interval '1 hour', balance_micros = 12500000"
                " WHERE name = 'herosms'"
            )
        )
        db.session.execute(
            text("INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('default', 'send_mail')")
        )
    books.check()
    heartbeats.turned("poll_due", 0.2, failed=True)
    heartbeats.worked("send_mail", failed=True)
    heartbeats.beat()
    measuring.measure_due()
    app.test_client().get("/pricing").close()
    found = scraped()
    assert value(found, "namaskah_activations_open", state=activation.state) == 1
    assert value(found, "namaskah_activations_opened_total") == 1
    assert value(found, "namaskah_money_minor_total", kind="hold", currency="NGN") == activation.price_minor
    assert value(found, "namaskah_provider_resting", provider="herosms") == 1
    assert value(found, "namaskah_provider_resting", provider="fivesim") == 0
    assert value(found, "namaskah_provider_balance", provider="herosms", currency="USD") == 12.5
    assert value(found, "namaskah_jobs", task="send_mail", status="todo") == 1
    assert value(found, "namaskah_workers") == 1
    assert value(found, "namaskah_books_faults") == 0
    assert value(found, "namaskah_books_check_age_seconds") < 60
    assert value(found, "namaskah_part_state", part="pages") == 1
    assert value(found, "namaskah_database_up") == value(found, "namaskah_redis_up") == 1
    assert value(found, "namaskah_migrated") == 1
    name = heartbeats._Process.name
    assert value(found, "namaskah_verb_turns_total", worker=name, verb="poll_due", outcome="failed") == 1
    assert value(found, "namaskah_worker_jobs_total", worker=name, task="send_mail", outcome="failed") == 1
    assert value(found, "namaskah_http_requests_total", method="GET", route="/pricing", status="200") >= 1
    assert value(found, "namaskah_http_request_seconds_count", method="GET", route="/pricing") >= 1


def test_times_are_sorted_as_prometheus_wants_them(app: Flask, scraped: Any) -> None:
    row = [12.5, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    with transaction():
        db.session.execute(
            text("INSERT INTO running_totals VALUES (1, 0, 0, :totals)"),
            {"totals": json.dumps({"code_seconds": {"fivesim": row}})},
        )
    found = scraped()
    buckets = {le: value(found, "namaskah_time_to_code_seconds_bucket", provider="fivesim", le=le)
               for le in ("5.0", "10.0", "20.0", "1200.0", "+Inf")}  # fmt: skip
    assert buckets == {"5.0": 1, "10.0": 1, "20.0": 3, "1200.0": 3, "+Inf": 4}
    assert value(found, "namaskah_time_to_code_seconds_sum", provider="fivesim") == 12.5
    assert value(found, "namaskah_time_to_code_seconds_count", provider="fivesim") == 4


def test_without_a_database_it_says_so_and_tells_the_rest(
    app: Flask, scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql+psycopg2://nobody@127.0.0.1:{free_port()}/nothing"
    monkeypatch.setitem(app.config, "SQLALCHEMY_DATABASE_URI", url)
    probing.forget()
    found = scraped()
    assert value(found, "namaskah_database_up") == 0
    assert any(name == "namaskah_http_requests_total" for name, _labels in found)
    assert not any(name == "namaskah_workers" for name, _labels in found)


def test_one_figure_that_fails_takes_no_other_with_it(
    app: Flask, scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow() -> Any:
        return db.session.execute(text("SELECT pg_sleep(5)"))

    monkeypatch.setattr(exposition, "STATEMENT_MILLISECONDS", 50)
    gauges = (("namaskah_broken", "x", (), slow), *exposition.GAUGES)
    monkeypatch.setattr(exposition, "GAUGES", gauges)
    found = scraped()
    assert value(found, "namaskah_workers") == 0
    assert ("namaskah_broken", frozenset()) not in found


def test_other_rooms_tell_when_they_last_succeeded(app: Flask, scraped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "ages", {"backup": lambda: 7200.0})
    found = scraped()
    assert 7200 <= value(found, "namaskah_last_success_age_seconds", of="backup") < 7260
    assert value(found, "namaskah_last_success_age_seconds", of="restore_drill") == float("inf")


# ── The dashboard and the alarms ─────────────────────────────────────────────────────────────────────────────────────


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OPS / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def queries() -> Iterator[str]:
    for panel in json.loads((OPS / "grafana.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for rule in rules():
        yield rule["expr"]


def families() -> dict[str, set[str]]:
    """Every name that /metrics may have, as Prometheus stores it, with its labels."""
    found: dict[str, set[str]] = {}
    own = (metrics.REQUESTS, metrics.REQUEST_SECONDS, metrics.OPEN_SOCKETS, metrics.CRASHES, metrics.REPLICA_READS)
    for collector in own:
        [family] = collector.describe()
        names = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}[family.type]
        found |= {family.name + end: {*collector._labelnames, "le"} for end in names}
    found |= {name: set(labels) for name, _what, labels, _read in exposition.GAUGES}
    found |= {f"{name}_total": set(labels) for name, _what, labels, _read in exposition.COUNTERS}
    found |= {f"{name}_total": set(labels) for _key, name, _what, labels in exposition.COUNTED}
    for _key, name, _what, labels in exposition.SORTED:
        found |= {name + end: {*labels, "le"} for end in ("_bucket", "_sum", "_count")}
    up = ("namaskah_database_up", "namaskah_redis_up", "namaskah_migrated")
    up += ("namaskah_replica_up", "namaskah_replica_lag_seconds")
    return found | {name: set() for name in up} | {"namaskah_build": {"version", "commit"}}


def test_dashboard_and_alarms_ask_for_what_there_is() -> None:
    known = families()
    asked = 0
    for query in queries():
        for name, labels in re.findall(r"(?<![\w:])(namaskah_\w+)(\{[^}]*\})?", query):
            assert name in known, (name, query)
            assert set(re.findall(r"(\w+)=", labels)) <= known[name], (name, labels)
            asked += 1
        for bound in re.findall(r'le="([\d.]+)"', query):
            assert _has_bound(query, float(bound)), query
    assert asked > 80


def _has_bound(query: str, bound: float) -> bool:
    if "http_request_seconds" in query:
        return bound in metrics.SECONDS
    return any(
        name.split("_seconds")[0] in query and bound in totals.BOUNDS[key] for key, name, *_ in exposition.SORTED
    )


def test_every_family_is_described_as_it_comes(app: Flask, scraped: Any) -> None:
    """What families() says of the labels is what comes out."""
    known = families()
    for name, labels in scraped():
        if name.startswith("namaskah_") and not name.endswith("_created"):
            assert name in known
            assert {label for label, _value in labels} <= known[name]


def test_everything_we_tell_is_looked_at() -> None:
    text = " ".join(queries())
    assert [name for name in families() if name.rsplit("_sum", 1)[0] not in text and name not in text
            and not name.endswith(("_sum", "_count", "_bucket"))] == []  # fmt: skip


def test_rules_are_ones() -> None:
    found = rules()
    recorded = {rule["record"] for rule in found if "record" in rule}
    for rule in found:
        assert set(rule) <= {"record", "alert", "expr", "for", "labels", "annotations"}
        assert ("record" in rule) != ("alert" in rule)
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert set(re.findall(r"namaskah:[\w:]+", rule["expr"])) <= recorded
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert len(rule["annotations"]["summary"]) > 10
        assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))


def test_each_service_level_has_both_burn_rates() -> None:
    levels = {"PagesFail": 0.001, "PagesSlow": 0.05, "CreditsLate": 0.005, "MessagesLate": 0.05,
              "RefundsLate": 0.001, "PurchasesFail": 0.01}  # fmt: skip
    by_name = {rule.get("alert", ""): rule for rule in rules()}
    for name, budget in levels.items():
        fast, slow = by_name[f"{name}Fast"], by_name[f"{name}Slowly"]
        assert (fast["labels"]["severity"], slow["labels"]["severity"]) == ("page", "ticket")
        assert fast["expr"].count(f"> 14.4 * {budget}") == slow["expr"].count(f"> 6 * {budget}") == 2
        assert {"1h", "5m"} == set(re.findall(r"(?<=\[|e)(5m|30m|1h|6h)\b", fast["expr"]))
        assert {"6h", "30m"} == set(re.findall(r"(?<=\[|e)(5m|30m|1h|6h)\b", slow["expr"]))
