"""Unmeasured confounding: against published examples, and against a confounder that is then measured."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.errors import BayesmigError, EngineRefusal, SpecificationError
from bayesmig.printed import bias_posterior, confounder_benchmarks, confounding
from bayesmig.printed.evidence.confounding import left_over
from bayesmig.specification.priors import Normal


def folder(tmp_path, rows, n=None):
    head = "table,model,outcome,term,level,estimate,std_error,odds_ratio,p_value,stars,p_lower,p_upper"
    (tmp_path / "coefficients.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    if n is not None:
        (tmp_path / "fit_statistics.csv").write_text(f"table,model,statistic,value\n,M,n,{n}\n", encoding="utf-8")
    return tmp_path


def test_robustness_values_of_the_darfur_example(tmp_path):
    # Cinelli & Hazlett 2020, Table 1: directly harmed 0.097 (0.023), t 4.18, df 783, partial R2 2.2 %, RV 13.9 %, RV at
    # the 5 % level 7.6 %; the digits beyond are those of their package's example
    source = folder(tmp_path, [",M,peace,harmed,,0.09732,0.02326,,,,,", ",M,peace,female,,-0.2321,0.0237,,,,,"])
    row = confounding(source, "M", df=783).loc["harmed"]
    assert row["t"] == pytest.approx(4.18, abs=0.005)
    assert row["partial_r2"] == pytest.approx(0.022, abs=5e-4)
    assert row["rv"] == pytest.approx(0.139, abs=5e-4)
    assert row["rv_level"] == pytest.approx(0.076, abs=5e-4)
    # once as strong as female (R2 0.0092 and 0.125): 0.075 is left
    assert float(left_over(0.09732, 0.02326, 783, np.array(0.12464), np.array(0.00916))) == pytest.approx(
        0.0752, abs=1e-4
    )
    half = confounding(source, "M", df=783, q=0.5).loc["harmed"]
    assert half["rv"] == pytest.approx(0.072, abs=5e-4)  # by hand: f = 0.0748


def test_a_confounder_with_the_shares_of_the_robustness_value_leaves_nothing(tmp_path):
    source = folder(tmp_path, [",M,y,x,,0.50,0.11,,,,,", ",M,y,z,,0.20,0.10,,,,,"], n=203)
    row = confounding(source, "M").loc["x"]
    share = np.array(row["rv"])
    assert row["df"] == 200
    assert float(left_over(row["estimate"], row["std_error"], 200, share, share)) == pytest.approx(0, abs=1e-12)
    extreme = np.array(row["partial_r2"])
    assert float(left_over(0.5, row["std_error"], 200, np.array(1.0), extreme)) == pytest.approx(0, abs=1e-12)
    needed = confounder_benchmarks(source, "x", "M", strength=1).iloc[0]
    left = left_over(0.5, row["std_error"], 200, np.array(needed["r2_outcome"]), np.array(needed["r2_exposure_needed"]))
    assert float(left) == pytest.approx(0, abs=1e-12)


def survey(seed=1, n=400):
    rng = np.random.default_rng(seed)
    school, hidden = rng.normal(size=(2, n))
    poor = 0.5 * school + 0.6 * hidden + rng.normal(size=n)
    trust = -0.3 * poor + 0.4 * school + 0.7 * hidden + rng.normal(size=n)
    return pd.DataFrame({"trust": trust, "poor": poor, "school": school, "hidden": hidden})


def shares(outcome, exposure, data, hidden):
    """Partial R2 of a column with the outcome and the exposure, from regressions that have it."""
    found = []
    for formula in (f"{outcome} ~ {exposure} + school + {hidden}", f"{exposure} ~ school + {hidden}"):
        tree = bm.estimate(formula, data, method="ols")["estimate"]
        t = float(tree["beta"].sel(term=hidden) / tree["beta_se"].sel(term=hidden))
        df = len(data) - tree.sizes["term"]
        found.append(t**2 / (t**2 + df))
    return [np.array(share) for share in found]


def test_the_bias_is_that_of_leaving_a_measured_confounder_out():
    data = survey()
    short = bm.estimate("trust ~ poor + school", data, method="ols")["estimate"]
    long = bm.estimate("trust ~ poor + school + hidden", data, method="ols")["estimate"]
    b, s = (float(short[name].sel(term="poor")) for name in ("beta", "beta_se"))
    outcome, exposure = shares("trust", "poor", data, "hidden")
    bias = abs(float(left_over(b, s, len(data) - 3, outcome, exposure)) - b)
    # the formula of omitted variables is an identity; the sign is the reader's
    assert bias == pytest.approx(abs(float(long["beta"].sel(term="poor")) - b), rel=1e-9)


def test_benchmarks_from_data_are_the_bounds_of_the_paper():
    data = survey()
    tree = bm.estimate("trust ~ poor + school + hidden", data, method="ols")
    table = confounder_benchmarks(tree, "poor", strength=[1, 2])
    outcome, exposure = (float(each) for each in shares("trust", "poor", data, "hidden"))
    row = table.loc[("hidden", 1.0)]
    assert row["r2_exposure"] == pytest.approx(exposure / (1 - exposure), rel=1e-9)
    shared = exposure**2 / (1 - exposure) ** 2
    bound = ((1 + shared**0.5) / (1 - shared) ** 0.5) ** 2 * outcome / (1 - outcome)
    assert row["r2_outcome"] == pytest.approx(bound, rel=1e-9)
    assert row["lower"] < row["estimate"] < row["upper"]
    sign = np.sign(tree["estimate"]["beta"].sel(term="poor").item())
    assert sign * table.loc[("school", 2.0), "estimate"] < sign * table.loc[("school", 1.0), "estimate"]
    assert bm.plots.confounders(tree, "poor").get_ylabel() == "Share of that of the outcome"
    with pytest.raises(EngineRefusal, match="method='ols'"):
        confounder_benchmarks(bm.estimate("trust ~ poor + school", data, method="ml"), "poor")


def test_e_values_of_the_published_example(tmp_path):
    # VanderWeele & Ding 2017: a risk ratio of 3.9 (1.8, 8.7) has E-values of 7.26 and 3.0
    error = np.log(3.9 / 1.8) / 1.959964
    rows = [f",M,ill,bottle,,{np.log(3.9):.6f},{error:.6f},3.9,,,,", f",M,ill,rural,,{np.log(0.8):.6f},0.2,0.8,,,,"]
    source = folder(tmp_path, rows)
    table = confounding(source, "M", rare=True)
    assert table.loc["bottle", "e_value"] == pytest.approx(7.26, abs=0.01)
    assert table.loc["bottle", "e_value_limit"] == pytest.approx(3.0, abs=1e-3)
    assert table.loc["rural", "e_value"] == pytest.approx(1.25 + np.sqrt(1.25 * 0.25), rel=1e-5)
    assert table.loc["rural", "e_value_limit"] == 1
    common = confounding(source, "M")
    assert common.loc["bottle", "e_value"] == pytest.approx(3.9**0.5 + np.sqrt(3.9**0.5 * (3.9**0.5 - 1)), rel=1e-5)
    assert any("rare=True" in text for text in common.attrs["caveats"])
    with pytest.raises(BayesmigError, match="linear models"):
        confounder_benchmarks(source, "bottle", "M")


def test_hazard_ratios_of_a_common_outcome():
    """VanderWeele & Ding 2017: as if the risk ratio were (1 - 0.5^sqrt(HR)) / (1 - 0.5^sqrt(1 / HR))."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": np.repeat([0.0, 1.0], 500)})
    data["y"] = rng.random(1000) < -np.expm1(-np.exp(-1 + 0.7 * data["x"]))
    tree = bm.estimate(bm.ModelSpec("y ~ x", family="bernoulli", link="cloglog"), data)
    ratio = float(np.exp(tree["estimate"]["beta"].sel(term="x")))
    risk = (1 - 0.5**ratio**0.5) / (1 - 0.5**ratio**-0.5)
    table = confounding(tree)
    assert table.loc["x", "e_value"] == pytest.approx(risk + (risk * (risk - 1)) ** 0.5, rel=1e-12)
    assert any(text.startswith("hazard ratios are") for text in table.attrs["caveats"])
    assert confounding(tree, rare=True).loc["x", "e_value"] == pytest.approx(
        ratio + (ratio * (ratio - 1)) ** 0.5, rel=1e-12
    )


def test_a_prior_of_the_bias_widens_and_a_prior_of_the_effect_shares_out(tmp_path):
    source = folder(tmp_path, [",M,y,x,,0.500000,0.100000,,,,,"])
    flat = bias_posterior(source, "x", "M", bias=Normal(0.1, 0.2))
    assert flat.loc["effect", "estimate"] == pytest.approx(0.4, abs=1e-6)
    assert flat.loc["effect", "sd"] == pytest.approx(np.hypot(0.1, 0.2), rel=1e-4)
    assert flat.loc["bias", ["estimate", "sd"]].tolist() == pytest.approx([0.1, 0.2], rel=1e-6)
    both = bias_posterior(source, "x", "M", bias=Normal(0, 0.2), prior=Normal(0, 0.3))
    # by hand: the sum of effect and bias has variance 0.09 + 0.04 before; each moves by its share of 0.09 + 0.04 + 0.01
    assert both.loc["effect", "estimate"] == pytest.approx(0.5 * 0.09 / 0.14, rel=1e-4)
    assert both.loc["bias", "estimate"] == pytest.approx(0.5 * 0.04 / 0.14, rel=1e-4)
    assert both.attrs["correlation"] < -0.5
    draws = np.random.default_rng(1).normal(0, [0.3, 0.2], (400_000, 2))
    weight = np.exp(-0.5 * ((0.5 - draws.sum(axis=1)) / 0.1) ** 2)
    positive = weight @ (draws[:, 0] > 0) / weight.sum()
    assert both.loc["effect", "p_positive"] == pytest.approx(positive, abs=0.005)


def test_every_printed_paper_has_its_numbers_and_caveats():
    for name in bm.studies():
        study = bm.study(name)
        for key, spec in study.models.items():
            if spec.printed is None:
                continue
            try:
                table = confounding(study, key)
            except BayesmigError as error:
                assert str(error).startswith((f"{name} ", "degrees of freedom")), error  # prints no errors, or no n
                continue
            kind = "rv" if "rv" in table else "e_value"
            assert (table[kind] >= 0).all()
            assert any("varying effects" in text for text in table.attrs["caveats"]) == ("|" in spec.formula)


def test_what_cannot_be_meant_is_refused(tmp_path):
    source = folder(tmp_path, [",M,y,x,,0.5,0.1,,,,,", ",M,y,z,,0.2,0.1,,,,,"])
    with pytest.raises(BayesmigError, match="degrees of freedom nan.*give df="):
        confounding(source, "M")
    with pytest.raises(BayesmigError, match="say model="):
        confounding(source)
    with pytest.raises(BayesmigError, match="q=2"):
        confounding(source, "M", q=2, df=100)
    with pytest.raises(BayesmigError, match="no term 'xx'.*closest: 'x'"):
        confounding(source, "M", df={"xx": 30, "x": 30, "z": 30})
    with pytest.raises(BayesmigError, match="no term 'zz'"):
        confounder_benchmarks(source, "zz", "M", df=100)
    with pytest.raises(BayesmigError, match="strength=0"):
        confounder_benchmarks(source, "x", "M", strength=0)
    with pytest.raises(SpecificationError, match="give a Normal in the coefficient's unit"):
        bias_posterior(source, "x", "M", bias=0.1)
