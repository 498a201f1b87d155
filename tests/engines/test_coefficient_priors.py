"""Priors of coefficients that are no normal ones: posteriors against quadrature, and who takes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

from bayesmig import NUTS, Exact, Quadrature, fit, priors, simulate, to_pymc
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, EngineRefusal, SpecificationError
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import (
    R2D2,
    CoefficientPrior,
    Exponential,
    Horseshoe,
    Laplace,
    PriorSet,
    Shrinkage,
    StudentT,
)


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
    with pytest.raises(BayesmigError, match="cannot be adjusted .* no curvature of its own"):
        fit(spec, data, draws=400, seed=1, adjust="sandwich")


def test_the_share_that_r2d2_expects_is_beta() -> None:
    prior = R2D2(0.3, 8, 0.7).told(among=6, people=100, noise=1.0)
    odds = (prior.scales(np.random.default_rng(2), 4000) ** 2).sum(axis=1)
    # A fixed seed: the test can only change when the code does.
    assert stats.kstest(odds / (1 + odds), stats.beta(0.3 * 8, 0.7 * 8).cdf).pvalue > 0.01


def test_as_many_coefficients_are_free_as_the_horseshoe_expects() -> None:
    among, people, noise = 20, 150, 1.7
    prior = Horseshoe(3, slab_scale=1e9).told(among, people, noise)
    # Piironen & Vehtari 2017, section 3.3: given the global scale g, p g' / (1 + g') coefficients are free on average,
    # g' = g sqrt(n) / noise, which is what was expected where g is its scale.
    odds = prior.global_scale * np.sqrt(people) / noise
    assert among * odds / (1 + odds) == pytest.approx(3)
    share, _ = integrate.quad(lambda g: stats.halfcauchy.pdf(g) * g * odds / (1 + g * odds), 0, np.inf)
    squares = prior.scales(np.random.default_rng(4), 20_000) ** 2 * people / noise**2
    free = (squares / (1 + squares)).sum(axis=1)
    assert free.mean() == pytest.approx(among * share, abs=5 * free.std() / np.sqrt(20_000))


def weighted(beta: np.ndarray, log: np.ndarray) -> list[tuple[float, float]]:
    """Means and sds of draws from the prior, weighed by the likelihood."""
    weight = np.exp(log - log.max())
    assert weight.sum() ** 2 / (weight**2).sum() > 4000
    return [wants(weight, column) for column in beta.T]


def drawn(spec: ModelSpec, data: pd.DataFrame) -> np.ndarray:
    tree = fit(spec, data, engine=NUTS(draws=1000), seed=1)
    return tree["posterior"]["beta"].stack(sample=("chain", "draw")).to_numpy()


def test_r2d2_posterior_is_that_of_weighted_draws_from_the_prior() -> None:
    rng = np.random.default_rng(8)
    data = pd.DataFrame({"x": rng.normal(0, 3, 30), "z": rng.normal(0, 0.2, 30)})
    data["y"] = 0.1 * data["x"] + rng.normal(size=30)
    spec = ModelSpec("y ~ 0 + x + z", priors=PriorSet(slopes=R2D2(0.4, 5, 0.8), sigma=Exponential(1.0)))
    share, sigma = rng.beta(2, 3, 400_000), rng.exponential(1, 400_000)
    sd = np.sqrt(rng.dirichlet([0.8, 0.8], 400_000) * (share / (1 - share) * sigma**2)[:, None])
    beta = sd * rng.normal(size=sd.shape) / data[["x", "z"]].std(ddof=0).to_numpy()
    left = data["y"].to_numpy() - beta @ data[["x", "z"]].to_numpy().T
    expected = weighted(beta, -0.5 * (left**2).sum(axis=1) / sigma**2 - 30 * np.log(sigma))
    for own, (mean, spread) in zip(drawn(spec, data), expected, strict=True):
        # As above; the reference has over 4,000 effective draws too.
        assert own.mean() == pytest.approx(mean, abs=0.15 * spread)
        assert own.std() == pytest.approx(spread, rel=0.15)


def test_horseshoe_posterior_is_that_of_weighted_draws_from_the_prior() -> None:
    rng = np.random.default_rng(9)
    data = pd.DataFrame({"x": rng.normal(0, 3, 40), "z": rng.normal(0, 0.2, 40)})
    data["y"] = np.where(rng.random(40) < special.expit(0.4 * data["x"]), "yes", "no")
    spec = ModelSpec("y ~ 0 + x + z", family="bernoulli", priors=PriorSet(slopes=Horseshoe(1, slab_scale=1.5)))
    size = 400_000
    whole = np.pi / np.sqrt(3) / np.sqrt(40) * abs(rng.standard_cauchy((size, 1)))  # 1 of 2: odds of one
    local, slab = abs(rng.standard_cauchy((size, 2))), 1.5**2 / rng.gamma(2, 1 / 2, (size, 1))
    sd = np.sqrt(slab * local**2 / (slab + whole**2 * local**2)) * whole
    beta = sd * rng.normal(size=sd.shape) / data[["x", "z"]].std(ddof=0).to_numpy()
    sign = np.where(data["y"] == "yes", 1.0, -1.0)
    expected = weighted(beta, special.log_expit(beta @ data[["x", "z"]].to_numpy().T * sign).sum(axis=1))
    for own, (mean, spread) in zip(drawn(spec, data), expected, strict=True):
        assert own.mean() == pytest.approx(mean, abs=0.15 * spread)
        assert own.std() == pytest.approx(spread, rel=0.2)


def many(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    data = pd.DataFrame({name: rng.normal(size=n) for name in "abcdw"} | {"kind": rng.choice(["p", "q", "r"], n)})
    return data.assign(y=data["a"] + rng.normal(size=n), o=rng.choice(["l", "m", "r"], n), k=rng.poisson(2, n))


def test_coefficients_with_the_same_prior_are_in_company() -> None:
    prior = Horseshoe(1)
    spec = ModelSpec("y ~ a + b + c + d", priors=priors.WEAK.changed(a=prior, b=prior, c=R2D2(), d=R2D2()))
    found = build_design(spec, many()).priors.slopes
    assert [one.among for one in found] == [2, 2, 2, 2]
    # By category, and by parameter: each has its own.
    of_categories = ModelSpec("o ~ a + b + kind", family="categorical", priors=priors.WEAK.changed(slopes=prior))
    terms = build_design(of_categories, many())
    assert [one.among for one in terms.term_priors if isinstance(one, Horseshoe)] == [4] * 8
    graph = to_pymc(of_categories, many())
    assert {v.name for v in graph.deterministics} == {"b_horseshoe_0", "b_horseshoe_1"}


def test_the_same_draws_of_all_coefficients_whatever_their_units() -> None:
    data = many()
    spec = ModelSpec("y ~ a + b + c", priors=priors.WEAK.changed(slopes=R2D2(0.5, 3)))
    wide = data.assign(a=data["a"] * 1000)
    first, other = (simulate(spec, rows, draws=50, seed=1)["prior"]["beta"] for rows in (data, wide))
    np.testing.assert_allclose(other.sel(term="a") * 1000, first.sel(term="a"), rtol=1e-9)


@pytest.mark.parametrize("engine", [Exact(), Quadrature(), NUTS(density="compiled")])
def test_priors_in_company_are_drawn_from_the_graph_only(engine: object) -> None:
    spec = ModelSpec("y ~ a + b + c", priors=priors.WEAK.changed(slopes=Horseshoe(1)))
    with pytest.raises(EngineRefusal, match=r"'a' has the prior Horseshoe\(expected=1 of 3"):
        fit(spec, many(), engine=engine)


def test_priors_in_company_say_what_they_cannot() -> None:
    data = many()

    def resolved(formula: str, prior: Shrinkage, **rest: object) -> None:
        build_design(ModelSpec(formula, priors=priors.WEAK.changed(slopes=prior), **rest), data).priors  # noqa: B018

    with pytest.raises(SpecificationError, match="of 2 coefficients: fewer than these"):
        resolved("y ~ a + b", Horseshoe(2))
    with pytest.raises(SpecificationError, match="no single residual variance; take a Horseshoe"):
        resolved("k ~ a + b", R2D2(), family="poisson")
    with pytest.raises(SpecificationError, match="no single residual variance"):
        resolved("y ~ a + b", R2D2(), predictors={"sigma": "c"})
    with pytest.raises(SpecificationError, match="relative=False"):
        Horseshoe(2, relative=False)
    with pytest.raises(SpecificationError, match="between 0 and 1"):
        R2D2(1.5)
    given = priors.WEAK.changed(slopes=Horseshoe(2, slab_df=5), a=R2D2(0.1))
    assert PriorSet.from_dict(given.to_dict()) == given
