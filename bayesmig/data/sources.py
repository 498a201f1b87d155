"""Rows that come a part at a time, from files larger than memory and other sources."""

from __future__ import annotations

import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from bayesmig.arguments import fits
from bayesmig.data.frames import AnyFrame, frame_of, is_table, pandas_of
from bayesmig.data.numerals import PLAIN, TextColumn, decimal_sign
from bayesmig.data.separated import mark, table_of
from bayesmig.errors import BayesmigError, DataError, UnknownColumn, closest, listing, require

if TYPE_CHECKING:
    from typing import Self

ROWS = 500_000
LOOKED_AT = 1 << 20  # bytes of a text file, to find its layout
SAMPLE = "To use it all the same, fit a random sample of the rows that fits in memory."


class Summable(Protocol):
    """What a part of the rows gives, and can be added to what others give."""

    def __add__(self, other: Self, /) -> Self: ...


@dataclass(frozen=True)
class Piece:
    """Some rows, indexed by their place in the source, and what messages call them."""

    frame: pd.DataFrame
    name: str


class Source(Protocol):
    """Where rows come from.

    ``columns``: None if they are known only once rows are read. ``numbers``: columns that hold numbers, whatever their
    rows; None if that is not known. ``count``: how many pieces there are.
    """

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> pd.Index[Any] | None: ...
    @property
    def numbers(self) -> frozenset[str] | None: ...
    @property
    def count(self) -> int | None: ...
    def pieces(self, columns: Sequence[str] | None) -> Iterator[Piece]: ...


@dataclass(frozen=True, eq=False)
class Chunks:
    """Rows that are read a part at a time, whenever they are needed; made by :func:`chunks`.

    ``source``: where the rows come from.
    """

    source: Source | _Dask

    def __repr__(self) -> str:
        return f"Chunks({self.source.name})"

    def total[Part: Summable](
        self, function: Callable[[Piece], Part | None], columns: Sequence[str] | None, what: str
    ) -> Part | None:
        """The sum of what a function gives for every piece; None if no piece gives anything.

        ``function``: of a piece; a function of a module or a ``functools.partial`` of one, so that it can be sent to
        others. ``columns``: those to read; all unless given. ``what``: what a progress bar on a terminal calls it.
        """
        given = partial(_located, function)
        if isinstance(self.source, _Dask):
            return self.source.total(given, columns)  # type: ignore[no-any-return]
        found: Part | None = None
        with closing(_ahead(self.source.pieces(columns))) as pieces:
            for piece in shown(pieces, self.source.count, what):
                found = _sum(found, given(piece))
        return found


def chunks(
    source: str | Path | Sequence[str | Path] | AnyFrame | Callable[[], Iterable[AnyFrame]] | Any, *, rows: int = ROWS
) -> Chunks:
    """Data that are read a part at a time, so that they may be larger than memory.

    Parameters
    ----------
    source : path, list of paths, callable, Dask DataFrame, pandas.DataFrame or table
        A ``.parquet`` or ``.csv`` file (UTF-8), a folder of ``.parquet`` files, or several files with the same columns.
        A table that gives its rows by Arrow, such as a DuckDB relation, whose query then runs twice. A function without
        arguments that returns an iterable of data frames, a new one in every call, is for all other files:
        ``lambda: query.collect_batches()`` of a LazyFrame. Partitions of a Dask DataFrame are added up where they are.
    rows : int
        How many to read at a time. The result does not depend on it beyond rounding. Callables and Dask have their own
        parts.

    Returns
    -------
    Chunks
        For :func:`bayesmig.fit` and :func:`bayesmig.estimate` in the place of a data frame.

    Raises
    ------
    DataError
        If there is no such file, or it is none that can be read.

    Notes
    -----
    Prefer Parquet: single columns can be read from it, numbers need no parsing, and categories keep their levels. CSV
    is read twice, and a number in it that programs do not write so, such as ``1,234``, is refused: what it means is
    decided by all rows of all columns, which :func:`bayesmig.read_survey` has and a part has not. Whether the dot of
    ``1.234`` begins decimals is decided by the columns of the first rows.

    What it means: a linear multilevel model needs of the rows only sums of products, which are a few kB. What looks at
    single rows afterwards, such as a check of the residuals, cannot be had of such a result.

    Examples
    --------
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "x": [0.0, 1, 2, 3, 4, 5]})
    >>> from bayesmig import fit
    >>> tree = fit("y ~ x", chunks(data, rows=2), seed=1)
    >>> tree.attrs["n_used"]
    6
    """
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        raise DataError(f"rows={rows!r}: give a positive whole number, how many rows to read at a time.")
    if isinstance(source, pd.DataFrame):
        return Chunks(_Frame(source, rows))
    paths = [source] if isinstance(source, (str, Path)) else source
    if isinstance(paths, Sequence) and paths and fits(paths, Sequence[str | Path]):
        return Chunks(_files(paths, rows))
    if hasattr(source, "to_delayed") and hasattr(source, "dtypes"):
        return Chunks(_Dask(source))
    if is_table(source) and not hasattr(source, "read_next_batch") and not hasattr(source, "collect"):
        return Chunks(_Stream(source, rows))
    if callable(source):
        return Chunks(_Frames(source))
    raise DataError(
        f"no rows can be read from {type(source).__name__}; give the path of a .parquet or .csv file or several paths,"
        " a function that returns an iterable of data frames, a Dask DataFrame, a pandas DataFrame or a table that can"
        " be read more than once."
    )


def _files(paths: Sequence[str | Path], rows: int) -> _Parquet | _Csv:
    files = []
    for path in map(Path, paths):
        files += sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    for file in files:
        if not file.is_file():
            beside = [other.name for other in file.parent.iterdir()] if file.parent.is_dir() else []
            raise DataError(f"no data file {str(file)!r}{closest(file.name, beside)}; give the path of a survey file.")
    endings = {file.suffix.lower() for file in files}
    if endings == {".parquet"}:
        return _Parquet(tuple(files), rows)
    if endings == {".csv"}:
        return _Csv(tuple(files), rows)
    found = listing(endings) if files else f"a folder without .parquet files ({str(paths[0])!r})"
    raise DataError(
        f"only .parquet or .csv files are read in parts, got {found}. For others give a function that returns an"
        " iterable of data frames."
    )


@dataclass(frozen=True, eq=False)
class _Frame:
    """Rows of a data frame."""

    frame: pd.DataFrame
    rows: int

    @property
    def name(self) -> str:
        return f"a data frame of {len(self.frame)} rows"

    @property
    def columns(self) -> pd.Index[Any]:
        return pd.Index(self.frame.columns.tolist())

    @property
    def numbers(self) -> frozenset[str]:
        return _numbers(self.frame.dtypes)

    @property
    def count(self) -> int:
        return -(-len(self.frame) // self.rows)

    def pieces(self, columns: Sequence[str] | None) -> Iterator[Piece]:
        chosen = self.frame if columns is None else self.frame[list(columns)]
        for start in range(0, len(chosen), self.rows):
            part = chosen.iloc[start : start + self.rows]
            yield Piece(part, f"rows {start} to {start + len(part) - 1}")


class _Arrow(ABC):
    """Rows whose columns an Arrow schema names."""

    @property
    @abstractmethod
    def _schema(self) -> Any: ...

    @property
    def columns(self) -> pd.Index[Any]:
        names: list[str] = self._schema.names
        return pd.Index(names)

    @property
    def numbers(self) -> frozenset[str]:
        from pyarrow import types

        tests = (types.is_floating, types.is_integer, types.is_boolean)
        return frozenset(field.name for field in self._schema if any(test(field.type) for test in tests))


@dataclass(frozen=True)
class _Parquet(_Arrow):
    """Parquet files."""

    files: tuple[Path, ...]
    rows: int

    @property
    def name(self) -> str:
        return listing((file.name for file in self.files), 3)

    @property
    def count(self) -> int:
        return sum(-(-_opened(file).metadata.num_rows // self.rows) for file in self.files)

    @property
    def _schema(self) -> Any:
        return _opened(self.files[0]).schema_arrow

    def pieces(self, columns: Sequence[str] | None) -> Iterator[Piece]:
        for file in self.files:
            opened = _opened(file)
            _check_columns(columns, opened.schema_arrow.names, file.name)
            place = 0
            for batch in opened.iter_batches(self.rows, columns=None if columns is None else list(columns)):
                frame = batch.to_pandas(split_blocks=True, ignore_metadata=True)
                frame.index = pd.RangeIndex(place, place + len(frame))
                yield Piece(frame, f"rows {place} to {place + len(frame) - 1} of {file.name}")
                place += len(frame)


@dataclass(frozen=True, eq=False)
class _Stream(_Arrow):
    """Rows that a table of another library gives batch by batch."""

    table: Any
    rows: int
    count = None

    @property
    def name(self) -> str:
        return f"a {type(self.table).__name__}"

    @property
    def _schema(self) -> Any:
        with self._opened() as batches:
            return batches.schema

    def _opened(self) -> Any:
        import pyarrow as pa

        return pa.RecordBatchReader.from_stream(self.table)

    def pieces(self, columns: Sequence[str] | None) -> Iterator[Piece]:
        import pyarrow as pa

        place = 0
        with self._opened() as batches:
            for batch in batches:
                for start in range(0, len(batch), self.rows):
                    part = pa.Table.from_batches([batch.slice(start, self.rows)])
                    frame = pandas_of(part if columns is None else part.select(list(columns)))
                    frame.index = pd.RangeIndex(place, place + len(frame))
                    yield Piece(frame, f"rows {place} to {place + len(frame) - 1} of {self.name}")
                    place += len(frame)


def _opened(file: Path) -> Any:
    from pyarrow import lib, parquet

    try:
        return parquet.ParquetFile(file, pre_buffer=False)  # which would keep the whole file in memory
    except (OSError, lib.ArrowException) as error:
        raise DataError(f"{str(file)!r} cannot be read as .parquet: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class _Csv:
    """Files of comma-separated text, whose columns are numbers where all of their cells are."""

    files: tuple[Path, ...]
    rows: int
    numbers = None
    count = None

    @property
    def name(self) -> str:
        return listing((file.name for file in self.files), 3)

    @property
    def columns(self) -> pd.Index[Any]:
        return _head(self.files[0])[0]

    def pieces(self, columns: Sequence[str] | None) -> Iterator[Piece]:
        for file in self.files:
            with _reading_csv(file):
                yield from self._pieces_of(file, columns)

    def _pieces_of(self, file: Path, columns: Sequence[str] | None) -> Iterator[Piece]:
        names, likely, options = _head(file)
        _check_columns(columns, names.tolist(), file.name)
        options |= {"chunksize": self.rows, "usecols": None if columns is None else list(columns)}
        parts = iter(pd.read_csv(file, **options))
        while (frame := _next_part(parts)) is not None:
            texts = [TextColumn(str(name), column.fillna("")) for name, column in frame.items()]
            answers = {text.name: _plain(text, file, likely) for text in texts}
            frame = pd.DataFrame(answers, index=frame.index).infer_objects()
            yield Piece(frame, f"rows {frame.index[0]} to {frame.index[-1]} of {file.name}")


def _plain(column: TextColumn, file: Path, likely: str) -> pd.Series:
    """Numbers where all of a part is numbers as programs write them: no part can tell what a comma means in others.

    Raises DataError if a reader of the whole file would see other numbers; ``likely`` begins decimals where both signs
    may, as far as the first rows tell.
    """
    if not column.fitting:
        return column.as_text
    if not column.is_plain or "." not in column.fitting or (column.is_open and likely != "."):
        odd = next((cell for cell in column.cells if cell and not PLAIN.fullmatch(cell)), column.cells[0])
        raise DataError(
            f"{str(file)!r}: column {column.name!r} holds numbers that programs do not write so, such as {odd!r}, and"
            " what they mean takes all rows and columns. Read the file whole by bm.read_survey and save it by"
            " data.to_parquet('survey.parquet'), or give chunks a function that returns frames."
        )
    numbers, gone, _ = column.numbers(".")
    return numbers.mask(gone, None)


def _head(file: Path) -> tuple[pd.Index[Any], str, dict[str, Any]]:
    """Columns of a CSV file, the sign of decimals by all columns of its first rows, and how it is to be read."""
    with _reading_csv(file):
        with file.open("rb") as stream:
            content = stream.read(LOOKED_AT)
        encoding = mark(content, file)
        whole = content if len(content) < LOOKED_AT else content[: content.rfind(b"\n") + 1]
        table = table_of(whole.decode(encoding), repr(str(file)))
        cells = zip_longest(*table.rows[1:], fillvalue="")
        decimal = decimal_sign([TextColumn("", pd.Series(column)) for column in cells], table.decimal)
        options: dict[str, Any] = {"sep": table.separator, "skiprows": table.lines[0] - 1, "dtype": str}
        options |= {"index_col": False, "encoding": encoding, "keep_default_na": False}
        return pd.Index(pd.read_csv(file, nrows=0, **options).columns.tolist()), decimal, options


@contextmanager
def _reading_csv(file: Path) -> Iterator[None]:
    """Errors of reading in words."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(f"{str(file)!r} is not UTF-8 ({error.reason}); save it as UTF-8.") from None
    except (pd.errors.EmptyDataError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise DataError(f"{str(file)!r} cannot be read as CSV: {str(error).strip()}.") from None


def _next_part(parts: Iterator[pd.DataFrame]) -> pd.DataFrame | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # cells beyond the last column would be lost
        return next(parts, None)


@dataclass(frozen=True, eq=False)
class _Frames:
    """Frames that a function returns one after the other."""

    function: Callable[[], Iterable[AnyFrame]]
    columns = None
    numbers = None
    count = None

    @property
    def name(self) -> str:
        return f"frames of {getattr(self.function, '__name__', repr(self.function))}"

    def pieces(self, columns: Sequence[str] | None) -> Iterator[Piece]:
        for number, frame in enumerate(self.function(), start=1):
            try:
                frame = frame_of(frame)
            except DataError as error:
                raise DataError(f"chunk {number}: {error}") from None
            _check_columns(columns, list(frame.columns), f"chunk {number}")
            yield Piece(frame if columns is None else frame[list(columns)], f"chunk {number}")


@dataclass(frozen=True, eq=False)
class _Dask:
    """Partitions of a Dask DataFrame."""

    frame: Any

    @property
    def name(self) -> str:
        return f"a Dask DataFrame of {self.frame.npartitions} partitions"

    @property
    def columns(self) -> pd.Index[Any]:
        return pd.Index([str(name) for name in self.frame.columns])

    @property
    def numbers(self) -> frozenset[str]:
        return _numbers(self.frame.dtypes)

    def total(self, function: Callable[[Piece], Any], columns: Sequence[str] | None) -> Any:
        """The sum over partitions, two by two, where they are."""
        from dask.delayed import delayed

        chosen = self.frame if columns is None else self.frame[list(columns)]
        parts = [
            delayed(_of_partition)(function, part, number) for number, part in enumerate(chosen.to_delayed(), start=1)
        ]
        while len(parts) > 1:
            pairs = [delayed(_sum)(*parts[k : k + 2]) for k in range(0, len(parts) - 1, 2)]
            parts = pairs + parts[2 * len(pairs) :]
        return parts[0].compute()


def _of_partition(function: Callable[[Piece], Any], frame: pd.DataFrame, number: int) -> Any:
    return function(Piece(frame, f"partition {number}"))


def _numbers(dtypes: pd.Series) -> frozenset[str]:
    return frozenset(str(name) for name, dtype in dtypes.items() if pd.api.types.is_numeric_dtype(dtype))


def _check_columns(columns: Sequence[str] | None, found: Sequence[str], where: str) -> None:
    alike = " All parts need the same columns; one that was not asked is a column without values."
    require(columns or (), found, f"{where} has no column ", there="; it has", then=alike, error=UnknownColumn)


def _located(function: Callable[[Piece], Any], piece: Piece) -> Any:
    """What a function gives for a piece, which errors name; None for one without rows."""
    if piece.frame.empty:
        return None
    try:
        return function(piece)
    except BayesmigError as error:
        raise type(error)(f"{piece.name}: {error}") from None


def _sum(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else add(one, other)


def _ahead(pieces: Iterator[Piece]) -> Generator[Piece]:
    """The same pieces, the next being read while one is worked on."""
    reader = ThreadPoolExecutor(1)
    try:
        coming = reader.submit(next, pieces, None)
        while (piece := coming.result()) is not None:
            coming = reader.submit(next, pieces, None)
            yield piece
    finally:
        reader.shutdown(wait=True, cancel_futures=True)


def shown[Item](items: Iterable[Item], count: int | None, what: str) -> Iterator[Item]:
    """The same items, with a progress bar on a terminal."""
    state = random.getstate()  # rich draws from it when it is imported
    from rich.console import Console
    from rich.progress import track

    random.setstate(state)
    console = Console(stderr=True)
    return iter(track(items, what, count, console=console, disable=not console.is_terminal, transient=True))
