"""What print and refits say of the hypotheses of a study, beside the paper's own verdicts."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmig.contract.schema import RECONSTRUCTED
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.data.sources import shown
from bayesmig.errors import BayesmigError, NotFound, listing
from bayesmig.inference.fitting import fit
from bayesmig.printed.literature import published
from bayesmig.replication.counterparts import COUNTERPARTS
from bayesmig.replication.papers import POSTERIOR, PRINTED, Replication, comparable, fitted_counterparts
from bayesmig.replication.remarks import CLEAR
from bayesmig.replication.unprinted import check_seeds, reconstructed
from bayesmig.results.hypotheses import jointly, probability
from bayesmig.specification import catalogue
from bayesmig.specification.model import Hypothesis, Study, Weights

if TYPE_CHECKING:
    import xarray as xr

    from bayesmig.inference.engines.base import Engine

PRINT, REFIT = "print", "refit"
ASKED = (PRINT, REFIT, *COUNTERPARTS.values())
ENDS = ("lower", "upper")
TOGETHER = "together"
LIKELY = 0.9

Bounds = tuple[float, float]
UNKNOWN: Bounds = (math.nan, math.nan)


@dataclass(frozen=True)
class Verdicts:
    """What :func:`hypotheses` returns.

    Attributes
    ----------
    study : Study
    table : pandas.DataFrame
        A row a hypothesis and model, and where a hypothesis is about several models a row ``together``. Columns
        ``claim``, ``printed`` and ``where`` are the study's; for each of ``print``, ``refit``, ``groups vary`` and
        ``latent factor`` that there is, ``<result> lower`` and ``<result> upper`` bound the probability that the
        claim holds, and ``<result> relevant lower`` and ``<result> relevant upper`` that it does so by more than the
        size that counts as none.
    sentences : mapping of str to str
        By hypothesis, what all this says in words.
    provenance : mapping of str to str
        By result, whose data it rests on.
    """

    study: Study
    table: pd.DataFrame
    sentences: Mapping[str, str]
    provenance: Mapping[str, str]

    def probability(self, name: str, result: str) -> str:
        """The probability of a hypothesis, in all its models, by one result, as a text; empty if there is none."""
        return _said(_bounds(self.table.loc[name].iloc[-1], result))

    def brief(self, stated: Hypothesis) -> str:
        """A hypothesis, the paper's verdict and the probabilities, in a sentence or two."""
        told = [f"{self.probability(stated.name, result)} ({result})" for result in self.provenance]
        words = (stated.words or stated.text).rstrip(".")
        return f"{stated.name}: {words}. The paper: {stated.printed}. Probability: {listing(told)}."

    def facts(self) -> dict[str, Any]:
        """All of it as JSON values; a number that does not exist is null."""
        rows = self.table.reset_index().to_json(orient="records", double_precision=15)
        return {"provenance": self.provenance, "rows": json.loads(rows), "sentences": self.sentences}

    def __str__(self) -> str:
        return "\n".join(f"{name}: {sentence}" for name, sentence in self.sentences.items())

    def _repr_html_(self) -> str:
        lines = (
            f"<dt>{html.escape(name)}</dt><dd>{html.escape(sentence)}</dd>" for name, sentence in self.sentences.items()
        )
        return f"<dl>{''.join(lines)}</dl>"


def hypotheses(
    study: Study | str,
    *,
    data: AnyFrame | None = None,
    weights: Weights | None = None,
    engine: Engine | None = None,
    seed: int = 1,
    seeds: int = 1,
    counterparts: bool = True,
    latent: bool = False,
) -> Verdicts:
    """How probable each hypothesis of a study is, from print alone and from refits, beside the paper's verdict.

    Parameters
    ----------
    study : Study or str
        A study, its name, or the path of a study file.
    data : pandas.DataFrame, optional
        The researcher's own data in the study's codebook, for the refits. Without it, data are reconstructed from the
        printed table of each model and labelled so.
    weights : Weights, optional
        A column of ``data`` and what its weights mean.
    engine : Engine, optional
        As in :func:`bayesmig.fit`.
    seed : int
        Of the first reconstruction and of the draws.
    seeds : int
        Number of reconstructions; with several the bounds are the smallest and the largest probability among them.
    counterparts : bool
        Ask the models' counterparts in which groups vary too.
    latent : bool
        Ask those with a latent factor too, which take a minute each.

    Returns
    -------
    Verdicts
        Its ``table`` has the probabilities, its ``sentences`` (and ``print(...)``) say them in words.

    Raises
    ------
    NotFound
        If the study states no hypotheses.
    SpecificationError
        If a hypothesis is about a model or coefficients that are not there, or ``seeds`` is below 1, or above with data
        of your own, of which there is one set.
    BayesmigError
        As :func:`bayesmig.replicate`.

    See Also
    --------
    hypothesis : The same for a claim of your own about any result.

    Notes
    -----
    From print alone the probability is that under flat priors, and lies between bounds where several coefficients
    are compared, whose correlations no table prints, or where only p or stars are printed
    (:func:`bayesmig.hypothesis`). Within one model a joint claim is counted draw by draw. Across models, whose
    posteriors are separate, the probability that all hold lies between ``sum(p) - (k - 1)`` and ``min(p)``
    (Frechet 1935).

    What it means: a paper's "supported" says that a p value was small in its model. The probability from print says
    how sure the same table makes one; where groups vary, how much of that is left when people who live together are
    no longer taken for strangers. Reconstructed data repeat what is printed and are no evidence of their own.

    Examples
    --------
    >>> import dataclasses
    >>> study = catalogue.study("cbo_spillover")
    >>> one = dataclasses.replace(study, hypotheses=[each for each in study.hypotheses if each.name == "H1b"])
    >>> found = hypotheses(one, counterparts=False)
    >>> found.probability("H1b", "print"), found.probability("H1b", "refit")
    ('0.96', '0.95')
    """
    chosen = catalogue.study(study) if isinstance(study, str) else study
    if not chosen.hypotheses:
        raise NotFound(f"study {chosen.name!r} states no hypotheses; give it some, Study(..., hypotheses=(...)).")
    chosen.check_hypotheses()
    check_seeds(seeds, data)
    kinds = {"multilevel": counterparts, "latent": latent}
    wanted = [COUNTERPARTS[kind] for kind, is_wanted in kinds.items() if is_wanted]
    answers, keys = {}, dict.fromkeys(key for stated in chosen.hypotheses for key in stated.models)
    for key in shown(keys, len(keys), f"models of {chosen.name}"):
        found = []
        for one in range(seed, seed + seeds):
            own = reconstructed(chosen, key, one) if data is None else frame_of(data)
            trees = _refits(chosen, key, own, weights, engine, one, wanted)
            found.append(_answers(chosen, key, trees))
        answers[key] = {place: _widest(each[place] for each in found) for place in found[0]}
    return _verdicts(chosen, answers)


def verdicts_of(results: Sequence[Replication]) -> Verdicts | None:
    """The same for models of a study that are replicated already.

    Parameters
    ----------
    results : sequence of Replication
        Of one study.

    Returns
    -------
    Verdicts or None
        Of the hypotheses all of whose models are among them; None if there are none.

    Examples
    --------
    >>> from bayesmig.replication.papers import replicate
    >>> found = verdicts_of([replicate("cbo_spillover", "model_4", counterparts=False)])
    >>> list(found.sentences)
    ['H1b', 'H2b']
    """
    names = {PRINTED: PRINT, POSTERIOR: REFIT} | {name: name for name in COUNTERPARTS.values()}
    asked, answers = results[0].study.hypotheses, {}
    for result in results:
        trees = {names[name]: tree for name, tree in result.results.items() if name in names}
        answers[result.model] = _answers(result.study, result.model, trees)
    return _verdicts(results[0].study, answers) if any(set(each.models) <= answers.keys() for each in asked) else None


@dataclass(frozen=True)
class _Answer:
    """What one result says of one hypothesis in one model."""

    holds: Bounds
    relevant: Bounds
    provenance: str


Answers = Mapping[tuple[str, str], _Answer]  # by hypothesis and result


def _refits(
    study: Study,
    model: str,
    data: pd.DataFrame,
    weights: Weights | None,
    engine: Engine | None,
    seed: int,
    wanted: Sequence[str],
) -> dict[str, xr.DataTree]:
    """Print, the posterior, and those of the wanted counterparts: where groups vary, and with a latent factor."""
    spec = study.model(model)
    trees = {PRINT: published(study, model)} if spec.printed else {}
    weighted = spec if weights is None else spec.with_weights(weights.column, weights.kind)
    trees[REFIT] = fit(weighted, data, engine=engine, seed=seed)
    fits, _ = fitted_counterparts(study, model, data, weights, seed, wanted)
    return trees | {name: comparable(study, model, tree, trees[REFIT]) for name, tree in fits.items()}


def _answers(study: Study, model: str, trees: Mapping[str, xr.DataTree]) -> Answers:
    found = {}
    for stated in study.hypotheses:
        if model not in stated.models:
            continue
        text = stated.text_of(model)
        for result, tree in trees.items():
            beyond = UNKNOWN
            if stated.absent and not stated.is_of_absence:
                beyond = _asked(tree, text, stated.absent[0])
            found[stated.name, result] = _Answer(_asked(tree, text), beyond, str(tree.attrs["provenance"]))
    return found


def _asked(tree: xr.DataTree, text: str, beyond: float = 0.0) -> Bounds:
    """Bounds of the probability of a claim; unknown where the result lacks what it is about."""
    try:
        return probability(tree, text, beyond=beyond)
    except BayesmigError:
        return UNKNOWN


def _widest(answers: Iterable[_Answer]) -> _Answer:
    """Of several reconstructions, the smallest and the largest."""
    each = list(answers)
    return _Answer(
        _hull(one.holds for one in each),
        _hull(one.relevant for one in each),
        ", ".join(dict.fromkeys(one.provenance for one in each)),
    )


def _hull(bounds: Iterable[Bounds]) -> Bounds:
    lows, highs = np.transpose(list(bounds))
    return float(lows.min()), float(highs.max())


def _verdicts(study: Study, answers: Mapping[str, Answers]) -> Verdicts:
    """The answers by model as a table and in words."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    provenance: dict[str, list[str]] = {}
    for stated in study.hypotheses:
        if not answers.keys() >= set(stated.models):
            continue
        parts = {key: answers[key] for key in stated.models}
        facts = {"claim": stated.text, "printed": stated.printed, "where": stated.where}
        for key in parts:
            rows[stated.name, key] = facts | {"claim": stated.text_of(key)}
        if len(parts) > 1:
            rows[stated.name, TOGETHER] = dict(facts)
        for result in ASKED:
            found = {key: part[stated.name, result] for key, part in parts.items() if (stated.name, result) in part}
            for key, answer in found.items():
                provenance.setdefault(result, []).append(answer.provenance)
                rows[stated.name, key] |= _cells(result, answer.holds, answer.relevant)
            if len(parts) > 1 and len(found) == len(parts):
                joint = (jointly([getattr(one, what) for one in found.values()]) for what in ("holds", "relevant"))
                rows[stated.name, TOGETHER] |= _cells(result, *joint)
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["hypothesis", "model"])
    whose = {result: _whose(provenance[result]) for result in ASKED if result in provenance}
    named = {stated.name: stated for stated in study.hypotheses}
    present = table.index.get_level_values("hypothesis").unique()
    sentences = {name: _sentence(named[name], table.loc[name].iloc[-1], whose) for name in present}
    return Verdicts(study, table, sentences, whose)


def _cells(result: str, holds: Bounds, relevant: Bounds) -> dict[str, float]:
    both = {result: holds, f"{result} relevant": relevant}
    return {f"{name} {end}": value for name, bounds in both.items() for end, value in zip(ENDS, bounds, strict=True)}


def _whose(sources: Sequence[str]) -> str:
    """``reconstructed``, ``own data`` or ``printed table``, without which seed and model."""
    kinds = (RECONSTRUCTED if source.startswith(RECONSTRUCTED) else source for source in sources)
    return ", ".join(dict.fromkeys(kinds))


def _sentence(stated: Hypothesis, row: pd.Series, whose: Mapping[str, str]) -> str:
    """The claim, the paper's verdict, its probability by each result, and what that comes to."""
    found = {result: bounds for result in whose if not math.isnan((bounds := _bounds(row, result))[0])}
    said = [f"{_said(bounds)} {_place(result, whose)}" for result, bounds in found.items()]
    several = f" that it holds in all {len(stated.models)} models" if row.name == TOGETHER else ""
    sentences = [
        stated.words,
        f"The paper: {stated.printed} ({stated.where}).",
        f"Probability{several}: {', '.join(said)}." if said else "No table prints what it is about.",
    ]
    if stated.absent and not stated.is_of_absence and found:
        relevant = ", ".join(_said(_bounds(row, f"{result} relevant")) for result in found)
        sentences.append(f"That it does by more than {stated.absent[0]:g}: {relevant}.")
    return " ".join(filter(None, [*sentences, _conclusion(stated, found, whose)]))


def _place(result: str, whose: Mapping[str, str]) -> str:
    of_data = "your own data" if whose[result] == "own data" else f"{whose[result]} data"
    return {PRINT: "from print alone", REFIT: f"in the refit to {of_data}"}.get(result, f"with {result}")


def _conclusion(stated: Hypothesis, found: Mapping[str, Bounds], whose: Mapping[str, str]) -> str:
    """What the probabilities come to, carefully."""
    if not found:
        return ""
    lows, highs = zip(*found.values(), strict=True)
    varying = COUNTERPARTS["multilevel"]
    others = [low for result, (low, _) in found.items() if result != varying]
    if _at_least(min(lows), CLEAR):
        return "All of these speak for it."
    if _at_least(1 - max(highs), CLEAR):
        return "All of these speak against it."
    if varying in found and others and _at_least(min(others), CLEAR):
        assumed = "; how they differ is not printed, but assumed" if whose[varying] == RECONSTRUCTED else ""
        return f"It is no longer clear when groups may vary{assumed}."
    if _at_least(min(lows), LIKELY):
        return "All of these lean towards it."
    if _at_least(1 - max(highs), LIKELY):
        return "All of these lean against it."
    return "That nothing was significant does not make it absent." if stated.is_of_absence else "This leaves it open."


def _at_least(value: float, bound: float) -> bool:
    """Whether a probability reaches a bound but for rounding, as half of a star's p does."""
    return value > bound - 1e-9


def _bounds(row: pd.Series, result: str) -> Bounds:
    low, high = (float(row.get(f"{result} {end}", math.nan)) for end in ENDS)
    return low, high


def _said(bounds: Bounds) -> str:
    """A probability, or the two between which it lies.

    >>> _said((0.98312, 0.98312)), _said((0.9, 0.99999)), _said((0.0, 0.001)), _said((0.0, 1.0))
    ('0.98', '0.90 to 1', 'under 0.01', '0 to 1')
    """
    if math.isnan(bounds[0]):
        return ""
    alone = {"0.00": "under 0.01", "1.00": "over 0.99"}
    ends = {"0.00": "0", "1.00": "1"}
    low, high = (f"{end:.2f}" for end in bounds)
    return alone.get(low, low) if low == high else f"{ends.get(low, low)} to {ends.get(high, high)}"
