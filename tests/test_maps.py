"""Effects of neighbours: their distribution in closed form, REML against mgcv, engines, verbs, and bad maps."""

import itertools

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from references import FOLDER

import bayesmig as bm
from bayesmig.checking.maps import _index as moran_index
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, SpecificationError, UnknownLevel
from bayesmig.inference.estimators.mixed import mixed
from bayesmig.inference.fitting import candidates, drawn
from bayesmig.inference.response import parameters
from bayesmig.plots.maps import map_height

AREAS = [f"r{row}c{column}" for row in range(5) for column in range(5)]
PAIRS = [(f"r{r}c{c}", f"r{r + 1}c{c}") for r in range(4) for c in range(5)]
PAIRS += [(f"r{r}c{c}", f"r{r}c{c + 1}") for r in range(5) for c in range(4)]
GRID = bm.Neighbours(PAIRS, AREAS)
DATA = pd.read_csv(FOLDER / "maps_data.csv")  # r3c1 has no row
BYM = "y ~ x + (1 | area) + (1 | spatial(area))"
REFERENCE = pd.read_csv(FOLDER / "maps.csv")
FITS = {"neighbours": "y ~ x + (1 | spatial(area))", "neighbours and areas": BYM}


@pytest.fixture(scope="module")
def posterior():
    return bm.fit(BYM, DATA, neighbours={"area": GRID}, seed=1)


def test_covariance_is_the_scaled_inverse_of_the_graph():
    islands = bm.Neighbours([*PAIRS, ("u", "v"), ("v", "w")], [*AREAS, "alone", "w", "v", "u"])
    covariance = islands.root @ islands.root.T
    weights = np.zeros((29, 29))
    for one, other in islands.pairs:
        i, j = islands.areas.index(one), islands.areas.index(other)
        weights[i, j] = weights[j, i] = 1
    inverse = np.linalg.pinv(np.diag(weights.sum(axis=0)) - weights)
    for part in range(islands.parts.max() + 1):
        members = np.flatnonzero(islands.parts == part)
        own = covariance[np.ix_(members, members)]
        assert np.exp(np.log(np.diag(own)).mean()) == pytest.approx(1)
        if len(members) > 1:
            expected = inverse[np.ix_(members, members)]
            assert own == pytest.approx(expected * own[0, 0] / expected[0, 0])
            assert own.sum(axis=0) == pytest.approx(0, abs=1e-9)
        assert not covariance[np.ix_(members, np.flatnonzero(islands.parts != part))].any()
    assert islands.root.shape == (29, 24 + 2 + 1)


@pytest.mark.parametrize("fit", FITS)
def test_reml_is_that_of_mgcv(fit):
    tree = bm.estimate(FITS[fit], DATA, neighbours={"area": GRID}, method="reml")
    expected = REFERENCE[REFERENCE["fit"] == fit].set_index("quantity")["value"]
    places = ["r0c0", "r2c2", "r4c4"]
    found, values = bm.predict(tree, pd.DataFrame({"area": places, "x": 0.0}))["predictions"]["y"], tree["estimate"]
    # an sd that is zero here is a very small one in mgcv, which leaves the sixth digit open
    assert found.to_numpy() == pytest.approx(expected[[f"fitted {place}" for place in places]].to_numpy(), abs=1e-5)
    assert float(values["beta"][1]) == pytest.approx(expected["x"], abs=1e-5)
    assert float(values["beta_se"][1]) == pytest.approx(expected["error of x"], abs=1e-5)
    assert float(values["sigma"]) == pytest.approx(expected["sigma"], abs=1e-5)
    if fit == "neighbours":  # an area without rows is known by its neighbours
        known = float(values["beta"][0] + values["u_spatial(area)"][AREAS.index("r3c1"), 0])
        assert known == pytest.approx(expected["fitted r3c1"], abs=1e-5)


def test_engines_agree(posterior):
    other = bm.fit(BYM, DATA, neighbours={"area": GRID}, seed=2, engine=bm.Quadrature(draws=2000))
    for name in ("beta", "sigma", "tau_area", "tau_spatial(area)", "u_spatial(area)"):
        one, two = (parameters(tree["posterior"])[name] for tree in (posterior, other))
        # means of independent draws, 3,000 and 1,500 effective ones, within four and a half errors (29 of them)
        assert (abs(one.mean(axis=0) - two.mean(axis=0)) < 4.5 * np.sqrt(1 / 3000 + 1 / 1500) * one.std(axis=0)).all()
    one, two = (tree["sample_stats"]["log_marginal_likelihood"].item() for tree in (posterior, other))
    assert one == pytest.approx(two, abs=0.2)


def test_neighbours_are_alike_and_unseen_areas_are_known(posterior):
    effects = posterior["posterior"]["u_spatial(area)"][..., 0]
    assert effects.sizes["spatial(area)"] == 25
    assert float(abs(effects.sum("spatial(area)")).max()) < 1e-9
    predicted = bm.predict(posterior, pd.DataFrame({"x": [0.0], "area": ["r3c1"]}))["predictions"]["y"]
    own = posterior["posterior"]["beta"].sel(term="intercept") + effects.sel({"spatial(area)": "r3c1"})
    assert float(predicted.mean()) == pytest.approx(
        float(own.mean()), abs=0.03
    )  # and a new effect of the area itself, of mean zero
    with pytest.raises(UnknownLevel, match="none of the groups that neighbours"):
        bm.predict(posterior, pd.DataFrame({"x": [0.0], "area": ["r9c9"]}))


def test_verbs_take_them(posterior, tmp_path):
    posterior.to_netcdf(tmp_path / "map.nc")
    opened = xr.open_datatree(tmp_path / "map.nc")
    assert bm.loo(opened).elpd == pytest.approx(bm.loo(posterior).elpd)
    assert bm.variance_components(posterior).loc["vpc_spatial(area)", "estimate"] > 0
    assert "Area and its neighbours: SD of the intercept" in str(bm.summary(posterior))
    table = bm.checking.power_scaling(posterior)
    assert table.loc["tau_spatial(area)[intercept]", "likelihood"] > 0.1
    assert len(bm.predictive_check(posterior, "spatial(area)", seed=1)) > 20
    census = pd.DataFrame({"area": AREAS, "x": 0.0, "n": 1})
    assert len(bm.poststratify(posterior, census, by="area", count="n").table) == 25
    spec = bm.ModelSpec(BYM, neighbours={"area": GRID})
    assert bm.ModelSpec.from_json(spec.to_json()) == spec
    assert bm.simulate(spec, DATA, seed=1)["prior"]["u_spatial(area)"].sizes["spatial(area)"] == 25


@pytest.mark.parametrize("family", ["poisson", "bernoulli", "cumulative"])
def test_families_take_them(family):
    count = np.floor(np.exp(DATA["y"]))
    outcome = {"poisson": count, "bernoulli": (count > 0).astype(int), "cumulative": count.clip(0, 2)}[family]
    data = DATA.assign(y=pd.Categorical(outcome, ordered=True) if family == "cumulative" else outcome)
    tree = bm.fit(FITS["neighbours"], data, family=family, neighbours={"area": GRID}, seed=1, draws=800)
    assert tree.attrs["engine"].startswith("Quadrature")
    assert tree["posterior"]["tau_spatial(area)"].mean() > 0


def by_hand(values, pairs):
    """Moran's I of values by area, as Moran (1950) writes it: a sum over ordered pairs."""
    away = values - values.mean()
    total = sum(2 * away[one] * away[other] for one, other in pairs)
    return len(values) / (2 * len(pairs)) * total / (away**2).sum()


def test_moran_is_that_of_closed_forms_and_of_a_sum_over_pairs():
    weights = GRID.graph.toarray()
    inside = weights[:20, :20]  # four rows of five: a chessboard whose colours are equally many
    board = np.array([(-1) ** (k // 5 + k % 5) for k in range(20)], dtype=float)
    assert moran_index(board[None], inside) == pytest.approx([-1])
    n, line = 50, bm.Neighbours.in_order(range(50)).graph.toarray()
    assert moran_index(np.arange(n)[None], line) == pytest.approx([(n - 3) / (n - 1)])  # a slope along a line
    draws = np.random.default_rng(1).normal(size=(20000, 25))
    index = moran_index(draws, weights)
    assert index[0] == pytest.approx(by_hand(pd.Series(draws[0], AREAS), GRID.pairs))
    s0, s1, s2 = weights.sum(), 2 * weights.sum(), 4 * (weights.sum(axis=0) ** 2).sum()
    variance = (625 * s1 - 25 * s2 + 3 * s0**2) / (624 * s0**2) - 1 / 24**2  # Cliff & Ord 1981, normal values
    # four Monte Carlo errors of a mean, and of an sd, of 20,000 values
    assert index.mean() == pytest.approx(-1 / 24, abs=4 * np.sqrt(variance / 20000))
    assert index.std() == pytest.approx(np.sqrt(variance), rel=4 / np.sqrt(2 * 20000))


def test_moran_leaves_out_islands_and_areas_without_rows():
    line = bm.Neighbours([*itertools.pairwise("abcdefgh"), ("v", "w")], [*"abcdefghvw", "alone", "empty"])
    data = pd.DataFrame({"area": [*"abcdefghvw", "alone"] * 2, "y": [*np.arange(8.0), 3, 1, 99] * 2})
    tree = bm.fit("y ~ 1", data, seed=1)
    table = bm.checking.moran(tree, line, data["area"], draws=None)
    row = table.iloc[0]
    kept = data.iloc[:10].set_index("area")["y"]
    # residuals of all areas have one sd, measured by 4,000 draws: within 1.1 %, which moves I by less than that
    assert row["estimate"] == pytest.approx(by_hand(kept, line.pairs), abs=0.02)
    assert (row["areas"], row["expected"], row["of"]) == (10, -1 / 9, "residuals")
    weighted = data.groupby("area", as_index=False).agg(y=("y", "first"), n=("y", "size"))
    tree = bm.fit("y ~ 1", weighted, weights=bm.Weights("n", "frequency"), seed=1)
    again = bm.checking.moran(tree, line, weighted["area"], draws=None).iloc[0]
    assert again["estimate"] == pytest.approx(row["estimate"], abs=0.02)


@pytest.mark.parametrize("family", ["gaussian", "cumulative", "bernoulli"])
def test_moran_finds_neighbours_who_are_alike(family):
    rng = np.random.default_rng(3)
    patches = 0.5 * np.repeat(np.arange(-2, 3), 5)  # rising from row to row of the map
    data = pd.DataFrame({"area": np.repeat(AREAS, 30), "y": np.repeat(patches, 30) + rng.normal(size=750)})
    cuts = {"cumulative": [-np.inf, -1, 1, np.inf], "bernoulli": [-np.inf, 0, np.inf]}.get(family)
    data["y"] = data["y"] if cuts is None else pd.cut(data["y"], cuts, labels=False)
    before = bm.fit(bm.ModelSpec("y ~ 1", family=family), data, seed=1)
    table = bm.checking.moran(before, GRID, data["area"])
    assert table["reading"].tolist() == ["neighbours are alike"] and table["estimate"][0] > 0.3
    if family == "gaussian":
        groups = bm.checking.moran(bm.fit("y ~ 1 + (1 | area)", data, seed=1), GRID, "area").set_index("of")
        assert groups.loc["area[intercept]", "tail"] < 0.025 < groups.loc["residuals", "tail"]


def test_check_has_a_line_for_neighbours(posterior):
    lines = bm.check(posterior).set_index("check").loc[["Moran's I"]]
    assert len(lines) == 2 and lines["passed"].all()
    assert lines["message"].str.contains(r"^(?:residuals|area\[intercept\]) of areas \(area\): .* no more alike").all()
    assert "Moran's I" not in set(bm.check(posterior, varying=False)["check"])
    for given, words in (((), "maps of the specification: none"), ((GRID,), "by=None"), ((None, "x"), "by='x'")):
        with pytest.raises(BayesmigError, match=words):
            bm.checking.moran(bm.fit("y ~ x", DATA, seed=1), *given)
    with pytest.raises(DataError, match="'r0c3' is not on the map"):
        bm.checking.moran(posterior, bm.Neighbours(PAIRS[:3]), "area")
    waves = pd.DataFrame({"wave": np.repeat([1, 3, 5, 7], 30), "y": np.random.default_rng(1).normal(size=120)})
    walk = {"wave": bm.Neighbours.in_order(range(1, 8))}  # none next to another
    lines = bm.check(bm.fit("y ~ 1 + (1 | spatial(wave))", waves, neighbours=walk, seed=1)).set_index("check")
    assert lines.loc["Moran's I", "verdict"] == "note" and "0 areas with rows" in lines.loc["Moran's I", "message"]
    few = bm.Neighbours([("r0c0", "r1c0")], AREAS)
    with pytest.raises(DataError, match="2 areas with rows have a neighbour"):
        bm.checking.moran(posterior, few, "area")


BAD_MAPS = {
    "its own neighbour": lambda: bm.Neighbours([("a", "a")]),
    "no pair": lambda: bm.Neighbours([]),
    "on the map twice": lambda: bm.Neighbours([("a", "b")], ["a", "b", "a"]),
    "which areas leave out": lambda: bm.Neighbours([("a", "b")], ["a", "c"]),
    "two areas each": lambda: bm.Neighbours(["abc"]),
    "not symmetric": lambda: bm.Neighbours.of_matrix(pd.DataFrame([[0, 1], [0, 0]], list("ab"), list("ab"))),
    "same areas": lambda: bm.Neighbours.of_matrix(pd.DataFrame([[0, 1], [1, 0]], list("ab"), list("ac"))),
    "ones for neighbours": lambda: bm.Neighbours.of_matrix(pd.DataFrame([[0, 2], [2, 0]], list("ab"), list("ab"))),
    "no two areas": lambda: bm.Neighbours.within(pd.DataFrame({"x": [0, 9], "y": [0, 9]}, list("ab")), 1),
    "3 names or more, got 2": lambda: bm.Neighbours.in_order([1, 2], around=True),
    "two finite coordinates": lambda: bm.Neighbours.within(pd.DataFrame({"x": [0, np.nan], "y": 0}, list("ab")), 1),
}


@pytest.mark.parametrize("words", BAD_MAPS)
def test_bad_maps_are_refused(words):
    with pytest.raises(SpecificationError, match=words):
        BAD_MAPS[words]()


def test_maps_are_read_from_matrices_and_points():
    points = pd.DataFrame({"x": np.repeat(range(5), 5), "y": np.tile(range(5), 5)}, index=AREAS)
    assert bm.Neighbours.within(points, 1.1) == GRID
    matrix = pd.DataFrame(0, AREAS, AREAS)
    for one, other in PAIRS:
        matrix.loc[one, other] = matrix.loc[other, one] = 1
    assert bm.Neighbours.of_matrix(matrix) == GRID
    geopandas = pytest.importorskip("geopandas", reason="polygons come with geopandas")
    shapely = pytest.importorskip("shapely")
    squares = [shapely.box(x, y, x + 1, y + 1) for x, y in points.to_numpy()]
    touching = bm.Neighbours.touching(geopandas.GeoDataFrame({"area": AREAS}, geometry=squares), "area")
    assert {*GRID.pairs} < {*touching.pairs}  # corners meet, too


@pytest.fixture(scope="module")
def outlines():
    geopandas = pytest.importorskip("geopandas", reason="outlines of areas come with geopandas")
    shapely = pytest.importorskip("shapely")
    squares = [shapely.box(int(area[3]), -int(area[1]), int(area[3]) + 1, 1 - int(area[1])) for area in AREAS]
    frame = geopandas.GeoDataFrame({"name": AREAS}, geometry=squares)
    frame.loc[25] = ["extra", shapely.box(5, 0, 6, 1)]
    return frame.iloc[::-1]


def test_a_map_has_the_colours_of_the_posterior(posterior, outlines):
    import matplotlib as mpl

    mpl.use("Agg")
    axes = bm.plots.map(posterior, outlines, "area", "name", threshold=0.2)
    own, shared = (posterior["posterior"][f"u_{name}"][..., 0] for name in ("area", "spatial(area)"))
    total = (own + shared.rename({"spatial(area)": "area"}).sel(area=own["area"])).stack(s=("chain", "draw"))
    bars = [ax for ax in axes[0].figure.axes if ax not in axes]
    for ax, bar, shown in zip(axes, bars, (total.mean("s"), total.std("s"), (total > 0.2).mean("s")), strict=True):
        faces = ax.collections[0].get_facecolors()[::-1]
        scale = bar._colorbar.mappable
        for area, value in zip(own["area"].to_numpy(), shown.to_numpy(), strict=True):
            # a colour map has 256 colours, and sds with n - 1 are another 0.01 %
            assert faces[AREAS.index(area)] == pytest.approx(scale.to_rgba(value), abs=0.03)
        assert faces[25].tolist() == [1, 1, 1, 1]
    assert [ax.get_title(loc="left") for ax in axes] == [
        "Posterior mean",
        "Posterior SD",
        "Probability of more than 0.2",
    ]
    words = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    assert words == ["not in the model", "no respondents"]
    # r3c1, where nobody was asked, is the mean of its neighbours with the sd of an area of its own
    sd = float(np.sqrt(shared.sel({"spatial(area)": "r3c1"}).var() + (posterior["posterior"]["tau_area"] ** 2).mean()))
    found = axes[1].collections[0].get_facecolors()[::-1][AREAS.index("r3c1")]
    assert found == pytest.approx(bars[1]._colorbar.mappable.to_rgba(sd), abs=0.1)  # the largest, of 4,000 draws


def test_a_report_has_the_maps(posterior, outlines, tmp_path):
    known = (outlines.rename(columns={"name": "area"}), "area")
    with_map, without = (
        bm.report(posterior, tmp_path / "page.html", **chosen).read_text(encoding="utf-8")
        for chosen in ({"outlines": known}, {})
    )
    assert "Map: Area" in with_map and with_map.count("<svg") == without.count("<svg") + 1
    with pytest.raises(DataError, match="geopandas"):
        bm.report(posterior, tmp_path / "other.html", outlines=(DATA, "area"))
    assert not (tmp_path / "other.html").exists()


def test_a_map_of_predictions_and_of_what_cannot_be_drawn(posterior, outlines):
    people = pd.DataFrame({"area": AREAS, "x": 0.0})
    y = bm.predict(posterior, people, seed=1)["predictions"]["y"].assign_coords(row=AREAS)
    axes = bm.plots.map(posterior, outlines, "area", "name", values=y, threshold=2.0)
    bar = next(ax for ax in axes[0].figure.axes if ax not in axes)
    low, high = bar._colorbar.mappable.get_clim()
    assert (low, high) == pytest.approx(
        (float(y.mean(["chain", "draw"]).min()), float(y.mean(["chain", "draw"]).max()))
    )
    calls = {
        "no column 'area'": lambda: bm.plots.map(posterior, outlines, "area"),
        "no such effects": lambda: bm.plots.map(posterior, outlines, "town", "name"),
        "does not have r4c4": lambda: bm.plots.map(posterior, outlines[outlines["name"] != "r4c4"], "area", "name"),
        "repeats r0c0": lambda: bm.plots.map(posterior, outlines.replace("extra", "r0c0"), "area", "name"),
        "leave it out": lambda: bm.plots.map(posterior, outlines, "area", "name", ratios=True),
        "give the threshold": lambda: bm.plots.map(posterior, outlines, "area", "name", values=y),
        "a geopandas frame": lambda: bm.plots.map(posterior, pd.DataFrame({"name": AREAS}), "area", "name"),
        "0 rows and no outline": lambda: map_height(outlines.iloc[:0], 5.0),
        "names an area twice": lambda: bm.plots.map(
            posterior, outlines, "area", "name", values=y.assign_coords(row=["a"] * 25), threshold=1.0
        ),
        "one more": lambda: bm.plots.map(posterior, outlines, "area", "name", values=y[0], threshold=1.0),
    }
    for words, call in calls.items():
        with pytest.raises(BayesmigError, match=words):
            call()


def test_maps_of_more_areas_than_are_drawn_are_refused_by_quadrature():
    line, data = bm.Neighbours.in_order(range(240)), pd.DataFrame({"area": range(240), "y": np.arange(240) % 3})
    spec = bm.ModelSpec("y ~ 1 + (1 | spatial(area))", family="poisson", neighbours={"area": line})
    assert "241 coefficients and effects" in bm.Quadrature().refuses(build_design(spec, data))


def test_an_order_is_a_random_walk():
    """The flow of the Nile, 1871 to 1970: variances 15,099 and 1,469.1 of Durbin & Koopman 2012, section 2.10."""
    nile = pytest.importorskip("statsmodels.api").datasets.nile.load_pandas().data.astype({"year": int})
    line = bm.Neighbours.in_order(range(1871, 1971))
    spec = bm.ModelSpec("volume ~ 1 + (1 | spatial(year))", neighbours={"year": line})
    found, _ = mixed(build_design(spec, nile).apart, "reml", "classical", None)
    step = (np.diff(line.root, axis=0) ** 2).sum(axis=1)  # its variance at an sd of one
    assert float(found["sigma"]) ** 2 == pytest.approx(15099, abs=0.5)
    assert float(found["tau_spatial(year)"][0]) ** 2 * step == pytest.approx(1469.1, abs=0.1)
    months = bm.Neighbours.in_order(["jan", "feb", "mar", "apr"], around=True)
    assert {*months.pairs} == {("jan", "feb"), ("feb", "mar"), ("mar", "apr"), ("jan", "apr")}


FORMULAS = {
    "y ~ x + (1 | spatial(area:x))": (SpecificationError, "one column"),
    "y ~ x + (1 |a| spatial(area))": (SpecificationError, "no others"),
    "y ~ x + (1 + x | spatial(area))": (SpecificationError, "one effect a group"),
    "y ~ x + (1 | area)": (SpecificationError, "has no"),
    "y ~ x + (1 | spatial(town))": (SpecificationError, "do not say which"),
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_bad_formulas_are_refused(formula):
    kind, words = FORMULAS[formula]
    with pytest.raises(kind, match=words):
        bm.fit(formula, DATA.assign(town=DATA["area"]), neighbours={"area": GRID}, seed=1)


def test_the_graph_of_a_map_has_independent_effects():
    graph = bm.to_pymc(bm.ModelSpec(BYM, neighbours={"area": GRID}), DATA)
    assert {"z_spatial(area)", "tau_spatial(area)_0"} <= {variable.name for variable in graph.free_RVs}


def test_what_knows_no_maps_says_so(posterior):
    with pytest.raises(DataError, match="not on the map"):
        bm.fit(BYM, DATA, neighbours={"area": bm.Neighbours(PAIRS[:5])}, seed=1)
    spec = bm.ModelSpec(BYM, neighbours={"area": GRID})
    for call in (
        lambda: bm.estimate(spec, DATA, errors="robust"),
        lambda: bm.fit(spec, DATA, engine=bm.Bambi(), seed=1),
        lambda: bm.fit(spec, bm.chunks(DATA), seed=1),
    ):
        with pytest.raises(EngineRefusal, match=r"spatial\(area\)"):
            call()
    with pytest.raises(BayesmigError, match="cannot be adjusted"):
        bm.fit(spec, DATA, adjust="sandwich", seed=1)
    with pytest.raises(BayesmigError, match="use loo"):
        bm.checking.leave_one_group_out(posterior, "area")


@pytest.mark.slow
def test_tails_of_moran_are_rarely_small_where_areas_are_independent(capsys):
    """The data are used twice, so that tails below 0.025 are no more than 2.5 % of those of a true model."""
    rng, sets, small = np.random.default_rng(1), 200, {}
    for number in range(sets):
        code = np.repeat(np.arange(25), 12)
        data = pd.DataFrame({"area": np.array(AREAS)[code], "y": rng.normal(0, 0.7, 25)[code] + rng.normal(size=300)})
        tree = bm.fit("y ~ 1 + (1 | area)", data, seed=number, draws=1000)
        for _, row in bm.checking.moran(tree, GRID, "area", draws=400).iterrows():
            small.setdefault(row["of"], []).append(row["tail"])
    print({of: [np.mean(np.array(tails) < level) for level in (0.025, 0.1, 0.5)] for of, tails in small.items()})
    # 2.5 % and four binomial errors of 200 sets
    assert all(np.mean(np.array(tails) < 0.025) < 0.07 for tails in small.values())


@pytest.mark.slow
def test_intervals_of_what_describes_areas_cover(capsys):
    """A predictor of areas that is itself alike among neighbours: independent areas understate its error."""
    rng, wide = np.random.default_rng(1), {"map": 0, "independent": 0}
    spatial = bm.ModelSpec("y ~ z + (1 | area) + (1 | spatial(area))", neighbours={"area": GRID})
    plain = bm.ModelSpec("y ~ z + (1 | area)")
    sets = 300
    for number in range(sets):
        z, u = (GRID.root @ rng.normal(size=(24, 2))).T
        code = np.repeat(np.arange(25), 12)
        data = pd.DataFrame({"area": np.array(AREAS)[code], "z": z[code]})
        data["y"] = 0.5 * z[code] + 0.7 * u[code] + rng.normal(size=len(code))
        for name, spec in (("map", spatial), ("independent", plain)):
            groups, _, _ = drawn(build_design(spec, data), candidates(draws=1000), np.random.SeedSequence(number))
            low, high = np.quantile(groups["posterior"]["beta"].sel(term="z"), [0.025, 0.975])
            wide[name] += low < 0.5 < high
    print({name: count / sets for name, count in wide.items()})
    # 95 % less four binomial errors of 300 sets are 90 %
    assert wide["map"] / sets > 0.90 and wide["independent"] < wide["map"]
