"""Intersectional strata: how much combinations of social positions differ, beyond what each position adds.

MAIHDA, the multilevel analysis of individual heterogeneity and discriminatory accuracy, nests people in strata such
as rural women with primary school (Evans, Williams, Onnela & Subramanian 2018, Social Science & Medicine 203; Merlo
2018, 203; Evans et al. 2024, SSM - Population Health 26).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Unpack

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.contract.names import as_code, joined, parted
from bayesmig.data.columns import as_codes, check_present, is_categorical, plain, without_attributes, without_values
from bayesmig.data.design import GroupTerm
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.errors import DataError, SpecificationError, listing
from bayesmig.inference.engines.base import Engine
from bayesmig.inference.fitting import estimate, fit
from bayesmig.inference.response import expected
from bayesmig.results.fitted import Fitted, category_scores, outcome_of, quantity
from bayesmig.results.summaries import attributed, interval_heads, quantity_values
from bayesmig.specification.formula import parse
from bayesmig.specification.model import Choices, ModelSpec, as_spec

MOST_LEVELS = 8  # of a number that is taken for a category
SMALL = 10  # people of a stratum that says little by itself
FEW_STRATA = 12


def maihda(
    formula: ModelSpec | str,
    data: AnyFrame,
    strata: Sequence[str],
    *,
    method: str | None = None,
    engine: Engine | None = None,
    seed: int | None = None,
    **model: Unpack[Choices],
) -> Maihda:
    """Fit people in intersectional strata: a null model, and one with what each position adds.

    Parameters
    ----------
    formula : str or ModelSpec
        Outcome and, if wanted, covariates of both models: ``"trust ~ 1"``, ``"trust ~ age + (1 | city)"``. Not the
        variables of the strata.
    data : pandas.DataFrame
        One row a person; it is not changed.
    strata : sequence of str
        Two or more categories whose combinations are the strata. Numbers of up to 8 values count as categories.
    method : str, optional
        Estimate by maximum likelihood (``"ml"``, ``"reml"``, ``"agq"``, see :func:`bayesmig.estimate`) in
        place of drawing from the posterior. There are then points without intervals.
    engine, seed
        As in :func:`bayesmig.fit`; both models get the seed.
    **model
        ``family``, ``weights``, ``priors`` and so on, as in :func:`bayesmig.fit`.

    Returns
    -------
    Maihda
        ``summary`` has the shares of variance, ``strata`` every stratum, ``empty`` those in which there is nobody;
        ``null`` and ``additive`` are the two results.

    Raises
    ------
    UnknownColumn
        If a variable of the strata does not exist.
    DataError, SpecificationError
        If there are fewer than two variables, one is constant or no category, stands in the formula too, or all
        people are in a stratum of their own.

    See Also
    --------
    bayesmig.plots.strata : The picture.
    bayesmig.reporting.guideline : ``guideline(found, "maihda")`` says what a report must state.

    Notes
    -----
    Null model: ``outcome ~ covariates + (1 | a:b:c)``. Additive model: the variables of the strata besides. What the
    strata still vary then is interaction. VPC: the strata's share of the unexplained variance
    (:func:`bayesmig.variance_components`). PCV, the proportional change in variance, is ``1 - tau_additive^2 /
    tau_null^2``; its posterior takes the draws of the two models as independent. ``additive_share`` asks the additive
    model alone: the variance of the additive parts across strata, over itself and ``tau_additive^2``.

    What it means: a VPC of a few percent with a PCV near 1 says that strata differ, and almost wholly by what each
    position adds. An interaction is measured against this sum, so that it depends on the scale (odds or
    probabilities), and shrinks to zero in small strata, which keeps chance from being taken for intersection.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"hukou": rng.choice(["rural", "urban"], 300), "sex": rng.choice(["f", "m"], 300)})
    >>> data["trust"] = (data["hukou"] == "rural") - 0.5 * (data["sex"] == "f") + rng.normal(size=300)
    >>> found = maihda("trust ~ 1", data, ["hukou", "sex"], method="ml")
    >>> found.summary["estimate"].round(2).to_dict()["vpc_null"] > 0.1
    True
    >>> found.strata["people"].sum()
    np.int64(300)
    """
    data = frame_of(data)
    spec = as_spec(formula, **model)
    if spec.predictors or spec.parsed.by_threshold or spec.distribution.outcome == "nominal":
        raise SpecificationError(
            f"strata have one variance, of the one linear predictor of an outcome; {spec.written!r} of family"
            f" {spec.family!r} has several. Take a yes or no of one category, or the parts of a hurdle by themselves."
        )
    names = _checked_names(spec.formula, data, strata)
    frame = _categories(spec, data, names)
    group = ":".join(names)
    varying = f" + (1 | {':'.join(map(_quoted, names))})"
    additive = f" + {' + '.join(map(_quoted, names))}{varying}"
    specs = [spec.with_terms(extra) for extra in (varying, additive)]
    if method is None:
        null, full = (fit(each, frame, engine=engine, seed=seed) for each in specs)
    else:
        null, full = (estimate(each, frame, method=method) for each in specs)
    return Maihda(null, full, names, group, tuple(_empty(frame, names)))


@dataclass(frozen=True, eq=False)
class Maihda:
    """The two models of intersectional strata, from :func:`maihda`.

    Attributes
    ----------
    null, additive : xarray.DataTree
        Results without and with what each position adds.
    variables : tuple of str
    group : str
        The grouping factor of the strata, as in ``hukou:sex``.
    empty : tuple of str
        Combinations of levels that nobody has, of whom nothing is said.
    """

    null: xr.DataTree
    additive: xr.DataTree
    variables: tuple[str, ...]
    group: str
    empty: tuple[str, ...]

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Shares of variance: ``variance_null``, ``variance_additive``, ``vpc_*``, ``pcv``, ``additive_share``.

        Columns are ``estimate`` (the posterior median: a ratio of variances has no mean where they may be zero) and the
        equal-tailed 95 % interval; of an estimate the point alone.
        """
        values: dict[str, Array] = {}
        for name, tree in (("null", self.null), ("additive", self.additive)):
            found = quantity_values(tree)
            values[f"variance_{name}"] = np.atleast_1d(found[f"variance_tau_{self.group}[intercept]"])
            if f"vpc_{self.group}" in found:
                values[f"vpc_{name}"] = np.atleast_1d(found[f"vpc_{self.group}"])
        null, additive = values["variance_null"], values["variance_additive"]
        size = min(len(null), len(additive))
        with np.errstate(divide="ignore", invalid="ignore"):
            values["pcv"] = 1 - additive[:size] / null[:size]
            spread = np.var(self._parts[0], axis=1, ddof=1)
            values["additive_share"] = spread / (spread + additive)
        table = pd.DataFrame({name: self._described(each[:, None]).iloc[0] for name, each in values.items()}).T
        return attributed(table.rename_axis("quantity"), self.additive)

    @cached_property
    def strata(self) -> pd.DataFrame:
        """Every stratum, with covariates at their means and other groups at theirs.

        ``people``; the expected outcome ``total`` (of an ordered one its score), what it would be if positions only
        added up, ``additive``, and ``interaction``, the difference, with the 95 % interval of each; ``probability``
        that the interaction is positive. ``attrs["scale"]`` says what is counted. Yes-or-no outcomes are probabilities,
        so that an interaction of 0.03 is 3 percentage points.
        """
        fitted, (fixed, varying) = self._fitted, self._parts
        design = fitted.design
        total, additive = (self._expected(eta) for eta in (fixed + varying, fixed))
        sizes = schema.group_sizes(self.additive, self.group)
        levels = self._factor.levels
        parts = pd.DataFrame([parted(level) for level in levels], columns=list(self.variables))
        table = pd.concat([parts.set_axis(list(levels)), pd.DataFrame({"people": sizes}, list(levels))], axis=1)
        for name, draws in (("total", total), ("additive", additive), ("interaction", total - additive)):
            described = self._described(draws).set_axis(list(levels))
            table = table.join(described.set_axis([_head(name, str(head)) for head in described], axis=1))
        if not fitted.is_point:
            table["probability"] = (total > additive).mean(axis=0)
        table = attributed(table.rename_axis("stratum").sort_values("total", ascending=False), self.additive)
        table.attrs["scale"] = quantity(design, "score" if design.spec.distribution.ordered else "response")
        return table

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the strata: how many, small ones, empty ones."""
        sizes = schema.group_sizes(self.additive, self.group)
        small, found = int((sizes < SMALL).sum()), []
        if small:
            found.append(
                f"{small} of {len(sizes)} strata have fewer than {SMALL} people; their interactions are shrunken"
            )
        if self.empty:
            found.append(f"nobody is in {len(self.empty)} strata: {listing(self.empty)}")
        if len(sizes) < FEW_STRATA:
            found.append(f"there are {len(sizes)} strata only: variances between them rest on their prior")
        return tuple(found)

    def __str__(self) -> str:
        lines = [f"{outcome_of(self._fitted.design)}, strata {' × '.join(self.variables)}"]
        lines += [self.summary.round(3).to_string(), *self.notes]
        return "\n".join(lines)

    @cached_property
    def _fitted(self) -> Fitted:
        return Fitted.of(self.additive)

    @property
    def _factor(self) -> GroupTerm:
        return next(group for group in self._fitted.design.groups if group.name == self.group)

    @cached_property
    def _parts(self) -> tuple[Array, Array]:
        """Linear predictors of the strata, additive, and what interaction adds: ``(draws, strata)`` each."""
        fitted, design = self._fitted, self._fitted.design
        codes = self._factor.codes
        first = np.array([np.flatnonzero(codes == code)[0] for code in range(len(self._factor.levels))])
        weights = design.people / design.people.sum()
        x = np.repeat((weights @ design.x)[None], len(first), axis=0)
        own = [
            place
            for place, term in enumerate(design.terms)
            if any(re.match(rf"`?{re.escape(name)}`?\[", term) for name in self.variables)
        ]
        x[:, own] = design.x[np.ix_(first, own)]
        fixed = fitted.values["beta"] @ x.T
        if design.offset is not None:
            fixed = fixed + weights @ design.offset
        return fixed, fitted.values[f"u_{self.group}"][:, :, 0]

    def _expected(self, eta: Array) -> Array:
        design = self._fitted.design
        mean = expected(design, eta, self._fitted.values)
        return mean @ category_scores(design) if design.spec.distribution.ordered else mean

    def _described(self, draws: Array) -> pd.DataFrame:
        """Median and equal-tailed interval of each column; of an estimate its point."""
        if self._fitted.is_point:
            return pd.DataFrame({"estimate": draws[0]})
        lower, upper = np.nanquantile(draws, [0.025, 0.975], axis=0)
        heads = interval_heads("eti", 0.95)
        return pd.DataFrame({"estimate": np.nanmedian(draws, axis=0), heads[0]: lower, heads[1]: upper})


def _head(name: str, head: str) -> str:
    return name if head == "estimate" else f"{name}_{head}"


def _checked_names(formula: str, data: pd.DataFrame, strata: Sequence[str]) -> tuple[str, ...]:
    """The variables of the strata, none of which the formula has already."""
    names = (strata,) if isinstance(strata, str) else tuple(strata)
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise SpecificationError(
            f"strata={list(names)!r}: name two or more different variables, whose combinations are the strata."
        )
    check_present(data, names)
    used = parse(formula).columns
    twice = [name for name in names if name in used]
    if twice:
        raise SpecificationError(
            f"{listing(twice)} makes the strata, and stands in {formula!r} too. Leave it out there: the additive model"
            " gets it by itself."
        )
    return names


def _categories(spec: ModelSpec, data: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """The data with the variables of the strata as categories."""
    frame = without_attributes(data)
    changes = {}
    for name in names:
        column, entry = plain(frame[name]), spec.variable(name)
        if column.isna().all():
            raise DataError(without_values(name, len(column)))
        codes = as_codes(column)
        present = list(pd.unique(column.dropna()))
        if len(present) < 2:
            raise DataError(f"{name!r} is {as_code(present[0])!r} for everybody; strata need variables that vary.")
        if entry is not None and entry.is_categorical:
            continue
        if is_categorical(column):
            order = [as_code(level) for level in column.cat.categories]
        elif pd.api.types.infer_dtype(column, skipna=True) in ("string", "boolean"):
            order = sorted(codes.dropna().unique())
        elif len(present) <= MOST_LEVELS:
            order = [as_code(value) for value in sorted(present)]
        else:
            raise DataError(
                f"{name!r} is a number of {len(present)} values; strata are made of categories. Cut it into bands"
                f" first, as in data['{name}_band'] = pandas.cut(data[{name!r}], [17, 34, 54, 99])."
            )
        changes[name] = pd.Categorical(codes, order)
    frame = frame.assign(**changes)
    sizes = frame.groupby(list(names), observed=True).size()
    if len(sizes) < 3 or sizes.max() < 2:
        raise DataError(
            f"{' × '.join(names)} makes {len(sizes)} strata of at most {sizes.max()} people; take"
            f" {'more' if len(sizes) < 3 else 'fewer or coarser'} variables."
        )
    return frame


def _empty(frame: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """Combinations of levels that occur, in which there is nobody."""
    present = frame[list(names)].dropna().apply(as_codes)
    seen = set(map(tuple, present.to_numpy()))
    levels = [list(dict.fromkeys(sorted(present[name].unique()))) for name in names]
    return [joined(each) for each in itertools.product(*levels) if each not in seen]


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f"`{name}`"
