"""How the findings are shown."""

import json
import os
import sys

import click

from namaskah.doctor.examining import examine
from namaskah.doctor.findings import BAD, OK, WARNING, Finding

MARKS = {OK: "ok     ", WARNING: "warning", BAD: "bad    "}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
@click.option("--quiet", is_flag=True, help="Without what is well.")
def doctor(as_json: bool, quiet: bool) -> None:
    """Look at settings, database, Redis, mail, Paystack, providers, clock, proxy and host, and say how to mend what is
    not well. Changes nothing. Exit code 1 when anything is bad."""
    found = examine(os.environ)
    counts = {level: sum(each.level == level for each in found) for level in MARKS}
    if as_json:
        worst = BAD if counts[BAD] else WARNING if counts[WARNING] else OK
        click.echo(json.dumps({"level": worst, "counts": counts, "findings": [each.as_dict() for each in found]}))
    else:
        for each in found:
            if each.level != OK or not quiet:
                click.echo(_line(each))
        click.echo(f"{counts[BAD]} bad, {counts[WARNING]} warnings, {counts[OK]} ok")
    sys.exit(1 if counts[BAD] else 0)


def _line(each: Finding) -> str:
    line = f"{MARKS[each.level]}  {each.check}: {each.says}"
    return f"{line}\n           → {each.mend}" if each.mend else line
