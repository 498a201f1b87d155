"""Outcomes without sums, read a part at a time: people who are alike are counted, and give what all rows give."""

import json

import numpy as np
import pandas as pd
import pytest
from fabricated import outcome_of

import bayesmig as bm
from bayesmig.contract import schema
from bayesmig.data import cells
from bayesmig.data.cells import counted
from bayesmig.errors import DataError, EngineRefusal, SpecificationError, UnknownColumn
from bayesmig.families.registry import FAMILIES

pytestmark = pytest.mark.blas
COUNTED = ("bernoulli", "binomial", "cumulative", "categorical", "poisson", "negative_binomial", "hurdle_poisson")


def people(n=900, seed=3):
    """A survey of categories and whole numbers, with gaps, a group of one, and a level at the end only."""
    rng = np.random.default_rng(seed)
    area = rng.integers(0, 9, n)
    data = pd.DataFrame(
        {
            "owns": rng.integers(0, 2, n).astype(float),
            "answer": rng.integers(1, 5, n),
            "visits": rng.negative_binomial(2, 0.5, n),
            "asked": 40,
            "x": rng.integers(0, 3, n),
            "hukou": rng.choice(["本地", "外地"], n),
            "area": area,
            "times": rng.integers(1, 4, n),
        }
    )
    data.loc[n - 30 :, "hukou"] = "无"
    data.loc[5, "area"] = 30
    data.loc[rng.random(n) < 0.04, "owns"] = np.nan
    data.loc[rng.random(n) < 0.04, "hukou"] = None
    return data


def options(family):
    return {"family": family, **({"trials": "asked"} if family == "binomial" else {})}


def columns_alike(one, other):
    one, other = (bm.coefficients(tree)[["estimate", "std_error"]] for tree in (one, other))
    # maxima of the same function, added up in another order
    pd.testing.assert_frame_equal(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("family", COUNTED)
def test_estimates_are_those_of_all_rows(family):
    data = people()
    formula = f"{outcome_of(family)} ~ x + hukou + (1 | area)"
    whole, parts = (bm.estimate(formula, given, **options(family)) for given in (data, bm.chunks(data, rows=100)))
    columns_alike(whole, parts)
    assert parts.attrs["log_likelihood"] == pytest.approx(whole.attrs["log_likelihood"], abs=1e-7)
    assert schema.flow(parts) == (900, int(whole.attrs["n_used"]), "people")
    assert json.loads(parts.attrs["missing"]) == json.loads(whole.attrs["missing"])
    assert len(schema.data_frame(parts)) < 700


def test_predictors_of_the_residual_sd_are_counted_too():
    data = people()
    model = {"predictors": {"sigma": "hukou"}}
    whole, parts = (bm.estimate("answer ~ x", given, **model) for given in (data, bm.chunks(data, rows=100)))
    columns_alike(whole, parts)


def test_posteriors_and_what_reads_them_count_people():
    data = people()
    engine = bm.NUTS(draws=200, tune=200, chains=2)
    post = bm.fit("owns ~ hukou + (1 | area)", bm.chunks(data, rows=300), family="bernoulli", engine=engine, seed=1)
    used = int((data["owns"].notna() & data["hukou"].notna()).sum())
    checks = bm.check(post).set_index("check")
    assert f"{used} of 900 people used; missing: " in checks.loc["complete rows", "message"]
    assert f"{used} of 900 people in " in repr(post)
    average = bm.effects(post, "hukou")
    whole = bm.effects(bm.estimate("owns ~ hukou + (1 | area)", data, family="bernoulli"), "hukou")
    assert (abs(average["estimate"] - whole["estimate"]) < 2 * whole["std_error"]).all()


@pytest.mark.parametrize("kind", ["csv", "parquet", "frames", "dask"])
def test_every_source(kind, tmp_path):
    data = people()
    if kind == "csv":
        data.to_csv(tmp_path / "data.csv", index=False)
        source = tmp_path / "data.csv"
    elif kind == "parquet":
        data.astype({"hukou": "category"}).to_parquet(tmp_path / "data.parquet")
        source = tmp_path / "data.parquet"
    elif kind == "dask":
        source = pytest.importorskip("dask.dataframe", reason="dask is missing").from_pandas(data, npartitions=4)
    else:
        source = lambda: (data.iloc[k : k + 200].astype({"hukou": "category"}) for k in range(0, 900, 200))  # noqa: E731
    model = {"family": "bernoulli"}
    columns_alike(
        bm.estimate("owns ~ hukou + x", data, **model), bm.estimate("owns ~ hukou + x", bm.chunks(source), **model)
    )


def test_frequencies_are_added_and_unknown_ones_left_out():
    data = people().astype({"times": float})
    data.loc[:9, "times"] = np.nan
    model = {"family": "bernoulli", "weights": bm.Weights("times", "frequency")}
    whole, parts = (bm.estimate("owns ~ hukou + x", given, **model) for given in (data, bm.chunks(data, rows=70)))
    columns_alike(whole, parts)
    assert schema.flow(whole)[1:] == schema.flow(parts)[1:]
    assert json.loads(whole.attrs["missing"])["times"] == 10 == json.loads(parts.attrs["missing"])["times"]


def test_a_column_of_the_name_of_the_numbers_stays():
    data = people().rename(columns={"x": "people"})
    tree = bm.estimate("owns ~ people", bm.chunks(data), family="bernoulli")
    columns_alike(bm.estimate("owns ~ people", data, family="bernoulli"), tree)
    assert "weights people_ (frequency)" in repr(tree)


def test_where_data_come_from_is_kept():
    study = bm.study("homeownership")
    data = bm.reconstruct(study, seed=1)
    outcome = data.columns[data.nunique() == 2][0]
    tree = bm.estimate(f"{outcome} ~ 1", bm.chunks(data, rows=1000), family="bernoulli")
    assert tree.attrs["provenance"].startswith("reconstructed")


def test_categories_that_parts_name_alike_are_one_column():
    ordered = pd.CategoricalDtype(["a", "b", "c"], ordered=True)
    data = people().assign(step=lambda d: d["x"].map({0: "a", 1: "b", 2: "c"}))

    def parts(first, second):
        return lambda: iter([data.iloc[:400].astype({"step": first}), data.iloc[400:].astype({"step": second})])

    for kinds in (("category", "category"), (ordered, ordered)):
        tree = bm.estimate("owns ~ step", bm.chunks(parts(*kinds)), family="bernoulli")
        columns_alike(bm.estimate("owns ~ step", data.astype({"step": kinds[0]}), family="bernoulli"), tree)
    for kinds in ((ordered, "category"), (ordered, ordered.categories.dtype), ("category", "object")):
        with pytest.raises(DataError, match="column 'step' is category in one part and .* in another"):
            bm.estimate("owns ~ step", bm.chunks(parts(*kinds)), family="bernoulli")
    mixed = [people().iloc[:400], people().iloc[400:].astype({"area": str})]
    with pytest.raises(DataError, match="column 'area' is int64 in one part"):
        bm.estimate("owns ~ 1 + (1 | area)", bm.chunks(lambda: iter(mixed)), family="bernoulli")


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ({"weights": "times"}, EngineRefusal, "no frequencies with chunks"),
        ({"impute": ("x",)}, EngineRefusal, "missing values of x"),
        ({"formula": "owns ~ scale(x)"}, SpecificationError, r"scale\(\) .* frequency weights"),
        ({"formula": "owns ~ y"}, UnknownColumn, "'y', which is no column"),
        ({"complete": ("y",)}, UnknownColumn, "'y', which is no column"),
    ],
)
def test_what_needs_each_row_is_refused(model, error, message):
    spec = bm.ModelSpec(**{"formula": "owns ~ x", "family": "bernoulli", **model}) if "weights" not in model else None
    spec = spec or bm.ModelSpec("owns ~ x", family="bernoulli").with_weights("times")
    with pytest.raises(error, match=message):
        bm.estimate(spec, bm.chunks(people(), rows=100))


def test_too_few_people_are_alike(monkeypatch):
    monkeypatch.setattr(cells, "MOST_CELLS", 50)
    with pytest.raises(DataError, match="more than 50 rows differ in owns, age; .* random sample"):
        bm.fit("owns ~ age", bm.chunks(people().assign(age=np.arange(900)), rows=40), family="bernoulli")
    for options, message in (({"adjust": "sandwich"}, "residual of every row"), ({"cache": ".", "seed": 1}, "cache=")):
        with pytest.raises(bm.BayesmigError, match=message):
            bm.fit("owns ~ x", bm.chunks(people()), family="bernoulli", **options)


def test_cells_do_not_depend_on_the_parts():
    spec = bm.ModelSpec("owns ~ x + hukou", family="bernoulli")
    found = [counted(spec, bm.chunks(people(), rows=rows))[1] for rows in (7, 100, 10_000)]
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0], other)


@pytest.mark.parametrize("family", [name for name in COUNTED if name != "binomial"])
def test_a_formula_that_counts_rows_is_refused_where_they_stand_for_several(family):
    model = {**options(family), "weights": bm.Weights("times", "frequency")}
    for term in ("scale(x)", "center(x)", "poly(x, 2)", "bs(x, df=4)"):
        with pytest.raises(SpecificationError, match="stand for several people each"):
            bm.estimate(f"{outcome_of(family)} ~ {term}", people(), **model)
    assert set(COUNTED) <= set(FAMILIES)
