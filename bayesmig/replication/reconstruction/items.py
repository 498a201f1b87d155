"""Items whose principal components are given scores, with the printed loadings, means and sds.

``Z = F L' + E`` with the scores F (standardised, uncorrelated), the loadings L and E at right angles to F. The
components of Z are F if the correlations ``R = L L' + Psi`` have the columns of L as their first eigenvectors, up to
rotation: if Psi is zero on them, ``Psi = N M N'`` with a basis N of what is at right angles to L, the diagonal of R is
one and no eigenvalue of Psi reaches those of L. What then remains free of M is chosen so that KMO, and Bartlett's
statistic, are as printed, starting from random numbers. Where no loadings are printed, the correlations of the
items of one component are any that have its printed explained variance and KMO.

Printed loadings are taken as they stand, also where a new rotation would move them: the components are the scores F,
in the printed orientation. Loadings that were rotated by varimax are a maximum of its criterion, which six equations
for four components say; that chooses the sign of a loading that cannot be read. Whether the printed ones are such
a maximum, and whether they would be one with the cells of a damaged row in other columns, is said among the facts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg, optimize

from bayesmig.contract.arrays import Array
from bayesmig.errors import InferenceFailure, listing
from bayesmig.measurement.principal import sampling_adequacy, varimax
from bayesmig.printed.literature import tables_of
from bayesmig.specification.model import Study

COMMUNALITY = "communality"
MAIN = 0.5  # a loading from here on is surely in its place
ROTATED = 0.005  # loadings that varimax moves by less are its own
LARGEST = 0.915  # of the smallest eigenvalue kept: what the largest of the others may be
SMALLEST = 0.08  # eigenvalue
ATTEMPTS = 20
CLOSE = 1e-5
MAXIMUM = 1e-14  # of varimax, as far as it can be told


@dataclass(frozen=True)
class Scale:
    """How an item is answered. ``whole``: whether only whole answers can be given. ``mean``, ``sd``: printed."""

    lowest: float
    highest: float
    whole: bool
    mean: float
    sd: float

    @property
    def largest_sd(self) -> float:
        """With this mean: when only the lowest and the highest answer are given."""
        return float(np.sqrt((self.mean - self.lowest) * (self.highest - self.mean)))

    @property
    def possible(self) -> bool:
        return self.sd < self.largest_sd * 1.01

    @property
    def used_sd(self) -> float:
        """The printed sd, or else two thirds of the largest; all of it where there are two answers only."""
        if self.possible:
            return self.sd
        return self.largest_sd if self.highest - self.lowest <= 1 else self.largest_sd * 2 / 3


@dataclass(frozen=True)
class Measurement:
    """Items and the components made of them.

    ``items``, ``outcomes``: items, and the outcomes that are their components' scores. ``loadings``: (p, k) array.
    ``rest``, (p, p) array: correlations that the components leave. ``facts``: what was assumed or read otherwise than
    printed.
    """

    items: tuple[str, ...]
    outcomes: tuple[str, ...]
    scales: Mapping[str, Scale]
    loadings: Array
    rest: Array
    facts: tuple[str, ...]

    def answers(self, scores: Array, rng: np.random.Generator) -> pd.DataFrame:
        """Items of people with these (n, k) scores, continuous and on the scale of the answers."""
        n = len(scores)
        values, vectors = np.linalg.eigh(self.rest)
        kept = values > 1e-9
        known = np.linalg.qr(np.column_stack([np.ones(n), scores]))[0]
        noise = rng.standard_normal((n, int(kept.sum())))
        noise -= known @ (known.T @ noise)
        white = np.linalg.solve(linalg.cholesky(noise.T @ noise / (n - 1), lower=True), noise.T).T
        z = scores @ self.loadings.T + white @ (vectors[:, kept] * np.sqrt(values[kept])).T
        means = np.array([self.scales[item].mean for item in self.items])
        sds = np.array([self.scales[item].used_sd for item in self.items])
        return pd.DataFrame(means + sds * z, columns=list(self.items))

    def whole(self, answers: pd.DataFrame) -> pd.DataFrame:
        """The same people's answers on the scale: order kept, mean and sd as printed, items of whole answers only."""
        return pd.DataFrame(
            {item: _rounded(answers[item], self.scales[item]) for item in self.items}, index=answers.index
        )


def _rounded(answers: pd.Series, scale: Scale) -> pd.Series:
    if not scale.whole:
        return answers
    levels = np.arange(scale.lowest, scale.highest + 1)
    counts = shares_of(levels, scale.mean, scale.used_sd) * len(answers)
    ends = np.rint(counts.cumsum())
    ranks = answers.rank(method="first").to_numpy()
    return pd.Series(levels[np.searchsorted(ends, ranks)], answers.index)


def shares_of(levels: Array, mean: float, sd: float) -> Array:
    """Shares of answers with a mean and sd: of all such shares those of largest entropy, ``exp(a x + b x^2)``.

    Where no shares have that sd, the nearest that can be had.

    >>> shares_of(np.array([1.0, 2.0]), 1.75, 0.5).round(2).tolist()
    [0.25, 0.75]
    """
    if len(levels) == 2:
        high = (mean - levels[0]) / (levels[1] - levels[0])
        return np.array([1 - high, high])

    def shares(at: Array) -> Array:
        power = at[0] * (levels - mean) + at[1] * (levels - mean) ** 2
        weight = np.exp(power - power.max())
        return np.asarray(weight / weight.sum())

    def missed(at: Array) -> Array:
        p = shares(at)
        return np.array([p @ levels - mean, np.sqrt(p @ (levels - mean) ** 2) - sd])

    return shares(optimize.least_squares(missed, [0.0, -0.5 / sd**2]).x)


def measurements(study: Study, outcomes: Sequence[str], rng: np.random.Generator) -> list[Measurement]:
    """How the outcomes of a study were measured, as far as it prints that.

    ``rng``: draws what is not printed of the items' correlations. Returns one for all components of a table of
    loadings; else one for each outcome that is a dimension of the questionnaire with a printed explained variance.
    """
    tables = tables_of(study)
    if not {"questionnaire", "descriptives", "fit_statistics"} <= set(tables):
        return []
    scales = _scales(study)
    if "loadings" in tables:
        grid = tables["loadings"].pivot(index="item", columns="component", values="loading")
        grid = grid.loc[tables["loadings"]["item"].unique()]
        found = tuple(outcome for outcome in outcomes if outcome in grid)
        return [_rotated(study, grid, found, scales, rng)] if found else []
    asked = tables["questionnaire"].groupby("dimension", sort=False)["item"].agg(tuple)
    return [
        _single(study, outcome, asked[outcome], scales, rng)
        for outcome in outcomes
        if outcome in asked and "explained_variance_percent" in _statistics(study, outcome)
    ]


def _scales(study: Study) -> dict[str, Scale]:
    tables = tables_of(study)
    found: dict[str, dict[str, float]] = {}
    rows = tables["descriptives"]
    for variable, statistic, value in zip(rows["variable"], rows["statistic"], rows["value"], strict=True):
        if statistic in ("mean", "sd") and value:
            found.setdefault(str(variable), {}).setdefault(str(statistic), float(value))
    return {
        row["item"]: Scale(
            float(row["scale_min"]), float(row["scale_max"]), "=" in row["scale_labels"], **found[row["item"]]
        )
        for row in tables["questionnaire"].to_dict("records")
        if row["scale_min"] and row["scale_max"] and {"mean", "sd"} <= set(found.get(row["item"], {}))
    }


def _statistics(study: Study, outcome: str) -> dict[str, float]:
    """Printed statistics of a principal component analysis, by name."""
    rows = tables_of(study).get("fit_statistics")
    if rows is None:
        return {}
    rows = rows[(rows["model"] == "pca") & (rows["outcome"] == outcome) & (rows["value"] != "")]
    return dict(zip(rows["statistic"], rows["value"].astype(float), strict=True))


def _rotated(
    study: Study, grid: pd.DataFrame, outcomes: tuple[str, ...], scales: Mapping[str, Scale], rng: np.random.Generator
) -> Measurement:
    """From a printed table of rotated loadings."""
    items = tuple(str(item) for item in grid.index)
    printed = grid[list(outcomes)].apply(pd.to_numeric, errors="coerce")
    communality = pd.to_numeric(grid[COMMUNALITY]).to_numpy() if COMMUNALITY in grid else None
    loadings, facts = read_loadings(printed, communality)
    whole = next((name for name in _pca_names(study) if "kmo" in _statistics(study, name)), "")
    stated = _statistics(study, whole)
    n = study.population.n if study.population else 0
    determinant = None
    if "bartlett_chi2" in stated and n:
        determinant = -stated["bartlett_chi2"] / (n - 1 - (2 * len(items) + 5) / 6)
    rest = rest_of(loadings, determinant, stated.get("kmo"), rng)
    facts += [
        "what the components leave of the items' correlations: random, with the printed KMO and Bartlett statistic"
    ]
    return Measurement(items, outcomes, scales, loadings, rest, tuple(facts))


def _pca_names(study: Study) -> list[str]:
    rows = tables_of(study)["fit_statistics"]
    return [str(name) for name in rows.loc[rows["model"] == "pca", "outcome"].unique()]


def read_loadings(printed: pd.DataFrame, communality: Array | None) -> tuple[Array, list[str]]:
    """Loadings as printed, with cells that cannot be read filled in.

    ``printed``: items by components, NaN where a cell cannot be read. ``communality``, (p,) array or None: says how
    large a missing loading is; its sign is the one under which the loadings come nearest to a maximum of varimax.
    Returns a (p, k) array, which cells were filled in, how far varimax would move the loadings, and which row would
    have to be read in other columns so that it moved them by nothing.
    """
    given = printed.to_numpy(dtype=float)
    sizes = [None] * len(given) if communality is None else list(communality)
    filled = [list(_filled(row, size)) for row, size in zip(given, sizes, strict=True)]
    chosen = min(_tables(filled), key=_from_maximum)
    facts = [
        f"loading of {printed.index[row]} on {printed.columns[place]}: {chosen[row, place]:.3f} (the cell cannot be"
        " read)"
        for row, place in np.argwhere(np.isnan(given))
    ]
    moved = _moved(chosen)
    if moved < ROTATED:
        return chosen, facts
    facts.append(f"the orientation of the loadings: as printed; varimax would move them by up to {moved:.3f}")
    damaged = np.isnan(given).any(axis=1)
    turned = [
        [one for row in rows for one in _turned(row)] if gap else rows
        for rows, gap in zip(filled, damaged, strict=True)
    ]
    other = min(_tables(turned), key=_from_maximum)
    left = _moved(other)
    if left < ROTATED:
        told = listing(
            f"{item} as {', '.join(f'{value:.3f}' for value in two)}"
            for item, one, two in zip(printed.index, chosen, other, strict=True)
            if abs(one - two).any()
        )
        facts.append(
            f"varimax would move no loading by more than {left:.3f} if one read {told}, in the order of"
            f" {listing(printed.columns)}: where a cell is lost, others may have lost their columns"
        )
    return chosen, facts


def _tables(options: Sequence[Sequence[Array]]) -> Iterator[Array]:
    """Every table that takes one of the readings of each row."""
    return (np.array(rows) for rows in itertools.product(*options))


def _moved(loadings: Array) -> float:
    """By how much varimax would move them."""
    return float(abs(loadings @ varimax(loadings, MAXIMUM) - loadings).max())


def _from_maximum(loadings: Array) -> float:
    """How far loadings are from a maximum of varimax."""
    return float((slope_of_varimax(loadings) ** 2).sum())


def _filled(row: Array, communality: float | None) -> Iterator[Array]:
    """A row with its lost cells filled in, with every sign."""
    lost = np.flatnonzero(np.isnan(row))
    size = 0.0
    if len(lost) and communality is not None:
        size = float(np.sqrt(max(communality - np.nansum(row**2), 0.0) / len(lost)))
    for signs in itertools.product((1.0, -1.0), repeat=len(lost)):
        whole = row.copy()
        whole[lost] = np.array(signs) * size
        yield whole


def _turned(row: Array) -> Iterator[Array]:
    """A row with its small loadings in any order."""
    small = np.flatnonzero(abs(row) < MAIN)
    for order in itertools.permutations(small):
        moved = row.copy()
        moved[small] = row[list(order)]
        yield moved


def slope_of_varimax(loadings: Array) -> Array:
    """Slope of the varimax criterion (Kaiser 1958, rows normalised) in the plane of every two components."""
    rows = loadings / np.sqrt((loadings**2).sum(axis=1, keepdims=True))
    pairs = itertools.combinations(rows.T, 2)
    return np.array([(a**3 * b - a * b**3).sum() - (a * b).sum() * (a**2 - b**2).sum() / len(rows) for a, b in pairs])


def rest_of(loadings: Array, log_determinant: float | None, kmo: float | None, rng: np.random.Generator) -> Array:
    """Correlations that components with these loadings leave: ``N M N'`` with unit diagonal in all."""
    items, kept = loadings.shape
    beside = np.linalg.svd(loadings)[0][:, kept:]
    size = items - kept
    upper = np.triu_indices(size)
    twice = np.where(upper[0] == upper[1], 1.0, 2.0)
    diagonal = np.array([np.outer(row, row)[upper] * twice for row in beside])
    wanted = 1 - (loadings**2).sum(axis=1)
    centre = np.linalg.lstsq(diagonal, wanted, rcond=None)[0]
    free = linalg.null_space(diagonal)
    ceiling = LARGEST * np.linalg.eigvalsh(loadings.T @ loadings)[0]

    def inner(at: Array) -> Array:
        matrix = np.zeros((size, size))
        matrix[upper] = centre + free @ at
        return matrix + matrix.T - np.diag(np.diag(matrix))

    def missed(at: Array) -> Array:
        values, vectors = np.linalg.eigh(inner(at))
        outside = np.concatenate([np.minimum(values - SMALLEST, 0), np.maximum(values - ceiling, 0)])
        safe = vectors * np.maximum(values, SMALLEST / 2) @ vectors.T
        return np.concatenate(
            [10 * outside, _far(loadings @ loadings.T + beside @ safe @ beside.T, log_determinant, kmo)]
        )

    found = _solved(missed, lambda: rng.normal(0, 0.1, free.shape[1]), "items with the printed loadings")
    return np.asarray(beside @ inner(found) @ beside.T)


def _far(correlation: Array, log_determinant: float | None, kmo: float | None) -> Array:
    """How far correlations are from a printed determinant and KMO."""
    missed = [] if log_determinant is None else [np.linalg.slogdet(correlation)[1] - log_determinant]
    return np.array(missed + ([] if kmo is None else [10 * (sampling_adequacy(correlation)[0] - kmo)]))


def _solved(missed: Callable[[Array], Array], start: Callable[[], Array], what: str) -> Array:
    for _ in range(ATTEMPTS):
        found = optimize.least_squares(missed, start(), ftol=1e-4, max_nfev=200)
        if found.cost < CLOSE:
            return np.asarray(found.x)
    raise InferenceFailure(f"no correlations were found of {what}; check the printed KMO and explained variance.")


def _single(
    study: Study, outcome: str, items: tuple[str, ...], scales: Mapping[str, Scale], rng: np.random.Generator
) -> Measurement:
    """One component without printed loadings: correlations with the printed explained variance and KMO."""
    stated = _statistics(study, outcome)
    largest = stated["explained_variance_percent"] / 100 * len(items)
    upper = np.triu_indices(len(items), 1)

    def correlation(at: Array) -> Array:
        matrix = np.eye(len(items))
        matrix[upper] = np.tanh(at)
        return matrix + np.triu(matrix, 1).T

    def missed(at: Array) -> Array:
        matrix = correlation(at)
        values, vectors = np.linalg.eigh(matrix)
        outside = [min(values[0] - SMALLEST, 0), max(values[-2] - 1, 0)]
        safe = vectors * np.maximum(values, SMALLEST / 2) @ vectors.T
        return np.concatenate([outside, [values[-1] - largest], _far(safe, None, stated.get("kmo"))])

    found = _solved(missed, lambda: rng.uniform(0.1, 0.6, len(upper[0])), f"items of {outcome}")
    matrix = correlation(found)
    values, vectors = np.linalg.eigh(matrix)
    loadings = vectors[:, -1:] * np.sqrt(values[-1]) * np.sign(vectors[:, -1].sum())
    rest = matrix - loadings @ loadings.T
    shown = ", ".join(f"{item} {value:.2f}" for item, value in zip(items, loadings[:, 0], strict=True))
    return Measurement(items, (outcome,), scales, loadings, rest, (f"loadings on {outcome}: {shown} (not printed)",))
