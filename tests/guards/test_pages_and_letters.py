"""What every page and every letter has, and what no template does with data."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "namaskah/templates"
STATIC = ROOT / "namaskah/static"
# A string written in the template, perhaps on a condition.
LITERAL = r"\s*(?:'[^']*'|\"[^\"]*\")\s*\|\s*safe(?:\s+if\s[^|]*)?"


def named(folder: Path, pattern: str) -> dict[str, str]:
    """Templates by their path, with their source."""
    return {str(file.relative_to(folder)): file.read_text() for file in sorted(folder.rglob(pattern))}


def unescaped(templates: dict[str, str]) -> list[str]:
    """Where something but a literal of the template itself goes out unescaped."""
    found = []
    for name, source in templates.items():
        expressions = re.findall(r"{{(.*?)}}|{%-?\s*(?:set|filter|call)\b(.*?)%}", source, re.DOTALL)
        for code in map("".join, expressions):
            if re.search(r"\|\s*safe\b|\bMarkup\b", code) and not re.fullmatch(LITERAL, code):
                found.append(f"{name}: {code.strip()}")
        if re.search(r"{%-?\s*autoescape\s+false", source):
            found.append(f"{name}: escaping is switched off")
    return found


def untitled(templates: dict[str, str]) -> list[str]:
    """Pages without a title of their own: whatever extends something, is no frame itself and no letter."""
    return [
        name
        for name, source in templates.items()
        if re.search(r"{%-?\s*extends\b", source)
        and not Path(name).name.startswith("_")
        and not name.startswith("emails/")
        and not re.search(r"{%-?\s*block title\b", source)
    ]


def letter_faults(folder: Path) -> list[str]:
    """Letters that lack a part, or whose subject is not one line of something."""
    found = []
    for letter in sorted(path for path in folder.iterdir() if path.is_dir()):
        parts = {file.name for file in letter.iterdir()}
        if parts != {"subject.txt", "body.txt", "body.html"}:
            found.append(f"{letter.name} consists of {sorted(parts)}")
            continue
        subject = [line for line in (letter / "subject.txt").read_text().splitlines() if line.strip()]
        if len(subject) != 1 or not re.search(r"_\(|{% trans", subject[0]):
            found.append(f"{letter.name}'s subject is not one translated line")
    return found


def test_no_data_goes_out_unescaped() -> None:
    assert unescaped(named(TEMPLATES, "*.html")) == []


def test_every_page_has_a_title() -> None:
    assert untitled(named(TEMPLATES, "*.html")) == []


def test_every_letter_is_whole_and_its_subject_one_line() -> None:
    assert letter_faults(TEMPLATES / "emails") == []


def test_the_style_sheet_is_what_its_sources_make(tmp_path: Path) -> None:
    assert is_fresh(STATIC / "app.css", tmp_path) is True


def test_a_stale_style_sheet_is_seen(tmp_path: Path) -> None:
    stale = tmp_path / "app.css"
    stale.write_bytes((STATIC / "app.css").read_bytes() + b".forgotten{color:red}")
    assert is_fresh(stale, tmp_path) is False


def is_fresh(compiled: Path, folder: Path) -> bool:
    """Whether `npm run css` would give this file. Running needs no Node, so without it this cannot be told."""
    if shutil.which("npx") is None or not (ROOT / "node_modules").is_dir():
        pytest.skip("there is no Node here, or its packages are not installed")
    made = folder / "made.css"
    command = ["npx", "--no-install", "tailwindcss", "-i", "assets/app.css", "-o", str(made), "--minify"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return made.read_bytes() == compiled.read_bytes()


def test_planted_faults_of_templates_are_seen(tmp_path: Path) -> None:
    planted = {
        "a.html": "{{ message | safe }}",
        "b.html": "{% autoescape false %}{{ x }}{% endautoescape %}",
        "c.html": "{{ ' aria-current=\"page\"' | safe if current }}",
        "d.html": '{% extends "base.html" %}{% block main %}{% endblock %}',
        "e.html": '{% extends "base.html" %}{% block title %}x{% endblock %}',
    }
    assert unescaped(planted) == ["a.html: message | safe", "b.html: escaping is switched off"]
    assert untitled(planted) == ["d.html"]


def test_planted_faults_of_letters_are_seen(tmp_path: Path) -> None:
    for letter, subject in (("bare", "Hello"), ("long", '{{ _("a") }}\n{{ _("b") }}\n'), ("good", '{{ _("Fine") }}\n')):
        (tmp_path / letter).mkdir()
        for part, content in (("subject.txt", subject), ("body.txt", "x"), ("body.html", "x")):
            (tmp_path / letter / part).write_text(content)
    (tmp_path / "half").mkdir()
    assert [fault.split(" ")[0] for fault in letter_faults(tmp_path)] == ["bare's", "half", "long's"]
