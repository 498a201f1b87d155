"""People in several groups: estimates against lme4 and dense algebra, engines, verbs, new groups, and bad input."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from references import FOLDER
from scipy import optimize

import bayesmig as bm
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import Rows, encode_rows
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, SpecificationError, UnknownColumn
from bayesmig.inference.fitting import candidates, drawn
from bayesmig.inference.response import parameters
from bayesmig.reporting.figures import figures_of
from bayesmig.reporting.mathematics import equations, in_words, latex
from bayesmig.specification.formula import parse
from bayesmig.specification.priors import HalfNormal, Normal

DATA = pd.read_csv(FOLDER / "memberships_data.csv")  # with one, two or three areas; some third ones of zero years
REFERENCE = pd.read_csv(FOLDER / "memberships.csv")
YEARS = "(1 | mm(area1, area2, area3, weights=(years1, years2, years3)))"
NAME = "mm(area1, area2, area3)"
FITS = {
    "equal": "y ~ x + (1 | mm(area1, area2, area3))",
    "years": f"y ~ x + {YEARS}",
    "years and schools": f"y ~ x + (1 | school) + {YEARS}",
}
NOBODY = {"area2": None, "area3": None, "years2": 0.0, "years3": 0.0}


def by_hand(data, equal=False):
    """Parts of people in areas, a loop over rows."""
    areas = sorted({*data["area1"], *data["area2"].dropna(), *data["area3"].dropna()})
    parts = np.zeros((len(data), len(areas)))
    for row, person in enumerate(data.to_dict("records")):
        places = [k for k in "123" if person[f"area{k}"] in areas]
        total = sum(1 if equal else person[f"years{k}"] for k in places)
        for k in places:
            parts[row, areas.index(person[f"area{k}"])] += (1 if equal else person[f"years{k}"]) / total
    return areas, parts


@pytest.fixture(scope="module")
def posterior():
    return bm.fit(FITS["years"], DATA, seed=1)


@pytest.fixture(scope="module")
def binary():
    return bm.fit(f"b ~ x + {YEARS}", DATA.assign(b=(DATA["y"] > 1).astype(int)), family="bernoulli", seed=1)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("fit", FITS)
def test_estimates_are_those_of_lme4(fit, method):
    tree = bm.estimate(FITS[fit], DATA, method=method)
    chosen = REFERENCE[(REFERENCE["fit"] == fit) & (REFERENCE["method"] == method)]
    expected, found = chosen.set_index("quantity")["value"], tree["estimate"]
    assert found["beta"].to_numpy() == pytest.approx(expected[["intercept", "x"]].to_numpy(), abs=1e-6)
    errors = expected[["error of intercept", "error of x"]].to_numpy()
    assert found["beta_se"].to_numpy() == pytest.approx(errors, abs=1e-6)
    # lme4's search for sds ends at differences of 1e-6
    assert float(found["sigma"]) == pytest.approx(expected["sigma"], abs=1e-5)
    assert float(found[f"tau_{NAME}"][0]) == pytest.approx(expected["area"], abs=1e-5)
    assert tree.attrs["log_likelihood"] == pytest.approx(expected["log likelihood"], abs=1e-6)
    effects = found[f"u_{NAME}"].sel({NAME: ["a00", "a05", "a13"]})[:, 0]
    assert effects.to_numpy() == pytest.approx(expected[["a00", "a05", "a13"]].to_numpy(), abs=1e-5)


def test_reml_is_that_of_dense_algebra():
    _, parts = by_hand(DATA)
    x, y = np.column_stack([np.ones(len(DATA)), DATA["x"]]), DATA["y"].to_numpy()

    def solved(logs):
        variance = np.exp(2 * logs[0]) * np.eye(len(y)) + np.exp(2 * logs[1]) * parts @ parts.T
        inverse = np.linalg.inv(variance)
        gram = x.T @ inverse @ x
        beta = np.linalg.solve(gram, x.T @ inverse @ y)
        left = y - x @ beta
        logs_of = np.linalg.slogdet(variance)[1] + np.linalg.slogdet(gram)[1]
        return 0.5 * (logs_of + left @ inverse @ left), beta, np.sqrt(np.diag(np.linalg.inv(gram)))

    best = optimize.minimize(lambda logs: solved(logs)[0], [0.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8})
    found = bm.estimate(FITS["years"], DATA, method="reml")["estimate"]
    assert np.exp(best.x) == pytest.approx([float(found["sigma"]), float(found[f"tau_{NAME}"][0])], rel=1e-5)
    assert found["beta"].to_numpy() == pytest.approx(solved(best.x)[1], abs=1e-6)
    assert found["beta_se"].to_numpy() == pytest.approx(solved(best.x)[2], abs=1e-6)


@pytest.mark.parametrize("equal", [True, False])
def test_parts_are_those_of_a_loop_over_rows(equal):
    group = build_design(bm.ModelSpec(FITS["equal" if equal else "years"]), DATA).groups[0]
    areas, parts = by_hand(DATA, equal)
    assert list(group.levels) == areas
    assert group.columns == pytest.approx(parts, abs=1e-15)
    assert group.sizes.tolist() == (parts > 0).sum(axis=0).tolist()


def test_one_column_twice_is_a_plain_factor():
    data = DATA.assign(again=DATA["area1"], w=2.0)
    plain = bm.estimate("y ~ x + (1 | area1)", data)["estimate"]
    for term in ("mm(area1, again)", "mm(area1, again, weights=(years1, w))"):
        name, found = "mm(area1, again)", bm.estimate(f"y ~ x + (1 | {term})", data)["estimate"]
        for one, other in (("beta", "beta"), ("beta_se", "beta_se"), ("sigma", "sigma"), ("tau_area1", f"tau_{name}")):
            assert found[other].to_numpy() == pytest.approx(plain[one].to_numpy(), abs=1e-8)
        assert found[f"u_{name}"].to_numpy() == pytest.approx(plain["u_area1"].to_numpy(), abs=1e-8)


def test_engines_agree(posterior):
    other = bm.fit(FITS["years"], DATA, seed=2, engine=bm.Quadrature(draws=2000))
    for name in ("beta", "sigma", f"tau_{NAME}", f"u_{NAME}"):
        one, two = (parameters(tree["posterior"])[name] for tree in (posterior, other))
        # means of independent draws, 3,000 and 1,500 effective ones, within four and a half errors
        assert (abs(one.mean(axis=0) - two.mean(axis=0)) < 4.5 * np.sqrt(1 / 3000 + 1 / 1500) * one.std(axis=0)).all()
    one, two = (tree["sample_stats"]["log_marginal_likelihood"].item() for tree in (posterior, other))
    assert one == pytest.approx(two, abs=0.2)


@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
def test_nuts_agrees_with_quadrature(family, binary):
    data = DATA.assign(b=(DATA["y"] > 1).astype(int), k=np.floor(np.exp(DATA["y"].clip(upper=3))))
    formula = f"{'b' if family == 'bernoulli' else 'k'} ~ x + {YEARS}"
    one = binary if family == "bernoulli" else bm.fit(formula, data, family=family, seed=1, draws=2000)
    two = bm.fit(formula, data, family=family, seed=1, engine=bm.NUTS(draws=500, tune=500))
    assert one.attrs["engine"].startswith("Quadrature")
    for name in ("beta", f"tau_{NAME}", f"u_{NAME}"):
        first, second = (parameters(tree["posterior"])[name] for tree in (one, two))
        # 1,500 effective draws and, of chains, 400 at least, within four and a half errors
        bound = 4.5 * np.sqrt(1 / 1500 + 1 / 400) * first.std(axis=0)
        assert (abs(first.mean(axis=0) - second.mean(axis=0)) < bound).all()


def test_people_with_fewer_areas_stay_in():
    tree = bm.fit(FITS["equal"], DATA, seed=1, draws=400)
    assert int(tree.attrs["n_used"]) == 160
    lacking = DATA.assign(y=DATA["y"].where(DATA.index != 0), years1=DATA["years1"].where(DATA.index != 1))
    lacking.loc[2, ["area1", "area2", "area3"]] = None  # belongs nowhere
    lacking.loc[5, "area1"] = None  # six years in a place that is not named
    design = build_design(bm.ModelSpec(FITS["years"]), lacking)
    assert design.n == 156
    assert design.missing == {"y": 1, "area1": 2, "years1": 1, "area2": 1, "area3": 1}
    both = build_design(bm.ModelSpec(f"y ~ x + (1 | area3) + {YEARS}"), DATA)  # which must then be known
    assert both.n == int(DATA["area3"].notna().sum())


def test_levels_are_one_set_however_columns_store_them():
    rng = np.random.default_rng(1)
    numbers = rng.choice([1, 2, 3, 10], (60, 2))
    data = pd.DataFrame({"y": rng.normal(size=60), "a": numbers[:, 0], "b": numbers[:, 1].astype(str)})
    data.loc[:5, "b"] = None
    group = build_design(bm.ModelSpec("y ~ 1 + (1 | mm(a, b))"), data).groups[0]
    assert group.levels == ("1", "2", "3", "10")
    kinds = pd.CategoricalDtype(["far", "near", "middle"], ordered=True)
    words = data.assign(a=pd.Categorical.from_codes(rng.integers(0, 3, 60), dtype=kinds))
    words["b"] = pd.Categorical.from_codes(rng.integers(0, 3, 60), dtype=kinds)
    assert build_design(bm.ModelSpec("y ~ 1 + (1 | mm(a, b))"), words).groups[0].levels == ("far", "near", "middle")
    with pytest.raises(DataError, match="differ only in blanks or capitals"):
        build_design(bm.ModelSpec("y ~ 1 + (1 | mm(a, b))"), words.astype({"a": str}).assign(b="Near"))
    apart = build_design(bm.ModelSpec("y ~ 1 + (1 | mm(a, b))"), data.assign(b="x" + data["b"]))
    assert any("no group in common" in note for note in apart.notes)


def test_weights_as_they_are():
    formula = FITS["years"].replace("years3)", "years3), scale=False")
    design = build_design(bm.ModelSpec(formula), DATA)
    _, parts = by_hand(DATA)
    years = DATA[["years1", "years2", "years3"]].sum(axis=1).to_numpy()
    assert design.groups[0].columns == pytest.approx(parts * years[:, None])
    assert any("stay as they are" in note for note in design.notes)
    nowhere = DATA.assign(**{f"years{k}": DATA[f"years{k}"].where(DATA.index != 0, 0) for k in (1, 2, 3)})
    assert not build_design(bm.ModelSpec(formula), nowhere).groups[0].columns[0].any()
    with pytest.raises(DataError, match="1 of 160 rows are zero"):
        build_design(bm.ModelSpec(FITS["years"]), nowhere)


def test_new_people(posterior):
    people = pd.DataFrame(
        {"x": 0.0, "area1": ["a01", "new", "new", "a01"], "years1": 1.0, "area2": ["a02", "other", "new", None]}
    ).assign(years2=[3.0, 1.0, 1.0, 0.0], area3=None, years3=0.0)
    found = bm.predict(posterior, people, seed=1)["predictions"]["y"]
    draws = posterior["posterior"]
    level, effects = draws["beta"].sel(term="intercept"), draws[f"u_{NAME}"][..., 0]
    known = level + 0.25 * effects.sel({NAME: "a01"}) + 0.75 * effects.sel({NAME: "a02"})
    assert found[..., 0].to_numpy() == pytest.approx(known.to_numpy())
    assert found[..., 3].to_numpy() == pytest.approx((level + effects.sel({NAME: "a01"})).to_numpy())
    assert found[NAME].to_numpy().tolist() == ["a01 + a02", "new + other", "new", "a01"]
    square = (draws[f"tau_{NAME}"][..., 0] ** 2).mean()
    for row, count in ((1, 0.5), (2, 1.0)):  # two new groups by halves; one new group counts once
        extra = float((found[..., row] - level).var())
        assert extra == pytest.approx(float(count * square), rel=0.12)  # four errors of the variance of 4,000 draws
    anywhere = bm.predict(posterior, people[["x"]], seed=1)["predictions"]["y"]
    assert float((anywhere[..., 0] - level).var()) == pytest.approx(float(square), rel=0.12)
    with pytest.raises(DataError, match="new, other is not among"):
        bm.predict(posterior, people, new_groups="refuse")
    with pytest.raises(UnknownColumn, match="lack area3, years3"):
        bm.predict(posterior, people.drop(columns=["area3", "years3"]))
    with pytest.raises(DataError, match="'years1' is negative in 4 rows"):
        bm.predict(posterior, people.assign(years1=-1.0))


def test_integration_counts_squares_of_parts(binary):
    design = build_design(bm.ModelSpec(f"b ~ x + {YEARS}", family="bernoulli"), DATA.assign(b=DATA["y"] > 1))
    rows, again = Rows.of(design), encode_rows(design, DATA)
    assert again.z[NAME] == pytest.approx(rows.z[NAME]) and again.amounts[NAME] == pytest.approx(rows.amounts[NAME])
    _, parts = by_hand(DATA)
    assert rows.z[NAME][:, 0] == pytest.approx(np.sqrt((parts**2).sum(axis=1)))
    drawn = [bm.predict(binary, DATA.assign(area1="n1", area2="n2", area3="n3"), seed=k) for k in range(2)]
    mean = bm.predict(binary, DATA, random="integrate")["predictions"]["y"].mean()
    # draws of new groups are averaged over 8,000 effects a person, all of which share the coefficients
    found = np.mean([float(each["predictions"]["y"].mean()) for each in drawn])
    assert found == pytest.approx(float(mean), abs=0.01)
    share, tau = bm.variance_components(binary), parameters(binary["posterior"])[f"tau_{NAME}"][:, 0]
    between = tau**2 * (parts**2).sum(axis=1).mean()
    expected = np.mean(between / (between + np.pi**2 / 3))
    assert share.loc[f"vpc_{NAME}", "estimate"] == pytest.approx(expected)


def test_verbs_take_them(posterior, binary, tmp_path):
    posterior.to_netcdf(tmp_path / "members.nc")
    opened = xr.open_datatree(tmp_path / "members.nc")
    assert bm.loo(opened).elpd == pytest.approx(bm.loo(posterior).elpd)
    spec = bm.ModelSpec(FITS["years"])
    assert bm.ModelSpec.from_json(spec.to_json()) == spec
    assert "Area1, area2 or area3: SD of the intercept" in str(bm.summary(posterior))
    assert len(bm.predictive_check(posterior, new_groups=True, seed=1)) == 4
    shares = bm.r2(posterior)
    assert shares.loc["r2_conditional", "estimate"] > shares.loc["r2_marginal", "estimate"]
    for random in ("sample", "integrate", "zero"):
        assert 0 < bm.effects(binary, "x", random=random)["estimate"].item() < 0.5
    linear = bm.margins(posterior, by="area1", random="sample", at={"x": 1}).set_index("area1")["estimate"]
    own = bm.predict(posterior, DATA.assign(x=1.0))["predictions"]["y"].mean(["chain", "draw"]).to_series()
    assert linear.to_numpy() == pytest.approx(own.groupby(DATA["area1"]).mean().to_numpy())
    census = DATA.assign(n=1)[["area1", "area2", "area3", "years1", "years2", "years3", "x", "n"]]
    table = bm.poststratify(posterior, census, count="n").table
    assert table["estimate"].item() == pytest.approx(float(bm.predict(posterior)["predictions"]["y"].mean()))
    assert bm.simulate(spec, DATA, seed=1)["prior"][f"u_{NAME}"].sizes[NAME] == 14
    assert bm.hypothesis(posterior, f"tau_{NAME}[intercept] > 0.1")["probability"].item() > 0.9
    assert bm.checking.power_scaling(posterior).loc[f"tau_{NAME}[intercept]", "likelihood"] > 0.05
    figures = [figure.heading for figure in figures_of(posterior, {"posterior": posterior})]
    assert "Varying intercepts: Area1, area2 or area3" in figures and not any("observed" in each for each in figures)
    assert r"\sum_{k} w_{i , k} u_{" in latex(equations(posterior)[1])
    assert "times the part of each" in in_words(posterior)[-1]


def test_slope_of_a_weight_leaves_people_where_they_are():
    data = DATA.assign(b=(DATA["y"] > 1).astype(int))
    tree = bm.fit(f"b ~ years3 + {YEARS}", data, family="bernoulli", seed=1, draws=400)
    # which is zero for some, whose weight would be negative a small step below
    found = bm.effects(tree, "years3", random="sample")["estimate"].item()
    values = parameters(tree["posterior"])
    _, parts = by_hand(DATA)
    eta = values["beta"] @ np.stack([np.ones(160), DATA["years3"]]) + values[f"u_{NAME}"][:, :, 0] @ parts.T
    chance = 1 / (1 + np.exp(-eta))
    slope = (chance * (1 - chance) * values["beta"][:, [1]]).mean()
    assert found == pytest.approx(slope, rel=1e-6)


def test_frequency_weights_are_rows(posterior):
    data = DATA.assign(n=np.arange(160) % 3 + 1)
    counted = bm.estimate(FITS["years"], data, weights=bm.Weights("n", kind="frequency"))["estimate"]
    repeated = bm.estimate(FITS["years"], data.loc[data.index.repeat(data["n"])].reset_index(drop=True))["estimate"]
    for name in ("beta", "sigma", f"tau_{NAME}", f"u_{NAME}"):
        assert counted[name].to_numpy() == pytest.approx(repeated[name].to_numpy(), abs=1e-7)


def test_terms_are_written_as_they_are_read():
    formula = parse("y ~ x + (1 | mm(`home town`, b,weights = (`w 1`,w2), scale=False))")
    (term,) = formula.varying
    assert term.columns == ("home town", "b") and term.weights == ("w 1", "w2") and not term.scaled
    assert str(term) == "(1 | mm(`home town`, b, weights=(`w 1`, w2), scale=False))"
    assert parse(f"y ~ {term}").varying == (term,)
    assert term.group == "mm(home town, b)"
    assert bm.ModelSpec("y ~ 1 + (1 | mm(a, b, weights=(v, w)))").nameable[-1] == "vpc_mm(a, b)"


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("mm(area1)", "two different columns or more"),
        ("mm(area1, area1)", "two different columns or more"),
        ("mm(area1 / area2, area3)", "is no column"),
        ("mm(`a/b`, area3)", "'/' not among them"),
        ("mm(area1, area2, weights=(years1))", "a column of weights of its own"),
        ("mm(area1, area2, weights=cbind(years1, years2))", r"allowed are weights=\(w1, w2\)"),
        ("mm(area1, area2, weight=(years1, years2))", r"allowed are weights=\(w1, w2\)"),
        ("mm(area1, area2, scale=no)", "scale=False"),
        ("mm(area1, x)", "predictor and names groups"),
        ("mmc(area1, area2)", "must be a column"),
        ("mm(area1, y)", "both sides"),
    ],
)
def test_bad_terms_are_refused(term, message):
    with pytest.raises(SpecificationError, match=message):
        build_design(bm.ModelSpec(f"y ~ x + (1 | {term})"), DATA)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ x + mm(area1, area2)", r"\(1 \| mm\(area1, area2\)\)"),
        ("y ~ x + (1 |a| mm(area1, area2))", "correlated with no others"),
        ("y ~ x + (1 + x | mm(area1, area2))", "one effect a group"),
        ("y ~ x + (0 + x | mm(area1, area2))", "only intercepts vary"),
        (f"y ~ x + {YEARS} + (1 | {NAME})", "different weights"),
    ],
)
def test_bad_formulas_are_refused(formula, message):
    with pytest.raises(SpecificationError, match=message):
        build_design(bm.ModelSpec(formula), DATA)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"years1": -1}, "'years1' is negative in 160 rows"),
        ({"years1": "long"}, "weights 'years1' must hold numbers"),
        ({"x": "long"}, "'x' are categories"),
        ({"area1": "a", **NOBODY}, "no value at all"),
        ({"area1": "a", "area2": "a", "area3": "a"}, "a single group"),
        ({"area1": "a", "area2": "b", "area3": "b", "years1": 1, "years2": 1, "years3": 1}, "the same groups"),
        ({f"area{k}": np.arange(160) + 160 * k for k in (1, 2, 3)}, "no group has two rows"),
    ],
)
def test_bad_data_are_refused(changes, message):
    formula = FITS["years"] if "x" not in changes else FITS["years"].replace("years2,", "x,")
    with pytest.raises(DataError, match=message):
        build_design(bm.ModelSpec(formula), DATA.assign(**changes))


def test_what_needs_one_group_a_person_is_refused(posterior):
    reml = bm.estimate(FITS["years"], DATA)
    weighted = DATA.assign(w=np.arange(160) + 1.0)
    with pytest.raises(BayesmigError, match="is not computed"):
        bm.checking.leave_one_group_out(posterior, DATA["school"])
    with pytest.raises(DataError, match="to none alone"):
        bm.predictive_check(posterior, NAME)
    with pytest.raises(BayesmigError, match="caterpillar"):
        bm.plots.shrinkage(posterior, NAME)
    with pytest.raises(SpecificationError, match="neither be of groups"):
        bm.fit(FITS["years"], weighted, weights=bm.Weights("w", scaling="size"))
    with pytest.raises(EngineRefusal, match="need all rows at once"):
        bm.fit(FITS["years"], bm.chunks(lambda: iter([DATA])), seed=1)
    with pytest.raises(EngineRefusal, match="bootstrap"):
        bm.results.confidence_intervals(reml, "profile")
    for refused in ({"errors": "robust"}, {"errors": "cluster"}, {"method": "reml", "df": "kenward-roger"}):
        with pytest.raises(EngineRefusal, match=r"mm\(area1"):
            bm.estimate(FITS["years"], DATA, **refused)
    with pytest.raises(EngineRefusal, match=r"mm\(area1"):
        bm.fit(FITS["years"], DATA, engine=bm.Bambi())


@pytest.mark.slow
def test_intervals_of_truths_drawn_from_the_priors_cover(capsys):
    """Truths drawn from the priors lie in 90 % intervals of the posterior in 90 % of data sets (Cook et al. 2006)."""
    rng, sets = np.random.default_rng(1), 300
    inside = {"x": 0, "sd": 0, "effect": 0}
    spec = bm.ModelSpec(FITS["years"]).with_priors(
        intercept=Normal(0, 1), slopes=Normal(0, 1), sigma=HalfNormal(1), tau=HalfNormal(1)
    )
    areas = np.array([f"a{k:02d}" for k in range(30)])
    for number in range(sets):
        level, slope, sigma, tau = rng.normal(), rng.normal(), abs(rng.normal()), abs(rng.normal())
        places, years = rng.integers(0, 30, (300, 3)), rng.integers(1, 9, (300, 3)).astype(float)
        data = pd.DataFrame({f"area{k + 1}": areas[places[:, k]] for k in range(3)} | {"x": rng.normal(size=300)})
        data[["years1", "years2", "years3"]] = years
        data["x"] -= data["x"].mean()
        u = tau * rng.normal(size=30)
        mean = level + slope * data["x"] + (years / years.sum(axis=1, keepdims=True) * u[places]).sum(axis=1)
        data["y"] = mean + sigma * rng.normal(size=300)
        groups, _, _ = drawn(build_design(spec, data), candidates(draws=1000), np.random.SeedSequence(number))
        draws = groups["posterior"]
        found = {"x": draws["beta"].sel(term="x"), "sd": draws[f"tau_{NAME}"], "effect": draws[f"u_{NAME}"][:, :, 0]}
        for name, truth in (("x", slope), ("sd", tau), ("effect", u[0])):
            low, high = np.quantile(found[name], [0.05, 0.95])
            inside[name] += low < truth < high
    print(inside)
    # 90 % of 300 data sets, and three and a half binomial errors
    assert all(abs(count / sets - 0.9) < 3.5 * np.sqrt(0.09 / sets) for count in inside.values())
