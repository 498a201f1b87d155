"""A table of text, and its four written forms: HTML, LaTeX, Markdown and Typst. Word is in :mod:`.word`.

Text of users is escaped in each of them, so that a label may hold any sign.
"""

from __future__ import annotations

import dataclasses
import html
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bayesmig.data.writing import printable
from bayesmig.plots.labels import TermRow
from bayesmig.reporting.words import Column

Cell = tuple[str, str]  # what is said, and what stands in brackets below it

STYLE = """
table.grid { border-collapse: collapse; font: .9em/1.4 system-ui, sans-serif; }
.grid caption { text-align: left; font-weight: 600; padding: .3em 0 .5em; }
.grid th, .grid td { padding: .3em 1em .3em 0; text-align: left; vertical-align: top; border: 0; background: none; }
.grid thead tr:first-child th { border-top: 2px solid; }
.grid thead tr:last-child th, .grid tr.last th, .grid tr.last td { border-bottom: 1px solid; }
.grid tbody th { font-weight: 400; }
.grid .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.grid thead .n { white-space: normal; }
.grid small { display: block; font-weight: 400; opacity: .8; }
.grid .part th { font-style: italic; padding-top: .8em; }
.grid .head th { font-weight: 600; }
.grid .level { padding-left: 1.2em; }
.grid tfoot td { font-size: .9em; white-space: normal; border-top: 1px solid; }
@media print {
  table.grid { font-size: 8.5pt; }
  .grid small { font-size: 8pt; }
  .grid th, .grid td { padding-right: .4em; overflow-wrap: anywhere; }
  .grid tfoot { display: table-row-group; break-before: avoid; }
  .grid tfoot tr { break-before: avoid; }
  .grid tr { break-inside: avoid; }
  .grid .part, .grid .head { break-after: avoid; }
}
"""
MOST_UPRIGHT = 4  # models that fit beside each other on an upright page
MOST_BESIDE = 6  # on any page; more stand below each other
TEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\N{MINUS SIGN}": "$-$",
    "×": r"$\times$",
    "²": r"$^2$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
}
SUPERSCRIPTS = dict(zip("⁻⁰¹³⁴⁵⁶⁷⁸⁹", "-013456789", strict=True))
MARKED_DOWN = re.compile(r"([\\`*_<>|#~$^&@]|\](?=[\[(:])|!(?=\[)|:(?=//)|(?<=www)\.|(?<=mailto):)", re.IGNORECASE)


@dataclass(frozen=True)
class Head:
    """Head of a column: its name, and in smaller letters what it is about and what its cells say."""

    title: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line of a table.

    ``kind``: ``part``: a heading over a part of the table; ``head``: a variable above its levels; ``level``: one of
    these; ``foot``: below the coefficients. ``cells``: one a column; none for headings.
    """

    kind: Literal["part", "head", "row", "level", "foot"]
    label: str
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Grid:
    """A table of text: what is written above, in and below it."""

    caption: str
    stub: str
    heads: tuple[Head, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    warning: str = ""

    @property
    def depth(self) -> int:
        """Lines of notes that the heads need below their names."""
        return max((len(head.notes) for head in self.heads), default=0)

    @property
    def shares(self) -> list[float]:
        """Of the width of a page: labels, then each model."""
        first = max(0.3, 0.6 - 0.1 * len(self.heads))
        return [first, *[(1 - first) / len(self.heads)] * len(self.heads)]

    @property
    def panels(self) -> list[Grid]:
        """The table in as many parts as a page needs; the warning stands above the first, notes below the last.

        A part has the lines in which its models have something.
        """
        if len(self.heads) <= MOST_BESIDE:
            return [self]
        count = math.ceil(len(self.heads) / MOST_BESIDE)
        size = math.ceil(len(self.heads) / count)
        return [
            Grid(
                f"{self.caption} ({k + 1} of {count})".strip(),
                self.stub,
                self.heads[k * size : (k + 1) * size],
                _filled(
                    [dataclasses.replace(line, cells=line.cells[k * size : (k + 1) * size]) for line in self.lines]
                ),
                self.notes if k == count - 1 else (),
                self.warning if k == 0 else "",
            )
            for k in range(count)
        ]

    @property
    def last_row(self) -> int:
        """Position of the line that a rule follows: the last before the foot."""
        return max((k for k, line in enumerate(self.lines) if line.kind != "foot"), default=-1)


def _filled(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Lines with something in them, and the headings over these."""
    kept: list[Line] = []  # from below
    for line in reversed(lines):
        below = kept[-1].kind if kept else ""
        empty = {"part": below in ("", "part", "foot"), "head": below != "level"}
        if not empty.get(line.kind, not any(map(any, line.cells))):
            kept.append(line)
    return tuple(reversed(kept))


def grid_of(
    caption: str, columns: Sequence[Column], rows: Iterable[TermRow], first: str = "Term", notes: tuple[str, ...] = ()
) -> Grid:
    """The table as text for all written forms."""
    lines = []
    for row in rows:
        cells = tuple(column[row.term] for column in columns) if row.term else ()
        lines.append(Line("head" if not row.term else "level" if row.indented else "row", row.label, cells))
    return Grid(caption, first, tuple(Head(column.head, (column.note,)) for column in columns), tuple(lines), notes)


def grid_html(grid: Grid, style: bool = True) -> str:
    """A table as an HTML fragment, with its own style unless the page has one.

    >>> line = Line("row", "Age & <b>", (("0.100", ""),))
    >>> grid_html(Grid("", "Term", (Head("ML"),), (line,)), style=False).splitlines()[-3]
    '<tr class="row last"><th scope="row">Age &amp; &lt;b&gt;</th><td class="n">0.100</td></tr>'
    """
    return "\n".join([*([f"<style>{STYLE}</style>"] if style else []), *map(_html, grid.panels)])


def _html(grid: Grid) -> str:
    safe = _safe
    span = len(grid.heads) + 1
    rows = [f"<p><strong>⚠ {safe(grid.warning)}</strong></p>"] if grid.warning else []
    rows.append('<table class="grid">')
    rows += [f"<caption>{safe(grid.caption)}</caption>"] if grid.caption else []
    heads = "".join(f'<th scope="col" class="n">{safe(head.title)}{_small(*head.notes)}</th>' for head in grid.heads)
    rows.append(f'<thead><tr><th scope="col">{safe(grid.stub)}</th>{heads}</tr></thead>')
    rows.append("<tbody>")
    for k, line in enumerate(grid.lines):
        last = " last" if k == grid.last_row else ""
        if not line.cells:
            rows.append(
                f'<tr class="{line.kind}{last}"><th scope="rowgroup" colspan="{span}">{safe(line.label)}</th></tr>'
            )
            continue
        cells = "".join(f'<td class="n">{safe(text)}{_small(below)}</td>' for text, below in line.cells)
        mark = ' class="level"' if line.kind == "level" else ""
        rows.append(f'<tr class="{line.kind}{last}"><th scope="row"{mark}>{safe(line.label)}</th>{cells}</tr>')
    rows.append("</tbody>")
    notes = "".join(f"<p>{safe(note)}</p>" for note in grid.notes)
    rows += [f'<tfoot><tr><td colspan="{span}">{notes}</td></tr></tfoot>'] if notes else []
    return "\n".join([*rows, "</table>"])


def _safe(text: str) -> str:
    return html.escape(printable(text))


def _small(*texts: str) -> str:
    return "".join(f"<small>{_safe(text)}</small>" for text in texts if text)


def tex(text: str) -> str:
    """Text with every sign that LaTeX reads otherwise replaced.

    >>> tex("50 % of a_b: −0.4 × 10⁻³¹")
    '50 \\\\% of a\\\\_b: $-$0.4 $\\\\times$ 10$^{-31}$'
    """
    raised = re.sub(
        f"[{''.join(SUPERSCRIPTS)}²]{{2,}}|[{''.join(SUPERSCRIPTS)}]",
        lambda found: f"\0{''.join(SUPERSCRIPTS.get(sign, '2') for sign in found[0])}\1",
        " ".join(printable(text).split()),
    )
    return "".join(TEX.get(sign, sign) for sign in raised).replace("\0", "$^{").replace("\1", "}$")


def grid_latex(grid: Grid, label: str = "") -> str:
    """A table as LaTeX, which may run over several pages; it needs the packages array, booktabs and longtable.

    Columns have shares of the line, so that labels wrap and four models fit on an upright page.
    """
    first, *others = grid.panels
    return "\n\n".join([_latex(first, label), *map(_latex, others)])


def _latex(grid: Grid, label: str = "") -> str:
    span = len(grid.heads) + 1
    head = [_tex_line([grid.stub, *(head.title for head in grid.heads)])]
    for k in range(grid.depth):
        notes = [head.notes[k] if k < len(head.notes) else "" for head in grid.heads]
        head.append(" & ".join(["", *map(tex, notes)]) + r" \\")
    anchor = rf"\label{{{label}}}" if label else ""
    caption = [rf"\caption{{{tex(grid.caption)}}}{anchor} \\"] if grid.caption or label else []
    body = [text for k, line in enumerate(grid.lines) for text in _tex_lines(line, span, k == grid.last_row)]
    notes = [rf"\multicolumn{{{span}}}{{p{{0.9\linewidth}}}}{{{tex(note)}}} \\" for note in grid.notes]
    sides = [r"\raggedright", *[r"\raggedleft"] * len(grid.heads)]
    columns = [
        rf">{{{side}\arraybackslash}}p{{\dimexpr{share:.3f}\linewidth-2\tabcolsep\relax}}"
        for side, share in zip(sides, grid.shares, strict=True)
    ]
    return "\n".join(
        [
            r"% \usepackage{array, booktabs, longtable}; labels in Chinese need XeLaTeX or LuaLaTeX and a font that has"
            " them",
            *([rf"\noindent\textbf{{{tex(grid.warning)}}}", ""] if grid.warning else []),
            r"\begingroup\footnotesize\setlength{\tabcolsep}{3pt}",
            r"\begin{longtable}{" + "%",
            *(f"  {column}%" for column in columns),
            "}",
            *caption,
            *[r"\toprule", *head, r"\midrule", r"\endfirsthead"],
            *[r"\toprule", *head, r"\midrule", r"\endhead"],
            *[rf"\midrule \multicolumn{{{span}}}{{r}}{{continued}} \\", r"\endfoot", r"\endlastfoot"],
            *body,
            r"\bottomrule",
            *notes,
            r"\end{longtable}",
            r"\endgroup",
        ]
    )


def _tex_line(texts: Iterable[str], more: bool = False) -> str:
    """A line; one that has ``more`` below it stays with that on its page."""
    return " & ".join(map(tex, texts)) + (r" \\*" if more else r" \\")


def _tex_lines(line: Line, span: int, last: bool) -> Iterator[str]:
    """One line for the numbers, one for what stands in brackets below them, and a rule where the foot begins."""
    if not line.cells:
        style = "textit" if line.kind == "part" else "textbf"
        space = r"\addlinespace " if line.kind == "part" else ""
        yield rf"{space}\multicolumn{{{span}}}{{l}}{{\{style}{{{tex(line.label)}}}}} \\*"
    else:
        # a bracket after a line break would be its optional argument
        indent = r"\quad " if line.kind == "level" else "{}" if line.label.startswith("[") else ""
        below = [text for _, text in line.cells]
        yield indent + _tex_line([line.label, *(text for text, _ in line.cells)], any(below))
        if any(below):
            yield _tex_line(["", *below])
    if last:
        yield r"\midrule"


def grid_markdown(grid: Grid) -> str:
    """A table as Markdown (a pipe table), what stands in brackets beside the numbers."""
    return "\n\n".join(map(_markdown, grid.panels))


def _markdown(grid: Grid) -> str:
    heads = [" ".join([f"**{_mark_down(head.title)}**", *map(_mark_down, head.notes)]) for head in grid.heads]
    rows = [[_mark_down(grid.stub), *heads], ["---", *["---:"] * len(heads)]]
    for line in grid.lines:
        label = _mark_down(line.label)
        styled = {"part": f"*{label}*", "head": f"**{label}**", "level": f"&emsp;{label}"}.get(line.kind, label)
        cells = line.cells or (("", ""),) * len(heads)
        rows.append([styled, *(" ".join(filter(None, map(_mark_down, cell))) for cell in cells)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    above = [f"**⚠ {_mark_down(grid.warning)}**"] if grid.warning else []
    above += [f"**{_mark_down(grid.caption)}**"] if grid.caption else []
    return "\n\n".join([*above, table, *map(_mark_down, grid.notes)])


def _mark_down(text: str) -> str:
    """Text in which no sign makes a link, an image, an entity or a tag."""
    return MARKED_DOWN.sub(r"\\\1", " ".join(printable(text).split()))


def grid_typst(grid: Grid, label: str = "") -> str:
    """A table as Typst. Text stands in strings, where no sign but quotes and backslashes has a meaning."""
    first, *others = grid.panels
    return "\n\n".join([_typst(first, label), *map(_typst, others)])


def _typst(grid: Grid, label: str = "") -> str:
    span = len(grid.heads) + 1
    heads = [_stacked([head.title, *head.notes]) for head in grid.heads]
    lines = [f"    table.header({', '.join([_quoted(grid.stub), *heads])}, table.hline(stroke: 0.5pt)),"]
    for k, line in enumerate(grid.lines):
        if line.cells:
            lead = f"[#h(1em) #{_quoted(line.label)}]" if line.kind == "level" else _quoted(line.label)
            lines.append("    " + ", ".join([lead, *(_stacked(filter(None, cell)) for cell in line.cells)]) + ",")
        else:
            style = "emph" if line.kind == "part" else "strong"
            lines.append(f"    table.cell(colspan: {span}, {style}({_quoted(line.label)})),")
        lines += ["    table.hline(stroke: 0.5pt),"] if k == grid.last_row else []
    align = ", ".join(["left", *["right"] * len(grid.heads)])
    return "\n".join(
        [
            *([f"#strong({_quoted(grid.warning)})", ""] if grid.warning else []),
            "#show figure: set block(breakable: true)",
            "#show figure.where(kind: table): set figure.caption(position: top)",
            "#figure(",
            "  kind: table,",
            *([f"  caption: {_quoted(grid.caption)},"] if grid.caption else []),
            f"  table(columns: {span}, align: ({align}), stroke: none,",
            "    table.hline(stroke: 1pt),",
            *lines,
            "    table.hline(stroke: 1pt),",
            "  ),",
            f"){f' <{label}>' if label else ''}",
            *(f"#text(size: 0.85em, {_quoted(note)})\n" for note in grid.notes),
        ]
    )


def _quoted(text: str) -> str:
    escaped = " ".join(printable(text).split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _stacked(texts: Iterable[str]) -> str:
    """The first text, the others smaller below it."""
    first, *others = [*texts] or [""]
    below = "".join(f" #linebreak() #text(size: 0.85em, {_quoted(text)})" for text in others)
    return f"[#{_quoted(first)}{below}]"


__all__: Sequence[str] = ("Grid", "Head", "Line", "grid_html", "grid_latex", "grid_markdown", "grid_typst", "tex")
