"""Text from others runs nothing: formulas of a user, of a specification as JSON, of a result that was mailed.

Every payload would write a file or a list in memory, if it were evaluated; a control evaluates some with ``formulae``
itself, so that the test knows that they are live.
"""

from __future__ import annotations

import ast
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import formulae
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayesmig as bm
from bayesmig.checking.validation import engine_of
from bayesmig.cli import app
from bayesmig.contract.seal import seal
from bayesmig.errors import BayesmigError
from bayesmig.specification.formula import ENVIRONMENT
from bayesmig.specification.smooth import Smooth

PAYLOADS = (
    "I(x + np.f2py.os.system('touch MARK'))",
    "np.f2py.os.system('touch MARK')",
    "np.ctypeslib.os.system('touch MARK')",
    "np.lib.npyio.os.system('touch MARK')",
    "np.save('MARK', x)",
    "np.savetxt('MARK', x)",
    "np.savez('MARK', x)",
    "np.memmap('MARK', mode='w+', shape=1)",
    "np.load('MARK', None, True)",
    "np.fromfile('MARK')",
    "np.loadtxt('MARK')",
    "np.genfromtxt('MARK')",
    "np.fromregex('MARK', 'a', 'b')",
    "np.frompyfunc(np.save, 2, 1)",
    "np.vectorize(np.save)",
    "np.apply_along_axis(np.save, 0, x)",
    "np.testing.measure('open(1)')",
    "np.show_config()",
    "np.log.__class__.__base__.__subclasses__()",
    "np.__dict__.get('save')",
    "np.__getattribute__('save')",
    "np.log(x, x)",
    "np.log(x, out=x)",
    "np.clip(x, 0, 1, x)",
    "np.add(x, 1, x)",
    "I.__globals__.clear()",
    "I.__builtins__.get('exec')",
    "bs.__init__.__globals__.get('np')",
    "Treatment.__init__.__globals__.get('np')",
    "poly.__call__.__globals__.get('np')",
    "__import__('os').system('touch MARK')",
    "eval('open(1)')",
    "exec('open(1)')",
    "open('MARK', 'w')",
    "getattr(np, 'save')('MARK', x)",
    "(lambda: np.save('MARK', x))()",
    "[np.save('MARK', x) for k in x]",
    "f'{np.save(1, x)}'",
    "{np.save('MARK', x)}",
    "`np.save`('MARK', x)",
    "('np.save')('MARK', x)",
    "np['save']('MARK', x)",
    "x.to_csv('MARK')",
    "x.to_pickle('MARK')",
    "pd.eval('open(1)')",
    "I(I(I(np.save('MARK', x))))",
    "log(np.save('MARK', x))",
    "C(x, np.save('MARK', x))",
    "C(x, contrast=np.save('MARK', x))",
    "C(x, Treatment(np.save('MARK', x)))",
    "poly(x, degree=np.save('MARK', x))",
    "bs(x, knots=np.save('MARK', x))",
    "center(x + np.save('MARK', x))",
    "offset(np.save('MARK', x))",
    "prop(np.save('MARK', x), 3)",
    "np.where(np.save('MARK', x), 1, 0)",
    "I(-np.save('MARK', x) ** 2)",
    "I(9 ** 9 ** 9 ** 9)",
    "I('a' * 99999999999)",
    "I(x ** (9 ** 9 ** 9))",
    "(x + g) ** 99999999999",
)
PLACES = (
    "y ~ {}",
    "y ~ x + {}",
    "y ~ x * {}",
    "y ~ x - {}",
    "{} ~ x",
    "y ~ x + ({} | g)",
    "y ~ x + (0 + x:{} || g)",
    "y ~ x + (1 | {})",
)
runner = CliRunner()


def survey() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(6), 10)
    x = rng.normal(size=60)
    return pd.DataFrame(
        {"y": x + rng.normal(size=6)[group] + rng.normal(size=60), "x": x, "g": [f"area {k}" for k in group]}
    )


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return survey()


@pytest.fixture(scope="module")
def trees(data: pd.DataFrame) -> dict[str, xr.DataTree]:
    return {
        "posterior": bm.fit("y ~ x + (1 | g)", data, engine=bm.Exact(draws=400), seed=1),
        "estimate": bm.estimate("y ~ x + (1 | g)", data),
        "chunks": bm.fit("y ~ x + (1 | g)", bm.chunks(lambda: iter([data])), engine=bm.Exact(draws=400), seed=1),
    }


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: pd.DataFrame) -> Any:
    """No file appears where payloads would write one, and the data stay as they are."""
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    before = data.copy(deep=True)
    yield
    assert list(folder.iterdir()) == []
    pd.testing.assert_frame_equal(data, before)


def refused(call: Callable[[], object]) -> None:
    with pytest.raises(BayesmigError) as caught:
        call()
    assert "cannot be evaluated" not in str(caught.value)  # it was not even tried


@pytest.mark.parametrize("payload", ["I(x + np.f2py.os.system('touch MARK'))", "np.savetxt('MARK', x)"])
def test_payloads_are_live(payload: str, data: pd.DataFrame) -> None:
    """Control: formulae with all of numpy at hand does what the payload says."""
    with contextlib.suppress(ValueError):  # savetxt gives None, which is no column
        formulae.design_matrices(f"y ~ {payload}", data, extra_namespace={"np": np})
    Path("MARK").unlink()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_formula_runs_anything(payload: str, data: pd.DataFrame) -> None:
    for place in PLACES:
        formula = place.format(payload)
        refused(lambda: bm.estimate(formula, data))  # noqa: B023
        refused(lambda: bm.fit(bm.ModelSpec(formula), data))  # noqa: B023


def through_json(formula: str) -> bm.ModelSpec:
    return bm.ModelSpec.from_json(bm.ModelSpec("y ~ x").to_json().replace('"y ~ x"', json.dumps(formula)))


API: dict[str, Callable[[str, pd.DataFrame], object]] = {
    "a specification as JSON": lambda formula, data: bm.estimate(through_json(formula), data),
    "terms that are added": lambda formula, data: bm.estimate(
        bm.ModelSpec("y ~ x").with_terms("+ " + formula.partition("~")[2]), data
    ),
    "simulation": lambda formula, data: bm.simulate(bm.ModelSpec(formula), data, draws=10),
    "priors": lambda formula, data: bm.prior_table(formula, data),
    "chunks": lambda formula, data: bm.fit(formula, bm.chunks(lambda: iter([data]))),
    "modelled missing values": lambda formula, data: bm.fit(
        bm.ModelSpec(formula, impute=("x",)), data, engine=bm.NUTS(draws=10, tune=10)
    ),
    "completed data": lambda formula, data: bm.fit(formula, [data, data]),
    "factors": lambda formula, data: bm.fit(
        bm.ModelSpec(f"f ~ {formula.partition('~')[2]}", factors=(bm.Factor("f", ("y", "x")),)), data
    ),
    "another program's engine": lambda formula, data: bm.fit(formula, data, engine=bm.Bambi(draws=10, tune=10)),
    "a study": lambda formula, data: bm.replicate(
        bm.Study("s", "S", "", (), {"m": bm.ModelSpec(formula)}), "m", data=data
    ),
    "a match": lambda formula, data: bm.data.match(
        bm.Study("s", "S", "", (), {"m": bm.ModelSpec(formula)}), data, ("m",)
    ),
    "a cache": lambda formula, data: bm.fit(formula, data, cache=Path("..") / "cache"),
}


@pytest.mark.parametrize("path", API)
@pytest.mark.parametrize("payload", PAYLOADS[:2])
def test_no_path_runs_anything(path: str, payload: str, data: pd.DataFrame) -> None:
    for place in ("y ~ x + {}", "y ~ x + ({} | g)"):
        refused(lambda: API[path](place.format(payload), data))  # noqa: B023


VERBS: dict[str, Callable[[xr.DataTree, pd.DataFrame], object]] = {
    "predict": bm.predict,
    "effects": lambda tree, _: bm.effects(tree),
    "margins": lambda tree, _: bm.margins(tree),
    "loo": lambda tree, _: bm.loo(tree),
    "table": lambda tree, _: bm.table(tree),
    "report": lambda tree, _: bm.report(tree, Path("..") / "page.html"),
    "check": lambda tree, _: bm.check(tree),
    "guideline": lambda tree, _: bm.reporting.guideline(tree, "WAMBS"),
    "poststratify": lambda tree, data: bm.poststratify(tree, data.assign(count=1)),
    "shares on the response scale": lambda tree, _: bm.variance_components(tree, scale="response"),
    "refits": lambda tree, _: bm.checking.leave_one_group_out(tree, "g"),
}


@pytest.mark.parametrize("kind", ["posterior", "estimate", "chunks"])
@pytest.mark.parametrize("payload", PAYLOADS[:1])
def test_no_result_of_others_runs_anything(
    kind: str, payload: str, trees: dict[str, xr.DataTree], data: pd.DataFrame, tmp_path: Path
) -> None:
    """The formula of a result is changed in its file, as a colleague might mail it."""
    file = tmp_path / "result.nc"
    for place in ("y ~ x + {} + (1 | g)", "{} ~ x + (1 | g)", "y ~ x + (1 + {} | g)"):
        changed = trees[kind].copy()
        spec = json.loads(changed.attrs["spec"]) | {"formula": place.format(payload)}
        changed.attrs = {**changed.attrs, "spec": json.dumps(spec)}
        seal(changed).to_netcdf(file, engine="h5netcdf")  # whoever changes a file can seal it again
        with xr.open_datatree(file, engine="h5netcdf") as opened:
            tree = opened.load()
        for verb in VERBS.values():
            with contextlib.suppress(BayesmigError):
                verb(tree, data)
        shown = runner.invoke(app, ["report", str(file), "--output", str(tmp_path / "page.html")])
        assert shown.exit_code == 2, shown.output


@pytest.mark.parametrize("payload", PAYLOADS[:2])
def test_the_command_line_runs_nothing(payload: str, data: pd.DataFrame, tmp_path: Path) -> None:
    data.to_csv(tmp_path / "survey.csv", index=False)
    for place in PLACES:
        found = runner.invoke(app, ["fit", place.format(payload), str(tmp_path / "survey.csv")])
        assert found.exit_code == 2, found.output


@pytest.mark.parametrize("payload", PAYLOADS[:2])
def test_tables_run_nothing(payload: str, tmp_path: Path) -> None:
    """Cells of a codebook and of printed tables are names, not formulas."""
    study, folder = bm.study("social_trust"), tmp_path / "printed"
    codebook = pd.read_csv(bm.data.write_codebook(study, tmp_path / "codebook.csv"), dtype=str)
    codebook["your_column"] = payload
    codebook.to_csv(tmp_path / "codebook.csv", index=False)
    refused(lambda: bm.data.translated(survey(), study, tmp_path / "codebook.csv"))
    bm.printed.write_template(folder)
    for file in folder.glob("*.csv"):
        heads = list(pd.read_csv(file).columns)
        pd.DataFrame([[payload] * len(heads)], columns=heads).to_csv(file, index=False)
    refused(lambda: bm.audit(folder))


@pytest.mark.parametrize(
    "engine", ["NUTS(sampler=__import__('os').system('touch MARK'))", "Exact(draws=open('MARK', 'w'))", "(" * 9999]
)
def test_the_engine_of_a_result_is_read_not_run(engine: str, trees: dict[str, xr.DataTree]) -> None:
    changed = trees["posterior"].copy()
    changed.attrs = {**changed.attrs, "engine": engine}
    with pytest.raises(BayesmigError, match="not known here"):
        engine_of(changed)


def test_formulas_see_functions_and_nothing_else() -> None:
    for namespace in ENVIRONMENT.namespace._dicts:
        for name, found in namespace.items():
            functions = vars(found) if name == "np" else {name: found}
            functions = {key: function for key, function in functions.items() if function is not Smooth}
            assert all(getattr(np, key) is function for key, function in functions.items())


def test_nothing_is_unpickled() -> None:
    """Files are opened as numbers and text only; what is unpickled, or handed to eval, could run anything."""
    forbidden = {"pickle", "dill", "shelve", "marshal", "cloudpickle", "read_pickle", "allow_pickle", "eval", "exec"}
    for path in Path(bm.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names) | ast.ImportFrom(names=names):
                    found = {alias.name for alias in names}
                case ast.Call(func=ast.Name(id=name), keywords=words):
                    found = {name, *(str(word.arg) for word in words)}
                case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "pd" | "joblib"), attr=name), keywords=words):
                    found = {name, *(str(word.arg) for word in words)}
                case _:
                    continue
            assert not found & forbidden, path
