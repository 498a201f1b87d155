"""Sudden infant deaths in North Carolina's counties: REML against mgcv, the posterior against PyMC's own ICAR."""

import numpy as np
import pandas as pd
import pytest
from pages import GIVEN
from references import FOLDER
from scipy import optimize

import bayesmig as bm
from bayesmig.specification.priors import HalfNormal, Normal, PriorSet

COUNTIES = pd.read_csv(GIVEN / "north_carolina.csv").assign(
    share=lambda d: d["nonwhite_births"] / d["births"], log_births=lambda d: np.log(d["births"])
)
BORDERS = bm.Neighbours(list(pd.read_csv(GIVEN / "north_carolina_pairs.csv").itertuples(index=False, name=None)))


def test_the_data_are_those_of_cressie():
    assert COUNTIES[["births", "deaths"]].sum().tolist() == [329962, 667]
    assert COUNTIES.set_index("county").loc["Anson", ["births", "deaths"]].tolist() == [1570, 15]
    assert (len(BORDERS.areas), len(BORDERS.pairs), BORDERS.parts.max()) == (100, 231, 0)
    geopandas = pytest.importorskip("geopandas", reason="outlines of areas come with geopandas")
    outlines = geopandas.read_file(GIVEN / "north_carolina.geojson")
    touching = {frozenset(pair) for pair in bm.Neighbours.touching(outlines, "county").pairs}
    assert {frozenset(pair) for pair in BORDERS.pairs} <= touching and len(touching) == 245  # some meet at a corner


def penalised(sds):
    """Laplace's approximation of the restricted likelihood, up to a constant, and what maximises it, given the sds."""
    root = BORDERS.root[[BORDERS.areas.index(county) for county in COUNTIES["county"]]]
    varying = [sd * columns for sd, columns in zip(sds, (root, np.eye(100)), strict=False)]
    columns = np.column_stack([np.ones(100), COUNTIES["share"], *varying])
    penalty = np.r_[0, 0, np.ones(columns.shape[1] - 2)]
    offset, deaths = COUNTIES["log_births"].to_numpy(), COUNTIES["deaths"].to_numpy()
    found = np.zeros(columns.shape[1])
    found[0] = np.log(deaths.sum() / np.exp(offset).sum())
    for _ in range(30):
        mean = np.exp(columns @ found + offset)
        curvature = (columns.T * mean) @ columns + np.diag(penalty)
        found = found + np.linalg.solve(curvature, columns.T @ (deaths - mean) - penalty * found)
    eta = columns @ found + offset
    loss = (np.exp(eta) - deaths * eta).sum() + (penalty * found**2).sum() / 2 + np.linalg.slogdet(curvature)[1] / 2
    return loss, found, eta


@pytest.mark.parametrize(("fit", "factors"), [("neighbours", 1), ("neighbours and counties", 2)])
def test_effects_of_neighbours_have_the_restricted_likelihood_of_mgcv(fit, factors):
    best = optimize.minimize(lambda logs: penalised(np.exp(logs))[0], np.full(factors, -1.5), method="Nelder-Mead")
    _, found, eta = penalised(np.exp(best.x))
    expected = pd.read_csv(FOLDER / "north_carolina.csv").query("fit == @fit").set_index("quantity")["value"]
    # the search for the sds ends at 1e-4 of their logarithms, mgcv's at the fifth digit
    assert found[:2] == pytest.approx(expected[["intercept", "share"]].to_numpy(), abs=3e-4)
    places = expected.index[expected.index.str.startswith("eta ")]
    own = pd.Series(eta, "eta " + COUNTIES["county"])[places]
    assert own.to_numpy() == pytest.approx(expected[places].to_numpy(), abs=3e-4)


@pytest.fixture(scope="module")
def posterior():
    priors = PriorSet(intercept=Normal(-6, 3), slopes=Normal(0, 5), tau=HalfNormal(1))
    formula = "deaths ~ share + (1 | county) + (1 | spatial(county))"
    about = {"family": "poisson", "offset": "log_births", "neighbours": {"county": BORDERS}}
    return bm.fit(formula, COUNTIES, priors=priors, seed=1, **about)


def test_the_posterior_is_that_of_pymc(posterior):
    expected = pd.read_csv(FOLDER / "north_carolina_pymc.csv").set_index("quantity")
    post, share = posterior["posterior"], COUNTIES.set_index("county")["share"].to_xarray()
    shared = post["u_spatial(county)"][..., 0].rename({"spatial(county)": "county"})
    eta = post["beta"].sel(term="intercept") + post["beta"].sel(term="share") * share
    draws = {"share": post["beta"].sel(term="share"), "tau_county": post["tau_county"][..., 0]}
    draws["tau_spatial(county)"] = post["tau_spatial(county)"][..., 0]
    for name, array in {"eta": eta + post["u_county"][..., 0] + shared, "spatial": shared}.items():
        draws |= {f"{name}[{county}]": array.sel(county=county) for county in COUNTIES["county"]}
    found = pd.DataFrame({name: [float(a.mean()), float(a.std())] for name, a in draws.items()}, ["mean", "sd"]).T
    error = np.hypot(
        expected["mcse_mean"], found["sd"] / np.sqrt(posterior["sample_stats"]["importance_ess"].min().item())
    )
    # 203 means within four and a half Monte Carlo errors; sds within 8 %, as 3,000 effective draws leave 1.3 %
    assert (abs(found["mean"] - expected["mean"]) < 4.5 * error).all()
    assert found["sd"].to_numpy() == pytest.approx(expected["sd"].to_numpy(), rel=0.08)
    assert bm.check(posterior)["passed"].all()


def test_a_map_of_rate_ratios_has_a_logarithmic_scale_about_one(posterior):
    geopandas = pytest.importorskip("geopandas", reason="outlines of areas come with geopandas")
    outlines = geopandas.read_file(GIVEN / "north_carolina.geojson").iloc[::-1]
    axes = bm.plots.map(posterior, outlines, "county", ratios=True)
    post = posterior["posterior"]
    shared = post["u_spatial(county)"][..., 0].rename({"spatial(county)": "county"})
    ratios = np.exp(post["u_county"][..., 0] + shared).mean(["chain", "draw"])
    bars = [ax._colorbar.mappable for ax in axes[0].figure.axes if ax not in axes]
    low, high = bars[0].get_clim()
    assert low * high == pytest.approx(1) and high == pytest.approx(np.exp(abs(np.log(ratios)).max().item()))
    faces = axes[0].collections[0].get_facecolors()
    for place in (0, 40, 99):
        county = outlines["county"].iloc[place]
        assert faces[place] == pytest.approx(bars[0].to_rgba(ratios.sel(county=county).item()))
    assert [ax.get_title(loc="left") for ax in axes][2] == "Probability of more than 1"
    with pytest.raises(bm.BayesmigError, match="does not have Anson"):
        bm.plots.map(posterior, outlines[outlines["county"] != "Anson"], "county")
