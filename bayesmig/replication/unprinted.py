"""How far the conclusions of a paper hang on what it does not print."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.data.encoding import build_design
from bayesmig.errors import InferenceFailure, NotFound, SpecificationError, listing
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.fitting import estimate, fit
from bayesmig.replication.descriptives import printed_descriptives
from bayesmig.replication.reconstruction.build import people, reconstruct, standard_errors
from bayesmig.results.hypotheses import probabilities
from bayesmig.specification.model import Hypothesis, ModelSpec, Population, Range, Study
from bayesmig.specification.priors import PRESETS

CLEAR = 0.975
MOST = 6  # standard errors that are told
MOVED = 0.005  # of a probability, that is worth a word
STRETCHED = math.log(1.2)  # of a standard error
FAR = 10.0  # percentage points
SEEDS, CORNERS, PRIORS = "reconstructions", "assumed ranges at their ends", "priors of other programs"
COLUMNS = ("hypothesis", "over", "variants", "lowest", "highest", "for", "against")


def reconstructed(study: Study, model: str, seed: int) -> pd.DataFrame:
    """Data from the printed table of a model, or of the first printed one where this is not printed."""
    return reconstruct(study, _printed(study, model), seed=seed)


def _printed(study: Study, model: str) -> str:
    """A model, or the first printed one where it is not printed."""
    spec = study.model(model)
    printed = [key for key, other in study.models.items() if other.printed]
    if not printed:
        raise NotFound(f"{study.name} prints no model to reconstruct data from; pass data=.")
    return model if spec.printed or spec.distribution.outcome == "ordered" else printed[0]


def check_seeds(seeds: int, data: object) -> None:
    """Refuse what is no number of reconstructions, or several where there are own data."""
    if (
        isinstance(seeds, bool)
        or not isinstance(seeds, (int, np.integer))
        or seeds < 1
        or (seeds > 1 and data is not None)
    ):
        raise SpecificationError(f"seeds={seeds!r}: one reconstruction or more; of data of your own there is one set.")


def ranges(study: Study, model: str, *, seeds: int = 20, seed: int = 1) -> pd.DataFrame:
    """The probabilities of a model's hypotheses over all that its paper does not print.

    Parameters
    ----------
    study : Study
    model : str
        A printed model, or one about the people of a printed one.
    seeds : int
        Number of reconstructions, and of draws of the ends of assumed ranges; at least 2.
    seed : int
        Of the first reconstruction, and of the fits.

    Returns
    -------
    pandas.DataFrame
        A row a hypothesis and source of doubt: ``over`` says which (``reconstructions`` of different seeds; ``assumed
        ranges at their ends``: correlations that are not printed, each at a random end of its range; ``priors of other
        programs``; the name of each of the study's other assumptions), ``variants`` how many fits, ``lowest`` and
        ``highest`` the smallest and largest probability, ``for`` in how many it lies above 0.975, and ``against`` in
        how many below 0.025.

    Raises
    ------
    NotFound
        If the study has no such model, or prints none.
    SpecificationError
        If ``seeds`` is below 2.

    Notes
    -----
    Models that :class:`~bayesmig.Exact` takes are fitted by it, others by maximum likelihood with the normal
    approximation of its covariance; those have no priors to vary. A variant of which no outcome meets the table, or
    whose fit fails, is left out of ``variants``.

    What it means: one reconstruction is one set of people who would have led to the same table. A conclusion that is
    clear in all of them rests on the table; one that is clear in some rests on people nobody has counted.

    Examples
    --------
    >>> from bayesmig import study
    >>> found = ranges(study("cbo_spillover"), "model_4", seeds=2)
    >>> found.loc[found["hypothesis"] == "H2b", ["over", "variants", "for"]].values.tolist()[0]
    ['reconstructions', 2, 2]
    """
    check_seeds(seeds, None)
    if seeds < 2:
        raise SpecificationError(f"seeds={seeds!r}: a range needs two reconstructions or more.")
    spec = study.model(model)
    asked = [stated for stated in study.hypotheses if model in stated.models]
    found: dict[tuple[str, str], list[float]] = {}
    for over, tree in _fits(study, spec, int(seeds), seed) if asked else ():
        for name, (p, _) in _asked(tree, asked, model).items():
            found.setdefault((name, over), []).append(p)
    rows = []
    for (name, over), values in found.items():
        each = np.array(values)
        clear = int((each > CLEAR).sum()), int((each < 1 - CLEAR).sum())
        rows.append((name, over, len(each), each.min(), each.max(), *clear))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    order = {stated.name: place for place, stated in enumerate(asked)}
    return frame.sort_values("hypothesis", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def _asked(tree: xr.DataTree, asked: Sequence[Hypothesis], model: str) -> dict[str, tuple[float, float]]:
    """Bounds of the probability of each hypothesis."""
    found = probabilities(tree, [stated.text_of(model) for stated in asked])
    return dict(zip((stated.name for stated in asked), found, strict=True))


def _fits(study: Study, spec: ModelSpec, seeds: int, seed: int) -> Iterator[tuple[str, xr.DataTree]]:
    """Every variant's fit with the name of what varies."""
    first = people(study, _printed(study, spec.name), seed)
    exact = Exact().refuses(build_design(spec, first)) is None
    population = study.population_of(spec.name)
    assert population is not None
    rng = np.random.default_rng(seed)

    def one(other: Study, own: ModelSpec, number: int) -> xr.DataTree | None:
        try:
            data = first if other is study and number == seed else people(other, _printed(other, spec.name), number)
            return fit(own, data, seed=seed) if exact else estimate(own, data)
        except InferenceFailure:
            return None

    variants: list[tuple[str, Study, ModelSpec, int]] = [(SEEDS, study, spec, seed + k) for k in range(seeds)]
    if population.correlations:
        variants += [(CORNERS, at_ends(study, spec.name, rng), spec, seed) for _ in range(seeds)]
    variants += [
        (name, study.assuming(name), spec, seed + k) for name in _alternatives(study, spec.name) for k in range(seeds)
    ]
    if exact:
        variants += [
            (PRIORS, study, spec.with_priors(priors), seed) for priors in PRESETS.values() if priors != spec.priors
        ]
    for over, other, own, number in variants:
        tree = one(other, own, number)
        if tree is not None:
            yield over, tree


def at_ends(study: Study, model: str, rng: np.random.Generator) -> Study:
    """The study with each assumed range of the people of a model at one of its ends."""
    population = study.population_of(model)
    assert population is not None
    ends = {pair: (span.lower, span.upper)[int(rng.integers(2))] for pair, span in population.correlations.items()}
    fixed = {pair: Range(end, end) for pair, end in ends.items()}
    return study.about(model, dataclasses.replace(population, correlations=fixed))


def assumption_remarks(study: Study, model: str, data: pd.DataFrame, tree: xr.DataTree, seed: int) -> list[str]:
    """What hangs on the study's other assumptions about its people, a sentence each.

    ``data``: reconstructed under the usual assumptions. ``tree``: the posterior of the model given these.
    """
    spec = study.model(model)
    names = _alternatives(study, model) if spec.printed else ()
    if not names:
        return []
    usual_p, usual_errors, usual_missed = _results(study, model, data, tree, seed)
    lines = []
    for name in names:
        other = study.assuming(name)
        own = people(other, model, seed)
        p, errors, missed = _results(other, model, own, fit(spec, own, seed=seed), seed)
        moved = [
            f"{claim} {value:.3f} ({usual_p[claim]:.3f})"
            for claim, value in p.items()
            if abs(value - usual_p[claim]) > MOVED
        ]
        both = pd.DataFrame(
            {"other": errors["implied"], "usual": usual_errors["implied"], "printed": errors["printed"]}
        )
        stretch = (both["other"] / both["usual"]).map(math.log).abs().where(both["printed"].notna(), 0.0)
        most = stretch[stretch > STRETCHED].nlargest(MOST).index
        stretched = [
            f"{spec.label(str(term))} {row['other']:.3f} ({row['usual']:.3f}, printed {row['printed']:.3f})"
            for term, row in both.loc[most].to_dict("index").items()
        ]
        lines.append(
            f"Assumed {name}, in brackets with the usual assumptions: {missed} printed shares are missed by more than"
            f" {FAR:g} points ({usual_missed}); probability of {listing(moved, 20)}; standard errors of"
            f" {listing(stretched, 20)}."
        )
    return lines


def _alternatives(study: Study, model: str) -> tuple[str, ...]:
    """Names of other assumptions about the people of a model."""
    if study.population_of(model) != study.population:
        return ()
    return tuple(name for name, other in study.alternatives.items() if isinstance(other, Population))


def _results(
    study: Study, model: str, data: pd.DataFrame, tree: xr.DataTree, seed: int
) -> tuple[dict[str, float], pd.DataFrame, int]:
    """Probabilities of the hypotheses, standard errors, and how many printed shares the data miss by far."""
    asked = [stated for stated in study.hypotheses if model in stated.models]
    found = printed_descriptives(study, data, model)
    shares = found[(found["statistic"] == "percent") & found["obtained"].notna()]
    far = (shares["obtained"] - pd.to_numeric(shares["printed"], errors="coerce")).abs() > FAR
    p = {name: low for name, (low, _) in _asked(tree, asked, model).items()}
    return p, standard_errors(study, model, seed=seed), int(far.sum())
