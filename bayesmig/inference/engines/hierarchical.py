"""Design -> the density of :mod:`bayesmig.inference.kernels.hierarchical` for nutpie, and draws of the contract.

A penalised fit with working responses gives a pseudo-response: a number with known normal errors for every
cell (Breslow & Clayton 1993). It turns coefficients and varying effects into nearly independent coordinates. The
posterior does not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import linalg, optimize, sparse
from scipy.sparse.linalg import splu

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design, GroupTerm
from bayesmig.families import machine, predictors
from bayesmig.families.links import LINKS, Link
from bayesmig.families.record import Answers, Family
from bayesmig.inference.engines import points
from bayesmig.inference.engines.points import Blocks, Part, coefficient_kind, prior_numbers, scale_kind
from bayesmig.inference.kernels import coordinates as kinds
from bayesmig.inference.kernels import hierarchical
from bayesmig.inference.kernels.hierarchical import Cells, Coefficients, Led, Model
from bayesmig.inference.kernels.varying import Factors, Path
from bayesmig.specification.priors import CoefficientPrior, Flat, Normal, Shrinkage

if TYPE_CHECKING:
    import xarray as xr

SIGNABLE = (kinds.HALF_NORMAL, kinds.HALF_STUDENT, kinds.EXPONENTIAL)
MOST_STEPS, CLOSE = 60, 1e-3
LEAST_WEIGHT = 0.02  # of the average working weight: answers that were sure to come say nothing
LEAST_TAU = 0.02
LOG_SIZES = (np.log(1e-3), np.log(1e3))  # between which a family's own parameters may start
JITTER = 0.3
SD_OF_LEVELS = 3.0
LONGEST_STEP = 2.0  # of several predictors that have no units
LINKED = {"identity": kinds.NORMAL, "log": kinds.INCREMENT, "logit": kinds.SHARE}
MANY_GROUPS = 20  # from which the sd between them is known well enough to be left out of the coefficients' scale
MOST_TOGETHER = 40  # groups that rows share which are conditioned on together, for that costs the cube of them
MOST_AS_ONE = 20  # effects of a factor whose levels are known together only
CLEAR = 10.0  # variance between groups, in sampling variances
LEAST_OWN = 0.02  # of a coefficient's variance, without the groups


def refusal(design: Design, centred: Mapping[str, bool]) -> str | None:
    """Why this density does not serve a design; None if it does."""
    if design.latent is not None or design.imputed:
        return "modelled missing values and latent factors have densities of their own"
    if any(group.weights is not None for group in design.groups):
        return "groups have survey weights"
    if told := design.with_prior(Shrinkage):
        return f"{told}, which several coefficients have together"
    if centred:
        return "a parameterisation is prescribed by centred=..."
    if not design.x.shape[1] and not design.categories and not design.groups:
        return "there is no predictor and no group"
    return None


@dataclass(frozen=True)
class PseudoResponse:
    """What stands in for the outcome: working responses and weights of the cells, and what they imply.

    response, weight : (cells,) array: the response without the offset
    centre, turn : (p,) and (p, p) array: coefficients that fit it best, and a root of their covariance
    tau : tuple of (q,) arrays: sds between groups
    growth : tuple of (q, p, p) arrays: how the covariance of the coefficients grows with the squares of these
    own : the family's own parameters, save thresholds
    """

    response: Array
    weight: Array
    centre: Array
    turn: Array
    tau: tuple[Array, ...]
    growth: tuple[Array, ...]
    own: Mapping[str, float]


@dataclass(frozen=True)
class Layout:
    """Which coordinates the points of a design have, and what its density needs."""

    design: Design

    @property
    def family(self) -> Family:
        """What the outcome is."""
        return self.design.spec.distribution

    @property
    def link(self) -> Link:
        """How the linear predictor is tied to it."""
        return LINKS[self.design.spec.link]

    @property
    def ordered(self) -> bool:
        """Whether thresholds take the place of an intercept."""
        return self.family.ordered

    @cached_property
    def led(self) -> Led:
        """What the predictors beyond the first are of; those of thresholds, and of categories, come in their order."""
        names, own = self.design.predictors[1:], [one.name for one in self.family.scalars]
        kind = [-1 if self.ordered else LINKED[predictors.link_of(self.family, name)] for name in names]
        place = [own.index(name) if name in own else k for k, name in enumerate(names)]
        return Led(np.array(place, dtype=np.int64), np.array(kind, dtype=np.int64))

    @cached_property
    def groups(self) -> tuple[GroupTerm, ...]:
        """Grouping factors from coarse to fine, first those to all of whose groups a row may belong."""
        return tuple(sorted(self.design.groups, key=lambda group: len(group.levels) * (group.amounts is None)))

    @cached_property
    def x(self) -> Array:
        """Columns of the coefficients ``(n, p)``: the level of thresholds, if there are any, then those of the design.

        Each predictor's are centred beside its intercept or thresholds, so that priors of levels concern people at the
        means.
        """
        x = self.design.x - self.design.centre
        return np.column_stack([np.ones(len(x)), x]) if self.ordered else x

    @property
    def of_x(self) -> Codes:
        """Which predictor each of these belongs to."""
        return np.asarray(np.r_[np.zeros(int(self.ordered), int), self.design.owners.terms])

    @cached_property
    def prior_of_coefficients(self) -> tuple[Codes, Array, Array, Array]:
        """Kinds of coordinates, where they are counted from, and two numbers of each prior: means and sds, infinite
        where flat; of a t or Laplace distribution those of its half, from its mean."""
        design = self.design
        chosen = (*((Flat(),) if self.ordered else ()), *design.term_priors)
        first, second = np.array([prior_numbers(prior) for prior in chosen]).reshape(-1, 2).T
        kind = np.array([coefficient_kind(prior) for prior in chosen], dtype=np.int64)
        centred = [isinstance(prior, CoefficientPrior) and not isinstance(prior, Normal) for prior in chosen]
        mean = [prior.mean if away else 0.0 for prior, away in zip(chosen, centred, strict=True)]
        return kind, np.array(mean), np.ascontiguousarray(first), np.ascontiguousarray(second)

    @property
    def normal_priors(self) -> tuple[Array, Array]:
        """Means and sds of the coefficients' priors; the sds are infinite where these are flat, or no normal ones."""
        kind, _, mean, sd = self.prior_of_coefficients
        return mean, np.where(kind == kinds.NORMAL, sd, np.inf)

    @cached_property
    def cells(self) -> Cells:
        """Rows that are alike put together, which changes the density by a constant."""
        design, groups = self.design, self.groups
        weight = np.ones(design.n) if design.weights is None else design.weights
        outcome, trials, root = design.answers
        if design.weight_kind == "precision":
            weight = np.ones(design.n)
        offset = np.zeros(design.n) if design.offset is None else design.offset
        taken = [group.columns for group in groups]
        key = [self.x, *(group.codes[:, None] for group in groups), *taken]
        key += [np.column_stack([offset, root])]
        key += [] if self.family.additive else [outcome[:, None], trials[:, None]]
        frame = pd.DataFrame(np.hstack(key))
        cell = frame.groupby(list(frame), sort=False).ngroup().to_numpy()
        first = np.unique(cell, return_index=True)[1]
        summed = [np.bincount(cell, weight * values) for values in (outcome, trials, np.ones(design.n))]
        y, total, count = summed if self.family.additive else (outcome[first], trials[first], summed[2])
        starts = np.cumsum([0, *(len(group.levels) * len(group.effects) for group in groups)])
        column: list[Any] = [np.zeros((len(first), 0), dtype=np.int64)]
        amount: list[Any] = [np.zeros((len(first), 0))]
        for start, group, columns in zip(starts, groups, taken, strict=False):
            column.append(start + group.codes[first, None] * len(group.effects) + np.arange(group.width)[None])
            amount.append(columns[first])
        own = np.ones(len(first)) if self.family.additive else count
        parts = (y, total, offset[first], own, root[first], self.x[first], np.hstack(column), np.hstack(amount))
        owners = (np.resize(self.design.owners.effects[group.name], group.width) for group in groups)
        of_amount = np.concatenate([np.zeros(0, int), *owners])
        return Cells(*(np.ascontiguousarray(part) for part in (*parts, self.of_x, of_amount)))

    @cached_property
    def fixed(self) -> int:
        """The threshold that the level stands for."""
        return (len(self.design.categories) - 1) // 2 if self.ordered else 0

    @cached_property
    def cut(self) -> Array:
        """Thresholds about the fixed one, if nothing explained the answers."""
        design = self.design
        if not self.ordered:
            return np.zeros(0)
        counts = np.bincount(design.y.astype(int), design.weights, len(design.categories)) + 0.5
        found = self.family.guess(self.link, counts)
        return np.asarray(found - found[self.fixed])

    def _first_predictor(self, spread: float) -> Array:
        """Linear predictors ``(cells, H)`` that no column has entered yet."""
        cells = self.cells
        eta = np.zeros((len(cells.y), len(self.design.predictors)))
        if self.ordered:
            counts = np.bincount(self.design.y.astype(int), minlength=len(self.design.categories)) + 0.5
            eta[:, 0] = -self.family.guess(self.link, counts)[self.fixed]
            return eta
        eta[:, 0] = self.family.guess(self.link, cells.y, cells.trials)
        if len(self.led.place):  # a residual of zero says nothing of how large residuals are
            eta[:, 0] = np.average(eta[:, 0], weights=cells.weight)
        starts = predictors.starts(self.family, spread)
        eta[:, 1:] = [starts.get(name, 0.0) for name in self.design.predictors[1:]]
        return eta

    @property
    def _answers(self) -> Answers:
        return Answers(self.cells.y, self.cells.trials, self.cells.root)

    def _at_cells(self, eta: Array, own: Mapping[str, float]) -> tuple[Array, dict[str, Any]]:
        """The first linear predictor and all parameters of the family, at cells where they have predictors."""
        cut = {"cut": self.cut} if self.ordered else {}
        return predictors.split(self.family, self.design.predictors, eta, {**own, **cut})

    def _working(self, eta: Array, own: Mapping[str, float]) -> tuple[Array, Array]:
        """Derivatives ``(cells, H)`` of each cell's log density by its predictors: first, and minus second; weighted.

        The second of a parameter on the log scale is that of an average cell, for a single one says hardly more of it
        than of the outcome.
        """
        count, weight = len(self.design.predictors), self.cells.weight[:, None]
        main, everything = self._at_cells(eta, own)
        with np.errstate(all="ignore"):
            if self.family.working is not None and count == 1:
                first, second = self.family.working(self.link, self._answers, main, everything)
                return weight * first[:, None], weight * second[:, None]
            curves = self.family.derivatives(self.link, self._answers, main, everything)
            slope, curvature = predictors.along(self.family, self.design.predictors, everything, curves)
        told = -np.diagonal(curvature, axis1=1, axis2=2)[:, :count].copy()
        for place in 1 + np.flatnonzero(self.led.kind == kinds.INCREMENT):
            told[:, place] = np.average(np.maximum(told[:, place], 0.0), weights=self.cells.weight)
        return weight * slope[:, :count], weight * told

    @cached_property
    def pseudo(self) -> PseudoResponse:
        """Penalised working responses, sds between groups by Schall's (1991) steps."""
        cells, p, of = self.cells, self.x.shape[1], self.design.owners
        size, n, count = int(cells.column.max(initial=-1)) + 1, len(cells.y), len(of.names)
        stacked = []
        for h in range(count):
            row = np.repeat(np.arange(n), cells.column.shape[1])
            amount = cells.amount * (cells.of_amount == h)
            varying = sparse.csr_array((amount.ravel(), (row, cells.column.ravel())), (n, size))
            stacked.append(sparse.hstack([sparse.csr_array(cells.x * (cells.of_x == h)), varying]))
        whole = sparse.csc_array(sparse.vstack(stacked))
        offset = np.zeros((n, count))
        offset[:, 0] = cells.offset
        tau = [0.5 * np.array(unit_sizes(self.design, group)) for group in self.groups]
        places = np.cumsum([p, *(len(group.levels) * len(group.effects) for group in self.groups)])
        spread = max(self.design.moments[3], 1e-12)
        eta, far = self._first_predictor(spread), int(self.link.name == "identity")
        kind, place, mean, sd = self.prior_of_coefficients
        mean = np.where(kind >= kinds.SIGNED, place, mean)
        levels = (kind != kinds.NORMAL) & (kind < kinds.SIGNED)  # of further parameters, near where these begin
        mean, sd = np.where(levels, eta[0, self.of_x], mean), np.where(levels, SD_OF_LEVELS, sd)
        for step in range(MOST_STEPS):
            own = self._own(eta, spread)
            first, told = self._working(eta, own)
            weight = np.maximum(told, LEAST_WEIGHT * np.abs(told).mean(axis=0))
            response = eta - offset + first / weight
            penalty = np.concatenate(
                [
                    sd**-2.0,
                    *(np.tile(own**-2.0, len(group.levels)) for own, group in zip(tau, self.groups, strict=True)),
                ]
            )
            used = [own.copy() for own in tau]
            flat = weight.T.ravel()
            information = sparse.csc_array(whole.T @ (whole * flat[:, None])) + sparse.diags_array(penalty)
            solver = splu(sparse.csc_matrix(information))
            pull = whole.T @ (flat * response.T.ravel())
            pull[:p] += np.where(np.isinf(sd), 0.0, mean) * penalty[:p]
            found = solver.solve(np.asarray(pull))
            after = (whole @ found).reshape(count, n).T + offset
            if count > 1:  # they may turn each other round for ever, unless steps grow shorter
                longest = LONGEST_STEP * 0.9**step
                after[:, far:] = eta[:, far:] + np.clip(after[:, far:] - eta[:, far:], -longest, longest)
            moved, eta = float(np.max(np.abs(after - eta), initial=0.0)), after
            for k, group in enumerate(self.groups):
                effects = found[places[k] : places[k + 1]].reshape(len(group.levels), -1)
                certain = information.diagonal()[places[k] : places[k + 1]].reshape(effects.shape)
                free = len(effects) - (1 / certain / tau[k] ** 2).sum(axis=0)
                least = LEAST_TAU * np.array(unit_sizes(self.design, group))
                tau[k] = np.maximum(np.sqrt((effects**2).sum(axis=0) / np.maximum(free, 0.5)), least)
            if "sigma" in own:
                left = (response + offset - eta)[:, 0]
                shrunk = float(np.sqrt(np.maximum(told[:, 0], 0.0) @ left**2 / cells.weight.sum()))
                if self.family.ends or self.family.bounds:  # a step of the EM algorithm, for what is not seen scatters
                    at = self._at_cells(eta, own)
                    by_sigma = self.family.derivatives(self.link, self._answers, *at)[0][:, 1]
                    squares = 1 + own["sigma"] * np.average(by_sigma, weights=cells.weight)
                    shrunk = float(np.sqrt(np.clip(squares, 0.1, 10.0)))
                spread *= max(shrunk, 1e-3)
            if moved < CLOSE * max(spread, 1e-12):
                break
        identity = np.zeros((whole.shape[1], p))
        identity[:p] = np.eye(p)
        solved = solver.solve(identity) if p else identity
        covariance, growth = solved[:p], []
        for k, group in enumerate(self.groups):
            shared = solved[places[k] : places[k + 1]].reshape(len(group.levels), len(group.effects), p)
            growth.append(np.einsum("jqa,jqb->qab", shared, shared) / used[k][:, None, None] ** 4)
        turn = linalg.cholesky((covariance + covariance.T) / 2, lower=True) if p else covariance
        return PseudoResponse(response, weight, found[:p], turn, tuple(tau), tuple(growth), self._own(eta, spread))

    def _own(self, eta: Array, spread: float) -> dict[str, float]:
        """The residual sd, usual values, and for other parameters those that are most likely at a linear predictor."""
        usual = {one.name: spread if one.name == "sigma" else one.start for one in self.design.scalars}
        own = {name: value for name, value in usual.items() if value is not None}
        for name in usual:
            if name not in own:
                own[name] = self._likeliest(name, eta, own)
        return {name: own[name] for name in usual}

    def _likeliest(self, name: str, eta: Array, own: Mapping[str, float]) -> float:
        main, everything = self._at_cells(eta, own)

        def loss(log_size: float) -> float:
            size = {name: np.exp(log_size)}
            return -float(
                self.cells.weight @ self.family.log_density(self.link, self._answers, main, everything | size)
            )

        return float(np.exp(optimize.minimize_scalar(loss, bounds=LOG_SIZES, options={"xatol": 0.05}).x))

    @cached_property
    def blocks(self) -> Blocks:
        """Coefficients, the family's own parameters, and of each grouping factor sds, correlations and effects."""
        return Blocks.of(self._parts())

    def _parts(self) -> Iterator[Part]:
        design, pseudo = self.design, self.pseudo
        yield Part.free("coefficients", len(pseudo.centre), JITTER)
        for name, value in pseudo.own.items():
            prior = design.priors.auxiliary[name]
            start = predictors.forward(predictors.link_of(self.family, name), value)
            yield Part(name, [scale_kind(prior)], [prior], start, JITTER)
        steps = np.diff(self.cut)
        kind, begin = (kinds.INCREMENT, np.log(steps)) if self.family.rising else (kinds.NORMAL, steps)
        yield Part("cut", [kind] * len(steps), [Flat()] * len(steps), begin, JITTER)
        for group, tau, is_one in zip(self.groups, pseudo.tau, self._as_one_block, strict=True):
            priors = design.priors.tau[group.name]
            of = [scale_kind(prior) for prior in priors]
            signed = not group.pairs and all(kind in SIGNABLE for kind in of)
            signed &= group.amounts is None and not (is_one and self._plainly_differing(group, tau))
            own = [kind + kinds.SIGNED * signed for kind in of]
            yield Part(f"tau_{group.name}", own, list(priors), tau if signed else np.log(tau), JITTER)
            shapes = group.partial_shapes(design.priors.eta(group.name)) if group.pairs else ()
            yield Part.partial(f"partial_{group.name}", shapes, JITTER)
            yield Part.free(f"u_{group.name}", len(group.levels) * len(group.effects), JITTER)

    def begin(self, seed: int) -> Array:
        """A point to start from."""
        start = self.blocks.begin
        moved = self.blocks.jitter * np.random.default_rng(seed).standard_normal(len(start))
        signed = self.blocks.coordinates.kind >= kinds.SIGNED
        return np.where(signed, start * np.exp(moved), start + moved)

    def model(self) -> Model:
        """What the density needs; every thread needs its own, for the room to work in."""
        return self._whole._replace(path=_path(self._whole.factors))

    @cached_property
    def _whole(self) -> Model:
        blocks, prior = self.blocks, self.design.priors.auxiliary.get("cut")
        place, spread = prior_numbers(prior) if prior is not None else (0.0, 1.0)
        factors = self._factors(self.pseudo)
        return Model(
            blocks.coordinates,
            self._coefficients(self.pseudo),
            self.cells,
            factors,
            _path(factors),
            self.places_of_own,
            self.led,
            blocks.start("cut"),
            self.fixed,
            np.full(len(self.cut), place),
            np.full(len(self.cut), spread),
        )

    @property
    def places_of_own(self) -> Codes:
        """Places in a point of the family's own parameters; below zero of those that have predictors."""
        led = self.design.predictors[1:]
        names = [one.name for one in self.family.scalars] or ([] if self.ordered else led)
        return np.array([-1 if name in led else self.blocks.start(name) for name in names], dtype=np.int64)

    def density(self, model: Model | None = None) -> points.Evaluate:
        """The log density of a point and its gradient, in machine code; one a thread, for it has room to work in."""
        machine.compile_all()
        model, rows = model or self.model(), machine.rows(self.family.rows[self.link.name])
        fast = machine.entry(hierarchical.log_density, self.begin(0), model, rows)
        return lambda point: fast(point, model, rows)

    def _coefficients(self, pseudo: PseudoResponse) -> Coefficients:
        """Coordinates of the coefficients, in directions that differ in how much sds between few groups matter."""
        p, growth = len(pseudo.centre), []
        squares, scales = [], []
        for group, tau, own in zip(self.groups, pseudo.tau, pseudo.growth, strict=True):
            for effect in range(len(group.effects) if p and len(group.levels) < MANY_GROUPS else 0):
                half = linalg.solve_triangular(pseudo.turn, own[effect], lower=True)
                growth.append(linalg.solve_triangular(pseudo.turn, half.T, lower=True))
                squares.append(tau[effect] ** 2)
                scales.append(self.blocks.start(f"tau_{group.name}") + effect)
        turned = np.linalg.eigh(np.tensordot(squares, growth, 1))[1] if growth else np.eye(p)
        share = np.array([np.einsum("ij,ik,kj->j", turned, one, turned) for one in growth]).reshape(-1, p).T
        return Coefficients(
            pseudo.centre,
            np.ascontiguousarray(pseudo.turn @ turned),
            *self.prior_of_coefficients,
            np.maximum(1 - share @ np.array(squares), LEAST_OWN),
            np.ascontiguousarray(share),
            np.array(scales, dtype=np.int64),
        )

    def _plainly_differing(self, group: GroupTerm, tau: Array) -> bool:
        """Whether sds between few groups are so far from zero that the logs of them are the better coordinates."""
        weight = self.pseudo.weight.mean(axis=0)[self.design.owners.effects[group.name]]
        told = (group.z**2).sum(axis=0) * weight * len(self.cells.y) / self.design.n
        return bool((tau**2 * told / len(group.levels) > CLEAR).all())

    @cached_property
    def _as_one_block(self) -> list[bool]:
        """Which factors have levels that are known together only: few, without correlations, that a finer factor does
        not lie in, or such that a row belongs to all of them."""
        codes = [group.codes for group in self.groups]
        found = []
        for g, group in enumerate(self.groups):
            if group.amounts is not None:
                found.append(group.width <= MOST_TOGETHER)
                continue
            small = len(group.levels) * len(group.effects) <= MOST_AS_ONE and not group.pairs
            crossed = [len(np.unique(np.column_stack([fine, codes[g]]), axis=0)) for fine in codes[g + 1 :]]
            own = [len(np.unique(fine)) for fine in codes[g + 1 :]]
            found.append(small and any(pairs > levels for pairs, levels in zip(crossed, own, strict=True)))
        return found

    def _factors(self, pseudo: PseudoResponse) -> Factors:
        cells, weight = self.cells, pseudo.weight
        table: list[list[int]] = []
        information, shared, amounts = [], [], []
        pairs: list[tuple[int, int]] = []
        links: list[Codes] = []
        size = sum(len(group.levels) * len(group.effects) for group in self.groups)
        target, tilt = np.zeros(size), np.zeros((size, self.x.shape[1]))
        np.add.at(target, cells.column, cells.amount * (weight * pseudo.response)[:, cells.of_amount])
        for k, of in enumerate(cells.of_amount):
            own_x = cells.x * (cells.of_x == of)
            np.add.at(tilt, cells.column[:, k], own_x * (weight[:, of] * cells.amount[:, k])[:, None])
        first = start = corner = column = 0
        spans = []
        for group, is_one in zip(self.groups, self._as_one_block, strict=True):
            levels, q = len(group.levels), len(group.effects)
            taken = slice(column, column + group.width)
            z, of = cells.amount[:, taken], cells.of_amount[taken]
            code = (cells.column[:, column] - first) // q if q else np.zeros(len(z), np.int64)
            places = [self.blocks.start(f"{what}_{group.name}") for what in ("tau", "partial", "u")]
            column += group.width
            own_sds = q
            if is_one and group.amounts is not None:
                levels, q = 1, group.width
            elif is_one:
                z = np.einsum("nj,nq->njq", code[:, None] == np.arange(levels), z).reshape(len(z), levels * q)
                code, levels, q, of = np.zeros_like(code), 1, levels * q, np.tile(of, levels)
            told = z * weight[:, of]
            own = np.zeros((levels, q, q))
            if group.amounts is not None and not is_one:
                # one by one, as if rows belonged to each alone: any coordinates give the same posterior
                own[:, 0, 0] = (told * z).sum(axis=0)
            else:
                np.add.at(own, code, told[:, :, None] * z[:, None, :] * np.equal.outer(of, of))
                spans.append((len(table), code, z, told, of))
            table.append([levels, q, *places, first, start, len(pairs), len(group.pairs), corner, own_sds])
            pairs += [(j, i) for i, j in group.pairs]
            information.append(own.ravel())
            first, start, corner = first + levels * q, start + levels * q * q, corner + q * q
        count = 0
        for k, (f, fine, _, told, of_fine) in enumerate(spans):
            for g, coarse, z_coarse, _, of_coarse in spans[:k]:
                both, place = np.unique(np.column_stack([fine, coarse]), axis=0, return_inverse=True)
                product = np.zeros((len(both), told.shape[1], z_coarse.shape[1]))
                alike = np.equal.outer(of_fine, of_coarse)
                np.add.at(product, place.ravel(), told[:, :, None] * z_coarse[:, None, :] * alike)
                shared.append([f, g, sum(map(len, links)), sum(map(len, links)) + len(both), count])
                links.append(both)
                amounts.append(product.ravel())
                count += product.size
        row, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return Factors(
            np.array(table, dtype=np.int64).reshape(-1, 11),
            np.ascontiguousarray(row),
            np.ascontiguousarray(other),
            np.concatenate([np.zeros(0), *information]),
            target,
            tilt,
            np.array(shared, dtype=np.int64).reshape(-1, 5),
            np.concatenate([np.zeros((0, 2), dtype=np.int64), *links]),
            np.concatenate([np.zeros(0), *amounts]),
        )


def _path(factors: Factors) -> Path:
    """Room for what the density writes down on its way."""
    corners, largest = int((factors.table[:, 1] ** 2).sum()), int(factors.table[:, 1].max(initial=0))
    size, squares = len(factors.target), len(factors.information)
    lengths = [corners, corners, len(factors.row), *[size] * 5, *[squares] * 6, size, corners, 3 * largest**2]
    return Path(*(np.zeros(length) for length in lengths))


def unit_sizes(design: Design, group: GroupTerm) -> list[float]:
    """Sizes that varying effects may have, by effect; in predictors beyond the first they count ones."""
    size = np.sqrt((group.z**2).mean(axis=0))
    unit = np.where(design.owners.effects[group.name], 1.0, design.moments[3])
    return list(unit / np.where(size > 0, size, 1.0))


def nutpie_model(layout: Layout) -> Any:
    """The density as nutpie takes it."""
    return points.nutpie_model(layout.blocks.dimension, layout.density, layout.begin)


def draws(layout: Layout, posterior: xr.Dataset) -> dict[str, Array]:
    """What was sampled as the quantities of the contract, chain and draw in front.

    ``posterior``: with the variable ``point``.
    """
    sampled = posterior["point"].transpose("chain", "draw", ...).to_numpy().astype(float)
    shape = sampled.shape[:2]
    coefficients, cut, effects, value = hierarchical.expanded(
        np.ascontiguousarray(sampled.reshape(-1, sampled.shape[-1])), layout.model()
    )
    own = {name: value[:, place] for name, place in layout.blocks.places.items()}
    return quantities(layout, shape, coefficients, cut, effects, own)


def quantities(
    layout: Layout,
    shape: tuple[int, ...],
    coefficients: Array,
    cut: Array,
    effects: Array,
    own: Mapping[str, Array],
) -> dict[str, Array]:
    """Quantities of the contract from draws, one a row; ``shape`` takes the place of the rows.

    ``coefficients`` and ``cut``, thresholds about the fixed one, as the density has them; ``effects`` of all factors
    side by side; ``own``: parameters of the family, sds and partial correlations by name.
    """
    design = layout.design
    beta = design.at_zero(coefficients[:, int(layout.ordered) :])
    values: dict[str, Array] = {"beta": beta.reshape(*shape, -1)}
    for name in design.priors.auxiliary:
        if name == "cut":
            values[name] = (cut - coefficients[:, :1]).reshape(*shape, -1) + design.cut_levels(values["beta"])
        else:
            values[name] = own[name][:, 0].reshape(shape)
    first = 0
    for group in layout.groups:
        q, levels = len(group.effects), len(group.levels)
        values[f"tau_{group.name}"] = abs(own[f"tau_{group.name}"]).reshape(*shape, -1)
        if group.rho_names:
            values[f"rho_{group.name}"] = group.rho_of(own[f"partial_{group.name}"].reshape(*shape, -1))
        values[f"u_{group.name}"] = effects[:, first : first + levels * q].reshape(*shape, levels, q)
        first += levels * q
    return values
