"""Survival and cumulative incidence from a model of the rows that :func:`bayesmig.person_period` makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.names import as_code
from bayesmig.data.columns import check_present
from bayesmig.data.design import Design, GroupTerm
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.data.rows import Rows
from bayesmig.errors import BayesmigError, DataError, UnknownColumn, UnknownLevel, closest, listing
from bayesmig.families.links import LINKS, normal_mean
from bayesmig.inference.response import expected, linear_predictor
from bayesmig.results.fitted import TREATMENTS, Fitted, Treatment, check_one_of, encoded, outcome_of
from bayesmig.results.integration import added_variances, over_effects
from bayesmig.results.marginal import Average, combinations, described, descriptions, shared
from bayesmig.results.summaries import check_interval, interval_heads, wald_table

Curve = Literal["survival", "incidence", "hazard"]
WORDS = {
    "survival": "probability that {} has not happened by the end of the period",
    "incidence": "probability that {} has happened by the end of the period",
    "hazard": "probability of {} in the period among those still at risk",
}


def survival_curves(
    tree: xr.DataTree,
    people: AnyFrame | None = None,
    *,
    period: str = "period",
    periods: Sequence[int] | None = None,
    at: Mapping[str, object] | None = None,
    by: str | Sequence[str] | None = None,
    curve: Curve = "survival",
    none: str | None = None,
    random: Treatment = "integrate",
    interval: float = 0.95,
    draws: int | None = None,
) -> pd.DataFrame:
    """Average survival, cumulative incidence or hazard of people, period by period.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit`` or ``estimate`` of a yes-or-no outcome (also out of trials), or one of several kinds of event, in
        rows of persons and periods.
    people : pandas.DataFrame, optional
        One row a person, with the predictors other than the period; not needed if ``at`` has them all.
    period : str
        The predictor that counts periods.
    periods : sequence of int, optional
        All from the first on; those of the data unless given. Everybody is at risk at the beginning of the first.
    at : mapping of str to value or list, optional
        Predictors that everybody is given a value of, every combination in turn, as in :func:`~bayesmig.margins`.
    by : str or sequence of str, optional
        Columns of ``people``: averages over those of each level, as they are.
    curve : {"survival", "incidence", "hazard"}
        Who has had no event by the end of a period; who has had each kind of event; who has it in the period, of those
        who are still at risk.
    none : str, optional
        The category of an outcome of several kinds that says that nothing happened; the first unless given.
    random : {"integrate", "sample", "zero"}
        What varying effects are: averaged over all groups there could be; those of everyone's own group; those of a
        group at the mean. Groups made of periods always have their own.
    interval : float
    draws : int, optional
        Use so many draws at most, evenly spaced; all of them by default.

    Returns
    -------
    pandas.DataFrame
        A row for each combination of ``at``, level of ``by``, kind of event (``category``) and period: ``estimate``,
        ``sd``, ``eti95_lower`` and ``eti95_upper`` of a posterior; ``estimate``, ``std_error``, ``ci95_lower`` and
        ``ci95_upper`` of an estimate, by the delta method, with an interval that is Wald's for ``log(-log(p))``.
        ``estimand`` says what it is, ``random`` as in :func:`~bayesmig.margins`.

    Raises
    ------
    BayesmigError
        For other outcomes, predictors that are absent, periods with a gap, varying slopes of the period with
        ``random="integrate"``, and what ``margins`` refuses.

    See Also
    --------
    bayesmig.person_period : The rows.
    bayesmig.plots.survival : The picture.

    Notes
    -----
    With hazards ``h_k(t)`` of kinds ``k`` survival is ``S(t) = prod_{s <= t} (1 - sum_k h_k(s))``, cumulative incidence
    ``F_k(t) = sum_{s <= t} S(s - 1) h_k(s)``. People stay in their group for all periods: what it adds is one
    number, over which the products are averaged (not the hazards), then over people. The hazard of a population is
    ``(F_k(t) - F_k(t - 1)) / S(t - 1)``; it falls where those at high risk leave first.

    What it means: ``at={"hukou": ["local", "migrant"]}`` says how many would have bought a home by each year if all
    were locals, or migrants. With several kinds of event, incidences of all kinds and survival add up to one; one less
    a survival curve that counts the other kinds as censored overstates (Putter, Fiocco & Geskus 2007, Statistics in
    Medicine 26).

    Examples
    --------
    >>> from bayesmig import estimate, person_period
    >>> people = pd.DataFrame({"years": [1, 1, 2, 2, 2, 3, 3, 3], "bought": [1, 0, 1, 1, 0, 1, 0, 0]})
    >>> rows = person_period(people, 1, "years", "bought")
    >>> tree = estimate("bought ~ 0 + C(period)", rows, family="bernoulli", link="cloglog")
    >>> survival_curves(tree)["estimate"].round(4).tolist()  # 7/8, then 4/6, then 2/3: Kaplan-Meier
    [0.875, 0.5833, 0.3889]
    """
    check_interval(interval)
    check_one_of("curve", curve, tuple(WORDS))
    check_one_of("random", random, TREATMENTS)
    fitted = Fitted.of(tree, draws)
    design = fitted.design
    kinds, place = _kinds(design, none)
    frame = pd.DataFrame(index=[0]) if people is None else frame_of(people).reset_index(drop=True)
    columns = [by] if isinstance(by, str) else list(by or ())
    check_present(frame, columns)
    clock = _clock(design, period, periods, at or {})
    weights, weighted = _weights(design, frame)
    parts, shares = shared(frame, columns, weights)
    categories = kinds if curve != "survival" and len(kinds) > 1 else ()
    average = Average(fitted, {}, random, "response", categories, parts, shares, False)
    event = f"{outcome_of(design)} = {'category' if categories else ' or '.join(kinds)}"
    words = f"average {WORDS[curve].format(event)}{weighted}"
    about: list[dict[str, object]] = []
    results: list[Array] = []
    for cell in combinations(average, at):
        events = _events(average, frame.assign(**cell), period, clock, place, len(kinds))
        results.append(_curves(events, curve).reshape(fitted.size, -1))
        about += [{**row, period: when} for row in descriptions(average, cell, words) for when in clock]
    return _table(tree, fitted, pd.DataFrame(about), np.concatenate(results, axis=1), interval)


def _kinds(design: Design, none: str | None) -> tuple[tuple[str, ...], int]:
    """Kinds of event, and the place of the category that is none."""
    family, categories = design.spec.distribution, design.categories
    if family.has_trials:
        return ("1",), 0
    if family.ordered or not categories:
        raise BayesmigError(
            f"family {design.spec.family!r} has no events that end the time at risk; fit 'bernoulli', or 'binomial' of"
            " counts, to rows that bm.person_period makes."
        )
    allowed = categories[:1] if family.outcome == "binary" else categories
    if none is not None and as_code(none) not in allowed:
        raise UnknownLevel(f"none={none!r}{closest(as_code(none), allowed)}; allowed are {listing(allowed)}.")
    place = 0 if none is None else categories.index(as_code(none))
    return tuple(category for k, category in enumerate(categories) if k != place), place


def _clock(design: Design, period: str, periods: Sequence[int] | None, at: Mapping[str, object]) -> Codes:
    """Periods of the curves, one after the other."""
    formula = design.spec.parsed
    known = sorted({*formula.predictors, *formula.grouping})
    if period in at or (period not in known and periods is None):
        raise UnknownColumn(
            f"period={period!r}{closest(period, known)} must be a predictor, which at= does not fix; the model has"
            f" {listing(known)}. Where the hazard is constant, give periods=, such as range(1, 11)."
        )
    given = design.frame[period].astype(float).agg(["min", "max"]).to_numpy() if periods is None else list(periods)
    clock = np.arange(min(given), max(given) + 1) if periods is None else np.asarray(given, dtype=float)
    if not len(clock) or (clock % 1 != 0).any() or (np.diff(clock) != 1).any():
        raise BayesmigError(f"periods={listing(clock)}: give whole numbers without a gap, such as range(1, 11).")
    return clock.astype(np.int64)


def _weights(design: Design, people: pd.DataFrame) -> tuple[Array, str]:
    """What each person counts: the model's survey weight where it is given, else the same; and words for it."""
    column = design.spec.weights.column if design.spec.weights is not None else None
    if column is None or column not in people:
        return np.full(len(people), 1 / len(people)), ""
    weights = people[column].to_numpy(dtype=float)
    if not (weights >= 0).all() or weights.sum() == 0:
        raise DataError(f"weights {column!r} of the people must be numbers that are not negative.")
    return weights / weights.sum(), f", weighted by {column}"


def _events(average: Average, people: pd.DataFrame, period: str, clock: Codes, place: int, kinds: int) -> Array:
    """Probability that each kind of event comes first and in each period, ``(draws, parts, kinds, periods)``."""
    fitted, length = average.fitted, len(clock)
    design = fitted.design
    formula = design.spec.parsed
    known = {*formula.predictors, *formula.grouping, *formula.parts, design.spec.offset}
    used = [name for name in people if name in known]
    like = people.groupby(used, dropna=False, observed=True).ngroup().to_numpy() if used else np.zeros(len(people), int)
    patterns, first = np.unique(like, return_index=True)
    shares = np.zeros((len(patterns), average.shares.shape[1]))
    np.add.at(shares, like, average.shares)
    long = people[used].iloc[np.repeat(first, length)].reset_index(drop=True)
    long = long.assign(
        **{period: np.tile(clock, len(first))}, **({design.spec.trials: 1} if design.spec.trials else {})
    )
    rows = encoded(design, long)
    own = [group.name for group in _known(average, period)]
    new = [name for name in own if rows.new_groups.get(name, ("",))]
    if new:
        raise BayesmigError(
            f"the effects of {listing(new)} must be known, and the people's columns name no group, or one that the"
            " model was not fitted to; ask for periods of the data, or say random='integrate'."
        )
    _check_lasting(average, rows, own, length)
    link, result = LINKS[design.spec.link], np.empty((fitted.size, shares.shape[1], kinds, length))
    poles = link.poles / np.sqrt(length) if link.name == "probit" else np.pi / 2  # a product stays bounded so far
    for run, values in fitted.parts(rows.n * kinds):

        def events(eta: Array, values: Mapping[str, Array] = values) -> Array:
            chances = expected(design, eta, values)
            chances = chances[..., None] if chances.ndim == 2 else np.delete(chances, place, axis=-1)
            chances = chances.reshape(len(eta), -1, length, kinds)
            staying = np.cumprod(1 - chances.sum(axis=-1), axis=2)
            chances[:, :, 1:] *= staying[:, :, :-1, None]
            return chances

        eta = linear_predictor(rows, values, {name: values[f"u_{name}"] for name in own})
        added = added_variances(design, rows, values) if average.random == "integrate" else {}
        variance = sum((part for name, part in added.items() if name not in own), np.zeros(1))
        if not variance.any():
            found = events(eta)
        elif design.assigned is not None:
            found = over_effects(events, eta, variance)
        else:
            found = normal_mean(events, eta, variance, poles)
        result[run] = np.einsum("dntk,ns->dskt", found, shares, optimize=True)
    return result


def _known(average: Average, period: str) -> list[GroupTerm]:
    """Grouping factors with effects of their own: all that are asked for so, and those that are made of periods."""
    formula = average.fitted.design.spec.parsed
    of_periods = {term.group for term in formula.varying if period in term.columns}
    return [group for group in average.fitted.varying if average.random == "sample" or group.name in of_periods]


def _check_lasting(average: Average, rows: Rows, own: Sequence[str], length: int) -> None:
    """Refuse effects that change with the period, which are not one number a person."""
    for name, z in rows.z.items():
        each = z.reshape(-1, length, z.shape[1])
        if average.random == "integrate" and name not in own and (each != each[:, :1]).any():
            raise BayesmigError(
                f"slopes that vary between {name} change with the period, and are not averaged over; use random='zero'"
                " for a group at the mean, or 'sample' for groups of the data."
            )


def _curves(events: Array, curve: Curve) -> Array:
    reached = events.cumsum(axis=3)
    if curve == "incidence":
        return reached
    left = 1 - reached.sum(axis=2, keepdims=True)
    if curve == "survival":
        return left
    return np.asarray(events / np.concatenate([np.ones_like(left[..., :1]), left[..., :-1]], axis=3))


def _table(tree: xr.DataTree, fitted: Fitted, about: pd.DataFrame, values: Array, interval: float) -> pd.DataFrame:
    """Curves with their descriptions around them; the interval of an estimate is Wald's for ``log(-log(p))``."""
    table = described(tree, fitted, about, values, interval)
    if fitted.is_point:
        low, high = interval_heads("ci", interval)
        with np.errstate(divide="ignore", invalid="ignore"):
            turned = wald_table(tree, np.log(-np.log(values)), about.index, interval)
        table[low], table[high] = np.exp(-np.exp(turned[high])), np.exp(-np.exp(turned[low]))
    return table
