"""Every setting is in .env.example with its default and its reason, and something reads it."""

import re
from pathlib import Path

from dev.settings import PORTS
from namaskah.config import REQUIRED, SETTINGS, Setting

ROOT = Path(__file__).parents[2]
# Sections of the example that config.py does not own.
ELSEWHERE = {*PORTS, "VERBOSE", "CHROMIUM"}
# Flask and its extensions read these out of the configuration by themselves.
READ_BY_FLASK = {"SECRET_KEY", "MAIL_SERVER", "MAIL_PORT", "MAIL_USERNAME", "MAIL_PASSWORD", "MAIL_USE_TLS"}


def shown(setting: Setting) -> str:
    """A default as one would write it into the environment."""
    if setting.default is REQUIRED or setting.default in ("", {}, ()):
        return ""
    if isinstance(setting.default, bool):
        return "yes" if setting.default else "no"
    if isinstance(setting.default, dict):
        return ",".join(f"{key}={value}" for key, value in setting.default.items())
    return str(setting.default)


def example_faults(example: str, settings: tuple[Setting, ...], elsewhere: set[str]) -> list[str]:
    """What .env.example says differently from config.py, either way."""
    written = dict(re.findall(r"^# (.*)\n#[A-Z][A-Z_0-9]*=.*$", example, re.MULTILINE) and _pairs(example))
    known = {setting.name for setting in settings}
    found = [f"{name} is no setting" for name in written if name not in known | elsewhere]
    for setting in settings:
        if setting.name not in written:
            found.append(f"{setting.name} is not explained")
        elif written[setting.name] != (setting.why, shown(setting)):
            found.append(f"{setting.name} is explained as {written[setting.name]}")
    return found


def _pairs(example: str) -> dict[str, tuple[str, str]]:
    rows = re.findall(r"^# (.+)\n#?([A-Z][A-Z_0-9]*)=(.*)$", example, re.MULTILINE)
    return {name: (why, default) for why, name, default in rows}


def unread(settings: tuple[Setting, ...], sources: str) -> list[str]:
    """Settings that nothing asks for: `config["NAME"]`, or gunicorn's `_setting("NAME"`."""
    return [
        setting.name
        for setting in settings
        if setting.name not in READ_BY_FLASK
        and not re.search(rf"(?:config|values)(?:\[|\.get\()\"{setting.name}\"|_setting\('{setting.name}'"
                          rf"|_setting\(\"{setting.name}\"", sources)
    ]  # fmt: skip


def without_reason(settings: tuple[Setting, ...]) -> list[str]:
    return [setting.name for setting in settings if len(setting.why) < 8]


def sources() -> str:
    files = [*(ROOT / "namaskah").rglob("*.py"), *(ROOT / "namaskah").rglob("*.html"), ROOT / "gunicorn.conf.py"]
    return "\n".join(file.read_text() for file in files if "sandbox" not in file.parts)


def test_the_example_explains_every_setting_and_nothing_else() -> None:
    assert example_faults((ROOT / ".env.example").read_text(), SETTINGS, ELSEWHERE) == []
    assert without_reason(SETTINGS) == []


def test_every_setting_is_read_somewhere() -> None:
    assert unread(SETTINGS, sources()) == []


def test_gunicorn_has_the_same_defaults() -> None:
    defaults = {setting.name: str(setting.default) for setting in SETTINGS}
    used = re.findall(r"_setting\(['\"](\w+)['\"], ['\"](\w[\w.]*)['\"]\)", (ROOT / "gunicorn.conf.py").read_text())
    assert len(used) >= 4
    assert [(name, value) for name, value in used if defaults[name] != value] == []


def test_a_setting_nobody_explains_or_reads_is_seen() -> None:
    planted = (Setting("COLOUR", str, "red", "what the walls are painted in"), Setting("SIZE", int, 3, "big"))
    example = "# what the walls are painted in\n#COLOUR=blue\n# a relic of times gone by\n#GONE=1\n"
    assert example_faults(example, planted, set()) == [
        "GONE is no setting",
        "COLOUR is explained as ('what the walls are painted in', 'blue')",
        "SIZE is not explained",
    ]
    assert unread(planted, 'x = app.config["COLOUR"]') == ["SIZE"]
    assert without_reason(planted) == ["SIZE"]
