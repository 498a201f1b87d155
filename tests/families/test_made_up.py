"""A family that the package does not have: one record, and every verb works."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.families.machine import kernel
from bayesmig.families.record import Family, stacked
from bayesmig.families.registry import FAMILIES


@kernel
def geometric_rows(y, trials, root, weight, eta, own, by_eta, by_own):
    total = 0.0
    for i in range(len(y)):
        mean = np.exp(eta[i, 0])
        total += weight[i] * (y[i] * eta[i, 0] - (y[i] + 1) * np.log1p(mean))
        by_eta[i, 0] = weight[i] * (y[i] - (y[i] + 1) * mean / (1 + mean))
    return total


def geometric_derivatives(link, answers, eta, own):
    share = 1 / (1 + np.exp(-eta))
    return stacked(answers.y - (answers.y + 1) * share, -(answers.y + 1) * share * (1 - share))


def geometric_graph(link, answers, eta, own):
    import pymc as pm

    return pm.NegativeBinomial, {"mu": pm.math.exp(eta), "alpha": 1.0}


GEOMETRIC = Family(
    name="geometric",
    links=("log",),
    outcome="count",
    rows={"log": geometric_rows},
    log_density=lambda link, answers, eta, own: answers.y * eta - (answers.y + 1) * np.logaddexp(0, eta),
    derivatives=geometric_derivatives,
    draw=lambda link, answers, eta, own, rng: rng.geometric(1 / (1 + np.exp(eta))) - 1.0,
    graph=geometric_graph,
    guess=lambda link, y, trials: np.log(y + 0.5),
    latent=lambda own, mean: np.log1p(1 + 1 / mean),
    second=lambda mean, square, own: mean + 2 * square,
    most="none",
    said="a count of failures before the first success.",
    law=("Geometric", "λ"),
)


@pytest.fixture(scope="module")
def made():
    FAMILIES["geometric"] = GEOMETRIC
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=300), "hukou": rng.choice(["urban", "rural"], 300)})
    data["area"] = rng.integers(0, 12, 300)
    eta = 0.3 + 0.5 * data["x"] + 0.4 * (data["hukou"] == "urban") + rng.normal(0, 0.4, 12)[data["area"]]
    data["moves"] = rng.geometric(1 / (1 + np.exp(eta))) - 1
    spec = bm.ModelSpec("moves ~ x + hukou + (1 | area)", family="geometric")
    yield spec, data, bm.fit(spec, data, engine=bm.NUTS(draws=250, tune=250, chains=2, progress=False), seed=1)
    del FAMILIES["geometric"]


def test_fit_finds_what_was_put_in(made):
    _, _, tree = made
    table = bm.coefficients(tree)
    assert abs(table.loc["x", "estimate"] - 0.5) < 4 * table.loc["x", "sd"]
    # a negative binomial with dispersion one is the same distribution
    twin = bm.ModelSpec("moves ~ x + hukou", family="negative_binomial")
    assert twin.distribution.name == "negative_binomial"


def test_estimate_is_the_maximum(made):
    spec, data, _ = made
    import statsmodels.api as sm

    estimate = bm.coefficients(bm.estimate(spec, data, method="glm"))
    x = np.column_stack([np.ones(300), data["x"], data["hukou"] == "urban"]).astype(float)
    reference = sm.GLM(data["moves"], x, sm.families.NegativeBinomial(alpha=1.0)).fit()
    # Newton's method on both sides; expected information there, observed here
    np.testing.assert_allclose(estimate["estimate"], reference.params, rtol=1e-5)


def test_every_verb_works(made, tmp_path):
    spec, data, tree = made
    assert len(bm.check(tree))
    assert bm.effects(tree, "hukou")["estimate"].iloc[0] > 0
    margins = bm.margins(tree, by="hukou", random="integrate")
    assert (margins["estimate"] > 0).all()
    assert 0 < bm.variance_components(tree).loc["tau_area[intercept]", "estimate"] < 1
    assert bm.predict(tree, data.head(3), seed=1)["predictions"]["y"].shape[-1] == 3
    assert np.isfinite(bm.loo(tree).elpd)
    assert (bm.r2(tree)["estimate"] > 0).all()
    assert len(bm.predictive_check(tree, seed=1))
    assert "Geometric" in bm.report(tree, tmp_path / "page.html").read_text()
    assert "log rate" in bm.table({"model": tree}).to_markdown()
    priors = bm.priors.PriorSet(intercept=bm.priors.Normal(0, 1), slopes=bm.priors.Normal(0, 1))
    assert (bm.simulate(spec.with_priors(priors), data, draws=5, seed=1)["prior_predictive"]["y"] >= 0).all()
