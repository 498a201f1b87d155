"""Many fits: failures, interruptions, processes and a cluster."""

import math
import sys
import time

import joblib
import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.checking.validation import leave_one_group_out
from bayesmig.data.encoding import build_design
from bayesmig.errors import InferenceFailure
from bayesmig.families import machine
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.kernels import hierarchical
from bayesmig.inference.parallel import Failure, map_fits

NUMBERS = {"four": 4.0, "minus one": -1.0, "nine": 9.0}


def slowly(seconds):
    time.sleep(seconds)
    return seconds


def interrupting(number):
    if number < 0:
        raise KeyboardInterrupt
    return number


def refused(number):
    raise InferenceFailure(f"{number:g} did not settle")


@pytest.fixture(scope="module")
def tree():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"area": np.repeat(np.arange(6), 10), "x": rng.normal(size=60)})
    data["y"] = data["x"] + rng.normal(size=6)[data["area"]] + rng.normal(size=60)
    priors = pr.PriorSet(slopes=pr.Normal(0, 1), sigma=pr.HalfNormal(1), tau=pr.HalfNormal(1))
    return bm.fit(bm.ModelSpec("y ~ x + (1 | area)", priors=priors), data, engine=Exact(draws=400), seed=1)


def drawn(design):
    """Mean of the draws, and how often this process compiled the density instead of reading it from disk."""
    groups, _ = NUTS(draws=50, tune=50, chains=2, progress=False).sample(design, np.random.default_rng(1))
    compiled = sum(hierarchical.log_density.stats.cache_misses.values())
    return float(groups["posterior"]["beta"].mean()), compiled


def test_a_failure_is_kept_beside_the_results():
    with pytest.warns(UserWarning, match="1 of 3 roots failed; minus one: ValueError"):
        results = map_fits(math.sqrt, NUMBERS, "roots")
    assert list(results) == list(NUMBERS)
    assert (results["four"], results["nine"]) == (2.0, 3.0)
    assert isinstance(results["minus one"], Failure)


def test_nothing_but_failures_is_an_error():
    with pytest.raises(InferenceFailure, match="none of 3 fits succeeded; four: 4 did not settle"):
        map_fits(refused, NUMBERS)


def test_an_interruption_keeps_what_is_done():
    with pytest.warns(UserWarning) as caught:
        results = map_fits(interrupting, NUMBERS)
    assert "interrupted: 1 of 3 fits are kept" in str(caught[0].message)
    assert results["four"] == 4.0
    assert results["nine"] == Failure("interrupted before it was done")


def test_nothing_is_written_where_there_is_no_terminal(capsys):
    map_fits(abs, NUMBERS)
    assert capsys.readouterr() == ("", "")


def test_one_after_the_other_unless_asked():
    start = time.perf_counter()
    map_fits(slowly, {"a": 0.1, "b": 0.1})
    assert time.perf_counter() - start > 0.2


def test_processes_give_the_same_numbers(tree):
    alone = leave_one_group_out(tree, "area", k=6)
    with joblib.parallel_config(n_jobs=2):
        together = leave_one_group_out(tree, "area", k=6)
    pd.testing.assert_frame_equal(alone.pointwise, together.pointwise)


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_dask_cluster_gives_the_same_numbers(tree, processes):
    distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
    alone = leave_one_group_out(tree, "area", k=6)
    cluster = distributed.Client(processes=processes, n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, joblib.parallel_config(backend="dask"):
        together = leave_one_group_out(tree, "area", k=6)
    pd.testing.assert_frame_equal(alone.pointwise, together.pointwise)


def test_processes_read_machine_code_from_disk():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=80), "area": np.arange(80) % 8, "y": np.arange(80) % 2})
    design = build_design(bm.ModelSpec("y ~ x + (1 | area)", family="bernoulli"), data)
    machine.compile_all()
    here, _ = drawn(design)  # writes what is not on disk yet
    cloudpickle = pytest.importorskip(
        "cloudpickle", reason="cloudpickle, which joblib sends functions with, is missing"
    )
    own = sys.modules[drawn.__module__]
    cloudpickle.register_pickle_by_value(own)  # the processes need not find the tests
    try:
        with joblib.parallel_config(n_jobs=2):
            found = map_fits(drawn, {"one": design, "two": design})
    finally:
        cloudpickle.unregister_pickle_by_value(own)
    assert found == {"one": (here, 0), "two": (here, 0)}
