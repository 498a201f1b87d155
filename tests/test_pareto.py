"""Pareto smoothing of many units at a time against ArviZ's of one."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayesmig.checking.out_of_sample import _by_logs, leave_units_out
from bayesmig.inference.pareto import pareto_smoothed

RNG = np.random.default_rng(1)
RATIOS = {
    "normal": RNG.normal(size=(30, 4000)),
    "heavy": 2 * RNG.standard_t(3, size=(30, 4000)),
    "bounded": RNG.random((30, 4000)),
    "nearly constant": 1e-5 * RNG.normal(size=(30, 4000)),
    "few draws": 0.5 * RNG.normal(size=(30, 100)),
}


@pytest.mark.parametrize("efficiency", [1.0, 0.6])
@pytest.mark.parametrize("name", RATIOS)
def test_smoothing_is_that_of_arviz(name, efficiency):
    logs = RATIOS[name]
    theirs, their_k = array_stats.psislw(-logs, r_eff=efficiency)
    weights, pareto_k = pareto_smoothed(np.exp(logs - logs.max(axis=1, keepdims=True)), efficiency)
    # rounding: logarithms of products in place of sums of logarithms
    np.testing.assert_allclose(pareto_k, their_k, atol=1e-10)
    np.testing.assert_allclose(weights, np.exp(theirs), rtol=1e-10)


def test_shapes_of_tails_whose_products_overflow():
    logs = 300 * RNG.normal(size=(5, 4000))
    with np.errstate(all="ignore"):
        their_k = array_stats.psislw(-logs)[1]
    pareto_k = pareto_smoothed(np.exp(logs - logs.max(axis=1, keepdims=True)))[1]
    np.testing.assert_allclose(pareto_k, their_k, rtol=1e-10)  # of equal logarithms


@pytest.mark.parametrize("power", [1.0, 0.5, 2.5])
def test_units_are_left_out_as_by_logarithms(power):
    densities = np.concatenate([RATIOS["normal"], np.full((2, 4000), -1.5)])
    powers = np.full(len(densities), power)
    for ours, theirs in zip(leave_units_out(densities, powers, 0.9), _by_logs(densities, powers, 0.9), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-13)  # rounding


def test_densities_that_differ_by_more_than_numbers_hold():
    densities = np.array([-900.0 * RNG.random(4000)])
    weights, shares, elpd, seen, _ = leave_units_out(densities, np.ones(1), 1.0)
    assert np.isfinite([elpd, seen]).all()
    assert (weights.sum(), shares.sum()) == pytest.approx((1, 1))


def test_who_is_impossible_in_a_draw_is_not_left_out_by_reweighting():
    """1 / p is infinite there; the other units have what they have alone."""
    densities = np.random.default_rng(3).normal(-1, 0.3, (3, 400))
    whole = leave_units_out(densities[[0, 2]], np.ones(2), 1.0)
    densities[1, :5] = -np.inf
    with np.errstate(all="raise"):
        found = leave_units_out(densities, np.ones(3), 1.0)
    assert np.isnan(found[2][1])
    assert found[4][1] == np.inf
    for ours, alone in zip(found, whole, strict=True):
        np.testing.assert_array_equal(ours[[0, 2]], alone)
        assert not np.isnan(found[1]).any()
