"""Categories without order, each with a linear predictor of its own against a reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.families.links import Link
from bayesmig.families.machine import kernel
from bayesmig.families.record import Answers, Curves, Family, Own, drawn_codes, of_code


@kernel
def categorical_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log probability of categories; ``own`` are the linear predictors of all but the reference and the first."""
    total = 0.0
    for i in range(len(y)):
        code, w, most = int(y[i]), weight[i], max(0.0, eta[i, 0])
        for k in range(len(own)):
            most = max(most, own[k])
        first = math.exp(eta[i, 0] - most)
        whole = math.exp(-most) + first
        for k in range(len(own)):
            whole += math.exp(own[k] - most)
        chosen = 0.0 if code == 0 else eta[i, 0] if code == 1 else own[code - 2]
        total += w * (chosen - most - math.log(whole))
        by_eta[i, 0] = w * ((1.0 if code == 1 else 0.0) - first / whole)
        for k in range(len(own)):
            by_own[k] += w * ((1.0 if code == k + 2 else 0.0) - math.exp(own[k] - most) / whole)
    return total


def _scores(eta: Array, own: Own) -> Array:
    """Log odds of every category against the reference, categories last."""
    first = np.asarray(eta)[..., None]
    others = np.broadcast_to(own["category"], (*first.shape[:-1], np.asarray(own["category"]).shape[-1]))
    return np.concatenate([np.zeros_like(first), first, others], axis=-1)


def _log_density(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    return of_code(special.log_softmax(_scores(eta, own), axis=-1), answers.y)


def _mean(link: Link, eta: Array, own: Own) -> Array:
    return np.asarray(special.softmax(_scores(eta, own), axis=-1))


def _derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    chances = _mean(link, eta, own)[..., 1:]
    slope = np.equal.outer(answers.y, np.arange(1, chances.shape[-1] + 1)) - chances
    spread = chances[..., :, None] * (np.eye(chances.shape[-1]) - chances[..., None, :])
    return slope, -spread


def _draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
    return drawn_codes(_mean(link, eta, own), rng)


def _graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm
    import pytensor.tensor as pt

    first = pt.as_tensor(eta)[:, None]
    return pm.Categorical, {"logit_p": pt.concatenate([pt.zeros_like(first), first, own["category"]], axis=1)}


CATEGORICAL = Family(
    name="categorical",
    links=("logit",),
    outcome="nominal",
    rows={"logit": categorical_rows},
    log_density=_log_density,
    derivatives=_derivatives,
    mean=_mean,
    draw=_draw,
    graph=_graph,
    guess=lambda link, y, trials: np.zeros_like(y),
    most="last",
    said="one of several categories, each with log odds of its own against the reference.",
    law=("Categorical logit", "η"),
    called_elsewhere=dict.fromkeys(("multinomial", "multinom", "mlogit", "nominal", "softmax"), "'categorical'"),
)
