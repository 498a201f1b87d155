"""What one printed cell says: the pairs of estimate and error that would have been printed so.

A p or stars bound the error only; where they leave an end open, least squares does, or a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special, stats

from bayesmig.contract.arrays import Array
from bayesmig.contract.names import pieces
from bayesmig.errors import DataError, NotFound, require
from bayesmig.printed import literature
from bayesmig.printed.evidence.tables import PrintedModel, printed_model
from bayesmig.specification.model import Study

B_SE, B_P, B_STARS = "B and SE", "B and p", "B and stars"

# Where p is open (p < 0.001, or no star: p up to 1), |z| is closed at these, unless the design says more. They were
# chosen so that 95 % intervals from stars alone cover in 95 % of simulated tables (docs/evidence.md).
LARGEST_Z, SMALLEST_Z = 6.0, 0.02
LARGEST_VIF = 10.0  # above it, papers report collinearity

SE_NODES, P_NODES, CELLS = 5, 16, 4


@dataclass(frozen=True)
class Evidence:
    """The pairs of estimate and standard error that would have been printed as this cell was.

    kind : which columns it rests on
    centre, half : (k,) array: the estimate lies within ``centre - half`` and ``centre + half``
    error : (k,) array: standard errors
    weight : (k,) array
    df : degrees of freedom of ``(estimate - beta) / error``; normal if None
    closed_by : what bounds the standard error where p leaves it open: ``print``, ``design`` or ``default``
    """

    kind: str
    centre: Array
    half: Array
    error: Array
    weight: Array
    df: float | None
    closed_by: str = "print"

    @property
    def typical_error(self) -> float:
        """One standard error for formulas that need one: the geometric mean."""
        return float(np.exp(self.weight @ np.log(self.error) / self.weight.sum()))

    def likelihood(self, beta: Array) -> Array:
        """Probability of the printed cell at each ``beta``, up to a constant."""
        distance = abs(beta[:, None] - self.centre)
        upper, lower = (self.half - distance) / self.error, (-self.half - distance) / self.error
        if self.df is None:
            return np.asarray((special.ndtr(upper) - special.ndtr(lower)) @ self.weight)
        return np.asarray((special.stdtr(self.df, upper) - special.stdtr(self.df, lower)) @ self.weight)


def evidence_of(row: pd.Series, df: float | None, design: tuple[float, float] | None) -> Evidence | None:
    """What a cell says, from the SE if it is printed, else from p, else from stars; None if from nothing."""
    if np.isfinite(row["std_error"]):
        errors = _rounding_nodes(row["std_error"], row["se_half_unit"])
        ones = np.ones(SE_NODES)
        return Evidence(B_SE, row["estimate"] * ones, row["half_unit"] * ones, errors, ones / SE_NODES, df)
    kind, bounds = (
        (B_P, literature.p_bounds(str(row["p_value"])))
        if row["p_value"]
        else (B_STARS, (row["p_lower"], row["p_upper"]))
    )
    if not np.isfinite(bounds).all():
        return None
    if not 0 <= bounds[0] <= bounds[1] <= 1:
        raise DataError(
            f"p of {row.name!r} from {bounds[0]:g} to {bounds[1]:g}: p lies between 0 and 1, the lower first."
        )
    return _from_p(row, kind, bounds, df, design)


def contradiction(row: pd.Series, df: float | None) -> str | None:
    """What a printed p says against B and SE, one- or two-sided; None where they agree or one is not printed."""
    if not np.isfinite(row["std_error"]) or not row["p_value"]:
        return None
    size, half, se_half = abs(row["estimate"]), row["half_unit"], row["se_half_unit"]
    if row["std_error"] <= se_half:
        return None
    ratios = max(size - half, 0.0) / (row["std_error"] + se_half), (size + half) / (row["std_error"] - se_half)
    tails = [stats.norm.sf(ratios[1]), (stats.norm if df is None else stats.t(df)).sf(ratios[0])]
    least, most = literature.p_bounds(str(row["p_value"]))
    if any(sides * tails[0] <= most and sides * tails[1] >= least for sides in (1, 2)):
        return None
    return f"p {row['p_value']}, and B and SE give {2 * tails[0]:.2g} to {2 * tails[1]:.2g}"


def _from_p(
    row: pd.Series, kind: str, p: tuple[float, float], df: float | None, design: tuple[float, float] | None
) -> Evidence:
    """Standard errors uniform in their logarithm between those that p implies, in every cell of B's rounding."""
    smallest, largest = critical(np.array([p[1], p[0]]), df)
    magnitude, half = max(abs(row["estimate"]), row["half_unit"]), row["half_unit"] / CELLS
    centre = row["estimate"] + half * (2 * np.arange(CELLS) + 1 - CELLS)
    with np.errstate(divide="ignore"):
        low, high = abs(centre) / largest, np.divide(abs(centre), smallest)
    default = magnitude / max(LARGEST_Z, 2 * smallest), magnitude / min(SMALLEST_Z, largest / 4)
    open_below, open_above = bool(np.isinf(largest)), smallest == 0
    closed_by = "print"
    for name, bounds in (("design", design), ("default", default)):
        if bounds is None:
            continue
        lowest = np.maximum(low, bounds[0]) if open_below or kind == B_STARS else low
        highest = np.minimum(high, bounds[1]) if open_above else high
        if (lowest <= highest).any():
            closed_by = name if open_below or open_above else "print"
            break
    inside = lowest <= highest
    lowest, highest, centre = lowest[inside], highest[inside], centre[inside]
    spans = np.maximum(np.log(highest / lowest), 1e-12)
    errors = lowest[:, None] * np.exp(spans[:, None] * (np.arange(P_NODES) + 0.5) / P_NODES)
    shape = errors.shape
    return Evidence(
        kind,
        centre=np.broadcast_to(centre[:, None], shape).ravel(),
        half=np.full(errors.size, half),
        error=errors.ravel(),
        weight=np.broadcast_to(spans[:, None] / spans.sum() / P_NODES, shape).ravel(),
        df=df,
        closed_by=closed_by,
    )


def critical(p: Array, df: float | None) -> Array:
    """The |z| (or |t|) whose two-sided p these are; of a p of one zero, not -1e-16 as by some versions of scipy."""
    return np.maximum(stats.norm.isf(p / 2) if df is None else stats.t.isf(p / 2, df), 0.0)


def _rounding_nodes(value: float, half: float) -> Array:
    """Midpoints of equal parts of the interval that rounds to ``value``, none below a tenth of it."""
    offsets = (np.arange(SE_NODES) + 0.5) / SE_NODES * 2 - 1
    return np.maximum(value + half * offsets, max(value, half) / 10)


def design_bounds(model: PrintedModel) -> dict[str, tuple[float, float]]:
    """Smallest and largest standard error that least squares allows a term, where enough is printed.

    ``SE^2 = s^2 VIF / ((n - 1) sd_x^2)``, with the residual variance ``s^2`` from a printed sigma or from
    ``(1 - adjusted R^2) sd_y^2``. VIF lies between 1 and ``LARGEST_VIF``, or within 20 % of the printed one.
    """
    n, _ = model.size
    if not model.linear or not n > 1:
        return {}
    residual = _residual_sd(model)
    printed_vif = dict(zip(model.cells.index, _column_of(model, "vif"), strict=True))
    bounds = {}
    for term in model.cells.index.drop("intercept", errors="ignore"):
        base = residual / (_sd(model, term) * np.sqrt(n - 1))
        vif = printed_vif[term]
        low, high = (1.0, LARGEST_VIF) if np.isnan(vif) else (max(vif / 1.2, 1.0), max(vif * 1.2, 1.0))
        if np.isfinite(base):
            bounds[term] = float(base * np.sqrt(low)), float(base * np.sqrt(high))
    return bounds


def _fact(model: PrintedModel, name: str) -> str:
    """A fact of the text, empty if it is not stated."""
    facts = model.tables.get("design", pd.DataFrame(columns=["fact", "value"]))
    return next(iter(facts["value"][facts["fact"] == name]), "")


def is_standardised(model: PrintedModel) -> bool:
    """Whether the coefficients are printed in sds of the outcome per sd of the predictor."""
    return _fact(model, "coefficients_are") == "standardised"


def _residual_sd(model: PrintedModel) -> float:
    """Residual sd in the unit of the coefficients; NaN if it is not printed."""
    n, terms = model.size
    if "sigma" in model.variances.index and not is_standardised(model):
        return float(model.variances["variance"]["sigma"] ** 0.5)
    share = 1 - model.statistics.get("adjusted_r2", float("nan"))
    if np.isnan(share) and "r2" in model.statistics:
        share = (1 - model.statistics["r2"]) * (n - 1) / max(n - terms, 1)
    return float(np.sqrt(max(share, 0.0)) * _outcome_sd(model)) or float("nan")


def _outcome_sd(model: PrintedModel) -> float:
    """Sd of the outcome in the unit of the coefficients: 1 on the scale of a linear predictor, else as printed."""
    if not model.linear:
        return 1.0
    stated = pd.to_numeric(_fact(model, "outcome_scale_sd"), errors="coerce")
    return float(stated) if stated > 0 else _sd(model, model.outcome)


def _sd(model: PrintedModel, term: str) -> float:
    """Sd of a column: 1 where it is standardised, as printed, or from the printed share of a level; else NaN."""
    variable, level = pieces(term)[0]
    if is_standardised(model) or variable in model.spec.standardise:
        return 1.0
    table = model.tables.get("descriptives")
    if table is None or ":" in term:
        return float("nan")
    rows = table[
        (table["variable"] == variable)
        & (table["level"] == (level or ""))
        & table["group"].isin(literature.WHOLE_SAMPLE)
    ]
    values = dict(zip(rows["statistic"], pd.to_numeric(rows["value"], errors="coerce"), strict=True))
    share = values.get("percent", float("nan")) / 100
    return float(values.get("sd", np.sqrt(share * (1 - share)) if level else float("nan")))


def prior_unit(model: PrintedModel, term: str, sds: Mapping[str, float]) -> tuple[float, list[str]]:
    """What a relative prior of a coefficient counts in, sd of the outcome over sd of the term, and what it lacks.

    ``sds`` holds those that the reader of the table knows from elsewhere; they go before the printed ones.
    """
    printed = {model.outcome: _outcome_sd(model), term: _sd(model, term)}
    found = {name: float(sds.get(name, sd)) for name, sd in printed.items()}
    missing = [name for name, sd in found.items() if not sd > 0]
    return (found[model.outcome] / found[term] if not missing else float("nan")), missing


def _column_of(model: PrintedModel, name: str) -> Array:
    """A further column of the printed coefficients, NaN where it is not there."""
    rows = literature.rows_of(model.tables, "coefficients", *(model.spec.printed or ("", "")))
    if name not in rows:
        return np.full(len(model.cells), np.nan)
    return pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype=float)


def evidence_by_term(source: Study | str | Path, model: str) -> tuple[PrintedModel, dict[str, Evidence]]:
    """Every coefficient of a model that comes with an SE, p or stars. Raises NotFound if none does."""
    printed = printed_model(source, model)
    design = design_bounds(printed)
    found = {str(term): evidence_of(row, printed.df, design.get(str(term))) for term, row in printed.cells.iterrows()}
    kept = {term: evidence for term, evidence in found.items() if evidence is not None}
    if not kept:
        raise NotFound(
            f"{printed.source} {model!r} prints neither standard errors, p nor stars; a posterior cannot be had from B"
            " alone. For stars, p_lower and p_upper must say which p they stand for under the table's own legend."
        )
    return printed, kept


def check_terms(terms: list[str], known: object, what: str) -> None:
    names = [str(name) for name in known]  # type: ignore[attr-defined]
    require(terms, names, "no term ", there=f"; {what}:")
