"""Quadrature and NUTS against their peers on homeownership: 1,736 households, 145 cities in 29 provinces, logit."""

from measurement import Design, compare
from peers import bambi, lme4, ml, nuts, quadrature

import bayesmig as bm


def case():
    """The study's model and one reconstruction of its data."""
    study = bm.study("homeownership")
    return study.models["table_3_2"], bm.reconstruct(study, "table_3_2", seed=1)


PEERS = {
    "Quadrature": quadrature(),
    "NUTS, compiled density": nuts(),
    "NUTS, graph": nuts(density="graph"),
    "Bambi, default": bambi(),
    "Bambi with nutpie": bambi(inference_method="nutpie"),
    "maximum likelihood": ml(),
    "lme4, ML fit only": lme4(),
}

if __name__ == "__main__":
    compare(__doc__, Design("Homeownership", case, PEERS))
