"""An offset of a number is what is taken from it: engines, estimators, tables, and what cannot know it."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.errors import EngineRefusal
from bayesmig.inference import sparse
from bayesmig.results.intervals import confidence_intervals

TERMS = ["x", "x + (1 | g)", "s(x) + (1 + x | g)", "x + (1 | bym2(g))"]
MAP = {"g": bm.Neighbours.in_order(range(12))}


def people(n=240):
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=n), "known": 3 * rng.normal(size=n), "g": rng.integers(0, 12, n)})
    data["rest"] = 1 + 0.5 * data["x"] + rng.normal(0, 0.5, 12)[data["g"]] + rng.normal(size=n)
    return data.assign(y=data["rest"] + data["known"], w=1 + np.arange(n) % 2)


DATA = people()
# the scale of priors is the outcome's, which flat ones have not
FLAT = {"priors": bm.priors.PriorSet(sigma=bm.priors.HalfNormal(2), tau=bm.priors.HalfNormal(1))}


def both(verb, terms, **choices):
    choices |= {"neighbours": MAP} if "bym2" in terms else {}
    return verb(f"y ~ {terms}", DATA, offset="known", **choices), verb(f"rest ~ {terms}", DATA, **choices)


@pytest.mark.parametrize("terms", TERMS)
def test_draws_are_those_of_the_difference(terms, monkeypatch):
    with_offset, without = both(bm.fit, terms, seed=1, **FLAT)
    assert with_offset.attrs["engine"].startswith("Exact")
    for name, values in without["posterior"].data_vars.items():
        if name != "sd_smooth" and not name.startswith(("tau", "u_")):
            # means of 3,000 effective draws each, within four and a half errors
            away = abs(with_offset["posterior"][name].mean(("chain", "draw")) - values.mean(("chain", "draw")))
            assert (away < 4.5 * np.sqrt(2 / 3000) * values.std(("chain", "draw"))).all()
    predicted = bm.predict(with_offset, DATA.head(3))["predictions"]["y"].mean(("chain", "draw")).to_numpy()
    plain = bm.predict(without, DATA.head(3))["predictions"]["y"].mean(("chain", "draw")).to_numpy()
    assert predicted - DATA["known"].head(3).to_numpy() == pytest.approx(plain, abs=0.05)
    if "bym2" in terms:
        monkeypatch.setattr(sparse, "LEAST_AREAS", 5)
        again = both(bm.fit, terms, seed=1, **FLAT)[0]["posterior"]["beta"]
        assert float(again[..., 0].mean()) == pytest.approx(
            float(with_offset["posterior"]["beta"][..., 0].mean()), abs=0.05
        )


def test_engines_agree():
    exact, other = (
        bm.fit("y ~ x + (1 | g)", DATA, offset="known", engine=engine, seed=1)
        for engine in (bm.Exact(), bm.Quadrature())
    )
    one, two = (tree["sample_stats"]["log_marginal_likelihood"].item() for tree in (exact, other))
    assert one == pytest.approx(two, abs=0.1)


ESTIMATES = [
    ("x", {"method": "ols"}),
    ("x + (1 | g)", {"method": "ols", "errors": "cluster"}),
    ("x + (1 | g)", {"method": "ml"}),
    ("x + (1 | g)", {"method": "ml", "errors": "cluster"}),
    ("x + (1 | g)", {"method": "reml", "df": "satterthwaite"}),
    ("x + (1 | g)", {"method": "reml", "df": "kenward-roger"}),
    ("s(x) + (1 | g)", {"method": "reml"}),
    ("x + (1 | bym2(g))", {"method": "reml"}),
    ("x", {"method": "ols", "weights": bm.Weights("w", "frequency")}),
]


@pytest.mark.parametrize(("terms", "choices"), ESTIMATES)
def test_estimates_are_those_of_the_difference(terms, choices):
    one, two = both(bm.estimate, terms, **choices)
    for name, values in two["estimate"].data_vars.items():
        np.testing.assert_allclose(one["estimate"][name], values, rtol=1e-6, atol=1e-9, err_msg=name)
    assert one.attrs["log_likelihood"] == pytest.approx(two.attrs["log_likelihood"])
    assert "r_squared" not in one.attrs


def test_profiles_are_those_of_the_difference():
    one, two = (confidence_intervals(tree, "profile").iloc[:, 1:3] for tree in both(bm.estimate, "x + (1 | g)"))
    np.testing.assert_allclose(one.astype(float), two.astype(float), rtol=1e-4)


def test_rows_that_are_added_up_have_none():
    spec = bm.ModelSpec("y ~ x + (1 | g)", offset="known")
    for verb in (bm.fit, bm.estimate):
        with pytest.raises(EngineRefusal, match="take it from the outcome"):
            verb(spec, bm.chunks(DATA))
