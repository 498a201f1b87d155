"""Simulation-based calibration (Talts et al. 2018): ranks of prior draws among posterior draws are uniform."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesmig import priors as pr
from bayesmig.encoding import build_design
from bayesmig.engines.exact import Exact
from bayesmig.simulation import prior_draws
from bayesmig.spec import ModelSpec

DESIGNS = ["y ~ x + z + (1 | g)", "y ~ x + (1 + x | g)", "y ~ x + (1 | g) + (1 | h)"]
BINS = 20


def ranks(formula, sets, seed):
    rng = np.random.default_rng(seed)
    n = 120
    data = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "z": rng.normal(1, 2, size=n)})
    data["g"], data["h"] = rng.integers(0, 12, n), rng.integers(0, 8, n)
    prior_set = pr.PriorSet(pr.Normal(1, 2), pr.Normal(0, 1), pr.HalfNormal(1), pr.HalfNormal(1), pr.LKJ(2))
    design = build_design(ModelSpec(formula, priors=prior_set), data)
    truth, outcomes = prior_draws(design, sets, rng)
    engine = Exact(draws=199, chains=1)
    found = {name: [] for name in truth}
    for k in range(sets):
        groups, _ = engine.sample(design.with_outcome(outcomes[k]), np.random.default_rng([seed, k]))
        for name, values in truth.items():
            found[name].append((groups["posterior"][name].to_numpy()[0] < values[k]).sum(axis=0))
    return {name: np.array(values).reshape(sets, -1) for name, values in found.items()}


def p_values(found):
    """Chi-square p of uniformity over 20 bins for every scalar parameter, varying effects included."""
    return {
        f"{name}[{column}]": stats.chisquare(np.bincount(values[:, column] * BINS // 200, minlength=BINS)).pvalue
        for name, values in found.items()
        for column in range(values.shape[1])
    }


def assert_uniform(p):
    # the smallest of m p values is below alpha / m by chance with probability alpha
    assert min(p.values()) > 0.001 / len(p), min(p, key=p.get)


@pytest.mark.parametrize("formula", DESIGNS)
def test_ranks_are_uniform(formula):
    assert_uniform(p_values(ranks(formula, sets=100, seed=1)))


@pytest.mark.slow
@pytest.mark.parametrize("formula", DESIGNS)
def test_ranks_are_uniform_over_500_sets(formula):
    p = p_values(ranks(formula, sets=500, seed=2))
    for name, value in p.items():
        if not name.startswith("u_"):
            print(f"{formula:30} {name:10} p = {value:.3f}")
    assert_uniform(p)
