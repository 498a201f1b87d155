"""What results say of themselves: signs of checks, labels as they are written, what computed."""

import importlib.metadata

import docx
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayesmig as bm
from bayesmig.cli import app
from bayesmig.contract import schema
from bayesmig.reporting.words import quantity, verdict
from bayesmig.specification.model import ModelSpec, Variable

EXACT = bm.Exact(draws=400)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.normal(size=240), "area": rng.integers(0, 12, 240), "w": 2.5, "one": 1.0})
    frame["y"] = frame["x"] + rng.normal(0, 0.7, 12)[frame["area"]] + rng.normal(size=240)
    return frame.assign(z=(frame["y"] > 0).astype(int), count=rng.poisson(1.0, 240))


@pytest.fixture(scope="module")
def linear(data):
    return bm.estimate("y ~ x + (1 | area)", data)


# checks


def test_a_note_is_neither_passed_nor_failed(data, linear):
    checks = bm.check(bm.fit("z ~ x", data, seed=1))
    rows = [*checks.to_dict("records"), *bm.check(linear).to_dict("records")]
    notes = {row["check"] for row in rows if verdict(row).kind == "note"}
    assert notes == {"note on the data", "provenance", "likelihood-ratio test"}
    assert checks["passed"].all()  # a note is no failure


def test_a_note_has_a_sign_of_its_own(data, tmp_path):
    data.to_csv(tmp_path / "data.csv", index=False)
    page = tmp_path / "page.html"
    said = CliRunner().invoke(app, ["fit", "z ~ x", str(tmp_path / "data.csv"), "--report", str(page)]).output
    assert "· note  provenance" in said
    assert "· note  note on the data" in said
    text = page.read_text(encoding="utf-8")
    assert text.count('<li class="note"><b>· note</b>') == said.count("· note")
    assert f"All {said.count('✓ passed')} checks passed." in text


# labels


@pytest.mark.parametrize("label", ["pH value", "eID card", "age in years", "iPhone", "GDP", "年龄", "Ωm"])
def test_labels_keep_their_case(data, label):
    spec = ModelSpec("y ~ acid + (1 | area)", variables=(Variable("acid", label), Variable("area", label)))
    tree = bm.fit(spec, data.rename(columns={"x": "acid"}), engine=EXACT, seed=1)
    assert quantity(spec, "acid") == label
    assert quantity(spec, "tau_area[intercept]") == f"{label}: SD of the intercept"
    shown = str(bm.table(tree)) + bm.reporting.guideline(tree, "level")["said"].astype(str).str.cat()
    others = {label.lower(), label.upper(), label.capitalize(), label.title(), label[:1].upper() + label[1:]}
    assert f"| {label} |" in shown
    assert not [other for other in others - {label} if other in shown]


# what a table says of its columns


def test_a_scale_is_said_of_the_columns_that_have_it(data, linear):
    plain = bm.estimate("z ~ x", data, family="bernoulli")
    mixed = bm.estimate("z ~ x + (1 | area)", data, family="bernoulli")
    notes = {
        "VPC: share of the unexplained variance between groups.": {"lin": linear, "logit": plain},
        "between groups on the latent scale in logit.": {"lin": linear, "logit": mixed},
        "between groups on the latent scale.": {"a": mixed, "b": mixed},
    }
    for said, models in notes.items():
        assert said in str(bm.table(models))


@pytest.mark.parametrize(("models", "widths"), [(1, [1]), (6, [6]), (7, [4, 3]), (12, [6, 6]), (13, [5, 5, 3])])
def test_many_models_stand_in_panels(linear, tmp_path, models, widths):
    table = bm.table([linear] * models, title="Trust")
    document = docx.Document(str(table.save(tmp_path / "table.docx")))
    assert [len(each.columns) - 1 for each in document.tables] == widths
    forms = {table.to_html: "<table", table.to_latex: r"\begin{longtable}", table.to_typst: "#figure("}
    for form, begins in (forms | {table.to_markdown: "| --- |"}).items():
        text = form()
        assert text.count(begins) == len(widths)
        assert text.count("VPC: share of") == 1  # notes, once
        assert [text.count(f"({k})") >= 1 for k in range(1, models + 1)] == [True] * models


# what computed

BESIDE = {
    "exact": (lambda data: bm.fit("y ~ x", data, engine=EXACT, seed=1), ()),
    "nuts": (
        lambda data: bm.fit("y ~ x", data, engine=bm.NUTS(draws=20, tune=20, chains=1), seed=1), ("nutpie", "numba"),
    ),
    "ols": (lambda data: bm.estimate("y ~ x", data), ("statsmodels",)),
    "ml": (lambda data: bm.estimate("y ~ x + (1 | area)", data), ()),
    "glm": (lambda data: bm.estimate("z ~ x", data, family="bernoulli"), ()),
    "glmm": (lambda data: bm.estimate("z ~ x + (1 | area)", data, family="bernoulli"), ()),
    "completed": (
        lambda data: bm.estimate("y ~ x", [data, data.assign(x=data["x"].where(data.index > 3, 0.0))]),
        ("statsmodels",),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "packages"), BESIDE.values(), ids=BESIDE)
def test_versions_name_what_computed(data, make, packages):
    versions = schema.read(make(data), "versions")
    assert set(versions) - {"bayesmig", "numpy", "scipy", "formulae", "xarray"} == set(packages)
    assert all(versions[name] == importlib.metadata.version(name) for name in packages)


# weights that weigh nothing

METHODS = [
    ("y ~ x", "gaussian", "ols"),
    ("y ~ x + (1 | area)", "gaussian", "ml"),
    ("y ~ x + (1 | area)", "gaussian", "reml"),
    ("z ~ x", "bernoulli", "glm"),
    ("z ~ x + (1 | area)", "bernoulli", "ml"),
    ("z ~ x + (1 | area)", "bernoulli", "agq"),
    ("count ~ x", "poisson", "glm"),
]
KINDS = ("survey", "frequency", "precision")


@pytest.mark.parametrize(("formula", "family", "method"), METHODS)
def test_equal_weights_are_no_weights(data, formula, family, method):
    plain = bm.estimate(formula, data, family=family, method=method)
    for weights in ("w", *(bm.Weights("one", kind) for kind in KINDS)):
        equal = bm.estimate(formula, data, family=family, method=method, weights=weights)
        assert equal["estimate"].equals(plain["estimate"])
        assert equal.attrs["errors"] == plain.attrs["errors"]
        assert equal.attrs["log_likelihood"] == plain.attrs["log_likelihood"]
        checks = bm.check(equal).set_index("check")
        assert "survey weights" not in checks.index
        assert "are all equal" in "".join(checks.loc[["note on the data"], "message"])


@pytest.mark.parametrize(
    "weights", ["w", bm.Weights("one", groups={"area": "w"}), bm.Weights("w", scaling="effective")]
)
def test_draws_under_equal_weights_are_those_without(data, weights):
    plain = bm.fit("y ~ x + (1 | area)", data, engine=EXACT, seed=1)
    equal = bm.fit("y ~ x + (1 | area)", data, engine=EXACT, seed=1, weights=weights)
    assert equal["posterior"].equals(plain["posterior"])
