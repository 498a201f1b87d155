"""Design: the one middle value that every engine and estimator reads."""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.contract.names import cutpoints, for_factor, of_factor, pieces, smooth_of
from bayesmig.errors import DataError, SpecificationError, closest, listing
from bayesmig.families.brackets import middle
from bayesmig.families.links import LINKS
from bayesmig.families.record import Answers, Parameter
from bayesmig.specification.model import Factor, ModelSpec
from bayesmig.specification.neighbours import Structure
from bayesmig.specification.priors import LKJ, R2D2, Beta, CoefficientPrior, Flat, Pooled, Prior, ScalePrior, Shrinkage

if TYPE_CHECKING:
    import pandas as pd

LEAST_LEFT = 1e-13  # of a column's variance beside its lower terms: less than that is rounding


@dataclass(frozen=True)
class Assigned:
    """Which of several linear predictors each column belongs to.

    Attributes
    ----------
    names : tuple of str
        Of the predictors: categories; or the outcome's own, empty, and then thresholds or parameters of the family.
    terms : (p,) int array
        Position of the predictor of each common column.
    effects : mapping of str to (q,) int array
        The same of varying effects, by grouping factor.
    """

    names: tuple[str, ...]
    terms: Codes
    effects: Mapping[str, Codes]

    def spread(self, columns: Array, owner: Codes) -> Array:
        """Columns ``(n, q)`` as ``(n, predictors, q)``, zero where they belong to others."""
        return np.asarray(columns[:, None, :] * np.equal.outer(np.arange(len(self.names)), owner))


class Deviations(NamedTuple):
    """Columns of a smooth that deviate from a straight line, whose coefficients have one sd; their places as terms."""

    name: str
    places: list[int]


UNIFORM = Beta(1, 1, why="Any from no likeness of neighbours to nothing but likeness.")
INSIDE = (1e-12, 1 - 1e-12)  # where the logs of a share are finite


class Correlated:
    """Effects in blocks; those of one block are correlated with each other."""

    effects: tuple[str, ...]
    blocks: tuple[tuple[int, ...], ...]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of effects whose correlation is estimated."""
        return tuple((i, j) for block in self.blocks for k, i in enumerate(block) for j in block[k + 1 :])

    @property
    def pair_names(self) -> tuple[str, ...]:
        """Those pairs by name, as in ``intercept,age``."""
        return tuple(f"{self.effects[i]},{self.effects[j]}" for i, j in self.pairs)

    def partial_shapes(self, eta: float) -> Array:
        """Shapes of the beta distribution of ``(partial correlation + 1) / 2`` under LKJ(eta), one a pair.

        Lewandowski, Kurowicka & Joe 2009, section 2.4: pair (i, j) of a block of m effects has eta + (m - 2 - i) / 2.
        """
        return np.array(
            [eta + (len(block) - 2 - i) / 2 for block in self.blocks for i in range(len(block)) for _ in block[i + 1 :]]
        )

    def log_prior(self, partial: Array, eta: float) -> Array:
        """Log density ``(...)`` of partial correlations ``(..., pairs)`` under LKJ(eta)."""
        shapes = self.partial_shapes(eta)
        within = np.log1p(-(partial**2) + 1e-16) * (shapes - 1)
        return np.asarray((within - (2 * shapes - 1) * math.log(2) - special.betaln(shapes, shapes)).sum(axis=-1))

    def correlation_root(self, partial: Array) -> Array:
        """Cholesky factor ``(..., q, q)`` of the correlations with these canonical partial correlations, (..., pairs).

        Lewandowski, Kurowicka & Joe 2009, section 2.
        """
        q, place = len(self.effects), {pair: k for k, pair in enumerate(self.pairs)}
        root = np.zeros((*partial.shape[:-1], q, q))
        for block in self.blocks:
            for row, i in enumerate(block):
                left = np.ones(partial.shape[:-1])
                for j in block[:row]:
                    correlation = partial[..., place[j, i]]
                    root[..., i, j] = correlation * np.sqrt(left)
                    left = left * (1 - correlation**2)
                root[..., i, i] = np.sqrt(left)
        return root

    def correlations(self, root: Array) -> Array:
        """Correlations of the pairs, (..., pairs), from that factor."""
        matrix = root @ np.swapaxes(root, -1, -2)
        rows, columns = np.array(self.pairs, dtype=np.int64).reshape(-1, 2).T
        return np.asarray(matrix[..., rows, columns])


class Grouped(Correlated):
    """A grouping factor without its rows.

    Its columns stand as the formula has them, or in a design that is :attr:`Outline.centred` or
    :attr:`Design.whitened`, ``z @ turn``: an intercept at zero of a calendar year says nothing of any year that was
    seen.
    """

    name: str
    levels: tuple[str, ...]
    weights: Array | None
    turn: Array | None
    amounts: Array | None = None
    structure: Structure | None = None

    @property
    def rho_names(self) -> tuple[str, ...]:
        """Correlations by name: of pairs of effects, or the one number that a structure has."""
        own = self.structure.parameter if self.structure is not None else ""
        return (own,) if own else self.pair_names

    def rho_of(self, partial: Array) -> Array:
        """Correlations ``(..., k)`` from numbers as many between -1 and 1: of pairs partial ones."""
        return (1 + partial) / 2 if self.structure is not None else self.correlations(self.correlation_root(partial))

    def log_prior_of_rho(self, partial: Array, prior: LKJ | Beta) -> Array:
        """Log prior density of these numbers, ``(...)``."""
        if isinstance(prior, LKJ):
            return self.log_prior(partial, prior.eta)
        return np.asarray(prior.log_density(np.clip(self.rho_of(partial[..., 0]), *INSIDE)) - math.log(2))

    def scaled_root(self, sd: Array, partial: Array) -> Array:
        """What independent effects are multiplied by, from sds ``(B, q)``: Cholesky factors ``(B, q, q)``.

        With a structure of J effects ``(B, J, J)``, or ``(B, J, 1)`` where it gives each an sd of its own.
        """
        if self.structure is not None:
            return np.asarray(sd[:, :, None] * self.structure.root(self.rho_of(partial[:, 0])))
        return np.asarray(sd[:, :, None] * self.correlation_root(partial))

    def centring(self, means: Array) -> Array:
        """``(q, q)`` matrix that takes their means from columns whose effects are correlated with an intercept's."""
        turn = np.eye(len(self.effects))
        for block in self.blocks:
            for place in block:
                owner, effect = of_factor(self.effects[place])
                if effect == "intercept":
                    slopes = [k for k in block if k != place and of_factor(self.effects[k])[0] == owner]
                    turn[place, slopes] = -means[slopes]
        return turn

    def covariance(self, values: Mapping[str, Array]) -> Array:
        """Covariance matrices ``(..., q, q)`` of the effects, from ``tau_<group>`` and ``rho_<group>``.

        With an sd of zero an estimate may have no correlation.
        """
        tau = values[f"tau_{self.name}"]
        matrices = tau[..., None] ** 2 * np.eye(len(self.effects))
        for k, (i, j) in enumerate(self.pairs):
            product = tau[..., i] * tau[..., j]
            shared = np.where(product > 0, np.nan_to_num(values[f"rho_{self.name}"][..., k]) * product, 0.0)
            matrices[..., i, j] = matrices[..., j, i] = shared
        return matrices

    def at_zero(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """The values with ``u_<group>``, ``tau_<group>`` and ``rho_<group>`` as the formula has the columns."""
        return self._turned(values, self.turn)

    def turned(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """The values that :meth:`at_zero` was given."""
        return self._turned(values, None if self.turn is None else np.linalg.inv(self.turn))

    def _turned(self, values: Mapping[str, Array], matrix: Array | None) -> dict[str, Array]:
        found = dict(values)
        if matrix is None or self.structure is not None:  # one effect, which nothing turns
            return found
        if f"u_{self.name}" in values:
            found[f"u_{self.name}"] = values[f"u_{self.name}"] @ matrix.T
        if f"tau_{self.name}" in values:
            covariance = matrix @ self.covariance(values) @ matrix.T
            tau = np.sqrt(np.maximum(np.diagonal(covariance, axis1=-2, axis2=-1), 0.0))
            first, second = np.array(self.pairs, dtype=np.int64).reshape(-1, 2).T
            with np.errstate(invalid="ignore", divide="ignore"):  # an sd of zero has no correlation
                rho = covariance[..., first, second] / (tau[..., first] * tau[..., second])
            found |= {f"tau_{self.name}": tau, f"rho_{self.name}": np.clip(rho, -1.0, 1.0)}
        return found

    @property
    def spread(self) -> Array:
        """``(J, 1)`` factors of the sds: a normal density to the power w is that of w times the precision."""
        weights = np.ones(len(self.levels)) if self.weights is None else self.weights
        return 1 / np.sqrt(weights)[:, None]

    @property
    def unpaired(self) -> float:
        """How many densities fewer than groups there are, 0 where weights average one.

        Densities to the powers w and the Jacobian of standardised effects leave ``(J - sum w) log |L|``.
        """
        excess = 0.0 if self.weights is None else len(self.levels) - float(self.weights.sum())
        return excess if abs(excess) > 1e-9 * len(self.levels) else 0.0


@dataclass(frozen=True)
class GroupTerm(Grouped):
    """The varying effects of one grouping factor.

    name : ``neighbourhood``, or ``province:city`` for cities nested in provinces
    effects : ``intercept`` and slopes, named like terms
    codes : (n,) int array: which group each row belongs to; J where none is its only one
    z : (n, q) array: the effects' columns
    blocks : which effects are correlated with each other; ``((0, 1),)`` for ``(1 + x | g)``
    weights : (J,) array or None: power of each group's density of effects, under survey weights for groups
    turn : (q, q) array or None: what the columns have been turned by
    amounts : (n, J) array or None: how much each row belongs to each group, where it does not belong to one
    structure : Structure or None: how effects of groups are alike
    """

    name: str
    levels: tuple[str, ...]
    effects: tuple[str, ...]
    codes: Codes
    z: Array
    blocks: tuple[tuple[int, ...], ...]
    weights: Array | None = None
    turn: Array | None = None
    amounts: Array | None = None
    structure: Structure | None = None

    @property
    def width(self) -> int:
        """How many effects a row takes."""
        return len(self.effects) if self.amounts is None else self.amounts.shape[1]

    @property
    def columns(self) -> Array:
        """``(n, q)``, or of a factor with amounts ``(n, J)``: what the effects that a row takes are multiplied by."""
        return self.z if self.amounts is None else self.amounts * self.z

    @cached_property
    def sizes(self) -> Codes:
        """Rows per group, length J."""
        if self.amounts is not None:
            return np.asarray((self.amounts != 0).sum(axis=0))
        return np.bincount(self.codes, minlength=len(self.levels))

    def of_predictors(self) -> Iterator[GroupTerm]:
        """The effects of each linear predictor by themselves, under their plain names."""
        owners = [of_factor(effect)[0] for effect in self.effects]
        for owner in dict.fromkeys(owners):
            places = [k for k, other in enumerate(owners) if other == owner]
            blocks = (tuple(places.index(k) for k in block if k in places) for block in self.blocks)
            effects = tuple(plain_term(self.effects[k]) for k in places)
            own = tuple(block for block in blocks if block)
            yield dataclasses.replace(self, effects=effects, z=self.z[:, places], blocks=own)


@dataclass(frozen=True)
class LatentOutcome(Correlated):
    """The items of the latent factors that are the outcome.

    ``factors``: in the order of the specification. ``items``, (n, k) array: answers: numbers, or codes 0, 1, ... of
    ordered categories; NaN where there is none. ``owner``, (k,) int array: the factor that each item belongs to.
    ``categories``: of each ordinal item, in order; empty for continuous ones.
    """

    factors: tuple[Factor, ...]
    items: Array
    names: tuple[str, ...]
    owner: Codes
    categories: tuple[tuple[str, ...], ...]

    @property
    def effects(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the factors, whose residuals are correlated."""
        return tuple(factor.name for factor in self.factors)

    @property
    def blocks(self) -> tuple[tuple[int, ...], ...]:  # type: ignore[override]
        """One block: every pair of factors has a residual correlation."""
        return (tuple(range(len(self.factors))),)

    @property
    def is_ordinal(self) -> bool:
        """Whether the items are ordered categories."""
        return self.factors[0].scale == "ordinal"

    @property
    def link(self) -> str:
        """Link of ordinal items; empty for continuous ones."""
        return self.factors[0].link

    @property
    def has_markers(self) -> bool:
        """Whether each factor counts in units of one of its items."""
        return bool(self.factors[0].marker)

    @cached_property
    def first(self) -> Codes:
        """Position of the item that fixes each factor's direction, and with markers its unit."""
        return np.array([self.names.index(factor.first) for factor in self.factors])

    @property
    def cut_names(self) -> tuple[str, ...]:
        """Thresholds of all ordinal items by name, as in ``work:1|2``."""
        steps = zip(self.names, map(cutpoints, self.categories), strict=True)
        return tuple(f"{name}:{cut}" for name, cuts in steps for cut in cuts)

    @cached_property
    def answered(self) -> Flags:
        """Which answers there are, (n, k)."""
        return ~np.isnan(self.items)


class Brackets(NamedTuple):
    """Brackets of an outcome, from the lowest: names, ends ``(k, 2)``, and whether no number is seen exactly."""

    names: tuple[str, ...]
    ends: Array
    everywhere: bool


@dataclass(frozen=True)
class Imputed:
    """A numeric predictor whose missing values are modelled.

    rows : (m,) int array: rows without a value; ``x`` holds the mean of the others there
    standard : (n,) array: the values in sds from the mean of those given, zero in the gaps
    mean, sd : of the values given, in the units that the predictor has in the design
    slopes : (m, p) array: what one sd more changes in the rows of the design
    columns : (n, k) array: what the predictor is regressed on: ones, and the complete columns of the design in sds
    """

    name: str
    rows: Codes
    standard: Array
    mean: float
    sd: float
    slopes: Array
    columns: Array


@dataclass(frozen=True)
class Scaling:
    """How one predictor was standardised: ``(x - mean) / sd``, with the sd of persons or of groups."""

    mean: float
    sd: float
    by: str


@dataclass(frozen=True)
class ResolvedPriors:
    """Priors in raw units, one for every parameter of a design.

    Those of ``slopes`` are of all terms but the intercept, intercepts of further predictors at the means among them:
    where these are of a parameter, its own prior.
    """

    intercept: Prior
    slopes: tuple[Prior, ...]
    auxiliary: Mapping[str, Prior]
    tau: Mapping[str, tuple[ScalePrior, ...]]
    rho: Mapping[str, LKJ | Beta]
    smooths: Mapping[str, ScalePrior] = field(default_factory=dict)
    items: Mapping[str, tuple[Prior, ...]] = field(default_factory=dict)
    psi: tuple[ScalePrior, ...] = ()

    @property
    def sigma(self) -> ScalePrior:
        """Prior of the residual sd, in families that have one."""
        return self.auxiliary["sigma"]  # type: ignore[return-value]

    def eta(self, name: str) -> float:
        """Shape of the prior of correlations of a factor's effects."""
        prior = self.rho[name]
        assert isinstance(prior, LKJ)
        return prior.eta


class Outline(ABC):
    """What is known of a model and its data without the rows: what priors, the Gaussian algebra and results need.

    A :class:`Design` has the rows besides, :class:`bayesmig.data.cross_products.SummedDesign` their sums in the place
    of them.
    """

    spec: ModelSpec
    terms: tuple[str, ...]
    formula_terms: tuple[str, ...]
    groups: tuple[Grouped, ...]
    categories: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]
    scaling: Mapping[str, Scaling]
    n_given: int
    n_weightless: int
    missing: Mapping[str, int]
    notes: tuple[str, ...]
    provenance: str
    digest: str
    people_given: int | None
    latent: LatentOutcome | None
    imputed: tuple[Imputed, ...]

    @property
    @abstractmethod
    def n(self) -> int:
        """Rows used."""

    @property
    @abstractmethod
    def people_used(self) -> int:
        """How many people the rows stand for by frequency weights."""

    @property
    @abstractmethod
    def has_rows(self) -> bool:
        """Whether the rows themselves are at hand."""

    @property
    def less_offset(self) -> Self:
        """The same model of a number less its offset, which rows that are added up have not."""
        return self

    @property
    @abstractmethod
    def pattern(self) -> pd.DataFrame:
        """Rows with every level of every category, after which others are encoded."""

    @property
    @abstractmethod
    def n_effective(self) -> float:
        """Observations that the likelihood counts: people, not rows, under frequency weights."""

    @property
    @abstractmethod
    def moments(self) -> tuple[Array, Array, float, float]:
        """Means and sds of the columns of ``x``, mean and sd of ``y``; frequency and survey weights count."""

    @property
    @abstractmethod
    def mean_squares(self) -> tuple[Array, float]:
        """Mean squares of the columns of ``x`` and of ``y``; no weight counts."""

    @property
    @abstractmethod
    def gram(self) -> Array:
        """Cross products ``(p, p)`` of the columns of ``x`` in their sds, weighted, about :attr:`centre`."""

    @property
    @abstractmethod
    def varying_moments(self) -> tuple[tuple[Array, Array], ...]:
        """Means and sds of the columns of each grouping factor; frequency and survey weights count."""

    @abstractmethod
    def without_groups(self) -> Outline:
        """The same model without varying effects."""

    @abstractmethod
    def _turned(self, turns: Sequence[Array]) -> Outline:
        """The same model with the columns of its grouping factors turned."""

    @cached_property
    def centred(self) -> Self:
        """The same model with varying intercepts at the means of the varying predictors, where their priors hold."""
        means = [mean for mean, _ in self.varying_moments]
        turns = [group.centring(mean) for group, mean in zip(self.groups, means, strict=True)]
        plain = all((turn == np.eye(len(turn))).all() for turn in turns)
        if plain or any(group.turn is not None for group in self.groups):
            return self
        centred = self._turned(turns)
        if "priors" in self.__dict__:  # which may have been resolved for another outcome
            centred.__dict__["priors"] = self.priors
        return centred  # type: ignore[return-value]

    @property
    def has_intercept(self) -> bool:
        """Whether the first term is the intercept."""
        return self.terms[:1] == ("intercept",)

    @property
    def weight_kind(self) -> str | None:
        """The declared kind of the weights."""
        return self.spec.weights.kind if self.spec.weights is not None else None

    @property
    def predictors(self) -> tuple[str, ...]:
        """Names of the linear predictors, the outcome's own first; that of a single one is empty."""
        own = (*copies_of(self.spec, self.categories), *thresholds_of(self.spec, self.categories))
        return (*own, *self.spec.predictors)

    @cached_property
    def owners(self) -> Assigned:
        """Which linear predictor each column belongs to, also where there is one."""
        place = {name: k for k, name in enumerate(self.predictors)}

        def owners(terms: Sequence[str]) -> Codes:
            return np.array([place[of_factor(term)[0]] for term in terms], dtype=np.int64)

        effects = {group.name: owners(group.effects) for group in self.groups}
        return Assigned(self.predictors, owners(self.terms), effects)

    @cached_property
    def smooths(self) -> tuple[Deviations, ...]:
        """The smooths among the terms."""
        places: dict[str, list[int]] = {}
        for place, name in enumerate(map(smooth_of, self.terms)):
            if name:
                places.setdefault(name, []).append(place)
        return tuple(Deviations(*found) for found in places.items())

    @property
    def alike(self) -> tuple[str, ...]:
        """Smooths, and grouping factors whose groups are alike, or add up in one person."""
        kinds = ((group, group.structure) for group in self.groups)  # those with amounts and a parameter are apart
        maps = [group.name for group, kind in kinds if kind and (group.amounts is None or not kind.parameter)]
        return (*(smooth.name for smooth in self.smooths), *maps)

    @property
    def instead(self) -> str:
        """What can be written where these are refused."""
        return "Write a curve of a fixed form, as bs(age, df=4)." if self.smooths else "Take plain groups, (1 | area)."

    @property
    def assigned(self) -> Assigned | None:
        """The same if there are several; None if there is one, or factors have their own."""
        return None if self.latent is not None or self.predictors == ("",) else self.owners

    @property
    def scalars(self) -> tuple[Parameter, ...]:
        """The family's own parameters that are single numbers, for they have no predictors."""
        return tuple(one for one in self.spec.distribution.scalars if one.name not in self.spec.predictors)

    @cached_property
    def level_moves(self) -> Array:
        """``(p, p)``: coefficients whose priors hold, intercepts at the predictors' means, are this times the reported.

        Without an intercept, and beside thresholds, coefficients stay as they are.
        """
        move, means = np.eye(len(self.terms)), self.moments[0]
        owners = [of_factor(term) for term in self.terms]
        for place, (factor, term) in enumerate(owners):
            if term == "intercept" and self.latent is None:
                slopes = [k for k, (own, plain) in enumerate(owners) if own == factor and plain != "intercept"]
                move[place, slopes] = means[slopes]
        return move

    def at_means(self, beta: Array) -> Array:
        """Coefficients ``(..., p)`` whose priors hold, from the reported ones."""
        return np.asarray(beta @ self.level_moves.T)

    def at_zero(self, beta: Array) -> Array:
        """The coefficients that :meth:`at_means` was given."""
        return np.asarray(beta @ (2 * np.eye(len(self.terms)) - self.level_moves).T)

    @cached_property
    def centre(self) -> Array:
        """``(p,)``: what columns are counted from where priors hold: means beside an intercept or thresholds."""
        levels = np.array([plain_term(term) == "intercept" for term in self.terms], dtype=bool)
        if self.spec.distribution.ordered:
            return self.moments[0]
        return np.asarray(np.where(levels, 0.0, self.level_moves[levels].sum(axis=0)))

    @property
    def at_thresholds(self) -> Flags:
        """``(p, thresholds)``: at which thresholds each coefficient counts, all unless it has one of its own."""
        owner = self.owners.terms[:, None]
        return np.asarray((owner == 0) | (owner == np.arange(1, len(self.categories))))

    def cut_levels(self, beta: Array) -> Array:
        """Thresholds as reported less those where priors hold, ``(..., thresholds)``, by coefficients ``(..., p)``."""
        return np.asarray(beta * self.centre @ self.at_thresholds)

    @property
    def term_priors(self) -> tuple[Prior, ...]:
        """The prior of every term, intercepts at the means: those of levels of parameters are the parameters' own."""
        return (*((self.priors.intercept,) if self.has_intercept else ()), *self.priors.slopes)

    def with_prior(self, *kinds: type[Prior]) -> str:
        """The first coefficient with a prior of one of these kinds, in words; empty if there is none."""
        pairs = zip(self.terms, self.term_priors, strict=True)
        return next((f"{term!r} has the prior {prior}" for term, prior in pairs if isinstance(prior, kinds)), "")

    @cached_property
    def priors(self) -> ResolvedPriors:
        """The specification's priors in raw units."""
        return _resolve_priors(self)


@dataclass(frozen=True)
class Design(Outline):
    """Everything about a model and its data that a fit needs, all named.

    Stored
    ------
    spec : ModelSpec
    frame : pandas.DataFrame
        The used rows of the used columns, checked but not yet encoded: numbers as given, categories with their levels.
    y : (n,) array
        Outcome of the rows that are used. Of a latent one the mean of the first factor's standardised items, which
        serves to choose a parameterisation and enters no likelihood.
    x : (n, p) array
        Common design matrix, the intercept's column of ones first if there is one. Several factors have a copy of the
        columns each, with terms like ``visual ~ age``; so have the columns of varying effects.
    terms : tuple of str, length p
    formula_terms : tuple of str, length p
        The formula term that each column belongs to (``hukou:age`` for ``hukou[rural]:age``).
    groups : tuple of GroupTerm
    weights : (n,) array or None
        Positive; survey weights are scaled to sum to n, those within weighted groups as
        :mod:`bayesmig.data.weighting` says.
    categories : tuple of str
        Of a binary or ordered outcome, whose codes 0, 1, ... are in ``y``.
    trials, offset : (n,) array or None
    levels : mapping of str to tuple of str
        Levels of the categorical predictors, the reference first.
    scaling : mapping of str to Scaling
    rows : (n,) int array
        Positions of the used rows in the data that were given.
    n_given, n_weightless : int
        Rows, and those of weight zero among them.
    missing : mapping of str to int
        Missing values per variable among the rows given.
    notes : tuple of str
        What a reader must know of the data, such as a level without rows.
    provenance : str
        ``own data``, or what the data say of themselves.
    digest : str
        Fingerprint of the used columns.
    latent : LatentOutcome or None
        The items, if the outcome is one or several latent factors.
    imputed : tuple of Imputed
        Predictors whose missing values are modelled; only NUTS can.
    not_asked : mapping of str to int
        How many of the missing values are no refusals, because the question does not concern these people.
    people_given : int or None
        How many people the given rows stand for, if their weights are frequencies; None if one each.
    ends : (n, 2) array or None
        Between which two numbers each outcome lies, of which ``y`` then is the middle, or is next to the closed end.
    bounds : (n, 2) array or None
        Within which two numbers alone each outcome would have been seen.

    Derived
    -------
    n_effective, moments, mean_squares, varying_moments, centred, whitened, item_moments, factor_units, priors
    """

    spec: ModelSpec
    frame: pd.DataFrame
    y: Array
    x: Array
    terms: tuple[str, ...]
    formula_terms: tuple[str, ...]
    groups: tuple[GroupTerm, ...]
    weights: Array | None
    categories: tuple[str, ...]
    trials: Array | None
    offset: Array | None
    levels: Mapping[str, tuple[str, ...]]
    scaling: Mapping[str, Scaling]
    rows: Codes
    n_given: int
    n_weightless: int
    missing: Mapping[str, int]
    notes: tuple[str, ...]
    provenance: str
    digest: str
    latent: LatentOutcome | None = None
    imputed: tuple[Imputed, ...] = ()
    not_asked: Mapping[str, int] = field(default_factory=dict)
    people_given: int | None = None
    ends: Array | None = None
    bounds: Array | None = None

    @property
    def n(self) -> int:
        """Rows used."""
        return len(self.y)

    @property
    def people_used(self) -> int:
        """How many people the rows used stand for, by their frequency weights."""
        return int(self.n if self.weights is None else self.weights.sum())

    @property
    def has_rows(self) -> bool:
        """Whether the rows themselves are at hand."""
        return True

    @property
    def pattern(self) -> pd.DataFrame:
        """Rows with every level of every category, after which others are encoded."""
        return self.frame

    @property
    def n_effective(self) -> float:
        """Observations that the likelihood counts: people, not rows, under frequency weights and of trials."""
        return float(self.people.sum())

    @property
    def answers(self) -> Answers:
        """Outcomes as families take them."""
        precise = self.weight_kind == "precision" and self.weights is not None
        root = np.sqrt(self.weights) if precise else np.ones(self.n)  # type: ignore[arg-type]
        if self.ends is not None:
            return Answers(self.ends[:, 0], self.ends[:, 1], root)
        if self.bounds is not None:
            return Answers(self.y, self.bounds[:, 0], self.bounds[:, 1])
        return Answers(self.y, np.ones(self.n) if self.trials is None else self.trials, root)

    @cached_property
    def brackets(self) -> Brackets:
        """How numbers are seen.

        Raises DataError if the same number would be seen otherwise in another row.
        """
        assert self.ends is not None
        column = self.spec.parsed.outcome_column
        entry = self.spec.variable(column) if column else None
        if entry is not None:
            return Brackets(tuple(entry.brackets), np.array(list(entry.brackets.values())), True)
        exact, edges = self.ends[:, 0] == self.ends[:, 1], np.unique(self.ends)
        found = np.unique(self.ends[~exact], axis=0)
        if any(((edges > low) & (edges < high)).any() for low, high in found):
            raise DataError(
                f"numbers of {self.spec.parsed.outcome} are seen in brackets that overlap, or in a bracket in some rows"
                " and exactly in others; nothing says how other numbers would be seen, so that no data can be simulated"
                " to compare with. They can where brackets are the same for everybody."
            )
        found = found if exact.any() else np.stack([edges[:-1], edges[1:]], axis=1)
        words = {(True, False): "{1:g} or less", (False, True): "{0:g} or more", (False, False): "{0:g} to {1:g}"}
        names = (words[bool(np.isinf(low)), bool(np.isinf(high))].format(low, high) for low, high in found)
        return Brackets(tuple(names), found, not exact.any())

    def seen(self, y: Array) -> Array:
        """Ends ``(..., 2)`` between which numbers are seen, as those of the data are.

        Numbers beyond the outermost brackets count to these if no number is seen exactly. Raises DataError as
        :attr:`brackets`.
        """
        low, high = self.brackets.ends.T
        place = np.maximum(np.searchsorted(low, y, side="right") - 1, 0)
        inside = ((y >= low[place]) & (y < high[place])) | self.brackets.everywhere
        return np.stack([np.where(inside, low[place], y), np.where(inside, high[place], y)], axis=-1)

    def as_seen(self, y: Array) -> Array:
        """Outcomes in the way of the design's own: numbers that are seen in brackets at the middles of these."""
        return y if self.ends is None else middle(*np.moveaxis(self.seen(y), -1, 0))

    @property
    def weight_kind(self) -> str | None:
        """The declared kind of the weights; None where all of them are one."""
        alike = self.weights is None and all(group.weights is None for group in self.groups)
        return None if alike else super().weight_kind

    @property
    def counting(self) -> Array | None:
        """Weights that count people; precision weights do not."""
        return None if self.weight_kind == "precision" else self.weights

    @property
    def people(self) -> Array:
        """What each row counts in an average over people, (n,): its weight times its trials."""
        counted = np.ones(self.n) if self.counting is None else self.counting
        return counted if self.trials is None else counted * self.trials

    @property
    def respondents(self) -> Array:
        """How many people answered as each row says, (n,): its frequency times its trials; other weights count none."""
        counted = self.weights if self.weight_kind == "frequency" and self.weights is not None else np.ones(self.n)
        return counted if self.trials is None else counted * self.trials

    @cached_property
    def moments(self) -> tuple[Array, Array, float, float]:
        """Means and sds of the columns of ``x``, mean and sd of ``y``; frequency and survey weights and trials count.

        Those of ``y`` are in units of the linear predictor, 0 and 1 of outcomes that give it none.
        """
        weights = self.people
        x_mean = x_sd = np.zeros(0)
        if self.terms:
            x_mean = np.average(self.x, axis=0, weights=weights)
            x_sd = np.sqrt(np.average((self.x - x_mean) ** 2, axis=0, weights=weights))
        scale = self.spec.distribution.scale
        if scale is None:
            return x_mean, np.where(x_sd > 0, x_sd, 1.0), 0.0, 1.0
        with np.errstate(divide="ignore"):
            y = scale(self.y)
        there = np.isfinite(y)  # the log of a zero behind a hurdle is none
        y, weights = y[there], weights[there]
        y_mean = float(np.average(y, weights=weights))
        y_sd = float(np.sqrt(np.average((y - y_mean) ** 2, weights=weights)))
        return x_mean, np.where(x_sd > 0, x_sd, 1.0), y_mean, y_sd

    @property
    def gram(self) -> Array:
        """Cross products ``(p, p)`` of the columns of ``x`` in their sds, weighted, about :attr:`centre`."""
        columns = (self.x - self.centre) / self.moments[1]
        return np.asarray(columns.T @ (columns if self.weights is None else columns * self.weights[:, None]))

    @property
    def mean_squares(self) -> tuple[Array, float]:
        """Mean squares of the columns of ``x`` and of ``y``; no weight counts."""
        return (self.x**2).mean(axis=0), float((self.y**2).mean())

    @cached_property
    def varying_moments(self) -> tuple[tuple[Array, Array], ...]:
        """Means and sds of the columns of each grouping factor; frequency and survey weights and trials count."""
        found = []
        for group in self.groups:
            mean = np.average(group.z, axis=0, weights=self.people)
            found.append((mean, np.sqrt(np.average((group.z - mean) ** 2, axis=0, weights=self.people))))
        return tuple(found)

    @property
    def items(self) -> LatentOutcome:
        """The latent outcome; only of designs that have one."""
        assert self.latent is not None
        return self.latent

    @cached_property
    def item_moments(self) -> tuple[Array, Array]:
        """Means and sds of the items over the answers given; of ordinal ones 0 and twice the sd of the link's residual.

        A loading of the latter size, with a factor of unit sd, explains 80 % of the item.
        """
        latent = self.items
        if latent.is_ordinal:
            sd = math.pi / math.sqrt(3) if latent.link == "logit" else 1.0
            return np.zeros(len(latent.names)), np.full(len(latent.names), 2 * sd)
        weights = np.ones(self.n) if self.counting is None else self.counting
        share = latent.answered * weights[:, None]
        share = share / share.sum(axis=0)
        answers = np.where(latent.answered, latent.items, 0.0)
        mean = (share * answers).sum(axis=0)
        return mean, np.sqrt((share * (answers - mean) ** 2).sum(axis=0))

    @cached_property
    def factor_units(self) -> Array:
        """The unit of each factor: the sd of its marker item, or 1."""
        latent = self.items
        return self.item_moments[1][latent.first] if latent.has_markers else np.ones(len(latent.factors))

    def without_groups(self) -> Design:
        """The same design without varying effects."""
        return dataclasses.replace(self, groups=())

    @property
    def less_offset(self) -> Self:
        """The same model of a number less its offset, for algebra that knows of none, with the priors of the number."""
        if self.offset is None:
            return self
        changed = dataclasses.replace(self, y=self.y - self.offset, offset=None)
        changed.__dict__["priors"] = self.priors
        return changed

    @cached_property
    def apart(self) -> Design:
        """The same model as engines take it, with independent effects: every smooth a grouping factor, whose groups are
        columns, and of areas the independent effects that theirs are sums of."""
        if not self.alike:
            return self
        kept = np.setdiff1d(np.arange(len(self.terms)), [k for smooth in self.smooths for k in smooth.places])
        x, groups = self.x - self.centre, []
        for group in self.groups:
            if group.structure is not None:
                basis, nobody = group.structure.basis, np.zeros_like(group.codes)
                levels = tuple(map(str, range(basis.shape[1])))
                rest = group.structure if group.structure.parameter else None
                amounts = basis[group.codes] if group.amounts is None else group.amounts
                group = dataclasses.replace(group, levels=levels, codes=nobody, amounts=amounts, structure=rest)
            groups.append(group)
        for name, places in self.smooths:
            size = np.sqrt(np.average((x[:, places] ** 2).sum(axis=1), weights=self.people))
            levels, effect = tuple(self.terms[k] for k in places), for_factor(of_factor(name)[0], "intercept")
            codes, z = np.zeros(self.n, dtype=np.int64), np.full((self.n, 1), size)
            groups.append(GroupTerm(name, levels, (effect,), codes, z, ((0,),), amounts=x[:, places] / size))
        terms, owners = (tuple(names[k] for k in kept) for names in (self.terms, self.formula_terms))
        changed = dataclasses.replace(self, x=self.x[:, kept], terms=terms, formula_terms=owners, groups=tuple(groups))
        slopes = tuple(prior for prior in self.priors.slopes if not isinstance(prior, Pooled))
        tau = {**self.priors.tau, **{name: (prior,) for name, prior in self.priors.smooths.items()}}
        changed.__dict__["priors"] = dataclasses.replace(self.priors, slopes=slopes, tau=tau, smooths={})
        return changed

    def together(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Values of the contract from those of the model :attr:`apart`."""
        if not self.alike:
            return dict(values)
        found = dict(values)
        for group in self.groups:
            if group.structure is not None and group.amounts is None:
                found[f"u_{group.name}"] = group.structure.basis @ values[f"u_{group.name}"]
        if not self.smooths:
            return found
        places = [place for smooth in self.smooths for place in smooth.places]
        effects = [found.pop(f"u_{smooth.name}")[..., 0] for smooth in self.smooths]
        sds = [found.pop(f"tau_{smooth.name}") for smooth in self.smooths]
        at_means = np.empty((*values["beta"].shape[:-1], len(self.terms)))
        at_means[..., np.setdiff1d(np.arange(len(self.terms)), places)] = self.apart.at_means(values["beta"])
        at_means[..., places] = np.concatenate(effects, axis=-1)
        found |= {"beta": self.at_zero(at_means), "sd_smooth": np.concatenate(sds, axis=-1)}
        if "cut" in values:
            found["cut"] = values["cut"] - self.apart.cut_levels(values["beta"]) + self.cut_levels(found["beta"])
        return found

    def log_density_alike(self, values: Mapping[str, Array]) -> Array:
        """Log density ``(draws,)``, up to a constant, of deviations of smooths and effects of groups that are alike."""
        total = np.zeros(len(values["beta"]))
        for k, (_, places) in enumerate(self.smooths):
            sd = values["sd_smooth"][:, k]
            total += -0.5 * ((values["beta"][:, places] / sd[:, None]) ** 2).sum(axis=1) - len(places) * np.log(sd)
        for group in self.groups:
            if group.structure is not None:
                sd, rho = values[f"tau_{group.name}"][:, 0], values.get(f"rho_{group.name}")
                effects = values[f"u_{group.name}"][..., 0] / sd[:, None]
                total += group.structure.log_density(None if rho is None else rho[:, 0], effects)
                total -= group.structure.basis.shape[1] * np.log(sd)
        return total

    def _turned(self, turns: Sequence[Array]) -> Design:
        groups = [
            dataclasses.replace(group, z=group.z @ turn, turn=turn)
            for group, turn in zip(self.groups, turns, strict=True)
        ]
        return dataclasses.replace(self, groups=tuple(groups))

    @property
    def whitened(self) -> Design:
        """The same model with the columns of correlated effects orthogonal and of size one, for maxima of likelihoods.

        Its sds and correlations are those of no quantity of the model, so that priors do not apply.
        """
        turns = []
        for group in self.groups:
            turn = np.eye(len(group.effects))
            for block in (list(block) for block in group.blocks if len(block) > 1):
                size = np.sqrt((group.z[:, block] ** 2).mean(axis=0))
                triangle = np.linalg.qr(group.z[:, block] / size, mode="r") / math.sqrt(self.n)
                turn[np.ix_(block, block)] = np.linalg.inv(triangle) / size[:, None]
            turns.append(turn)
        return self._turned(turns)

    def with_outcome(self, y: Array) -> Design:
        """The same design with another outcome, priors kept as they were resolved for this one.

        Of numbers in brackets, which they then are in, too: raises DataError as :meth:`seen`.
        """
        ends = None if self.ends is None else self.seen(np.asarray(y, dtype=float))
        y = y if ends is None else middle(*ends.T)
        changed = dataclasses.replace(self, y=np.asarray(y, dtype=float), ends=ends)
        changed.__dict__["priors"] = self.priors
        return changed

    def with_items(self, items: Array) -> Design:
        """The same design with other answers to the items, priors kept as they were resolved for these."""
        changed = dataclasses.replace(
            self, latent=dataclasses.replace(self.items, items=np.asarray(items, dtype=float))
        )
        changed.__dict__["priors"] = self.priors
        return changed


def _resolve_priors(design: Outline) -> ResolvedPriors:
    given = design.spec.priors
    specific = dict(given.specific)
    used: set[str] = set()

    def pick(keys: tuple[str, ...], fallback: Prior) -> Prior:
        for key in keys:
            if key in specific:
                used.add(key)
                return specific[key]
        return fallback

    _, x_sd, y_mean, y_sd = design.moments
    chosen: list[Prior] = [
        Flat()
        if plain_term(term) == "intercept"
        else Pooled(of=name)
        if (name := smooth_of(term))
        else pick((term, owner, plain_term(term), plain_term(owner)), given.slopes)
        for term, owner in zip(design.terms, design.formula_terms, strict=True)
    ]
    alone, shifts = _about_the_means(design, chosen)
    units = _units(design, design.terms) / x_sd
    resolved = [prior.resolved(float(unit / sd)) for prior, unit, sd in zip(chosen, units, alone, strict=True)]
    family = design.spec.distribution
    own = {parameter.name: given.own(parameter).resolved(y_sd) for parameter in family.own}
    level = given.intercept.resolved(y_sd, y_mean)
    slopes = [
        own.get(of_factor(design.terms[place])[0], level)
        if plain_term(design.terms[place]) == "intercept"
        else _widened(prior, shifts[place] / x_sd[place] * x_sd, resolved)
        for place, prior in enumerate(resolved)
        if design.terms[place] != "intercept"
    ]
    slopes = _in_company(design, slopes)
    tau: dict[str, tuple[ScalePrior, ...]] = {}
    rho: dict[str, LKJ | Beta] = {}
    for group, (_, spreads) in zip(design.groups, design.varying_moments, strict=True):
        scales = []
        for effect, sd, unit in zip(group.effects, spreads, _units(design, group.effects), strict=True):
            named = (f"tau_{group.name}[{name}]" for name in (effect, plain_term(effect)))
            prior = pick((*named, f"tau_{group.name}"), given.tau)
            spread = 1.0 if plain_term(effect) == "intercept" else float(sd)
            scales.append(prior.resolved(unit / spread))
        tau[group.name] = tuple(scales)  # type: ignore[arg-type]
        if group.rho_names:
            one: Any = pick((f"rho_{group.name}",), given.rho if group.pairs else UNIFORM)
            wanted = LKJ if group.pairs else Beta
            if not isinstance(one, wanted):
                raise SpecificationError(f"prior for rho_{group.name}: got {one!r}; allowed here: {wanted.__name__}.")
            rho[group.name] = one
    smooths: dict[str, ScalePrior] = {}
    for name, places in design.smooths:
        wiggliness: Any = pick((f"sd_smooth[{name}]", "sd_smooth"), given.tau)
        if wiggliness is given.tau:
            wiggliness = dataclasses.replace(
                wiggliness, why="As sds of varying effects: a curve's from a straight line, or its mean."
            )
        smooths[name] = wiggliness.resolved(_units(design, [name])[0] / np.sqrt((x_sd[places] ** 2).sum()))
    items: dict[str, tuple[Prior, ...]] = {}
    measured = _measured(design)
    if measured is not None:
        items = _item_priors(measured, pick)
        if measured.items.pairs:
            rho["factor"] = pick(("rho_factor",), given.rho)  # type: ignore[assignment]
    used.update(family.parameters)
    unknown = [key for key in specific if key not in used]
    if unknown:
        names = parameter_names(design)
        raise SpecificationError(
            f"a prior is given for {unknown[0]!r}, which is no parameter of this model"
            f"{closest(unknown[0], names)}; parameters: {listing(names, 40)}."
        )
    return ResolvedPriors(
        intercept=level if design.has_intercept else Flat(),
        slopes=tuple(slopes),
        auxiliary={name: prior for name, prior in own.items() if name not in design.spec.predictors},
        tau=tau,
        rho=rho,
        smooths=smooths,
        items=items,
        psi=_unit_priors(measured) if measured is not None and measured.items.has_markers else (),
    )


def _in_company(design: Outline, slopes: list[Prior]) -> list[Prior]:
    """Priors that coefficients have together, knowing how many these are."""
    owners = [of_factor(term)[0] for term in design.terms[design.has_intercept :]]
    keys = [
        (owner, prior.shared) if isinstance(prior, Shrinkage) else None
        for owner, prior in zip(owners, slopes, strict=True)
    ]
    latent, own = LINKS[design.spec.link].variance, design.moments[3]
    with_sigma = "sigma" in {one.name for one in design.scalars}
    single = (with_sigma or latent is not None) and design.weight_kind != "precision"
    single &= design.assigned is None
    found = []
    for key, prior in zip(keys, slopes, strict=True):
        if isinstance(prior, R2D2):
            if not single and design.latent is None:
                raise SpecificationError(
                    f"{prior} is a prior of a share of variance, and this model of family {design.spec.family!r} has no"
                    " single residual variance; take a Horseshoe, which needs none."
                )
            prior = prior.scaled((1.0 if with_sigma else math.sqrt(latent or 1.0)) / own)
        if isinstance(prior, Shrinkage):
            noise = 1.0 if latent is None else math.sqrt(latent)
            prior = prior.told(keys.count(key), design.n_effective, noise)
        found.append(prior)
    return found


def parameter_names(design: Outline) -> tuple[str, ...]:
    """What a prior of its own can be given for: terms, sds and correlations of groups, parameters of items."""
    names = [*design.terms[design.has_intercept :], *design.formula_terms[design.has_intercept :]]
    names += [parameter.name for parameter in design.spec.distribution.own if parameter.prior is not None]
    measured = _measured(design)
    if measured is not None:
        own = dict.fromkeys(role for factor in design.spec.factors for role in factor.roles if role != "sigma")
        names += [f"{role}[{item}]" for role in own for item in measured.items.names]
        names += ["rho_factor"] if measured.items.pairs else []
    names += [f"sd_smooth[{smooth.name}]" for smooth in design.smooths]
    for group in design.groups:
        names += [f"tau_{group.name}", *(f"tau_{group.name}[{effect}]" for effect in group.effects)]
        names += [f"rho_{group.name}"] if group.rho_names else []
    return tuple(dict.fromkeys(names))


def _about_the_means(design: Outline, priors: Sequence[Prior]) -> tuple[Array, Array]:
    """What relative priors of products and powers rest on: each column less what its lower terms say of it.

    A product of two numbers is counted from wherever their zeros are. Less its regression on the two it is the product
    of their deviations from their means, whatever the zeros. Returns a (p,) array, sds of what is left as shares of
    the columns' sds, and a (p, p) array by lower term and product: how far the lower term's coefficient moves with the
    product's when both are counted from the means, columns in their sds.
    """
    alone, shifts = np.ones(len(priors)), np.zeros((len(priors), len(priors)))
    parts = [_powers(term) for term in design.terms]
    lower = {
        place: [other for other, few in enumerate(parts) if priors[other].relative and _is_below(few, many)]
        for place, many in enumerate(parts)
        if priors[place].relative
    }
    if not any(lower.values()):
        return alone, shifts
    gram = design.gram
    for place, below in lower.items():
        if below:
            weights = np.linalg.lstsq(gram[np.ix_(below, below)], gram[below, place], rcond=1e-15)[0]
            rest = 1 - float(weights @ gram[below, place]) / gram[place, place]
            if rest > LEAST_LEFT:
                alone[place], shifts[below, place] = math.sqrt(rest), weights
    return alone, shifts


def _powers(term: str) -> tuple[str, dict[tuple[str, str | None], int]]:
    """The factor of a term, and the powers of its columns (and levels): ``{("year", None): 2}`` of ``I(year ** 2)``."""
    factor, plain = of_factor(term)
    powers = {}
    for column, level in pieces(plain):
        power = re.fullmatch(r"I\((.+) \*\* (\d+)\)", column)
        powers[power[1] if power else column, level] = int(power[2]) if power else 1
    return factor, powers


def _is_below(
    few: tuple[str, dict[tuple[str, str | None], int]], many: tuple[str, dict[tuple[str, str | None], int]]
) -> bool:
    """Whether a term is one of those that a product or power contains."""
    return few[0] == many[0] and few[1] != many[1] and all(many[1].get(key, 0) >= k for key, k in few[1].items())


def _widened(prior: Prior, shifts: Array, others: Sequence[Prior]) -> Prior:
    """A relative prior that held at the means, where the coefficient holds at zeros: as wide as all that it sums up."""
    moved = [
        shift * other.spread
        for shift, other in zip(shifts, others, strict=True)
        if shift and isinstance(other, CoefficientPrior)
    ]
    if not moved or not isinstance(prior, CoefficientPrior):
        return prior
    wider: dict[str, Any] = {prior.scale_fields[-1]: math.hypot(prior.spread, *moved)}
    return dataclasses.replace(prior, **wider)


def copies_of(spec: ModelSpec, categories: tuple[str, ...]) -> tuple[str, ...]:
    """Whom the terms of the formula itself belong to: every category but the reference, or nobody in particular."""
    return categories[1:] if spec.distribution.outcome == "nominal" else ("",)


def thresholds_of(spec: ModelSpec, categories: tuple[str, ...]) -> tuple[str, ...]:
    """Thresholds that terms of the formula have an effect at, each its own."""
    return cutpoints(categories) if spec.parsed.by_threshold else ()


def plain_term(term: str) -> str:
    """A term without the factor that it belongs to: ``age`` of ``visual ~ age``."""
    return of_factor(term)[1]


def _measured(design: Outline) -> Design | None:
    """The design, if its outcome is latent factors."""
    return design if isinstance(design, Design) and design.latent is not None else None


def _unit_priors(design: Design) -> tuple[ScalePrior, ...]:
    """Priors of the residual sds of factors that have a marker."""
    return tuple(design.spec.priors.sigma.resolved(float(unit)) for unit in design.factor_units)  # type: ignore[misc]


def _units(design: Outline, names: Sequence[str]) -> Array:
    """The unit that each of these terms or effects counts in: of its factor or the outcome, 1 of further parameters."""
    measured = _measured(design)
    if measured is None:
        return np.array([1.0 if of_factor(name)[0] else design.moments[3] for name in names])
    return np.repeat(measured.factor_units, len(names) // len(measured.items.factors))


def _item_priors(design: Design, pick: Callable[[tuple[str, ...], Prior], Prior]) -> dict[str, tuple[Prior, ...]]:
    """Priors of every item's parameters by role, in raw units."""
    latent, given = design.items, design.spec.priors
    mean, sd = design.item_moments
    priors: dict[str, tuple[Prior, ...]] = {}
    for role in ("loading", "cut") if latent.is_ordinal else ("loading", "item_intercept", "item_sd"):
        unit = sd / design.factor_units[latent.owner] if role == "loading" else sd
        location = mean if role == "item_intercept" else np.zeros_like(mean)
        priors[role] = tuple(
            pick((f"{role}[{name}]",), getattr(given, role)).resolved(float(scale), float(place))
            for name, scale, place in zip(latent.names, unit, location, strict=True)
        )
    return priors
