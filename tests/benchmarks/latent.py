"""A factor of four numeric items in 12 places: 10,000 people against 500, and ordered answers of a survey of 323."""

from functools import partial

import numpy as np
import pandas as pd
from measurement import Design, compare
from peers import nuts

import bayesmig as bm


def survey(n, items):
    """Items of one attitude that depends on x, in 12 places; all also in five ordered steps."""
    rng = np.random.default_rng(1)
    x, place = rng.normal(size=n), np.arange(n) % 12
    attitude = 0.6 * x + rng.normal(0, 0.5, 12)[place] + rng.normal(size=n)
    answers = attitude[:, None] * np.resize([1, 0.8, 0.6, 0.9], items) + rng.normal(0, 0.8, (n, items))
    data = pd.DataFrame(answers, columns=[f"i{k}" for k in range(items)])
    steps = data.apply(lambda item: pd.cut(item, [-99, -1.5, -0.5, 0.5, 1.5, 99], labels=False)).add_suffix("_step")
    return data.join(steps).assign(x=x, place=place)


def case(n, factor):
    """Explained by x and place."""
    return bm.ModelSpec("attitude ~ x + (1 | place)", factors=(factor,)), survey(n, len(factor.items))


NUMERIC = bm.Factor("attitude", tuple(f"i{k}" for k in range(4)))
ORDERED = bm.Factor("attitude", tuple(f"i{k}_step" for k in range(11)), scale="ordinal")
DESIGNS = (
    Design("500 people, numeric items", partial(case, 500, NUMERIC), {"NUTS": nuts()}),
    Design("10,000 people, numeric items", partial(case, 10_000, NUMERIC), {"NUTS": nuts()}),
    Design("323 people, ordered items", partial(case, 323, ORDERED), {"NUTS": nuts()}),
)

if __name__ == "__main__":
    compare(__doc__, *DESIGNS)
