"""The compiled density: its gradient, its rows put together, and the posterior that graphs draw from."""

import dataclasses

import arviz_stats
import numpy as np
import pandas as pd
import pytest
from every_family import answers, spec_of
from fabricated import CASES
from references import moments

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.data.encoding import build_design
from bayesmig.errors import EngineRefusal, SpecificationError
from bayesmig.families import machine
from bayesmig.inference.engines.hierarchical import Layout
from bayesmig.specification.model import ModelSpec, Weights

EFFECTS = [
    "(1 | g)",
    "(1 | p) + (1 | g)",
    "(1 + x | g) + (1 | h)",
    "(1 + x + v | h) + (1 + v | g) + (1 | p)",
    "(x || g)",
]


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize(("family", "link"), CASES)
def test_gradient_is_that_of_the_density(family, link, effects):
    layout = Layout(build_design(spec_of(family, link, effects), answers()))
    density, rng = layout.density(), np.random.default_rng(1)
    point = layout.begin(1) + 0.3 * rng.normal(size=layout.blocks.dimension)
    gradient = density(point)[1]
    step = 1e-5
    for k in range(len(point)):
        ends = [density(point + sign * step * np.eye(len(point))[k])[0] for sign in (1, -1)]
        # central differences: the density's rounding, about 1e-14 of 100, over the step
        assert gradient[k] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-6, rel=1e-6), k


@pytest.mark.parametrize(
    "weights", [None, Weights("w", "frequency"), Weights("w", "precision"), Weights("w", "survey")], ids=str
)
def test_rows_that_are_alike_are_put_together(weights):
    """Whole numbers as predictors: fewer cells than rows, and the same density up to a constant."""
    data = answers(200).assign(x=lambda d: d["x"].round(), v=lambda d: (d["v"] > 0).astype(int))
    for family in ("gaussian", "poisson", "cumulative", "bernoulli"):
        if weights is not None and weights.kind == "precision" and family != "gaussian":
            continue
        data["gaussian"] = data["gaussian"].round()
        spec = dataclasses.replace(spec_of(family, None, "(1 | h)"), weights=weights)
        together = Layout(build_design(spec, data))
        apart = Layout(build_design(spec, data))
        # a part of the offset that differs by 1e-13 keeps rows apart
        apart.__dict__["design"] = dataclasses.replace(apart.design, offset=1e-13 * np.arange(200))
        assert len(together.cells.y) < 190 and len(apart.cells.y) == 200
        points = together.begin(1) + np.random.default_rng(0).normal(0, 0.2, (3, together.blocks.dimension))
        one = together.model()
        other = apart.model()._replace(factors=one.factors, coefficients=one.coefficients)
        densities = [[density(p)[0] for p in points] for density in (together.density(one), apart.density(other))]
        differences = np.subtract(*densities)
        np.testing.assert_allclose(differences, differences[0], atol=1e-8)


CHECKED = [
    ModelSpec("bernoulli ~ x + (1 | p) + (1 | g)", family="bernoulli"),
    ModelSpec("cumulative ~ x + v + (1 + x | g)", family="cumulative", link="probit"),
    ModelSpec("binomial ~ v + (1 | g) + (1 | h)", family="binomial", trials="t"),
    ModelSpec("poisson ~ x + (1 | p/g)", family="poisson", weights=Weights("w", "frequency")),
    ModelSpec("negative_binomial ~ x + (x || g)", family="negative_binomial"),
    ModelSpec("student ~ x + (1 | g)", family="student", priors=pr.PriorSet(tau=pr.InverseGamma(1, 1))),
    ModelSpec("gaussian ~ 0 + x + (1 | g)", weights=Weights("w", "precision"), offset="v"),
    ModelSpec("bernoulli ~ 1 + (1 | h)", family="bernoulli", link="probit", priors=pr.PriorSet(pr.Flat(), pr.Flat())),
    ModelSpec("gaussian ~ x + (1 |a| g)", predictors={"sigma": "v + (1 |a| g)"}),
    ModelSpec("categorical ~ v + (1 | g)", family="categorical"),
]


@pytest.mark.slow
@pytest.mark.parametrize("spec", CHECKED, ids=lambda spec: spec.formula)
def test_posterior_is_that_of_the_graph(spec):
    data = answers(200)
    # with three provinces the graph diverges and misses the tails unless its steps are small
    engines = bm.NUTS(draws=4000, density="compiled"), bm.NUTS(draws=4000, density="graph", target_accept=0.995)
    fits = [bm.fit(spec, data, engine=engine, seed=1) for engine in engines]
    for variable in fits[0]["posterior"].data_vars:
        (mean, sd, *errors), (other, spread, *others) = (moments(tree, variable) for tree in fits)
        of_mean, of_sd = np.hypot(errors, others)
        assert (abs(mean - other) < 4.5 * of_mean).all(), variable  # some 30 numbers are compared
        assert (abs(sd - spread) < np.maximum(0.05 * sd, 4.5 * of_sd)).all(), variable


def test_what_needs_a_graph_gets_one_or_is_refused():
    data, spec = answers(), ModelSpec("bernoulli ~ x + (1 | g)", family="bernoulli")
    with pytest.raises(SpecificationError, match="'compild' .closest: 'compiled'"):
        bm.NUTS(density="compild")
    for engine in (bm.NUTS(density="compiled", sampler="pymc"), bm.NUTS(density="compiled", centred={"g": True})):
        with pytest.raises(EngineRefusal, match="density='auto'"):
            bm.fit(spec, data, engine=engine)


def test_an_sd_near_zero_mixes():
    """Groups that do not differ: the sd of 30 groups reaches down to zero, and is still drawn efficiently."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": np.arange(900) % 30, "y": rng.integers(0, 2, 900), "x": rng.normal(size=900)})
    tree = bm.fit(ModelSpec("y ~ x + (1 | g)", family="bernoulli"), data, engine=bm.NUTS(draws=500, tune=500), seed=1)
    assert not tree["sample_stats"]["diverging"].any()
    draws = tree["posterior"].to_dataset()[["tau_g", "beta"]]
    assert float(draws["tau_g"].quantile(0.05)) < 0.03  # it does reach down
    assert min(float(found.min()) for found in arviz_stats.ess(draws).values()) > 400


def test_machine_code_of_other_versions_is_thrown_away(tmp_path):
    old, new = tmp_path / "varying.forward-1.nbi", tmp_path / "varying.forward-2.nbi"
    old.write_bytes(b"")
    (tmp_path / "kernels.version").write_text("another")
    machine.forget_others(tmp_path)
    assert not old.exists()
    new.write_bytes(b"")
    machine.forget_others(tmp_path)
    assert new.exists()


def test_few_groups_that_cross_many_mix():
    """Three waves of a survey in 30 countries: the level, the waves and the sd between three of them move together."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"c": np.repeat(np.arange(30), 3), "w": np.tile(np.arange(3), 30), "t": 300})
    eta = rng.normal(0, 0.7, 30)[data["c"]] + np.array([-0.4, 0.1, 0.5])[data["w"]]
    data["y"] = rng.binomial(300, 1 / (1 + np.exp(-eta)))
    spec = ModelSpec("y ~ 1 + (1 | c) + (1 | w)", family="binomial", trials="t")
    tree = bm.fit(spec, data, engine=bm.NUTS(draws=500, tune=500), seed=1)
    assert int(tree["sample_stats"]["diverging"].sum()) <= 2
    draws = tree["posterior"].to_dataset()[["tau_w", "u_w", "beta"]]
    # it was 20 when each wave had coordinates of its own, and is 3,000 of 2,000
    assert min(float(found.min()) for found in arviz_stats.ess(draws).values()) > 1000
