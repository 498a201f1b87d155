"""What the report and the command line say in the same words: numbers, quantities, provenance."""

from __future__ import annotations

import numbers
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.data.design import UNIFORM
from bayesmig.errors import listing
from bayesmig.families.registry import scalars
from bayesmig.plots.labels import TermRow, term_rows
from bayesmig.printed.auditing.intervals import decimals
from bayesmig.printed.literature import WHOLE_SAMPLE
from bayesmig.replication.papers import Replication
from bayesmig.replication.remarks import CLEAR, MINUS, number
from bayesmig.replication.verdicts import Verdicts
from bayesmig.results.summaries import coefficients, variance_components
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.neighbours import grouped_by
from bayesmig.specification.priors import Prior

MOST_TOLD = 3  # coefficients, and sentences, at the top of a page
NOISE = 1e-9  # of an error: smaller estimates are rounding, as the intercept of standardised columns

ROLES = {
    "intercept": "Outcome at the predictors' means",
    "slopes": "Coefficients",
    "tau": "SDs of varying effects",
    "rho": "Correlations of varying effects",
    "sigma": "Residual SD",
    "cut": "Thresholds at the predictors' means",
    "nu": "Degrees of freedom",
    "dispersion": "Dispersion",
    "loading": "Loadings",
    "item_intercept": "Items at the predictors' means",
    "item_sd": "Residual SDs of items",
}
MEANING = (
    "These data are not a survey. They were generated so that the published model, fitted to them, gives back the"
    " printed table. They are good for learning the method, planning a sample and testing how sensitive a result is."
    " They are never evidence about people: a result that agrees with the paper agrees because it was made to."
)


@dataclass(frozen=True)
class Provenance:
    """Where the data come from, in a headline and a sentence or two."""

    reconstructed: bool
    headline: str
    meaning: str


def provenance(tree: xr.DataTree) -> Provenance:
    """What a reader must know of the data before any number.

    >>> provenance(xr.DataTree(xr.Dataset(attrs={"provenance": "own data"}))).headline
    'Data: own data'
    """
    source = str(tree.attrs.get("provenance", "not stated"))
    if schema.RECONSTRUCTED in source:
        return Provenance(True, "Reconstructed data: not evidence", MEANING)
    meaning = "Supplied by the analyst and used as they came." if source == "own data" else ""
    return Provenance(False, f"Data: {source}", meaning)


def estimator_of(tree: xr.DataTree) -> str:
    """The estimator of an estimate, as in ``REML``."""
    return str(tree.attrs.get("estimator", "")).upper()


def method_of(tree: xr.DataTree) -> str:
    """What computed a result: an estimator and its errors, an engine and its seed, or where it is printed."""
    attrs, kind = tree.attrs, schema.kind(tree)
    if kind == "published":
        return ", ".join(schema.read(tree, "printed")) if "printed" in attrs else "print"
    if kind == "estimate":
        parts = [estimator_of(tree)]
        if "degrees_of_freedom" in attrs:
            parts.append(f"degrees of freedom of {str(attrs['degrees_of_freedom']).title()}")
        parts += [f"{attrs['errors']} errors"] if attrs.get("errors", "classical") != "classical" else []
    else:
        parts = [str(attrs.get("engine", "not stated")).partition("(")[0], f"seed {attrs.get('seed', 'not stated')}"]
        parts += [f"intervals adjusted for {attrs['clusters']} clusters"] if "adjusted" in attrs else []
    parts += [f"pooled over {attrs['imputations']} completed data sets"] if "imputations" in attrs else []
    return ", ".join(parts)


def completed_data(tree: xr.DataTree) -> str:
    """What a reader must know of values that were missing, where the rows given have no gap."""
    if "imputations" not in tree.attrs:
        return "No value is missing."
    spec = ModelSpec.from_json(tree.attrs["spec"])
    filled = ", ".join(f"{quantity(spec, name)} {count}" for name, count in schema.read(tree, "imputed").items())
    return f"Missing values were filled beforehand: {tree.attrs['imputations']} completed data sets, pooled ({filled})."


def cell(value: object) -> str:
    """One cell of a table as text; nothing for a missing value."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}".replace("-", MINUS)
    if isinstance(value, numbers.Real):
        return number(float(value))
    return "" if value is None or value is pd.NA else re.sub(r"(?<![\w.])-(?=\d)", MINUS, str(value))


def quantity(spec: ModelSpec, name: str) -> str:
    """A term or a variance component in words.

    >>> quantity(ModelSpec("trust ~ age + (1 | area)"), "tau_area[intercept]")
    'Area: SD of the intercept'
    """
    if is_component(spec, name):
        squared = name.startswith("variance_")
        stem, _, effect = name.removeprefix("variance_").removesuffix("]").partition("[")
        kind, _, group = stem.partition("_")
        if kind == "psi":  # of a latent factor, which stands in brackets
            group, effect = effect, ""
        elif kind == "sd":
            return _components()[kind].format(effect=spec.label(effect))
        elif stem == "rho_factor" and spec.factors:
            kind, group = "factors", ""
        elif stem.startswith("rho_bym2("):
            kind = "shared"
        effects = ", ".join(spec.label(part) for part in re.split(r",(?![^\[]*\])", effect)) or "intercept"
        words = _components()[kind].format(effect=effects).replace("SD", "variance" if squared else "SD")
        return f"{spec.heading(group)}: {words}" if group else words[:1].upper() + words[1:]
    return spec.heading(name)


def is_component(spec: ModelSpec, name: str) -> bool:
    """Whether a quantity is a variance component, and no term of the formula that is called like one."""
    stem = name.partition("[")[0]
    called = re.search(rf"(?<!\w){re.escape(stem)}(?!\w)", spec.formula)
    return not called and stem.removeprefix("variance_").partition("_")[0] in _components()


def prior_rows(spec: ModelSpec, tree: xr.DataTree) -> list[tuple[str, str, str]]:
    """Parameter, prior, reason; roles that this model does not have are left out."""
    draws = tree["posterior"].to_dataset()
    grouped = bool(schema.groups(draws))
    absent = {
        "intercept": "intercept" not in draws["term"].to_numpy(),
        "tau": not grouped,
        "sigma": "sigma" not in draws and "psi" not in draws,
        "cut": "cut" not in draws and "item_cut" not in draws,
        **{name: name not in draws for name in ("nu", "dispersion", "loading", "item_intercept", "item_sd")},
        "rho": not any(str(name).startswith("rho_") and not grouped_by(str(name)[4:]) for name in draws.data_vars),
    }
    alike = [str(name) for name in draws.data_vars if str(name).startswith("rho_") and grouped_by(str(name)[4:])]
    rows = [(words, getattr(spec.priors, role)) for role, words in ROLES.items() if not absent.get(role)]
    rows += [(_of_alike(spec, draws, name), UNIFORM) for name in alike if name not in spec.priors.specific]
    rows += [("SDs of curves", spec.priors.tau)] if "sd_smooth" in draws else []
    own = [parameter for parameter in spec.distribution.own if parameter.name not in (*ROLES, *spec.priors.specific)]
    rows += [(parameter.label.capitalize(), spec.priors.own(parameter)) for parameter in own]
    rows += [
        (_of_alike(spec, draws, name) if name in alike else quantity(spec, name), prior)
        for name, prior in spec.priors.specific.items()
    ]
    return [(words, _prior_text(prior), prior.why) for words, prior in rows]


def _of_alike(spec: ModelSpec, draws: xr.Dataset, name: str) -> str:
    """The one number that says how far effects are alike, in words."""
    return quantity(spec, f"{name}[{draws[schema.pair_dim(name[4:])].item()}]")


def _prior_text(prior: Prior) -> str:
    return str(prior).removesuffix(" x sd") + (", in SDs of the outcome" if prior.relative else "")


def table_rows(spec: ModelSpec, names: Iterable[str]) -> list[TermRow]:
    """Rows of a table of terms and variance components, in words."""
    given = list(names)
    terms = [name for name in given if not is_component(spec, name)]
    rest = [TermRow(quantity(spec, name), -1, name) for name in given if is_component(spec, name)]
    return term_rows(spec, terms) + rest


def _components() -> dict[str, str]:
    """What variance components and families' own parameters are called."""
    return _COMPONENTS | {name: parameter.label for name, parameter in scalars().items()}


_COMPONENTS = {
    "tau": "SD of the {effect}",
    "vpc": "share of the variance (VPC)",
    "mor": "median odds ratio",
    "rho": "correlation of effects ({effect})",
    "shared": "share of the variance that neighbours have in common",
    "psi": "residual SD",
    "sd": "SD around the {effect}",
    "factors": "residual correlation of {effect}",
}


@dataclass(frozen=True)
class Verdict:
    """What a line of checks says at its beginning, and how that is coloured."""

    text: str
    kind: Literal["passed", "failed", "note"]
    style: str


VERDICTS = {
    found.kind: found
    for found in (
        Verdict("✓ passed", "passed", "green"),
        Verdict("✗ failed", "failed", "bold red"),
        Verdict("· note", "note", "dim"),
    )
}


FAILED = VERDICTS["failed"]


def verdict(check: Mapping[Hashable, object]) -> Verdict:
    """Whether a check passed or failed, or is a note, which nothing can pass."""
    return VERDICTS[check["verdict"]]  # type: ignore[index]


def tally(checks: Sequence[Mapping[Hashable, object]]) -> str:
    """How many checks passed, in words; notes are none.

    >>> tally([{"verdict": "passed"}, {"verdict": "passed"}, {"verdict": "note"}])
    'All 2 checks passed.'
    """
    kinds = [verdict(check).kind for check in checks]
    failed, total = kinds.count("failed"), len(kinds) - kinds.count("note")
    if failed:
        return f"{failed} of {total} checks failed: read every number below with that in mind."
    return f"All {total} checks passed."


def check_line(check: Mapping[Hashable, object]) -> str:
    """One check as a line: what was looked at, what came, what was allowed.

    >>> check_line({"check": "R-hat", "value": 1.002, "threshold": 1.01, "message": "largest over all parameters"})
    'R-hat 1.002 (threshold 1.01): largest over all parameters'
    """
    value, threshold, message = (str(check[key]) for key in ("value", "threshold", "message"))
    name = f"{check['result']}: {check['check']}" if check.get("result") else str(check["check"])
    if isinstance(check["value"], bool | np.bool_) or message.startswith(value):
        return f"{name}: {message}"
    limit = threshold if threshold[:1].isalpha() else f"threshold {threshold}"
    return f"{name} {cell(value)}" + (f" ({limit})" if threshold not in ("", "inf") else "") + f": {message}"


@dataclass(frozen=True)
class Column:
    """One result in a table for people: for every row a number, and what stands behind it in brackets."""

    head: str
    note: str
    cells: Mapping[str, tuple[str, str]]

    def __getitem__(self, row: str) -> tuple[str, str]:
        return self.cells.get(row, ("", ""))

    def within(self, rows: Iterable[str]) -> bool:
        """Whether there is anything to show in these rows."""
        return any(any(self[row]) for row in rows)


def frames_of(
    results: Mapping[str, xr.DataTree] | Iterable[str], table: pd.DataFrame | None = None
) -> dict[str, pd.DataFrame]:
    """A frame of coefficients and variance components for each result.

    They come from the table of a replication, which keeps printed variances as they were printed, if there is one.
    """
    if isinstance(results, Mapping) and table is None:
        return {name: pd.concat([coefficients(tree), variance_components(tree)]) for name, tree in results.items()}
    known = ("std_error", "sd", "stars", "claim", "pd", "ci95_lower", "ci95_upper", "eti95_lower", "eti95_upper")
    assert table is not None
    frames = {}
    for name in results:
        columns = {name: "estimate"} | {f"{name} {column}": column for column in known}
        frames[name] = table[[column for column in table if column in columns]].rename(columns=columns)
    return frames


def columns_of(frames: Mapping[str, pd.DataFrame], errors: bool = False) -> list[Column]:
    """Columns of the side-by-side table, the kind of interval in each head.

    ``frames``: from :func:`frames_of`. ``errors``: standard errors instead of intervals for estimates, which is
    narrower.

    >>> frame = pd.DataFrame({"estimate": [-0.403], "std_error": [0.094], "stars": ["***"]}, index=["area_poverty"])
    >>> columns_of({"printed": frame})[0]["area_poverty"]
    ('−0.403***', '(0.094)')
    """
    columns: list[Column] = []
    for name, frame in frames.items():
        if "claim" in frame:
            told = {str(row): (claim, "") for row, claim in frame["claim"].dropna().items()}
            columns.append(Column(name, "as the paper says", told))
        elif "stars" in frame:
            columns.append(Column(name, "estimate (SE)", _cells(frame, "std_error")))
        elif "std_error" in frame:
            note = "estimate (SE)" if errors else "estimate [95 % CI]"
            note = "estimate" if frame["std_error"].isna().all() else note
            columns.append(Column(name, note, _cells(frame, "std_error" if errors else "ci95")))
        else:
            columns.append(Column(name, "mean [95 % equal-tailed interval]", _cells(frame, "eti95")))
            if "pd" in frame and not any(column.head == "pd" for column in columns):
                direction = {str(row): (cell(value), "") for row, value in frame["pd"].items()}
                columns.append(Column("pd", "probability of direction", direction))
    return columns


def posterior_sentences(tree: xr.DataTree) -> list[str]:
    """Which coefficients are clear of zero, and how much lies between groups, a sentence each."""
    spec, terms = ModelSpec.from_json(tree.attrs["spec"]), coefficients(tree).drop(index="intercept", errors="ignore")
    order = (terms["estimate"] / terms["sd"]).abs().sort_values(ascending=False).index
    clear = [str(term) for term in order if terms["pd"][term] > CLEAR]
    cells = _cells(terms, "eti95")
    told = [f"{quantity(spec, term)} {' '.join(cells[term])}" for term in clear[:MOST_TOLD]]
    what = f"{len(clear)} of {len(terms)} coefficients have one sign with a probability over {100 * CLEAR:g} %"
    lines = [what + (f", the clearest of them {listing(told)} (mean and 95 % interval)." if told else ".")]
    components = variance_components(tree)
    for name in [str(name) for name in components.index if str(name).startswith("vpc_")]:
        share = components.loc[name, ["estimate", "eti95_lower", "eti95_upper"]].astype(float) * 100
        lines.append(
            f"{quantity(spec, name)}: {share.iloc[0]:.0f} % [{share.iloc[1]:.0f}, {share.iloc[2]:.0f}] of what the"
            " predictors leave unexplained."
        )
    return lines[:MOST_TOLD] if len(terms) else lines[1 : MOST_TOLD + 1]


def effect_table(result: Replication) -> tuple[str, list[Column], list[TermRow]] | None:
    """Caption, columns and rows of a replication's average effects, if it has any."""
    if result.effects is None:
        return None
    table = result.effects
    names = [str(name) for name in table if {f"{name} sd", f"{name} std_error"} & set(table)]
    on = "the mean answer" if result.spec.distribution.outcome == "ordered" else "the expected outcome"
    on = "the probability" if result.spec.distribution.outcome == "binary" else on
    caption = f"Average effects on {on}" + (
        ", over all groups there could be" if result.spec.formula.count("|") else ""
    )
    return caption, columns_of(frames_of(names, table)), table_rows(result.spec, list(map(str, table.index)))


def ratio_columns(
    spec: ModelSpec, results: Mapping[str, xr.DataTree], table: pd.DataFrame | None = None
) -> list[Column]:
    """Columns of odds or rate ratios; none where the link has no ratios.

    They come from the table of a replication, which holds printed ratios and p, if there is one.
    """
    ratio = spec.distribution.ratio_of(spec.link)
    if not ratio:
        return []
    columns = []
    for name, tree in results.items():
        if table is None:
            frame = coefficients(tree, exponentiate=True)
        else:
            heads = {column: str(column).removeprefix(f"{name} ").removeprefix("ratio ") for column in table}
            kept = [column for column in table if str(column).startswith((f"{name} ratio", f"{name} p"))]
            frame = table[kept].rename(columns=heads).rename(columns={"ratio": "estimate"})
        if "estimate" in frame:
            told = frame[frame["estimate"].notna()].drop(index="intercept", errors="ignore")
            columns.append(_ratio_column(name, told, ratio))
    return columns


def _ratio_column(name: str, frame: pd.DataFrame, word: str) -> Column:
    if "eti95_lower" in frame:
        return Column(name, f"mean {word} [95 % equal-tailed interval]", _cells(frame, "eti95"))
    if "ci95_lower" in frame:
        return Column(name, f"{word} [95 % CI]", _cells(frame, "ci95"))
    p = frame.get("p", pd.Series(np.nan, frame.index))
    shown = zip(frame["estimate"], p, strict=True)
    cells = [
        (number(ratio), f"(p {chance})" if pd.notna(ratio) and pd.notna(chance) else "") for ratio, chance in shown
    ]
    return Column(name, f"{word} (p)" if "p" in frame else word, dict(zip(map(str, frame.index), cells, strict=True)))


def settled(value: float, error: float) -> float:
    """A value, or zero where it is no more than rounding beside its error.

    >>> settled(-5.8e-16, 0.04), settled(1.7e-31, float("nan"))
    (0.0, 1.7e-31)
    """
    return 0.0 if abs(value) < NOISE * error else value


def _cells(frame: pd.DataFrame, behind: str) -> dict[str, tuple[str, str]]:
    """Numbers, and their standard error or interval, by row."""
    stars = frame["stars"].fillna("") if "stars" in frame else pd.Series("", frame.index)
    errors = next((frame[name] for name in ("sd", "std_error") if name in frame), stars.map(lambda _: np.nan))
    if behind == "std_error":
        brackets = [f"({number(error, error)})" if pd.notna(error) else "" for error in frame["std_error"]]
    else:
        bounds = zip(frame[f"{behind}_lower"], frame[f"{behind}_upper"], errors, strict=True)
        brackets = [f"[{number(low, e)}, {number(high, e)}]" if pd.notna(low) else "" for low, high, e in bounds]
    points = map(number, map(settled, frame["estimate"], errors), errors)
    numbers_shown = [point + str(mark) for point, mark in zip(points, stars, strict=True)]
    return dict(zip(map(str, frame.index), zip(numbers_shown, brackets, strict=True), strict=True))


def claim_table(found: Verdicts) -> tuple[str, list[Column], list[TermRow]]:
    """What paper, print and refits say of hypotheses, for a table."""
    stated = [each for each in found.study.hypotheses if each.name in found.sentences]
    rows = [TermRow(f"{each.name}: {each.words or each.text}", k, each.name) for k, each in enumerate(stated)]
    columns = [Column("verdict", "the paper's", {each.name: (each.printed, "") for each in stated})]
    for result, source in found.provenance.items():
        cells = {each.name: (found.probability(each.name, result), "") for each in stated}
        columns.append(Column(result, source, cells))
    return "Hypotheses, and the probability that each holds", columns, rows


def descriptive_table(result: Replication) -> tuple[str, list[Column], list[TermRow]] | None:
    """Printed shares, means and counts beside those of a researcher's own data, if there are any."""
    found = result.descriptives
    if found is None or result.reconstruction is not None or not found["honoured"].notna().any():
        return None
    found = found[found["honoured"].notna()]
    rows, cells = [], []
    for k, row in enumerate(found.to_dict("records")):
        name = result.spec.label(f"{row['variable']}[{row['level']}]" if row["level"] else row["variable"])
        of_whom = "" if row["group"] in WHOLE_SAMPLE else f", {row['group'].replace('_', ' ')}"
        rows.append(TermRow(f"{row['table']}: {row['statistic']} of {name}{of_whom}", k, str(k)))
        digits = decimals(row["printed"]) + (row["statistic"] != "n")
        cells.append((row["printed"], f"{row['obtained']:.{digits}f}".replace("-", MINUS)))
    columns = [
        Column("printed", "the paper's people", {str(k): (printed, "") for k, (printed, _) in enumerate(cells)}),
        Column("own data", "yours", {str(k): (obtained, "") for k, (_, obtained) in enumerate(cells)}),
    ]
    return "The paper's people and yours", columns, rows


def range_table(results: Sequence[Replication]) -> tuple[str, list[Column], list[TermRow]] | None:
    """In how many variants of what is not printed each hypothesis stays clear, if variants were fitted."""
    found = [(result.model, result.ranges) for result in results if result.ranges is not None and len(result.ranges)]
    if not found:
        return None
    whole = pd.concat([ranges.assign(model=model) for model, ranges in found], ignore_index=True)
    whole["row"] = whole["hypothesis"] + (", " + whole["model"] if len(found) > 1 else "")
    rows = [TermRow(name, k, name) for k, name in enumerate(whole["row"].unique())]
    columns = []
    for over, part in whole.groupby("over", sort=False):
        cells = {
            row["row"]: (f"{row['for']} of {row['variants']}", f"{row['lowest']:.3f} to {row['highest']:.3f}")
            for row in part.to_dict("records")
        }
        columns.append(Column(str(over), "", cells))
    return (
        "In how many variants each hypothesis has a probability over 0.975, and from what to what it goes",
        columns,
        rows,
    )
