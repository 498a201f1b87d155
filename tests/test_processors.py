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
FORMULAS = {
    "y ~ x": "gaussian",
    "y ~ x + (1 + x | g)": "gaussian",
    "y ~ x + (1 | g) + (1 | h)": "gaussian",
    "y ~ 0 + x + (1 + x || g)": "gaussian",
    "yes ~ x": "bernoulli",
    "yes ~ x + (1 | g)": "bernoulli",
    "yes ~ x + (1 + x | h)": "bernoulli",
    "count ~ x + (1 + x | m)": "poisson",
    "count ~ x + (1 | g) + (1 + x | h)": "negative_binomial",
    "count ~ x + (1 | g)": "hurdle_poisson",
}
PREDICTORS = {"hurdle_poisson": {"hurdle": "x + (1 | h)"}}
# 1e-16 times the condition of the equations, as between orders of rows (test_chunks.py); modes are found to 1e-8 sd
NEAR = {"gaussian": 1e-8, "bernoulli": 1e-5, "poisson": 1e-5, "negative_binomial": 1e-5, "hurdle_poisson": 1e-5}


def draws() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=400), "g": rng.integers(0, 20, 400), "h": rng.integers(0, 6, 400)})
    slopes, own = rng.normal(0, 0.4, 20)[data["g"]], rng.normal(0, 0.7, 20)[data["g"]]
    data["y"] = 3 + slopes * data["x"] + own + rng.normal(0, 1, 400)
    data["yes"], data["count"] = (data["y"] > 3).astype(int), rng.poisson(np.exp(data["y"] / 3))
    data["m"] = np.arange(400) % 100  # more than are drawn
    found = {}
    for formula, family in FORMULAS.items():
        tree = bm.fit(formula, data, family=family, predictors=PREDICTORS.get(family), seed=1)
        found |= {f"{formula}: {name}": values.to_numpy() for name, values in tree["posterior"].data_vars.items()}
        found[f"{formula}: "] = np.array([float(tree["sample_stats"]["log_marginal_likelihood"])])
    return found


@pytest.mark.blas
def test_draws_do_not_depend_on_the_processor(tmp_path):
    program = "import sys, numpy, test_processors as t; numpy.savez(sys.argv[1], **t.draws())"
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "old.npz")]
    subprocess.run(command, env=os.environ | OLD, cwd=Path(__file__).parent, check=True)
    with np.load(tmp_path / "old.npz") as old:
        for name, values in draws().items():
            near = NEAR[FORMULAS[name.split(": ")[0]]]
            size = values.std(axis=(0, 1)) if values.ndim > 1 else 1.0
            assert np.max(abs(values - old[name]) / size) < near, name
