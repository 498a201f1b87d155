"""What a printed coefficient is worth, against closed forms, simulations and published examples."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.contract import schema
from bayesmig.printed import literature
from bayesmig.printed.evidence import credibility, significance
from bayesmig.printed.evidence.cells import design_bounds, evidence_of
from bayesmig.printed.evidence.credibility import prior_sensitivity, tipping_sd
from bayesmig.printed.evidence.posterior import marginal_of
from bayesmig.printed.evidence.significance import design_errors, errors_of_design
from bayesmig.printed.evidence.sums import combine_printed
from bayesmig.printed.evidence.tables import FLAT, PrintedModel
from bayesmig.results.refits import agreement

PRINTED = [(name, key) for name in bm.studies() for key, spec in bm.study(name).models.items() if spec.printed]
FOLDERS = sorted(
    path.parent for path in (Path(bm.study("social_trust").folder) / "published").glob("*/coefficients.csv")
)
TRUST = bm.study("social_trust")
SLOPE = {"area_poverty": 1.0, "hukou[rural_migrant]:area_poverty": 1.0}
LEGEND = ((0.0, 0.01), (0.01, 0.05), (0.05, 0.1), (0.1, 1.0))


def every_model():
    """Every model of every printed folder, whether a study file uses it or not."""
    for folder in FOLDERS:
        rows = literature.read_folder(folder)["coefficients"]
        rows = rows[rows["estimate"] != ""]
        for table, model in dict.fromkeys(zip(rows["table"], rows["model"], strict=True)):
            yield pytest.param(folder, f"{table}/{model}", id=f"{folder.name}-{table}-{model}")


def cell(estimate, half=1e-9, **printed):
    """One row of printed cells; what is not given is not printed."""
    blank = {"std_error": np.nan, "se_half_unit": np.nan, "p_value": "", "p_lower": np.nan, "p_upper": np.nan}
    return pd.Series({"estimate": estimate, "half_unit": half} | blank | printed, name="term")


def marginal(row, prior=None, df=None, design=None):
    return marginal_of(evidence_of(row, df, design), prior or pr.Flat())


def folder(path, rows, **tables):
    path.mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(path / "coefficients.csv", index=False)
    for name, table in tables.items():
        pd.DataFrame(table).to_csv(path / f"{name}.csv", index=False)
    return path


# ---- posteriors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "key"), PRINTED)
def test_posterior_from_b_and_se_is_normal_times_normal(name, key):
    study = bm.study(name)
    prior = pr.PriorSet(slopes=pr.Normal(0.1, 0.2), tau=pr.HalfNormal(1), sigma=pr.HalfNormal(2))
    cells = literature.printed_cells(study, key)
    tree = bm.published_posterior(study, key, prior=prior, draws=40_000, seed=1)
    table, kinds = bm.coefficients(tree), json.loads(tree.attrs["likelihood"])
    for term, row in cells[cells["std_error"].notna()].iterrows():
        if row["se_half_unit"] > 0.1 * row["std_error"]:
            continue  # an SE printed with one digit is no closed form
        precision = row["std_error"] ** -2 + (0.2**-2 if term != "intercept" else 0)
        mean = (row["estimate"] * row["std_error"] ** -2 + (0.1 / 0.2**2 if term != "intercept" else 0)) / precision
        sd = precision**-0.5
        # Monte Carlo error of 40,000 draws is sd / 200; rounding of B and SE adds at most half a printed unit
        assert table.loc[term, "estimate"] == pytest.approx(mean, abs=0.025 * sd + 0.1 * row["half_unit"]), term
        assert table.loc[term, "sd"] == pytest.approx(sd, rel=0.03, abs=row["half_unit"]), term
        assert kinds[term] == "B and SE"


@pytest.mark.parametrize(("source", "model"), list(every_model()))
def test_every_printed_coefficient_has_a_finite_posterior(source, model):
    tree = bm.published_posterior(source, model, draws=400, seed=1)
    table, name = model.split("/")
    cells = literature.cells_of(literature.rows_of(literature.read_folder(source), "coefficients", table, name))
    assert list(tree["posterior"]["term"].values) == list(cells.index)
    assert np.isfinite(tree["posterior"]["beta"]).all()
    # the posterior surrounds the printed number: the middle is within one posterior sd of it
    summary = bm.coefficients(tree)
    assert (abs(summary["estimate"] - cells["estimate"]) < 0.5 * summary["sd"] + cells["half_unit"]).all()
    assert set(json.loads(tree.attrs["likelihood"]).values()) <= {"B and SE", "B and p", "B and stars"}


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 0.05), (0.1, 0.2), (1.0, 0.3), (0.0, 100.0)])
@pytest.mark.parametrize(("b", "error"), [(-0.403, 0.094), (0.001, 0.051), (12.0, 3.0)])
def test_the_density_of_b_and_se_is_normal_times_normal(b, error, mean, sd):
    found = marginal(cell(b, std_error=error, se_half_unit=1e-9), pr.Normal(mean, sd))
    precision = sd**-2 + error**-2
    centre, spread = (mean / sd**2 + b / error**2) / precision, precision**-0.5
    # no draws: the error of the trapezoids on the grid, which also has to hold a prior far from the estimate
    assert found.mean == pytest.approx(centre, abs=1e-4 * spread)
    assert found.sd == pytest.approx(spread, rel=1e-3)
    for p in (0.025, 0.5, 0.975):
        assert found.quantile(p) == pytest.approx(stats.norm.ppf(p, centre, spread), abs=1e-3 * spread)


def test_seeds_repeat_and_chains_divide():
    one, two = (bm.published_posterior(TRUST, "table_6", draws=900, chains=3, seed=4) for _ in range(2))
    assert one["posterior"]["beta"].sizes == {"chain": 3, "draw": 300, "term": 39}
    assert one["posterior"].to_dataset().identical(two["posterior"].to_dataset())
    assert one.attrs["seed"] == "4"


def test_a_coarsely_rounded_estimate_spreads_over_its_interval():
    found = marginal(cell(0.2, 0.05, std_error=0.01, se_half_unit=0.0005))
    # a uniform of width 0.1 convolved with a normal of sd 0.01
    assert found.sd == pytest.approx(np.sqrt(0.1**2 / 12 + 0.01**2), rel=0.01)


def test_a_standard_error_printed_as_zero_is_below_half_a_digit():
    found = marginal(cell(0.065, 0.0005, std_error=0.0, se_half_unit=0.0005))
    assert 0 < found.sd < 0.0006


@pytest.mark.parametrize("prior", [pr.Flat(), pr.Normal(0, 0.1), pr.Normal(0.5, 0.02)])
@pytest.mark.parametrize("kind", ["stars", "p"])
def test_p_and_stars_converge_to_b_and_se(prior, kind):
    p = 0.031
    z = stats.norm.isf(p / 2)
    closed = marginal(cell(0.2, std_error=0.2 / z, se_half_unit=1e-9), prior)
    gaps = []
    for digits in (2, 3, 4, 7):
        width = 0.5 * 10.0**-digits
        printed = {"p_value": f"{p:.{digits}f}"} if kind == "p" else {"p_lower": p - width, "p_upper": p + width}
        found = marginal(cell(0.2, **printed), prior)
        gaps.append(abs(found.mean - closed.mean) + abs(found.sd - closed.sd))
    assert gaps[-1] < 1e-5
    # every further digit of p brings it nearer, up to the grid's own error
    assert (np.diff(gaps) < 1e-6).all(), gaps


def test_p_gives_the_standard_error_within_its_rounding():
    found = evidence_of(cell(0.370, 0.0005, p_value="0.011"), None, None)
    assert found.error.min() == pytest.approx(0.3695 / stats.norm.isf(0.0105 / 2), rel=0.002)
    assert found.error.max() == pytest.approx(0.3705 / stats.norm.isf(0.0115 / 2), rel=0.002)
    assert found.closed_by == "print"


@pytest.mark.parametrize(("text", "largest"), [("0.000", 0.0005), ("<0.001", 0.001), ("< 0.001", 0.001)])
def test_p_of_zero_is_an_upper_bound(text, largest):
    found = evidence_of(cell(0.5, p_value=text), None, None)
    assert found.error.max() == pytest.approx(0.5 / stats.norm.isf(largest / 2), rel=0.05)
    assert found.error.min() > 0.5 / 8
    assert found.closed_by == "default"
    assert marginal(cell(0.5, p_value=text)).below(0) < 0.001


def test_an_unstarred_coefficient_is_closed_by_default_or_by_design():
    row = cell(0.03, 0.0005, p_lower=0.1, p_upper=1.0)
    alone, designed = (evidence_of(row, None, bounds) for bounds in (None, (0.04, 0.12)))
    assert (alone.closed_by, designed.closed_by) == ("default", "design")
    assert 0.03 / 1.645 < alone.error.min() < 0.03 / 1.645 * 1.2
    assert 0.04 <= designed.error.min() < designed.error.max() <= 0.12
    contradictory = evidence_of(cell(0.5, p_lower=0.1, p_upper=1.0), None, (0.04, 0.12))
    assert contradictory.closed_by == "default"
    assert contradictory.error.min() > 0.3


def test_a_coefficient_printed_as_zero_has_a_posterior():
    for printed in ({"p_value": "0.985"}, {"p_lower": 0.1, "p_upper": 1.0}, {"p_value": "1.000"}):
        found = marginal(cell(0.0, 0.0005, **printed))
        assert np.isfinite([found.mean, found.sd]).all()
        assert found.below(0) == pytest.approx(0.5, abs=0.01)


def test_design_bounds_are_those_of_least_squares():
    """SE of standardised coefficients in simulated regressions lie within the bounds, equal to them at their VIF."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        n, k = 120, 4
        x = rng.multivariate_normal(np.zeros(k), 0.5 + 0.5 * np.eye(k), n)
        y = x @ rng.normal(size=k) + rng.normal(size=n)
        x, y = ((a - a.mean(0)) / a.std(0, ddof=1) for a in (x, y))
        inverse = np.linalg.inv(x.T @ x)
        residual = y - x @ (inverse @ x.T @ y)
        variance = residual @ residual / (n - k - 1)
        cells = pd.DataFrame(index=[f"x{j}" for j in range(k)])
        tables = {"design": pd.DataFrame({"fact": ["coefficients_are"], "value": ["standardised"]})}
        facts = {"n": n, "r2": 1 - residual @ residual / (n - 1)}
        model = PrintedModel("made", bm.ModelSpec("y ~ x"), cells, pd.DataFrame(index=[]), facts, tables, True)
        bounds = design_bounds(model)
        vif = np.diag(inverse) * (n - 1)
        for j in range(k):
            low, high = bounds[f"x{j}"]
            assert np.sqrt(variance * inverse[j, j]) == pytest.approx(low * np.sqrt(vif[j]), rel=1e-9)
            assert high == pytest.approx(low * np.sqrt(10))


def test_small_samples_have_t_tails(tmp_path):
    rows = {"model": ["M"] * 3, "term": ["intercept", "a", "b"], "estimate": ["1.000", "0.500", "−0.200"]}
    rows |= {"std_error": ["0.100", "0.200", ""], "p_value": ["", "", "0.040"]}
    source = folder(tmp_path / "small", rows, fit_statistics={"model": ["M"], "statistic": ["n"], "value": [12]})
    tree = bm.published_posterior(source, "M", draws=40_000, seed=1)
    assert tree.attrs["t_df"] == 9
    table = bm.coefficients(tree)
    reach = stats.t.ppf(0.975, 9)
    assert table.loc["a", "eti95_upper"] == pytest.approx(0.5 + reach * 0.2, rel=0.02)
    # the t of the printed p gives the SE, and with it the interval
    assert table.loc["b", "eti95_lower"] == pytest.approx(-0.2 - reach * 0.2 / stats.t.isf(0.02, 9), rel=0.02)


def test_large_samples_and_logistic_models_have_normal_tails():
    assert bm.published_posterior(TRUST, "table_6", draws=40, seed=1).attrs["t_df"] == "normal"


def test_an_estimate_at_the_boundary_is_left_out():
    source = next(path for path in FOLDERS if path.name == "homeownership")
    tree = bm.published_posterior(source, "main", draws=400, seed=1)
    assert json.loads(tree.attrs["left_out"]) == ["tau_province"]
    assert tree["posterior"]["tau_city"].mean() == pytest.approx(np.sqrt(0.529), rel=0.1)


def test_a_folder_and_its_study_agree():
    source = next(path for path in FOLDERS if path.name == "social_trust")
    one = bm.published_posterior(source, "main", draws=400, seed=1)
    two = bm.published_posterior(TRUST, "table_6", prior=FLAT, draws=400, seed=1)
    np.testing.assert_array_equal(one["posterior"]["beta"], two["posterior"]["beta"])


def test_attributes_say_what_it_rests_on():
    tree = bm.published_posterior(TRUST, "table_6", seed=1)
    assert tree.attrs["provenance"] == "printed table"
    assert "not printed" in tree.attrs["covariance"]
    assert tree.attrs["intercept_prior"] == "flat"
    assert json.loads(tree.attrs["standard_error"])["area_poverty"] == pytest.approx([0.094, 0.094], abs=0.0005)
    assert pr.PriorSet.from_dict(json.loads(tree.attrs["prior"])) == TRUST.models["table_6"].priors


# ---- coverage --------------------------------------------------------------------------------------------------


def of_corpus(rng):
    return rng.normal() * rng.choice(credibility.CORPUS_SDS, p=credibility.CORPUS_WEIGHTS)


# true effects in standard errors
EFFECTS = {
    "as in the corpus of clinical trials": of_corpus,
    "normal with sd 3": lambda rng: rng.normal(0, 3),
    "normal with sd 1": lambda rng: rng.normal(),
    "all zero": lambda rng: 0.0,
}


def covered(rng, tables, printed, df=None, design=False, effect=of_corpus):
    """Whether flat-prior 95 % intervals hold the truth, and p, one simulated coefficient a row."""
    found = []
    for _ in range(tables):
        error = 0.05 * 10 ** rng.uniform(0, 0.5)
        truth = error * effect(rng)
        seen = error if df is None else error * np.sqrt(rng.chisquare(df) / df)
        estimate = round(rng.normal(truth, error), 3)
        p = 2 * (stats.norm if df is None else stats.t(df)).sf(abs(estimate) / seen)
        row = cell(estimate, 0.0005, **printed(p))
        below = marginal(row, df=df, design=(0.05, 0.05 * 10**0.5) if design else None).below(truth)
        found.append((0.025 <= below <= 0.975, p))
    return np.array(found).T


def as_stars(p):
    lower, upper = next(bounds for bounds in LEGEND if bounds[0] <= p <= bounds[1])
    return {"p_lower": lower, "p_upper": upper}


def as_p(p):
    return {"p_value": f"{p:.3f}"}


@pytest.mark.parametrize(
    ("printed", "df", "design", "tables"),
    [
        (as_stars, None, False, 500),
        (as_stars, None, True, 500),
        (as_p, None, False, 500),
        (as_p, 12, False, 150),
    ],
)
def test_intervals_cover_nominally_over_all_coefficients(printed, df, design, tables):
    # 3 standard errors of a share of 0.95; docs/evidence.md has the figures of 3,000 coefficients
    hits, _ = covered(np.random.default_rng(11), tables, printed, df, design)
    assert hits.mean() > 0.95 - 3 * np.sqrt(0.95 * 0.05 / tables)


PAGE = (Path(__file__).parents[1] / "docs" / "evidence.md").read_text(encoding="utf-8")
COLUMNS = [(as_stars, False), (as_stars, True), (as_p, False)]
FIGURES = 3000


@pytest.mark.slow
@pytest.mark.parametrize("effect", EFFECTS)
def test_the_page_shows_the_coverage_that_is_simulated(effect):
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| {effect} |")]
    shown = [float(text) for text in line.strip("|").split("|")[1:]]
    for (printed, design), figure in zip(COLUMNS, shown, strict=True):
        hits, p = covered(np.random.default_rng(11), FIGURES, printed, None, design, EFFECTS[effect])
        print(f"{effect}: {100 * hits.mean():.1f}, three stars alone {100 * hits[p < 0.01].mean():.1f}")
        # the same draws: a hit on the edge may fall to the other side on another processor
        assert 100 * hits.mean() == pytest.approx(figure, abs=0.1)


@pytest.mark.slow
def test_the_page_shows_the_coverage_of_small_samples():
    figures = [100 * covered(np.random.default_rng(11), FIGURES, printed, 12)[0].mean() for printed in (as_p, as_stars)]
    print(figures)
    text = f"With 12 degrees of freedom: {figures[0]:.1f} with p, {figures[1]:.1f} with stars."
    assert text in PAGE


# ---- sums ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [-0.95, -0.4, 0.0, 0.7])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (1.0, -2.0)])
def test_bounds_of_a_sum_hold_under_any_correlation(rho, weights):
    rng = np.random.default_rng(2)
    sds = np.array([0.094, 0.077])
    covariance = np.outer(sds, sds) * np.array([[1, rho], [rho, 1]])
    drawn = rng.multivariate_normal([-0.403, 0.215], covariance, 100_000) @ np.array(weights)
    table = combine_printed(TRUST, dict(zip(SLOPE, weights, strict=True)), model="table_6")
    assert table.loc["narrowest", "sd"] <= drawn.std() * 1.01
    assert drawn.std() <= table.loc["widest", "sd"] * 1.01
    assert table.loc["widest", "estimate"] == pytest.approx(drawn.mean(), abs=0.002)
    inside = (drawn > table.loc["widest", "ci95_lower"]) & (drawn < table.loc["widest", "ci95_upper"])
    assert inside.mean() >= 0.949
    assert table.loc["widest", "rho"] == np.sign(weights[1])


def test_bounds_of_three_terms_are_reached():
    terms = dict.fromkeys(["area_poverty", *list(SLOPE)[1:], "age"], 1.0)
    table = combine_printed(bm.published(TRUST, "table_6"), terms)
    assert table.loc["widest", "sd"] == pytest.approx(0.094 + 0.077 + 0.051)
    assert table.loc["narrowest", "sd"] == 0  # three contributions that can form a triangle can cancel
    assert np.isnan(table.loc["widest", "rho"])


def test_a_sum_borrows_the_correlation_of_a_fit():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(3, 1, 300), "g": np.where(rng.random(300) < 0.5, "a", "b")})
    data["y"] = data["x"] + rng.normal(size=300)
    fitted = bm.fit("y ~ x * g", data, seed=1)
    sums = {"x": 1.0, "g[b]:x": 1.0}
    printed = fitted["posterior"]["beta"].mean(("chain", "draw"))
    tree = literature.schema.stamped(
        {
            "published": printed.to_dataset(name="beta").assign(
                beta_se=fitted["posterior"]["beta"].std(("chain", "draw"))
            )
        },
        {},
    )
    terms = [term for term in printed["term"].values if term in ("x", "g[b]:x", "x:g[b]")]
    sums = dict.fromkeys(terms, 1.0)
    drawn = fitted["posterior"]["beta"].sel(term=terms).sum("term")
    table = combine_printed(tree, sums, fitted=fitted)
    assert table.loc["correlation of the fit", "sd"] == pytest.approx(float(drawn.std()), rel=1e-3)
    assert table.loc["correlation of the fit", "rho"] < 0
    assert table["rho_from"].tolist() == ["bound", "assumed", "bound", "own data"]


def test_a_simple_slope_takes_its_correlation_from_reconstructed_data():
    data = bm.reconstruct(TRUST, "table_6", seed=1)
    fitted = bm.fit(TRUST.model("table_6"), data, seed=1)
    table = combine_printed(TRUST, SLOPE, model="table_6", fitted=fitted)
    lent = table.loc["correlation of the fit"]
    assert lent["rho_from"] == "reconstructed from social_trust table_6, seed 1"
    assert table.loc["narrowest", "sd"] < lent["sd"] < table.loc["widest", "sd"]
    # the figures of the page; correlations of 4,000 draws have a Monte Carlo error of 0.016
    assert lent["rho"] == pytest.approx(-0.07, abs=0.05)
    assert lent[["ci95_lower", "ci95_upper"]].tolist() == pytest.approx([-0.42, 0.04], abs=0.01)


def test_a_sum_of_what_is_not_there_is_refused():
    with pytest.raises(bm.BayesmigError, match="no term 'poverty'.*closest: 'area_poverty'"):
        combine_printed(TRUST, {"poverty": 1}, model="table_6")
    with pytest.raises(bm.BayesmigError, match="needs model="):
        combine_printed(TRUST, SLOPE)
    tree = bm.published_posterior(TRUST, "table_6", draws=400, seed=1)
    with pytest.raises(bm.BayesmigError, match="no correlations to lend"):
        combine_printed(tree, SLOPE, fitted=tree)


def test_nested_models_are_one_piece_of_evidence():
    source = next(path for path in FOLDERS if path.name == "cbo_spillover")
    with pytest.raises(
        bm.BayesmigError, match="Model 5 and Model 6 are nested models of behaviour_adaptation.*287 cases"
    ):
        combine_printed(source, {"age": 1}, model=["Model 5", "Model 6"])
    with pytest.raises(bm.BayesmigError, match="one model and got Model 5, Model 7. Estimates from the same people"):
        combine_printed(source, {"age": 1}, model=["Model 5", "Model 7"])


# ---- sensitivity -----------------------------------------------------------------------------------------------


def test_readers_differ_as_defined():
    table = prior_sensitivity(TRUST, "table_6")
    poverty = table.loc["area_poverty"]
    assert list(poverty.index) == ["flat", "own", "sceptical", "enthusiastic", *pr.PRESETS, "clinical-trials corpus"]
    sd = 0.403 / 1.959964
    assert poverty.loc["sceptical", "estimate"] == pytest.approx(-0.403 * sd**2 / (sd**2 + 0.094**2), rel=1e-3)
    assert poverty.loc["flat", "estimate"] == pytest.approx(-0.403, abs=1e-4)
    assert poverty.loc["enthusiastic", "estimate"] == pytest.approx(-0.403, abs=1e-4)
    assert abs(poverty.loc["clinical-trials corpus", "estimate"]) < 0.403
    assert (poverty["pd"].dropna() > 0.99).all()


def test_a_folder_has_no_prior_of_its_own():
    source = next(path for path in FOLDERS if path.name == "cbo_spillover")
    assert "own" not in prior_sensitivity(source, "Model 6").index.get_level_values("reader")
    given = prior_sensitivity(source, "Model 6", prior=pr.PriorSet(slopes=pr.Normal(0, 0.1)))
    assert given.loc[("hukou[rural]", "own"), "prior"] == "Normal(mean=0, sd=0.1)"


def normal_times_normal(estimate, error, prior_sd):
    kept = prior_sd**2 / (prior_sd**2 + error**2)
    return estimate * kept, error * kept**0.5


def test_programs_assume_what_their_presets_say():
    source = next(path for path in FOLDERS if path.name == "cbo_spillover")
    found = prior_sensitivity(source, "Model 6").loc["cbo_participation[participant]"]
    # the outcome is a score with sd 1, and the printed sd of the dummy is 0.366
    for name, sd in {"weak": 1 / 0.366, "bambi": 2.5 / 0.366, "rstanarm": 2.5 / 0.366, "stata": 100.0}.items():
        mean, spread = normal_times_normal(0.726, 0.193, sd)
        # rounding of B and SE to three decimals
        assert found.loc[name, "estimate"] == pytest.approx(mean, abs=1e-4), name
        assert found.loc[name, "sd"] == pytest.approx(spread, abs=1e-4), name
    for name in ("brms", "mlwin"):
        assert found.loc[name, "estimate"] == found.loc["flat", "estimate"]
    assert (found["note"] == "").all()


def test_a_preset_without_its_sds_says_so_until_they_are_given():
    table = prior_sensitivity(TRUST, "table_6")
    assert table.loc[("area_poverty", "weak"), ["estimate", "sd", "pd"]].isna().all()
    assert "sd of out_group_trust" in table.loc[("area_poverty", "weak"), "note"]
    interaction = "hukou[rural_migrant]:area_poverty"
    assert f"out_group_trust and {interaction}" in table.loc[(interaction, "rstanarm"), "note"]
    assert "predictors' means" in table.loc[("intercept", "brms"), "note"]
    assert table.loc[("area_poverty", "stata"), "note"] == ""
    given = prior_sensitivity(TRUST, "table_6", sds={"out_group_trust": 0.9, interaction: 0.3})
    mean, _ = normal_times_normal(-0.403, 0.094, 0.9)
    assert given.loc[("area_poverty", "weak"), "estimate"] == pytest.approx(mean, abs=1e-4)
    assert given.loc[(interaction, "weak"), "prior"] == "Normal(mean=0, sd=3)"


def test_programs_of_a_logit_count_on_its_own_scale():
    source = next(path for path in FOLDERS if path.name == "homeownership")
    table = prior_sensitivity(source, "main", sds={"rural_migrant_share": 0.25})
    assert table.loc[("rural_migrant_share", "rstanarm"), "prior"] == "Normal(mean=0, sd=10)"
    assert table.loc[("age", "rstanarm"), "note"].startswith("needs the sd of age, which is not printed")


def test_a_relative_prior_of_the_readers_own_needs_the_sds():
    with pytest.raises(bm.BayesmigError, match="x sd of 'area_poverty' needs the sd of out_group_trust.*pass sds="):
        prior_sensitivity(TRUST, "table_6", prior=pr.WEAK.changed(intercept=pr.Flat()))
    with pytest.raises(bm.BayesmigError, match="no term 'poverty'.*closest: 'area_poverty'"):
        prior_sensitivity(TRUST, "table_6", sds={"poverty": 1.0})
    with pytest.raises(bm.BayesmigError, match="'age': 0.*a number above zero"):
        prior_sensitivity(TRUST, "table_6", sds={"age": 0.0})


@pytest.mark.parametrize(("estimate", "error"), [(-0.403, 0.094), (0.215, 0.077), (0.2, 0.1)])
def test_the_tipping_prior_puts_the_bound_at_zero(estimate, error):
    tipping = tipping_sd(estimate, error)
    row = cell(estimate, std_error=error, se_half_unit=1e-9)
    bounds = marginal(row, pr.Normal(0, tipping)).quantile(np.array([0.025, 0.975]))
    assert min(abs(bounds)) < 1e-3 * error
    wider = marginal(row, pr.Normal(0, tipping * 1.05)).quantile(np.array([0.025, 0.975]))
    assert np.prod(np.sign(wider)) == 1
    assert tipping_sd(0.1, 0.094) is None


def test_the_corpus_shrinks_as_published():
    # van Zwet, Schwab & Senn 2021, abstract: a just significant estimate overestimates by a factor of 1.7
    shrunk = credibility._shrunk(1.96, 1.0)
    rng = np.random.default_rng(1)
    snr = rng.normal(size=2_000_000) * rng.choice(credibility.CORPUS_SDS, size=2_000_000, p=credibility.CORPUS_WEIGHTS)
    z = snr + rng.normal(size=snr.size)
    near = abs(z - 1.96) < 0.05
    assert shrunk.mean == pytest.approx(snr[near].mean(), abs=0.02)
    assert 1.96 / shrunk.mean == pytest.approx(1.7, abs=0.15)


# ---- errors of sign and magnitude ------------------------------------------------------------------------------


# Gelman & Carlin 2014: true effect, standard error, and what they print of them, with half of the last printed digit.
# Their power and Type S error are normal probabilities, exact but for rounding (of 0.3 they say "roughly 40 %"). Their
# exaggeration ratio is a mean over the significant ones of 10,000 simulated estimates; here it is a closed form.
GELMAN_CARLIN = {
    "80 % power": (2.8, 1.0, (0.80, 0.005), (1.2e-6, 0.05e-6), (1.12, 0.005)),
    "beauty, 0.1 points": (0.1, 3.28, (0.050, 0.0005), (0.46, 0.005), (77, 0.5)),  # 2.7 % and 2.3 %
    "beauty, 0.3 points": (0.3, 3.28, None, (0.4, 0.05), (25, 0.5)),
    "beauty, 1 point": (1.0, 3.28, (0.060, 0.001), (0.19, 0.005), (8, 0.5)),  # 4.9 % and 1.1 %
    "cycles and votes": (2.0, 8.1, (0.06, 0.005), (0.24, 0.005), (9.7, 0.05)),
}


def significant_sizes(effect, law):
    """Probability, mean and sd of the size of significant estimates with an error of 1, by quadrature."""
    bound = law.isf(0.025)
    moments = [
        sum(
            integrate.quad(lambda t, k=k: abs(t) ** k * law.pdf(t - effect), *ends, epsabs=1e-13, limit=200)[0]
            for ends in ((-np.inf, -bound), (bound, np.inf))
        )
        for k in range(3)
    ]
    mean = moments[1] / moments[0]
    return moments[0], mean, np.sqrt(moments[2] / moments[0] - mean**2)


@pytest.mark.parametrize("case", GELMAN_CARLIN)
def test_errors_of_design_of_gelman_and_carlin(case):
    effect, error, power, type_s, type_m = GELMAN_CARLIN[case]
    found = errors_of_design(effect, error)
    if power is not None:
        assert found.power == pytest.approx(power[0], abs=power[1])
    assert found.type_s == pytest.approx(type_s[0], abs=type_s[1])
    # their simulation: rounding, and three Monte Carlo errors of a mean over the significant ones of 10,000
    share, _, sd = significant_sizes(effect / error, stats.norm)
    simulated = 3 * sd * error / effect / np.sqrt(10_000 * share)
    assert found.type_m == pytest.approx(type_m[0], abs=type_m[1] + simulated)


@pytest.mark.parametrize("df", [None, 6.0])
@pytest.mark.parametrize("effect", [-0.3, 0.03, 1.0, 4.0])
def test_errors_of_design_are_the_integrals_that_define_them(effect, df):
    law = stats.norm if df is None else stats.t(df)
    share, mean, _ = significant_sizes(abs(effect), law)
    found = errors_of_design(effect, 1.0, df)
    # both exact up to the quadrature's error
    assert found.power == pytest.approx(share, rel=1e-8)
    assert found.type_s == pytest.approx(law.cdf(-law.isf(0.025) - abs(effect)) / share, rel=1e-8)
    assert found.type_m == pytest.approx(mean / abs(effect), rel=1e-8)


def test_errors_of_design_of_the_retrodesign_package():
    # its introduction cuts off: power 0.07, wrong sign around 8 %, 4.7 times too large (Lu, Qiu & Deng 2018), and for
    # Kanazawa's sex ratios nearly one in five and 2.7 times
    lu, small, large = (errors_of_design(*case) for case in [(0.5, 1), (1, 3.3), (3, 3.3)])
    assert [np.floor(100 * lu.power), np.floor(100 * lu.type_s), np.floor(10 * lu.type_m)] == [7, 8, 47]
    assert small.type_s == pytest.approx(0.2, abs=0.01)
    assert np.floor(10 * large.type_m) == 27


@pytest.mark.parametrize("df", [None, 6.0])
@pytest.mark.parametrize("effect", [-0.3, 1.0, 4.0])
def test_errors_of_design_by_simulation(effect, df):
    rng = np.random.default_rng(9)
    noise = rng.normal(size=2_000_000) if df is None else rng.standard_t(df, 2_000_000)
    drawn, bound = effect + noise, (stats.norm if df is None else stats.t(df)).isf(0.025)
    kept = drawn[abs(drawn) > bound]
    found = errors_of_design(effect, 1.0, df)
    assert found.power == pytest.approx(len(kept) / len(drawn), rel=0.02)
    assert found.type_s == pytest.approx((np.sign(kept) != np.sign(effect)).mean(), rel=0.05, abs=1e-3)
    assert found.type_m == pytest.approx(abs(kept).mean() / abs(effect), rel=0.02)


def test_errors_averaged_over_a_prior_by_simulation():
    rng = np.random.default_rng(9)
    truth = rng.normal(0.1, 0.2, 2_000_000)
    drawn = truth + 0.15 * rng.normal(size=truth.size)
    kept = abs(drawn) > 1.959964 * 0.15
    found = significance._averaged_errors(pr.Normal(0.1, 0.2), 0.15, None, 0.05)
    assert found.power == pytest.approx(kept.mean(), rel=0.01)
    assert found.type_s == pytest.approx((drawn * truth < 0)[kept].mean(), rel=0.03)
    assert found.type_m == pytest.approx(abs(drawn[kept]).mean() / abs(truth[kept]).mean(), rel=0.01)


def test_design_errors_of_a_table():
    source = next(path for path in FOLDERS if path.name == "cbo_spillover")
    table = design_errors(source, "Model 6", effect={"cbo_participation[participant]": 0.2})
    assert list(table.index) == ["cbo_participation[participant]"]
    assert table["std_error"].iloc[0] == pytest.approx(0.193, abs=1e-4)
    assert design_errors(TRUST, "table_6", effect=pr.Normal(0, 0.1))["type_m"].gt(1).all()
    assert "intercept" not in design_errors(TRUST, "table_6").index
    with pytest.raises(bm.BayesmigError, match="priors are flat or not normal"):
        design_errors(source, "Model 6")
    with pytest.raises(bm.BayesmigError, match="closest: 'area_poverty'"):
        design_errors(TRUST, "table_6", effect={"poverty": 1.0})
    with pytest.raises(bm.BayesmigError, match="zero has no sign"):
        errors_of_design(0, 1)


# ---- agreement -------------------------------------------------------------------------------------------------


def test_agreement_of_the_printed_posterior_with_print():
    printed = bm.published(TRUST, "table_6")
    tree = bm.published_posterior(TRUST, "table_6", prior=FLAT, draws=20_000, seed=1)
    table = agreement({"printed": printed, "posterior": tree})
    assert table["inside"].to_numpy() == pytest.approx(0.95, abs=0.02)
    # within half an SE of a normal: 2 Phi(0.5) - 1
    assert table["equivalent"].to_numpy() == pytest.approx(0.383, abs=0.02)
    assert set(table["rope_from"]) == {"0.5 printed SE"}
    # the posterior of a printed table has its interval, up to the Monte Carlo error of the quantiles of 20,000 draws
    assert table["overlap"].to_numpy() == pytest.approx(1, abs=0.05)
    row = agreement({"printed": printed, "posterior": tree}, rope=0.1, summary=True).loc["posterior"]
    assert row["terms"] == 39
    assert row["largest_difference"] < 0.1
    assert row["overlap"] > 0.95
    with pytest.raises(bm.BayesmigError, match="a printed table first"):
        agreement({"posterior": tree})
    with pytest.raises(bm.BayesmigError, match="no posterior follows 'printed'"):
        agreement({"printed": printed})
    with pytest.raises(bm.BayesmigError, match="rope=-1"):
        agreement({"printed": printed, "posterior": tree}, rope=-1)


def printed_tree(b, error, **about):
    """A printed table of one term."""
    beta = {"beta": ("term", [b]), "beta_se": ("term", [error]), "stars": ("term", [""])}
    dataset = literature.xr.Dataset(beta, {"term": ["x"]})
    facts = {"spec": bm.ModelSpec("y ~ x").to_json()}
    return literature.schema.stamped({"published": dataset}, facts | about)


def drawn_tree(draws, family="gaussian", y=None):
    dataset = literature.xr.Dataset(
        {"beta": (("chain", "draw", "term"), np.reshape(draws, (1, -1, 1)))}, {"term": ["x"]}
    )
    groups = {"posterior": dataset}
    groups |= {} if y is None else {"observed_data": literature.xr.Dataset({"y": ("row", y)})}
    return literature.schema.stamped(groups, {"spec": bm.ModelSpec("y ~ x", family=family).to_json()})


def test_agreement_is_counted_from_the_draws():
    # normal draws around 0.5 with sd 1 against print of 0 with SE 0.5, by the quantiles of the normal
    draws = 0.5 + stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    row = agreement({"p": printed_tree(0.0, 0.5), "q": drawn_tree(draws)}, rope=0.3).loc[("q", "x")]
    assert row["difference"] == pytest.approx(1.0, abs=1e-3)
    assert row["inside"] == pytest.approx(np.diff(stats.norm.cdf([-0.98 - 0.5, 0.98 - 0.5]))[0], abs=1e-4)
    assert row["equivalent"] == pytest.approx(np.diff(stats.norm.cdf([-0.3 - 0.5, 0.3 - 0.5]))[0], abs=1e-4)
    # the printed interval, 0 +- 0.98, lies within the posterior's, 0.5 +- 1.96
    assert row["overlap"] == pytest.approx(1.0, abs=1e-3)
    far = agreement({"p": printed_tree(-1.0, 0.5), "q": drawn_tree(draws)}).loc[("q", "x")]
    assert not far["same_sign"]
    assert far["overlap"] == pytest.approx((-1 + 0.98 + 1.46) / 1.96, abs=1e-3)


def test_the_region_of_equivalence_follows_the_outcome():
    draws, y = np.linspace(-1, 1, 400), np.arange(10.0)
    known = agreement({"p": printed_tree(0.0, 0.5), "q": drawn_tree(draws, y=y)})
    latent = agreement({"p": printed_tree(0.0, 0.5), "q": drawn_tree(draws, "bernoulli", y=y % 2)})
    counts = agreement({"p": printed_tree(0.0, 0.5), "q": drawn_tree(draws, "poisson", y=y)})
    assert known["rope"].iloc[0] == pytest.approx(0.1 * y.std())
    assert latent["rope"].iloc[0] == pytest.approx(0.1 * np.pi / 3**0.5)
    assert counts["rope"].iloc[0] == 0.25


def test_agreement_without_a_printed_error_leaves_out_what_needs_one():
    found = agreement({"p": printed_tree(0.2, np.nan), "q": drawn_tree(np.linspace(0, 1, 400), y=np.arange(10.0))})
    assert found[["difference", "overlap", "inside"]].isna().all(axis=None)
    assert found["same_sign"].all()
    assert found["equivalent"].notna().all()


def test_printed_intervals_are_walds():
    table = bm.coefficients(printed_tree(0.5, 0.2), interval=0.9)
    assert table.loc["x", "ci90_upper"] == pytest.approx(0.5 + stats.norm.ppf(0.95) * 0.2)
    small = bm.coefficients(printed_tree(0.5, 0.2, df=9))
    assert small.loc["x", "ci95_lower"] == pytest.approx(0.5 - stats.t.ppf(0.975, 9) * 0.2)
    assert list(small) == ["estimate", "std_error", "ci95_lower", "ci95_upper", "stars"]
    assert bm.coefficients(printed_tree(0.5, np.nan))[["ci95_lower", "ci95_upper"]].isna().all(axis=None)


# ---- the page ----------------------------------------------------------------------------------------------------


def test_the_page_runs():
    page = (Path(__file__).parents[1] / "docs" / "evidence.md").read_text(encoding="utf-8")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(block, names)
    assert {"post", "slope", "fitted", "from_print"} <= set(names)


# ---- bad input -------------------------------------------------------------------------------------------------


def test_relative_priors_are_refused():
    with pytest.raises(bm.BayesmigError, match="sds of the data.*raw units"):
        bm.published_posterior(TRUST, "table_6", prior=pr.WEAK)


def test_unknown_models_list_the_printed_ones():
    source = next(path for path in FOLDERS if path.name == "community_support")
    with pytest.raises(bm.BayesmigError, match="prints no model 'Model 11'.*Table 5/Model 1, .*Table 6/Model 10"):
        bm.published_posterior(source, "Model 11")
    with pytest.raises(bm.BayesmigError, match="no model 'table6'.*closest: 'table_6'"):
        bm.published_posterior(TRUST, "table6")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"std_error": ["", ""]}, "neither standard errors, p nor stars"),
        ({"estimate": ["0.1", "abc"]}, "coefficients.csv, column estimate: line 3 has 'abc'"),
        ({"p_value": ["ns", ""], "std_error": ["", ""]}, "column p_value: line 2 has 'ns'; .*, <0.001, or nothing"),
        ({"p_lower": ["0.1", ""], "p_upper": ["0.05", ""], "std_error": ["", ""]}, "between 0 and 1, the lower first"),
        ({"p_value": ["1.2", ""], "std_error": ["", ""]}, "p of 'a' from 1.15 to 1: p lies between 0 and 1"),
        ({"std_error": ["-0.1", "0.1"]}, "line 2 has std_error -0.1; a standard error is no negative number"),
        ({"std_error": ["(0.1)", "0.1"]}, r"column std_error: line 2 has '\(0.1\)'; allowed are numbers"),
        ({"stars": ["", "x"]}, r"column stars: line 3 has 'x'; allowed are '', '\+'"),
        ({"term": ["a", "a"]}, "M, a is there more than once, in lines 2, 3"),
        ({"term": ["a", "a"], "outcome": ["y", "z"]}, "a term twice: a"),
        ({"table": ["1", "2"]}, "prints 2 models 'M'.*1/M, 2/M"),
    ],
)
def test_bad_tables_are_explained(tmp_path, changes, message):
    rows = {"model": ["M", "M"], "term": ["a", "b"], "estimate": ["0.1", "0.2"], "std_error": ["0.1", "0.1"]}
    with pytest.raises(bm.BayesmigError, match=message):
        bm.published_posterior(folder(tmp_path / "own", rows | changes), "M")


def test_missing_files_and_columns_are_named(tmp_path):
    with pytest.raises(bm.BayesmigError, match="no coefficients.csv"):
        bm.published_posterior(tmp_path, "M")
    with pytest.raises(bm.BayesmigError, match="column estimate missing; the file has model, term, b"):
        bm.published_posterior(folder(tmp_path / "own", {"model": ["M"], "term": ["a"], "b": ["1"]}), "M")


def test_a_p_that_contradicts_b_and_se_is_said(tmp_path):
    """B 0.50 and SE 0.40 give p 0.21, or 0.11 in a one-sided test."""
    head = "table,model,outcome,term,level,reference,estimate,std_error,p_value,p_lower,p_upper,odds_ratio,stars\n"
    rows = [
        f"T1,M1,y,{term},,,0.50,0.40,{p},,,,\n" for term, p in (("a", "0.010"), ("b", "0.21"), ("c", "0.11"), ("d", ""))
    ]
    (tmp_path / "coefficients.csv").write_text(head + "".join(rows))
    tree = bm.published_posterior(tmp_path, "M1", seed=1)
    assert list(schema.read(tree, "contradicted")) == ["a"]
    row = bm.check(tree).set_index("check").loc["printed p"]
    assert not row["passed"] and "a is printed with p 0.010, and B and SE give 0.2" in row["message"]


@pytest.mark.parametrize("prior", [pr.StudentT(1, 0, 0.05), pr.Laplace(0.1, 0.05)], ids=str)
def test_heavy_priors_of_a_printed_coefficient(prior: pr.CoefficientPrior) -> None:
    table = prior_sensitivity(TRUST, "table_6", prior=pr.PriorSet(slopes=prior))
    estimate = float(table.loc[("area_poverty", "flat"), "estimate"])
    sd = float(table.loc[("area_poverty", "flat"), "sd"])

    def mean_of(power: int) -> float:
        def integrand(b: float) -> float:
            return float(b**power * stats.norm.pdf(b, estimate, sd) * np.exp(prior.log_density(np.array(b))))

        return integrate.quad(integrand, -2, 2, points=[0, prior.mean, estimate], limit=400)[0]

    # Printed numbers are rounded, which widens the likelihood by less than a per cent of its sd.
    assert table.loc[("area_poverty", "own"), "estimate"] == pytest.approx(mean_of(1) / mean_of(0), rel=0.01)
