"""Answers of every family, for tests that loop over families."""

import fabricated
import numpy as np
import pandas as pd

from bayesmig.families.registry import FAMILIES
from bayesmig.specification.model import ModelSpec

DERIVED = fabricated.DERIVED | {
    "truncated_gaussian": "Truncated(gaussian, below, above)",
    "truncated_lognormal": "Truncated(lognormal, least_seen, most_seen)",
    "truncated_poisson": "Truncated(seen, 1)",
    "truncated_negative_binomial": "Truncated(seen, 1)",
}
COUNTS = [name for name, family in FAMILIES.items() if family.zeros and family.outcome == "count"]


def answers(n=80, seed=0):
    """Outcomes of every family; small groups, nested (g in p) and crossed (h)."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(3, 1, n), "v": rng.normal(size=n), "h": rng.integers(0, 5, n)})
    data = data.assign(g=np.arange(n) % 8, p=np.arange(n) % 8 % 3, w=rng.integers(1, 4, n), t=rng.integers(1, 6, n))
    eta = 0.5 * (data["x"] - 3) + rng.normal(0, 0.7, 8)[data["g"]]
    y = eta + rng.normal(size=n)
    return data.assign(
        gaussian=y,
        student=y,
        bernoulli=(y > 0).astype(int),
        binomial=rng.binomial(data["t"], 1 / (1 + np.exp(-eta))),
        poisson=rng.poisson(np.exp(eta)),
        negative_binomial=rng.poisson(np.exp(eta)),
        lognormal=np.exp(y),
        gamma=np.exp(y),
        beta=1 / (1 + np.exp(-y)),
        **fabricated.derived(y.to_numpy()),
        **{"below": y.min() - 0.2, "above": y.max() + 0.5},
        **{"least_seen": np.exp(y.min() - 0.2), "most_seen": np.exp(y.max() + 0.5)},
        seen=np.arange(n) % 5 + 1,
        categorical=rng.choice(["stay", "leave", "unsure", "other"], n),
        **{name: rng.poisson(np.exp(eta)) * (rng.random(n) < 0.7) for name in COUNTS},
        **{name: np.exp(y) * (rng.random(n) < 0.7) for name in ("hurdle_lognormal", "hurdle_gamma")},
        **dict.fromkeys(
            ("cumulative", "sequential", "adjacent"),
            pd.Categorical(pd.cut(y, [-99, -1, 0, 1, 99], labels=list("abcd")), ordered=True),
        ),
    )


def spec_of(family, link, effects):
    trials = "t" if family == "binomial" else None
    outcome = DERIVED.get(family, family)
    return ModelSpec(f"{outcome} ~ x + v + {effects}", family=family, link=link, trials=trials)
