"""A survey with every kind of outcome, and posteriors of it made up without a fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesmig.contract import schema
from bayesmig.data.design import Design
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import design_of
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.response import parameters
from bayesmig.specification.model import ModelSpec

OUTCOMES = {"number": "y", "binary": "owns", "ordered": "answer", "nominal": "answer", "count": "visits"}
DERIVED = {  # outcomes that follow from a number
    "interval_gaussian": "Interval(low, high)",
    "interval_lognormal": "Interval(least, most)",
    "truncated_gaussian": "Truncated(within, floor, ceiling)",
    "truncated_lognormal": "Truncated(amount, smallest, largest)",
    "truncated_poisson": "Truncated(stays, counted)",
    "truncated_negative_binomial": "Truncated(stays, counted)",
    "zero_inflated_beta": "part",
    "zero_one_inflated_beta": "part_or_all",
}
CASES = [  # every family; its further links repeat most of what the first one shows
    pytest.param(name, link, marks=[pytest.mark.slow] * (link != family.links[0]))
    for name, family in FAMILIES.items()
    for link in family.links
]


def outcome_of(family: str) -> str:
    """The column, or the two, that a family can have as its outcome."""
    if family in DERIVED:
        return DERIVED[family]
    if FAMILIES[family].zeros and FAMILIES[family].outcome == "number":
        return "remitted"
    between = {None: OUTCOMES[FAMILIES[family].outcome], (0.0, 1.0): "share"}
    return between.get(FAMILIES[family].support, "income")


def positive(data: pd.DataFrame) -> pd.DataFrame:
    """The data with the outcome ``y`` as a positive number, as one with zeros, as a share, and in brackets."""
    income = np.exp(data["y"])
    sent = np.arange(len(data)) % 3 > 0
    return data.assign(
        income=income, remitted=income * sent, share=1 / (1 + np.exp(-data["y"])), **derived(data["y"].to_numpy())
    )


def derived(y: np.ndarray) -> dict[str, np.ndarray]:
    """Ends of brackets of numbers, and of what they are logs of; bounds of these and of counts; shares with zeros."""
    edges = np.array([-np.inf, -0.8, 0.1, 1.0, np.inf])
    place, third = np.searchsorted(edges, y) - 1, np.arange(len(y)) % 3
    low, high, part = edges[place], edges[place + 1], (third > 0) / (1 + np.exp(-y))
    ends = {"low": low, "high": high, "least": np.exp(low), "most": np.exp(high)}
    floor, ceiling, stays = (
        np.where(third > 0, y - 0.7, -np.inf),
        np.where(third < 2, y + 1.1, np.inf),
        np.floor(np.exp(y)),
    )
    ends |= {"within": y, "floor": floor, "ceiling": ceiling, "stays": stays, "counted": np.minimum(stays, 1)}
    ends |= {"amount": np.exp(y), "smallest": np.exp(floor), "largest": np.exp(ceiling)}
    return ends | {"part": part, "part_or_all": np.where(np.arange(len(y)) % 7 == 1, 1.0, part)}


def survey(n: int = 120, groups: int = 8, seed: int = 3) -> pd.DataFrame:
    """People in areas within cities, with Chinese levels, a year far from zero and weights."""
    rng = np.random.default_rng(seed)
    area = rng.integers(0, groups, n)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=n),
            "owns": rng.choice(["no", "yes"], n),
            "answer": pd.Categorical(
                rng.choice(["never", "often", "always"], n), ["never", "often", "always"], ordered=True
            ),
            "visits": rng.poisson(2, n),
            "asked": 12,
            "x": rng.normal(size=n),
            "year": rng.integers(2008, 2019, n).astype(float),
            "poverty": rng.gamma(3, 8, groups)[area],
            "hukou": rng.choice(["城镇", "农村", "other"], n, p=[0.5, 0.3, 0.2]),
            "wave": rng.choice([2013.0, 2015.0], n),
            "area": area,
            "city": area // 3,
            "w": rng.integers(1, 4, n),
        }
    )
    return positive(frame)


def specification(family: str, right: str, link: str = "", **more: object) -> ModelSpec:
    """A model of the survey's outcome for a family."""
    trials = "asked" if family == "binomial" else ""
    return ModelSpec(f"{outcome_of(family)} ~ {right}", family=family, link=link, trials=trials, **more)  # type: ignore[arg-type]


def posterior(spec: ModelSpec, data: pd.DataFrame, draws: int = 20, spread: float = 0.6, seed: int = 1) -> xr.DataTree:
    """A tree in the contract whose draws are invented: two chains of ``draws``, sds around ``spread``."""
    rng = np.random.default_rng(seed)
    design = build_design(spec, data)
    size = (2, draws)
    values = {"beta": rng.normal(0, 0.5, (*size, len(design.terms))) / np.maximum(design.x.std(axis=0), 1)}
    middle = values["beta"] @ np.where(np.array(design.terms) == "intercept", 0.0, design.x.mean(axis=0))
    if design.has_intercept:
        values["beta"][..., 0] -= middle
    for name in spec.distribution.parameters:
        if name == "cut":
            values[name] = np.sort(rng.normal(0, 1.5, (*size, len(design.categories) - 1)), axis=-1) + middle[..., None]
        else:
            shares = dict.fromkeys(spec.distribution.spikes, (0.2, 0.5))
            low, high = {"sigma": (0.5, 1.5), **shares}.get(name, (3, 5))
            values[name] = rng.uniform(low, high, size)
    for group in design.groups:
        q = len(group.effects)
        values[f"tau_{group.name}"] = spread * rng.uniform(0.5, 1.5, (*size, q))
        values[f"u_{group.name}"] = spread * rng.normal(size=(*size, len(group.levels), q))
        if group.pairs:
            values[f"rho_{group.name}"] = rng.uniform(-0.5, 0.5, (*size, len(group.pairs)))
    return schema.stamp({"posterior": schema.posterior(design, values)}, design, engine="made up", seed="1")


def pieces(tree: xr.DataTree) -> tuple[Design, dict[str, np.ndarray]]:
    """The design of a posterior, and its draws by name, chains joined."""
    return design_of(tree), parameters(tree["posterior"].to_dataset())
