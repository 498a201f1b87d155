"""Priors scaled and replaced: densities against the sampler's graph, powers against refits, refits against presets."""

import math

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytest
import xarray as xr
from as_written import AS_WRITTEN
from fabricated import outcome_of, positive
from scipy import special, stats

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.checking import robustness
from bayesmig.checking.robustness import FINE, MATTERS, WEAK_DATA, log_prior, power_scaling, sensitivity
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, EngineRefusal, InferenceFailure
from bayesmig.inference.engines import graphs
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.response import parameters
from bayesmig.specification.priors import PRESETS

RNG = np.random.default_rng(6)
N = 90
DATA = pd.DataFrame(
    {
        "y": RNG.normal(2, 1, N),
        "owns": RNG.integers(0, 2, N),
        "answer": RNG.integers(1, 5, N),
        "visits": RNG.poisson(2, N),
        "asked": 12,
        "x": RNG.normal(3, 2, N),
        "hukou": RNG.choice(["本地", "外来"], N),
        "area": RNG.integers(0, 6, N),
        "w": RNG.integers(1, 4, N),
    }
)
DATA = positive(DATA)
OTHER = pr.PriorSet(
    intercept=pr.Normal(1, 2),
    slopes=pr.Normal(0.5, 0.7),
    sigma=pr.HalfStudentT(4, 1.5),
    tau=pr.InverseGamma(1.0, 0.5),
    rho=pr.LKJ(3),
    nu=pr.Exponential(20),
    dispersion=pr.HalfNormal(3),
    specific={"x": pr.Flat(), "tau_area[x]": pr.Exponential(2)},
)
OTHER_PLAIN = pr.PriorSet(intercept=pr.Normal(1, 2), slopes=pr.Normal(0.5, 0.7), tau=pr.InverseGamma(1.0, 0.5))


def spec_for(family, priors=OTHER, terms="x + hukou + (1 + x | area)"):
    return bm.ModelSpec(
        f"{outcome_of(family)} ~ {terms}", family=family, priors=priors, trials="asked" if family == "binomial" else ""
    )


def natural(model, point):
    """A point of the sampler on the scales of the graph's variables."""
    values = {}
    for variable in model.free_RVs:
        transform, value = model.rvs_to_transforms[variable], point[model.rvs_to_values[variable].name]
        values[variable.name] = np.asarray(
            value if transform is None else transform.backward(value, *variable.owner.inputs).eval()
        )
    return values


def contract(design, values):
    """Those values as the quantities of the contract, one draw."""
    variables = {
        name: (("chain", "draw", *(f"{name}_{k}" for k in range(value.ndim))), value[None, None])
        for name, value in values.items()
    }
    return {name: array[0] for name, array in graphs.draws(design, xr.Dataset(variables)).items()}


@pytest.mark.parametrize("family", ["gaussian", "student", "bernoulli", "cumulative", "negative_binomial"])
def test_log_prior_is_that_of_the_samplers_graph(family):
    """At several points, up to a constant and the Jacobian of variances, which InverseGamma has in the graph."""
    design = build_design(spec_for(family), DATA).centred
    model = graphs.build(design, {"area": False})
    free = [variable for variable in model.free_RVs if not variable.name.startswith("z_")]
    total = model.logp(vars=free, jacobian=False, sum=True)
    density = pytensor.function([*model.value_vars], total, on_unused_input="ignore", mode=AS_WRITTEN)
    rng = np.random.default_rng(1)
    theirs, ours = [], []
    for _ in range(4):
        point = {name: value + rng.normal(0, 0.3, np.shape(value)) for name, value in model.initial_point().items()}
        theirs.append(float(density(*(point[variable.name] for variable in model.value_vars))))
        values = natural(model, point)
        variances = [value for name, value in values.items() if name.endswith("_squared")]
        at_zero = design.groups[0].at_zero(contract(design, values))
        ours.append(log_prior(design, at_zero)[0] - np.log(np.sqrt(variances)).sum())
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs), atol=1e-8)


def test_lkj_of_three_effects_is_that_of_pymc():
    priors = pr.PriorSet(rho=pr.LKJ(2.5))
    design = build_design(bm.ModelSpec("y ~ x + w + (1 + x + w | area)", priors=priors), DATA)
    rng = np.random.default_rng(2)
    correlations = [np.corrcoef(rng.normal(size=(3, 9))) for _ in range(3)]
    pairs = np.array([[matrix[i, j] for i, j in design.groups[0].pairs] for matrix in correlations])
    values = {"beta": np.zeros((3, 3)), "sigma": np.ones(3), "tau_area": np.ones((3, 3)), "rho_area": pairs}
    flat = {"rho_area": np.zeros((3, 3))}
    at_zero = [design.centred.groups[0].at_zero(at_means) for at_means in (values, values | flat)]
    ours = log_prior(design, at_zero[0]) - log_prior(design, at_zero[1])
    theirs = []
    for root in np.linalg.cholesky(correlations):  # on which PyMC states the density, with its Jacobian
        on_root = float(pm.logp(pm.LKJCorr.dist(n=3, eta=2.5), root).eval(mode=AS_WRITTEN))
        theirs.append(on_root - np.log(np.diag(root)) @ np.array([2, 1, 0]))
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs), atol=1e-8)


def test_the_intercepts_prior_concerns_the_means():
    """Predictors moved by a constant change neither the posterior nor the density of its priors."""
    spec = spec_for("gaussian", OTHER_PLAIN, "x + (1 | area)")
    found = []
    for data in (DATA, DATA.assign(x=DATA["x"] + 100)):
        tree = bm.fit(spec, data, engine=Exact(draws=400), seed=1)
        values = parameters(tree["posterior"].to_dataset())
        found.append(log_prior(build_design(spec, data), values))
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


# --- power scaling ---------------------------------------------------------------------------------------------------


def clear():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.normal(size=200), "area": np.repeat(np.arange(20), 10)})
    data["z"] = rng.normal(size=20)[data["area"]]
    data["y"] = 0.5 * data["x"] + 0.6 * data["z"] + rng.normal(0, 0.6, 20)[data["area"]] + rng.normal(size=200)
    return data


def test_data_that_say_enough():
    tree = bm.fit("y ~ x + z + (1 | area)", clear(), seed=1)
    table = power_scaling(tree)
    assert (table["diagnosis"] == FINE).all()
    # a normal posterior whose variance is the likelihood's moves by 0.09 a doubling, predictors of areas as well
    assert table.loc[["x", "z"], "likelihood"].between(0.06, 0.14).all()
    assert table.attrs["likelihood"] == "varying effects integrated out"
    assert set(table.index) == {"intercept", "x", "z", "sigma", "tau_area[intercept]"}


def test_a_prior_against_the_data():
    priors = pr.PriorSet(slopes=pr.Normal(-2, 0.2), sigma=pr.HalfNormal(2))
    tree = bm.fit(bm.ModelSpec("y ~ x", priors=priors), clear().iloc[:40], seed=1)
    assert power_scaling(tree).loc["x", "diagnosis"] == MATTERS


def test_data_that_say_nothing():
    """Two areas: their sd rests on its prior."""
    data = clear().assign(area=lambda frame: frame["area"] % 2)
    tree = bm.fit(bm.ModelSpec("y ~ x + (1 | area)", priors=pr.PriorSet(tau=pr.HalfNormal(0.05))), data, seed=1)
    assert power_scaling(tree).loc["tau_area[intercept]", "diagnosis"] == WEAK_DATA


def test_a_power_of_the_prior_moves_the_posterior_as_a_refit_does():
    """A normal prior to the power a is a normal prior with its variance divided by a."""
    data, powers = clear().iloc[:30], (0.5, 2.0)
    trees = {
        power: bm.fit(
            bm.ModelSpec("y ~ x", priors=pr.PriorSet(slopes=pr.Normal(1, 0.3 / math.sqrt(power)))),
            data,
            engine=Exact(draws=40_000),
            seed=1,
        )
        for power in (1.0, *powers)
    }
    design = build_design(bm.ModelSpec("y ~ x", priors=pr.PriorSet(slopes=pr.Normal(1, 0.3))), data)
    values = parameters(trees[1.0]["posterior"].to_dataset())
    flat_sigma = log_prior(design, values) - design.priors.sigma.log_density(values["sigma"])
    for power in powers:
        weights = special.softmax((power - 1) * flat_sigma)
        reweighted = weights @ values["beta"][:, 1]
        refitted = float(trees[power]["posterior"]["beta"].sel(term="x").mean())
        spread = values["beta"][:, 1].std()
        # four Monte Carlo errors of 40,000 draws whose weights cost up to half of them
        assert reweighted == pytest.approx(refitted, abs=4 * spread * math.sqrt(3 / 40_000))


def test_weights_count_in_the_likelihood():
    data = clear().assign(w=np.r_[np.full(100, 3), np.ones(100)].astype(int))
    spec = bm.ModelSpec("y ~ x + (1 | area)")
    weighted = power_scaling(bm.fit(spec.with_weights("w", "frequency"), data, seed=1))
    repeated = power_scaling(bm.fit(spec, data.loc[data.index.repeat(data["w"])], seed=1))
    # the same posterior and the same draws
    np.testing.assert_allclose(weighted["likelihood"], repeated["likelihood"], atol=1e-6)
    np.testing.assert_allclose(weighted["prior"], repeated["prior"], atol=1e-6)


def test_answers_with_groups():
    tree = bm.fit(spec_for("bernoulli", pr.WEAK, "hukou + (1 | area)"), DATA, engine=NUTS(draws=300, tune=300), seed=1)
    table = power_scaling(tree)
    assert np.isfinite(table[["prior", "likelihood"]]).all(axis=None)
    assert table.attrs["likelihood"] == "varying effects integrated out"


# --- other priors ----------------------------------------------------------------------------------------------------


def test_every_preset_is_fitted_and_moves_a_clear_coefficient_little():
    table = sensitivity("y ~ x + z + (1 | area)", clear(), engine=Exact(draws=2000), seed=1)
    assert list(table.loc["x"].index) == ["own", *(name for name in PRESETS if name != "weak")]  # own are the weak ones
    assert table.loc["x", "moved"].abs().max() < 0.25
    assert (table.loc[(slice(None), "own"), "moved"] == 0).all()
    assert {"tau_area[intercept]", "vpc_area", "sigma"} <= set(table.index.get_level_values("quantity"))
    assert table.attrs["failed"] == {}


def test_moved_counts_in_sds_of_the_own_fit():
    sets = {"tight": pr.PriorSet(slopes=pr.Normal(0, 0.05)), "flat": pr.PriorSet()}
    table = sensitivity("y ~ x", clear(), sets, seed=1)
    trees = {name: bm.fit(bm.ModelSpec("y ~ x", priors=p), clear(), seed=1) for name, p in sets.items()}
    own = bm.coefficients(bm.fit("y ~ x", clear(), seed=1)).loc["x"]
    tight = bm.coefficients(trees["tight"]).loc["x"]
    assert table.loc[("x", "tight"), "moved"] == pytest.approx((tight["estimate"] - own["estimate"]) / own["sd"])
    assert table.loc[("x", "tight"), "sd_ratio"] == pytest.approx(tight["sd"] / own["sd"])
    assert table.loc[("x", "tight"), "moved"] < -3
    assert list(table.columns) == ["estimate", "sd", "eti95_lower", "eti95_upper", "moved", "sd_ratio"]


def test_priors_that_cannot_be_fitted_cost_their_own_row_only(monkeypatch):
    summary = robustness._summary

    def failing(design, **settings):
        if design.spec.priors.name == "MLwiN":
            raise InferenceFailure("it did not settle")
        return summary(design, **settings)

    monkeypatch.setattr(robustness, "_summary", failing)
    with pytest.warns(UserWarning, match="1 of 3 fits under other priors failed; mlwin: it did not settle"):
        table = sensitivity("y ~ x", clear(), ["stata", "mlwin"], seed=1)
    assert list(table.loc["x"].index) == ["own", "stata"]
    assert table.attrs["failed"] == {"mlwin": "it did not settle"}


def test_a_fit_that_does_not_settle_is_drawn_by_nuts_which_the_table_says(unsettled):
    unsettled(Exact, lambda design: design.spec.priors.name != "MLwiN")
    table = sensitivity("y ~ x", clear(), ["stata", "mlwin"], seed=1)
    assert table.attrs["instead_of"] == {"mlwin": f"{Exact()!r}: nothing fits"} and not table.attrs["failed"]
    assert abs(table.loc[("x", "mlwin"), "moved"]) < 0.25  # as test_every_preset_..., by chains


@pytest.mark.parametrize(
    ("presets", "words"),
    [
        (["stan"], "no prior preset 'stan'.*closest: 'stata'"),
        ({"tight": "weak"}, "'tight': give a PriorSet"),
        ({"own": pr.PriorSet()}, "a name other than 'own'"),
    ],
)
def test_unknown_priors_are_refused(presets, words):
    with pytest.raises(BayesmigError, match=words):
        sensitivity("y ~ x", clear(), presets)


def test_a_model_that_the_engine_cannot_fit_is_refused():
    with pytest.raises(EngineRefusal, match="Exact fits Gaussian outcomes only"):
        sensitivity(spec_for("poisson"), DATA, engine=Exact())


def test_the_density_of_a_normal_prior():
    design = build_design(
        bm.ModelSpec("y ~ 0 + x", priors=pr.PriorSet(slopes=pr.Normal(1, 2), sigma=pr.HalfNormal(1))), DATA
    )
    ours = log_prior(design, {"beta": np.array([[0.3]]), "sigma": np.array([0.7])})
    assert ours[0] == pytest.approx(stats.norm.logpdf(0.3, 1, 2) + stats.halfnorm.logpdf(0.7))
