"""Points of the unbounded space that NUTS moves in: blocks of coordinates with priors, and what nutpie is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bayesmig.contract.arrays import Array
from bayesmig.errors import SpecificationError
from bayesmig.families import machine
from bayesmig.inference.kernels import coordinates
from bayesmig.inference.kernels.coordinates import Coordinates
from bayesmig.specification.priors import (
    Beta,
    Exponential,
    Flat,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    Laplace,
    Normal,
    Prior,
    StudentT,
)

Evaluate = Callable[[Array], tuple[float, Array]]

SCALES: dict[type[Prior], int] = {
    HalfNormal: coordinates.HALF_NORMAL,
    HalfStudentT: coordinates.HALF_STUDENT,
    Beta: coordinates.SHARE,
    Exponential: coordinates.EXPONENTIAL,
    InverseGamma: coordinates.INVERSE_GAMMA,
}


class Part(NamedTuple):
    """Coordinates of one kind of parameter.

    ``kinds``: as :mod:`bayesmig.inference.kernels.coordinates` counts them. ``priors``: of the values; of partial
    correlations the shape of the beta distribution. ``begin``, float, or (d,) array: where chains start. ``jitter``:
    how far apart they do.
    """

    name: str
    kinds: list[int]
    priors: list[Any]
    begin: Array | float
    jitter: float

    @classmethod
    def free(cls, name: str, count: int, jitter: float) -> Part:
        """Coordinates whose prior is elsewhere, from zero."""
        return cls(name, [coordinates.NORMAL] * count, [Flat()] * count, 0.0, jitter)

    @classmethod
    def partial(cls, name: str, shapes: Iterable[float], jitter: float) -> Part:
        """Partial correlations."""
        own = list(shapes)
        return cls(name, [coordinates.PARTIAL] * len(own), own, 0.0, jitter)


@dataclass(frozen=True)
class Blocks:
    """Parts side by side, which make up a point.

    ``places``: where each part stands. ``coordinates``: kinds and priors of all. ``begin``, ``jitter``: (d,) arrays.
    """

    places: Mapping[str, slice]
    coordinates: Coordinates
    begin: Array
    jitter: Array

    @classmethod
    def of(cls, parts: Iterable[Part]) -> Blocks:
        """The parts in their order."""
        places: dict[str, slice] = {}
        kinds: list[int] = []
        numbers: list[tuple[float, float]] = []
        begin, jitter = [np.zeros(0)], [np.zeros(0)]
        for part in parts:
            places[part.name] = slice(len(kinds), len(kinds) + len(part.kinds))
            kinds += part.kinds
            numbers += [prior_numbers(prior) for prior in part.priors]
            begin.append(np.broadcast_to(np.asarray(part.begin, dtype=float), len(part.kinds)))
            jitter.append(np.full(len(part.kinds), part.jitter))
        first, second = (np.ascontiguousarray(column) for column in np.array(numbers).reshape(-1, 2).T)
        whole = Coordinates(np.array(kinds, dtype=np.int64), first, second)
        return cls(places, whole, np.concatenate(begin), np.concatenate(jitter))

    def start(self, name: str) -> int:
        """The first place of a part; -1 where there is no such part."""
        return self.places[name].start if name in self.places else -1

    @property
    def dimension(self) -> int:
        """Number of coordinates."""
        return len(self.begin)


def scale_kind(prior: Prior) -> int:
    """The kind of coordinate of a positive number with this prior."""
    if type(prior) not in SCALES:
        raise SpecificationError(
            f"no density for the prior {prior}; use one of those in bayesmig.specification.priors."
        )
    return SCALES[type(prior)]


def coefficient_kind(prior: Prior) -> int:
    """The kind of coordinate of a coefficient with this prior, or of the level of a parameter."""
    if isinstance(prior, Normal | Flat):
        return coordinates.NORMAL
    halves = {StudentT: coordinates.HALF_STUDENT, Laplace: coordinates.EXPONENTIAL}
    return coordinates.SIGNED + halves[type(prior)] if type(prior) in halves else scale_kind(prior)


def prior_numbers(prior: Any) -> tuple[float, float]:
    """The two numbers of a prior as :class:`~bayesmig.inference.kernels.coordinates.Coordinates` has them."""
    match prior:
        case Normal():
            return prior.mean, prior.sd
        case Flat():
            return 0.0, np.inf
        case HalfNormal():
            return 0.0, prior.scale
        case HalfStudentT() | StudentT():
            return prior.df, prior.scale
        case Laplace():
            return 0.0, prior.scale
        case Beta():
            return prior.a, prior.b
        case Exponential():
            return 0.0, prior.mean
        case InverseGamma():
            return prior.shape, prior.scale
    return float(prior), 0.0  # the shape of a partial correlation's beta distribution


def nutpie_model(dimension: int, density: Callable[[], Evaluate], begin: Callable[[int], Array]) -> Any:
    """A compiled density as nutpie takes it, with the point itself as the only variable of its draws.

    ``density``: called once a chain, when everything is compiled: gives the function of a point that returns its log
    density and gradient. ``begin``: of a seed: a point to start from.
    """
    from nutpie.compiled_pyfunc import from_pyfunc

    machine.compile_all()

    def make_density() -> Evaluate:
        fast = density()

        def evaluate(point: Array) -> tuple[float, Array]:
            try:
                return fast(point)
            except np.linalg.LinAlgError:  # a covariance that overflows, far out in warm-up: the step is refused
                return -np.inf, np.zeros_like(point)

        return evaluate

    def make_expansion(*_: Any) -> Any:
        return lambda point: {"point": point}

    kinds_of_draws = ([np.dtype("float64")], [(dimension,)], ["point"])
    return from_pyfunc(dimension, make_density, make_expansion, *kinds_of_draws, make_initial_point_fn=begin)
