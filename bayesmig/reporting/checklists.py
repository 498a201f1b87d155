"""Guidelines of reporting, filled from a result as far as a result can fill them.

The guidelines are tables in ``guidelines/*.toml``: number, what the item asks, what the author must say, and the name
of the function below that knows what the result says of it. A function returns a text, or nothing.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmig.checking.diagnostics import check
from bayesmig.checking.predictive import predictive_check
from bayesmig.checking.robustness import power_scaling
from bayesmig.contract import schema
from bayesmig.contract.names import base, pieces
from bayesmig.errors import BayesmigError, closest, listing
from bayesmig.plots.expectations import prior_outcomes
from bayesmig.replication.remarks import number
from bayesmig.reporting.levels import PERSON, completed, level_of
from bayesmig.reporting.mathematics import equations, in_words, latex
from bayesmig.reporting.words import FAILED, check_line, completed_data, prior_rows, provenance, quantity, verdict
from bayesmig.results.intersections import Maihda
from bayesmig.results.summaries import coefficients, variance_components
from bayesmig.specification.model import ModelSpec

if TYPE_CHECKING:
    import xarray as xr

GUIDELINES = ("barg", "wambs", "jars", "level", "strobe", "maihda")
STATED, PARTLY, NOT_STATED, NOT_APPLICABLE = "stated", "partly", "not stated", "not applicable"
MOST = 8  # coefficients that an item names; the table has the others
FOLDER = files("bayesmig.reporting") / "guidelines"


def guideline(tree: xr.DataTree | Maihda, name: str, *, sensitivity: bool = True) -> pd.DataFrame:
    """A guideline of reporting, item by item, with what the result says of each.

    Parameters
    ----------
    tree : xarray.DataTree or Maihda
        A posterior that was fitted to data; for ``maihda`` both models of :func:`bayesmig.results.maihda`.
    name : {"barg", "wambs", "jars", "level", "strobe", "maihda"}
        ``barg``: Kruschke 2021; ``wambs``: Depaoli & van de Schoot 2017; ``jars``: the table for Bayesian techniques of
        Appelbaum et al. 2018; ``level``: multilevel analyses, Monsalves et al. 2020; ``strobe``: cross-sectional
        surveys, von Elm et al. 2007; ``maihda``: intersectional strata, Evans et al. 2024.
    sensitivity : bool
        Compute how far the priors matter (:func:`~bayesmig.checking.power_scaling`), which takes seconds, minutes with
        many thousand rows.

    Returns
    -------
    pandas.DataFrame
        Indexed by item: ``section``, ``asks`` (in our words), ``status`` (stated, partly, not stated, not applicable),
        ``said``, what the result says, and ``todo``, what the author must still say. ``attrs`` has ``name``, ``title``,
        ``source``, ``numbering``, which says whose numbers the items have, and ``count``, a line such as
        ``17 of 29 items stated, 2 in part, 9 for the author``.

    Raises
    ------
    BayesmigError
        For a guideline that is not there, or a tree that is no posterior with data.

    Notes
    -----
    What it means: "stated" says that the report holds the fact, not that the choice was right. A result knows its
    model, data and computation; why a question matters, how people were sampled and what was planned only its author
    knows.

    Examples
    --------
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"age": rng.normal(40, 9, 60), "trust": rng.normal(3, 1, 60)})
    >>> items = guideline(fit("trust ~ age", data, seed=1), "wambs")
    >>> items.loc["2", "status"], items.attrs["count"]
    ('stated', '7 of 10 items stated, 3 in part, 0 for the author')
    """
    if name not in GUIDELINES:
        raise BayesmigError(f"no guideline {name!r}{closest(name, GUIDELINES)}; there are {listing(GUIDELINES)}.")
    strata = tree if isinstance(tree, Maihda) else None
    tree = tree.additive if isinstance(tree, Maihda) else tree
    if schema.kind(tree) != "posterior" or "n_used" not in tree.attrs:
        raise BayesmigError("guideline needs a posterior that was fitted to data, from fit.")
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    subject = _Subject(tree, sensitivity, strata)
    frame = pd.DataFrame([_item(entry, subject) for entry in content["item"]]).set_index("item")
    frame.attrs["name"] = name
    frame.attrs.update({key: content[key] for key in ("title", "source", "numbering")}, count=_count(frame["status"]))
    return frame


def _item(entry: dict[str, str], subject: _Subject) -> dict[str, str]:
    found = FACTS[entry["fact"]](subject) if "fact" in entry else None
    said = found if isinstance(found, _Said) else _Said(found or "", entry.get("fills", STATED))
    status = said.status.replace("fully", STATED) if said.text else NOT_STATED
    return {
        "item": entry["number"],
        "section": entry["section"],
        "asks": entry["asks"],
        "status": status,
        "said": said.text,
        "todo": "" if status in (STATED, NOT_APPLICABLE) else entry["todo"],
    }


def _count(status: pd.Series[Any]) -> str:
    counts = {word: int((status == word).sum()) for word in (STATED, PARTLY, NOT_STATED, NOT_APPLICABLE)}
    line = (
        f"{counts[STATED]} of {len(status)} items stated, {counts[PARTLY]} in part, {counts[NOT_STATED]} for the author"
    )
    return line + (f", {counts[NOT_APPLICABLE]} not applicable" if counts[NOT_APPLICABLE] else "")


@dataclass(frozen=True)
class _Said:
    """What a result says, and how far that fills an item."""

    text: str
    status: str = STATED


@dataclass(frozen=True, eq=False)
class _Subject:
    """A result and what several items ask of it."""

    tree: xr.DataTree
    wants_sensitivity: bool
    strata: Maihda | None = None

    @cached_property
    def spec(self) -> ModelSpec:
        return completed(self.tree)

    @cached_property
    def draws(self) -> xr.Dataset:
        return self.tree["posterior"].to_dataset()

    @cached_property
    def checks(self) -> pd.DataFrame:
        return check(self.tree).set_index("check")

    @cached_property
    def components(self) -> pd.DataFrame:
        return variance_components(self.tree)

    @cached_property
    def data(self) -> pd.DataFrame:
        return schema.data_frame(self.tree)

    @property
    def groups(self) -> list[str]:
        return schema.groups(self.draws)

    @cached_property
    def diagnoses(self) -> pd.Series[Any] | None:
        """What the priors do to each parameter; nothing where it cannot be computed or was not asked for."""
        if not self.wants_sensitivity:
            return None
        try:
            return power_scaling(self.tree)["diagnosis"]
        except BayesmigError:  # such as weights of precision; the item is then left to the author
            return None

    def line(self, *names: str) -> str:
        """Checks as sentences."""
        rows = self.checks.reset_index()
        chosen = rows[rows["check"].isin(names)].to_dict("records")
        return "; ".join(check_line(row) + (" (failed)" if verdict(row) is FAILED else "") for row in chosen)

    def interval(self, row: pd.Series[Any]) -> str:
        return f"{number(row['estimate'])} [{number(row['eti95_lower'])}, {number(row['eti95_upper'])}]"


def _variables(subject: _Subject) -> str:
    spec = subject.spec
    described = [_described(spec, name) for name in sorted(spec.parsed.predictors, key=spec.formula.index)]
    outcome = " and ".join(_described(spec, name.strip()) for name in str(subject.tree.attrs["outcome"]).split(" + "))
    return f"Outcome: {outcome}. Predictors: {'; '.join(described) or 'none'}."


def _described(spec: ModelSpec, name: str) -> str:
    entry = spec.variable(name)
    if entry is None:
        return spec.label(name)
    if entry.is_categorical:
        levels = [entry.levels[level] + (" (reference)" if level == entry.reference else "") for level in entry.levels]
        return f"{entry.label}: {listing(levels, 20)}"
    return f"{entry.label} ({entry.unit})" if entry.unit else entry.label


def _likelihood(subject: _Subject) -> str:
    return " ".join(in_words(subject.tree))


def _formal_model(subject: _Subject) -> str:
    lines = "; ".join(latex(equation) for equation in equations(subject.tree))
    return f"Formula: {subject.spec.formula}. In LaTeX: {lines}."


def _priors(subject: _Subject) -> _Said:
    rows = prior_rows(subject.spec, subject.tree)
    said = "; ".join(f"{name}: {prior}" + (f" ({why.rstrip('.')})" if why else "") for name, prior, why in rows)
    return _Said(said + ".", STATED if all(why for _, _, why in rows) else PARTLY)


def _prior_outcomes(subject: _Subject) -> str | None:
    try:
        return str(prior_outcomes(subject.tree))
    except BayesmigError:  # such as flat priors; the report says which
        return None


def _software(subject: _Subject) -> str:
    versions = schema.read(subject.tree, "versions")
    return ", ".join(f"{name} {version}" for name, version in versions.items()) + f"; engine {_engine(subject)}."


def _engine(subject: _Subject) -> str:
    return str(subject.tree.attrs.get("engine", "not stated"))


def _is_independent(subject: _Subject) -> bool:
    return subject.tree.attrs.get("independent_draws") == "yes"


def _convergence(subject: _Subject) -> str:
    independent = "The draws are independent, no chain had to converge. " if _is_independent(subject) else ""
    return independent + subject.line("R-hat", "divergences", "E-BFMI", "interrupted") + "."


def _traces(subject: _Subject) -> _Said:
    """Convergence where a look at the traces is asked for too, which only independent draws make superfluous."""
    return _Said(_convergence(subject), STATED if _is_independent(subject) else PARTLY)


def _resolution(subject: _Subject) -> str:
    return subject.line("effective draws", "importance sampling") + "."


def _approximation(subject: _Subject) -> _Said:
    if _is_independent(subject):
        found = subject.line("Pareto k", "importance sampling")
        text = f"Importance sampling of the variance parameters, exact given them: {found or _engine(subject)}."
        return _Said(text)
    return _Said(f"Draws come from a Markov chain: {_engine(subject)}.", NOT_APPLICABLE)


def _independent_draws(subject: _Subject) -> str | None:
    if not _is_independent(subject):
        return None
    return "The draws are independent: more of them refine the picture and change nothing else."


def _autocorrelation(subject: _Subject) -> str:
    return _independent_draws(subject) or _resolution(subject)


def _computation(subject: _Subject) -> str:
    sizes = subject.draws.sizes
    return f"{_engine(subject)}: {sizes['chain']} chains of {sizes['draw']} kept draws; seed {_seed_of(subject)}."


def _seed_of(subject: _Subject) -> str:
    return str(subject.tree.attrs.get("seed", "not stated"))


def _seed(subject: _Subject) -> str | None:
    return f"Seed {_seed_of(subject)}." if "seed" in subject.tree.attrs else None


def _predictive(subject: _Subject) -> str | None:
    try:
        found = predictive_check(subject.tree)
    except BayesmigError:  # such as latent outcomes
        return None
    rows = [
        f"{' '.join(str(row[key]) for key in found.columns[: found.columns.get_loc('n')])} observed"
        f" {number(row['observed'])}, predicted {number(row['predicted'])}"
        f" [{number(row['eti95_lower'])}, {number(row['eti95_upper'])}]"
        for row in found.to_dict("records")
    ]
    return f"Posterior predictive check of all people together: {'; '.join(rows)}. {found.attrs['note']}"


def _posterior(subject: _Subject) -> str:
    table = coefficients(subject.tree)
    shown = [f"{quantity(subject.spec, str(term))} {subject.interval(row)}" for term, row in table[:MOST].iterrows()]
    if len(table) > MOST:
        shown.append(f"{len(table) - MOST} more in the table of coefficients")
    return f"Posterior means and 95 % equal-tailed intervals: {'; '.join(shown)}."


def _components(subject: _Subject) -> str:
    kept = [name for name in subject.components.index if str(name).startswith(("variance_", "rho_", "vpc_"))]
    shown = [f"{quantity(subject.spec, str(name))} {subject.interval(subject.components.loc[name])}" for name in kept]
    return f"Posterior means and 95 % equal-tailed intervals: {'; '.join(shown)}." if shown else ""


def _vpc(subject: _Subject) -> str:
    kept = [name for name in subject.components.index if str(name).startswith("vpc_")]
    shown = [f"{quantity(subject.spec, str(name))} {subject.interval(subject.components.loc[name])}" for name in kept]
    return f"{'; '.join(shown)}." if shown else ""


def _strata_made(subject: _Subject) -> str | None:
    if subject.strata is None:
        return None
    described = "; ".join(_described(subject.spec, name) for name in subject.strata.variables)
    return f"Strata are the combinations of {described}."


def _strata_sizes(subject: _Subject) -> str | None:
    if subject.strata is None:
        return None
    return ". ".join([_sizes(subject, subject.strata.group), *subject.strata.notes]) + "."


def _strata_scale(subject: _Subject) -> str | None:
    if subject.strata is None:
        return None
    words = "the outcome itself" if subject.spec.link == "identity" else f"the {subject.spec.link} of the outcome"
    return f"Positions add up on the scale of {words}; parts are shown as {subject.strata.strata.attrs['scale']}."


def _strata_vpc(subject: _Subject) -> str | None:
    return _of_strata(subject, {"vpc_null": "VPC of the null model", "vpc_additive": "of the additive model"})


def _strata_pcv(subject: _Subject) -> str | None:
    words = {"pcv": "Proportional change in variance", "additive_share": "additive share by the additive model alone"}
    return _of_strata(subject, words)


def _of_strata(subject: _Subject, words: dict[str, str]) -> str | None:
    if subject.strata is None:
        return None
    rows = subject.strata.summary.to_dict("index")
    said = [f"{text} {subject.interval(pd.Series(rows[name]))}" for name, text in words.items() if name in rows]
    return f"{'; '.join(said)} (posterior medians, 95 % equal-tailed intervals)." if said else None


def _strata_interactions(subject: _Subject) -> str | None:
    if subject.strata is None:
        return None
    table = subject.strata.strata
    clear = table[abs(table["probability"] - 0.5) > 0.475]
    named = [f"{stratum} {number(row['interaction'])}" for stratum, row in clear.iterrows()]
    return (
        f"Of {len(table)} strata {len(clear)} have an interaction on one side of zero with a probability of over 97.5 %"
        f"{': ' if named else ''}{listing(named) if named else ''}."
    )


def _no_bayes_factor(subject: _Subject) -> _Said:
    return _Said("This analysis computes no Bayes factor.", NOT_APPLICABLE)


def _no_averaging(subject: _Subject) -> _Said:
    return _Said("No models are averaged.", NOT_APPLICABLE)


def _prior_sensitivity(subject: _Subject) -> str | None:
    found = subject.diagnoses
    if found is None:
        return None
    said = [
        f"{words}: {listing((quantity(subject.spec, str(name)) for name in found.index[found == words]), 40)}"
        for words in found.unique()
    ]
    return f"Power scaling of all priors together. {'; '.join(said)}."


def _variance_priors(subject: _Subject) -> str | None:
    if subject.diagnoses is None:
        return None
    found = subject.diagnoses[subject.diagnoses.index.str.startswith(("tau_", "rho_", "sigma"))]
    said = [f"{quantity(subject.spec, str(name))}: {words}" for name, words in found.items()]
    return f"Power scaling: {'; '.join(said)}." if said else None


def _data_identity(subject: _Subject) -> str:
    digest = subject.tree.attrs.get("data_digest", "not stated")
    return f"{provenance(subject.tree).headline}; fingerprint {digest}. The specification is in the result as JSON."


def _varying(subject: _Subject) -> str:
    said = []
    for group in subject.groups:
        effects = [str(name) for name in subject.draws[schema.effect_dim(group)].to_numpy()]
        words = listing(map(subject.spec.heading, effects))
        correlated = ", correlated" if f"rho_{group}" in subject.draws else ""
        said.append(f"{words} varies by {subject.spec.mention(group)}{correlated}")
    return f"{'; '.join(said)}." if said else "Nothing varies between groups."


def _levels_of_variables(subject: _Subject) -> str:
    spec = subject.spec
    found: dict[str, list[str]] = {}
    for name in sorted(spec.parsed.predictors, key=spec.formula.index):
        found.setdefault(level_of(spec, subject.tree, name) or PERSON, []).append(spec.label(name))
    outcome = quantity(spec, str(subject.tree.attrs["outcome"]))
    said = "; ".join(f"{level}: {listing(names, 30)}" for level, names in found.items())
    return f"Outcome {outcome}: {PERSON.lower()}. {said}."


def _groups(subject: _Subject) -> str:
    people = f"{int(subject.tree.attrs['n_used']):,} rows"
    return "; ".join([people, *(_sizes(subject, group) for group in subject.groups)]) + "."


def _sizes(subject: _Subject, group: str) -> str:
    sizes = np.bincount(subject.tree["constant_data"][f"{group}_code"].to_numpy())
    label = quantity(subject.spec, group)
    return f"{label}: {len(sizes)} groups of {sizes.min()} to {sizes.max()} rows (median {np.median(sizes):g})"


def _flow(subject: _Subject) -> str:
    given, used = int(subject.tree.attrs["n_given"]), int(subject.tree.attrs["n_used"])
    groups = "; ".join(_sizes(subject, group) for group in subject.groups)
    return f"{given:,} rows given, {given - used:,} left out, {used:,} analysed" + (f"; {groups}." if groups else ".")


def _missing(subject: _Subject) -> str:
    if "imputations" in subject.tree.attrs:
        return f"{completed_data(subject.tree)} {_flow(subject)}"
    gaps = schema.read(subject.tree, "missing")
    counted = ", ".join(f"{quantity(subject.spec, name)} {count}" for name, count in gaps.items())
    if not counted:
        return f"No value is missing. {_flow(subject)}"
    how = "rows with a gap left out, which is right where gaps have nothing to do with the outcome given predictors"
    if subject.spec.impute:
        how = f"modelled with the parameters: {listing(subject.spec.impute)}; other rows with gaps left out"
    return f"Missing: {counted}. Treatment: {how}. {_flow(subject)}"


def _quantitative(subject: _Subject) -> str:
    spec = subject.spec
    scaled = [
        f"{quantity(spec, name)} (mean {by['mean']:.4g}, SD {by['sd']:.4g})"
        for name, by in schema.read(subject.tree, "scaling").items()
    ]
    plain = [
        _described(spec, name)
        for name in sorted(spec.parsed.predictors, key=spec.formula.index)
        if name in subject.data and name not in spec.standardise and not _is_categorical(subject, name)
    ]
    said = [f"Per standard deviation: {'; '.join(scaled)}"] if scaled else []
    said += [f"{'in' if said else 'In'} their own units: {'; '.join(plain)}"] if plain else []
    return "; ".join(said) + "." if said else "No predictor is a number."


def _is_categorical(subject: _Subject, name: str) -> bool:
    return isinstance(subject.data[name].dtype, pd.CategoricalDtype)


def _interactions(subject: _Subject) -> str:
    terms = [str(term) for term in subject.draws["term"].to_numpy()]
    pairs = dict.fromkeys(base(term) for term in terms if len(pieces(term)) > 1)
    return (
        f"Interactions in the model: {listing(map(subject.spec.label, pairs), 30)}." if pairs else "None in the model."
    )


def _sampling(subject: _Subject) -> _Said:
    weights = subject.spec.weights
    clustered = f"Varying effects by {listing(subject.groups)}." if subject.groups else "No groups."
    if weights is None:
        return _Said(f"No weights. {clustered}", PARTLY)
    return _Said(f"Weights: {weights}; {subject.line('survey weights', 'clusters')}. {clustered}", PARTLY)


def _descriptives(subject: _Subject) -> str:
    names = [name for name in subject.spec.parsed.predictors if name in subject.data]
    return f"{'; '.join(_summary(subject, name) for name in sorted(names, key=subject.spec.formula.index))}."


def _outcome_summary(subject: _Subject) -> str:
    names = [name for name in subject.spec.parsed.columns[:1] if name in subject.data]
    return f"{'; '.join(_summary(subject, name) for name in names)}." if names else ""


def _summary(subject: _Subject, name: str) -> str:
    """Mean and sd of a number, shares of levels, among the rows analysed and without weights."""
    column = subject.data[name]
    label = subject.spec.label(name)
    if _is_categorical(subject, name):
        entry = subject.spec.variable(name)
        shares = column.value_counts(normalize=True, sort=False)
        words = [f"{entry.levels.get(str(k), k) if entry else k} {100 * share:.1f} %" for k, share in shares.items()]
        return f"{label}: {', '.join(words)}"
    ends = f"{number(column.min())} to {number(column.max())}"
    return f"{label}: mean {number(column.mean())}, SD {number(column.std())}, {ends}"


FACTS: dict[str, Callable[[_Subject], str | _Said | None]] = {
    "approximation": _approximation,
    "autocorrelation": _autocorrelation,
    "components": _components,
    "computation": _computation,
    "convergence": _convergence,
    "data_identity": _data_identity,
    "descriptives": _descriptives,
    "flow": _flow,
    "formal_model": _formal_model,
    "groups": _groups,
    "independent_draws": _independent_draws,
    "interactions": _interactions,
    "levels_of_variables": _levels_of_variables,
    "likelihood": _likelihood,
    "missing": _missing,
    "no_averaging": _no_averaging,
    "no_bayes_factor": _no_bayes_factor,
    "outcome_summary": _outcome_summary,
    "posterior": _posterior,
    "predictive_check": _predictive,
    "prior_outcomes": _prior_outcomes,
    "prior_sensitivity": _prior_sensitivity,
    "priors": _priors,
    "quantitative": _quantitative,
    "resolution": _resolution,
    "sampling": _sampling,
    "seed": _seed,
    "software": _software,
    "strata_interactions": _strata_interactions,
    "strata_made": _strata_made,
    "strata_pcv": _strata_pcv,
    "strata_scale": _strata_scale,
    "strata_sizes": _strata_sizes,
    "strata_vpc": _strata_vpc,
    "traces": _traces,
    "variables": _variables,
    "variance_priors": _variance_priors,
    "varying": _varying,
    "vpc": _vpc,
}
