"""What a replication's tables say, in sentences."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.names import base
from bayesmig.data.rows import Rows, design_of
from bayesmig.errors import listing
from bayesmig.inference.response import draw_outcomes, linear_predictor, parameters
from bayesmig.printed.auditing.tables import claimed
from bayesmig.printed.literature import TEXT, facts, named, tables_of
from bayesmig.results.summaries import coefficients
from bayesmig.specification.model import ModelSpec, Study

AS_NUMBERS = "answers as numbers"
DRAWS = 400
MINUS = "\N{MINUS SIGN}"
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
TINY = 1e-6  # smaller values are no rounded zeros, but estimates at a boundary
SEEN = 5e-4  # in three decimals
MOST_PLACES = 9
HUGE = 1e15
AT_BOUNDARY = 1e-4
LITTLE = 0.1  # share of variance between groups that needs no remark
MATTERS = 0.5  # posterior sds between two average effects
CLEAR = 0.975
FAR = 2.0  # times a printed standard error


def number(value: float, error: float = math.inf) -> str:
    """Three decimals, fewer for large numbers, powers of ten for tiny and huge ones, and a minus sign that is one.

    Three decimals do not show a standard ``error`` that is smaller still, as that of a coefficient by yuan of income:
    such values have two digits of their own, or as many decimals as two digits of the error, as ratios near one need.

    >>> number(-0.4031), number(1406.0), number(1.7e-31), number(9.2e205), number(float("nan"))
    ('−0.403', '1,406', '1.7 × 10⁻³¹', '9.2 × 10²⁰⁵', '')
    >>> number(-9.1e-5, 8.6e-5), number(-9.1e-5, 0.2)
    ('−9.1 × 10⁻⁵', '0.000')
    >>> number(1.0000912, 8.6e-5), number(0.9999), number(0.9999, 0.01)
    ('1.000091', '1.000', '1.000')
    """
    if math.isnan(value):
        return ""
    if 0 < abs(value) < (SEEN if 0 < error < SEEN else TINY) or HUGE <= abs(value) < math.inf:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPT)}".replace("-", MINUS)
    whole = float(value).is_integer() and abs(value) >= 10
    places = min(1 - math.floor(math.log10(error)), MOST_PLACES) if 0 < error < SEEN else 3
    text = f"{value:,.0f}" if whole or abs(value) >= 1000 else f"{value:.{places}f}"
    return re.sub(r"^-(?=[0.]*$)", "", text).replace("-", MINUS)


def boundary_remarks(spec: ModelSpec, table: pd.DataFrame) -> list[str]:
    """What an estimate of no variance between groups becomes when its uncertainty is kept, a paragraph a factor.

    ``table``: of a replication.
    """
    lines = []
    cells: dict[Any, dict[Any, Any]] = table.to_dict("index")
    for row in [row for row in cells if str(row).startswith("variance_tau_")]:
        points = {name: cells[row].get(name) for name in ("printed", "ML", "REML")}
        at_zero = [
            f"{number(value)} ({name})" for name, value in points.items() if value is not None and value < AT_BOUNDARY
        ]
        if not at_zero:
            continue
        group = str(row).removeprefix("variance_tau_").partition("[")[0]
        low, high = (cells[row][f"posterior eti95_{end}"] ** 0.5 for end in ("lower", "upper"))
        text = (
            f"The variance between groups of {spec.label(group)} is estimated as {' and '.join(at_zero)}: as good as"
            " zero, at the edge of what a variance can be, where a standard error says nothing. That is one value, not"
            f" a proof that groups are alike. With its uncertainty kept the SD lies between {low:.2f} and {high:.2f}"
            " (95 % equal-tailed)"
        )
        ratio = cells.get(f"mor_{group}")
        if ratio is not None:
            middle, *ends = (ratio[head] for head in ("posterior", "posterior eti95_lower", "posterior eti95_upper"))
            text += (
                f", and the odds of two alike people from two groups differ {middle:.2f}-fold"
                f" [{ends[0]:.2f}, {ends[1]:.2f}]"
            )
        low, high = (100 * cells[f"vpc_{group}"][f"posterior eti95_{end}"] for end in ("lower", "upper"))
        lines.append(f"{text}; the groups hold between {low:.1f} and {high:.1f} % of the unexplained variance.")
    return lines


def notes_on_variables(spec: ModelSpec) -> list[str]:
    """What the codebook says of the coding of predictors and outcome, a sentence each."""
    named = (spec.parsed.outcome, *spec.predictor_columns)
    found = [entry for name in named if (entry := spec.variable(name)) is not None and entry.note]
    return [f"{entry.label}: {entry.note}" for entry in found]


def cell_remarks(study: Study, spec: ModelSpec) -> list[str]:
    """What ``coefficients.csv`` notes of a model's printed cells, a sentence a note."""
    cells = tables_of(study)["coefficients"] if spec.printed else pd.DataFrame()
    if spec.printed is None or "note" not in cells:
        return []
    own = cells[(cells["table"] == spec.printed[0]) & (cells["model"] == spec.printed[1]) & (cells["note"] != "")]
    return [
        f"{', '.join(spec.printed)}, {listing(map(spec.label, map(named, rows['term'], rows['level'])))}: {note}."
        for note, rows in own.groupby("note", sort=False)
    ]


def told_in_text(claims: pd.DataFrame, spec: ModelSpec, source: str) -> xr.DataTree:
    """What the text tells of a model of which no table is printed, in the shape of a printed table.

    ``claims``: rows of ``claims.csv`` about the model. ``source``: name of the study. Group ``published`` holds by
    ``term`` the ``claim``, as ``> 0`` or ``odds ratio 1.50``, and ``beta``: the log of an odds ratio that is told,
    NaN where it gives a direction.
    """
    spans = [(of_odds, (span.lower + span.upper) / 2) for of_odds, span in map(claimed, claims["claim"])]
    beta = [math.log(ratio) if of_odds and math.isfinite(ratio) else math.nan for of_odds, ratio in spans]
    dataset = xr.Dataset(
        {
            "beta": ("term", beta),
            "beta_se": ("term", [math.nan] * len(claims)),
            "stars": ("term", [""] * len(claims)),
            "claim": ("term", claims["claim"].to_numpy(dtype=str)),
        },
        {"term": list(map(named, claims["term"], claims["level"]))},
    )
    printed = {"provenance": TEXT, "printed": list(dict.fromkeys(claims["where"]))}
    return schema.stamped({"published": dataset}, facts(spec, source) | printed)


def told_remarks(claims: pd.DataFrame, tree: xr.DataTree, result: str) -> list[str]:
    """What the text tells of a model of which no table is printed, beside a result.

    ``claims``: rows of ``claims.csv`` about the model. ``result``: what to call the result.
    """
    if claims.empty:
        return []
    spec, found = ModelSpec.from_json(tree.attrs["spec"]), coefficients(tree)["estimate"]
    told, kept = [], 0
    for row in claims.to_dict("records"):
        term = named(row["term"], row["level"])
        of_odds, claim = claimed(row["claim"])
        value = math.exp(found[term]) if of_odds else float(found[term])
        kept += claim.contains(value)
        told.append(f"{spec.label(term)} {row['claim']} (here {value:.2f})")
    return [
        f"The text alone tells of this model ({listing(dict.fromkeys(claims['where']))}): {'; '.join(told)}. By the"
        f" {result} {kept} of {len(told)} hold."
    ]


def star_remarks(spec: ModelSpec, table: pd.DataFrame) -> list[str]:
    """Which of the printed stars stay clear in each posterior, a sentence each."""
    if "printed stars" not in table:
        return []
    starred = table[(table["printed stars"].fillna("") != "") & table["printed"].notna()]
    lines = []
    names = [str(column)[:-3] for column in table if str(column).endswith(" pd")]
    for name in [name for name in names if "print" not in name]:
        known = starred[starred[name].notna()]
        if known.empty:
            continue
        clear = (known[f"{name} pd"] > CLEAR) & (np.sign(known[name]) == np.sign(known["printed"]))
        lost = "; ".join(spec.label(str(term)) for term in known.index[~clear])
        lines.append(
            f"{name.capitalize()}: {int(clear.sum())} of {len(known)} starred coefficients keep their sign with a"
            f" probability over {100 * CLEAR:g} %" + (f"; not so {lost}." if lost else ".")
        )
    return lines


def error_remarks(spec: ModelSpec, table: pd.DataFrame) -> list[str]:
    """Standard errors of refits that are far from the printed ones, a sentence a refit."""
    printed = table.get("printed std_error", pd.Series(dtype=float)).dropna()
    printed = printed[(printed > 0) & ~printed.index.astype(str).str.startswith("variance_")]
    lines = []
    for head in [str(column) for column in table if str(column).endswith(" std_error")] if len(printed) else []:
        times = (table[head][printed.index].astype(float) / printed).dropna()
        far = times[(times > FAR) | (times < 1 / FAR)].sort_values(ascending=False)
        told = "; ".join(
            f"{spec.label(str(term))} {table[head][term]:.3f}, {times[term]:.1f} times the printed {printed[term]:.3f}"
            for term in far.index
        )
        if told:
            lines.append(
                f"{head.removesuffix(' std_error')}: {len(far)} of {len(times)} standard errors are more than"
                f" {FAR:g} times the printed ones, or less than 1/{FAR:g} of them: {told}. An error hangs on how"
                " predictors go together and on how it is computed, and a table prints neither."
            )
    return lines


def context_remarks(spec: ModelSpec, table: pd.DataFrame) -> list[str]:
    """What letting groups vary does to coefficients of predictors that describe groups."""
    if "groups vary sd" not in table or "OLS std_error" not in table:
        return []
    lines = []
    cells: dict[Any, dict[Any, Any]] = table.to_dict("index")
    for term, row in cells.items():
        owner = spec.variable(base(str(term)))
        if owner is None or not owner.group or not row["OLS std_error"] > 0:
            continue
        people, places = row["OLS std_error"], row["groups vary sd"]
        lines.append(
            f"{spec.label(str(term))} describes each {spec.mention(owner.group)}, not each person. Least squares"
            f" counts people and gives a standard error of {people:.3f}; where groups may differ for other reasons"
            f" too, the posterior sd is {places:.3f}, {places / people:.1f} times that."
        )
    return lines


def place_remarks(spec: ModelSpec, table: pd.DataFrame, tree: xr.DataTree) -> list[str]:
    """What letting groups vary does to coefficients of predictors in which people of some groups do not differ.

    ``spec``: of the printed model. ``table``: of a replication. ``tree``: posterior of the counterpart; nothing is said
    of one without groups.
    """
    if "groups vary sd" not in table or "OLS std_error" not in table:
        return []
    design = design_of(tree)
    lines = []
    for group in design.groups:
        count, places = len(group.levels), spec.mention(group.name)
        for place, term in enumerate(design.terms):
            silent, share = _between(design.x[:, place], group.codes)
            owner = spec.variable(base(term))
            if not 0 < silent < count or share < LITTLE or (owner is not None and owner.group):
                continue
            errors = table[["OLS std_error", "groups vary sd"]].loc[term].to_numpy(dtype=float)
            lines.append(
                f"{spec.label(term)}: in {silent} of {count} groups of {places} nobody differs in it, and"
                f" {100 * share:.0f} % of its variance lies between groups. To this extent its coefficient compares"
                f" {count} groups, and whatever else is different there counts as its effect. Least squares counts"
                f" {design.n:,} people and gives a standard error of {errors[0]:.3f}; where groups may differ for other"
                f" reasons too, the posterior sd is {errors[1]:.3f}, {errors[1] / errors[0]:.1f} times that."
            )
    return lines


def _between(column: Array, codes: Codes) -> tuple[int, float]:
    """In how many groups a column is constant, and which share of its variance lies between groups."""
    by_group = pd.Series(column).groupby(codes)
    silent = int((by_group.max() == by_group.min()).sum())
    total = float(column.var(ddof=1))
    return silent, float(by_group.transform("mean").var()) / total if total > 0 else 0.0


def factor_remarks(results: dict[str, xr.DataTree]) -> list[str]:
    """What stands in place of an index where a latent factor does, and how much of an index is error.

    ``results``: of a replication.
    """
    lines = []
    for name, tree in results.items():
        if "posterior" not in tree.children or "reliability" not in tree["posterior"]:
            continue
        spec = ModelSpec.from_json(tree.attrs["spec"])
        draws = tree["posterior"]["reliability"]
        several = len(spec.factors) > 1
        for factor in spec.factors:
            own = draws.sel(factor=factor.name)
            low, high = (100 * float(end) for end in own.quantile([0.025, 0.975]))
            lines.append(
                f"{name.capitalize()}: {spec.label(factor.name)} is what {len(factor.items)} items have in common"
                f" ({', '.join(spec.label(item) for item in factor.items)}). Of the variance of their sum, each in its"
                f" sd, {100 * float(own.mean()):.0f} % [{low:.0f}, {high:.0f}] is the factor's, the rest error of the"
                " answers."
                + (
                    " Two items alone cannot say which of them measures better; the prior does."
                    * (len(factor.items) == 2)
                )
            )
        of_what = "the weighted sum of the factors" if several else "the factor"
        lines.append(
            f"{name.capitalize()}: coefficients are in sds of {of_what}, as those of the index are in sds of the index,"
            " which contains the errors."
            + (
                " The factors' residuals are correlated; the weights are those under which the printed coefficients of"
                " the parts add up to the printed ones of the whole." * several
            )
        )
    return lines


def number_remarks(spec: ModelSpec, numbers: xr.DataTree, effects: pd.DataFrame) -> list[str]:
    """Where it mattered that ordered answers were taken as numbers.

    ``spec``: of the ordered model. ``numbers``: posterior of the model that takes the answers as numbers. ``effects``:
    average effects by both, from a replication.
    """
    design = design_of(numbers)
    values = {
        name: draws[:: max(1, len(draws) // DRAWS)]
        for name, draws in parameters(numbers["posterior"].to_dataset()).items()
    }
    eta = linear_predictor(Rows.of(design), values)
    drawn = draw_outcomes(design, eta, values, np.random.default_rng(int(numbers.attrs["seed"])))
    low, high = design.y.min(), design.y.max()
    outside = 100 * float(((drawn < low - 0.5) | (drawn > high + 0.5)).mean())
    lines = [
        f"Taken as numbers, {outside:.1f} % of the answers that the model predicts would round to none of"
        f" {low:g} to {high:g}; ordered answers cannot leave the scale."
    ]
    distance = (effects[AS_NUMBERS] - effects["posterior"]) / effects["posterior sd"]
    sure = effects[["posterior pd", f"{AS_NUMBERS} pd"]] > CLEAR
    apart = effects[(distance.abs() > MATTERS) | (sure.iloc[:, 0] != sure.iloc[:, 1])]
    if apart.empty:
        furthest = str(distance.abs().idxmax())
        told = f"the largest difference is that of {spec.label(furthest)}, {abs(distance[furthest]):.1f} posterior sds"
        return [*lines, f"On the mean answer both models say the same of every predictor: {told}."]
    told = "; ".join(
        f"{spec.label(str(name))} {number(row['posterior'])} ordered, {number(row[AS_NUMBERS])} as numbers"
        f" (probability of direction {row['posterior pd']:.3f} and {row[f'{AS_NUMBERS} pd']:.3f})"
        for name, row in apart.to_dict("index").items()
    )
    return [
        *lines,
        f"Of {len(effects)} average effects on the mean answer {len(apart)} differ by more than {MATTERS:g} posterior"
        f" sds, or are clear ({CLEAR:.1%}) in one model only: {told}.",
    ]
