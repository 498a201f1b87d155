"""Whole answers: a reconstructed outcome turned into the answers that a paper prints."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array
from bayesmig.errors import NotFound
from bayesmig.replication.reconstruction.provenance import printed_answers
from bayesmig.specification.model import Study


def whole_answers(study: Study, outcome: str, y: Array) -> tuple[Array, str]:
    """Answers in the printed shares, in the order of a continuous outcome.

    ``study``: one whose ``descriptives.csv`` prints the answers to the outcome. ``y``, (n,) array: a reconstructed
    outcome. Returns an (n,) array: the people with the smallest values give the lowest answer, and so on: as many each
    as the paper prints. Then what was honoured and what was lost. Raises NotFound if the paper prints no answers to the
    outcome.
    """
    shares = printed_answers(study, outcome)
    if shares is None:
        raise NotFound(
            f"{study.name} prints no answers to {outcome!r}, so a reconstructed outcome cannot be turned into them;"
            " pass your own data."
        )
    ends = np.rint(shares.cumsum().to_numpy() * len(y)).astype(int)
    ranks = pd.Series(y).rank(method="first").to_numpy()
    answers = shares.index.to_numpy(dtype=float)[np.searchsorted(ends, ranks)]
    counts = ", ".join(f"{answer:g} {int((answers == answer).sum()):,}" for answer in shares.index)
    return (
        answers,
        f"{outcome}: {counts}, as printed for all people together; who gives which follows the printed model",
    )
