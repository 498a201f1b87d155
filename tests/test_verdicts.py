"""The hypotheses of studies by print and refits: as the single results say, jointly within and across models."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmig as bm
from bayesmig.replication import verdicts
from bayesmig.results.hypotheses import jointly

PARTICIPANT = "cbo_participation[participant]"


@pytest.fixture(scope="module")
def small():
    """Two models of one paper, so that one reconstruction serves both."""
    study = bm.study("cbo_spillover")
    kept = [stated for stated in study.hypotheses if stated.name in ("H1b", "H2b", "joining")]
    return dataclasses.replace(
        study,
        hypotheses=(
            *(dataclasses.replace(stated, models=("model_4",)) for stated in kept),
            bm.Hypothesis("both", f"{PARTICIPANT} > 0", ("model_4", "model_8"), "claimed", "here", "In both."),
        ),
    )


@pytest.fixture(scope="module")
def data(small):
    return bm.reconstruct(small, seed=1)


@pytest.fixture(scope="module")
def found(small, data):
    return bm.hypotheses(small, data=data, seed=3)


def test_each_number_is_that_of_the_single_result(small, data, found):
    row = found.table.loc[("H1b", "model_4")]
    assert row["print lower"] == row["print upper"] == pytest.approx(stats.t.cdf(0.355 / 0.205, 287 - 9))
    assert row["print relevant lower"] == pytest.approx(stats.t.cdf(0.255 / 0.205, 287 - 9))
    for key, column in (("model_4", "refit"), ("model_4_multilevel", "groups vary")):
        tree = bm.fit(small.models[key], data, seed=3)
        assert row[f"{column} lower"] == bm.hypothesis(tree, f"{PARTICIPANT} > 0")["probability"].item()
        assert row[f"{column} relevant upper"] == bm.hypothesis(tree, f"{PARTICIPANT} > 0.1")["probability"].item()
    assert "latent factor lower" not in found.table


def test_print_bounds_a_difference_and_a_fit_knows_it(found):
    """Participant less neighbour is -0.385; print leaves every correlation of the two errors."""
    row = found.table.loc[("joining", "model_4")]
    widest = stats.t.cdf((0.355 - 0.740) / (0.205 + 0.207), 287 - 9)
    assert row["print upper"] == pytest.approx(widest)
    assert row["print lower"] < row["refit lower"] == row["refit upper"] < row["print upper"]


def test_across_models_the_joint_probability_is_bounded(found):
    rows = found.table.loc["both"]
    assert list(rows.index) == ["model_4", "model_8", "together"]
    for column in ("print", "refit", "groups vary"):
        one, two = rows[f"{column} lower"].iloc[:2]
        assert rows.loc["together", f"{column} lower"] == pytest.approx(max(0, one + two - 1))
        assert rows.loc["together", f"{column} upper"] == pytest.approx(min(one, two))


def test_each_is_said_in_words_with_its_source(found, data):
    sentence = found.sentences["H1b"]
    assert sentence.startswith("Participants have more to do with their neighbours. The paper: supported (Section 4.2")
    assert "Probability: 0.96 from print alone" in sentence
    assert "in the refit to reconstructed data" in sentence
    assert "in all 2 models" in found.sentences["both"]
    assert found.provenance == {"print": "printed table", "refit": "reconstructed", "groups vary": "reconstructed"}
    assert str(found).count("\n") == len(found.sentences) - 1
    assert "<dt>H1b</dt>" in found._repr_html_()
    facts = found.facts()
    assert facts["rows"][0]["hypothesis"] == "H1b"
    assert facts["sentences"] == found.sentences


def test_several_reconstructions_give_a_range(small, data, monkeypatch):
    drawn = {seed: data.sample(frac=1, replace=True, random_state=seed) for seed in (1, 2)}
    monkeypatch.setattr(verdicts, "reconstructed", lambda study, model, seed: drawn[seed])
    study = dataclasses.replace(small, hypotheses=small.hypotheses[2:3])
    each = [bm.hypotheses(study, seed=seed, counterparts=False).table["refit lower"].item() for seed in (1, 2)]
    both = bm.hypotheses(study, seed=1, seeds=2, counterparts=False).table
    assert (both["refit lower"].item(), both["refit upper"].item()) == (min(each), max(each))
    assert min(each) < max(each)


@pytest.fixture(scope="module")
def fifth():
    """A study that nobody printed, and somebody's data for it."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"age": rng.normal(size=200), "hukou": rng.choice(["local", "rural"], 200)})
    frame["trust"] = 0.3 * frame["age"] + rng.normal(size=200)
    hukou = bm.Variable("hukou", levels={"local": "Local", "rural": "Rural"})
    tiny = (0.3, "A third of an sd is too small to be seen.")
    study = bm.Study(
        "fifth",
        "A fifth study",
        "Nobody (2030)",
        (hukou, bm.Variable("age"), bm.Variable("trust")),
        {"m": bm.ModelSpec("trust ~ hukou + age")},
        hypotheses=(
            bm.Hypothesis("H1", "age > 0", ("m",), "supported", "p. 3", "Older people trust more."),
            bm.Hypothesis("H2", "abs(hukou[rural]) < absent", ("m",), "no effect", "p. 3", "Hukou is no matter.", tiny),
        ),
    )
    return study, frame


def test_a_fifth_study_gets_them_by_adding_values(fifth, tmp_path):
    study, frame = fifth
    found = bm.hypotheses(study, data=frame, seed=1)
    assert found.provenance == {"refit": "own data"}
    draws = bm.fit(study.models["m"], frame, seed=1)["posterior"]["beta"]
    inside = (abs(draws.sel(term="hukou[rural]")) < 0.3).mean().item()
    assert found.table.loc[("H2", "m"), "refit lower"] == inside
    assert "Probability: over 0.99 in the refit to your own data. All of these speak for it." in found.sentences["H1"]
    result = bm.replicate(study, data=frame)
    page = bm.report(result, tmp_path / "fifth.html").read_text()
    assert page.index("What the paper claims") < page.index("The model")
    assert "H1: Older people trust more." in page
    assert bm.report([result], tmp_path / "fifth.docx").exists()
    assert verdicts.verdicts_of([result]).sentences.keys() == {"H1", "H2"}


def test_what_cannot_be_asked_is_said(fifth):
    study, frame = fifth
    for call, why in (
        (lambda: bm.hypotheses(dataclasses.replace(study, hypotheses=()), data=frame), "states no hypotheses"),
        (lambda: bm.hypotheses(study, data=frame, seeds=2), "there is one set"),
        (lambda: bm.hypotheses(study, seeds=0), "one reconstruction or more"),
        (lambda: bm.hypotheses(study), "prints no model"),
        (lambda: bm.hypotheses("fith"), "no study 'fith'"),
    ):
        with pytest.raises(bm.BayesmigError, match=why):
            call()


def test_a_claim_that_a_result_cannot_answer_is_left_out(fifth):
    study, frame = fifth
    beyond = dataclasses.replace(study.hypotheses[0], claim="margin(age=1) > margin(age=0)")
    found = bm.hypotheses(dataclasses.replace(study, hypotheses=(beyond,)), data=frame, seed=1)
    assert 0.99 < found.table["refit lower"].item() <= 1


def test_bounds_of_several_are_those_of_frechet():
    """Against the closed form; what is unknown of one is unknown of all, wherever it stands."""
    assert jointly([(0.9, 0.9), (0.8, 0.95)]) == pytest.approx((0.7, 0.9))
    assert jointly([(0.3, 0.4), (0.2, 0.2)]) == (0.0, 0.2)
    for order in ([(0.9, 0.9), verdicts.UNKNOWN], [verdicts.UNKNOWN, (0.9, 0.9)]):
        assert np.isnan(jointly(order)).all()
