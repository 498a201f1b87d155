"""Thresholds that need not rise: steps of which the second is the easier one."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig import priors as pr

CUT = np.array([1.0, -1.5])  # few take the first step, most of those the second


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"x": rng.normal(size=400), "g": np.arange(400) % 20})
    stop = rng.random((400, 2)) < 1 / (1 + np.exp(-(CUT - 0.7 * frame["x"].to_numpy()[:, None])))
    frame["level"] = np.where(stop[:, 0], 1, np.where(stop[:, 1], 2, 3))
    return frame


@pytest.fixture(scope="module")
def tree(data):
    engine = bm.NUTS(draws=400, tune=400, chains=2, progress=False)
    return bm.fit("level ~ x + (1 | g)", data, family="sequential", engine=engine, seed=2)


def test_posterior_lets_them_fall(data, tree):
    cut = tree["posterior"]["cut"].mean(["chain", "draw"]).to_numpy()
    estimate = bm.estimate("level ~ x", data, family="sequential")["estimate"]
    # priors are wide, so that the posterior mean is near the maximum: within half its error
    assert (abs(cut - estimate["cut"]) < 0.5 * estimate["cut_se"]).all()
    assert cut[1] < cut[0] - 1


def test_adjusted_posterior_lets_them_fall(tree):
    adjusted = bm.adjust(tree)["posterior"]["cut"]
    np.testing.assert_allclose(
        adjusted.mean(["chain", "draw"]), tree["posterior"]["cut"].mean(["chain", "draw"]), atol=0.05
    )
    assert (adjusted.std(["chain", "draw"]) > 0.05).all()


def test_prior_lets_them_fall(data):
    priors = pr.PriorSet(intercept=pr.Normal(0, 1), slopes=pr.Normal(0, 1))
    for family, falling in (("sequential", True), ("adjacent", True), ("cumulative", False)):
        drawn = bm.simulate(bm.ModelSpec("level ~ x", family=family, priors=priors), data, draws=50, seed=1)["prior"][
            "cut"
        ]
        assert bool((drawn.diff("cutpoint") < 0).any()) == falling


def test_rows_of_steps_are_the_same_model(data):
    """So that effects may differ by step, as interactions: a logit of who goes on, of those who came to a step."""
    taken = data["level"].to_numpy() - 1
    steps = data.assign(stopped=(taken < 2).astype(int), last=np.minimum(taken + 1, 2))
    steps = bm.person_period(steps, 1, "last", "stopped", period="step")
    steps["went_on"] = 1 - steps["stopped"]
    whole = bm.estimate("level ~ x", data, family="sequential")
    same = bm.estimate("went_on ~ C(step) + x", steps, family="bernoulli")
    one, other = bm.coefficients(whole).loc["x"], bm.coefficients(same).loc["x"]
    # Newton's method on both sides
    np.testing.assert_allclose(one[["estimate", "std_error"]], other[["estimate", "std_error"]], rtol=1e-6)
    assert whole.attrs["log_likelihood"] == pytest.approx(same.attrs["log_likelihood"], rel=1e-10)
    apart = bm.coefficients(bm.estimate("went_on ~ C(step) / x", steps, family="bernoulli"))
    for step in (1, 2):
        alone = bm.estimate("went_on ~ x", steps[steps["step"] == step], family="bernoulli")
        expected = bm.coefficients(alone).loc["x"]
        np.testing.assert_allclose(apart.loc[f"C(step)[{step}]:x", "estimate"], expected["estimate"], rtol=1e-6)
