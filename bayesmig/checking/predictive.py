"""Whether data that the model would produce look like those observed: overall, by group, and by predicted chance."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.checking.subsets import Grouping, fitted_posterior, grouping, subset
from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.data.design import Design
from bayesmig.data.rows import Rows
from bayesmig.errors import BayesmigError, closest, listing
from bayesmig.inference.response import draw_outcomes, linear_predictor
from bayesmig.prediction.newdata import predict, with_new_groups
from bayesmig.results.fitted import Fitted, Treatment, expectation, outcome_of
from bayesmig.results.summaries import check_interval, interval_heads

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Happening = Callable[[Array], Flags | Array]

Function = Callable[[Array], float]
MOST_PEOPLE = 2_000_000
OVERALL = "everybody"
USUAL = {"number": ("mean", "sd", "min", "max"), "count": ("mean", "sd", "zeros", "max")}
NAMED = ("mean", "sd", "min", "max", "zeros")


def posterior_predictive(tree: xr.DataTree, draws: int | None = 400, *, seed: int | None = None) -> xr.DataTree:
    """Add outcomes that the fitted model would produce for the same people, so that ArviZ can show them.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``; it is not changed.
    draws : int, optional
        At most so many data sets, from evenly spaced posterior draws. None: one for every posterior draw, as
        ``arviz.loo_pit`` needs; 4,000 draws for 10,000 people take 320 MB.
    seed : int, optional
        The fit's own unless given.

    Returns
    -------
    xarray.DataTree
        The tree with a group ``posterior_predictive``: ``y`` by ``chain``, ``draw`` and ``row``, in the units of
        ``observed_data`` (codes of categories from 0). Its attributes say estimand and seed.

    Raises
    ------
    BayesmigError
        If the tree is no posterior, or was not made from data.

    Notes
    -----
    The people keep their groups, whose effects come from the posterior.

    What it means: each draw is a survey that might have been, had the model been true. Where the real survey looks
    different, the model misses something; :func:`predictive_check` says where.

    Examples
    --------
    >>> from bayesmig import fit
    >>> tree = fit("y ~ x", pd.DataFrame({"y": [1.0, 2, 4, 3, 6], "x": [0.0, 1, 2, 3, 4]}), seed=1)
    >>> dict(posterior_predictive(tree)["posterior_predictive"]["y"].sizes)
    {'chain': 4, 'draw': 100, 'row': 5}
    """
    fitted_posterior(tree, draws)  # refuses before any work
    entropy = seed_of(tree, seed)
    drawn = predict(tree, kind="outcome", draws=draws, seed=entropy)["predictions"].to_dataset()
    about = {"estimand": str(drawn["y"].attrs["estimand"]), "seed": str(entropy)}
    added = tree.copy()
    added["posterior_predictive"] = xr.DataTree(drawn[["y"]].assign_attrs(about))
    return added


def seed_of(tree: xr.DataTree, seed: int | None) -> int:
    """The seed that was asked for, or else the one that a fit was made with."""
    if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise BayesmigError(f"seed={seed!r}: give a whole number that is not negative, or None for that of the fit.")
    return int(tree.attrs["seed"] if seed is None else seed)


def predictive_check(
    tree: xr.DataTree,
    by: str | pd.Series | ArrayLike | None = None,
    *,
    statistic: str | Function | Mapping[str, str | Function] | None = None,
    draws: int | None = 1000,
    new_groups: bool = False,
    interval: float = 0.95,
    seed: int | None = None,
) -> pd.DataFrame:
    """Hold what was observed against what the fitted model would produce, for everybody or group by group.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``.
    by : str, Series or array, optional
        Groups: a grouping factor of the formula, a categorical column of the data used (or a number with at most 20
        values), or the values of any other column, one for each row of the data that were given.
    statistic : str, callable, or mapping of str to either, optional
        ``mean``, ``sd``, ``min``, ``max`` or ``zeros`` (share of zeros); ``share`` of every category, or of successes;
        or a function of one group's outcomes that gives a number. By default ``share`` for outcomes with categories or
        in brackets and for successes out of trials, ``mean``, ``sd``, ``zeros`` and ``max`` for counts, ``mean``,
        ``sd``, ``min`` and ``max`` for numbers.
    draws : int, optional
        At most so many data sets; None for one a posterior draw.
    new_groups : bool
        Draw the effects of all groups anew, as if other groups had been sampled.
    interval : float
        Probability of the interval.
    seed : int, optional
        The fit's own unless given.

    Returns
    -------
    pandas.DataFrame
        A row a group and statistic: the group, ``statistic``, ``n`` (people, or trials), ``observed``, ``predicted``
        (mean over data sets), ``eti95_lower``, ``eti95_upper`` (equal-tailed), ``tail``, the share of data sets in
        which the statistic is larger than observed (half of those in which it is equal), ``outside``, whether the
        observed value lies outside the interval, and ``chance``, how probable that is if the model is true. The frame's
        ``attrs`` say estimand, engine, seed and provenance, and under ``note`` how many rows lie outside and how many
        would by chance.

    Raises
    ------
    BayesmigError
        If the tree is no posterior, the groups are unknown or the statistic is none for this outcome.

    Notes
    -----
    Numbers in brackets, observed and predicted alike, count as the middles of their brackets, next to the closed end of
    open ones.

    Survey weights count in means, sds and shares, observed and predicted alike; a row with a frequency weight
    stands for that many people, each with an outcome of their own. The data are used twice, for the fit and for the
    check, so that fewer rows lie outside than ``chance`` says (Gelman, Meng & Stern 1996, Statistica Sinica 6). This is
    most pronounced for the model's own groups, because a group's effect follows the group's people; with
    ``new_groups=True`` it does not (Marshall & Spiegelhalter 2003, Statistics in Medicine 22(10)), but intervals are as
    wide as groups differ.

    What it means: "in neighbourhood 7 the model predicts 31 to 44 % owners, observed are 52 %": neighbourhood 7 has
    something that the model does not know. Of 40 groups, two lie outside a 95 % interval by chance.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": np.repeat(list("abcdefgh"), 30), "hukou": rng.choice(["local", "migrant"], 240)})
    >>> data["trust"] = 5 + (data["hukou"] == "local") * (data["area"] < "c") + rng.normal(size=240)
    >>> from bayesmig import fit
    >>> table = predictive_check(fit("trust ~ 1 + (1 | area)", data, seed=1), by=data["hukou"], statistic="mean")
    >>> table[["hukou", "observed", "predicted"]].round(1)
         hukou  observed  predicted
    0    local       5.2        5.0
    1  migrant       4.8        5.0
    """
    check_interval(interval)
    fitted = fitted_posterior(tree, draws)
    entropy = seed_of(tree, seed)
    people = None if by is None else grouping(fitted.design, by)
    functions = _functions(fitted.design, statistic)
    fitted, people = counted(fitted, people or Grouping(OVERALL, (OVERALL,), np.zeros(fitted.design.n, np.int64)))
    outcomes = _replicates(fitted, new_groups, np.random.default_rng(entropy))
    design = fitted.design
    rows = []
    for level, places in zip(people.levels, people.places, strict=True):
        some = _Outcomes(design, outcomes[:, places], places)
        for name, function in functions.items():
            group = {} if by is None else {people.name: level}
            row = _compared(function(some), function(some.observed), interval)
            rows.append(group | {"statistic": name, "n": some.count} | row)
    frame = pd.DataFrame(rows)
    what = "outcomes of the same people" + (" in other groups" if new_groups else "")
    return _stated(frame, tree, f"{outcome_of(design)}: {what}", entropy, interval)


def calibration(
    tree: xr.DataTree,
    bins: int = 10,
    *,
    new_groups: bool = True,
    draws: int | None = 1000,
    interval: float = 0.95,
    seed: int | None = None,
) -> pd.DataFrame:
    """Whether an answer that the model gives a chance of 30 % is given by 30 % of people.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``, with a binary, ordered or binomial outcome.
    bins : int
        Parts of about equal size that people are sorted into by their predicted chance; fewer, where few predicted
        chances differ.
    new_groups : bool
        The chance of a person of any group: effects of groups are averaged over. Otherwise that of a person of the
        own group.
    draws : int, optional
        At most so many draws; None for all.
    interval : float
        Probability of the interval.
    seed : int, optional
        The fit's own unless given.

    Returns
    -------
    pandas.DataFrame
        A row an event and bin: ``event`` (``"owns = yes"``, of categories without order one for each; of
        ordered answers ``"answer >= often"``, one for each category but the lowest), ``bin``, ``n``,
        ``observed`` (share), ``predicted`` (mean predicted chance), and where the share would lie if the model
        were true: ``eti95_lower``, ``eti95_upper``; ``tail``, ``outside`` and ``chance`` as in
        :func:`predictive_check`, ``attrs`` too.

    Raises
    ------
    BayesmigError
        For outcomes that are no answers with a chance.

    Notes
    -----
    The intervals are consistency intervals: where the shares of a right model lie (Dimitriadis, Gneiting & Jordan
    2021, PNAS 118(8)), people of a group sharing its effect. With ``new_groups=False`` a right model looks as if it
    did not go far enough: effects of groups are drawn towards zero, and the observed share of a group with many yeses
    lies above its predicted chance. Survey weights and trials count.

    What it means: observed shares below the interval at low and above it at high predicted chances say that people
    differ more by their predictors than the model believes; the other way round, less.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"age": rng.integers(20, 70, 400).astype(float)})
    >>> data["owns"] = np.where(rng.random(400) < (data["age"] - 10) / 70, "yes", "no")
    >>> from bayesmig import NUTS, ModelSpec, fit
    >>> tree = fit(ModelSpec("owns ~ age", family="bernoulli"), data, engine=NUTS(draws=200, tune=300), seed=1)
    >>> calibration(tree, bins=3)[["event", "bin", "observed", "predicted"]].round(1)
            event  bin  observed  predicted
    0  owns = yes    1       0.3        0.3
    1  owns = yes    2       0.5        0.5
    2  owns = yes    3       0.7        0.7
    """
    check_interval(interval)
    fitted = fitted_posterior(tree, draws)
    family = fitted.design.spec.family
    if not fitted.design.categories and fitted.design.trials is None:
        raise BayesmigError(
            f"calibration concerns the chance of an answer, which an outcome of family {family!r} has not; use"
            " predictive_check."
        )
    if not isinstance(bins, (int, np.integer)) or bins < 2:
        raise BayesmigError(f"bins={bins!r}: give a whole number of at least 2.")
    entropy = seed_of(tree, seed)
    fitted, _ = counted(fitted, Grouping(OVERALL, (OVERALL,), np.zeros(fitted.design.n, np.int64)))
    design = fitted.design
    outcomes = _replicates(fitted, new_groups, np.random.default_rng(entropy))
    rows = []
    for event, chance, happens in _events(fitted, "integrate" if new_groups else "sample"):
        parts = np.arange(1, bins) / bins
        edges = np.unique(np.quantile(chance, parts, weights=design.trials, method="inverted_cdf"))
        codes = np.searchsorted(edges, chance, side="right")
        for k, code in enumerate(np.unique(codes)):
            places = np.flatnonzero(codes == code)
            some = _Outcomes(design, outcomes[:, places], places)
            weights = some.weights * (1.0 if some.trials is None else some.trials)
            row = _compared(some.shares(happens), some.observed.shares(happens), interval)
            row["predicted"] = float(chance[places] @ weights / weights.sum())
            rows.append({"event": event, "bin": k + 1, "n": some.count} | row)
    whose = "any group" if new_groups else "the own group"
    return _stated(pd.DataFrame(rows), tree, f"chance of the answer of a person of {whose}", entropy, interval)


@dataclasses.dataclass(frozen=True, eq=False)
class _Outcomes:
    """Outcomes ``(draws, n)`` of some people of a design."""

    design: Design
    y: Array
    places: Codes

    @property
    def observed(self) -> _Outcomes:
        return _Outcomes(self.design, self.design.y[None, self.places], self.places)

    @property
    def weights(self) -> Array:
        counting = self.design.counting
        return np.ones(len(self.places)) if counting is None else counting[self.places]

    @property
    def count(self) -> int:
        """How many people, or trials."""
        return len(self.places) if self.trials is None else int(self.trials.sum())

    @property
    def trials(self) -> Array | None:
        return None if self.design.trials is None else self.design.trials[self.places]

    def mean(self) -> Array:
        return np.asarray(self.y @ self.weights / self.weights.sum())

    def sd(self) -> Array:
        return np.sqrt((self.y - self.mean()[:, None]) ** 2 @ self.weights / self.weights.sum())

    def shares(self, happens: Happening) -> Array:
        """Share of people in whom something happens; of trials, if there are any, how many succeed."""
        if self.trials is not None:
            return np.asarray(self.y @ self.weights / (self.trials @ self.weights))
        return np.asarray(happens(self.y) @ self.weights / self.weights.sum())


def _functions(design: Design, asked: object) -> dict[str, Callable[[_Outcomes], Array]]:
    """Statistics by name, as functions of outcomes."""
    kind = design.spec.distribution.outcome
    by_share = bool(design.categories) or design.trials is not None or design.ends is not None
    allowed = (*(("share",) if by_share else ()), *(() if design.categories else NAMED))
    some_exact = design.ends is not None and not design.brackets.everywhere
    usual = (*(("share",) if by_share else ()), *(() if by_share and not some_exact else USUAL[kind]))
    if asked is None:
        asked = {name: name for name in usual}
    if isinstance(asked, str) or callable(asked):
        asked = {asked if isinstance(asked, str) else getattr(asked, "__name__", "statistic"): asked}
    if not isinstance(asked, Mapping):
        raise BayesmigError(f"statistic={asked!r}: give a name, a function, or a mapping of names to either.")
    functions: dict[str, Callable[[_Outcomes], Array]] = {}
    for name, what in asked.items():
        if callable(what):
            functions[str(name)] = _applied(what)
        elif what == "share" and "share" in allowed:
            shares = {f"share of {name}": partial(_Outcomes.shares, happens=each) for name, each in answers(design)}
            functions |= shares
        elif what in allowed:
            functions[str(name)] = _NAMED_FUNCTIONS[what]
        else:
            raise BayesmigError(
                f"statistic={what!r}{closest(what, allowed)}: for family {design.spec.family!r} there are"
                f" {listing(allowed)}, or a function of the outcomes."
            )
    return functions


_NAMED_FUNCTIONS: dict[str, Callable[[_Outcomes], Array]] = {
    "mean": _Outcomes.mean,
    "sd": _Outcomes.sd,
    "min": lambda some: some.y.min(axis=1),
    "max": lambda some: some.y.max(axis=1),
    "zeros": lambda some: np.asarray((some.y == 0) @ some.weights / some.weights.sum()),
}


def _applied(function: Function) -> Callable[[_Outcomes], Array]:
    return lambda some: np.array([float(function(row)) for row in some.y])


def answers(design: Design) -> Iterator[tuple[str, Happening]]:
    """Every category (of a binary outcome the second one only) or bracket, or successes, and which outcomes it is."""
    if design.ends is not None:
        for name, (low, high) in zip(*design.brackets[:2], strict=True):
            yield name, partial(_between, low, high)
    elif not design.categories:
        yield "successes", np.asarray
    else:
        first = int(design.spec.distribution.outcome == "binary")
        yield from ((name, partial(np.equal, code)) for code, name in enumerate(design.categories) if code >= first)


def _between(low: float, high: float, y: Array) -> Flags:
    return np.asarray((y > low) & (y < high))


def counted(fitted: Fitted, people: Grouping) -> tuple[Fitted, Grouping]:
    """One row for each person, where rows have frequency weights."""
    design = fitted.design
    if design.weight_kind != "frequency" or design.weights is None:
        return fitted, people
    if design.weights.sum() > MOST_PEOPLE:
        raise BayesmigError(
            f"the frequency weights sum to {design.weights.sum():,.0f} people, each of whom would get an outcome;"
            f" at most {MOST_PEOPLE:,} do. Fit a sample of the rows to check the model."
        )
    places = np.repeat(np.arange(design.n), design.weights.astype(int))
    spread = dataclasses.replace(subset(design, places), weights=None)
    return (dataclasses.replace(fitted, design=spread), dataclasses.replace(people, codes=people.codes[places]))


def _replicates(fitted: Fitted, new_groups: bool, rng: np.random.Generator) -> Array:
    """Outcomes of the design's people, ``(draws, n)``."""
    design = fitted.design
    rows = Rows.of(design)
    if new_groups:
        codes = {group.name: group.codes + len(group.levels) for group in design.groups}
        amounts = {name: np.hstack([np.zeros_like(parts), parts]) for name, parts in rows.amounts.items()}
        rows = dataclasses.replace(
            rows, codes=codes, amounts=amounts, new_groups={group.name: group.levels for group in design.groups}
        )
    outcomes = np.empty((fitted.size, design.n))
    for run, values in fitted.parts(design.n):
        whose, effects = with_new_groups(fitted, rows, values, rng)
        drawn = draw_outcomes(design, linear_predictor(whose, values, effects), values, rng)
        outcomes[run] = design.as_seen(drawn)
    return outcomes


def _events(fitted: Fitted, random: Treatment) -> list[tuple[str, Array, Happening]]:
    """What may happen in words, its chance for every person (mean over draws), and whether it does in outcomes."""
    design, rows = fitted.design, Rows.of(fitted.design)
    total: Array | float = 0.0
    for _, values in fitted.parts(design.n * max(1, len(design.categories))):
        total = total + expectation(design, values, rows, random).sum(axis=0)
    chance, outcome = np.asarray(total) / fitted.size, outcome_of(design)
    if design.trials is not None:
        return [(f"success of {outcome}", chance, np.asarray)]
    if design.spec.distribution.outcome == "binary":
        return [(f"{outcome} = {design.categories[1]}", chance, partial(np.equal, 1))]
    if design.spec.distribution.outcome == "nominal":
        return [(f"{outcome} = {name}", chance[:, k], partial(np.equal, k)) for k, name in enumerate(design.categories)]
    above = np.cumsum(chance[:, ::-1], axis=1)[:, ::-1]
    return [
        (f"{outcome} >= {name}", above[:, code], partial(np.less_equal, code))
        for code, name in enumerate(design.categories)
        if code
    ]


def _compared(replicated: Array, observed: Array, interval: float) -> dict[str, object]:
    """A statistic's observed value against its distribution."""
    value, tail = float(observed[0]), (1 - interval) / 2
    lower, upper = np.quantile(replicated, [tail, 1 - tail])
    slack = 1e-9 * max(1.0, abs(value))  # sums in another order
    names = interval_heads("eti", interval)
    return {
        "observed": value,
        "predicted": float(replicated.mean()),
        names[0]: float(lower),
        names[1]: float(upper),
        "tail": float((replicated > value + slack).mean() + 0.5 * (abs(replicated - value) <= slack).mean()),
        "outside": bool(value < lower - slack or value > upper + slack),
        "chance": float(((replicated < lower - slack) | (replicated > upper + slack)).mean()),
    }


def _stated(frame: pd.DataFrame, tree: xr.DataTree, estimand: str, seed: int, interval: float) -> pd.DataFrame:
    """The table with what it rests on."""
    outside, chance = int(frame["outside"].sum()), float(frame["chance"].sum())
    frame.attrs = {
        "estimand": estimand,
        "interval": f"{interval:.0%} equal-tailed",
        "engine": str(tree.attrs["engine"]),
        "seed": str(seed),
        "provenance": str(tree.attrs["provenance"]),
        "note": f"{outside} of {len(frame)} rows lie outside their interval; by chance up to {chance:.1f} would.",
    }
    return frame
