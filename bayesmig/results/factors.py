"""What a fitted factor model says of its items, its factors and the people: loadings, reliability, scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.data.design import Design
from bayesmig.data.encoding import PROVENANCE_COLUMN, build_design
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.data.imputations import DRAWN
from bayesmig.data.rows import design_of
from bayesmig.errors import BayesmigError, DataError, EngineRefusal
from bayesmig.inference.response import parameters
from bayesmig.inference.working_units import base_z
from bayesmig.results.summaries import check_interval, interval_heads, summarise_draws

RESPONSE_VARIANCE = {"logit": math.pi**2 / 3, "probit": 1.0}


def loadings(tree: xr.DataTree, interval: float = 0.95) -> pd.DataFrame:
    """How well each item measures its factor.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior of latent factors, or their maximum likelihood.
    interval : float

    Returns
    -------
    pandas.DataFrame
        Indexed by item: ``factor``; ``loading`` with ``sd`` and an equal-tailed interval (posterior) or ``std_error``
        and a Wald interval (estimate); ``standardised``, the loading with factor and item in standard deviations;
        ``communality``, the share of the item's variance that the factor accounts for; and ``item_sd``, the standard
        deviation of the rest, NaN for ordinal items, whose rest is that of the link. Standardised loadings and
        communalities of a posterior are means of draws, and the former have an interval of their own.

    Raises
    ------
    BayesmigError
        If the tree holds no latent factors with items of their own errors.

    Notes
    -----
    Variances are those that the model implies, with the predictors as they are in the sample: an item's is
    ``loading^2 Var(factor) + item_sd^2``, and of an ordinal item the variance of the response behind the answers, where
    the link gives ``pi^2 / 3`` or 1. So does lavaan compute ``std.all`` (Bollen 1989, chapter 8).

    What it means: a standardised loading of 0.7 is the correlation of the item with what is measured; about half
    (0.49) of the differences between people's answers come from it, the other half is the item's own. A negative one
    belongs to an item that is worded the other way round.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesmig import Factor, ModelSpec, estimate
    >>> rng = np.random.default_rng(1)
    >>> trust = rng.normal(size=500)
    >>> data = pd.DataFrame({f"t{k}": trust + rng.normal(size=500) for k in range(4)})
    >>> tree = estimate(ModelSpec("trust ~ 1", factors=(Factor("trust", ("t0", "t1", "t2", "t3")),)), data)
    >>> loadings(tree)["communality"].round(2).tolist()
    [0.48, 0.43, 0.52, 0.39]
    """
    check_interval(interval)
    fitted = FittedFactors.of(tree)
    outcome, values = fitted.design.items, fitted.values
    index = pd.Index(outcome.names, name="item")
    table = pd.DataFrame({"factor": [outcome.effects[owner] for owner in outcome.owner]}, index)
    standardised = fitted.standardised
    if fitted.is_posterior:
        found = summarise_draws(values["loading"], index, interval)
        shown = summarise_draws(standardised, index, interval)
        heads = interval_heads("eti", interval)
        own = {f"standardised_{head}": shown[head] for head in heads}
    else:
        error = tree["estimate"]["loading_se"].to_numpy()
        reach = stats.norm.ppf(0.5 + interval / 2) * error
        found = pd.DataFrame({"estimate": values["loading"][0], "std_error": error}, index)
        for head, bound in zip(interval_heads("ci", interval), (-reach, reach), strict=True):
            found[head] = found["estimate"] + bound
        own = {}
    table = table.join(found.rename(columns={"estimate": "loading"}))
    table["standardised"] = standardised.mean(axis=0)
    table = table.assign(**own, communality=(standardised**2).mean(axis=0))
    return table.assign(item_sd=np.nan if outcome.is_ordinal else values["item_sd"].mean(axis=0))


def factor_summary(tree: xr.DataTree, interval: float = 0.95) -> pd.DataFrame:
    """Reliability, explained variance and correlations of the latent factors.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior of latent factors, or their maximum likelihood.
    interval : float

    Returns
    -------
    pandas.DataFrame
        Indexed by quantity, with the name of the factor in brackets: ``omega``, the reliability of the sum of the
        items; ``omega_standardised``, that of the sum of standardised items (continuous ones); ``sd`` of the factor,
        among all people of the sample; ``r2_marginal`` and ``r2_conditional``, the share of its variance that
        predictors, and predictors and groups, account for; ``correlation`` of two factors, and ``rho_factor``, the
        correlation of what predictors and groups leave. What is 1 by definition, or the same, is left out. Columns as
        in :func:`~bayesmig.coefficients`; functions of an estimate have no interval, because no covariances
        are kept.

    Notes
    -----
    ``omega = (sum s l)^2 V / ((sum s l)^2 V + sum item_sd^2)`` (McDonald 1999, equation 6.20), with loadings ``l``,
    their signs ``s`` and the variance ``V`` of the factor; items that go against the factor are turned round. Of
    ordinal items it concerns the responses behind the answers, not the sum of the answers, which is less reliable
    (Green & Yang 2009, Psychometrika 74(1)). R2 is that of McKelvey & Zavoina: variances of the latent variable itself.

    What it means: with an omega of 0.8, 20 % of the variance of the sum score is error; a regression of the score has
    this error in its residual, a regression of the factor has not.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesmig import Factor, ModelSpec, estimate
    >>> rng = np.random.default_rng(1)
    >>> trust = rng.normal(size=500)
    >>> data = pd.DataFrame({f"t{k}": trust + rng.normal(size=500) for k in range(4)})
    >>> tree = estimate(ModelSpec("trust ~ 1", factors=(Factor("trust", ("t0", "t1", "t2", "t3")),)), data)
    >>> bool(abs(factor_summary(tree).loc["omega[trust]", "estimate"] - 0.8) < 0.05)
    True
    """
    check_interval(interval)
    fitted = FittedFactors.of(tree)
    quantities = _quantities(fitted)
    index = pd.Index(quantities, name="quantity", dtype=object)
    draws = np.stack(list(quantities.values()), axis=-1)
    if fitted.is_posterior:
        return summarise_draws(draws, index, interval)
    table = pd.DataFrame({"estimate": draws[0]}, index)
    heads = interval_heads("ci", interval)
    table[["std_error", *heads]] = np.nan
    if fitted.design.items.pairs:
        error, rows = tree["estimate"]["rho_factor_se"].to_numpy(), index.str.startswith("rho_factor")
        rho = table.loc[rows, "estimate"].to_numpy()
        reach = stats.norm.ppf(0.5 + interval / 2) * error / (1 - rho**2)
        bounds = (np.tanh(np.arctanh(rho) + side * reach) for side in (-1, 1))
        table.loc[rows, ["std_error", *heads]] = np.column_stack([error, *bounds])
    return table


def scores(tree: xr.DataTree) -> pd.DataFrame:
    """Where each person stands on the latent factors, and how surely.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior of latent factors, or their maximum likelihood.

    Returns
    -------
    pandas.DataFrame
        Indexed by ``row``, the person's position in the data that were given. Of every factor a column with its name,
        the posterior mean, and one with ``_sd``, the posterior standard deviation; of estimates regression scores and
        their standard error, ``_se``, which takes the parameters as known.

    Raises
    ------
    BayesmigError
        If the tree holds no latent factors with items of their own errors, or pools completed data sets.

    Notes
    -----
    Given the parameters, the factors of a person with continuous items are normal, with precision
    ``Psi^-1 + L' T^-1 L`` and mean ``m + V L' T^-1 (y - nu - L m)``, where ``m`` is what the predictors and groups
    say, ``T`` holds the items' own variances and ``V`` is the inverse of the precision (Thurstone's regression scores;
    lavaan's ``lavPredict`` computes the same). Posterior means and variances average this over the draws.

    What it means: the best guess of a person's score, drawn towards what is usual among people alike in the
    predictors. Good for looking at people. As outcome of another regression scores lack the spread that they should
    have, and as predictor their uncertainty; :func:`plausible_values` keep both.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesmig import Factor, ModelSpec, estimate
    >>> rng = np.random.default_rng(1)
    >>> trust = rng.normal(size=500)
    >>> data = pd.DataFrame({f"t{k}": trust + rng.normal(size=500) for k in range(4)})
    >>> tree = estimate(ModelSpec("trust ~ 1", factors=(Factor("trust", ("t0", "t1", "t2", "t3")),)), data)
    >>> list(scores(tree).columns), bool(np.corrcoef(scores(tree)["trust"], trust)[0, 1] > 0.85)
    (['trust', 'trust_se'], True)
    """
    fitted = FittedFactors.of(tree)
    _refuse_pooled(tree)
    if "eta" in fitted.values:
        mean, variance = fitted.values["eta"].mean(axis=0), fitted.values["eta"].var(axis=0, ddof=1)
    else:
        total, squares = np.zeros((2, fitted.design.n, len(fitted.design.items.factors)))
        for draw in range(fitted.size):
            centre, spread = fitted.given_answers(draw)
            total += centre
            squares += centre**2 + np.diagonal(spread, axis1=1, axis2=2)
        mean = total / fitted.size
        variance = squares / fitted.size - mean**2
    error = "sd" if fitted.is_posterior else "se"
    names = [column for name in fitted.design.items.effects for column in (name, f"{name}_{error}")]
    values = np.stack([mean, np.sqrt(variance)], axis=2).reshape(fitted.design.n, -1)
    return pd.DataFrame(values, pd.Index(fitted.design.rows, name="row"), names)


def plausible_values(
    tree: xr.DataTree, sets: int = 20, *, seed: int | None = None, data: AnyFrame | None = None
) -> list[pd.DataFrame]:
    """Copies of the data with a value of each latent factor drawn for every person.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior of latent factors.
    sets : int
        How many copies.
    seed : int, optional
        The same seed gives the same values.
    data : pandas.DataFrame, optional
        The data that were given to ``fit``, if other columns than those of the model are wanted in the copies.

    Returns
    -------
    list of pandas.DataFrame
        The rows used, with a column for every factor. ``fit`` and ``estimate`` take the list as it is and put the
        results together.

    Raises
    ------
    BayesmigError
        If the tree is no posterior, or pools completed data sets, there are fewer draws than copies, the data are
        others, or they have a column with the name of a factor.

    Notes
    -----
    Each copy takes one draw of the parameters, and for continuous items a draw from the normal distribution of the
    factors given these and the answers (:func:`scores`); for ordinal items the factors were drawn with the
    parameters. They are multiple imputations of a variable that nobody observed (Mislevy 1991, Psychometrika 56(2)).

    What it means: unlike one score per person they vary from copy to copy by as much as is unknown, so that regressions
    of them have the right coefficients and standard errors. They know only of relations that were in the model: a
    regression on a predictor that the factor model lacked is drawn towards zero.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesmig import NUTS, Factor, ModelSpec, fit
    >>> rng = np.random.default_rng(1)
    >>> age = rng.normal(size=200)
    >>> data = pd.DataFrame({f"t{k}": age + rng.normal(size=200) for k in range(4)}).assign(age=age)
    >>> spec = ModelSpec("trust ~ age", factors=(Factor("trust", ("t0", "t1", "t2", "t3")),))
    >>> tree = fit(spec, data, engine=NUTS(draws=100, tune=200, chains=2), seed=1)
    >>> copies = plausible_values(tree, sets=5, seed=1)
    >>> len(copies), list(copies[0].columns)
    (5, ['t0', 't1', 't2', 't3', 'age', 'trust'])
    """
    fitted = FittedFactors.of(tree)
    _refuse_pooled(tree)
    if not fitted.is_posterior:
        raise BayesmigError(
            "plausible values are drawn from a posterior, which knows how sure the parameters are; this tree is an"
            " estimate. Draw the model with fit, or take scores(tree)."
        )
    if not isinstance(sets, int) or not 2 <= sets <= fitted.size:
        raise BayesmigError(f"sets={sets!r}: give a whole number from 2 to the number of draws, {fitted.size}.")
    frame = _people(tree, fitted.design, data)
    names = fitted.design.items.effects
    taken = [name for name in names if name in frame]
    if taken:
        raise DataError(f"the data have a column {taken[0]!r} already, the name of the factor; rename the column.")
    rng = np.random.default_rng(seed)
    copies = []
    for draw in rng.choice(fitted.size, sets, replace=False):
        copy = frame.assign(**dict(zip(names, fitted.drawn(int(draw), rng).T, strict=True)))
        copy.attrs[DRAWN] = list(names)
        copies.append(copy)
    return copies


@dataclass(frozen=True)
class FittedFactors:
    """A factor model with its parameters.

    ``values``: parameters in the contract's units, draws in front; an estimate is a single one.
    """

    design: Design
    values: Mapping[str, Array]
    is_posterior: bool

    @classmethod
    def of(cls, tree: xr.DataTree) -> FittedFactors:
        """Design and parameters of a tree.

        Raises BayesmigError if it is no factor model, or one estimated by scores.
        """
        kind = schema.kind(tree)
        dataset = tree[kind].to_dataset()
        if "loading" not in dataset:
            raise BayesmigError(
                f"the outcome {tree.attrs.get('outcome', '')!r} is no latent factor. Give the specification"
                " factors=(Factor(name, items), ...) and draw it with fit; for items without a model there are"
                " components and reliability."
            )
        if kind == "estimate" and "item_sd" not in dataset:
            raise EngineRefusal(
                f"method {tree.attrs['estimator']!r} takes scores for the factor itself, so items have no errors of"
                " their own; use method='ml', or draw the posterior with fit."
            )
        points = {str(name): array.to_numpy()[None] for name, array in dataset.data_vars.items()}
        drawn = kind == "posterior"
        return cls(design_of(tree), parameters(dataset) if drawn else points, drawn)

    @property
    def size(self) -> int:
        """Number of draws."""
        return len(self.values["loading"])

    @property
    def predictors(self) -> int:
        """Columns of predictors, once for all factors."""
        return len(self.design.terms) // len(self.design.items.factors)

    @property
    def explained(self) -> bool:
        """Whether predictors or groups account for a part of the factors."""
        return bool(self.predictors or self.design.groups)

    @cached_property
    def slopes(self) -> Array:
        """Coefficients by factor, (draws, F, p)."""
        return self.values["beta"].reshape(self.size, len(self.design.items.factors), self.predictors)

    @cached_property
    def residual(self) -> Array:
        """Residual covariance of the factors, (draws, F, F)."""
        outcome = self.design.items
        matrix = np.broadcast_to(np.eye(len(outcome.factors)), (self.size, *2 * (len(outcome.factors),))).copy()
        for k, (i, j) in enumerate(outcome.pairs):
            matrix[:, i, j] = matrix[:, j, i] = self.values["rho_factor"][:, k]
        if not outcome.has_markers:
            return matrix
        psi = self.values["psi"]
        return matrix * psi[:, :, None] * psi[:, None, :]

    @cached_property
    def parts(self) -> tuple[Array, Array, Array]:
        """Covariances of the factors among the people of the sample that are due to predictors, groups and the rest."""
        design = self.design
        weights = np.ones(design.n) if design.counting is None else design.counting
        weights = weights / weights.sum()
        x = design.x[:, : self.predictors]
        x = x - weights @ x
        fixed = np.einsum("dfp,pq,dgq->dfg", self.slopes, (x * weights[:, None]).T @ x, self.slopes)
        between = np.zeros_like(fixed)
        count = len(design.items.factors)
        for group in design.groups:
            squares = (group.z * weights[:, None]).T @ group.z
            products = group.covariance(self.values) * squares
            q = len(group.effects) // count
            between += products.reshape(self.size, count, q, count, q).sum(axis=(2, 4))
        return fixed, between, self.residual

    @cached_property
    def covariance(self) -> Array:
        """Covariance of the factors among the people of the sample, (draws, F, F)."""
        return np.asarray(sum(self.parts))

    @cached_property
    def own_variance(self) -> Array:
        """Variances of the items, or the responses behind them, that are their own, (draws, k)."""
        outcome = self.design.items
        if outcome.is_ordinal:
            return np.full((self.size, len(outcome.names)), RESPONSE_VARIANCE[outcome.link])
        return np.asarray(self.values["item_sd"] ** 2)

    @cached_property
    def standardised(self) -> Array:
        """Loadings with items and factors in sds, (draws, k)."""
        variance = np.diagonal(self.covariance, axis1=1, axis2=2)[:, self.design.items.owner]
        loading = self.values["loading"]
        return np.asarray(loading * np.sqrt(variance / (loading**2 * variance + self.own_variance)))

    def expected(self, draw: int) -> Array:
        """What predictors and groups say of the factors, (n, F)."""
        design = self.design
        total = design.x[:, : self.predictors] @ self.slopes[draw].T
        for group in design.groups:
            effects = self.values[f"u_{group.name}"][draw].reshape(len(group.levels), total.shape[1], -1)
            total += np.einsum("nfk,nk->nf", effects[group.codes], base_z(design, group))
        return np.asarray(total)

    @cached_property
    def patterns(self) -> tuple[Flags, Codes]:
        """Which items were answered, by pattern, and the pattern of each row."""
        kinds, kind = np.unique(self.design.items.answered, axis=0, return_inverse=True)
        return kinds, kind.ravel()

    def given_answers(self, draw: int) -> tuple[Array, Array]:
        """Means (n, F) and covariances (n, F, F) of the factors given continuous answers."""
        outcome, values = self.design.items, self.values
        mean = self.expected(draw)
        pattern = values["loading"][draw][:, None] * np.eye(mean.shape[1])[outcome.owner]
        left = outcome.items - values["item_intercept"][draw] - mean @ pattern.T
        inverse = np.linalg.inv(self.residual[draw])
        kinds, kind = self.patterns
        found = np.empty((len(kinds), *inverse.shape))
        for place, answered in enumerate(kinds):
            rows = kind == place
            weighted = pattern[answered] / self.own_variance[draw][answered, None]
            found[place] = np.linalg.inv(inverse + pattern[answered].T @ weighted)
            mean[rows] += left[np.ix_(rows, answered)] @ weighted @ found[place]
        return mean, found[kind]

    def drawn(self, draw: int, rng: np.random.Generator) -> Array:
        """The factors of all people under one draw of the parameters, (n, F)."""
        if "eta" in self.values:
            return np.asarray(self.values["eta"][draw])
        mean, spread = self.given_answers(draw)
        noise = rng.standard_normal((*mean.shape, 1))
        return np.asarray(mean + (np.linalg.cholesky(spread) @ noise)[..., 0])


def _quantities(fitted: FittedFactors) -> dict[str, Array]:
    """Quantities of :func:`factor_summary` by name, draws of each."""
    outcome = fitted.design.items
    sd = np.sqrt(np.diagonal(fitted.covariance, axis1=1, axis2=2))
    fixed, between, _ = (np.diagonal(part, axis1=1, axis2=2) for part in fitted.parts)
    found: dict[str, Array] = {}
    for factor, name in enumerate(outcome.effects):
        own = np.flatnonzero(outcome.owner == factor)
        loading = fitted.values["loading"][:, own] * sd[:, [factor]]
        found[f"omega[{name}]"] = _omega(loading, fitted.own_variance[:, own])
        if not outcome.is_ordinal:
            standardised = fitted.standardised[:, own]
            found[f"omega_standardised[{name}]"] = _omega(standardised, 1 - standardised**2)
        if outcome.has_markers or fitted.explained:
            found[f"sd[{name}]"] = sd[:, factor]
        if fitted.predictors:
            found[f"r2_marginal[{name}]"] = fixed[:, factor] / sd[:, factor] ** 2
        if fitted.design.groups:
            found[f"r2_conditional[{name}]"] = (fixed + between)[:, factor] / sd[:, factor] ** 2
    for k, ((i, j), pair) in enumerate(zip(outcome.pairs, outcome.pair_names, strict=True)):
        if fitted.explained:
            found[f"correlation[{pair}]"] = fitted.covariance[:, i, j] / (sd[:, i] * sd[:, j])
        found[f"rho_factor[{pair}]"] = fitted.values["rho_factor"][:, k]
    return found


def _omega(loading: Array, own_variance: Array) -> Array:
    """Reliability of the sum of items, those that go against the factor turned round."""
    common = (loading * np.sign(loading.mean(axis=0))).sum(axis=1) ** 2
    return np.asarray(common / (common + own_variance.sum(axis=1)))


def _refuse_pooled(tree: xr.DataTree) -> None:
    if "imputations" in tree.attrs:
        raise BayesmigError(
            f"this result pools {tree.attrs['imputations']} completed data sets, in which people have different"
            " answers; fit each data set by itself and take its scores."
        )


def _people(tree: xr.DataTree, design: Design, data: AnyFrame | None) -> pd.DataFrame:
    """The rows used, of the columns used or of all that are given again."""
    if data is None:
        frame = schema.data_frame(tree)
        own = tree.attrs["provenance"] == "own data"
        return frame if own else frame.assign(**{PROVENANCE_COLUMN: tree.attrs["provenance"]})
    data = frame_of(data)
    if build_design(design.spec, data).digest != tree.attrs["data_digest"]:
        raise DataError("these are not the data that the tree was fitted to; give those, or leave data out.")
    return data.iloc[design.rows]
