"""Printed shares, means, counts and other numbers about people, held beside those of data.

``descriptives.csv`` of a study says of whom (``group``) and of what (``variable``, ``level``) each number is. Words
that are columns and levels of the codebook speak for themselves; what others mean the study says
(``readings`` of :class:`~bayesmig.specification.model.Study`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.checking.predictive import posterior_predictive
from bayesmig.contract.arrays import Array, Flags
from bayesmig.contract.names import as_code
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.errors import BayesmigError, NotFound, SpecificationError, listing
from bayesmig.measurement.consistency import alpha
from bayesmig.measurement.principal import sampling_adequacy, sphericity
from bayesmig.printed.auditing.intervals import Interval, decimals
from bayesmig.printed.literature import NUMBER, WHOLE_SAMPLE, tables_of
from bayesmig.specification.claims import Margin, parse_claim
from bayesmig.specification.model import ModelSpec, Study

NO_ITEMS, OTHERS = "no items of the data", "about people beyond this model's"
NOBODY = "of whom the data hold nobody, or not apart"
PEOPLE = "people"  # the reading of a variable that counts rows, and of a group of everybody
HELD: Mapping[str, Callable[[Array], Any]] = {
    "mean": np.mean,
    "sd": lambda values: np.std(values, ddof=1),
    "min": np.min,
    "max": np.max,
}
FEWEST = 25  # replicated data sets of an interval
MOST = 60  # variables of one line
FARTHEST = "as printed, which is in brackets, farthest first: "
COLUMNS = ("table", "group", "variable", "level", "statistic", "printed", "obtained", "honoured", "why")


def printed_descriptives(study: Study, data: AnyFrame, model: str | None = None) -> pd.DataFrame:
    """Every printed number about people beside that of data.

    Parameters
    ----------
    study : Study
        One with printed tables; besides ``descriptives.csv`` loadings, statistics of items and numbers of the design
        are looked at.
    data : pandas.DataFrame
        Reconstructed, or a researcher's own in the study's codebook.
    model : str, optional
        A model about the same people as the data; by default those of the study's ``population``. Numbers about the
        whole sample are held beside data of the whole sample only.

    Returns
    -------
    pandas.DataFrame
        A row a printed number, as the study's files order them: ``table``, ``group``, ``variable``, ``level`` and
        ``statistic`` as printed, ``printed`` as text with all of its digits, ``obtained`` from the data in the unit of
        the printed one, and ``honoured``: whether the two are the same but for rounding, or no whole number of people
        comes nearer. Where data say nothing of it, ``obtained`` is NaN, ``honoured`` missing, and ``why`` says why.

    Raises
    ------
    NotFound
        If the study prints nothing, or has no such model.
    SpecificationError
        If a reading of the study names what is not in the data.

    Notes
    -----
    What it means: of reconstructed data, a printed number that is not honoured is one that the assumptions behind them
    contradict, and results that hang on it are not those of the paper's people. Of data of your own, a difference says
    how your people differ from those of the paper.

    Examples
    --------
    >>> from bayesmig import reconstruct, study
    >>> paper = study("homeownership")
    >>> found = printed_descriptives(paper, reconstruct(paper, seed=1))
    >>> found.loc[found["group"] == "rural_migrant_central", ["statistic", "printed"]].values.tolist()
    [['percent', '38']]
    """
    table = tables_of(study).get("descriptives", pd.DataFrame(columns=["statistic", "value", "variable", "level"]))
    people = _People(
        study, frame_of(data), model is None or study.population_of(study.model(model).name) == study.population
    )
    rows = [*_shares_and_means(table, people), *_about_items(study, people), *_counts_of_design(study, people)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def predicted_descriptives(
    study: Study, data: AnyFrame, tree: xr.DataTree, *, draws: int = 100, seed: int = 1
) -> pd.DataFrame:
    """Printed shares and means of the outcome beside those of outcomes that a fitted model predicts.

    Parameters
    ----------
    study : Study
    data : pandas.DataFrame
        The data that were fitted.
    tree : DataTree
        A posterior of a model of one outcome.
    draws : int
        Number of replicated data sets, of at least 25.
    seed : int

    Returns
    -------
    pandas.DataFrame
        A row a printed number of the outcome: ``table``, ``group``, ``variable``, ``level``, ``statistic``, ``printed``
        (number; the bound of ``<50``), ``predicted`` (mean over draws), ``eti95_lower``, ``eti95_upper``, and
        ``inside``, whether a number that print allows lies between the two.

    Raises
    ------
    NotFound
        If the study prints nothing of the outcome that the data can say.
    SpecificationError
        If there are fewer than 25 draws.

    Notes
    -----
    Replicated outcomes are drawn for the same people, given their groups' effects (Gelman, Meng & Stern 1996). A table
    of coefficients does not contain the cross-tabulated answers, so data that were made from it can fail here: the
    check is not circular. Numbers of which the reconstruction makes use (shares of a binary outcome by type) are no
    test of it.

    What it means: a printed share outside the interval says that model and assumed people together would not have given
    the answers that the paper tabulates. Which of the two is at fault it does not say.

    Examples
    --------
    >>> from bayesmig import fit, reconstruct, study
    >>> paper = study("social_trust")
    >>> people = reconstruct(paper, "table_6", seed=1)
    >>> found = predicted_descriptives(paper, people, fit(paper.model("table_6"), people, seed=1), draws=25)
    >>> len(found)
    42
    """
    if isinstance(draws, bool) or draws < FEWEST:
        raise SpecificationError(f"draws={draws!r}: an interval needs {FEWEST} replicated data sets or more.")
    outcome, data = str(tree.attrs["outcome"]), frame_of(data)
    table = tables_of(study).get("descriptives", pd.DataFrame(columns=["variable"]))
    rows = table[[study.readings.get(word, word) == outcome for word in table["variable"]]]
    spec = ModelSpec.from_json(tree.attrs["spec"])
    if spec.distribution.outcome not in ("number", "binary"):
        raise BayesmigError(
            f"{spec.name} has {spec.distribution.outcome} outcomes; numbers and yes or no are compared."
        )
    replicated = posterior_predictive(tree, draws=draws, seed=seed)["posterior_predictive"]["y"]
    values = replicated.transpose("chain", "draw", "row").to_numpy().reshape(-1, replicated.sizes["row"])
    if values.shape[1] != len(data):
        raise BayesmigError(f"the fit used {values.shape[1]:,} rows, and data has {len(data):,}; pass the rows used.")
    is_whole = study.population_of(spec.name) == study.population
    each = [list(_shares_and_means(rows, _People(study, data.assign(**{outcome: y}), is_whole))) for y in values]
    found = pd.DataFrame(each[0], columns=list(COLUMNS)) if len(rows) else pd.DataFrame(columns=list(COLUMNS))
    obtained = np.array([[row[COLUMNS.index("obtained")] for row in one] for one in each], dtype=float)
    known = found["obtained"].notna().to_numpy()
    if not known.any():
        raise NotFound(f"{study.name} prints nothing of {outcome} that these data can say.")
    found, obtained = found.loc[known, list(COLUMNS[:6])].reset_index(drop=True), obtained[:, known]
    low, high = np.quantile(obtained, [0.025, 0.975], axis=0)
    printed = found["printed"].str.lstrip("<>").astype(float)
    bound = found["printed"].str[0]
    return found.assign(
        printed=printed,
        predicted=obtained.mean(axis=0),
        eti95_lower=low,
        eti95_upper=high,
        inside=((printed >= low) | (bound == ">")) & ((printed <= high) | (bound == "<")),
    )


def printed_shares(study: Study, data: pd.DataFrame, outcome: str) -> list[tuple[Flags, Interval]]:
    """Printed shares of ones of a binary outcome, from 0 to 1, and of whom of the data each is."""
    table = tables_of(study).get("descriptives", pd.DataFrame(columns=["variable", "statistic", "value"]))
    rows_of = table["variable"].map(lambda word: study.readings.get(word, word)) == outcome
    found = []
    for row in table[rows_of & table["statistic"].eq("percent") & table["value"].ne("")].to_dict("records"):
        people = _People(study, data.assign(**{outcome: 0}), True)
        rows, span = people.group(row["group"]), Interval.printed(row["value"])
        zeros = people.level(outcome, row["variable"], row["level"]) if row["level"] else None
        if not isinstance(rows, str) and rows.any():
            share = Interval(span.lower / 100, span.upper / 100)
            is_of_zeros = zeros is not None and zeros.all()
            found.append((rows, Interval(1 - share.upper, 1 - share.lower) if is_of_zeros else share))
    return found


@dataclass(frozen=True)
class _People:
    """Data, and what words of printed tables mean in them."""

    study: Study
    data: pd.DataFrame
    is_whole: bool

    @cached_property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """Categorical columns of the data and their levels in the codebook."""
        known = {entry.name: entry.levels for entry in self.study.variables if entry.is_categorical}
        words = [str(name) for name in self.data if not pd.api.types.is_numeric_dtype(self.data[name])]
        return {name: tuple(known.get(name, ())) for name in (*known, *words) if name in self.data}

    @cached_property
    def levels(self) -> dict[str, str]:
        """The first categorical variable of the data that has a level, by level."""
        found: dict[str, str] = {}
        for name, levels in self.categories.items():
            found |= {level: name for level in levels if level not in found}
        return found

    @cached_property
    def quantities(self) -> dict[str | Margin, Array]:
        """Numbers by name, and 0 or 1 by ``name[level]``."""
        found: dict[str | Margin, Array] = {}
        for name in self.data:
            if name not in self.categories:
                found[str(name)] = self.data[name].to_numpy(dtype=float, na_value=np.nan)
                continue
            codes, values = pd.factorize(self.data[name])
            found |= {f"{name}[{level}]": np.zeros(len(codes)) for level in self.categories[name]}
            found |= {f"{name}[{as_code(value)}]": (codes == k).astype(float) for k, value in enumerate(values)}
        return found

    def _names(self, text: str) -> list[str]:
        """Known names; of the codebook's variables that the data lack nobody has a value, and nobody a rare level."""
        for name, level in re.findall(r"(\w+)(\[[^\]]*\])?", text):
            if name in self.data or any(entry.name == name for entry in self.study.variables):
                self.quantities.setdefault(name + level, np.full(len(self.data), np.nan))
        return [str(name) for name in self.quantities]

    def where(self, condition: str) -> Flags:
        claim = parse_claim(condition, self._names(condition))
        return np.all([np.asarray(one.difference.of(self.quantities)) > 0 for one in claim.comparisons], axis=0)

    def values(self, expression: str) -> Array:
        (comparison,) = parse_claim(f"{expression} > 0", self._names(expression)).comparisons
        return np.asarray(comparison.subject.of(self.quantities))

    def answered(self, variable: str) -> Flags:
        """Who answered what a variable is about."""
        if variable in self.data:
            return self.data[variable].notna().to_numpy()
        return np.isfinite(self.values(variable))

    def group(self, words: str) -> Flags | str:
        """Who is in a printed group; or why the data do not say so."""
        if words in WHOLE_SAMPLE or words in self.data or self.study.readings.get(words) == PEOPLE:
            return np.ones(len(self.data), dtype=bool) if self.is_whole else OTHERS
        found = np.zeros(len(self.data), dtype=bool)
        for one in map(self._one_group, words.split("+")):
            if isinstance(one, str):
                return one
            found |= one
        return found

    def _one_group(self, word: str) -> Flags | str:
        if word in self.study.readings:
            return self.where(self.study.readings[word])
        if word in self.levels:
            return self.where(f"{self.levels[word]}[{word}] > 0")
        return NOBODY

    def variable(self, word: str) -> str | None:
        """What the data call a printed variable."""
        meant = self.study.readings.get(word, word)
        return meant if meant == PEOPLE or word in self.study.readings or meant in self.data else None

    def level(self, variable: str, word: str, level: str) -> Flags | None:
        """Who has a printed level of a variable; None if the data do not say so."""
        readings = self.study.readings
        meant = readings.get(f"{word} {level}", readings.get(level, ""))
        if meant:
            return self.where(meant.replace("{}", variable))
        if f"{variable}[{level}]" in self.quantities:
            return self.where(f"{variable}[{level}] > 0")
        if not level.isdigit() or variable not in self.quantities:
            return None
        entry = next(entry for entry in self.study.variables if entry.name == variable)
        answers = np.clip(np.rint(self.quantities[variable]), entry.minimum, entry.maximum)
        return np.asarray(answers == float(level))


def _shares_and_means(table: pd.DataFrame, people: _People) -> Iterator[tuple[Any, ...]]:
    factors = _inflations(table, people)
    for row in table[table["value"] != ""].to_dict("records"):
        heading = row["group"] in people.data  # an index, whose items follow
        group = "" if heading else row["group"]
        place = (row["table"], group, *(row[name] for name in ("variable", "level", "statistic")))
        obtained, size, why = _obtained(row, people, factors)
        printed = row["value"]
        yield (*place, printed, obtained, _is_honoured(printed, obtained, size), why)


def _obtained(row: Mapping[Any, str], people: _People, factors: Mapping[str, float]) -> tuple[float, int, str]:
    """A number of the data, of how many people it is the share (0 if of none), and why there is no number."""
    variable, rows = people.variable(row["variable"]), people.group(row["group"])
    if variable is None:
        return np.nan, 0, "no variable of the data"
    if isinstance(rows, str) or not rows.any():
        return np.nan, 0, rows if isinstance(rows, str) else NOBODY
    statistic, level = row["statistic"], row["level"]
    if statistic == "vif":
        return factors.get(f"{row['variable']}[{level}]" if level else row["variable"], np.nan), 0, ""
    if variable == PEOPLE:
        return float(rows.sum()), 0, ""
    having = people.level(variable, row["variable"], level) if level else None
    if level and having is None:
        return np.nan, 0, "no level of the data"
    if having is None and variable in people.categories:
        return (float(rows.sum()), 0, "") if statistic == "n" else (np.nan, 0, "no number in the data")
    values = people.values(variable) if having is None else having.astype(float)
    answered = values[rows & np.isfinite(values) & people.answered(variable)]
    if not len(answered):
        return np.nan, 0, "answered by nobody"
    if statistic == "n":
        return float(answered.sum() if level else len(answered)), 0, ""
    if statistic == "percent":
        return 100 * float(answered.mean()), len(answered), ""
    if statistic not in HELD:
        return np.nan, 0, f"{statistic} is not computed"
    return float(HELD[statistic](answered)), len(answered) if level and statistic == "mean" else 0, ""


def _is_honoured(printed: str, obtained: float, size: int) -> bool | None:
    """Whether a number rounds to the printed one, or no share of so many people comes nearer."""
    if not np.isfinite(obtained):
        return None
    span = Interval.printed(printed)
    if not size:
        return span.contains(obtained)
    unit = (100 if span.upper > 1 or obtained > 1 else 1) / size
    return Interval(span.lower - unit / 2, span.upper + unit / 2).contains(obtained)


def _inflations(table: pd.DataFrame, people: _People) -> dict[str, float]:
    """Variance inflation factors among all variables that have a printed one."""
    rows = table[table["statistic"] == "vif"]
    columns = {}
    for word, level in zip(rows["variable"], rows["level"], strict=True):
        variable = people.variable(word)
        having = people.level(variable, word, level) if variable and level else None
        if variable is None or (level and having is None):
            return {}
        columns[f"{word}[{level}]" if level else word] = people.values(variable) if having is None else having
    if not columns:
        return {}
    correlation = pd.DataFrame(columns, dtype=float).corr().to_numpy()
    if not np.isfinite(correlation).all() or np.linalg.matrix_rank(correlation) < len(correlation):
        return {}
    return dict(zip(columns, np.diag(np.linalg.inv(correlation)).tolist(), strict=True))


def _about_items(study: Study, people: _People) -> Iterator[tuple[Any, ...]]:
    """Printed loadings, and statistics of sets of items: those of principal components, and alpha."""
    tables = tables_of(study)
    loadings = tables.get("loadings", pd.DataFrame(columns=["table", "item", "component", "loading"]))
    for row in loadings[loadings["loading"] != ""].to_dict("records"):
        item, component, printed = row["item"], row["component"], row["loading"]
        names = [*loadings["component"].unique()] if component == "communality" else [component]
        obtained = sum(_loading(people.data, item, name) ** 2 for name in names if name != "communality")
        obtained = obtained if component == "communality" else _loading(people.data, item, component)
        why = "" if np.isfinite(obtained) else NO_ITEMS
        place = (row["table"], component, item, "", "loading", printed)
        yield (*place, obtained, _is_honoured(printed, obtained, 0), why)
    statistics = tables.get("fit_statistics", pd.DataFrame(columns=["table", "model", "value"]))
    of_items = statistics[statistics["model"].isin(["pca", "reliability"]) & (statistics["value"] != "")]
    for row in of_items.to_dict("records"):
        name, printed = row["outcome"], row["value"]
        items = _items(study, name)
        obtained, why = np.nan, NO_ITEMS if people.is_whole else OTHERS
        if people.is_whole and items and set(items) <= set(people.data):
            obtained, why = _of_items(people.data, items, name, row["statistic"])
        place = (row["table"], "", name, "", row["statistic"], printed)
        yield (*place, obtained, _is_honoured(printed, obtained, 0), why)


def _items(study: Study, name: str) -> list[str]:
    """The items of which a statistic is printed: those that the study says, of an index, or all that load."""
    tables = tables_of(study)
    if name in study.readings:
        return study.readings[name].split()
    if "loadings" in tables:
        return [str(item) for item in tables["loadings"]["item"].unique()]
    asked = tables.get("questionnaire", pd.DataFrame(columns=["dimension", "item"]))
    return [str(item) for item in asked.loc[asked["dimension"] == name, "item"]]


def _loading(data: pd.DataFrame, item: str, component: str) -> float:
    """Correlation of an item with a component's scores."""
    if not {item, component} <= set(data):
        return np.nan
    return float(data[item].astype(float).corr(data[component].astype(float)))


def _of_items(data: pd.DataFrame, items: list[str], name: str, statistic: str) -> tuple[float, str]:
    answers = data[items].astype(float).dropna()
    correlation = answers.corr()
    if statistic == "kmo":
        return sampling_adequacy(correlation.to_numpy())[0], ""
    if statistic.startswith("bartlett_"):
        return float(getattr(sphericity(correlation, len(answers)), statistic.removeprefix("bartlett_"))), ""
    if statistic == "n_components":
        return float((np.linalg.eigvalsh(correlation.to_numpy()) > 1).sum()), ""
    if statistic == "explained_variance_percent" and name in data:
        return 100 * float(np.mean([_loading(data, item, name) ** 2 for item in items])), ""
    if statistic == "cronbach_alpha":
        return float(alpha(answers.cov().to_numpy()[None])[0]), ""
    return np.nan, f"{statistic} is not computed"


def _counts_of_design(study: Study, people: _People) -> Iterator[tuple[Any, ...]]:
    """Numbers of people and groups of the text; other numbers are about the survey or its place."""
    facts = tables_of(study).get("design", pd.DataFrame(columns=["fact", "value"]))
    numbers = facts[facts["value"].str.fullmatch(NUMBER)]
    groups = {plural: name for name in people.data for plural in (f"{name}s", f"{str(name)[:-1]}ies")}
    for fact, printed in zip(numbers["fact"], numbers["value"], strict=True):
        word = fact.removeprefix("n_")
        is_group = fact != word and word in groups
        rows = people.group("" if is_group or fact == "n_analysed" else word)
        obtained, why = np.nan, "no numbers of people or groups" if fact == word else NOBODY
        if fact != word and not isinstance(rows, str) and rows.any():
            obtained, why = float(people.data[groups[word]].nunique() if is_group else rows.sum()), ""
        yield "design", "", fact, "", "n", printed, obtained, _is_honoured(printed, obtained, 0), why


def told(found: pd.DataFrame) -> tuple[list[str], list[str], list[str]]:
    """What :func:`printed_descriptives` found in sentences: how much holds, what does not, and what cannot be said."""
    compared = found[found["honoured"].notna()]
    missed, silent = compared[~compared["honoured"].astype(bool)], found[found["honoured"].isna()]
    held = f"{len(compared) - len(missed)} of {len(compared)} printed shares, means and the like hold as printed"
    return (
        [held] * bool(len(compared)),
        [
            beside_print(
                f"{table}, {statistic}",
                [
                    (abs(row["obtained"] - float(row["printed"].lstrip("<>"))), _cell(row))
                    for row in rows.to_dict("records")
                ],
            )
            for (table, statistic), rows in missed.groupby(["table", "statistic"], sort=False)
        ],
        [
            f"{table}: {len(rows)} number{'s' * (len(rows) > 1)} of {listing(rows['variable'].unique(), MOST)} ({why})"
            for (table, why), rows in silent.groupby(["table", "why"], sort=False)
        ],
    )


def beside_print(what: str, cells: Iterable[tuple[float, str]]) -> str:
    """Numbers beside printed ones, each given with how far it is from print."""
    told = [text for _, text in sorted(cells, key=lambda cell: -cell[0])]
    return f"{what}: {len(told)} not {FARTHEST}{', '.join(told)}"


def _cell(row: Mapping[Any, Any]) -> str:
    """``out_group_trust of rural_migrant 4: 30.573 (56.28)``."""
    group = "" if row["group"] in WHOLE_SAMPLE else f" of {row['group']}"
    name = " ".join(filter(None, [row["variable"] + group, row["level"]]))
    digits = decimals(row["printed"]) + (row["statistic"] != "n")
    return f"{name}: {row['obtained']:.{digits}f} ({row['printed']})"
