"""How well a model predicts people and groups that it has not seen, and which of several models predicts best."""

from __future__ import annotations

import ast
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special
from threadpoolctl import threadpool_limits

from bayesmig.checking.elpd import Elpd, Outcome
from bayesmig.checking.marginal_likelihood import compare_by_marginal
from bayesmig.checking.out_of_sample import (
    QUADRATURE_DRAWS,
    leave_units_out,
    log_joint_density,
    pareto_threshold,
    refuse_unseen,
    relative_efficiency,
    row_densities,
    unseen,
)
from bayesmig.checking.predictive import seed_of
from bayesmig.checking.subsets import fitted_posterior, grouping, subset, without
from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design
from bayesmig.errors import BayesmigError, EngineRefusal, InferenceFailure, listing
from bayesmig.inference.engines.base import Engine
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.engines.quadrature import Quadrature
from bayesmig.inference.fitting import candidates, drawn
from bayesmig.inference.parallel import Failure, map_fits
from bayesmig.inference.response import parameters

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

ENGINES: dict[str, Callable[..., Engine]] = {"Exact": Exact, "NUTS": NUTS, "Quadrature": Quadrature}
LARGEST = 2**29  # numbers in a result: 4 GiB
ALIKE = 4.0
FEW = 100


def log_likelihood(tree: xr.DataTree, draws: int | None = None) -> xr.DataTree:
    """Add the log density of every person's outcome, for the functions of ArviZ that need it.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``; it is not changed.
    draws : int, optional
        At most so many draws, evenly spaced; all of them by default.

    Returns
    -------
    xarray.DataTree
        The tree with a group ``log_likelihood``: ``y`` by ``chain``, ``draw`` and ``row``, natural logarithms. Given
        the varying effects; without survey and frequency weights, which :func:`loo` counts and ArviZ does not know.

    Raises
    ------
    BayesmigError
        If the tree is no posterior, was not made from data, or the result would fill more than 4 GiB.

    Examples
    --------
    >>> from bayesmig import fit
    >>> tree = fit("y ~ x", pd.DataFrame({"y": [1.0, 2, 4, 3, 6], "x": [0.0, 1, 2, 3, 4]}), seed=1)
    >>> dict(log_likelihood(tree)["log_likelihood"]["y"].sizes)
    {'chain': 4, 'draw': 1000, 'row': 5}
    """
    fitted = fitted_posterior(tree, draws)
    design = fitted.design
    if fitted.size * design.n > LARGEST:
        raise BayesmigError(
            f"{fitted.size:,} x {design.n:,} numbers would fill more than 4 GiB; use draws={LARGEST // design.n:,} or"
            " fewer, or loo, which needs no such array."
        )
    densities = np.concatenate([values for _, values in row_densities(fitted)], axis=1)
    added = tree.copy()
    added["log_likelihood"] = xr.DataTree(fitted.by_draw(densities, row=design.rows).to_dataset(name="y"))
    return added


def loo(tree: xr.DataTree, *, refit: bool = False, engine: Engine | None = None, seed: int | None = None) -> Elpd:
    """How well a model predicts a person from all others, by Pareto-smoothed importance sampling.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``.
    refit : bool
        Fit the model again without each person whose Pareto k is too high.
    engine : Engine, optional
        For refits; that of the fit unless given.
    seed : int, optional
        For refits; that of the fit unless given.

    Returns
    -------
    Elpd
        ``elpd``, ``se``, ``p``; ``pointwise`` by row, with Pareto k, whose ``threshold`` depends on the draws.

    Raises
    ------
    BayesmigError
        If the tree is no posterior, or was not made from data.

    Notes
    -----
    Vehtari, Gelman & Gabry 2017 (Statistics and Computing 27(5)) and Vehtari et al. 2024 (JMLR 25(72)), with the
    smoothing of ArviZ. A person keeps the group, of which the others are known: the question is about new people in
    the same groups; :func:`leave_one_group_out` asks about new groups. Refits keep priors as they were resolved for all
    data, and integrate the effect of a group that nobody else belongs to out.

    Frequency weights: one of the people that a row stands for is left out, and the row counts as often as there are
    people, as if the rows had been repeated. Survey weights: the person's whole share in the pseudo-likelihood is left
    out, and the weighted sum estimates the population's; its standard error counts unequal weights but neither strata
    nor sampling units. A binomial row is left out with all of its trials.

    What it means: differences between models of the same people matter, the number itself does not. A Pareto k
    above the threshold marks a person on whom the fit leans so heavily that it cannot be taken out without a refit;
    such people deserve a look.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"x": rng.normal(size=100)})
    >>> data["y"] = data["x"] + rng.normal(size=100)
    >>> from bayesmig import fit
    >>> result = loo(fit("y ~ x", data, seed=1))
    >>> round(result.p), result.above
    (4, 0)
    """
    fitted = fitted_posterior(tree, weighable=True)
    design = fitted.design
    refits = _Refits.of(tree, design, engine, seed) if refit else None
    efficiency = relative_efficiency(tree, fitted.size)
    weights = np.ones(design.n) if design.counting is None else design.counting
    powers = weights if design.weight_kind == "survey" else np.ones(design.n)
    judged = _Reweighted(pareto_threshold(fitted.size), efficiency)
    with threadpool_limits(1, user_api="blas"):
        for places, densities in row_densities(fitted):
            judged.add(densities.T, powers[places], weights[places])
    pointwise = judged.pointwise(pd.Index(design.rows, name="row")).assign(n=1)
    if refits is not None:
        bad = np.flatnonzero(pointwise["pareto_k"] > judged.threshold)
        left_out = [_LeftOut(f"row {design.rows[k]}", (int(k),), (np.array([k]),), person=True) for k in bad]
        refits.replace(pointwise, left_out)
    return _result("leave-one-out", pointwise, judged, tree, design, refits)


def leave_one_group_out(
    tree: xr.DataTree,
    group: str | pd.Series | ArrayLike,
    k: int | None = None,
    *,
    refit: bool = True,
    engine: Engine | None = None,
    seed: int | None = None,
) -> Elpd:
    """How well a model predicts all people of a group that it has not seen.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``.
    group : str, Series or array
        A grouping factor, a categorical column of the data used, or one value for each row of the data given. It need
        not be in the formula, so that a model with groups can be held against one without.
    k : int, optional
        Leave out that many parts of the groups instead, each by a refit. As many as there are groups: every group by a
        refit of its own. By default every group is left out by importance sampling.
    refit : bool
        Without ``k``: fit the model again without each group whose Pareto k is too high.
    engine : Engine, optional
        For refits; that of the fit unless given.
    seed : int, optional
        For parts and refits; that of the fit unless given.

    Returns
    -------
    Elpd
        ``pointwise`` by group: the joint log density of the outcomes of its people.

    Raises
    ------
    EngineRefusal
        If the effects of a new group cannot be integrated out, before any work.
    BayesmigError
        If the tree is no posterior, there are fewer groups than two or than ``k``, or groups have weights.

    Notes
    -----
    ``log p(y_j | y_-j)``, with the effects of the left-out group integrated out jointly for all of its people
    (see ``bayesmig.checking.out_of_sample``), as are effects of finer groups within it. The importance weights are the
    reciprocals of these integrated densities; those of densities given the group's effect would vary without bound
    (Merkle, Furr & Rabe-Hesketh 2019, Psychometrika 84(3)). Where the integral needs quadrature, at most 1,000 draws
    are used. Frequency and survey weights multiply log densities within the group; groups count once each. A refit
    takes as long as a fit; refits run in parallel within ``joblib.parallel_config(n_jobs=...)``.

    What it means: how well the model would do in a neighbourhood that was not sampled. A model whose predictors
    describe neighbourhoods can gain much here and nothing in :func:`loo`, where the group's own effect already knows
    what the neighbourhood is like.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": np.repeat(np.arange(12), 20)})
    >>> data["y"] = rng.normal(size=12)[data["area"]] + rng.normal(size=240)
    >>> from bayesmig import fit
    >>> result = leave_one_group_out(fit("y ~ 1 + (1 | area)", data, seed=1), "area")
    >>> len(result.pointwise), result.above
    (12, 0)
    """
    fitted = fitted_posterior(tree, weighable=True)
    design = fitted.design
    if any(factor.weights is not None for factor in design.groups):
        raise BayesmigError("groups have weights, and the density of a weighted group is not defined; use loo.")
    if maps := [factor.name for factor in design.groups if factor.structure is not None]:
        raise BayesmigError(
            f"{maps[0]}: what neighbours, or people in several groups, say of a group that is left out is not computed;"
            " use loo, or leave groups out of a model without that term."
        )
    people = grouping(design, group)
    count, places = len(people.levels), people.places
    if count < 2 or (k is not None and not 2 <= k <= count):
        raise BayesmigError(
            f"{people.name} has {count} group{'s' if count != 1 else ''} and k={k}: at least two groups are needed,"
            " and k lies between 2 and their number."
        )
    refits = _Refits.of(tree, design, engine, seed) if refit or k else None
    sizes = np.bincount(people.codes, design.respondents).astype(int)
    folds = [[j] for j in range(count)] if k is None else _folds(sizes, k, seed_of(tree, seed))
    left_out = [
        _LeftOut(
            f"{people.name} {listing(people.levels[j] for j in fold)}", tuple(fold), tuple(places[j] for j in fold)
        )
        for fold in folds
    ]
    for fold in left_out:
        fold.check(design)
    if not design.spec.is_gaussian and design.groups:
        fitted = fitted_posterior(tree, QUADRATURE_DRAWS)
    judged = _Reweighted(pareto_threshold(fitted.size), relative_efficiency(tree, fitted.size))
    for some in places:
        density = log_joint_density(subset(design, some), fitted.values, unseen(design, some))
        judged.add(density[None], np.ones(1), np.ones(1))
    pointwise = judged.pointwise(pd.Index(people.levels, name=people.name)).assign(n=sizes)
    if k is not None:
        pointwise[["elpd", "mcse", "pareto_k"]] = np.nan
    if refits is not None:
        bad = (pointwise["pareto_k"] > judged.threshold).to_numpy()
        refits.replace(pointwise, left_out if k else [fold for fold in left_out if bad[fold.units[0]]])
    every = k is None or k == count
    method = f"leave-one-group-out by {people.name}" if every else f"{k}-fold by {people.name}"
    return _result(method, pointwise, judged, tree, design, refits)


def compare_models(
    models: Mapping[str, xr.DataTree | Elpd],
    by: Literal["elpd", "marginal"] = "elpd",
    *,
    prior: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Which of several models of the same outcome predicts best what it has not seen, or is the most probable.

    Parameters
    ----------
    models : mapping of str to DataTree or Elpd
        At least two: posteriors, which are judged by :func:`loo`, or results of :func:`loo` or
        :func:`leave_one_group_out`, all of one kind.
    by : {"elpd", "marginal"}
        Predictions of what was left out, or marginal likelihoods: how probable the data are under a model, on average
        over its priors. The latter of posteriors by :class:`~bayesmig.Exact` or :class:`~bayesmig.Quadrature`.
    prior : mapping of str to float, optional
        By marginal likelihoods: how probable each model is before the data; all alike unless given.

    Returns
    -------
    pandas.DataFrame
        Indexed by model, the best first: ``elpd``, ``se``, ``p``, ``difference`` to the best and ``difference_se``,
        ``above``, the number of units whose Pareto k is too high, and ``reading``, a sentence. ``attrs`` say what was
        left out, and each model's engine, seed and provenance. By marginal likelihoods: ``log_marginal_likelihood`` and
        its Monte Carlo standard error ``mcse``, ``pareto_k``, ``log_bayes_factor`` against the best and
        ``log_bayes_factor_mcse``, ``prior`` and ``posterior`` probabilities of the models, and ``reading``; ``attrs``
        say what role the priors have.

    Raises
    ------
    BayesmigError
        If they are fewer than two, or do not predict the same values of the same people; by marginal likelihoods also
        where a coefficient has a flat prior, under survey weights, and of other engines.

    Notes
    -----
    The standard error is that of the sum of differences, unit by unit. It is too small where models differ by less than
    4, where there are fewer than 100 units, or where a few units decide (Sivula, Magnusson, Matamoros & Vehtari,
    arXiv:2008.10296).

    What it means: a difference of less than 4 says that the models predict about alike; choose by what they
    are for. A difference of several standard errors is clear. A model that predicts better need not be nearer to the
    causes.

    The marginal likelihood is the mean of the importance weights of the engine, whose densities lack no constant; its
    error is by the delta method and what a Pareto tail may hold beyond the largest weight; it is too small where
    Pareto k is above 0.5. Probabilities are those
    of the models given that one of them holds (Kass & Raftery 1995, Journal of the American Statistical Association
    90). They hang on the priors: a coefficient's prior that is ten times as wide makes its model about a tenth as
    probable, where predictions of what was left out hardly change. Default priors are relative to the data, and shared
    by the models compared.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"x": rng.normal(size=200)})
    >>> data["y"] = data["x"] + rng.normal(size=200)
    >>> from bayesmig import fit
    >>> table = compare_models({"without x": fit("y ~ 1", data, seed=1), "with x": fit("y ~ x", data, seed=1)})
    >>> table.loc["without x", "reading"]
    'predicts worse than the best'
    >>> models = {formula: fit(formula, data, seed=1) for formula in ("y ~ 1", "y ~ x")}
    >>> compare_models(models, by="marginal")["reading"].to_list()
    ['best', 'the data are more than a million times as probable under the best']
    """
    if not isinstance(models, Mapping) or len(models) < 2:
        raise BayesmigError('compare_models needs two models or more, as in {"null": tree, "full": other}.')
    if by not in ("elpd", "marginal") or (by == "elpd" and prior is not None):
        raise BayesmigError(
            f"by={by!r}, prior={prior!r}: by is 'elpd' or 'marginal', and prior= is of by='marginal', which alone gives"
            " models a probability."
        )
    if by == "marginal":
        return compare_by_marginal(models, prior)
    judged = {name: model if isinstance(model, Elpd) else loo(model) for name, model in models.items()}
    incomplete = [name for name, result in judged.items() if not math.isfinite(result.elpd)]
    if incomplete:
        raise BayesmigError(f"{listing(map(repr, incomplete))} could not be judged in full; see its failed refits.")
    best = max(judged, key=lambda name: judged[name].elpd)
    rows = {}
    for name in sorted(judged, key=lambda name: -judged[name].elpd):
        result = judged[name]
        difference, error = result.less(judged[best])
        rows[name] = {
            "elpd": result.elpd,
            "se": result.se,
            "p": result.p,
            "difference": difference,
            "difference_se": error,
            "above": result.above,
            "reading": "best" if name == best else _reading(difference, error, result, judged[best]),
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    frame.attrs = {"estimand": f"expected log predictive density, {judged[best].method}"}
    for fact in ("engine", "seed", "provenance"):
        frame.attrs[fact] = {name: getattr(result, fact) for name, result in judged.items()}
    return frame


def _reading(difference: float, error: float, result: Elpd, best: Elpd) -> str:
    """A difference in words, with what makes it doubtful."""
    if abs(difference) < ALIKE:
        words = "predicts about as well as the best"
    elif abs(difference) < 2 * error:
        words = "predicts worse by less than two standard errors"
    else:
        words = "predicts worse than the best"
    if result.above or best.above:
        words += "; not to be trusted before units with a high Pareto k are refitted (refit=True)"
    if len(result.pointwise) < FEW:
        words += f"; with {len(result.pointwise)} units the standard error is rough"
    return words


def engine_of(tree: xr.DataTree) -> Engine:
    """The engine that a fit was made with, settings included.

    Raises EngineRefusal if it is none that can be made again from its description.
    """
    text = str(tree.attrs.get("engine"))
    try:
        match ast.parse(text, mode="eval").body:
            case ast.Call(func=ast.Name(id=name), args=[], keywords=words) if name in ENGINES:
                return ENGINES[name](**{str(word.arg): ast.literal_eval(word.value) for word in words})
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        pass
    raise EngineRefusal(
        f"the model was fitted by {text}, which is not known here, and has to be fitted again; say how, as in"
        f" engine=NUTS() (known are {listing(ENGINES)})."
    )


@dataclass(eq=False)
class _Reweighted:
    """Units left out by importance sampling, some at a time.

    ``efficiency``: effective over actual draws. ``influence``, (draws,) array: what each draw adds to the error of the
    weighted sum of ``elpd`` over units: they share their draws, so their errors are not independent. Units above the
    threshold are left out of it.
    """

    threshold: float
    efficiency: float
    parts: list[tuple[Array, ...]] = field(default_factory=list)
    influence: Array | float = 0.0

    def add(self, densities: Array, powers: Array, weights: Array) -> None:
        """Leave units out, from their ``(units, draws)`` log densities in the full posterior.

        ``powers`` say to what power a unit's density entered the posterior, ``weights`` how often it counts.
        """
        drawn, shares, elpd, seen, pareto_k = leave_units_out(np.ascontiguousarray(densities), powers, self.efficiency)
        error = shares - drawn
        self.influence = self.influence + (weights * (pareto_k <= self.threshold)) @ error
        mcse = np.sqrt(np.einsum("ud,ud->u", error, error) / self.efficiency)
        self.parts.append((elpd, seen, mcse, pareto_k, weights))

    def pointwise(self, index: pd.Index) -> pd.DataFrame:
        """What has been added."""
        names = ("elpd", "seen", "mcse", "pareto_k", "weight")
        columns = dict(zip(names, map(np.concatenate, zip(*self.parts, strict=True)), strict=True))
        return pd.DataFrame(columns | {"refitted": False}, index)

    def mcse(self, pointwise: pd.DataFrame) -> float:
        """Monte Carlo standard error of the sum, in which refitted units have independent errors."""
        together = (pointwise["pareto_k"] <= self.threshold).any() * np.sum(self.influence**2) / self.efficiency
        apart = pointwise[~(pointwise["pareto_k"] <= self.threshold)]
        return float(np.sqrt(together + ((apart["mcse"] * apart["weight"]) ** 2).sum(skipna=False)))


def _folds(sizes: Codes, k: int, seed: int) -> list[list[int]]:
    """Groups in k parts of about as many groups and people each."""
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    return [sorted(order[start::k].tolist()) for start in range(k)]


@dataclass(frozen=True, eq=False)
class _LeftOut:
    """Rows left out together.

    ``units``: what is judged, each by itself: positions in the result. ``places``: the rows of each.
    ``person``: of a row that stands for several people one is left out.
    """

    label: str
    units: tuple[int, ...]
    places: tuple[Codes, ...]
    person: bool = False

    def check(self, design: Design) -> None:
        """Refuse what cannot be integrated out when these rows are left out."""
        new = unseen(design, np.concatenate(self.places))
        for some in self.places:
            refuse_unseen(subset(design, some), new)


@dataclass(frozen=True, eq=False)
class _Refits:
    """How a model is fitted again to parts of its data, which parts failed, and of which another engine drew."""

    design: Design
    engines: Sequence[Engine]
    seed: int
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    instead_of: dict[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, tree: xr.DataTree, design: Design, engine: Engine | None, seed: int | None) -> _Refits:
        engines = candidates(engine) if engine else (engine_of(tree), NUTS())
        reason = engines[0].refuses(design)
        if reason:
            raise EngineRefusal(reason)
        return cls(design, engines, seed_of(tree, seed))

    def replace(self, pointwise: pd.DataFrame, left_out: Sequence[_LeftOut]) -> None:
        """Put densities from refits into a result."""
        seeds = np.random.SeedSequence(self.seed).spawn(len(left_out))
        items = {rows.label: (rows, seed) for rows, seed in zip(left_out, seeds, strict=True)}
        for rows, found in zip(left_out, map_fits(partial(_refitted, self), items, "refits").values(), strict=True):
            if isinstance(found, Failure):
                self.failed[rows.label] = found.reason
                continue
            densities, told = found
            self.instead_of.update({rows.label: told} if told else {})
            for unit, density in zip(rows.units, densities, strict=True):
                elpd = special.logsumexp(density) - math.log(len(density))
                mcse = np.exp(density - elpd).std() / math.sqrt(len(density))
                place = pointwise.index[unit]
                pointwise.loc[place, ["elpd", "mcse", "pareto_k"]] = [elpd, mcse, np.nan]
                pointwise.loc[place, "refitted"] = True


def _refitted(refits: _Refits, item: tuple[_LeftOut, np.random.SeedSequence]) -> tuple[list[Array], str]:
    """Log densities ``(draws,)`` of units that were left out together, by a fit to the others, and instead of what
    another engine drew."""
    left_out, seed = item
    design = refits.design
    rest = without(design, np.concatenate(left_out.places), left_out.person)
    groups, facts, _ = drawn(rest, refits.engines, seed)
    posterior = groups["posterior"]
    if not design.spec.is_gaussian and design.groups and not left_out.person:
        step = max(1, posterior.sizes["chain"] * posterior.sizes["draw"] // QUADRATURE_DRAWS)
        posterior = posterior.isel(draw=slice(None, None, step))
    values, new = parameters(posterior), {}
    for group, left in zip(design.groups, rest.groups, strict=True):
        known = np.isin(group.levels, left.levels)
        effects = np.zeros((len(values["beta"]), len(group.levels), len(group.effects)))
        effects[:, known] = values[f"u_{group.name}"]
        values[f"u_{group.name}"] = effects
        new[group.name] = ~known
    densities = []
    for places in left_out.places:
        people = subset(design, places)
        if left_out.person and design.counting is not None:
            people = dataclasses.replace(people, weights=None)
        densities.append(log_joint_density(people, values, new))
    return densities, str(facts.get("instead_of", ""))


def _result(
    method: str,
    pointwise: pd.DataFrame,
    judged: _Reweighted,
    tree: xr.DataTree,
    design: Design,
    refits: _Refits | None,
) -> Elpd:
    lost = pointwise.index[~np.isfinite(pointwise["elpd"])]
    if len(lost) and not (refits and refits.failed):
        raise InferenceFailure(
            f"{method} of {design.spec.written!r}: some draws hold {pointwise.index.name} {listing(lost, 5)} impossible"
            ", so that no reweighting leaves them out; look whether the model can be meant for them (predictive_check),"
            " and fit it again without each, refit=True."
        )
    pointwise["p"] = pointwise.pop("seen") - pointwise["elpd"]
    columns = ["n", "elpd", "p", "mcse", "pareto_k", "refitted", "weight"]
    by_row = pointwise.index.name == "row" and method == "leave-one-out"
    return Elpd(
        method=method,
        unit=str(pointwise.index.name),
        pointwise=pointwise[columns],
        mcse=judged.mcse(pointwise),
        threshold=judged.threshold,
        weight_kind=design.weight_kind if by_row and design.counting is not None else None,
        outcome=Outcome.of(design),
        formula=design.spec.written,
        engine=str(tree.attrs["engine"]),
        seed=str(tree.attrs["seed"]),
        provenance=str(tree.attrs["provenance"]),
        **({"failed": refits.failed, "instead_of": refits.instead_of} if refits else {}),
    )
