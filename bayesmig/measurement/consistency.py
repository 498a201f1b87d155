"""Internal consistency of several items: Cronbach's alpha and McDonald's omega, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Flags
from bayesmig.data.frames import AnyFrame
from bayesmig.errors import BayesmigError, UnknownColumn, listing, require
from bayesmig.measurement.items import Items, Shown, principal_axes, read_items

LEAST_DRAWS = 100
BLOCK = 2**18  # resampling weights held at once
MOST_SWEEPS = 1_000
SETTLED = 1e-8
UNEQUAL_RANGES = 2.0
MOST_UNSETTLED = 0.01  # share of draws whose one-factor model has no unique solution
TOO_SURE, ENOUGH_ROWS = 1.15, 100  # ratio of errors that is noted, where resampling can be relied on
PRIOR = "Jeffreys: density of mean and covariance in proportion to |covariance|^(-(p + 1) / 2)"


@dataclass(frozen=True, eq=False, repr=False)
class Reliability(Shown):
    """Internal consistency of a sum of items.

    Attributes
    ----------
    posterior : pandas.DataFrame
        Indexed by coefficient, with ``estimate`` (posterior mean), ``sd``, ``eti95_lower``, ``eti95_upper``.
        ``alpha`` and ``omega`` concern the sum of the items as answered, ``alpha_standardised`` and
        ``omega_standardised`` that of the standardised items.
    confidence : pandas.DataFrame
        The same coefficients of the sample: ``estimate``, ``std_error``, ``ci95_lower``, ``ci95_upper``, from
        people resampled with replacement (percentile bootstrap).
    by_item : pandas.DataFrame
        Indexed by item: ``mean``, ``sd``, ``rest_correlation`` (with the sum of the others), ``alpha_without`` it, and
        ``loading`` on the one factor.
    draws : pandas.DataFrame
        The posterior draws, independent of each other, a column a coefficient.
    n, n_given : int
        Rows used, which are those without a missing answer; rows given.
    missing_answers : mapping of str to int
    reverse : tuple of str
        Items that were turned round.
    interval : float
    engine, prior, seed, provenance : str
    notes : tuple of str
    """

    posterior: pd.DataFrame
    confidence: pd.DataFrame
    by_item: pd.DataFrame
    draws: pd.DataFrame
    n: int
    n_given: int
    missing_answers: Mapping[str, int]
    reverse: tuple[str, ...]
    interval: float
    engine: str
    prior: str
    seed: str
    provenance: str
    notes: tuple[str, ...]

    def _parts(self) -> tuple[str, list[tuple[str, str]], list[tuple[str, pd.DataFrame]]]:
        facts = [
            self._rows("listwise"),
            ("provenance", self.provenance),
            ("reversed", listing(self.reverse)),
            ("posterior", f"{self.engine}; seed {self.seed}"),
            ("prior", self.prior),
        ]
        tables = [
            ("posterior, equal-tailed interval", self.posterior),
            ("sample, bootstrap interval", self.confidence),
            ("items", self.by_item),
        ]
        return f"Internal consistency of {len(self.by_item)} items", facts, tables


def reliability(
    items: AnyFrame, *, reverse: Sequence[str] = (), draws: int = 4000, interval: float = 0.95, seed: int | None = None
) -> Reliability:
    """Cronbach's alpha and McDonald's omega of several items, with posterior and bootstrap intervals.

    Parameters
    ----------
    items : pandas.DataFrame
        One row a person, one column an item, all numbers; rows with a missing answer are left out. A column
        ``provenance`` is set aside.
    reverse : sequence of str
        Items worded the other way round; they are counted with the opposite sign.
    draws : int
        Posterior draws, and bootstrap samples.
    interval : float
        Probability of the intervals.
    seed : int, optional
        A fresh one is drawn and stored if none is given.

    Returns
    -------
    Reliability

    Raises
    ------
    DataError
        If an item is text or constant, or there are no more complete rows than items.
    BayesmigError
        If ``reverse`` names no item, or for settings that make no sense.

    Notes
    -----
    With covariance C of p items, ``alpha = p / (p - 1) (1 - tr C / sum C)`` (Cronbach 1951), and
    ``omega = (sum l)^2 / ((sum l)^2 + sum u)`` (McDonald 1999, "omega total") with loadings l and unique variances u of
    one factor, fitted by minimum residuals to the correlations (as in ``psych::omega(nfactors=1)``) and put back into
    the items' units. The standardised versions use correlations.

    Posterior: for normal items the covariance is inverse Wishart with n - 1 degrees of freedom under Jeffreys' prior
    (Gelman et al. 2013, section 3.6), and every draw of it has its alpha and omega (Padilla & Zhang 2011 for
    alpha; Pfadt et al. 2022). The bootstrap resamples people and assumes no normality. For normal items both cover
    as they should; for answers on six steps, drawn from 2,700 real ones, 95 % posterior intervals held the right value
    in 89 to 94 % of 400 samples of 100 or 300, bootstrap intervals in 92 to 95 %. A note says where the two differ.

    What it means: the share of the variance of the sum of these items that an equally good set of other items would
    reproduce. Alpha says so only if all items measure the same thing equally well, and is too small otherwise;
    omega lets loadings differ, but still takes one factor for granted. A high value does not show that there is one.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> trust = rng.normal(size=400)
    >>> found = reliability(pd.DataFrame({f"trust_{k}": trust + rng.normal(size=400) for k in range(4)}), seed=1)
    >>> bool(0.7 < found.posterior.loc["alpha", "estimate"] < 0.85)
    True
    """
    _check_settings(reverse, draws, interval, seed)
    answers = read_items(items)
    require(reverse, answers.names, "reverse names ", ", which is no item", "; items are", error=UnknownColumn)
    x = answers.complete * np.array([-1.0 if name in reverse else 1.0 for name in answers.names])
    principal_axes(answers.answers.dropna().corr())
    entropy = np.random.SeedSequence(seed).entropy
    rng = np.random.default_rng(entropy)
    covariance = np.cov(x, rowvar=False)
    sample = _Fits.of(covariance[None])
    drawn = _Fits.of(covariance_draws(covariance, len(x), draws, rng))
    resampled = _Fits.of(_bootstrap(x, draws, rng))
    names = _defined(sample, drawn, resampled)
    posterior = _summary(drawn, drawn, names, interval, ("estimate", "sd", "eti"))
    confidence = _summary(sample, resampled, names, interval, ("estimate", "std_error", "ci"))
    return Reliability(
        posterior=posterior,
        confidence=confidence,
        by_item=_by_item(
            answers, x, covariance, sample.loadings[0] if "omega" in names else np.full(x.shape[1], np.nan)
        ),
        draws=pd.DataFrame({name: drawn.coefficients[name] for name in names}),
        n=len(x),
        n_given=answers.n_given,
        missing_answers=answers.missing,
        reverse=tuple(reverse),
        interval=interval,
        engine=f"inverse Wishart covariance of normal items, {draws:,} independent draws",
        prior=PRIOR,
        seed=str(entropy),
        provenance=answers.provenance,
        notes=(
            *answers.notes,
            *_ranges(answers),
            *_opposed(answers, covariance),
            *_about_omega(names, drawn),
            *_too_sure(drawn, resampled, len(x)),
            *_left_out(draws - len(resampled.loadings)),
        ),
    )


def _check_settings(reverse: Sequence[str], draws: int, interval: float, seed: int | None) -> None:
    if isinstance(reverse, str):
        raise BayesmigError(f"reverse={reverse!r} must be a list of items; write [{reverse!r}].")
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < LEAST_DRAWS:
        raise BayesmigError(f"draws={draws!r}: give a whole number of at least {LEAST_DRAWS}.")
    if not 0 < interval < 1:
        raise BayesmigError(f"interval={interval!r} must lie between 0 and 1; 0.95 means 95 %.")
    if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise BayesmigError(f"seed={seed!r}: give a whole number that is not negative, or None for a fresh one.")


def alpha(covariances: Array) -> Array:
    """Cronbach's alpha of each covariance matrix in a (..., p, p) array."""
    p = covariances.shape[-1]
    trace = np.trace(covariances, axis1=-2, axis2=-1)
    return np.asarray(p / (p - 1) * (1 - trace / covariances.sum(axis=(-2, -1))))


def omega(loadings: Array, sds: Array) -> Array:
    """McDonald's omega of standardised loadings (..., p) of items with these sds (..., p)."""
    common = (loadings * sds).sum(axis=-1) ** 2
    unique = ((1 - loadings**2) * sds**2).sum(axis=-1)
    return np.asarray(common / (common + unique))


def one_factor(correlations: Array) -> tuple[Array, Flags]:
    """Loadings of the one-factor model by minimum residuals, for each of many correlation matrices.

    ``correlations``, (draws, p, p) array: of three or more items. Returns ``loadings``, (draws, p) array: loadings l
    within -1 and 1 that minimise the sum over pairs of ``(r_ij - l_i l_j)^2``, item by item in turns from the first
    principal axis; with a positive sum. ``settled``, (draws,) array: False where they still move in the end: pairs of
    items that share nothing with the others leave them open.
    """
    p = correlations.shape[-1]
    off_diagonal = correlations * (1 - np.eye(p))
    values, vectors = np.linalg.eigh(correlations)
    loadings = np.clip(vectors[..., -1] * np.sqrt(values[..., -1:]), -1, 1)
    moving = np.arange(len(loadings))
    for _ in range(MOST_SWEEPS):
        current = loadings[moving]
        for i in range(p):
            current[:, i] = 0.0
            best = (off_diagonal[moving, i] * current).sum(axis=1) / (current**2).sum(axis=1)
            current[:, i] = np.clip(best, -1, 1)
        change = np.abs(current - loadings[moving]).max(axis=1)
        loadings[moving] = current
        moving = moving[change > SETTLED]
        if not len(moving):
            break
    settled = np.ones(len(loadings), dtype=bool)
    settled[moving] = False
    return loadings * np.where(loadings.sum(axis=1, keepdims=True) < 0, -1.0, 1.0), settled


def covariance_draws(covariance: Array, n: int, draws: int, rng: np.random.Generator) -> Array:
    """Posterior draws of the covariance of n normal rows under Jeffreys' prior, (draws, p, p).

    Inverse Wishart with n - 1 degrees of freedom and scale (n - 1) ``covariance``, by Bartlett's decomposition.
    """
    p = len(covariance)
    root = np.linalg.cholesky((n - 1) * covariance)
    factor = np.tril(rng.standard_normal((draws, p, p)), -1)
    factor[:, range(p), range(p)] = np.sqrt(rng.chisquare(n - 1 - np.arange(p), (draws, p)))
    half = np.linalg.solve(factor, root.T)
    return np.asarray(half.transpose(0, 2, 1) @ half)


def _bootstrap(x: Array, draws: int, rng: np.random.Generator) -> Array:
    """Covariances of resampled rows; samples in which an item is constant are left out."""
    n, p = x.shape
    centred = x - x.mean(axis=0)
    products = (centred[:, :, None] * centred[:, None, :]).reshape(n, -1)
    blocks, size = [], max(1, BLOCK // n)
    for start in range(0, draws, size):
        counts = rng.multinomial(n, np.full(n, 1 / n), min(size, draws - start)).astype(float)
        means = counts @ centred / n
        square = (counts @ products).reshape(-1, p, p) - n * means[:, :, None] * means[:, None, :]
        blocks.append(square / (n - 1))
    covariances = np.concatenate(blocks)
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    varying: Array = covariances[(variances > 1e-12 * centred.var(axis=0)).all(axis=1)]
    return varying


@dataclass(frozen=True, eq=False)
class _Fits:
    """Coefficients of many covariances, and the one-factor models behind omega (none for two items)."""

    coefficients: dict[str, Array]
    loadings: Array
    settled: Flags

    @classmethod
    def of(cls, covariances: Array) -> _Fits:
        sds = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
        correlations = covariances / (sds[:, :, None] * sds[:, None, :])
        found = {"alpha": alpha(covariances), "alpha_standardised": alpha(correlations)}
        if sds.shape[1] < 3:
            return cls(found, np.full_like(sds, np.nan), np.zeros(len(sds), dtype=bool))
        loadings, settled = one_factor(correlations)
        found |= {"omega": omega(loadings, sds), "omega_standardised": omega(loadings, np.ones_like(sds))}
        return cls(found, loadings, settled)


def _defined(*fits: _Fits) -> list[str]:
    """The coefficients that all of these define; omega only with a one-factor model in all but a few draws."""
    one = all(fit.settled.mean() >= 1 - MOST_UNSETTLED for fit in fits)
    return [name for name in fits[0].coefficients if one or name.startswith("alpha")]


def _summary(
    centre: _Fits, spread: _Fits, names: Sequence[str], interval: float, heads: tuple[str, str, str]
) -> pd.DataFrame:
    """Means of ``centre``; sds and quantiles of ``spread``."""
    values = np.stack([spread.coefficients[name] for name in names])
    tail = (1 - interval) / 2
    lower, upper = np.quantile(values, [tail, 1 - tail], axis=1)
    columns = {
        heads[0]: [centre.coefficients[name].mean() for name in names],
        heads[1]: values.std(axis=1, ddof=1),
        f"{heads[2]}{100 * interval:g}_lower": lower,
        f"{heads[2]}{100 * interval:g}_upper": upper,
    }
    return pd.DataFrame(columns, pd.Index(names, name="coefficient"))


def _by_item(answers: Items, x: Array, covariance: Array, loadings: Array) -> pd.DataFrame:
    p = len(covariance)
    without = [np.delete(np.delete(covariance, k, 0), k, 1) for k in range(p)]
    return pd.DataFrame(
        {
            "mean": answers.complete.mean(axis=0),
            "sd": x.std(axis=0, ddof=1),
            "rest_correlation": _rest_correlations(covariance),
            "alpha_without": [float(alpha(part)) if p > 2 else np.nan for part in without],
            "loading": loadings,
        },
        pd.Index(answers.names, name="item"),
    )


def _rest_correlations(covariance: Array) -> Array:
    """Of each item with the sum of the others."""
    variances = np.diag(covariance)
    with_rest = covariance.sum(axis=0) - variances
    rest = covariance.sum() - variances - 2 * with_rest
    return np.asarray(with_rest / np.sqrt(variances * rest))


def _ranges(answers: Items) -> list[str]:
    ranges = np.ptp(answers.complete, axis=0)
    if ranges.max() <= UNEQUAL_RANGES * ranges.min():
        return []
    narrow, wide = answers.names[int(ranges.argmin())], answers.names[int(ranges.argmax())]
    return [
        f"answers span {ranges.min():g} ({narrow}) to {ranges.max():g} ({wide}) points: the wide items rule alpha and"
        " omega; the standardised versions count all alike"
    ]


def _opposed(answers: Items, covariance: Array) -> list[str]:
    """Items that are negatively correlated with the others beyond chance (two standard errors)."""
    pairs = zip(answers.names, _rest_correlations(covariance), strict=True)
    against = [f"{name} ({value:.2f})" for name, value in pairs if value < -2 / len(answers.complete) ** 0.5]
    if not against:
        return []
    return [
        f"correlated negatively with the sum of the other items: {listing(against)}. Name items worded the other way"
        " round in reverse=[...]; alpha and omega are too low without"
    ]


def _about_omega(names: Sequence[str], drawn: _Fits) -> list[str]:
    if drawn.loadings.shape[1] < 3:
        return ["omega needs three items or more"]
    if "omega" not in names:
        return ["omega is left out: in too many draws the items share no factor, so that its model has no one solution"]
    share = (np.abs(drawn.loadings) == 1).any(axis=1).mean()
    if not share:
        return []
    return [
        f"in {share:.1%} of the draws the factor explains an item wholly (a Heywood case): omega rests on too few items"
        " or people"
    ]


def _too_sure(drawn: _Fits, resampled: _Fits, n: int) -> list[str]:
    ratio = resampled.coefficients["alpha"].std() / drawn.coefficients["alpha"].std()
    if ratio < TOO_SURE or n < ENOUGH_ROWS:
        return []
    return [
        f"resampling people gives alpha an error {ratio:.2f} times the posterior's, which takes answers as normal:"
        " report the bootstrap interval"
    ]


def _left_out(count: int) -> list[str]:
    return [f"{count:,} bootstrap samples had a constant item and were left out"] if count else []
