"""Every public function and value, given something of a wrong kind for each of its arguments: refused in words.

What is given passes through everything that is public, so that a new name is covered by being there: it needs a row in
GIVEN only if it takes what no other does.
"""

import inspect
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmig as bm
from bayesmig.arguments import fits, stated
from bayesmig.inference.engines.base import Engine
from bayesmig.inference.fitting import fit
from bayesmig.namespaces import SPACES, homes

# what results are, which users read and do not make
RETURNED = {"BayesmigError", "Components", "Maihda", "Match", "Overview", "Poststratification", "Precision"}
RETURNED |= {"Reliability", "Replication", "Verdicts", "WithinBetween"}
PLACES = {name: space for space in reversed(SPACES) for name in homes(space) if name not in RETURNED}
LONG = {"replicate", "replicate_all", "replicate_study", "hypotheses", "ranges", "report", "precision", "to_pymc"}
NAMES = [name for name in sorted(PLACES) if callable(getattr(import_module(PLACES[name]), name))]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    numbers = pd.DataFrame(rng.normal(size=(48, 2)), columns=["y", "x"])
    items = pd.DataFrame(rng.integers(1, 6, (48, 3)), columns=["i1", "i2", "i3"])
    groups = pd.DataFrame({"h": np.repeat(["a", "b", "c"], 16), "g": np.tile(list("pqrstu"), 8)})
    times = pd.DataFrame({"start": 0, "end": rng.integers(1, 4, 48), "event": rng.integers(0, 2, 48)})
    return pd.concat([numbers, items, groups, times], axis=1)


@pytest.fixture(scope="module")
def tree(data):
    return bm.fit("y ~ x * h + (1 | g)", data, engine=bm.Exact(draws=64), seed=1)


@pytest.fixture(scope="module")
def given(data, tree, tmp_path_factory):
    """What suits a parameter of some name, with the function's name before it if only there."""
    folder = tmp_path_factory.mktemp("given")
    data.to_csv(folder / "survey.csv", index=False)
    study = bm.study("social_trust")
    census = pd.DataFrame({"h": ["a", "b", "c"], "x": 0.0, "g": ["p", "q", "r"], "count": [5, 6, 7]})
    usual = {"tree": tree, "result": tree, "results": {"a": tree, "b": tree}, "models": {"a": tree}, "data": data}
    usual |= {"spec": "y ~ x + (1 | g)", "formula": "y ~ x", "study": study, "source": study, "model": "table_6"}
    usual |= {"term": "area_poverty", "claims": "x > 0", "combination": {"area_poverty": 1.0}, "name": "social_trust"}
    usual |= {"group": "g", "variable": "h", "terms": ["x", "h[b]"], "variables": ["x"], "by": "h", "along": "x"}
    usual |= {"x": "x", "census": census, "margins": {"h": {"a": 1, "b": 2, "c": 3}}, "strata": ["h", "g"]}
    usual |= {"path": folder / "out.html", "folder": folder / "template", "items": ["i1", "i2", "i3"]}
    usual |= {"start": "start", "end": "end", "event": "event", "blocks": ["x"], "scores": data[["i1"]]}
    usual |= {"weights": {"i1": 1.0}, "findings": [], "truth": {"x": 0.3}, "per_group": 5, "groups": [8]}
    usual |= {"estimate": 1.0, "std_error": 0.4, "effect": 0.3, "bias": bm.priors.Normal(0, 0.1), "draws": 16}
    usual |= {"engine": bm.Exact(draws=16), "column": "w", "title": "t", "citation": "c", "claim": "x > 0"}
    own = {"score.items": "i1", "read_survey.path": folder / "survey.csv", "chunks.source": folder / "survey.csv"}
    own |= {"guideline.name": "BARG", "within_between.by": "g", "sequence.spec": "y ~ 1", "verdicts_of.results": []}
    own |= {"Study.models": {"m": bm.ModelSpec("y ~ x")}, "Study.variables": (), "Factor.items": ("i1", "i2")}
    return usual | own | {"Variable.name": "v", "Hypothesis.models": ("m",), "Finding.source": (0.1, 0.2)}


@pytest.fixture(scope="module")
def wrong(data, tree):
    """Of each simple kind one; some may be right for a parameter."""
    return [None, 5, "nonsense", ["nonsense"], Path("/no/such/file.csv"), data.iloc[:3], tree]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_of_a_wrong_kind_is_refused_in_words(name, given, wrong, monkeypatch, tmp_path):
    """Or else it means something: nothing breaks."""
    monkeypatch.chdir(tmp_path)
    public = getattr(import_module(PLACES[name]), name)
    parameters = [one for one in inspect.signature(public).parameters.values() if one.kind != one.VAR_KEYWORD]
    needed = {
        one.name: given.get(f"{name}.{one.name}", given.get(one.name))
        for one in parameters
        if one.default is one.empty or (one.name in ("draws", "engine") and not inspect.isclass(public))
    }
    refused = 0
    for one in parameters:
        kind = stated(inspect.unwrap(public), one.annotation)
        for value in wrong:
            suits = fits(value, kind)
            if (suits or name in LONG) and one.default is not one.empty:
                continue
            try:
                public(**needed | {one.name: value})
            except bm.BayesmigError as error:
                refused += 1
                assert len(str(error)) > 20
    plt.close("all")
    assert refused or not parameters or name in LONG


@pytest.mark.parametrize(
    ("kind", "right", "other"),
    [
        (float, [1, 2.5, np.float64(1), np.int64(1)], [True, "1", None, [1.0]]),
        (int, [1, np.int64(1)], [1.0, True, np.True_]),
        (bool, [True, np.False_], [0, "yes"]),
        (str, ["a", np.str_("a")], [b"a", 1, ["a"]]),
        (str | None, ["a", None], [1]),
        (Literal["a", "b"], ["a", "c"], [1, None]),  # whoever takes it says which there are
        (
            Sequence[str],
            [["a"], ("a",), pd.Index(["a"]), np.array(["a"]), iter("a"), {"a"}],
            ["a", [1], {"a": 1}, None],
        ),
        (tuple[float, float], [(0, 1), [0.0, 1.0]], [(1,), ("a", "b"), 1]),
        (Mapping[str, float], [{"a": 1}, {}], [{"a": "b"}, {1: 1}, [("a", 1)], "a"]),
        (Callable[[float], float], [abs, bm.Exact], [1, "abs"]),
        (Engine, [bm.Exact(), bm.NUTS()], ["exact", bm.Exact, None]),
        (Any, [None, 1], []),
    ],
)
def test_kinds(kind, right, other):
    assert [value for value in right if not fits(value, kind)] == []
    assert [value for value in other if fits(value, kind)] == []


def test_trees_and_frames_are_neither_mappings_nor_lists(tree, data):
    for kind in (Mapping[str, xr.DataTree], Mapping[str, object], Sequence[xr.DataTree], Iterable[str]):
        assert not fits(tree, kind)
        assert not fits(data, kind)
    assert fits({"a": tree}, Mapping[str, xr.DataTree])


def test_messages_say_what_came_and_what_is_allowed(tree, data):
    with pytest.raises(bm.BayesmigError, match=r"report: against must be a mapping of text to a result.*None, got \["):
        bm.report(tree, "page.html", against=[tree])
    with pytest.raises(bm.BayesmigError, match="expected a DataTree from fit, .* got DataFrame"):
        bm.coefficients(data)
    with pytest.raises(bm.BayesmigError, match="ranks: terms must be a list of text, got 5") as caught:
        bm.results.ranks(tree, 5)
    assert isinstance(caught.value.__cause__, TypeError)
    with pytest.raises(TypeError, match="missing 1 required"):
        bm.hypothesis(tree)


def test_functions_stay_what_they_are():
    """Other processes find them, tools see their signatures, and each is made once."""
    for name in NAMES:
        public = getattr(import_module(PLACES[name]), name)
        assert pickle.loads(pickle.dumps(public)) is public
        assert public is getattr(import_module(PLACES[name]), name)
    assert inspect.signature(bm.fit) == inspect.signature(fit)
    assert bm.fit.__doc__ == fit.__doc__
