"""Data that reproduce a printed table.

Predictors are drawn from what a study prints or assumes about its sample (:class:`~bayesmig.spec.Population`).
The outcome is then ``y = X beta + r`` with the printed coefficients and a residual ``r`` that makes them, and the
printed variances, the maximum of the likelihood. With ``V = sum_k theta_k Z_k Z_k'`` (``Z_0 = I``) at the
printed variances this needs ``X'V^-1 r = 0`` and ``|Z_k'V^-1 r|^2 = tr(Z_k'V^-1 Z_k)`` for every ``k`` (Searle,
Casella & McCulloch 1992, Variance Components, section 6.3; under REML the trace is of the projected ``V^-1``). A
random residual meets the first after projection, and the second after each of its components, one a
grouping factor and one for persons, is scaled: as many quadratic equations as scales.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from bayesmig.design import Design
from bayesmig.encoding import PROVENANCE_COLUMN, build_design
from bayesmig.errors import BayesmigError, InferenceFailure, NotFound, SpecificationError, closest, listing
from bayesmig.formula import parse
from bayesmig.gaussian import MixedModelEquations
from bayesmig.literature import printed_cells, printed_variances, published
from bayesmig.schema import RECONSTRUCTED
from bayesmig.spec import Margin, ModelSpec, Population, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

TOLERANCE = 1e-10
ATTEMPTS = 20
SHARE_SPREAD = 0.2  # sd of the log of an assumed share, from seed to seed
MOMENT_SPREAD = 0.1  # sd of an assumed mean, in sds, and of the log of an assumed sd
CHECK_POINTS = 256


def reconstruct(study: Study, model: str, *, seed: int = 0) -> pd.DataFrame:
    """A data set whose fit returns a printed table.

    Parameters
    ----------
    study : Study
        One with a ``population``.
    model : str
        A model whose coefficients and variance components are printed.
    seed : int
        Draws the people, and every number about them that is not printed. Results that change much from
        seed to seed rest on such numbers.

    Returns
    -------
    pandas.DataFrame
        One row a person, in the units and levels of the study's codebook. Column ``provenance`` says
        that the data are reconstructed and stays when they are saved. ``attrs["reconstruction"]`` lists what was
        ``honoured``, what of the printed was ``not_honoured``, and what was ``assumed``.

    Raises
    ------
    NotFound
        If the study has no such model, or the paper does not print it.
    BayesmigError
        If the study describes no population, or the model has weights, varying slopes, a family
        other than Gaussian, or terms that are not printed.
    InferenceFailure
        If no residual meets the printed variances.

    Notes
    -----
    What it means: nobody was asked anything. The data are one of very many sets that would have led to the
    same table, good for learning a method, for planning a survey and for seeing how far a result
    depends on priors. They are no evidence about migrants or natives beyond what the table itself says. The outcome
    is a continuous number that may pass the ends of the answer scale.

    Examples
    --------
    >>> from bayesmig.catalogue import study
    >>> data = reconstruct(study("social_trust"), "table_6", seed=1)
    >>> data.shape
    (1406, 15)
    >>> data["provenance"].iloc[0]
    'reconstructed from social_trust table_6, seed 1'
    """
    return _build(study, model, seed)[0]


def standard_errors(study: Study, model: str, *, seed: int = 0) -> pd.DataFrame:
    """Printed standard errors beside those that the printed variances imply.

    Parameters
    ----------
    study : Study
    model : str
    seed : int
        As in :func:`reconstruct`.

    Returns
    -------
    pandas.DataFrame
        Indexed by term: ``printed``, ``implied`` (square root of the diagonal of ``(X'V^-1X)^-1`` with the
        reconstructed predictors) and ``ratio``, implied over printed.

    Notes
    -----
    What it means: a ratio far above 1 says that the printed error cannot come from the printed variances
    and the number of groups alone; weights with robust errors, or another sample, lie behind it.

    Examples
    --------
    >>> from bayesmig.catalogue import study
    >>> errors = standard_errors(study("social_trust"), "table_6", seed=1)
    >>> bool(errors.loc["neighbourhood_type[work_unit]", "ratio"] > 1.5)
    True
    """
    return _build(study, model, seed)[1]


def answer_spread(study: Study, model: str) -> pd.Series:
    """Variance of the outcome that its printed answers show, beside the printed variance components.

    Parameters
    ----------
    study : Study
        One whose ``descriptives.csv`` prints the outcome's answers by the levels of a variable with printed counts.
    model : str
        A model with printed variance components.

    Returns
    -------
    pandas.Series
        ``mean`` and ``variance`` of the printed answers; ``components``, the sum of the printed variance
        components, which the answers' variance must exceed by what the predictors explain; ``zero_share``, the
        smallest share of answers of 0 among the others that would reach the components: 0 where none is needed,
        NaN where none would do.

    Raises
    ------
    NotFound
        If the answers or the variance components are not printed.

    Examples
    --------
    >>> from bayesmig.catalogue import study
    >>> answer_spread(study("social_trust"), "table_6").round(3).to_dict()
    {'mean': 3.449, 'variance': 0.672, 'components': 0.873, 'zero_share': 0.018}
    """
    outcome = parse(study.model(model).formula).outcome
    shares = _printed_answers(study, outcome)
    components = float(printed_variances(study, model)["variance"].sum())
    if shares is None or not components:
        missing = "variance components" if shares is not None else f"answers to {outcome!r} by a counted variable"
        raise NotFound(f"{study.name} {model} prints no {missing}.")
    answers = shares.index.to_numpy(dtype=float)
    mean = float(answers @ shares)
    variance = float((answers - mean) ** 2 @ shares)
    zero_share = 0.0
    if components > variance:
        # a share z of zeros gives the variance (1 - z) variance + z (1 - z) mean^2
        roots = np.roots([-(mean**2), mean**2 - variance, variance - components])
        real = roots[np.isreal(roots) & (roots.real > 0)].real
        zero_share = float(real.min()) if len(real) else float("nan")
    return pd.Series({"mean": mean, "variance": variance, "components": components, "zero_share": zero_share})


def _build(study: Study, model: str, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    spec, population = _checked(study, model)
    cells, variances = printed_cells(study, model), printed_variances(study, model)["variance"]
    outcome = parse(spec.formula).outcome
    rng = np.random.default_rng(seed)
    data, assumed = _predictors(study, population, rng)
    design = build_design(_free(spec, outcome), data.assign(**{outcome: rng.standard_normal(len(data))}))
    beta = _aligned(study, model, design, cells["estimate"])
    covariance = _Covariance.of(design, variances)
    residual = _residual(covariance, rng)
    data.insert(0, outcome, design.x @ beta + residual)
    data[PROVENANCE_COLUMN] = f"{RECONSTRUCTED} from {study.name} {model}, seed {seed}"
    implied = np.sqrt(np.diag(covariance.coefficient_covariance))
    errors = pd.DataFrame({"printed": cells["std_error"].reindex(design.terms), "implied": implied})
    errors["ratio"] = errors["implied"] / errors["printed"]
    data.attrs["reconstruction"] = {
        "honoured": _honoured(spec, population, data),
        "not_honoured": _not_honoured(study, model, data[outcome], errors),
        "assumed": assumed,
    }
    return data, errors


def _checked(study: Study, model: str) -> tuple[ModelSpec, Population]:
    spec = study.model(model)
    printed = listing(key for key, other in study.models.items() if other.printed)
    if spec.printed is None:
        raise NotFound(f"{study.name} {model} is not printed, so nothing can be reproduced; printed are {printed}.")
    if study.population is None:
        raise BayesmigError(
            f"study {study.name!r} describes no population; give Study(population=Population(...)) the sample size,"
            " the groups and a Margin for every predictor."
        )
    varying = parse(spec.formula).varying
    reason = (
        f"its family is {spec.family}, not gaussian"
        if spec.family != "gaussian"
        else "it is weighted, and no weights are printed"
        if spec.weights
        else "it has varying slopes, and only varying intercepts can be met exactly"
        if any(term.effects.strip() != "1" for term in varying)
        else ""
    )
    if reason:
        raise BayesmigError(f"{study.name} {model} cannot be reconstructed: {reason}. Printed models are {printed}.")
    return spec, study.population


def _free(spec: ModelSpec, outcome: str) -> ModelSpec:
    """The specification without the codebook entry of the outcome, which is continuous here."""
    return dataclasses.replace(spec, variables=tuple(entry for entry in spec.variables if entry.name != outcome))


def _aligned(study: Study, model: str, design: Design, estimates: pd.Series) -> Array:
    unprinted = [term for term in design.terms if term not in estimates.index]
    unknown = [str(term) for term in estimates.index if term not in design.terms]
    if unprinted or unknown:
        raise BayesmigError(
            f"{study.name} {model} and its printed table name different terms: not printed {listing(unprinted)};"
            f" printed but not in the model {listing(unknown)}. Correct the formula, the reference levels or the CSV."
        )
    return estimates.reindex(list(design.terms)).to_numpy(dtype=float)


# --- predictors ------------------------------------------------------------------------------------------------


def _predictors(study: Study, population: Population, rng: np.random.Generator) -> tuple[pd.DataFrame, list[str]]:
    """Predictors by a Gaussian copula: correlated normal scores between and within groups, cut to their margins."""
    owners = [_group_of(study, population, margin.variable) for margin in population.margins]
    correlations = {pair: float(rng.uniform(span.lower, span.upper)) for pair, span in population.correlations.items()}
    between, within = _correlation_roots(population, owners, correlations)
    codes = {group: np.arange(population.n) * count // population.n for group, count in population.groups.items()}
    group_scores = {
        name: rng.standard_normal((count, len(owners))) @ between.T for name, count in population.groups.items()
    }
    person_scores = rng.standard_normal((population.n, len(owners))) @ within.T
    data: dict[str, NDArray[Any]] = {group: _labels(group, code) for group, code in codes.items()}
    assumed: list[str] = []
    first = next(iter(population.groups), "")
    for place, (printed, owner) in enumerate(zip(population.margins, owners, strict=True)):
        margin = _varied(printed, rng)
        if owner:
            values = _cut(group_scores[owner][:, place], margin)[codes[owner]]
        elif first and margin.clustering:
            shared = np.sqrt(margin.clustering) * group_scores[first][codes[first], place]
            values = _cut(shared + np.sqrt(1 - margin.clustering) * person_scores[:, place], margin)
        else:
            values = _cut(person_scores[:, place], margin)
        data[margin.variable] = values
        assumed += _assumptions(margin)
    assumed += [f"latent correlation of {a} and {b}: {r:.2f}" for (a, b), r in correlations.items()]
    return pd.DataFrame(data), assumed


def _group_of(study: Study, population: Population, name: str) -> str:
    entry = next((variable for variable in study.variables if variable.name == name), None)
    if entry is None:
        known = [variable.name for variable in study.variables]
        raise SpecificationError(
            f"population of {study.name!r}: {name!r} is not in the codebook{closest(name, known)}."
        )
    if entry.group and entry.group not in population.groups:
        raise SpecificationError(
            f"population of {study.name!r}: {name!r} describes {entry.group!r}, whose number of groups is not given;"
            f" given are {listing(population.groups)}."
        )
    return entry.group


def _correlation_roots(
    population: Population, owners: list[str], correlations: Mapping[tuple[str, str], float]
) -> tuple[Array, Array]:
    """Roots of the correlations between groups and within: the correlation matrices nearest to those asked for."""
    names = [margin.variable for margin in population.margins]
    between, within = np.eye(len(names)), np.eye(len(names))
    for (first, second), value in correlations.items():
        i, j = names.index(first), names.index(second)
        matrix = between if owners[i] or owners[j] else within
        matrix[i, j] = matrix[j, i] = value
    return _root(between), _root(within)


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    root = vectors * np.sqrt(np.maximum(values, 1e-6))
    return np.asarray(root / np.sqrt((root**2).sum(axis=1, keepdims=True)))


def _labels(group: str, codes: NDArray[np.int64]) -> NDArray[Any]:
    width = len(str(codes.max() + 1))
    return np.array([f"{group}_{code + 1:0{width}d}" for code in codes], dtype=object)


def _varied(margin: Margin, rng: np.random.Generator) -> Margin:
    """The margin with its assumed numbers drawn anew."""
    if not margin.assumed:
        return margin
    if margin.counts:
        counts = {level: count * np.exp(SHARE_SPREAD * rng.standard_normal()) for level, count in margin.counts.items()}
        return dataclasses.replace(margin, counts=counts)
    shift, stretch = rng.standard_normal(2)
    mean, sd = margin.mean + MOMENT_SPREAD * shift * margin.sd, margin.sd * np.exp(MOMENT_SPREAD * stretch)
    return dataclasses.replace(margin, mean=mean, sd=sd)


def _cut(scores: Array, margin: Margin) -> NDArray[Any]:
    """Give the scores a margin's values by rank, so that its counts, or its distribution, are met exactly."""
    ranks = np.argsort(np.argsort(scores))
    if margin.counts:
        counts = _apportioned(margin.counts, len(scores))
        levels = np.array(list(counts), dtype=object)
        if all(level.isdigit() for level in counts):
            levels = levels.astype(int)
        return np.repeat(levels, list(counts.values()))[ranks]
    lower, upper = (margin.minimum - margin.mean) / margin.sd, (margin.maximum - margin.mean) / margin.sd
    values = stats.truncnorm.ppf((ranks + 0.5) / len(scores), lower, upper, margin.mean, margin.sd)
    return np.asarray(np.rint(values).astype(int) if margin.whole else values)


def _apportioned(counts: Mapping[str, float], size: int) -> dict[str, int]:
    """Whole numbers that sum to ``size`` in the proportions of ``counts`` (largest remainders), none left empty."""
    shares = np.array(list(counts.values()), dtype=float)
    exact = shares / shares.sum() * size
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[: size - whole.sum()]] += 1
    while (whole == 0).any():
        whole[whole.argmin()] += 1
        whole[whole.argmax()] -= 1
    return dict(zip(counts, whole.tolist(), strict=True))


# --- the outcome -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Covariance:
    """``V = sum_k theta_k Z_k Z_k'`` of one design at the printed variances.

    Attributes
    ----------
    design : Design
    variances : (K + 1,) array
        The residual variance first, then one per grouping factor.
    columns : tuple of (n, J_k) arrays
        Indicators of the groups.
    """

    design: Design
    variances: Array
    columns: tuple[Array, ...]

    @classmethod
    def of(cls, design: Design, printed: pd.Series) -> _Covariance:
        names = ["sigma", *(f"tau_{group.name}" for group in design.groups)]
        missing = [name for name in names if name not in printed.index]
        if missing:
            raise BayesmigError(
                f"{design.spec.name}: no variance is printed for {listing(missing)};"
                f" printed are {listing(printed.index)}."
            )
        columns = tuple(np.eye(len(group.levels))[group.codes] for group in design.groups)
        return cls(design, printed.reindex(names).to_numpy(dtype=float), columns)

    @cached_property
    def _shared(self) -> Array:
        parts = [np.sqrt(variance) * z for variance, z in zip(self.variances[1:], self.columns, strict=True)]
        return np.hstack([np.empty((self.design.n, 0)), *parts])

    def solve(self, right: Array) -> Array:
        """``V^-1 right`` by Woodbury's identity: the matrix inverted is as wide as there are groups."""
        w = self._shared
        inner = w.T @ w + self.variances[0] * np.eye(w.shape[1])
        return np.asarray((right - w @ np.linalg.solve(inner, w.T @ right)) / self.variances[0])

    @cached_property
    def coefficient_covariance(self) -> Array:
        """``(X'V^-1X)^-1``."""
        x = self.design.x
        return np.asarray(np.linalg.inv(x.T @ self.solve(x)))

    def project(self, right: Array) -> Array:
        """What generalised least squares on ``X`` leaves of ``right``."""
        x = self.design.x
        return np.asarray(right - x @ (self.coefficient_covariance @ (x.T @ self.solve(right))))

    def roots(self, right: Array) -> tuple[Array, ...]:
        """``Z_k'V^-1 right`` for persons (``Z_0 = I``) and for every factor."""
        solved = self.solve(right)
        return (solved, *(z.T @ solved for z in self.columns))

    @cached_property
    def expected(self) -> Array:
        """What ``|Z_k'V^-1 r|^2`` must be: the trace of ``Z_k'V^-1Z_k``, or of its projection under REML."""
        w, n = self._shared, self.design.n
        person = (n - (w * self.solve(w)).sum()) / self.variances[0]
        traces = np.array([person, *((z * self.solve(z)).sum() for z in self.columns)])
        if self.design.spec.estimator == "ml":
            return traces
        lost = [np.trace(self.coefficient_covariance @ root.T @ root) for root in self.roots(self.design.x)]
        return np.asarray(traces - np.array(lost))


def _residual(covariance: _Covariance, rng: np.random.Generator) -> Array:
    """A residual under which the printed variances are the best fit."""
    for _ in range(ATTEMPTS):
        residual = _stationary(covariance, rng)
        if residual is not None and _is_best(covariance, residual):
            return residual
    raise InferenceFailure(
        f"{covariance.design.spec.name}: {ATTEMPTS} random residuals met no maximum of the likelihood at the printed"
        f" variances {listing(f'{value:g}' for value in covariance.variances)}; check them, and try another seed."
    )


def _stationary(covariance: _Covariance, rng: np.random.Generator) -> Array | None:
    """Scale one random component per variance until the score equations hold."""
    persons = np.sqrt(covariance.variances[0]) * rng.standard_normal(covariance.design.n)
    shared = [
        z @ (np.sqrt(variance) * rng.standard_normal(z.shape[1]))
        for variance, z in zip(covariance.variances[1:], covariance.columns, strict=True)
    ]
    basis = covariance.project(np.column_stack([persons, *shared]))
    pairs = zip(covariance.roots(basis), covariance.expected, strict=True)
    forms = np.array([root.T @ root / goal for root, goal in pairs])

    def gap(scales: Array) -> Array:
        return np.asarray(scales @ forms @ scales - 1)

    def slope(scales: Array) -> Array:
        return np.asarray(2 * forms @ scales)

    found = optimize.root(gap, np.ones(len(forms)), jac=slope, tol=1e-14)
    if abs(gap(found.x)).max() > TOLERANCE:
        return None
    return np.asarray(basis @ found.x)


def _is_best(covariance: _Covariance, residual: Array) -> bool:
    """Whether no point of a cloud around the printed variances, from near to far, is more likely."""
    design = covariance.design
    equations = MixedModelEquations.of(dataclasses.replace(design, y=residual), flat=True)
    count = len(covariance.variances)
    reach = np.geomspace(0.01, 2, CHECK_POINTS)[:, None]
    steps = reach * np.random.default_rng(0).standard_normal((CHECK_POINTS, count))
    sds = np.sqrt(covariance.variances) * np.exp(np.vstack([np.zeros(count), steps])) / equations.scale.y_sd
    conditional = equations.at(sds[:, 0], tuple(sds[:, k + 1, None, None] for k in range(count - 1)))
    density = conditional.profile if design.spec.estimator == "ml" else conditional.log_density
    return bool((density[1:] <= density[0]).all())


# --- the account -----------------------------------------------------------------------------------------------


def _honoured(spec: ModelSpec, population: Population, data: pd.DataFrame) -> list[str]:
    method = {"ml": "maximum likelihood", "reml": "REML", "ols": "least squares"}[spec.estimator]
    facts = [f"a fit by {method} returns every printed coefficient and variance component, as printed"]
    facts.append(f"{len(data):,} people are analysed")
    for group in population.groups:
        sizes = data[group].value_counts()
        facts.append(f"{len(sizes)} groups of {group}, of {sizes.min()} to {sizes.max()} people")
    for margin in population.margins:
        if margin.counts and not margin.assumed:
            met = data[margin.variable].value_counts()
            pairs = listing(f"{level} {met[type(met.index[0])(level)]:,}" for level in margin.counts)
            facts.append(f"{margin.variable}: {pairs}, in proportion to {margin.source}")
    return facts


def _assumptions(margin: Margin) -> list[str]:
    facts = []
    if margin.assumed and margin.counts:
        total = sum(margin.counts.values())
        shares = listing(f"{level} {100 * count / total:.0f} %" for level, count in margin.counts.items())
        facts.append(f"{margin.variable}: {shares} ({margin.source})")
    elif margin.assumed:
        shape = f"normal, mean {margin.mean:.3g}, sd {margin.sd:.3g}, cut to {margin.minimum:g} to {margin.maximum:g}"
        facts.append(f"{margin.variable}: {shape} ({margin.source})")
    if margin.clustering:
        facts.append(f"{margin.variable}: {100 * margin.clustering:.0f} % of its latent variance lies between groups")
    return facts


def _not_honoured(study: Study, model: str, y: pd.Series, errors: pd.DataFrame) -> list[str]:
    facts = []
    ratio = errors["ratio"].dropna()
    if len(ratio):
        facts.append(
            f"printed standard errors: those of a fit are {ratio.min():.2f} to {ratio.max():.2f} times as large"
            f" (median {ratio.median():.2f}; largest for {ratio.idxmax()})"
        )
    shares = _printed_answers(study, str(y.name))
    if shares is None:
        return facts
    low, high = float(shares.index.min()), float(shares.index.max())
    outside = ((y < low - 0.5) | (y > high + 0.5)).mean()
    spread = answer_spread(study, model)
    facts.append(
        f"the answer scale: {y.name} is continuous,"
        f" and {100 * outside:.1f} % of it would not round to {low:g} to {high:g}"
    )
    facts.append(
        f"the printed answers: their mean is {spread['mean']:.2f} and their variance {spread['variance']:.3f}; the"
        f" reconstructed outcome has {y.mean():.2f} and {y.var():.3f}, because the printed variance components"
        f" are {spread['components']:.3f} and the predictors explain more"
    )
    if spread["variance"] < spread["components"] and spread["zero_share"] > 0:
        facts.append(
            "the printed answers and the printed variance components cannot both describe the analysed answers;"
            f" only with answers of 0 from at least {100 * spread['zero_share']:.1f} % of people would they agree"
        )
    return facts


def _printed_answers(study: Study, outcome: str) -> pd.Series | None:
    """Shares of the outcome's answers over all people, from shares by a variable whose counts are printed."""
    tables = published(study)
    if "descriptives" not in tables.children:
        return None
    rows = tables["descriptives"].to_dataset().to_dataframe()
    rows = rows[(rows["variable"] == outcome) & (rows["statistic"] == "percent") & rows["level"].str.isdigit()]
    for margin in study.population.margins if study.population else ():
        part = rows[rows["group"].isin(list(margin.counts))]
        if margin.counts and not margin.assumed and set(part["group"]) == set(margin.counts):
            part = part.assign(value=part["value"].astype(float))
            by_level = part.pivot(index="level", columns="group", values="value")
            counts = pd.Series(margin.counts, dtype=float)
            shares = (by_level / by_level.sum())[list(counts.index)] @ (counts / counts.sum())
            return shares.rename(index=float).sort_index()
    return None
