"""Every alarm leads to a page that says what it means and what to do."""

import re
from pathlib import Path
from typing import Any

import yaml

from namaskah.worker import SCHEDULE

ROOT = Path(__file__).parents[2]
RUNBOOKS = "docs/operations.md"


def alarms() -> dict[str, dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "ops/alerts.yml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def runbooks() -> dict[str, str]:
    """Anchor, as it is made of a heading, → what stands below the heading."""
    parts = re.split(r"^### (.+)$", (ROOT / RUNBOOKS).read_text().partition("\n## Runbooks\n")[2], flags=re.MULTILINE)
    anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in parts[1::2]]
    assert len(anchors) == len(set(anchors))
    return dict(zip(anchors, parts[2::2], strict=True))


def test_every_alarm_has_its_runbook() -> None:
    known = runbooks()
    for name, rule in alarms().items():
        path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert path == RUNBOOKS
        assert f"`{name}`" in known[anchor], f"{anchor} does not name {name}"
        assert "What to do: " in known[anchor]


def test_every_runbook_has_its_alarm() -> None:
    named = {name for text in runbooks().values() for name in re.findall(r"`(\w+)`", text.partition(". ")[0])}
    assert named == set(alarms())


def test_no_verb_that_rests_between_two_turns_wakes_anybody() -> None:
    """VerbStandsStill: each verb is under one clause, and its own pause is well below that one's patience."""
    expression = alarms()["VerbStandsStill"]["expr"]
    clauses = re.findall(r'namaskah_verb_lag_seconds\{verb(=|!=)"(\w+)"\}\) > (\d+)', expression)
    assert len(clauses) == expression.count("namaskah_verb_lag_seconds")
    for every in SCHEDULE:
        patience = [int(seconds) for how, verb, seconds in clauses if (every.name == verb) == (how == "=")]
        assert len(patience) == 1, every.name
        assert every.seconds * 1.5 < patience[0], every.name


def test_what_a_runbook_sends_one_to_is_there(app: Any) -> None:
    """Commands, pages and verbs are ours."""
    text = "".join(runbooks().values())
    rules = {rule.rule for rule in app.url_map.iter_rules()}
    for page in set(re.findall(r"`(/[a-z/-]+)`", text)):
        assert page in rules, page
    for command in set(re.findall(r"`flask ((?:[a-z][a-z-]*\b ?)+)", text)):
        assert app.test_cli_runner().invoke(args=[*command.split(), "--help"]).exit_code == 0, command
