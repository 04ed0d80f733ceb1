"""What the doctor says of a replica, and of limits that are not in force."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy.engine import make_url

from dev.process import free_port
from namaskah import config
from namaskah.doctor import BAD, OK, WARNING, replica
from tests import support
from tests.replica.standby import Standby


@pytest.fixture
def values(reader: Flask, settings: dict[str, str], standby: Standby) -> dict[str, Any]:
    database = str(make_url(settings["DATABASE_URL"]).database)
    return config.load(settings | {"DATABASE_REPLICA_URL": standby.url(database)})


def levels(values: dict[str, Any]) -> dict[str, str]:
    found = replica.look(values)
    assert all(each.level == OK or len(each.mend) > 10 for each in found)
    return {each.check: each.level for each in found}


def test_one_that_follows_and_one_that_does_not(values: dict[str, Any], standby: Standby) -> None:
    assert levels(values) == {"replica": OK, "replica readings": WARNING}
    standby.ask("ALTER SYSTEM SET hot_standby_feedback = on")
    standby.ask("SELECT pg_reload_conf()")
    support.wait_until(lambda: levels(values) == {"replica": OK, "replica readings": OK})
    standby.pause()
    support._admin(values["DATABASE_URL"], "CREATE TABLE beyond ()", "DROP TABLE beyond")
    assert levels(values | {"DATABASE_REPLICA_LAG_SECONDS": 0})["replica"] == WARNING
    standby.go_on()
    standby.ask("ALTER SYSTEM RESET hot_standby_feedback")


def test_none_one_away_and_what_is_none(values: dict[str, Any], standby: Standby) -> None:
    def of(url: str) -> dict[str, str]:
        return levels(values | {"DATABASE_REPLICA_URL": url})

    assert of("") == {}
    nowhere = make_url(values["DATABASE_REPLICA_URL"]).set(port=free_port())
    assert of(nowhere.render_as_string(hide_password=False)) == {"replica": WARNING}
    assert of(values["DATABASE_URL"]) == {"replica": BAD}
    assert of(config.database_url(standby.url("postgres"))) == {"replica": BAD}
