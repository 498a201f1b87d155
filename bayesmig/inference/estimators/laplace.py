"""Likelihoods of outcomes of any family with varying effects: Laplace's approximation and quadrature.

Both expand the log density around its mode in the standardised effects ``u``. With ``M`` the rows' columns of these,
``f`` the rows' log densities and ``W`` minus their curvatures by the linear predictor, the mode's precision is
``K = M'WM + I`` and Laplace's approximation ``sum f - u'u / 2 - log det K / 2``. Its gradient is analytic: the mode
moves with the parameters as ``K du = d(M's - u)``, s the slopes, and K with the mode by the third derivatives of f
(Skaug & Fournier 2006, Computational Statistics & Data Analysis 51), which are differences of the second.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.contract.names import of_factor
from bayesmig.data.design import Design
from bayesmig.errors import InferenceFailure
from bayesmig.inference.estimators.elimination import Layout, Precision
from bayesmig.inference.estimators.likelihoods import Likelihood, inverse_information, row_weights, whitening
from bayesmig.inference.numerics import climb

MOST_STEPS = 200
FINE_POINTS = 25  # of quadrature, next to which fewer are judged
NEARLY_ZERO = 0.02
BOUNDARY_COST = 5e-5
SIZES = (1.0, 0.5, 0.2)  # of varying effects at the starts, in working units
STEP = 1e-4  # of differences: of second derivatives by the linear predictor, of gradients by parameters


@dataclass(frozen=True)
class Laplace:
    """The likelihood of a design with varying effects.

    Parameters are ``(theta, c)``: the entries of the Cholesky factors of the varying effects' covariances, block by
    block and row by row, then working values ``c`` of coefficients and the family's own parameters, which are ``basis
    c``. Effects that are correlated with each other have a basis too, so that a slope on a calendar year does no harm.
    ``likelihood``: of the design without its groups. ``z_bases``: tuple of (q, q) arrays. ``nodes``: quadrature points
    a dimension, of one factor; with one point quadrature is Laplace's approximation.
    """

    design: Design
    likelihood: Likelihood
    layout: Layout
    z_bases: tuple[Array, ...]
    nodes: int = 1

    @classmethod
    def of(cls, design: Design, nodes: int = 1) -> Laplace:
        """The likelihood of a design."""
        without = Likelihood.of(dataclasses.replace(design, groups=()))
        bases = []
        for group, z in zip(design.groups, stacked_columns(design), strict=True):
            basis = np.zeros((len(group.effects), len(group.effects)))
            for block in map(list, group.blocks):
                units = [without.unit if not of_factor(group.effects[k])[0] else 1.0 for k in block]
                basis[np.ix_(block, block)] = np.array(units)[:, None] * whitening(z[:, block])
            bases.append(basis)
        return cls(design, without, Layout.of(design, len(design.predictors)), tuple(bases), nodes)

    @cached_property
    def columns(self) -> list[Array]:
        """The varying effects' columns of each factor, of one linear predictor after the other in each row."""
        return stacked_columns(self.design)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and linear predictors."""
        return self.design.n, len(self.design.predictors)

    @cached_property
    def basis(self) -> Array:
        """``(P, P)``: coefficients and own parameters are this times the working values."""
        return self.likelihood.basis

    @cached_property
    def weights(self) -> Array:
        """What rows' log densities count."""
        return row_weights(self.design)

    @cached_property
    def quadrature(self) -> tuple[Array, Array]:
        """Nodes ``(N, q)`` and the logs of their weights, for the standard normal times ``exp(x'x / 2)``."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(self.nodes)
        q = self.layout.widths[0]
        grid = np.array(list(itertools.product(nodes, repeat=q)))
        logs = np.array([sum(each) for each in itertools.product(np.log(weights / np.sqrt(2 * np.pi)), repeat=q)])
        return grid, logs + 0.5 * (grid**2).sum(axis=1)

    @cached_property
    def pivot(self) -> Codes:
        """For every entry of ``theta`` the place of the diagonal entry in its column of the factor."""
        places: list[Codes] = []
        for size in (len(block) for group in self.design.groups for block in group.blocks):
            column = np.tril_indices(size)[1]
            places.append(sum(map(len, places)) + column * (column + 3) // 2)
        return np.concatenate(places)

    @cached_property
    def diagonal(self) -> Flags:
        """Which entries of ``theta`` are on the diagonal of a factor."""
        return np.equal(self.pivot, np.arange(len(self.pivot)))

    def factors(self, theta: Array) -> list[Array]:
        """A square root ``(q, q)`` of every grouping factor's covariance, in the design's units."""
        found, start = [], 0
        for group, basis in zip(self.design.groups, self.z_bases, strict=True):
            factor = np.zeros((len(group.effects), len(group.effects)))
            for block in group.blocks:
                rows, columns = np.tril_indices(len(block))
                places = np.array(block)
                factor[places[rows], places[columns]] = theta[start : start + len(rows)]
                start += len(rows)
            found.append(basis @ factor)
        return found

    def scales(self, theta: Array) -> Array:
        """Sds of all varying effects in the design's units, then their correlations."""
        sds: list[Array] = []
        correlations: list[float] = []
        for group, factor in zip(self.design.groups, self.factors(theta), strict=True):
            sds.append(np.sqrt((factor**2).sum(axis=1)))
            with np.errstate(invalid="ignore", divide="ignore"):
                unit = factor / sds[-1][:, None]
            correlations += [unit[i] @ unit[j] for i, j in group.pairs]
        return np.concatenate([*sds, correlations])

    def is_singular(self, theta: Array) -> bool:
        """Whether a sd is zero or a correlation one, which is a sd of zero in the effects' basis."""
        return bool((theta[self.diagonal] == 0).any())

    def split(self, point: Array) -> tuple[Array, Array, Array]:
        """Entries of the factors, coefficients and the family's own values."""
        count, p = len(self.pivot), self.design.x.shape[1]
        values = self.basis @ point[count:]
        return point[:count], values[:p], values[p:]

    def expanded(self, point: Array, near: Array | None = None) -> Expansion:
        """The log density around its mode; the search for the mode begins ``near`` standardised effects.

        Raises InferenceFailure if Newton's method does not settle, or the density has no clear mode.
        """
        theta, beta, own = self.split(point)
        layout, likelihood, weights, (_, count) = self.layout, self.likelihood, self.weights, self.shape
        factors = self.factors(theta)
        parts = [z @ factor for z, factor in zip(self.columns, factors, strict=True)]
        common = likelihood.eta(beta)
        effects = np.zeros(sum(layout.sizes)) if near is None else near
        eta = common + layout.at_rows(parts, effects).reshape(self.shape)
        rows = likelihood.given(eta, own)
        for _ in range(MOST_STEPS):
            value, slope, curvature = rows
            slopes, bends = weights[:, None] * slope[:, :count], -weights[:, None, None] * curvature[:, :count, :count]
            if not np.isfinite(value.sum() + slopes.sum() + bends.sum()):
                break
            gradient = layout.of_rows(parts, slopes.ravel()) - effects
            try:
                precision, clear = Precision.of(layout, *_turned(parts, bends)), True
            except np.linalg.LinAlgError:
                bends = weights[:, None, None] * likelihood.working(eta, own)
                precision, clear = Precision.of(layout, *_turned(parts, bends)), False
            move = precision.solve(gradient)
            if gradient @ move < 1e-20 * (1 + effects @ effects):
                if not clear:
                    break
                return Expansion(self, point, factors, parts, eta, effects, rows, precision)
            reached = weights @ value - 0.5 * effects @ effects
            for fraction in 0.5 ** np.arange(30):
                candidate = effects + fraction * move
                eta = common + layout.at_rows(parts, candidate).reshape(self.shape)
                rows = likelihood.given(eta, own)
                if weights @ rows[0] - 0.5 * candidate @ candidate >= reached - 1e-9 * abs(reached):
                    break
            effects = candidate
        raise InferenceFailure("the varying effects have no clear most likely values; check the scales of predictors.")

    def log_likelihood(self, point: Array) -> float:
        """The log-likelihood, -inf where it cannot be computed."""
        try:
            return self.expanded(point).value
        except InferenceFailure:
            return -np.inf


def stacked_columns(design: Design) -> list[Array]:
    """Columns ``(n H, q)`` of each factor's effects: a row stands once for every linear predictor."""
    of = design.assigned
    if of is None:
        return [group.z for group in design.groups]
    return [of.spread(group.z, of.effects[group.name]).reshape(-1, len(group.effects)) for group in design.groups]


def _turned(parts: list[Array], bends: Array) -> tuple[list[Array], Array]:
    """Columns and single weights that have the same products as the columns with weights ``(n, H, H)``."""
    n, count, _ = bends.shape
    if count == 1:
        return parts, bends.ravel()
    sizes, vectors = np.linalg.eigh(bends)
    turned = vectors.transpose(0, 2, 1)
    return [(turned @ part.reshape(n, count, -1)).reshape(part.shape) for part in parts], sizes.ravel()


@dataclass(frozen=True)
class Expansion:
    """The log density at one point of the parameters, around its mode in the effects.

    point : (d,) array
    factors : list of (q, q) array
    parts : list of (n H, q) array: columns of the standardised effects of each factor, of one linear predictor after
        the other in each row
    eta : (n, H) array
    effects : (Q,) array: the mode
    rows : log densities at the mode, slopes and curvatures by linear predictors and own parameters
    """

    model: Laplace
    point: Array
    factors: list[Array]
    parts: list[Array]
    eta: Array
    effects: Array
    rows: tuple[Array, Array, Array]
    precision: Precision

    @cached_property
    def value(self) -> float:
        """The log-likelihood."""
        if self.model.nodes > 1:
            return float(special.logsumexp(self._at_nodes.logs, axis=0).sum())
        value = self.model.weights @ self.rows[0] - 0.5 * self.effects @ self.effects
        return float(value - 0.5 * self.precision.log_determinant)

    def at_limit(self, design: Design) -> float:
        """The log-likelihood at the same parameters of a design whose family lacks one of its own."""
        kept = [one.name in design.spec.distribution.parameters for one in self.model.design.scalars]
        model = dataclasses.replace(Laplace.of(design, self.model.nodes), z_bases=self.model.z_bases)
        theta, beta, own = self.model.split(self.point)
        return model.log_likelihood(np.r_[theta, np.linalg.solve(model.basis, np.r_[beta, own[kept]])])

    @property
    def varying(self) -> list[Array]:
        """Conditional modes ``(J, q)`` of every grouping factor, in the design's units."""
        layout = self.model.layout
        return [layout.of_factor(self.effects, k) @ factor.T for k, factor in enumerate(self.factors)]

    @cached_property
    def _at_nodes(self) -> _Nodes:
        """Adaptive quadrature of one factor: nodes about each group's mode, spread by its curvature.

        Pinheiro & Bates 1995, Journal of Computational and Graphical Statistics 4.
        """
        model, layout = self.model, self.model.layout
        codes, count, q = model.design.groups[0].codes, layout.groups[0], layout.widths[0]
        _, _, own = model.split(self.point)
        nodes, weights = model.quadrature
        root = np.linalg.cholesky(self.precision.inverse[:, ::-1, ::-1])[:, ::-1, ::-1]  # upper triangular
        size = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        centre = layout.of_factor(self.effects, 0)
        logs, places, slopes = np.empty((len(nodes), count)), np.empty((len(nodes), count, q)), []
        for k, (node, weight) in enumerate(zip(nodes, weights, strict=True)):
            places[k] = centre + root @ node
            moves = (self.parts[0] * (places[k] - centre)[layout.codes[0]]).sum(axis=1)
            eta = self.eta + moves.reshape(model.shape)
            value, slope, _ = model.likelihood.given(eta, own)
            density = np.bincount(codes, model.weights * value, count) - 0.5 * (places[k] ** 2).sum(axis=1)
            logs[k] = density + weight + size
            slopes.append(model.weights[:, None] * slope)
        return _Nodes(logs, places, slopes, root)

    @cached_property
    def scores(self) -> Array:
        """The gradient by rows, ``(n, d)``: what each row adds to it, itself or through its groups."""
        if self.model.nodes > 1:
            return self._moved(self._adjoint_of_nodes())
        slopes = self.model.weights[:, None] * self.rows[1]
        spread = [-0.5 * part for part in self.precision.at_rows(self.parts)]
        effects = [self._led(slopes) * self._at(self.effects, k) for k in range(len(self.parts))]
        return self._moved(_Adjoint(np.zeros_like(self.effects), spread, slopes, effects))

    def distance(self, covariance: Array) -> float:
        """About how many standard errors the maximum is away from that of finer quadrature.

        Of all parameters and their combinations the farthest: ``sqrt(g'Cg)``, where ``g`` is the slope that is left
        and ``Cg`` Newton's step along it. Finer quadrature adds for each effect what is lacking where the others are at
        their modes.
        """
        slope = np.zeros(len(self.point))
        for k, part in enumerate(self.parts):
            for column in range(part.shape[1]):
                slope += self._moved(self._lacking(k, column, FINE_POINTS)).sum(axis=0)
                if self.model.nodes > 1:
                    slope -= self._moved(self._lacking(k, column, self.model.nodes)).sum(axis=0)
        return float(np.sqrt(slope @ covariance @ slope))

    def _moved(self, adjoint: _Adjoint) -> Array:
        """Derivatives by rows of something that depends on the mode, on its precision and on the rows themselves."""
        model, layout, weights, (_, slope, curvature) = self.model, self.model.layout, self.model.weights, self.rows
        n, count = model.shape
        bends = -weights[:, None, None] * curvature[:, :count, :count]
        leverage = np.zeros((n, count, count))
        for part, near in zip(self.parts, adjoint.spread, strict=True):
            leverage += np.einsum("naq,nbq->nab", part.reshape(n, count, -1), near.reshape(n, count, -1))
        lead = weights[:, None] * np.einsum("nab,nabl->nl", leverage, self._third)
        moved = self.precision.solve(adjoint.pulled - layout.of_rows(self.parts, lead[:, :count].ravel()))
        shift = layout.at_rows(self.parts, moved).reshape(n, count)
        indirect = -lead[:, :count] - np.einsum("nab,nb->na", bends, shift)
        by_eta = adjoint.direct[:, :count] + indirect
        by_own = adjoint.direct[:, count:] - lead[:, count:]
        by_own = by_own + weights[:, None] * np.einsum("na,nak->nk", shift, curvature[:, :count, count:])
        found = []
        for k, (group, basis) in enumerate(zip(model.design.groups, model.z_bases, strict=True)):
            by_column = adjoint.effects[k] + self._led(indirect) * self._at(self.effects, k)
            by_column = by_column + self._led(weights[:, None] * slope) * self._at(moved, k)
            near = adjoint.spread[k].reshape(n, count, -1)
            by_column = by_column + 2 * np.einsum("nab,nbq->naq", bends, near).reshape(by_column.shape)
            z = model.columns[k] @ basis
            for block in map(np.array, group.blocks):
                rows, columns = np.tril_indices(len(block))
                products = z[:, block[rows]] * by_column[:, block[columns]]
                found.append(products.reshape(n, count, -1).sum(axis=1))
        by_beta = model.design.x * by_eta[:, model.likelihood.owners]
        return np.column_stack([*found, np.column_stack([by_beta, by_own]) @ model.basis])

    def _led(self, values: Array) -> Array:
        """What stands in the columns of the linear predictors, one after the other in each row: ``(n H, 1)``."""
        return values[:, : self.model.shape[1]].reshape(-1, 1)

    @cached_property
    def _third(self) -> Array:
        """Third derivatives of rows, twice by linear predictors, ``(n, H, H, H + k)``: differences of the second."""
        own, count = self.model.split(self.point)[2], self.model.shape[1]
        found = []
        for step in STEP * np.eye(count):
            up, down = (self.model.likelihood.given(self.eta + move, own)[2][:, :count] for move in (step, -step))
            found.append((up - down) / (2 * STEP))
        return np.stack(found, axis=1)

    def _at(self, effects: Array, k: int) -> Array:
        """One factor's effects at each row, ``(n, q)``."""
        return self.model.layout.of_factor(effects, k)[self.model.layout.codes[k]]

    def _adjoint_of_nodes(self) -> _Adjoint:
        """How quadrature depends on the mode, on its precision and on the rows.

        Of ``S``, upper triangular with ``S S' = K^-1``, the derivative is ``-S phi(S' dK S)'``, phi the lower triangle
        with half the diagonal.
        """
        layout, at = self.model.layout, self._at_nodes
        codes, (nodes, _) = self.model.design.groups[0].codes, self.model.quadrature
        shares = np.exp(at.logs - special.logsumexp(at.logs, axis=0))
        slopes, by_column = np.zeros_like(at.slopes[0]), np.zeros_like(self.parts[0])
        pulled = np.zeros((layout.groups[0], layout.widths[0]))
        by_root = np.linalg.inv(at.root).transpose(0, 2, 1)
        for share, place, slope, node in zip(shares, at.places, at.slopes, nodes, strict=True):
            part = share[codes, None] * slope
            slopes += part
            by_column += self._led(part) * place[layout.codes[0]]
            inner = layout.of_rows(self.parts, self._led(part).ravel()).reshape(pulled.shape) - share[:, None] * place
            pulled += inner
            by_root = by_root + inner[:, :, None] * node
        lower = np.tril(by_root.transpose(0, 2, 1) @ at.root)
        lower -= 0.5 * np.eye(lower.shape[1]) * lower
        by_precision = -at.root @ (0.5 * (lower + lower.transpose(0, 2, 1))) @ at.root.transpose(0, 2, 1)
        spread = np.einsum("nab,nb->na", by_precision[layout.codes[0]], self.parts[0])
        return _Adjoint(pulled.ravel(), [spread], slopes, [by_column])

    def _lacking(self, k: int, column: int, points: int) -> _Adjoint:
        """The same of what quadrature of one effect a group adds to Laplace's approximation."""
        model, layout = self.model, self.model.layout
        codes, count, own = model.design.groups[k].codes, layout.groups[k], model.split(self.point)[2]
        part, led = self.parts[k][:, column].reshape(model.shape), model.shape[1]
        told = -model.weights * np.einsum("na,nab,nb->n", part, self.rows[2][:, :led, :led], part)
        effect, precision = layout.of_factor(self.effects, k)[:, column], 1 + np.bincount(codes, told, count)
        size = 1 / np.sqrt(precision)
        nodes, weights = np.polynomial.hermite_e.hermegauss(points)
        logs, slopes = [], []
        for node, weight in zip(nodes, weights, strict=True):
            value, slope, _ = model.likelihood.given(self.eta + node * size[codes, None] * part, own)
            gain = np.bincount(codes, model.weights * (value - self.rows[0]), count)
            logs.append(gain - 0.5 * ((effect + node * size) ** 2 - effect**2 - node**2) + np.log(weight))
            slopes.append(model.weights[:, None] * slope)
        shares = np.exp(logs - special.logsumexp(logs, axis=0))
        direct, along, by_size = -model.weights[:, None] * self.rows[1], np.zeros(model.shape), np.zeros(count)
        for node, share, slope in zip(nodes, shares, slopes, strict=True):
            direct = direct + share[codes, None] * slope
            along += (share * node * size)[codes, None] * slope[:, :led]
            moved = np.bincount(codes, (slope[:, :led] * part).sum(axis=1), count)
            by_size += share * node * (moved - effect - node * size)
        pulled = layout.of_rows(self.parts, self._led(direct).ravel())
        layout.of_factor(pulled, k)[:, column] -= size * (nodes @ shares)
        effects = [self._led(direct) * self._at(self.effects, other) for other in range(len(self.parts))]
        effects[k][:, column] += along.ravel()
        spread = [np.zeros_like(each) for each in self.parts]
        spread[k][:, column] = ((-0.5 * by_size * size**3)[codes, None] * part).ravel()
        return _Adjoint(pulled, spread, direct, effects)


@dataclass(frozen=True)
class _Adjoint:
    """Derivatives of a part of the likelihood by what it is computed from.

    ``pulled``, (Q,) array: by the mode. ``spread``, list of (n, q) array: by its precision, times the rows' columns of
    each factor. ``direct``, (n, 1 + k) array: by linear predictors and own parameters, the mode held. ``effects``, list
    of (n, q) array: by the rows' columns of each factor, mode and precision held.
    """

    pulled: Array
    spread: list[Array]
    direct: Array
    effects: list[Array]


@dataclass(frozen=True)
class _Nodes:
    """Quadrature at one point: logs of the nodes' densities ``(N, J)``, places ``(N, J, q)``, slopes, and spreads."""

    logs: Array
    places: Array
    slopes: list[Array]
    root: Array


def optimum(model: Laplace, sound: Callable[[Expansion], None]) -> tuple[Array, Array, Expansion]:
    """Parameters at the maximum, their covariance (zero for sds of zero), and the density there.

    ``sound``: raises, given the density at the maximum, if that is none. Raises InferenceFailure if no maximum is
    found.
    """
    found = Climb(model)
    point = found.start()
    point = found.sharpened(point, np.ones(len(point), dtype=bool))
    sound(model.expanded(point))
    free = np.ones(len(point), dtype=bool)
    value = found(point)[0]
    for place in np.argsort(~model.diagonal, kind="stable"):  # the diagonal first
        boundary = model.diagonal[place] or point[model.pivot[place]] == 0
        at_zero = np.where(np.arange(len(point)) == place, 0.0, point)
        if boundary and abs(point[place]) < NEARLY_ZERO and found(at_zero)[0] >= value - BOUNDARY_COST:
            point, free[place] = at_zero, False
    if not free.all():
        point = found.sharpened(point, free)
        sound(model.expanded(point))
    information = found.information(point, free)
    covariance = np.zeros((len(point), len(point)))
    # with a sd of zero the rest of its factor may not be unique
    loose = 0 if free.all() else int(free[: len(model.pivot)].sum())
    covariance[np.ix_(free, free)] = inverse_information(information, loose)
    signs = np.ones(len(point))  # that make the diagonals positive and leave the covariances as they are
    signs[: len(model.pivot)] = np.where(point[model.pivot] < 0, -1.0, 1.0)
    return signs * point, np.outer(signs, signs) * covariance, model.expanded(signs * point)


class Climb:
    """The log-likelihood with its gradient, whose search for the mode begins where the last one ended."""

    def __init__(self, model: Laplace) -> None:
        self.model = model
        self.near: Array | None = None

    def __call__(self, point: Array) -> tuple[float, Array]:
        try:
            expansion = self.model.expanded(point, self.near)
            value, gradient = expansion.value, expansion.scores.sum(axis=0)
        except InferenceFailure:
            return -np.inf, np.zeros_like(point)
        if np.isfinite(value):
            self.near = expansion.effects
        return value, gradient

    def start(self) -> Array:
        """The best of some points with the maximum without groups and effects of one size."""
        model = self.model
        values = np.linalg.solve(model.basis, model.likelihood.maximum[0])
        starts = [np.r_[np.where(model.diagonal, size, 0.0), values] for size in SIZES]
        heights = [model.log_likelihood(start) for start in starts]
        if not np.isfinite(max(heights)):
            raise InferenceFailure(
                "no point was found at which the likelihood is finite; check the scales of predictors and offset,"
                " simplify the varying effects, or use fit."
            )
        return np.asarray(starts[int(np.argmax(heights))])

    def sharpened(self, point: Array, free: Flags) -> Array:
        """The maximum that is reached from a point by its free parameters."""
        model, found = self.model, point.copy()

        def restricted(moved: Array) -> tuple[float, Array]:
            full = point.copy()
            full[free] = moved
            value, gradient = self(full)
            return value, gradient[free]

        known = -model.likelihood.parts(model.likelihood.maximum[0])[2]
        scale = np.zeros((len(point), len(point)))
        count = len(model.pivot)
        scale[:count, :count] = np.eye(count) / (2 * max(model.layout.groups))
        scale[count:, count:] = inverse_information(model.basis.T @ known @ model.basis)
        found[free] = climb(restricted, point[free], scale[np.ix_(free, free)])
        return found

    def information(self, point: Array, free: Flags) -> Array:
        """Minus the second derivatives by the free parameters: differences of the gradient."""
        columns = []
        for place in np.flatnonzero(free):
            step = STEP * np.eye(1, len(point), place)[0]
            columns.append((self(point - step)[1] - self(point + step)[1])[free] / (2 * STEP))
        matrix = np.array(columns)
        return 0.5 * (matrix + matrix.T)
