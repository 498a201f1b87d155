"""Survey weights of people and of groups: how they are scaled, and what each of them counts.

The pseudo-posterior is ``p(theta) prod_j [p(u_j) prod_i p(y_ij | u_j)^w_ij]^w_j``, with ``w_ij`` the weight of a person
within the group and ``w_j`` that of the group (Savitsky & Williams 2022, Journal of Official Statistics 38(4)).
Scaling follows Pfeffermann et al. (1998, JRSS B 60(1)) and Rabe-Hesketh & Skrondal (2006, JRSS A 169(4)): weights of
people are made to sum to the size, or to the effective size, of their group, because unscaled ones bias the sd between
groups; those of groups are made to average one.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.columns import check_constant_within
from bayesmig.data.design import GroupTerm
from bayesmig.errors import SpecificationError, listing, require
from bayesmig.specification.model import Weights

ROUNDING = 1e-12  # of weights that were scaled


def weighted(
    weights: Weights, people: Array, trials: Codes, groups: tuple[GroupTerm, ...], frame: pd.DataFrame
) -> tuple[Array | None, tuple[GroupTerm, ...]]:
    """What every row counts, and the grouping factors with what their groups count; None where all count one.

    ``people``, (n,) array: the weights of people as given; ones if they have none. ``trials``, (n,) int array: how many
    people a row stands for, each with its weight. ``frame``: the rows used, with the columns of group weights. Raises
    SpecificationError if weights are given for what is no grouping factor, or factors with and without weights are
    crossed, or it is not clear within what the weights of people are to be scaled; DataError if a group has several
    weights.
    """
    if weights.kind != "survey":
        return _unless_equal(people), groups
    several = [group.name for group in groups if group.amounts is not None]
    if several and (weights.groups or weights.scaling != "none"):
        raise SpecificationError(
            f"people may belong to several groups of {several[0]}, so that weights can neither be of groups nor be"
            " scaled within them; say scaling='none', without weights of groups."
        )
    alike = [group.name for group in groups if group.structure is not None]
    if alike and weights.groups:
        raise SpecificationError(
            f"effects of {alike[0]} have one density together, so that none of them can count more than another; leave"
            " weights of groups out, or take plain groups, (1 | area)."
        )
    if not weights.groups:
        if weights.scaling != "none":
            people = _scaled(people, trials, _only(groups).codes, weights.scaling)
        return _unless_equal(people * (trials.sum() / (people @ trials))), groups
    counted = _cumulated(weights, groups, frame)
    finest = list(counted)[-1]
    place = {group.name: group for group in groups}
    rows = _scaled(people, trials, place[finest].codes, weights.scaling) * counted[finest][place[finest].codes]
    powers = {group.name: _powers(group, counted, place) for group in groups}
    return _unless_equal(rows), tuple(
        dataclasses.replace(group, weights=None if (own := powers[group.name]) is None else _unless_equal(own))
        for group in groups
    )


def _unless_equal(weights: Array) -> Array | None:
    """Weights, or None if all are one but for rounding: then a model without weights is the same."""
    return None if np.allclose(weights, 1, rtol=0, atol=ROUNDING) else weights


def is_nested(inner: GroupTerm, outer: GroupTerm) -> bool:
    """Whether every group of one factor lies in a single group of another."""
    return len(np.unique(np.column_stack([inner.codes, outer.codes]), axis=0)) == len(inner.levels)


def _only(groups: tuple[GroupTerm, ...]) -> GroupTerm:
    if len(groups) != 1:
        raise SpecificationError(
            f"weights are to be scaled within groups, but the formula has {len(groups)} grouping factors"
            f" ({listing(group.name for group in groups)}); name the one by groups={{factor: column}}, or say"
            " scaling='none'."
        )
    return groups[0]


def _cumulated(weights: Weights, groups: tuple[GroupTerm, ...], frame: pd.DataFrame) -> dict[str, Array]:
    """By factor with weights, the coarsest first, what each group counts: its weight times those around it."""
    names = [group.name for group in groups]
    which, there = ", which is no grouping factor", "; grouping factors are"
    require(weights.groups, names, "weights are given for ", which, there, error=SpecificationError)
    found: dict[str, Array] = {}
    around: GroupTerm | None = None
    for group in sorted(groups, key=lambda group: len(group.levels)):
        if group.name not in weights.groups:
            continue
        if around is not None and not is_nested(group, around):
            raise SpecificationError(_crossed(group, around))
        own = _of_groups(weights.groups[group.name], group, frame)
        if around is None:
            found[group.name] = own / own.mean()
        else:
            parents = _parents(group, around)
            means = np.bincount(parents, own) / np.bincount(parents)
            found[group.name] = own / means[parents] * found[around.name][parents]
        around = group
    return found


def _of_groups(column: str, group: GroupTerm, frame: pd.DataFrame) -> Array:
    """The weight of every group, each of which must have one."""
    labels = np.array(group.levels, dtype=object)[group.codes]
    check_constant_within(column, group.name, pd.DataFrame({column: frame[column], group.name: labels}))
    own = np.empty(len(group.levels))
    own[group.codes] = frame[column].to_numpy(dtype=float)
    return own


def _parents(inner: GroupTerm, outer: GroupTerm) -> Codes:
    """The group of the outer factor that each group of the inner one lies in."""
    parents = np.empty(len(inner.levels), dtype=np.int64)
    parents[inner.codes] = outer.codes
    return parents


def _powers(group: GroupTerm, counted: dict[str, Array], place: dict[str, GroupTerm]) -> Array | None:
    """What each group of a factor counts: its own weight, or else that of the weighted group that it lies in."""
    powers = None
    for name, values in counted.items():
        if is_nested(group, place[name]):
            powers = values[_parents(group, place[name])]
        elif not is_nested(place[name], group):
            raise SpecificationError(_crossed(group, place[name]))
    return powers


def _crossed(group: GroupTerm, other: GroupTerm) -> str:
    return (
        f"{group.name} and {other.name} are crossed, and what a weight of {other.name} counts for {group.name} is not"
        " defined; give group weights only where factors are nested."
    )


def _scaled(people: Array, trials: Codes, codes: Codes, scaling: str) -> Array:
    """Weights of people scaled within groups; see :class:`bayesmig.Weights`."""
    if scaling == "none":
        return people * (trials.sum() / (people @ trials))
    total = np.bincount(codes, people * trials)
    goal = np.bincount(codes, trials) if scaling == "size" else total**2 / np.bincount(codes, people**2 * trials)
    return people * (goal / total)[codes]
