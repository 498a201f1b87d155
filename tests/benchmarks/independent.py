"""Quadrature beside NUTS in one process: CPU seconds of warm calls, effective draws, and how far posteriors are apart.

    python tests/benchmarks/independent.py A,B,CU

A to E are yes-or-no answers of people in cities in provinces, X of people to items, P, NB, CU and BI counts, ordered
answers and successes; gamma:2000 is that family for 2,000 people without groups, bernoulli:2000:60 one with level and
slope by 60 groups, hurdle_poisson:2000:200:hurdle one with a level by 200 groups and a predictor of that parameter,
categorical:2000:20: one with a level by 20 groups for each category. Differences are in Monte Carlo errors, over all
quantities, varying effects included.
"""

import sys
import time

import arviz_stats
import numpy as np
import pandas as pd

import bayesmig as bm

NESTED = {  # provinces, cities of each, people of each, sds of cities and of provinces, level, predictors
    "A": ("bernoulli", (30, 10, 6, 2.0, 1.0, 0.0, 8)),
    "B": ("bernoulli", (30, 33, 10, 1.0, 0.5, -1.0, 10)),
    "C": ("bernoulli", (30, 10, 10, 1.0, 0.5, -4.0, 8)),
    "D": ("bernoulli", (10, 3, 200, 0.5, 0.3, 0.0, 12)),
    "E": ("bernoulli", (100, 10, 4, 3.0, 1.0, 0.0, 5)),
    "P": ("poisson", (30, 10, 6, 2.0, 1.0, 0.0, 8)),
    "NB": ("negative_binomial", (20, 8, 10, 0.7, 0.4, 1.0, 5)),
    "CU": ("cumulative", (20, 8, 10, 1.0, 0.5, 0.0, 5)),
    "BI": ("binomial", (20, 8, 10, 1.0, 0.5, 0.0, 5)),
}


def case(name):
    """Formula, data and what else a fit takes."""
    rng = np.random.default_rng(5)
    slopes, further = 0, []
    if ":" in name:
        family, rows, *groups = name.split(":")
        groups, further = groups[:1], groups[1:]
        level, columns, sds = 0.0, 8, (0.0, 0.7 * bool(groups))
        fine, coarse = np.arange(int(rows)), np.arange(int(rows)) % int(groups[0] if groups else 1)
        slopes = rng.normal(0, 0.4 * bool(groups and not further), coarse.max() + 1)[coarse]
    elif name == "X":
        family, level, columns, sds = "bernoulli", 0.0, 4, (1.5, 1.0)
        fine, coarse = np.repeat(np.arange(300), 24), np.tile(np.arange(24), 300)
    else:
        family, (provinces, cities, people, fine_sd, coarse_sd, level, columns) = NESTED[name]
        fine, sds = np.repeat(np.arange(provinces * cities), people), (fine_sd, coarse_sd)
        coarse = fine // cities
    x = rng.standard_normal((len(fine), columns))
    eta = level + x @ rng.normal(0, 0.4, columns) + slopes * x[:, 0]
    eta += rng.normal(0, sds[1], coarse.max() + 1)[coarse] + rng.normal(0, sds[0], fine.max() + 1)[fine]
    chance, trials = 1 / (1 + np.exp(-eta)), rng.integers(2, 12, len(fine))
    none = np.random.default_rng(6).random(len(fine)) < 1 / (1 + np.exp(1 - 0.7 * x[:, 0]))
    size, uneven = np.exp(2 + 0.4 * x[:, 0]), np.random.default_rng(7).gamma(2, 0.5, len(fine))
    y = {
        "bernoulli": lambda: (rng.random(len(fine)) < chance).astype(int),
        "poisson": lambda: rng.poisson(np.exp(eta)),
        "negative_binomial": lambda: rng.poisson(np.exp(eta) * rng.gamma(2, 0.5, len(fine))),
        "cumulative": lambda: np.digitize(eta + rng.logistic(size=len(fine)), [-1.5, 0, 1.5]),
        "binomial": lambda: rng.binomial(trials, chance),
        "gamma": lambda: np.exp(eta) * rng.gamma(2, 0.5, len(fine)),
        "gaussian": lambda: eta + np.exp(0.4 * x[:, 0]) * rng.standard_normal(len(fine)),
        "hurdle_poisson": lambda: np.where(none, 0, 1 + rng.poisson(np.exp(eta))),
        "zero_inflated_negative_binomial": lambda: np.where(none, 0, rng.poisson(np.exp(1 + eta) * uneven)),
        "beta": lambda: rng.beta(chance * size, (1 - chance) * size),
        "categorical": lambda: np.argmax(np.column_stack([0 * eta, eta, x[:, 1]]) + rng.gumbel(size=(len(x), 3)), 1),
    }[family]()
    data = pd.DataFrame(x, columns=[f"x{k}" for k in range(columns)])
    data = data.assign(fine=[f"f{k}" for k in fine], coarse=[f"c{k}" for k in coarse], y=y, trials=trials)
    varying = "(1 | coarse) + (1 | fine)" if ":" not in name else "(1 + x0 | coarse)" if groups else ""
    varying = "(1 | coarse)" if further else varying
    formula = " + ".join([f"y ~ {' + '.join(f'x{k}' for k in range(columns))}", *filter(None, [varying])])
    more = {"trials": "trials"} if family == "binomial" else {}
    more |= {"predictors": {further[0]: "x0"}} if any(further) else {}
    return formula, data, {"family": family} | more


def flat(posterior, name):
    """Draws of a variable, ``(draws, k)``."""
    values = posterior[name].transpose("chain", "draw", ...).to_numpy()
    return values.reshape(values.shape[0] * values.shape[1], -1)


def main():
    """Print a line a design."""
    for name in sys.argv[1].split(","):
        formula, data, model = case(name)
        trees, cpu = [], []
        for engine in (bm.Quadrature(), bm.NUTS(progress=False)):
            for seed in (1, 2):  # the first call makes or reads machine code
                start = time.process_time()
                tree = bm.fit(formula, data, engine=engine, seed=seed, **model)
                spent = time.process_time() - start
            trees.append(tree)
            cpu.append(spent)
        ours, chains = (tree["posterior"].to_dataset() for tree in trees)
        stats, sizes = trees[0]["sample_stats"], arviz_stats.ess(chains, method="mean")
        effective, least, apart = float(stats["importance_ess"]), np.inf, []
        for variable in ours.data_vars:
            one, other, size = flat(ours, variable), flat(chains, variable), sizes[variable].to_numpy().ravel()
            error = np.sqrt(one.var(axis=0) / effective + other.var(axis=0) / size)
            apart += list((one.mean(axis=0) - other.mean(axis=0)) / error)
            least = least if str(variable).startswith("u_") else min(least, size.min())
        print(
            f"{name}: Quadrature {cpu[0]:.2f} s, {effective:.0f} effective, k {float(stats['pareto_k']):.2f};"
            f" NUTS {cpu[1]:.2f} s, {least:.0f} effective; {len(apart)} quantities, root mean square"
            f" {np.sqrt(np.mean(np.square(apart))):.2f}, largest {np.abs(apart).max():.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
