"""One meaning of a value: however a column stores it, in whatever role, for every verb."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.data.encoding import build_design

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
            np.testing.assert_array_equal(now, expected)


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
