"""Every public function of ArviZ runs on a result, or there is a reason why it cannot."""

import inspect

import numpy as np
import pandas as pd
import pytest
from as_written import AS_WRITTEN
from fabricated import posterior

import bayesmig as bm
from bayesmig.checking.arviz import NO_PRIOR
from bayesmig.checking.out_of_sample import relative_efficiency
from bayesmig.errors import BayesmigError, DataError, EngineRefusal

az = pytest.importorskip("arviz", reason="arviz, whose functions are tried, is missing")
plt = pytest.importorskip("matplotlib.pyplot")

AREA = np.arange(60) % 5


def survey() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=60), "area": AREA})
    data["y"] = data["x"] + rng.normal(0, 0.5, 5)[AREA] + rng.normal(size=60)
    data["yes"] = (data["y"] > 0).astype(int)
    data["visits"] = rng.poisson(np.exp(0.3 * data["x"]))
    return data


@pytest.fixture(scope="module")
def tree():
    engine = bm.NUTS(draws=100, tune=200, chains=2, progress=False)
    return bm.checking.for_arviz(bm.fit("y ~ x + (1 | area)", survey(), engine=engine, seed=1))


def invented(formula: str, family: str):
    """A result whose draws are made up, which costs no sampling."""
    return bm.checking.for_arviz(posterior(bm.ModelSpec(formula, family=family), survey(), draws=100))


@pytest.fixture(scope="module")
def kinds(tree):
    return {
        "gaussian": tree,
        "bernoulli": invented("yes ~ x", "bernoulli"),
        "poisson": invented("visits ~ x", "poisson"),
    }


def draws(tree):
    return tree["posterior"].to_dataset()[["beta", "sigma"]]


# calls of functions that need more than the tree; the others are called with the tree alone
CALLS = {
    "bayes_factor": lambda t: az.bayes_factor(t, var_names="sigma", ref_vals=1.0),
    "ci_in_rope": lambda t: az.ci_in_rope(t, var_names=["beta"], rope=(-0.1, 0.1)),
    "combine_plots": lambda t: az.combine_plots(t, [(az.plot_dist, {}), (az.plot_trace, {})], var_names=["sigma"]),
    "compare": lambda t: az.compare({"one": t, "two": t}),
    "convert_to_dataset": lambda t: az.convert_to_dataset(t),
    "convert_to_datatree": lambda t: az.convert_to_datatree(t),
    "dataset_to_dataarray": lambda t: az.dataset_to_dataarray(draws(t)),
    "dataset_to_dataframe": lambda t: az.dataset_to_dataframe(draws(t)),
    "ecdf": lambda t: az.ecdf(draws(t)),
    "explode_dataset_dims": lambda t: az.explode_dataset_dims(draws(t), "term"),
    "generate_survival_curves": lambda t: az.generate_survival_curves(t, "y"),
    "hexbin": lambda t: az.hexbin(draws(t)["sigma"], draws(t)["beta"].isel(term=0)),
    "histogram2d": lambda t: az.histogram2d(draws(t)["sigma"], draws(t)["beta"].isel(term=0)),
    "kde2d": lambda t: az.kde2d(draws(t)["sigma"], draws(t)["beta"].isel(term=0)),
    "kl_divergence": lambda t: az.kl_divergence(t, t, var_names="beta", num_samples=100),
    "loo_i": lambda t: az.loo_i(0, t),
    "loo_r2": lambda t: az.loo_r2(t, "y"),
    "plot_bf": lambda t: az.plot_bf(t, "sigma", ref_val=1.0),
    "plot_compare": lambda t: az.plot_compare(az.compare({"one": t, "two": t})),
    "plot_khat": lambda t: az.plot_khat(az.loo(t, pointwise=True)),
    "plot_lm": lambda t: az.plot_lm(t, x="area_code", y="y", plot_dim="row"),
    "plot_pair": lambda t: az.plot_pair(t, var_names=["beta", "sigma"]),
    "plot_pair_focus": lambda t: az.plot_pair_focus(t, "sigma", var_names=["beta"]),
    "plot_ppc_pava": lambda t: az.plot_ppc_pava(t),
    "references_to_dataset": lambda t: az.references_to_dataset(0, draws(t)),
    "rhat_nested": lambda t: az.rhat_nested(t, superchain_ids=[0, 1]),
    "wasserstein": lambda t: az.wasserstein(t, t, var_names="beta", num_samples=100),
    "weight_predictions": lambda t: az.weight_predictions([t, t], weights=[0.5, 0.5]),
    "xarray_to_ndarray": lambda t: az.xarray_to_ndarray(draws(t)),
}
OTHER_KIND = {"plot_ppc_rootogram": "poisson", "plot_ppc_pava": "bernoulli", "plot_loo_pava": "bernoulli"}
REFITS = "it refits through a wrapper, as bm.loo(refit=True) and leave_one_group_out do themselves"
SOURCE = "it makes, finds or describes data and is not asked about a result"
CANNOT = {
    **dict.fromkeys(("lfo_cv", "loo_kfold", "reloo"), REFITS),
    **dict.fromkeys(("add_bands", "add_lines"), "they add to a picture"),
    **dict.fromkeys(("bayesian_r2", "residual_r2"), "they need the mean of every person in posterior; bm.r2 has R2"),
    **dict.fromkeys(("loo_approximate_posterior",), "draws come from the posterior, not from an approximation"),
    **dict.fromkeys(("loo_moment_match",), "it needs a density of unconstrained parameters; bm.loo refits"),
    **dict.fromkeys(("loo_subsample", "update_subsample"), "they need a function of the data; all rows are there"),
    "kaplan_meier": "no outcome is censored",
    "plot_ecdf_pit": "it shows simulation-based calibration, which is many fits",
    "plot_ppc_pava_residuals": "it needs a predictor as a variable of its own; bm.plots.calibration shows calibration",
    "get_unconstrained_samples": "it asks a PyMC model",
    **dict.fromkeys(
        (
            *("citations", "clear_data_home", "dict_to_dataset", "from_cmdstanpy", "from_dict", "from_emcee"),
            *("from_netcdf", "from_numpyro", "from_numpyro_svi", "from_zarr", "generate_dims_coords"),
            *("get_data_home", "get_function", "list_datasets", "load_arviz_data", "make_attrs"),
            "ndarray_to_dataarray",
        ),
        SOURCE,
    ),
}
FUNCTIONS = sorted(
    name
    for name in dir(az)
    if not name.startswith("_") and callable(getattr(az, name)) and not inspect.isclass(getattr(az, name))
)


@pytest.mark.filterwarnings("ignore")  # of few draws, and of ArviZ about itself
@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - set(CANNOT)))
def test_a_function_of_arviz_runs(kinds, name, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    call = CALLS.get(name, getattr(az, name))
    assert call(kinds[OTHER_KIND.get(name, "gaussian")]) is not None or name == "diagnose"
    plt.close("all")


def test_reasons_are_given_for_functions_that_there_are():
    """A function that ArviZ adds is tried; one that it takes away is no reason to fail."""
    assert len(set(CANNOT) & set(FUNCTIONS)) > 20
    assert not set(CANNOT) & set(CALLS)


@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
@pytest.mark.filterwarnings("ignore")
def test_other_outcomes_have_the_same_groups(kinds, family):
    tree = kinds[family]
    assert np.isfinite(az.loo(tree).elpd)
    assert np.isfinite(bm.loo(tree).elpd)  # the seal holds
    assert az.psense(tree, var_names=["beta"]) is not None
    assert tree["prior_predictive"]["y"].dims == tree["posterior_predictive"]["y"].dims == ("chain", "draw", "row")


@pytest.mark.filterwarnings("ignore")
def test_groups_agree_with_each_other_and_with_our_own_numbers(tree):
    # whose efficiency says how many draws are the tail is all they differ in
    ours = az.loo(tree, reff=relative_efficiency(tree, 200))
    assert ours.elpd == pytest.approx(bm.loo(tree).elpd, abs=1e-9)
    prior, posterior = tree["prior"].to_dataset(), tree["posterior"].to_dataset()
    assert {name: array.dims for name, array in prior.items()} == {
        name: array.dims for name, array in posterior.items()
    }
    assert prior.sizes == posterior.sizes
    assert tree["log_prior"]["prior"].sizes == {"chain": 2, "draw": 100}
    scaled = az.psense(tree, var_names=["sigma"])
    assert float(scaled["sigma"]) == pytest.approx(bm.checking.power_scaling(tree).loc["sigma", "prior"], abs=1e-9)
    assert "✗" in repr(tree) or "checks passed" in repr(tree)  # it still shows itself


def test_fewer_draws_are_fewer_in_every_group():
    fitted = bm.fit("y ~ x + (1 | area)", survey(), seed=1)
    found = bm.checking.for_arviz(fitted, draws=400, seed=3)
    for name in ("posterior", "log_likelihood", "log_prior", "posterior_predictive", "prior", "prior_predictive"):
        assert (found[name].sizes["chain"], found[name].sizes["draw"]) == (4, 100), name
    again = bm.checking.for_arviz(fitted, draws=400, seed=3)
    assert found["prior_predictive"].identical(again["prior_predictive"])
    assert "prior" not in fitted.children


def test_flat_priors_leave_the_prior_out_and_say_why():
    flat = bm.fit("y ~ x", survey(), priors="mlwin", seed=1)
    found = bm.checking.for_arviz(flat, draws=100)
    assert "prior" not in found.children
    assert "nothing can be drawn from the prior" in found.attrs[NO_PRIOR]
    assert "log_prior" in found.children


def test_what_has_no_draws_is_refused():
    with pytest.raises(BayesmigError, match="needs a posterior"):
        bm.checking.for_arviz(bm.estimate("y ~ x", survey()))
    stretched = bm.fit("y ~ x", survey().assign(w=1.0 + AREA), weights="w", adjust="sandwich", seed=1)
    with pytest.raises(BayesmigError, match="cannot be reweighted"):
        bm.checking.for_arviz(stretched)
    with pytest.raises(BayesmigError, match="holds no data"):
        bm.checking.for_arviz(bm.published_posterior(bm.study("social_trust"), "table_6", seed=1))


def test_the_graph_has_the_density_of_the_model():
    """log p(y, alpha, b, sigma) from the graph against scipy's densities, at two points."""
    from scipy import stats

    from bayesmig.data.encoding import build_design

    data = survey()
    graph = bm.to_pymc("y ~ x", data)
    priors = build_design(bm.ModelSpec("y ~ x"), data).priors
    log_density = graph.compile_logp(jacobian=False, mode=AS_WRITTEN)
    centred = (data["x"] - data["x"].mean()).to_numpy()
    for alpha, slope, sigma in ((0.1, 0.8, 1.2), (-1.0, 0.0, 0.5)):
        expected = stats.norm.logpdf(data["y"], alpha + slope * centred, sigma).sum()
        expected += stats.norm.logpdf(alpha, priors.intercept.mean, priors.intercept.sd)
        expected += stats.norm.logpdf(slope, priors.slopes[0].mean, priors.slopes[0].sd)
        expected += stats.halfnorm.logpdf(sigma, scale=priors.auxiliary["sigma"].scale)
        found = log_density({"alpha": [alpha], "b": [slope], "sigma_log__": np.log(sigma)})
        assert float(found) == pytest.approx(expected, abs=1e-8)  # rounding of 60 terms


def test_the_graph_names_slopes_and_groups_and_refuses_what_has_none():
    data = survey().assign(h=lambda frame: np.where(frame["x"] > 0, "农村", "城镇"))
    graph = bm.to_pymc("yes ~ x * h + (1 | area)", data, family="bernoulli", centred={"area": True})
    assert graph.coords["slope"] == ("x", "h[城镇]", "x:h[城镇]")
    assert graph.coords["area"] == ("0", "1", "2", "3", "4")
    assert [variable.name for variable in graph.free_RVs] == ["alpha", "b", "tau_area_0", "a_area"]
    graph = bm.to_pymc("y ~ x", data, predictors={"sigma": "h + (1 | area)"})
    assert graph.coords["slope"] == ("x", "sigma ~ h[城镇]") and "sigma" in graph.named_vars
    with pytest.raises(EngineRefusal, match="latent factors have no graph"):
        items = data.assign(a=data["y"], b=data["y"] + data["x"] ** 2, c=data["y"] - data["visits"])
        bm.to_pymc(bm.ModelSpec("f ~ x", factors=(bm.Factor("f", ("a", "b", "c")),)), items)
    with pytest.raises(DataError, match="must be a pandas DataFrame"):
        bm.to_pymc("y ~ x", [data, data])
    with pytest.raises(DataError, match="closest: 'x'"):
        bm.to_pymc("y ~ xx", data)
