"""Predictions for the people of a sample and for others, with varying effects treated as asked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Literal

import numpy as np
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.data.rows import Rows
from bayesmig.errors import BayesmigError, DataError, closest, listing
from bayesmig.inference.estimators.base import wald
from bayesmig.inference.response import draw_outcomes, expected, linear_predictor
from bayesmig.results.delta import degrees, delta_errors
from bayesmig.results.fitted import (
    TREATMENTS,
    Fitted,
    Treatment,
    check_one_of,
    check_scale,
    drawn_effects,
    encoded,
    expectation,
    outcome_of,
    quantity,
)

Kind = Literal["expected", "outcome", "linear"]
KINDS = ("expected", "outcome", "linear")
LARGEST = 2**29  # numbers in a result: 4 GiB


def predict(
    tree: xr.DataTree,
    data: AnyFrame | None = None,
    *,
    random: Treatment = "sample",
    kind: Kind = "expected",
    new_groups: Literal["allow", "refuse"] = "allow",
    draws: int | None = None,
    seed: int | None = None,
) -> xr.DataTree:
    """Predict the outcome of people: those of the sample, others in the same groups, or people of new groups.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit`` (any engine) or ``estimate``, also read back from a file.
    data : pandas.DataFrame, optional
        People, with the predictors in their original units; the sample unless given. Grouping columns say who
        belongs together, and may name groups that the model has not seen. Without them everyone is from a new group;
        of ``mm(area1, area2)`` all columns are given, without a value where somebody has fewer groups, or none.
    random : {"sample", "integrate", "zero"}
        What varying effects are. ``sample``: those of the person's own group; a new group gets effects drawn from
        the distribution of groups, one draw for all of its people. ``integrate``: the mean over all groups there
        could be. ``zero``: those of a group at the mean.
    kind : {"expected", "outcome", "linear"}
        ``expected``: the expected outcome; the probability of a one, of each ordered category; expected successes
        out of the trials. ``outcome``: an outcome drawn for each person, with its residual. ``linear``: the linear
        predictor. Those of ``Truncated(y, low, high)`` are of everybody, seen or not.
    new_groups : {"allow", "refuse"}
        Whether people of groups that the model has not seen are predicted or refused.
    draws : int, optional
        Use so many draws at most, evenly spaced; all of them by default.
    seed : int, optional
        For new groups and outcomes. A fresh one is drawn and stored if none is given.

    Returns
    -------
    xarray.DataTree
        Group ``predictions`` with ``y`` by ``chain``, ``draw`` and ``row`` (and ``category``: probabilities of an
        ordered outcome); for an estimate by ``row`` alone, with ``y_se``, ``y_lower`` and ``y_upper``, Wald's 95 %
        interval by the delta method, varying effects held at their modes. ``row`` is the position in the data given; a
        person's groups stand beside it. Drawn ordered and binary outcomes are codes from 0, as in
        ``observed_data``. The attributes are those of ``tree`` and ``estimand``, ``random``, ``kind``, ``new_groups``
        and ``prediction_seed``.

    Raises
    ------
    BayesmigError
        For a tree without data; an outcome, or a new group's effects, to be drawn from an estimate, which has no
        draws; a single person's outcome averaged over groups.
    DataError
        For people that the model cannot know, and new groups where none are allowed.

    Notes
    -----
    Means over groups are in closed form for identity, log and probit links and by quadrature for the logit, with an
    error below 1e-8.

    What it means: the spread of ``expected`` over draws says how well the model knows the average of people like
    this one, the spread of ``outcome`` how much single people differ. To predict somebody, use the latter.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": rng.integers(0, 12, 300), "age": rng.integers(18, 80, 300)})
    >>> data["trust"] = 5 + rng.normal(size=12)[data["area"]] + 0.02 * data["age"] + rng.normal(size=300)
    >>> from bayesmig import fit
    >>> tree = fit("trust ~ age + (1 | area)", data, seed=1)
    >>> people = pd.DataFrame({"age": [30, 30], "area": [3, 99]})
    >>> y = predict(tree, people, seed=1)["predictions"]["y"]
    >>> [str(dim) for dim in y.dims], bool(y.std(["chain", "draw"])[1] > 2 * y.std(["chain", "draw"])[0])
    (['chain', 'draw', 'row'], True)
    """
    check_one_of("random", random, TREATMENTS)
    check_one_of("kind", kind, KINDS)
    check_one_of("new_groups", new_groups, ("allow", "refuse"))
    if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise BayesmigError(f"seed={seed!r}: give a whole number that is not negative, or None for a fresh one.")
    if kind == "outcome" and random == "integrate":
        raise BayesmigError(
            "kind='outcome' with random='integrate': a person has one group, whose effects an average over groups has"
            " not. For people of any group use random='sample' and leave the grouping columns out."
        )
    fitted = Fitted.of(tree, draws, own=data is None)
    design = fitted.design
    check_scale(design, "link" if kind == "linear" else kind, "kind='expected'")
    rows = Rows.of(design) if data is None else encoded(design, data)
    if new_groups == "refuse":
        _refuse_new_groups(fitted, rows)
    if fitted.is_point:
        _check_point(fitted, rows, random, kind)
    entropy = np.random.SeedSequence(seed).entropy
    rng = np.random.default_rng(entropy)
    wide = kind == "expected" and design.spec.distribution.has_categories
    shape = (fitted.size, rows.n, *((len(design.categories),) if wide else ()))
    if np.prod(shape, dtype=float) > LARGEST:
        most = int(LARGEST * fitted.size / np.prod(shape, dtype=float))
        fewer = "" if fitted.is_point else f"use draws={most} or fewer, or "
        raise BayesmigError(
            f"{' x '.join(map(str, shape))} numbers would fill more than 4 GiB; {fewer}predict fewer people at a time."
        )
    result = np.empty(shape)
    for run, values in fitted.parts(int(np.prod(shape[1:]))):
        result[run] = _predicted(fitted, rows, values, random, kind, rng, own=data is None)
    facts = _facts(fitted, rows, random, kind, data, entropy)
    return _labelled(tree, fitted, rows, result, data is None, facts)


def _predicted(
    fitted: Fitted,
    rows: Rows,
    values: Mapping[str, Array],
    random: Treatment,
    kind: Kind,
    rng: np.random.Generator,
    own: bool,
) -> Array:
    """Predictions of a run of draws."""
    design = fitted.design
    if random == "sample":
        rows, effects = with_new_groups(fitted, rows, values, rng)
        eta = linear_predictor(rows, values, effects)
    elif kind == "expected":
        return expectation(design, values, rows, random, rows.trials)
    else:
        eta = linear_predictor(rows, values, {})
    if kind == "linear":
        return eta if design.assigned is None else eta[..., 0]
    if kind == "expected":
        return expected(design, eta, values, rows.trials)
    return draw_outcomes(design, eta, values, rng, None if own and design.bounds is None else rows)


def with_new_groups(
    fitted: Fitted, rows: Rows, values: Mapping[str, Array], rng: np.random.Generator
) -> tuple[Rows, dict[str, Array]]:
    """Rows all of whose groups are numbered, and effects of these groups: known ones, then new ones drawn.

    Rows whose grouping columns were not given each get a group of their own.
    """
    codes, effects, centred = dict(rows.codes), {}, {group.name: group for group in fitted.design.centred.groups}
    for group in fitted.varying:
        known = values[f"u_{group.name}"]
        count = len(rows.new_groups.get(group.name, ()))
        if group.name not in codes:
            count = rows.n
            codes[group.name] = len(group.levels) + np.arange(count)
        effects[group.name] = known
        if count:
            drawn = drawn_effects(centred[group.name], values, count, rng)
            effects[group.name] = np.concatenate([known, drawn], axis=1)
    return dataclasses.replace(rows, codes=codes), effects


def _refuse_new_groups(fitted: Fitted, rows: Rows) -> None:
    for group in fitted.varying:
        new = rows.new_groups.get(group.name)
        if new is None:
            raise DataError(
                f"the people's {group.name} is not given, and new_groups='refuse': add its columns, or allow new"
                " groups."
            )
        if new:
            raise DataError(
                f"{group.name} {listing(new)}{closest(new[0], group.levels)} is not among the {len(group.levels)}"
                f" groups that the model was fitted to ({listing(group.levels)}), and new_groups='refuse'."
            )


def _check_point(fitted: Fitted, rows: Rows, random: Treatment, kind: Kind) -> None:
    """Refuse what would need draws."""
    if kind == "outcome":
        raise BayesmigError(
            "kind='outcome' with an estimate: outcomes drawn at its point would hide its error. Draw them from the"
            " posterior (fit), or use kind='expected'."
        )
    new = [group.name for group in fitted.varying if rows.new_groups.get(group.name, ("",))]
    if random == "sample" and new:
        raise BayesmigError(
            f"random='sample' with an estimate: effects of new groups of {listing(new)} would have to be drawn, and an"
            " estimate has no draws. Use random='integrate' (the mean over groups) or 'zero' (a group at the mean)."
        )


def _facts(
    fitted: Fitted, rows: Rows, random: Treatment, kind: Kind, data: AnyFrame | None, entropy: object
) -> dict[str, object]:
    what = {
        "expected": quantity(fitted.design, per_trial=False),
        "outcome": f"{outcome_of(fitted.design)} of a single person",
        "linear": quantity(fitted.design, "link"),
    }[kind]
    beyond = "" if data is None else fitted.beyond(frame_of(data))
    return {
        "estimand": what + fitted.caveats(data is None, random) + beyond,
        "random": random if fitted.varying else "none",
        "kind": kind,
        "new_groups": {group.name: list(rows.new_groups.get(group.name, ())) for group in fitted.varying},
        "prediction_seed": str(entropy),
    }


def _labelled(
    tree: xr.DataTree, fitted: Fitted, rows: Rows, result: Array, own: bool, facts: Mapping[str, object]
) -> xr.DataTree:
    """Predictions in a tree, with the names of their dims, groups and categories."""
    design = fitted.design
    dims: tuple[str, ...] = ("row", "category")[: result.ndim - 1]
    coords: dict[str, object] = {"row": design.rows if own else np.arange(rows.n)}
    if "category" in dims:
        coords["category"] = list(design.categories)
    for group in design.groups:
        if group.name in rows.codes:
            names = np.array([*group.levels, *rows.new_groups[group.name]], dtype=object)
            parts = rows.amounts.get(group.name)
            each = names[rows.codes[group.name]] if parts is None else [" + ".join(names[one > 0]) for one in parts]
            coords[group.name] = ("row", np.asarray(each).astype(str))
    if fitted.chain is None or fitted.draw is None:
        variables = {"y": result[0]} | {
            f"y{suffix}": part for suffix, part in wald(result[0], delta_errors(result), degrees(tree)).items()
        }
    else:
        variables = {"y": result.reshape(len(fitted.chain), len(fitted.draw), *result.shape[1:])}
        dims, coords = ("chain", "draw", *dims), coords | {"chain": fitted.chain, "draw": fitted.draw}
    codes = json.dumps(list(design.categories), ensure_ascii=False)
    about_y = {"estimand": str(facts["estimand"]), "categories": codes}
    arrays = {name: xr.DataArray(values, dims=dims, attrs=about_y) for name, values in variables.items()}
    # a file gives numbers back as numpy's
    about = {str(key): v.item() if isinstance(v, np.generic) else v for key, v in tree.attrs.items()}
    return schema.stamped({"predictions": xr.Dataset(arrays, coords)}, about | dict(facts))
