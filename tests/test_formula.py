"""Formulas taken apart, and the dialect: every way of writing works in all verbs or names the way that does."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import encode_rows
from bayesmig.errors import SpecificationError
from bayesmig.specification.formula import Formula, VaryingTerm, parse


@pytest.mark.parametrize(
    ("text", "common", "varying"),
    [
        ("y ~ x", "x", []),
        ("y ~ 1", "1", []),
        ("y ~ 0 + x", "0 + x", []),
        ("y ~ (1 | g)", "1", [("1", "g", True)]),
        ("y ~ (1|g)+x", "x", [("1", "g", True)]),
        ("y ~ x + (1 | g) + z", "x + z", [("1", "g", True)]),
        ("y ~ (a + b) * c + (1 + a | g)", "(a + b) * c", [("1 + a", "g", True)]),
        ("y ~ x + (x || g)", "x", [("x", "g", False)]),
        ("y ~ x + (0 + x | g)", "x", [("0 + x", "g", True)]),
        ("y ~ x + (log(x) | g)", "x", [("log(x)", "g", True)]),
        ("y ~ x + (1 | a) + (1 | b)", "x", [("1", "a", True), ("1", "b", True)]),
        ("y ~ x + (1 | a:b)", "x", [("1", "a:b", True)]),
        ("y ~ x + (1 | a/b/c)", "x", [("1", "a", True), ("1", "a:b", True), ("1", "a:b:c", True)]),
        ("y ~ x + (1 | `my city`)", "x", [("1", "my city", True)]),
        ("y ~ x + (1 | `city-2`)", "x", [("1", "city-2", True)]),
        ("y ~ x + (1 | g) - (1 | g)", "x", []),
        ("y ~ x + (1 | a/b) - (1 | a)", "x", [("1", "a:b", True)]),
        ("y ~ (1 | g) - 1 + x", "- 1 + x", [("1", "g", True)]),
        ("y ~ I(x - -1) + (1 | g)", "I(x - -1)", [("1", "g", True)]),
        ("信任 ~ 户口 * 年龄 + (1 + 年龄 | 街道)", "户口 * 年龄", [("1 + 年龄", "街道", True)]),
    ],
)
def test_parts(text: str, common: str, varying: list[tuple[str, str, bool]]) -> None:
    formula = parse(text)
    assert " ".join(formula.common.split()) == common
    assert [(term.effects, term.group, term.correlated) for term in formula.varying] == varying


def test_columns_are_named_once_with_the_outcome_first_and_groups_last() -> None:
    formula = parse("log(income) ~ hukou * age + `years here` + (1 + age | province/city)")
    assert formula.columns == ("income", "age", "hukou", "years here", "province", "city")
    assert formula.predictors == {"age", "hukou", "years here"}
    assert formula.grouping == ("province", "city")


@pytest.mark.parametrize(
    ("outcome", "column"),
    [("trust", "trust"), ("`my trust`", "my trust"), ("log(trust)", None), ("I(after - before)", None)],
)
def test_outcome_column(outcome: str, column: str | None) -> None:
    assert parse(f"{outcome} ~ age").outcome_column == column


def test_a_change_may_be_regressed_on_where_it_began() -> None:
    assert parse("I(after - before) ~ before").predictors == {"before"}


def test_values_are_compared_by_content() -> None:
    assert parse("y ~ x + (1 | g)") == Formula("y", "x", (VaryingTerm("1", ("g",), True),))


@pytest.mark.parametrize(
    "text", ["y ~ x + (1 | a | b)", "y ~ x * (1 | g)", "y ~ x + (1 | g", "y ~ x - (1 | g)", "y ~ x[", "y ~ ."]
)
def test_what_cannot_be_read_is_quoted(text: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        parse(text)
    assert repr(text) in str(caught.value)


def test_long_formulas_are_read_and_endless_ones_refused() -> None:
    assert len(parse("y ~ " + " + ".join(f"x{k}" for k in range(300))).predictors) == 300
    for text in ("y ~ " + "(" * 5000 + "x" + ")" * 5000, "y ~ " + " + ".join(f"x{k}" for k in range(9999))):
        with pytest.raises(SpecificationError, match="cannot be read"):
            parse(text)


def survey() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = 90
    frame = pd.DataFrame(
        {
            "g": np.repeat([f"area {k}" for k in range(9)], 10),
            "h": rng.choice(["a", "b", "c"], n),
            "f": rng.choice(["p", "q"], n),
            "x": rng.normal(size=n),
            "z": rng.uniform(1, 3, n),
            "wave": rng.integers(1, 4, n),
            "age in years": rng.uniform(18, 80, n),
            "户口": rng.choice(["城", "乡"], n),
            "a.b": rng.normal(size=n),
        }
    )
    frame["k"] = [f"street {k % 3}" for k in range(n)]
    frame["y"] = frame["x"] + rng.normal(size=9).repeat(10) + rng.normal(size=n)
    return frame


def column(frame: pd.DataFrame, term: str) -> np.ndarray:
    """A column of the design by its name: indicators of levels, numbers, and their products."""
    product = np.ones(len(frame))
    for part in term.split(":") if term != "intercept" else []:
        name, _, level = part.rstrip("]").partition("[")
        product = product * (frame[name] == level if level else frame[name])
    return product


# common part, and the names of its columns where these say what their values are
WORKS: dict[str, list[str] | None] = {
    "h/x": ["intercept", "h[b]", "h[c]", "h[a]:x", "h[b]:x", "h[c]:x"],
    "x/h": ["intercept", "x", "x:h[b]", "x:h[c]"],
    "h/f": ["intercept", "h[b]", "h[c]", "h[a]:f[q]", "h[b]:f[q]", "h[c]:f[q]"],
    "h/(x + z)": ["intercept", "h[b]", "h[c]", *(f"h[{k}]:{name}" for name in "xz" for k in "abc")],
    "h * x": ["intercept", "h[b]", "h[c]", "x", "h[b]:x", "h[c]:x"],
    "h * x - h:x": ["intercept", "h[b]", "h[c]", "x"],
    "h:x": ["intercept", "h[a]:x", "h[b]:x", "h[c]:x"],
    "(x + h):f": None,
    "(x + h + f)**2": None,
    "x - 1": ["x"],
    "0 + h": ["h[a]", "h[b]", "h[c]"],
    "h + -1": ["h[a]", "h[b]", "h[c]"],
    "x + x": ["intercept", "x"],
    "`age in years` * h": None,
    "`a.b` + x": ["intercept", "a.b", "x"],
    "a.b": ["intercept", "a.b"],
    "户口 * x": ["intercept", "户口[城]", "x", "户口[城]:x"],
    "x + I(x**2)": None,
    "{x**2} + x": None,
    "I(x > 0) * h": None,
    "I(h == 'b')": None,
    "I((x + 1) * z) + I(x + 1 * z)": None,
    "I(-(x**2)) + I(x - -z)": None,
    "np.where(x > 0, 1, 0)": None,
    "np.minimum(x, z)": None,
    "log(z) * h": None,
    "np.log(z)": None,
    "poly(x, 2) * f": None,
    "bs(x, df=4)": None,
    "scale(x) + center(z)": None,
    "standardize(x)": None,
    "C(wave) * x": None,
    "C(wave, Treatment(2))": None,
    "C(h)": None,
    "C(h, Treatment('b'))": None,
    "C(h, Sum()) * x": None,
    "S(h) * f": None,
    "S(wave)": None,
    "T(h, 'c')": None,
    "x + (x || g)": None,
    "x + (1 | g/k)": None,
    "x + (1 | g:k:f)": None,
    "x + (0 + h/x | g)": None,
    "x + (1 + S(h) | g)": None,
}


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return survey()


@pytest.mark.parametrize("common", WORKS)
def test_a_row_alone_is_encoded_as_among_all(common: str, data: pd.DataFrame) -> None:
    """The columns are what their names say, and other people's are those of the model's own with the same values."""
    design = build_design(bm.ModelSpec(f"y ~ {common}"), data)
    names = WORKS[common]
    if names is not None:
        assert list(design.terms) == names
        # sums and products of a few numbers: rounding only
        np.testing.assert_allclose(design.x, np.stack([column(data, name) for name in names], axis=1), rtol=1e-14)
    for row in (0, 7, 40):
        alone = encode_rows(design, data.iloc[[row]])
        np.testing.assert_allclose(alone.x, design.x[[row]], rtol=1e-12, atol=1e-12)  # rounding of splines
        for group in design.groups:
            np.testing.assert_allclose(alone.z[group.name], group.z[[row]], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("common", [common for common in WORKS if "|" not in common])
def test_every_verb_takes_it(common: str, data: pd.DataFrame) -> None:
    tree = bm.estimate(f"y ~ {common}", data)
    expected = tree["constant_data"]["x"].to_numpy() @ tree["estimate"]["beta"].to_numpy()
    found = bm.predict(tree, data.iloc[[3, 9]])["predictions"]["y"]
    np.testing.assert_allclose(found, expected[[3, 9]], rtol=1e-9, atol=1e-12)  # rounding of splines
    effects = bm.effects(tree)
    assert np.isfinite(effects["estimate"]).all()
    assert set(effects["variable"]) == parse(f"y ~ {common}").predictors
    for name in parse(f"y ~ {common}").predictors & {"h", "f", "户口"}:
        assert len(bm.margins(tree, at={name: sorted(set(data[name]))})) == data[name].nunique()
    bm.table(tree)


def test_effects_do_not_depend_on_the_coding_of_a_category(data: pd.DataFrame) -> None:
    """Five codings of one model: the differences between levels are the same."""
    codings = ("h", "C(h)", "S(h)", "T(h, 'c')", "C(h, Sum('a'))", "C(h, Treatment('b'))")
    tables = [bm.effects(bm.estimate(f"y ~ {coding} + x", data), "h") for coding in codings]
    for table in tables[1:]:
        assert table["contrast"].tolist() == tables[0]["contrast"].tolist() == ["b - a", "c - a"]
        # least squares of the same space: rounding, far above the 1e-15 of doubles
        np.testing.assert_allclose(table["estimate"], tables[0]["estimate"], rtol=1e-9, atol=1e-12)


REFUSED = {
    "y ~ x + x**2": r"I\(x\*\*2\)",
    "y ~ (x)**2": r"I\(x\*\*2\)",
    "y ~ (x + z)**99": "small whole number",
    "y ~ x^2": r"I\(x\*\*2\)",
    "y ~ (x + z)^2": r"\(a \+ b\)\*\*2",
    "y ~ I(x^2)": r"I\(x\*\*2\)",
    "y ~ I(-x**2)": r"-\(x\*\*2\) or \(-x\)\*\*2",
    "y ~ I(x**2**2)": r"\(x\*\*2\)\*\*3",
    "y ~ I(0 < x < 1)": r"\(a < x\) \* \(x < b\)",
    "y ~ x > 0": r"I\(age > 30\)",
    "y ~ I((x > 0) & (z > 2))": r"\(a > 1\) \* \(b > 1\)",
    "y ~ x + offset(log(z))": r"ModelSpec\(..., offset='log_exposure'\)",
    "y ~ x + weights(z)": r"weights=Weights\('w'\)",
    "cbind(x, z) ~ h": r"family='binomial', trials='n'",
    "prop(x, z) ~ h": r"family='binomial', trials='n'",
    "y | trials(z) ~ x": r"family='binomial', trials='n'",
    "y | weights(z) ~ x": r"weights=Weights\('w'\)",
    "y ~ factor(wave)": r"C\(x\) makes one of a number",
    "y ~ as.factor(h)": "text is a category already",
    "y ~ i.h": r"write h, or C\(h\)",
    "y ~ ib2.wave": r"write wave, or C\(wave\)",
    "y ~ c.x#i.h": "a#b is a:b",
    "y ~ c.x##i.h": r"a##b is a \* b",
    "y ~ h %in% f": "a:b",
    "y ~ .": "name every predictor",
    "y ~ . - x": "name every predictor",
    "y ~ ns(x)": r"bs\(x, df=4\)",
    "y ~ ns(x, 3)": r"bs\(x, df=4\)",
    "y ~ binary(h)": r"I\(x == 'level'\)",
    "y ~ B(h, 'b')": r"I\(x == 'level'\)",
    "y ~ h['b']": r"I\(h == 'level'\)",
    "y['b'] ~ x": "which level of an outcome is the no",
    "y ~ I(x - np.mean(x))": r"center\(x\)",
    "y ~ ln(z)": r"log\(x\)",
    "y ~ numpy.log(z)": r"closest: 'np.log",
    "y ~ C(h, Sum)": r"C\(x, Sum\(\)\)",
    "y ~ 'x'": "without quotes",
    "y ~ x + True": "no term",
    "y ~ x + 2": "no term",
    "y ~ 2 * x": "no term",
    "y ~ x = 2": "Invalid assignment",
    "y ~ _x": "in backticks",
    "y ~ log(z, 10)": "takes 1 argument",
    "y ~ poly()": "given no column",
    "y ~ 1 | g": r"\(1 \| group\)",
    "y ~ x + (1 | g/k:f)": "either / or :",
    "y ~ I(a:b)": "no arithmetic",
    "y ~ x + z:1": "Terms are joined",
    "~ x": "no outcome",
    "y ~ x ~ z": "exactly one '~'",
    "y ~ `a:b` + a:b": "two terms 'a:b'",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_refused_names_the_way_that_works(text: str, data: pd.DataFrame) -> None:
    with pytest.raises(SpecificationError, match=REFUSED[text]) as caught:
        bm.fit(text, data, engine=None)
    assert repr(text) in str(caught.value)
