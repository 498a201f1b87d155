"""Precision matrices of standardised varying effects, ``M'WM + I``, factored group by group.

The factor with the most effects is eliminated: its groups are independent of each other given the rest, so it is small
blocks, and what they leave of the rest is one dense matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import linalg, sparse

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design
from bayesmig.errors import EngineRefusal
from bayesmig.inference.gaussian import MOST_DENSE_COLUMNS

PART = 2**21  # numbers of a dense piece at a time


@dataclass(frozen=True)
class Layout:
    """Where the effects of a design's grouping factors stand in one vector, factor by factor, group by group.

    ``codes``: tuple of (n,) int array. ``groups``, ``widths``: groups and effects of each factor.
    """

    codes: tuple[Codes, ...]
    groups: tuple[int, ...]
    widths: tuple[int, ...]

    @classmethod
    def of(cls, design: Design, predictors: int = 1) -> Layout:
        """The layout of a design, whose rows stand once for each linear predictor.

        Raises EngineRefusal if all but one factor have too many effects.
        """
        layout = cls(
            tuple(np.repeat(group.codes, predictors) if predictors > 1 else group.codes for group in design.groups),
            tuple(len(group.levels) for group in design.groups),
            tuple(len(group.effects) for group in design.groups),
        )
        if layout.rest_size > MOST_DENSE_COLUMNS:
            raise EngineRefusal(
                f"the second-largest grouping factors have {layout.rest_size:,} effects; maximum likelihood takes at"
                f" most {MOST_DENSE_COLUMNS:,} beside the largest factor. Drop a grouping factor, or draw the posterior"
                " with fit."
            )
        return layout

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Effects of each factor in all."""
        return tuple(count * width for count, width in zip(self.groups, self.widths, strict=True))

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Where each factor's effects stand."""
        ends = np.cumsum([0, *self.sizes])
        return tuple(slice(start, stop) for start, stop in pairwise(ends))

    @cached_property
    def largest(self) -> int:
        """The factor that is eliminated."""
        return int(np.argmax(self.sizes))

    @cached_property
    def rest(self) -> tuple[int, ...]:
        """The other factors."""
        return tuple(k for k in range(len(self.sizes)) if k != self.largest)

    @property
    def rest_size(self) -> int:
        """Effects of the other factors."""
        return sum(self.sizes[k] for k in self.rest)

    @cached_property
    def columns(self) -> tuple[Codes, ...]:
        """For each other factor the columns ``(n, q)`` of a row's effects among those of the rest."""
        found, start = [], 0
        for k in self.rest:
            found.append(start + self.codes[k][:, None] * self.widths[k] + np.arange(self.widths[k]))
            start += self.sizes[k]
        return tuple(found)

    @cached_property
    def order(self) -> tuple[Codes, Codes]:
        """Rows sorted by their group in the largest factor, and where each group's rows begin."""
        codes = self.codes[self.largest]
        counts = np.bincount(codes, minlength=self.groups[self.largest])
        return np.argsort(codes, kind="stable"), np.concatenate([[0], np.cumsum(counts)])

    def of_factor(self, vector: Array, k: int) -> Array:
        """One factor's part of a vector of effects, ``(groups, q)``."""
        return vector[self.places[k]].reshape(self.groups[k], self.widths[k])

    def at_rows(self, parts: list[Array], vector: Array) -> Array:
        """``M v``: what effects add to each row, ``(n,)``; ``parts`` are the rows' columns of each factor."""
        total = np.zeros(len(self.codes[0]))
        for k, (codes, part) in enumerate(zip(self.codes, parts, strict=True)):
            own = self.of_factor(vector, k)
            for j in range(part.shape[1]):
                total += part[:, j] * own[codes, j]
        return total

    def of_rows(self, parts: list[Array], values: Array) -> Array:
        """``M' r``: sums of rows' values over the columns, a vector of effects."""
        vector = np.empty(sum(self.sizes))
        for k, (codes, part) in enumerate(zip(self.codes, parts, strict=True)):
            own = self.of_factor(vector, k)
            for j in range(part.shape[1]):
                own[:, j] = np.bincount(codes, part[:, j] * values, self.groups[k])
        return vector


@dataclass(frozen=True)
class Precision:
    """``M'WM + I``, factored.

    Attributes
    ----------
    layout : Layout
    parts : list of (n, q) array
        The rows' columns of each factor: ``M``, dense.
    inverse : (J, q, q) array
        Inverses of the largest factor's blocks.
    explained : sparse (J q, r) matrix
        These times the products with the rest.
    rest : (r, r) array
        Cholesky factor of what is left of the rest.
    log_determinant : float
    """

    layout: Layout
    parts: list[Array]
    inverse: Array
    explained: Any
    rest: Array
    log_determinant: float

    @classmethod
    def of(cls, layout: Layout, parts: list[Array], weights: Array) -> Precision:
        """Factor the matrix for given weights of rows.

        Raises
        ------
        numpy.linalg.LinAlgError
            If it is not positive definite.
        """
        first = layout.largest
        own, codes, count = parts[first], layout.codes[first], layout.groups[first]
        q = own.shape[1]
        blocks = np.empty((count, q, q))
        for i, j in zip(*np.tril_indices(q), strict=True):
            blocks[:, i, j] = blocks[:, j, i] = np.bincount(codes, weights * own[:, i] * own[:, j], count) + (i == j)
        if q == 1:
            if not (blocks > 0).all():
                raise np.linalg.LinAlgError
            inverse, log_determinant = 1 / blocks, float(np.log(blocks).sum())
        else:
            pivots = np.diagonal(np.linalg.cholesky(blocks), axis1=1, axis2=2)
            inverse, log_determinant = np.linalg.inv(blocks), 2 * float(np.log(pivots).sum())
        if not layout.rest:
            return cls(layout, parts, inverse, None, np.empty((0, 0)), log_determinant)
        n, widest = len(codes), sum(layout.widths[k] for k in layout.rest)
        content = np.concatenate([parts[k] for k in layout.rest], axis=1)
        columns = np.concatenate(layout.columns, axis=1)
        others = sparse.csr_array(
            (content.ravel(), columns.ravel(), np.arange(0, n * widest + 1, widest)), (n, layout.rest_size)
        )
        places = codes[:, None] * q + np.arange(q)
        ends = np.arange(0, n * q + 1, q)
        mine = sparse.csr_array(((weights[:, None] * own).ravel(), places.ravel(), ends), (n, count * q))
        across = sparse.csr_array(mine.T @ others)
        within = sparse.bsr_array((inverse, np.arange(count), np.arange(count + 1)))
        explained = sparse.csr_array(within @ across)
        left = (others.T @ (others * weights[:, None])).toarray() - (across.T @ explained).toarray()
        left[np.diag_indices_from(left)] += 1.0
        factor = linalg.cholesky(left, lower=True, check_finite=False)
        log_determinant += 2 * float(np.log(np.diag(factor)).sum())
        return cls(layout, parts, inverse, explained, factor, log_determinant)

    def solve(self, vector: Array) -> Array:
        """The inverse times a vector of effects."""
        first, solved = self.layout.largest, np.empty_like(vector)
        own = np.einsum("jab,jb->ja", self.inverse, self.layout.of_factor(vector, first))
        if self.layout.rest:
            others = np.concatenate([vector[self.layout.places[k]] for k in self.layout.rest])
            mine = self.layout.of_factor(vector, first).ravel()
            found = linalg.cho_solve((self.rest, True), others - self.explained.T @ mine, check_finite=False)
            own = own - (self.explained @ found).reshape(own.shape)
            start = 0
            for k in self.layout.rest:
                solved[self.layout.places[k]] = found[start : start + self.layout.sizes[k]]
                start += self.layout.sizes[k]
        solved[self.layout.places[first]] = own.ravel()
        return solved

    def at_rows(self, parts: list[Array]) -> list[Array]:
        """The inverse times rows' columns, at each row's own effects: ``(n, q)`` for each factor."""
        layout, first = self.layout, self.layout.largest
        found: list[Array] = [np.empty_like(part) for part in parts]
        if not layout.rest:
            found[first] = np.einsum("nab,nb->na", self.inverse[layout.codes[first]], parts[first])
            return found
        inverse = linalg.cho_solve((self.rest, True), np.eye(len(self.rest)), check_finite=False)
        q = layout.widths[first]
        for groups, rows in self._pieces():
            near = self.explained[groups.start * q : groups.stop * q].toarray()
            far = (near @ inverse).reshape(-1, q, len(inverse))
            block = self.inverse[groups] + np.einsum("jar,jbr->jab", far, near.reshape(far.shape), optimize=True)
            local = layout.codes[first][rows] - groups.start
            own = parts[first][rows]
            mine = np.einsum("nab,nb->na", block[local], own)
            for k, columns in zip(layout.rest, layout.columns, strict=True):
                at = columns[rows]
                between = far[local[:, None, None], np.arange(q)[:, None], at[:, None, :]]
                mine -= np.einsum("nab,nb->na", between, parts[k][rows])
                theirs = -np.einsum("nab,na->nb", between, own)
                for other, others in zip(layout.rest, layout.columns, strict=True):
                    theirs += np.einsum(
                        "nab,nb->na", inverse[at[:, :, None], others[rows][:, None, :]], parts[other][rows]
                    )
                found[k][rows] = theirs
            found[first][rows] = mine
        return found

    def _pieces(self) -> Iterator[tuple[slice, Codes]]:
        """Runs of groups of the largest factor, with their rows."""
        order, starts = self.layout.order
        step = max(1, PART // (self.layout.widths[self.layout.largest] * len(self.rest)))
        for start in range(0, len(starts) - 1, step):
            stop = min(start + step, len(starts) - 1)
            yield slice(start, stop), order[starts[start] : starts[stop]]
