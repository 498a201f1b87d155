"""Prior draws have the priors' moments, and what cannot be drawn is refused."""

import numpy as np
import pandas as pd
import pytest
from fabricated import outcome_of, positive
from scipy import special

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.data.encoding import build_design
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.response import draw_outcomes, parameters

DATA = pd.DataFrame(
    {"y": np.random.default_rng(0).normal(size=60), "x": np.linspace(100, 110, 60), "g": np.arange(60) % 6}
)
PRIORS = pr.PriorSet(pr.Normal(3, 1), pr.Normal(0, 0.5), pr.HalfNormal(1), pr.HalfNormal(2), pr.LKJ(2))


def test_moments_are_the_priors():
    spec = bm.ModelSpec("y ~ x + (1 + x | g)", priors=PRIORS)
    prior = bm.simulate(spec, DATA, draws=20_000, seed=1)["prior"].to_dataset()
    varying = build_design(spec, DATA).centred.groups[0].turned(parameters(prior))
    at_means = prior["beta"].sel(term="intercept") + prior["beta"].sel(term="x") * DATA["x"].mean()
    # Monte Carlo errors of 20,000 draws: mean sd / 141, sd 0.5 %; four of them
    assert float(at_means.mean()) == pytest.approx(3, abs=4 / 141)
    assert float(at_means.std()) == pytest.approx(1, rel=0.02)
    assert float(varying["tau_g"].mean()) == pytest.approx(2 * np.sqrt(2 / np.pi), rel=0.03)
    # LKJ(2) of a pair is 2 Beta(2, 2) - 1, with variance 1 / 5
    assert float(varying["rho_g"].var()) == pytest.approx(0.2, rel=0.05)


def test_outcomes_have_the_model_s_variance():
    spec = bm.ModelSpec("y ~ 1 + (1 | g)", priors=PRIORS)
    outcomes = bm.simulate(spec, DATA, draws=20_000, seed=1)["prior_predictive"]["y"].isel(row=0)
    # 1 of the intercept, 4 of the groups, 1 of the residual
    assert float(outcomes.var()) == pytest.approx(6, rel=0.06)


def test_a_seed_repeats_the_draws():
    spec = bm.ModelSpec("y ~ x + (1 | g)", priors=PRIORS)
    one, again = (bm.simulate(spec, DATA, draws=10, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one["prior_predictive"]["y"], again["prior_predictive"]["y"])


def test_flat_priors_cannot_be_drawn_from():
    with pytest.raises(bm.BayesmigError, match="nothing can be drawn.*'x'.*Normal"):
        bm.simulate(bm.ModelSpec("y ~ x", priors=pr.PriorSet(intercept=pr.Normal(0, 1))), DATA)


COUNTS = DATA.assign(
    owns=np.arange(60) % 2, answer=np.arange(60) % 4, visits=np.arange(60) % 5, asked=9, group=np.arange(60) % 6
)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_can_be_drawn_from(family):
    spec = bm.ModelSpec(
        f"{outcome_of(family)} ~ x + (1 | g)", family=family, trials="asked" if family == "binomial" else ""
    )
    tree = bm.simulate(spec, positive(COUNTS), draws=30, seed=1)
    outcomes = tree["prior_predictive"]["y"].to_numpy()
    assert np.isfinite(outcomes).all()
    assert set(FAMILIES[family].parameters) <= set(tree["prior"].data_vars)
    if FAMILIES[family].ordered:
        assert set(np.unique(outcomes)) <= {0, 1, 2, 3}


def test_ordered_outcomes_follow_their_thresholds():
    design = build_design(bm.ModelSpec("answer ~ x", family="cumulative"), COUNTS)
    cut = np.array([[-1.0, 0.0, 1.5]])
    drawn = draw_outcomes(design, np.zeros((1, 100_000)), {"cut": cut}, np.random.default_rng(1))
    shares = np.diff(special.expit([-np.inf, -1.0, 0.0, 1.5, np.inf]))
    # 100,000 draws have a standard error of 0.0015 each
    np.testing.assert_allclose(np.bincount(drawn[0].astype(int)) / 100_000, shares, atol=0.006)
