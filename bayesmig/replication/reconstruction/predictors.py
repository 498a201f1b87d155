"""Groups and predictors of a reconstructed sample."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.errors import BayesmigError, SpecificationError, closest, listing, require
from bayesmig.specification.model import Margin, Population, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARE_SPREAD = 0.2  # sd of the log of an assumed share, from seed to seed
MOMENT_SPREAD = 0.1  # sd of an assumed mean, in sds, and of the log of an assumed sd


@dataclass(frozen=True)
class Subject:
    """What a margin is about, and whom: ``age``, ``age | gender[female]`` or ``earners <= household_size``.

    ``bound``: a variable that this one does not exceed, or nothing. ``condition``, ``level``: nothing for everybody.
    """

    variable: str
    bound: str = ""
    condition: str = ""
    level: str = ""

    @classmethod
    def of(cls, margin: Margin) -> Subject:
        """Read ``Margin.variable``."""
        name, bar, among = (part.strip() for part in margin.variable.partition("|"))
        variable, _, bound = (part.strip() for part in name.partition("<="))
        condition, bracket, level = among.partition("[")
        if bar and not (condition and bracket and level.endswith("]")):
            raise SpecificationError(
                f"margin {margin.variable!r}: behind the bar belongs a level, as in 'age | gender[female]'."
            )
        return cls(variable, bound, condition, level.removesuffix("]"))

    def rows(self, data: Mapping[str, NDArray[Any]], n: int) -> Flags:
        """Which of the people it is about, in data that hold every variable before this one."""
        needed = filter(None, (self.bound, self.condition))
        depends, before = f"the margin of {self.variable!r} depends on ", "; before it there are"
        require(needed, data, depends, ", which has no margin before it", before, error=SpecificationError)
        if not self.condition:
            return np.ones(n, dtype=bool)
        found = np.asarray(data[self.condition].astype(str) == self.level)
        levels = sorted(set(data[self.condition].astype(str)))
        whose = f"the margin of {self.variable!r} is for {self.condition} = "
        require([self.level], levels, whose, ", which nobody has", error=SpecificationError)
        return found

    def __str__(self) -> str:
        return f"{self.variable} among {self.level}" if self.condition else self.variable


def population_of(study: Study, model: str) -> Population:
    """The people of a model. Raises BayesmigError if the study does not describe them."""
    found = study.population_of(model)
    if found is None:
        raise BayesmigError(
            f"study {study.name!r} describes no population; give Study(population=Population(...)) the sample size,"
            " the groups and a Margin for every predictor."
        )
    return found


def check_terms(where: str, terms: Sequence[str], printed: Iterable[object], left_out: str = "") -> None:
    """Refuse a model that has other terms than its printed table; ``left_out``: one that need not be printed."""
    known = list(map(str, printed))
    unprinted = [term for term in terms if term not in (*known, left_out)]
    unknown = [term for term in known if term not in terms]
    if unprinted or unknown:
        raise BayesmigError(
            f"{where} and its printed table name different terms: not printed {listing(unprinted)};"
            f" printed but not in the model {listing(unknown)}. Correct the formula, the reference levels or the CSV."
        )


def draw(study: Study, population: Population, rng: np.random.Generator) -> tuple[pd.DataFrame, list[str]]:
    """Predictors by a Gaussian copula: correlated normal scores between and within groups, cut to their margins.

    Returns ``data``: groups and predictors. ``assumed``: every number behind them that is not printed.
    """
    subjects = [Subject.of(margin) for margin in population.margins]
    sized = {subject.variable for subject in subjects} & set(population.groups)
    owners = {subject.variable: _group_of(study, population, subject, sized) for subject in subjects}
    correlations = {pair: float(rng.uniform(span.lower, span.upper)) for pair, span in population.correlations.items()}
    between, within = _correlation_roots(owners, correlations)
    group_scores = {
        name: rng.standard_normal((count, len(owners))) @ between.T for name, count in population.groups.items()
    }
    places: Array = np.arange(float(population.n))
    for place, margin in _sizing(population.margins, owners):
        places = _crowded(cut(group_scores[owners[margin.variable]][:, place], margin), margin, population.n)
    codes = {
        group: (places * count // population.n).astype(int)
        for group, count in population.groups.items()
        if group not in sized
    }
    person_scores = rng.standard_normal((population.n, len(owners))) @ within.T
    first = next(iter(population.groups), "")
    data: dict[str, NDArray[Any]] = {group: _labels(group, code) for group, code in codes.items()}
    assumed: list[str] = []
    for place, (variable, owner) in enumerate(owners.items()):
        margins = [
            (subject, _varied(margin, rng))
            for subject, margin in zip(subjects, population.margins, strict=True)
            if subject.variable == variable
        ]
        if owner:
            data[variable] = cut(group_scores[owner][:, place], margins[0][1])[codes[owner]]
        else:
            shared = group_scores[first][codes[first], place] if first in codes else np.zeros(population.n)
            data[variable] = _filled(margins, data, shared, person_scores[:, place])
        if variable in sized:
            codes[variable] = np.unique(data[variable].astype(str), return_inverse=True)[1]
        assumed += [line for subject, margin in margins for line in _assumptions(subject, margin)]
    assumed += [f"latent correlation of {a} and {b}: {r:.2f}" for (a, b), r in correlations.items()]
    return pd.DataFrame(data), assumed


def _group_of(study: Study, population: Population, subject: Subject, sized: set[str]) -> str:
    """The group that has one value of a variable, or nothing: where a margin says who is in which, people are drawn."""
    name = subject.variable
    entry = next((variable for variable in study.variables if variable.name == name), None)
    if entry is None:
        known = [variable.name for variable in study.variables]
        raise SpecificationError(
            f"population of {study.name!r}: {name!r} is not in the codebook{closest(name, known)}."
        )
    if entry.group and entry.group not in population.groups:
        raise SpecificationError(
            f"population of {study.name!r}: {name!r} describes {entry.group!r}, whose number of groups is not given;"
            f" given are {listing(population.groups)}."
        )
    if entry.group in sized:
        return ""
    if entry.group and subject.condition:
        raise SpecificationError(
            f"population of {study.name!r}: {name!r} is one value per {entry.group}, so its margin cannot depend on"
            f" {subject.condition!r}."
        )
    return entry.group


def _correlation_roots(owners: Mapping[str, str], correlations: Mapping[tuple[str, str], float]) -> tuple[Array, Array]:
    """Roots of the correlations between groups and within: the correlation matrices nearest to those asked for."""
    names = list(owners)
    between, within = np.eye(len(names)), np.eye(len(names))
    for (first, second), value in correlations.items():
        i, j = names.index(first), names.index(second)
        matrix = between if owners[first] or owners[second] else within
        matrix[i, j] = matrix[j, i] = value
    return _root(between), _root(within)


def _root(matrix: Array) -> Array:
    """The Cholesky root: that of the eigenvectors is another one on each machine where eigenvalues are equal."""
    values, vectors = np.linalg.eigh(matrix)
    root = np.linalg.cholesky((vectors * np.maximum(values, 1e-6)) @ vectors.T)
    return np.asarray(root / np.sqrt((root**2).sum(axis=1, keepdims=True)))


def _sizing(margins: Sequence[Margin], owners: Mapping[str, str]) -> Iterator[tuple[int, Margin]]:
    """The margin, of at most one variable, that says how many people live in groups of each level."""
    found = [margin for margin in margins if margin.people]
    for margin in found:
        if len(found) > 1 or not owners.get(margin.variable) or margin.people.keys() != margin.counts.keys():
            raise SpecificationError(
                f"the margin of {margin.variable!r} gives people of {listing(margin.people)}: that is for one variable"
                f" that describes groups, and for each of its levels, {listing(margin.counts) or 'none here'}."
            )
        yield list(owners).index(margin.variable), margin


def _crowded(levels: NDArray[Any], margin: Margin, n: int) -> Array:
    """Where each person stands among groups that hold as many people as the margin says of their levels."""
    shares = np.array([margin.people[level] / (levels == level).sum() for level in map(str, levels)])
    ends = np.concatenate([[0.0], np.cumsum(shares) / shares.sum()])
    return np.asarray(np.interp(np.arange(n), n * ends, n * np.arange(len(ends)) / len(levels)))


def _labels(group: str, codes: Codes) -> NDArray[Any]:
    width = len(str(codes.max() + 1))
    return np.array([f"{group}_{code + 1:0{width}d}" for code in codes], dtype=object)


def _varied(margin: Margin, rng: np.random.Generator) -> Margin:
    """The margin with its assumed numbers drawn anew."""
    if not margin.assumed:
        return margin
    if margin.counts:
        counts = {level: count * np.exp(SHARE_SPREAD * rng.standard_normal()) for level, count in margin.counts.items()}
        return dataclasses.replace(margin, counts=counts)
    shift, stretch = rng.standard_normal(2)
    mean, sd = margin.mean + MOMENT_SPREAD * shift * margin.sd, margin.sd * np.exp(MOMENT_SPREAD * stretch)
    return dataclasses.replace(margin, mean=mean, sd=sd)


def _filled(
    margins: list[tuple[Subject, Margin]], data: Mapping[str, NDArray[Any]], shared: Array, own: Array
) -> NDArray[Any]:
    """One value a person, from the margins that together are about everybody."""
    parts = []
    for subject, margin in margins:
        rows = np.flatnonzero(subject.rows(data, len(own)))
        scores = np.sqrt(margin.clustering) * shared[rows] + np.sqrt(1 - margin.clustering) * own[rows]
        values = cut(scores, margin)
        parts.append((rows, _bounded(values, scores, data[subject.bound][rows], subject) if subject.bound else values))
    rows = np.concatenate([rows for rows, _ in parts])
    if not np.array_equal(np.sort(rows), np.arange(len(own))):
        raise SpecificationError(
            f"the margins of {margins[0][0].variable!r} must be about everybody once; they are about"
            f" {listing(margin.variable for _, margin in margins)}."
        )
    drawn = np.concatenate([values for _, values in parts])
    values = np.empty_like(drawn)
    values[rows] = drawn
    return values


def _bounded(values: NDArray[Any], scores: Array, bound: NDArray[Any], subject: Subject) -> NDArray[Any]:
    """Let whoever exceeds the bound change places with the person most alike for whom both values are possible."""
    values, scores = values.copy(), scores.copy()
    for row in np.flatnonzero(values > bound):
        others = np.flatnonzero((values <= bound[row]) & (bound >= values[row]))
        if not len(others):
            raise SpecificationError(
                f"the margin of {subject} has more values of {values[row]} than {subject.bound} allows;"
                " make large values rarer, or the bound larger."
            )
        pair = [row, others[abs(scores[others] - scores[row]).argmin()]]
        values[pair], scores[pair] = values[pair[::-1]], scores[pair[::-1]]
    return values


def cut(scores: Array, margin: Margin) -> NDArray[Any]:
    """Give the scores a margin's values by rank, so that its counts, or its distribution, are met exactly."""
    ranks = np.argsort(np.argsort(scores))
    if margin.counts:
        counts = _apportioned(margin.counts, len(scores))
        return np.repeat(_as_numbers(list(counts)), list(counts.values()))[ranks]
    places = (ranks + 0.5) / len(scores)
    if margin.assumed:
        return _normal(places, margin, margin.mean)
    if np.isinf(margin.minimum) and np.isinf(margin.maximum):
        return _exactly_spread(places, margin)
    reach = 20 * margin.sd  # far enough to turn the normal into an exponential at a bound
    centre = optimize.brentq(
        lambda centre: float(_normal(places, margin, centre).mean()) - margin.mean,
        margin.mean - reach,
        margin.mean + reach,
    )
    return _normal(places, margin, centre)


def _exactly_spread(places: Array, margin: Margin) -> NDArray[Any]:
    """Quantiles of the normal with the margin's own mean and sd; rounding adds a twelfth to the variance."""
    scores = stats.norm.ppf(places)
    spread = np.sqrt(margin.sd**2 - 1 / 12) if margin.whole else margin.sd
    values = margin.mean + spread * scores / scores.std(ddof=1)
    return np.asarray(np.rint(values).astype(int) if margin.whole else values)


def _as_numbers(levels: list[str]) -> NDArray[Any]:
    """Levels such as ``"2"`` as whole numbers, such as ``"0.5"`` as numbers, others as they are."""
    if all(level.isdigit() for level in levels):
        return np.array(levels, dtype=int)
    if all(level.replace(".", "", 1).isdigit() for level in levels):
        return np.array(levels, dtype=float)
    return np.array(levels, dtype=object)


def _normal(places: Array, margin: Margin, centre: float) -> NDArray[Any]:
    """Quantiles of the normal around ``centre``, cut to the margin's range."""
    lower, upper = (margin.minimum - centre) / margin.sd, (margin.maximum - centre) / margin.sd
    values = stats.truncnorm.ppf(places, lower, upper, centre, margin.sd)
    return np.asarray(np.rint(values).astype(int) if margin.whole else values)


def _apportioned(counts: Mapping[str, float], size: int) -> dict[str, int]:
    """Whole numbers that sum to ``size`` in the proportions of ``counts`` (largest remainders), none left empty."""
    shares = np.array(list(counts.values()), dtype=float)
    exact = shares / shares.sum() * size
    whole = np.floor(exact).astype(int)
    whole[np.argsort(whole - exact, kind="stable")[: size - whole.sum()]] += 1
    while (whole == 0).any():
        whole[whole.argmin()] += 1
        whole[whole.argmax()] -= 1
    return dict(zip(counts, whole.tolist(), strict=True))


def _assumptions(subject: Subject, margin: Margin) -> list[str]:
    facts = []
    if margin.assumed and margin.counts:
        total = sum(margin.counts.values())
        shares = listing(f"{level} {100 * count / total:.0f} %" for level, count in margin.counts.items())
        facts.append(f"{subject}: {shares} ({margin.source})")
    elif margin.assumed:
        shape = f"normal, mean {margin.mean:.3g}, sd {margin.sd:.3g}, cut to {margin.minimum:g} to {margin.maximum:g}"
        facts.append(f"{subject}: {shape} ({margin.source})")
    if margin.people:
        total = sum(margin.people.values())
        shares = listing(f"{level} {100 * share / total:.0f} %" for level, share in margin.people.items())
        facts.append(f"{subject}, people: {shares}")
    if margin.clustering:
        facts.append(f"{subject}: {100 * margin.clustering:.0f} % of its latent variance lies between groups")
    return facts
