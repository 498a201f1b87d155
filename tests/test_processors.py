"""The same seed gives the same draws on every kind of processor."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm

# as an old processor adds up: another order in OpenBLAS, and in NumPy nothing beyond the instructions of 2011
OLD = {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR"}
FORMULAS = ("y ~ x", "y ~ x + (1 + x | g)", "y ~ x + (1 | g) + (1 | h)", "y ~ 0 + x + (1 + x || g)")


def draws() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=400), "g": rng.integers(0, 20, 400), "h": rng.integers(0, 6, 400)})
    slopes, own = rng.normal(0, 0.4, 20)[data["g"]], rng.normal(0, 0.7, 20)[data["g"]]
    data["y"] = 3 + slopes * data["x"] + own + rng.normal(0, 1, 400)
    trees = {formula: bm.fit(formula, data, seed=1) for formula in FORMULAS}
    fits = {formula: tree["posterior"].to_dataset() for formula, tree in trees.items()}
    found = {f"{formula}: {name}": fit[name].to_numpy() for formula, fit in fits.items() for name in fit.data_vars}
    evidence = [float(tree["sample_stats"]["log_marginal_likelihood"]) for tree in trees.values()]
    return found | {"log_marginal_likelihood": np.array([evidence])}


@pytest.mark.blas
def test_draws_do_not_depend_on_the_processor(tmp_path):
    program = "import sys, numpy, test_processors as t; numpy.savez(sys.argv[1], **t.draws())"
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "old.npz")]
    subprocess.run(command, env=os.environ | OLD, cwd=Path(__file__).parent, check=True)
    with np.load(tmp_path / "old.npz") as old:
        for name, values in draws().items():
            # 1e-16 times the condition of the equations, as between orders of rows (test_chunks.py)
            assert np.max(abs(values - old[name]) / values.std(axis=(0, 1))) < 1e-8, name
