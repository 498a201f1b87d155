"""Exact against its peers on the Table 6 design: 1,406 people in 35 neighbourhoods, 39 coefficients."""

from measurement import Design, compare
from peers import bambi, exact, lme4, ml

import bayesmig as bm


def case():
    """The study's model and one reconstruction of its data."""
    study = bm.study("social_trust")
    return study.models["table_6"], bm.reconstruct(study, "table_6", seed=1)


PEERS = {
    "Exact": exact(),
    "Bambi, default": bambi(),
    "Bambi with nutpie": bambi(inference_method="nutpie"),
    "maximum likelihood": ml(),
    "lme4, ML fit only": lme4(),
}

if __name__ == "__main__":
    compare(__doc__, Design("Table 6", case, PEERS))
