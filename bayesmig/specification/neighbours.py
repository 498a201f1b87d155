"""Which groups are neighbours, or how far they lie apart, and how their effects are then alike."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg, sparse, spatial
from scipy.sparse import csgraph

from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.names import as_code
from bayesmig.errors import SpecificationError, closest, listing

if TYPE_CHECKING:
    import pandas as pd

MOST_AREAS = 3000
MOST_POINTS = 300  # whose covariance has a root of its own at every correlation
STRUCTURES = ("spatial", "bym2", "ar1", "gp")  # of (1 | structure(column)); the last two take points
NEARLY_ONE = 1 - 1e-9


def grouped_by(group: str) -> str:
    """The column of a grouping factor whose effects are alike; empty of others.

    >>> grouped_by("bym2(area)"), grouped_by("area")
    ('area', '')
    """
    found = re.fullmatch(rf"(?:{'|'.join(STRUCTURES)})\((.*)\)", group)
    return found[1] if found else ""


class Structure:
    """How effects of groups are alike: a basis times effects that are independent, or nearly.

    What the basis is multiplied by may have sds or correlations that depend on one more parameter, between 0 and 1.

    basis : (A, J) array
    shared : (J,) array or None: variances of what it is multiplied by where all of these are shared with neighbours
    distances : (J, J) array or None: how far groups lie from each other, in units
    parameter : what the parameter is of, empty without one
    """

    basis: Array
    shared: Array | None = None
    distances: Array | None = None
    parameter: str = ""

    def spread(self, rho: Any, xp: Any = np) -> Any:
        """Sds ``(..., J)`` of what the basis is multiplied by, or of points their correlations ``(..., J, J)``.

        ``rho``: ``(...)``. ``xp``: the library whose arrays these are, NumPy or PyTensor.
        """
        if self.distances is not None:
            return rho[..., None, None] ** self.distances
        return xp.sqrt(1 - rho[..., None] + rho[..., None] * self.shared)

    def root(self, rho: Array) -> Array:
        """What independent effects are multiplied by: sds ``(..., J, 1)``, or Cholesky factors ``(..., J, J)``."""
        found = self.spread(np.minimum(rho, NEARLY_ONE))
        return np.asarray(found[..., None] if self.distances is None else np.linalg.cholesky(found))

    def multiplied(self, rho: Array, noise: Array) -> Array:
        """``(B, J)`` from independent effects ``(B, J)`` of sd one; the basis times these are effects of groups."""
        if not self.parameter:
            return noise
        root = self.root(rho)
        return np.asarray(root[..., 0] * noise if self.distances is None else (root @ noise[..., None])[..., 0])

    def log_density(self, rho: Array | None, effects: Array) -> Array:
        """Log density ``(B,)``, up to a constant, of effects ``(B, A)`` of sd one."""
        own = np.linalg.lstsq(self.basis, effects.T, rcond=None)[0].T
        if rho is None:
            return np.asarray(-0.5 * (own**2).sum(axis=1))
        root = self.root(rho)
        sizes = root[..., 0] if self.distances is None else np.diagonal(root, axis1=-2, axis2=-1)
        own = own / sizes if self.distances is None else np.linalg.solve(root, own[..., None])[..., 0]
        return np.asarray(-0.5 * (own**2).sum(axis=1) - np.log(sizes).sum(axis=1))


@dataclass(frozen=True, eq=False)
class Independent(Structure):
    """Effects of groups that are alike in nothing, of which a person has several."""

    basis: Array


@dataclass(frozen=True, eq=False)
class OnMap(Structure):
    """Effects of areas that are alike where these are neighbours; ``partly``: as far as a share says."""

    neighbours: Neighbours
    partly: bool

    @property
    def basis(self) -> Array:  # type: ignore[override]
        """Directions in which neighbours differ, or with a share orthogonal ones."""
        return _decomposed(self.neighbours, self.partly)[0]

    @property
    def shared(self) -> Array | None:  # type: ignore[override]
        """Variances of these."""
        return _decomposed(self.neighbours, self.partly)[1] if self.partly else None

    @property
    def parameter(self) -> str:  # type: ignore[override]
        """The share."""
        return "spatial" if self.partly else ""


@dataclass(frozen=True, eq=False)
class AtPoints(Structure):
    """Effects of groups that are the more alike the nearer they lie."""

    points: Points

    @property
    def basis(self) -> Array:  # type: ignore[override]
        """The identity: effects are those of the groups themselves."""
        return np.eye(len(self.points.places))

    @property
    def distances(self) -> Array:  # type: ignore[override]
        """``(J, J)``, in units."""
        return self.points.distances

    @property
    def parameter(self) -> str:  # type: ignore[override]
        """The correlation at the distance of a unit."""
        return f"at {self.points.unit:g}"


@dataclass(frozen=True)
class Neighbours:
    """Areas of a map and which of them are neighbours, for ``(1 | spatial(area))``.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Neighbours, each pair once or in both orders.
    areas : sequence of str, optional
        All areas of the map, also those without data and islands, which have no neighbours. By default those of the
        pairs.

    Raises
    ------
    SpecificationError
        If an area is its own neighbour, twice on the map or in no list of areas, or there are more than 3,000.

    Notes
    -----
    Effects of neighbours are alike: the difference of each two is normal about zero, which is the intrinsic
    conditional autoregression of Besag, York & Mollie (1991, Annals of the Institute of Statistical Mathematics 43).
    Over each connected part of the map they sum to zero. They are scaled so that the geometric mean of their variances
    at an sd of one is one in every part (Riebler et al. 2016, Statistical Methods in Medical Research 25(4);
    Freni-Sterrantino, Ventrucci & Rue 2018), so that ``tau_spatial(area)`` is the sd of a typical area's effect on any
    map; an island has a normal effect of its own. With ``(1 | area)`` beside it areas may differ from their neighbours
    besides, the model of Besag, York and Mollie.

    See Also
    --------
    ModelSpec : ``neighbours={"area": Neighbours(...)}`` says it of a grouping column.

    Examples
    --------
    >>> line = Neighbours([("north", "middle"), ("middle", "south")], areas=["north", "middle", "south", "island"])
    >>> line.areas, line.parts.tolist()
    (('north', 'middle', 'south', 'island'), [0, 0, 0, 1])
    >>> (line.root @ line.root.T).round(2).tolist()[0]
    [1.36, -0.27, -1.09, 0.0]
    """

    pairs: tuple[tuple[str, str], ...]
    areas: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            found = [(as_code(one), as_code(other)) for one, other in self.pairs]
        except (TypeError, ValueError):
            raise SpecificationError(
                f"pairs of neighbours are two areas each, as in [('a', 'b'), ('b', 'c')]; got {str(self.pairs)[:80]}."
            ) from None
        named = tuple(map(as_code, self.areas)) or tuple(sorted({*itertools.chain(*found)}))
        twice = sorted({name for name in named if named.count(name) > 1}) if len({*named}) < len(named) else []
        if twice:
            raise SpecificationError(f"neighbours: {listing(twice)} is on the map twice.")
        own = [one for one, other in found if one == other]
        if own or not found:
            raise SpecificationError(
                f"neighbours: {own[0]!r} is its own neighbour." if own else "neighbours: there is no pair of them."
            )
        unknown = sorted({*itertools.chain(*found)} - {*named})
        if unknown:
            raise SpecificationError(f"neighbours: pairs name {listing(map(repr, unknown))}, which areas leave out.")
        if len(named) > MOST_AREAS:
            raise SpecificationError(f"neighbours: a map of {len(named):,} areas; at most {MOST_AREAS:,} are taken.")
        order = {name: k for k, name in enumerate(named)}
        pairs = {(one, other) if order[one] < order[other] else (other, one) for one, other in found}
        object.__setattr__(self, "areas", named)
        object.__setattr__(self, "pairs", tuple(sorted(pairs, key=lambda pair: (order[pair[0]], order[pair[1]]))))

    @classmethod
    def of_matrix(cls, matrix: pd.DataFrame) -> Neighbours:
        """From a matrix of zeros and ones whose rows and columns are areas.

        Raises SpecificationError unless rows and columns are the same areas and the matrix is symmetric.
        """
        values, rows = _numbers(matrix, "neighbours: the matrix")
        if rows != list(map(as_code, matrix.columns)):
            raise SpecificationError("neighbours: rows and columns of the matrix must be the same areas in one order.")
        if not np.isin(values, (0, 1)).all():
            raise SpecificationError(
                "neighbours: the matrix has ones for neighbours and zeros for others, nothing else."
            )
        if (uneven := np.argwhere(values != values.T)).size:
            one, other = (rows[place] for place in uneven[0])
            raise SpecificationError(
                f"neighbours: the matrix is not symmetric: {one!r} and {other!r} are neighbours in one direction only."
            )
        return cls(tuple((rows[i], rows[j]) for i, j in np.argwhere(np.triu(values)).tolist()), tuple(rows))

    @classmethod
    def within(cls, points: pd.DataFrame, distance: float) -> Neighbours:
        """Areas whose points lie no farther from each other than a distance, in the units of the coordinates.

        ``points``: indexed by area, two columns of coordinates in a plane (project degrees of longitude before).
        """
        places, names = _numbers(points, "neighbours: points")
        if places.shape[1:] != (2,) or not np.isfinite(places).all():
            raise SpecificationError("neighbours: points are two finite coordinates an area.")
        found = spatial.cKDTree(places).query_pairs(distance, output_type="ndarray")
        if not len(found):
            raise SpecificationError(f"neighbours: no two areas are within {distance:g} of each other.")
        return cls(tuple((names[i], names[j]) for i, j in found.tolist()), tuple(names))

    @classmethod
    def in_order(cls, names: Sequence[object], around: bool = False) -> Neighbours:
        """Waves, cohorts or months, each the neighbour of the next: their effects are a random walk.

        ``names``: in their order, also those without data, such as years to come. ``around``: the last is a neighbour
        of the first, as December is of January.
        """
        codes = list(map(as_code, names))
        if len(codes) < 2 + around:
            raise SpecificationError(f"neighbours in an order are {2 + around} names or more, got {len(codes)}.")
        return cls(tuple(zip(codes, codes[1:] + codes[:1] * around, strict=False)), tuple(codes))

    @classmethod
    def touching(cls, frame: Any, name: str) -> Neighbours:
        """Areas of a geopandas frame whose polygons meet; ``name``: the column that names them."""
        if name not in frame:
            raise SpecificationError(f"neighbours: the frame has no column {name!r}{closest(name, frame)}.")
        names = list(map(as_code, frame[name]))
        one, other = frame.sindex.query(frame.geometry, predicate="intersects")
        places = zip(one.tolist(), other.tolist(), strict=True)
        return cls(tuple((names[i], names[j]) for i, j in places if i < j), tuple(names))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"pairs": self.pairs, "areas": self.areas}

    @cached_property
    def graph(self) -> Any:
        """A one for each two neighbours, (A, A) sparse array."""
        one, other = self._pairs
        half = sparse.csr_array((np.ones(len(one)), (one, other)), (len(self.areas), len(self.areas)))
        return half + half.T

    @cached_property
    def _pairs(self) -> Codes:
        place = {name: k for k, name in enumerate(self.areas)}
        return np.array([(place[a], place[b]) for a, b in self.pairs], dtype=np.int64).T

    @cached_property
    def parts(self) -> Codes:
        """Which connected part of the map each area lies in, (A,) int array."""
        return np.asarray(csgraph.connected_components(self.graph, directed=False)[1], dtype=np.int64)

    @property
    def root(self) -> Array:
        """``(A, J)``: effects of areas are this times J independent ones; J is A less the parts that are no islands."""
        return self.structure("spatial").basis

    @cached_property
    def differences(self) -> Any:
        """``(D, A)`` sparse array: its products are the precision of effects of sd one, which sum to zero by part.

        A row a pair of neighbours, and one an island.
        """
        unit = np.sqrt(_scales(self))[self.parts]
        one, other = self._pairs
        rows, islands = np.arange(len(one)), np.flatnonzero(np.bincount(self.parts)[self.parts] == 1)
        values = np.concatenate([unit[one], -unit[one], np.ones(len(islands))])
        where = np.concatenate([rows, rows, len(rows) + np.arange(len(islands))])
        shape = (len(rows) + len(islands), len(self.areas))
        return sparse.csr_array((values, (where, np.concatenate([one, other, islands]))), shape)

    @property
    def sums(self) -> Any:
        """``(parts, A)`` sparse array of ones: sums over the parts of the map that are no islands, which are zero."""
        sizes = np.bincount(self.parts)
        kept = np.flatnonzero(sizes[self.parts] > 1)
        part = np.cumsum(sizes > 1)[self.parts[kept]] - 1
        return sparse.csr_array((np.ones(len(kept)), (part, kept)), (int((sizes > 1).sum()), len(self.areas)))

    def structure(self, kind: str) -> Structure:
        """How effects of areas are alike; ``kind``: one of ``STRUCTURES``."""
        return OnMap(self, kind == "bym2")


@dataclass(frozen=True)
class Points:
    """Where groups lie in time or space, for ``(1 | ar1(wave))`` and ``(1 | gp(area))``.

    Parameters
    ----------
    places : mapping of str to number or sequence of numbers
        Coordinates of every group, also of those without data: one number a group in time, two on a map (in a plane:
        project degrees of longitude before).
    unit : number, optional
        A distance: ``rho`` is the correlation of two groups that lie so far apart. By default the mean distance of a
        group to the nearest other.

    Raises
    ------
    SpecificationError
        If coordinates are no finite numbers, as many for each, two groups lie in one place, or there are fewer than
        two groups or more than 300.

    Notes
    -----
    Effects of two groups correlate by ``rho ** (distance / unit)``. Of equally spaced waves that is the stationary
    autoregression of first order, AR(1), with ``rho`` from one wave to the next; of waves at unequal distances its
    version in continuous time (Jones & Boadi-Boateng 1991, Biometrics 47); on a map a Gaussian process with
    exponential covariance, the Matern covariance of smoothness 1/2 (Diggle & Ribeiro 2007, Model-based
    Geostatistics, section 3.4).

    What it means: effects far from each other have nothing to do with each other, which those of neighbours
    (:class:`Neighbours`) and of a random walk have.

    See Also
    --------
    ModelSpec : ``neighbours={"wave": Points(...)}`` says it of a grouping column.
    Neighbours : effects that are alike where groups border on each other.

    Examples
    --------
    >>> waves = Points({"2010": 2010, "2012": 2012, "2018": 2018}, unit=2)
    >>> waves.names, waves.distances.tolist()[0]
    (('2010', '2012', '2018'), [0.0, 1.0, 4.0])
    """

    places: Mapping[str, tuple[float, ...]]
    unit: float = 0.0

    def __post_init__(self) -> None:
        try:
            found = {as_code(name): tuple(map(float, np.atleast_1d(place))) for name, place in self.places.items()}
        except (AttributeError, TypeError, ValueError):
            raise SpecificationError(
                f"points are coordinates by group, as in {{'2010': 2010, '2012': 2012}}; got {str(self.places)[:80]}."
            ) from None
        places = list(found.values())
        if len({len(place) for place in places}) != 1 or not np.isfinite(places).all():
            raise SpecificationError("points: every group needs as many coordinates, all of them finite numbers.")
        if not 2 <= len(places) <= MOST_POINTS:
            raise SpecificationError(f"points: 2 to {MOST_POINTS} groups are taken, got {len(places)}.")
        if len({*places}) < len(places):
            one, other = next(pair for pair in itertools.combinations(found, 2) if found[pair[0]] == found[pair[1]])
            raise SpecificationError(f"points: {one!r} and {other!r} lie in one place; give them one name.")
        if not (isinstance(self.unit, int | float) and math.isfinite(self.unit) and self.unit >= 0):
            raise SpecificationError(f"points: unit={self.unit!r} is no distance above zero.")
        object.__setattr__(self, "places", found)
        if not self.unit:
            nearest = spatial.cKDTree(places).query(places, k=2)[0][:, 1]
            object.__setattr__(self, "unit", float(nearest.mean()))

    @classmethod
    def of_frame(cls, points: pd.DataFrame, unit: float = 0.0) -> Points:
        """From a frame indexed by group, a column a coordinate."""
        places, names = _numbers(points, "points")
        _check_once(names)
        return cls(dict(zip(names, map(tuple, places.reshape(len(names), -1).tolist()), strict=True)), unit)

    @classmethod
    def in_order(cls, names: Sequence[object]) -> Points:
        """Waves or cohorts, each as far from the next; also those without data, such as years to come."""
        codes = list(map(as_code, names))
        _check_once(codes)
        return cls({name: (float(k),) for k, name in enumerate(codes)}, 1.0)

    @property
    def names(self) -> tuple[str, ...]:
        """The groups."""
        return tuple(self.places)

    @cached_property
    def distances(self) -> Array:
        """``(J, J)``, in units."""
        places = np.array(list(self.places.values()))
        return np.asarray(spatial.distance.cdist(places, places) / self.unit)

    def structure(self, kind: str) -> Structure:
        """How effects of groups are alike."""
        return AtPoints(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"places": self.places, "unit": self.unit}


def _numbers(frame: Any, what: str) -> tuple[Array, list[str]]:
    """The values of a frame and the groups that index it."""
    try:
        return frame.to_numpy(dtype=float), list(map(as_code, frame.index))
    except (AttributeError, TypeError, ValueError):
        found = "text among its values" if hasattr(frame, "index") else f"a {type(frame).__name__}"
        raise SpecificationError(f"{what} must be a data frame of numbers indexed by group; got {found}.") from None


def _check_once(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecificationError(f"points: {listing(map(repr, twice))} stands twice; every group lies in one place.")


def from_dict(values: Mapping[str, Any]) -> Neighbours | Points:
    """What either's ``to_dict`` wrote."""
    return Points(**values) if "places" in values else Neighbours(**values)


@lru_cache(maxsize=4)
def _scales(neighbours: Neighbours) -> Array:
    """Of each part of a map, the geometric mean of the variances where differences of neighbours have an sd of one."""
    found = np.ones(int(neighbours.parts.max()) + 1)
    for part in np.flatnonzero(np.bincount(neighbours.parts) > 1):
        found[part] = _variances(neighbours, np.flatnonzero(neighbours.parts == part))[1]
    return found


def _variances(neighbours: Neighbours, members: Codes) -> tuple[Array, float]:
    """Covariances of the effects of one part, scaled, and what they were divided by."""
    weights = neighbours.graph[members][:, members].toarray()
    mean = np.full(weights.shape, 1 / len(members))
    variance = linalg.inv(np.diag(weights.sum(axis=0)) - weights + mean) - mean
    scale = float(np.exp(np.log(np.diag(variance)).mean()))
    return variance / scale, scale


@lru_cache(maxsize=4)  # every verb reads the map from its result again, and a root takes the cube of its areas
def _decomposed(neighbours: Neighbours, partly: bool) -> tuple[Array, Array]:
    """The basis of effects of neighbours, and variances of what it is multiplied by."""
    columns, shared = [], []
    for part in range(int(neighbours.parts.max()) + 1):
        members = np.flatnonzero(neighbours.parts == part)
        if len(members) == 1:
            block, own = np.ones((1, 1)), np.ones(1)
        else:
            variance, _ = _variances(neighbours, members)
            if partly:
                own, block = linalg.eigh(variance)
            else:
                half = linalg.cholesky(variance[:-1, :-1], lower=True)
                block = np.vstack([half, -half.sum(axis=0)])  # the last is what makes them sum to zero
                own = np.ones(len(half))
        whole = np.zeros((len(neighbours.areas), block.shape[1]))
        whole[members] = block
        columns.append(whole)
        shared.append(np.maximum(own, 0.0))
    return np.hstack(columns), np.concatenate(shared)
