"""The command line: list studies, show one, replicate one and write its page.

Everything heavy is imported inside the command that needs it, so that help comes at once.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesmig.errors import BayesmigError, DataError, listing

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from bayesmig.replication import Replication

USER_ERROR = 2
PIPED_WIDTH = 400
TEXT_WIDTH = 88
LEAST_LABEL = 20

app = typer.Typer(
    help="Bayesian multilevel models for research on migration and social integration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A name from 'bayesmig studies', or a study file.")]


@app.command()
def studies() -> None:
    """List the studies that can be replicated."""
    with _user_errors():
        from rich.table import Table

        from bayesmig import catalogue

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("study", "title", "models"):
            table.add_column(column, overflow="fold")
        for name in catalogue.studies():
            found = catalogue.study(name)
            table.add_row(_plain(name), _plain(found.title), _plain(listing(found.models)))
        _console().print(table)


@app.command()
def show(name: StudyName) -> None:
    """Show a study's codebook, models and priors."""
    with _user_errors():
        from bayesmig import catalogue

        typer.echo(str(catalogue.study(name)))


@app.command()
def replicate(
    name: StudyName,
    model: Annotated[str | None, typer.Option(help="Key of the model; the study's main model unless given.")] = None,
    data: Annotated[Path | None, typer.Option(help="Your own data as CSV, in the study's codebook.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same numbers.")] = 1,
    report: Annotated[Path | None, typer.Option(help="Where the page goes; ./STUDY.html unless given.")] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Replicate a paper's model: printed, frequentist and posterior numbers side by side.

    Without --data the data are reconstructed from the printed table: good for learning, never evidence.
    """
    with _user_errors():
        from bayesmig import catalogue
        from bayesmig.replication import replicate as run
        from bayesmig.reporting import page

        study = catalogue.study(name)
        target = None if no_report else page.writable(report or Path(f"{study.name}.html"))
        result = run(study, model, data=None if data is None else _read(data), seed=seed)
        written = None if target is None else page.report(result, target)
        if as_json:
            typer.echo(json.dumps(_facts(result, written), ensure_ascii=False, indent=2, allow_nan=False))
        else:
            _print(result, written)


@contextmanager
def _user_errors() -> Iterator[None]:
    """What a user can mend is one message and exit status 2; anything else is a bug and keeps its traceback."""
    try:
        yield
    except (BayesmigError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(USER_ERROR) from None


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    if not path.is_file():
        raise DataError(f"no data file {str(path)!r}; give the path of a CSV file with one row a person.")
    try:
        return pd.read_csv(path, encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(
            f"{str(path)!r} is not UTF-8 text; in Excel save it as 'CSV UTF-8 (comma delimited)'."
        ) from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise DataError(f"{str(path)!r} cannot be read as CSV: {str(error).strip()}.") from None


def _facts(result: Replication, written: Path | None) -> dict[str, Any]:
    """The result as JSON values; a number that does not exist is null."""
    from bayesmig.reporting.words import provenance

    tree = result.results["posterior"]
    return {
        "study": result.study.name,
        "model": result.model,
        "provenance": str(tree.attrs["provenance"]),
        "reconstructed": provenance(tree).reconstructed,
        "seed": str(tree.attrs["seed"]),
        "data_digest": str(tree.attrs["data_digest"]),
        "n_used": int(tree.attrs["n_used"]),
        "table": _records(result.table.rename_axis("term").reset_index()),
        "checks": _records(result.checks),
        "reconstruction": result.reconstruction,
        "report": None if written is None else str(written),
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return records


def _print(result: Replication, written: Path | None) -> None:
    from bayesmig.reporting.words import check_line, provenance

    console = _console()
    tree = result.results["posterior"]
    source = provenance(tree)
    _say(console, f"{result.study.title}\n{result.spec.title}", "bold")
    _say(console, f"\n{source.headline.upper() if source.reconstructed else source.headline}", "bold yellow")
    _say(console, source.meaning)
    console.print()
    for line, style in _side_by_side(result, console):
        console.print(_plain(line, style), soft_wrap=True)
    for line in _shares(result):
        _say(console, f"\n{line}")
    console.print()
    for check in result.checks.to_dict("records"):
        word, style = ("✓ passed", "green") if check["passed"] else ("✗ FAILED", "bold red")
        _say(console, f"{word}  {check_line(check)}", style)
    if written is not None:
        _say(console, f"\nPage written to {written}")


def _shares(result: Replication) -> Iterator[str]:
    """For every grouping factor the share of variance between its groups, by each result."""
    from bayesmig.reporting.words import columns_of, frames_of, is_component, quantity

    columns = columns_of(frames_of(result.results, result.table))
    for term in map(str, result.table.index):
        if is_component(result.spec, term) and term.startswith("vpc_"):
            shown = [" ".join(filter(None, (column.head, *column[term]))) for column in columns if column[term][0]]
            yield f"{quantity(result.spec, term)}: {'; '.join(shown)}"


def _side_by_side(result: Replication, console: Console) -> Iterator[tuple[str, str]]:
    """Lines of the table with their styles; headings run over the columns, and only labels and heads are wrapped."""
    from rich.cells import cell_len

    from bayesmig.reporting.words import columns_of, frames_of, table_rows

    rows = table_rows(result.spec, [str(name) for name in result.table.index])
    labels = ["  " * row.indented + row.label for row in rows]
    columns = {
        column.head: [" ".join(filter(None, column[row.term])) for row in rows]
        for column in columns_of(frames_of(result.results, result.table), errors=True)
    }
    notes = {column.head: column.note for column in columns_of(frames_of(result.results), errors=True)}
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
        *above, last = (part.plain.rstrip() for part in _plain(label).wrap(console, first))
        yield from ((text, "") for text in above)
        yield _line(last, first, [columns[head][k] for head in kept], sizes), ""
    left_out = [head for head in widths if head not in kept]
    if left_out:
        yield f"(no room for {listing(left_out)}: widen the terminal, or see the page or --json)", "dim"


def _fitting(widths: dict[str, int], room: int) -> list[str]:
    """Columns that fit beside each other; the first posterior comes before its companions, those from the end go."""
    kept = list(widths)
    for head in ("posterior from print", "pd"):
        if sum(widths[name] + 2 for name in kept) > room and head in kept:
            kept.remove(head)
    return kept


def _line(label: str, first: int, cells: Iterable[str], widths: Iterable[int]) -> str:
    from rich.cells import cell_len

    padded = [" " * (width - cell_len(text)) + text for text, width in zip(cells, widths, strict=True)]
    return "  ".join([label + " " * (first - cell_len(label)), *padded]).rstrip()


def _console() -> Console:
    """A console that never cuts a table short: piped output is as wide as it needs to be."""
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, markup=False, emoji=False, width=PIPED_WIDTH)


def _say(console: Console, text: str, style: str = "") -> None:
    if text:
        console.print(_plain(text, style), width=min(console.width, TEXT_WIDTH))


def _plain(text: str, style: str = "") -> Any:
    """Text as it is: square brackets of terms are no markup."""
    from rich.text import Text

    return Text(text, style)


if __name__ == "__main__":
    app()
