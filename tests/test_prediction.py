"""Predictions of every family and link, for known and new groups, against brute force and quadrature."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fabricated import CASES, posterior, specification, survey
from scipy import integrate, special, stats

import bayesmig as bm
from bayesmig.contract import schema
from bayesmig.contract.seal import seal
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import Rows, encode_rows
from bayesmig.errors import BayesmigError, DataError
from bayesmig.families.links import normal_mean
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.response import expected, linear_predictor, parameters
from bayesmig.prediction.newdata import predict
from bayesmig.results.fitted import PART, Fitted, category_scores, quantity
from bayesmig.results.integration import added_variance, integrated
from bayesmig.results.variance import SMOOTH
from bayesmig.specification.model import Factor

DATA = survey()
PEOPLE = DATA.drop(columns=["y", "owns", "answer", "visits"])
SLOPES = "x * hukou + (1 + x | area) + (1 | city)"


def flat(tree):
    y = tree["predictions"]["y"].to_numpy()
    return y.reshape(-1, *y.shape[2:])


@pytest.mark.parametrize("sd", [0.01, 0.5, 1.0, 2.0, 4.0, 10.0])
def test_the_logistic_mean_over_normal_groups(sd):
    """Against adaptive quadrature; 1e-8 is five times the worst error over means from -30 to 30."""
    design = build_design(specification("bernoulli", "x + (1 | area)"), DATA)
    means = np.array([[0.0, 0.4, -3.0, 9.0, -30.0]])
    ours = integrated(design, means, np.full_like(means, sd**2), {})[0]
    for mean, value in zip(means[0], ours, strict=True):
        points = [-mean / sd] if abs(mean / sd) < 12 else None  # where the function turns
        exact = integrate.quad(
            lambda z, mean=mean: special.expit(mean + sd * z) * stats.norm.pdf(z), -12, 12, points=points, limit=400
        )[0]
        assert value == pytest.approx(exact, abs=1e-8)


def test_the_mean_of_a_squared_probit_is_owens():
    """E Phi(a + s z)^2 = Phi(h) - 2 T(h, 1 / sqrt(1 + 2 s^2)), h = a / sqrt(1 + s^2) (Owen 1980); as in test above."""
    a, s = np.array([[0.0, 1.0, -2.0]]), 1.3
    h = a / np.sqrt(1 + s**2)
    exact = special.ndtr(h) - 2 * special.owens_t(h, 1 / np.sqrt(1 + 2 * s**2))
    ours = normal_mean(lambda x: special.ndtr(x) ** 2, a, np.full_like(a, s**2), SMOOTH)
    np.testing.assert_allclose(ours, exact, atol=1e-8)


@pytest.mark.parametrize(("family", "link"), CASES)
def test_integrating_is_the_mean_over_many_groups(family, link):
    """400,000 groups drawn in the test's own way for each of two draws; 5 standard errors of their mean."""
    tree = posterior(specification(family, SLOPES, link), DATA)
    design = Fitted.of(tree).design
    people = PEOPLE.iloc[:4]
    ours = flat(predict(tree, people, random="integrate"))
    rows, values = encode_rows(design, people), parameters(tree["posterior"].to_dataset())
    rng = np.random.default_rng(1)
    size = 400_000
    for draw in (3, 31):
        one = {name: value[draw : draw + 1] for name, value in values.items()}
        many = {name: np.repeat(value, size, axis=0) for name, value in one.items() if not name.startswith("u_")}
        drawn = {
            group.name: rng.multivariate_normal(np.zeros(len(group.effects)), group.covariance(one)[0], size)[:, None]
            for group in design.groups
        }
        anywhere = dataclasses.replace(rows, codes={name: np.zeros(4, dtype=int) for name in drawn})
        eta = linear_predictor(anywhere, many, drawn)
        outcome = expected(design, eta, many, rows.trials)
        error = outcome.std(axis=0) / np.sqrt(size)
        assert (abs(outcome.mean(axis=0) - ours[draw]) < 5 * error + 1e-9).all()


@pytest.mark.parametrize(("family", "link"), CASES)
def test_the_three_treatments_of_a_known_group(family, link):
    tree = posterior(specification(family, SLOPES, link), DATA)
    fitted = Fitted.of(tree)
    design, values, rows = fitted.design, parameters(tree["posterior"].to_dataset()), Rows.of(fitted.design)
    own = expected(design, linear_predictor(rows, values), values, rows.trials)
    middle = expected(design, linear_predictor(rows, values, {}), values, rows.trials)
    np.testing.assert_allclose(flat(predict(tree)), own, rtol=1e-12)
    np.testing.assert_allclose(flat(predict(tree, PEOPLE)), own, rtol=1e-9)  # encoded anew
    np.testing.assert_allclose(flat(predict(tree, random="zero")), middle, rtol=1e-12)
    mean = flat(predict(tree, random="integrate"))
    if link == "identity":
        np.testing.assert_allclose(mean, middle, rtol=1e-12)
    else:
        assert abs(mean - middle).max() > 0.01
    if link in ("logit", "probit") and not (
        FAMILIES[family].has_categories or FAMILIES[family].spikes
    ):  # towards one half
        share = 12 if family == "binomial" else 1
        assert (abs(mean - share / 2) <= abs(middle - share / 2) + 1e-9).all()


@pytest.mark.parametrize(("family", "link"), CASES)
@pytest.mark.parametrize("right", ["x", SLOPES])
def test_every_kind_has_its_dims_and_facts(family, link, right):
    tree = posterior(specification(family, right, link), DATA)
    outcome = FAMILIES[family].outcome
    for kind in ("expected", "outcome", "linear"):
        if outcome == "nominal" and kind == "linear":
            with pytest.raises(BayesmigError, match="every category of 'answer' has a linear predictor of its own"):
                predict(tree, kind=kind)
            continue
        done = predict(tree, kind=kind, seed=4)
        y = done["predictions"]["y"]
        wide = FAMILIES[family].has_categories and kind == "expected"
        assert y.dims == ("chain", "draw", "row", "category")[: 4 if wide else 3]
        assert np.isfinite(y).all()
        assert done.attrs["random"] == ("sample" if right == SLOPES else "none")
        assert done.attrs["provenance"] == "own data" and done.attrs["engine"] == "made up"
        assert (done.attrs["kind"], done.attrs["prediction_seed"]) == (kind, "4")
    drawn = predict(tree, kind="outcome", seed=4)["predictions"]["y"]
    if outcome != "number":
        assert (drawn % 1 == 0).all() and float(drawn.min()) >= 0
    if outcome in ("binary", "ordered", "nominal"):
        assert set(np.unique(drawn)) <= set(range(len(Fitted.of(tree).design.categories)))


def test_known_and_new_groups_have_their_names():
    tree = posterior(specification("gaussian", "x + (1 | city/area)"), DATA)
    people = pd.DataFrame({"x": [0.0, 0.0, 1.0], "city": [0, 9, 9], "area": [1, 1, 2]})
    y = predict(tree, people, seed=1)["predictions"]["y"]
    assert y["city:area"].to_numpy().tolist() == ["0:1", "9:1", "9:2"]
    assert y["row"].to_numpy().tolist() == [0, 1, 2]
    some = predict(tree, people.drop(columns="area"), seed=1)["predictions"]["y"]
    assert "city" in some.coords and "city:area" not in some.coords


def test_new_groups_are_drawn_once_for_all_of_their_people():
    """Moments of 20,000 drawn pairs against the covariance; 5 standard errors of a product of normals."""
    tree = posterior(specification("gaussian", "x + (1 + x || area)"), DATA, draws=1)
    tree = thickened(tree, 10_000)
    people = pd.DataFrame({"x": [0.5, 2.0, 0.5], "area": ["A", "A", "B"]})
    y = flat(predict(tree, people, kind="linear", seed=1))
    values = parameters(tree["posterior"].to_dataset())
    deviations = y - values["beta"] @ np.array([[1, 1, 1], people["x"]])
    tau = values["tau_area"]
    for first, second, product in ((0, 0, 0.25), (0, 1, 1.0), (0, 2, None), (1, 1, 4.0)):
        exact = 0.0 if product is None else (tau[:, 0] ** 2 + product * tau[:, 1] ** 2).mean()
        found = deviations[:, first] * deviations[:, second]
        assert found.mean() == pytest.approx(exact, abs=5 * found.std() / np.sqrt(len(found)))


def thickened(tree, times):
    """Each draw many times over, to draw new groups from."""
    dataset = tree["posterior"].to_dataset()
    dataset = dataset.isel(draw=np.zeros(times, int)).assign_coords(draw=np.arange(times))
    groups = {"/": xr.Dataset(attrs=tree.attrs), "/posterior": dataset, "/data": tree["data"].to_dataset()}
    return seal(xr.DataTree.from_dict(groups))


def test_people_without_groups_are_each_from_a_group_of_their_own():
    """Equal people with the same expectation, whose effects are independent: 5 standard errors of a correlation."""
    tree = thickened(posterior(specification("gaussian", "x + (1 | area)"), DATA, draws=1), 10_000)
    y = predict(tree, pd.DataFrame({"x": [0.0, 0.0]}), seed=1)["predictions"]["y"].sel(chain=0)
    assert abs(np.corrcoef(y[:, 0], y[:, 1])[0, 1]) < 5 / np.sqrt(10_000)


def test_drawn_outcomes_have_expectation_and_spread():
    """Within and between new groups: variance tau^2 + sigma^2; 5 standard errors (normal fourth moment)."""
    tree = thickened(posterior(specification("gaussian", "x + (1 | area)"), DATA, draws=1), 20_000)
    y = predict(tree, pd.DataFrame({"x": [0.3]}), kind="outcome", seed=2)["predictions"]["y"].sel(chain=1).to_numpy()
    values = {name: value[-1] for name, value in parameters(tree["posterior"].to_dataset()).items()}
    variance = float(values["tau_area"][0] ** 2 + values["sigma"] ** 2)
    assert y.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / 20_000))
    assert y.mean() == pytest.approx(values["beta"] @ [1, 0.3], abs=5 * np.sqrt(variance / 20_000))


def test_a_seed_gives_the_same_predictions_and_one_is_always_stored():
    tree = posterior(specification("poisson", "x + (1 | area)"), DATA)
    people = PEOPLE.assign(area=99)
    one, same, other = (predict(tree, people, kind="outcome", seed=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(one, same)
    assert not one["predictions"]["y"].equals(other["predictions"]["y"])
    fresh = predict(tree, people, kind="outcome")
    again = predict(tree, people, kind="outcome", seed=int(fresh.attrs["prediction_seed"]))
    assert fresh["predictions"]["y"].equals(again["predictions"]["y"])


def test_draws_are_evenly_spaced_and_kept_by_name():
    tree = posterior(specification("gaussian", "x + (1 | area)"), DATA)
    few, all_of_them = (predict(tree, draws=draws)["predictions"]["y"] for draws in (10, None))
    assert dict(few.sizes) == {"chain": 2, "draw": 5, "row": len(DATA)}
    assert few["draw"].to_numpy().tolist() == [0, 5, 10, 14, 19]
    np.testing.assert_array_equal(few, all_of_them.sel(draw=few["draw"]))


def test_runs_of_draws_cover_all_of_them():
    fitted = Fitted.of(posterior(specification("gaussian", "x"), DATA))
    for width in (1, 4000, PART, 10 * PART):
        runs = [range(40)[run] for run, _ in fitted.parts(width)]
        assert [k for run in runs for k in run] == list(range(40))
        assert max(len(run) * width for run in runs) <= max(PART, width)


@pytest.mark.parametrize("right", ["x + hukou + (1 | area)", "poly(year, 2) + C(wave) + (1 + x || area)"])
def test_a_saved_tree_predicts_the_same(right, tmp_path):
    tree = posterior(specification("cumulative", right, standardise={"x": "person"} if "hukou" in right else {}), DATA)
    tree.to_netcdf(tmp_path / "tree.nc")
    people = PEOPLE.assign(area="new")
    now = predict(tree, people, seed=1)
    now.to_netcdf(tmp_path / "predictions.nc")
    with xr.open_datatree(tmp_path / "tree.nc") as tree, xr.open_datatree(tmp_path / "predictions.nc") as saved:
        then = predict(tree, people, seed=1)
        np.testing.assert_array_equal(flat(then), flat(now))
        np.testing.assert_array_equal(flat(saved), flat(now))
        assert saved.attrs == {key: value for key, value in then.attrs.items() if key != "prediction_seed"} | {
            "prediction_seed": "1"
        }


def test_sds_of_zero_and_correlations_of_one_still_draw():
    spec = specification("gaussian", "x + (1 + x | area)")
    tree = posterior(spec, DATA)
    group = Fitted.of(tree).design.groups[0]
    values = {"tau_area": np.array([[0.0, 1.0], [1.0, 2.0]]), "rho_area": np.array([[np.nan], [1.0]])}
    np.testing.assert_allclose(group.covariance(values), [[[0, 0], [0, 1]], [[1, 2], [2, 4]]])
    np.testing.assert_allclose(added_variance(group, np.array([[1.0, -0.5], [1, 1]]), values), [[0.25, 1], [0, 9]])
    tree["posterior"]["tau_area"][:] = 0.0
    np.testing.assert_allclose(
        flat(predict(tree, PEOPLE.assign(area=99), seed=1)), flat(predict(tree, PEOPLE, random="zero")), atol=1e-12
    )


def test_precision_weights_count_for_the_people_they_belong_to():
    spec = specification("gaussian", "x").with_weights("w", "precision")
    tree = thickened(posterior(spec, DATA, draws=1), 4000)
    own = predict(tree, kind="outcome", seed=1)["predictions"]["y"].sel(chain=0).std("draw")
    ratio = own.to_numpy() * np.sqrt(DATA["w"]) / float(tree["posterior"]["sigma"][0, 0])
    assert abs(ratio - 1).max() < 5 / np.sqrt(2 * 4000)  # 5 standard errors of an sd
    new = predict(tree, PEOPLE, kind="outcome", seed=1)["predictions"]["y"].sel(chain=0).std("draw")
    assert abs(new / float(tree["posterior"]["sigma"][0, 0]) - 1).max() < 5 / np.sqrt(2 * 4000)


def test_estimates_are_points():
    tree = bm.estimate("y ~ x + (1 + x | area)", DATA)
    done = predict(tree)
    y, beta = done["predictions"]["y"], tree["estimate"]["beta"].to_numpy()
    assert y.dims == ("row",)
    u = tree["estimate"]["u_area"].to_numpy()[DATA["area"]]
    np.testing.assert_allclose(y, beta[0] + u[:, 0] + DATA["x"] * (beta[1] + u[:, 1]), atol=1e-10)
    assert done.attrs["estimand"] == "expected y, varying effects held at their modes"
    covariance = tree["estimate"]["covariance"].to_numpy()[:2, :2]
    x = np.column_stack([np.ones(len(DATA)), DATA["x"]])
    error = np.sqrt(np.einsum("np,pq,nq->n", x, covariance, x))
    np.testing.assert_allclose(done["predictions"]["y_se"], error, rtol=1e-8)  # linear, so exact but for rounding
    np.testing.assert_allclose(done["predictions"]["y_upper"], y + stats.norm.ppf(0.975) * error, rtol=1e-8)
    new = PEOPLE.assign(area=99)
    np.testing.assert_allclose(
        predict(tree, new, random="zero")["predictions"]["y"], beta[0] + beta[1] * DATA["x"], atol=1e-10
    )
    for call, words in (
        (lambda: predict(tree, new), "effects of new groups of area would have to be drawn"),
        (lambda: predict(tree, new.drop(columns="area")), "effects of new groups of area would have to be drawn"),
        (lambda: predict(tree, kind="outcome"), "outcomes drawn at its point would hide its error"),
        (lambda: predict(tree, draws=5), "an estimate is a point and has no draws"),
    ):
        with pytest.raises(BayesmigError, match=words):
            call()


def test_least_squares_knows_no_groups():
    tree = bm.estimate("y ~ x + (1 | area)", DATA, method="ols")
    done = predict(tree, PEOPLE.assign(area=99))
    assert done.attrs["random"] == "none"
    np.testing.assert_allclose(
        done["predictions"]["y"], tree["estimate"]["beta"].to_numpy() @ [np.ones(len(DATA)), DATA["x"]], atol=1e-10
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"random": "sampel"}, r"random='sampel' \(closest: 'sample'\); allowed are 'sample', 'integrate', 'zero'"),
        ({"kind": "response"}, "kind='response'; allowed are 'expected', 'outcome', 'linear'"),
        ({"new_groups": False}, "new_groups=False.*; allowed are 'allow', 'refuse'"),
        ({"kind": "outcome", "random": "integrate"}, "a person has one group"),
        ({"draws": 0}, "draws=0: give a positive whole number"),
        ({"draws": 1}, "draws=1: equally many are taken of 2 chains; give at least 2"),
        ({"draws": 2.5}, "draws=2.5: give a positive whole number"),
        ({"seed": -1}, "seed=-1: give a whole number that is not negative"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, words):
    tree = posterior(specification("gaussian", "x + (1 | area)"), DATA)
    with pytest.raises(BayesmigError, match=words):
        predict(tree, **options)


def test_new_groups_can_be_refused():
    tree = posterior(specification("gaussian", "x + (1 | area)"), DATA)
    predict(tree, PEOPLE, new_groups="refuse")
    with pytest.raises(DataError, match=r"area 77 \(closest: '7'\) is not among the 8 groups .* new_groups='refuse'"):
        predict(tree, PEOPLE.assign(area=77), new_groups="refuse")
    with pytest.raises(DataError, match="the people's area is not given"):
        predict(tree, PEOPLE.drop(columns="area"), new_groups="refuse")


def test_what_would_not_fit_into_memory_is_refused(monkeypatch):
    tree = posterior(specification("cumulative", "x"), DATA)
    monkeypatch.setattr("bayesmig.prediction.newdata.LARGEST", 2000)
    with pytest.raises(BayesmigError, match=r"40 x 120 x 3 numbers would fill more than 4 GiB; use draws=5 or fewer"):
        predict(tree)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"wave": 2014.0}, r"cannot be encoded as the model's own were: The levels \(2014.0\) in 'C\(wave\)'"),
        ({"poverty": 0.0}, r"'np.log\(poverty\)' is not finite for 120 of 120 people"),
        ({"hukou": "城"}, "hukou = '城'"),
    ],
)
def test_people_that_the_model_cannot_know_are_refused(change, words):
    tree = posterior(specification("gaussian", "np.log(poverty) + C(wave) + hukou"), DATA)
    with pytest.raises(DataError, match=words):
        predict(tree, PEOPLE.assign(**change))


def test_trees_that_know_no_people_are_refused():
    with pytest.raises(BayesmigError, match="holds no data"):
        predict(bm.published_posterior(bm.study("social_trust"), "table_6", seed=1))
    with pytest.raises(BayesmigError, match="got DataFrame"):
        predict(DATA)


def test_quantities_are_named_in_words():
    def design(family, **more):
        return build_design(specification(family, "x", **more), DATA)

    assert quantity(design("bernoulli")) == "probability of owns = yes"
    assert quantity(design("bernoulli"), "link") == "linear predictor of owns (logit link)"
    assert quantity(design("binomial")) == "probability of visits in one trial"
    assert quantity(design("binomial"), per_trial=False) == "expected visits"
    assert quantity(design("cumulative"), "score") == "expected score of answer (never = 1, often = 2, always = 3)"
    assert category_scores(
        build_design(bm.ModelSpec("w ~ x", family="cumulative"), DATA.assign(w=DATA["w"] * 10))
    ).tolist() == [
        10,
        20,
        30,
    ]


def test_filled_in_data_say_whose_values_people_have():
    frames = [DATA.assign(x=DATA["x"].where(DATA.index % 9 > 0, k)) for k in range(3)]
    tree = bm.fit("y ~ x + (1 | area)", frames, seed=1)
    assert predict(tree).attrs["estimand"] == "expected y, people as in the first of 3 completed data sets"
    assert predict(tree, PEOPLE).attrs["estimand"] == "expected y"
    first = build_design(bm.ModelSpec("y ~ x + (1 | area)"), frames[0])
    values = parameters(tree["posterior"].to_dataset())
    np.testing.assert_allclose(flat(predict(tree)), linear_predictor(Rows.of(first), values), rtol=1e-12)


def test_latent_factors_are_refused():
    rng = np.random.default_rng(1)
    data = DATA.assign(**{f"i{k}": DATA["x"] + rng.normal(size=len(DATA)) for k in range(3)})
    spec = bm.ModelSpec("trust ~ x", factors=(Factor("trust", ("i0", "i1", "i2")),))
    design = build_design(spec, data)
    size = (2, 3)
    values = {
        name: np.ones((*size, *(len(schema.coords(design)[dim]) for dim in dims)))
        for name, dims in schema.dims(design).items()
    }
    tree = schema.stamp({"posterior": schema.posterior(design, values)}, design)
    with pytest.raises(BayesmigError, match="the outcome 'trust' is a latent factor, which has no units"):
        predict(tree)
