"""Effects that are alike as far as one more number says (BYM2, AR(1), Gaussian processes): dense algebra, limits, nlme,
engines, verbs, and bad input."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from as_written import AS_WRITTEN
from references import FOLDER
from scipy import stats

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, SpecificationError
from bayesmig.inference import sparse
from bayesmig.inference.engines import graphs
from bayesmig.inference.engines.exact import VarianceDensity
from bayesmig.inference.gaussian import MixedModelEquations
from bayesmig.inference.response import parameters
from bayesmig.reporting.mathematics import equations, in_words, latex
from bayesmig.reporting.words import prior_rows, quantity
from bayesmig.specification.neighbours import Points

AREAS = [f"r{row}c{column}" for row in range(4) for column in range(4)] + ["island"]
PAIRS = [(f"r{r}c{c}", f"r{r + 1}c{c}") for r in range(3) for c in range(4)]
PAIRS += [(f"r{r}c{c}", f"r{r}c{c + 1}") for r in range(4) for c in range(3)]
GRID = bm.Neighbours(PAIRS, AREAS)
PLACES = Points({name: (k // 4, k % 4 + 0.1 * (k // 4)) for k, name in enumerate(AREAS)})
WAVES = [2002, 2004, 2006, 2010, 2012, 2018]
TERMS = {"bym2(area)": {"area": GRID}, "gp(area)": {"area": PLACES}, "ar1(wave)": {}}


def people(n=240):
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"x": rng.normal(size=n), "area": rng.choice(AREAS[1:], n), "wave": rng.choice(WAVES, n)})
    effects = dict(zip(AREAS, GRID.root @ rng.normal(size=16), strict=True))
    data["y"] = 1 + 0.4 * data["x"] + 0.5 * data["area"].map(effects) + rng.normal(0, 0.8, n)
    return data.assign(trips=rng.poisson(np.exp(0.3 * data["y"])))


DATA = people()


def spec_of(term, family="gaussian", outcome="y", **more):
    return bm.ModelSpec(f"{outcome} ~ x + (1 | {term})", family=family, neighbours=TERMS[term], **more)


def covariance(term, rho):
    """Covariance of the effects of all groups of a term at an sd of one, as papers write it."""
    if term == "bym2(area)":
        return (1 - rho) * np.eye(17) + rho * GRID.root @ GRID.root.T  # Riebler et al. 2016, eq. 8
    places = np.array(list(PLACES.places.values())) if term == "gp(area)" else np.array(WAVES)[:, None]
    apart = np.sqrt(((places[:, None] - places) ** 2).sum(axis=2))
    return rho ** (apart / (PLACES.unit if term == "gp(area)" else 2))


@pytest.mark.parametrize("term", TERMS)
def test_density_is_that_of_dense_algebra(term):
    """Differences of the log density of sigma, tau and rho, coefficients and effects integrated out, to 1e-8."""
    design = build_design(spec_of(term, priors=pr.PriorSet(pr.Normal(0, 2), pr.Normal(0, 1))), DATA)
    target = VarianceDensity(MixedModelEquations.of(design.apart.centred))
    points = np.random.default_rng(1).normal(0, 0.7, (6, 3))
    sigma, (tau,), _ = target.parameters.parts(points)
    (rho,) = target.parameters.correlations(points)
    unit, codes, x = target.equations.scale.y_sd, design.groups[0].codes, DATA["x"] - DATA["x"].mean()
    expected = []
    for s, t, r in zip(sigma * unit, tau[:, 0] * unit, rho[:, 0], strict=True):
        of_groups = covariance(term, r)[np.ix_(codes, codes)]
        whole = s**2 * np.eye(len(x)) + t**2 * of_groups + 4 + np.outer(x, x)
        expected.append(stats.multivariate_normal(np.zeros(len(x)), whole).logpdf(DATA["y"]))
    found = target.conditional(points).log_density
    assert np.diff(found) == pytest.approx(np.diff(expected), abs=1e-8)
    constant = target.equations.log_density_constant
    assert found + constant == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("rho", [0.0, 0.3, 1 - 1e-7])
def test_effects_have_this_covariance_and_density(term, rho):
    structure = build_design(spec_of(term), DATA).groups[0].structure
    root = structure.root(np.array(rho))
    root = structure.basis @ (np.diag(root[:, 0]) if root.shape[1] == 1 else root)
    # a Cholesky factor of distances at a correlation of one keeps half of the digits
    assert root @ root.T == pytest.approx(covariance(term, rho), abs=1e-8)
    noise = np.random.default_rng(1).normal(size=(3, len(root)))
    effects = structure.multiplied(np.full(3, 0.3), noise) @ structure.basis.T
    normal = stats.multivariate_normal(np.zeros(len(root)), covariance(term, 0.3))
    assert np.diff(structure.log_density(np.full(3, 0.3), effects)) == pytest.approx(np.diff(normal.logpdf(effects)))


PARTS = bm.Neighbours([*PAIRS, ("u", "v"), ("v", "w")], [*AREAS, "u", "v", "w"])  # nobody lives in the second part
LARGE = ["(1 | bym2(area))", "(1 | spatial(area)) + (1 | area)", "(1 + x || wave) + (1 | bym2(area))"]


@pytest.mark.parametrize("kind", [None, "frequency", "precision"])
@pytest.mark.parametrize("terms", LARGE)
def test_sparse_factors_have_the_density_of_dense_ones(terms, kind, monkeypatch):
    monkeypatch.setattr(sparse, "LEAST_AREAS", 5)
    weights = {} if kind is None else {"weights": bm.Weights("w", kind)}
    spec = bm.ModelSpec(f"y ~ x + {terms}", neighbours={"area": PARTS}, **weights)
    design = build_design(spec, DATA.assign(w=1 + np.arange(len(DATA)) % 3)).centred
    assert sparse.serves(design) and not sparse.serves(design.apart)
    dense = VarianceDensity(MixedModelEquations.of(design.apart.centred))
    other = VarianceDensity(sparse.SparseEquations.of(design))
    points = np.random.default_rng(1).normal(0, 0.7, (4, dense.parameters.dimension))
    points[2, 1], points[3, -1] = -8.0, 5.0  # hardly any sd, and nearly everything shared
    for point in points[:, None]:
        expected = dense.conditional(point).log_density
        assert other.conditional(point).log_density == pytest.approx(expected, abs=1e-8)
    assert other.equations.log_density_constant == pytest.approx(dense.equations.log_density_constant)
    beta, effects = dense.equations.draw(dense.conditional(points[:1]), 4000, np.random.default_rng(1))
    named = {f"u_{group.name}": own for group, own in zip(design.apart.groups, effects, strict=True)}
    expected = design.together({"beta": beta} | named)
    beta, effects = other.equations.draw(other.conditional(points[:1]), 4000, np.random.default_rng(2))
    named = {f"u_{group.name}": own for group, own in zip(design.groups, effects, strict=True)}
    for name, drawn in ({"beta": beta} | named).items():
        one, two = expected[name].reshape(4000, -1), drawn.reshape(4000, -1)
        # four and a half Monte Carlo errors of means and sds of 4,000 draws (some 70 of them), and of correlations
        assert (abs(one.mean(axis=0) - two.mean(axis=0)) < 4.5 * np.sqrt(2 / 4000) * one.std(axis=0)).all()
        assert two.std(axis=0) == pytest.approx(one.std(axis=0), rel=4.5 / np.sqrt(4000))
        assert np.corrcoef(two.T) == pytest.approx(np.corrcoef(one.T), abs=5.5 * np.sqrt(2 / 4000))


def test_exact_takes_sparse_factors_for_large_maps(monkeypatch):
    dense = bm.fit(spec_of("bym2(area)"), DATA, seed=1)
    monkeypatch.setattr(sparse, "LEAST_AREAS", 5)
    large = bm.fit(spec_of("bym2(area)"), DATA, seed=1)
    one, two = (tree["sample_stats"]["log_marginal_likelihood"].item() for tree in (dense, large))
    assert one == pytest.approx(two, abs=0.1)
    assert large["posterior"]["u_bym2(area)"].dims == dense["posterior"]["u_bym2(area)"].dims
    one, two = (tree["posterior"]["u_bym2(area)"].mean(("chain", "draw")).to_numpy() for tree in (dense, large))
    # effective draws are some 2,400, of effects with sds of up to 0.3
    assert one == pytest.approx(two, abs=4.5 * 0.3 * np.sqrt(2 / 2400))
    assert bm.loo(large).elpd == pytest.approx(bm.loo(dense).elpd, abs=0.5)


@pytest.mark.parametrize("limit", ["own", "shared"])
def test_limits_are_groups_and_neighbours(limit):
    """Where nothing is shared, or all, BYM2 has the likelihoods of plain groups, and of ICAR."""
    design = build_design(spec_of("bym2(area)"), DATA).apart.centred
    target = VarianceDensity(MixedModelEquations.of(design, flat=True))
    known, score = ({}, -9.0) if limit == "own" else ({"area": GRID}, 9.0)
    spec = bm.ModelSpec(f"y ~ x + (1 | {'area' if limit == 'own' else 'spatial(area)'})", neighbours=known)
    plain = VarianceDensity(MixedModelEquations.of(build_design(spec, DATA).apart.centred, flat=True))
    points = np.column_stack([np.random.default_rng(1).normal(0, 0.5, (4, 2)), np.full(4, score)])
    found, expected = target.conditional(points), plain.conditional(points[:, :2])
    assert found.log_density == pytest.approx(expected.log_density)
    assert found.profile == pytest.approx(expected.profile)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("rows", ["all", "holes"])
def test_an_autoregression_under_noise_is_that_of_nlme(rows, method):
    """The flow of the Nile, also with years missing."""
    nile = pytest.importorskip("statsmodels.api").datasets.nile.load_pandas().data.astype({"year": int})
    nile = nile.assign(slope=nile["year"] - 1920)
    data = nile[~nile["year"].isin([*range(1880, 1885), 1901, 1950, 1951, 1952])] if rows == "holes" else nile
    tree = bm.estimate("volume ~ slope + (1 | ar1(year))", data, method=method)
    table = pd.read_csv(FOLDER / "autoregression.csv")
    expected = table[(table["data"] == rows) & (table["method"] == method)].set_index("quantity")["value"]
    values = tree["estimate"]
    assert tree.attrs["log_likelihood"] == pytest.approx(expected["log_likelihood"], abs=1e-7)
    found = [*values["beta"].to_numpy(), values["sigma"], values["tau_ar1(year)"][0], values["rho_ar1(year)"][0]]
    # nlme stops where the likelihood is flat to ten digits, which leaves half as many of these
    assert np.array(found, dtype=float) == pytest.approx(
        expected[["intercept", "slope", "sigma", "tau", "rho"]], rel=5e-6
    )
    lost = len(data) / (len(data) - 2) if method == "ml" else 1.0  # by which nlme enlarges variances of ML
    assert float(values["beta_se"][1]) ** 2 * lost == pytest.approx(expected["slope_error"] ** 2, rel=5e-6)
    lower, estimate, upper = (float(values[f"rho_ar1(year){end}"][0]) for end in ("_lower", "", "_upper"))
    assert 0 < lower < estimate < upper < 1


@pytest.mark.parametrize("term", TERMS)
def test_the_graph_has_the_density_of_the_formulas(term):
    design = build_design(spec_of(term), DATA).apart.centred
    model, (group,), rng = graphs.build(design), design.groups, np.random.default_rng(2)
    density = model.compile_logp(mode=AS_WRITTEN, jacobian=False)
    totals, expected = [], []
    for rho in (0.2, 0.7):
        noise, sd, b = rng.normal(size=(len(group.levels), 1)), 0.6, np.array([0.3])
        point = {
            "alpha": np.array([1.1]),
            "b": b,
            f"tau_{group.name}_0": sd,
            f"rho_{group.name}": rho,
            f"z_{group.name}": noise,
        }
        totals.append(float(density(_on_free_scale(model, point | {"sigma": 0.9}))))
        effects = sd * group.structure.multiplied(np.array([rho]), noise[:, 0][None])[0]
        eta = 1.1 + 0.3 * (DATA["x"] - DATA["x"].mean()) + group.amounts @ effects
        prior = stats.norm.logpdf(noise).sum()
        expected.append(stats.norm.logpdf(DATA["y"], eta, 0.9).sum() + prior)
    assert np.diff(totals) == pytest.approx(np.diff(expected))


def _on_free_scale(model, point):
    """Values of the variables as PyMC transforms them."""
    found = {}
    for variable in model.free_RVs:
        value, transform = np.asarray(point[variable.name], dtype=float), model.rvs_to_transforms[variable]
        moved = value if transform is None else transform.forward(value, *variable.owner.inputs).eval()
        found[model.rvs_to_values[variable].name] = np.asarray(moved)
    return found


@pytest.mark.parametrize("term", ["bym2(area)", "gp(area)"])
def test_engines_agree(term):
    trees = [bm.fit(spec_of(term), DATA, engine=engine, seed=1) for engine in (bm.Exact(), bm.Quadrature())]
    for name in ("beta", "sigma", f"tau_{term}", f"rho_{term}", f"u_{term}"):
        one, two = (parameters(tree["posterior"])[name] for tree in trees)
        # means of some 3,000 independent draws each, within four and a half Monte Carlo errors (22 of them)
        assert (abs(one.mean(axis=0) - two.mean(axis=0)) < 4.5 * np.sqrt(2 / 3000) * one.std(axis=0)).all()
    one, two = (tree["sample_stats"]["log_marginal_likelihood"].item() for tree in trees)
    assert one == pytest.approx(two, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("outcome", ["y", "trips"])
def test_nuts_agrees(term, outcome):
    spec = spec_of(term, "gaussian" if outcome == "y" else "poisson", outcome)
    ours, other = (bm.fit(spec, DATA, engine=engine, seed=1) for engine in (None, bm.NUTS(draws=2000)))
    for name in ("beta", f"tau_{term}", f"rho_{term}"):
        one, two = (parameters(tree["posterior"])[name] for tree in (ours, other))
        # of NUTS' 8,000 draws some 800 are effective of the worst parameter
        assert (abs(one.mean(axis=0) - two.mean(axis=0)) < 4.5 * np.sqrt(1 / 3000 + 1 / 800) * one.std(axis=0)).all()


@pytest.fixture(scope="module")
def counts():
    return bm.fit(spec_of("bym2(area)", "poisson", "trips"), DATA, seed=1)


def test_verbs_take_them(counts, tmp_path):
    assert counts.attrs["engine"].startswith("Quadrature")
    counts.to_netcdf(tmp_path / "map.nc")
    opened = xr.open_datatree(tmp_path / "map.nc")
    assert bm.loo(opened).elpd == pytest.approx(bm.loo(counts).elpd)
    components = bm.variance_components(counts)
    assert 0 < components.loc["rho_bym2(area)[spatial]", "eti95_lower"] < 1
    assert "Area and its neighbours: SD of the" in str(bm.summary(counts))
    sensitivity = bm.checking.power_scaling(counts)
    assert {"rho_bym2(area)[spatial]", "tau_bym2(area)[intercept]"} <= {*sensitivity.index}
    census = pd.DataFrame({"area": AREAS, "x": 0.0, "n": 1})
    assert len(bm.poststratify(counts, census, by="area", count="n").table) == 17
    assert {*bm.checking.moran(counts)["of"]} == {"residuals", "bym2(area)[intercept]"}
    assert "Moran's I" in {*bm.check(counts)["check"]}
    spec = spec_of("gp(area)")
    assert bm.ModelSpec.from_json(spec.to_json()) == spec
    latest = {row["check"]: row["message"] for row in bm.check(counts).to_dict("records")}
    assert latest["number of groups"].startswith("16 groups")  # of 17, one without people
    shown = bm.plots.shrinkage(counts, "bym2(area)").get_yticklabels()
    assert len(shown) == 16
    assert "Beta" in bm.prior_table(spec, DATA).loc["rho_gp(area)", "prior"]
    tighter = spec_of("gp(area)", priors=pr.PriorSet().changed(**{"rho_gp(area)": pr.Beta(30, 30)}))
    assert "30" in bm.prior_table(tighter, DATA).loc["rho_gp(area)", "prior"]


def test_words_and_equations_are_of_the_term(counts):
    """A share is no correlation, effects that are alike are not independent, and priors are those that were used."""
    assert quantity(spec_of("bym2(area)"), "rho_bym2(area)[spatial]").endswith("that neighbours have in common")
    assert quantity(spec_of("gp(area)"), "rho_gp(area)[at 2]").endswith("correlation of effects (at 2)")
    lines = [latex(line) for line in equations(counts)]
    name = r"\text{area and its neighbours}"
    assert lines[-1].endswith(rf"\tau_{{{name}}}^{{2}} [ ( 1 - \rho_{{{name}}} ) I + \rho_{{{name}}} R ] )")
    assert "in part its own and in part like those of its neighbours" in in_words(counts)[-1]
    shown = {words: prior for words, prior, _ in prior_rows(spec_of("bym2(area)", "poisson"), counts)}
    assert shown["Area and its neighbours: share of the variance that neighbours have in common"] == "Beta(a=1, b=1)"
    assert "Correlations of varying effects" not in shown
    near = bm.estimate("y ~ x + (1 | ar1(wave))", DATA)
    assert latex(equations(near)[-1]).endswith(r"= \rho_{\text{wave and those before and after}}^{d_{j k}}")
    assert "the nearer they are" in in_words(near)[-1]


def test_waves_that_predictors_tell_apart_are_noted():
    design = build_design(bm.ModelSpec("y ~ x + C(wave) + (1 | ar1(wave))"), DATA)
    assert "the predictors tell all groups of ar1(wave) apart: its sd rests on the prior alone" in design.notes
    with pytest.raises(SpecificationError, match="both a categorical predictor and a grouping factor"):
        build_design(bm.ModelSpec("y ~ area + (1 | bym2(area))", neighbours={"area": GRID}), DATA)


def test_waves_to_come_are_known_by_the_last_ones():
    waves = Points.in_order(range(2000, 2012))
    data = DATA.assign(wave=2000 + np.arange(len(DATA)) % 10)
    spec = bm.ModelSpec("y ~ x + (1 | ar1(wave))", neighbours={"wave": waves})
    tree = bm.fit(spec, data, seed=1)
    effects = tree["posterior"]["u_ar1(wave)"][..., 0]
    assert effects.sizes["ar1(wave)"] == 12
    rho, last = tree["posterior"]["rho_ar1(wave)"][..., 0], effects.sel({"ar1(wave)": "2009"})
    # E(u_2011 | u_2009) = rho^2 u_2009, within four Monte Carlo errors of 4,000 draws
    away = effects.sel({"ar1(wave)": "2011"}) - rho**2 * last
    assert abs(float(away.mean())) < 4 * float(away.std()) / np.sqrt(3000)
    assert float(effects.sel({"ar1(wave)": "2011"}).std()) > float(last.std())


def test_prior_draws_have_the_covariance():
    spec = spec_of(
        "ar1(wave)",
        priors=pr.PriorSet(pr.Normal(0, 1), pr.Normal(0, 1), tau=pr.HalfNormal(1)).changed(
            **{"rho_ar1(wave)": pr.Beta(4000, 1000)}
        ),
    )
    drawn = bm.simulate(spec, DATA, draws=4000, seed=1)["prior"]
    scaled = (drawn["u_ar1(wave)"][..., 0] / drawn["tau_ar1(wave)"][..., 0])[0].to_numpy()
    # sds of correlations of 4,000 draws are at most 1 / sqrt(4,000)
    assert np.corrcoef(scaled.T) == pytest.approx(covariance("ar1(wave)", 0.8), abs=4 / np.sqrt(4000))


BAD = {
    "bym2 of points": (SpecificationError, "have Points of 'area'", "bym2(area)", {"area": PLACES}),
    "gp of neighbours": (SpecificationError, "have Neighbours of 'area'", "gp(area)", {"area": GRID}),
    "gp of nothing": (SpecificationError, "do not say where its groups lie", "gp(area)", {}),
    "waves in words": (SpecificationError, "are no numbers", "ar1(area)", {}),
    "slopes": (SpecificationError, "one effect a group", "bym2(area)", {"area": GRID}),
    "unknown": (DataError, "not on the map", "gp(area)", {"area": Points({"a": 1, "r0c1": 2})}),
    "two columns": (SpecificationError, "of one column", "ar1(wave:area)", {}),
}


BAD_WAVES = {
    "single group": ["2010"],
    "lie in one place": ["1", "1.0", "2"],
    "finite numbers": ["1", "2", "inf"],
    "2 to 300 groups": [f"{k}" for k in range(350)],
    r"'when': Points.in_order\(\['first', 'second', ...\]\)": ["first", "second"],
}


@pytest.mark.parametrize("words", BAD_WAVES)
def test_what_waves_lack_is_said(words):
    data = pd.DataFrame({"when": BAD_WAVES[words] * 2, "y": 0.0}).assign(y=lambda frame: np.sin(frame.index))
    with pytest.raises(BayesmigError, match=words):
        build_design(bm.ModelSpec("y ~ 1 + (1 | ar1(when))"), data)


def test_a_variance_of_zero_has_no_likeness():
    """Where effects are zero the likelihood does not know how alike they are, and no number may stand there."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": rng.normal(size=60), "wave": rng.integers(0, 2, 60), "y": rng.normal(size=60)})
    shown = bm.variance_components(bm.estimate("y ~ x + (1 | ar1(wave))", data, method="ml"))
    assert shown.loc["tau_ar1(wave)[intercept]", "estimate"] == 0
    assert shown.loc["rho_ar1(wave)[at 1]"].isna().all()


@pytest.mark.parametrize("case", BAD)
def test_bad_terms_are_refused(case):
    kind, words, term, neighbours = BAD[case]
    effects = "1 + x" if case == "slopes" else "1"
    with pytest.raises(kind, match=words):
        bm.fit(f"y ~ x + ({effects} | {term})", DATA, neighbours=neighbours, seed=1)


BAD_POINTS = {
    "in one place": lambda: Points({"a": 1, "b": 1.0}),
    "as many coordinates": lambda: Points({"a": 1, "b": (1, 2)}),
    "2 to 300": lambda: Points({"a": 1}),
    "coordinates by group": lambda: Points([1, 2]),
    "finite numbers": lambda: Points({"a": 1, "b": np.nan}),
    "distance above zero": lambda: Points({"a": 1, "b": 2}, unit=-1),
    "unit='km' is no distance": lambda: Points({"a": 1, "b": 2}, unit="km"),
    "'a' stands twice": lambda: Points.in_order(["a", "b", "c", "a"]),
    "'b' stands twice": lambda: Points.of_frame(pd.DataFrame({"x": [1, 2, 3]}, ["a", "b", "b"])),
    "points must be a data frame of numbers": lambda: Points.of_frame(pd.DataFrame({"x": ["p", "q"]}, ["a", "b"])),
    "got a ndarray": lambda: bm.Neighbours.of_matrix(np.eye(2)),
    "got text among its values": lambda: bm.Neighbours.within(pd.DataFrame({"x": ["p"], "y": 1}, ["a"]), 1),
    "no column 'nope'": lambda: bm.Neighbours.touching(pd.DataFrame({"area": ["a"]}), "nope"),
}


@pytest.mark.parametrize("words", BAD_POINTS)
def test_bad_points_are_refused(words):
    with pytest.raises(SpecificationError, match=words):
        BAD_POINTS[words]()


def test_what_knows_none_says_so():
    spec = spec_of("bym2(area)")
    for call in (
        lambda: bm.estimate(spec, DATA, errors="robust"),
        lambda: bm.fit(spec, DATA, engine=bm.Bambi(), seed=1),
        lambda: bm.fit(spec, bm.chunks(DATA), seed=1),
        lambda: bm.estimate(spec_of("bym2(area)", "poisson", "trips"), DATA),
    ):
        with pytest.raises(EngineRefusal, match=r"bym2\(area\)"):
            call()
    weights = bm.Weights("w", groups={"area": "w"})
    with pytest.raises(SpecificationError, match=r"effects of spatial\(area\) have one density together"):
        mapped = bm.ModelSpec("y ~ x + (1 | area) + (1 | spatial(area))", neighbours={"area": GRID}, weights=weights)
        build_design(mapped, DATA.assign(w=1 + (DATA["area"] == "r0c1")))
    with pytest.raises(BayesmigError, match="cannot be adjusted"):
        bm.fit(spec, DATA, adjust="sandwich", seed=1)
    with pytest.raises(SpecificationError, match="allowed here: Beta"):
        bm.fit(spec_of("bym2(area)", priors=pr.PriorSet().changed(**{"rho_bym2(area)": pr.LKJ(2)})), DATA, seed=1)
