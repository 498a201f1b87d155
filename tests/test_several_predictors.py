"""What is asked of results whose models have several linear predictors."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.plots.priors import proper_priors


def people(n=240, cities=12, seed=4):
    """Who sends money and how much, by hukou and city; years of schooling in a few values."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"hukou": rng.choice(["rural", "urban"], n), "years": rng.integers(6, 17, n)})
    data["city"] = rng.integers(0, cities, n)
    city = rng.multivariate_normal([0, 0], [[0.3, -0.2], [-0.2, 0.4]], cities)[data["city"]]
    rural = (data["hukou"] == "rural") * 1.0
    none = rng.random(n) < 1 / (1 + np.exp(0.5 + 0.8 * rural - city[:, 1]))
    data["remit"] = np.where(none, 0.0, np.exp(1 + 0.4 * rural + city[:, 0] + rng.normal(0, 0.7, n)))
    return data


PEOPLE = people()


@pytest.fixture(scope="module")
def remittances():
    formula, predictors = "remit ~ hukou + (1 |a| city)", {"hurdle": "hukou + years + (1 |a| city)"}
    draw = bm.NUTS(draws=250, tune=300, chains=2)
    return bm.fit(formula, PEOPLE, family="hurdle_lognormal", predictors=predictors, engine=draw, seed=1)


def test_priors_at_the_means_are_held_against_no_draws_at_zero(remittances):
    """The level of a share has a beta prior at the predictors' means; its draws are log odds at zero."""
    shown = proper_priors(remittances)
    assert "hurdle ~ years" in shown and not [name for name in shown if "intercept" in name and "tau" not in name]
    odds = bm.hypothesis(remittances, ["hurdle ~ years < 0", "hurdle ~ intercept < 0"])["bayes_factor"]
    assert np.isfinite(odds.iloc[0]) and np.isnan(odds.iloc[1])
