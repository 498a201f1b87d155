"""Rows read a part at a time give what the whole data frame gives, or say why not."""

import threading

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmig as bm
from bayesmig.contract import schema
from bayesmig.data.accumulation import summed_design
from bayesmig.data.cross_products import CrossProducts, Membership, Moments
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import outline_of
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, SpecificationError, UnknownColumn, UnknownLevel
from bayesmig.specification.model import as_spec

pytestmark = pytest.mark.blas

HUKOU = bm.Variable("hukou", "户口", {"local": "本地", "rural": "外地农村", "urban": "外地城镇", "none": "无"})


def people(n=600, seed=1):
    """A survey with gaps, Chinese labels, a level at the end only, a group of one, a group of incomplete rows."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "area": rng.integers(0, 25, n),
            "province": rng.choice(["浙江", "上海", "四川", "安徽"], n, p=[0.4, 0.3, 0.2, 0.1]),
            "hukou": rng.choice(["local", "rural"], n),
            "district": rng.choice(["北区", "南区"], n),
            "age": rng.normal(45, 12, n),
            "income": rng.normal(5, 2, n),
            "wave": rng.choice([1, 2, 3], n),
            "year": rng.integers(2005, 2015, n),
            "w": rng.choice([1.0, 2.0, 3.0], n),
        }
    )
    data["quality"] = rng.normal(size=40)[data["area"]]
    data.loc[n - 20 :, "hukou"] = "urban"
    data.loc[5, "area"] = 30
    data.loc[[8, 9], "area"] = 31
    data["y"] = 4 + 0.02 * data["age"] + (data["hukou"] == "rural") + rng.normal(0, 0.5, 40)[data["area"]]
    data["y"] += rng.normal(0, 0.8, n)
    for name in ("age", "income", "hukou", "y"):
        data.loc[rng.random(n) < 0.02, name] = None
    data.loc[[8, 9], "age"] = np.nan
    data["quality"] = rng.normal(size=40)[data["area"]]
    return data


def assert_same(one, other, tolerance):
    """Draw for draw, in posterior standard deviations."""
    one, other = one["posterior"].to_dataset(), other["posterior"].to_dataset()
    assert set(one.data_vars) == set(other.data_vars)
    for name, values in one.data_vars.items():
        xr.testing.assert_equal(values.coords.to_dataset(), other[name].coords.to_dataset())
        spread = values.std(["chain", "draw"])
        assert float((abs(values - other[name]) / spread).max()) < tolerance, name


DESIGNS = {
    "no groups": "y ~ age + income",
    "no intercept": "y ~ 0 + age + hukou",
    "intercepts": "y ~ age * hukou + (1 | area)",
    "slopes": "y ~ age + (1 + age | area)",
    "uncorrelated": "y ~ age + income + (1 + age || area)",
    "crossed": "y ~ age + (1 | area) + (1 | province)",
    "nested": "y ~ age + (1 | province/area)",
    "computed": "log(y + 20) ~ I(age ** 2) + log(income + 20) + C(wave) + (1 | area)",
    "year twice": "y ~ year + hukou + (1 | year)",
    "two categories": "y ~ hukou * district + (1 | area)",
    "nothing": "y ~ 1",
}


# the same sums in another order: 1e-16 times the condition of the equations, below 1e4 here
@pytest.mark.parametrize("formula", DESIGNS.values(), ids=DESIGNS)
@pytest.mark.parametrize("rows", [7, 250, 10_000])
def test_draws_are_those_of_the_whole_frame(formula, rows):
    data = people()
    whole, parts = bm.fit(formula, data, seed=1), bm.fit(formula, bm.chunks(data, rows=rows), seed=1)
    assert_same(whole, parts, 1e-8)
    for key in ("n_given", "n_used", "missing", "notes", "provenance", "spec"):
        assert parts.attrs[key] == whole.attrs[key], key
    assert schema.read(parts, "levels") == schema.read(whole, "levels")
    for group in schema.groups(whole["posterior"].to_dataset()):
        assert (schema.group_sizes(whole, group) == schema.group_sizes(parts, group)).all()


def test_one_row_at_a_time():
    data = people(120)
    formula = "y ~ age + (1 | area)"
    assert_same(bm.fit(formula, data, seed=1), bm.fit(formula, bm.chunks(data, rows=1), seed=1), 1e-8)


def test_years_and_large_outcomes_cancel_nothing():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"year": np.sort(2010 + rng.uniform(-0.5, 0.5, 2000)), "area": rng.integers(0, 30, 2000)})
    data["y"] = 1e6 + 2 * (data["year"] - 2010) + rng.normal(size=30)[data["area"]] + rng.normal(size=2000)
    formula = "y ~ year + (1 | area)"
    whole, parts = bm.fit(formula, data, seed=1), bm.fit(formula, bm.chunks(data, rows=100), seed=1)
    # the outcome is known to 1e-10 of its sd, so are its sums; the posterior of a variance is 30 times as steep
    assert_same(whole, parts, 1e-7)


@pytest.mark.parametrize("kind", ["survey", "frequency", "precision"])
@pytest.mark.parametrize("formula", ["y ~ age + hukou + (1 + age | area)", "y ~ 0 + age + hukou"])
def test_weights(kind, formula):
    data = people()
    data.loc[3, "w"] = 0
    spec = bm.ModelSpec(formula).with_weights("w", kind)
    whole, parts = bm.fit(spec, data, seed=1), bm.fit(spec, bm.chunks(data, rows=100), seed=1)
    assert_same(whole, parts, 1e-8)
    table, other = (bm.check(tree).set_index("check") for tree in (whole, parts))
    assert table.loc["complete rows", "message"].endswith("lost: 1")
    assert other.loc["complete rows", "message"] == table.loc["complete rows", "message"]
    if kind == "survey":
        assert other.loc["survey weights", "message"] == table.loc["survey weights", "message"]


def test_standardised_predictors():
    spec = bm.ModelSpec("y ~ age * quality + (1 | area)", standardise={"age": "person", "quality": "area"})
    data = people()
    whole, parts = bm.fit(spec, data, seed=1), bm.fit(spec, bm.chunks(data, rows=100), seed=1)
    assert_same(whole, parts, 1e-8)
    found, expected = (schema.read(tree, "scaling") for tree in (parts, whole))
    for name, scaling in expected.items():  # means and sds of 550 numbers, summed in another order
        for part in ("mean", "sd"):
            assert found[name][part] == pytest.approx(scaling[part], rel=1e-13)


def test_codebook_levels_that_nobody_has():
    spec = bm.ModelSpec("y ~ hukou + (1 | area)", variables=(HUKOU,))
    whole, parts = (bm.fit(spec, data, seed=1) for data in (people(), bm.chunks(people(), rows=50)))
    assert_same(whole, parts, 1e-8)
    assert "no row has hukou = none; no coefficient for it" in schema.read(parts, "notes")


def test_level_of_incomplete_rows_only():
    data = people()
    data.loc[data["hukou"] == "urban", "age"] = np.nan
    whole, parts = (bm.fit("y ~ age + hukou", rows, seed=1) for rows in (data, bm.chunks(data, rows=60)))
    assert_same(whole, parts, 1e-8)
    assert parts["posterior"]["term"].to_numpy().tolist() == ["intercept", "age", "hukou[rural]"]


def test_declared_categories_keep_their_order():
    data = people()
    data["hukou"] = pd.Categorical(data["hukou"], ["rural", "urban", "local"])
    whole, parts = (bm.fit("y ~ hukou", rows, seed=1) for rows in (data, bm.chunks(data, rows=60)))
    assert_same(whole, parts, 1e-8)
    assert schema.read(parts, "levels") == {"hukou": ["rural", "urban", "local"]}


def test_chinese_names_and_other_types_of_number():
    data = people().rename(columns={"y": "收入 元", "age": "年龄", "area": "城市"})
    data["年龄"] = data["年龄"].round().astype("Int64")
    data["income"] = data["income"].astype("float32")
    formula = "`收入 元` ~ 年龄 + income + (1 | 城市)"
    assert_same(bm.fit(formula, data, seed=1), bm.fit(formula, bm.chunks(data, rows=100), seed=1), 1e-8)


def test_notes_and_provenance_are_those_of_the_whole_frame():
    data = people().dropna().reset_index(drop=True)
    data["place"] = np.arange(len(data)) % 3
    data["north"], data["rich"] = (data["place"] == 0).astype(float), (data["place"] == 1).astype(float)
    data["moved"] = (data["y"] > 5).astype(float)
    data["provenance"] = "reconstructed from a paper, seed 1"
    spec = bm.ModelSpec("moved ~ north + rich + (1 | place)", variables=(bm.Variable("moved", "Moved", maximum=0.5),))
    whole, parts = (bm.fit(spec, rows, seed=1) for rows in (data, bm.chunks(data, rows=50)))
    notes = schema.read(parts, "notes")
    assert notes == schema.read(whole, "notes")
    for note in ("only two values, 0 and 1", "place has only 3 groups", "tell all groups of place apart"):
        assert any(note in one for one in notes), note
    assert parts.attrs["provenance"] == whole.attrs["provenance"] == "reconstructed from a paper, seed 1"


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("formula", ["y ~ age + hukou + (1 | area)", "y ~ age + (1 | area) + (1 | province)"])
def test_maximum_likelihood(method, formula):
    data = people()
    whole, parts = (bm.estimate(formula, rows, method=method) for rows in (data, bm.chunks(data, rows=100)))
    assert parts.attrs["log_likelihood"] == pytest.approx(whole.attrs["log_likelihood"], rel=1e-10)
    # Newton's method stops when 1e-9 of log-likelihood is to be had
    for name in ("beta", "beta_se", "sigma", "tau_area"):
        np.testing.assert_allclose(parts["estimate"][name], whole["estimate"][name], rtol=1e-6)
    if method == "ml":
        test, expected = (schema.read(tree, "likelihood_ratio_test") for tree in (parts, whole))
        assert test["statistic"] == pytest.approx(expected["statistic"], rel=1e-8)


def test_sums_are_those_of_all_rows_around_any_centre():
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(500), 2010 + rng.uniform(size=500), rng.normal(size=500)])
    codes, other, weights = rng.integers(0, 4, 500), rng.integers(0, 3, 500), rng.uniform(0.5, 2, 500)

    def of(rows, centre):
        columns = [np.ascontiguousarray(column) for column in x[rows].T]
        factors = [Membership(codes[rows], 4, [1.0, columns[2]]), Membership(other[rows], 3, [1.0])]
        return CrossProducts.of(columns, np.array([0, centre, 0.0]), factors, weights[rows])

    total = of(slice(0, 100), 2000.0) + (of(slice(100, 101), 1990.0) + of(slice(101, 500), 2010.0))
    centred = x - total.centre
    z = np.zeros((500, 8))
    z[np.arange(500), 2 * codes], z[np.arange(500), 2 * codes + 1] = 1.0, x[:, 2]
    member = np.eye(3)[other]
    # sums of 500 products; the centre 20 below the mean of a column of sd 0.3 costs (20 / 0.3)^2 roundings
    np.testing.assert_allclose(total.common, centred.T @ (weights[:, None] * centred), rtol=1e-10, atol=1e-8)
    np.testing.assert_allclose(total.sides[0], z.T @ (weights[:, None] * centred), rtol=1e-10, atol=1e-8)
    np.testing.assert_allclose(total.pairs[0, 1].toarray(), z.T @ (weights[:, None] * member), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(total.blocks[0][1], (z.T @ (weights[:, None] * z))[2:4, 2:4], rtol=1e-12)
    moments = Moments.of([x[:100, 1]], None, 100) + Moments.of([x[100:, 1]], None, 400)
    assert moments.mean[0] == pytest.approx(x[:, 1].mean(), rel=1e-14)
    assert moments.sd[0] == pytest.approx(x[:, 1].std(), rel=1e-10)


def test_totals_have_the_moments_and_priors_of_the_design():
    data = people()
    spec = as_spec("y ~ age + hukou + (1 + age | area)")
    design, totals = build_design(spec, data), summed_design(spec, bm.chunks(data, rows=100))
    for one, two in zip(design.moments, totals.moments, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)
    for one, two in zip(design.varying_moments, totals.varying_moments, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)
    assert (totals.terms, totals.formula_terms, totals.levels) == (design.terms, design.formula_terms, design.levels)
    for one, two in zip(design.priors.slopes, totals.priors.slopes, strict=True):
        assert two.sd == pytest.approx(one.sd, rel=1e-12)
    tree = bm.fit(spec, bm.chunks(data, rows=100), seed=1)
    kept = outline_of(tree)
    np.testing.assert_allclose(kept.moments[1], totals.moments[1])
    for priors in (kept.priors, totals.priors):
        assert [str(prior) for prior in priors.tau["area"]] == [str(prior) for prior in design.priors.tau["area"]]


# sources


@pytest.fixture
def files(tmp_path):
    pytest.importorskip("pyarrow")
    data = people()
    data.to_parquet(tmp_path / "people.parquet", row_group_size=130)
    for number, part in enumerate(np.array_split(np.arange(len(data)), 3)):
        data.iloc[part].to_parquet(tmp_path / f"wave_{number}.parquet")
    data.to_csv(tmp_path / "people.csv", index=False)
    folder = tmp_path / "waves"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.parquet").symlink_to(tmp_path / f"wave_{number}.parquet")
    return tmp_path


def test_every_source_gives_the_same(files):
    data = people()
    formula = "y ~ age + hukou + (1 | area)"
    whole = bm.fit(formula, data, seed=1)

    def parts():
        return (data.iloc[start : start + 90] for start in range(0, len(data), 90))

    sources = {
        "parquet": bm.chunks(files / "people.parquet", rows=100),
        "parts of parquet": bm.chunks([files / f"wave_{number}.parquet" for number in range(3)], rows=90),
        "folder": bm.chunks(files / "waves", rows=90),
        "csv": bm.chunks(str(files / "people.csv"), rows=100),
        "function": bm.chunks(parts),
    }
    for name, source in sources.items():
        tree = bm.fit(formula, source, seed=1)
        assert_same(whole, tree, 1e-8)
        assert tree.attrs["missing"] == whole.attrs["missing"], name


CELLS = {  # numbers as text, and whether a part of a file knows what they mean
    "{:.0f}": True,
    "{:.2f}": True,
    "{:.1e}": True,
    "0{:.0f}": True,  # names
    "A{:.0f}": True,
    "{:.0f}%": False,
    "{:.0f}岁": False,
    "€ {:.0f}": False,
    "1,{:03.0f}": False,
    "{:.0f},5": False,
    "1.{:03.0f}": True,  # one and a bit, as the other column says
}


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("cell", CELLS)
def test_numbers_in_text_are_those_of_a_frame_or_refused(cell, separator, tmp_path):
    rng = np.random.default_rng(1)
    values = rng.choice([15.0, 27, 38, 49, 56], 90)
    data = pd.DataFrame({"y": values / 10 + rng.normal(size=90), "x": [cell.format(value) for value in values]})
    data.round(4).to_csv(tmp_path / "people.csv", index=False, sep=separator)
    whole = bm.read_survey(tmp_path / "people.csv")
    source = bm.chunks(tmp_path / "people.csv", rows=40)
    if not CELLS[cell]:
        with pytest.raises(DataError, match="'x' holds numbers that programs do not write so.*to_parquet"):
            bm.fit("y ~ x", source, seed=1)
        return
    if cell == "0{:.0f}":
        for given in (whole, source):
            with pytest.raises(DataError, match="holds numbers as text"):
                bm.fit("y ~ x", given, seed=1)
        return
    assert_same(bm.fit("y ~ x", whole, seed=1), bm.fit("y ~ x", source, seed=1), 1e-8)


def test_the_same_groups_under_two_names_are_told():
    data = people()
    data["town"] = "town of " + data["area"].astype(str)
    for formula in ("y ~ age + (1 | area) + (1 | town)", "y ~ age + (1 + age | town) + (1 | area) + (1 | hukou)"):
        whole, parts = bm.fit(formula, data, seed=1), bm.fit(formula, bm.chunks(data, rows=100), seed=1)
        assert any(schema.SAME_GROUPS in note for note in schema.read(parts, "notes"))
        assert schema.read(parts, "notes") == schema.read(whole, "notes")


def test_dask_adds_up_where_partitions_are():
    frames = pytest.importorskip("dask.dataframe")
    data = people()
    formula = "y ~ age + hukou + (1 | area)"
    source = frames.from_pandas(data, npartitions=5, sort=False)
    assert_same(bm.fit(formula, data, seed=1), bm.fit(formula, bm.chunks(source), seed=1), 1e-8)
    with pytest.raises(UnknownLevel, match=r"column 'hukou' has 'urban' in \d+ rows"):
        levels = bm.Variable("hukou", "Hukou", {"local": "local", "rural": "rural"})
        bm.fit(bm.ModelSpec(formula, variables=(levels,)), bm.chunks(source))


def test_plans_can_be_sent_to_other_processes():
    cloudpickle = pytest.importorskip("cloudpickle")
    seen = []

    class Recorder:
        name, columns, numbers, count = "recorder", None, None, None

        def pieces(self, columns):
            yield from bm.chunks(people(), rows=300).source.pieces(columns)

    source = bm.chunks(people())
    object.__setattr__(source, "source", Recorder())
    total = type(source).total

    def spied(self, function, columns, what):
        seen.append(cloudpickle.loads(cloudpickle.dumps(function)))
        return total(self, seen[-1], columns, what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(source), "total", spied)
        tree = bm.fit("y ~ age + hukou + (1 | area)", source, seed=1)
    assert len(seen) == 2
    assert_same(bm.fit("y ~ age + hukou + (1 | area)", people(), seed=1), tree, 1e-8)


def test_interruption_passes_and_stops_reading():
    def parts():
        for start in range(0, 600, 100):
            if start == 300:
                raise KeyboardInterrupt
            yield people().iloc[start : start + 100]

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        bm.fit("y ~ age", bm.chunks(parts))
    assert set(threading.enumerate()) <= before


# what is wrong


def test_text_in_a_number_in_the_third_chunk():
    data = people()
    data["age"] = data["age"].astype(object)
    data.loc[250, "age"] = "forty"

    def parts():
        for start in range(0, 600, 100):
            yield data.iloc[start : start + 100].infer_objects()

    message = r"chunk 3: column 'age' must hold numbers, but 1 of 100 rows do not, first 'forty' \(row 250\)"
    with pytest.raises(DataError, match=message):
        bm.fit("y ~ age + (1 | area)", bm.chunks(parts))


def test_text_in_a_number_of_a_file(tmp_path):
    data = people()
    data["income"] = data["income"].astype(object)
    data.loc[250, "income"] = "none"
    data.to_csv(tmp_path / "people.csv", index=False)
    with pytest.raises(DataError, match=r"people.csv': column 'income' holds .* such as 'none'"):
        bm.fit("y ~ income", bm.chunks(tmp_path / "people.csv", rows=100))


def test_errors_are_those_of_the_whole_frame():
    levels = bm.Variable("hukou", "Hukou", {"local": "local", "rural": "rural"})
    bound = bm.Variable("age", "Age", minimum=44)
    group = bm.Variable("age", "Age", group="area")
    data = people().assign(one=1.0, copy=people()["age"] * 2, double=people()["y"] * 2, person=range(600))
    data["gone"] = np.nan
    for spec in (
        bm.ModelSpec("y ~ hukou", variables=(levels,)),
        bm.ModelSpec("y ~ age", variables=(group,)).with_terms("+ (1 | area)"),
        "y ~ age + one",
        "y ~ age + copy",
        "y ~ double",
        "one ~ age",
        "y ~ age + (1 | person)",
        "y ~ age + gone",
        "y ~ agee",
        "y ~ age + (1 + quality | area)",
        "y ~ log(income - 100)",
        bm.ModelSpec(
            "y ~ hukou", variables=(bm.Variable("hukou", "H", {"x": "x", "local": "l", "rural": "r", "urban": "u"}),)
        ),
    ):
        with pytest.raises(BayesmigError) as whole:
            bm.fit(spec, data)
        with pytest.raises(type(whole.value)) as parts:
            bm.fit(spec, bm.chunks(data, rows=1000))
        assert str(parts.value).removeprefix("rows 0 to 599: ") == str(whole.value)
    with pytest.raises(DataError, match=r"rows 0 to 99: column 'age' has \d+ values below 44"):
        bm.fit(bm.ModelSpec("y ~ age", variables=(bound,)), bm.chunks(data, rows=100))


def test_column_that_the_third_part_lacks(files):
    def parts():
        for start in range(0, 600, 100):
            part = people().iloc[start : start + 100]
            yield part.drop(columns="age") if start == 200 else part

    with pytest.raises(UnknownColumn, match="chunk 3: formula 'y ~ age' names 'age', which is no column"):
        bm.fit("y ~ age", bm.chunks(parts))
    pd.read_parquet(files / "wave_2.parquet").drop(columns="age").to_parquet(files / "wave_2.parquet")
    with pytest.raises(UnknownColumn, match="wave_2.parquet has no column 'age'"):
        bm.fit("y ~ age", bm.chunks([files / f"wave_{number}.parquet" for number in range(3)]))


def test_groups_that_are_numbers_here_and_text_there():
    def parts():
        yield people().iloc[:300]
        yield people().iloc[300:].astype({"area": str})

    with pytest.raises(DataError, match="'area' holds numbers in some parts of the data and text in others"):
        bm.fit("y ~ age + (1 | area)", bm.chunks(parts))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("y ~ center(age)", r"what center\(\) gives for a row may depend on all the others.*standardise"),
        ("y ~ poly(age, 2)", r"poly\(\)"),
        ("y ~ bs(age, df=4)", r"bs\(\)"),
        ("y ~ I(age - np.mean(age))", "np.mean.*depends on all others"),
        ("y ~ age + (1 + scale(age) | area)", r"scale\(\)"),
        ("y ~ C(np.round(age))", r"C\(\)"),
        (bm.ModelSpec("y ~ age", impute=("age",)), "impute"),
        (bm.ModelSpec("y ~ age + (1 | area)", weights=bm.Weights("w", scaling="size")), "scaled within groups"),
        (bm.ModelSpec("y ~ hukou", standardise={"hukou": "person"}), "standardise"),
    ],
)
def test_what_needs_all_rows_is_refused(spec, message):
    with pytest.raises((SpecificationError, EngineRefusal), match=message):
        bm.fit(spec, bm.chunks(people(), rows=100))


def test_what_no_part_can_give_is_refused():
    source = bm.chunks(people(), rows=100)
    for wanted, options in {
        "engine=Exact": {"engine": bm.NUTS()},
        "residual of every row": {"adjust": "sandwich"},
        "cache=": {"cache": "folder", "seed": 1},
    }.items():
        with pytest.raises(BayesmigError, match=wanted):
            bm.fit("y ~ age + (1 | area)", source, **options)
    for wanted, options in {"'ols'": {"method": "ols"}, "cluster errors": {"errors": "cluster"}}.items():
        with pytest.raises(EngineRefusal, match=wanted):
            bm.estimate("y ~ age + (1 | area)", source, **options)
    with pytest.raises(EngineRefusal, match="least squares"):
        bm.estimate("y ~ age", source)


def test_what_is_no_source(tmp_path):
    for source, message in {
        1: "no rows can be read from int",
        "nowhere.parquet": "no data file",
        str(tmp_path): "without .parquet files",
    }.items():
        with pytest.raises(DataError, match=message):
            bm.chunks(source)
    with pytest.raises(DataError, match="rows=0"):
        bm.chunks(people(), rows=0)
    with pytest.raises(DataError, match="holds no row"):
        bm.fit("y ~ age", bm.chunks(list))
    (tmp_path / "broken.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="cannot be read as .parquet"):
        bm.fit("y ~ age", bm.chunks(tmp_path / "broken.parquet"))
    with pytest.raises(DataError, match="chunk 1: data must be a pandas DataFrame.*got int"):
        bm.fit("y ~ age", bm.chunks(lambda: [1]))


# the result


@pytest.fixture(scope="module")
def both():
    spec = bm.ModelSpec("y ~ age * hukou + (1 + age | area)", standardise={"age": "person"})
    return bm.fit(spec, people(), seed=1), bm.fit(spec, bm.chunks(people(), rows=100), seed=1)


def test_others_are_predicted(both, tmp_path):
    whole, parts = both
    parts.to_netcdf(tmp_path / "parts.nc")
    new = pd.DataFrame({"age": [30, 50.0], "hukou": ["urban", "local"], "area": [3, 99]})
    expected = bm.predict(whole, new, seed=1)["predictions"]["y"]
    for tree in (parts, xr.open_datatree(tmp_path / "parts.nc")):
        np.testing.assert_allclose(bm.predict(tree, new, seed=1)["predictions"]["y"], expected, rtol=1e-8)
    with pytest.raises(UnknownLevel, match="'citizen'"):
        bm.predict(parts, new.assign(hukou="citizen"))


def test_tables_and_checks(both):
    whole, parts = both
    for read in (bm.coefficients, bm.variance_components, lambda tree: bm.varying_effects(tree, "area")):
        pd.testing.assert_frame_equal(read(parts), read(whole), rtol=1e-6)
    assert bm.check(parts)["message"].tolist()[2:] == bm.check(whole)["message"].tolist()[2:]


def test_what_needs_rows_says_so(both):
    parts = both[1]
    for wants in (
        bm.predict,
        bm.checking.posterior_predictive,
        bm.loo,
        bm.r2,
        bm.adjust,
        bm.checking.power_scaling,
        lambda tree: bm.effects(tree, "age"),
        lambda tree: bm.results.interaction_lines(tree, "age", "hukou"),
    ):
        with pytest.raises(BayesmigError, match=r"this needs rows, and the result was fitted to \d+ that were read"):
            wants(parts)


@pytest.mark.parametrize(("separator", "sign"), [(",", ","), (",", "."), (";", ","), (";", ".")])
def test_a_dot_means_what_it_means_to_a_reader_of_the_whole_file(tmp_path, separator, sign):
    """A column such as 1.234 is open; one that is not used, such as 0,35 or 0.35, decides."""
    rng, file = np.random.default_rng(1), tmp_path / "people.csv"
    data = pd.DataFrame({"y": rng.integers(1, 9, 60), "x": 1 + rng.integers(100, 999, 60) / 1000})
    data["other"] = [f"{number:.2f}".replace(".", sign) for number in rng.normal(size=60)]
    data.to_csv(file, index=False, sep=separator, float_format="%.3f")
    whole = bm.read_survey(file)
    assert whole["x"].min() > 1000 if sign == "," else whole["x"].max() < 2
    if sign == ".":
        assert_same(bm.fit("y ~ x", whole, seed=1), bm.fit("y ~ x", bm.chunks(file, rows=20), seed=1), 1e-8)
    else:
        with pytest.raises(DataError, match=r"column 'x' holds .* takes all rows and columns"):
            bm.fit("y ~ x", bm.chunks(file, rows=20), seed=1)
