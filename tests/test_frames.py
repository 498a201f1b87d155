"""Tables of polars, pyarrow, DuckDB and narwhals give what the same pandas frame gives, to the last bit."""

import importlib.util
import inspect

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr

import bayesmig as bm
from bayesmig.data.frames import frame_of
from bayesmig.errors import BayesmigError, DataError
from bayesmig.namespaces import SPACES, homes

LEVELS = ["low", "mid", "high"]
YES = ["yes", "no"]
STUDY = bm.study("social_trust")
N = 80


def people() -> pd.DataFrame:
    """Every kind of column that a survey has, with gaps."""
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"trust": rng.normal(size=N), "age": rng.integers(18, 80, N), "w": rng.uniform(1, 2, N)})
    data["children"] = pd.array(rng.integers(0, 4, N), "Int64")
    data["member"] = pd.array(rng.integers(0, 2, N) == 1, "boolean")
    data["number"] = pd.array(2**60 + np.arange(N) // 8, "Int64")  # floats cannot tell these from each other
    data["hukou"] = rng.choice(["城市", "农村", "other"], N)
    data["step"] = pd.Categorical(rng.choice(LEVELS, N), LEVELS, ordered=True)
    data["moved"] = pd.to_datetime(rng.choice(["2001-05-01", "2010-01-01", "2014-12-31"], N)).astype("datetime64[ms]")
    for row, name in enumerate(("trust", "children", "member", "number", "hukou", "step", "moved")):
        data.loc[row, name] = pd.NA if name in ("children", "member", "number") else None
    return data


def census() -> pd.DataFrame:
    kinds = pd.MultiIndex.from_product([["城市", "农村", "other"], LEVELS], names=["hukou", "step"]).to_frame(
        index=False
    )
    kinds["step"] = pd.Categorical(kinds["step"], LEVELS, ordered=True)
    return kinds.assign(count=np.arange(1, len(kinds) + 1))


def _polars(frame):
    import polars as pl

    columns = {str(name): [None if pd.isna(value) else value for value in frame[name]] for name in frame}
    kinds = {name: pl.Enum(LEVELS) for name in frame.columns.intersection(["step"])}
    return pl.DataFrame(columns, schema_overrides=kinds)


def _duckdb(frame):
    import duckdb

    connection = duckdb.connect()
    connection.register("given", pa.Table.from_pandas(frame.astype({"step": str}) if "step" in frame else frame))
    steps = ", ".join(map(repr, LEVELS))
    change = f"replace (nullif(step, 'nan')::enum({steps}) as step)" if "step" in frame else ""
    return connection.sql(f"select * {change} from given")


def _narwhals(frame):
    import narwhals

    return narwhals.from_native(_polars(frame))


ABSENT = {name for name in ("polars", "duckdb", "narwhals") if importlib.util.find_spec(name) is None}
ABSENT |= {"narwhals"} if "polars" in ABSENT else set()
KINDS = {
    "pyarrow": pa.Table.from_pandas,
    "reader": lambda frame: pa.Table.from_pandas(frame).to_reader(7),
    "polars": _polars,
    "polars lazy": lambda frame: _polars(frame).lazy(),
    "duckdb": _duckdb,
    "narwhals": _narwhals,
}
FORMULA = "trust ~ age + children + member + hukou + step + (1 | number)"


def _posterior():
    return bm.fit("trust ~ age + hukou + step", people(), seed=1)


SPLIT = bm.data.within_between(people(), "age", by="hukou")
ITEMS = ["trust", "age", "children", "w"]
VERBS = {
    "fit": (people, lambda data: bm.fit(FORMULA, data, seed=1)),
    "fit, dates as groups": (people, lambda data: bm.fit("trust ~ age + (1 | moved)", data, seed=1)),
    "fit, reference": (people, lambda data: bm.fit("trust ~ hukou", data, reference={"hukou": "other"}, seed=1)),
    "fit, ordered outcome": (people, lambda data: bm.estimate("step ~ age", data, family="cumulative")),
    "estimate": (people, lambda data: bm.estimate(FORMULA, data, weights="w", method="ml")),
    "sequence": (people, lambda data: bm.sequence("trust ~ 1", ["age", "hukou"], data, verb="estimate").changes()),
    "prior_table": (people, lambda data: bm.prior_table(FORMULA, data)),
    "simulate": (people, lambda data: bm.simulate(bm.ModelSpec("trust ~ age + step"), data, draws=20, seed=1)),
    "predict": (lambda: people().iloc[8:], lambda data: bm.predict(_posterior(), data, draws=50, seed=1)),
    "poststratify": (
        census,
        lambda cells: bm.poststratify(bm.fit("trust ~ hukou + step", people(), seed=1), cells, by="step", seed=1).table,
    ),
    "composition": (census, lambda cells: bm.prediction.composition(_posterior(), cells)),
    "codebook": (people, lambda data: repr(bm.codebook(data, {"hukou": "other"}))),
    "within_between": (people, lambda data: bm.data.within_between(data, "children", by="hukou").data.iloc[:, -2:]),
    "encode": (people, lambda data: SPLIT.encode(data)["age_within"]),
    "match": (people, lambda data: bm.data.match(STUDY, data).table),
    "maihda": (people, lambda data: bm.results.maihda("trust ~ 1", data, ["hukou", "step"], method="ml").summary),
    "sensitivity": (people, lambda data: bm.checking.sensitivity("trust ~ age", data, ["stata", "mlwin"], seed=1)),
    "precision": (
        lambda: people().dropna(),
        lambda data: (
            bm.prediction.precision(
                "trust ~ age", "age > 0", truth={"age": 0.1, "sigma": 1}, per_group=40, data=data, n=3, seed=1
            ).table
        ),
    ),
    "reliability": (
        lambda: people()[ITEMS],
        lambda items: str(bm.measurement.reliability(items, draws=100, seed=1)),
    ),
    "components": (lambda: people()[ITEMS], lambda items: bm.measurement.components(items, n=1).loadings),
    "scores": (
        lambda: people()[ITEMS],
        lambda items: bm.measurement.components(people()[ITEMS], n=1).scores(items),
    ),
    "descriptives": (
        lambda: bm.reconstruct(STUDY, seed=1),
        lambda data: bm.replication.printed_descriptives(STUDY, data),
    ),
}


def alike(one: object, other: object) -> None:
    if isinstance(one, xr.DataTree):
        assert one.attrs == other.attrs
        for group in one.children:
            xr.testing.assert_identical(one[group].to_dataset(), other[group].to_dataset())
    elif isinstance(one, (pd.DataFrame, pd.Series)):
        same = pd.testing.assert_frame_equal if isinstance(one, pd.DataFrame) else pd.testing.assert_series_equal
        same(one, other, check_exact=True, check_dtype=False, check_index_type=False)
    else:
        assert one == other


def present(*kinds: str) -> list[str]:
    """Those of the kinds whose package is here."""
    return [kind for kind in kinds or KINDS if kind.split()[0] not in ABSENT]


@pytest.mark.parametrize("verb", VERBS)
def test_tables_of_every_kind_give_what_the_pandas_frame_gives(verb):
    make, call = VERBS[verb]
    known = call(make())
    for kind in present():
        try:
            alike(known, call(KINDS[kind](make())))
        except (AssertionError, BayesmigError) as error:
            raise AssertionError(f"{verb} of {kind}: {error}") from error


def test_completed_data_sets_may_be_tables():
    one, other = people().fillna({"age": 30}), people().assign(trust=lambda data: data["trust"].fillna(0.5))
    one["trust"] = one["trust"].fillna(-0.5)
    known = bm.fit("trust ~ age", [one, other], seed=1)
    for kind in present():
        alike(known, bm.fit("trust ~ age", [KINDS[kind](one), KINDS[kind](other)], seed=1))


@pytest.mark.parametrize("kind", present("pyarrow", "polars", "duckdb", "narwhals"))
def test_tables_are_read_in_chunks(kind):
    formula = "trust ~ age + step + hukou + (1 | number)"
    known = bm.fit(formula, bm.chunks(people(), rows=30), seed=1)
    found = bm.fit(formula, bm.chunks(KINDS[kind](people()), rows=30), seed=1)
    assert known.attrs["data_digest"] == found.attrs["data_digest"]
    xr.testing.assert_identical(known["posterior"].to_dataset(), found["posterior"].to_dataset())


def test_what_can_be_read_once_only_is_no_source_of_chunks():
    with pytest.raises(DataError, match="read more than once"):
        bm.chunks(pa.Table.from_pandas(people()).to_reader())
    parts = [pa.Table.from_pandas(people().iloc[:40]), people().iloc[40:]]
    xr.testing.assert_identical(
        bm.fit("trust ~ age", bm.chunks(lambda: parts), seed=1)["posterior"].to_dataset(),
        bm.fit("trust ~ age", bm.chunks(people(), rows=40), seed=1)["posterior"].to_dataset(),
    )


def test_parts_that_order_categories_in_different_ways_are_refused():
    parts = [pa.DictionaryArray.from_arrays([0, 1, 1], levels, ordered=True) for levels in (["a", "b"], ["b", "a"])]
    with pytest.raises(DataError, match="different orders"):
        frame_of(pa.table({"step": pa.chunked_array(parts)}))
    parts = [pa.DictionaryArray.from_arrays([0, 1, 1], levels) for levels in (["b", "a"], ["c", "b"])]
    step = frame_of(pa.table({"step": pa.chunked_array(parts)}))["step"]
    assert step.tolist() == ["b", "a", "a", "c", "b", "b"]
    assert step.cat.categories.tolist() == ["a", "b", "c"]  # the order of no part


@pytest.mark.skipif("polars" in ABSENT, reason="polars is not installed")
def test_a_categorical_of_polars_does_not_depend_on_what_was_read_before():
    import polars as pl

    kept = pl.Series(["urban", "rural", "elsewhere"], dtype=pl.Categorical)  # fills the pool of the process
    hukou = frame_of(pl.DataFrame({"hukou": ["urban", None, "rural"]}, schema={"hukou": pl.Categorical}))["hukou"]
    assert (kept.len(), hukou.cat.categories.tolist(), hukou.cat.ordered) == (3, ["rural", "urban"], False)
    assert hukou.isna().tolist() == [False, True, False]


@pytest.mark.skipif("duckdb" in ABSENT, reason="duckdb is not installed")
def test_what_a_database_has_to_say_is_handed_on():
    import duckdb

    connection = duckdb.connect()
    connection.execute("create table t as select 'x' as a, 1.5 as y")
    with pytest.raises(DataError, match=r"DuckDBPyRelation cannot be read: .*'x'"):
        bm.fit("y ~ a", connection.sql("select a::int as a, y from t"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([{"y": 1.0}, {"y": 2.0}], "list whose item 1 is a dict; pandas.DataFrame(data) may make one"),
        ({"y": [1.0, 2.0]}, "dict; pandas.DataFrame(data) may make one"),
        (np.ones((3, 2)), "ndarray; pandas.DataFrame(data) may make one"),
        (pd.Series([1.0]), "Series"),
        (pa.array([1.0]), "DoubleArray"),
        ("survey.dta", "bayesmig.read_survey('survey.dta') reads a file"),
        (None, "got None"),
    ],
)
def test_what_is_no_table_is_refused_by_every_verb(data, words):
    for call in (lambda: bm.fit("y ~ 1", data), lambda: bm.prior_table("y ~ 1", data), lambda: bm.codebook(data)):
        with pytest.raises(DataError, match="must be a pandas DataFrame, or a table of polars") as caught:
            call()
        assert words in str(caught.value)


def test_every_public_verb_takes_tables():
    found = set()
    for space in SPACES:
        for name, module in homes(space).items():
            public = getattr(importlib.import_module(module), name)
            own = [each for key, each in vars(public).items() if key[0] != "_"] if inspect.isclass(public) else [public]
            for function in filter(inspect.isfunction, own):
                for key, parameter in inspect.signature(function).parameters.items():
                    if key in ("data", "items", "people", "census") and "DataFrame" in str(parameter.annotation):
                        found.add(f"{function.__name__}.{key}")
    assert found == {"missing_answers.data"}  # read_survey counts them in the frame's attributes
