"""Guidelines of reporting, filled from a result as far as a result can fill them.

The guidelines are tables in ``guidelines/*.toml``: number, what the item asks, what the author must say, and the name
of the method of :class:`Subject` that knows what the result says of it. A method returns a text, or nothing.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.checking.diagnostics import check
from bayesmig.checking.predictive import predictive_check
from bayesmig.checking.robustness import power_scaling
from bayesmig.contract import schema
from bayesmig.contract.names import base, pieces
from bayesmig.errors import BayesmigError, listing, require
from bayesmig.plots.expectations import prior_outcomes
from bayesmig.replication.remarks import number
from bayesmig.reporting.levels import PERSON, completed, level_of
from bayesmig.reporting.mathematics import equations, in_words, latex
from bayesmig.reporting.words import FAILED, check_line, completed_data, prior_rows, provenance, quantity, verdict
from bayesmig.results.intersections import Maihda
from bayesmig.results.summaries import coefficients, variance_components
from bayesmig.specification.model import ModelSpec

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
    require([name], GUIDELINES, "no guideline ")
    strata = tree if isinstance(tree, Maihda) else None
    tree = tree.additive if isinstance(tree, Maihda) else tree
    if schema.kind(tree) != "posterior" or "n_used" not in tree.attrs:
        raise BayesmigError("guideline needs a posterior that was fitted to data, from fit.")
    content = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    subject = Subject(tree, sensitivity, strata)
    frame = pd.DataFrame([_item(entry, subject) for entry in content["item"]]).set_index("item")
    frame.attrs["name"] = name
    frame.attrs.update({key: content[key] for key in ("title", "source", "numbering")}, count=_count(frame["status"]))
    return frame


def _item(entry: dict[str, str], subject: Subject) -> dict[str, str]:
    found: _Said | str | None = getattr(subject, entry["fact"])() if "fact" in entry else None
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
class Subject:
    """A result, what several items ask of it, and a method for each fact."""

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
    def variances(self) -> pd.DataFrame:
        return variance_components(self.tree)

    @cached_property
    def data(self) -> pd.DataFrame:
        return schema.data_frame(self.tree)

    @property
    def factors(self) -> list[str]:
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

    def _line(self, *names: str) -> str:
        """Checks as sentences."""
        rows = self.checks.reset_index()
        chosen = rows[rows["check"].isin(names)].to_dict("records")
        return "; ".join(check_line(row) + (" (failed)" if verdict(row) is FAILED else "") for row in chosen)

    def _interval(self, row: pd.Series[Any]) -> str:
        return f"{number(row['estimate'])} [{number(row['eti95_lower'])}, {number(row['eti95_upper'])}]"

    def variables(self) -> str:
        spec = self.spec
        described = [_described(spec, name) for name in spec.predictor_columns]
        outcome = " and ".join(_described(spec, name.strip()) for name in str(self.tree.attrs["outcome"]).split(" + "))
        return f"Outcome: {outcome}. Predictors: {'; '.join(described) or 'none'}."

    def likelihood(self) -> str:
        return " ".join(in_words(self.tree))

    def formal_model(self) -> str:
        lines = "; ".join(latex(equation) for equation in equations(self.tree))
        return f"Formula: {self.spec.written}. In LaTeX: {lines}."

    def priors(self) -> _Said:
        rows = prior_rows(self.spec, self.tree)
        said = "; ".join(f"{name}: {prior}" + (f" ({why.rstrip('.')})" if why else "") for name, prior, why in rows)
        return _Said(said + ".", STATED if all(why for _, _, why in rows) else PARTLY)

    def prior_outcomes(self) -> str | None:
        try:
            return str(prior_outcomes(self.tree))
        except BayesmigError:  # such as flat priors; the report says which
            return None

    def software(self) -> str:
        versions = schema.read(self.tree, "versions")
        return ", ".join(f"{name} {version}" for name, version in versions.items()) + f"; engine {self._engine()}."

    def _engine(self) -> str:
        return str(self.tree.attrs.get("engine", "not stated"))

    def _is_independent(self) -> bool:
        return self.tree.attrs.get("independent_draws") == "yes"

    def convergence(self) -> str:
        independent = "The draws are independent, no chain had to converge. " if self._is_independent() else ""
        return independent + self._line("R-hat", "divergences", "E-BFMI", "interrupted") + "."

    def traces(self) -> _Said:
        """Convergence where a look at the traces is asked for too, which only independent draws make superfluous."""
        return _Said(self.convergence(), STATED if self._is_independent() else PARTLY)

    def resolution(self) -> str:
        return self._line("effective draws", "importance sampling") + "."

    def approximation(self) -> _Said:
        if self._is_independent():
            found = self._line("Pareto k", "importance sampling")
            text = f"Importance sampling, exact but for the error of weights: {found or self._engine()}."
            return _Said(text)
        return _Said(f"Draws come from a Markov chain: {self._engine()}.", NOT_APPLICABLE)

    def independent_draws(self) -> str | None:
        if not self._is_independent():
            return None
        return "The draws are independent: more of them refine the picture and change nothing else."

    def autocorrelation(self) -> str:
        return self.independent_draws() or self.resolution()

    def computation(self) -> str:
        sizes = self.draws.sizes
        return f"{self._engine()}: {sizes['chain']} chains of {sizes['draw']} kept draws; seed {self._seed_of()}."

    def _seed_of(self) -> str:
        return str(self.tree.attrs.get("seed", "not stated"))

    def seed(self) -> str | None:
        return f"Seed {self._seed_of()}." if "seed" in self.tree.attrs else None

    def predictive_check(self) -> str | None:
        try:
            found = predictive_check(self.tree)
        except BayesmigError:  # such as latent outcomes
            return None
        rows = [
            f"{' '.join(str(row[key]) for key in found.columns[: found.columns.get_loc('n')])} observed"
            f" {number(row['observed'])}, predicted {number(row['predicted'])}"
            f" [{number(row['eti95_lower'])}, {number(row['eti95_upper'])}]"
            for row in found.to_dict("records")
        ]
        return f"Posterior predictive check of all people together: {'; '.join(rows)}. {found.attrs['note']}"

    def posterior(self) -> str:
        table = coefficients(self.tree)
        shown = [f"{quantity(self.spec, str(term))} {self._interval(row)}" for term, row in table[:MOST].iterrows()]
        if len(table) > MOST:
            shown.append(f"{len(table) - MOST} more in the table of coefficients")
        return f"Posterior means and 95 % equal-tailed intervals: {'; '.join(shown)}."

    def components(self) -> str:
        kept = [name for name in self.variances.index if str(name).startswith(("variance_", "rho_", "vpc_"))]
        shown = [f"{quantity(self.spec, str(name))} {self._interval(self.variances.loc[name])}" for name in kept]
        return f"Posterior means and 95 % equal-tailed intervals: {'; '.join(shown)}." if shown else ""

    def vpc(self) -> str:
        kept = [name for name in self.variances.index if str(name).startswith("vpc_")]
        shown = [f"{quantity(self.spec, str(name))} {self._interval(self.variances.loc[name])}" for name in kept]
        return f"{'; '.join(shown)}." if shown else ""

    def strata_made(self) -> str | None:
        if self.strata is None:
            return None
        described = "; ".join(_described(self.spec, name) for name in self.strata.variables)
        return f"Strata are the combinations of {described}."

    def strata_sizes(self) -> str | None:
        if self.strata is None:
            return None
        return ". ".join([self._sizes(self.strata.group), *self.strata.notes]) + "."

    def strata_scale(self) -> str | None:
        if self.strata is None:
            return None
        words = "the outcome itself" if self.spec.link == "identity" else f"the {self.spec.link} of the outcome"
        return f"Positions add up on the scale of {words}; parts are shown as {self.strata.strata.attrs['scale']}."

    def strata_vpc(self) -> str | None:
        return self._of_strata({"vpc_null": "VPC of the null model", "vpc_additive": "of the additive model"})

    def strata_pcv(self) -> str | None:
        words = {
            "pcv": "Proportional change in variance",
            "additive_share": "additive share by the additive model alone",
        }
        return self._of_strata(words)

    def _of_strata(self, words: dict[str, str]) -> str | None:
        if self.strata is None:
            return None
        rows = self.strata.summary.to_dict("index")
        said = [f"{text} {self._interval(pd.Series(rows[name]))}" for name, text in words.items() if name in rows]
        return f"{'; '.join(said)} (posterior medians, 95 % equal-tailed intervals)." if said else None

    def strata_interactions(self) -> str | None:
        if self.strata is None:
            return None
        table = self.strata.strata
        clear = table[abs(table["probability"] - 0.5) > 0.475]
        named = [f"{stratum} {number(row['interaction'])}" for stratum, row in clear.iterrows()]
        return (
            f"Of {len(table)} strata {len(clear)} have an interaction on one side of zero with a probability of over"
            f" 97.5 %{': ' if named else ''}{listing(named) if named else ''}."
        )

    def no_bayes_factor(self) -> _Said:
        return _Said("This analysis computes no Bayes factor.", NOT_APPLICABLE)

    def no_averaging(self) -> _Said:
        return _Said("No models are averaged.", NOT_APPLICABLE)

    def prior_sensitivity(self) -> str | None:
        found = self.diagnoses
        if found is None:
            return None
        said = [
            f"{words}: {listing((quantity(self.spec, str(name)) for name in found.index[found == words]), 40)}"
            for words in found.unique()
        ]
        return f"Power scaling of all priors together. {'; '.join(said)}."

    def variance_priors(self) -> str | None:
        if self.diagnoses is None:
            return None
        found = self.diagnoses[self.diagnoses.index.str.startswith(("tau_", "rho_", "sigma"))]
        said = [f"{quantity(self.spec, str(name))}: {words}" for name, words in found.items()]
        return f"Power scaling: {'; '.join(said)}." if said else None

    def data_identity(self) -> str:
        digest = self.tree.attrs.get("data_digest", "not stated")
        return f"{provenance(self.tree).headline}; fingerprint {digest}. The specification is in the result as JSON."

    def varying(self) -> str:
        said = []
        for group in self.factors:
            effects = [str(name) for name in self.draws[schema.effect_dim(group)].to_numpy()]
            words = listing(map(self.spec.heading, effects))
            correlated = ", correlated" if f"rho_{group}" in self.draws else ""
            said.append(f"{words} varies by {self.spec.mention(group)}{correlated}")
        return f"{'; '.join(said)}." if said else "Nothing varies between groups."

    def levels_of_variables(self) -> str:
        spec = self.spec
        found: dict[str, list[str]] = {}
        for name in spec.predictor_columns:
            found.setdefault(level_of(spec, self.tree, name) or PERSON, []).append(spec.label(name))
        outcome = quantity(spec, str(self.tree.attrs["outcome"]))
        said = "; ".join(f"{level}: {listing(names, 30)}" for level, names in found.items())
        return f"Outcome {outcome}: {PERSON.lower()}. {said}."

    def groups(self) -> str:
        people = f"{int(self.tree.attrs['n_used']):,} rows"
        return "; ".join([people, *(self._sizes(group) for group in self.factors)]) + "."

    def _sizes(self, group: str) -> str:
        sizes = schema.group_sizes(self.tree, group)
        label = quantity(self.spec, group)
        return f"{label}: {len(sizes)} groups of {sizes.min()} to {sizes.max()} rows (median {np.median(sizes):g})"

    def flow(self) -> str:
        given, used, what = schema.flow(self.tree)
        groups = "; ".join(self._sizes(group) for group in self.factors)
        return f"{given:,} {what} given, {given - used:,} left out, {used:,} analysed" + (
            f"; {groups}." if groups else "."
        )

    def missing(self) -> str:
        if "imputations" in self.tree.attrs:
            return f"{completed_data(self.tree)} {self.flow()}"
        gaps = schema.read(self.tree, "missing")
        counted = ", ".join(f"{quantity(self.spec, name)} {count}" for name, count in gaps.items())
        if not counted:
            return f"No value is missing. {self.flow()}"
        how = "rows with a gap left out, which is right where gaps have nothing to do with the outcome given predictors"
        if self.spec.impute:
            how = f"modelled with the parameters: {listing(self.spec.impute)}; other rows with gaps left out"
        return f"Missing: {counted}. Treatment: {how}. {self.flow()}"

    def quantitative(self) -> str:
        spec = self.spec
        scaled = [
            f"{quantity(spec, name)} (mean {by['mean']:.4g}, SD {by['sd']:.4g})"
            for name, by in schema.read(self.tree, "scaling").items()
        ]
        plain = [
            _described(spec, name)
            for name in spec.predictor_columns
            if name in self.data and name not in spec.standardise and not self._is_categorical(name)
        ]
        said = [f"Per standard deviation: {'; '.join(scaled)}"] if scaled else []
        said += [f"{'in' if said else 'In'} their own units: {'; '.join(plain)}"] if plain else []
        return "; ".join(said) + "." if said else "No predictor is a number."

    def _is_categorical(self, name: str) -> bool:
        return isinstance(self.data[name].dtype, pd.CategoricalDtype)

    def interactions(self) -> str:
        terms = [str(term) for term in self.draws["term"].to_numpy()]
        pairs = dict.fromkeys(base(term) for term in terms if len(pieces(term)) > 1)
        return (
            f"Interactions in the model: {listing(map(self.spec.label, pairs), 30)}." if pairs else "None in the model."
        )

    def sampling(self) -> _Said:
        weights = self.spec.weights
        clustered = f"Varying effects by {listing(self.factors)}." if self.factors else "No groups."
        if weights is None:
            return _Said(f"No weights. {clustered}", PARTLY)
        return _Said(f"Weights: {weights}; {self._line('survey weights', 'clusters')}. {clustered}", PARTLY)

    def descriptives(self) -> str:
        return f"{'; '.join(self._summary(name) for name in self.spec.predictor_columns if name in self.data)}."

    def outcome_summary(self) -> str:
        names = [name for name in self.spec.parsed.columns[:1] if name in self.data]
        return f"{'; '.join(self._summary(name) for name in names)}." if names else ""

    def _summary(self, name: str) -> str:
        """Mean and sd of a number, shares of levels, among the rows analysed and without weights."""
        column = self.data[name]
        label = self.spec.label(name)
        if self._is_categorical(name):
            entry = self.spec.variable(name)
            shares = column.value_counts(normalize=True, sort=False)
            words = [
                f"{entry.levels.get(str(k), k) if entry else k} {100 * share:.1f} %" for k, share in shares.items()
            ]
            return f"{label}: {', '.join(words)}"
        ends = f"{number(column.min())} to {number(column.max())}"
        return f"{label}: mean {number(column.mean())}, SD {number(column.std())}, {ends}"


def _described(spec: ModelSpec, name: str) -> str:
    entry = spec.variable(name)
    if entry is None:
        return spec.label(name)
    if entry.is_categorical:
        levels = [entry.levels[level] + (" (reference)" if level == entry.reference else "") for level in entry.levels]
        return f"{entry.label}: {listing(levels, 20)}"
    return f"{entry.label} ({entry.unit})" if entry.unit else entry.label
