"""Items that ask about a predictor, notes on codings, and contrasts of participants and neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.errors import SpecificationError
from bayesmig.replication.contamination import contamination_remarks
from bayesmig.replication.remarks import notes_on_variables
from bayesmig.specification.model import Factor, ModelSpec, Study, Variable

ITEMS = ("joint_work", "visits", "talks")
VARIABLES = (
    Variable("belonging", "Belonging"),
    Variable("member", "Member", {"no": "No", "yes": "Yes"}, note="The table may have them the other way round."),
    Variable("joint_work", "Joint work", overlaps=("member",)),
    Variable("visits", "Visits"),
    Variable("talks", "Talks"),
)
PLAIN = ModelSpec("belonging ~ member", estimator="ols")
LATENT = ModelSpec("belonging ~ member", factors=(Factor("belonging", ITEMS),))


def study(variables=VARIABLES) -> Study:
    return Study("mine", "Mine", "Me.", variables, {"main": PLAIN, "main_latent": LATENT})


def people() -> pd.DataFrame:
    """Members do joint work by definition, and are like others in everything else."""
    rng = np.random.default_rng(1)
    member = np.arange(400) % 2
    common = rng.normal(size=400)
    items = {name: common + rng.normal(size=400) for name in ITEMS}
    items["joint_work"] += 2 * member
    return pd.DataFrame({"belonging": common, "member": np.where(member, "yes", "no"), **items})


def test_an_effect_by_construction_goes_with_the_item():
    (line,) = contamination_remarks(study(), "main", people())
    assert line.startswith("Belonging contains Joint work, which asks about Member too")
    without, within = (float(line.split(word)[1].split()[0].rstrip(".")) for word in ("Member: Yes ", "instead of "))
    z = people()[list(ITEMS)].apply(lambda item: (item - item.mean()) / item.std())
    score = z @ np.linalg.eigh(z.corr())[1][:, -1] * np.sign(np.linalg.eigh(z.corr())[1][:, -1].sum())
    score = (score - score.mean()) / score.std()
    by_member = score.groupby(people()["member"]).mean()
    assert within == pytest.approx(by_member["yes"] - by_member["no"], abs=0.0051)  # two decimals are told
    assert within > 0.4 and abs(without) < 0.2  # nothing but joint work differs; 2 standard errors of 0.1


def test_without_items_the_overlap_is_said_and_not_measured():
    (line,) = contamination_remarks(study(), "main", people().drop(columns="visits"))
    assert line.endswith("by construction.")
    alone = tuple(entry if entry.name in ("belonging", "member") else overlapping(entry) for entry in VARIABLES)
    (line,) = contamination_remarks(study(alone), "main", people())
    assert line.endswith("No item is left without it.")


def overlapping(entry: Variable) -> Variable:
    return Variable(entry.name, entry.label, overlaps=("member",))


def test_missing_answers_and_constant_items_do_no_harm():
    data = people()
    data.loc[:20, "visits"] = np.nan
    assert "instead of" in contamination_remarks(study(), "main", data)[0]


def test_notes_stand_with_the_models_that_use_the_variable():
    assert notes_on_variables(study().model("main")) == ["Member: The table may have them the other way round."]
    hukou = bm.study("cbo_spillover").model("model_2")
    assert "coded the other way" in notes_on_variables(hukou)[0]


def test_overlaps_are_names():
    with pytest.raises(SpecificationError, match="must be a tuple of names"):
        Variable("x", overlaps="member")
    spec = study().model("main")
    assert ModelSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    ("key", "contrast", "probability"),
    [("model_2", -0.143, 0.07), ("model_4", -0.385, 0.02), ("model_6", -0.081, 0.32), ("model_8", -0.389, 0.015)],
)
def test_participants_against_neighbours(key, contrast, probability):
    """Differences of the printed coefficients by hand; probabilities within Monte Carlo error of 4,000 draws and what
    the correlation of two dummies, which is not printed, moves from seed to seed."""
    paper = bm.study("cbo_spillover")
    posterior = bm.fit(paper.model(key), bm.reconstruct(paper, key, seed=1), seed=1)
    claim = "cbo_participation[participant] > cbo_existence[nonparticipant_with_cbo_in_community]"
    row = bm.hypothesis(posterior, claim).iloc[0]
    assert row["estimate"] == pytest.approx(contrast, abs=0.01)  # the prior of the slopes draws by less
    assert row["probability"] == pytest.approx(probability, abs=0.02)
