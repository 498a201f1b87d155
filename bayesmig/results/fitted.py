"""A fitted model: its design with the parameters that were drawn or estimated, and what it expects of people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design, GroupTerm, Outline
from bayesmig.data.frames import AnyFrame
from bayesmig.data.rows import Rows, design_of, encode_rows, outline_of
from bayesmig.errors import BayesmigError, DataError, UnknownLevel, closest, listing
from bayesmig.inference.response import expected, linear_predictor, parameters
from bayesmig.results.delta import moved
from bayesmig.results.integration import added_variances, integrated

Treatment = Literal["sample", "integrate", "zero"]
TREATMENTS = ("sample", "integrate", "zero")
PART = 2**15  # numbers worked on at a time: 256 kB, so that they stay in the memory of a processor core


@dataclass(frozen=True)
class Fitted:
    """A design with the parameters that were drawn, or estimated, for it.

    ``values``: parameters by name, draws first; of an estimate its point and the points of :func:`delta.moved`.
    ``chain``, ``draw``: (chains,) and (draws a chain,) int array, or None for an estimate. ``imputations``: completed
    data sets that were fitted; the design is that of the first.
    """

    design: Design
    values: Mapping[str, Array]
    chain: Codes | None
    draw: Codes | None
    imputations: int = 1

    @classmethod
    def of(cls, tree: xr.DataTree, draws: int | None = None, own: bool = True) -> Fitted:
        """Design and parameters of a tree; of ``draws`` evenly spaced draws at most, equally many of each chain.

        ``own``: the rows of the data are needed, which a result from chunks has not.
        """
        if draws is not None and (not isinstance(draws, (int, np.integer)) or draws < 1):
            raise BayesmigError(f"draws={draws!r}: give a positive whole number, or None for all of them.")
        kind = schema.kind(tree)
        design = design_of(tree) if own else cast(Design, outline_of(tree))
        if design.latent is not None:
            raise BayesmigError(
                f"the outcome {outcome_of(design)!r} is a latent factor, which has no units to be predicted in; its"
                " coefficients are differences of the factor already."
            )
        dataset, imputations = tree[kind].to_dataset(), int(tree.attrs.get("imputations", 1))
        if kind == "posterior":
            chains, length = dataset.sizes["chain"], dataset.sizes["draw"]
            kept = min(length, (draws or chains * length) // chains)
            if kept == 0:
                raise BayesmigError(
                    f"draws={draws}: equally many are taken of {chains} chains; give at least {chains}."
                )
            dataset = dataset.isel(draw=np.linspace(0, length - 1, kept).round().astype(int))
            chain, draw = dataset["chain"].to_numpy(), dataset["draw"].to_numpy()
            return cls(design, parameters(dataset), chain, draw, imputations)
        if draws is not None:
            raise BayesmigError(f"draws={draws!r}: an estimate is a point and has no draws; leave draws out.")
        return cls(design, moved(dataset), None, None, imputations)

    @property
    def is_point(self) -> bool:
        """Whether the parameters are an estimate."""
        return self.chain is None

    @property
    def size(self) -> int:
        """Number of draws, or of points of an estimate."""
        return len(self.values["beta"])

    @property
    def varying(self) -> tuple[GroupTerm, ...]:
        """Grouping factors whose effects have a distribution; least squares leaves them out."""
        return tuple(group for group in self.design.groups if f"tau_{group.name}" in self.values)

    def caveats(self, own: bool = True, random: Treatment = "zero") -> str:
        """What a reader must know of a number, to follow its estimand; ``own``: it concerns the people of the data."""
        words = ", varying effects held at their modes" if self.is_point and self.varying and random == "sample" else ""
        if own and self.imputations > 1:
            words += f", people as in the first of {self.imputations} completed data sets"
        return words

    def beyond(self, people: Mapping[str, Any] | pd.DataFrame) -> str:
        """The same of people for whom curves are followed to where nobody was; ``people``: values by column."""
        found = []
        for name in sorted(self.design.spec.parsed.curved & {*people}):
            values, seen = pd.to_numeric(pd.Series(people[name]), errors="coerce"), self.design.frame[name]
            if count := int(((values < seen.min()) | (values > seen.max())).sum()):
                found.append(f"{name} {seen.min():g} to {seen.max():g} in the data, {count} beyond")
        return f", curves followed beyond the data ({listing(found)})" if found else ""

    def by_draw(self, values: Array, **places: Sequence[object] | Codes) -> xr.DataArray:
        """Values of the draws, ``(draws, ...)``, by chain and draw; ``places``: names along each of the other dims."""
        assert self.chain is not None and self.draw is not None
        shape = (len(self.chain), len(self.draw), *values.shape[1:])
        coords = {"chain": self.chain, "draw": self.draw, **places}
        return xr.DataArray(values.reshape(shape), coords, tuple(coords))

    def parts(self, width: int) -> Iterator[tuple[slice, dict[str, Array]]]:
        """Runs of draws so short that ``width`` numbers a draw are few, with their parameters.

        Pairs of points of an estimate stay together, so that both meet the same errors of quadrature.
        """
        step = max(1, PART // width)
        first = step
        if self.is_point:
            step = max(2, step // 2 * 2)
            first = 1 + step
        for start in (0, *range(first, self.size, step)):
            run = slice(start, min(start + step if start else first, self.size))
            yield run, {name: value[run] for name, value in self.values.items()}


def encoded(design: Outline, data: AnyFrame) -> Rows:
    """People as the model's own were encoded, if every term of the formula is defined for them.

    Raises DataError for people that the model cannot know.
    """
    try:
        with np.errstate(all="ignore"):
            rows = encode_rows(design, data)
    except BayesmigError:
        raise
    except ValueError as error:  # a value inside C() that the model has no coefficient for
        raise UnknownLevel(f"the people cannot be encoded as the model's own were: {error}") from error
    parts = [(rows.x, design.terms), *((rows.z[group.name], group.effects) for group in design.groups)]
    for columns, names in parts:
        for name, broken in zip(names, (~np.isfinite(columns)).sum(axis=0), strict=True):
            if broken:
                raise DataError(
                    f"{name!r} is not finite for {broken} of {rows.n} people (the log of zero or less, say): the model"
                    " says nothing of them. Leave them out, or ask for values at which it does."
                )
    return rows


def expectation(
    design: Design, values: Mapping[str, Array], rows: Rows, random: Treatment, trials: Array | None = None
) -> Array:
    """Expected outcome of rows in known groups, ``(draws, n)`` or ``(draws, n, categories)``.

    ``rows``: all of whose groups the model knows, unless varying effects are zero or integrated out. ``trials``, (n,)
    array: as in :func:`bayesmig.inference.response.expected`.
    """
    if random == "sample":
        return expected(design, linear_predictor(rows, values), values, trials)
    eta, linear = linear_predictor(rows, values, {}), design.spec.link == "identity"
    variances = added_variances(design, rows, values) if random == "integrate" and not linear else {}
    if not variances:
        return expected(design, eta, values, trials)
    return integrated(design, eta, sum(variances.values(), np.zeros(1)), values, trials)


def drawn_effects(group: GroupTerm, values: Mapping[str, Array], count: int, rng: np.random.Generator) -> Array:
    """``(draws, count, q)`` effects of new groups, drawn at the centre of a factor's columns, at zero of these."""
    own = group.turned(values)
    tau = own[f"tau_{group.name}"]
    correlations = group.covariance(own | {f"tau_{group.name}": np.ones_like(tau)})
    roots, vectors = np.linalg.eigh(correlations)  # unlike Cholesky's, this root exists where a correlation is one
    noise = rng.standard_normal((len(tau), count, tau.shape[1]))
    if group.structure is not None and count == len(group.levels):  # the whole map anew
        basis, rho = group.structure.basis, values.get(f"rho_{group.name}", np.zeros((len(tau), 1)))
        multiplied = group.structure.multiplied(rho[:, 0], rng.standard_normal((len(tau), basis.shape[1])))
        noise = (multiplied @ basis.T)[..., None]
    noise = noise * np.sqrt(np.maximum(roots, 0.0))[:, None, :]
    return group.at_zero({f"u_{group.name}": tau[:, None, :] * (noise @ vectors.transpose(0, 2, 1))})[f"u_{group.name}"]


def quantity(design: Design, scale: str = "response", per_trial: bool = True) -> str:
    """What an expectation is of, in words: ``probability of owns = yes``."""
    outcome = outcome_of(design)
    if scale == "link":
        link = design.spec.link
        return f"expected {outcome}" if link == "identity" else f"linear predictor of {outcome} ({link} link)"
    if scale == "score":
        points = zip(design.categories, category_scores(design), strict=True)
        return f"expected score of {outcome} ({listing(f'{name} = {value:g}' for name, value in points)})"
    if design.spec.distribution.outcome == "binary":
        return f"probability of {outcome} = {design.categories[1]}"
    if design.spec.distribution.has_categories:
        return f"probability of {outcome} = category"
    if design.spec.trials and per_trial:
        return f"probability of {outcome} in one trial"
    return f"expected {outcome}{' of all, seen or not' * design.spec.distribution.bounds}"


def check_scale(design: Design, scale: str, instead: str) -> None:
    """Refuse the one linear predictor of an outcome that has one for each of its categories or thresholds."""
    if scale == "link" and len(design.predictors) > 1 and design.spec.distribution.has_categories:
        what = "threshold" if design.spec.distribution.ordered else "category"
        raise BayesmigError(
            f"every {what} of {outcome_of(design)!r} has a linear predictor of its own, whose differences are the"
            f" coefficients; ask for probabilities, {instead}."
        )


def outcome_of(design: Design) -> str:
    """The outcome as the formula writes it."""
    return design.spec.parsed.outcome


def category_scores(design: Design) -> Array:
    """Numbers of ordered categories: the categories themselves if all are numbers, else their places 1, 2, ...

    A category that nobody chose keeps its place.
    """
    try:
        return np.array([float(category) for category in design.categories])
    except ValueError:
        declared = list(design.frame[outcome_of(design).strip("`")].cat.categories)
        return np.array([declared.index(category) + 1.0 for category in design.categories])


def check_one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse an option that does not exist."""
    if value not in allowed:
        raise BayesmigError(f"{name}={value!r}{closest(value, allowed)}; allowed are {listing(map(repr, allowed))}.")
