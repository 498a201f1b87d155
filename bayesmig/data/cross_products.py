"""Rows added up: cross products and moments, which can be added to those of other rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Grouped, Outline, Scaling
from bayesmig.errors import BayesmigError
from bayesmig.specification.model import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

ROWS_IN_CACHE = 8192


@dataclass(frozen=True)
class Membership:
    """Which group of a grouping factor each row belongs to, and what varies there.

    ``codes``: (n,) int array. ``count``: number of groups, J. ``columns``, sequence of (n,) arrays: of the effects,
    length q; one number stands for a column of it.
    """

    codes: Codes
    count: int
    columns: Sequence[Array | float]

    def matrix(self, root: Array | None, rows: slice) -> Any:
        """The columns of some rows, times the roots of their weights, as a sparse ``(rows, J * q)`` matrix."""
        codes, q = self.codes[rows], len(self.columns)
        narrow = np.int32 if q * max(self.count, len(codes)) < 2**31 else np.int64  # what scipy would make of it
        values = np.empty((len(codes), q))
        for place, column in enumerate(self.columns):
            values[:, place] = column if isinstance(column, float) else column[rows]
        if root is not None:
            values *= root[rows, None]
        places = (codes[:, None] * q + np.arange(q)).astype(narrow)
        starts = np.arange(0, len(codes) * q + 1, q, dtype=narrow)
        return sparse.csr_array((values.ravel(), places.ravel(), starts), (len(codes), q * self.count))


@dataclass(frozen=True)
class CrossProducts:
    """Weighted cross products of rows; those of several parts of a survey can be added.

    With ``C`` the common columns and, last, the outcome, each less its ``centre``, and ``Z_k`` the columns of a
    grouping factor (a column for every group and effect, groups outermost), turned:

    centre : (p + 1,) array: zero for the intercept, and for all columns where there is none
    turns : tuple of (q_k, q_k) arrays: a row ``z`` of a factor's columns was summed as ``z @ turn``, which takes a
        centre from them (:meth:`bayesmig.data.design.Grouped.centring`)
    common : (p + 1, p + 1) array: ``C'WC``
    sides : tuple of (J_k * q_k, p + 1) arrays: ``Z_k'WC``
    blocks : tuple of (J_k, q_k, q_k) arrays: ``Z_kj'WZ_kj`` of every group
    pairs : mapping of (int, int) to sparse (J_k * q_k, J_l * q_l) array: ``Z_k'WZ_l``, k < l

    Squares of a large number, such as a year, drown what varies, so that columns are centred first. Sums around one
    centre are moved to another exactly, as the first column is the intercept: ``sum (x - c)(y - d)`` differs from ``sum
    (x - a)(y - b)`` by products of sums alone. Adding moves both to the mean of their centres (Chan, Golub & LeVeque
    1983, The American Statistician 37(3)).
    """

    centre: Array
    turns: tuple[Array, ...]
    common: Array
    sides: tuple[Array, ...]
    blocks: tuple[Array, ...]
    pairs: Mapping[tuple[int, int], Any]

    @classmethod
    def of(
        cls,
        columns: Sequence[Array],
        centre: Array,
        factors: Sequence[Membership],
        weights: Array | None,
        turns: Sequence[Array] | None = None,
    ) -> CrossProducts:
        """One pass over rows, so many at a time that they stay in the memory of a processor core.

        ``columns``, sequence of (n,) arrays: common columns, then the outcome. ``centre``: (p + 1,) array. ``weights``:
        (n,) array or None. ``turns``, sequence of (q, q) arrays: what the columns of the factors were turned by before.
        """
        width, n = len(columns), len(columns[-1])
        root = None if weights is None else np.sqrt(weights)
        common = np.zeros((width, width))
        sides = [np.zeros((factor.count * len(factor.columns), width)) for factor in factors]
        step = max(ROWS_IN_CACHE, *(len(side) for side in sides)) if sides else ROWS_IN_CACHE
        part = np.empty((min(n, step), width))
        for start in range(0, n, step):
            rows = slice(start, min(n, start + step))
            here = part[: rows.stop - start]
            for place, column in enumerate(columns):
                np.subtract(column[rows], centre[place], out=here[:, place])
            if root is not None:
                here *= root[rows, None]
            common += here.T @ here
            for side, factor in zip(sides, factors, strict=True):
                side += factor.matrix(root, rows).T @ here
        pairs: dict[tuple[int, int], Any] = {}
        if len(factors) > 1:
            varying = [factor.matrix(root, slice(0, n)) for factor in factors]
            for k, one in enumerate(varying):
                pairs |= {(k, other): one.T @ varying[other] for other in range(k + 1, len(factors))}
        blocks = tuple(_blocks(factor, weights) for factor in factors)
        as_given = [np.eye(len(factor.columns)) for factor in factors]
        return cls(centre, tuple(as_given if turns is None else turns), common, tuple(sides), blocks, pairs)

    def around(self, centre: Array, turns: Sequence[Array] | None = None) -> CrossProducts:
        """The same sums around another centre, and with other ``turns`` if they are given."""
        change, moved = centre - self.centre, self if turns is None else self._turned(turns)
        if not change.any():
            return moved
        half = moved.common - np.outer(moved.common[:, 0], change)
        sides = tuple(side - np.outer(side[:, 0], change) for side in moved.sides)
        return replace(moved, centre=centre, common=half - np.outer(change, half[0]), sides=sides)

    def _turned(self, turns: Sequence[Array]) -> CrossProducts:
        changes = [np.linalg.inv(old) @ new for old, new in zip(self.turns, turns, strict=True)]
        if all((change == np.eye(len(change))).all() for change in changes):
            return self
        wide = [
            sparse.kron(sparse.eye_array(len(block)), change, format="csr")
            for block, change in zip(self.blocks, changes, strict=True)
        ]
        return replace(
            self,
            turns=tuple(turns),
            sides=tuple(turn.T @ side for turn, side in zip(wide, self.sides, strict=True)),
            blocks=tuple(change.T @ block @ change for change, block in zip(changes, self.blocks, strict=True)),
            pairs={(k, m): wide[k].T @ pair @ wide[m] for (k, m), pair in self.pairs.items()},
        )

    def __add__(self, other: CrossProducts) -> CrossProducts:
        share = 0.5
        if self.centre.any() or other.centre.any():
            share = float(other.common[0, 0] / (self.common[0, 0] + other.common[0, 0]))
        centre = self.centre + share * (other.centre - self.centre)
        turns = [one + share * (two - one) for one, two in zip(self.turns, other.turns, strict=True)]
        one, two = self.around(centre, turns), other.around(centre, turns)
        return CrossProducts(
            centre,
            one.turns,
            one.common + two.common,
            tuple(a + b for a, b in zip(one.sides, two.sides, strict=True)),
            tuple(a + b for a, b in zip(one.blocks, two.blocks, strict=True)),
            {key: one.pairs[key] + two.pairs[key] for key in one.pairs},
        )

    def times(self, factor: float) -> CrossProducts:
        """The sums with all weights multiplied by a number."""
        return replace(
            self,
            common=self.common * factor,
            sides=tuple(side * factor for side in self.sides),
            blocks=tuple(block * factor for block in self.blocks),
            pairs={key: pair * factor for key, pair in self.pairs.items()},
        )

    def of_groups(self, kept: Sequence[Codes]) -> CrossProducts:
        """The sums of some groups only, whose codes are given by factor."""
        places = [
            (codes[:, None] * block.shape[1] + np.arange(block.shape[1])).ravel()
            for codes, block in zip(kept, self.blocks, strict=True)
        ]
        return replace(
            self,
            sides=tuple(side[place] for side, place in zip(self.sides, places, strict=True)),
            blocks=tuple(block[codes] for block, codes in zip(self.blocks, kept, strict=True)),
            pairs={(k, m): pair[places[k]][:, places[m]] for (k, m), pair in self.pairs.items()},
        )


def _blocks(factor: Membership, weights: Array | None) -> Array:
    q = len(factor.columns)
    blocks = np.empty((factor.count, q, q))
    for i, one in enumerate(factor.columns):
        for j in range(i + 1):
            product: Any = one * factor.columns[j]
            product = product if weights is None else product * weights
            if isinstance(product, float):
                sums = product * np.bincount(factor.codes, minlength=factor.count)
            else:
                sums = np.bincount(factor.codes, product, factor.count)
            blocks[:, i, j] = blocks[:, j, i] = sums
    return blocks


@dataclass(frozen=True)
class Moments:
    """Sum of weights, means and sums of squared deviations of columns; those of several parts can be added."""

    weight: float
    mean: Array
    squares: Array

    @classmethod
    def of(cls, columns: Sequence[Array | float], weights: Array | None, n: int) -> Moments:
        """Of columns of n rows; one number stands for a column of it."""
        total = float(n if weights is None else weights.sum())
        mean, squares = np.empty(len(columns)), np.zeros(len(columns))
        for place, column in enumerate(columns):
            if isinstance(column, float):
                mean[place] = column
                continue
            mean[place] = np.average(column, weights=weights)
            deviations = column - mean[place]
            squares[place] = deviations @ (deviations if weights is None else weights * deviations)
        return cls(total, mean, squares)

    def __add__(self, other: Moments) -> Moments:
        total = self.weight + other.weight
        share, gap = other.weight / total, other.mean - self.mean
        squares = self.squares + other.squares + gap**2 * (self.weight * share)
        return Moments(total, self.mean + share * gap, squares)

    @property
    def sd(self) -> Array:
        """Standard deviations, with the sum of weights as divisor."""
        return np.sqrt(self.squares / self.weight)


@dataclass(frozen=True)
class SummedGroups(Grouped):
    """A grouping factor whose rows have been added up.

    ``name``, ``levels``, ``effects``, ``blocks``, ``weights``, ``turn``: as of :class:`bayesmig.data.design.GroupTerm`.
    ``sizes``, (J,) int array: rows per group.
    """

    name: str
    levels: tuple[str, ...]
    effects: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]
    sizes: Codes
    weights: Array | None = None
    turn: Array | None = None


@dataclass(frozen=True)
class SummedDesign(Outline):
    """A design whose rows have been added up, so that it takes the same memory for any number of them.

    spec, terms, formula_terms, groups, levels, scaling, n_given, n_weightless, missing, notes, provenance, digest :
        as of :class:`bayesmig.data.design.Design`
    specimen : made-up rows with every level of every category, from which the coding of others follows
    rows : rows used
    products : None where only a result is at hand, which does not keep them
    common, varying : of the common columns and the outcome; of the columns of the grouping factors, one after the other
    uncentred : (p + 1,) array: mean squares of the common columns and the outcome; no weight counts
    log_weight : sum of the logs of precision weights
    effective : rows without weights that those with survey weights are worth (Kish 1965)
    people_given : as of :class:`bayesmig.data.design.Design`
    """

    spec: ModelSpec
    terms: tuple[str, ...]
    formula_terms: tuple[str, ...]
    groups: tuple[SummedGroups, ...]
    levels: Mapping[str, tuple[str, ...]]
    scaling: Mapping[str, Scaling]
    n_given: int
    n_weightless: int
    missing: Mapping[str, int]
    notes: tuple[str, ...]
    provenance: str
    digest: str
    specimen: pd.DataFrame
    rows: int
    products: CrossProducts | None
    common: Moments
    varying: Moments
    uncentred: Array
    log_weight: float
    effective: float | None
    people_given: int | None = None
    categories: tuple[str, ...] = ()
    latent: None = None
    imputed: tuple[()] = ()

    @property
    def n(self) -> int:
        """Rows used."""
        return self.rows

    @property
    def people_used(self) -> int:
        """How many people the rows stand for by frequency weights."""
        return int(self.common.weight)

    @property
    def has_rows(self) -> bool:
        """Whether the rows themselves are at hand."""
        return False

    @property
    def pattern(self) -> pd.DataFrame:
        """Rows with every level of every category, after which others are encoded."""
        return self.specimen

    @property
    def n_effective(self) -> float:
        """Observations that the likelihood counts: people, not rows, under frequency weights."""
        return self.common.weight if self.weight_kind == "frequency" else float(self.rows)

    @property
    def moments(self) -> tuple[Array, Array, float, float]:
        """Means and sds of the common columns, mean and sd of the outcome; frequency and survey weights count."""
        mean, sd = self.common.mean, self.common.sd
        return mean[:-1], np.where(sd[:-1] > 0, sd[:-1], 1.0), float(mean[-1]), float(sd[-1])

    @property
    def gram(self) -> Array:
        """Cross products ``(p, p)`` of the common columns, as of a :class:`~bayesmig.data.design.Design`."""
        if self.products is None:
            raise BayesmigError(
                "priors of products and powers rest on sums that a result from chunks does not keep; fit it again."
            )
        sums, x_sd = self.products, self.moments[1]
        if self.has_intercept:
            sums = sums.around(np.append(0.0, self.common.mean[1:]))
        return np.asarray(sums.common[:-1, :-1] / np.outer(x_sd, x_sd))

    @property
    def mean_squares(self) -> tuple[Array, float]:
        """Mean squares of the common columns and of the outcome."""
        return self.uncentred[:-1], float(self.uncentred[-1])

    @property
    def varying_moments(self) -> tuple[tuple[Array, Array], ...]:
        """Means and sds of the columns of each grouping factor; frequency and survey weights count."""
        stops = np.cumsum([len(group.effects) for group in self.groups])[:-1]
        parts = (np.split(values, stops) for values in (self.varying.mean, self.varying.sd))
        return tuple(zip(*parts, strict=True)) if self.groups else ()

    def without_groups(self) -> SummedDesign:
        """The same model without varying effects."""
        assert self.products is not None
        alone = replace(self.products, turns=(), sides=(), blocks=(), pairs={})
        return replace(self, groups=(), products=alone)

    def _turned(self, turns: Sequence[Array]) -> SummedDesign:
        groups = [replace(group, turn=turn) for group, turn in zip(self.groups, turns, strict=True)]
        means = [mean @ turn for (mean, _), turn in zip(self.varying_moments, turns, strict=True)]
        return replace(self, groups=tuple(groups), varying=replace(self.varying, mean=np.concatenate(means)))
