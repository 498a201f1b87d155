"""Priors of coefficients that are no normal ones: posteriors against quadrature, and who takes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special

from bayesmig import NUTS, Exact, Quadrature, fit, priors
from bayesmig.errors import BayesmigError, EngineRefusal
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import CoefficientPrior, Laplace, PriorSet, StudentT


def wants(density: np.ndarray, at: np.ndarray) -> tuple[float, float]:
    """Mean and sd of a density on a grid."""
    mean = float((density * at).sum() / density.sum())
    return mean, float(np.sqrt((density * (at - mean) ** 2).sum() / density.sum()))


@pytest.mark.parametrize("prior", [StudentT(3, 0.1, 0.2), Laplace(-0.1, 0.2), StudentT(1, 0, 0.1)])
def test_posteriors_are_those_of_quadrature(prior: CoefficientPrior) -> None:
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"x": rng.normal(size=40), "z": rng.normal(size=40)})
    data["y"] = np.where(rng.random(40) < special.expit(data["x"]), "yes", "no")
    spec = ModelSpec("y ~ 0 + x + z", family="bernoulli", priors=PriorSet(slopes=prior))
    grid = np.linspace(-3, 4, 701)
    x, z = np.meshgrid(grid, grid, indexing="ij")
    eta = x[..., None] * data["x"].to_numpy() + z[..., None] * data["z"].to_numpy()
    log = special.log_expit(np.where(data["y"] == "yes", eta, -eta)).sum(axis=-1)
    density = np.exp(log + prior.log_density(x) + prior.log_density(z))
    expected = [wants(density.sum(axis=1), grid), wants(density.sum(axis=0), grid)]
    engines = [NUTS(draws=1000), NUTS(density="graph", draws=1000), Quadrature(draws=4000)]
    for engine in engines if prior == StudentT(3, 0.1, 0.2) else engines[:2]:
        tree = fit(spec, data, engine=engine, seed=1)
        draws = tree["posterior"]["beta"].stack(sample=("chain", "draw")).to_numpy()
        # 4,000 draws, of chains at least 1,500 effective: 5 standard errors of a mean are 0.13 sds. Sds, of tails
        # that are heavier than normal ones, within 15 %.
        for own, (mean, sd) in zip(draws, expected, strict=True):
            assert own.mean() == pytest.approx(mean, abs=0.13 * sd), engine
            assert own.std() == pytest.approx(sd, rel=0.15), engine


def test_engines_that_need_a_curvature_refuse_in_words() -> None:
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"y": rng.normal(size=30), "x": rng.normal(size=30)})
    spec = ModelSpec("y ~ x", priors=priors.WEAK.changed(slopes=Laplace(0, 0.5)))
    with pytest.raises(EngineRefusal, match=r"Exact needs normal or flat priors of coefficients, and 'x' has the"):
        fit(spec, data, engine=Exact())
    with pytest.raises(EngineRefusal, match=r"'x' has the prior Laplace.* corner .* use engine=NUTS"):
        fit(spec, data, engine=Quadrature())
    assert "NUTS" in fit(spec, data, draws=400, seed=1).attrs["engine"]
    student = spec.with_priors(slopes=StudentT(3, 0, 0.5))
    assert "Quadrature" in fit(student, data, draws=400, seed=1).attrs["engine"]
    with pytest.raises(BayesmigError, match=r"cannot be adjusted .* corner|no curvature at its mean"):
        fit(spec, data, draws=400, seed=1, adjust="sandwich")
