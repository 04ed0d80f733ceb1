"""Every sentence of the product is translated into every language on offer, with the same values in it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.frontend import CommandLineInterface
from babel.messages.pofile import read_po

from namaskah.language import DEFAULT, LANGUAGES

ROOT = Path(__file__).parents[2]
TRANSLATED = [code for code, _name in LANGUAGES if code != DEFAULT]
Id = str | tuple[str, ...]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """What `make translations` finds in the sources now."""
    return extracted(ROOT, tmp_path_factory.mktemp("pot") / "messages.pot")


def extracted(root: Path, pot: Path) -> Catalog:
    options = ["-q", "extract", "-F", str(ROOT / "babel.cfg"), "-k", "_l", "--no-location", "-o", str(pot), str(root)]
    CommandLineInterface().run(["pybabel", *options])  # type: ignore[no-untyped-call]
    return read(pot)


def read(po: Path) -> Catalog:
    with po.open("rb") as file:
        return read_po(file)


def messages(catalog: Catalog) -> dict[tuple[Any, Any], Any]:
    return {(_plain(message.id), message.context): message for message in catalog if message.id}


def _plain(message_id: Any) -> Id:
    return tuple(message_id) if isinstance(message_id, list | tuple) else str(message_id)


def faults(template: Catalog, translation: Catalog) -> Iterator[str]:
    """What keeps a translation from being complete."""
    wanted, given = messages(template), messages(translation)
    yield from (f"missing: {key[0]}" for key in wanted.keys() - given.keys())
    yield from (f"not in the sources any more: {key[0]}" for key in given.keys() - wanted.keys())
    for key, message in given.items():
        strings = [message.string] if isinstance(message.string, str) else list(message.string)
        if not all(strings):
            yield f"untranslated: {key[0]}"
            continue
        if message.fuzzy:
            yield f"a guess: {key[0]}"
        if not isinstance(message.string, str) and len(strings) != translation.num_plurals:
            yield f"{len(strings)} of {translation.num_plurals} plurals: {key[0]}"
        yield from (f"{error}: {key[0]}" for error in message.check(translation))
        yield from _value_faults(key[0], strings)


def _value_faults(message_id: Id, strings: list[str]) -> Iterator[str]:
    """Values and tags that a translation has lost or made up. A plural form may leave out the number it stands for."""
    pattern = r"%\(\w+\)s|<[a-z]+|</[a-z]+>|https?://\S+"
    sources = [message_id] if isinstance(message_id, str) else list(message_id)
    for string in strings:
        found = sorted(re.findall(pattern, string))
        allowed = [sorted(re.findall(pattern, source)) for source in sources]
        bare = [[item for item in items if item != "%(num)s"] for items in allowed]
        if found not in allowed and not (len(sources) > 1 and found in bare):
            yield f"has {found}: {message_id}"


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_language_on_offer_is_complete(language: str, template: Catalog) -> None:
    translation = read(ROOT / f"translations/{language}/LC_MESSAGES/messages.po")
    assert len(messages(template)) > 100
    assert sorted(faults(template, translation)) == []
    assert str(translation.locale) == language


def test_every_translation_there_is_is_on_offer() -> None:
    assert {po.parts[-3] for po in (ROOT / "translations").glob("*/LC_MESSAGES/messages.po")} == set(TRANSLATED)


def test_sentences_of_pages_code_and_letters_are_found(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for file, content in {
        "namaskah/auth/views.py": 'flash(_("In the code"))',
        "namaskah/wallet/forms.py": 'label = _l("In a form")',
        "namaskah/templates/pages/a.html": '{{ _("On a page") }}{% trans n=1 %}Pay {{ n }}{% endtrans %}',
        "namaskah/templates/emails/x/subject.txt": '{{ _("In a letter") }}',
        "namaskah/sandbox/pages.py": 'title = _("Not for customers")',
    }.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(content)
    found = {key[0] for key in messages(extracted(root, tmp_path / "x.pot"))}
    assert found == {"In the code", "In a form", "On a page", "Pay %(n)s", "In a letter"}


def test_each_fault_of_a_translation_is_seen() -> None:
    template, translation = Catalog(), Catalog(locale="ar")
    for sentence in ("Kept", "New", "Empty", "Guessed", "Pay %(price)s", "See <b>this</b>"):
        template.add(sentence, flags=["python-format"] if "%(" in sentence else [])
    template.add(("%(num)s number", "%(num)s numbers"))
    translation.add("Kept", "محفوظ")
    translation.add("Empty", "")
    translation.add("Guessed", "ربما", flags=["fuzzy"])
    translation.add("Pay %(price)s", "ادفع", flags=["python-format"])
    translation.add("See <b>this</b>", "انظر <i>هذا</b>")
    translation.add("Gone", "ذهب")
    translation.add(("%(num)s number", "%(num)s numbers"), ("رقم", "رقمان"))
    found = sorted(faults(template, translation))
    kinds = (
        "2 of 6 plurals",
        "a guess",
        "has",
        "missing: New",
        "not in the sources any more: Gone",
        "untranslated: Empty",
    )
    assert all(any(fault.startswith(kind) for fault in found) for kind in kinds), found
    assert not any("Kept" in fault for fault in found)
    assert len([fault for fault in found if fault.startswith("has")]) == 2
