"""One family of outcomes is one record: all that the rest of the package knows of it.

Functions of a record take plain arrays that broadcast: ``eta`` is the linear predictor, ``own`` the family's own
parameters by name, single numbers or, where they have predictors, one a row. Thresholds, ``own["cut"]``, have an axis
behind those of ``eta``. Of several categories ``eta`` is the linear predictor of the first beside the reference, and
``own["category"]`` has those of the others behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np

from bayesmig.contract.arrays import Array, Codes
from bayesmig.families.links import LINKS, Link, normal_mean

Own = Mapping[str, Any]
Curves = tuple[Array, Array]
Recession = tuple[Codes, Array, Array]


class Answers(NamedTuple):
    """Outcomes of rows: numbers, codes of categories, counts; out of how many trials; root of the precision.

    Of numbers in brackets ``y`` is the lower end and ``trials`` the upper one. Where only outcomes between bounds are
    seen, ``trials`` and ``root`` are the bounds.
    """

    y: Array
    trials: Array
    root: Array


@dataclass(frozen=True)
class Parameter:
    """A parameter that a family adds to the coefficients.

    Attributes
    ----------
    name : str
        ``cut`` are thresholds, which take the place of the intercept; all others are single numbers.
    label : str
        What tables call it.
    symbol : str
        In equations.
    prior : mapping, optional
        The default prior as :func:`bayesmig.specification.priors.from_dict` reads it, of parameters that
        :class:`~bayesmig.specification.priors.PriorSet` has no field for.
    start : float, optional
        Where sampling starts; where the data are most likely unless given.
    increasing : bool
        Of thresholds: whether each is above the one before.
    link : {"log", "logit"}
        Of its linear predictor, where it has one.
    """

    name: str
    label: str
    symbol: str = ""
    prior: Mapping[str, object] | None = None
    start: float | None = None
    increasing: bool = True
    link: Literal["log", "logit"] = "log"


SIGMA = Parameter("sigma", "residual SD", "σ")
CUT = Parameter("cut", "thresholds at the predictors' means", "κ")


@dataclass(frozen=True, eq=False)
class Family:
    """One distribution of outcomes.

    Attributes
    ----------
    name : str
    links : tuple of str
        Allowed link functions, the default first.
    outcome : {"number", "binary", "ordered", "nominal", "count", "latent"}
    own : tuple of Parameter
        What it adds to the coefficients.
    rows : mapping of str to kernel
        By link: the log density of rows, constants left out, with derivatives. Its arguments are ``y``, ``trials``,
        ``root``, ``weight`` (n,); ``eta`` (n, 1); own parameters, scalars in their order and then thresholds, (k,); and
        two arrays to write to: derivatives by ``eta``, and, added to what is there, by the own parameters. Weighted.
    log_density : callable
        ``(link, answers, eta, own)``: the log density of rows, constants included.
    derivatives : callable
        ``(link, answers, eta, own)`` with eta ``(n,)`` and single values: slopes ``(n, 1 + k)`` of the log density by
        eta and the own parameters, and second derivatives ``(n, 1 + k, 1 + k)``.
    mean : callable
        ``(link, eta, own)``: expectation of one trial; of ordered outcomes the probabilities, categories last.
    draw : callable
        ``(link, answers, eta, own, rng)``: outcomes like ``eta``; of the answers only trials and root are looked at.
    graph : callable
        ``(link, answers, eta, own)``: a distribution of PyMC and its arguments.
    guess : callable
        ``(link, y, trials)``: linear predictors near the outcomes. Of ordered outcomes ``(link, shares)`` gives the
        thresholds if nothing explained the answers.
    latent : callable, optional
        ``(own, mean)``: residual variance on the scale of the linear predictor, given the expectation; the link's
        unless given.
    second : callable, optional
        ``(mean, square, own)``: expectation of the squared outcome, given those of its mean and of that squared; None
        of a yes or no, which is its own square.
    working : callable, optional
        Like ``derivatives``: slope, and minus a curvature that is not negative, by eta alone.
    scale : callable, optional
        The outcome in units of the linear predictor, where it has units: so that priors may be relative to its sd.
    support : tuple of (float, float), optional
        Between which numbers, ends excluded, an outcome must lie; with ``advice`` for those that do not.
    most : str
        Largest outcome that can be: ``"trials"``, ``"last"`` category, or ``""`` for none; the smallest is zero.
        Terms that predict ends without fail have no finite maximum likelihood.
    recession : callable, optional
        Of ordered outcomes, ``(codes, number of thresholds)``: forms that must not fall in any direction in which the
        likelihood never does: of which row, and what they are of eta (m,) and of the thresholds (m, k).
    additive : bool
        Whether rows with equal predictors count by their sums of outcomes and trials.
    ends : bool
        Whether outcomes are numbers of which two ends are known.
    bounds : bool
        Whether only outcomes between two bounds are seen; expectations are of all.
    spikes : mapping of str to float
        Parameters that are shares of rows with one number, and that number: of zeros, of added ones, of ones.
    said : str
        The outcome in a sentence that follows "income: ".
    law : tuple of str
        Name and parameters as equations have them: ``p``, ``λ`` or ``μ`` is what the link ties to the linear
        predictor ``η``; of ordered outcomes signs of the chance that it ties.
    target, unit, ratio : str
        As of the link, where the family has better words.
    called_elsewhere : mapping of str to str
        Names of other programs, and what they mean here.
    """

    name: str
    links: tuple[str, ...]
    outcome: Literal["number", "binary", "ordered", "nominal", "count", "latent"]
    own: tuple[Parameter, ...] = ()
    rows: Mapping[str, Callable[..., float]] = field(default_factory=dict)
    log_density: Callable[[Link, Answers, Array, Own], Array] = None  # type: ignore[assignment]
    derivatives: Callable[[Link, Answers, Array, Own], Curves] = None  # type: ignore[assignment]
    mean: Callable[[Link, Array, Own], Array] = lambda link, eta, own: link.inverse(eta)
    draw: Callable[[Link, Answers, Array, Own, np.random.Generator], Array] = None  # type: ignore[assignment]
    graph: Callable[[Link, Answers, Any, Own], tuple[Any, dict[str, Any]]] = None  # type: ignore[assignment]
    guess: Callable[..., Array] = lambda link, y, trials: link.forward(y)
    latent: Callable[[Own, Array | None], Array] | None = None
    second: Callable[[Array, Array, Own], Array] | None = None
    working: Callable[[Link, Answers, Array, Own], Curves] | None = None
    averaged: Callable[[Link, Array, Array, Own], Array] | None = None
    scale: Callable[[Array], Array] | None = None
    support: tuple[float, float] | None = None
    advice: str = ""
    most: Literal["trials", "last", "none", ""] = ""
    recession: Callable[[Codes, int], Recession] | None = None
    additive: bool = False
    ends: bool = False
    bounds: bool = False
    spikes: Mapping[str, float] = field(default_factory=dict)
    said: str = ""
    law: tuple[str, ...] = ()
    target: str = ""
    unit: str = ""
    ratio: str = ""
    called_elsewhere: Mapping[str, str] = field(default_factory=dict)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its own parameters."""
        return tuple(parameter.name for parameter in self.own)

    @property
    def law_within(self) -> str:
        """What its law is called after another word."""
        return self.law[0] if self.law[0] == "Poisson" else self.law[0].lower()

    @property
    def zeros(self) -> str:
        """The parameter that is the share of zeros, or of added ones, where the family is made for many."""
        return next((name for name, value in self.spikes.items() if value == 0), "")

    @property
    def ordered(self) -> bool:
        """Whether thresholds take the place of an intercept."""
        return "cut" in self.parameters

    def latent_variance(self, link: str) -> float | None:
        """Variance of the latent residual: pi^2 / 3 for the logit, 1 for the probit, None where there is none."""
        return LINKS[link].variance if self.outcome in ("binary", "ordered") or self.most == "trials" else None

    @property
    def scalars(self) -> tuple[Parameter, ...]:
        """Its own parameters that are single numbers unless they have predictors."""
        return tuple(parameter for parameter in self.own if parameter.name != "cut")

    @property
    def has_categories(self) -> bool:
        """Whether what is expected of a row is a probability for each category."""
        return self.outcome in ("ordered", "nominal")

    @property
    def has_trials(self) -> bool:
        """Whether outcomes are successes out of a number of trials that a column gives."""
        return self.outcome == "count" and self.most == "trials"

    @property
    def rising(self) -> bool:
        """Whether thresholds, if there are any, are in order."""
        return all(parameter.increasing for parameter in self.own)

    def target_of(self, link: str) -> str:
        """The linear predictor in a sentence."""
        return self.target or self._linked(link).target

    def unit_of(self, link: str) -> str:
        """What the linear predictor counts, where that is not the outcome itself."""
        return self.unit or self._linked(link).unit

    def ratio_of(self, link: str) -> str:
        """What exponentiated coefficients are; empty where they mean nothing."""
        return self.ratio or self._linked(link).ratio

    def _linked(self, link: str) -> Link:
        """The link whose words hold: higher answers are lower hazards, so that no words of hazards fit."""
        return LINKS["probit" if self.ordered and link == "cloglog" else link]

    def by_groups(self, link: Link, eta: Array, variance: Array, own: Own) -> Array:
        """:attr:`mean` over groups, which add a normal number of that variance to the linear predictor."""
        if self.averaged is not None:
            return self.averaged(link, eta, variance, own)
        if link.name == "log":
            return self.mean(link, eta + variance / 2, own)
        return normal_mean(lambda x: self.mean(link, x, own), eta, variance, link.poles)


def chances_by_groups(link: Link, eta: Array, variance: Array, own: Own) -> Array:
    """Expectations that are a link's inverse, over groups."""
    return link.averaged(eta, variance)


class ByDensity:
    """A distribution for PyMC that is told by ``log_density(value, *parameters)``."""

    def __init__(self, log_density: Callable[..., Any]) -> None:
        self.log_density = log_density

    def dist(self, **parameters: Any) -> Any:
        """The distribution with these parameters."""
        import pymc as pm

        return pm.CustomDist.dist(*parameters.values(), logp=self.log_density)

    def __call__(self, name: str, *, observed: Array, dims: str, **parameters: Any) -> Any:
        """The same as a variable of a graph that has been observed."""
        import pymc as pm

        return pm.CustomDist(name, *parameters.values(), logp=self.log_density, observed=observed, dims=dims)


def drawn_codes(chances: Array, rng: np.random.Generator) -> Array:
    """Codes with these probabilities, categories last."""
    place = rng.random((*chances.shape[:-1], 1))
    return np.asarray((np.cumsum(chances, axis=-1)[..., :-1] < place).sum(axis=-1), dtype=float)


def of_code(logs: Array, code: Array) -> Array:
    """What stands, categories last, at the category that each row has."""
    shape = np.broadcast_shapes(code.shape, logs.shape[:-1])
    place = np.broadcast_to(code.astype(int), shape)[..., None]
    return np.asarray(np.take_along_axis(np.broadcast_to(logs, (*shape, logs.shape[-1])), place, axis=-1)[..., 0])


def stacked(*slopes_and_curves: Array) -> Curves:
    """Slopes and symmetric second derivatives from columns: the slopes, then the lower triangle row by row."""
    count = int((np.sqrt(9 + 8 * len(slopes_and_curves)) - 3) / 2)
    columns = [np.asarray(column, dtype=float) for column in np.broadcast_arrays(*slopes_and_curves)]
    curvature = np.empty((*columns[0].shape, count, count))
    for place, (row, column) in enumerate(zip(*np.tril_indices(count), strict=True)):
        curvature[..., row, column] = curvature[..., column, row] = columns[count + place]
    return np.stack(columns[:count], axis=-1), curvature
