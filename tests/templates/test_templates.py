"""What holds for every template, whoever renders it."""

import re
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader, nodes
from jinja2.ext import babel_extract

TEMPLATES = Path(__file__).parents[2] / "namaskah" / "templates"
STATIC = TEMPLATES.parent / "static"
ALL = sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.*"))
# Mail programs know no policy for content and drop style sheets.
PAGES = [name for name in ALL if name.endswith(".html") and not name.startswith("emails/")]

FORBIDDEN = {
    "an inline style": r"<style|\sstyle=",
    "an inline script": r"<script(?![^>]*\ssrc=)|javascript:",
    "an event attribute": r"\son[a-z]+=",
    "an expression that htmx would evaluate": r"hx-on|hx-vals=.js:|hx-trigger=\"[^\"]*\[",
    "a data: address": r"=\"data:",
    "a left or a right": r"[\s\"](?:(?:ml|mr|pl|pr|left|right|border-l|border-r)-[\d\[]|text-left|text-right)",
}
# What people type is never put where htmx reads an address or an order.
USER_TEXT = r"\bhx-[a-z:-]+=\"[^\"]*\{\{[^}]*\b(?:q|email|message|text|phone)\b(?!\w*\()[^}]*\}\}"


@pytest.fixture(scope="module")
def environment() -> Environment:
    made = Environment(loader=FileSystemLoader(TEMPLATES), extensions=["jinja2.ext.i18n"], autoescape=True)
    for name in set(re.findall(r"\|\s*([a-z_]+)", "".join(source(page) for page in ALL))) - set(made.filters):
        made.filters[name] = str
    return made


def source(name: str) -> str:
    return (TEMPLATES / name).read_text()


@pytest.mark.parametrize("name", ALL)
def test_every_template_compiles(name: str, environment: Environment) -> None:
    environment.get_template(name)


@pytest.mark.parametrize("name", PAGES)
def test_no_template_needs_more_than_the_content_policy_allows(name: str) -> None:
    found = [what for what, pattern in FORBIDDEN.items() if re.search(pattern, source(name))]
    assert found == []


@pytest.mark.parametrize("name", PAGES)
def test_no_user_text_reaches_htmx(name: str) -> None:
    assert re.findall(USER_TEXT, source(name)) == []


@pytest.mark.parametrize(
    "planted",
    ['<p style="color:red">', "<script>alert(1)</script>", '<a onclick="x()">', '<i hx-trigger="poll[ready]">'],
)
def test_the_policy_check_finds_what_it_looks_for(planted: str) -> None:
    assert any(re.search(pattern, planted) for pattern in FORBIDDEN.values())


def test_the_user_text_check_finds_what_it_looks_for() -> None:
    assert re.search(USER_TEXT, '<input hx-get="/search?q={{ q }}">')


def strings_of(name: str) -> list[str]:
    options: dict[str, Any] = {"trimmed": "false"}
    with (TEMPLATES / name).open("rb") as file:
        found = babel_extract(file, ("_", "gettext", "ngettext"), [], options)
        texts = [text for _line, _function, text, _comments in found]
    return [part for text in texts for part in (text if isinstance(text, tuple) else (text,)) if part]


@pytest.mark.parametrize("name", [name for name in ALL if not name.startswith("dev/")])
def test_a_translated_sentence_is_whole(name: str) -> None:
    """One message a sentence: no line break, no blank at an end, no tag opened here and closed elsewhere."""
    for text in strings_of(name):
        assert text == text.strip() and "\n" not in text, text
        assert sorted(re.findall(r"<([a-z]+)", text)) == sorted(re.findall(r"</([a-z]+)", text)), text


# The operator's page and the component sheet are for those who run and build it.
TRANSLATED = [name for name in PAGES if not name.startswith(("dev/", "admin/"))]
NAMES = {
    "Namaskah",
    "WhatsApp",
    "Nigeria",
    "WhatsApp, Nigeria…",
    "Your WhatsApp code",
    "Don’t share this code with others",
}


@pytest.mark.parametrize("name", TRANSLATED)
def test_nothing_is_said_outside_a_translation(name: str, environment: Environment) -> None:
    assert _untranslated(environment.parse(source(name))) == []


def test_the_translation_check_finds_what_it_looks_for(environment: Environment) -> None:
    page = '{% block main %}<p class="{{ x }}">Pay {{ price }}</p>{% trans %}fine{% endtrans %}{% endblock %}'
    assert _untranslated(environment.parse(page)) == ["Pay"]


def _untranslated(tree: nodes.Template) -> list[str]:
    words = re.findall(r"[A-Za-z’]{2,}", " ".join(_bare_text(tree)))
    return [word for word in words if not any(word in known for known in NAMES)]


def _bare_text(tree: nodes.Template) -> list[str]:
    """Text between tags that no trans block covers; tags cut by an expression are put together first."""
    markup = "".join(
        str(part.data) if isinstance(part, nodes.TemplateData) else "{}"
        for output in tree.find_all(nodes.Output)
        for part in output.nodes
    )
    return re.sub(r"<[^>]*>", "\n", markup).split("\n")


def icons_drawn() -> set[str]:
    return set(re.findall(r'<symbol id="([a-z]+)"', (STATIC / "icons.svg").read_text()))


def test_every_icon_used_is_drawn() -> None:
    used = {icon for page in PAGES for icon in re.findall(r"icon\(\"([a-z]+)\"", source(page))}
    assert used <= icons_drawn()


def test_every_static_file_named_is_there() -> None:
    named = {file for page in PAGES for file in re.findall(r"static\('([^']+)'\)", source(page))}
    assert [file for file in sorted(named) if not (STATIC / file).is_file()] == []
    assert len(named) > 5
