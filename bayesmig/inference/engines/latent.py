"""Design -> the density of :mod:`bayesmig.inference.kernels.factors` for nutpie, and draws of the contract.

Continuous items: the scores of people integrate out, so that people enter through cross products only, unless answers
are missing. Ordinal items: the scores are sampled, in coordinates that are nearly independent of everything else, and
thresholds count in sds of the responses.

Means (or thresholds) of the items are sampled at the average person of the sample, and slopes as they are in the
sample, groups included: of both the data say much, while at the factor's zero they would be strongly correlated with
the varying effects. A change of location has Jacobian one. See :class:`Directions` for the varying effects themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse, special

from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.data.design import Design, GroupTerm, LatentOutcome
from bayesmig.data.items import display_outcome
from bayesmig.families import machine
from bayesmig.inference.engines import graphs, points
from bayesmig.inference.engines.points import Blocks, Part, prior_numbers, scale_kind
from bayesmig.inference.kernels import coordinates as kinds
from bayesmig.inference.kernels import factors
from bayesmig.inference.kernels.factors import Answers, Groups, Guess, Items, Model, Parts, Places, Slopes, Sums
from bayesmig.inference.working_units import base_z, directions, working_items, working_x
from bayesmig.specification.priors import NOT_NORMAL, Flat, Normal, Prior

if TYPE_CHECKING:
    import xarray as xr

USUAL_LOADING = 0.7
JITTER = 0.5
MOST_TURNED = 200  # levels, whose directions are a matrix
TELLING = 0.25  # of what the median direction has in data
STEADY = 0.1  # jitter of loadings, so that all start with the sign that the data suggest
SINGLE = {"logit": 2.5, "probit": 1.4}  # usual sd of the response behind a yes or no


def refusal(design: Design, sampler: str) -> str | None:
    """Why the posterior of these latent factors cannot be drawn; None if it can."""
    if sampler != "nutpie":
        return f"latent factors are drawn by sampler='nutpie', not {sampler!r}."
    if design.imputed:
        return "missing predictors cannot be modelled beside latent factors; impute them first and pass a list to fit."
    if design.alike:
        return f"{design.alike[0]} is there for outcomes that were seen, not for latent factors. {design.instead}"
    if told := design.with_prior(*NOT_NORMAL):
        return f"coefficients of factors take Normal or Flat priors, and {told}."
    if design.weight_kind == "precision":
        return (
            "precision weights divide one residual variance, and each item has its own; declare the weights as survey"
            " or frequency weights."
        )
    if design.items.is_ordinal and design.weights is not None:
        return (
            "weights multiply the density of a person's answers with the person's score integrated out, but the scores"
            " of ordinal items are sampled; leave the weights out, or treat the items as scale='continuous'."
        )
    return None


@dataclass(frozen=True)
class Directions:
    """Independent directions across the levels of a grouping factor, in which the varying effects are sampled.

    The average over all groups, and every pattern that follows a predictor, is identified beside intercepts and slopes
    by the priors alone, while the data fix the other directions: among few large groups one step size serves both
    badly. The directions are the principal ones of what the data say beyond the predictors. Effects keep independent
    normal priors in them. Of a centred factor, effects that plainly differ between groups are sampled as they are where
    there are data; all others as multiples of their sds. ``turn``, (J, J) array or None: orthogonal, a column a
    direction; None where there are many levels, each of which is its own direction. ``spread``, (J,) array: what
    effects are multiplied by, under weights for groups. ``centred``, (J, q) bool array: which effects are sampled as
    they are, by direction.
    """

    turn: Array | None
    spread: Array
    centred: Flags

    @classmethod
    def of(cls, design: Design, group: GroupTerm, centred: bool) -> Directions:
        """Directions of a factor that is ``centred`` or not."""
        levels, spread = len(group.levels), group.spread[:, 0]
        effects = _differing(design, group) if centred else np.zeros(len(group.effects), dtype=bool)
        if levels > MOST_TURNED:
            return cls(None, spread, np.tile(effects, (levels, 1)))
        size, turn = np.linalg.eigh(spread[:, None] * _regressed(design, group)[1] * spread)
        return cls(turn, spread, (size > TELLING * np.median(size))[:, None] & effects)

    def effects(self, coordinates: Array) -> Array:
        """Effects of the levels, ``(..., levels, q)``, from those of the directions."""
        return (coordinates if self.turn is None else self.turn @ coordinates) * self.spread[:, None]


def _regressed(design: Design, group: GroupTerm) -> tuple[Array, Array]:
    """Coefficients of effects' columns on the predictors, (p, J, q), and products of what is left of them, (J, J).

    The products are those of the effects of each kind, in units of their mean squares, added up.
    """
    weights = np.ones(design.n) if design.weights is None else design.weights
    x = np.column_stack([np.ones(design.n), working_x(design)])
    root = np.linalg.pinv((x * weights[:, None]).T @ x)
    levels, z = len(group.levels), base_z(design, group)
    sweeps, products = np.empty((x.shape[1], levels, z.shape[1])), np.zeros((levels, levels))
    for k, column in enumerate(z.T):
        shared = np.zeros((levels, x.shape[1]))
        np.add.at(shared, group.codes, (weights * column)[:, None] * x)
        sweeps[:, :, k] = root @ shared.T
        squares = np.bincount(group.codes, weights * column**2, levels)
        if levels <= MOST_TURNED and squares.any():
            products += (np.diag(squares) - shared @ sweeps[:, :, k]) / squares.mean()
    return sweeps[1:], products


def _differing(design: Design, group: GroupTerm) -> Flags:
    """Which effects of a centred factor have reliable values by group, (q,).

    The first has, or the factor were not centred. Of the others ``1 - 1 / F`` of least squares within every group must
    be over 0.8, ``F`` being the mean of squared coefficients over their sampling variances.
    """
    z = base_z(design, group)
    x = np.column_stack([np.ones(design.n), working_x(design)])
    ratios = np.ones((len(design.items.factors), z.shape[1]))
    if ratios.size == 1:
        return np.ones(1, dtype=bool)
    for factor, ratio in enumerate(ratios):
        y = display_outcome(design.items, factor)
        residual = y - x @ np.linalg.lstsq(x, y)[0]
        found, squares, freedom = [], 0.0, 0
        for level in np.flatnonzero(group.sizes > z.shape[1]):
            rows = group.codes == level
            coefficients, left, rank, _ = np.linalg.lstsq(z[rows], residual[rows])
            if rank == z.shape[1]:
                found.append(coefficients**2 / np.diag(np.linalg.inv(z[rows].T @ z[rows])))
                squares, freedom = squares + float(left[0]), freedom + int(rows.sum()) - rank
        if freedom and squares > 0:
            ratio[:] = np.mean(found, axis=0) * freedom / squares
    reliable = (1 - 1 / np.maximum(ratios, 1) > graphs.RELIABLE).ravel()
    reliable[0] = True
    return reliable


@dataclass(frozen=True)
class Layout:
    """Which coordinates the points of a design have; values are in working units.

    ``centred``: by grouping factor, whether its effects are sampled as they are.
    """

    design: Design
    centred: Mapping[str, bool]

    @cached_property
    def blocks(self) -> Blocks:
        """Slopes, items, factors, of each grouping factor sds, correlations and effects, and scores of people."""
        return Blocks.of(self._parts())

    def _parts(self) -> Iterator[Part]:
        design, latent, priors = self.design, self.design.items, self.design.priors
        sd, units = design.item_moments[1], design.factor_units
        yield Part.free("slopes", len(design.terms), JITTER)  # their priors: see :attr:`slopes`
        loadings = _rescaled(priors.items["loading"], sd / units[latent.owner])
        rest = [loadings[k] for k in self.rest]
        usual = USUAL_LOADING * directions(design)[self.rest]
        yield Part("loading", [kinds.NORMAL] * len(rest), rest, usual, STEADY)
        leading = [] if latent.has_markers else [loadings[k] for k in latent.first]
        yield Part("direction", [kinds.ABOVE_ZERO] * len(leading), leading, np.log(USUAL_LOADING), STEADY)
        if latent.is_ordinal:
            of, begin = self._cuts()
            yield Part("level", of, [Flat()] * len(of), begin, JITTER)
        else:
            yield Part.free("level", len(sd), JITTER)
            yield _scale_part("error", _rescaled(priors.items["item_sd"], sd), USUAL_LOADING)
        yield _scale_part("psi", _rescaled(priors.psi, units[: len(priors.psi)]), USUAL_LOADING)
        yield Part.partial("partial", latent.partial_shapes(priors.eta("factor")) if latent.pairs else (), JITTER)
        for group in design.groups:
            yield from self._group_parts(group)
        yield Part.free("scores", design.n * len(units) if latent.is_ordinal else 0, JITTER)

    def _group_parts(self, group: GroupTerm) -> Iterator[Part]:
        design, q = self.design, len(group.effects)
        units = np.repeat(design.factor_units, q // len(design.factor_units))
        size = np.sqrt((group.z**2).mean(axis=0))
        scales = _rescaled(design.priors.tau[group.name], units)
        yield _scale_part(f"tau_{group.name}", scales, 0.5 / np.where(size > 0, size, 1))
        shapes = group.partial_shapes(design.priors.eta(group.name)) if group.pairs else ()
        yield Part.partial(f"partial_{group.name}", shapes, JITTER)
        centred = self.directions[group.name].centred.ravel()
        effects: list[Prior] = [Flat() if here else Normal(0, 1) for here in centred]
        yield Part(f"u_{group.name}", [kinds.NORMAL] * len(effects), effects, 0.0, JITTER)

    def _cuts(self) -> tuple[list[int], Array]:
        """Kinds and starts of the thresholds, in sds of the response: the first of each item, logs of the steps up."""
        latent = self.design.items
        inverse = special.logit if latent.link == "logit" else special.ndtri
        of, begin = [], []
        for item, steps in zip(latent.items.T, latent.categories, strict=True):
            cuts = inverse(_shares_below(item, len(steps) - 1))
            of += [kinds.NORMAL, *[kinds.INCREMENT] * (len(cuts) - 1)]
            begin += [cuts[0], *np.log(np.diff(cuts))]
        return of, np.array(begin)

    @cached_property
    def sweeps(self) -> dict[str, Array]:
        """What each factor's varying effects look like in the predictors, (p, levels, base effects), by least squares.

        A slope's coordinate is the slope in the sample at hand, which the data fix, with what groups add to it by
        chance ("sweeping"; Vines, Gilks & Wild 1996, Statistics and Computing 6).
        """
        return {group.name: _regressed(self.design, group)[0] for group in self.design.groups}

    @cached_property
    def directions(self) -> dict[str, Directions]:
        """The directions of each factor's effects."""
        return {group.name: Directions.of(self.design, group, self.centred[group.name]) for group in self.design.groups}

    @cached_property
    def slopes(self) -> Slopes:
        """Priors of the slopes, and the sweeps side by side."""
        design = self.design
        count = len(design.items.factors)
        units = np.repeat(design.factor_units, len(design.terms) // count) / design.moments[1]
        numbers = np.array([prior_numbers(prior) for prior in _rescaled(design.priors.slopes, units)]).reshape(-1, 2)
        means, precisions = (part.reshape(count, -1).T for part in (numbers[:, 0], numbers[:, 1] ** -2.0))
        sweeps = [sweep.reshape(len(sweep), -1) for sweep in self.sweeps.values()]
        return Slopes(means, precisions, np.hstack([np.zeros((len(means), 0)), *sweeps]))

    @cached_property
    def rest(self) -> Codes:
        """Items whose loading may have either sign."""
        return np.setdiff1d(np.arange(len(self.design.items.names)), self.design.items.first)

    def begin(self, seed: int) -> Array:
        """A point to start from."""
        blocks = self.blocks
        return blocks.begin + blocks.jitter * np.random.default_rng(seed).uniform(-1, 1, blocks.dimension)

    def values(self, sampled: Array) -> Array:
        """Values of the coordinates of many points, ``(..., d)``."""
        of = self.blocks.coordinates.kind
        values = np.array(sampled, dtype=float)
        partial = of == kinds.PARTIAL
        positive = ~partial & (of != kinds.NORMAL)
        values[..., positive] = np.exp(values[..., positive])
        values[..., partial] = np.tanh(values[..., partial] / 2)
        return values


def _rescaled(priors: tuple[Any, ...], units: Array) -> list[Any]:
    """Priors in working units."""
    return [prior.scaled(1 / float(unit)) for prior, unit in zip(priors, units, strict=True)]


def _scale_part(name: str, priors: list[Any], begin: Array | float) -> Part:
    """Positive numbers, which start about ``begin``."""
    return Part(name, [scale_kind(prior) for prior in priors], priors, np.log(begin), JITTER)


def _shares_below(item: Array, length: int) -> Array:
    """Smoothed shares of answers below each threshold."""
    counts = np.bincount(item[~np.isnan(item)].astype(int), minlength=length + 1) + 0.5
    return np.asarray(np.cumsum(counts)[:-1] / counts.sum())


def model(layout: Layout) -> Model:
    """Everything that the density of a design needs, as arrays."""
    design, latent = layout.design, layout.design.items
    kind = factors.COMPLETE if latent.answered.all() else factors.INCOMPLETE
    if latent.is_ordinal:
        kind = factors.LOGIT if latent.link == "logit" else factors.PROBIT
    groups, first_rows = _groups(layout)
    sums, answers = _no_sums(), _no_answers()
    if kind == factors.COMPLETE:
        sums = _sums(design, first_rows)
    else:
        answers = _answers(design, first_rows)
    blocks = layout.blocks
    names = ("slopes", "loading", "direction", "level", "error", "psi", "partial", "scores")
    places = Places(*(blocks.start(name) for name in names))
    parts = (blocks.coordinates, places, _items(layout), layout.slopes, groups, sums, answers, _guess(latent))
    return Model(kind, *(_in_rows(part) for part in parts))


def _in_rows(part: Any) -> Any:
    """Arrays row by row, so that the machine code of one model serves all."""
    return type(part)(*(np.ascontiguousarray(field) if isinstance(field, np.ndarray) else field for field in part))


def _items(layout: Layout) -> Items:
    design, latent = layout.design, layout.design.items
    mean, sd = design.item_moments
    count = len(latent.factors)
    fixed = np.full(count, np.nan)
    if latent.has_markers:
        fixed = design.factor_units / sd[latent.first]
    if latent.is_ordinal:
        owner = np.repeat(np.arange(len(sd)), [len(steps) - 1 for steps in latent.categories])
        priors: list[Any] = [design.priors.items["cut"][k] for k in owner]
        numbers = np.array([prior_numbers(prior) for prior in priors])
        return Items(
            latent.owner, layout.rest, latent.first, fixed, numbers[:, 0], numbers[:, 1] ** -2, owner, 1.0, sd[0]
        )
    numbers = np.array([prior_numbers(prior) for prior in design.priors.items["item_intercept"]])
    flat = np.isinf(numbers[:, 1])
    places, spreads = np.where(flat, 0.0, (numbers[:, 0] - mean) / sd), numbers[:, 1] / sd
    root = float(np.sqrt(design.n_effective))
    return Items(latent.owner, layout.rest, latent.first, fixed, places, spreads**-2.0, np.arange(len(sd)), root, 1.0)


def _groups(layout: Layout) -> tuple[Groups, dict[str, int]]:
    """The grouping factors, and the first coefficient of each."""
    design, blocks = layout.design, layout.blocks
    count = len(design.items.factors)
    table, first_rows = [], {}
    pairs: list[tuple[int, int]] = []
    turns: list[Array] = [np.zeros(0)]
    first, level = len(design.terms) // count, 0
    for group in design.groups:
        levels, q, turn = len(group.levels), len(group.effects), layout.directions[group.name].turn
        places = [blocks.start(f"{what}_{group.name}") for what in ("tau", "partial", "u")]
        place = -1 if turn is None else sum(map(len, turns))
        table.append([levels, q, *places, first, len(pairs), len(group.pairs), level, place])
        first_rows[group.name] = first
        first, level = first + levels * q // count, level + levels
        pairs += group.pairs
        turns += [] if turn is None else [turn.ravel()]
    directions = layout.directions.values()
    column, row = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    groups = Groups(
        np.array(table, dtype=np.int64).reshape(-1, 10),
        row,
        column,
        _padded([own.centred for own in directions]),
        np.concatenate(turns),
        np.concatenate([np.zeros(0), *(own.spread for own in directions)]),
        np.array([group.unpaired for group in design.groups]),
    )
    return groups, first_rows


def _padded(tables: list[Flags]) -> Flags:
    """Tables one below the other, in the width of the widest."""
    whole = np.zeros((sum(map(len, tables)), max((table.shape[1] for table in tables), default=0)), dtype=bool)
    start = 0
    for table in tables:
        whole[start : start + len(table), : table.shape[1]] = table
        start += len(table)
    return whole


def _coefficient_columns(design: Design, first_rows: Mapping[str, int]) -> tuple[Array, Codes, Array, int]:
    """Predictors (n, p), coefficients that each row's varying effects take (n, Q), by how much, and their number."""
    x = working_x(design)
    columns: list[Codes] = [np.zeros((design.n, 0), dtype=np.int64)]
    amounts: list[Array] = [np.zeros((design.n, 0))]
    size = x.shape[1]
    for group in design.groups:
        z = base_z(design, group)
        q = z.shape[1]
        columns.append(first_rows[group.name] + group.codes[:, None] * q + np.arange(q))
        amounts.append(z)
        size += len(group.levels) * q
    return x, np.hstack(columns), np.hstack(amounts), size


def _sums(design: Design, first_rows: Mapping[str, int]) -> Sums:
    x, column, amount, size = _coefficient_columns(design, first_rows)
    weights = np.ones(design.n) if design.weights is None else design.weights
    items = working_items(design)
    row = np.repeat(np.arange(design.n), column.shape[1])
    varying = sparse.csr_array((amount.ravel(), (row, column.ravel())), (design.n, size))
    fixed = sparse.coo_array(x)
    whole = varying + sparse.csr_array((fixed.data, (fixed.row, fixed.col)), (design.n, size))
    weighted = sparse.csr_array(whole * weights[:, None])
    gram = sparse.csr_array(weighted.T @ whole)
    gram.sort_indices()
    return Sums(
        float(weights.sum()),
        np.asarray(weighted.sum(axis=0)).ravel() / weights.sum(),
        gram.indptr.astype(np.int64),
        gram.indices.astype(np.int64),
        gram.data,
        np.ascontiguousarray(weighted.T @ items),
        items.T @ (items * weights[:, None]),
    )


def _answers(design: Design, first_rows: Mapping[str, int]) -> Answers:
    latent = design.items
    x, column, amount, size = _coefficient_columns(design, first_rows)
    weights = np.ones(design.n) if design.weights is None else design.weights
    average = np.zeros(size)
    np.add.at(average, column.ravel(), (amount * weights[:, None]).ravel())
    average /= weights.sum()
    if latent.is_ordinal:
        codes = np.where(latent.answered, latent.items, -1.0)
        lengths = [len(steps) - 1 for steps in latent.categories]
        first_cut = np.concatenate([[0], np.cumsum(lengths)])
        between = np.zeros(first_cut[-1])
        for item, (start, length) in enumerate(zip(first_cut[:-1], lengths, strict=True)):
            between[start : start + length] = np.bincount(codes[:, item].astype(int).clip(0), minlength=length + 1)[
                :length
            ]
            between[start] = 0.0  # nothing bounds the lowest category from below
        return Answers(weights, codes, x, column, amount, average, np.zeros(0, np.int64), first_cut, between)
    _, kind = np.unique(latent.answered, axis=0, return_inverse=True)
    order = np.argsort(kind.ravel(), kind="stable")
    pattern = np.append(0, np.cumsum(np.bincount(kind.ravel())))
    parts = (weights[order], working_items(design)[order], x[order], column[order], amount[order])
    return Answers(*parts, average, pattern, np.zeros(0, np.int64), np.zeros(0))


def _guess(latent: LatentOutcome) -> Guess:
    """Numbers for the answers to ordinal items, from the shares of their categories; a stub for continuous items.

    Mean and variance of a standard normal between a and b: Johnson, Kotz & Balakrishnan 1994, section 13.10.1.
    """
    shares, beyond, alone, width = [], [], [], []
    for item, steps in zip(latent.items.T, latent.categories if latent.is_ordinal else (), strict=False):
        cuts = special.ndtri(_shares_below(item, len(steps) - 1))
        edges = np.concatenate([[-np.inf], cuts, [np.inf]])
        chance, density_at = np.diff(special.ndtr(edges)), np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
        mean = -np.diff(density_at) / chance
        at_edge = np.where(np.isfinite(edges), edges, 0.0) * density_at
        variance = 1 - np.diff(at_edge) / chance - mean**2
        reach = cuts[-1] - cuts[0]
        shares += [0.0, *((mean[1:-1] - cuts[:-1]) / np.diff(cuts))]
        single = len(cuts) == 1
        low, high = cuts[0] - mean[0], mean[-1] - cuts[-1]
        beyond.append([0.0, 0.0] if single else [low / reach, high / reach])
        alone.append((low + high) / 2 * SINGLE[latent.link] if single else 0.0)
        width.append(0.0 if single else chance @ variance / reach**2)
    error = np.pi**2 / 3 if latent.link == "logit" else 1.0
    return Guess(np.array(shares), np.array(beyond).reshape(-1, 2), np.array(alone), error, np.array(width))


def _no_sums() -> Sums:
    none, whole = np.zeros(0), np.zeros(0, np.int64)
    return Sums(0.0, none, whole, whole, none, np.zeros((0, 0)), np.zeros((0, 0)))


def _no_answers() -> Answers:
    none, table, whole = np.zeros(0), np.zeros((0, 0)), np.zeros(0, np.int64)
    return Answers(none, table, table, np.zeros((0, 0), np.int64), table, none, whole, whole, none)


def nutpie_model(layout: Layout) -> Any:
    """The density as nutpie takes it."""
    whole = model(layout)

    def density() -> points.Evaluate:
        answered = density_of_answers(whole)
        fast = machine.entry(factors.log_density, layout.begin(0), whole, answered)
        return lambda point: fast(point, whole, answered)

    return points.nutpie_model(layout.blocks.dimension, density, layout.begin)


def density_of_answers(whole: Model) -> Any:
    """The density of the answers of a model in machine code."""
    none, table = np.zeros(0), np.zeros((0, 0))
    parts = Parts(table, none, table, none, none, table)
    return machine.handed(factors.DENSITIES[whole.kind], whole, parts, parts)


def draws(layout: Layout, posterior: xr.Dataset) -> dict[str, Array]:
    """What was sampled as the quantities of the contract, chain and draw in front.

    ``posterior``: with the variable ``point``.
    """
    values = layout.values(posterior["point"].transpose("chain", "draw", ...).to_numpy())
    design, latent = layout.design, layout.design.items
    mean, sd = design.item_moments
    units, places = design.factor_units, layout.blocks.places

    def take(name: str) -> Array:
        return np.asarray(values[..., places[name]])

    shape, count = values.shape[:2], len(units)
    slopes = take("slopes").reshape(*shape, count, -1)
    average = np.zeros((*shape, count))
    result: dict[str, Array] = {}
    for group in design.groups:
        own = _effects(layout, group, take)
        result |= own
        effects = own[f"u_{group.name}"]
        average += _averages(design, group, effects) / units
        by_factor = effects.reshape(*effects.shape[:3], count, -1) / units[:, None]
        slopes = slopes - np.einsum("pjk,cdjfk->cdfp", layout.sweeps[group.name], by_factor)
    result["beta"] = slopes.reshape(*shape, -1) * np.repeat(units, slopes.shape[-1]) / design.moments[1]
    x_mean, x_sd = (part[: slopes.shape[-1]] for part in design.moments[:2])
    at_zero = slopes @ (x_mean / x_sd)  # how far the factors at the predictors' means lie above those at zero
    loading = np.empty((*shape, len(sd)))
    loading[..., layout.rest] = take("loading")
    loading[..., latent.first] = units / sd[latent.first] if latent.has_markers else take("direction")
    result["loading"] = loading * sd / units[latent.owner]
    root, psi = np.broadcast_to(np.eye(count), (*shape, count, count)), np.ones((*shape, count))
    if latent.has_markers:
        psi = take("psi")
        result["psi"] = psi * units
    if latent.pairs:
        root = latent.correlation_root(take("partial"))
        result["rho_factor"] = latent.correlations(root)
    from_zero = (average + at_zero)[..., latent.owner]
    if not latent.is_ordinal:
        level = take("level") / np.sqrt(design.n_effective)
        return result | {"item_intercept": mean + sd * (level - loading * from_zero), "item_sd": take("error") * sd}
    item = np.repeat(np.arange(len(sd)), [len(steps) - 1 for steps in latent.categories])
    swell = np.sqrt(1 + (loading * sd * psi[..., latent.owner]) ** 2 / _guess(latent).error)
    level = _cumulated(take("level") * swell[..., item], item)
    result["item_cut"] = level + (loading * sd * from_zero)[..., item]
    expected = _expected(design, slopes, result) / units - average[..., None, :]
    scores = _scores(layout, take("scores"), expected, loading * sd, psi[..., None] * root, level)
    result["eta"] = (scores + (average + at_zero)[..., None, :]) * units
    return result


def _scores(layout: Layout, coordinates: Array, expected: Array, loading: Array, root: Array, level: Array) -> Array:
    """Scores about the sample's average in working units, (chains, draws, n, F), one draw at a time."""
    latent, whole = layout.design.items, model(layout)
    scores = np.empty_like(expected)
    for draw in np.ndindex(*expected.shape[:2]):
        own = coordinates[draw].reshape(expected.shape[2:])
        scores[draw] = factors.people(
            own, whole.answers, expected[draw], loading[draw], latent.owner, root[draw], level[draw], whole.guess
        )[0]
    return scores


def _effects(layout: Layout, group: GroupTerm, take: Any) -> dict[str, Array]:
    """Sds, correlations and varying effects of one grouping factor, in raw units."""
    name, q = group.name, len(group.effects)
    unit = np.repeat(layout.design.factor_units, q // len(layout.design.factor_units))
    tau = take(f"tau_{name}")
    values = {f"tau_{name}": tau * unit}
    root = np.broadcast_to(np.eye(q), (*tau.shape, q))
    if group.pairs:
        root = group.correlation_root(take(f"partial_{name}"))
        values[f"rho_{name}"] = group.correlations(root)
    own = take(f"u_{name}").reshape(*tau.shape[:2], len(group.levels), q)
    directions = layout.directions[name]
    own = _raw(own, directions.centred, tau, root)
    return values | {f"u_{name}": directions.effects(own) * unit}


def _raw(own: Array, centred: Flags, tau: Array, root: Array) -> Array:
    """Effects in directions from their coordinates, (chains, draws, J, q), as the density has them."""
    z, effects = np.empty_like(own), np.empty_like(own)
    for i in range(own.shape[-1]):
        before = np.einsum("cdjk,cdk->cdj", z[..., :i], root[..., i, :i])
        scale, rest = tau[..., i, None], root[..., i, i, None]
        z[..., i] = np.where(centred[:, i], (own[..., i] / scale - before) / rest, own[..., i])
        effects[..., i] = np.where(centred[:, i], own[..., i], scale * (before + rest * z[..., i]))
    return effects


def _averages(design: Design, group: GroupTerm, effects: Array) -> Array:
    """What the varying effects add to each factor in the average of the sample, in raw units."""
    weights = np.ones(design.n) if design.weights is None else design.weights
    share = np.zeros((len(group.levels), group.z.shape[1]))
    np.add.at(share, group.codes, group.z * weights[:, None] / weights.sum())
    per_effect = np.einsum("cdjq,jq->cdq", effects, share)
    return np.asarray(per_effect.reshape(*per_effect.shape[:2], len(design.items.factors), -1).sum(axis=-1))


def _expected(design: Design, slopes: Array, result: Mapping[str, Array]) -> Array:
    """Expectations of the factors for every row about the predictors' means, (chains, draws, n, F), in raw units."""
    units = design.factor_units
    total = np.einsum("np,cdfp->cdnf", working_x(design), slopes) * units
    for group in design.groups:
        effects = result[f"u_{group.name}"]
        shaped = effects.reshape(*effects.shape[:3], len(units), -1)
        z = base_z(design, group)
        for k in range(z.shape[1]):
            total += shaped[..., k][:, :, group.codes] * z[:, k, None]
    return np.asarray(total)


def _cumulated(steps: Array, item: Codes) -> Array:
    """Thresholds from the first of each item and the steps up."""
    starts = np.flatnonzero(np.diff(item, prepend=-1))
    return np.concatenate([part.cumsum(axis=-1) for part in np.split(steps, starts[1:], axis=-1)], axis=-1)
