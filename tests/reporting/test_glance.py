"""A result shows itself, everywhere where a DataTree goes, and never anything that is not so."""

import copy
import inspect
import pickle
import re

import joblib
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesmig as bm
from bayesmig.contract.tree import Result, result
from bayesmig.errors import BayesmigError
from bayesmig.replication.remarks import number

PLAIN = "<xarray.DataTree"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    area = rng.integers(0, 12, 300)
    frame = pd.DataFrame({"area": area, "age": rng.integers(18, 80, 300), "hukou": rng.choice(["本地", "外来"], 300)})
    frame["trust"] = 3 + 0.01 * frame["age"] + rng.normal(0, 0.6, 12)[area] + rng.normal(size=300)
    frame["votes"] = rng.choice(["no", "yes"], 300)
    frame.loc[:9, "age"] = np.nan
    return frame


@pytest.fixture(scope="module")
def tree(data: pd.DataFrame) -> xr.DataTree:
    return bm.fit("trust ~ age + hukou + (1 | area)", data, seed=1)


def shown_number(tree: xr.DataTree, term: str = "age") -> str:
    """The mean of a coefficient as the display writes it, from the draws themselves."""
    return f"{float(tree['posterior']['beta'].sel(term=term).mean()):.3f}".replace("-", "\N{MINUS SIGN}")


def shows(tree: xr.DataTree) -> bool:
    return PLAIN not in repr(tree)


def test_a_posterior_says_what_it_is(tree):
    text = repr(tree)
    assert text == str(tree) == str(bm.summary(tree))
    for part in (
        "trust ~ age + hukou + (1 | area)  (gaussian, identity link)",
        "290 of 300 rows, 12 groups of area, own data",
        "Exact, seed 1, 4,000 draws",
        "Compared with hukou: 外来",
        "95 % equal-",
        "Area: SD of the intercept",
        "Area: share of the variance (VPC)",
        "checks passed",
    ):
        assert part in text
    row = next(line for line in text.splitlines() if line.startswith("Age"))
    numbers = re.split(r" {2,}", row)[1:]
    found = bm.coefficients(tree).loc["age"]
    assert numbers[0] == shown_number(tree)
    assert numbers[1:] == [
        f"{found['sd']:.3f}",
        f"[{found['eti95_lower']:.3f}, {found['eti95_upper']:.3f}]",
        f"{found['pd']:.3f}",
    ]


def test_html_holds_the_same_and_is_escaped(tree, data):
    assert shown_number(tree) in tree._repr_html_()
    odd = data.rename(columns={"age": "<script>"})
    page = bm.estimate("trust ~ `<script>`", odd)._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page.casefold()


def test_every_kind_of_result_shows_itself(data):
    logit = bm.estimate("votes ~ age + hukou", data, family="bernoulli")
    assert "yes against no" in str(logit)
    assert "95 % CI" in str(logit)
    paper = bm.study("social_trust")
    for printed in (bm.published(paper, "table_6"), bm.published_posterior(paper, "table_6", seed=1)):
        assert shows(printed)
        assert "printed table" in repr(printed)
    assert "−0.403***" in repr(bm.published(paper, "table_6"))
    made = bm.reconstruct(paper, "table_6", seed=1)
    assert "RECONSTRUCTED DATA: NOT EVIDENCE" in repr(bm.estimate(paper.models["table_6"], made))


def test_another_interval_and_every_check(tree):
    assert "80 % equal-" in str(bm.summary(tree, interval=0.8))
    text = str(bm.summary(tree, thorough=True))
    assert "✓ passed  R-hat" in text
    assert "largest over all parameters" in text
    with pytest.raises(BayesmigError, match="between 0 and 1"):
        bm.summary(tree, interval=95)
    with pytest.raises(BayesmigError, match="expected a DataTree"):
        bm.summary({"posterior": tree})


def test_more_coefficients_than_fit_a_screen_are_counted(data):
    rng = np.random.default_rng(1)
    wide = data.assign(**{f"x{k}": rng.normal(size=300) for k in range(60)})
    text = repr(bm.estimate("trust ~ " + " + ".join(f"x{k}" for k in range(60)), wide))
    assert "21 more coefficients: bm.coefficients(tree)" in text
    assert len(text.splitlines()) < 60


COPIES = {
    "copy": lambda tree: tree.copy(),
    "deep copy": copy.deepcopy,
    "pickle": lambda tree: pickle.loads(pickle.dumps(tree)),
    "fewer draws": lambda tree: tree.isel(draw=slice(0, 500), missing_dims="ignore"),
    "two chains": lambda tree: tree.isel(chain=[0, 1], missing_dims="ignore"),
    "one more group": lambda tree: tree.assign({"prior": xr.DataTree(tree["posterior"].to_dataset())}),
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_shows_its_own_draws(tree, how):
    changed = COPIES[how](tree)
    assert isinstance(changed, Result)
    assert shown_number(changed) in repr(changed)
    size = changed["posterior"].sizes
    assert f"{size['chain'] * size['draw']:,} draws" in repr(changed)


def test_changed_draws_are_shown_as_they_are_now(tree):
    changed = tree.copy(deep=True)
    before = repr(changed)
    changed["posterior"]["beta"][:] += 1.0
    assert repr(changed) != before
    assert shown_number(changed) in repr(changed)


def test_too_few_draws_fail_their_check(tree):
    assert "✗ failed  effective draws" in repr(tree.isel(draw=slice(0, 20), missing_dims="ignore"))


# arguments of methods that need some; what is not named here is called without any
ARGUMENTS = {
    "assign": ({"more": xr.Dataset({"z": 1.0})},),
    "assign_attrs": ({"title": "Trust"},),
    "assign_coords": ({"year": 2015},),
    "clip": (0, 1),
    "drop_attrs": (),
    "drop_nodes": ("constant_data",),
    "filter": (lambda node: node.name != "data",),
    "filter_like": ("SELF",),
    "isel": ({"draw": 0}, False, "ignore"),
    "map_over_datasets": (lambda dataset: dataset,),
    "match": ("*",),
    "pipe": (lambda tree: tree,),
    "sel": ({},),
    "get": ("posterior",),
    "update": ({"more": xr.Dataset({"z": 1.0})},),
    "equals": ("SELF",),
    "identical": ("SELF",),
    "isomorphic": ("SELF",),
    "to_netcdf": (None,),
}


def methods() -> list[str]:
    public = [name for name in dir(xr.DataTree) if not name.startswith("_")]
    found = [name for name in public if callable(getattr(xr.DataTree, name))]
    return [name for name in found if not isinstance(inspect.getattr_static(xr.DataTree, name), classmethod)]


@pytest.mark.filterwarnings("ignore")  # of numbers that overflow, and methods that xarray is about to drop
def test_whatever_is_done_to_a_result_is_shown_right_or_by_xarray(tree):
    small = tree.isel(draw=slice(0, 30), missing_dims="ignore")
    tried, own = 0, 0
    for name in methods():
        other = small.copy(deep=True)
        arguments = [small if value == "SELF" else value for value in ARGUMENTS.get(name, ())]
        try:
            made = getattr(other, name)(*arguments)
        except (TypeError, ValueError, KeyError, NotImplementedError, ImportError, AttributeError):
            continue  # needs arguments, or data, that it has no use for here
        tried += 1
        for shown in (made, other):
            if not isinstance(shown, xr.DataTree):
                continue
            text, page = repr(shown), shown._repr_html_()
            assert text and page, name
            if PLAIN not in text:
                own += 1
                assert shown_number(shown) in text, name
                assert shown_number(shown) in page, name
    assert tried > 40
    assert own > 20


@pytest.mark.parametrize("change", [lambda tree: tree * 2, lambda tree: tree.mean(), lambda tree: -tree, abs])
def test_arithmetic_makes_a_plain_tree(tree, change):
    assert PLAIN in repr(change(tree))
    assert change(tree)._repr_html_()


def test_parts_show_themselves_as_xarray_does(tree):
    assert PLAIN in repr(tree["posterior"])
    assert PLAIN in repr(tree["posterior"].copy())


def test_a_damaged_result_does_not_show_numbers(tree):
    damaged = tree.copy(deep=True)
    damaged.attrs["n_used"] = 1000
    assert PLAIN in repr(damaged)


def test_a_file_is_opened_as_xarrays_and_summarised(tree, tmp_path):
    tree.to_netcdf(tmp_path / "fit.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "fit.nc", engine="h5netcdf") as opened:
        assert str(bm.summary(opened)) == repr(tree)
        kept = result(opened.load())
    assert repr(kept) == repr(tree)
    assert kept.identical(tree)


def test_results_go_to_other_processes_and_the_cache_and_come_back(tree, data, tmp_path):
    back = joblib.Parallel(n_jobs=1)([joblib.delayed(copy.copy)(tree)])[0]
    assert repr(back) == repr(tree)
    joblib.dump(tree, tmp_path / "fit.joblib")
    assert repr(joblib.load(tmp_path / "fit.joblib")) == repr(tree)
    first, second = (bm.fit("trust ~ hukou", data, seed=1, cache=tmp_path / "kept") for _ in range(2))
    assert repr(first) == repr(second)
    assert shows(second)


def test_notebooks_show_the_table_and_terminals_the_text(tree):
    formatters = pytest.importorskip("IPython.core.formatters")
    shown, _ = formatters.DisplayFormatter().format(tree)
    assert shown["text/plain"] == repr(tree)
    assert shown_number(tree) in shown["text/html"]


def test_a_coefficient_by_yuan_is_shown_with_its_interval() -> None:
    income = np.linspace(1e4, 2e5, 60)
    data = pd.DataFrame({"income": income, "y": 5e-6 * income + np.sin(np.arange(60))})
    tree = bm.estimate("y ~ income", data)
    told = bm.coefficients(tree).loc["income"]
    wanted = [number(told[name], told["std_error"]) for name in ("estimate", "ci95_lower", "ci95_upper")]
    assert all("× 10⁻⁶" in text for text in wanted)
    for shown in (str(bm.summary(tree)), str(bm.table(tree))):
        assert all(text in shown for text in wanted)


def test_an_odds_ratio_by_yuan_shows_its_distance_from_one() -> None:
    income = np.linspace(1e4, 2e5, 200)
    data = pd.DataFrame({"income": income, "y": (2e-5 * income + 2 * np.sin(np.arange(200)) > 1).astype(int)})
    tree = bm.estimate("y ~ income", data, family="bernoulli")
    told = bm.coefficients(tree, exponentiate=True).loc["income"]
    table = bm.table(tree, exponentiate=True)
    row = table.frame.set_index("row").loc["income"]
    shown = [row["text"], *row["below"].strip("[]").split(", ")]
    for name, text in zip(("estimate", "ci95_lower", "ci95_upper"), shown, strict=True):
        # the second digit of the error is rounded: half a tenth of an error at most
        assert float(text) == pytest.approx(told[name], abs=0.05 * told["std_error"])
    assert 1 < float(shown[1]) < float(shown[0]) < float(shown[2]) < 1.0005
