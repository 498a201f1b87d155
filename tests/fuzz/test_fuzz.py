"""Whatever a user types, a verb gives a valid result or says what is wrong: nothing else, and no foreign warning.

Three things must hold of every result besides: people are predicted alike as rows of the fit and as new data, and the
likelihood's maximum depends neither on the dtype of a column nor on where a number has its zero.
"""

import collections
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmig as bm

sys.path.insert(0, str(Path(__file__).parent))

from cases import VERBS, case, plain, several

EXACT, NUTS = bm.Exact(draws=200, chains=2), bm.NUTS(draws=40, tune=60, chains=2, progress=False)
# a variance as good as zero, or as infinite; rows that are 10^300 times as likely in some draws; correlations of one
MENDED = (752, 1481, 1697, 2012, 2720, 3098)
# a predictor that is constant where there is an amount; no variance of groups beside a share that goes to an end
MENDED_OF_SEVERAL = (39, 88, 107)
TABLES = {"coefficients": bm.coefficients, "variance_components": bm.variance_components, "check": bm.check}


def valid(result):
    """Numbers are finite, and intervals in order."""
    if isinstance(result, xr.DataTree):
        assert all(np.isfinite(v).all() for v in result["predictions"].data_vars.values() if v.dtype.kind == "f")
    if isinstance(result, pd.DataFrame) and {"lower", "upper", "estimate"} <= set(result):
        table = result[["lower", "estimate", "upper"]].dropna()
        assert (table["lower"] <= table["upper"]).all()
        assert np.isfinite(table["estimate"].to_numpy(dtype=float)).all()


def refusal(call):
    """Whether a call is refused, in words."""
    try:
        valid(call())
    except bm.BayesmigError as error:
        assert len(str(error)) > 20, error
        return True
    return False


def same_people(tree, data):
    """Rows of the fit are predicted as such and as new data alike."""
    own = bm.predict(tree, seed=1)["predictions"]
    again = bm.predict(tree, data.loc[data.notna().all(axis=1)], seed=1)["predictions"]
    name = next(iter(own.data_vars))
    kept = data.reset_index(drop=True).notna().all(axis=1)
    if own.sizes[own[name].dims[-1] if own[name].dims[-1] != "category" else own[name].dims[-2]] == kept.sum():
        # sums of a few products in another order
        np.testing.assert_allclose(own[name].values, again[name].values, rtol=1e-8, atol=1e-10)


def outcome(seed, case=case):
    """``result`` or ``refused``, for each way to fit a case."""
    this = case(seed)
    try:
        spec = this.make()
    except bm.BayesmigError as error:
        assert len(str(error)) > 20, error
        return ["refused"]
    ways = {
        "fit": lambda: bm.fit(spec, this.data, engine=EXACT if spec.is_gaussian else NUTS, seed=seed),
        "estimate": lambda: bm.estimate(spec, this.data),
    }
    found = []
    for way, make in ways.items():
        asked = way
        try:
            try:
                tree = make()
            except bm.BayesmigError as error:
                assert len(str(error)) > 20, error
                found.append("refused")
                continue
            found.append("result")
            for asked in TABLES:
                valid(TABLES[asked](tree))
            for asked in this.verbs:
                refusal(lambda asked=asked, tree=tree: VERBS[asked](tree, this.new))
            asked = "the same people"
            same_people(tree, this.data)
            if way == "estimate":
                asked = "plain columns"
                same_maximum(tree, bm.estimate(spec, plain(this.data)))
        except Exception as error:
            error.add_note(f"({way}: {asked} of {spec.formula!r}, {spec.family})")
            raise
    return found


def same_maximum(tree, other):
    """Both ways of writing the data have the same maximum: relative 1e-6, which the optimisers reach."""
    here, there = (float(each.attrs["log_likelihood"]) for each in (tree, other))
    np.testing.assert_allclose(here, there, rtol=1e-6, atol=1e-5)


def tried(seeds, case=case):
    """Outcomes by kind, after all seeds were tried; fails with what each broken one said."""
    counts, broken = collections.Counter(), []
    for seed in seeds:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                counts.update(outcome(seed, case))
            except Exception as error:
                notes = " ".join(getattr(error, "__notes__", ()))
                broken.append(
                    f"{case.__name__}({seed}): {type(error).__name__}: {' '.join(str(error).split())[:300]} {notes}"
                )
    print(dict(counts), f"broken {len(broken)}")
    assert not broken, "\n".join(broken)
    assert counts["result"] >= counts.total() / 2, counts


def test_two_hundred():
    tried([*range(200), *MENDED])


def test_several_predictors():
    tried([*range(9), *MENDED_OF_SEVERAL], several)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(40, 540, 100))
def test_five_hundred_with_several_predictors(start):
    tried(range(start, start + 100), several)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(200, 5200, 500))
def test_five_thousand(start):
    tried(range(start, start + 500))
