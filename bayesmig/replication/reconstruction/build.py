"""Predictors and an outcome, put together into a data set that reproduces a printed table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array
from bayesmig.contract.schema import RECONSTRUCTED
from bayesmig.data.design import Design
from bayesmig.data.encoding import PROVENANCE_COLUMN, build_design
from bayesmig.errors import BayesmigError, NotFound, listing
from bayesmig.printed.literature import printed_cells, printed_variances
from bayesmig.replication.descriptives import printed_shares
from bayesmig.replication.reconstruction import binary, continuous, predictors
from bayesmig.replication.reconstruction.answers import whole_answers
from bayesmig.replication.reconstruction.discrepancies import JointProvenance
from bayesmig.replication.reconstruction.joint import assemble, is_least_squares, without_bounds
from bayesmig.replication.reconstruction.predictors import population_of
from bayesmig.replication.reconstruction.provenance import Account, Provenance, printed_errors
from bayesmig.specification.model import ModelSpec, Population, Study

SUPPORTED = {"gaussian": "identity", "bernoulli": "logit"}


def reconstruct(study: Study, model: str | None = None, *, seed: int = 0, whole_items: bool = False) -> pd.DataFrame:
    """A data set whose fit returns a printed table.

    Parameters
    ----------
    study : Study
        One with a ``population``.
    model : str, optional
        A model whose coefficients (and variance components) are printed, or its counterpart for ordered answers. Of
        least-squares models of the same people all come back, the named one exactly and the others as nearly as
        can be. Without a name the first printed model is meant; if it is least squares, none of its table goes
        before the others.
    seed : int
        Draws the people, and every number about them that is not printed. Results that change much from
        seed to seed rest on such numbers.
    whole_items : bool
        Items of an index as whole answers with the printed means and sds, in the order of the continuous ones; the
        index stays the component of the latter. How far that moves loadings and scores is said among what was
        not honoured.

    Returns
    -------
    pandas.DataFrame
        One row a person, in the units and levels of the study's codebook; where items of an index are printed, they
        are there and the index is their component score. Column ``provenance`` says
        that the data are reconstructed and stays when they are saved. ``attrs["reconstruction"]`` lists what was
        ``honoured``, what of the printed was ``not_honoured``, with the number that came instead, what was
        ``not_compared`` because the data say nothing of it, and what was ``assumed``.

    Raises
    ------
    NotFound
        If the study has no such model, or the paper does not print it.
    BayesmigError
        If the study describes no population, or the model has weights, varying slopes, a family
        other than Gaussian or Bernoulli with a logit link, or terms that are not printed; or ``whole_items`` is asked
        of a study without least-squares models of an index.
    InferenceFailure
        If no outcome meets the printed coefficients and variances.

    Notes
    -----
    What it means: nobody was asked anything. The data are one of very many sets that would have led to the
    same table, good for learning a method, for planning a survey and for seeing how far a result
    depends on priors. They are no evidence about migrants or natives beyond what the table itself says. A numeric
    outcome is continuous and may pass the ends of the answer scale, and a fit returns the printed numbers exactly. Of
    a binary outcome a fit returns every coefficient within a fraction of its standard error, since
    answers of 0 and 1 cannot be tuned finer; an intercept that is not printed is the one that the printed shares need.

    Examples
    --------
    >>> from bayesmig import study
    >>> data = reconstruct(study("social_trust"), "table_6", seed=1)
    >>> data.shape
    (1406, 15)
    >>> data["provenance"].iloc[0]
    'reconstructed from social_trust table_6, seed 1'
    """
    data, facts = _made(study, model, seed, whole_items)
    data.attrs["reconstruction"] = facts()
    return data


def people(study: Study, model: str, seed: int) -> pd.DataFrame:
    """What :func:`reconstruct` gives, without the account of it, which takes longer than the people."""
    return _made(study, model, seed, False)[0]


Facts = Callable[[], dict[str, list[str]]]


def _made(study: Study, model: str | None, seed: int, whole_items: bool) -> tuple[pd.DataFrame, Facts]:
    key = model or next((name for name, spec in study.models.items() if spec.printed), next(iter(study.models)))
    if _is_joint(study, key):
        account: Account = _joint(study, model, seed, whole_items)
        return account.data, account.facts
    spec = study.model(key)
    if whole_items:
        raise BayesmigError(f"{study.name} {key} has no index of items, so there are no whole items; leave that out.")
    if spec.printed or spec.distribution.outcome != "ordered":
        account = _build(study, key, seed)
        return account.data, account.facts
    return _in_answers(study, spec, seed)


def _in_answers(study: Study, spec: ModelSpec, seed: int) -> tuple[pd.DataFrame, Facts]:
    """Data for the ordered counterpart of a printed model: the same people, with answers in place of numbers."""
    printed = [key for key, other in study.models.items() if other.printed and other.formula == spec.formula]
    if not printed:
        raise NotFound(f"model {spec.name!r} of {study.name!r} is not printed, nor is one with the same formula.")
    account = _build(study, printed[0], seed)
    outcome = spec.parsed.outcome
    answers, fact = whole_answers(study, outcome, account.data[outcome].to_numpy())
    data = account.data.assign(**{outcome: answers})
    data[PROVENANCE_COLUMN] += ", in whole answers"

    def facts() -> dict[str, list[str]]:
        found = account.facts()
        kept = f"the coefficients of {printed[0]}: answers keep the order of the people, not the distances between them"
        found["honoured"][0] = fact
        found["not_honoured"].insert(0, kept)
        return found

    return data, facts


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
        Indexed by term: ``printed`` (for a table of B and p the error that they stand for, or the largest where p
        is printed as 0.000), ``implied`` (square root of the diagonal of ``(X'V^-1X)^-1`` with the reconstructed
        predictors) and ``ratio``, implied over printed.

    Notes
    -----
    What it means: a ratio far above 1 says that the printed error cannot come from the printed variances
    and the number of groups alone; weights with robust errors, or another sample, lie behind it.

    Examples
    --------
    >>> from bayesmig import study
    >>> errors = standard_errors(study("social_trust"), "table_6", seed=1)
    >>> bool(errors.loc["neighbourhood_type[work_unit]", "ratio"] > 1.5)
    True
    """
    return _joint(study, model, seed, False).errors if _is_joint(study, model) else _build(study, model, seed).errors


def _is_joint(study: Study, model: str) -> bool:
    """Whether a model is printed least squares without variance components, or about the people of such models."""
    spec = study.models.get(model)
    if spec is None or (spec.printed and not is_least_squares(spec)):
        return False
    if spec.printed:
        return spec.weights is None and printed_variances(study, model).empty
    squares = [key for key, other in study.models.items() if other.printed and is_least_squares(other)]
    return any(study.population_of(key) == study.population_of(model) for key in squares)


def _joint(study: Study, model: str | None, seed: int, whole_items: bool) -> JointProvenance:
    """All least-squares models of the same people in one data set; a model that is not printed is met by none."""
    exact = model if model and study.models[model].printed else ""
    data, sample, indices, measurements = assemble(study, model, exact, seed, whole_items=whole_items)
    return JointProvenance(study, sample.keys[0], data, sample, indices, measurements, exact, whole_items)


@dataclass(frozen=True)
class _Outcome:
    """An outcome, the standard errors of its coefficients, and how near a fit of it comes to print.

    ``gaps``: distance of a fit from each printed coefficient and variance; empty if there is none.
    """

    y: Array
    errors: Array
    gaps: pd.Series
    assumed: tuple[str, ...] = ()


def _build(study: Study, model: str, seed: int) -> Provenance:
    spec, population = _checked(study, model)
    outcome = spec.parsed.outcome
    rng = np.random.default_rng(seed)
    data, assumed = predictors.draw(study, population, rng)
    design = build_design(without_bounds(spec, outcome), data.assign(**{outcome: rng.standard_normal(len(data))}))
    made = (_numeric if spec.family == "gaussian" else _binary)(study, model, design, data, rng)
    data.insert(0, outcome, made.y)
    data[PROVENANCE_COLUMN] = f"{RECONSTRUCTED} from {study.source} {model}, seed {seed}"
    errors = pd.DataFrame(
        {"printed": printed_errors(printed_cells(study, model)).reindex(list(design.terms)), "implied": made.errors},
        index=pd.Index(design.terms, name="term"),
    )
    errors["ratio"] = errors["implied"] / errors["printed"]
    return Provenance(study, model, data, errors, made.gaps, (*assumed, *made.assumed))


def _checked(study: Study, model: str) -> tuple[ModelSpec, Population]:
    spec = study.model(model)
    printed = listing(key for key, other in study.models.items() if other.printed)
    if spec.printed is None:
        raise NotFound(f"{study.name} {model} is not printed, so nothing can be reproduced; printed are {printed}.")
    population = population_of(study, model)
    varying = spec.parsed.varying
    supported = listing(f"{family} ({link})" for family, link in SUPPORTED.items())
    reason = (
        f"its family is {spec.family} ({spec.link}); supported are {supported}"
        if SUPPORTED.get(spec.family) != spec.link
        else "it is weighted, and no weights are printed"
        if spec.weights
        else f"its offset {spec.offset!r} is not printed"
        if spec.offset
        else "it has varying slopes, and only varying intercepts can be met exactly"
        if any(term.effects.strip() != "1" for term in varying)
        else "no table says who are neighbours, or in which groups people are, if in several"
        if any(term.structure for term in varying)
        else ""
    )
    if reason:
        raise BayesmigError(f"{study.name} {model} cannot be reconstructed: {reason}. Printed models are {printed}.")
    return spec, population


def _aligned(study: Study, model: str, design: Design, estimates: pd.Series) -> Array:
    predictors.check_terms(f"{study.name} {model}", design.terms, estimates.index)
    return estimates.reindex(list(design.terms)).to_numpy(dtype=float)


def _numeric(study: Study, model: str, design: Design, _: pd.DataFrame, rng: np.random.Generator) -> _Outcome:
    beta = _aligned(study, model, design, printed_cells(study, model)["estimate"])
    covariance = continuous.Covariance.of(design, printed_variances(study, model)["variance"])
    y = design.x @ beta + continuous.residual_of(covariance, rng)
    return _Outcome(y, np.sqrt(np.diag(covariance.coefficient_covariance)), pd.Series(dtype=float))


def _binary(study: Study, model: str, design: Design, data: pd.DataFrame, rng: np.random.Generator) -> _Outcome:
    estimates, variances = printed_cells(study, model)["estimate"], printed_variances(study, model)["variance"]
    names = [f"tau_{group.name}" for group in design.groups]
    continuous.check_printed(design.spec.name, names, variances)
    shares = printed_shares(study, data, design.spec.parsed.outcome)
    told = np.array([rows for rows, _ in shares]).reshape(-1, design.n)
    chosen = "intercept" not in estimates.index
    if chosen and not told.any(axis=0).all():
        raise BayesmigError(
            f"{study.name} {model} prints neither an intercept nor shares of the outcome by a counted variable, so"
            " nothing says how many ones there are; add the intercept to coefficients.csv, or a row with statistic"
            " 'percent' for every level of that variable to descriptives.csv."
        )
    if chosen:
        estimates = pd.concat([pd.Series({"intercept": 0.0}), estimates])
    beta = _aligned(study, model, design, estimates)
    truth = binary.Truth(design, beta, variances.reindex(names).to_numpy(dtype=float))
    lower, upper = np.array([(span.lower, span.upper) for _, span in shares]).reshape(-1, 2).T * told.sum(axis=1)
    truth = truth.with_total(float((lower + upper).sum() / 2), told.sum(axis=0)) if chosen else truth
    strata, ones = binary.counted(truth.mean(0.0), told, lower, upper)
    truth = truth.with_total(float(ones.sum())) if chosen else truth
    y, gradient = binary.answers(truth, strata, ones, rng)
    gaps = pd.Series(np.concatenate([gradient.gaps, gradient.variance_gaps]), [*design.terms, *names])
    place = design.terms.index("intercept")
    assumed = [f"intercept: {truth.beta[place]:.3f}, the one that the printed shares of the outcome need"] * chosen
    return _Outcome(y.astype(int), gradient.errors, gaps, tuple(assumed))
