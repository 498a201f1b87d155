"""What a page has beside coefficients and components: thresholds, loadings, and units that are true."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fabricated import posterior as made_up
from fabricated import specification
from fabricated import survey as invented
from test_reporting import Reader

from bayesmig.inference.fitting import estimate, fit
from bayesmig.plots.labels import link_unit, term_rows, unit_of
from bayesmig.replication.remarks import number
from bayesmig.reporting.cuts_and_loadings import cut_and_loading_tables
from bayesmig.reporting.figures import LINES_OF_ONE_STYLE, _slimmed
from bayesmig.reporting.page import report
from bayesmig.reporting.words import columns_of, settled
from bayesmig.results.factors import loadings
from bayesmig.results.summaries import coefficients
from bayesmig.specification.model import Factor, ModelSpec, Variable


def measured(n: int = 200):
    """Three items of one disposition, the first in points."""
    rng = np.random.default_rng(2)
    data = invented(n)
    trust = rng.normal(size=n) + 0.4 * data["x"]
    return data.assign(**{f"t{k}": trust + rng.normal(0, 0.6, n) for k in range(3)})


@pytest.fixture(scope="module")
def factor():
    variables = (
        Variable("trust", "Trust", unit="points from 0 to 100"),
        Variable("t0", "Trusts neighbours"),
        Variable("hukou", "Hukou", {"other": "Other", "农村": "Rural", "城镇": "Urban"}),
    )
    spec = ModelSpec(
        "trust ~ x + hukou",
        variables=variables,
        factors=(Factor("trust", ("t0", "t1", "t2"), marker="t0"),),
        standardise={"x": "person", "hukou": "person"},
    )
    return fit(spec, measured(), seed=1)


def test_thresholds_of_ordered_answers_are_on_the_page():
    tree = made_up(specification("cumulative", "x"), invented())
    ((caption, columns, rows),) = cut_and_loading_tables(tree, {"posterior": tree})
    assert caption == "Thresholds between neighbouring answers"
    assert [row.label for row in rows] == ["never | often", "often | always"]
    draws = tree["posterior"]["cut"].to_numpy().reshape(-1, 2)
    assert columns[0]["never|often"][0] == number(draws[:, 0].mean())
    low, high = np.quantile(draws[:, 0], [0.025, 0.975])
    assert columns[0]["never|often"][1] == f"[{number(low)}, {number(high)}]"


def test_estimated_thresholds_have_standard_errors():
    spec = specification("cumulative", "x")
    tree, ml = made_up(spec, invented()), estimate(spec, invented())
    ((_, columns, _),) = cut_and_loading_tables(tree, {"posterior": tree, "ML": ml})
    point, error = (float(ml["estimate"][name][0]) for name in ("cut", "cut_se"))
    assert columns[1]["never|often"] == (number(point), f"({number(error)})")


def test_loadings_are_on_the_page(factor, tmp_path):
    ((caption, columns, rows),) = cut_and_loading_tables(factor, {"posterior": factor})
    table = loadings(factor)
    assert caption == "How well each item measures"
    assert [row.term for row in rows] == ["t0", "t1", "t2"]
    assert rows[0].label == "Trusts neighbours"
    assert columns[0]["t0"] == ("1.000", "")
    for item in ("t1", "t2"):
        assert columns[0][item][0] == number(table.loc[item, "loading"])
        assert columns[2][item][0] == number(table.loc[item, "communality"])
    assert caption in Reader(report(factor, tmp_path / "page.html").read_text(encoding="utf-8")).text


def test_a_factor_counts_in_its_marker_not_in_the_unit_of_an_index(factor, tmp_path):
    spec = ModelSpec.from_json(factor.attrs["spec"])
    assert link_unit(spec) == "units of “Trusts neighbours”"
    assert link_unit(ModelSpec("f ~ x", factors=(Factor("f", ("a", "b")),))) == "residual SDs of the factor"
    text = Reader(report(factor, tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert "Coefficients, units of “Trusts neighbours”" in text
    assert "points from 0 to 100" not in text.partition("The specification as JSON")[0]


def test_standardised_categories_are_told_per_sd(factor):
    spec = ModelSpec.from_json(factor.attrs["spec"])
    labels = [row.label for row in term_rows(spec, coefficients(factor).index)]
    assert labels == ["X, per SD", "Hukou (vs Other), per SD", "Rural", "Urban"]


def test_coefficients_have_their_unit_in_the_heading():
    assert unit_of(ModelSpec("owns ~ x", family="bernoulli"), "owns") == "log odds"
    trust = ModelSpec("trust ~ x", variables=(Variable("trust", "Trust", unit="points; higher is more"),))
    assert unit_of(trust, "trust") == "points"
    assert unit_of(ModelSpec("y ~ x"), "y") == ""


def test_many_lines_of_one_style_become_one_path():
    style = ' clip-path="url(#a)" style="fill: none; stroke: #000"'
    lines = [f'<path d="M {k}.123456 {k} \nL {k + 1}.987654 {k} \n"{style}/>\n' for k in range(5)]
    other = '<path d="M 0 0 \nL 1 1 \n" clip-path="url(#a)" style="fill: none; stroke: #fff"/>'
    slim = _slimmed("".join(lines) + other)
    assert slim.count("<path") == 2
    assert re.findall(r"M (\S+) \S+ L (\S+)", slim)[:5] == [(f"{k}.12", f"{k + 1}.98") for k in range(5)]
    assert not LINES_OF_ONE_STYLE.search(slim.replace("\n", ""))


def test_rounding_is_no_number():
    assert settled(1e-12, 0.1) == 0
    assert settled(1e-12, 1e-12) == 1e-12  # tiny, but so is its error
    frame = coefficients(fit("y ~ x", invented(), seed=1))
    frame.loc["x", "estimate"] = -5.8e-16
    assert columns_of({"posterior": frame})[0]["x"][0] == "0.000"
