"""What every study file is: values only, complete, and in step with its printed tables."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesmig.data.encoding import build_design
from bayesmig.errors import SpecificationError
from bayesmig.printed.literature import cells_of, tables_of
from bayesmig.replication.reconstruction import reconstruct
from bayesmig.specification.blocks import INTEGRATION, integration_index
from bayesmig.specification.catalogue import studies, study
from bayesmig.specification.model import ModelSpec, Study

ALLOWED = {"bayesmig.specification.model", "bayesmig.specification.priors", "bayesmig.specification.blocks"}
STUDIES = {name: study(name) for name in studies()}
MODELS = [pytest.param(found, key, id=f"{name}-{key}") for name, found in STUDIES.items() for key in found.models]
PRINTED = [
    pytest.param(found, key, id=f"{name}-{key}")
    for name, found in STUDIES.items()
    for key, spec in found.models.items()
    if spec.printed and found.population
]
each_study = pytest.mark.parametrize("found", STUDIES.values(), ids=STUDIES)
each_model = pytest.mark.parametrize(("found", "key"), MODELS)
each_printed = pytest.mark.parametrize(("found", "key"), PRINTED)


@cache
def built(name: str, key: str) -> pd.DataFrame:
    return reconstruct(STUDIES[name], key, seed=1)


def tree_of(found: Study) -> ast.Module:
    assert found.folder is not None
    return ast.parse((found.folder / f"{found.name}.py").read_text())


@each_study
def test_file_is_assignments_only(found: Study):
    docstring, *rest = tree_of(found).body
    assert isinstance(docstring, ast.Expr)
    assert {type(node) for node in rest} <= {ast.ImportFrom, ast.Assign, ast.AnnAssign}


@each_study
def test_file_computes_nothing_of_its_own(found: Study):
    logic = (ast.Lambda, ast.IfExp, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp, ast.NamedExpr)
    assert not [node.lineno for node in ast.walk(tree_of(found)) if isinstance(node, logic)]


@each_study
def test_file_imports_specifications_only(found: Study):
    imports = [node for node in ast.walk(tree_of(found)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert {node.module for node in imports if isinstance(node, ast.ImportFrom)} <= ALLOWED
    assert not [node for node in imports if isinstance(node, ast.Import)]


@each_study
def test_says_what_a_reader_needs(found: Study):
    assert found.title and found.citation and found.data_statement
    assert Path(found.folder or "").is_dir()


@each_study
def test_shows_itself(found: Study):
    text, page = str(found), found._repr_html_()
    for variable in found.variables:
        assert variable.name in text and variable.name in page
    for spec in found.models.values():
        assert spec.formula in text


@each_study
def test_focus_is_an_interaction_of_the_codebook(found: Study):
    if found.focus:
        assert set(found.focus) <= {variable.name for variable in found.variables}


@each_model
def test_model_survives_json(found: Study, key: str):
    spec = found.model(key)
    assert ModelSpec.from_json(spec.to_json()) == spec


@each_model
def test_model_says_why_of_every_prior(found: Study, key: str):
    spec = found.model(key)
    priors = spec.priors
    roles = {role for factor in spec.factors for role in factor.roles}
    if not spec.factors:
        roles = {"cut"} if "cut" in spec.distribution.parameters else {"intercept", "sigma"}
    if "|" in spec.formula:
        roles |= {"tau", "rho"}
    if len(spec.factors) > 1:
        roles.add("rho")
    used = [priors.slopes, *(getattr(priors, role) for role in sorted(roles)), *priors.specific.values()]
    assert all(prior.why.endswith(".") for prior in used)


@each_model
def test_model_shows_itself(found: Study, key: str):
    spec = found.model(key)
    assert spec.formula in str(spec)
    assert "<table>" in spec._repr_html_()


@each_printed
def test_printed_terms_are_the_terms_of_the_design(found: Study, key: str):
    design = build_design(found.model(key), built(found.name, key))
    rows, (table, name) = tables_of(found)["coefficients"], found.model(key).printed
    # cells that cannot be read have a row as well; an intercept is often not printed
    printed = cells_of(rows[(rows["table"] == table) & (rows["model"] == name)])
    assert set(printed.index) | {"intercept"} == set(design.terms) | {"intercept"}


@each_printed
def test_every_model_of_the_study_accepts_the_reconstructed_data(found: Study, key: str):
    data = built(found.name, key)
    for name, spec in found.models.items():
        if name in ("modes", "towns_differ") and found.population_of(key) != found.population:
            continue  # a part of the people has one mode only
        ordered = spec.distribution.outcome == "ordered"  # such a model has whole answers of its own
        design = build_design(spec, built(found.name, name) if ordered else data)
        assert design.n == len(data)
        assert design.provenance.startswith("reconstructed")
        assert design.priors.slopes is not None


PAIRED = [(STUDIES[name], key) for name in ("cbo_spillover", "community_support") for key in STUDIES[name].models]
PAIRED = [pytest.param(found, key, id=f"{found.name}-{key}") for found, key in PAIRED if found.models[key].printed]


def test_eighteen_printed_models_have_counterparts():
    assert len(PAIRED) == 18


@pytest.mark.parametrize(("found", "key"), PAIRED)
def test_counterparts_change_one_thing(found: Study, key: str):
    printed, people = found.model(key), found.population_of(key)
    grouped, latent = found.model(f"{key}_multilevel"), found.model(f"{key}_latent")
    assert grouped.formula.startswith(f"{printed.formula} + (1 | ") and grouped.priors == printed.priors
    outcome, predictors = (part.strip() for part in printed.formula.split("~"))
    assert latent.formula.split("~")[1].strip() == predictors
    assert set(latent.standardise) == set(printed.standardise) - {outcome}
    assert all(found.population_of(f"{key}_{suffix}") is people for suffix in ("multilevel", "latent"))
    design = build_design(latent, built(found.name, key))
    names = [factor.name for factor in latent.factors]
    parts = ["psychological_identity", "economic_integration", "communicative_integration"]
    assert names == (parts if outcome == "social_integration" else [outcome])
    terms = build_design(printed, built(found.name, key)).terms
    several = [f"{name} ~ {term}" for name in names for term in terms if term != "intercept"]
    assert list(design.terms) == (several if len(names) > 1 else [term for term in terms if term != "intercept"])


@pytest.mark.parametrize("name", ["cbo_spillover", "community_support"])
def test_factors_have_the_items_of_their_indices(name):
    found = STUDIES[name]
    asked = tables_of(found)["questionnaire"].groupby("dimension")["item"].agg(set)
    if "loadings" in tables_of(found):  # there items belong to the component on which they load most
        grid = tables_of(found)["loadings"].query("component != 'communality'")
        grid = grid.assign(loading=pd.to_numeric(grid["loading"], errors="coerce")).dropna(subset="loading")
        asked = grid.loc[grid.groupby("item")["loading"].idxmax()].groupby("component")["item"].agg(set)
    factors = {factor.name: factor for spec in found.models.values() for factor in spec.factors}
    assert len(factors) == 4
    for factor in factors.values():
        assert set(factor.items) == asked[factor.name]
        assert all(any(entry.name == item for entry in found.variables) for item in factor.items)


def test_social_trust_hukou_effects_vary_by_neighbourhood():
    found = STUDIES["social_trust"]
    data = built("social_trust", "table_6")
    (group,) = build_design(found.model("varying_hukou"), data).groups
    hukou = ("hukou[rural_local]", "hukou[urban_migrant]", "hukou[rural_migrant]")
    assert group.effects == ("intercept", *hukou)
    assert len(group.pairs) == 6


def test_homeownership_shares_a_narrower_prior_among_the_insurances():
    found = STUDIES["homeownership"]
    data = built("homeownership", "table_3_2")
    main, shared = (build_design(found.model(key), data) for key in ("table_3_2", "shared_insurance"))
    assert main.terms == shared.terms
    sds = [{prior.sd for prior in design.priors.slopes[:6]} for design in (main, shared)]
    assert main.terms[1] == "urban_pension_members" and main.terms[6] == "housing_provident_fund_members"
    assert sds == [{0.5}, {0.2}]
    assert main.priors.slopes[6:] == shared.priors.slopes[6:]


def test_homeownership_models_differ_as_the_text_says():
    found = STUDIES["homeownership"]
    data = built("homeownership", "table_3_2")
    main, single, employment = (
        build_design(found.model(key), data) for key in ("table_3_2", "single_level", "employment_only")
    )
    assert len(main.terms) == 27 and main.terms == single.terms
    assert [group.name for group in main.groups] == ["province", "city"] and not single.groups
    assert len(employment.terms) == 7 and set(employment.terms) < set(main.terms)
    assert main.categories == ("0", "1") and set(main.y) == {0, 1}


def test_both_papers_of_resettlement_use_the_four_dimensions():
    for name in ("cbo_spillover", "community_support"):
        labels = " ".join(variable.label for variable in STUDIES[name].variables)
        assert all(f"({dimension})" in labels for dimension in INTEGRATION)
    with pytest.raises(
        SpecificationError, match=r"'societal' is no dimension of integration \(closest: 'social'\); there"
    ):
        integration_index("societal", "index", "Index", "sd")


def test_community_support_has_models_of_a_part_of_its_sample():
    found = STUDIES["community_support"]
    assert found.population_of("model_5").n == 323 and found.population_of("model_6").n == 257
    assert found.population_of("model_10_multilevel") is found.population_of("model_6")
    data = built("community_support", "model_9")
    design = build_design(found.model("model_9_multilevel"), data)
    (sites,) = design.groups
    assert sites.levels == ("C", "D", "E") and list(sites.sizes) == [53, 72, 132]
    # every column in its own sd, as the printed coefficients are
    np.testing.assert_allclose(design.x[:, 1:].std(axis=0, ddof=1), 1)
    assert design.y.std(ddof=1) == pytest.approx(1)


def test_cbo_spillover_models_come_in_pairs():
    found = STUDIES["cbo_spillover"]
    data = built("cbo_spillover", "model_1")
    for short, long in ((1, 2), (3, 4), (5, 6), (7, 8)):
        designs = [build_design(found.model(f"model_{key}"), data) for key in (short, long)]
        added = set(designs[1].terms) - set(designs[0].terms)
        assert added == {
            "cbo_participation[participant]",
            "cbo_existence[nonparticipant_with_cbo_in_community]",
        }
        (group,) = build_design(found.model(f"model_{long}_multilevel"), data).groups
        assert group.name == "community" and len(group.levels) == 4
