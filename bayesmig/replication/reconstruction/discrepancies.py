"""Printed least-squares models held beside what data give, and the account of a joint reconstruction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from bayesmig.contract.arrays import Array
from bayesmig.data.encoding import build_design
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.errors import listing
from bayesmig.replication.reconstruction.items import Measurement
from bayesmig.replication.reconstruction.joint import Indices, Sample, models_together
from bayesmig.replication.reconstruction.provenance import Account, error_ratios, missed_cells, told_statistics
from bayesmig.replication.reconstruction.regressions import Regression
from bayesmig.specification.model import Study

if TYPE_CHECKING:
    from statsmodels.regression.linear_model import RegressionResults

# what statsmodels calls statistics that papers print; its AIC counts the coefficients, as Stata's does
STATISTICS = {"n": "nobs", "r2": "rsquared", "adjusted_r2": "rsquared_adj", "f": "fvalue", "aic": "aic"}
ROUNDED = 1.0001  # half units within which a coefficient prints as it should


def measure_discrepancies(study: Study, data: AnyFrame, models: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Every printed coefficient of least-squares models beside the one that data give.

    Parameters
    ----------
    study : Study
    data : pandas.DataFrame
        Reconstructed, or a researcher's own in the study's codebook.
    models : str or sequence of str, optional
        Printed least-squares models of these people; by default those of the people of the first printed one.

    Returns
    -------
    pandas.DataFrame
        Indexed by model and term: ``printed`` and ``obtained`` coefficients, their difference ``gap`` and the same in
        ``half_units`` of the last printed digit, ``within_rounding``; ``printed_error`` and ``obtained_error``, their
        ``ratio``, and ``as_starred``, whether p lies where the printed stars put it (missing where none are printed).

    Raises
    ------
    NotFound
        If the study prints no least-squares model, or has no such model.
    BayesmigError
        If the data do not follow the codebook.

    Notes
    -----
    What it means: printed tables say the same things several times, so that often no data set can have all of their
    numbers. A gap that stays whatever the seed is a property of the table.

    Examples
    --------
    >>> from bayesmig import reconstruct, study
    >>> paper = study("community_support")
    >>> gaps = measure_discrepancies(paper, reconstruct(paper, seed=1))
    >>> int(gaps["within_rounding"].sum()), len(gaps)
    (120, 125)
    """
    data = frame_of(data)
    keys = [models] if isinstance(models, str) else list(models or models_together(study, None))
    return pd.concat([_gaps_of(study, key, _fit(study, key, data)) for key in keys])


def _gaps_of(study: Study, key: str, fit: RegressionResults) -> pd.DataFrame:
    cells = Regression.of(study, key, int(fit.nobs), study.model(key).parsed.outcome).cells
    frame = pd.DataFrame(
        {
            "printed": cells["estimate"],
            "obtained": fit.params.reindex(cells.index),
            "half_unit": cells["half_unit"],
            "printed_error": cells["std_error"],
            "obtained_error": fit.bse.reindex(cells.index),
        }
    ).dropna(subset=["printed"])
    frame.insert(2, "gap", frame["obtained"] - frame["printed"])
    frame.insert(3, "half_units", frame["gap"] / frame.pop("half_unit"))
    frame.insert(4, "within_rounding", frame["half_units"].abs() <= ROUNDED)
    frame["ratio"] = frame["obtained_error"] / frame["printed_error"]
    p = pd.Series(2 * stats.t.sf(abs(frame["obtained"] / frame["obtained_error"]), fit.df_resid), frame.index)
    bounds = cells.loc[frame.index, ["p_lower", "p_upper"]]
    frame["as_starred"] = p.between(bounds["p_lower"], bounds["p_upper"]).where(bounds.notna().all(axis=1))
    frame.index = pd.MultiIndex.from_product([[key], frame.index], names=["model", "term"])
    return frame


def _fit(study: Study, key: str, data: pd.DataFrame) -> RegressionResults:
    """Least squares."""
    from statsmodels.regression.linear_model import OLS  # statsmodels.api loads all else, for a second

    design = build_design(study.model(key), data)
    return OLS(design.y, pd.DataFrame(design.x, columns=list(design.terms))).fit()


@dataclass(frozen=True)
class JointProvenance(Account):
    """A joint reconstruction held beside everything that is printed of it.

    ``exact``: the model that was met exactly, or nothing.
    """

    sample: Sample
    indices: Indices
    measurements: Sequence[Measurement]
    exact: str
    whole_items: bool

    @cached_property
    def gaps(self) -> pd.DataFrame:
        """Of all models of these people."""
        return pd.concat([_gaps_of(self.study, key, fit) for key, fit in self._fits.items()])

    @cached_property
    def _fits(self) -> dict[str, RegressionResults]:
        return {key: _fit(self.study, key, self.data) for key in self.sample.keys}

    @property
    def errors(self) -> pd.DataFrame:
        """Standard errors by term of the model that was met: ``printed``, ``implied`` and ``ratio``."""
        found = self.gaps.xs(self.exact or self.sample.keys[0])[["printed_error", "obtained_error", "ratio"]]
        return pd.DataFrame(found).set_axis(["printed", "implied", "ratio"], axis=1)

    @cached_property
    def _statistics(self) -> tuple[list[str], list[str], list[str]]:
        printed = {model.key: model.statistics for model in self.sample.printed.regressions}
        return told_statistics(printed, self._obtained)

    def _obtained(self, key: str, name: str) -> float:
        return float(getattr(self._fits[key], STATISTICS[name])) if name in STATISTICS else math.nan

    def honoured(self) -> list[str]:
        within, starred = self.gaps["within_rounding"], self.gaps["as_starred"].dropna()
        exact = f"a fit of {self.exact} by least squares returns every printed coefficient, as printed"
        stars = f"p of {starred.eq(True).sum()} of {len(starred)} coefficients lies where the stars put it"
        return [
            *[exact] * bool(self.exact),
            f"{within.sum()} of {len(within)} printed coefficients of {listing(self.sample.keys, 20)} come back within"
            " rounding from these data",
            *[stars] * bool(len(starred)),
            *self._statistics[0],
            f"{len(self.data):,} people are analysed",
            *self._told[0],
            *self._items(),
            *super().honoured(),
        ]

    def not_honoured(self) -> list[str]:
        beyond = self.gaps[~self.gaps["within_rounding"]]
        return [
            *[
                f"{key} {term}: {obtained:.3f} comes back, {printed:g} is printed"
                for (key, term), obtained, printed in beyond[["obtained", "printed"]].itertuples()
            ],
            *self._statistics[1],
            *error_ratios(self.gaps["ratio"]),
            *self._cells(),
            *super().not_honoured(),
            *self.indices.lost,
            *self._impossible(),
            *(self._moved() if self.whole_items else self._beyond_scales()),
        ]

    def not_compared(self) -> list[str]:
        return [*self._statistics[2], *super().not_compared()]

    def assumed(self) -> list[str]:
        facts = [fact for measurement in self.measurements for fact in measurement.facts]
        return [*super().assumed(), *self.sample.assumed, *self.indices.assumed, *facts]

    def _items(self) -> list[str]:
        form = "in whole answers, of" if self.whole_items else "with"
        return [
            f"{listing(found.items, 20)}: items {form} the printed means and sds; their components are"
            f" {listing(found.outcomes)}"
            for found in self.measurements
        ]

    def _cells(self) -> list[str]:
        """Standard errors and stars that a fit does not give back; coefficients have lines of their own."""
        lines = []
        for model in self.sample.printed.regressions:
            fit = self._fits[model.key]
            lines += missed_cells(model.cells, fit.params, fit.bse, fit.df_resid, model.key)
        return [line for line in lines if ", coefficients: " not in line]

    def _impossible(self) -> list[str]:
        return [
            f"sd of {item}: {scale.sd:g} is printed; with the mean {scale.mean:g} on {scale.lowest:g} to"
            f" {scale.highest:g} none above {scale.largest_sd:.3f} is possible; here it is {self.data[item].std():.3f}"
            for found in self.measurements
            for item, scale in found.scales.items()
            if item in found.items and not scale.possible
        ]

    def _beyond_scales(self) -> list[str]:
        outside = [
            ((self.data[item] < scale.lowest) | (self.data[item] > scale.highest)).mean()
            for found in self.measurements
            for item, scale in found.scales.items()
            if item in found.items
        ]
        if not outside:
            return []
        return [
            f"the answer scales: items are continuous, and {100 * np.mean(outside):.0f} % of the answers lie beyond the"
            " ends of their scales; whole_items=True gives whole answers"
        ]

    def _moved(self) -> list[str]:
        """How far whole answers move the loadings, the scores and the coefficients."""
        facts = []
        for found in self.measurements:
            loadings, scores = components_like(self.data[list(found.items)], found.loadings)
            kept = [np.corrcoef(scores[:, k], self.indices.scores[name])[0, 1] for k, name in enumerate(found.outcomes)]
            facts.append(
                f"components of the whole answers, {listing(found.outcomes)}: loadings move by up to"
                f" {abs(loadings - found.loadings).max():.2f}, scores correlate with the outcomes by"
                f" {listing(f'{value:.2f}' for value in kept)}, their coefficients move by up to"
                f" {self._coefficient_shift(found, scores):.2f} sds of an outcome per sd of a predictor"
            )
        return facts

    def _coefficient_shift(self, found: Measurement, scores: Array) -> float:
        columns = self.sample.columns
        x = np.column_stack([np.ones(len(columns)), (columns - columns.mean(axis=0)) / columns.std(axis=0, ddof=1)])
        own = self.indices.scores[list(found.outcomes)].to_numpy()
        own = (own - own.mean(axis=0)) / own.std(axis=0, ddof=1)
        return float(abs(np.linalg.lstsq(x, scores - own, rcond=None)[0][1:]).max())


def components_like(items: pd.DataFrame, loadings: Array) -> tuple[Array, Array]:
    """Principal components of items, turned to lie as near as can be to given loadings (Schoenemann 1966).

    Returns ``loadings``: (p, k) array. ``scores``, (n, k) array: standardised, by the regression method.
    """
    z = ((items - items.mean()) / items.std()).to_numpy()
    correlation = z.T @ z / (len(z) - 1)
    values, vectors = np.linalg.eigh(correlation)
    count = loadings.shape[1]
    found = vectors[:, -count:] * np.sqrt(values[-count:])
    left, _, right = np.linalg.svd(found.T @ loadings)
    found = found @ left @ right
    return found, z @ np.linalg.solve(correlation, found)
