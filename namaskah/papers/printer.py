"""Prints a paper as PDF. The same paper gives the same bytes, whenever and wherever: nothing in them is the printer's.

It takes some 200 ms of a core, and 4 ms more for each row of a table: in a web process do it beside the loop.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babel import Locale

from namaskah.papers.paper import Columns, Facts, Paper, Table, Text, Totals, shown

if TYPE_CHECKING:
    from fpdf import FPDF

FONTS = Path(__file__).parent / "fonts"
WORD_JOINER = 0x2060

logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells each table of each font it cuts

# Millimetres of an A4 page; letters are measured in points.
WIDTH, HEIGHT, MARGIN, FOOT, GAP = 210.0, 297.0, 18.0, 22.0, 6.0
INNER = WIDTH - 2 * MARGIN
LINE_PER_POINT = 25.4 / 72 * 1.45
MOST_LINES = 40  # of one row, before it goes on below: they fit any page

INK, LEAF, MUTED, LINE = (0x16, 0x23, 0x1C), (0x0D, 0x5B, 0x42), (0x58, 0x60, 0x58), (0xDE, 0xD7, 0xC8)


@dataclass(frozen=True)
class Style:
    """How letters look: their size in points, weight and colour."""

    size: float
    weight: str = ""
    color: tuple[int, int, int] = INK

    @property
    def height(self) -> float:
        return self.size * LINE_PER_POINT


BRAND, HEAD, SUBHEAD = Style(16, "B", LEAF), Style(16, "B"), Style(11, "", MUTED)
BODY, SUM, NAME = Style(10), Style(11, "B"), Style(10, "", MUTED)
LABEL, NOTE = Style(8.5, "B", MUTED), Style(8.5, "", MUTED)


@dataclass(frozen=True)
class Cell:
    """A text in its place of a row, so wide."""

    text: str
    width: float
    style: Style = BODY
    is_amount: bool = False


def printed(paper: Paper) -> bytes:
    """The paper as a PDF file: A4, fonts embedded; its text can be searched and copied."""
    printer = _Printer(paper)
    printer.print_all()
    return printer.file()


class _Printer:
    """One paper being printed: `y` is how far down the page it is."""

    def __init__(self, paper: Paper) -> None:
        self.paper = paper
        self.y = MARGIN
        self._widths: dict[tuple[str, Style], float] = {}
        self.is_mirrored = Locale.parse(paper.language.replace("-", "_")).text_direction == "rtl"

    @cached_property
    def pdf(self) -> "FPDF":
        # It takes a second and 20 MB to import, which nobody shall pay who prints nothing.
        fpdf = import_module("fpdf")
        pdf: FPDF = fpdf.FPDF(format="A4")
        pdf.set_auto_page_break(False)
        pdf.c_margin = 0
        for family in ("NotoSans", "NotoSansArabic"):
            pdf.add_font(family, "", FONTS / f"{family}-Regular.ttf")
            pdf.add_font(family, "B", FONTS / f"{family}-Bold.ttf")
        pdf.set_fallback_fonts(["NotoSansArabic"])
        pdf.set_text_shaping(True)
        pdf.set_title(self.paper.title)
        pdf.set_lang(self.paper.language.replace("_", "-"))
        pdf.set_creation_date(self.paper.made_at.astimezone(UTC))
        pdf.set_creator("Namaskah")
        pdf.viewer_preferences = fpdf.ViewerPreferences(display_doc_title=True)
        return pdf

    def print_all(self) -> None:
        self._turn_page()
        self._head()
        for block in self.paper.blocks:
            match block:
                case Text():
                    self._text(block)
                case Columns():
                    self._columns(block)
                case Facts():
                    self._facts(block)
                case Table():
                    self._table(block)
                case Totals():
                    self._totals(block)
        self._feet()

    def file(self) -> bytes:
        subset: Any = import_module("fpdf.fonts").SubsetMap
        for font in self.pdf.fonts.values():
            for glyph, _number in font.subset.items():  # type: ignore[union-attr]  # those of ours have one
                # Of a letter drawn as several shapes the first is the letter. Of a shape that is said to be no letter
                # readers copy rubbish.
                if glyph is not None and glyph.unicode == ():
                    glyph.unicode = (WORD_JOINER,)
        made = bytes(self.pdf.output())
        # These caches are the class's, and would keep the fonts of every paper for good.
        subset.get_glyph.cache_clear()
        subset.pick.cache_clear()
        return made

    # ── Blocks ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _head(self) -> None:
        self._line(Cell(shown(self.paper.brand), INNER / 3, BRAND), 0)
        for text, style in ((self.paper.head, HEAD), (self.paper.subhead, SUBHEAD)):
            for line in self._broken(Cell(text, INNER * 2 / 3, style)) if text else []:
                self._line(Cell(line, INNER * 2 / 3, style), INNER / 3, at_end=True)
                self.y += style.height
        self._rule(before=3, after=GAP)

    def _text(self, block: Text) -> None:
        style = NOTE if block.small else BODY
        for line in self._broken(Cell(block.text, INNER, style)):
            self._need(style.height)
            self._line(Cell(line, INNER, style), 0)
            self.y += style.height
        self.y += GAP / 2

    def _columns(self, block: Columns) -> None:
        width = (INNER - GAP * (len(block.columns) - 1)) / len(block.columns)
        self._row([Cell(heading, width, LABEL) for heading, _lines in block.columns])
        self._row([Cell("\n".join(lines), width) for _heading, lines in block.columns])
        self.y += GAP

    def _facts(self, block: Facts) -> None:
        for name, value in block.pairs:
            self._row([Cell(name, INNER / 3 - GAP, NAME), Cell(value, INNER * 2 / 3)])
        self.y += GAP

    def _table(self, block: Table) -> None:
        room = INNER - GAP * (len(block.columns) - 1)
        shares = sum(column.share for column in block.columns)
        places = [(room * column.share / shares, column.is_amount) for column in block.columns]

        def cells(texts: Sequence[str], style: Style) -> list[Cell]:
            return [Cell(text, width, style, amount) for text, (width, amount) in zip(texts, places, strict=True)]

        head = cells([column.label for column in block.columns], LABEL)
        self._ruled_row(head)
        for row in block.rows:
            self._ruled_row(cells(row, BODY), head)
        self.y += GAP / 2

    def _totals(self, block: Totals) -> None:
        self._need(len(block.pairs) * (SUM.height + 1))
        label, amount = (INNER - GAP) * 3 / 4, (INNER - GAP) / 4
        for number, (name, value) in enumerate(block.pairs, 1):
            style = SUM if number == len(block.pairs) else BODY
            self._row([Cell(name, label, style), Cell(value, amount, style, is_amount=True)])
            self.y += 1
        self.y += GAP

    # ── Rows and lines ────────────────────────────────────────────────────────────────────────────────────────────

    def _ruled_row(self, cells: Sequence[Cell], head: Sequence[Cell] = ()) -> None:
        self._row(cells, head)
        self._rule(before=1, after=1.5)

    def _row(self, cells: Sequence[Cell], head: Sequence[Cell] = ()) -> None:
        """Cells beside each other, as high as the highest; `head` is repeated on a new page."""
        broken = [self._broken(cell) for cell in cells]
        step = max(cell.style.height for cell in cells)
        for first in range(0, max(map(len, broken)), MOST_LINES):
            part = [lines[first : first + MOST_LINES] for lines in broken]
            height = step * max(map(len, part))
            if self._need(height) and head:
                self._ruled_row(head)
            top, offset = self.y, 0.0
            for lines, cell in zip(part, cells, strict=True):
                for number, line in enumerate(lines):
                    self.y = top + number * step
                    self._line(Cell(line, cell.width, cell.style, cell.is_amount), offset)
                offset += cell.width + GAP
            self.y = top + height

    def _line(self, cell: Cell, offset: float, *, at_end: bool = False) -> None:
        """One line, `offset` from where reading begins."""
        x = WIDTH - MARGIN - offset - cell.width if self.is_mirrored else MARGIN + offset
        at_right = cell.is_amount or at_end != self.is_mirrored
        self.pdf.set_font("NotoSans", cell.style.weight, cell.style.size)
        # fpdf2 2.8.9 believes a font set for the page that a line beginning with Arabic has set for itself alone. The
        # next line would be drawn with one font's numbers and another's shapes: "1Acmee(ee" for an amount.
        self.pdf.current_font_is_set_on_page = False
        self.pdf.set_text_color(*cell.style.color)
        self.pdf.set_xy(x, self.y)
        self.pdf.cell(cell.width, cell.style.height, cell.text, align="R" if at_right else "L")

    def _broken(self, cell: Cell) -> list[str]:
        """The lines of a cell's text. They are broken before they are put in order, so that each line of a text in two
        directions begins with what is read first."""
        lines: list[str] = []
        for paragraph in cell.text.split("\n"):
            line = ""
            for word in shown(paragraph).split(" "):
                longer = f"{line} {word}" if line else word
                if self._width(longer, cell.style) <= cell.width:
                    line = longer
                    continue
                lines += [line] if line else []
                line = word
                while (fits := self._fitting(line, cell)) < len(line):
                    lines.append(line[:fits])
                    line = line[fits:]
            lines.append(line)
        return lines

    def _fitting(self, word: str, cell: Cell) -> int:
        """How many letters of a word the cell has room for; one at least."""
        low, high = 1, len(word)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._width(word[:middle], cell.style) <= cell.width else (low, middle - 1)
        return low

    def _width(self, text: str, style: Style) -> float:
        key = (text, style)
        if key not in self._widths:
            self.pdf.set_font("NotoSans", style.weight, style.size)
            self._widths[key] = self.pdf.get_string_width(text)
        return self._widths[key]

    # ── Pages ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _need(self, height: float) -> bool:
        """Turn the page if so much does not fit any more; whether it was turned."""
        if self.y + height <= HEIGHT - FOOT:
            return False
        self._turn_page()
        return True

    def _turn_page(self) -> None:
        self.pdf.add_page()
        self.y = MARGIN

    def _feet(self) -> None:
        """Last of all, for only now the pages are counted."""
        count = self.pdf.pages_count
        for page in range(1, count + 1):
            self.pdf.page = page
            self.y = HEIGHT - FOOT
            self._rule(before=4, after=2)
            self._line(Cell(shown(self.paper.foot), INNER * 3 / 4, NOTE), 0)
            self._line(Cell(f"{page} / {count}", INNER / 4, NOTE), INNER * 3 / 4, at_end=True)

    def _rule(self, before: float, after: float) -> None:
        self.y += before
        self.pdf.set_draw_color(*LINE)
        self.pdf.set_line_width(0.25)
        self.pdf.line(MARGIN, self.y, WIDTH - MARGIN, self.y)
        self.y += after
