"""Outcomes far from the usual: residuals of a thousandth, huge counts and trials; and runs that are no posterior."""

import random
import subprocess
import sys

import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats import rhat
from scipy import special

import bayesmig as bm
from bayesmig.errors import BayesmigError, InferenceFailure, SpecificationError
from bayesmig.inference import fitting
from bayesmig.inference.engines.base import trusted
from bayesmig.inference.engines.nuts import sampling
from bayesmig.specification.priors import Exponential, HalfNormal, HalfStudentT

SHORT = bm.NUTS(draws=200, tune=400, chains=2)


def people(n=240, groups=12):
    rng = np.random.default_rng(0)
    g = rng.integers(0, groups, n)
    return rng, pd.DataFrame({"x": rng.normal(size=n), "g": g, "level": rng.normal(size=groups)[g]})


def settled(tree):
    """Whether the chains agree; 1.1 is what 200 draws of two chains that explore one density stay below."""
    worst = max(float(array.max()) for array in rhat(tree["posterior"].to_dataset()).data_vars.values())
    return worst < 1.1 and float(tree["sample_stats"]["diverging"].mean()) < 0.01


@pytest.mark.parametrize("prior", [None, HalfStudentT(3, 1), Exponential(1), HalfNormal(5)])
def test_small_residuals_of_a_student_outcome(prior):
    """Beside groups and slope that differ by 1 the data know sigma relative to its size, whatever that is."""
    rng, data = people()
    noise = rng.standard_t(6, len(data))
    ratios = []
    for size in (0.05, 1e-3) if prior is None else (1e-3,):
        data["y"] = 2 + data.x + data.level + size * noise
        spec = bm.ModelSpec("y ~ x + (1 | g)", family="student")
        tree = bm.fit(spec if prior is None else spec.with_priors(sigma=prior), data, engine=SHORT, seed=1)
        assert settled(tree)
        assert float(tree["posterior"]["tau_g"].mean()) == pytest.approx(
            1, abs=0.5
        )  # sd of 12 levels, posterior sd 0.2
        ratios.append(float(tree["posterior"]["sigma"].mean()) / size)
    # posterior sd of sigma about 0.07 of it with 240 people
    assert ratios == pytest.approx([0.98] * len(ratios), abs=0.2)
    assert np.ptp(ratios) < 0.03  # Monte Carlo error of two means, with at least 100 effective draws each


@pytest.mark.parametrize("dispersion", [0.02, 300.0])
def test_counts_of_thousands_with_any_dispersion(dispersion):
    rng, data = people()
    rate = np.exp(8 + 0.5 * data.x + 0.5 * data.level) * rng.gamma(dispersion, 1 / dispersion, len(data))
    tree = bm.fit(
        bm.ModelSpec("y ~ x + (1 | g)", family="negative_binomial"),
        data.assign(y=rng.poisson(rate)),
        engine=SHORT,
        seed=1,
    )
    assert settled(tree)
    # of 240 counts the dispersion is known to 10 %, and its prior pulls large ones down
    assert 0.6 < float(tree["posterior"]["dispersion"].mean()) / dispersion < 1.4


@pytest.mark.parametrize("family", ["poisson", "binomial"])
def test_counts_of_millions(family):
    rng, data = people()
    eta = (14 if family == "poisson" else -1) + 0.5 * data.x + 0.5 * data.level
    data["n"] = 10**7
    data["y"] = rng.poisson(np.exp(eta)) if family == "poisson" else rng.binomial(data.n, special.expit(eta))
    spec = bm.ModelSpec("y ~ x + (1 | g)", family=family, trials="n" if family == "binomial" else None)
    tree = bm.fit(spec, data, engine=SHORT, seed=1)
    assert settled(tree)
    assert float(tree["posterior"]["beta"].sel(term="x").mean()) == pytest.approx(0.5, abs=5e-4)  # se 1e-4


def broken(change):
    """Draws of two chains with a fault."""
    names, rng = ("chain", "draw"), np.random.default_rng(1)
    posterior = xr.Dataset({name: (names, rng.normal(size=(2, 50))) for name in ("sigma", "tau")})
    stats = xr.Dataset({"diverging": (names, np.zeros((2, 50), dtype=bool))})
    change(posterior, stats)
    return {"posterior": posterior, "sample_stats": stats}, {}


def nan(posterior, stats):
    posterior["sigma"][1, 7] = np.nan


def infinite(posterior, stats):
    posterior["tau"][0, 3] = np.inf


def diverging(posterior, stats):
    stats["diverging"][:, 2:] = True


def stuck(posterior, stats):
    posterior["tau"][1] = 0.5


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (nan, "draws of sigma are not finite"),
        (infinite, "draws of tau are not finite"),
        (diverging, "96% of the transitions diverged"),
        (stuck, "1 of 2 chains never moved: all 50 draws of tau"),
    ],
)
def test_a_run_that_failed_is_no_result(fault, message):
    with pytest.raises(InferenceFailure, match=rf"{message}.*Nothing is kept.*target_accept"):
        trusted(broken(fault))


def test_a_sampler_that_gives_up_says_so():
    with pytest.raises(InferenceFailure, match="gave up: no point to start from.*Nothing is kept"), sampling():
        raise RuntimeError("no point to start from")


@pytest.mark.parametrize("engine", [bm.Exact, bm.NUTS, bm.Bambi])
def test_chains_too_short_to_be_checked_are_refused(engine):
    with pytest.raises(SpecificationError, match="4"):
        engine(draws=8 if engine is bm.Exact else 3)


@pytest.mark.parametrize(
    "engine", [bm.Exact(draws=4, chains=1), bm.Exact(draws=16), bm.NUTS(draws=4, tune=50, chains=1)]
)
def test_the_fewest_draws_serve_every_verb_or_are_refused(engine):
    rng, data = people()
    tree = bm.fit(
        "y ~ x + (1 | g)", data.assign(y=data.x + data.level + rng.normal(size=len(data))), engine=engine, seed=1
    )
    for verb in (bm.coefficients, bm.check, bm.variance_components, bm.r2, bm.predictive_check, bm.predict, bm.effects):
        assert verb(tree) is not None
    for verb in (bm.loo, bm.checking.power_scaling, lambda tree: bm.checking.leave_one_group_out(tree, "g")):
        with pytest.raises(BayesmigError, match=f"at least 25 draws; there are {tree.attrs['draws']}"):
            verb(tree)


def test_verbs_leave_global_state_alone():
    rng, data = people()
    tree = bm.estimate("y ~ x + (1 | g)", data.assign(y=data.x + data.level + rng.normal(size=len(data))))

    def state():
        keys, place = np.random.get_state()[1:3]  # noqa: NPY002
        return keys.tobytes(), place, random.getstate(), np.geterr(), dict(matplotlib.rcParams)

    before = state()
    bm.plots.forest(tree)
    bm.effects(tree)
    bm.estimate("y ~ x", data.assign(y=rng.normal(size=len(data))))
    assert state() == before
    matplotlib.pyplot.close("all")


FRESH = """
import random
before = random.getstate()
import numpy as np, pandas as pd, bayesmig as bm
legacy = str(np.random.get_state())
rng = np.random.default_rng(1)
data = pd.DataFrame({"g": np.repeat(np.arange(6), 10), "x": rng.normal(size=60)})
data["y"] = data["x"] + rng.normal(size=60)
tree = bm.fit("y ~ x + (1 | g)", bm.chunks(data), engine=bm.Exact(draws=400), seed=1)
tree = bm.fit("y ~ x + (1 | g)", data, engine=bm.Exact(draws=400), seed=1)
bm.checking.leave_one_group_out(tree, "g")
bm.to_pymc("y ~ x", data)
assert random.getstate() == before and str(np.random.get_state()) == legacy
"""


def test_what_is_loaded_on_first_use_leaves_global_state_alone():
    """Rich draws a number when it is imported, and progress bars and PyMC import it."""
    subprocess.run([sys.executable, "-c", FRESH], check=True)


def test_where_exact_does_not_settle_nuts_draws_and_says_so(monkeypatch, unsettled):
    draw = bm.Exact.sample

    class Sampler(bm.NUTS):  # draws at once what NUTS would
        def sample(self, design, rng):
            return draw(bm.Exact(draws=400), design, rng)

    unsettled(bm.Exact, reason="the importance sampler did not settle")
    monkeypatch.setattr(fitting, "NUTS", Sampler)
    _, data = people(60)
    data["y"] = data["x"] + np.random.default_rng(1).normal(size=60)
    with pytest.raises(InferenceFailure, match="did not settle"):
        bm.fit("y ~ x", data, engine=bm.Exact(), seed=1)
    tree = bm.fit("y ~ x", data, seed=1)
    assert "Sampler" in tree.attrs["engine"] and tree.attrs["instead_of"].startswith("Exact(draws=4000")
    told = bm.check(tree).set_index("check").loc["engine"]
    assert told["verdict"] == "note" and "did not settle" in told["message"]
