"""A small survey as real ones are: gaps, Chinese labels, a group with one person, signs that formats read otherwise."""

from functools import cache

import numpy as np
import pandas as pd

from bayesmig.inference.fitting import estimate, fit
from bayesmig.specification.model import ModelSpec, Variable

ATTACK = "<script>alert('x')</script>"
NASTY = r"50 % & a_b #1 {x} ~y^2 \z $m$ | *s* `c` [k] " + ATTACK
FORMULA = "trust ~ hukou * poverty + age + (1 | area)"
VARIABLES = (
    Variable("trust", "社会信任", unit="分", minimum=0, maximum=9),
    Variable("hukou", "户口", {"local": "本地", "rural": NASTY, "urban": "城市 \x07"}),
    Variable("poverty", "Area poverty", unit="recipients", group="area"),
    Variable("age", "Age", unit="years"),
)
SPEC = ModelSpec(FORMULA, variables=VARIABLES)


def survey():
    """Ten areas, one with a single person; 8 % of the ages are missing."""
    rng = np.random.default_rng(1)
    area = np.r_[np.repeat(np.arange(9), 24), 9]
    data = pd.DataFrame(
        {
            "area": area,
            "poverty": rng.uniform(10, 90, 10)[area],
            "hukou": rng.choice(["local", "rural", "urban"], len(area)),
            "age": rng.normal(40, 9, len(area)),
        }
    )
    data["trust"] = 4 + 0.02 * data["age"] + rng.normal(0, 0.5, 10)[area] + rng.normal(0, 0.7, len(area))
    data["owns"] = (rng.random(len(area)) < 1 / (1 + np.exp(-(data["trust"] - 5)))).astype(int)
    data["answer"] = pd.cut(data["trust"], [-9, 4, 5, 9], labels=["low", "middle", "high"]).astype(str)
    data.loc[rng.random(len(area)) < 0.08, "age"] = np.nan
    return data


@cache
def posterior():
    return fit(SPEC, survey(), seed=1)


@cache
def likeliest():
    return estimate(SPEC, survey())


@cache
def owners():
    return estimate(ModelSpec("owns ~ hukou + age + (1 | area)", variables=VARIABLES, family="bernoulli"), survey())


@cache
def answers():
    levels = Variable("answer", "Answer", {"low": "低", "middle": "中", "high": "高"})
    spec = ModelSpec("answer ~ age", variables=(*VARIABLES, levels), family="cumulative")
    return estimate(spec, survey())
