"""Simulation-based calibration (Talts et al. 2018) of a factor with varying intercepts: ranks are uniform."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesmig.data.encoding import build_design
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.specification.model import Factor, ModelSpec
from bayesmig.specification.priors import HalfNormal, Normal, PriorSet

PRIORS = PriorSet(
    slopes=Normal(0, 1),
    tau=HalfNormal(1),
    loading=Normal(1, 0.5),
    item_intercept=Normal(2, 2),
    item_sd=HalfNormal(1),
)
ITEMS = ("a", "b", "c", "d")
SPEC = ModelSpec("f ~ x + level + (1 | g)", factors=(Factor("f", ITEMS),), priors=PRIORS)
BINS, KEPT, THIN = 10, 199, 5


def truth_and_answers(design, rng):
    """Parameters drawn from the prior, and answers drawn from these; the first item fixes the direction."""
    (group,) = design.groups
    slopes, tau = rng.normal(0, 1, 2), abs(rng.normal(0, 1, 1))
    loading, own = rng.normal(1, 0.5, 4), abs(rng.normal(0, 1, 4))
    loading[0] = stats.truncnorm(-2, np.inf, 1, 0.5).rvs(random_state=rng)
    effects = rng.normal(0, tau, len(group.levels))
    at_means = rng.normal(2, 2, 4)
    factor = (design.x - design.x.mean(axis=0)) @ slopes + effects[group.codes] + rng.normal(size=design.n)
    answers = at_means + factor[:, None] * loading + rng.normal(size=(design.n, 4)) * own
    intercept = at_means - loading * (design.x.mean(axis=0) @ slopes)
    truth = {"beta": slopes, "tau_g": tau, "u_g": effects, "loading": loading, "item_sd": own}
    return truth | {"item_intercept": intercept}, answers


def ranks(sets, seed, n=60):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(size=n), "g": np.arange(n) % 8})
    data = data.assign(level=rng.normal(size=8)[data["g"]], **{item: rng.normal(size=n) for item in ITEMS})
    design = build_design(SPEC, data)
    engine = NUTS(draws=KEPT * THIN, tune=500, chains=1)
    found = {}
    for k in range(sets):
        truth, answers = truth_and_answers(design, rng)
        groups, _ = engine.sample(design.with_items(answers), np.random.default_rng([seed, k]))
        draws = groups["posterior"].isel(chain=0, draw=slice(None, None, THIN))
        for name, value in truth.items():
            own = draws[name].to_numpy().reshape(KEPT, -1)
            found.setdefault(name, []).append((own < value).sum(axis=0))
    return {name: np.array(values) for name, values in found.items()}


@pytest.mark.slow
def test_ranks_are_uniform():
    p = {
        f"{name}[{column}]": stats.chisquare(np.bincount(values[:, column] * BINS // (KEPT + 1), minlength=BINS)).pvalue
        for name, values in ranks(sets=100, seed=1).items()
        for column in range(values.shape[1])
    }
    # the smallest of m p values is below alpha / m by chance with probability alpha
    assert min(p.values()) > 0.001 / len(p), min(p, key=p.get)
