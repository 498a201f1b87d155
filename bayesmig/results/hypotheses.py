"""What a result says of hypotheses: signs, differences, regions, orders, and several of them at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Flags
from bayesmig.contract.names import pieces
from bayesmig.data.design import plain_term
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import design_of
from bayesmig.errors import BayesmigError, SpecificationError, closest, listing
from bayesmig.printed.evidence.cells import critical
from bayesmig.results.delta import STEP, degrees, draws_at, moved
from bayesmig.results.marginal import margin_draws
from bayesmig.results.summaries import (
    attributed,
    check_interval,
    interval_heads,
    quantity_values,
    summarise_draws,
    wald_table,
)
from bayesmig.specification.claims import Claim, Expression, Margin, Quantity, parse_claim
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import CoefficientPrior, Normal, Prior

PRINTED = "published_posterior"  # the engine whose draws of different coefficients are independent of each other
PRIOR_DRAWS = 20_000  # of a joint claim's prior probability, whose error is then below 0.004


def hypothesis(
    tree: xr.DataTree, claims: str | Sequence[str] | Mapping[str, str], *, beyond: float = 0.0, interval: float = 0.95
) -> pd.DataFrame:
    """How probable hypotheses are, or how far a sample contradicts them.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``, ``estimate``, ``published`` or ``published_posterior``.
    claims : str, sequence of str, or mapping of name to str
        Comparisons of expressions: ``"hukou[rural] - hukou[urban] > 0.1"``, ``"a > b > c"`` (an order),
        ``"abs(a) < 0.1"`` (as good as none), ``"a > 0 and b > 0"`` (both), ``"a > max(b, c)"``, ``"a = 0"`` (for
        its Bayes factor). Quantities are coefficients, the rows of :func:`bayesmig.variance_components`, and
        ``margin(hukou=rural)``, the average expected outcome if everybody were rural
        (:func:`bayesmig.margins`). Names that could be read otherwise stand in backticks.
    beyond : float
        By how much every comparison must hold, such as the smallest effect that matters: ``"a > 0"`` beyond 0.1 is
        ``"a > 0.1"``.
    interval : float
        Probability of the interval.

    Returns
    -------
    pandas.DataFrame
        Indexed by the hypotheses' names (or texts). ``estimate`` and its error and interval are those of what is
        claimed to be larger or smaller than a number, or of the difference of the two sides; missing where a claim
        speaks of several things.

        Posterior: ``probability`` that the claim holds, and ``bayes_factor``, how much more probable the data are if it
        holds than if it does not: posterior odds over prior odds, for ``a = b`` the ratio of the densities at equality
        (Savage and Dickey; Wagenmakers et al. 2010). It is missing where a coefficient's prior is flat, and for ``=``
        between several coefficients whose priors are not normal.
        Estimate: ``p``, the largest one-sided p value of the claim's comparisons, which is that of the hypothesis that
        the claim does *not* hold (Berger 1982); errors by the delta method. Printed tables:
        ``probability_lower`` and ``probability_upper``, between which the probability lies under flat priors, whatever
        the correlations of the coefficients, which no table prints, and whatever the standard errors, where only p
        or stars are printed: one star for p below 0.05 leaves between 0.975 and 0.995 for the printed sign, no star
        between 0.5 and 0.975. The interval is the widest of all.
        ``attrs`` has engine or estimator, seed and provenance.

    Raises
    ------
    SpecificationError
        If a claim cannot be read, or names what the result does not have.
    BayesmigError
        If the result has no draws and the claim needs them.

    See Also
    --------
    pairwise : Differences between all levels of a predictor.
    ranks : Which coefficient is the largest.

    Notes
    -----
    What it means: 0.98 says that, the model and its priors taken for granted, 49 to 1 may be bet on the hypothesis. A
    claim that something is absent needs a region that counts as absent: that an effect is "not significant" does not
    make it probable that there is none.

    Examples
    --------
    >>> from bayesmig import published, study
    >>> printed = published(study("social_trust"), "table_6")
    >>> hypothesis(printed, {"H1": "area_poverty < 0"}).loc["H1", "probability_lower"] > 0.99
    np.True_
    """
    check_interval(interval)
    if not (isinstance(beyond, (int, float)) and 0 <= beyond < math.inf):
        raise SpecificationError(
            f"beyond={beyond!r} must be a number of at least 0: by how much a comparison must hold."
        )
    named = claims_by_name(claims)
    source = _source(tree)
    read = {name: parse_claim(text, source.names).beyond(beyond) for name, text in named.items()}
    rows = {name: source.row(claim, interval) for name, claim in read.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("hypothesis")
    return attributed(table, tree)


def check_claims(spec: ModelSpec, data: pd.DataFrame, claims: str | Sequence[str] | Mapping[str, str]) -> None:
    """Raise what :func:`hypothesis` would of a posterior of these data, before it is drawn.

    >>> check_claims(ModelSpec("y ~ x"), pd.DataFrame({"y": [1.0, 2, 4], "x": [0.0, 1, 2]}), "x > sigma")
    """
    design = build_design(spec, data)
    rng, coords = np.random.default_rng(1), schema.coords(design)
    shapes = {name: [len(coords[dim]) for dim in where] for name, where in schema.dims(design).items()}
    draws = {name: rng.uniform(0.1, 0.2, (1, 2, *shape)) for name, shape in shapes.items()}  # any will do
    tree = schema.stamp({"posterior": schema.posterior(design, draws)}, design)
    source = _Draws(tree)
    for text in claims_by_name(claims).values():
        source.row(parse_claim(text, source.names), 0.95)


def probability(tree: xr.DataTree, claim: str, *, beyond: float = 0.0) -> tuple[float, float]:
    """Between which bounds the probability of a claim lies, and nothing else of it.

    ``claim``: as :func:`hypothesis` takes it. Returns twice the same number where draws, or an estimate's normal
    approximation, hold all coefficients together.

    >>> from bayesmig import published, study
    >>> probability(published(study("social_trust"), "table_6"), "area_poverty < 0")[0] > 0.99
    True
    """
    return probabilities(tree, [claim], beyond=beyond)[0]


def probabilities(tree: xr.DataTree, claims: Iterable[str], *, beyond: float = 0.0) -> list[tuple[float, float]]:
    """What :func:`probability` gives, of several claims: what they are about is read once."""
    source = _source(tree)
    return [source.probability(parse_claim(claim, source.names).beyond(beyond)) for claim in claims]


def pairwise(tree: xr.DataTree, variable: str, *, interval: float = 0.95) -> pd.DataFrame:
    """Differences between all pairs of levels of a predictor, the reference included.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``, ``estimate``, ``published`` or ``published_posterior``.
    variable : str
        A categorical predictor.
    interval : float

    Returns
    -------
    pandas.DataFrame
        A row a pair, named as in ``rural - urban``; columns as in :func:`hypothesis`, of the claim that the difference
        is positive.

    Raises
    ------
    SpecificationError
        If the predictor has no levels among the coefficients.

    Notes
    -----
    What it means: a table compares every level with one reference. Whether two others differ cannot be read from their
    stars, because their coefficients share the reference and so its error. With interactions in the model the
    differences are those where the other variables are at their reference levels and zeros.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"y": rng.normal(size=90), "hukou": np.repeat(["local", "rural", "urban"], 30)})
    >>> pairwise(fit("y ~ hukou", data, seed=1), "hukou").index.tolist()
    ['rural - local', 'urban - local', 'urban - rural']
    """
    check_interval(interval)
    source = _source(tree)
    alone = [(*parts[0], name) for name in source.terms if len(parts := pieces(name)) == 1]
    levels = {level: name for column, level, name in alone if column == variable and level is not None}
    if not levels:
        found = sorted({column for column, level, _ in alone if level is not None})
        raise SpecificationError(
            f"variable={variable!r}{closest(variable, found)} has no levels among the coefficients; those that have"
            f" are {listing(found)}."
        )
    reference = schema.read(tree, "levels").get(variable, ["reference"])[0] if "levels" in tree.attrs else "reference"
    claims = {f"{level} - {reference}": f"`{term}` > 0" for level, term in levels.items()}
    pairs = itertools.combinations(levels, 2)
    claims |= {f"{two} - {one}": f"`{levels[two]}` - `{levels[one]}` > 0" for one, two in pairs}
    return hypothesis(tree, claims, interval=interval).rename_axis("difference")


def ranks(tree: xr.DataTree, terms: Sequence[str]) -> pd.DataFrame:
    """Which of several coefficients is the largest, the second largest, and so on.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior from ``fit``.
    terms : sequence of str
        Coefficients that can be compared: levels of one predictor, or standardised predictors.

    Returns
    -------
    pandas.DataFrame
        Indexed by term, most probably largest first: ``mean_rank`` and the probabilities of the ranks ``1``, ``2``, ...

    Raises
    ------
    BayesmigError
        If there are no joint draws, fewer than two terms, or one that the model does not have.

    Notes
    -----
    What it means: "the most positive effect" is a claim about the order of coefficients, each of which is uncertain.
    The largest estimate often is the largest coefficient with little more probability than the next.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame(rng.normal(size=(80, 3)), columns=["y", "a", "b"])
    >>> ranks(fit("y ~ a + b", data, seed=1), ["a", "b"]).shape
    (2, 3)
    """
    source = _source(tree)
    if not isinstance(source, _Draws):
        raise BayesmigError("ranks need draws of all coefficients together; draw them with fit.")
    unknown = [term for term in terms if term not in source.terms]
    if unknown or len(set(terms)) < 2:
        raise BayesmigError(
            f"terms={list(terms)!r}: give two or more different coefficients of the model, of"
            f" {listing(source.terms, 20)}."
        )
    draws = np.stack([source.value(term) for term in terms], axis=1)
    places = (-draws).argsort(axis=1).argsort(axis=1) + 1
    table = pd.DataFrame({"mean_rank": places.mean(axis=0)}, pd.Index(terms, name="term"))
    for rank in range(1, len(terms) + 1):
        table[str(rank)] = (places == rank).mean(axis=0)
    return attributed(table.sort_values("mean_rank"), tree)


def jointly(bounds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Bounds of the probability that several things hold together, whatever hangs on what (Frechet 1935).

    What nothing is known of, NaN, leaves the whole unknown.

    >>> [round(end, 2) for end in jointly([(0.9, 0.95), (0.8, 0.8)])]
    [0.7, 0.8]
    """
    lows, highs = np.transpose(bounds)
    return float(np.maximum(0.0, lows.sum() - (len(lows) - 1))), float(np.maximum(0.0, highs.min()))


def _holding(claim: Claim, values: Mapping[Quantity, Array]) -> Flags:
    """In which draws all comparisons of a claim hold; each must have a value in all."""
    return np.asarray(np.logical_and.reduce([_finite(one.difference, values, claim) > 0 for one in claim.comparisons]))


def _finite(expression: Expression, values: Mapping[Quantity, Any], claim: Claim) -> Array:
    """The values of an expression, which are numbers."""
    with np.errstate(all="ignore"):
        found = np.asarray(expression.of(values), dtype=float)
    if not np.isfinite(found).all():
        raise BayesmigError(
            f"hypothesis {claim.text!r} has no finite value, or not in all draws; write a ratio as a difference"
            " ('a - 2 * b > 0' for 'a / b > 2'), and logarithms and roots of what is positive."
        )
    return found


@dataclass(frozen=True)
class _Joint:
    """A result that knows how its quantities go together: at draws, or at the points of the delta method."""

    tree: xr.DataTree

    @property
    def terms(self) -> list[str]:
        return [str(name) for name in self.tree[schema.kind(self.tree)]["term"].to_numpy()]

    @property
    def names(self) -> list[str]:
        return [*self.terms, *self.components]

    @cached_property
    def components(self) -> Mapping[str, Array]:
        """Sds, variances, correlations and shares."""
        return quantity_values(self.tree)

    def value(self, name: Quantity) -> Array:
        if isinstance(name, Margin):
            return margin_draws(self.tree, dict(name.at))
        return self.components[name] if name in self.components else self.coefficient(name)

    def coefficient(self, name: str) -> Array:
        raise NotImplementedError

    def draws(self, names: Sequence[Quantity]) -> Mapping[Quantity, Array]:
        """Joint draws of some quantities."""
        return {name: self.value(name) for name in names}

    def probability(self, claim: Claim) -> tuple[float, float]:
        """Twice the share of draws in which a claim holds."""
        share = float(_holding(claim, self.draws(claim.quantities)).mean())
        return share, share


@dataclass(frozen=True)
class _Draws(_Joint):
    """A posterior whose draws belong together."""

    def coefficient(self, name: str) -> Array:
        beta = self.tree["posterior"]["beta"].sel(term=name).transpose("chain", "draw")
        return np.asarray(beta.to_numpy().ravel())

    def row(self, claim: Claim, interval: float) -> dict[str, Any]:
        values = self.draws(claim.quantities)
        row = _moments(_finite(claim.subject, values, claim) if claim.subject else np.full(2, np.nan), interval)
        if claim.is_equality:
            return row | {"probability": np.nan, "bayes_factor": self._equality(claim, values)}
        holds = _holding(claim, values)
        return row | {"probability": float(holds.mean()), "bayes_factor": self._odds(claim, holds)}

    def _priors(self, claim: Claim) -> Mapping[str, CoefficientPrior] | None:
        """Proper priors of the claim's coefficients, or nothing if it has others or other quantities."""
        found: dict[str, CoefficientPrior] = {}
        priors = self._prior_of_terms()
        for name in claim.quantities:
            prior = priors.get(name) if isinstance(name, str) else None
            if not isinstance(prior, CoefficientPrior):
                return None
            found[str(name)] = prior
        return found

    def _prior_of_terms(self) -> Mapping[str, Prior]:
        if "observed_data" not in self.tree.children:
            return {}
        design = design_of(self.tree)
        priors = zip(design.terms, design.term_priors, strict=True)
        return {term: prior for term, prior in priors if plain_term(term) != "intercept"}  # which holds at the means

    def _odds(self, claim: Claim, holds: Flags) -> float:
        """Posterior odds over prior odds; infinite or zero where all draws agree."""
        priors = self._priors(claim)
        if priors is None:
            return math.nan
        before = _prior_probability(claim, priors)
        after = float(holds.mean())
        if not 0 < before < 1:
            return math.nan
        return math.inf if after == 1 else after / (1 - after) * (1 - before) / before

    def _equality(self, claim: Claim, values: Mapping[Quantity, Array]) -> float:
        """Density of the difference at zero, after the data over before; the former of a kernel estimate."""
        difference = claim.comparisons[0].difference
        after = stats.gaussian_kde(_finite(difference, values, claim))(0.0)[0]
        priors = self._priors(claim)
        return math.nan if priors is None else float(after / _prior_density(claim, priors))


@dataclass(frozen=True)
class _Estimate(_Joint):
    """An estimate, whose quantities stand at the points of the delta method."""

    @cached_property
    def beta(self) -> Array:
        """Coefficients at the points of the delta method."""
        return moved(self.tree["estimate"].to_dataset())["beta"]

    def coefficient(self, name: str) -> Array:
        return self.beta[:, self.terms.index(name)]

    def draws(self, names: Sequence[Quantity]) -> Mapping[Quantity, Array]:
        """Draws from the normal approximation."""
        z = np.random.default_rng(0).standard_normal((PRIOR_DRAWS, len(self.beta) // 2))
        return {name: draws_at(self.value(name), z) for name in names}

    def row(self, claim: Claim, interval: float) -> dict[str, Any]:
        values = {name: self.value(name) for name in claim.quantities}
        sides = [self._moments(one.difference, values, interval, claim) for one in claim.comparisons]
        heads = ("estimate", "std_error", *interval_heads("ci", interval))
        row: dict[str, Any] = dict.fromkeys(heads, math.nan)
        if claim.subject:
            row = self._moments(claim.subject, values, interval, claim)
        reference = stats.t(degrees(self.tree, self._rests_on(claim)))
        ratios = [side["estimate"] / side["std_error"] for side in sides]
        return row | {"p": float(2 * reference.sf(abs(ratios[0])) if claim.is_equality else max(reference.sf(ratios)))}

    def _rests_on(self, claim: Claim) -> list[str] | None:
        """Coefficients that a claim is about; None for all parameters, which other quantities may rest on."""
        names = [str(name) for name in claim.quantities]
        return names if set(names) <= set(self.terms) else None

    def _moments(
        self, expression: Expression, values: Mapping[Quantity, Array], interval: float, claim: Claim
    ) -> dict[str, Any]:
        """Estimate, error and interval of an expression."""
        found = _finite(expression, values, claim)
        terms = self._rests_on(claim)
        table = wald_table(self.tree, found[:, None], pd.Index(["row"]), interval, terms=terms)
        return {str(head): float(column.iloc[0]) for head, column in table.items()}


@dataclass(frozen=True)
class _Points:
    """Quantities of a printed table, with errors and without their covariance.

    ``error`` holds the smallest and the largest error that p or stars allow, and, of functions of several printed
    variances, their correlation.
    """

    estimate: Mapping[str, float]
    error: Mapping[str, tuple[float, float]]
    df: float

    @property
    def terms(self) -> list[str]:
        return [name for name in self.estimate if math.isfinite(self.error[name][0])]

    @property
    def names(self) -> list[str]:
        return self.terms

    def row(self, claim: Claim, interval: float) -> dict[str, Any]:
        sides = [self._moments(one.difference, claim) for one in claim.comparisons]
        lower, upper = interval_heads("ci", interval)
        reference = stats.t(self.df)
        row: dict[str, Any] = dict.fromkeys(("estimate", "std_error", lower, upper), math.nan)
        if claim.subject:
            estimate, _, widest = self._moments(claim.subject, claim)
            reach = reference.ppf(0.5 + interval / 2) * widest
            row = {"estimate": estimate, "std_error": widest, lower: estimate - reach, upper: estimate + reach}
        if claim.is_equality:
            raise BayesmigError(
                f"hypothesis {claim.text!r}: equality has no probability; give a region that counts as equal, as in"
                " 'abs(a - b) < 0.1'."
            )
        subjects: dict[Expression, list[tuple[float, float, float]]] = {}
        for one, side in zip(claim.comparisons, sides, strict=True):
            subjects.setdefault(one.subject, []).append(side)
        low, high = jointly([self._bounds(of_one) for of_one in subjects.values()])
        return row | {"probability_lower": low, "probability_upper": high}

    def probability(self, claim: Claim) -> tuple[float, float]:
        """Bounds over all that is not printed."""
        row = self.row(claim, 0.95)
        return row["probability_lower"], row["probability_upper"]

    def _bounds(self, sides: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
        """Those of the probability that comparisons of one thing hold, which fail together in no draw."""
        errors = _between(*sides[0][1:], abs(sides[0][0]) or 1.0)
        holds = [stats.t(self.df).cdf(_ratio(estimate, errors)) for estimate, _, _ in sides]
        below = np.sum(holds, axis=0) - (len(sides) - 1)
        return float(below.min()), float(below.max())

    def _moments(self, expression: Expression, claim: Claim) -> tuple[float, float, float]:
        """The value of an expression with the least and the largest error that it can have."""
        names = list(dict.fromkeys(expression.quantities()))
        missing = [str(name) for name in names if isinstance(name, Margin)]
        if missing:
            raise BayesmigError(
                f"hypothesis {claim.text!r}: {listing(missing)} needs data, which a printed table has not; draw the"
                " posterior with fit."
            )
        at = {name: self.estimate[str(name)] for name in names}
        value = float(_finite(expression, at, claim))
        weights = np.array([self._slope(expression, at, name, claim) for name in names])
        low, high = abs(weights) * np.array([self.error[str(name)] for name in names]).T
        others = [np.delete(high, place).sum() for place in range(len(names))]
        return value, max(0.0, float((low - others).max())), float(high.sum())

    def _slope(self, expression: Expression, at: Mapping[Quantity, float], name: Quantity, claim: Claim) -> float:
        """Derivative by one coefficient: a central difference, exact for linear expressions but for rounding."""
        largest = self.error[str(name)][1]
        step = 1e-4 * (largest if 0 < largest < math.inf else abs(at[name]) or 1.0)
        up, down = (float(_finite(expression, {**at, name: at[name] + side * step}, claim)) for side in (1, -1))
        return (up - down) / (2 * step)


def _source(tree: xr.DataTree) -> _Draws | _Estimate | _Points:
    kind = schema.kind(tree)
    dataset = tree[kind].to_dataset()
    if kind == "posterior" and tree.attrs.get("engine") != PRINTED:
        return _Draws(tree)
    if "covariance" in dataset:
        return _Estimate(tree)
    terms = [str(name) for name in dataset["term"].to_numpy()]
    if kind == "posterior":
        beta = dataset["beta"]
        means, errors = (getattr(beta, what)(("chain", "draw")).to_numpy() for what in ("mean", "std"))
    else:
        means, errors = dataset["beta"].to_numpy(), dataset["beta_se"].to_numpy()
    df = float(tree.attrs.get("df", math.inf))
    ranges = np.stack([errors, errors], axis=1)
    components = _printed_components(tree) if kind == "published" else {}
    if "p_lower" in dataset:
        bounds, unsaid = dataset[["p_lower", "p_upper"]].to_array().to_numpy().T, np.isnan(errors)
        ranges[unsaid] = _errors_of_p(means[unsaid], bounds[unsaid], df)
    return _Points(
        dict(zip(terms, means, strict=True)) | {name: value for name, (value, _) in components.items()},
        dict(zip(terms, map(tuple, ranges), strict=True)) | {name: span for name, (_, span) in components.items()},
        df,
    )


def _printed_components(tree: xr.DataTree) -> dict[str, tuple[float, tuple[float, float]]]:
    """Sds, variances and shares of a printed table, with the least and the largest error that each can have."""
    apart = tree.copy()
    dataset = apart["published"].to_dataset()
    sds = [name for name in ("sigma", *map("tau_{}".format, schema.groups(dataset))) if name in dataset]
    errors = {name: dataset[f"{name}_se"].to_numpy().ravel() for name in sds}
    known = [name for name in sds if np.isfinite(errors[name]).all()]
    if not known:
        return {}
    labels = [label for name in known for label in schema.parameter_labels(dataset, name)]
    covariance = np.diag(np.concatenate([errors[name] for name in known]) ** 2)
    apart["published"].dataset = dataset.assign(parameter=labels, covariance=(("parameter", "parameter_"), covariance))
    found = {}
    for name, values in quantity_values(apart).items():
        if known == sds or any(label in name for label in labels):
            parts = abs(values[1::2] - values[2::2]) / (2 * STEP)
            found[name] = float(values[0]), (max(0.0, float(2 * parts.max() - parts.sum())), float(parts.sum()))
    return found


def _errors_of_p(estimate: Array, bounds: Array, df: float) -> Array:
    """Smallest and largest standard error that a two-sided p between two bounds allows, (n, 2)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = abs(estimate)[:, None] / critical(bounds, df)
    found[(estimate == 0) & np.isfinite(bounds[:, 0])] = 0.0, math.inf  # of a zero any p tells nothing
    return np.asarray(found)


def _between(lowest: float, highest: float, unit: float) -> Array:
    """Errors from the lowest to the highest, which may be infinite, close together around a unit."""
    return np.asarray(unit * np.tan(np.linspace(math.atan(lowest / unit), math.atan(highest / unit), 101)))


def claims_by_name(claims: str | Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """Claims by name, or else by their own text."""
    if isinstance(claims, str):
        return {claims: claims}
    each = claims if isinstance(claims, Iterable) else ()
    named = dict(claims) if isinstance(claims, Mapping) else {str(claim): claim for claim in each}
    if not named:
        raise SpecificationError(f"no hypothesis was given, but {claims!r}; write one, as in 'age > 0'.")
    return named


def _moments(draws: Array, interval: float) -> dict[str, Any]:
    """Moments of what a claim speaks of."""
    table = summarise_draws(draws[:, None], pd.Index(["row"]), interval)
    return {str(head): values.iloc[0] for head, values in table.items()}


def _ratio(estimate: float, errors: Array) -> Array:
    """Estimate over error; infinite where the error is zero."""
    return np.divide(estimate, errors, out=np.full_like(errors, math.copysign(math.inf, estimate)), where=errors > 0)


def _prior_probability(claim: Claim, priors: Mapping[str, CoefficientPrior]) -> float:
    """That of the claim where coefficients are independent, as they are a priori."""
    rng = np.random.default_rng(0)
    values: dict[Quantity, Array] = {name: prior.draw(rng, PRIOR_DRAWS) for name, prior in priors.items()}
    with np.errstate(all="ignore"):  # where it has no value it does not hold
        return float(np.logical_and.reduce([one.difference.of(values) > 0 for one in claim.comparisons]).mean())


def _prior_density(claim: Claim, priors: Mapping[str, CoefficientPrior]) -> float:
    """Prior density at zero of a difference that must be linear in the coefficients; NaN for several with priors that
    are not all normal, whose sums have no simple density."""
    difference = claim.comparisons[0].difference
    at: dict[Quantity, float] = {name: prior.mean for name, prior in priors.items()}
    centre = float(_finite(difference, at, claim))
    slopes = np.array([float(_finite(difference, {**at, name: at[name] + 1}, claim)) for name in at]) - centre
    steps = np.random.default_rng(0).normal(size=(len(at), 9))
    found = _finite(difference, {name: at[name] + step for name, step in zip(at, steps, strict=True)}, claim)
    if not np.allclose(found, centre + slopes @ steps, rtol=1e-9, atol=1e-9 * abs(found).max()):
        raise SpecificationError(f"hypothesis {claim.text!r}: of '=' both sides are sums, as in 'a = 2 * b'.")
    if len(slopes) == 1:
        (prior,) = priors.values()
        return float(np.exp(prior.log_density(prior.mean - centre / slopes[0])) / abs(slopes[0]))
    sds = [slope * prior.spread for slope, prior in zip(slopes, priors.values(), strict=True)]
    normal = all(isinstance(prior, Normal) for prior in priors.values())
    return float(stats.norm.pdf(0.0, centre, math.hypot(*sds))) if normal else math.nan
