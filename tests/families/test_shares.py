"""Shares of which some are zero or one: a yes or no apart from the share itself."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.errors import DataError, EngineRefusal


@pytest.fixture(scope="module")
def people():
    """Shares of income sent home: nothing, all of it, or a part."""
    rng = np.random.default_rng(8)
    n = 500
    data = pd.DataFrame({"age": rng.normal(0, 1, n), "area": rng.integers(0, 10, n)})
    mean = 1 / (1 + np.exp(0.5 - 0.4 * data["age"] - rng.normal(0, 0.4, 10)[data["area"]]))
    share = np.clip(rng.beta(8 * mean, 8 * (1 - mean)), 0.01, 0.99)
    share = np.where(rng.random(n) < 1 / (1 + np.exp(1 + 0.5 * data["age"])), 0.0, share)
    return data.assign(some=share, sent=np.where(rng.random(n) < 0.1, 1.0, share))


SPLIT = {"hurdle": "age", "ones": "age"}


@pytest.mark.parametrize("family", ["zero_inflated_beta", "zero_one_inflated_beta"])
def test_maximum_is_that_of_the_parts(people, family):
    both = family == "zero_one_inflated_beta"
    outcome = "sent" if both else "some"
    named = SPLIT if both else {"hurdle": "age"}
    found = bm.estimate(f"{outcome} ~ age", people, family=family, predictors=named)
    inside = people[(people[outcome] > 0) & (people[outcome] < 1)]
    none = people.assign(none=(people[outcome] == 0).astype(int))
    parts = [
        bm.estimate(f"{outcome} ~ age", inside, family="beta"),
        bm.estimate("none ~ age", none, family="bernoulli"),
    ]
    if both:
        above = people[people["sent"] > 0].assign(all=lambda d: (d["sent"] == 1).astype(int))
        parts.append(bm.estimate("all ~ age", above, family="bernoulli"))
    for column in ("estimate", "std_error"):
        expected = np.concatenate([bm.coefficients(part)[column] for part in parts])
        np.testing.assert_allclose(bm.coefficients(found)[column], expected, rtol=1e-5, atol=1e-7)
    assert found.attrs["log_likelihood"] == pytest.approx(sum(part.attrs["log_likelihood"] for part in parts), rel=1e-9)


def test_expectations_and_draws_count_all_parts(people):
    tree = bm.fit(
        "sent ~ age + (1 | area)",
        people,
        family="zero_one_inflated_beta",
        predictors={"ones": "age"},
        engine=bm.NUTS(draws=250, tune=250, chains=2, progress=False),
        seed=1,
    )
    # Monte Carlo error of a mean of 500 people, sd 0.35
    assert bm.margins(tree)["estimate"].iloc[0] == pytest.approx(people["sent"].mean(), abs=4 * 0.35 / np.sqrt(500))
    drawn = bm.predict(tree, people, kind="outcome", seed=1)["predictions"]["y"]
    assert float((drawn == 1).mean()) == pytest.approx((people["sent"] == 1).mean(), abs=0.04)
    assert float((drawn == 0).mean()) == pytest.approx((people["sent"] == 0).mean(), abs=0.05)
    table = bm.predictive_check(tree, statistic="zeros", seed=1)
    assert not table["outside"].any() and np.isfinite(bm.loo(tree).elpd)
    assert "share of ones among those above zero" in bm.table({"m": tree}).to_markdown().casefold()


REFUSED = {
    "beta": ("sent", {}, "0 and 1|zero_one_inflated_beta"),
    "zero_inflated_beta": ("sent", {}, "family='zero_one_inflated_beta'"),
    "no ones": ("some", {"family": "zero_one_inflated_beta"}, "= 1, and family.*use family='zero_inflated_beta'"),
    "no zeros": (
        "rest", {"family": "zero_one_inflated_beta"}, "use family='zero_inflated_beta', and 1 - rest as the outcome",
    ),
    "neither": ("inside", {"family": "zero_one_inflated_beta"}, "= 0 or 1.*use family='beta'"),
    "percentages": ("percent", {"family": "zero_one_inflated_beta"}, "divide percentages by 100"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_other_shares_are_refused_with_what_to_do(people, case):
    outcome, more, message = REFUSED[case]
    data = people.assign(
        rest=1 - people["some"], inside=np.clip(people["some"], 0.01, 0.99), percent=100 * people["sent"]
    )
    data.loc[0, "percent"], data.loc[1, "percent"] = 1.0, 0.0
    with pytest.raises(DataError, match=message):
        bm.estimate(f"{outcome} ~ age", data, **({"family": case} | more))


@pytest.mark.parametrize(("parameter", "value"), [("hurdle", 0.0), ("ones", 1.0)])
def test_a_part_that_a_term_predicts_has_no_maximum(people, parameter, value):
    data = people.assign(group=(people["sent"] == value).astype(float))
    with pytest.raises(EngineRefusal, match=f"separated along {parameter} ~ group"):
        bm.estimate("sent ~ age", data, family="zero_one_inflated_beta", predictors={parameter: "group"})
