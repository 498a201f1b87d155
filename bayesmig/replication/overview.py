"""Every printed model of every study at once, and how far each agrees with print."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayesmig.contract import schema
from bayesmig.inference.parallel import Failure, map_fits
from bayesmig.printed.literature import printed_cells, printed_variances
from bayesmig.replication.papers import POSTERIOR, ROUNDING, Replication, replicate, variance_of
from bayesmig.replication.reconstruction.provenance import printed_errors
from bayesmig.specification import catalogue

if TYPE_CHECKING:
    from bayesmig.inference.engines.base import Engine

LEVEL = 0.05  # p below which stars claim an effect, and what a 95 % interval leaves outside
LEGIBLE = ROUNDING / 0.0005  # of half a printed digit: what counts as the printed number come back
PRINTED_ERRORS, ERRORS_FROM_P, ERRORS_OF_REFIT = "printed", "from p", "refit"


@dataclass(frozen=True)
class Overview:
    """What :func:`replicate_all` returns.

    Attributes
    ----------
    results : mapping of (str, str) to Replication
        By study and model.
    table : pandas.DataFrame
        A row a model, indexed by study and model; see :func:`replicate_all`.
    failed : mapping of (str, str) to str
        Models that gave no result, and why.
    """

    results: Mapping[tuple[str, str], Replication]
    table: pd.DataFrame
    failed: Mapping[tuple[str, str], str]

    def of(self, study: str) -> tuple[Replication, ...]:
        """The results of one study, in the order of its models."""
        return tuple(result for (name, _), result in self.results.items() if name == study)


def replicate_all(
    studies: Sequence[str] | None = None, *, counterparts: bool = False, engine: Engine | None = None, seed: int = 1
) -> Overview:
    """Replicate every printed model of every study, and say in a line each how it agrees with print.

    Parameters
    ----------
    studies : sequence of str, optional
        Names of :func:`bayesmig.studies`; all of them by default.
    counterparts : bool
        Fit the models' counterparts too (groups vary, a latent factor for an index), which takes many times as long.
    engine, seed
        As in :func:`bayesmig.replicate`; each model has a reconstruction of its own.

    Returns
    -------
    Overview
        Its ``table`` has, by study and model: ``n``, people; ``cells``, printed coefficients and variances, and
        ``returned``, how many of them the frequentist refit gives back as printed; ``refit_distance`` and
        ``posterior_distance``, the largest distance of a refitted coefficient and of a posterior mean from the printed
        one, in standard errors, and ``errors``, whose these are: ``printed``, ``from p`` (those that printed p values
        stand for) or ``refit`` where the paper tells neither; ``starred``, coefficients with a printed p below 0.05,
        ``signs``, how many of them have a posterior mean of the other sign; ``claims``, coefficients of which the paper
        tells whether p is below 0.05, and ``disagree``, how many of them have a 95 % interval that says otherwise;
        ``checks`` and ``failed_checks``; ``seconds``.

    Raises
    ------
    NotFound
        If there is no such study, before any work.
    InferenceFailure
        If not one model could be replicated.

    Notes
    -----
    The models run one after the other unless within ``joblib.parallel_config(n_jobs=...)``. A model that fails does not
    stop the others.

    What it means: on reconstructed data the refit agrees with print because the data were made so; the table shows
    that nothing was lost on the way, and how far weakly informative priors move each posterior. An interval that
    disagrees with its star is where a reader of stars and a reader of intervals would say different things.

    Examples
    --------
    >>> found = replicate_all(["social_trust"])
    >>> row = found.table.loc[("social_trust", "table_6")]
    >>> int(row["cells"]), int(row["returned"]), int(row["signs"])
    (41, 41, 0)
    """
    chosen = [catalogue.study(name) for name in (catalogue.studies() if studies is None else studies)]
    items = {
        f"{study.name} {key}": (study.name, key)
        for study in chosen
        for key, spec in study.models.items()
        if spec.printed
    }
    function = partial(_replicated, counterparts=counterparts, engine=engine, seed=seed)
    done = dict(zip(items.values(), map_fits(function, items, "replications").values(), strict=True))
    failed = {place: result.reason for place, result in done.items() if isinstance(result, Failure)}
    timed = {place: result for place, result in done.items() if not isinstance(result, Failure)}
    table = pd.DataFrame([agreement_with_print(result) | {"seconds": seconds} for result, seconds in timed.values()])
    table.index = pd.MultiIndex.from_tuples(list(timed), names=["study", "model"])
    return Overview({place: result for place, (result, _) in timed.items()}, table, failed)


def _replicated(
    place: tuple[str, str], *, counterparts: bool, engine: Engine | None, seed: int
) -> tuple[Replication, float]:
    """One model and how many seconds it took."""
    start = time.perf_counter()
    result = replicate(*place, counterparts=counterparts, engine=engine, seed=seed)
    return result, time.perf_counter() - start


def agreement_with_print(result: Replication) -> dict[str, object]:
    """How one model's refit and posterior agree with print.

    ``result``: of a printed model. Returns a row of the table of :func:`replicate_all`, without ``seconds``.
    """
    cells = printed_cells(result.study, result.model)
    variances = printed_variances(result.study, result.model)
    refit_name = next(name for name, tree in result.results.items() if schema.kind(tree) == "estimate")
    table = result.table
    terms = table.loc[cells.index]
    refit, posterior = terms[refit_name], terms[POSTERIOR]
    returned = _is_returned(refit, cells["estimate"], cells["half_unit"])
    components = table.loc[[variance_of(str(name)) for name in variances.index], refit_name].set_axis(variances.index)
    returned_variances = _is_returned(components, variances["variance"], variances["half_unit"])
    errors, whose = _errors(cells, terms[f"{refit_name} std_error"])
    starred = cells["p_upper"] <= LEVEL
    lower, upper = terms[f"{POSTERIOR} eti95_lower"], terms[f"{POSTERIOR} eti95_upper"]
    claimed = starred | (cells["p_lower"] >= LEVEL)
    clear = (lower > 0) | (upper < 0)
    other_sign = np.sign(posterior) != np.sign(cells["estimate"])
    return {
        "n": int(result.results[POSTERIOR].attrs["n_used"]),
        "cells": len(cells) + len(variances),
        "returned": int(returned.sum()) + int(returned_variances.sum()),
        "refit_distance": float(((refit - cells["estimate"]).abs() / errors).max()),
        "posterior_distance": float(((posterior - cells["estimate"]).abs() / errors).max()),
        "errors": whose,
        "starred": int(starred.sum()),
        "signs": int((other_sign & starred).sum()),
        "claims": int(claimed.sum()),
        "disagree": int(((clear != starred) & claimed).sum()),
        "checks": int((result.checks["verdict"] != "note").sum()),
        "failed_checks": int((~result.checks["passed"]).sum()),
    }


def _is_returned(found: pd.Series, printed: pd.Series, half_unit: pd.Series) -> pd.Series:
    """Which numbers would be printed as they are."""
    return (found - printed).abs() <= LEGIBLE * half_unit


def _errors(cells: pd.DataFrame, refitted: pd.Series) -> tuple[pd.Series, str]:
    """Standard errors to measure distances in, and whose they are."""
    errors = printed_errors(cells)
    if errors.isna().all():
        return refitted, ERRORS_OF_REFIT
    return errors, PRINTED_ERRORS if cells["std_error"].notna().any() else ERRORS_FROM_P
