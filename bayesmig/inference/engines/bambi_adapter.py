"""Design -> bmb.Model: Bambi as an engine, with the specification, the coding and the priors of bayesmig.

Bambi gets the design's own columns, not the user's variables, so that reference levels, standardisation and
left-out rows are those of every other engine; each term has its prior in raw units and nothing is rescaled.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.arguments import check_fields
from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design, GroupTerm
from bayesmig.data.encoding import build_design
from bayesmig.data.frames import AnyFrame
from bayesmig.errors import EngineRefusal, SpecificationError, listing, require
from bayesmig.inference.engines import graphs
from bayesmig.inference.engines.base import LEAST_DRAWS
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.nuts import NUTS, finished, kept_stats, sampling
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import (
    Exponential,
    Flat,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    Laplace,
    Normal,
    Prior,
    Shrinkage,
    StudentT,
)

if TYPE_CHECKING:
    import bambi as bmb

VERSION = "0.21"
SAMPLERS = ("nutpie", "pymc")
FAMILIES = {
    "gaussian": "gaussian",
    "student": "t",
    "bernoulli": "bernoulli",
    "binomial": "binomial",
    "cumulative": "cumulative",
    "poisson": "poisson",
    "negative_binomial": "negativebinomial",
}
PARAMETERS = {"cut": "threshold", "dispersion": "alpha"}
MOST_CELLS = 500_000_000
WEIGHTED = ("gaussian", "poisson", "negative_binomial")
# names that Bambi's graph or its formulas use themselves
TAKEN = frozenset(
    ("mu", "p", "sigma", "nu", "alpha", "threshold", "Intercept", "common", "group_specific", "I", "offset", "weighted")
)


@dataclass(frozen=True)
class Bambi:
    """Bambi as an engine: the same model and priors, built by Bambi and drawn from by NUTS.

    Parameters
    ----------
    draws, tune : int
        Kept and warm-up draws of each chain.
    chains : int
    sampler : {"nutpie", "pymc"}
    target_accept : float
        Between 0 and 1; closer to 1 means smaller steps and fewer divergences.
    progress : bool, optional
        Show a progress bar; by default where somebody may see it, on a terminal. Interrupting (Ctrl-C) keeps the
        draws of the chains that have got furthest; ``check`` says so.

    Notes
    -----
    Needs Bambi 0.21: ``pip install "bayesmig[bambi]"``. Intercepts and slopes may vary over any number of crossed or
    nested grouping factors, without correlations, which Bambi does not have. Survey and frequency weights are for
    Gaussian, Poisson and negative binomial outcomes only.

    What it means: two programs that share neither their parser nor their graph give the same posterior, so a
    reader who trusts Bambi need not trust bayesmig; and :meth:`model` hands over a model to go on with in Bambi.

    Examples
    --------
    >>> Bambi(draws=500, chains=2).sampler
    'nutpie'
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    sampler: Literal["nutpie", "pymc"] = "nutpie"
    target_accept: float = 0.9
    progress: bool | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        require([self.sampler], SAMPLERS, "sampler ", error=SpecificationError)
        if self.draws < LEAST_DRAWS or self.chains < 1 or self.tune < 0 or not 0 < self.target_accept < 1:
            raise SpecificationError(
                f"{self!r}: draws are at least {LEAST_DRAWS} a chain, chains positive, target_accept lies"
                " between 0 and 1."
            )

    def model(self, spec: ModelSpec | str, data: AnyFrame) -> bmb.Model:
        """The Bambi model of a specification and data, not yet fitted.

        Parameters
        ----------
        spec : ModelSpec or str
            A specification, or a formula with the weakly informative default priors.
        data : pandas.DataFrame
            One row a person; it is not changed.

        Returns
        -------
        bambi.Model
            On a data frame of the design's columns (``hukou[rural]`` is a column of zeros and ones), which is its
            attribute ``data``. Coefficients and group sds are in the design's units. A column with the name of a
            parameter of Bambi's (``sigma``, ``mu`` ...) gets an underscore.

        Raises
        ------
        BayesmigError
            For bad input, and :class:`~bayesmig.errors.EngineRefusal` for what Bambi cannot do.
        """
        design = build_design(ModelSpec(spec) if isinstance(spec, str) else spec, data)
        reason = self.refuses(design)
        if reason:
            raise EngineRefusal(reason)
        return translate(design).model()

    def refuses(self, design: Design) -> str | None:
        """Why this engine cannot fit the design, naming one that can; None if it can."""
        reason, found = _unable(design), _installed()
        if reason is None and found is None:
            reason = "Bambi is not installed: pip install 'bayesmig[bambi]'"
        if reason is None and not str(found).startswith(f"{VERSION}."):
            reason = (
                f"Bambi {found} is installed, and this adapter knows Bambi {VERSION}: pip install 'bayesmig[bambi]'"
            )
        if reason is None:
            return None
        able = [f"{type(engine).__name__}()" for engine in (Exact(), NUTS()) if engine.refuses(design) is None]
        return f"{reason}; or use engine={' or '.join(able)}." if able else f"{reason}; nor can another engine."

    def sample(self, design: Design, rng: np.random.Generator) -> tuple[dict[str, xr.Dataset], dict[str, object]]:
        """Draw from the posterior of a design."""
        translation = translate(design)
        shown = sys.stderr.isatty() if self.progress is None else self.progress
        with _silent():
            tree = translation.model().fit(
                draws=self.draws,
                tune=self.tune,
                chains=self.chains,
                cores=min(self.chains, os.cpu_count() or 1),
                random_seed=int(rng.integers(2**31 - 1)),
                inference_method=self.sampler,
                nuts={"target_accept": self.target_accept},
                progressbar=shown,
                quiet=True,
                compute_convergence_checks=False,
            )
        posterior, stats = finished(tree["posterior"].to_dataset(), tree["sample_stats"].to_dataset())
        groups = {
            "posterior": schema.posterior(design, translation.draws(design, posterior)),
            "sample_stats": kept_stats(stats),
        }
        count = posterior.sizes["chain"] * posterior.sizes["draw"]
        facts: dict[str, object] = {
            "draws": count,
            "interrupted": "yes" if count < self.chains * self.draws else "no",
            "independent_draws": "no",
            "centred": graphs.parameterisations(design),
            "bambi": str(_installed()),
            "bambi_formula": translation.formula,
            "packages": ("bambi", "pymc", "pytensor", *(() if self.sampler == "pymc" else (self.sampler,))),
        }
        return groups, facts


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep Bambi and the samplers from writing over the caller's output."""
    logger = logging.getLogger("bambi")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with sampling():
            yield
    finally:
        logger.setLevel(level)


def _installed() -> str | None:
    try:
        return importlib.metadata.version("bambi")
    except importlib.metadata.PackageNotFoundError:
        return None


def _unable(design: Design) -> str | None:
    """What of a design Bambi 0.21 cannot express."""
    family = design.spec.family
    if family not in FAMILIES:
        return f"outcomes of family {family!r} are not translated for Bambi"
    if design.spec.predictors:
        return (
            f"predictors of {listing(design.spec.predictors)} are not translated for Bambi, in which the level of a"
            " parameter has no prior of the parameter itself"
        )
    if told := design.with_prior(Shrinkage):
        return f"{told}, and coefficients have no priors together in Bambi"
    if design.spec.link == "cloglog":
        return "its complementary log-log link is not translated"
    if design.alike:
        return f"{design.alike[0]} is not translated for Bambi"
    if design.imputed:
        return f"Bambi models no missing values, as {design.imputed[0].name!r} has"
    for group in design.groups:
        if group.weights is not None:
            return f"Bambi knows no weights of groups, which {group.name!r} has"
        if group.pairs:
            return (
                f"Bambi estimates no correlations of varying effects, and {group.name!r} has"
                f" {listing(group.pair_names)}; write (x || group) to leave them out"
            )
    if _weights(design) is not None:
        if design.weight_kind == "precision":
            return "Bambi's weighted() multiplies log densities and knows no precision weights"
        if family not in WEIGHTED:
            return f"Bambi's weighted() takes no outcome of family {family!r}"
    if family == "cumulative" and design.offset is not None and not design.terms and not design.groups:
        return "Bambi builds no model of ordered categories whose only predictor is an offset"
    cells = design.n * sum(len(group.levels) * len(group.effects) for group in design.groups)
    if cells > MOST_CELLS:
        return f"Bambi stores every group as a dense column, here {cells:,} numbers, and {MOST_CELLS:,} take 4 GB"
    return None


def _weights(design: Design) -> Array | None:
    """Weights, unless all are one."""
    return None if design.weights is None or bool(np.all(design.weights == 1)) else design.weights


@dataclass(frozen=True)
class Translation:
    """A design in Bambi's terms.

    frame : the design's columns, n rows
    priors : by Bambi's names of terms and parameters
    slopes : Bambi's name of each slope's term to the variable that its coefficient is
    effects : grouping factor of the design to Bambi's names of its varying effects
    centre : (p,) array or None: what the formula itself takes off each slope's column. None where Bambi centres
    """

    formula: str
    frame: pd.DataFrame
    family: str
    link: str
    priors: Mapping[str, bmb.Prior]
    slopes: Mapping[str, str]
    effects: Mapping[str, tuple[str, ...]]
    centre: Array | None

    def model(self) -> bmb.Model:
        """The model, not yet built."""
        import bambi as bmb

        model = bmb.Model(
            self.formula,
            self.frame,
            family=self.family,
            link=self.link,
            priors=dict(self.priors),
            auto_scale=False,
            center_predictors=self.centre is None,
        )
        model.set_alias({term: name for term, name in self.slopes.items() if term != name})
        return model

    def draws(self, design: Design, posterior: xr.Dataset) -> dict[str, Array]:
        """What Bambi drew as the quantities of the contract, chain and draw in front.

        Bambi has already taken the intercept from the predictors' means to their zeros, where it centred itself.
        """

        def take(name: str) -> Array:
            return np.asarray(posterior[name].transpose("chain", "draw", ...).to_numpy(), dtype=float)

        shape = (posterior.sizes["chain"], posterior.sizes["draw"])
        slopes = np.stack([take(name) for name in self.slopes.values()], -1) if self.slopes else np.zeros((*shape, 0))
        level = 0.0 if self.centre is None else slopes @ self.centre
        values = {"beta": slopes}
        if design.has_intercept:
            values["beta"] = np.concatenate([(take("Intercept") - level)[..., None], slopes], axis=-1)
        for name in design.priors.auxiliary:
            drawn = take(PARAMETERS.get(name, name))
            # P(y <= k) = F(cut - eta): what centring took out of eta goes back to the thresholds
            values[name] = drawn + np.asarray(level)[..., None] if name == "cut" else drawn
        for group in design.groups:
            names = self.effects[group.name]
            factor = f"{names[0].split('|')[1]}__factor_dim"
            by_level = posterior[list(names)].sel({factor: list(group.levels)}).transpose("chain", "draw", factor)
            values[f"u_{group.name}"] = np.stack([np.asarray(by_level[name], dtype=float) for name in names], -1)
            values[f"tau_{group.name}"] = np.stack([take(f"{name}_sigma") for name in names], -1)
        return values


def translate(design: Design) -> Translation:
    """A design in Bambi's terms. ``design``: one that :meth:`Bambi.refuses` does not refuse."""
    frame = _Frame()
    outcome = _outcome(frame, design)
    centre = _centre(design)
    priors = {PARAMETERS.get(name, name): _prior(prior) for name, prior in design.priors.auxiliary.items()}
    if "cut" in design.priors.auxiliary:
        priors["threshold"] = _thresholds(design)
    if design.has_intercept:
        priors["Intercept"] = _prior(design.priors.intercept)
    parts = ["1" if design.has_intercept else "0"]
    slopes = {}
    for k, (term, prior) in enumerate(zip(design.terms[design.has_intercept :], design.priors.slopes, strict=True)):
        column = frame.add(term, design.x[:, design.has_intercept + k])
        written, name = _less(column, 0.0 if centre is None else float(centre[k]))
        parts.append(written)
        slopes[name] = column
        priors[name] = _prior(prior)
    effects = {}
    centred = graphs.parameterisations(design)
    for group in design.groups:
        written, effects[group.name] = _varying(frame, group)
        parts.append(written)
        for name, scale in zip(effects[group.name], design.priors.tau[group.name], strict=True):
            priors[name] = _deviations(scale, centred[group.name])
    if design.offset is not None:
        parts.append(f"offset(`{frame.add(design.spec.offset, design.offset)}`)")
    return Translation(
        formula=f"{outcome} ~ {' + '.join(parts)}",
        frame=pd.DataFrame(frame.columns),
        family=FAMILIES[design.spec.family],
        link=design.spec.link,
        priors=priors,
        slopes=slopes,
        effects=effects,
        centre=centre,
    )


class _Frame:
    """Columns under names that Bambi's formula, its graph and a tree can hold."""

    def __init__(self) -> None:
        self.columns: dict[str, Any] = {}

    def add(self, wanted: str, values: Any) -> str:
        """The name of a column with these values, as near to the one wanted as may be."""
        name = re.sub("[`|/]", "_", wanted)
        while (
            name in TAKEN
            or name.endswith("_offset")  # Bambi drops what is called so from the posterior
            or (name in self.columns and not np.array_equal(self.columns[name], values))
        ):
            name += "_"
        self.columns.setdefault(name, values)
        return name


def _outcome(frame: _Frame, design: Design) -> str:
    """The left side of the formula."""
    spec, weights = design.spec, _weights(design)
    values: Any = design.y if spec.distribution.outcome == "number" else design.y.astype(int)
    if spec.family == "cumulative":
        values = pd.Categorical.from_codes(values, pd.Index(design.categories), ordered=True)
    column = frame.add(spec.formula.split("~")[0].strip().strip("`"), values)
    if design.trials is not None:
        return f"p(`{column}`, `{frame.add(spec.trials, design.trials.astype(int))}`)"
    if weights is not None and spec.weights is not None:
        return f"weighted(`{column}`, `{frame.add(spec.weights.column, weights)}`)"
    return f"`{column}`"


def _centre(design: Design) -> Array | None:
    """Means that the formula must take off the slopes' columns itself.

    Bambi centres at means of rows, whatever their weights and trials, and not at all beside thresholds.
    """
    counted = _weights(design) is not None or design.trials is not None
    if "cut" not in design.spec.distribution.parameters and not (design.has_intercept and counted):
        return None
    means, sds, *_ = design.moments
    # the mean of a standardised column is a rounding error, which nobody wants to read in a formula
    return np.where(abs(means) < 1e-9 * sds, 0.0, means)[design.has_intercept :]


def _less(column: str, mean: float) -> tuple[str, str]:
    """A column less its mean, as the formula writes it and as Bambi then calls the term."""
    if mean == 0:
        return f"`{column}`", column
    sign, digits = "-" if mean > 0 else "+", np.format_float_positional(abs(mean), trim="0")
    return f"I(`{column}` {sign} {digits})", f"I({column} {sign} {float(digits)})"


def _varying(frame: _Frame, group: GroupTerm) -> tuple[str, tuple[str, ...]]:
    """The varying effects of one grouping factor, as the formula writes them and as Bambi then calls the terms."""
    factor = frame.add(group.name, pd.Categorical.from_codes(group.codes, pd.Index(group.levels), ordered=True))
    written, names = [], []
    for effect, values in zip(group.effects, group.z.T, strict=True):
        column = "1" if effect == "intercept" else frame.add(effect, values)
        written.append(f"(1 | `{factor}`)" if effect == "intercept" else f"(0 + `{column}` | `{factor}`)")
        names.append(f"{column}|{factor}")
    return " + ".join(written), tuple(names)


def _prior(prior: Prior) -> bmb.Prior:
    """A prior in Bambi's terms."""
    import bambi as bmb

    match prior:
        case Flat():
            return bmb.Prior("Flat")
        case Normal():
            return bmb.Prior("Normal", mu=prior.mean, sigma=prior.sd)
        case StudentT():
            return bmb.Prior("StudentT", nu=prior.df, mu=prior.mean, sigma=prior.scale)
        case Laplace():
            return bmb.Prior("Laplace", mu=prior.mean, b=prior.scale)
        case HalfNormal():
            return bmb.Prior("HalfNormal", sigma=prior.scale)
        case HalfStudentT():
            return bmb.Prior("HalfStudentT", nu=prior.df, sigma=prior.scale)
        case Exponential():
            return bmb.Prior("Exponential", lam=1 / prior.mean)
        case InverseGamma():
            return bmb.Prior("RootInverseGamma", dist=_root_inverse_gamma, alpha=prior.shape, beta=prior.scale)
    raise SpecificationError(f"no prior of Bambi for {prior}.")


def _deviations(scale: Prior, centred: bool) -> bmb.Prior:
    """Normal deviations of groups, with the prior of their sd."""
    import bambi as bmb

    return bmb.Prior("Normal", mu=0.0, sigma=_prior(scale), noncentered=not centred)


def _thresholds(design: Design) -> bmb.Prior:
    """Independent normal thresholds, kept in order."""
    import bambi as bmb
    from pymc.distributions.transforms import ordered

    prior: Any = design.priors.auxiliary["cut"]
    start = prior.mean + prior.sd * np.linspace(-0.3, 0.3, len(design.categories) - 1)
    return bmb.Prior("Normal", mu=prior.mean, sigma=prior.sd, transform=ordered, initval=start.tolist())


def _root_inverse_gamma(name: str, alpha: Any, beta: Any, dims: Any = None) -> Any:
    """A standard deviation whose square has an inverse gamma distribution."""
    import pymc as pm
    import pytensor.tensor as pt

    return pm.CustomDist(
        name,
        alpha,
        beta,
        dist=lambda alpha, beta, size: pt.sqrt(pm.InverseGamma.dist(alpha, beta, size=size)),
        transform=pm.distributions.transforms.log,
        class_name="RootInverseGamma",
        dims=dims,
    )
