"""The outcome given the linear predictor: its expectation, its log density, and draws of it.

Every function takes draws of the linear predictor, ``(draws, n)``, and of the family's own parameters, draws
first: ``sigma``, ``nu``, ``dispersion``, ``cut``. Several linear predictors have an axis of their own behind.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design
from bayesmig.data.rows import Rows
from bayesmig.errors import InferenceFailure
from bayesmig.families import predictors
from bayesmig.families.links import LINKS
from bayesmig.families.record import Answers


def parameters(posterior: xr.Dataset) -> dict[str, Array]:
    """Draws of a posterior (or prior) by name, chains joined: ``beta`` is ``(draws, p)``."""
    flat = {}
    for name, array in posterior.data_vars.items():
        values = array.transpose("chain", "draw", ...).to_numpy()
        flat[str(name)] = np.asarray(values.reshape(values.shape[0] * values.shape[1], *values.shape[2:]), dtype=float)
    return flat


def linear_predictor(rows: Rows, values: Mapping[str, Array], effects: Mapping[str, Array] | None = None) -> Array:
    """The linear predictor of rows, ``(draws, n)``; several ones, ``(draws, n, predictors)``.

    ``values``: draws of the parameters, from :func:`parameters`. ``effects``, mapping of str to (draws, groups, q)
    array: varying effects by grouping factor; those of the posterior, ``u_<group>``, unless given. A factor that is
    absent from a given mapping adds nothing.
    """
    of = rows.assigned
    if of is None:
        eta = (rows.x @ values["beta"].T).T
    else:
        each = [values["beta"][:, own] @ rows.x[:, own].T for own in (of.terms == h for h in range(len(of.names)))]
        eta = np.stack(each, axis=-1)
    places = [eta] if of is None else [eta[..., h] for h in range(len(of.names))]
    if rows.offset is not None:
        places[0] += rows.offset
    for group, z in rows.z.items():
        known = values.get(f"u_{group}") if effects is None else effects.get(group)
        if known is not None:
            for k in range(z.shape[1]):
                place = places[0 if of is None else of.effects[group][k]]
                own = known[:, :, k].T
                own = rows.amounts[group] @ own if group in rows.amounts else own[rows.codes[group]]
                place += (own * z[:, k, None]).T
    return eta


def split(design: Design, eta: Array, values: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """The first linear predictor ``(draws, n)``, and draws of the family's own parameters as families take them."""
    family = design.spec.distribution
    own = {name: values[name][:, None] for name in family.parameters if name in values}
    if design.assigned is None:
        return eta, own
    return predictors.split(family, design.predictors, eta, own)


def expected(design: Design, eta: Array, values: Mapping[str, Array], trials: Array | None = None) -> Array:
    """Expectation of the outcome, ``(draws, n)``; of categories the probabilities, ``(draws, n, categories)``.

    ``eta``: (draws, n) array. ``trials``, (n,) array: expected successes out of so many; without it the probability of
    one. Raises InferenceFailure where it is no number that a computer has.
    """
    mean = design.spec.distribution.mean(LINKS[design.spec.link], *split(design, eta, values))
    return in_range(design, mean if trials is None else np.asarray(mean * trials))


def in_range(design: Design, mean: Array) -> Array:
    """Expectations, refused where they are beyond the numbers that a computer has."""
    if np.isfinite(mean).all():
        return mean
    raise InferenceFailure(
        f"the expected {design.spec.parsed.outcome!r} is beyond the largest number of a computer (1e308), because its"
        " logarithm or the spread around that is far too large. Look at the units of the outcome and of the predictors,"
        " or give tighter priors. Logarithms can be had all the same, by scale='link' in effects and margins and"
        " kind='linear' in predict, and random='zero' gives what is expected in a typical group."
    )


def log_density(design: Design, eta: Array, values: Mapping[str, Array]) -> Array:
    """Log density of each row's observed outcome, ``(draws, n)``; weights are left out, save precision weights."""
    family, link = design.spec.distribution, LINKS[design.spec.link]
    return family.log_density(link, design.answers, *split(design, eta, values))


def draw_outcomes(
    design: Design, eta: Array, values: Mapping[str, Array], rng: np.random.Generator, rows: Rows | None = None
) -> Array:
    """Draw outcomes given the linear predictor.

    ``eta``: (draws, n) array. ``values``: the family's own parameters, draws first: ``sigma``, ``nu``, ``dispersion``,
    ``cut``. ``rows``: whose outcomes, if not those of the design: their trials count, and precision weights are one;
    bounds within which outcomes are seen are those of the design only.
    Returns a (draws, n) array: numbers, 0 and 1, codes of ordered categories, or counts.
    """
    family, link = design.spec.distribution, LINKS[design.spec.link]
    answers = design.answers
    if rows is not None and family.bounds:
        answers = Answers(design.y, np.array(family.support or (-np.inf,))[:1], np.array([np.inf]))
    elif rows is not None:
        answers = Answers(design.y, np.ones(1) if rows.trials is None else rows.trials, np.ones(1))
    return family.draw(link, answers, *split(design, eta, values), rng)
