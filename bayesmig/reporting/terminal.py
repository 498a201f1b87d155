"""A replication on a terminal, or as JSON for another program."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bayesmig.data.writing import printable
from bayesmig.errors import listing
from bayesmig.plots.labels import TermRow
from bayesmig.replication.descriptives import FARTHEST
from bayesmig.replication.papers import Replication
from bayesmig.replication.verdicts import verdicts_of
from bayesmig.reporting.words import (
    Column,
    check_line,
    claim_table,
    columns_of,
    descriptive_table,
    effect_table,
    frames_of,
    is_component,
    provenance,
    quantity,
    range_table,
    ratio_columns,
    table_rows,
    verdict,
)
from bayesmig.specification.model import Study

PIPED_WIDTH = 400
TEXT_WIDTH = 88
LEAST_LABEL = 20
MOST_NUMBERS = 3  # of a line of numbers beside printed ones


def show_studies(studies: Iterable[Study]) -> None:
    """Print studies, their titles and their models."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("study", "title", "models"):
        table.add_column(column, overflow="fold")
    for study in studies:
        table.add_row(Text(study.name), Text(study.title), Text(listing(study.models)))
    printer().print(table)


def show(results: Sequence[Replication], written: Path | None) -> None:
    """Print provenance, then for each model the side-by-side tables, remarks and checks, and where the page is."""
    console = printer()
    source = provenance(results[0].results["posterior"])
    _say(console, results[0].study.title, "bold")
    _say(console, f"\n{source.headline.upper() if source.reconstructed else source.headline}", "bold yellow")
    _say(console, source.meaning)
    claims = verdicts_of(results)
    for table in (descriptive_table(results[0]), claim_table(claims) if claims else None, range_table(results)):
        if table is not None:
            _print_table(console, *table)
    for result in results:
        _say(console, f"\n{result.spec.title}", "bold")
        console.print()
        _show_model(result, console)
    if written is not None:
        _say(console, f"\nPage written to {written}")


def _show_model(result: Replication, console: Console) -> None:
    columns = columns_of(frames_of(result.results, result.table), errors=True)
    _print_table(console, "", columns, table_rows(result.spec, map(str, result.table.index)))
    ratios = ratio_columns(result.spec, result.results, result.table)
    if ratios:
        console.print()
        named = [row for row in result.table.index if row in ratios[-1].cells]
        _print_table(console, "", ratios, table_rows(result.spec, named))
    average = effect_table(result)
    if average is not None:
        _print_table(console, *average)
    for line in (*_shares(result), *result.remarks):
        _say(console, f"\n{line}")
    missed = result.reconstruction["not_honoured"] if result.reconstruction else []
    if missed:
        _say(console, "\nPrinted, but not so in the reconstructed data", "bold")
    for line in missed:
        _say(console, f"\n{shortened(str(line))}")
    console.print()
    for check in result.checks.to_dict("records"):
        said = verdict(check)
        _say(console, f"{said.text}  {check_line(check)}", said.style)


def shortened(line: str) -> str:
    """The farthest of many numbers beside printed ones; the page has them all."""
    head, mark, cells = line.partition(FARTHEST)
    return f"{head}{mark}{listing(re.split(r'(?<=[)]), ', cells), MOST_NUMBERS)}" if mark else line


def _shares(result: Replication) -> Iterator[str]:
    """For every grouping factor the share of variance between its groups, by each result."""
    columns = columns_of(frames_of(result.results, result.table))
    for term in map(str, result.table.index):
        if is_component(result.spec, term) and term.startswith("vpc_"):
            shown = [" ".join(filter(None, (column.head, *column[term]))) for column in columns if column[term][0]]
            yield f"{quantity(result.spec, term)}: {'; '.join(shown)}"


def _print_table(console: Console, caption: str, columns: list[Column], rows: list[TermRow]) -> None:
    _say(console, caption and f"\n{caption}", "bold")
    for line, style in side_by_side(rows, columns, console):
        console.print(Text(printable(line), style), soft_wrap=True)


def side_by_side(rows: list[TermRow], shown: list[Column], console: Console) -> Iterator[tuple[str, str]]:
    """Lines of a table with their styles; headings run over the columns, and only labels and heads are wrapped."""
    labels = ["  " * row.indented + row.label for row in rows]
    columns = {column.head: [" ".join(filter(None, column[row.term])) for row in rows] for column in shown}
    notes = {column.head: column.note for column in shown}
    widths = {
        head: max(*map(cell_len, texts), *map(len, f"{head} {notes[head]}".split())) for head, texts in columns.items()
    }
    kept = _fitting(widths, console.width - LEAST_LABEL)
    widest = max(cell_len(label) for row, label in zip(rows, labels, strict=True) if row.term)
    first = min(widest, max(LEAST_LABEL, console.width - sum(widths[head] + 2 for head in kept)))
    sizes = [widths[head] for head in kept]
    heads = [textwrap.wrap(head, widths[head]) + textwrap.wrap(notes[head], widths[head]) for head in kept]
    depth = max(map(len, heads))
    for line in zip(*([""] * (depth - len(lines)) + lines for lines in heads), strict=True):
        yield _line("", first, line, sizes), "bold"
    for k, (row, label) in enumerate(zip(rows, labels, strict=True)):
        if not row.term:
            yield label, "bold"
            continue
        *above, last = (part.plain.rstrip() for part in Text(label).wrap(console, first))
        yield from ((text, "") for text in above)
        yield _line(last, first, [columns[head][k] for head in kept], sizes), ""
    left_out = [head for head in widths if head not in kept]
    if left_out:
        yield f"(no room for {listing(left_out)}: widen the terminal, or see the page or --json)", "dim"


def _fitting(widths: dict[str, int], room: int) -> list[str]:
    """Columns that fit beside each other; what can best be done without goes first."""
    kept = list(widths)
    for head in ("posterior from print", "pd"):
        if sum(widths[name] + 2 for name in kept) > room and head in kept:
            kept.remove(head)
    return kept


def _line(label: str, first: int, cells: Iterable[str], widths: Iterable[int]) -> str:
    padded = [" " * (width - cell_len(text)) + text for text, width in zip(cells, widths, strict=True)]
    return "  ".join([label + " " * (first - cell_len(label)), *padded]).rstrip()


def printer() -> Console:
    """A console that never cuts a table short: piped output is as wide as it needs to be."""
    console = Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=PIPED_WIDTH)


def _say(console: Console, text: str, style: str = "") -> None:
    if text:
        console.print(Text(printable(text), style), width=min(console.width, TEXT_WIDTH))


def facts(result: Replication, written: Path | None) -> dict[str, Any]:
    """A replication as JSON values; a number that does not exist is null."""
    tree = result.results["posterior"]
    return {
        "study": result.study.name,
        "model": result.model,
        "provenance": str(tree.attrs["provenance"]),
        "reconstructed": provenance(tree).reconstructed,
        "seed": str(tree.attrs["seed"]),
        "data_digest": str(tree.attrs["data_digest"]),
        "n_used": int(tree.attrs["n_used"]),
        "table": records(result.table.rename_axis("term").reset_index()),
        "effects": None if result.effects is None else records(result.effects.reset_index()),
        "remarks": list(result.remarks),
        "checks": records(result.checks),
        "reconstruction": result.reconstruction,
        "ranges": None if result.ranges is None else records(result.ranges),
        "descriptives": None if result.descriptives is None else records(result.descriptives),
        "report": None if written is None else str(written),
    }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as JSON values; a number that does not exist is null."""
    found: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return found
