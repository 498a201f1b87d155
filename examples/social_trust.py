"""Social trust in Shanghai (Wang, Zhang & Wu 2015), step by step.

``bayesmig replicate social_trust`` does all of this at once; here are the single verbs. The
microdata are not public, so the script works on data that were made to give the printed table
back. They teach the method and are never evidence. With your own data, in the study's codebook,
write ``pd.read_csv(...)`` where it says ``bm.reconstruct(...)``.

    python examples/social_trust.py
    python examples/social_trust.py --report social_trust.html
"""

import argparse
from pathlib import Path

import pandas as pd

import bayesmig as bm

TERMS = [
    "area_poverty",
    "hukou[rural_migrant]",
    "hukou[rural_migrant]:area_poverty",
    "hukou[rural_migrant]:migrant_concentration",
]


def show(head: str, frame: pd.DataFrame) -> None:
    """A table under its heading."""
    print(f"\n{head}\n{frame.round(3).to_string()}")


def main() -> None:
    """The paper, its data, the fits, and what the answer depends on."""
    parser = argparse.ArgumentParser(description="Social trust in Shanghai, step by step.")
    parser.add_argument("--report", type=Path, help="where the page goes")
    options = parser.parse_args()

    # 1. The paper: codebook, models, priors, and what it prints
    study = bm.study("social_trust")
    spec = study.model("table_6")
    printed = bm.published(study, "table_6")
    print(study.citation, spec.title, spec.formula, sep="\n")

    # 2. Data that give the printed table back
    data = bm.reconstruct(study, "table_6", seed=1)
    print(f"\n{len(data):,} rows, {data['provenance'].iloc[0]}")
    for fact in data.attrs["reconstruction"]["not_honoured"]:
        print(f"  not honoured: {fact}")

    # 3. The frequentist fit of the paper, the posterior, and the posterior from print alone
    ml = bm.estimate(spec, data)
    posterior = bm.fit(spec, data, seed=1)
    from_print = bm.published_posterior(study, "table_6", seed=1)
    show("Checks", bm.check(posterior)[["check", "passed", "message"]])
    show("Coefficients, posterior", bm.coefficients(posterior).loc[TERMS])
    show("Variance components, posterior", bm.variance_components(posterior))
    results = {"printed": printed, "ML": ml, "posterior": posterior, "from print": from_print}
    table = bm.compare(results)
    show("Estimates", table.xs("estimate", axis="columns", level=1).loc[TERMS])
    show("Errors", table.xs("error", axis="columns", level=1).loc[TERMS])

    # 4. How much do the priors matter? The same model under other sets
    sets = {"study": posterior}
    for name in ("weak", "stata"):
        sets[name] = bm.fit(spec.with_priors(bm.priors.preset(name)), data, seed=1)
    show("Estimate by prior", summary(sets, "estimate"))
    show("Posterior sd by prior", summary(sets, "sd"))

    # 5. How much do the unprinted facts matter? Other people who give the same table
    seeds = {"seed 1": posterior}
    for seed in (2, 3):
        again = bm.reconstruct(study, "table_6", seed=seed)
        seeds[f"seed {seed}"] = bm.fit(spec, again, seed=1)
    show("Estimate by reconstruction", summary(seeds, "estimate"))
    show("Posterior sd by reconstruction", summary(seeds, "sd"))

    if options.report:
        against = {"ML": ml, "printed": printed}
        print(f"\nWritten: {bm.report(posterior, options.report, against=against)}")


def summary(results: dict, column: str) -> pd.DataFrame:
    """Some coefficients and the share of variance between neighbourhoods, a column a result."""
    rows = {}
    for name, tree in results.items():
        rows[name] = bm.coefficients(tree)[column].loc[TERMS]
        rows[name]["vpc_neighbourhood"] = bm.variance_components(tree)[column]["vpc_neighbourhood"]
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
