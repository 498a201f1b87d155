"""What priors say of the outcome before the data: on the page, as a figure, and held against closed forms."""

from __future__ import annotations

import re
import time

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from fabricated import CASES, specification
from fabricated import posterior as made_up
from fabricated import survey as invented
from reporting.people import SPEC, posterior, survey
from scipy import special
from test_reporting import Reader

from bayesmig import plots
from bayesmig.errors import BayesmigError
from bayesmig.inference.fitting import fit
from bayesmig.plots import expectations
from bayesmig.plots.expectations import prior_outcomes
from bayesmig.reporting.page import report
from bayesmig.specification.model import Factor, ModelSpec, Variable, Weights
from bayesmig.specification.priors import Flat, HalfNormal, Normal, PriorSet

mpl.use("Agg")

# priors that leave next to nothing open but the intercept
NARROW = PriorSet(Normal(3, 1), Normal(0, 0.001), HalfNormal(0.001), HalfNormal(0.001))
# four Monte Carlo errors of the 2.5 % quantile of 400 standard normal draws: sqrt(0.025 * 0.975 / 400) / phi(1.96)
ERROR = 4 * 0.133


def named(tree):
    return {row.what: row for row in prior_outcomes(tree).rows}


def test_the_mean_of_numbers_is_as_the_prior_says():
    spec = ModelSpec("y ~ 1 + (1 | area)", priors=NARROW)
    rows = named(made_up(spec, invented()))
    assert list(rows) == ["single values", "mean of all", "means by area"]
    for row in rows.values():
        assert row.lower == pytest.approx(3 - 1.96, abs=ERROR)
        assert row.upper == pytest.approx(3 + 1.96, abs=ERROR)


def test_shares_are_as_the_prior_says():
    data = invented(2000)
    (row,) = prior_outcomes(made_up(ModelSpec("owns ~ 1", family="bernoulli", priors=NARROW), data)).rows
    assert row.what == "owns = yes"
    for end, z in ((row.lower, 3 - 1.96), (row.upper, 3 + 1.96)):
        slope = special.expit(z) * (1 - special.expit(z))
        sampling = 2 * (slope / 2000) ** 0.5  # of a share of 2,000 people
        assert end == pytest.approx(special.expit(z), abs=ERROR * slope + sampling)


def test_what_was_observed_is_what_was_observed():
    data = survey().dropna()
    rows = named(posterior())
    assert rows["single values"].observed == pytest.approx((data["trust"].min(), data["trust"].max()))
    assert rows["mean of all"].observed == pytest.approx([data["trust"].mean()] * 2)
    means = data.groupby("area")["trust"].mean()
    assert rows["means by area"].observed == pytest.approx((means.min(), means.max()))


def test_survey_weights_count():
    data = invented()
    spec = ModelSpec("y ~ x", weights=Weights("w", "survey"))
    row = named(made_up(spec, data))["mean of all"]
    assert row.observed[0] == pytest.approx(np.average(data["y"], weights=data["w"]))


@pytest.mark.parametrize(("family", "link"), CASES)
def test_every_family_has_a_figure_and_a_sentence(family, link):
    tree = made_up(specification(family, "x * hukou + (1 + x | area) + (1 | city)", link), invented())
    found = prior_outcomes(tree)
    assert str(found) == str(prior_outcomes(tree))  # the seed of the tree
    for row in found.rows:
        assert row.lower <= row.upper
        assert row.observed[0] <= row.observed[1]
        assert not found.are_shares or 0 <= row.lower <= row.upper <= 1
    ax = plots.prior_predictive(tree)
    assert len(ax.get_yticklabels()) == len(found.rows)
    assert re.match(r"Before the data the priors expect, with a probability of 95 %: .+ Observed: .+\.$", str(found))
    mpl.pyplot.close("all")


def test_shares_of_ordered_answers_are_those_observed():
    tree = made_up(specification("cumulative", "x"), invented())
    shares = invented()["answer"].value_counts(normalize=True)
    for row in prior_outcomes(tree).rows:
        assert row.observed[0] == pytest.approx(shares[row.what])


def test_successes_are_counted_out_of_trials():
    (row,) = prior_outcomes(made_up(specification("binomial", "x"), invented())).rows
    data = invented()
    assert row.observed[0] == pytest.approx(data["visits"].sum() / data["asked"].sum())


def test_values_beyond_the_scale_are_told():
    bounded = Variable("y", "Trust", minimum=-4, maximum=4)
    found = prior_outcomes(made_up(ModelSpec("y ~ 1", variables=(bounded,), priors=NARROW), invented()))
    beyond = 1 - special.ndtr(1)  # of a normal around 3 with sd 1, above 4
    assert found.outside == pytest.approx(beyond, abs=4 * (beyond / 400) ** 0.5)
    assert "of the single values that they expect lie outside the scale from −4 to 4." in str(found)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ModelSpec("y ~ x", priors=PriorSet(slopes=Flat())), "a prior is flat"),
        (ModelSpec("f ~ x", factors=(Factor("f", ("y", "year", "poverty")),)), "latent factor"),
    ],
)
def test_where_nothing_can_be_drawn_the_page_says_why(spec, reason, tmp_path):
    tree = fit(spec, invented(), seed=1)
    with pytest.raises(BayesmigError, match=reason):
        prior_outcomes(tree)
    text = Reader(report(tree, tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert f"What the priors expect before the data is not shown: {'a' if 'flat' in reason else 'the'}" in text
    assert reason in text


def test_very_many_rows_are_refused(monkeypatch):
    monkeypatch.setattr(expectations, "MOST_ROWS", 100)
    with pytest.raises(BayesmigError, match="120 rows are too many .* bayesmig.simulate"):
        prior_outcomes(made_up(ModelSpec("y ~ x"), invented()))


def test_the_page_has_sentence_and_picture_beside_the_priors(tmp_path):
    source = report(posterior(), tmp_path / "page.html").read_text(encoding="utf-8")
    assert str(prior_outcomes(posterior())) in Reader(source).text
    assert source.index("Priors (") < source.index("What the priors expect") < source.index("The data</h2>")


def test_it_is_quick():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=20_000), "area": rng.integers(0, 500, 20_000)}).assign(y=0.0)
    data["y"] = rng.normal(size=20_000)
    tree = made_up(ModelSpec("y ~ x + (1 + x | area)"), data)
    prior_outcomes(tree)  # imports are not counted
    begun = time.perf_counter()
    prior_outcomes(tree)
    assert time.perf_counter() - begun < 5  # about 0.5 s on an idle machine; others may work on this one


def test_labels_of_the_codebook_are_used():
    assert "means by area" in named(posterior())
    assert SPEC.variables[0].label in plots.prior_predictive(posterior()).get_title(loc="left")
    mpl.pyplot.close("all")
