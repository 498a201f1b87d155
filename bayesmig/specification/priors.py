"""Prior distributions as frozen values, and named sets of them.

A prior is *relative* when its scale counts in standard deviations of the data (of the outcome for
intercepts and group sds, of the outcome per sd of the predictor for slopes); it is resolved against
a design before anything is fitted, and the resolved values are stored with every result.

The intercept prior always concerns the outcome at the predictors' means, and that of correlated varying intercepts
groups at these means, so adding a constant to a predictor changes neither prior nor posterior.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bayesmig.errors import NotFound, SpecificationError, listing, require
from bayesmig.families.record import Parameter
from bayesmig.families.registry import scalars

if TYPE_CHECKING:
    import numpy as np

    from bayesmig.contract.arrays import Array


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What every prior has: a reason, and whether its scale is relative to the data.

    Parameters
    ----------
    relative : bool
        Scale in standard deviations of the data instead of raw units.
    least : float
        The smallest scale, in raw units, that a relative prior may come to.
    why : str
        One sentence that a reviewer can read.
    """

    relative: bool = False
    least: float = 0.0
    why: str = ""

    positive_fields: ClassVar[tuple[str, ...]] = ()
    scale_fields: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name in dict.fromkeys((*self.positive_fields, *self.scale_fields)):
            value, positive = getattr(self, name), name in self.positive_fields
            if not (isinstance(value, numbers.Real) and math.isfinite(value) and (float(value) > 0 or not positive)):
                wanted = "a positive, finite number" if positive else "a finite number"
                raise SpecificationError(f"{type(self).__name__}({name}={value!r}): {name} must be {wanted}.")
            object.__setattr__(self, name, float(value))
        if self.relative and not self.scale_fields:
            raise SpecificationError(f"{type(self).__name__} has no scale that could be relative to the data.")
        possible = isinstance(self.least, numbers.Real) and 0 <= self.least < math.inf
        if not possible or (self.least and not self.relative):
            raise SpecificationError(
                f"{type(self).__name__}(least={self.least!r}): a smallest scale is a finite number, not below zero, and"
                " only a relative prior has one."
            )

    def resolved(self, unit: float, location: float = 0.0) -> Self:
        """The same prior in raw units: scales times ``unit``, at least ``least``; the mean moved by ``location``."""
        if not self.relative:
            return self
        changes: dict[str, Any] = {name: getattr(self, name) * unit for name in self.scale_fields}
        changes |= {name: max(changes[name], self.least) for name in self.scale_fields if name in self.positive_fields}
        if "mean" in changes:
            changes["mean"] += location
        return dataclasses.replace(self, relative=False, least=0.0, **changes)

    def scaled(self, factor: float) -> Self:
        """The prior of the parameter times a positive number, as in other units."""
        return dataclasses.replace(self, **{name: getattr(self, name) * factor for name in self.scale_fields})

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; :func:`from_dict` reads them back."""
        return {"prior": type(self).__name__} | vars(self)

    def __str__(self) -> str:
        shown = [
            f"{f.name}={getattr(self, f.name):.4g}"
            for f in dataclasses.fields(self)
            if f.name not in ("relative", "least", "why")
        ]
        shown += [f"at least {self.least:.4g}"] if self.least else []
        unit = " x sd" if self.relative else ""
        return f"{type(self).__name__}({', '.join(shown)}){unit}"


@dataclass(frozen=True)
class CoefficientPrior(Prior):
    """A proper prior for a coefficient: a bell about ``mean``, whose second scale is ``spread``."""

    @property
    def mean(self) -> float:
        """The middle, in units of the coefficient."""
        raise NotImplementedError

    @property
    def spread(self) -> float:
        """The sd of a normal distribution, the scale of another."""
        return float(getattr(self, self.scale_fields[-1]))

    def log_density(self, value: Array) -> Array:
        """Log density at ``value``, up to no constant left out."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """``size`` independent draws."""
        raise NotImplementedError


@dataclass(frozen=True)
class Normal(CoefficientPrior):
    """Normal distribution for a coefficient.

    Parameters
    ----------
    mean, sd : float
        In units of the coefficient, or relative (see :class:`Prior`).

    Examples
    --------
    >>> print(Normal(0, 0.5))
    Normal(mean=0, sd=0.5)
    """

    mean: float = 0.0
    sd: float = 1.0
    positive_fields: ClassVar[tuple[str, ...]] = ("sd",)
    scale_fields: ClassVar[tuple[str, ...]] = ("mean", "sd")

    def log_density(self, value: Array) -> Array:
        return -0.5 * ((value - self.mean) / self.sd) ** 2 - math.log(self.sd) - 0.5 * math.log(2 * math.pi)

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return rng.normal(self.mean, self.sd, size)


@dataclass(frozen=True)
class StudentT(CoefficientPrior):
    """Student t distribution for a coefficient: most effects are small, and a large one is not held back.

    Parameters
    ----------
    df : float
        Degrees of freedom: the fewer, the heavier the tails. One is the Cauchy distribution; a hundred are a normal.
    mean, scale : float
        The middle, and the width about it, in units of the coefficient, or relative (see :class:`Prior`). The sd is
        ``scale * sqrt(df / (df - 2))``; with two degrees of freedom or fewer there is none.

    Notes
    -----
    The density is proportional to ``(1 + ((b - mean) / scale)^2 / df)^(-(df + 1) / 2)``, as ``student_t`` of brms,
    rstanarm and Stan has it.

    What it expects: half of the coefficients within 0.76 scales of the mean with 3 degrees of freedom, as a normal has
    within 0.67 sds; but one in 17 lies beyond 3 scales, where a normal has one in 370. Data that contradict it win.

    Examples
    --------
    >>> print(StudentT(3, 0, 0.5))
    StudentT(df=3, mean=0, scale=0.5)
    """

    df: float = 3.0
    mean: float = 0.0
    scale: float = 1.0
    positive_fields: ClassVar[tuple[str, ...]] = ("df", "scale")
    scale_fields: ClassVar[tuple[str, ...]] = ("mean", "scale")

    def log_density(self, value: Array) -> Array:
        return HalfStudentT(self.df, self.scale).log_density(abs(value - self.mean)) - math.log(2)

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return self.mean + self.scale * rng.standard_t(self.df, size)


@dataclass(frozen=True)
class Laplace(CoefficientPrior):
    """Laplace (double exponential) distribution for a coefficient, the prior behind the lasso.

    Parameters
    ----------
    mean, scale : float
        The middle, and the average distance from it, in units of the coefficient, or relative (see :class:`Prior`).
        The sd is ``1.41 * scale``.

    Notes
    -----
    The density is ``exp(-|b - mean| / scale) / (2 scale)``. The mode of the posterior is the estimate of the lasso
    (Park & Casella 2008, Journal of the American Statistical Association 103(482)); its draws are never exactly zero.

    What it expects: half of the coefficients within 0.69 scales of the mean, and one in 20 beyond 3 scales. Unlike a
    :class:`StudentT` it goes on pulling at large effects.

    Examples
    --------
    >>> print(Laplace(0, 0.5))
    Laplace(mean=0, scale=0.5)
    """

    mean: float = 0.0
    scale: float = 1.0
    positive_fields: ClassVar[tuple[str, ...]] = ("scale",)
    scale_fields: ClassVar[tuple[str, ...]] = ("mean", "scale")

    def log_density(self, value: Array) -> Array:
        return Exponential(self.scale).log_density(abs(value - self.mean)) - math.log(2)

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return rng.laplace(self.mean, self.scale, size)


@dataclass(frozen=True)
class Shrinkage(Prior):
    """A prior of several coefficients together, of which it lets few be large: those that have the same value of it.

    Coefficients of further parameters and of other categories are others' company. Predictors count in their sds.

    ``unit``, ``among``: of a resolved prior: what the coefficient counts in, and how many there are.
    """

    relative: bool = field(default=True, kw_only=True)
    unit: float = field(default=1.0, kw_only=True)
    among: int = field(default=0, kw_only=True)
    scale_fields: ClassVar[tuple[str, ...]] = ("unit",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.relative:
            raise SpecificationError(
                f"{type(self).__name__}(relative=False): predictors of which few matter are compared in sds; leave"
                " out relative."
            )

    def resolved(self, unit: float, location: float = 0.0) -> Self:
        return self.scaled(unit)

    @property
    def shared(self) -> Self:
        """What all of its coefficients have."""
        return dataclasses.replace(self, unit=1.0)

    def told(self, among: int, people: float, noise: float) -> Self:
        """The prior of so many coefficients, and people whose answers differ by ``noise`` of ``unit``."""
        return dataclasses.replace(self, among=among)

    def scales(self, rng: np.random.Generator, size: int) -> Array:
        """``(size, among)`` draws of the sds of the coefficients, in their units."""
        raise NotImplementedError

    def _shown(self, **numbers: float) -> str:
        of = f" of {self.among}" if self.among else ""
        first, *others = (f"{name}={value:.4g}" for name, value in numbers.items())
        return f"{type(self).__name__}({', '.join([first + of, *others])}){'' if self.among else ' x sd'}"


@dataclass(frozen=True)
class Horseshoe(Shrinkage):
    """Regularised horseshoe for many coefficients, of which few matter and nobody knows which.

    Parameters
    ----------
    expected : float
        How many of the coefficients are expected to matter.
    df : float
        Degrees of freedom of each coefficient's own scale.
    slab_scale, slab_df : float
        What the coefficients that matter have: a Student t of this scale, in sds, and degrees of freedom.

    Notes
    -----
    Piironen & Vehtari (2017, Electronic Journal of Statistics 11(2), section 2.3): ``b_j ~ Normal(0, (g s_j)^2)`` with
    ``s_j^2 = c^2 l_j^2 / (c^2 + g^2 l_j^2)``, ``l_j ~ half t(df, 1)``, ``c^2 ~ InverseGamma(slab_df / 2, slab_df
    slab_scale^2 / 2)`` and ``g ~ half Cauchy(0, expected / (p - expected) noise / sqrt(n))``. ``p``: how many
    coefficients there are; ``n``: people; ``noise``: the outcome's sd in outcomes that are numbers, the sd of the
    latent residual of binary and ordered ones (1.8 of a logit), and one in others. brms has it as
    ``horseshoe(par_ratio = expected / (p - expected))``. Only ``NUTS`` draws it, from PyMC's graph.

    What it expects: nearly all coefficients next to zero, and about ``expected`` of them that data may make as large as
    they like, up to some ``slab_scale`` sds of the outcome for one sd of the predictor.

    Examples
    --------
    >>> print(Horseshoe(expected=3))
    Horseshoe(expected=3, slab_scale=2) x sd
    """

    expected: float
    df: float = 1.0
    slab_scale: float = 2.0
    slab_df: float = 4.0
    global_scale: float = field(default=0.0, kw_only=True)
    positive_fields: ClassVar[tuple[str, ...]] = ("expected", "df", "slab_scale", "slab_df", "unit")

    def told(self, among: int, people: float, noise: float) -> Self:
        if self.expected >= among:
            raise SpecificationError(
                f"{self} is the prior of {among} coefficient{'s' * (among != 1)}: fewer than these can be expected to"
                " matter. Expect fewer, or take a Normal or StudentT."
            )
        ratio = self.expected / (among - self.expected)
        return dataclasses.replace(self, among=among, global_scale=ratio * noise / math.sqrt(people))

    def scales(self, rng: np.random.Generator, size: int) -> Array:
        own = self.global_scale * abs(rng.standard_cauchy((size, 1))) * abs(rng.standard_t(self.df, (size, self.among)))
        slab = self.slab_df / 2 * self.slab_scale**2 / rng.gamma(self.slab_df / 2, size=(size, 1))
        return (1 / (1 / slab + 1 / own**2)) ** 0.5

    def __str__(self) -> str:
        found = {"global_scale": self.global_scale * self.unit} if self.among else {}
        return self._shown(expected=self.expected, **found, slab_scale=self.slab_scale * self.unit)


@dataclass(frozen=True)
class R2D2(Shrinkage):
    """Prior of the share of variance that coefficients explain together, which they divide among themselves.

    Parameters
    ----------
    mean, precision : float
        Of the share: a Beta distribution with this mean, as if so many people had been seen.
    concentration : float
        How the explained variance is divided: far below one few coefficients have most of it, above one all have about
        the same.

    Notes
    -----
    Zhang, Naughton, Bondell & Reich (2022, Journal of the American Statistical Association 117(538)), with normal
    coefficients as brms has them: ``R2 ~ Beta(mean precision, (1 - mean) precision)``, shares ``~
    Dirichlet(concentration)``, ``b_j ~ Normal(0, share_j R2 / (1 - R2) sigma^2 / sd_j^2)``. ``sigma`` is the residual
    sd, in binary and ordered outcomes that of the latent residual. Groups are left out of this R2. brms has it as
    ``R2D2(mean_R2 = mean, prec_R2 = precision, cons_D2 = concentration)``. Only ``NUTS`` draws it, from PyMC's graph.

    What it expects: ``mean`` of the variance between people is explained by the predictors, and most of that by a few
    of them. Unlike independent priors it does not expect more to be explained the more predictors there are.

    Examples
    --------
    >>> print(R2D2(mean=0.2, precision=10))
    R2D2(mean=0.2, precision=10, concentration=0.5) x sd
    """

    mean: float = 0.5
    precision: float = 2.0
    concentration: float = 0.5
    positive_fields: ClassVar[tuple[str, ...]] = ("mean", "precision", "concentration", "unit")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean >= 1:
            raise SpecificationError(f"R2D2(mean={self.mean:g}): a share of variance lies between 0 and 1.")

    @property
    def shapes(self) -> tuple[float, float]:
        """Of the Beta distribution of R2."""
        return self.mean * self.precision, (1 - self.mean) * self.precision

    def scales(self, rng: np.random.Generator, size: int) -> Array:
        share = rng.beta(*self.shapes, (size, 1))
        parts: Array = rng.dirichlet([self.concentration] * self.among, size)
        return (parts * share / (1 - share)) ** 0.5

    def __str__(self) -> str:
        return self._shown(mean=self.mean, precision=self.precision, concentration=self.concentration)


@dataclass(frozen=True)
class Flat(Prior):
    """Improper uniform prior for a coefficient, as maximum likelihood assumes.

    Prior predictive checks are impossible with it, because it cannot be drawn from.
    """


@dataclass(frozen=True)
class Pooled(Prior):
    """What coefficients of a smooth have: a normal distribution about zero whose sd is estimated with them."""

    of: str = ""

    def __str__(self) -> str:
        return f"Normal(mean=0, sd=sd_smooth[{self.of}])"


@dataclass(frozen=True)
class ScalePrior(Prior):
    """A prior for a standard deviation."""

    def log_density(self, sd: Array) -> Array:
        """Log density at ``sd`` (an array of positive numbers), up to no constant left out."""
        raise NotImplementedError

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """``size`` independent draws."""
        raise NotImplementedError


@dataclass(frozen=True)
class HalfNormal(ScalePrior):
    """Normal distribution folded at zero, for a standard deviation: 95 % below ``1.96 * scale``."""

    scale: float = 1.0
    positive_fields: ClassVar[tuple[str, ...]] = ("scale",)
    scale_fields: ClassVar[tuple[str, ...]] = ("scale",)

    def log_density(self, sd: Array) -> Array:
        z = sd / self.scale
        return 0.5 * math.log(2 / math.pi) - math.log(self.scale) - 0.5 * z * z

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return abs(rng.normal(0, self.scale, size))


@dataclass(frozen=True)
class HalfStudentT(ScalePrior):
    """Student t folded at zero, for a standard deviation; ``df=1`` is the half-Cauchy."""

    df: float = 3.0
    scale: float = 1.0
    positive_fields: ClassVar[tuple[str, ...]] = ("df", "scale")
    scale_fields: ClassVar[tuple[str, ...]] = ("scale",)

    def log_density(self, sd: Array) -> Array:
        import numpy as np

        constant = math.lgamma((self.df + 1) / 2) - math.lgamma(self.df / 2)
        constant += math.log(2) - 0.5 * math.log(self.df * math.pi) - math.log(self.scale)
        return constant - (self.df + 1) / 2 * np.log1p((sd / self.scale) ** 2 / self.df)

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return abs(self.scale * rng.standard_t(self.df, size))


@dataclass(frozen=True)
class Exponential(ScalePrior):
    """Exponential distribution with the given mean, for a standard deviation."""

    mean: float = 1.0
    positive_fields: ClassVar[tuple[str, ...]] = ("mean",)
    scale_fields: ClassVar[tuple[str, ...]] = ("mean",)

    def log_density(self, sd: Array) -> Array:
        return -sd / self.mean - math.log(self.mean)

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        return rng.exponential(self.mean, size)

    def resolved(self, unit: float, location: float = 0.0) -> Self:
        return super().resolved(unit)


@dataclass(frozen=True)
class InverseGamma(ScalePrior):
    """Inverse gamma on the *variance* (sd squared), as MLwiN and Stata's ``bayes`` assume.

    With small shape and scale it is not vague: it pushes a group variance away from zero
    (Gelman 2006, Bayesian Analysis 1(3), section 4).
    """

    shape: float = 0.001
    scale: float = 0.001
    positive_fields: ClassVar[tuple[str, ...]] = ("shape", "scale")

    def log_density(self, sd: Array) -> Array:
        import numpy as np

        constant = self.shape * math.log(self.scale) - math.lgamma(self.shape) + math.log(2)
        return constant - (2 * self.shape + 1) * np.log(sd) - self.scale / sd**2

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        import numpy as np

        with np.errstate(divide="ignore"):  # with a small shape, sds beyond the largest float do occur
            return np.sqrt(self.scale / rng.gamma(self.shape, 1.0, size))

    def scaled(self, factor: float) -> Self:
        return dataclasses.replace(self, scale=self.scale * factor**2)


@dataclass(frozen=True)
class Beta(Prior):
    """Beta distribution for a probability.

    Parameters
    ----------
    a, b : float
        Shapes: as if ``a - 1`` of ``a + b - 2`` people had been seen to have it.

    Examples
    --------
    >>> print(Beta(2, 5))
    Beta(a=2, b=5)
    """

    a: float = 1.0
    b: float = 1.0
    positive_fields: ClassVar[tuple[str, ...]] = ("a", "b")

    def log_density(self, share: Array) -> Array:
        """Log density of each probability."""
        import numpy as np

        constant = math.lgamma(self.a + self.b) - math.lgamma(self.a) - math.lgamma(self.b)
        return constant + (self.a - 1) * np.log(share) + (self.b - 1) * np.log1p(-share)

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """Draws of a probability."""
        return rng.beta(self.a, self.b, size)


@dataclass(frozen=True)
class LKJ(Prior):
    """Prior for the correlations of varying effects (Lewandowski, Kurowicka & Joe 2009).

    ``eta=1`` is uniform over correlation matrices; larger values favour correlations near zero.
    """

    eta: float = 2.0
    positive_fields: ClassVar[tuple[str, ...]] = ("eta",)


_KINDS: dict[str, type[Prior]] = {
    kind.__name__: kind
    for kind in (
        *(Normal, StudentT, Laplace, Horseshoe, R2D2, Flat),
        *(HalfNormal, HalfStudentT, Exponential, InverseGamma, Beta, LKJ),
    )
}


NOT_NORMAL = (StudentT, Laplace, Shrinkage)  # of the priors of coefficients


def from_dict(values: Mapping[str, Any]) -> Prior:
    """The prior that :meth:`Prior.to_dict` wrote."""
    arguments = dict(values)
    return _KINDS[arguments.pop("prior")](**arguments)


def from_quantiles(kind: type[Prior], quantiles: Mapping[float, float], *, why: str = "") -> Prior:
    """The prior with these quantiles, for what somebody can say in numbers.

    Parameters
    ----------
    kind : type
        ``Normal``, ``StudentT`` (with 3 degrees of freedom), ``Laplace`` and ``Beta``, which two quantiles settle;
        ``HalfNormal``, ``HalfStudentT`` (with 3 degrees of freedom) and ``Exponential``, which one does.
    quantiles : mapping of float to float
        Values by the probability of a smaller one, as in ``{0.05: -0.5, 0.95: 1.5}``, in units of the parameter.
    why : str
        The reason; by default the quantiles themselves.

    Raises
    ------
    SpecificationError
        For another kind or number of quantiles, probabilities outside 0 to 1, and values that no such prior has.

    Notes
    -----
    ``Exponential`` with ``{0.99: 2}`` is the penalised-complexity prior of an sd that exceeds 2 with probability .01
    (Simpson et al. 2017, Statistical Science 32(1)).

    What it means: nine in ten of the values that the parameter might have are expected between the quantiles of .05
    and .95. ``simulate`` shows which answers that comes to.

    See Also
    --------
    bayesmig.prior_table : All priors of a model in raw units.

    Examples
    --------
    >>> prior = from_quantiles(Normal, {0.05: -0.5, 0.95: 1.5})
    >>> print(prior, prior.why)
    Normal(mean=0.5, sd=0.608) 5 % below -0.5, 95 % below 1.5
    >>> print(from_quantiles(Exponential, {0.99: 2}))
    Exponential(mean=0.4343)
    """
    import numpy as np
    from scipy import optimize, special

    about: dict[type[Prior], Callable[[float], float]] = {
        Normal: lambda share: float(special.ndtri(share)),
        StudentT: lambda share: float(special.stdtrit(3, share)),
        Laplace: lambda share: math.copysign(math.log(2 * min(share, 1 - share)), share - 0.5),
    }
    counts = {**dict.fromkeys(about, 2), Beta: 2, HalfNormal: 1, HalfStudentT: 1, Exponential: 1}
    if kind not in counts:
        known = ", ".join(one.__name__ for one in counts)
        raise SpecificationError(f"from_quantiles: kind is one of {known}; got {getattr(kind, '__name__', kind)!r}.")
    pairs = sorted(quantiles.items()) if isinstance(quantiles, Mapping) else []
    if len(pairs) != counts[kind] or not all(isinstance(one, numbers.Real) for pair in pairs for one in pair):
        number = ("one quantile", "two quantiles")[counts[kind] - 1]
        raise SpecificationError(f"{kind.__name__} is settled by {number}, as in {{0.95: 1.5}}; got {quantiles!r}.")
    (p, x), (q, y) = pairs[0], pairs[-1]
    least, most = (-math.inf, math.inf) if kind in about else (0, 1 if kind is Beta else math.inf)
    if not (min(p, 1 - q) > 0 and least < x and y < most and (x < y or len(pairs) == 1)):
        within = "" if kind in about else ", from 0 to 1" if kind is Beta else ", above zero"
        raise SpecificationError(
            f"from_quantiles({kind.__name__}, {quantiles!r}): probabilities lie between 0 and 1, and values rise with"
            f" them{within}."
        )
    why = why or ", ".join(f"{100 * share:.4g} % below {value:.4g}" for share, value in pairs)
    if kind in about:
        below, above = about[kind](p), about[kind](q)
        spread = (y - x) / (above - below)
        shape = (3,) if kind is StudentT else ()
        return kind(*shape, x - spread * below, spread, why=why)  # type: ignore[call-arg, arg-type]
    if kind is Beta:
        values, shares = np.array([x, y]), np.array([p, q])

        def lacking(log: Array) -> Array:
            a, b = np.exp(log)
            return np.asarray(special.betainc(a, b, values) - shares)

        found = optimize.root(lacking, np.zeros(2))
        if not found.success:
            raise SpecificationError(f"from_quantiles: no Beta has the quantiles {quantiles!r}.")
        return Beta(*np.exp(found.x), why=why)
    if kind is Exponential:
        return Exponential(-x / math.log1p(-p), why=why)
    if kind is HalfNormal:
        return HalfNormal(x / special.ndtri((1 + p) / 2), why=why)
    return HalfStudentT(3, x / float(special.stdtrit(3, (1 + p) / 2)), why=why)


@dataclass(frozen=True)
class PriorSet:
    """Priors for every parameter of a multilevel model.

    Parameters
    ----------
    intercept : Normal, StudentT, Laplace or Flat
        Outcome at the predictors' means.
    slopes : Normal, StudentT, Laplace, Horseshoe, R2D2 or Flat
        Every coefficient that ``specific`` does not name.
    sigma, tau : ScalePrior
        Residual sd, and sds of the varying effects, of intercepts at the means of the slopes they are correlated with.
    rho : LKJ
        Correlations of the varying effects there, and of latent factors.
    cut : Normal
        Thresholds of ordered outcomes and of ordinal items, at the predictors' means.
    nu : ScalePrior
        Degrees of freedom of Student t outcomes.
    dispersion : ScalePrior
        Of negative binomial outcomes, whose variance is mean + mean^2 / dispersion.
    loading : Normal
        Loadings of the items of a latent factor; relative to the item's sd (of an ordinal item, twice the sd of
        the link's residual) per unit of the factor. Half of it, above zero, for the item that fixes the direction.
    item_intercept : Normal or Flat
        Continuous items at the predictors' means in an average group.
    item_sd : ScalePrior
        Residual sds of continuous items.
    specific : mapping of str to Prior
        By term (``"hukou[rural_migrant]"``), by variable or formula term (``"hukou"``,
        ``"hukou:area_poverty"``), or by parameter (``"tau_neighbourhood"``,
        ``"tau_neighbourhood[age]"``, ``"rho_neighbourhood"``, ``"loading[friends]"``, ``"rho_factor"``, or one that a
        family has and this set no field for). The most exact name wins.
    name : str
        How reports call the set.
    """

    intercept: Prior = field(default_factory=Flat)
    slopes: Prior = field(default_factory=Flat)
    sigma: Prior = field(default_factory=HalfNormal)
    tau: Prior = field(default_factory=HalfNormal)
    rho: Prior = field(default_factory=LKJ)
    cut: Prior = field(default_factory=lambda: Normal(0, 5, why="Every category gets some answers."))
    nu: Prior = field(default_factory=lambda: Exponential(30, why="From heavy tails to nearly normal ones."))
    dispersion: Prior = field(default_factory=lambda: Exponential(10, why="From strong clustering to nearly Poisson."))
    loading: Prior = field(
        default_factory=lambda: Normal(0, 1, relative=True, why="A factor moves an item by at most about its own sd.")
    )
    item_intercept: Prior = field(
        default_factory=lambda: Normal(0, 2.5, relative=True, why="The average answer lies within the item's scale.")
    )
    item_sd: Prior = field(
        default_factory=lambda: HalfNormal(1, relative=True, why="The error is at most about the item's own sd.")
    )
    specific: Mapping[str, Prior] = field(default_factory=dict)
    name: str = "own"

    def __post_init__(self) -> None:
        for role in _ROLES:
            _check_role(role, getattr(self, role))
        for key, prior in self.specific.items():
            if key in _ROLES:
                raise SpecificationError(f"prior for {key!r}: give it as PriorSet({key}=...), not as a specific one.")
            if key.startswith("rho_") and "(" in key:  # of groups that are alike
                _check_role("share", prior, key)
                continue
            role = "tau" if key.startswith("tau_") else "rho" if key.startswith("rho_") else "slopes"
            stem, bracket, _ = key.partition("[")
            if key in scalars():
                _check_role("share" if scalars()[key].link == "logit" else "sigma", prior, key)
            else:
                _check_role(stem if bracket and stem in ITEM_ROLES else role, prior, key)

    def own(self, parameter: Parameter) -> Prior:
        """The prior of a parameter that a family adds to the coefficients."""
        if parameter.name in _ROLES:
            return getattr(self, parameter.name)  # type: ignore[no-any-return]
        prior = self.specific.get(parameter.name)
        return prior if prior is not None else from_dict(parameter.prior or {"prior": "HalfNormal"})

    def changed(self, **changes: Prior) -> PriorSet:
        """A copy with some priors replaced; keys that are no role go to ``specific``."""
        roles = {key: prior for key, prior in changes.items() if key in _ROLES}
        specific = {key: prior for key, prior in changes.items() if key not in _ROLES}
        name = self.name if self.name.endswith("changed") else f"{self.name}, changed"
        return dataclasses.replace(self, specific={**self.specific, **specific}, name=name, **roles)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        roles: dict[str, Any] = {role: getattr(self, role).to_dict() for role in _ROLES}
        return roles | {"specific": {key: prior.to_dict() for key, prior in self.specific.items()}, "name": self.name}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PriorSet:
        """The set that :meth:`to_dict` wrote."""
        roles = {role: from_dict(values[role]) for role in _ROLES if role in values}
        specific = {key: from_dict(prior) for key, prior in values["specific"].items()}
        return cls(**roles, specific=specific, name=values["name"])


ITEM_ROLES = ("loading", "item_intercept", "item_sd", "cut")

_ROLES: dict[str, tuple[type[Prior], ...]] = {
    "intercept": (CoefficientPrior, Flat),
    "slopes": (CoefficientPrior, Shrinkage, Flat),
    "sigma": (ScalePrior,),
    "tau": (ScalePrior,),
    "rho": (LKJ,),
    "cut": (Normal,),
    "nu": (ScalePrior,),
    "dispersion": (ScalePrior,),
    "loading": (Normal,),
    "item_intercept": (Normal, Flat),
    "item_sd": (ScalePrior,),
}


def _check_role(role: str, prior: object, key: str | None = None) -> None:
    wanted = _ROLES.get(role, (Beta,))
    if not isinstance(prior, wanted):
        allowed = listing(name for name, kind in _KINDS.items() if issubclass(kind, wanted))
        raise SpecificationError(f"prior for {key or role}: got {prior!r}; allowed here: {allowed}.")


WEAK = PriorSet(
    intercept=Normal(0, 2.5, relative=True, why="The average outcome lies within the range of the scale."),
    slopes=Normal(0, 1, relative=True, why="One sd of a predictor rarely moves the outcome by over two sds."),
    sigma=HalfNormal(1, relative=True, why="The residual sd is at most about the outcome's own sd."),
    tau=HalfNormal(1, relative=True, why="Groups differ by at most about the outcome's own sd."),
    rho=LKJ(2, why="Correlations near one are unlikely before seeing data."),
    name="weakly informative",
)

_T3_SD = math.sqrt(3)  # a Student t with 3 degrees of freedom has this sd for a scale of 1

PRESETS: dict[str, PriorSet] = {
    "weak": WEAK,
    "bambi": PriorSet(
        intercept=Normal(0, 2.5, relative=True),
        slopes=Normal(0, 2.5, relative=True),
        sigma=HalfStudentT(4, 1, relative=True),
        tau=HalfNormal(2.5, relative=True),
        rho=LKJ(1),
        name="Bambi 0.21 (group sds without its growth with predictor means)",
    ),
    "stata": PriorSet(
        intercept=Normal(0, 100),
        slopes=Normal(0, 100),
        sigma=InverseGamma(0.01, 0.01),
        tau=InverseGamma(0.01, 0.01),
        rho=LKJ(1),
        name="Stata bayes: mixed",
    ),
    "mlwin": PriorSet(sigma=InverseGamma(0.001, 0.001), tau=InverseGamma(0.001, 0.001), rho=LKJ(1), name="MLwiN"),
    "brms": PriorSet(
        intercept=Normal(
            0,
            _T3_SD,
            relative=True,
            least=2.5 * _T3_SD,
            why="brms: student_t(3, median(y), max(2.5, mad(y))), and (3, 0, 2.5) for a logit. Here a normal of the"
            " same variance, around the mean (0 for a log link), with the sd of the outcome for its mad.",
        ),
        slopes=Flat(why="brms: flat."),
        sigma=HalfStudentT(
            3,
            1,
            relative=True,
            least=2.5,
            why="brms: half student_t(3, 0, max(2.5, mad(y))). Here with the sd of the outcome for its mad: the same"
            " prior where neither exceeds 2.5.",
        ),
        tau=HalfStudentT(
            3,
            1,
            relative=True,
            least=2.5,
            why="brms: half student_t(3, 0, max(2.5, mad(y))). Here with the sd of the outcome for its mad, per sd of"
            " the predictor for a varying slope: the same prior where neither exceeds 2.5.",
        ),
        rho=LKJ(1, why="brms: lkj(1)."),
        cut=Normal(0, 2.5 * _T3_SD, why="brms: student_t(3, 0, 2.5) a threshold. Here a normal of the same variance."),
        nu=Exponential(20, why="brms: gamma(2, 0.1) above 1. Here an exponential of the same mean."),
        dispersion=Exponential(
            10,
            why="brms: inv_gamma(0.4, 0.3), earlier gamma(0.01, 0.01). Neither can be expressed here: bayesmig's own.",
        ),
        name="brms (t priors of the intercept and thresholds as normals, sd for mad)",
    ),
    "rstanarm": PriorSet(
        intercept=Normal(0, 2.5, relative=True, why="rstanarm: normal(mean(y), 2.5 sd(y)) at the predictors' means."),
        slopes=Normal(0, 2.5, relative=True, why="rstanarm: normal(0, 2.5 sd(y) / sd(x)), autoscaled."),
        sigma=Exponential(1, relative=True, why="rstanarm: exponential(1 / sd(y)), autoscaled."),
        tau=Exponential(
            1,
            relative=True,
            why="rstanarm: decov(1, 1, 1, 1), for one varying effect the residual sd times an exponential of mean 1."
            " Here the outcome's sd stands for the residual one, per sd of the predictor for a varying slope, and"
            " several effects have a prior each instead of shares of one total variance.",
        ),
        rho=LKJ(1, why="rstanarm: decov with regularization 1, uniform over correlation matrices."),
        cut=Normal(
            0, 5, why="rstanarm: stan_polr has a prior on R2 instead, which cannot be expressed here: bayesmig's own."
        ),
        dispersion=Exponential(1, why="rstanarm: exponential(1) for the reciprocal dispersion."),
        name="rstanarm (decov as one exponential a varying effect)",
    ),
}


def preset(name: str) -> PriorSet:
    """The priors that a program assumes when nothing is said.

    Parameters
    ----------
    name : {"weak", "bambi", "stata", "mlwin", "brms", "rstanarm"}
        ``weak`` is what bayesmig itself assumes for a user's own formula. The sources are Bambi 0.21
        ``priors/scaler.py``, the Stata manual [BAYES] ``bayes: mixed`` (normal(0, 10000), a variance;
        igamma(0.01, 0.01)), Browne's MLwiN MCMC guide, section 1 (flat; gamma(0.001, 0.001) on precisions),
        ``brms::default_prior`` and rstanarm's vignette on prior distributions (since July 2020).

    Returns
    -------
    PriorSet
        Where a program's prior is not one of those of this module, the nearest stands for it, and the prior's
        ``why`` says what it stands for.

    Raises
    ------
    NotFound
        If there is no such preset.

    Notes
    -----
    Scales relative to the data count in the population sd of the outcome and the predictors; brms counts in the median
    absolute deviation, rounded to one decimal, and rstanarm in the sample sd. A deviation much smaller than the sd, as
    of incomes, makes the prior here the wider one.

    What it means: a reader who would have used another program can be shown what it would have assumed, and
    whether that matters. ``preset("brms")`` leaves coefficients to the data alone; rstanarm and Bambi hold effects of
    more than five sds of the outcome per sd of a predictor for unlikely.

    Examples
    --------
    >>> print(preset("stata").tau)
    InverseGamma(shape=0.01, scale=0.01)
    >>> print(preset("brms").sigma.resolved(1.2), preset("brms").sigma.resolved(9000))
    HalfStudentT(df=3, scale=2.5) HalfStudentT(df=3, scale=9000)
    """
    require([name], PRESETS, "no prior preset ", error=NotFound)
    return PRESETS[name]


def log_density_of(prior: Prior, value: Array) -> Array:
    """Log density of a coefficient with some prior, up to no constant but that of a flat one.

    A level of a parameter has the parameter's own prior, on the log or the logit scale.
    """
    import numpy as np
    from scipy import special

    match prior:
        case Flat():
            return np.zeros_like(value)
        case CoefficientPrior():
            return prior.log_density(value)
        case ScalePrior():
            return prior.log_density(np.exp(value)) + value
        case Beta():
            return prior.log_density(special.expit(value)) + special.log_expit(value) + special.log_expit(-value)
    raise SpecificationError(
        f"coefficients have the prior {prior}, of which no density is known without their scales; compare fits under"
        " several priors, or give each coefficient a prior of its own."
    )
