"""Reconstructed data return the printed table, and say what they are."""

from __future__ import annotations

import dataclasses
import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from bayesmig.data.design import Design
from bayesmig.data.encoding import PROVENANCE_COLUMN, build_design
from bayesmig.errors import BayesmigError, InferenceFailure, NotFound, SpecificationError
from bayesmig.inference.fitting import estimate
from bayesmig.inference.gaussian import MixedModelEquations
from bayesmig.printed.literature import printed_cells, printed_variances
from bayesmig.replication.reconstruction import answer_spread, reconstruct, standard_errors
from bayesmig.replication.reconstruction.binary import Gradient, Truth, counted
from bayesmig.replication.reconstruction.predictors import Subject, draw
from bayesmig.replication.reconstruction.provenance import printed_errors
from bayesmig.specification.catalogue import studies, study
from bayesmig.specification.model import Margin, ModelSpec, Population, Range, Study, Variable, Weights

SEEDS = [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (3, 4, 5))]
STUDIES = {name: study(name) for name in studies()}
PRINTED = [
    (found, key)
    for found in STUDIES.values()
    for key, spec in found.models.items()
    if spec.printed and found.population
]
BINARY = [(found, key) for found, key in PRINTED if found.model(key).family == "bernoulli"]
NUMERIC = [pair for pair in PRINTED if pair not in BINARY]
FIRST = [*{found.name: (found, key) for found, key in reversed(PRINTED)}.values()]  # of every study


def over(pairs: list[tuple[Study, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("found", "key"), pairs, ids=[f"{found.name}-{key}" for found, key in pairs])


each_printed, each_numeric, each_binary = over(PRINTED), over(NUMERIC), over(BINARY)
TRUST = STUDIES["social_trust"]


@cache
def built(name: str, key: str, seed: int = 1) -> pd.DataFrame:
    """A reconstruction that several tests look at."""
    return reconstruct(STUDIES[name], key, seed=seed)


def refit(design: Design) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Coefficients, their errors and variances at the optimum of the (restricted) likelihood."""
    equations = MixedModelEquations.of(design, flat=True)
    count = len(design.groups) + 1

    def conditional(log_sds: np.ndarray):
        sds = np.exp(log_sds)
        return equations.at(sds[:1], tuple(sd[None, None, None] for sd in sds[1:]))

    def loss(log_sds: np.ndarray) -> float:
        at = conditional(log_sds)
        return -float((at.profile if design.spec.estimator == "ml" else at.log_density)[0])

    # two starts far from the printed values: the optimum must not depend on them
    options = {"xatol": 1e-8, "fatol": 1e-11, "maxiter": 4000}
    starts = [np.full(count, np.log(0.5)), np.log(np.array([1.5, *[0.05] * (count - 1)]))]
    found = min(
        (optimize.minimize(loss, x0, method="Nelder-Mead", options=options) for x0 in starts), key=lambda f: f.fun
    )
    at = conditional(found.x)
    beta = pd.Series(equations.best(at)[0][0], design.terms)
    errors = pd.Series(np.sqrt(np.diag(equations.covariance(at))), design.terms)
    names = ["sigma", *(f"tau_{group.name}" for group in design.groups)]
    return beta, errors, pd.Series((np.exp(found.x) * equations.scale.y_sd) ** 2, names)


@pytest.mark.parametrize("seed", SEEDS)
@each_numeric
def test_fit_returns_the_printed_table(found: Study, key: str, seed: int):
    beta, _, variances = refit(build_design(found.model(key), built(found.name, key, seed)))
    cells, printed = printed_cells(found, key), printed_variances(found, key)
    # a fifth of the last printed digit: the refit's own tolerance, far inside rounding
    assert ((beta[cells.index] - cells["estimate"]).abs() < 0.2 * cells["half_unit"]).all()
    assert ((variances[printed.index] - printed["variance"]).abs() < 0.2 * printed["half_unit"]).all()


@each_numeric
def test_estimate_returns_the_printed_table(found: Study, key: str):
    result = estimate(found.model(key), built(found.name, key))["estimate"]
    cells, printed = printed_cells(found, key), printed_variances(found, key)
    # ten times finer than print: what the estimator's own convergence leaves
    np.testing.assert_allclose(result["beta"].sel(term=list(cells.index)), cells["estimate"], atol=5e-5)
    for name, row in printed.iterrows():
        assert float(result[str(name)].squeeze()) ** 2 == pytest.approx(row["variance"], abs=5e-5)


@each_printed
def test_sample_is_as_printed(found: Study, key: str):
    data, population = built(found.name, key), found.population_of(key)
    assert population is not None
    assert len(data) == population.n
    sized = {Subject.of(margin).variable for margin in population.margins}
    for group, count in population.groups.items():
        sizes = data[group].value_counts()
        assert len(sizes) == count
        alike = [margin.variable for margin in population.margins if margin.people]  # of groups of other sizes
        spread = data.groupby([*alike, group]).size().groupby(alike or (lambda _: 0)).agg(np.ptp)
        assert group in sized or spread.max() <= 1
    for margin in population.margins:
        subject = Subject.of(margin)
        chosen = data[subject.condition] == subject.level if subject.condition else slice(None)
        values = data.loc[chosen, subject.variable]
        if margin.people:
            places = next(entry.group for entry in found.variables if entry.name == subject.variable)
            share = values.value_counts(normalize=True) * sum(margin.people.values())
            assert share.to_dict() == pytest.approx(margin.people, abs=0.1)  # of 100, for whole people
            values = data.drop_duplicates(places)[subject.variable]
        if margin.counts and not margin.assumed:
            met = [(values == type(values.iloc[0])(level)).sum() for level in margin.counts]
            exact = np.array([*margin.counts.values()]) / sum(margin.counts.values()) * len(values)
            assert abs(met - exact).max() < 1
        elif not margin.assumed:
            # rounding to whole numbers moves the mean by about half a step of one person
            assert values.mean() == pytest.approx(margin.mean, abs=0.01 if margin.whole else 1e-6)
        if subject.bound:
            assert (values <= data.loc[chosen, subject.bound]).all()


@each_printed
def test_data_follow_the_codebook(found: Study, key: str):
    data = built(found.name, key)
    for variable in found.variables:
        assert variable.name in data
        if variable.is_categorical:
            whole = found.population_of(key) == found.population  # a part of the sample need not have every level
            assert (
                set(data[variable.name]) == set(variable.levels)
                if whole
                else set(data[variable.name]) <= set(variable.levels)
            )
        if variable.group:
            assert (data.groupby(variable.group)[variable.name].nunique() == 1).all()


@each_printed
def test_seeds(found: Study, key: str):
    first, other = built(found.name, key, 1), built(found.name, key, 2)
    for name in first.columns.difference([*(found.population.groups if found.population else ())]):
        assert not first[name].equals(other[name]) or first[name].nunique() == 1
    assert first.attrs["reconstruction"]["assumed"] != other.attrs["reconstruction"]["assumed"]


@pytest.mark.parametrize(
    ("found", "key"),
    [
        # further tables of a study go the same way
        pytest.param(found, key, marks=[pytest.mark.slow] * ((found, key) not in FIRST), id=f"{found.name}-{key}")
        for found, key in PRINTED
    ],
)
def test_the_same_seed_gives_the_same_people(found: Study, key: str):
    pd.testing.assert_frame_equal(built(found.name, key, 1), reconstruct(found, key, seed=1))


@each_printed
def test_provenance_survives_csv(found: Study, key: str, tmp_path: Path):
    data = built(found.name, key, 2)
    data.to_csv(tmp_path / "data.csv", index=False)
    back = pd.read_csv(tmp_path / "data.csv")
    assert set(back[PROVENANCE_COLUMN]) == {f"reconstructed from {found.name} {key}, seed 2"}
    design, original = build_design(found.model(key), back), build_design(found.model(key), data)
    assert design.provenance == original.provenance
    np.testing.assert_allclose(design.x, original.x, atol=1e-12)


@each_printed
def test_account_is_plain_text_and_complete(found: Study, key: str):
    account = built(found.name, key).attrs["reconstruction"]
    assert set(account) == {"honoured", "not_honoured", "not_compared", "assumed"}
    assert json.loads(json.dumps(account)) == account
    population = found.population_of(key)
    assert population is not None
    for margin in population.margins:
        assert any(line.startswith(Subject.of(margin).variable) for line in account["honoured"] + account["assumed"])


@pytest.mark.parametrize("seed", SEEDS[:3])
@each_binary
def test_fit_of_binary_outcomes_is_near_the_printed_table(found: Study, key: str, seed: int):
    data = built(found.name, key, seed)
    result = estimate(found.model(key), data, method="ml")["estimate"]
    cells, variances = printed_cells(found, key), printed_variances(found, key)
    away = abs(result["beta"].sel(term=list(cells.index)) - cells["estimate"].to_numpy()) / printed_errors(cells)
    assert float(away.max()) < 0.25  # answers of 0 and 1 cannot be tuned finer than some hundredths
    for name, row in variances.iterrows():
        assert float(result[str(name)].squeeze()) ** 2 == pytest.approx(row["variance"], abs=0.2 * row["std_error"])
    told = data.attrs["reconstruction"]["honoured"][0]
    foretold = float(re.search(r"within (\S+) of its printed standard error", told)[1])
    assert foretold == pytest.approx(float(away.max()), abs=0.02)  # to first order, and rounded


@each_binary
def test_errors_of_binary_outcomes_are_those_of_a_fit(found: Study, key: str):
    result = estimate(found.model(key), built(found.name, key), method="ml")["estimate"]
    expected = standard_errors(found, key, seed=1)["implied"]
    # the fit's errors allow for the variances' uncertainty, those implied take them as printed (2.2 % here)
    np.testing.assert_allclose(result["beta_se"].sel(term=list(expected.index)), expected, rtol=0.025)


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_ownership_is_as_printed_by_household_type_and_region(seed: int):
    """The text gives 20, 38 and 23 % of rural migrants by region; a share is met up to half a household."""
    data = built("homeownership", "table_3_2", seed)
    owners = data[data["household_type"] == "rural_migrant"].groupby("region")["homeownership"].agg(["sum", "size"])
    for region, percent in {"eastern": 20, "central": 38, "western": 23}.items():
        ones, people = owners.loc[region]
        assert abs(ones - percent / 100 * people) <= 0.005 * people + 0.5
    owners = data.groupby("household_type")["homeownership"].agg(["sum", "size"])
    assert owners.loc["rural_migrant"].tolist() == [236, 1046]  # 22.6 %
    assert owners.loc["mixed_status"].tolist() == [362, 690]  # 52.5 %
    assert set(data["homeownership"]) == {0, 1}


def test_cities_lie_within_provinces():
    data = built("homeownership", "table_3_2")
    assert (data.groupby("city")[["province", "median_housing_price"]].nunique() == 1).all(axis=None)
    assert (data.groupby("province")["region"].nunique() == 1).all()


def test_number_of_cities_is_told_to_be_assumed():
    account = built("homeownership", "table_3_2").attrs["reconstruction"]
    assert any("groups of city" in line for line in account["assumed"])
    assert any("29 groups of province" in line for line in account["honoured"])
    assert any(line.startswith("intercept:") for line in account["assumed"])


def test_numbers_of_ones_that_overlapping_shares_allow():
    """Half of 100 and 20 % of 40 of them leave 42 to the other 60; of 50 others nothing is printed."""
    told = np.zeros((2, 150), dtype=bool)
    told[0, :100], told[1, :40] = True, True
    strata, ones = counted(np.full(150, 0.3), told, np.array([49.5, 7.8]), np.array([50.5, 8.2]))
    met = {int(strata[row]): int(ones[strata[row]]) for row in (0, 40, 100)}
    assert list(met.values()) == [8, 42, 15]
    _, apart = counted(np.full(150, 0.3), told[[0, 0]], np.array([49.5, 59.5]), np.array([50.5, 60.5]))
    assert 55 in apart  # between two shares of the same people that contradict each other
    assert counted(np.full(150, 0.3), told[:0], np.zeros(0), np.zeros(0))[1].tolist() == [45]


def test_no_member_is_counted_twice_in_shares():
    data = built("homeownership", "table_3_2")
    assert (data["urban_local_hukou_share"] + data["rural_migrant_share"] <= 1).all()


def test_errors_from_p():
    cells = pd.DataFrame(
        {
            "estimate": [-0.798, 2.507, 0.4, 0.1],
            "std_error": [np.nan, np.nan, 0.2, np.nan],
            "p_value": ["0.049", "0.000", "", ""],
        }
    )
    errors = printed_errors(cells)
    # |B| / z(p); where p is rounded to zero, p < 0.0005 gives the largest error
    np.testing.assert_allclose(errors[:3], [0.798 / 1.9687, 2.507 / 3.4808, 0.2], rtol=1e-4)
    assert np.isnan(errors[3])


def test_gradient_of_the_laplace_likelihood():
    """Against differences of the Laplace likelihood itself, for a positive and a zero variance."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 12, 300), rng.integers(0, 7, 300)
    frame = pd.DataFrame({"y": rng.standard_normal(300), "x": rng.standard_normal(300), "a": a, "b": b})
    design = build_design(ModelSpec("y ~ x + (1 | a) + (1 | b)"), frame)
    y = rng.integers(0, 2, 300).astype(float)

    def likelihood(at: np.ndarray) -> float:
        z = np.hstack([np.eye(12)[a], np.eye(7)[b]]) * np.sqrt(np.repeat(at[2:], [12, 7]))

        def loss(v: np.ndarray) -> float:
            eta = design.x @ at[:2] + z @ v
            return float(np.logaddexp(0, eta).sum() - y @ eta + v @ v / 2)

        def slope(v: np.ndarray) -> np.ndarray:
            return z.T @ (1 / (1 + np.exp(-(design.x @ at[:2] + z @ v))) - y) + v

        v = optimize.minimize(loss, np.zeros(19), jac=slope, method="BFGS", options={"gtol": 1e-9}).x
        p = 1 / (1 + np.exp(-(design.x @ at[:2] + z @ v)))
        return -loss(v) - np.linalg.slogdet(z.T @ ((p * (1 - p))[:, None] * z) + np.eye(19))[1] / 2

    # at a variance of zero only forward differences exist; second order, like the central ones
    at, h = np.array([0.3, -0.4, 0.5, 0.0]), 1e-3
    central = [(likelihood(at + h * e) - likelihood(at - h * e)) / (2 * h) for e in np.eye(4)[:3]]
    edge = np.eye(4)[3] * h
    forward = (-3 * likelihood(at) + 4 * likelihood(at + edge) - likelihood(at + 2 * edge)) / (2 * h)
    score = Gradient.at(Truth(design, at[:2], at[2:]), y).score
    np.testing.assert_allclose(score, [*central, forward], rtol=1e-3, atol=1e-3)


def test_hukou_counts_are_the_printed_ones_scaled():
    counts = reconstruct(TRUST, "table_6", seed=1)["hukou"].value_counts()
    assert counts.to_dict() == {"urban_local": 1037, "rural_migrant": 157, "rural_local": 127, "urban_migrant": 85}


def test_errors_of_the_fit_are_those_of_the_variances():
    data = reconstruct(TRUST, "table_6", seed=1)
    _, errors, _ = refit(build_design(TRUST.model("table_6"), data))
    expected = standard_errors(TRUST, "table_6", seed=1)["implied"]
    np.testing.assert_allclose(errors, expected[errors.index], rtol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_printed_errors_of_housing_types_are_too_small_for_the_variance_between(seed: int):
    """With 35 neighbourhoods and a between variance of 0.250 no two types can differ by an error below 0.177."""
    errors = standard_errors(TRUST, "table_6", seed=seed)
    types = errors[errors.index.str.startswith("neighbourhood_type")]
    best_possible = np.sqrt(0.250 * (1 / 16 + 1 / 16))  # 16 and 16 neighbourhoods, one for each of the other three
    assert (types["implied"] > best_possible).all()
    assert (types["printed"].nsmallest(2) < best_possible).all()


def test_printed_answers_and_variances_contradict_each_other():
    spread = answer_spread(TRUST, "table_6")
    assert spread["variance"] == pytest.approx(0.672, abs=0.001)
    assert spread["components"] == pytest.approx(0.873)
    z = spread["zero_share"]
    assert (1 - z) * spread["variance"] + z * (1 - z) * spread["mean"] ** 2 == pytest.approx(0.873)
    account = reconstruct(TRUST, "table_6", seed=1).attrs["reconstruction"]["not_honoured"]
    assert any("cannot both describe" in line for line in account)


def test_unprinted_model_names_the_printed_ones():
    with pytest.raises(NotFound, match="null is not printed.*printed are table_6"):
        reconstruct(TRUST, "null")


def test_unknown_model_names_the_closest():
    with pytest.raises(NotFound, match="closest: 'table_6'"):
        reconstruct(TRUST, "tabel_6")


def test_study_without_population():
    with pytest.raises(BayesmigError, match="describes no population; give Study"):
        reconstruct(dataclasses.replace(TRUST, population=None), "table_6")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": Weights("w")}, "it is weighted"),
        ({"formula": TRUST.model("varying_hukou").formula}, "it has varying slopes"),
        ({"family": "poisson", "link": ""}, r"its family is poisson \(log\); supported are gaussian \(identity\)"),
        ({"family": "bernoulli", "link": "probit"}, r"its family is bernoulli \(probit\)"),
    ],
)
def test_models_that_cannot_be_met(change: dict[str, object], message: str):
    spec = dataclasses.replace(TRUST.model("table_6"), **change)
    with pytest.raises(BayesmigError, match=message):
        reconstruct(dataclasses.replace(TRUST, models={"table_6": spec}), "table_6")


def test_model_and_table_with_different_terms():
    spec = TRUST.model("table_6").with_terms("- hukou:age")
    with pytest.raises(BayesmigError, match=r"printed but not in the model hukou\[rural_local\]:age"):
        reconstruct(dataclasses.replace(TRUST, models={"table_6": spec}), "table_6")


def test_population_outside_the_codebook():
    population = dataclasses.replace(TRUST.population, margins=(Margin("hukuo", {"a": 1, "b": 1}),))
    with pytest.raises(SpecificationError, match=r"'hukuo' is not in the codebook \(closest: 'hukou'\)"):
        reconstruct(dataclasses.replace(TRUST, population=population), "table_6")


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ((Margin("age | gender", mean=40),), "behind the bar belongs a level"),
        ((Margin("age | gender[female]", mean=40),), "depends on 'gender', which has no margin before it"),
        (
            (Margin("gender", {"male": 1, "female": 1}), Margin("age | gender[femal]", mean=40)),
            "for gender = 'femal', which nobody has .closest: 'female'.; there are female, male",
        ),
        (
            (Margin("gender", {"male": 1, "female": 1}), Margin("age | gender[female]", mean=40)),
            r"margins of 'age' must be about everybody once; they are about age \| gender\[female\]",
        ),
        (
            (
                Margin("household_size", {"1": 1, "2": 1}),
                Margin("education <= household_size", {"1": 1, "2": 3}),
            ),
            "the margin of education has more values of 2 than household_size allows",
        ),
        (
            (Margin("gender", {"male": 1, "female": 1}), Margin("area_poverty | gender[male]", mean=40)),
            "'area_poverty' is one value per neighbourhood, so its margin cannot depend on 'gender'",
        ),
        (
            (Margin("gender", {"male": 1, "female": 1}, {"male": 40, "female": 60}),),
            "the margin of 'gender' gives people of male, female: that is for one variable that describes groups",
        ),
        (
            (Margin("neighbourhood_type", {"work_unit": 1, "urban_villages": 1}, {"work_unit": 40}),),
            "for each of its levels, work_unit, urban_villages",
        ),
    ],
)
def test_margins_that_cannot_be_met(margins: tuple[Margin, ...], message: str):
    population = dataclasses.replace(TRUST.population, margins=margins, correlations={})
    with pytest.raises(SpecificationError, match=message):
        reconstruct(dataclasses.replace(TRUST, population=population), "table_6")


def test_margins_can_give_the_sizes_of_groups_and_what_describes_them():
    entries = (Variable("area"), Variable("type", levels={"old": "Old", "new": "New"}, group="area"), Variable("age"))
    margins = (
        Margin("area", {"south": 10, "north": 60, "east": 30}),
        Margin("type | area[south]", {"old": 1}),
        Margin("type | area[north]", {"new": 1}),
        Margin("type | area[east]", {"old": 1}),
        Margin("age", mean=41.3, sd=12.5, whole=True, clustering=0.5),
    )
    people = Population(n=200, groups={"area": 3}, margins=margins)
    own = Study("own", "Own", "", variables=entries, models={}, population=people)
    data, assumed = draw(own, people, np.random.default_rng(1))
    assert data["area"].value_counts().to_dict() == {"south": 20, "north": 120, "east": 60}
    assert data.groupby("area")["type"].first().to_dict() == {"south": "old", "north": "new", "east": "old"}
    # a printed mean and sd without a range are both met: to a tenth of a year, as ages are whole
    assert data["age"].mean() == pytest.approx(41.3, abs=0.05)
    assert data["age"].std() == pytest.approx(12.5, abs=0.05)
    assert assumed == ["age: 50 % of its latent variance lies between groups"]
    between = data.groupby("area")["age"].mean()
    assert np.ptp(between) > 1  # half of the latent variance lies between three areas


def small_study(folder: Path, formula: str, estimator: str, groups: dict[str, int]) -> Study:
    """A study with a printed table of its own, of any number of grouping factors."""
    tables = folder / "published" / "small"
    tables.mkdir(parents=True)
    head = "table,model,outcome,term,level,reference,estimate,std_error,p_value,p_lower,p_upper,odds_ratio,stars\n"
    rows = [("intercept", "", "1.50"), ("age", "", "-0.20"), ("sex", "female", "0.35")]
    lines = [f"T,m,y,{term},{level},,{estimate},0.1,,,,," for term, level, estimate in rows]
    (tables / "coefficients.csv").write_text(head + "\n".join(lines) + "\n")
    components = ["T,m,,within_variance,0.80,"] + [f"T,m,{group},between_variance,0.30," for group in groups]
    (tables / "variance_components.csv").write_text(
        "table,model,group,quantity,estimate,std_error\n" + "\n".join(components) + "\n"
    )
    return Study(
        name="small",
        title="Small",
        citation="",
        variables=(Variable("y"), Variable("age"), Variable("sex", levels={"male": "Man", "female": "Woman"})),
        models={"m": ModelSpec(formula, estimator=estimator, printed=("T", "m"), standardise={"age": "person"})},
        population=Population(
            n=600,
            groups=groups,
            margins=(Margin("age", assumed=True, mean=40, sd=10), Margin("sex", {"male": 1, "female": 1})),
            correlations={("age", "sex"): Range(0.1, 0.3)},
        ),
        folder=folder,
    )


@pytest.mark.parametrize("estimator", ["ml", "reml"])
@pytest.mark.parametrize(
    ("varying", "groups"),
    [
        ("", {}),
        (" + (1 | a)", {"a": 30}),
        (" + (1 | a) + (1 | b)", {"a": 60, "b": 12}),
        (" + (1 | a) + (1 | b)", {"a": 50, "b": 21}),
    ],
    ids=["regression", "one factor", "nested", "crossed"],
)
def test_any_number_of_grouping_factors(tmp_path: Path, varying: str, groups: dict[str, int], estimator: str):
    found = small_study(tmp_path, f"y ~ age + sex{varying}", estimator, groups)
    beta, _, variances = refit(build_design(found.model("m"), reconstruct(found, "m", seed=4)))
    np.testing.assert_allclose(beta[["intercept", "age", "sex[female]"]], [1.5, -0.2, 0.35], atol=1e-4)
    np.testing.assert_allclose(variances, [0.8, *[0.3] * len(groups)], atol=1e-4)


def test_missing_variance_is_named(tmp_path: Path):
    found = small_study(tmp_path, "y ~ age + sex + (1 | a)", "ml", {"a": 30})
    (tmp_path / "published" / "small" / "variance_components.csv").write_text(
        "table,model,group,quantity,estimate,std_error\nT,m,,within_variance,0.80,\n"
    )
    with pytest.raises(BayesmigError, match="no variance is printed for tau_a; printed are sigma"):
        reconstruct(found, "m")


def small_binary_study(folder: Path, intercept: str = "", shares: bool = False, varying: str = "") -> Study:
    """A study of a binary outcome, with an intercept or with shares of ones by sex."""
    groups = {name: count for name, count in (("a", 40), ("b", 8)) if f"| {name})" in varying}
    found = small_study(folder, f"y ~ age + sex{varying}", "ml", groups)
    path = folder / "published" / "small" / "coefficients.csv"
    path.write_text(path.read_text().replace("T,m,y,intercept,,,1.50,0.1,,,,,\n", intercept))
    if shares:
        (folder / "published" / "small" / "descriptives.csv").write_text(
            "table,group,variable,level,statistic,value\nT,male,y,yes,percent,40.0\nT,female,y,yes,percent,47.0\n"
        )
    models = {"m": dataclasses.replace(found.models["m"], family="bernoulli", link="", standardise={"age": "person"})}
    return dataclasses.replace(found, models=models)


@pytest.mark.parametrize("varying", ["", " + (1 | a)", " + (1 | a) + (1 | b)"])
@pytest.mark.parametrize("intercept", ["T,m,y,intercept,,,-0.40,0.1,,,,,\n", ""], ids=["intercept", "shares"])
def test_binary_outcomes_with_any_number_of_grouping_factors(tmp_path: Path, intercept: str, varying: str):
    found = small_binary_study(tmp_path, intercept, shares=not intercept, varying=varying)
    data = reconstruct(found, "m", seed=2)
    result = estimate(found.model("m"), data)["estimate"]
    cells = printed_cells(found, "m")
    away = abs(result["beta"].sel(term=list(cells.index)) - cells["estimate"].to_numpy())
    assert float((away / result["beta_se"].sel(term=list(cells.index))).max()) < 0.2
    if varying:
        assert float(result["tau_a"].squeeze()) ** 2 == pytest.approx(0.3, abs=0.03)
    if not intercept:
        assert data.groupby("sex")["y"].mean().round(2).to_dict() == {"male": 0.4, "female": 0.47}


def test_binary_outcomes_without_intercept_or_shares(tmp_path: Path):
    with pytest.raises(BayesmigError, match="prints neither an intercept nor shares of the outcome"):
        reconstruct(small_binary_study(tmp_path), "m")


def test_shares_that_contradict_the_coefficients(tmp_path: Path):
    found = small_binary_study(tmp_path, shares=True)
    path = tmp_path / "published" / "small" / "descriptives.csv"
    path.write_text(path.read_text().replace("male,y,yes,percent,40.0", "male,y,yes,percent,2.0"))
    with pytest.raises(InferenceFailure, match="no answers of 0 and 1 came nearer to the printed table"):
        reconstruct(found, "m")
