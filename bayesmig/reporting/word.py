"""Word documents, by python-docx: headings, paragraphs, tables, pictures, equations."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesmig.data.writing import printable, write
from bayesmig.reporting.grids import Cell, Grid, Line
from bayesmig.reporting.mathematics import Equation, omml

if TYPE_CHECKING:
    from docx.table import _Cell
    from docx.text.paragraph import Paragraph

LATIN, CHINESE, CODE = "Times New Roman", "SimSun", "Consolas"
BODY, SMALL, TINY = 11, 9, 8
THICK, THIN = "8", "4"  # eighths of a point
WARNING = "9C2A00"
MARGIN = 2.5  # cm
TALLEST = 20  # cm of a picture, so that it shares the page with its heading


class Document:
    """A document that grows from top to bottom. ``title``: what the file says it is; it is not printed."""

    def __init__(self, title: str, landscape: bool = False) -> None:
        import docx
        from docx.enum.section import WD_ORIENT
        from docx.shared import Cm, Pt

        self._document = docx.Document()
        self._document.core_properties.title = printable(title)[:255]
        self._document.core_properties.author = ""
        self._document.core_properties.comments = "Written by bayesmig."
        section = self._document.sections[0]
        section.page_width, section.page_height = Cm(21), Cm(29.7)
        if landscape:
            section.orientation = WD_ORIENT.LANDSCAPE
            section.page_width, section.page_height = Cm(29.7), Cm(21)
        section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = Cm(MARGIN)
        for name in ("Normal", "Heading 1", "Heading 2", "Title", "List Bullet"):
            _set_font(self._document.styles[name])
        self._document.styles["Normal"].font.size = Pt(BODY)

    def heading(self, text: str, level: int = 1) -> None:
        """A heading; level 0 is the title."""
        self._document.add_heading(printable(text), level)

    def paragraph(
        self, text: str, *, bold: bool = False, size: int = BODY, colour: str = "", code: bool = False
    ) -> None:
        """A paragraph; lines of code keep their breaks."""
        paragraph = self._document.add_paragraph()
        _run(paragraph, text, bold=bold, size=size, colour=colour, code=code)

    def warning(self, text: str) -> None:
        """A paragraph that nobody overlooks."""
        self.paragraph(f"⚠ {text}", bold=True, size=BODY + 2, colour=WARNING)

    def bullets(self, texts: Iterable[str]) -> None:
        """A list."""
        for text in texts:
            self._document.add_paragraph(printable(text), style="List Bullet")

    def equation(self, equation: Equation) -> None:
        """An equation that Word can edit."""
        from docx.oxml import parse_xml

        self._document.add_paragraph()._p.append(parse_xml(omml(equation)))

    def picture(self, png: bytes, described: str) -> None:
        """A picture as wide as the text, unless it is tall, with its description for those who cannot see it."""
        from docx.shared import Cm

        shape = self._document.add_picture(io.BytesIO(png), width=self._width)
        shrink = min(1.0, Cm(TALLEST) / shape.height)
        shape.width, shape.height = int(shape.width * shrink), int(shape.height * shrink)
        shape._inline.docPr.set("descr", printable(described))

    @property
    def _width(self) -> int:
        """Of the text, in Word's smallest units."""
        section = self._document.sections[0]
        assert section.page_width and section.left_margin and section.right_margin
        return int(section.page_width - section.left_margin - section.right_margin)

    def rows(
        self, heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "", shares: Sequence[float] = ()
    ) -> None:
        """A plain table of texts; ``shares`` are of the page's width. Without heads it begins with its first row."""
        lines = [Line("row", row[0], tuple((text, "") for text in row[1:])) for row in rows]
        if lines:
            columns = 1 + len(lines[0].cells)
            self._table(caption, heads, [()] * columns, lines, shares or [1 / columns] * columns, numbers=False)

    def facts(self, rows: Iterable[Sequence[str]]) -> None:
        """Names and what they are."""
        self.rows((), rows, shares=(0.25, 0.75))

    def grid(self, grid: Grid) -> None:
        """A table, with its warning above and its notes below."""
        if grid.warning:
            self.warning(grid.warning)
        for panel in grid.panels:
            heads = [panel.stub, *(head.title for head in panel.heads)]
            notes = [(), *(head.notes for head in panel.heads)]
            self._table(panel.caption, heads, notes, panel.lines, panel.shares, numbers=True)
        for note in grid.notes:
            self.paragraph(note, size=TINY)

    def save(self, target: Path) -> Path:
        """Write the file, all or nothing."""
        stream = io.BytesIO()
        self._document.save(stream)
        return write(target, stream.getvalue())

    def _table(
        self,
        caption: str,
        heads: Sequence[str],
        notes: Sequence[tuple[str, ...]],
        lines: Sequence[Line],
        shares: Sequence[float],
        numbers: bool,
    ) -> None:
        if caption:
            self.paragraph(caption, bold=True)
            self._document.paragraphs[-1].paragraph_format.keep_with_next = True
        table = self._document.add_table(rows=len(lines) + bool(heads), cols=len(shares))
        table.autofit = False
        for column, share in zip(table.columns, shares, strict=True):
            column.width = int(share * self._width)
        rows = list(table.rows)
        for row in rows:
            for cell, share in zip(row.cells, shares, strict=True):
                cell.width = int(share * self._width)
        if heads:
            _heads(rows.pop(0), heads, notes, numbers)
        foot = next((k for k, line in enumerate(lines) if line.kind == "foot"), None)
        for k, (row, line) in enumerate(zip(rows, lines, strict=True)):
            top = THIN if k == foot else THICK if k == 0 and not heads else ""
            _row(row, line, top, THICK if k == len(lines) - 1 else "", numbers)
        self._document.add_paragraph()


def _heads(row: Any, heads: Sequence[str], notes: Sequence[tuple[str, ...]], numbers: bool) -> None:
    row._tr.get_or_add_trPr().append(_element("w:tblHeader"))  # on every page
    for place, (cell, head, below) in enumerate(zip(row.cells, heads, notes, strict=True)):
        _fill(cell, (head, "\n".join(below)), right=numbers and place > 0, bold=True)
        _rule(cell, top=THICK, bottom=THIN)


def _row(row: Any, line: Line, top: str, bottom: str, numbers: bool) -> None:
    row._tr.get_or_add_trPr().append(_element("w:cantSplit"))  # not torn apart by the end of a page
    cells = row.cells
    for cell in cells:
        _rule(cell, top=top, bottom=bottom)
    if not line.cells and len(cells) > 1:
        cells[0].merge(cells[-1])
    _label(cells[0], line)
    for cell, content in zip(cells[1:], line.cells, strict=False):
        _fill(cell, content, right=numbers)


def _label(cell: _Cell, line: Line) -> None:
    from docx.shared import Cm

    _fill(cell, (line.label, ""), bold=line.kind == "head", italic=line.kind == "part")
    if line.kind == "level":
        cell.paragraphs[0].paragraph_format.left_indent = Cm(0.5)


def _fill(cell: _Cell, content: Cell, *, right: bool = False, bold: bool = False, italic: bool = False) -> None:
    """A text, and what stands in smaller letters below it."""
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Pt

    paragraph = cell.paragraphs[0]
    paragraph.paragraph_format.space_after = Pt(1)
    if right:
        paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
    text, below = content
    _run(paragraph, text, bold=bold, italic=italic, size=SMALL)
    if below:
        _run(paragraph, f"\n{below}", size=TINY)


def _run(
    paragraph: Paragraph,
    text: str,
    *,
    bold: bool = False,
    italic: bool = False,
    size: int = BODY,
    colour: str = "",
    code: bool = False,
) -> None:
    from docx.shared import Pt, RGBColor

    run = paragraph.add_run(printable(text))
    run.bold, run.italic, run.font.size = bold or None, italic or None, Pt(size)
    if colour:
        run.font.color.rgb = RGBColor.from_string(colour)
    if code:
        run.font.name = CODE


def _set_font(style: Any) -> None:
    """A font for Latin letters and one for Chinese, both on every Windows and Mac."""
    from docx.oxml.ns import qn
    from docx.shared import RGBColor

    style.font.name = LATIN
    style.font.color.rgb = RGBColor(0, 0, 0)
    fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
    for theme in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
        fonts.attrib.pop(qn(f"w:{theme}"), None)
    fonts.set(qn("w:eastAsia"), CHINESE)


def _element(name: str, **attributes: str) -> Any:
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    element = OxmlElement(name)
    for key, value in attributes.items():
        element.set(qn(f"w:{key}"), value)
    return element


def _rule(cell: _Cell, top: str = "", bottom: str = "") -> None:
    if not top and not bottom:
        return
    borders = _element("w:tcBorders")
    for side, width in (("top", top), ("bottom", bottom)):
        if width:
            borders.append(_element(f"w:{side}", val="single", sz=width, space="0", color="auto"))
    cell._tc.get_or_add_tcPr().append(borders)
