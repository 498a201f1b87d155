"""Simulation-based calibration (Talts et al. 2018): ranks of prior draws among posterior draws are uniform."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesmig import priors as pr
from bayesmig.data.encoding import build_design
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.engines.quadrature import Quadrature
from bayesmig.inference.fitting import sampled
from bayesmig.inference.importance import Unsettled
from bayesmig.prediction.simulation import prior_draws
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.neighbours import Neighbours

DESIGNS = ["y ~ x + z + (1 | g)", "y ~ x + (1 + x | g)", "y ~ x + (1 | g) + (1 | h)"]
BINS = 20


def people(rng, n=120):
    data = pd.DataFrame({"y": rng.normal(size=n), "x": rng.normal(size=n), "z": rng.normal(1, 2, size=n)})
    data = data.assign(yes=np.arange(n) % 2, level=pd.Categorical(np.arange(n) % 4, ordered=True))
    data = data.assign(move=np.array(["stay", "leave", "unsure"])[np.arange(n) % 3], trips=np.arange(n) % 4)
    edges = np.array([0, 0.3, 1, 3, 10, np.inf])
    data = data.assign(low=np.resize(edges[:-1], n), high=np.resize(edges[1:], n))
    return data.assign(g=rng.integers(0, 12, n), h=rng.integers(0, 8, n))


def ranks(spec, engine, sets, seed, thin=1, people=people):
    """Ranks of prior draws among every ``thin``-th of the posterior draws, by parameter.

    Sets of one outcome for all, which no design takes, are left out: given any property of the data ranks are uniform.
    """
    rng = np.random.default_rng(seed)
    design = build_design(spec, people(rng))
    truth, outcomes = prior_draws(design, sets, rng)
    truth = {name: values for name, values in truth.items() if values[0].size}
    drawn_from = [design.with_outcome(each) for each in outcomes]
    kept = [k for k in range(sets) if np.ptp(drawn_from[k].y) > 0]
    assert len(kept) > 0.9 * sets
    found = {name: [] for name in truth}
    for k in kept:
        groups, _ = sampled(drawn_from[k], engine, np.random.default_rng([seed, k]))
        for name, values in truth.items():
            drawn = groups["posterior"][name].to_numpy()[0, ::thin]
            found[name].append((drawn < values[k]).sum(axis=0))
    return {name: np.array(values).reshape(len(kept), -1) for name, values in found.items()}


def exact_ranks(formula, sets, seed):
    prior_set = pr.PriorSet(pr.Normal(1, 2), pr.Normal(0, 1), pr.HalfNormal(1), pr.HalfNormal(1), pr.LKJ(2))
    return ranks(ModelSpec(formula, priors=prior_set), Exact(draws=199, chains=1), sets, seed)


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
    assert_uniform(p_values(exact_ranks(formula, sets=100, seed=1)))


@pytest.mark.slow
@pytest.mark.parametrize("formula", DESIGNS)
def test_ranks_are_uniform_over_500_sets(formula):
    p = p_values(exact_ranks(formula, sets=500, seed=2))
    show(formula, p)
    assert_uniform(p)


@pytest.mark.slow
@pytest.mark.parametrize("formula", ["y ~ s(x, k=6) + z + (1 | g)", "y ~ s(x, k=5) * z"])
def test_ranks_of_curves_are_uniform(formula):
    p = p_values(exact_ranks(formula, sets=300, seed=4))
    show(formula, p)
    assert_uniform(p)


def areas(rng):
    names = [f"{row}{column}" for row in range(5) for column in range(5)]
    return pd.DataFrame({"x": rng.normal(size=150), "area": np.resize(names, 150), "trips": np.arange(150) % 4})


MAP = Neighbours(
    [(f"{r}{c}", f"{r + 1}{c}") for r in range(4) for c in range(5)]
    + [(f"{r}{c}", f"{r}{c + 1}") for r in range(5) for c in range(4)]
)


@pytest.mark.slow
def test_ranks_of_neighbours_are_uniform():
    """Counts in 25 areas, an unknown share of whose effects is shared with neighbours."""
    prior_set = pr.PriorSet(pr.Normal(0, 1), pr.Normal(0, 0.5), tau=pr.HalfNormal(0.5))
    spec = ModelSpec("trips ~ x + (1 | bym2(area))", family="poisson", priors=prior_set, neighbours={"area": MAP})
    p = p_values(ranks(spec, Quadrature(draws=199, chains=1), sets=300, seed=5, people=areas))
    show(spec.formula, p)
    assert_uniform(p)


def show(formula, p):
    for name, value in p.items():
        if not name.startswith("u_"):
            print(f"{formula:30} {name:10} p = {value:.3f}")


COMPILED = [
    ("yes ~ x + (1 | g) + (1 | h)", "bernoulli", {}),
    ("level ~ x + (1 + x | g)", "cumulative", {}),
    ("move ~ x + (1 | g) + (1 | h)", "categorical", {}),
    ("trips ~ x + (1 |a| g)", "hurdle_negative_binomial", {"hurdle": "x + (1 |a| g)"}),
    ("y ~ x + (1 | g)", "gaussian", {"sigma": "x + (1 | g)"}),
    ("Interval(low, high) ~ x + (1 | g)", "lognormal", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("formula", "family", "predictors"), COMPILED)
def test_ranks_of_the_compiled_density_are_uniform(formula, family, predictors):
    prior_set = pr.PriorSet(
        *(pr.Normal(0, 1.5), pr.Normal(0, 1)),
        tau=pr.HalfNormal(0.5 if predictors else 1),
        cut=pr.Normal(0, 2),
        rho=pr.LKJ(2),
        sigma=pr.HalfNormal(1),
    )
    engine = NUTS(draws=995, tune=500, chains=1, density="compiled")  # every fifth draw is as good as independent
    spec = ModelSpec(formula, family=family, priors=prior_set, predictors=predictors)
    p = p_values(ranks(spec, engine, sets=300, seed=3, thin=5))
    show(formula, p)
    assert_uniform(p)


def small_groups(rng):
    g = np.repeat(np.arange(30), 4)
    data = pd.DataFrame({"x": rng.normal(size=120), "g": g, "h": g // 5, "yes": np.arange(120) % 2})
    return data.assign(level=pd.Categorical(np.arange(120) % 4, ordered=True), trips=np.arange(120) % 4)


CALIBRATED = {
    "groups of four": ("yes ~ x + (1 | g)", "bernoulli", 3.0),
    "ordered": ("level ~ x + (1 + x | h) + (1 | g)", "cumulative", 1.0),
    "nested": ("trips ~ x + (1 | h) + (1 | g)", "negative_binomial", 0.5),
}


class AsFit:
    """Independent draws, and those of NUTS where it does not settle, as ``fit`` has them."""

    def sample(self, design, rng):
        try:
            return Quadrature(draws=199, chains=1).sample(design, rng)
        except Unsettled:
            return NUTS(draws=199, chains=1).sample(design, rng)


@pytest.mark.slow
@pytest.mark.parametrize("what", CALIBRATED)
def test_ranks_with_integrated_effects_are_uniform(what):
    formula, family, size = CALIBRATED[what]
    prior_set = pr.PriorSet(
        *(pr.Normal(0, 1), pr.Normal(0, 1)), tau=pr.HalfNormal(size), cut=pr.Normal(0, 2), rho=pr.LKJ(2)
    )
    spec = ModelSpec(formula, family=family, priors=prior_set)
    p = p_values(ranks(spec, AsFit(), sets=300, seed=5, people=small_groups))
    show(what, p)
    assert_uniform(p)
