"""The hypotheses of every study: what they name exists, and print gives the probability by hand."""

import csv
import dataclasses
import re

import numpy as np
import pytest
from scipy import stats

import bayesmig as bm
from bayesmig.replication import verdicts
from bayesmig.specification.claims import parse_claim
from bayesmig.specification.model import VERDICTS

STUDIES = {name: bm.study(name) for name in bm.studies()}
ALL = [
    pytest.param(study, hypothesis, key, id=f"{name} {hypothesis.name} {key}")
    for name, study in STUDIES.items()
    for hypothesis in study.hypotheses
    for key in hypothesis.models
]


def cell(study, key, term):
    """The printed row of a coefficient, straight from the file."""
    table, model = study.models[key].printed
    name, level = re.sub(r"\[.*?\]", "", term), "".join(re.findall(r"\[(.*?)\]", term))
    with (study.folder / "published" / study.name / "coefficients.csv").open() as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["table"], row["model"], row["term"], row["level"]) == (table, model, name, level)
        ]
    (row,) = rows
    return row


def residual_df(study, key):
    """Cases less coefficients, for least squares."""
    if study.models[key].estimator != "ols":
        return np.inf
    n = {"cbo_spillover": 287, "community_support": 323 if int(key.rpartition("_")[2]) < 6 else 257}[study.name]
    count = len(bm.published(study, key)["published"]["term"])
    return n - count - ("intercept" not in bm.published(study, key)["published"]["term"])


def test_every_study_has_some():
    assert all(study.hypotheses for study in STUDIES.values())


@pytest.mark.parametrize(("study", "hypothesis", "key"), ALL)
def test_what_they_name_exists(study, hypothesis, key):
    assert hypothesis.printed in VERDICTS
    assert hypothesis.where
    assert hypothesis.words.endswith(".")
    spec = study.models[key]
    claim = parse_claim(hypothesis.text_of(key), spec.nameable)
    if spec.printed:
        tree = bm.published(study, key)
        printed = {*tree["published"]["term"].to_numpy(), *bm.variance_components(tree).index}
        assert set(claim.quantities) <= printed


def named_cell(study, key, name):
    """A printed quantity with the smallest and largest error that print leaves it."""
    if name.startswith("vpc_"):  # from both variances, whose correlation is not printed
        with (study.folder / "published" / study.name / "variance_components.csv").open() as file:
            rows = {row["quantity"]: row for row in csv.DictReader(file)}
        (v, ev), (s, es) = (
            (float(rows[f"{what}_variance"]["estimate"]), float(rows[f"{what}_variance"]["std_error"]))
            for what in ("between", "within")
        )
        parts = s * ev / (v + s) ** 2, v * es / (v + s) ** 2
        return v / (v + s), abs(parts[0] - parts[1]), sum(parts)
    row = cell(study, key, name)
    b = float(row["estimate"])
    if row["std_error"]:
        return b, float(row["std_error"]), float(row["std_error"])
    if b == 0:
        return b, 0.0, np.inf
    p = row["p_value"]
    bounds = (float(p) - 0.0005, float(p) + 0.0005) if p else (float(row["p_lower"]), float(row["p_upper"]))
    low, high = np.clip(bounds, 0, 1)
    widest = stats.t.isf(high / 2, residual_df(study, key))
    return b, abs(b) / stats.t.isf(low / 2, residual_df(study, key)), abs(b) / widest if widest > 0 else np.inf


def linear(text, sign=1):
    """Weights by name of a sum such as ``0.4 * a + b - c``."""
    weights = {}
    for part in re.split(r" (?=[+-] )", text):
        minus, number, name = re.fullmatch(r"(?:([+-]) )?(?:([\d.]+) \* )?(\S+)", part).groups()
        weights[name] = sign * float(number or 1) * (-1 if minus == "-" else 1)
    return weights


def by_hand(study, key, text):
    """Bounds of a claim's probability: of sums, P = F((b - c) / SE); of several, Frechet's bounds."""
    df, found = residual_df(study, key), []
    for part in text.split(" and "):
        if region := re.fullmatch(r"abs\((.+)\) < ([\d.]+)", part):
            weights, ends = linear(region[1]), (-float(region[2]), float(region[2]))
        else:
            left, sign, right = re.fullmatch(r"(.+) ([<>]) (.+)", part).groups()
            is_number = re.fullmatch(r"[\d.]+", right)
            weights = linear(left) | ({} if is_number else linear(right, -1))
            bound = float(right) if is_number else 0.0
            ends = (bound, np.inf) if sign == ">" else (-np.inf, bound)
        cells = {name: named_cell(study, key, name) for name in weights}
        value = sum(weight * cells[name][0] for name, weight in weights.items())
        least, most = (abs(np.array([weight * cells[name][at] for name, weight in weights.items()])) for at in (1, 2))
        others = [np.delete(most, place).sum() for place in range(len(most))]
        low, high = max(0.0, max(least - others)), most.sum()
        errors = np.tan(np.linspace(np.arctan(max(low, 1e-12)), np.arctan(high), 20_001))
        inside = stats.t.cdf((ends[1] - value) / errors, df) - stats.t.cdf((ends[0] - value) / errors, df)
        found.append((inside.min(), inside.max()))
    lows, highs = np.transpose(found)
    return max(0.0, lows.sum() - (len(found) - 1)), highs.min()


@pytest.mark.parametrize(
    ("study", "hypothesis", "key"), [case for case in ALL if case.values[0].models[case.values[2]].printed]
)
def test_print_gives_the_probability_by_hand(study, hypothesis, key):
    text, printed = hypothesis.text_of(key), bm.published(study, key)
    found = bm.hypothesis(printed, text).iloc[0]
    # the same formula, but for the steps of numerical derivatives; with stars a region is searched on grids of errors
    is_searched = "abs(" in text and printed["published"]["beta_se"].isnull().all()
    bounds = pytest.approx(by_hand(study, key, text), abs=2e-3 if is_searched else 1e-7)
    assert (found["probability_lower"], found["probability_upper"]) == bounds


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_across_models_print_gives_the_bounds_of_all_together_by_hand(study):
    asked = [one for one in study.hypotheses if all(study.models[key].printed for key in one.models)]
    keys = {key for one in asked for key in one.models}
    kept = dataclasses.replace(study, hypotheses=asked)
    answers = {key: verdicts._answers(kept, key, {"print": bm.published(study, key)}) for key in keys}
    found = verdicts._verdicts(kept, answers)
    assert found.sentences.keys() == {one.name for one in asked}
    for one in asked:
        lows, highs = np.transpose([by_hand(study, key, one.text_of(key)) for key in one.models])
        row = found.table.loc[one.name].iloc[-1]
        expected = max(0.0, lows.sum() - (len(lows) - 1)), highs.min()
        assert (row["print lower"], row["print upper"]) == pytest.approx(expected, abs=2e-3), one.name


def test_stars_bound_a_difference():
    """Two coefficients of which stars tell p: errors from |b| / z, and all correlations."""
    study = STUDIES["community_support"]
    found = bm.hypothesis(bm.published(study, "model_3"), "environmental_amenity > training_satisfaction").iloc[0]
    ends = stats.t.isf(np.array([[0.0, 0.01], [0.01, 0.05]]) / 2, 323 - 26)
    (_, large), (small, other) = 0.211 / ends[0], 0.125 / ends[1]
    widest = large + other
    assert found["std_error"] == pytest.approx(widest)
    # the first error may be as small as nothing, and the second as large as its star allows
    narrowest = max(0.0, small - large)
    below = stats.t.cdf((0.211 - 0.125) / np.array([widest, narrowest or 1e-12]), 323 - 26)
    assert (found["probability_lower"], found["probability_upper"]) == pytest.approx(tuple(below))


@pytest.fixture
def study():
    hukou = bm.Variable("hukou", levels={"local": "Local", "rural": "Rural"})
    return bm.Study(
        "small",
        "Small",
        "Nobody",
        (hukou,),
        {
            "m": bm.ModelSpec("trust ~ hukou + age + (1 | area)"),
            "m2": bm.ModelSpec("income ~ age"),
        },
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"models": ("n",)}, "study 'small', hypothesis 'H1'.*no model 'n'"),
        ({"claim": "ages > 0"}, "study 'small', hypothesis 'H1'.*'ages' is no quantity"),
        ({"claim": "hukou[urban] > 0"}, r"study 'small', hypothesis 'H1'.*'hukou\[urban\]' is no quantity"),
        ({"claim": "area > 0"}, "'area' is no quantity"),
        ({"claim": "hukou[rural]:age > 0"}, "hypothesis 'H1'"),
        ({"claim": "age = 0"}, "'=' has no probability"),
        ({"claim": "abs(age) < absent"}, "'absent' is no quantity"),
        ({"claim": "vpc_area > 0.1 and tau_place[intercept] > 0"}, "'tau_place"),
        ({"claim": "age > m2 age"}, "units of its own outcome .m: trust, m2: income.* state what holds in each"),
    ],
)
def test_a_study_refuses_what_it_cannot_answer(study, change, why):
    fields = {"name": "H1", "claim": "age > 0", "models": ("m",), "printed": "claimed", "where": "p. 1"}
    with pytest.raises(bm.BayesmigError, match=why):
        bm.hypotheses(dataclasses.replace(study, hypotheses=(bm.Hypothesis(**fields | change),)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"printed": "suported"}, "closest: 'supported'"),
        ({"models": "m"}, "tuple of keys"),
        ({"models": ()}, "says no models"),
        ({"where": ""}, "says no where"),
        ({"absent": (0.1, "")}, "why it counts as none"),
        ({"absent": (-1, "so")}, "positive size"),
        ({"claim": {"m": "age > 0", "n": "age < 0"}}, "has claims of m, n, but is about m;"),
    ],
)
def test_a_hypothesis_says_all_of_itself(change, why):
    fields = {"name": "H1", "claim": "age > 0", "models": ("m",), "printed": "claimed", "where": "p. 1"}
    with pytest.raises(bm.BayesmigError, match=why):
        bm.Hypothesis(**fields | change)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("hypotheses", ("age > 0",)),
        ("hypotheses", "age > 0"),
        ("hypotheses", None),
        ("models", {"m": "y ~ x"}),
        ("models", ["y ~ x"]),
        ("variables", ("age",)),
    ],
)
def test_parts_of_a_study_are_of_their_kind(study, field, given):
    with pytest.raises(bm.BayesmigError, match=f"{field} must .*got"):
        dataclasses.replace(study, **{field: given})


@pytest.mark.parametrize("claim", [5, {"m": 5}, ["age > 0"]])
def test_a_claim_is_text(claim):
    with pytest.raises(bm.BayesmigError, match="claim must be text or a mapping of text to text, got"):
        bm.Hypothesis("H1", claim, ("m",), "claimed", "p. 1")


def test_no_name_is_there_twice_and_all_are_shown(study):
    one = bm.Hypothesis("H1", "abs(age) < absent", ("m",), "no effect", "p. 1", absent=(0.1, "A tenth."))
    with pytest.raises(bm.BayesmigError, match="'H1' twice"):
        dataclasses.replace(study, hypotheses=(one, one))
    shown = dataclasses.replace(study, hypotheses=(one,))
    assert "H1: abs(age) < 0.1 in m (no effect, p. 1)" in str(shown)
    assert "abs(age) &lt; 0.1" in shown._repr_html_()
