"""A result that is not as it was made ends in a message that says so: never another error, never another number."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayesmig as bm
from bayesmig.cli import _open, app
from bayesmig.contract.schema import read
from bayesmig.contract.seal import SEAL, check_seal, seal
from bayesmig.errors import BayesmigError, SpecificationError

runner = CliRunner()


def survey() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(6), 10)
    x = rng.normal(size=60)
    hukou = rng.choice(["local", "migrant"], 60)
    y = x + (hukou == "local") + rng.normal(size=6)[group] + rng.normal(size=60)
    yes = (y > 0).astype(int)
    return pd.DataFrame({"y": y, "yes": yes, "x": x, "hukou": hukou, "g": [f"area {k}" for k in group]})


MADE: dict[str, Callable[[], xr.DataTree]] = {
    "exact": lambda: bm.fit("y ~ x + hukou + (1 + x | g)", survey(), engine=bm.Exact(draws=400), seed=1),
    "nuts": lambda: bm.fit(
        bm.ModelSpec("yes ~ x + hukou + (1 | g)", family="bernoulli"),
        survey(),
        engine=bm.NUTS(draws=25, tune=100, chains=2),
        seed=1,
    ),
    "estimate": lambda: bm.estimate("y ~ x + hukou + (1 | g)", survey()),
    "least squares": lambda: bm.estimate("y ~ x + hukou", survey()),
    "published": lambda: bm.published(bm.study("social_trust"), "table_6"),
    "chunks": lambda: bm.fit(
        "y ~ x + (1 | g)", bm.chunks(lambda: iter([survey()])), engine=bm.Exact(draws=400), seed=1
    ),
}
VERBS: dict[str, Callable[[xr.DataTree], object]] = {
    "coefficients": bm.coefficients,
    "variance_components": bm.variance_components,
    "r2": bm.r2,
    "check": bm.check,
    "effects": bm.effects,
    "margins": bm.margins,
    "predict": lambda tree: bm.predict(tree, survey().head(3), seed=1)["predictions"].to_dataset().to_dataframe(),
    "loo": lambda tree: bm.loo(tree).pointwise,
    "predictive_check": lambda tree: bm.predictive_check(tree, draws=10),
    "table": lambda tree: str(bm.table(tree)),
    "varying_effects": lambda tree: bm.varying_effects(tree, "g"),
    "poststratify": lambda tree: bm.poststratify(tree, survey().head(6).assign(count=1)),
    "compare": lambda tree: bm.compare({"it": tree}),
    "guideline": lambda tree: bm.reporting.guideline(tree, "WAMBS", sensitivity=False),
}


@pytest.fixture(scope="module", params=MADE)
def tree(request: pytest.FixtureRequest) -> xr.DataTree:
    return MADE[request.param]()


@pytest.fixture(scope="module")
def answers(tree: xr.DataTree) -> dict[str, str]:
    return {name: answer(verb, tree) for name, verb in VERBS.items()}


def answer(verb: Callable[[xr.DataTree], object], tree: xr.DataTree) -> str:
    """What a verb says of a result, or that it refuses."""
    try:
        found = verb(tree)
    except BayesmigError:
        return "refused"
    return found.to_csv() if isinstance(found, (pd.DataFrame, pd.Series)) else str(found)


def changed_attributes(tree: xr.DataTree) -> Iterator[tuple[str, xr.DataTree]]:
    def other(attrs: dict[str, object]) -> xr.DataTree:
        copy = tree.copy()
        copy.attrs = attrs
        return copy

    spec = json.loads(tree.attrs["spec"])
    for key in tree.attrs.keys() - {SEAL}:
        rest = {name: kept for name, kept in tree.attrs.items() if name != key}
        yield f"{key} removed", other(rest)
        for what in ("{", 7):
            yield f"{key} = {what!r}", other({**tree.attrs, key: what})
    for change in (
        {"formula": "y ~ x"},
        {"formula": "y ~ x + (1 | hukou)"},
        {"formula": "no formula"},
        {"family": "nothing"},
        {"family": "poisson", "link": "log"},
        {"link": "probit"},
        {"standardise": {"x": "person"}},
        {"variables": [{"name": "x", "minimum": 90}]},
        {"priors": {}},
        {"unknown": 1},
    ):
        yield f"spec with {change}", other({**tree.attrs, "spec": json.dumps(spec | change)})


def changed_groups(tree: xr.DataTree) -> Iterator[tuple[str, xr.DataTree]]:
    def other(group: str, dataset: xr.Dataset | None) -> xr.DataTree:
        groups = {name: node.to_dataset() for name, node in tree.children.items() if name != group}
        copy = xr.DataTree.from_dict(groups | ({} if dataset is None else {group: dataset}))
        copy.attrs = dict(tree.attrs)
        return copy

    for group, node in tree.children.items():
        dataset = node.to_dataset()
        yield f"{group} removed", other(group, None)
        yield f"{group} empty", other(group, xr.Dataset())
        for dim, size in dataset.sizes.items():
            yield f"{group}: {dim} renamed", other(group, dataset.rename({dim: "else"}))
            if dim not in ("chain", "draw") and size > 1:
                yield f"{group}: {dim} cut", other(group, dataset.isel({dim: slice(size - 1)}))
                yield f"{group}: {dim} turned round", other(group, dataset.isel({dim: slice(None, None, -1)}))
        for name, variable in dataset.variables.items():
            if name in ("chain", "draw"):
                continue
            text = (variable.dims, variable.values.astype(str))
            yield f"{group}/{name} removed", other(group, dataset.drop_vars(name))
            yield f"{group}/{name} renamed", other(group, dataset.rename_vars({name: f"{name} 2"}))
            yield f"{group}/{name} as text", other(group, dataset.assign({name: text}))
            if variable.dtype.kind == "f":
                holed = variable.values.copy()
                holed.flat[-1] = np.nan
                yield f"{group}/{name} with a gap", other(group, dataset.assign({name: (variable.dims, holed)}))
            elif name in dataset.coords and variable.dtype.kind not in "iu":
                labels = variable.values.astype(object)
                labels.flat[0] = "another"
                yield f"{group}/{name} relabelled", other(group, dataset.assign_coords({name: (variable.dims, labels)}))


@pytest.mark.parametrize("changes", [changed_attributes, changed_groups])
def test_a_changed_result_is_refused_or_changes_nothing(
    tree: xr.DataTree, answers: dict[str, str], changes: Callable[[xr.DataTree], Iterator[tuple[str, xr.DataTree]]]
) -> None:
    wrong, tried = [], 0
    for place, (what, changed) in enumerate(changes(tree)):
        # all verbs enter by one door, so that a third of them, others each time, are enough for each change
        for name, verb in list(VERBS.items())[place % 3 :: 3]:
            tried += 1
            try:
                if answer(verb, changed) not in ("refused", answers[name]):
                    wrong.append(f"{name}: {what}: another answer")
            except Exception as error:
                wrong.append(f"{name}: {what}: {type(error).__name__} {error}")
    assert tried > 100
    assert wrong == []


def test_a_result_is_whole_after_a_file(tree: xr.DataTree, answers: dict[str, str], tmp_path: Path) -> None:
    tree.to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "result.nc", engine="h5netcdf") as opened:
        found = opened.load()
    assert {name: answer(verb, found) for name, verb in VERBS.items()} == answers


def test_a_report_of_a_changed_result_leaves_no_page(tree: xr.DataTree, tmp_path: Path) -> None:
    changed = tree.copy()
    changed.attrs["spec"] = "{"
    changed.to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
    with pytest.raises(BayesmigError, match="the attribute 'spec' is another"):
        bm.report(changed, tmp_path / "page.html")
    found = runner.invoke(app, ["report", str(tmp_path / "result.nc")])
    assert found.exit_code == 2
    assert "the attribute 'spec' is another" in found.output
    assert [path.name for path in tmp_path.iterdir()] == ["result.nc"]


def test_a_cut_file_is_no_result(tmp_path: Path) -> None:
    whole = tmp_path / "whole.nc"
    MADE["least squares"]().to_netcdf(whole, engine="h5netcdf")
    content = whole.read_bytes()
    for length in (0, 7, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.nc").write_bytes(content[:length])
        found = runner.invoke(app, ["report", str(tmp_path / "cut.nc")])
        assert found.exit_code == 2, found.output
        assert "is no result of bayesmig, or is damaged" in found.output


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # h5netcdf, of what it could not open
def test_a_spoilt_file_is_refused_or_gives_what_it_gave(tmp_path: Path) -> None:
    MADE["least squares"]().to_netcdf(tmp_path / "whole.nc", engine="h5netcdf")
    content = (tmp_path / "whole.nc").read_bytes()
    before, refused = bm.coefficients(_open(tmp_path / "whole.nc")), 0
    rng = np.random.default_rng(1)
    for place in rng.integers(len(content) - 64, size=12):
        (tmp_path / "spoilt.nc").write_bytes(content[:place] + rng.bytes(64) + content[place + 64 :])
        try:
            found = bm.coefficients(_open(tmp_path / "spoilt.nc"))
        except BayesmigError:
            refused += 1
        else:
            pd.testing.assert_frame_equal(found, before)
    assert 0 < refused < 12


def test_a_result_may_be_thinned_and_added_to() -> None:
    """Draws are the user's to choose from; what is added is not looked at."""
    tree = MADE["exact"]()
    thinned = tree.copy()
    thinned["posterior"] = xr.DataTree(tree["posterior"].to_dataset().isel(draw=slice(None, None, 2)))
    thinned["mine"] = xr.DataTree(xr.Dataset({"z": 1}))
    thinned.attrs["remark"] = "for the appendix"
    half = tree["posterior"]["beta"].to_numpy()[:, ::2].mean((0, 1))
    np.testing.assert_allclose(bm.coefficients(thinned)["estimate"], half, rtol=1e-12)  # sums in another order


def test_what_changed_is_named() -> None:
    tree = MADE["least squares"]()
    tree["estimate"] = xr.DataTree(tree["estimate"].to_dataset().drop_vars("beta_se"))
    with pytest.raises(BayesmigError, match=r"estimate/beta_se is missing.*Take it again from where it was saved"):
        bm.coefficients(tree)
    check_seal(seal(tree))
    del tree.attrs[SEAL]
    tree.attrs["spec"] = "{"
    with pytest.raises(BayesmigError, match="no attribute 'spec' in JSON"):
        read(tree, "spec")
    for text in ("{", "{}", "[]", "null", '{"variables": 1}', "[" * 100_000):
        with pytest.raises(SpecificationError, match="no specification that bayesmig wrote"):
            bm.ModelSpec.from_json(text)


def test_a_result_without_a_seal_is_taken_and_said(tree: xr.DataTree, answers: dict[str, str], tmp_path: Path) -> None:
    """As one of version 0.1, or one whose attribute was taken off."""
    bare = tree.copy()
    del bare.attrs[SEAL]
    assert {name: answer(verb, bare) for name, verb in VERBS.items() if name != "check"} == {
        name: said for name, said in answers.items() if name != "check"
    }
    checks = bm.check(bare).set_index("check")
    assert checks.loc["seal", "verdict"] == "note"
    pd.testing.assert_frame_equal(checks.drop("seal"), bm.check(tree).set_index("check"))
    for name, said in ((tree, ""), (bare, "has no seal")):
        name.to_netcdf(tmp_path / "result.nc", engine="h5netcdf")
        found = runner.invoke(app, ["report", str(tmp_path / "result.nc")])
        assert said in found.stderr if said else "seal" not in found.stderr
