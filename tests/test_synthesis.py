"""Findings put together: against metafor, a hand-made case of two papers, and simulated papers."""

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import bayesmig as bm
from bayesmig.errors import BayesmigError, DataError, InferenceFailure, SpecificationError
from bayesmig.printed import Finding, priors_from, synthesis
from bayesmig.specification.priors import HalfNormal, Normal, PriorSet

# metafor 3.8-1's dat.bcg: log risk ratios of 13 trials of a vaccine (Colditz et al. 1994), and their variances
BCG = [
    *[(-0.8893113, 0.3255848), (-1.585389, 0.1945811), (-1.348073, 0.415368), (-1.441551, 0.02001003)],
    *[(-0.2175473, 0.05121017), (-0.7861156, 0.006905618), (-1.620898, 0.2230172), (0.01195233, 0.003961579)],
    *[(-0.4694176, 0.05643421), (-1.371345, 0.07302479), (-0.3393588, 0.01241221), (0.4459134, 0.5325058)],
    (-0.01731395, 0.07140466),
]
# dat.konstantopoulos2011: schools in districts; estimates and variances by district
SCHOOLS = {
    11: ([-0.18, -0.22, 0.23, -0.3], [0.118, 0.118, 0.144, 0.144]),
    12: ([0.13, -0.26, 0.19, 0.32], [0.014, 0.014, 0.015, 0.024]),
    18: ([0.45, 0.38, 0.29], [0.023, 0.043, 0.012]),
    27: ([0.16, 0.65, 0.36, 0.6], [0.02, 0.004, 0.004, 0.007]),
    56: ([0.08, 0.04, 0.19, -0.06], [0.019, 0.007, 0.005, 0.004]),
    58: (
        [-0.18, 0, 0, -0.28, -0.04, -0.3, 0.07, 0, 0.05, -0.08, -0.09],
        [0.02, 0.018, 0.019, 0.022, 0.02, 0.021, 0.006, 0.007, 0.007, 0.007, 0.007],
    ),
    71: ([0.3, 0.98, 1.19], [0.015, 0.011, 0.01]),
    86: ([-0.07, -0.05, -0.01, 0.02, -0.03, 0, 0.01, -0.1], [0.001] * 8),
    91: ([0.5, 0.66, 0.2, 0, 0.05, 0.07], [0.01, 0.011, 0.01, 0.009, 0.013, 0.013]),
    108: ([-0.52, 0.7, -0.03, 0.27, -0.34], [0.031, 0.031, 0.03, 0.03, 0.03]),
    644: ([0.12, 0.61, 0.04, -0.05], [0.087, 0.082, 0.067, 0.067]),
}


def trials():
    return [Finding((b, v**0.5), paper=f"trial {k}", predictor="vaccine") for k, (b, v) in enumerate(BCG, 1)]


def test_reml_of_the_vaccine_trials_is_metafors():
    table = synthesis(trials(), method="reml").loc["vaccine"]
    # rma(yi, vi): mean -0.714532 (0.179782), tau^2 0.313243; predict(): -1.866692 to 0.437628
    assert table.loc["mean", "estimate"] == pytest.approx(-0.714532, abs=2e-6)
    assert table.loc["mean", "sd"] == pytest.approx(0.179782, abs=2e-6)
    assert table.loc["sd finding", "estimate"] ** 2 == pytest.approx(0.313243, abs=1e-5)
    assert table.loc["new", ["ci95_lower", "ci95_upper"]].tolist() == pytest.approx([-1.866692, 0.437628], abs=1e-5)


def test_reml_of_schools_in_districts_is_metafors():
    found = [
        Finding((b, v**0.5), paper=str(district), predictor="calendar", sample=f"{district}/{k}")
        for district, pairs in SCHOOLS.items()
        for k, (b, v) in enumerate(zip(*pairs, strict=True))
    ]
    table = synthesis(found, method="reml").loc["calendar"]
    # rma.mv(yi, vi, random = ~ 1 | district/school): 0.184713 (0.084556), sigma 0.255072 and 0.180932
    assert table.loc["mean", "estimate"] == pytest.approx(0.184713, abs=1e-5)
    assert table.loc["mean", "sd"] == pytest.approx(0.084556, abs=1e-5)
    assert table.loc["sd paper", "estimate"] == pytest.approx(0.255072, abs=1e-4)
    assert table.loc["sd finding", "estimate"] == pytest.approx(0.180932, abs=1e-4)


def test_two_papers_by_hand():
    y, s, scale = np.array([0.5, 0.1]), np.array([0.1, 0.2]), 0.3
    pair = [Finding((y[k], s[k]), paper="AB"[k], predictor="contact") for k in range(2)]
    table = synthesis(pair, heterogeneity=HalfNormal(scale)).loc["contact"]

    def part(tau, what):
        """The posterior of tau, up to a constant, times a moment of the mean given tau."""
        precision = 1 / (s**2 + tau**2)
        mean = precision @ y / precision.sum()
        density = np.prod(precision) ** 0.5 * precision.sum() ** -0.5 * np.exp(-precision @ (y - mean) ** 2 / 2)
        moments = {"one": 1.0, "mean": mean, "square": mean**2 + 1 / precision.sum(), "tau": tau}
        return density * np.exp(-((tau / scale) ** 2) / 2) * moments[what]

    total = {what: integrate.quad(part, 0, 3, args=(what,))[0] for what in ("one", "mean", "square", "tau")}
    mean, tau = total["mean"] / total["one"], total["tau"] / total["one"]
    sd = (total["square"] / total["one"] - mean**2) ** 0.5
    # 4,000 draws: three Monte Carlo errors of a mean, and of an sd
    assert table.loc["mean", "estimate"] == pytest.approx(mean, abs=3 * sd / 4000**0.5 * 1.3)
    assert table.loc["mean", "sd"] == pytest.approx(sd, rel=0.06)
    assert table.loc["sd finding", "estimate"] == pytest.approx(tau, rel=0.06)
    assert table.loc["finding 1", "estimate"] < 0.5
    assert table.loc["finding 2", "estimate"] > 0.1
    assert table["rho"].isna().all()


def outcomes(rho, seed=1):
    """Two papers with four dimensions each, from the same people of the paper."""
    rng = np.random.default_rng(seed)
    errors = 0.1 * (np.sqrt(rho) * rng.normal(size=(2, 1)) + np.sqrt(1 - rho) * rng.normal(size=(2, 4)))
    true = 0.3 + np.array([0.1, -0.1])[:, None] + np.array([0.2, 0.1, 0.0, -0.3])
    names = ["economic", "cultural", "social", "psychological"]
    return [
        Finding((true[p, d] + errors[p, d], 0.1), paper="AB"[p], dimension=names[d], predictor="support")
        for p in range(2)
        for d in range(4)
    ]


def test_dimensions_are_shared_and_people_counted_once():
    findings = outcomes(0.5)
    table = synthesis(findings).loc["support"]
    once = synthesis(findings, correlations=(0, 0)).loc["support"]
    assert table.loc["mean", "rho"] == 0.9  # errors that move together tell least about the mean
    assert table.loc["mean", "sd"] > once.loc["mean", "sd"]
    assert table.loc["mean", "p_positive_lower"] <= once.loc["mean", "p_positive_lower"]
    low, high = table.loc["dimension psychological", ["eti95_lower", "eti95_upper"]]
    assert low < 0.0 < high
    assert table.loc["dimension economic", "estimate"] > table.loc["dimension psychological", "estimate"]
    assert table.loc["new", "sd"] > table.loc["mean", "sd"]
    ax = bm.plots.synthesis(synthesis(findings, interval=0.5))
    own = ax.collections[0].get_segments()[0][:, 0]  # half of a normal distribution is within 0.674 sds
    estimate, error = findings[0].values()[:2]
    assert own == pytest.approx([estimate - 0.6745 * error, estimate + 0.6745 * error], abs=1e-4)
    assert "50 % intervals" in " ".join(text.get_text() for text in ax.texts)
    assert [label.get_text() for label in ax.get_yticklabels()][:2] == ["A, economic", "A, cultural"]


def test_intervals_hold_the_mean_of_simulated_papers():
    held, rng = 0, np.random.default_rng(3)
    for _ in range(30):
        effects = 0.2 + 0.15 * rng.normal(size=8)
        error = rng.uniform(0.05, 0.2, 8)
        found = [
            Finding((effects[k] + error[k] * rng.normal(), error[k]), paper=str(k), predictor="x") for k in range(8)
        ]
        row = synthesis(found).loc[("x", "mean")]
        held += row["eti95_lower"] < 0.2 < row["eti95_upper"]
    assert stats.binom.cdf(held, 30, 0.95) > 0.005


def test_studies_folders_and_own_results_take_part():
    rng = np.random.default_rng(1)
    study = bm.study("cbo_spillover")
    folder = bm.study("community_support").folder / "published" / "community_support"

    data = pd.DataFrame({"y": rng.normal(size=80), "age": rng.normal(size=80)})
    own = bm.estimate("y ~ age", data)
    posterior = bm.fit("y ~ age", data, seed=1)
    findings = [
        Finding(study, "gender[male]", "model_1", predictor="x", dimension="economic"),
        Finding(folder, "age[46_69]", "Model 1", predictor="x", dimension="all"),
        Finding(own, "age", predictor="x", paper="here", scale=-1),
        Finding(posterior, "age", predictor="x", paper="there", sample="here", dimension="other"),
    ]
    table = synthesis(findings)
    sources = [each["source"] for each in table.attrs["findings"]]
    assert sources[2] == sources[3] == "own data"
    assert "cbo_spillover" in sources[0]
    assert table.attrs["findings"][2]["estimate"] == -float(own["estimate"]["beta"].sel(term="age"))
    assert np.isfinite(table.loc[("x", "mean"), "rho"])


def test_what_was_found_is_the_next_prior():
    study = bm.study("social_trust")
    printed = bm.published(study, "table_6")["published"]
    base = PriorSet(sigma=HalfNormal(2), specific={"age": Normal(0, 1), "gender": Normal(0, 2)})
    priors = priors_from(study, "table_6", terms=["area_poverty", "age"], discount=0.25, between=0.1, base=base)
    error = float(printed["beta_se"].sel(term="area_poverty"))
    assert priors.specific["area_poverty"].mean == pytest.approx(-0.403)
    assert priors.specific["area_poverty"].sd == pytest.approx(np.hypot(2 * error, 0.1), rel=1e-2)
    assert priors.specific["gender"] == Normal(0, 2)
    assert priors.specific["age"] != base.specific["age"]
    assert priors.sigma == HalfNormal(2)
    assert "per SD of" in priors.specific["area_poverty"].why
    scored = priors_from(bm.study("community_support"), "model_3").specific["gender[female]"]
    assert "standardised coefficients" in scored.why
    data = bm.reconstruct(study, "table_6", seed=1)[["out_group_trust", "area_poverty", "age", "neighbourhood"]]
    tree = bm.fit(
        "out_group_trust ~ area_poverty + age + (1 | neighbourhood)",
        data,
        priors=priors_from(study, "table_6", terms=["area_poverty"]),
        seed=1,
    )
    assert float(tree["posterior"]["beta"].sel(term="area_poverty").std()) < error


@pytest.mark.parametrize(
    ("findings", "options", "kind", "words"),
    [
        ([], {}, SpecificationError, "no finding"),
        ([Finding((1.0, 0.1), paper="A", predictor="x")], {}, SpecificationError, "a single finding of 'x'"),
        (
            [Finding((1.0, 0.1), paper="A", predictor="x"), Finding((1.0, 0.1), paper="A", predictor="x")],
            {},
            SpecificationError,
            "of the same people .A. and the same dimension .not named.: one set of data read twice",
        ),
        ([Finding((1.0, 0.1), predictor="x")] * 2, {}, SpecificationError, "needs paper="),
        ([Finding((1.0, 0.0), paper=p, predictor="x") for p in "AB"], {}, DataError, "the error must be above 0"),
        ([Finding((1.0, 0.1), paper=p, predictor="x", scale=0) for p in "AB"], {}, SpecificationError, "other than 0"),
        (trials(), {"method": "REML"}, SpecificationError, "closest: 'reml'"),
        (trials(), {"correlations": (0.9, 0.1)}, SpecificationError, "the lower first"),
        (trials(), {"interval": 95}, BayesmigError, "must lie between"),
        (trials(), {"heterogeneity": 0.5}, SpecificationError, "give a HalfNormal"),
        (trials(), {"heterogeneity": HalfNormal(1e5)}, InferenceFailure, "much wider than"),
        (outcomes(0.0), {"correlations": (-0.5, 0)}, SpecificationError, "cannot all be -0.5"),
    ],
)
def test_what_cannot_be_meant_is_refused(findings, options, kind, words):
    with pytest.raises(kind, match=words):
        synthesis(findings, **options)


def test_priors_and_terms_that_cannot_be_meant_are_refused():
    study = bm.study("social_trust")
    with pytest.raises(SpecificationError, match="discount=0"):
        priors_from(study, "table_6", discount=0)
    with pytest.raises(SpecificationError, match="between=-1"):
        priors_from(study, "table_6", between=-1)
    with pytest.raises(BayesmigError, match="closest: 'area_poverty'"):
        priors_from(study, "table_6", terms=["area_povertty"])
    with pytest.raises(BayesmigError, match="closest: 'area_poverty'"):
        synthesis([Finding(study, "area_povrty", "table_6")] * 2)
