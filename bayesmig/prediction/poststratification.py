"""From the people who answered to the people there are: multilevel regression and post-stratification."""

from __future__ import annotations

import dataclasses
import itertools
import math
import numbers
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy import sparse

from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.names import as_code
from bayesmig.data.columns import as_codes
from bayesmig.data.design import Design
from bayesmig.data.frames import AnyFrame, frame_of, is_table
from bayesmig.data.rows import Rows, design_of
from bayesmig.errors import BayesmigError, DataError, UnknownColumn, UnknownLevel, closest, listing, require
from bayesmig.inference.response import expected, linear_predictor
from bayesmig.prediction.newdata import with_new_groups
from bayesmig.results.fitted import (
    TREATMENTS,
    Fitted,
    Treatment,
    category_scores,
    check_one_of,
    check_scale,
    encoded,
    quantity,
)
from bayesmig.results.integration import added_variance, integrated
from bayesmig.results.marginal import described
from bayesmig.results.summaries import check_interval

Margins = Mapping[str | tuple[str, ...], Mapping[Any, float]]
JOINTS = ("survey", "independent")
SCALES = ("response", "score")
CLOSE = 1e-9  # of the shares of a margin, where raking stops
MOST_ROUNDS = 2000
MOST_ROUNDED = 0.02  # of a margin's total that rounding may explain
MOST_LEVELS = 30  # of a column whose composition is shown
LAST = ("population", "respondents", "survey", "estimand", "random")
HEADS = ("category", "estimate", "sd", "std_error", *LAST)


@dataclass(frozen=True, eq=False)
class Poststratification:
    """Estimates for a population.

    Attributes
    ----------
    table : pandas.DataFrame
        A row for each part of the population and category of the outcome: the columns asked by, ``category``,
        ``estimate``, ``sd`` and the interval as in :func:`bayesmig.margins`; ``population``, the people counted;
        ``respondents``, those of them in the survey (frequencies and trials count), and ``survey``, their own mean or
        share without survey weights;
        ``estimand``, ``random``.
    draws : xarray.DataArray
        Dims ``chain``, ``draw``, ``part`` (and ``category``); of an estimate ``part`` alone. For contrasts, as in
        ``draws.sel(part="north") - draws.sel(part="south")``.
    census : pandas.DataFrame
        The joint table that was used.
    notes : tuple of str
        What is assumed: how a joint table was made from margins, whether these agree, for whom the survey has no
        respondents, and which respondents have no counterpart in the population.
    """

    table: pd.DataFrame
    draws: xr.DataArray
    census: pd.DataFrame
    notes: tuple[str, ...]

    def __str__(self) -> str:
        shown = self.table.drop(columns=["estimand", "random"])
        lines = [str(self.table["estimand"].iloc[0]), shown.to_string(index=False, float_format="{:.3g}".format)]
        return "\n".join([*lines, *(f"Note: {note}." for note in self.notes)])


def poststratify(
    tree: xr.DataTree,
    census: AnyFrame | Margins,
    *,
    by: str | Sequence[str] | None = None,
    count: str = "count",
    random: Treatment = "sample",
    new_groups: Literal["allow", "refuse"] = "allow",
    scale: Literal["response", "score"] = "response",
    interval: float = 0.95,
    draws: int | None = None,
    seed: int | None = None,
) -> Poststratification:
    """Estimate the mean outcome of a population, from a model of a sample that is composed otherwise.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit`` (any engine) or ``estimate``.
    census : pandas.DataFrame, or mapping
        A joint table: a row for each kind of people, with a column for each predictor in its original units, columns of
        groups where they are known, and ``count``. Or margins, as in ``{"gender": {"male": 51, "female": 49}}``, which
        :func:`rake` makes into a joint table on the survey's own associations.
    by : str or sequence of str, optional
        Columns of the joint table, in the model or not: estimates for each combination of their values.
    count : str
        The column with the number of people, or their share.
    random : {"sample", "integrate", "zero"}
        What varying effects are, as in :func:`bayesmig.predict`. ``sample``: those of the people's own group; a group
        that the model has not seen gets effects drawn from the distribution of groups. Grouping factors that the
        joint table does not name are always averaged over.
    new_groups : {"allow", "refuse"}
        Whether groups without respondents are estimated or refused.
    scale : {"response", "score"}
        ``score`` is the mean of an ordered outcome, whose categories count as the numbers they are, or else 1, 2, ...
    interval : float
    draws : int, optional
        Use so many draws at most, evenly spaced; all of them by default.
    seed : int, optional
        For new groups. A fresh one is drawn and stored if none is given.

    Returns
    -------
    Poststratification

    Raises
    ------
    BayesmigError
        For a table without counts, with missing values or with levels that the model knows nothing of.

    Notes
    -----
    ``sum_k N_k E(y | x_k, group_k) / sum_k N_k`` in every draw (Gelman & Little 1997, Survey Methodology 23; Park,
    Gelman & Bafumi 2004, Political Analysis 12). The interval says how well the mean of the expected outcome is known;
    that people scatter around it adds next to nothing in a population of many thousands. Counts are taken as known.

    What it means: if a survey has too many old people, and old people trust more, its mean is too high. The model says
    how much people of each kind trust, the census how many there are of each kind. It mends what the predictors of the
    model know of; who answered for other reasons it cannot mend.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"old": rng.choice(["no", "yes"], 400, p=[0.2, 0.8])})
    >>> data["trust"] = 4.0 + 2 * (data["old"] == "yes") + rng.normal(0, 1, 400)
    >>> from bayesmig import fit
    >>> census = pd.DataFrame({"old": ["no", "yes"], "count": [700, 300]})
    >>> table = poststratify(fit("trust ~ old", data, seed=1), census).table
    >>> bool(abs(table["estimate"][0] - (0.7 * 4 + 0.3 * 6)) < 0.2), bool(table["survey"][0] > 5.4)
    (True, True)
    """
    check_interval(interval)
    check_one_of("random", random, TREATMENTS)
    check_one_of("new_groups", new_groups, ("allow", "refuse"))
    check_one_of("scale", scale, SCALES)
    if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise BayesmigError(f"seed={seed!r}: give a whole number that is not negative, or None for a fresh one.")
    fitted = Fitted.of(tree, draws)
    design = fitted.design
    family = design.spec.distribution
    check_scale(design, scale, "scale='response'")
    if scale == "score" and not family.ordered:
        raise BayesmigError(f"scale='score' is for ordered outcomes (family 'cumulative'), not {design.spec.family!r}.")
    cells = rake(tree, census).rename(columns={"count": count}) if isinstance(census, Mapping) else census
    cells = _counted(cells, count)
    parts, membership = _parts(cells, [by] if isinstance(by, str) else list(by or ()), count)
    people = cells[count].to_numpy(dtype=float)
    population = np.bincount(membership, people)
    places = (membership, np.arange(len(cells)))
    shares = sparse.csr_array((people / population[membership], places), (len(population), len(cells)))
    rows = _rows(design, cells.drop(columns=count))
    _check_groups(fitted, rows, random, new_groups)
    entropy = np.random.SeedSequence(seed).entropy
    means = _means(fitted, rows, random, shares, category_scores(design) if scale == "score" else None, entropy)
    categories = design.categories if family.has_categories and scale == "response" else ()
    labels = parts.loc[parts.index.repeat(max(1, len(categories)))].reset_index(drop=True)
    if categories:
        labels["category"] = list(categories) * len(parts)
    labels["population"] = np.repeat(population, max(1, len(categories)))
    labels = labels.join(_survey(design, parts, categories, scale))
    labels["estimand"] = (
        f"population average of {quantity(design, scale, per_trial=True)}{fitted.caveats(own=False, random=random)}"
    )
    labels["random"] = random if fitted.varying else "none"
    table = described(tree, fitted, labels, means.reshape(len(means), -1), interval, LAST)
    table.attrs["poststratification_seed"] = str(entropy)
    notes = (*_assumptions(cells), *_unasked(design, cells, count), *_notes(fitted, rows, random, people))
    return Poststratification(table, _labelled(fitted, parts, categories, means), cells, notes)


def rake(tree: xr.DataTree, margins: Margins, *, joint: Literal["survey", "independent"] = "survey") -> pd.DataFrame:
    """Make a joint table of a population from its margins, by iterative proportional fitting.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit`` or ``estimate``: its survey says which kinds of people there are.
    margins : mapping of str, or tuple of str, to mapping
        Column to level to number of people or share; of a two-way margin a tuple of columns to tuples of levels, as in
        ``{("gender", "age_group"): {("male", "18-34"): 120, ...}}``. Each is scaled to sum to one; that they count
        different numbers of people, beyond rounding, is said in a warning and among the assumptions.
    joint : {"survey", "independent"}
        Where the margins do not say how columns go together: as they do in the survey (weights counted), or not at
        all, which needs a margin for every column of the model.

    Returns
    -------
    pandas.DataFrame
        The columns of the model's predictors and groups, and ``count``, shares that sum to one.
        ``attrs["assumptions"]`` says what was assumed, ``attrs["rounds"]`` how many rounds it took.

    Raises
    ------
    DataError
        If nobody in the survey has a level that the population has, or the margins contradict each other.

    Notes
    -----
    Deming & Stephan 1940 (Annals of Mathematical Statistics 11): counts are scaled to each margin in turn until all are
    met within 1e-9. The result has the margins asked for and the odds ratios of the start.

    What it means: a census yearbook prints how many people have each education and how many each age, seldom both at
    once. Raking keeps the survey's association of the two; a combination that nobody in the survey has stays
    empty.

    Examples
    --------
    >>> import pandas as pd
    >>> from bayesmig import estimate
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "sex": list("mmffff"), "old": list("nynyny")})
    >>> table = rake(estimate("y ~ sex + old", data), {"sex": {"m": 50, "f": 50}, "old": {"n": 70, "y": 30}})
    >>> table.groupby("sex", observed=True)["count"].sum().round(3).to_dict()
    {'f': 0.5, 'm': 0.5}
    """
    check_one_of("joint", joint, JOINTS)
    design = design_of(tree)
    if not isinstance(margins, Mapping):
        raise _no_census(margins)
    targets = {_columns_of(design, key): _target(key, given) for key, given in margins.items()}
    if not targets:
        raise DataError("no margin is given; name at least one column, as in {'gender': {'male': 51, 'female': 49}}.")
    start = _survey_cells(design) if joint == "survey" else _product(design, targets)
    table, rounds = _raked(start, targets)
    covered = sorted({name for columns in targets for name in columns})
    rest = [name for name in table.columns.drop("count") if name not in covered]
    words = (
        f"a joint table was raked to the margins of {listing(covered)}; how they go together"
        + (f", and everything about {listing(rest)}," if rest else "")
        + (" is as in the survey" if joint == "survey" else " was taken as independent")
    )
    table.attrs = {"assumptions": [words, *_disagreement(margins)], "rounds": rounds}
    return table


def composition(tree: xr.DataTree, census: AnyFrame | Margins, *, count: str = "count") -> pd.DataFrame:
    """The survey's people beside the population's: which kinds of people there are too many of.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit`` or ``estimate``.
    census : pandas.DataFrame, or mapping
        As in :func:`poststratify`.
    count : str

    Returns
    -------
    pandas.DataFrame
        A row for each level: ``variable``, ``level``, ``survey`` and ``census`` (shares), ``weighted`` if the model has
        survey weights, and ``ratio``, the survey's share over the census's.

    Raises
    ------
    BayesmigError
        If no column of the census is one of the model's.

    Examples
    --------
    >>> import pandas as pd
    >>> from bayesmig import estimate
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "sex": list("mmffff")})
    >>> composition(estimate("y ~ sex", data), {"sex": {"m": 50, "f": 50}})[["level", "ratio"]].round(2).values.tolist()
    [['f', 1.33], ['m', 0.67]]
    """
    design = design_of(tree)
    frame = _as_codes(design.frame)
    targets: dict[str, dict[tuple[str, ...], float]] = {}
    if not isinstance(census, Mapping):
        cells = _counted(census, count)
        codes = _as_codes(cells.drop(columns=count))
        for name in codes.columns.intersection(frame.columns):
            if codes[name].nunique() <= MOST_LEVELS:
                sums = cells[count].groupby(codes[name].to_numpy()).sum()
                targets[str(name)] = {(str(level),): float(number) for level, number in (sums / sums.sum()).items()}
    else:
        for key, given in census.items():
            columns, target = _columns_of(design, key), _target(key, given)
            targets |= {columns[0]: target} if len(columns) == 1 else {}
        _disagreement(census)
    if not targets:
        raise UnknownColumn(f"no column of the census is one of the model's; the model uses {listing(frame.columns)}.")
    rows, people = [], design.respondents
    is_weighted = design.weight_kind == "survey"
    for name, target in targets.items():
        own = pd.Series(people).groupby(frame[name].to_numpy()).sum() / people.sum()
        weights = pd.Series(design.people).groupby(frame[name].to_numpy()).sum() if is_weighted else None
        order = [*design.levels.get(name, ()), *sorted(set(own.index) | {level for (level,) in target})]
        for level in dict.fromkeys(order):
            row = {"variable": name, "level": level, "survey": own.get(level, 0.0), "census": target.get((level,), 0.0)}
            rows.append(row | ({} if weights is None else {"weighted": weights.get(level, 0.0) / weights.sum()}))
    table = pd.DataFrame(rows)
    return table.assign(ratio=table["survey"] / table["census"].where(table["census"] > 0))


def _assumptions(cells: pd.DataFrame) -> tuple[str, ...]:
    """What a joint table says of how it was made."""
    return tuple(map(str, cells.attrs.get("assumptions", ())))


def _counted(given: AnyFrame, count: str) -> pd.DataFrame:
    """The rows of a joint table with people in them, after a look at the counts."""
    if not is_table(given):
        raise _no_census(given)
    census = frame_of(given)
    if census.empty:
        raise DataError("census must be a data frame with a row for each kind of people; this one has none.")
    name_it = " Name the column with the number of people by count=."
    require([count], census, "the census has no column ", there="; it has", then=name_it, error=UnknownColumn)
    people = pd.to_numeric(census[count], errors="coerce").astype(float)
    wrong = census[count][~np.isfinite(people) | (people < 0)]
    if len(wrong):
        raise DataError(
            f"{count!r} of the census must be numbers of people, not negative; {len(wrong)} rows are not, first"
            f" {wrong.iloc[0]!r} (row {wrong.index[0]})."
        )
    if not people.any():
        raise DataError(f"{count!r} of the census is zero in every row; there is nobody to estimate anything for.")
    cells = census.assign(**{count: people})[people.to_numpy() > 0].reset_index(drop=True)
    empty = len(census) - len(cells)
    if empty:
        words = f"{empty} of {len(census)} rows of the census have nobody in them, and were left out"
        cells.attrs = {**census.attrs, "assumptions": [*_assumptions(census), words]}
    return cells


def _parts(cells: pd.DataFrame, by: list[str], count: str) -> tuple[pd.DataFrame, Codes]:
    """Parts of the population, and the part of each row of the joint table."""
    require(by, cells.columns.drop(count), "by=", " is no column of the census", "; it has", error=UnknownColumn)
    for name in by:
        if name in HEADS:
            raise BayesmigError(f"the column {name!r} has the name of a column of this table; rename it.")
    if not by:
        return pd.DataFrame(index=[0]), np.zeros(len(cells), dtype=np.int64)
    if cells[by].isna().any(axis=None):
        raise DataError(f"the census has missing values in {listing(by)}; fill them or leave these rows out.")
    membership = np.asarray(cells.groupby(by, observed=True, sort=True).ngroup(), dtype=np.int64)
    first = np.unique(membership, return_index=True)[1]
    return cells[by].iloc[first].reset_index(drop=True), membership


def _rows(design: Design, cells: pd.DataFrame) -> Rows:
    """The kinds of people as the model sees them; of trials one each."""
    trials = design.spec.trials
    return encoded(design, cells.assign(**{trials: 1}) if trials and trials not in cells else cells)


def _check_groups(fitted: Fitted, rows: Rows, random: Treatment, new_groups: str) -> None:
    new = {group.name: rows.new_groups.get(group.name, ()) for group in fitted.varying}
    name, names = next(((name, names) for name, names in new.items() if names), ("", ()))
    if names and new_groups == "refuse":
        known = next(group.levels for group in fitted.varying if group.name == name)
        raise DataError(
            f"{name} {listing(names)}{closest(names[0], known)} of the census has no respondents, and"
            f" new_groups='refuse'; the survey has {listing(known)}."
        )
    if names and random == "sample" and fitted.is_point:
        raise BayesmigError(
            f"{name} {listing(names)} of the census has no respondents, and an estimate has no draws of its effects."
            " Draw the posterior (fit), or use random='integrate'."
        )


def _means(
    fitted: Fitted, rows: Rows, random: Treatment, shares: sparse.csr_array, points: Array | None, entropy: Any
) -> Array:
    """Means of the expected outcome over each part, ``(draws, parts)`` or ``(draws, parts, categories)``."""
    design, rng = fitted.design, np.random.default_rng(entropy)
    known = [group for group in fitted.varying if random == "sample" and group.name in rows.codes]
    averaged = [group for group in fitted.varying if group not in known and random != "zero"]
    narrowed = dataclasses.replace(fitted, design=dataclasses.replace(design, groups=tuple(known)))
    wide = design.spec.distribution.has_categories
    means = []
    for _, values in fitted.parts(rows.n * (len(design.categories) if wide else 1)):
        seen, effects = with_new_groups(narrowed, rows, values, rng)
        eta = linear_predictor(seen, values, effects)
        if averaged:
            variance = sum(
                (added_variance(group, rows.z[group.name], values, rows.assigned) for group in averaged), np.zeros(1)
            )
            outcome = integrated(design, eta, variance, values)
        else:
            outcome = expected(design, eta, values)
        outcome = outcome @ points if points is not None else outcome
        by_category = np.moveaxis(outcome, 2, 0) if outcome.ndim == 3 else outcome[None]
        part = np.stack([(shares @ one.T).T for one in by_category], axis=2)
        means.append(part if outcome.ndim == 3 else part[:, :, 0])
    return np.concatenate(means)


def _survey(design: Design, parts: pd.DataFrame, categories: tuple[str, ...], scale: str) -> pd.DataFrame:
    """How many respondents each part has, and their own mean or share; unknown where the model lacks a column."""
    frame = _as_codes(design.frame)
    y = design.y / design.trials if design.trials is not None else design.y
    outcomes = [y == place for place in range(len(categories))] or [
        category_scores(design)[y.astype(int)] if scale == "score" else y
    ]
    rows = []
    for part in _as_codes(parts).to_dict("index").values():
        known = all(name in frame for name in part)
        inside = np.ones(len(frame), bool)
        for name, level in part.items():
            inside &= (frame[name] == level).to_numpy() if known else False
        for outcome in outcomes:
            people = design.respondents[inside]
            seen = inside.any() and design.ends is None and design.bounds is None  # which have no mean of all
            mean = float(np.average(outcome[inside], weights=people)) if seen else np.nan
            rows.append((round(people.sum()) if known else pd.NA, mean))
    return pd.DataFrame(rows, columns=["respondents", "survey"]).astype({"respondents": "Int64"})


def _labelled(fitted: Fitted, parts: pd.DataFrame, categories: tuple[str, ...], means: Array) -> xr.DataArray:
    """Draws with the names of parts and categories."""
    names = [", ".join(map(as_code, part)) or "everybody" for part in parts.to_numpy(dtype=object)]
    coords = {"part": names} | ({"category": list(categories)} if categories else {})
    return xr.DataArray(means[0], coords, tuple(coords)) if fitted.is_point else fitted.by_draw(means, **coords)


def _unasked(design: Design, cells: pd.DataFrame, count: str) -> Iterator[str]:
    """Respondents of levels that the population has not."""
    for name in cells.columns.drop(count).intersection([*design.levels]):
        own = as_codes(design.frame[name])
        odd = ~own.isin(as_codes(cells[name])).to_numpy()
        if odd.any():
            levels, people = listing(sorted(set(own[odd])), 5), design.respondents[odd].sum()
            yield f"{people:g} respondents with {name} {levels} have no counterpart in the census"


def _notes(fitted: Fitted, rows: Rows, random: Treatment, people: Array) -> Iterator[str]:
    """For whom there are no respondents."""
    for group in fitted.varying:
        if random == "zero":
            yield f"varying effects of {group.name} are those of a group at the mean"
        elif random == "integrate" or group.name not in rows.codes:
            yield f"averaged over all {group.name} there could be"
        elif rows.new_groups[group.name]:
            amounts, count = rows.amounts.get(group.name), len(group.levels)
            new = rows.codes[group.name] >= count if amounts is None else amounts[:, count:].any(axis=1)
            yield (
                f"{people[new].sum() / people.sum():.1%} of the population live in {group.name}"
                f" {listing(rows.new_groups[group.name], 5)}, which have no respondents"
            )


def _as_codes(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(**{str(name): as_codes(column) for name, column in frame.items()})


def _columns_of(design: Design, key: str | tuple[str, ...]) -> tuple[str, ...]:
    """Columns of a margin, all of them the model's."""
    columns = (key,) if isinstance(key, str) else tuple(key)
    formula = design.spec.parsed
    known = [str(name) for name in design.frame if name in formula.predictors or name in formula.grouping]
    only = " Only margins of its columns change an estimate."
    require(columns, known, "margin ", there=": the model uses", then=only, error=UnknownColumn)
    return columns


def _no_census(given: object) -> DataError:
    return DataError(
        "a census is a data frame with a row for each kind of people, or margins as in"
        f" {{'gender': {{'male': 51, 'female': 49}}}}; got {type(given).__name__}."
    )


def _disagreement(margins: Margins) -> list[str]:
    """Whether margins, which are of one population, count as many people; said as a warning too.

    A number may be rounded by half a unit of its last digit, and a total by that times the number of levels. Totals of
    1 and 100 are those of shares, which agree with each other.
    """
    totals, slacks = {}, {}
    for key, given in margins.items():
        people = [float(number) for number in given.values()]
        name = key if isinstance(key, str) else " and ".join(key)
        totals[name] = math.fsum(people)
        unit = min((_exponent(number) for number in people if number > 0), default=0)
        slacks[name] = min(0.5 * 10.0**unit * len(people), MOST_ROUNDED * totals[name]) + 1e-9 * totals[name]
    counts = [name for name, total in totals.items() if min(abs(total - 1), abs(total - 100)) > slacks[name]]
    if not counts:
        return []
    low, high = min(totals, key=lambda name: totals[name]), max(totals, key=lambda name: totals[name])
    if totals[high] - totals[low] <= slacks[high] + slacks[low]:
        return []
    each = listing(f"{name} {total:,.10g}" for name, total in totals.items())
    words = f"the margins differ in their totals by more than rounding ({each}); each was scaled to shares"
    warnings.warn(f"{words}. Are they of one population?", stacklevel=3)
    return [words]


def _exponent(number: float) -> int:
    """The power of ten of a number's last digit that is not zero."""
    return int(Decimal(str(number)).normalize().as_tuple().exponent)


def _target(key: object, given: Mapping[Any, float]) -> dict[tuple[str, ...], float]:
    """A margin as shares that sum to one, by codes."""
    if not isinstance(given, Mapping) or not given:
        raise DataError(f"margin {key!r} must map levels to numbers of people, as in {{'male': 51, 'female': 49}}.")
    target: dict[tuple[str, ...], float] = {}
    for level, number in given.items():
        codes = tuple(map(as_code, level)) if isinstance(level, tuple) else (as_code(level),)
        if len(codes) != (1 if isinstance(key, str) else len(tuple(key))):  # type: ignore[arg-type]
            raise DataError(f"margin {key!r}: {level!r} does not name one level of each of its columns.")
        if not isinstance(number, numbers.Real) or not np.isfinite(float(number)) or float(number) < 0:
            raise DataError(f"margin {key!r}: {level!r} has {number!r} people; give a number that is not negative.")
        if codes in target:
            raise DataError(f"margin {key!r} names {', '.join(codes)} twice; add the two.")
        target[codes] = float(number)
    total = sum(target.values())
    if not total > 0:
        raise DataError(f"margin {key!r} has nobody in it.")
    return {codes: number / total for codes, number in target.items()}


def _survey_cells(design: Design) -> pd.DataFrame:
    """The kinds of people in the survey, and what part of it each is."""
    formula = design.spec.parsed
    names = [name for name in design.frame if name in {*formula.predictors, *formula.grouping, *formula.parts}]
    names += [name for name in (design.spec.offset,) if name and name not in names]
    counted = design.frame[names].assign(count=design.people)
    sums = counted.groupby(names, observed=True, sort=False, dropna=False)["count"].sum()
    table: pd.DataFrame = sums.reset_index()
    return table.assign(count=table["count"] / table["count"].sum())


def _product(design: Design, targets: Mapping[tuple[str, ...], Mapping[tuple[str, ...], float]]) -> pd.DataFrame:
    """Every combination of the margins' levels, as if columns had nothing to do with each other."""
    needed = _survey_cells(design).columns.drop("count")
    covered = [name for columns in targets for name in columns]
    lacking = [name for name in needed if name not in covered]
    if lacking or len(covered) > len(set(covered)):
        raise DataError(
            f"joint='independent' needs each column of the model in one margin; {listing(lacking or sorted(covered))}"
            f" {'have none' if lacking else 'are given more than once'}. Use joint='survey', or give a joint table."
        )
    cells = [tuple(itertools.chain(*levels)) for levels in itertools.product(*targets.values())]
    table = pd.DataFrame(cells, columns=covered)
    for name in covered:
        if name not in design.levels and pd.api.types.is_numeric_dtype(design.frame[name]):
            table[name] = table[name].astype(float)
    return table.assign(count=1 / len(table))


def _raked(
    start: pd.DataFrame, targets: Mapping[tuple[str, ...], Mapping[tuple[str, ...], float]]
) -> tuple[pd.DataFrame, int]:
    """Iterative proportional fitting: the start scaled to every margin in turn until all are met."""
    counts = start["count"].to_numpy(dtype=float).copy()
    codes = _as_codes(start.drop(columns="count"))
    steps = []
    for columns, target in targets.items():
        keys = list(zip(*(codes[name] for name in columns), strict=True))
        present = list(dict.fromkeys(keys))
        absent = [key for key, share in target.items() if share > 0 and key not in set(present)]
        if absent:
            raise DataError(
                f"nobody in the survey has {listing(columns)} = {', '.join(absent[0])}, which is"
                f" {target[absent[0]]:.1%} of the population; merge it with another level."
            )
        unknown = [key for key in present if key not in target]
        if unknown:
            raise UnknownLevel(
                f"the margin of {listing(columns)} lacks {', '.join(unknown[0])}, which the survey has"
                f"{closest(unknown[0][0], [key[0] for key in target])}; say how many there are, 0 if none."
            )
        place = {key: position for position, key in enumerate(present)}
        steps.append((np.array([place[key] for key in keys]), np.array([target[key] for key in present])))
    for rounds in range(1, MOST_ROUNDS + 1):
        for places, wanted in steps:
            got = np.bincount(places, counts, minlength=len(wanted))
            counts *= np.divide(wanted, got, out=np.zeros_like(wanted), where=got > 0)[places]
        worst = max(float(np.abs(np.bincount(p, counts, minlength=len(w)) - w).max()) for p, w in steps)
        if worst < CLOSE:
            return start.assign(count=counts)[counts > 0].reset_index(drop=True), rounds
    raise DataError(
        f"the margins of {listing(' and '.join(columns) for columns in targets)} cannot be met at once by the kinds of"
        f" people in the survey (a share is {worst:.2g} off after {MOST_ROUNDS} rounds); merge levels, or leave a"
        " margin out."
    )
