"""The expected log predictive density of a model: how well it predicts what it has not been shown."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design
from bayesmig.errors import BayesmigError


@dataclass(frozen=True)
class Outcome:
    """What was predicted, so that only like is compared with like.

    ``digest``: fingerprint of the values, with trials and weights. ``measure``: ``density`` of a number,
    ``probability`` of an answer or count.
    """

    name: str
    rows: int
    digest: str
    measure: str

    @classmethod
    def of(cls, design: Design) -> Outcome:
        """The outcome of a design."""
        seen, least = design.y, (design.spec.distribution.support or (-np.inf,))[0]
        if design.ends is not None:
            seen = np.where(design.ends == least, -np.inf, design.ends)
        content = hashlib.sha256(np.ascontiguousarray(seen).tobytes())
        for values in (design.trials, design.weights):
            content.update(b"|" if values is None else values.tobytes())
        exact = design.ends is None or (design.ends[:, 0] == design.ends[:, 1]).any()
        measure = "density" if exact and design.spec.distribution.outcome == "number" else "probability"
        return cls(design.spec.parsed.outcome, design.n, content.hexdigest()[:16], measure)

    def check_same(self, other: Outcome, mine: str, theirs: str) -> None:
        """Raise BayesmigError unless the model of another formula predicts the same values of the same people."""
        if self.rows != other.rows:
            raise BayesmigError(
                f"{mine!r} uses {self.rows:,} rows and {theirs!r} {other.rows:,}; models can be compared only on the"
                " same people. Fit both to the rows that are complete in all variables (data.dropna(subset=[...]))."
            )
        if self.measure != other.measure:
            raise BayesmigError(
                f"{mine!r} gives the {self.measure} of the outcome and {theirs!r} the {other.measure}, which have"
                " different units. Compare models for numbers with each other, and models for answers or counts with"
                " each other."
            )
        if self.digest != other.digest:
            raise BayesmigError(
                f"{mine!r} and {theirs!r} do not predict the same values ({self.name}, {other.name}): the outcome, its"
                " order of rows, its categories or the weights differ. A transformed outcome, such as a logarithm,"
                " cannot be compared with the plain one."
            )


@dataclass(frozen=True, eq=False, repr=False)
class Elpd:
    """Expected log predictive density of a model, from people or groups left out.

    Attributes
    ----------
    method : str
        ``leave-one-out``, ``leave-one-group-out by area``, ``5-fold by area``.
    unit : str
        What was left out: ``row``, or the grouping variable.
    pointwise : pandas.DataFrame
        Indexed by unit: ``n`` (rows), ``elpd`` (log density when left out), ``p`` (how much larger it is when not left
        out), ``mcse`` (Monte Carlo standard error of ``elpd``), ``pareto_k`` (missing where the model was refitted),
        ``refitted``, and ``weight`` (people that the row stands for; the scaled survey weight).
    mcse : float
        Monte Carlo standard error of :attr:`elpd`: about how much another seed changes it.
    threshold : float
        Pareto k above which importance sampling cannot be trusted with so many draws, min(0.7, 1 - 1 / log10 S).
    weight_kind : str or None
        Kind of the weights of rows.
    outcome : Outcome
    formula, engine, seed, provenance : str
    failed : mapping of str to str
        Refits that gave no result, and why.
    instead_of : mapping of str to str
        Refits that NUTS drew, and what did not settle there.

    Notes
    -----
    What it means: the number itself has no scale; the difference between two models has (see
    :func:`bayesmig.compare_models`). ``p`` is roughly the number of parameters that the data had to determine.
    """

    method: str
    unit: str
    pointwise: pd.DataFrame
    mcse: float
    threshold: float
    weight_kind: str | None
    outcome: Outcome
    formula: str
    engine: str
    seed: str
    provenance: str
    failed: Mapping[str, str] = field(default_factory=dict)
    instead_of: Mapping[str, str] = field(default_factory=dict)

    @property
    def elpd(self) -> float:
        """Sum over units; missing if the density of some of them could not be had."""
        return self._total("elpd")

    @property
    def p(self) -> float:
        """Effective number of parameters."""
        return self._total("p")

    @property
    def se(self) -> float:
        """Standard error of :attr:`elpd` as an estimate for new people, or new groups, of the same population."""
        return self._standard_error(self.pointwise["elpd"].to_numpy())

    @property
    def above(self) -> int:
        """How many units have a Pareto k above the threshold."""
        return int((self.pointwise["pareto_k"] > self.threshold).sum())

    def less(self, other: Elpd) -> tuple[float, float]:
        """Difference to another model of the same outcome, and its standard error.

        Raises
        ------
        BayesmigError
            If the two do not predict the same values of the same units by the same method.
        """
        self._check_comparable(other)
        theirs = other.pointwise if self.unit == "row" else other.pointwise.loc[self.pointwise.index]
        difference = self.pointwise["elpd"].to_numpy() - theirs["elpd"].to_numpy()
        return float(difference @ self.pointwise["weight"].to_numpy()), self._standard_error(difference)

    def _total(self, column: str) -> float:
        return float((self.pointwise[column] * self.pointwise["weight"]).sum(skipna=False))

    def _standard_error(self, values: Array) -> float:
        """Of the weighted sum of values that differ between units.

        A frequency weight repeats a row; a survey weight multiplies it, and the sum is a ratio estimator.
        """
        weights = self.pointwise["weight"].to_numpy()
        units = weights.sum() if self.weight_kind == "frequency" else len(weights)
        if units < 2:
            return float("nan")
        power = 1 if self.weight_kind == "frequency" else 2
        squares = weights**power @ (values - np.average(values, weights=weights)) ** 2
        return float(np.sqrt(units / (units - 1) * squares))

    def _check_comparable(self, other: Elpd) -> None:
        mine, theirs = self.outcome, other.outcome
        if (self.method, self.unit) != (other.method, other.unit):
            raise BayesmigError(
                f"{self.formula!r} was judged by {self.method}, {other.formula!r} by {other.method}; judge both alike."
            )
        mine.check_same(theirs, self.formula, other.formula)
        if self.unit != "row" and set(self.pointwise.index) != set(other.pointwise.index):
            raise BayesmigError(
                f"{self.formula!r} and {other.formula!r} were not judged by the same groups of {self.unit}."
            )

    def __str__(self) -> str:
        units = "rows" if self.unit == "row" else f"groups of {self.unit}"
        refitted = int(self.pointwise["refitted"].sum())
        lines = [
            f"{self.method[:1].upper()}{self.method[1:]}: elpd {self.elpd:.1f}, standard error {self.se:.1f}"
            f" (Monte Carlo {self.mcse:.2f}), {len(self.pointwise):,} {units}; effective parameters {self.p:.1f}"
        ]
        sampled = self.pointwise["pareto_k"].dropna()
        if len(sampled):
            lines.append(
                f"  Pareto k: {self.above} of {len(sampled):,} above {self.threshold:.2f}, largest {sampled.max():.2f}"
            )
        lines += [f"  {refitted:,} of them left out by a refit"] if refitted else []
        if self.above:
            lines.append(f"  the density of those {self.above} cannot be trusted; use refit=True")
        lines += [f"  failed: {label}: {reason}" for label, reason in self.failed.items()]
        lines += [f"  {label}: NUTS drew instead of {reason}" for label, reason in self.instead_of.items()]
        weights = f"; {self.weight_kind} weights" if self.weight_kind else ""
        lines.append(f"  {self.formula}; {self.engine}, seed {self.seed}; {self.provenance}{weights}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"
