"""A design rebuilt from its result, and other people encoded as the model's own were."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fabricated import outcome_of, positive

import bayesmig as bm
from bayesmig.contract.schema import stamp
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import Rows, design_of, encode_rows
from bayesmig.errors import BayesmigError, DataError, UnknownColumn, UnknownLevel
from bayesmig.families.registry import FAMILIES

RNG = np.random.default_rng(4)
N = 240
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "owns": RNG.choice(["no", "yes"], N),
        "answer": pd.Categorical(
            RNG.choice(["never", "often", "always"], N), ["never", "often", "always"], ordered=True
        ),
        "visits": RNG.poisson(2, N),
        "asked": 12,
        "x": RNG.normal(size=N),
        "age": RNG.integers(18, 80, N),
        "hukou": RNG.choice(["农村", "城镇", "other"], N),
        "income (yuan/month)": RNG.lognormal(8, 1, N),
        "area": RNG.integers(1, 13, N),
        "w": RNG.integers(1, 4, N),
        "wave": RNG.choice([2013.0, 2015.0], N),
    }
)
DATA["city"] = "c" + (DATA["area"] % 4).astype(str)
FORMULAS = (
    "y ~ x * hukou + (1 | area)",
    "y ~ poly(x, 2) + bs(age, df=4) + (1 + x || area)",
    "y ~ np.log(`income (yuan/month)`) + C(wave) + center(age) + (1 | city/area)",
    "y ~ 0 + hukou + x:age + (hukou | city)",
)
SPECS = [bm.ModelSpec(formula, name=f"formula {k}") for k, formula in enumerate(FORMULAS)]
SPECS += [
    bm.ModelSpec("y ~ age + x + (1 | area)", standardise={"age": "person"}).with_weights("w", kind)
    for kind in ("survey", "frequency", "precision")
]
DATA = positive(DATA)
SPECS += [
    bm.ModelSpec(
        f"{outcome_of(name)} ~ hukou + x + (1 | area)",
        family=name,
        trials="asked" if name == "binomial" else "",
        offset="age" if name == "poisson" else "",
        name=name,
    )
    for name, family in FAMILIES.items()
]


def same(one, other):
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "frame":
            pd.testing.assert_frame_equal(a, b.reset_index(drop=True), check_dtype=False, check_categorical=False)
        elif field.name == "groups":
            for left, right in zip(a, b, strict=True):
                assert (left.name, left.levels, left.effects, left.blocks) == (
                    right.name,
                    right.levels,
                    right.effects,
                    right.blocks,
                )
                np.testing.assert_array_equal(left.codes, right.codes)
                np.testing.assert_array_equal(left.z, right.z)
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b, field.name)
        else:
            assert a == b, field.name


def with_gaps(data):
    data = data.copy()
    data.loc[data.index[::13], "x"] = np.nan
    return data


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.name} {spec.weights and spec.weights.kind}")
def test_a_saved_result_gives_its_design_back(spec, tmp_path):
    design = build_design(spec, with_gaps(DATA))
    stamp({}, design).to_netcdf(tmp_path / "tree.nc")
    with xr.open_datatree(tmp_path / "tree.nc") as tree:
        same(design, design_of(tree))


@pytest.mark.parametrize("study", list(bm.studies()))
def test_designs_of_studies_come_back(study):
    chosen = bm.study(study)
    for key, spec in chosen.models.items():
        if spec.printed:
            design = build_design(spec, bm.reconstruct(chosen, key, seed=1))
            same(design, design_of(stamp({}, design)))
            break


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.name} {spec.weights and spec.weights.kind}")
def test_own_rows_are_encoded_as_they_were(spec):
    design = build_design(spec, DATA)
    own, again = Rows.of(design), encode_rows(design, DATA.drop(columns=["y", "owns", "answer", "visits"]))
    np.testing.assert_allclose(again.x, own.x, atol=1e-12)  # splines are evaluated twice
    for group in design.groups:
        np.testing.assert_array_equal(again.codes[group.name], own.codes[group.name])
        np.testing.assert_allclose(again.z[group.name], own.z[group.name], atol=1e-12)
    part = encode_rows(design, DATA.iloc[5:9])
    np.testing.assert_allclose(part.x, own.x[5:9], atol=1e-12)


def test_new_groups_stand_behind_the_known_ones():
    design = build_design(bm.ModelSpec("y ~ x + (1 | city/area)"), DATA)
    people = pd.DataFrame({"x": [0.0, 1.0, 2.0], "city": ["c1", "c9", "c9"], "area": [1, 1, 2]})
    rows = encode_rows(design, people)
    assert rows.codes["city"].tolist() == [1, 4, 4]
    assert rows.new_groups["city:area"] == ("c9:1", "c9:2")
    assert encode_rows(design, people.drop(columns="area")).codes.keys() == {"city"}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda d: d.drop(columns="hukou"), UnknownColumn, "lack hukou"),
        (lambda d: d.assign(hukou="农业"), UnknownLevel, "'农业' in 3 rows; the model was fitted to other"),
        (lambda d: d.assign(x=[1, np.nan, 2]), DataError, "missing values in x"),
        (lambda d: d.iloc[:0], DataError, "at least one row"),
        (lambda d: d.assign(x="many"), DataError, "must hold numbers|holds numbers|first 'many'"),
    ],
)
def test_rows_that_the_model_cannot_know_are_refused(change, error, words):
    design = build_design(bm.ModelSpec("y ~ x * hukou + (1 | area)"), DATA)
    with pytest.raises(error, match=words):
        encode_rows(design, change(DATA.iloc[:3]))


def test_a_tree_without_its_data_says_so():
    design = build_design(SPECS[0], DATA)
    tree = stamp({}, design)
    tree["data"]["cell"][0, 0] += 1
    with pytest.raises(BayesmigError, match="not as it was made"):
        design_of(tree)
    with pytest.raises(BayesmigError, match="data/cell is missing"):
        design_of(tree.drop_nodes("data"))
