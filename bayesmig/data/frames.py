"""Tables of other libraries as pandas frames, by the Arrow interface that polars, pyarrow, DuckDB and others share."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from bayesmig.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
WITH_GAPS = {"bool": "boolean", **{name.lower(): name for name in WHOLE}}  # types that numpy has no gaps in
POOLED = b"_PL_CATEGORICAL"  # polars keeps categories of all columns in one pool, in the order in which it met them


class Streamed(Protocol):
    """A table that gives its rows by the Arrow C interface: of polars, pyarrow, DuckDB, narwhals, Ibis ..."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


class Lazy(Protocol):
    """A query of polars or narwhals that has not run yet."""

    def collect(self) -> Any: ...


type AnyFrame = pd.DataFrame | Streamed | Lazy


def frame_of(data: object) -> pd.DataFrame:
    """The same rows as a pandas frame; one of pandas as it is.

    Integers and yes-or-no answers with gaps keep their types, categories their order: those of an Enum of polars, an
    ENUM of DuckDB and an ordered dictionary of Arrow are ordered. A Categorical of polars, which declares no order, is
    sorted as text is. Raises DataError if the data are no table, cannot be read, or have ordered categories whose parts
    have different orders.

    >>> import pyarrow as pa
    >>> frame_of(pa.table({"age": [30, None], "hukou": ["urban", "rural"]})).dtypes.astype(str).tolist()[0]
    'Int64'
    """
    if isinstance(data, pd.DataFrame):
        return data
    given: Any = data
    if not is_table(given):
        raise no_frame(data)
    import pyarrow as pa

    try:
        table = pa.table(given.collect() if hasattr(given, "collect") else given)
    except Exception as error:  # whatever a database, or a file behind a query, has to say
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise DataError(f"the rows of a {type(data).__name__} cannot be read: {reason}.") from error
    kinds = zip(given.columns, given.types, strict=True) if hasattr(given, "types") else ()
    return pandas_of(table, {name for name, kind in kinds if getattr(kind, "id", "") == "enum"})


def completed_frames(data: object) -> pd.DataFrame | list[pd.DataFrame]:
    """One pandas frame, or the list of those of completed data sets."""
    if not isinstance(data, (list, tuple)):
        return frame_of(data)
    try:
        return [frame_of(each) for each in data]
    except DataError as error:
        raise (error if all(map(is_table, data)) else no_frame(data)) from error.__cause__


def pandas_of(table: pa.Table, enums: Collection[str] = ()) -> pd.DataFrame:
    """An Arrow table as a pandas frame; ``enums`` names categories that are ordered though Arrow is not told so."""
    import pyarrow as pa

    gaps = {field.type for field, column in zip(table.schema, table.columns, strict=True) if column.null_count}

    def nullable(kind: pa.DataType) -> Any:
        return pd.api.types.pandas_dtype(WITH_GAPS[str(kind)]) if kind in gaps and str(kind) in WITH_GAPS else None

    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable, date_as_object=False, ignore_metadata=True)
    for place, (field, column) in enumerate(zip(table.schema, table.columns, strict=True)):
        if not pa.types.is_dictionary(field.type):
            continue
        ordered = field.type.ordered or field.name in enums
        alike = all(part.dictionary.equals(column.chunk(0).dictionary) for part in column.chunks)
        if ordered and not alike:
            raise DataError(
                f"column {field.name!r} has ordered categories whose parts list them in different orders; give the"
                " column one type for all rows, such as an Enum, before the parts are put together."
            )
        values = frame.iloc[:, place].cat
        if ordered:
            frame.isetitem(place, values.as_ordered().array)
        elif not alike or any(key.startswith(POOLED) for key in field.metadata or ()):
            used = values.remove_unused_categories()
            frame.isetitem(place, used.cat.reorder_categories(sorted(used.cat.categories)).array)
    return frame


def no_frame(data: object) -> DataError:
    """What is wrong with data that are no data frame, and what makes one of them."""
    what, remedy = "None" if data is None else type(data).__name__, "pandas.DataFrame(data) may make one"
    if isinstance(data, (list, tuple)):
        odd = next((k for k, each in enumerate(data) if not is_table(each)), None)
        what += "" if odd is None else f" whose item {odd + 1} is a {type(data[odd]).__name__}"
        remedy += "; a list of data frames is for completed data sets of one survey, in fit and estimate"
    elif isinstance(data, (str, os.PathLike)):
        remedy = f"bayesmig.read_survey({os.fspath(data)!r}) reads a file"
    elif hasattr(data, "to_pandas"):
        remedy = "data.to_pandas() may make one"
    return DataError(
        "data must be a pandas DataFrame, or a table of polars, pyarrow or DuckDB, with one row a person, got"
        f" {what}; {remedy}."
    )


def is_table(data: object) -> bool:
    """Whether something has rows of several columns; single columns stream too."""
    streamed = hasattr(data, "__arrow_c_stream__") and (hasattr(data, "columns") or hasattr(data, "schema"))
    return isinstance(data, pd.DataFrame) or streamed or type(data).__name__ == "LazyFrame"
