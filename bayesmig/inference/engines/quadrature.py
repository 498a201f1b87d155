"""Independent draws from the posterior of models whose outcome is not Gaussian.

The effects of one grouping factor that has one or two effects a group, if there is one, are integrated out of the
likelihood by quadrature (:mod:`bayesmig.inference.kernels.integrated`). Given the sds and correlations, coefficients
and the effects of other factors then have nearly a normal posterior, about the mode of that integral and shaped by its
curvature. Sds and correlations are few and drawn as those of :class:`~bayesmig.Exact`; of the rest a split normal
distribution is adapted to what has been found, and weights are against the exact density.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from scipy import linalg, special
from threadpoolctl import threadpool_limits

from bayesmig.arguments import check_fields
from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design, GroupTerm
from bayesmig.errors import InferenceFailure, SpecificationError
from bayesmig.families import machine, predictors
from bayesmig.inference import importance
from bayesmig.inference.engines import hierarchical
from bayesmig.inference.engines.base import check_draws
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.gaussian import VarianceParameters
from bayesmig.inference.kernels import integrated
from bayesmig.inference.response import log_density
from bayesmig.specification.priors import CoefficientPrior, Flat, Laplace, Normal, Prior, log_density_of

MOST_SCORES, MOST_REMAINING = 12, 200  # sds and correlations; coordinates besides them
FIRST_NODES = {1: 7, 2: 5}  # of factors with one effect and with two, to find modes
MOST_STEPS = 60
LEAST_CURVED = 0.05
SHORT, LONGEST = 0.05, 5.0  # steps in posterior sds: from which the mode may be guessed, and that are taken
SHAPE_STEP = 1e-3  # of differences of slopes by a family's own parameters
SCORE_STEP = 0.2  # of differences by sds and correlations, over which Newton's method leaves its errors behind
ROUGHLY = 0.1  # how much higher the best scores might be
ANCHORS, SPREAD = (5, 5), 1.3  # modes a round, times one more than there are scores; how far they reach
SURROGATES = 2000
NODES, CLOSE, TRIED = (3, 4, 5, 7, 9, 13, 19, 27, 39), 0.02, 32  # an sd of log densities that is no error
LEAST_SD = 1e-6  # so that roots have inverses
PAIRS, FARTHEST_CENTRE = 8, 1.0  # opposite steps over which slopes are averaged; sds from the mode to the mean
STRETCH = 1.5  # of the few proposals that reach far, more than of their distance the more coordinates there are
PIECE = 256
LEAST_PILOT, ROUNDS, LEAST_SHARE, POOR = 400, 8, 0.1, 0.3  # rounds are whole pilots, or last digits would count draws


@dataclass(frozen=True)
class Target:
    """The density of a design with the effects of one factor integrated out.

    A point has two parts: ``scores``, sds and correlations as :class:`VarianceParameters` has them, and ``rest``:
    coefficients, the family's own parameters (logs, and normal scores of shares), steps between thresholds as
    points of NUTS have them, and standardised effects of the other factors. Where no factor is integrated, ``inner`` is
    None: all rows are one group, whose effect counts nothing.
    """

    layout: hierarchical.Layout
    inner: int | None
    groups: integrated.Groups
    effects: integrated.Effects

    @classmethod
    def of(cls, layout: hierarchical.Layout, inner: int | None, nodes: int | None = None) -> Target:
        """The density of a design, of whose factors the one at ``inner`` is integrated."""
        machine.compile_all()
        cells, pseudo, q = layout.cells, layout.pseudo, 1 if inner is None else len(layout.groups[inner].effects)
        levels = 1 if inner is None else len(layout.groups[inner].levels)
        place = sum(group.width for group in layout.groups[:inner])
        first = sum(len(group.levels) * len(group.effects) for group in layout.groups[:inner])
        columns = np.column_stack([cells.column, np.full(len(cells.y), first)])  # the last one counts nothing
        amounts, owners = np.column_stack([cells.amount, np.zeros(len(cells.y))]), np.append(cells.of_amount, 0)
        places = np.arange(place, place + q)
        of, codes, amount = owners[places], (columns[:, place] - first) // q, amounts[:, places].T
        weight, response = pseudo.weight[:, of].T, pseudo.response[:, of].T + cells.offset * (of == 0)[:, None]
        order = np.argsort(codes, kind="stable")
        others = np.delete(columns, [*places, -1], axis=1)
        others -= np.where(others >= first, levels * q, 0)
        kept = cells._replace(column=others, amount=np.delete(amounts, [*places, -1], axis=1))
        kept = kept._replace(of_amount=np.delete(owners, [*places, -1]))
        ordered = {k: np.ascontiguousarray(v[order]) for k, v in kept._asdict().items() if not k.startswith("of_")}
        alike = np.equal.outer(of, of)[:, :, None] * weight * (amount[:, None] * amount)
        sums = [np.bincount(codes, one, levels) for one in (*alike.reshape(q * q, -1), *(weight * amount * response))]
        effects = integrated.Effects(
            of,
            np.ascontiguousarray(amount[:, order]),
            np.ascontiguousarray((weight * amount)[:, order]),
            np.ascontiguousarray(np.transpose(sums[: q * q])).reshape(levels, q, q),
            np.ascontiguousarray(np.transpose(sums[q * q :])),
        )
        groups = integrated.Groups(
            kept._replace(**ordered),
            layout.led,
            int(of[-1]),
            np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=levels))]),
            effects.amount[-1],
            effects.pull[-1],
            effects.square[:, -1, -1].copy(),
            effects.target[:, -1].copy(),
            *_nodes(1 if inner is None else nodes or FIRST_NODES[q]),
        )
        return cls(layout, inner, groups, effects)

    def with_nodes(self, count: int) -> Target:
        """The same by quadrature with so many nodes."""
        nodes, log_weight = _nodes(count)
        return dataclasses.replace(self, groups=self.groups._replace(nodes=nodes, log_weight=log_weight))

    @cached_property
    def others(self) -> tuple[GroupTerm, ...]:
        """The other factors."""
        return tuple(group for k, group in enumerate(self.layout.groups) if k != self.inner)

    @cached_property
    def parameters(self) -> VarianceParameters:
        """How scores translate into sds and correlations."""
        return VarianceParameters(self.layout.groups, residual=False)

    @cached_property
    def units(self) -> list[Array]:
        """What an sd of one is, by factor."""
        return [np.array(hierarchical.unit_sizes(self.layout.design, group)) for group in self.layout.groups]

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where coefficients, own parameters, steps and other effects stand among the rest."""
        blocks, found = self.layout.blocks, {}
        for name in ("coefficients", *self.layout.pseudo.own, "cut"):
            found[name] = blocks.places[name]
        end = max(part.stop for part in found.values())
        return found | {"effects": slice(end, end + sum(len(g.levels) * len(g.effects) for g in self.others))}

    @cached_property
    def columns(self) -> dict[str, int]:
        """Which of the family's own parameters, thresholds last, are single numbers."""
        return dict(zip(self.layout.pseudo.own, np.flatnonzero(self.layout.places_of_own >= 0).tolist(), strict=True))

    @property
    def begin(self) -> Array:
        """The rest as working responses have it."""
        rest, pseudo, at = np.zeros(self.dimension), self.layout.pseudo, self.places["cut"]
        rest[at] = self.layout.blocks.begin[at]
        for name, value in pseudo.own.items():
            share = predictors.link_of(self.layout.family, name) == "logit"
            rest[self.places[name]] = special.ndtri(value) if share else math.log(value)
        return rest

    @property
    def dimension(self) -> int:
        """Coordinates of the rest."""
        return int(self.places["effects"].stop)

    @cached_property
    def steps(self) -> Array:
        """``(thresholds, steps)``: thresholds about the fixed one are this times the steps."""
        count, fixed = len(self.layout.cut), self.layout.fixed
        below = np.tri(count, max(count - 1, 0), -1)  # sums of steps from the lowest threshold
        return below - below[fixed] if count else below

    @cached_property
    def rows(self) -> Any:
        """The family's rows in machine code."""
        return machine.rows(self.layout.family.rows[self.layout.link.name])

    def scales(self, scores: Array) -> tuple[list[Array], list[Array], Array]:
        """Sds ``(B, q)`` of all factors, roots of the covariances of the others, and ``(B, q, q)`` of the inner one.

        Those of the others are ``(B, levels or 1, q, q)``; of a structure that correlates J groups ``(B, 1, J, J)``.
        """
        _, sds, partials = self.parameters.parts(scores)
        sds = [sd * unit for sd, unit in zip(sds, self.units, strict=True)]
        scaled = map(GroupTerm.scaled_root, self.layout.groups, sds, partials)
        roots = [root[:, None] if root.shape[2] == root.shape[1] else root[..., None] for root in scaled]
        return sds, roots, np.zeros((len(scores), 1, 1)) if self.inner is None else roots.pop(self.inner)[:, 0]

    def prior_of_scores(self, scores: Array) -> Array:
        """Log prior density of scores."""
        return self.parameters.log_prior(scores, self.layout.design.priors, self.units)

    def natural(self, rest: Array, roots: list[Array]) -> tuple[Array, Array, Array]:
        """Coefficients ``(B, p)``, own parameters and thresholds ``(B, k)``, effects of other factors ``(B, Q)``.

        Own parameters with predictors are zero, for rows have theirs.
        """
        pseudo = self.layout.pseudo
        beta = pseudo.centre + rest[:, self.places["coefficients"]] @ pseudo.turn.T
        first = len(self.layout.places_of_own)
        own = np.zeros((len(rest), first + len(self.layout.cut)))
        for name, k in self.columns.items():
            own[:, k] = self._own(name, rest[:, self.places[name]][:, 0])[0]
        own[:, first:] = self._stepped(rest) @ self.steps.T
        return beta, own, self.turned(rest, roots)[:, self.places["effects"]]

    def turned(self, rest: Array, turns: list[Array]) -> Array:
        """The rest ``(B, d)`` with the effects of the other factors turned, by ``(B, levels or 1, q, q)`` each."""
        found, start = rest.copy(), self.places["effects"].start
        for group, turn in zip(self.others, turns, strict=True):
            part = slice(start, start + len(group.levels) * len(group.effects))
            each = rest[:, part].reshape(len(rest), -1, turn.shape[-1])
            found[:, part] = (turn @ each[..., None]).reshape(len(rest), -1)
            start = part.stop
        return found

    def information(self, mode: Mode) -> list[Array]:
        """What data say of every effect of the other factors, ``(levels, q, q)``: curvatures at a mode.

        Of groups that a structure correlates ``(1, J, J)``.
        """
        found, start = [], self.places["effects"].start
        for group, root in zip(self.others, self.scales(mode.scores[None])[1], strict=True):
            q, stop = root.shape[-1], start + len(group.levels) * len(group.effects)
            own = [mode.root[at : at + q] for at in range(start, stop, q)]
            values, vectors = np.linalg.eigh(np.array([one @ one.T for one in own]) - np.eye(q))
            turn = np.linalg.inv(root[0]).swapaxes(1, 2) @ vectors
            found.append(turn * np.maximum(values, 0.0)[:, None] @ turn.transpose(0, 2, 1))
            start = stop
        return found

    def precisions(self, scores: Array, information: list[Array]) -> list[Array]:
        """Roots of the precisions that standardised effects have given everything else, ``(B, levels, q, q)``."""
        roots = (root + LEAST_SD * np.eye(root.shape[-1]) for root in self.scales(scores)[1])
        found = []
        for root, known in zip(roots, information, strict=True):
            inverse = np.linalg.inv(root)
            found.append(np.linalg.cholesky(inverse.swapaxes(2, 3) @ inverse + known).swapaxes(2, 3) @ root)
        return found

    def _stepped(self, rest: Array) -> Array:
        steps = rest[:, self.places["cut"]]
        return np.exp(steps) if self.layout.family.rising else steps

    def prior_of_rest(self, rest: Array, beta: Array, own: Array) -> Array:
        """Log prior density of the rest."""
        layout, priors = self.layout, self.layout.design.priors
        mean, sd = layout.normal_priors
        proper = np.isfinite(sd)
        z = (beta - mean)[:, proper] / sd[proper]
        total = -0.5 * (z**2).sum(axis=1) - np.log(sd[proper]).sum()
        for k, prior in self.levels:
            total += log_density_of(prior, beta[:, k])
        effects = rest[:, self.places["effects"]]
        total -= 0.5 * (effects**2).sum(axis=1)
        total += np.log(np.diag(layout.pseudo.turn)).sum()
        total -= 0.5 * math.log(2 * math.pi) * (proper.sum() + effects.shape[1])
        for name in layout.pseudo.own:
            total += self._own(name, rest[:, self.places[name]][:, 0])[2]
        if layout.ordered:
            first = own.shape[1] - len(layout.cut)
            of_cut: Any = priors.auxiliary["cut"]
            z = (own[:, first:] - beta[:, :1] - of_cut.mean) / of_cut.sd
            total -= 0.5 * (z**2).sum(axis=1) + z.shape[1] * math.log(of_cut.sd * math.sqrt(2 * math.pi))
            if layout.family.rising:  # of the orders that thresholds may have one is allowed
                total += rest[:, self.places["cut"]].sum(axis=1) + math.lgamma(z.shape[1] + 1)
        return np.asarray(total)

    @cached_property
    def levels(self) -> list[tuple[int, Prior]]:
        """Coefficients with other priors than normal ones: levels of further parameters have the parameter's."""
        chosen = enumerate(self.layout.design.term_priors, int(self.layout.ordered))
        return [(k, prior) for k, prior in chosen if not isinstance(prior, Normal | Flat)]

    def _own(self, name: str, coordinate: Array) -> tuple[Array, Array, Array]:
        """An own parameter, the log of its slope, and the log prior density of its coordinate, which is a normal score
        where the parameter is a share, as those of sds are."""
        value, log_slope = predictors.inverse("log", coordinate), coordinate
        if predictors.link_of(self.layout.family, name) == "logit":
            value, log_slope = special.ndtr(coordinate), -0.5 * coordinate**2 - 0.5 * math.log(2 * math.pi)
        prior: Any = self.layout.design.priors.auxiliary[name]
        return value, log_slope, prior.log_density(value) + log_slope

    def __call__(self, scores: Array, rest: Array, seeds: Codes) -> tuple[Array, Array]:
        """Log posterior density of points, and a draw of the integrated effects ``(B, J)`` at each."""
        _, roots, root = self.scales(scores)
        beta, own, effects = self.natural(rest, roots)
        drawn = np.empty((len(rest), 0 if self.inner is None else self.effects.target.size))
        value = integrated.log_likelihoods(beta, own, effects, root, self.groups, self.effects, self.rows, seeds, drawn)
        with np.errstate(all="ignore"):  # far out, where numbers overflow, the density is zero
            value += self.prior_of_rest(rest, beta, own) + self.prior_of_scores(scores)
        turned = np.einsum("bef,bjf->bje", root, drawn.reshape(len(drawn), -1, root.shape[1])).reshape(drawn.shape)
        return np.where(np.isnan(value), -np.inf, value), turned

    @property
    def left_out(self) -> float:
        """What the family's rows in machine code leave out of the log likelihood; it is the same at all points."""
        layout, design = self.layout, self.layout.design
        beta, own, effects = self.natural(self.begin[None], self.scales(self.parameters.start[None])[1])
        zero, nothing = np.zeros((1, *self.effects.square.shape[1:])), np.empty((1, 0))
        seeds = np.zeros(1, dtype=np.int64)
        told = integrated.log_likelihoods(
            beta, own, effects, zero, self.groups, self.effects, self.rows, seeds, nothing
        )
        values = {name: own[:, k] for name, k in self.columns.items()} | {"cut": own[:, len(layout.places_of_own) :]}
        each = (beta * (layout.of_x == h) @ layout.x.T for h in range(len(design.predictors)))
        eta = np.stack(list(each), axis=-1)
        eta[..., 0] += 0.0 if design.offset is None else design.offset
        eta = eta[..., 0] if design.assigned is None else eta
        counting = np.ones(design.n) if design.counting is None else design.counting
        return float(log_density(design, eta, values)[0] @ counting - told[0])

    def quantities(self, drawn: Drawn, chosen: Codes, shape: tuple[int, int]) -> dict[str, Array]:
        """Quantities of the contract from proposals that were chosen."""
        layout, scores = self.layout, drawn.scores[chosen]
        sds, roots, _ = self.scales(scores)
        beta, own, others = self.natural(drawn.rest[chosen], roots)
        _, _, partials = self.parameters.parts(scores)
        values = {f"tau_{group.name}": sd for group, sd in zip(layout.groups, sds, strict=True)}
        values |= {f"partial_{group.name}": each for group, each in zip(layout.groups, partials, strict=True)}
        values |= {name: own[:, k : k + 1] for name, k in self.columns.items()}
        first = sum(len(group.levels) * len(group.effects) for group in layout.groups[: self.inner])
        effects = np.hstack([others[:, :first], drawn.effects[chosen], others[:, first:]])
        cut = own[:, len(layout.places_of_own) :]
        return hierarchical.quantities(layout, shape, beta, cut, effects, values)

    def expanded(self, scores: Array, rest: Array, whole: bool = True) -> tuple[float, Array, Array]:
        """Log density of the rest at one point, its slope, and minus its curvature, unless ``whole`` without what
        belongs to own parameters and steps: differences of slopes."""
        layout, pseudo, places = self.layout, self.layout.pseudo, self.places
        _, roots, root = self.scales(scores[None])
        beta, own, effects = self.natural(rest[None], roots)
        value, by, by_own, curvature = integrated.expansion(
            beta[0], own[0], effects[0], root[0], self.groups, self.effects, self.rows
        )
        value += self.prior_of_rest(rest[None], beta, own)[0]
        p, first = beta.shape[1], own.shape[1] - len(layout.cut)
        mean, spread = layout.normal_priors
        precision = spread**-2.0
        by[:p] -= (beta[0] - mean) * precision
        curvature[np.arange(p), np.arange(p)] += precision
        for k, level in self.levels:
            small = SHAPE_STEP * (level.spread if isinstance(level, CoefficientPrior) else 1.0)
            at = log_density_of(level, beta[0, k] + small * np.array([0.0, 1.0, -1.0]))
            by[k] += (at[1] - at[2]) / (2 * small)
            curvature[k, k] += (2 * at[0] - at[1] - at[2]) / small**2
        gradient = np.zeros(self.dimension)
        if layout.ordered:
            prior: Any = layout.design.priors.auxiliary["cut"]
            z = (own[0, first:] - beta[0, 0] - prior.mean) / prior.sd**2
            by_own[first:] -= z
            by[0] += z.sum()
            curvature[0, 0] += len(z) / prior.sd**2
            steps = self._stepped(rest[None])[0] if layout.family.rising else 1.0
            gradient[places["cut"]] = steps * (by_own[first:] @ self.steps) + float(layout.family.rising)
        for name, k in self.columns.items():
            _, log_slope, at = self._own(name, rest[places[name]] + SHAPE_STEP * np.array([0.0, 1.0, -1.0]))
            gradient[places[name]] = by_own[k] * np.exp(log_slope[0]) + (at[1] - at[2]) / (2 * SHAPE_STEP)
        wide = [
            np.broadcast_to(root[0], (len(group.levels) * len(group.effects) // root.shape[-1], *root.shape[2:]))
            for group, root in zip(self.others, roots, strict=True)
        ]
        turn = linalg.block_diag(pseudo.turn, *itertools.chain(*wide))
        linear = np.r_[places["coefficients"], places["effects"]]
        gradient[linear] = turn.T @ by
        gradient[places["effects"]] -= rest[places["effects"]]
        bend = np.zeros((self.dimension, self.dimension))
        bend[np.ix_(linear, linear)] = turn.T @ curvature @ turn
        diagonal = np.arange(self.dimension)[places["effects"]]
        bend[diagonal, diagonal] += 1.0
        shape = slice(p, places["effects"].start)
        for k in range(shape.start, shape.stop if whole else 0):
            moved = rest + SHAPE_STEP * np.eye(1, self.dimension, k)[0]
            bend[k] = (gradient - self.expanded(scores, moved, whole=False)[1]) / SHAPE_STEP
        bend[:, shape] = bend[shape].T
        bend[shape, shape] = (bend[shape, shape] + bend[shape, shape].T) / 2
        return value, gradient, bend

    def mode(self, scores: Array, rest: Array) -> Mode:
        """Where the rest has its highest density, from somewhere near: Newton's method, whose steps are halved until
        they climb. Raises InferenceFailure if it finds none."""
        step, last = np.zeros(len(rest)), -np.inf
        for _ in range(MOST_STEPS):
            value, gradient, curvature = self.expanded(scores, rest)
            if not (value > last - CLOSE and np.isfinite(curvature).all()):
                step = step / 2
                rest = rest - step
                continue
            root = _root(curvature)
            step = linalg.cho_solve((root, True), gradient)
            size, last = math.sqrt(max(float(gradient @ step), 0.0)), value
            if size < SHORT:
                value += 0.5 * size**2 - np.log(np.diag(root)).sum() + 0.5 * len(rest) * math.log(2 * math.pi)
                return Mode(scores, rest + step, root, value + self.prior_of_scores(scores[None])[0])
            step *= min(1.0, LONGEST / size)
            rest = rest + step
        raise InferenceFailure("the coefficients have no clear most likely values.")


def ways(layout: hierarchical.Layout) -> dict[int | None, int]:
    """Factors whose effects may be integrated, None where all are drawn, and how many coordinates each leaves.

    First that with most groups of those with one effect a group, then of those with two: nodes of nodes take longer
    than up to 200 effects that are drawn, but settle more often.
    """
    groups, design = layout.groups, layout.design
    left = [len(group.levels) * len(group.effects) for group in groups]
    whole = len(design.terms) + len(design.categories) + sum(left)
    found: dict[int | None, int] = {}
    for q in (1, 2):
        alone = (k for k, group in enumerate(groups) if group.amounts is None and group.structure is None)
        own = [k for k in alone if len(groups[k].effects) == q]
        found |= {own[-1]: whole - left[own[-1]]} if own else {None: whole} if q == 1 else {}
    return found


def _nodes(count: int) -> tuple[Array, Array]:
    """Nodes for the standard normal, and the logs of their weights times ``exp(x^2 / 2)``."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, np.log(weights / math.sqrt(2 * math.pi)) + 0.5 * nodes**2


@dataclass(frozen=True)
class Mode:
    """Given scores: the mode of the rest, the root of its precision, and Laplace's approximation."""

    scores: Array
    rest: Array
    root: Array
    value: float


def _root(precision: Array) -> Array:
    """Cholesky factor of a precision, with too small or negative curvatures lifted."""
    try:
        return linalg.cholesky(precision, lower=True, check_finite=False)
    except linalg.LinAlgError:
        values, vectors = np.linalg.eigh(precision)
        return np.linalg.cholesky((vectors * np.maximum(abs(values), LEAST_CURVED)) @ vectors.T)


@dataclass(frozen=True)
class Frame:
    """Modes of the rest at some scores, and what lies between them by splines (Wahba 1990, ch. 2).

    ``unit``: a root of the covariance of the scores, in which distances are measured.
    """

    at: Array
    values: Array
    middles: Array
    roots: Array
    unit: Array
    centre: Array
    known: list[Array]

    @classmethod
    def of(cls, target: Target, modes: list[Mode], mixture: importance.Mixture) -> Frame:
        """The frame of these modes.

        Effects count in sds that they have given everything else, and columns of roots are divided by their diagonals:
        both then depend far less on the scores, and splines are right out in the tails.
        """
        at, values, middles = (np.array([getattr(m, name) for m in modes]) for name in ("scores", "value", "rest"))
        known = target.information(max(modes, key=lambda mode: mode.value))
        turns, roots = target.precisions(at, known), []
        for k, mode in enumerate(modes):
            back = [np.linalg.inv(turn[k]).swapaxes(1, 2)[None] for turn in turns]
            root = np.linalg.qr(target.turned(mode.root.T, back), mode="r").T
            size = np.diag(root)
            roots.append((root / size + np.diag(np.log(np.abs(size)) - 1))[np.tril_indices(len(size))])
        middles = target.turned(middles, turns)
        return cls(at, values, middles, np.array(roots), mixture.roots[0], mixture.means[0], known)

    @cached_property
    def _places(self) -> Array:
        return np.linalg.solve(self.unit, (self.at - self.centre).T).T

    def _within(self, scores: Array) -> Array:
        """Scores in the frame's units, none further out than the outermost mode."""
        inner = np.linalg.solve(self.unit, (scores - self.centre).T).T
        far = np.linalg.norm(inner, axis=1, keepdims=True) / (np.linalg.norm(self._places, axis=1).max() or 1.0)
        return inner / np.maximum(far, 1.0)

    @cached_property
    def _inverse(self) -> Array:
        terms, corner = _line(self._places), np.zeros((1 + len(self.centre), 1 + len(self.centre)))
        return np.linalg.inv(np.block([[_cubes(self._places, self._places), terms], [terms.T, corner]]))

    def shares(self, scores: Array) -> Array:
        """``(B, modes)``: by how much each mode counts at scores."""
        inner = self._within(scores)
        return np.hstack([_cubes(inner, self._places), _line(inner)]) @ self._inverse[:, : len(self.at)]

    def squares(self, scores: Array) -> Array:
        """``(B, k)``: scores, their squares and products."""
        inner = self._within(scores)
        rows, columns = np.triu_indices(inner.shape[1])
        return np.hstack([_line(inner), inner[:, rows] * inner[:, columns]])


def _line(points: Array) -> Array:
    return np.column_stack([np.ones(len(points)), points])


def _cubes(points: Array, others: Array) -> Array:
    return np.asarray(np.linalg.norm(points[:, None] - others, axis=2) ** 3)


@dataclass(frozen=True)
class Drawn:
    """Proposals: scores, steps from the modes of the rest in posterior sds, the rest, integrated effects, log density,
    and that of scores and steps."""

    scores: Array
    steps: Array
    rest: Array
    effects: Array
    value: Array
    height: Array

    @classmethod
    def together(cls, parts: list[Drawn]) -> Drawn:
        """Those of several rounds."""
        return cls(*(np.concatenate([getattr(part, f) for part in parts]) for f in cls.__dataclass_fields__))


@dataclass(frozen=True)
class Proposal:
    """Scores from a mixture, and given them the rest from split normals about the modes, few of them ``wide``."""

    target: Target
    frame: Frame
    mixture: importance.Mixture
    centre: Array
    up: Array
    down: Array
    lacking: Array

    @cached_property
    def reach(self) -> tuple[float, float]:
        """How many steps reach further, and by how much. Without scores, whose mixture reaches far itself, of few
        coordinates more do: they cost little, and Pareto k takes the smallest bump of the weights for a tail."""
        share = 0.0 if self.target.parameters.dimension else 0.5 / len(self.up)
        return max(importance.DEFENCE, share), 1 + STRETCH / math.sqrt(len(self.up))

    def log_density(self, scores: Array, steps: Array) -> Array:
        """Log density of scores and steps."""
        away, (share, wide) = steps - self.centre, self.reach
        half = 0.5 * ((away / np.where(away > 0, self.up, self.down)) ** 2).sum(axis=1)
        further = math.log(share) - len(self.up) * math.log(wide) + half * (1 - wide**-2)
        total = self.mixture.log_density(scores) - half + np.logaddexp(math.log(1 - share), further)
        return np.asarray(total - np.log((self.up + self.down) * math.sqrt(math.pi / 2)).sum())

    def draw(self, size: int, rng: np.random.Generator) -> Drawn:
        """Independent proposals."""
        scores, d, (share, wide) = self.mixture.draw(size, rng), len(self.up), self.reach
        z = np.abs(rng.standard_normal((size, d)))
        z[rng.random(size) < share] *= wide
        above = rng.random(z.shape) < self.up / (self.up + self.down)
        steps = self.centre + np.where(above, self.up, -self.down) * z
        seeds = rng.integers(2**31 - 1, size=size)

        def piece(start: int) -> tuple[Array, ...]:
            part = slice(start, start + PIECE)
            rest, size = self.placed(scores[part], steps[part])
            value, effects = self.target(scores[part], rest, seeds[part])
            value += self.frame.squares(scores[part]) @ self.lacking
            return rest, effects, value, value - size

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            pieces = list(threads.map(piece, range(0, size, PIECE)))
        return Drawn(scores, steps, *(np.concatenate(each) for each in zip(*pieces, strict=True)))

    def placed(self, scores: Array, steps: Array) -> tuple[Array, Array]:
        """The rest so many steps from its modes, and the log of how many steps its units make."""
        shares, diagonal = self.frame.shares(scores), np.arange(steps.shape[1])
        rest, roots = shares @ self.frame.middles, shares @ self.frame.roots
        integrated.placed(rest, roots, steps)
        turns = self.target.precisions(scores, self.frame.known)
        size = roots[:, diagonal * (diagonal + 3) // 2].sum(axis=1)
        for turn in turns:
            size += np.linalg.slogdet(turn).logabsdet.sum(axis=1)
        return self.target.turned(rest, [np.linalg.inv(turn) for turn in turns]), size

    def centred(self, rng: np.random.Generator) -> Proposal:
        """About the mean in place of the mode, at the best scores known: where slopes are zero on average over normal
        steps and their opposites (Opper & Archambeau 2009, Neural Computation 21)."""
        scores, d = self.frame.at[np.argmax(self.frame.values)], len(self.up)
        rest, _ = self.placed(np.repeat(scores[None], 1 + d, axis=0), np.eye(1 + d, d, -1))
        turn, steps = rest[1:] - rest[0], rng.standard_normal((PAIRS, d))
        points = rest[0] + np.concatenate([steps, -steps]) @ turn
        slopes = [self.target.expanded(scores, each, whole=False)[1] for each in points]
        centre = np.clip(turn @ np.mean(slopes, axis=0), -FARTHEST_CENTRE, FARTHEST_CENTRE)
        return dataclasses.replace(self, centre=np.nan_to_num(centre))

    def adapted(self, drawn: Drawn, log_ratio: Array, rng: np.random.Generator) -> Proposal:
        """Fitted to what has been found."""
        mixture = importance.refit(drawn.scores, log_ratio, 0, rng) if drawn.scores.size else self.mixture
        weights = np.exp(log_ratio - special.logsumexp(log_ratio))
        size = 1 / (weights @ weights)
        share = size / (size + 300)  # of what is found; the rest is what was known, or curvature at the modes says
        mean = weights @ drawn.steps
        away = drawn.steps - mean
        variance = weights @ away**2
        skew = np.clip((weights @ away**3) / variance**1.5, -0.6, 0.6) * 0.5 * share * 0.63
        sd = np.sqrt(1 + (variance - 1) * share)
        up, down = sd * (1 + skew), sd * (1 - skew)
        known = self.centre + math.sqrt(2 / math.pi) * (self.up - self.down)
        centre = known + (mean - known) * share - math.sqrt(2 / math.pi) * (up - down)
        return dataclasses.replace(self, mixture=mixture, centre=centre, up=up, down=down)


def begin(target: Target, rng: np.random.Generator) -> Proposal:
    """A proposal from Laplace's approximation: modes about the best scores, which splines through them find; without
    groups the one mode."""
    found = [target.mode(target.parameters.start, target.begin)]
    one = np.ones(target.dimension)
    if not target.parameters.dimension:
        nowhere = importance.Mixture(np.ones(1), np.empty((1, 0)), np.empty((1, 0, 0)))
        return Proposal(target, Frame.of(target, found, nowhere), nowhere, 0 * one, one, one, np.zeros(1))

    def laplace(scores: Array) -> Array:
        for one in scores:
            # halves of a step are as far from one end as from the other: the last digits must not choose
            near = min(found, key=lambda mode: round(float(np.abs(mode.scores - one).sum()), 6))
            found.append(target.mode(one, near.rest))
        return np.array([mode.value for mode in found[-len(scores) :]])

    first = mixture = importance.at_mode(laplace, target.parameters.start, 0, (SCORE_STEP, SCORE_STEP), ROUGHLY)
    centre, root, known = mixture.means[0], mixture.roots[0], len(found)
    for count in ANCHORS:
        for away in SPREAD * rng.standard_normal((count * (1 + len(centre)), len(centre))):
            with contextlib.suppress(InferenceFailure):  # far out there may be no mode
                laplace((centre + root @ away)[None])
        frame = Frame.of(target, found[known:], first)
        scores = first.draw(SURROGATES, rng)
        log_ratio = frame.shares(scores) @ (frame.values - first.log_density(frame.at))
        mixture = importance.refit(scores, log_ratio, 0, rng)
        weights = np.exp(log_ratio - special.logsumexp(log_ratio))
        centre = weights @ scores
        root = np.linalg.cholesky((scores - centre).T @ (weights[:, None] * (scores - centre)))
    return Proposal(target, frame, mixture, 0 * one, one, one, np.zeros(frame.squares(frame.at).shape[1]))


def sharpened(proposal: Proposal, rng: np.random.Generator) -> Proposal:
    """The proposal with as many nodes as it takes, and what little they lack of more as the scores tell it."""
    if proposal.target.inner is None:
        return proposal
    tried = proposal.draw(TRIED + 2 * proposal.frame.squares(proposal.frame.at).shape[1], rng)
    log_ratio = tried.height - proposal.log_density(tried.scores, tried.steps)
    counted = np.isfinite(log_ratio)
    scores, rest, log_ratio = tried.scores[counted], tried.rest[counted], log_ratio[counted]
    terms, root = proposal.frame.squares(scores), np.exp(0.5 * (log_ratio - log_ratio.max()))
    effective = importance.effective(log_ratio)
    free = max(effective - terms.shape[1], 1.0) / effective
    targets = [proposal.target.with_nodes(count) for count in NODES]
    values: list[Array] = []
    for target in targets:
        values.append(target(scores, rest, np.zeros(len(rest), dtype=np.int64))[0])
        if len(values) < 3:
            continue
        lacking = values[-1] - values[-3]
        found, *_ = np.linalg.lstsq(terms * root[:, None], lacking * root)
        left = float(np.linalg.norm((lacking - terms @ found) * root) / np.linalg.norm(root)) / math.sqrt(free)
        if left < CLOSE:
            return dataclasses.replace(proposal, target=targets[len(values) - 3], lacking=found)
    raise importance.Unsettled("the effects of groups are so far from normal that quadrature needs too many nodes.")


@dataclass(frozen=True)
class Quadrature:
    """Independent draws for outcomes of any family.

    The effects of the largest grouping factor that has one effect a group are integrated out by quadrature, everything
    else is drawn by importance sampling and weighted by the exact density; the integrated effects are then drawn given
    the rest. Without such a factor there is nothing to integrate, and everything is drawn. Where that would leave too
    much to draw, or does not settle, two effects a group are integrated together, as in ``(1 + x | g)``.

    Parameters
    ----------
    draws : int
        Posterior draws in all.
    chains : int
        How many equal parts they are split into, so that R-hat and other checks that compare chains can be applied. The
        draws are independent within and between parts.
    efficiency : float
        Effective draws that the importance sampler aims for, as a share of ``draws``.

    Notes
    -----
    Priors, offsets, frequency and survey weights, nested and crossed factors as :class:`~bayesmig.NUTS` takes them. At
    most 200 coefficients, parameters of the family and effects of the other factors may remain. The number of nodes is
    chosen so that more of them change nothing. ``check`` has the effective number of draws and Pareto k.

    See Also
    --------
    Exact : the same for Gaussian outcomes, whose effects integrate out in closed form.
    NUTS : for every model.

    Examples
    --------
    >>> Quadrature(draws=1000)
    Quadrature(draws=1000, chains=4, efficiency=0.77)
    """

    draws: int = 4000
    chains: int = 4
    efficiency: float = 0.77

    def __post_init__(self) -> None:
        check_fields(self)
        check_draws(self, self.draws, self.chains)
        if not 0 < self.efficiency < 1:
            raise SpecificationError(f"{self!r}: efficiency lies between 0 and 1.")

    def refuses(self, design: Design) -> str | None:
        """Why this engine cannot fit the design; None if it can."""
        if reason := NUTS().refuses(design):
            return reason
        reason = hierarchical.refusal(design, {}) or self._beyond(design)
        return reason and f"Quadrature does not serve here: {reason}; use engine=NUTS()."

    def _beyond(self, design: Design) -> str | None:
        """What of a design this engine does not reach."""
        if told := design.with_prior(Laplace):
            return f"{told}, which has a corner where the density is to be smooth"
        scores = sum(len(group.effects) + len(group.rho_names) for group in design.groups)
        if scores > MOST_SCORES:
            return f"groups have {scores} sds and correlations, of which it takes at most {MOST_SCORES}"
        remaining = min(ways(hierarchical.Layout(design)).values())
        if remaining > MOST_REMAINING:
            return f"{remaining:,} coefficients and effects do not integrate out, and it takes at most {MOST_REMAINING}"
        return None

    def sample(self, design: Design, rng: np.random.Generator) -> tuple[dict[str, xr.Dataset], dict[str, object]]:
        """Draw from the posterior of a design."""
        layout = hierarchical.Layout(design.centred)
        NUTS().announce(integrated.log_likelihoods)
        with threadpool_limits(1, user_api="blas"):
            inner = [inner for inner, left in ways(layout).items() if left <= MOST_REMAINING]
            target, drawn, weighed, told = self._settled(layout, inner, rng)
        chosen = rng.permutation(importance.resample(weighed.weights, self.draws, rng))
        shape = (self.chains, self.draws // self.chains)
        stats = xr.Dataset(
            {"lp": (("chain", "draw"), drawn.value[chosen].reshape(shape)), **told},
            {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])},
        )
        facts: dict[str, object] = {"draws": self.draws, "independent_draws": "yes", "packages": ("numba",)}
        values = target.quantities(drawn, chosen, shape)
        return {"posterior": schema.posterior(layout.design, values), "sample_stats": stats}, facts

    def _settled(
        self, layout: hierarchical.Layout, inner: list[int | None], rng: np.random.Generator
    ) -> tuple[Target, Drawn, importance.Weighed, dict[str, float]]:
        """Proposals and weights of the first way that settles, and what is said of them."""
        try:
            target = Target.of(layout, inner[0])
            drawn, weighed = self._explored(target, rng)
            return target, drawn, weighed, weighed.statistics(layout.design, target.left_out)
        except (InferenceFailure, np.linalg.LinAlgError) as reason:
            if len(inner) > 1:
                return self._settled(layout, inner[1:], rng)
            if isinstance(reason, importance.Unsettled):
                raise
            raise importance.Unsettled(f"no proposal was found: {reason}") from None

    def _explored(self, target: Target, rng: np.random.Generator) -> tuple[Drawn, importance.Weighed]:
        """Proposals of all rounds and their weights.

        Weights are against the mixture of all proposals (Cornuet et al. 2012, Scandinavian Journal of Statistics 39).
        """
        proposal = sharpened(begin(target, rng), rng)
        wanted, size, ess = self.efficiency * self.draws, max(self.draws // 10, LEAST_PILOT), 0.0
        used: list[Proposal] = []
        parts: list[Drawn] = []
        for _ in range(ROUNDS):
            used.append(proposal)
            parts.append(proposal.draw(size, rng))
            whole = Drawn.together(parts)
            shares = np.log([len(part.value) / len(whole.value) for part in parts])
            each = [one.log_density(whole.scores, whole.steps) for one in used]
            log_ratio = whole.height - special.logsumexp(np.add(each, shares[:, None]), axis=0)
            weighed = importance.Weighed.of(log_ratio)
            count, before, ess = len(log_ratio), ess, weighed.size
            if weighed.pareto_k < min(0.7, 1 - 1 / math.log10(count)) and ess >= wanted:
                return whole, weighed
            if len(parts) > 3 and ess < LEAST_SHARE * count:
                break
            poor = ess < POOR * count
            centred = poor and len(parts) == 1
            proposal = proposal.centred(rng) if centred else proposal.adapted(whole, log_ratio, rng)
            needed = 1.02 * (wanted - ess) / max((ess - before) / size, ess / count, 0.05)
            needed = np.clip(needed if len(parts) > 1 else 2 * size, LEAST_PILOT, max(self.draws, 2 * LEAST_PILOT))
            needed = min(needed, count) if poor and len(parts) > 1 else needed  # of a proposal that is not there yet
            size = math.ceil(needed / LEAST_PILOT) * LEAST_PILOT
        raise importance.Unsettled(
            f"the importance sampler did not settle: Pareto k {weighed.pareto_k:.2f}, {ess:.0f} effective of"
            f" {count:,} draws. The outcome probably hardly informs some parameter, such as an sd between few groups:"
            " give tighter priors, or use engine=NUTS()."
        )
