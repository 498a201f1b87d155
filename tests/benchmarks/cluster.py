"""Many fits on workers of Dask, or of Ray: seconds with one worker and with two, and whether numbers agree.

python tests/benchmarks/cluster.py
"""

import time

import distributed
import joblib
import numpy as np
import pandas as pd

import bayesmig as bm


def refits():
    """24 groups of a yes-or-no outcome left out by threes: eight fits of 1,200 people by NUTS."""
    rng = np.random.default_rng(3)
    g = np.arange(1200) % 24
    data = pd.DataFrame({"x": rng.normal(size=1200), "g": g})
    chance = 1 / (1 + np.exp(-0.5 * data["x"] - rng.normal(size=24)[g]))
    data["yes"] = (rng.random(1200) < chance).astype(int)
    engine = bm.NUTS(draws=1000, tune=1000, chains=2, progress=False)
    tree = bm.fit("yes ~ x + (1 | g)", data, family="bernoulli", engine=engine, seed=1)
    return lambda: bm.checking.leave_one_group_out(tree, "g", k=8).pointwise


def timed(what, function, **choices):
    """Seconds of the second call, so that workers have loaded everything."""
    with joblib.parallel_config(**choices):
        function()
        start = time.perf_counter()
        found = function()
    print(f"{what}: {time.perf_counter() - start:.1f} s", flush=True)
    return found


def main():
    """Print a line a way."""
    function = refits()
    alone = timed("one after the other", function)
    for workers in (1, 2):
        with distributed.Client(n_workers=workers, threads_per_worker=1, dashboard_address=None):
            found = timed(f"Dask, {workers} workers", function, backend="dask")
        pd.testing.assert_frame_equal(alone, found)
    try:
        import ray
        from ray.util.joblib import register_ray
    except ImportError:
        print("Ray is not installed")
        return
    register_ray()
    for workers in (1, 2):
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
        found = timed(f"Ray, {workers} workers", function, backend="ray", n_jobs=workers)
        pd.testing.assert_frame_equal(alone, found)
        ray.shutdown()


if __name__ == "__main__":
    main()
