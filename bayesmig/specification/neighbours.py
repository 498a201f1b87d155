"""Which areas of a map are neighbours, and how their effects are then alike."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import linalg, sparse, spatial
from scipy.sparse import csgraph

from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.names import as_code
from bayesmig.errors import SpecificationError, listing

if TYPE_CHECKING:
    import pandas as pd

MOST_AREAS = 1500


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
        If an area is its own neighbour, twice on the map or in no list of areas, or there are more than 1,500.

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
        values, rows = matrix.to_numpy(dtype=float), list(map(as_code, matrix.index))
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
        places, names = points.to_numpy(dtype=float), list(map(as_code, points.index))
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
        place = {name: k for k, name in enumerate(self.areas)}
        one, other = np.array([(place[a], place[b]) for a, b in self.pairs], dtype=np.int64).T
        half = sparse.csr_array((np.ones(len(one)), (one, other)), (len(place), len(place)))
        return half + half.T

    @cached_property
    def parts(self) -> Codes:
        """Which connected part of the map each area lies in, (A,) int array."""
        return np.asarray(csgraph.connected_components(self.graph, directed=False)[1], dtype=np.int64)

    @property
    def root(self) -> Array:
        """``(A, J)``: effects of areas are this times J independent ones; J is A less the parts that are no islands."""
        return _root(self)


@lru_cache(maxsize=4)  # every verb reads the map from its result again, and a root takes the cube of its areas
def _root(neighbours: Neighbours) -> Array:
    columns = []
    for part in range(int(neighbours.parts.max()) + 1):
        members = np.flatnonzero(neighbours.parts == part)
        weights = neighbours.graph[members][:, members].toarray()
        count = len(members)
        if count == 1:
            block = np.ones((1, 1))
        else:
            mean = np.full((count, count), 1 / count)
            variance = linalg.inv(np.diag(weights.sum(axis=0)) - weights + mean) - mean
            variance /= np.exp(np.log(np.diag(variance)).mean())
            half = linalg.cholesky(variance[:-1, :-1], lower=True)
            block = np.vstack([half, -half.sum(axis=0)])  # the last is what makes them sum to zero
        own = np.zeros((len(neighbours.areas), block.shape[1]))
        own[members] = block
        columns.append(own)
    return np.hstack(columns)
