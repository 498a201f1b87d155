"""What fit and estimate take beside a formula is what a specification takes."""

import typing

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmig as bm
from bayesmig.errors import SpecificationError
from bayesmig.specification.model import Choices, ModelSpec, Variable, Weights, as_spec
from bayesmig.specification.priors import preset

EXACT = bm.Exact(draws=400)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"area": rng.integers(0, 9, 200), "age": rng.normal(40, 9, 200), "w": rng.uniform(1, 3, 200)})
    frame["hukou"] = rng.choice(["local", "migrant"], 200)
    frame["trust"] = 0.03 * frame["age"] + rng.normal(0, 1, 200)
    frame["votes"] = rng.binomial(4, 0.4, 200)
    return frame.assign(asked=4, voted=(frame["votes"] > 1).astype(int), log_years=rng.normal(0, 0.1, 200))


BESIDE = {
    "weights": ({"weights": "w"}, {"weights": Weights("w")}),
    "weights of a kind": ({"weights": Weights("w", "precision")},) * 2,
    "priors": ({"priors": "stata"}, {"priors": preset("stata")}),
    "standardise": ({"standardise": {"age": "person"}},) * 2,
    "variables": ({"variables": (Variable("age", "Age in 2013"),)},) * 2,
    "reference": (
        {"reference": {"hukou": "migrant"}},
        {"variables": (Variable("hukou", levels={"local": "local", "migrant": "migrant"}, reference="migrant"),)},
    ),
}


@pytest.mark.parametrize(("words", "parameters"), BESIDE.values(), ids=BESIDE)
def test_beside_a_formula(data, words, parameters):
    formula = "trust ~ hukou + age + (1 | area)"
    spec = ModelSpec(formula, **parameters)
    xr.testing.assert_identical(
        bm.fit(formula, data, engine=EXACT, seed=1, **words), bm.fit(spec, data, engine=EXACT, seed=1)
    )
    xr.testing.assert_identical(bm.estimate(formula, data, **words), bm.estimate(spec, data))


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("voted ~ age", {"family": "bernoulli", "link": "probit"}),
        ("votes ~ age", {"family": "binomial", "trials": "asked"}),
        ("votes ~ age", {"family": "poisson", "offset": "log_years"}),
    ],
)
def test_families(data, formula, words):
    xr.testing.assert_identical(bm.estimate(formula, data, **words), bm.estimate(ModelSpec(formula, **words), data))


def test_every_choice_is_a_parameter_of_the_specification():
    assert set(typing.get_type_hints(Choices)) <= set(ModelSpec.__dataclass_fields__)


@pytest.mark.parametrize("verb", [bm.fit, bm.estimate])
@pytest.mark.parametrize(
    ("spec", "words", "fragment"),
    [
        ("trust ~ age", {"famly": "student"}, "famly=.*closest: 'family'.*beside a formula there are family, link"),
        (ModelSpec("trust ~ age"), {"family": "student", "weights": "w"}, "family, weights given beside a ModelSpec"),
        (ModelSpec("trust ~ hukou"), {"reference": {"hukou": "migrant"}}, "variables given beside a ModelSpec"),
        ("trust ~ hukou", {"reference": {"hukou": "city"}}, "'city' is no level"),
        ("trust ~ hukou", {"reference": {"huko": "local"}}, "closest: 'hukou'"),
        ("trust ~ hukou", {"reference": {"hukou": "local"}, "variables": ()}, "reference={'hukou': 'local'}"),
        ("trust ~ age", {"weights": pd.Series([1.0])}, "weights must be .*, got "),
    ],
)
def test_what_cannot_be_meant(data, verb, spec, words, fragment):
    with pytest.raises(bm.BayesmigError, match=fragment):
        verb(spec, data, **words)


def test_chunks_have_no_levels_to_choose_from(data):
    with pytest.raises(SpecificationError, match="with chunks"):
        bm.fit("trust ~ hukou + (1 | area)", bm.chunks(data), reference={"hukou": "local"})


@pytest.mark.parametrize("name", typing.get_type_hints(Choices))
def test_none_is_what_a_choice_is_without_a_word(name):
    assert as_spec("trust ~ age", **{name: None}) == as_spec("trust ~ age")
