"""Papers as PDF: what is printed can be read again, in every script, and is the same at every printing."""

import os
import subprocess
import sys
import unicodedata
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from fontTools.ttLib import TTFont
from pypdf import PdfReader
from pypdf.generic import ByteStringObject, ContentStream, TextStringObject

from namaskah.papers import printer
from namaskah.papers.paper import LETTERS, Block, Column, Columns, Facts, Paper, Table, Text, Totals, shown, unprintable
from namaskah.papers.printer import printed

AT = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
AMOUNTS = ["₦2,500.00", "₵0.05", "KSh\u00a01,234,567.89", "R\u00a01.00", "$99.99"]


def paper(*blocks: Block, language: str = "en") -> Paper:
    return Paper("Receipt NK-2026-000001", language, AT, "Receipt", blocks, subhead="NK-2026-000001", foot="Acme")


def arabic() -> Paper:
    """Every kind of block, from the right, with all three scripts."""
    return paper(
        Columns([("البائع", ["Acme (Nigeria) Ltd."]), ("المشتري", ["شركة النور", "शर्मा एंड संस", "Müller"])]),
        Facts([("التاريخ", "3 نوفمبر 2026")]),
        Table(
            [Column("البيان", 3), Column("المبلغ", 1, is_amount=True)], [["شحن المحفظة", amount] for amount in AMOUNTS]
        ),
        Totals([("الصافي", "₦2,325.58"), ("المجموع", "₦2,500.00")]),
        Text("مدفوع بالكامل.", small=True),
        language="ar",
    )


def read(content: bytes) -> PdfReader:
    return PdfReader(BytesIO(content))


def text_of(content: bytes) -> str:
    """All its text, in whatever order the reader finds it, without the marks that stand for no letter."""
    pages = read(content).pages
    return unicodedata.normalize("NFKC", "\n".join(page.extract_text() for page in pages)).replace("\u2060", "")


def fonts_of(content: bytes) -> dict[str, Any]:
    """Name of each font on the first page → its embedded file."""
    found = {}
    for font in read(content).pages[0]["/Resources"]["/Font"].values():  # type: ignore[index]
        drawn = font.get_object()["/DescendantFonts"][0].get_object()
        found[drawn["/BaseFont"]] = drawn["/FontDescriptor"].get_object()["/FontFile2"].get_data()
    return found


def test_a_paper_says_what_it_is() -> None:
    content = read(printed(arabic()))
    assert (content.metadata or {})["/Title"] == "Receipt NK-2026-000001"
    assert content.root_object["/Lang"] == "ar"
    assert (content.metadata or {})["/CreationDate"] == "D:20261125093000Z"
    assert content.root_object["/ViewerPreferences"].get_object()["/DisplayDocTitle"]


def test_all_that_stands_on_a_paper_can_be_found_and_copied() -> None:
    found = text_of(printed(arabic()))
    latin = ["NK-2026-000001", "Acme (Nigeria) Ltd.", "Müller", "1 / 1"]
    others = ["شركة", "النور", "المحفظة", "نوفمبر", "2026", "शर्मा", "संस"]
    amounts = [unicodedata.normalize("NFKC", amount) for amount in AMOUNTS]
    assert [text for text in (*latin, *others, *amounts) if text not in found] == []


def test_amounts_after_a_line_of_another_script_are_what_they_were() -> None:
    """fpdf2 drew such an amount with another font's shapes: wrong digits, without an error."""
    pairs = [(f"المجموع {number}", f"₦{number},000.00") for number in range(1, 9)]
    found = text_of(printed(paper(Totals(pairs), language="ar")))
    assert [amount for _name, amount in pairs if amount not in found] == []


def shapes(content: bytes, size: float = 10) -> list[int]:
    """Numbers of the shapes drawn in letters of this size on the first page; 0 is the box for a missing one."""
    document = read(content)
    found: list[int] = []
    now = 0.0
    for operands, operator in ContentStream(document.pages[0].get_contents(), document).operations:
        if operator == b"Tf":
            now = float(operands[1])
        elif operator in (b"Tj", b"TJ") and now == size:
            for piece in operands[0] if operator == b"TJ" else operands:
                if isinstance(piece, TextStringObject | ByteStringObject):
                    raw = piece.original_bytes
                    found += [int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2)]
    return found


def test_arabic_letters_are_joined() -> None:
    """Three times the same letter has a first, a middle and a last shape; apart from each other they have one."""
    assert len(set(shapes(printed(paper(Text("ههه")))))) == 3
    assert len(set(shapes(printed(paper(Text("ه ه ه")))))) == 2  # with the space


def test_devanagari_letters_make_their_conjuncts() -> None:
    assert len("क्षत्रिय") == 8
    assert len(shapes(printed(paper(Text("क्षत्रिय"))))) == 4


def test_nothing_is_drawn_as_a_box_and_what_no_font_has_shows_that_it_is_missing() -> None:
    everything = "".join(chr(code) for first, last in LETTERS for code in range(first, last + 1) if _is_letter(code))
    drawn = shapes(printed(paper(Text(" ".join(everything)))))
    assert len(drawn) > 1000
    assert 0 not in drawn
    assert 0 not in shapes(printed(arabic()))
    assert text_of(printed(paper(Text("王 & שלום")))).count("\ufffd") == 5
    assert unprintable("Ada 王\nशर्मा ש王") == "ש王"
    assert shown("a王") == "a\ufffd"


def _is_letter(code: int) -> bool:
    return unicodedata.category(chr(code)) not in ("Cn", "Cf", "Mn")


def test_the_fonts_have_all_the_letters_that_papers_say_they_show() -> None:
    assigned = {
        code for first, last in LETTERS for code in range(first, last + 1) if unicodedata.category(chr(code)) != "Cn"
    }
    for weight in ("Regular", "Bold"):
        fonts = [TTFont(printer.FONTS / f"{family}-{weight}.ttf") for family in ("NotoSans", "NotoSansArabic")]
        assert assigned - {code for font in fonts for code in font.getBestCmap()} == set()


def test_fonts_are_embedded_and_hold_no_more_than_is_used() -> None:
    content = printed(arabic())
    fonts = fonts_of(content)
    assert {name.partition("+")[2] for name in fonts} == {
        *("NotoSans", "NotoSansBold", "NotoSansArabic", "NotoSansArabicBold")
    }
    assert all(len(file) < 30_000 for file in fonts.values())
    assert len(content) < 60_000


def test_the_same_paper_is_the_same_file_at_every_printing() -> None:
    script = "from tests.papers.test_printer import *; import sys; sys.stdout.buffer.write(printed(arabic()))"
    again = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
        check=True,
        capture_output=True,
    )
    assert again.stdout == printed(arabic()) == printed(arabic())


def positions(content: bytes, page: int = 0) -> dict[str, tuple[float, float]]:
    """Where each piece of text begins, in points from the lower left corner."""
    found: dict[str, tuple[float, float]] = {}

    def visit(text: str, _page: Any, at: Any, *_font: Any) -> None:
        for word in text.split():
            found.setdefault(word, (at[4], at[5]))

    read(content).pages[page].extract_text(visitor_text=visit)
    return found


def test_the_layout_is_mirrored_for_a_language_from_the_right() -> None:
    columns = Columns([("first", ["one"]), ("second", ["two"])])
    left, right = (positions(printed(paper(columns, language=code))) for code in ("en", "ar"))
    assert left["first"][0] < left["second"][0]
    assert right["first"][0] > right["second"][0]


def test_a_long_table_goes_on_with_its_head_and_every_page_is_numbered() -> None:
    table = Table(
        [Column("When", 1), Column("Amount", 1, is_amount=True)], [[f"day{n}", f"₦{n}.00"] for n in range(90)]
    )
    content = printed(paper(table, Totals([("Net", "₦1.00"), ("Total", "₦2.00")])))
    pages = [page.extract_text() for page in read(content).pages]
    found = " ".join(pages).split()
    assert len(pages) > 1
    assert all("When" in page and f"{number} / {len(pages)}" in page for number, page in enumerate(pages, 1))
    assert [f"day{n}" for n in range(90) if f"day{n}" not in found] == []
    assert all(at[1] > 0 for page in range(len(pages)) for at in positions(content, page).values())


def test_a_row_higher_than_a_page_and_a_word_wider_than_its_place_lose_nothing() -> None:
    lines = "\n".join(f"line{n}" for n in range(120))
    word = "".join(chr(ord("a") + n % 26) for n in range(300))
    content = printed(paper(Table([Column("x", 1), Column("y", 3)], [[word, lines]])))
    found = text_of(content).split()
    assert len(read(content).pages) == 3
    assert [f"line{n}" for n in range(120) if f"line{n}" not in found] == []
    drawn = shapes(printed(paper(Table([Column("x", 1), Column("y", 3)], [[word, "y"]]))))
    assert len(drawn) == len(word) + 1


def test_papers_leave_nothing_behind() -> None:
    """The library's caches hold fonts, of some megabytes, for each paper ever printed."""
    printed(arabic())
    subset: Any = sys.modules["fpdf.fonts"].SubsetMap
    assert (subset.pick.cache_info().currsize, subset.get_glyph.cache_info().currsize) == (0, 0)
