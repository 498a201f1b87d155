"""What a table prints of one model: cells, variances and statistics, of a study or a folder of CSV files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bayesmig.errors import DataError, NotFound, closest, listing
from bayesmig.printed import literature
from bayesmig.specification.model import ModelSpec, Study
from bayesmig.specification.priors import HalfNormal, PriorSet

FLAT = PriorSet(sigma=HalfNormal(1e6), tau=HalfNormal(1e6), name="flat")
T_BELOW = 200  # degrees of freedom; from here on t and normal quantiles differ by less than 0.6 %


@dataclass(frozen=True)
class PrintedModel:
    """One printed model: cells, variances and statistics, and the tables beside them."""

    source: str
    spec: ModelSpec
    cells: pd.DataFrame
    variances: pd.DataFrame
    statistics: Mapping[str, float]
    tables: Mapping[str, pd.DataFrame]
    linear: bool

    @property
    def outcome(self) -> str:
        """Name of the outcome."""
        return self.spec.formula.split("~")[0].strip()

    @property
    def size(self) -> tuple[float, int]:
        """Printed n (NaN if it is not printed), and coefficients, counting an intercept that is not printed."""
        return self.statistics.get("n", float("nan")), len(self.cells) + ("intercept" not in self.cells.index)

    @property
    def df(self) -> float | None:
        """Degrees of freedom where a printed n is so small that they matter."""
        n, terms = self.size
        return n - terms if self.linear and 1 <= n - terms < T_BELOW else None


def printed_model(source: Study | str | Path, model: str) -> PrintedModel:
    if isinstance(source, Study):
        cells, variances = literature.printed_cells(source, model), literature.printed_variances(source, model)
        spec, tables = source.model(model), literature.tables_of(source)
        statistics = literature.printed_statistics(source, model)
        found = PrintedModel(source.name, spec, cells, variances, statistics, tables, spec.family == "gaussian")
    else:
        found = _from_folder(Path(source), model)
    if found.cells.empty:
        raise NotFound(f"{found.source} prints no coefficient of {model!r}.")
    return found


def _from_folder(folder: Path, model: str) -> PrintedModel:
    tables = literature.read_folder(folder)
    literature.require_coefficients(tables, folder)
    table, name = _chosen(tables["coefficients"], model, folder)
    rows = literature.rows_of(tables, "coefficients", table, name)
    cells = literature.cells_of(rows)
    if not cells.index.is_unique:
        raise DataError(f"{folder.name} {model!r} has a term twice: {listing(cells.index[cells.index.duplicated()])}.")
    linear = bool((rows["odds_ratio"] == "").all())
    outcome = next(iter(rows["outcome"]), "") or "outcome"
    spec = ModelSpec(
        f"{outcome} ~ {' + '.join(cells.index) or '1'}",
        name=name,
        title=f"{table}, {name}" if table else name,
        priors=FLAT,
        family="gaussian" if linear else "bernoulli",
        printed=(table, name),
    )
    variances = literature.variances_of(literature.rows_of(tables, "variance_components", table, name))
    return PrintedModel(
        folder.name, spec, cells, variances, literature.statistics_of(tables, table, name), tables, linear
    )


def _chosen(rows: pd.DataFrame, model: str, folder: Path) -> tuple[str, str]:
    """Table and model that a name means."""
    shown = rows[rows["estimate"] != ""]
    pairs = dict.fromkeys(zip(shown["table"], shown["model"], strict=True))
    labels = [f"{table}/{name}" if table else name for table, name in pairs]
    found = [pair for pair, label in zip(pairs, labels, strict=True) if model in (label, pair[1])]
    if len(found) == 1:
        return found[0]
    problem = f"prints {len(found)} models" if found else "prints no model"
    raise NotFound(f"{folder.name} {problem} {model!r}{closest(model, labels)}; printed are {listing(labels, 40)}.")
