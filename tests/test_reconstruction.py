"""Reconstructed data return the printed table, and say what they are."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from bayesmig.catalogue import studies, study
from bayesmig.design import Design
from bayesmig.encoding import PROVENANCE_COLUMN, build_design
from bayesmig.errors import BayesmigError, NotFound, SpecificationError
from bayesmig.gaussian import MixedModelEquations
from bayesmig.inference import estimate
from bayesmig.literature import printed_cells, printed_variances
from bayesmig.reconstruction import answer_spread, reconstruct, standard_errors
from bayesmig.spec import Margin, ModelSpec, Population, Range, Study, Variable, Weights

SEEDS = range(1, 6)
STUDIES = {name: study(name) for name in studies()}
PRINTED = [
    (found, key)
    for found in STUDIES.values()
    for key, spec in found.models.items()
    if spec.printed and found.population
]
each_printed = pytest.mark.parametrize(("found", "key"), PRINTED, ids=[f"{s.name}-{key}" for s, key in PRINTED])
TRUST = STUDIES["social_trust"]


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
@each_printed
def test_fit_returns_the_printed_table(found: Study, key: str, seed: int):
    beta, _, variances = refit(build_design(found.model(key), reconstruct(found, key, seed=seed)))
    cells, printed = printed_cells(found, key), printed_variances(found, key)
    # a fifth of the last printed digit: the refit's own tolerance, far inside rounding
    assert ((beta[cells.index] - cells["estimate"]).abs() < 0.2 * cells["half_unit"]).all()
    assert ((variances[printed.index] - printed["variance"]).abs() < 0.2 * printed["half_unit"]).all()


@each_printed
def test_estimate_returns_the_printed_table(found: Study, key: str):
    result = estimate(found.model(key), reconstruct(found, key, seed=1))["estimate"]
    cells, printed = printed_cells(found, key), printed_variances(found, key)
    # ten times finer than print: what the estimator's own convergence leaves
    np.testing.assert_allclose(result["beta"].sel(term=list(cells.index)), cells["estimate"], atol=5e-5)
    for name, row in printed.iterrows():
        assert float(result[str(name)].squeeze()) ** 2 == pytest.approx(row["variance"], abs=5e-5)


@each_printed
def test_sample_is_as_printed(found: Study, key: str):
    data, population = reconstruct(found, key, seed=1), found.population
    assert population is not None
    assert len(data) == population.n
    for group, count in population.groups.items():
        sizes = data[group].value_counts()
        assert len(sizes) == count
        assert sizes.max() - sizes.min() <= 1
    for margin in population.margins:
        if margin.counts and not margin.assumed:
            met = data[margin.variable].astype(str).value_counts()[list(margin.counts)].to_numpy()
            exact = np.array([*margin.counts.values()]) / sum(margin.counts.values()) * population.n
            assert abs(met - exact).max() < 1


@each_printed
def test_data_follow_the_codebook(found: Study, key: str):
    data = reconstruct(found, key, seed=1)
    for variable in found.variables:
        assert variable.name in data
        if variable.is_categorical:
            assert set(data[variable.name]) == set(variable.levels)
        if variable.group:
            assert (data.groupby(variable.group)[variable.name].nunique() == 1).all()


@each_printed
def test_seeds(found: Study, key: str):
    first, again, other = (reconstruct(found, key, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    for name in first.columns.difference([*(found.population.groups if found.population else ())]):
        assert not first[name].equals(other[name])
    assert first.attrs["reconstruction"]["assumed"] != other.attrs["reconstruction"]["assumed"]


@each_printed
def test_provenance_survives_csv(found: Study, key: str, tmp_path: Path):
    data = reconstruct(found, key, seed=3)
    data.to_csv(tmp_path / "data.csv", index=False)
    back = pd.read_csv(tmp_path / "data.csv")
    assert set(back[PROVENANCE_COLUMN]) == {f"reconstructed from {found.name} {key}, seed 3"}
    design, original = build_design(found.model(key), back), build_design(found.model(key), data)
    assert design.provenance == original.provenance
    np.testing.assert_allclose(design.x, original.x, atol=1e-12)


@each_printed
def test_account_is_plain_text_and_complete(found: Study, key: str):
    account = reconstruct(found, key, seed=1).attrs["reconstruction"]
    assert set(account) == {"honoured", "not_honoured", "assumed"}
    assert json.loads(json.dumps(account)) == account
    assert found.population is not None
    for margin in found.population.margins:
        assert any(line.startswith(margin.variable) for line in account["honoured"] + account["assumed"])


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
