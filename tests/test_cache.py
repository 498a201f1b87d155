"""A stored result is found again only if everything it was made from is the same."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmig as bm
from bayesmig.data import writing
from bayesmig.errors import SpecificationError
from bayesmig.inference import cache, fitting
from bayesmig.inference.engines.exact import Exact
from bayesmig.specification.priors import Normal

SPEC = bm.ModelSpec("trust ~ hukou + age + (1 | area)")


def people(seed: int = 1) -> pd.DataFrame:
    """Answers with gaps, Chinese levels and a group of one."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "trust": rng.normal(5, 1, 80),
            "hukou": pd.Categorical(rng.choice(["本地", "外来"], 80), ["本地", "外来"]),
            "age": rng.integers(18, 80, 80),
            "area": [f"小区 {code}" for code in np.append(rng.integers(0, 6, 79), 99)],
            "unused": rng.normal(size=80),
            "weight": rng.uniform(0.5, 2, 80),
        }
    )
    data.loc[3:8, "trust"] = np.nan
    return data


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The fits that were really made."""
    made: list[str] = []
    draw = fitting.posterior_of

    def counted(engine: object, adjust: object, item: object) -> xr.DataTree:
        made.append(repr(engine))
        return draw(engine, adjust, item)

    monkeypatch.setattr(fitting, "posterior_of", counted)
    return made


def test_a_second_fit_is_read_and_is_the_same(tmp_path, fits):
    first = bm.fit(SPEC, people(), seed=1, cache=tmp_path / "results")
    second = bm.fit(SPEC, people(), seed=1, cache=str(tmp_path / "results"))
    assert len(fits) == 1
    assert second.attrs == first.attrs
    for name in first.children:
        xr.testing.assert_equal(first[name].to_dataset(), second[name].to_dataset())
    pd.testing.assert_frame_equal(bm.coefficients(first), bm.coefficients(second))
    pd.testing.assert_frame_equal(bm.check(first), bm.check(second))
    plain = bm.fit(SPEC, people(), seed=1)
    assert plain.attrs == second.attrs
    xr.testing.assert_equal(plain["posterior"].to_dataset(), second["posterior"].to_dataset())
    assert [file.suffix for file in (tmp_path / "results").iterdir()] == [".nc"]


CHANGES = {
    "a value": lambda: {"data": people().assign(age=people()["age"].where(people().index != 5, 44))},
    "a value that is missing": lambda: {"data": people().assign(trust=people()["trust"].fillna(5))},
    "a type": lambda: {"data": people().astype({"age": float})},
    "the order of categories": lambda: {
        "data": people().assign(hukou=people()["hukou"].cat.reorder_categories(["外来", "本地"]))
    },
    "whether categories are ordered": lambda: {"data": people().assign(hukou=people()["hukou"].cat.as_ordered())},
    "a name of a group": lambda: {"data": people().assign(area=people()["area"].replace("小区 99", "小区 98"))},
    "the order of rows": lambda: {"data": people().iloc[::-1]},
    "a row": lambda: {"data": people().iloc[1:]},
    "where the data come from": lambda: {"data": people().assign(provenance="reconstructed from a table")},
    "the formula": lambda: {"spec": SPEC.with_terms("- age")},
    "a prior": lambda: {"spec": SPEC.with_priors(slopes=Normal(0, 0.5))},
    "the codebook": lambda: {"spec": dataclasses.replace(SPEC, variables=(bm.Variable("age", "Age in years"),))},
    "the weights": lambda: {"spec": SPEC.with_weights("weight")},
    "the family": lambda: {"spec": SPEC.with_family("student"), "engine": bm.NUTS(draws=20, tune=20, chains=2)},
    "a setting of the engine": lambda: {"engine": Exact(draws=500)},
    "the seed": lambda: {"seed": 2},
    "the adjustment": lambda: {"adjust": "sandwich"},
    "a list of one": lambda: {"data": [people()]},
}


@pytest.mark.parametrize("what", CHANGES)
def test_every_ingredient_counts(what):
    base = {"spec": SPEC, "data": people(), "engine": Exact(), "seed": 1, "adjust": None}
    changed = base | CHANGES[what]()
    assert cache.fingerprint(**base) == cache.fingerprint(**base)
    assert cache.fingerprint(**base) != cache.fingerprint(**changed)


def test_what_a_model_does_not_use_makes_no_difference():
    one = cache.fingerprint(SPEC, people(), Exact(), 1, None)
    assert one == cache.fingerprint(SPEC, people().assign(unused=0), Exact(), 1, None)
    assert one == cache.fingerprint(SPEC, people()[["area", "hukou", "trust", "age"]], Exact(), np.int64(1), None)


@pytest.mark.parametrize("package", cache.PACKAGES)
def test_another_version_of_any_package_is_another_result(monkeypatch, package):
    before = cache.fingerprint(SPEC, people(), Exact(), 1, None)
    others = cache.versions() | {package: "0.0.another"}
    monkeypatch.setattr(cache, "versions", lambda: others)
    assert cache.fingerprint(SPEC, people(), Exact(), 1, None) != before


def test_changed_code_is_another_result(monkeypatch):
    before = cache.fingerprint(SPEC, people(), Exact(), 1, None)
    monkeypatch.setattr(cache, "_source", lambda: "edited")
    assert cache.fingerprint(SPEC, people(), Exact(), 1, None) != before


def test_values_cannot_run_into_each_other():
    spec = bm.ModelSpec("y ~ g")
    one = pd.DataFrame({"y": [1.0, 2.0], "g": ["a", "b,c"]})
    other = pd.DataFrame({"y": [1.0, 2.0], "g": ["a,b", "c"]})
    assert cache.fingerprint(spec, one, Exact(), 1, None) != cache.fingerprint(spec, other, Exact(), 1, None)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content[:-200] + bytes([content[-200] ^ 1]) + content[-199:],
    ],
    ids=["cut short", "empty", "one bit"],
)
def test_a_damaged_file_is_fitted_again_with_a_warning(tmp_path, fits, damage):
    first = bm.fit(SPEC, people(), seed=1, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match="damaged.*fitted again"):
        again = bm.fit(SPEC, people(), seed=1, cache=tmp_path)
    assert len(fits) == 2
    xr.testing.assert_equal(first["posterior"].to_dataset(), again["posterior"].to_dataset())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bm.fit(SPEC, people(), seed=1, cache=tmp_path)
    assert len(fits) == 2


def test_a_result_under_another_name_is_not_taken(tmp_path, fits):
    bm.fit(SPEC, people(), seed=1, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    key = cache.fingerprint(SPEC, people(), Exact(), 2, None)
    file.rename(tmp_path / f"{key}.{file.name.split('.')[1]}.nc")
    with pytest.warns(UserWarning, match="result of something else"):
        bm.fit(SPEC, people(), seed=2, cache=tmp_path)
    assert len(fits) == 2


def test_a_write_that_fails_loses_no_result_and_leaves_no_half_file(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(writing.os, "replace", full)
    with pytest.warns(UserWarning, match="could not be stored.*no space left"):
        tree = bm.fit(SPEC, people(), seed=1, cache=tmp_path)
    assert "posterior" in tree.children
    assert not list(tmp_path.iterdir())


def test_an_interrupted_run_is_not_kept(tmp_path):
    tree = bm.fit(SPEC, people(), seed=1)
    tree.attrs["interrupted"] = "yes"
    cache.store(tmp_path, "a" * 32, tree)
    assert not list(tmp_path.iterdir())


def test_completed_data_sets_are_cached_together(tmp_path, fits):
    sets = [people().assign(trust=people()["trust"].fillna(value)) for value in (4.0, 5.0)]
    first = bm.fit(SPEC, sets, seed=1, cache=tmp_path)
    again = bm.fit(SPEC, sets, seed=1, cache=tmp_path)
    assert len(fits) == 2
    pd.testing.assert_frame_equal(bm.coefficients(first), bm.coefficients(again))
    bm.fit(SPEC, sets[::-1], seed=1, cache=tmp_path)
    assert len(fits) == 4


def test_nothing_is_pickled(tmp_path):
    bm.fit(SPEC, people(), seed=1, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    assert file.read_bytes()[:8] == b"\x89HDF\r\n\x1a\n"
    assert "pickle" not in Path(cache.__file__).read_text(encoding="utf-8")


def test_what_cannot_be_cached_is_refused_before_any_work(tmp_path, fits):
    with pytest.raises(SpecificationError, match="needs a seed"):
        bm.fit(SPEC, people(), cache=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecificationError, match="cannot be a folder"):
        bm.fit(SPEC, people(), seed=1, cache=tmp_path / "file")

    class Own:
        def refuses(self, design: object) -> None: ...
        def sample(self, design: object, rng: object) -> None: ...

    with pytest.raises(SpecificationError, match="only engines that are dataclasses"):
        bm.fit(SPEC, people(), seed=1, engine=Own(), cache=tmp_path)
    assert not fits
