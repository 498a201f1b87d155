"""From coefficients to statements: average effects and average expected outcomes, in the outcome's own units."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.names import as_code
from bayesmig.data.cross_products import Membership
from bayesmig.data.design import Design
from bayesmig.data.rows import Rows
from bayesmig.errors import BayesmigError, UnknownColumn, UnknownLevel, closest, listing, require
from bayesmig.inference.response import linear_predictor
from bayesmig.results.fitted import (
    TREATMENTS,
    Fitted,
    Treatment,
    category_scores,
    check_one_of,
    check_scale,
    encoded,
    expectation,
    quantity,
)
from bayesmig.results.summaries import attributed, check_interval, check_rope, summarise_draws, wald_table
from bayesmig.results.variance import row_weights

Scale = Literal["response", "link", "score"]
Change = Literal["slope", "unit", "sd"] | tuple[object, object]
CHANGES = ("slope", "unit", "sd")
SCALES = ("response", "link", "score")
STEP = 1e-5  # of a slope, in sds of the variable: errors of truncation and of rounding are both near 1e-10
MOST_LEVELS = 20  # of a number that subgroups are formed by
HEADS = ("variable", "contrast", "category", "estimate", "sd", "std_error", "pd", "p", "estimand", "random")


@dataclass(frozen=True)
class Average:
    """Means of the expected outcome over the people of a sample, or over each of several parts of it.

    codes : mapping of str to (n,) int array: group of each person by grouping factor
    categories : of an ordered outcome, those whose probabilities are asked for; else empty
    parts : what the people of each part have in common, by column
    shares : (n, parts) array: what each row counts in each part, summing to one
    differences : whether parts are compared with the first of them
    """

    fitted: Fitted
    codes: Mapping[str, Codes]
    random: Treatment
    scale: Scale
    categories: tuple[str, ...]
    parts: tuple[Mapping[str, str], ...]
    shares: Array
    differences: bool

    def over(self, design: Design, frame: pd.DataFrame, shares: Array, origin: Array | None = None) -> Array:
        """Means over the sample's people with the predictors of ``frame``, ``(draws, parts, categories or 1)``.

        People stay in their groups, whatever the frame says. Linear predictors may be counted from those of an
        ``origin``, which small differences of large numbers need.
        """
        several = {group.name: group for group in design.groups if group.amounts is not None}
        apart = [column for term in design.spec.parsed.memberships for column in term.columns]
        rows = encoded(design, frame.drop(columns=apart))
        z, amounts = ({name: getattr(group, each) for name, group in several.items()} for each in ("z", "amounts"))
        rows = dataclasses.replace(rows, codes=self.codes, z={**rows.z, **z}, amounts=amounts)
        kept = [design.categories.index(category) for category in self.categories]
        if design.assigned is None and (self.scale == "link" or design.spec.link == "identity"):
            return self._linear(rows, shares, origin)[:, :, None]
        points = category_scores(design) if self.scale == "score" else None
        means = np.empty((self.fitted.size, shares.shape[1], max(1, len(kept))))
        for run, values in self.fitted.parts(rows.n * max(1, len(design.categories))):
            if self.scale == "link":
                outcome = linear_predictor(rows, values, None if self.random == "sample" else {})
                outcome = outcome if design.assigned is None else outcome[..., 0]
            else:
                outcome = expectation(design, values, rows, self.random)
            if points is not None:
                outcome = outcome @ points
            outcome = outcome[:, :, kept] if kept else outcome[:, :, None]
            means[run] = np.einsum("dnc,ns->dsc", outcome, shares, optimize=True)
        return means

    def _linear(self, rows: Rows, shares: Array, origin: Array | None) -> Array:
        """Means of the linear predictor, ``(draws, parts)``: the linear predictor of mean rows."""
        offset, values = None if rows.offset is None else rows.offset @ shares, self.fitted.values
        columns = rows.x if origin is None else rows.x - origin
        middle = dataclasses.replace(rows, x=shares.T @ columns, offset=offset, codes={}, z={})
        means = linear_predictor(middle, values, {})
        for group in self.fitted.design.groups if self.random == "sample" else ():
            if f"u_{group.name}" in values:
                member = Membership(rows.codes[group.name], len(group.levels), list(rows.z[group.name].T))
                columns = member.matrix(None, slice(0, rows.n)) if group.amounts is None else group.columns
                means += values[f"u_{group.name}"].reshape(len(means), -1) @ (columns.T @ shares)
        return means

    def compared(self, means: Array) -> Array:
        """Means in one row of numbers a draw, of each part or against the first."""
        if self.differences:
            means = means[:, 1:] - means[:, :1]
        return means.reshape(len(means), -1)

    @property
    def names(self) -> tuple[Mapping[str, str], ...]:
        """What each part, or comparison of parts, is called."""
        if not self.differences:
            return self.parts
        first, *others = self.parts
        return tuple({name: f"{level} - {first[name]}" for name, level in part.items()} for part in others)


@dataclass(frozen=True)
class Contrast:
    """A change of one variable: from ``low`` to ``high``, per ``width``."""

    label: str
    low: Any
    high: Any
    width: Array | None = None


def effects(
    tree: xr.DataTree,
    variable: str | Sequence[str] | None = None,
    *,
    change: Change = "slope",
    by: str | Sequence[str] | None = None,
    at: Mapping[str, object] | None = None,
    differences: bool = False,
    scale: Scale = "response",
    category: str | None = None,
    random: Treatment = "integrate",
    interval: float = 0.95,
    rope: tuple[float, float] | None = None,
    draws: int | None = None,
) -> pd.DataFrame:
    """Average marginal effects: by how much the expected outcome changes with a predictor, over the people asked.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit`` (any engine) or ``estimate``, also read back from a file.
    variable : str or sequence of str, optional
        Predictors; all of them unless given.
    change : {"slope", "unit", "sd"} or (low, high)
        Of a number, in its original units: the slope at each person's value; one unit more; one sd more (that of the
        standardisation, if the model standardises the variable, else of the people); or from ``low`` to ``high``.
        A category is compared level by level with its reference, or as a pair of levels.
    by : str or sequence of str, optional
        Columns that the model uses: averages over the people of each level, as they are (Stata's ``over``).
    at : mapping of str to value or list, optional
        Predictors that everybody is given a value of, every combination in turn (Stata's ``at``).
    differences : bool
        Compare the effect in each level of ``by`` with that in the first: the interaction on the scale of the outcome.
    scale : {"response", "link", "score"}
        ``response``: the outcome's expectation, a probability for yes or no (also per trial), for each category of an
        ordered outcome, an expected count. ``link``: the linear predictor. ``score``: the mean of an ordered outcome,
        whose categories count as the numbers they are, or else 1, 2, ...
    category : str, optional
        The category of an ordered outcome; all of them unless given.
    random : {"integrate", "sample", "zero"}
        What varying effects are: averaged over all groups there could be (population-averaged); those of
        everyone's own group; those of a group at the mean.
    interval : float
    rope : (float, float), optional
        From where to where an effect is as good as none: adds its posterior probability.
    draws : int, optional
        Use so many draws at most, evenly spaced; all of them by default.

    Returns
    -------
    pandas.DataFrame
        A row for each contrast, combination of ``at``, level of ``by`` and category: ``variable``, ``contrast``, the
        columns of ``at`` and ``by``, ``category``, then ``estimate``, ``sd``, ``eti95_lower``, ``eti95_upper`` and
        ``pd`` as in :func:`~bayesmig.coefficients`, ``estimand`` in words and ``random`` (``none``: no
        varying effects). Estimates have ``estimate``, ``std_error``, ``ci95_lower``, ``ci95_upper`` and ``p``, Wald's
        by the delta method. ``attrs`` has engine, seed and provenance.

    Raises
    ------
    BayesmigError
        For a variable that is no predictor, a change, level or scale that does not exist, and trees without data.

    Notes
    -----
    People stay as they are but for the variable, which is changed in the data before these are encoded: terms such as
    ``log(x)``, ``poly(x, 2)`` and interactions follow. Slopes are central differences over 2e-5 sd. Survey and
    frequency weights count in the averages. A code inside ``C()`` is a category.

    Errors of an estimate are ``sqrt(g' V g)``, g the effect's derivatives by the parameters, sds of groups among them,
    and V their covariance (the delta method of Stata's ``margins`` and R's marginaleffects). The people are taken as
    they are. With ``random="sample"`` varying effects are held at their modes: how well these are known is left out.

    What it means: an odds ratio of 0.5 says nothing to somebody who does not know the odds. That owning a home is
    12 percentage points rarer among migrants, other things equal, does. Whether it is caused by being a migrant
    is a question that the model does not answer.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"x": rng.normal(size=300), "hukou": rng.choice(["local", "migrant"], 300)})
    >>> data["owns"] = (rng.random(300) < 1 / (1 + np.exp(-data["x"]))).astype(int)
    >>> from bayesmig import ModelSpec, estimate
    >>> tree = estimate(ModelSpec("owns ~ x * hukou", family="bernoulli"), data)
    >>> effects(tree, "x", by="hukou")["hukou"].tolist()
    ['local', 'migrant']
    """
    average = _average(tree, by, differences, scale, category, random, interval, draws)
    check_rope(rope, not average.fitted.is_point)
    design = average.fitted.design
    variables = _variables(design, variable, change)
    labels: list[dict[str, object]] = []
    results: list[Array] = []
    for cell in combinations(average, at, variables):
        frame = design.frame.assign(**cell)
        for name in variables:
            levels: dict[object, Array] = {}
            for contrast in _contrasts(design, frame, name, change):
                results.append(average.compared(_difference(average, frame, name, contrast, levels)))
                where = {"variable": name, "contrast": contrast.label} | cell
                what = "average slope of the" if contrast.width is not None else "average difference in the"
                labels += descriptions(average, where, f"{what} {quantity(design, scale)}")
    about, values = pd.DataFrame(labels), np.concatenate(results, axis=1)
    return described(tree, average.fitted, about, values, interval, rope=rope, signed=True)


def margins(
    tree: xr.DataTree,
    *,
    at: Mapping[str, object] | None = None,
    by: str | Sequence[str] | None = None,
    differences: bool = False,
    scale: Scale = "response",
    category: str | None = None,
    random: Treatment = "integrate",
    interval: float = 0.95,
    draws: int | None = None,
) -> pd.DataFrame:
    """Average expected outcomes (predictive margins), such as the probability of owning a home if all were migrants.

    Parameters
    ----------
    tree : xarray.DataTree
    at : mapping of str to value or list, optional
        Predictors that everybody is given a value of, every combination in turn; the rest stay as they are.
    by : str or sequence of str, optional
        Averages over the people of each level, as they are.
    differences, scale, category, random, interval, draws
        As in :func:`effects`.

    Returns
    -------
    pandas.DataFrame
        A row for each combination of ``at``, level of ``by`` and category; columns as in :func:`effects`.

    Raises
    ------
    BayesmigError
        As :func:`effects`.

    Notes
    -----
    What it means: ``at={"hukou": ["local", "migrant"]}`` gives everybody each hukou in turn, so that the two figures
    differ by hukou alone; ``by="hukou"`` compares the locals and migrants there are, who differ in more than hukou.

    Examples
    --------
    >>> import pandas as pd
    >>> from bayesmig import estimate
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "x": [0.0, 1, 2, 3, 4, 5]})
    >>> margins(estimate("y ~ x", data), at={"x": [0, 10]})["estimate"].round(2).tolist()
    [0.95, 11.81]
    """
    average = _average(tree, by, differences, scale, category, random, interval, draws)
    design = average.fitted.design
    labels: list[dict[str, object]] = []
    results: list[Array] = []
    for cell in combinations(average, at):
        results.append(average.compared(average.over(design, design.frame.assign(**cell), average.shares)))
        labels += descriptions(average, cell, f"average {quantity(design, scale)}")
    about, values = pd.DataFrame(labels), np.concatenate(results, axis=1)
    return described(tree, average.fitted, about, values, interval, signed=differences)


def margin_draws(tree: xr.DataTree, at: Mapping[str, str]) -> Array:
    """Draws of one row of :func:`margins`, or points of an estimate's; values are text, as a hypothesis has them.

    Raises BayesmigError as :func:`margins`, and for ordered outcomes, which have a margin for each category.
    """
    average = _average(tree, None, False, "response", None, "integrate", 0.95, None)
    design = average.fitted.design
    if average.categories:
        raise BayesmigError(
            "an ordered outcome has a margin for each category; use bm.margins(..., category=...), or compare"
            " coefficients."
        )
    (cell,) = combinations(average, {name: _value(design, name, text) for name, text in at.items()})
    return average.compared(average.over(design, design.frame.assign(**cell), average.shares))[:, 0]


def _value(design: Design, name: str, text: str) -> object:
    """A predictor's value that was written as text."""
    levels = {as_code(level): level for level in levels_of(design, name)}
    if text in levels or levels or name not in design.frame:
        return levels.get(text, text)
    try:
        return float(text)
    except ValueError:
        raise BayesmigError(f"margin({name}={text}): {name} is a number, and {text!r} is none.") from None


def _average(
    tree: xr.DataTree,
    by: str | Sequence[str] | None,
    differences: bool,
    scale: Scale,
    category: str | None,
    random: Treatment,
    interval: float,
    draws: int | None,
) -> Average:
    check_interval(interval)
    check_one_of("scale", scale, SCALES)
    check_one_of("random", random, TREATMENTS)
    fitted = Fitted.of(tree, draws)
    design = fitted.design
    family = design.spec.distribution
    check_scale(design, scale, "scale='response'")
    if (scale == "score" and not family.ordered) or (category is not None and not family.has_categories):
        asked = "scale='score'" if scale == "score" else f"category={category!r}"
        raise BayesmigError(
            f"{asked} is for ordered outcomes (family 'cumulative'); this one is {design.spec.family!r}."
        )
    categories = design.categories if family.has_categories and scale == "response" else ()
    if category is not None:
        if str(category) not in categories:
            raise UnknownLevel(
                f"category={category!r}{closest(category, design.categories)} with scale={scale!r}; the outcome has"
                f" {listing(design.categories)}, and only scale='response' has categories."
            )
        categories = (str(category),)
    columns = [by] if isinstance(by, str) else list(by or ())
    if differences and len(columns) != 1:
        raise BayesmigError(f"differences=True compares the levels of one column; by= names {listing(columns)}.")
    parts, shares = _parts(design, columns)
    return Average(fitted, Rows.of(design).codes, random, scale, categories, parts, shares, differences)


def _parts(design: Design, by: list[str]) -> tuple[tuple[dict[str, str], ...], Array]:
    """Parts of the sample by the levels of some columns, and what each row counts in each."""
    weights = row_weights(design)
    formula = design.spec.parsed
    allowed = [name for name in design.frame if name in formula.predictors or name in formula.grouping]
    require(by, allowed, "by=", " is no column that the model uses", "; it uses", error=UnknownColumn)
    for name in by:
        count = design.frame[name].nunique()
        if count > MOST_LEVELS and name not in design.levels and name not in formula.grouping:
            raise BayesmigError(
                f"by={name!r} has {count} different values; cut it into classes before the fit, or use"
                f" at={{{name!r}: [...]}} with some values."
            )
    return shared(design.frame, by, weights)


def shared(frame: pd.DataFrame, by: list[str], weights: Array) -> tuple[tuple[dict[str, str], ...], Array]:
    """Parts of people by the levels of some columns, and what each row counts in each; weights sum to one."""
    if not by:
        return ({},), weights[:, None]
    parts, columns = [], []
    for key, index in frame.groupby(by, observed=True, sort=True).indices.items():
        levels = key if isinstance(key, tuple) else (key,)
        parts.append({name: as_code(level) for name, level in zip(by, levels, strict=True)})
        column = np.zeros(len(frame))
        column[index] = weights[index] / weights[index].sum()
        columns.append(column)
    return tuple(parts), np.stack(columns, axis=1)


def _variables(design: Design, variable: str | Sequence[str] | None, change: Change) -> list[str]:
    """The predictors asked for, in the order of the formula if all are."""
    formula = design.spec.parsed
    known = design.spec.predictor_columns
    chosen = known if variable is None else [variable] if isinstance(variable, str) else list(variable)
    for name in chosen:
        if name in formula.grouping and name not in known:
            raise UnknownColumn(f"{name!r} groups people and has no coefficient; predictors are {listing(known)}.")
        if name not in known:
            raise UnknownColumn(f"{name!r}{closest(name, known)} is no predictor; predictors are {listing(known)}.")
    if not chosen:
        raise BayesmigError(f"the model {design.spec.formula!r} has no predictor whose effect could be asked for.")
    if isinstance(change, str):
        check_one_of("change", change, CHANGES)
    elif not isinstance(change, (tuple, list)) or len(change) != 2:
        raise BayesmigError(f"change={change!r}: give one of {listing(CHANGES)}, or a pair (low, high).")
    elif len(chosen) > 1:
        raise BayesmigError(f"change={change!r} is a pair of values of one variable, but {listing(chosen)} were asked.")
    return chosen


def combinations(
    average: Average, at: Mapping[str, object] | None, variables: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Every combination of the values that everybody is given."""
    design = average.fitted.design
    formula = design.spec.parsed
    values = {
        name: list(v) if isinstance(v, (list, tuple, np.ndarray, range)) else [v] for name, v in (at or {}).items()
    }
    allowed = [*sorted(formula.predictors), *([design.spec.offset] if design.spec.offset else [])]
    require(values, allowed, "at={", ": ...}", ": predictors are", error=UnknownColumn)
    for name, given in values.items():
        if not given:
            raise BayesmigError(f"at={{{name!r}: []}} gives no value.")
        levels = levels_of(design, name)
        if name in variables and levels:
            raise BayesmigError(f"at= fixes {name!r}, whose levels are to be compared; leave it out of one of the two.")
        for value in given:
            _check_level(design, name, value)
    parts = average.parts[0]
    taken = [name for name in (*values, *parts) if name in HEADS or (name in values and name in parts)]
    if taken:
        raise BayesmigError(
            f"{taken[0]!r} is in both at= and by=; choose one."
            if taken[0] in values and taken[0] in parts
            else f"the column {taken[0]!r} has the name of a column of this table; rename it before the fit."
        )
    return (dict(zip(values, cell, strict=True)) for cell in itertools.product(*values.values()))


def levels_of(design: Design, name: str) -> tuple[object, ...]:
    """Levels of a category, the reference first; of numbers inside ``C()`` their values; empty for other numbers."""
    if name in design.levels:
        return design.levels[name]
    if name in design.spec.parsed.coded:
        return tuple(sorted(design.frame[name].unique()))
    return ()


def _check_level(design: Design, name: str, value: object) -> None:
    levels = [as_code(level) for level in levels_of(design, name)]
    if levels and as_code(value) not in levels:
        raise UnknownLevel(f"{name} = {value!r}{closest(value, levels)} is no level; there are {listing(levels)}.")


def _contrasts(design: Design, frame: pd.DataFrame, name: str, change: Change) -> list[Contrast]:
    """What is compared with what, for the people of ``frame``."""
    levels = levels_of(design, name)
    if not isinstance(change, str):
        for value in change:
            _check_level(design, name, value)
            if not levels and not isinstance(value, (int, float, np.number)):
                raise BayesmigError(f"change={change!r}: {name} is a number, and {value!r} is none.")
        low, high = change
        return [Contrast(f"{as_code(high)} - {as_code(low)}", low, high)]
    if levels:
        return [Contrast(f"{as_code(level)} - {as_code(levels[0])}", levels[0], level) for level in levels[1:]]
    x = frame[name].to_numpy(dtype=float)
    if change == "unit":
        return [Contrast("+1", x, x + 1)]
    sd = _sd(design, name)
    if change == "sd":
        return [Contrast(f"+1 sd ({sd:.4g})", x, x + sd)]
    low, high = x - STEP * sd, x + STEP * sd
    return [Contrast("slope", low, high, high - low)]  # the width that was reached, free of rounding


def _sd(design: Design, name: str) -> float:
    """The sd that the model standardises by, or else that of the people."""
    if name in design.scaling:
        return design.scaling[name].sd
    values, shares = design.frame[name].to_numpy(dtype=float), row_weights(design)
    return float(np.sqrt(shares @ (values - shares @ values) ** 2)) or 1.0


def _difference(
    average: Average, frame: pd.DataFrame, name: str, contrast: Contrast, levels: dict[object, Array]
) -> Array:
    """Mean change of the expected outcome, ``(draws, parts, categories or 1)``; ``levels`` keeps means at values."""
    design = average.fitted.design
    if isinstance(contrast.low, np.ndarray):
        shares = average.shares if contrast.width is None else average.shares / contrast.width[:, None]
        free = _without_bounds(design, name)
        ends, origin = (contrast.low, contrast.high), design.moments[0]
        low, high = (average.over(free, frame.assign(**{name: x}), shares, origin) for x in ends)
    else:
        for value in {contrast.low, contrast.high} - set(levels):
            levels[value] = average.over(design, frame.assign(**{name: value}), average.shares)
        low, high = levels[contrast.low], levels[contrast.high]
    return high - low


def _without_bounds(design: Design, name: str) -> Design:
    """The design without the codebook's bounds of one variable, which a step from them would pass."""
    entries = (
        dataclasses.replace(entry, minimum=None, maximum=None) if entry.name == name else entry
        for entry in design.spec.variables
    )
    return dataclasses.replace(design, spec=dataclasses.replace(design.spec, variables=tuple(entries)))


def descriptions(average: Average, about: Mapping[str, object], estimand: str) -> list[dict[str, object]]:
    """Descriptions of the rows that one result fills, by part and category."""
    fitted = average.fitted
    if average.differences:
        estimand = f"difference between levels of {listing(average.parts[0])} in the {estimand}"
    last = {
        "estimand": estimand
        + fitted.caveats(random=average.random)
        + fitted.beyond({name: [value] for name, value in about.items()}),
        "random": average.random if fitted.varying else "none",
    }
    categories = [{"category": category} for category in average.categories] or [{}]
    return [{**about, **part, **category, **last} for part in average.names for category in categories]


def described(
    tree: xr.DataTree,
    fitted: Fitted,
    about: pd.DataFrame,
    draws: Array,
    interval: float,
    last: Sequence[str] = ("estimand", "random"),
    *,
    rope: tuple[float, float] | None = None,
    signed: bool = False,
) -> pd.DataFrame:
    """Results with their descriptions around them, the ``last`` of these behind."""
    if fitted.is_point:
        table = wald_table(tree, draws, about.index, interval, signed)
    else:
        table = summarise_draws(draws, about.index, interval, sign=draws if signed else None, rope=rope)
    return attributed(pd.concat([about.drop(columns=[*last]), table, about[[*last]]], axis=1), tree)
