"""How probable people are whom a fit has not seen, effects of groups it has not seen integrated out.

Given a draw of the parameters, the joint density of some people is ``int prod_i p(y_i | eta_i + z_i u) N(u; 0, S) du``
over the effects ``u`` of those groups that nobody but these people belongs to. For Gaussian outcomes it has a closed
form; elsewhere it is computed by adaptive Gauss-Hermite quadrature around the joint mode (Pinheiro & Bates 1995,
JCGS 4(1); Rabe-Hesketh, Skrondal & Pickles 2005, Journal of Econometrics 128(2), for groups within a group).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import sparse, special

from bayesmig.checking.subsets import subset
from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.data.design import Design, GroupTerm
from bayesmig.data.rows import Rows
from bayesmig.errors import EngineRefusal, listing
from bayesmig.inference.pareto import pareto_smoothed
from bayesmig.inference.response import linear_predictor, log_density
from bayesmig.results.fitted import Fitted

CHUNK_BYTES = 32 * 2**20
ROW_BYTES = 2**20  # of log densities at a time, so that they stay near the processor
LEAST_NATS, MOST_NATS = 1e-12, 600.0  # between which log densities of a unit differ if numbers can hold their ratios
MOST_EFFECTS = 500
QUADRATURE_DRAWS = 1000  # enough draws, where effects are integrated out by quadrature
OUTER_POINTS = {0: 1, 1: 21, 2: 11, 3: 7}  # quadrature points a dimension, by the number of dimensions
INNER_POINTS = {0: 1, 1: 11, 2: 7}
GRID = 500  # points where a density need not be log-concave
SLOPE_STEP = 1e-3
LONGEST_STEP = 2.0
NEWTON_STEPS = 40


def row_densities(fitted: Fitted) -> Iterator[tuple[Codes, Array]]:
    """Some rows at a time: positions and log densities ``(draws, rows)`` given the varying effects."""
    size = max(1, ROW_BYTES // (8 * fitted.size))
    values = {name: np.asfortranarray(array) for name, array in fitted.values.items()}  # draws of a number lie together
    for start in range(0, fitted.design.n, size):
        places = np.arange(start, min(start + size, fitted.design.n))
        people = subset(fitted.design, places)
        yield places, log_density(people, linear_predictor(Rows.of(people), values), values)


def relative_efficiency(tree: xr.DataTree, draws: int) -> float:
    """Effective over actual draws, averaged over parameters, as ArviZ takes it."""
    if tree.attrs.get("independent_draws") == "yes":
        return 1.0
    from arviz_stats import ess

    sizes = ess(tree, method="mean")
    mean = np.mean(np.concatenate([sizes[name].to_numpy().ravel() for name in sizes.data_vars]))
    return min(1.0, float(mean) / draws)


def pareto_threshold(draws: int) -> float:
    """Pareto k up to which importance sampling works (Vehtari et al. 2024, JMLR 25(72))."""
    return min(0.7, 1 - 1 / math.log10(max(draws, 11)))


def leave_units_out(densities: Array, powers: Array, efficiency: float) -> tuple[Array, Array, Array, Array, Array]:
    """Turn draws of the full posterior into draws of one without a unit, by Pareto smoothing.

    ``densities``, (units, draws) array: log density of every unit. ``powers``, (units,) array: to what power it entered
    the posterior. ``efficiency``: effective over actual draws. Returns ``weights`` and ``shares``, (units, draws)
    arrays that sum to one in each unit: of each draw in the posterior without the unit, and in the unit's density
    there; ``elpd`` and ``seen``, (units,) arrays: log density of the unit when it is left out and when it is not;
    ``pareto_k``, (units,) array: minus infinity where a unit says nothing of the parameters. Of a unit that some draw
    holds impossible ``elpd`` is missing, and Pareto k infinite.
    """
    impossible = ~np.isfinite(densities).all(axis=1)
    if impossible.any():
        left = leave_units_out(np.where(impossible[:, None], 0.0, densities), powers, efficiency)
        left[2][impossible], left[3][impossible], left[4][impossible] = np.nan, np.nan, np.inf
        return left
    low = densities.min(axis=1, keepdims=True)
    above = densities - low
    spread = above.max(axis=1)
    if (spread * np.maximum(powers, 1)).max() > MOST_NATS:
        return _by_logs(densities, powers, efficiency)
    ratios = np.exp(-above if (powers == 1).all() else -powers[:, None] * above)
    gains = 1 / ratios if (powers == 1).all() else np.exp(above)
    weights, pareto_k = pareto_smoothed(ratios, efficiency)
    pareto_k[np.isnan(pareto_k)] = np.inf
    pareto_k[spread * powers <= LEAST_NATS] = -np.inf
    shares = weights * gains
    total = shares.sum(axis=1)
    shares /= total[:, None]
    return weights, shares, low[:, 0] + np.log(total), low[:, 0] + np.log(gains.mean(axis=1)), pareto_k


def _by_logs(densities: Array, powers: Array, efficiency: float) -> tuple[Array, Array, Array, Array, Array]:
    """The same where densities differ by more than a number can hold."""
    from arviz_stats.base import array_stats

    exponents = densities * powers[:, None]
    log_weights = np.full(densities.shape, -math.log(densities.shape[1]))
    pareto_k = np.full(len(densities), -np.inf)
    informative = np.ptp(exponents, axis=1) > LEAST_NATS
    raw = -exponents[informative]
    raw -= special.logsumexp(raw, axis=1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        smooth, k = array_stats.psislw(exponents[informative], r_eff=efficiency)
    lost = ~np.isfinite(k) | ~np.isfinite(smooth).all(axis=1)  # the tail is longer than floats are
    log_weights[informative] = np.where(lost[:, None], raw, smooth)
    pareto_k[informative] = np.where(lost, np.inf, k)
    elpd = special.logsumexp(log_weights + densities, axis=1)
    seen = special.logsumexp(densities, axis=1) - math.log(densities.shape[1])
    return np.exp(log_weights), np.exp(log_weights + densities - elpd[:, None]), elpd, seen, pareto_k


def unseen(design: Design, places: Codes) -> dict[str, Flags]:
    """Groups, by factor, that only these rows belong to: ``(J,)`` flags. ``places``: positions of rows.

    Of areas whose neighbours are known, and of groups of people who are in several, none is: the draws have effects of
    all.
    """
    return {
        group.name: group.sizes == np.bincount(group.codes[places], minlength=len(group.levels))
        if group.structure is None
        else np.zeros(len(group.levels), dtype=bool)
        for group in design.groups
    }


def refuse_unseen(people: Design, new: Mapping[str, Flags]) -> None:
    """Refuse what :func:`log_joint_density` cannot integrate, before any work.

    Raises EngineRefusal saying what the new groups are, and what can be done.
    """
    outer, inner = _new_factors(people, new)
    shared = sum(len(group.effects) for group in outer)
    what = listing(f"{group.name} ({len(group.effects)} varying effects)" for group in (*outer, *inner))
    family = people.spec.family
    if people.spec.is_gaussian:
        count = _columns(people, new)
        reason = f"at most {MOST_EFFECTS} effects can be integrated out at a time, and these have {count}"
        able = count <= MOST_EFFECTS
    elif _far_from_concave(people):
        reason = f"one new effect at a time can be integrated out of family {family!r}, which may have two maxima"
        able = not inner and shared <= 1
    else:
        reason = (
            f"with family {family!r} up to 3 effects that these people share, and up to 2 of one factor whose groups"
            " lie among them, can be integrated out"
        )
        able = len(inner) <= 1 and shared in OUTER_POINTS and all(len(g.effects) in INNER_POINTS for g in inner)
    if not able:
        raise EngineRefusal(
            f"people are to be predicted whose groups nobody else belongs to: {what}; {reason}. Leave out groups of a"
            " finer factor, take varying slopes out, or use loo."
        )


def log_joint_density(people: Design, values: Mapping[str, Array], new: Mapping[str, Flags]) -> Array:
    """Log density of all these people's outcomes together, effects of new groups integrated out: ``(draws,)``.

    ``people``: rows of the fitted design (see :func:`bayesmig.checking.subsets.subset`). Weights that count people
    multiply log densities. ``values``: draws of the parameters, first axis draws. Varying effects of new groups are not
    looked at. ``new``, mapping of str to (J,) bool array: which groups of a factor are new. Raises EngineRefusal as
    :func:`refuse_unseen`.
    """
    refuse_unseen(people, new)
    people = people.centred  # where covariances are told from rounding
    for group in people.groups:
        values = group.turned(values)
    hidden = {group.name: _hidden(group, new) for group in people.groups}
    rows = Rows.of(people)
    rows = dataclasses.replace(rows, z={name: z * ~hidden[name][:, None] for name, z in rows.z.items()})
    gaussian = people.spec.is_gaussian
    count = _columns(people, new)
    width = people.n + 4 * count**2 if gaussian else people.n * (count + 4) * len(people.predictors)
    result = np.empty(len(values["beta"]))
    for piece in _pieces(len(result), width):
        some = {name: array[piece] for name, array in values.items()}
        if gaussian:
            result[piece] = _gaussian(people, rows, some, new)
        else:
            eta = linear_predictor(rows, some).reshape(-1, people.n, len(people.predictors))
            result[piece] = _quadrature(people, eta, some, new)
    return result


def log_marginal_likelihood(design: Design, values: Mapping[str, Array]) -> Array:
    """Log likelihood of the parameters with all varying effects integrated out: ``(draws,)``.

    Raises EngineRefusal if the effects of groups that hang together cannot be integrated out, before any work, or
    groups have weights.
    """
    if any(group.weights is not None for group in design.groups):
        raise EngineRefusal("groups have weights, and the density of a weighted group is not defined.")
    if any(group.structure is not None for group in design.groups):
        raise EngineRefusal(
            "effects of neighbours are alike, and those of several groups add up in one person, so that they do not"
            " integrate out group by group."
        )
    everything = {group.name: np.ones(len(group.levels), dtype=bool) for group in design.groups}
    parts = [subset(design, places) for places in _separate(design)]
    for people in parts:
        refuse_unseen(people, everything)
    return np.sum([log_joint_density(people, values, everything) for people in parts], axis=0)


def _separate(design: Design) -> list[Codes]:
    """Rows in sets that have no group in common."""
    if not design.groups:
        return [np.arange(design.n)]
    first = np.cumsum([0, *(len(group.levels) for group in design.groups)])
    nodes = np.stack([group.codes + start for group, start in zip(design.groups, first, strict=False)])
    links = sparse.coo_array(
        (np.ones(nodes[1:].size), (np.tile(nodes[0], len(nodes) - 1), nodes[1:].ravel())), shape=(first[-1],) * 2
    )
    label = sparse.csgraph.connected_components(links, directed=False)[1][nodes[0]]
    return [np.flatnonzero(label == one) for one in np.unique(label)]


def effect_root(group: GroupTerm, values: Mapping[str, Array]) -> Array:
    """Cholesky factor ``(draws, q, q)`` of the covariance of a grouping factor's effects."""
    nearly_one = 1e-12 * np.eye(len(group.effects))  # draws of correlations may be one to the last digit
    return np.linalg.cholesky(group.covariance(values) * (1 + nearly_one))


def _pieces(draws: int, width: int) -> Iterator[slice]:
    size = max(1, CHUNK_BYTES // (8 * width))
    for start in range(0, draws, size):
        yield slice(start, min(draws, start + size))


def _far_from_concave(people: Design) -> bool:
    """Whether the density of a row has more than one slope of each sign, so that one mode may hide another."""
    return people.spec.distribution.working is not None


def _hidden(group: GroupTerm, new: Mapping[str, Flags]) -> Flags:
    """Rows whose group is new, (n,); of people in several groups none is."""
    return np.append(new[group.name], False)[group.codes]


def _columns(people: Design, new: Mapping[str, Flags]) -> int:
    """How many effects are new."""
    counts = (len(np.unique(group.codes[_hidden(group, new)])) for group in people.groups)
    return sum(len(group.effects) * count for group, count in zip(people.groups, counts, strict=True))


def _new_factors(people: Design, new: Mapping[str, Flags]) -> tuple[list[GroupTerm], list[GroupTerm]]:
    """Factors of which one group is new, and those of which several are."""
    counts = {group.name: len(np.unique(group.codes[_hidden(group, new)])) for group in people.groups}
    outer = [group for group in people.groups if counts[group.name] == 1]
    inner = [group for group in people.groups if counts[group.name] > 1]
    return outer, inner


def _gaussian(people: Design, rows: Rows, values: Mapping[str, Array], new: Mapping[str, Flags]) -> Array:
    """Multivariate normal density with covariance ``Z S Z' + sigma^2 / W``, by Woodbury's identity.

    Where no group is known, rows are turned until there are as many as columns: densities depend on squares only.
    """
    variance = values["sigma"][:, None] ** 2
    weights = np.ones(people.n) if people.weights is None else people.weights
    log_weight = np.log(weights).sum() if people.weight_kind == "precision" else 0.0
    counted = float(people.n) if people.counting is None else float(weights.sum())
    columns, roots = [rows.x, people.y - (0.0 if rows.offset is None else rows.offset)], []
    for group in people.groups:
        for level in np.unique(group.codes[_hidden(group, new)]):
            columns.append(group.z * (group.codes == level)[:, None])
            roots.append(effect_root(group, values))
    table = np.column_stack(columns) * np.sqrt(weights)[:, None]
    p, known = rows.x.shape[1], any(z.any() for z in rows.z.values())
    if not known and len(table) > table.shape[1]:
        table = np.linalg.qr(table, mode="r")
    z = table[:, p + 1 :]
    residual = table[:, p] - values["beta"] @ table[:, :p].T
    if known:
        residual = (people.y - linear_predictor(rows, values)) * np.sqrt(weights)
    total = 0.5 * log_weight - 0.5 * counted * np.log(2 * np.pi * variance[:, 0])
    total -= 0.5 * np.einsum("sn,sn->s", residual, residual) / variance[:, 0]
    if not roots:
        return np.asarray(total)
    root = _block_diagonal(roots)
    inner = root.transpose(0, 2, 1) @ (z.T @ z) @ root / variance[:, :, None]
    factor = np.linalg.cholesky(inner + np.eye(z.shape[1]))
    score = np.einsum("sji,sj->si", root, residual @ z) / variance
    explained = np.linalg.solve(factor, score[:, :, None])[:, :, 0]
    log_pivots = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(total + 0.5 * (explained**2).sum(axis=1) - log_pivots)


def _block_diagonal(blocks: list[Array]) -> Array:
    sizes = [block.shape[1] for block in blocks]
    matrix = np.zeros((len(blocks[0]), sum(sizes), sum(sizes)))
    start = 0
    for block, size in zip(blocks, sizes, strict=True):
        matrix[:, start : start + size, start : start + size] = block
        start += size
    return matrix


@dataclass(frozen=True, eq=False)
class _Integrand:
    """The density of some people as a function of standard normal effects, for a batch of draws.

    ``eta``, (draws, n, H) array: linear predictors without the effects. ``outer``, (draws, n, H, d) array: what the
    effects do that all these people share. ``inner``, (draws, n, H, q) array: what the effects of their own groups do.
    ``member``, (n,) int array: which of the m inner groups a row belongs to; m if to none.
    """

    people: Design
    eta: Array
    values: Mapping[str, Array]
    outer: Array
    inner: Array
    member: Codes
    m: int

    @classmethod
    def of(cls, people: Design, eta: Array, values: Mapping[str, Array], new: Mapping[str, Flags]) -> _Integrand:
        """The integrand with the effects of new groups."""
        outer, inner = _new_factors(people, new)
        of, shapes = people.owners, []
        for group in (*outer, *inner):
            hidden = _hidden(group, new)
            columns = of.spread(group.z * hidden[:, None], of.effects[group.name])
            shapes.append(columns @ effect_root(group, values)[:, None])
        nothing = np.zeros((*eta.shape, 0))
        member, m = np.zeros(people.n, dtype=np.int64), 0
        if inner:
            hidden = _hidden(inner[0], new)
            levels = np.unique(inner[0].codes[hidden])
            m = len(levels)
            member = np.where(hidden, np.searchsorted(levels, inner[0].codes), m)
        shared = np.concatenate([nothing, *shapes[: len(outer)]], axis=3)
        return cls(people, eta, values, shared, shapes[-1] if inner else nothing, member, m)

    def log_rows(self, eta: Array) -> Array:
        """Log density of every row, times what it counts."""
        density = log_density(self.people, eta[..., 0] if self.people.assigned is None else eta, self.values)
        return density if self.people.counting is None else density * self.people.counting

    def slopes(self, eta: Array) -> tuple[Array, Array]:
        """First and second derivatives of :meth:`log_rows` by the linear predictors; the second are not above zero."""
        steps, centre = SLOPE_STEP * np.eye(eta.shape[2]), self.log_rows(eta)
        ends = [(self.log_rows(eta + step), self.log_rows(eta - step)) for step in steps]
        first = np.stack([up - down for up, down in ends], axis=-1) / (2 * SLOPE_STEP)
        bends = [up + down - 2 * centre for up, down in ends]
        second = np.zeros((*eta.shape, eta.shape[2]))
        for h, k in itertools.combinations_with_replacement(range(len(steps)), 2):
            both = bends[h]
            if h < k:
                up, down = (self.log_rows(eta + sign * (steps[h] + steps[k])) for sign in (1, -1))
                both = (up + down - 2 * centre - bends[h] - bends[k]) / 2
            second[..., h, k] = second[..., k, h] = both / SLOPE_STEP**2
        if len(steps) == 1:
            return first, np.minimum(second, 0.0)
        sizes, vectors = np.linalg.eigh(second)
        return first, (vectors * np.minimum(sizes, 0.0)[..., None, :]) @ np.swapaxes(vectors, -1, -2)

    def mode(self) -> tuple[Array, Array]:
        """Joint mode ``(draws, d + m q)`` and the precision there, by Newton's method."""
        own = [self.inner * (self.member == level)[:, None, None] for level in range(self.m)]
        matrix = np.concatenate([self.outer, *own], axis=3)
        size, n, count, width = matrix.shape
        flat, place = matrix.reshape(size, n * count, width), np.zeros((size, width))
        for _ in range(NEWTON_STEPS):
            first, second = self.slopes(self.eta + (flat @ place[:, :, None]).reshape(size, n, count))
            told = -second * matrix if count == 1 else -second @ matrix
            precision = flat.transpose(0, 2, 1) @ told.reshape(flat.shape) + np.eye(width)
            gradient = (first.reshape(size, 1, -1) @ flat)[:, 0] - place
            step = np.linalg.solve(precision, gradient[:, :, None])[:, :, 0]
            longest = abs(step).max()
            place = place + step * np.minimum(1, LONGEST_STEP / np.maximum(abs(step).max(axis=1), 1e-12))[:, None]
            if longest < 1e-4:
                break
        return place, precision


def _quadrature(people: Design, eta: Array, values: Mapping[str, Array], new: Mapping[str, Flags]) -> Array:
    """Outer quadrature over what people share, an inner one over each of the groups among them."""
    integrand = _Integrand.of(people, eta, values, new)
    d, q = integrand.outer.shape[3], integrand.inner.shape[3]
    if d + q == 0:
        return integrand.log_rows(eta).sum(axis=1)
    mode, precision = integrand.mode()
    if _far_from_concave(people):
        return _on_grid(integrand, mode[:, 0], precision[:, 0, 0] ** -0.5)
    root = np.linalg.cholesky(np.linalg.inv(precision)[:, :d, :d])
    parts = []
    for node, log_weight in _nodes(d, OUTER_POINTS[d]):
        move = root @ node
        place = mode[:, :d] + move
        moved = eta + np.einsum("snhd,sd->snh", integrand.outer, place)
        inner = _inner_integrals(integrand, moved, move, mode, precision)
        parts.append(log_weight + _log_normal(place) + inner)
    log_volume = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(special.logsumexp(parts, axis=0) + log_volume)


def _inner_integrals(integrand: _Integrand, eta: Array, move: Array, mode: Array, precision: Array) -> Array:
    """Log density of all rows given the shared effects, those of inner groups integrated out."""
    m, q, d = integrand.m, integrand.inner.shape[3], move.shape[1]
    if m == 0:
        return integrand.log_rows(eta).sum(axis=1)
    member, draws = integrand.member, len(eta)
    own = [slice(d + k * q, d + (k + 1) * q) for k in range(m)]
    blocks = np.stack([precision[:, block, block] for block in own], axis=1)
    pull = (precision[:, d:, :d] @ move[:, :, None]).reshape(draws, m, q, 1)
    centre = mode[:, d:].reshape(draws, m, q) - np.linalg.solve(blocks, pull)[..., 0]
    root = np.linalg.cholesky(np.linalg.inv(blocks))
    indicator = (member[:, None] == np.arange(m)).astype(float)
    parts = []
    for node, log_weight in _nodes(q, INNER_POINTS[q]):
        place = centre + root @ node
        padded = np.concatenate([place, np.zeros((draws, 1, q))], axis=1)
        rows = integrand.log_rows(eta + np.einsum("snhq,snq->snh", integrand.inner, padded[:, member]))
        parts.append(log_weight + _log_normal(place) + rows @ indicator)
    log_volume = np.log(np.diagonal(root, axis1=2, axis2=3)).sum(axis=2)
    outside = integrand.log_rows(eta) @ (member == m)
    return np.asarray((special.logsumexp(parts, axis=0) + log_volume).sum(axis=1) + outside)


def _on_grid(integrand: _Integrand, mode: Array, sd: Array) -> Array:
    """One effect by the trapezoidal rule, over the mode's surroundings and over wherever the effect may lie.

    A Student t outcome far off can leave a second maximum near zero, which quadrature around one would miss.
    """
    wide = np.where(sd > 0.05, 6.0, 0.0)  # beside a narrower maximum there is no other
    low, high = np.minimum(mode - 8 * sd, -wide), np.maximum(mode + 8 * sd, wide)
    parts = []
    for fraction in np.linspace(0, 1, GRID):
        place = low + fraction * (high - low)
        rows = integrand.log_rows(integrand.eta + integrand.outer[..., 0] * place[:, None, None])
        parts.append(_log_normal(place[:, None]) + rows.sum(axis=1))
    return np.asarray(special.logsumexp(parts, axis=0) + np.log((high - low) / (GRID - 1)))


def _nodes(dimensions: int, points: int) -> Iterator[tuple[Array, float]]:
    """Points and log weights of Gauss-Hermite quadrature of ``f(x) dx`` by a standard normal's shape."""
    nodes, weights = special.roots_hermitenorm(points)
    log_weights = np.log(weights) + 0.5 * nodes**2
    for chosen in itertools.product(range(points), repeat=dimensions):
        places = list(chosen)
        yield nodes[places], float(log_weights[places].sum())


def _log_normal(place: Array) -> Array:
    """Log density of standard normal effects, summed over the last axis."""
    return np.asarray(-0.5 * (place**2).sum(axis=-1) - 0.5 * place.shape[-1] * math.log(2 * math.pi))
