"""Exact against Bambi on the Table 6 design: wall time end to end and effective draws, process warm."""

import argparse
import importlib.metadata
import os
import platform
import statistics
import time
import warnings

import arviz_stats
import bambi

import bayesmig as bm

warnings.filterwarnings("ignore")


def minimum_ess(tree):
    """Smallest bulk effective sample size over coefficients and sds."""
    names = [name for name in tree["posterior"].data_vars if not str(name).startswith(("u_", "1|"))]
    names += [name for name in tree["posterior"].data_vars if str(name).endswith("_sigma")]
    sizes = arviz_stats.ess(tree["posterior"].to_dataset()[list(dict.fromkeys(names))], method="bulk")
    return min(float(size.min()) for size in sizes.data_vars.values())


def timed(label, run, repeats, warm):
    """Median wall time of ``repeats`` calls after ``warm`` uncounted ones."""
    for _ in range(warm):
        tree = run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        tree = run()
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print(
        f"{label:<22} {median:8.3f} s   ({min(seconds):.3f} to {max(seconds):.3f})   min ESS {minimum_ess(tree):.0f}",
        flush=True,
    )
    return median


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer-repeats", type=int, default=3)
    arguments = parser.parse_args()
    study = bm.study("social_trust")
    spec = study.models["table_6"]
    data = bm.reconstruct(study, "table_6", seed=1)
    scaled = data.copy()
    for name in spec.standardise:
        scaled[name] = (scaled[name] - scaled[name].mean()) / scaled[name].std()
    names = ("bayesmig", "numpy", "bambi", "pymc", "nutpie")
    print(platform.platform(), os.cpu_count(), "cores;", {name: importlib.metadata.version(name) for name in names})
    print("load average at start", os.getloadavg())

    def with_bambi(**options):
        model = bambi.Model(spec.formula, scaled)
        return model.fit(chains=4, draws=1000, tune=1000, random_seed=1, progressbar=False, **options)

    exact = timed("Exact", lambda: bm.fit(spec, data, seed=1), arguments.repeats, 2)
    default = timed("Bambi, default", with_bambi, arguments.peer_repeats, 1)
    nutpie = timed("Bambi with nutpie", lambda: with_bambi(inference_method="nutpie"), arguments.peer_repeats, 1)
    exact_after = timed("Exact, again", lambda: bm.fit(spec, data, seed=1), arguments.repeats, 0)
    reference = statistics.median([exact, exact_after])
    print(f"Bambi default / Exact = {default / reference:.0f};  Bambi with nutpie / Exact = {nutpie / reference:.0f}")
    print("load average at end", os.getloadavg())


if __name__ == "__main__":
    main()
