"""Indices that contain what a predictor is about, so that part of its effect is there by construction."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import pandas as pd

from bayesmig.contract.names import base
from bayesmig.data.encoding import PROVENANCE_COLUMN
from bayesmig.errors import listing
from bayesmig.inference.fitting import estimate
from bayesmig.measurement.principal import components
from bayesmig.replication.counterparts import COUNTERPARTS, counterparts_of
from bayesmig.results.summaries import coefficients
from bayesmig.specification.formula import parse
from bayesmig.specification.model import ModelSpec, Study

MADE = "Reconstructed items follow the index whatever they ask about, so only items of your own tell how much it is."


def contamination_remarks(study: Study, model: str, data: pd.DataFrame) -> list[str]:
    """Where items of the outcome ask about a predictor, and its coefficients by least squares without those items.

    ``study``: one whose codebook declares ``Variable.overlaps`` of items, and which has the model's latent counterpart.
    ``data``: with the items or without; without them the overlap is said, not measured. Both coefficients are those of
    the first principal component of items, in its sd: of all items, and of those that do not overlap. If there are none
    of the latter, nothing can be compared.
    """
    latent = counterparts_of(study, model).get(COUNTERPARTS["latent"])
    if latent is None:
        return []
    spec, lines = study.model(model), []
    for factor in latent.factors:
        asked: dict[tuple[str, ...], list[str]] = {}
        for predictor in spec.predictor_columns:
            shared = tuple(item for item in factor.items if predictor in _overlaps(spec, item))
            asked.setdefault(shared, []).append(predictor)
        for shared, about in asked.items():
            if shared:
                said = (
                    f"{spec.label(factor.name)} contains {listing(map(spec.label, shared))}, which"
                    f" {'asks' if len(shared) == 1 else 'ask'} about {listing(map(spec.label, about))} too: part of the"
                    " coefficient is there by construction."
                )
                lines.append(" ".join([said, *_without(spec, factor.name, factor.items, shared, about, data)]))
    return lines


def _overlaps(spec: ModelSpec, item: str) -> tuple[str, ...]:
    entry = spec.variable(item)
    return entry.overlaps if entry is not None else ()


def _without(
    spec: ModelSpec, index: str, items: Sequence[str], shared: Sequence[str], about: Sequence[str], data: pd.DataFrame
) -> Iterator[str]:
    """The coefficients of predictors with and without the items that overlap with them."""
    rest = [item for item in items if item not in shared]
    if not rest:
        yield "No item is left without it."
        return
    if not set(items) <= set(data):
        return
    formula = f"{index} ~ {spec.formula.partition(' ~ ')[2]}"
    plain = dataclasses.replace(
        spec,
        formula=formula,
        estimator="ols",
        printed=None,
        standardise={name: by for name, by in spec.standardise.items() if name in parse(formula).predictors},
        variables=tuple(entry for entry in spec.variables if entry.name != index),
    )
    found = [coefficients(estimate(plain, data.assign(**{index: _score(data[list(own)])}))) for own in (items, rest)]
    terms = [term for term in found[0].index if base(str(term)) in about]
    pairs = listing(
        f"{spec.label(str(term))} {found[1].loc[term, 'estimate']:.2f} instead of {found[0].loc[term, 'estimate']:.2f}"
        for term in terms
    )
    yield (
        f"By least squares on the first component of the other {'item' if len(rest) == 1 else 'items'}"
        f" ({listing(map(spec.label, rest))}), in its SD: {pairs}."
    )
    if PROVENANCE_COLUMN in data:
        yield MADE


def _score(items: pd.DataFrame) -> pd.Series:
    """The first principal component of items, or the only item, in its sd."""
    if len(items.columns) > 1:
        return components(items, 1, missing="pairwise").scores(items)["component_1"]
    answers = items.iloc[:, 0].astype(float)
    return (answers - answers.mean()) / answers.std()
