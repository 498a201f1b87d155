"""Broken input, and the message that a user gets before any work is done.

One table: each row breaks one thing in a survey that is otherwise in order, and states the error and the
words that its message must contain: what was asked, what came, where and how often, and what to do.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayesmig import priors
from bayesmig.errors import BayesmigError, DataError, NotFound, SpecificationError, UnknownColumn, UnknownLevel
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.fitting import fit
from bayesmig.specification.model import ModelSpec, Study, Variable, Weights
from bayesmig.specification.priors import LKJ, HalfNormal, InverseGamma, Normal, PriorSet

FORMULA = "trust ~ hukou + age + poverty + (1 | neighbourhood)"
HUKOU = Variable("hukou", "Hukou", {"urban": "城镇", "rural": "农村", "migrant": "流动"})
AGE = Variable("age", unit="years", minimum=18, maximum=100)
POVERTY = Variable("poverty", group="neighbourhood")

Change = Callable[[pd.DataFrame], Any]


def survey() -> pd.DataFrame:
    """Twelve people in each of eight neighbourhoods, in order."""
    rng = np.random.default_rng(1)
    place = np.repeat(np.arange(8), 12)
    return pd.DataFrame(
        {
            "neighbourhood": [f"district {k}" for k in place],
            "hukou": np.tile(["urban", "rural", "migrant"], 32),
            "gender": np.tile(["woman", "man"], 48),
            "age": rng.integers(18, 80, 96).astype(float),
            "income": rng.uniform(1, 9, 96),
            "poverty": rng.uniform(0, 1, 8)[place],
            "weight": rng.uniform(0.5, 2, 96),
            "trust": rng.normal(3, 1, 96) + rng.normal(0, 0.5, 8)[place],
        }
    )


@dataclass(frozen=True)
class Case:
    """One broken input.

    Parameters
    ----------
    name : str
        What is wrong.
    error : type
        Exception expected.
    says : tuple of str
        What its message must contain.
    formula : str
    data : callable
        Breaks the survey: a frame (or what is passed for one) from the frame in order.
    spec : mapping
        Further arguments of ModelSpec.
    """

    name: str
    error: type[BayesmigError]
    says: tuple[str, ...]
    formula: str = FORMULA
    data: Change = lambda frame: frame
    spec: Callable[[], dict[str, Any]] = dict

    def run(self) -> None:
        fit(ModelSpec(self.formula, **self.spec()), self.data(survey()), engine=Exact(draws=16), seed=1)


def column(**values: Any) -> Change:
    """Replace or add columns; a callable is given the frame."""
    return lambda frame: frame.assign(**values)


def rows(name: str, value: Any, count: int = 3) -> Change:
    """Put a value into the first rows of a column."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        changed = frame.astype({name: object})
        changed.loc[: count - 1, name] = value
        return changed.infer_objects()

    return change


def where(condition: str) -> Change:
    """Keep some rows."""
    return lambda frame: frame.query(condition)


def book(*variables: Variable) -> Callable[[], dict[str, Any]]:
    """A codebook."""
    return lambda: {"variables": variables}


def weighted(kind: str = "survey", name: str = "weight") -> Callable[[], dict[str, Any]]:
    """Weights."""
    return lambda: {"weights": Weights(name, kind)}  # type: ignore[arg-type]


def scaled(name: str, by: str) -> Callable[[], dict[str, Any]]:
    """Standardisation of one predictor."""
    return lambda: {"standardise": {name: by}}


def prior(**changes: Any) -> Callable[[], dict[str, Any]]:
    """Changed priors."""
    return lambda: {"priors": priors.WEAK.changed(**changes)}


FORMULAS = [
    Case("no tilde", SpecificationError, ("'trust hukou'", "'outcome ~ predictors + (1 | group)'"), "trust hukou"),
    Case("two tildes", SpecificationError, ("'trust ~ age ~ hukou'", "exactly one '~'"), "trust ~ age ~ hukou"),
    Case("full-width signs", SpecificationError, ("full-width signs (＋, ～)", "half-width"), "trust ～ age ＋ hukou"),
    Case(
        "no formula", SpecificationError, ("formula None", "write 'outcome ~ predictors"), None,
         # type: ignore[arg-type]
    ),
    Case("no outcome", SpecificationError, ("'~ age'", "no outcome before '~'"), "~ age"),
    Case("no right side", SpecificationError, ("'trust ~ '", "a term must follow (1 for none)"), "trust ~ "),
    Case("hanging plus", SpecificationError, ("ends with '+'", "a term must follow"), "trust ~ age +"),
    Case(
        "open bracket", SpecificationError, ("'trust ~ (age + hukou'", "brackets do not match"), "trust ~ (age + hukou",
    ),
    Case("open backtick", SpecificationError, ("'trust ~ `age'", "a backtick is not closed"), "trust ~ `age"),
    Case("comma", SpecificationError, ("near 'age, hukou'", "','", "joined by + - * : /"), "trust ~ age, hukou"),
    Case("no sign", SpecificationError, ("near 'age hukou'", "'hukou'", "joined by + - * : /"), "trust ~ age hukou"),
    Case("power of a column", SpecificationError, ("near 'age ** hukou'", "I(age**2)"), "trust ~ age ** hukou"),
    Case("caret", SpecificationError, ("near 'age ^ 2'", "^", "I(age**2)"), "trust ~ age ^ 2"),
    Case("bare number", SpecificationError, ("5 is no term", "arithmetic goes inside I(...)"), "trust ~ age + 5"),
    Case("bar without brackets", SpecificationError, ("in brackets", "(1 | group)"), "trust ~ 1 | neighbourhood"),
    Case(
        "empty group", SpecificationError, ("(1 | )", "(effects | group)", "(1 + age | city)"), "trust ~ age + (1 | )",
    ),
    Case("function as group", SpecificationError, ("(1 | log(age))", "must be a column"), "trust ~ 1 + (1 | log(age))"),
    Case("sign after bracket", SpecificationError, ("(1 | neighbourhood)", "'+'"), "trust ~ (1 | neighbourhood) age"),
    Case(
        "same group twice", SpecificationError, ("(1 | neighbourhood)", "twice"),
        "trust ~ age + (1 | neighbourhood) + (1 | neighbourhood)",
    ),
    Case(
        "intercept varies twice", SpecificationError,
        ("effect intercept varies twice by neighbourhood", "0 + x leaves the intercept out"),
        "trust ~ age + (1 | neighbourhood) + (age | neighbourhood)",
    ),
    Case(
        "nothing varies", SpecificationError, ("(0 | neighbourhood)", "(1 | neighbourhood)"),
        "trust ~ (0 | neighbourhood)",
    ),
    Case("no term left", SpecificationError, ("'trust ~ 0'", "keep at least the intercept"), "trust ~ 0"),
    Case("unknown function", SpecificationError, ("'lgo' (closest: 'log')", "sqrt"), "trust ~ lgo(income)"),
    Case("function without argument", SpecificationError, ("log() takes 1 argument", "given 0"), "trust ~ log()"),
    Case("offset", SpecificationError, ("'offset'", "ModelSpec(..., offset='log_exposure')"), "trust ~ offset(age)"),
    Case("outcome as predictor", SpecificationError, ("'trust' on both sides", "left"), "trust ~ trust + age"),
    Case("outcome inside a predictor", SpecificationError, ("'trust' on both sides",), "trust ~ I(trust * 2) + age"),
    Case("outcome as group", SpecificationError, ("'trust' on both sides",), "trust ~ age + (1 | trust)"),
    Case(
        "predictor and group at once", SpecificationError,
        ("'neighbourhood' is both a categorical predictor and a grouping factor", "(1 | neighbourhood)"),
        "trust ~ age + neighbourhood + (1 | neighbourhood)",
    ),
]  # fmt: skip

COLUMNS = [
    Case(
        "misspelt column", UnknownColumn, ("'hukuo', which is no column", "closest: 'hukou'", "the data have neigh"),
        "trust ~ hukuo + age",
    ),
    Case(
        "misspelt group", UnknownColumn, ("'neighborhood'", "closest: 'neighbourhood'"),
        "trust ~ 1 + (1 | neighborhood)",
    ),
    Case(
        "misspelt weights", UnknownColumn, ("weights name 'wieght'", "closest: 'weight'"), spec=weighted(name="wieght"),
    ),
    Case(
        "column in the index", UnknownColumn, ("'neighbourhood', which is no column", "pass data.reset_index()"),
        data=lambda frame: frame.set_index("neighbourhood"),
    ),
    Case(
        "name with a sign", UnknownColumn, ("'years'", "in backticks: `years-in-city`"), "trust ~ years-in-city",
        column(**{"years-in-city": 1.0}),
    ),
    Case(
        "numbers as names", UnknownColumn, ("'trust', which is no column", "the data have 0, 1, 2"),
        data=lambda frame: frame.set_axis(range(8), axis=1),
    ),
    Case(
        "two columns of one name", DataError, ("more than one column called age", "rename or drop"),
        data=lambda frame: frame.rename(columns={"income": "age"}),
    ),
    Case("a dictionary", DataError, ("must be a pandas DataFrame", "got dict", "pandas.DataFrame(data)"), data=dict),
    Case("an array", DataError, ("must be a pandas DataFrame", "got ndarray"), data=lambda frame: frame.to_numpy()),
    Case("a series", DataError, ("must be a pandas DataFrame", "got Series"), data=lambda frame: frame["trust"]),
    Case("a file name", DataError, ("got str", "read_survey('survey.csv')"), data=lambda _: "survey.csv"),
    Case("nothing", DataError, ("got None",), data=lambda _: None),
    Case(
        "records", DataError, ("got list whose item 1 is a dict", "pandas.DataFrame(data)", "completed data sets"),
        data=lambda frame: frame.to_dict("records"),
    ),
    Case(
        "a frame and a record", DataError, ("got tuple whose item 2 is a dict",),
        data=lambda frame: (frame, {"trust": 1.0}),
    ),
    Case(
        "another library's table", DataError, ("got Table", "data.to_pandas()"),
        data=lambda _: type("Table", (), {"to_pandas": None})(),
    ),
    Case("empty frame", DataError, ("is empty", "0 rows, 0 columns", "Check the file"), data=lambda _: pd.DataFrame()),
    Case("no rows", DataError, ("0 rows, 8 columns", "any filter"), data=where("age > 200")),
    Case(
        "a name that results need", SpecificationError, ("'chain'", "beta, category, chain", "rename it"),
        "trust ~ age + (1 | chain)", column(chain=lambda frame: frame["neighbourhood"]),
    ),
    Case(
        "a column called Intercept", SpecificationError, ("'Intercept' means the constant", "rename"),
        "trust ~ Intercept",
        column(Intercept=lambda frame: frame["age"]),
    ),
]  # fmt: skip

VALUES = [
    Case("all missing", DataError, ("'age' has no value at all", "96 rows", "Leave it out"), data=column(age=np.nan)),
    Case("all missing, in the codebook", DataError, ("'hukou'", "96 rows"), data=column(hukou=None), spec=book(HUKOU)),
    Case(
        "no complete row", DataError, ("no complete row is left of 96", "age (50), poverty (46)", "fill them"),
        data=lambda frame: frame.assign(age=frame.age.iloc[50:], poverty=frame.poverty.iloc[:50]),
    ),
    Case(
        "text among numbers", DataError,
        ("'age' must hold numbers", "3 of 96 rows", "'forty' (row 0)", "set them to missing"),
        data=rows("age", "forty"),
    ),
    Case(
        "text among numbers, read as text", DataError,
        ("'age' holds numbers as text", "'forty' in 3 rows is no number"),
        data=lambda frame: rows("age", "forty")(frame).astype({"age": str}),
    ),
    Case(
        "numbers as text", DataError, ("'age' holds numbers as text", "pandas.to_numeric", ".astype('category')"),
        data=lambda frame: frame.astype({"age": int}).astype({"age": str}),
    ),
    Case("infinite predictor", DataError, ("'age' has 3 infinite", "inf (row 0)", "missing"), data=rows("age", np.inf)),
    Case("infinite outcome", DataError, ("'trust' has 3 infinite", "-inf (row 0)"), data=rows("trust", -np.inf)),
    Case("system missing as a number", DataError, ("'age' has 3", "absurdly large", "8.9"), data=rows("age", 8.98e307)),
    Case(
        "code for missing below the range", DataError,
        ("'age' has 3 values below 18 years", "-9 (row 0)", "codes for missing answers, set them to missing"),
        data=rows("age", -9), spec=book(AGE),
    ),
    Case(
        "code for missing above the range", DataError, ("'age' has 3 values above 100 years", "999 (row 0)"),
        data=rows("age", 999), spec=book(AGE),
    ),
    Case(
        "dates", DataError, ("'day' holds datetime64", "2013-01-01", "years since a date"), "trust ~ day",
        column(day=pd.date_range("2013-01-01", periods=96)),
    ),
    Case(
        "date objects", DataError, ("'day' holds date", "2013-01-01", "years since a date"), "trust ~ day",
        column(day=[datetime.date(2013, 1, 1)] * 96),
    ),
    Case(
        "complex numbers", DataError, ("'age' holds complex values",), data=column(age=lambda frame: frame["age"] + 1j),
    ),
    Case("lists", DataError, ("'age' must hold numbers", "96 of 96", "[1, 2]"), data=column(age=[[1, 2]] * 96)),
    Case(
        "logarithm of zero", DataError, ("'log(income)' is not finite in 3 of 96 rows", "set them to missing"),
        "trust ~ log(income)", rows("income", 0.0),
    ),
    Case(
        "logarithm of a negative outcome", DataError, ("'log(trust)' is not finite in 3 of 96 rows",),
        "log(trust) ~ age",
        lambda frame: rows("trust", -1.0)(frame.assign(trust=frame["trust"].abs() + 1)),
    ),
    Case(
        "logarithm of zero in a varying slope", DataError, ("'log(income)' is not finite in 3 of 96 rows",),
        "trust ~ age + (log(income) | neighbourhood)", rows("income", 0.0),
    ),
]  # fmt: skip

LEVELS = [
    Case(
        "unknown level", UnknownLevel,
        ("'hukou' has 'rurla' in 3 rows", "allows urban, rural, migrant", "closest: 'rural'", "Recode these rows"),
        data=rows("hukou", "rurla"), spec=book(HUKOU),
    ),
    Case(
        "trailing blank", UnknownLevel, ("'hukou' has 'urban ' in 3 rows", "closest: 'urban'"),
        data=rows("hukou", "urban "), spec=book(HUKOU),
    ),
    Case(
        "trailing blank without a codebook", DataError,
        ("'hukou' has levels that differ only in blanks", "'urban' (31 rows), 'urban ' (3 rows)", "Recode"),
        data=rows("hukou", "urban "),
    ),
    Case(
        "capital letter", DataError, ("or capitals", "'Urban' (3 rows)", "'urban' (31 rows)"),
        data=rows("hukou", "Urban"),
    ),
    Case(
        "trailing blank in a group", DataError, ("'neighbourhood'", "'district 0 ' (3 rows)"),
        data=rows("neighbourhood", "district 0 "),
    ),
    Case("blank text", DataError, ("'hukou' has the text '' in 3 rows", "missing (None)"), data=rows("hukou", "")),
    Case("missing turned text", DataError, ("'hukou' has the text 'nan' in 3 rows",), data=rows("hukou", "nan")),
    Case(
        "value label instead of code", UnknownLevel, ("'hukou' has '城镇' in 32 rows", "'流动'", "allows urban, rural"),
        data=lambda frame: frame.replace({"hukou": dict(HUKOU.levels)}), spec=book(HUKOU),
    ),
    Case(
        "code outside the codebook", UnknownLevel, ("'code' has '9' in 3 rows", "allows 1, 2, 3"), "trust ~ code",
        lambda frame: rows("code", 9)(frame.assign(code=np.tile([1, 2, 3], 32))),
        book(Variable("code", levels={"1": "yes", "2": "no", "3": "no answer"})),
    ),
    Case(
        "nobody at the reference", DataError, ("reference level 'urban'", "in the codebook", "one of migrant, rural"),
        data=where("hukou != 'urban'"), spec=book(HUKOU),
    ),
    Case(
        "one level only", DataError, ("no variation in hukou", "64 rows used have 'rural'", "leave it out"),
        data=lambda frame: frame[frame.hukou != "urban"].assign(hukou="rural"), spec=book(HUKOU),
    ),
    Case(
        "a question that one group was asked", DataError, ("all 64 rows", "what has no answer: age 32."),
        data=lambda frame: frame.assign(
            age=frame.age.where(np.arange(96) > 31), hukou=np.repeat(["urban", "rural", "rural"], 32)
        ),
    ),
]  # fmt: skip

OUTCOMES = [
    Case("constant outcome", DataError, ("'trust' is constant (3)", "96 rows", "any filter"), data=column(trust=3)),
    Case("text outcome", DataError, ("outcome 'gender' must hold numbers", "its answers are words"), "gender ~ age"),
    Case(
        "categorical outcome", DataError, ("outcome 'trust' must be a number", "levels low, mid", "score first"),
        data=lambda frame: frame.assign(trust=pd.cut(frame.trust, 3, labels=["low", "mid", "high"])),
    ),
    Case("outcome with levels", DataError, ("outcome 'hukou'", "levels urban, rural"), "hukou ~ age", spec=book(HUKOU)),
    Case("one answer among numbers", DataError, ("outcome 'trust'", "1 of 96", "'n/a'"), data=rows("trust", "n/a", 1)),
    Case(
        "outcome is the sum of predictors", DataError, ("reproduce the outcome 'trust' exactly", "a part of it?"),
        "trust ~ age + income", column(trust=lambda frame: frame["age"] + 2 * frame["income"]),
    ),
]  # fmt: skip

IDENTIFICATION = [
    Case(
        "constant predictor", DataError, ("no variation in age among the 96 rows", "leave it out"),
        data=column(age=3.0),
    ),
    Case(
        "collinear", DataError, ("rank deficient", "months can be computed from the terms before it", "Leave it out"),
        "trust ~ age + months", column(months=lambda frame: 12 * frame["age"]),
    ),
    Case(
        "two variables with the same categories", DataError,
        ("rank deficient", "status[y], status[z]", "merge the levels"),
        "trust ~ hukou + status",
        column(status=lambda frame: frame["hukou"].map({"urban": "y", "rural": "z", "migrant": "x"})),
    ),
    Case(
        "empty cell", DataError,
        ("rank deficient", "hukou[rural]:gender[woman]", "No row has hukou = rural and gender = man", "merge levels"),
        "trust ~ hukou * gender", where("not (hukou == 'rural' and gender == 'man')"),
    ),
    Case(
        "more coefficients than rows", DataError, ("8 coefficients from 6 rows", "hukou alone has 2", "more data"),
        "trust ~ hukou * gender + age + income", where("index < 6"),
    ),
    Case("as many coefficients as rows", DataError, ("2 coefficients from 2 rows",), "trust ~ age", where("index < 2")),
]  # fmt: skip

GROUPS = [
    Case(
        "single group", DataError, ("single group ('A')", "(... | neighbourhood) out"), data=column(neighbourhood="A"),
    ),
    Case(
        "every row its own group", DataError,
        ("every row is its own neighbourhood (96 groups", "respondents' numbers?"),
        data=column(neighbourhood=[f"person {k}" for k in range(96)]),
    ),
    Case(
        "slope constant within groups", DataError,
        ("poverty has one value within each neighbourhood", "take it out of"),
        "trust ~ age + poverty + (poverty | neighbourhood)",
    ),
    Case(
        "group's variable varies within it", DataError,
        ("'poverty' describes each neighbourhood", "within 1 of 8 of them (district 0)", "one value"),
        data=rows("poverty", 0.77, 1), spec=book(POVERTY),
    ),
]  # fmt: skip

WEIGHTS = [
    Case(
        "negative weights", DataError, ("'weight' has 3 negative", "positive"), data=rows("weight", -1),
        spec=weighted(),
    ),
    Case("all weights zero", DataError, ("'weight' are all zero",), data=column(weight=0), spec=weighted()),
    Case("all weights missing", DataError, ("'weight' has no value",), data=column(weight=np.nan), spec=weighted()),
    Case("weights as text", DataError, ("weights 'weight'", "'heavy'"), data=rows("weight", "heavy"), spec=weighted()),
    Case("infinite weights", DataError, ("'weight' has 3 infinite",), data=rows("weight", np.inf), spec=weighted()),
    Case(
        "fractional frequencies", DataError,
        ("frequency weights 'weight' must be whole numbers", "96 rows", "kind='survey'"),
        spec=weighted("frequency"),
    ),
    Case(
        "unknown kind", SpecificationError, ("kind 'suvrey'", "closest: 'survey'", "precision"),
        spec=weighted("suvrey"),
    ),
    Case("no Weights", SpecificationError, ("Weights(column, kind)", "'weight'"), spec=lambda: {"weights": "weight"}),
    Case("outcome as weights", SpecificationError, ("weights name the outcome 'trust'",), spec=weighted(name="trust")),
]  # fmt: skip

STANDARDISATION = [
    Case("misspelt", SpecificationError, ("standardise names aeg", "closest: 'age'"), spec=scaled("aeg", "person")),
    Case(
        "not in the formula", SpecificationError, ("names income", "age, hukou, poverty"),
        spec=scaled("income", "person"),
    ),
    Case(
        "a category by group", SpecificationError, ("'hukou'", "standardised by 'person'"),
        spec=scaled("hukou", "neighbourhood"),
    ),
    Case("a group's number", SpecificationError, ("names neighbourhood",), spec=scaled("neighbourhood", "person")),
    Case(
        "a constant", DataError, ("'age' is constant (3)", "leave it out"), data=column(age=3),
        spec=scaled("age", "person"),
    ),
    Case("an unknown group", SpecificationError, ("'city'", "'person'", "(neighbourhood)"), spec=scaled("age", "city")),
    Case("a number as group", SpecificationError, ("= 'poverty'", "(neighbourhood)"), spec=scaled("age", "poverty")),
    Case(
        "people by group", DataError, ("'age' describes each neighbourhood", "8 of 8"),
        spec=scaled("age", "neighbourhood")
    ),
    Case("a list", SpecificationError, ("{'age': 'person'}", "['age']"), spec=lambda: {"standardise": ["age"]}),
]  # fmt: skip

PRIORS = [
    Case(
        "unknown parameter", SpecificationError,
        ("'aeg', which is no parameter", "closest: 'age'", "tau_neighbourhood"),
        spec=prior(aeg=Normal(0, 1)),
    ),
    Case(
        "unknown group", SpecificationError, ("'tau_neighborhood'", "closest: 'tau_neighbourhood'"),
        spec=prior(tau_neighborhood=HalfNormal(1)),
    ),
    Case(
        "correlation of one effect", SpecificationError, ("'rho_neighbourhood'",), spec=prior(rho_neighbourhood=LKJ(1)),
    ),
    Case("negative sd", SpecificationError, ("Normal(sd=-1)", "positive"), spec=lambda: prior(age=Normal(0, -1))()),
    Case(
        "sd as text", SpecificationError, ("Normal(sd='1')", "number"), spec=lambda: prior(age=Normal(0, "1"))(),
         # type: ignore[arg-type]
    ),
    Case("mean is no number", SpecificationError, ("mean=nan", "finite"), spec=lambda: prior(age=Normal(np.nan))()),
    Case("correlation prior for a slope", SpecificationError, ("age", "LKJ", "R2D2, Flat"), spec=prior(age=LKJ(1))),
    Case(
        "sd prior for a slope", SpecificationError, ("slopes", "HalfNormal", "R2D2, Flat"),
        spec=prior(slopes=HalfNormal()),
    ),
    Case(
        "slope prior for an sd", SpecificationError, ("prior for tau", "Normal", "HalfNormal"),
        spec=prior(tau=Normal(0, 1)),
    ),
    Case("a number for a prior", SpecificationError, ("prior for age", "got 1", "R2D2, Flat"), spec=prior(age=1)),
    Case(
        "role as a specific name", SpecificationError, ("'sigma'", "PriorSet(sigma=...)"),
        spec=lambda: {"priors": PriorSet(specific={"sigma": HalfNormal()})},
    ),
    Case(
        "relative without a scale", SpecificationError, ("InverseGamma", "relative"),
        spec=lambda: prior(tau=InverseGamma(relative=True))(),
    ),
    Case("name of a preset", SpecificationError, ("PriorSet", "'stata'", "preset"), spec=lambda: {"priors": "stata"}),
    Case(
        "unknown preset", NotFound, ("'statta'", "closest: 'stata'"), spec=lambda: {"priors": priors.preset("statta")},
    ),
]  # fmt: skip

SPECIFICATIONS = [
    Case(
        "unknown family", SpecificationError, ("'gausian'", "closest: 'gaussian'"), spec=lambda: {"family": "gausian"},
    ),
    *(
        Case(
            f"family {name}", SpecificationError, (f"{name!r} is family {meant} here",),
            spec=lambda name=name: {"family": name},
        )
        for name, meant in {
            **{called: meant for family in FAMILIES.values() for called, meant in family.called_elsewhere.items()},
            "Ordered-Probit": "'cumulative' with link='probit'",
        }.items()
    ),
    Case(
        "binomial answers", SpecificationError, ("needs the column of trials", "'bernoulli'"),
        spec=lambda: {"family": "binomial"},
    ),
    Case("unknown estimator", SpecificationError, ("'rmel'", "closest: 'reml'"), spec=lambda: {"estimator": "rmel"}),
    Case("variable twice", SpecificationError, ("codebook names a variable twice: age",), spec=book(AGE, AGE)),
    Case("codebook of one", SpecificationError, ("tuple of Variable",), spec=lambda: {"variables": AGE}),
    Case(
        "reference is no level", SpecificationError,
        ("'hukou': reference 'city' is no level", "levels are urban, rural"),
        spec=lambda: {"variables": (Variable("hukou", levels=HUKOU.levels, reference="city"),)},
    ),
    Case(
        "reference without levels", SpecificationError, ("'hukou' has a reference but no levels",),
        spec=lambda: {"variables": (Variable("hukou", reference="city"),)},
    ),
    Case(
        "a single level", SpecificationError, ("'hukou' needs at least two levels", "got urban"),
        spec=lambda: {"variables": (Variable("hukou", levels={"urban": "Urban"}),)},
    ),
    Case(
        "levels as a list", SpecificationError, ("'hukou': levels must map codes to labels", "['urban'"),
        spec=lambda: {"variables": (Variable("hukou", levels=["urban", "rural"]),)},  # type: ignore[arg-type]
    ),
    Case(
        "level twice", SpecificationError, ("'q1' has a level twice", "1, '1'"),
        spec=lambda: {"variables": (Variable("q1", levels={1: "yes", "1": "no"}),)},  # type: ignore[dict-item]
    ),
    Case(
        "range upside down", SpecificationError, ("'age': minimum 90 exceeds maximum 18",),
        spec=lambda: {"variables": (Variable("age", minimum=90, maximum=18),)},
    ),
]  # fmt: skip

CASES = (
    FORMULAS + COLUMNS + VALUES + LEVELS + OUTCOMES + IDENTIFICATION
    + GROUPS + WEIGHTS + STANDARDISATION + PRIORS + SPECIFICATIONS
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_message(case: Case) -> None:
    with pytest.raises(case.error) as caught:
        case.run()
    assert type(caught.value) is case.error
    message = str(caught.value)
    assert [part for part in case.says if part not in message] == [], message
    assert message.endswith((".", "?")), message
    assert "  " not in message, message


def test_the_survey_is_in_order() -> None:
    fit(ModelSpec(FORMULA, variables=(HUKOU, AGE, POVERTY)), survey(), engine=Exact(draws=400), seed=1)


def test_a_specification_is_asked_for() -> None:
    with pytest.raises(SpecificationError, match="expected a ModelSpec or a formula, got NoneType"):
        fit(None, survey())  # type: ignore[arg-type]


def test_unknown_model_of_a_study() -> None:
    study = Study("trust", "Trust", "", (AGE,), {"table_6": ModelSpec("trust ~ age")})
    with pytest.raises(NotFound, match=r"no model 'table6' \(closest: 'table_6'\); it has table_6"):
        study.model("table6")


def test_terms_are_changed_by_sign() -> None:
    with pytest.raises(SpecificationError, match=r"with_terms\('income'\): begin with '\+'"):
        ModelSpec(FORMULA).with_terms("income")


def test_nothing_is_mutated() -> None:
    data = survey().assign(member=[True, None] * 48, wave=pd.Categorical(np.tile([1, 2], 48), [1, 2, 3]))
    data.index = pd.Index([7] * 96, name="household")
    spec = ModelSpec(
        FORMULA + " + wave", variables=(HUKOU, AGE, POVERTY), standardise={"age": "person", "poverty": "neighbourhood"},
        weights=Weights("weight"),
    )  # fmt: skip
    before, written = data.copy(deep=True), spec.to_json()
    fit(spec, data, engine=Exact(draws=400), seed=1)
    pd.testing.assert_frame_equal(data, before)
    assert spec.to_json() == written


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({"engine": "nuts"}, "engine='nuts'.*such as Exact"),
        ({"engine": type("Nothing", (), {})()}, "give an engine"),
        ({"seed": -1}, "seed=-1.*not negative"),
        ({"seed": 1.5}, "seed=1.5.*whole number"),
    ],
)
def test_engines_and_seeds_are_checked_first(arguments, fragment):
    with pytest.raises(SpecificationError, match=fragment):
        fit("y ~ x", None, **arguments)
