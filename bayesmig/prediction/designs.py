"""The next study: how wide its intervals would be, and how surely it would find what there is.

Data are made as they would be if the truth were so and so, each is analysed as the study will be, and what is claimed
is counted (Gelman & Carlin 2014, Perspectives on Psychological Science 9(6), for the errors of sign and size; O'Hagan,
Stevens & Campbell 2005, Pharmaceutical Statistics 4(3), for assurance).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special

from bayesmig.arguments import check_fields
from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.columns import check_present
from bayesmig.data.design import Design, GroupTerm
from bayesmig.data.encoding import PROVENANCE_COLUMN, build_design, provenance_of, without_outcome_bounds
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.data.rows import Rows
from bayesmig.errors import InferenceFailure, SpecificationError, closest, listing, require
from bayesmig.inference.engines.base import Engine
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.fitting import estimate, fit
from bayesmig.inference.parallel import Failure, map_fits
from bayesmig.inference.response import draw_outcomes, linear_predictor
from bayesmig.printed.evidence.significance import errors_of_design
from bayesmig.results.hypotheses import claims_by_name, hypothesis
from bayesmig.specification.claims import Claim, parse_claim
from bayesmig.specification.formula import Formula
from bayesmig.specification.model import ModelSpec, as_spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT = Exact(draws=1000)
CLOSED, LIKELIHOOD = "closed form", "maximum likelihood"
Z95 = 1.959964


@dataclass(frozen=True)
class Planned:
    """How a predictor will be distributed.

    Parameters
    ----------
    of : {"person", "group"}
        Whom it describes.
    share : float or mapping of str to float, optional
        Of a yes-or-no predictor (0 and 1) the share of ones; of a category the share of each level. Groups get their
        values in these numbers, people at random. Without it the predictor is normal with mean 0 and sd 1.
    icc : float
        Of a normal predictor of persons: the part of its variance between groups.

    Raises
    ------
    SpecificationError
        If a value cannot be meant.

    Examples
    --------
    >>> Planned("group", share=0.5)
    Planned(of='group', share=0.5, icc=0.0)
    """

    of: Literal["person", "group"] = "person"
    share: float | Mapping[str, float] | None = None
    icc: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.of not in ("person", "group"):
            raise SpecificationError(f"of={self.of!r}: a predictor describes a 'person' or a 'group'.")
        if not 0 <= self.icc < 1 or (self.icc and (self.of == "group" or self.share is not None)):
            raise SpecificationError(
                f"icc={self.icc!r}: a part of the variance from 0 to below 1, of a number that describes persons."
            )
        shares = list(self.shares.values())
        if self.share is not None and (len(shares) < 2 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6):
            raise SpecificationError(
                f"share={self.share!r}: give a share between 0 and 1, or one for each of several levels, summing to 1."
            )

    @property
    def shares(self) -> dict[str, float]:
        """The share of every level."""
        if self.share is None:
            return {}
        return dict(self.share) if isinstance(self.share, Mapping) else {"0": 1 - self.share, "1": self.share}

    def draw(self, codes: Codes, groups: int, rng: np.random.Generator) -> Array | NDArray[np.object_]:
        """Values of people of these groups."""
        size = groups if self.of == "group" else len(codes)
        if self.share is None:
            values = rng.standard_normal(size)
            if self.icc:
                values = math.sqrt(1 - self.icc) * values + math.sqrt(self.icc) * rng.standard_normal(groups)[codes]
        else:
            levels, shares = zip(*self.shares.items(), strict=True)
            if self.of == "group":
                ends = np.round(np.cumsum(shares) * groups).astype(int)
                places = rng.permutation(np.searchsorted(ends, np.arange(groups), side="right"))
            else:
                places = rng.choice(len(levels), size, p=shares)
            values = places.astype(float) if not isinstance(self.share, Mapping) else np.array(levels, object)[places]
        return values[codes] if self.of == "group" else values


def precision(
    spec: ModelSpec | str,
    claims: str | Sequence[str] | Mapping[str, str],
    *,
    truth: Mapping[str, float | Sequence[float]] | xr.DataTree,
    per_group: int | Sequence[int],
    groups: int | Sequence[int] | None = None,
    data: AnyFrame | None = None,
    predictors: Mapping[str, Planned] | None = None,
    n: int = 200,
    sure: float = 0.975,
    engine: Engine | None = None,
    seed: int | None = None,
) -> Precision:
    """What a study of so many groups and people would find.

    Parameters
    ----------
    spec : ModelSpec or str
        How the study will be analysed: a specification, or a formula. One grouping factor, or none.
    claims : str, sequence of str, or mapping of name to str
        Hypotheses, as in :func:`bayesmig.hypothesis`.
    truth : mapping, or DataTree
        What is true. By name: coefficients (those not named are 0), ``icc``, the groups' share of the variance that
        predictors leave (of 1 in all for numbers, on the latent scale else), or ``sigma`` and ``tau_<group>``
        themselves; ``cut`` (a list), ``dispersion``, ``nu``. Or a result: an estimate or a printed table is
        a point, of a posterior each simulated study takes a draw, so that the truth is as uncertain as it is.
    per_group : int or sequence of int
        People in each group; in all, if there are no groups.
    groups : int or sequence of int
        Numbers of groups, every one of which is combined with those of ``per_group``.
    data : pandas.DataFrame, optional
        People like those of the study: own, or from :func:`bayesmig.reconstruct`. Groups are drawn from them with
        replacement, and people within groups, of those who gave all answers.
    predictors : mapping of str to Planned, optional
        Without data: how predictors are distributed. Those not named are normal and describe persons.
    n : int
        Simulated studies for each combination. 0 computes in closed form instead, which there is for balanced Gaussian
        designs with a varying intercept, and claims on one planned coefficient.
    sure : float
        How probable a hypothesis must be to count as found.
    engine : Engine, optional
        By default :class:`bayesmig.Exact` with 1,000 draws for Gaussian outcomes. Others are estimated by maximum
        likelihood, and probabilities are normal approximations under flat priors; an engine draws instead, and takes
        its time.
    seed : int, optional

    Returns
    -------
    Precision
        ``table`` has a row a hypothesis and combination.

    Raises
    ------
    SpecificationError, UnknownColumn
        Before any work, if the truth, a claim or a predictor names what the model does not have, or numbers of groups
        or people make no study.

    See Also
    --------
    bayesmig.plots.precision : The picture.
    bayesmig.printed.design_errors : The same questions of a table that is printed already.

    Notes
    -----
    Studies that cannot be fitted (more predictors of groups than groups, say) are counted in ``failed``, and as such
    that find nothing. Fits run in parallel within ``joblib.parallel_config``.

    What it means: an assurance of 0.4 says that four in ten such studies would find the effect that is there. With few
    groups more people hardly help: what describes groups is measured as often as there are groups. Type M of 2 says
    that those who find it report twice its size.

    Examples
    --------
    >>> truth = {"contact": 0.2, "icc": 0.1}
    >>> sizes = {"groups": [10, 20], "per_group": 20}
    >>> found = precision("trust ~ contact + (1 | area)", "contact > 0", truth=truth, **sizes, n=0)
    >>> found.table["assurance"].round(2).tolist()
    [0.83, 0.99]
    """
    plan = _plan(as_spec(spec), claims, truth, data, predictors, sure, engine)
    cells = _cells(plan, groups, per_group)
    if not (isinstance(n, (int, np.integer)) and n >= 0):
        raise SpecificationError(f"n={n!r}: give the number of simulated studies, or 0 for the closed form.")
    entropy = np.random.SeedSequence(seed)
    parsed = plan.parsed(cells[-1], np.random.default_rng(0))
    if n == 0:
        rows = [_closed(plan, name, claim, cell) for cell in cells for name, claim in parsed.items()]
    else:
        rows = []
        for cell, child in zip(cells, entropy.spawn(len(cells)), strict=True):
            rows += _simulated(plan, cell, n, child)
    table = pd.DataFrame(rows).sort_values(["hypothesis", "groups", "per_group"], kind="stable").reset_index(drop=True)
    made = "simulated" if plan.data is None else f"simulated, predictors from {provenance_of(plan.data)}"
    table.attrs = {"engine": CLOSED if n == 0 else plan.method, "n": n, "sure": sure, "provenance": made}
    table.attrs["seed"] = str(entropy.entropy)
    return Precision(table, plan.spec)


@dataclass(frozen=True, eq=False)
class Precision:
    """What studies of several sizes would find, from :func:`precision`.

    Attributes
    ----------
    table : pandas.DataFrame
        ``hypothesis``, ``groups``, ``per_group``, ``people``; ``truth`` of what the hypothesis speaks of; mean
        ``width`` of its 95 % interval, and ``coverage``; ``assurance``, the share of studies in which the hypothesis is
        as probable as ``sure``, with Monte Carlo bounds; ``type_s``, the share of studies with an interval beyond zero
        that are on the wrong side; ``type_m``, by how much those exaggerate; ``failed``. ``attrs`` says how it was
        computed.
    spec : ModelSpec
    """

    table: pd.DataFrame
    spec: ModelSpec

    def __str__(self) -> str:
        attrs = self.table.attrs
        studies = f"{attrs['n']} simulated studies each, seed {attrs['seed']}" if attrs["n"] else "no simulation"
        shown = self.table.drop(columns=["assurance_lower", "assurance_upper"]) if not attrs["n"] else self.table
        text = shown.round(2).to_string(index=False)
        return f"{self.spec.formula}; {attrs['engine']}, {studies}; found if P > {attrs['sure']:g}\n{text}"


@dataclass(frozen=True, eq=False)
class _Plan:
    """How studies are made and analysed."""

    spec: ModelSpec
    claims: Mapping[str, str]
    truth: Mapping[str, Any] | xr.DataTree
    data: pd.DataFrame | None
    predictors: Mapping[str, Planned]
    sure: float
    engine: Engine | None
    group: str | None

    @property
    def formula(self) -> Formula:
        return self.spec.parsed

    @property
    def outcome(self) -> str:
        return str(self.formula.outcome_column)

    @property
    def method(self) -> str:
        return LIKELIHOOD if self.engine is None else repr(self.engine)

    @cached_property
    def by_group(self) -> list[pd.DataFrame]:
        """The people of the data, group by group."""
        assert self.data is not None
        return [people for _, people in self.data.groupby(self.group, observed=True)]

    def frame(self, cell: tuple[int, int], rng: np.random.Generator) -> pd.DataFrame:
        """People of a study, with an outcome that only holds the place."""
        groups, size = cell
        codes = np.repeat(np.arange(groups), size)
        if self.data is None:
            drawn: dict[str, Any] = {name: each.draw(codes, groups, rng) for name, each in self.predictors.items()}
            frame = pd.DataFrame(drawn, index=range(len(codes)))
        elif self.group is None:
            frame = self.data.iloc[rng.integers(0, len(self.data), len(codes))].reset_index(drop=True)
        else:
            chosen = [self.by_group[place] for place in rng.integers(0, len(self.by_group), groups)]
            parts = [people.iloc[rng.integers(0, len(people), size)] for people in chosen]
            frame = pd.concat(parts, ignore_index=True)
        if self.group is not None:
            frame[self.group] = [f"g{code + 1}" for code in codes]
        frame[self.outcome] = self._placeholder(len(frame), rng)
        return frame.drop(columns=PROVENANCE_COLUMN, errors="ignore")

    def _placeholder(self, n: int, rng: np.random.Generator) -> Any:
        kind, entry = self.spec.distribution.outcome, self.spec.variable(self.outcome)
        if kind == "number" and not self.spec.distribution.ends:
            drawn, support = rng.standard_normal(n), self.spec.distribution.support
            if support is not None:
                drawn = special.expit(drawn) if np.isfinite(support[1]) else np.exp(drawn)
            spikes = list(self.spec.distribution.spikes.values())
            for place, spike in enumerate(spikes, 1):
                drawn[place :: 1 + len(spikes)] = spike
            return drawn
        if kind not in ("ordered", "binary", "number"):
            return np.arange(n) % 2
        levels: list[Any]
        if entry is not None and entry.is_categorical:
            levels = list(entry.levels)
        elif self.data is not None:
            levels = list(self.data[self.outcome].astype("category").cat.categories)
        else:
            levels = list(range(2)) if kind == "binary" else [str(k + 1) for k in range(self._thresholds + 1)]
        answers = [levels[k % len(levels)] for k in range(n)]
        return pd.Categorical(answers, levels, ordered=True) if kind == "ordered" else answers

    @property
    def _thresholds(self) -> int:
        """How many there are in truth; one, unless it says so."""
        if isinstance(self.truth, xr.DataTree):
            return int(self.truth[schema.kind(self.truth)].sizes.get("cutpoint", 1))
        return int(np.size(dict(self.truth).get("cut", 0.0)))

    def parameters(self, design: Design, rng: np.random.Generator) -> dict[str, Array]:
        """What is true, as a single draw of the contract's parameters."""
        if isinstance(self.truth, xr.DataTree):
            return _of_tree(design, self.truth, rng)
        return _stated(design, self.truth)

    def parsed(self, cell: tuple[int, int], rng: np.random.Generator) -> dict[str, Claim]:
        """The claims, whose names the model must have; and a look at whether the truth fits it."""
        design = build_design(self.spec, self.frame(cell, rng))
        names = _truths(design, self.parameters(design, rng))
        found = {name: parse_claim(text, [*names, *_shares(design)]) for name, text in self.claims.items()}
        for claim in found.values():
            if claim.is_equality:
                raise SpecificationError(
                    f"{claim.text!r}: equality has no probability; claim a region, as in 'abs(a) < 0.1'."
                )
            if self.engine is None and len(claim.comparisons) > 1:
                raise SpecificationError(
                    f"{claim.text!r} compares several things at once, whose probability needs draws: give an engine, as"
                    " in engine=bm.NUTS(), or plan them one by one."
                )
        return found


def _plan(
    spec: ModelSpec,
    claims: str | Sequence[str] | Mapping[str, str],
    truth: Mapping[str, Any] | xr.DataTree,
    data: AnyFrame | None,
    predictors: Mapping[str, Planned] | None,
    sure: float,
    engine: Engine | None,
) -> _Plan:
    """Refuses what cannot be planned, before any work."""
    formula = spec.parsed
    if formula.outcome_column is None or formula.bounds or spec.factors or spec.impute:
        raise SpecificationError(
            f"{spec.formula!r}: studies are simulated for outcomes that are columns, without bounds, latent factors and"
            " modelled gaps. Name the outcome as it will be analysed."
        )
    if len({term.group for term in formula.varying}) > 1 or any(len(term.columns) > 1 for term in formula.varying):
        raise SpecificationError(
            f"{spec.formula!r} has grouping factors {listing(term.group for term in formula.varying)}; numbers of"
            " groups can be given for one factor of one column. Leave the others out, and keep the one whose number you"
            " choose."
        )
    if not 0.5 <= sure < 1:
        raise SpecificationError(f"sure={sure!r} must lie between 0.5 and 1; 0.975 is the usual bar.")
    named = claims_by_name(claims)
    group = formula.varying[0].columns[0] if formula.varying else None
    needed = sorted(formula.predictors | {name for name in (spec.trials, spec.offset) if name})
    needed += [name for name in (spec.weights.columns if spec.weights else ()) if name not in needed]
    planned = dict(predictors or {})
    if data is not None:
        data = frame_of(data)
        if planned:
            raise SpecificationError("predictors come from data, or are planned, not both: leave out one of them.")
        ordered = spec.distribution.outcome in ("ordered", "binary") and spec.variable(formula.outcome_column) is None
        check_present(data, [*needed, *filter(None, [group]), *([formula.outcome_column] if ordered else [])])
    else:
        which = f", which is no predictor of {spec.formula!r}"
        require(planned, needed, "predictors names ", which, error=SpecificationError)
        wrong = [name for name, each in planned.items() if not isinstance(each, Planned)]
        if wrong:
            raise SpecificationError(f"predictors[{wrong[0]!r}] must be Planned(...), got {planned[wrong[0]]!r}.")
        if spec.trials or spec.weights or spec.offset:
            raise SpecificationError("trials, weights and offsets are taken from people: give data.")
        planned = {name: planned.get(name, Planned()) for name in needed}
    if data is not None:
        data = data.dropna(subset=[name for name in [*needed, *filter(None, [group])] if name in data])
        if data.empty:
            raise SpecificationError(f"no row of the data has values of all of {listing([*needed, group])}.")
    chosen = engine or (EXACT if spec.is_gaussian else None)
    if isinstance(truth, xr.DataTree):
        schema.kind(truth)
    elif not isinstance(truth, Mapping):
        raise SpecificationError(f"truth={truth!r}: give numbers by name, as in truth={{'contact': 0.2}}, or a result.")
    spec = without_outcome_bounds(spec, formula)  # simulated answers are as continuous as reconstructed ones
    return _Plan(spec, named, truth, data, planned, sure, chosen, group)


def _cells(plan: _Plan, groups: Any, per_group: Any) -> list[tuple[int, int]]:
    """Combinations of numbers of groups and of people."""
    if plan.group is None and groups is not None:
        raise SpecificationError(
            f"groups={groups!r}, and {plan.spec.formula!r} has no grouping factor; add one, as in (1 | area), or give"
            " per_group, the people in all, alone."
        )
    if plan.group is not None and groups is None:
        raise SpecificationError(
            f"{plan.spec.formula!r} has groups of {plan.group}: say how many, as in groups=[10, 20]."
        )
    counts = {"groups": (1,) if groups is None else np.atleast_1d(groups).tolist()}
    counts["per_group"] = np.atleast_1d(per_group).tolist()
    for name, least in (("groups", 1 if groups is None else 2), ("per_group", 1)):
        wrong = [each for each in counts[name] if not isinstance(each, int) or each < least]
        if wrong or not counts[name]:
            raise SpecificationError(
                f"{name}={wrong[0] if wrong else counts[name]!r}: give whole numbers of at least {least}."
            )
    return [(number, size) for number in counts["groups"] for size in counts["per_group"]]


def _stated(design: Design, truth: Mapping[str, Any]) -> dict[str, Array]:
    """Parameters from numbers by name."""
    family, group = design.spec.distribution, design.groups[0] if design.groups else None
    taus = [f"tau_{group.name}[{effect}]" for effect in group.effects] if group else []
    own = [name for name in family.parameters if name not in design.spec.predictors]
    known = [*design.terms, *own, *taus, *([f"tau_{group.name}", "icc"] if group else [])]
    not_there = ", which the model has not"
    require(truth, known, "truth names ", not_there, "; it has", most=20, error=SpecificationError)
    for name, value in truth.items():
        is_number = isinstance(value, (int, float, np.number)) and math.isfinite(value)
        if name != "cut" and not (is_number and (value >= 0 or name in design.terms)):
            kind = "a number" if name in design.terms else "a number that is not negative"
            raise SpecificationError(f"truth[{name!r}]={value!r} must be {kind}.")
    for name in own:
        if name != "cut" and truth.get(name) == 0:
            raise SpecificationError(f"truth[{name!r}]=0 must be larger.")
    values: dict[str, Array] = {"beta": np.array([[float(truth.get(term, 0.0)) for term in design.terms]])}
    icc = truth.get("icc")
    if icc is not None and "sigma" in design.spec.predictors:
        raise SpecificationError(f"icc needs one residual sd, and sigma has predictors; give {taus[0]!r}, an sd.")
    if icc is not None and not 0 <= icc < 1:
        raise SpecificationError(f"icc={icc!r} is the groups' share of the variance, from 0 to below 1.")
    if group is not None and icc is None and not any(name in truth for name in (*taus, f"tau_{group.name}")):
        raise SpecificationError(
            f"truth does not say how much {group.name} differ; add icc=..., as in truth={{..., 'icc': 0.1}}, or"
            f" 'tau_{group.name}', their sd."
        )
    residual = family.latent_variance(design.spec.link) if family.outcome != "number" else None
    if "sigma" in own:
        values["sigma"] = np.array([float(truth.get("sigma", math.sqrt(1 - (icc or 0.0))))])
        residual = float(values["sigma"][0] ** 2)
    if group is not None:
        intercept = math.sqrt(icc / (1 - icc) * (residual or 1.0)) if icc is not None else 0.0
        sds = [float(truth.get(f"tau_{group.name}", intercept))] + [0.0] * (len(taus) - 1)
        sds = [float(truth.get(name, sd)) for name, sd in zip(taus, sds, strict=True)]
        values[f"tau_{group.name}"] = np.array([sds])
        if group.pairs:
            values[f"rho_{group.name}"] = np.zeros((1, len(group.pairs)))
    for name in (name for name in own if name not in ("sigma", "cut")):
        if name not in truth:
            raise SpecificationError(f"truth lacks {name!r}, which the family {design.spec.family!r} needs.")
        values[name] = np.array([float(truth[name])])
    if "cut" in own:
        cuts = np.atleast_1d(np.asarray(truth.get("cut", ()), dtype=float))
        if len(cuts) != len(design.categories) - 1 or (family.rising and (np.diff(cuts) <= 0).any()):
            raise SpecificationError(
                f"truth['cut']={truth.get('cut')!r}: give {len(design.categories) - 1 or 'the'} rising thresholds, one"
                " fewer than categories."
            )
        values["cut"] = cuts[None]
    return values


def _of_tree(design: Design, tree: xr.DataTree, rng: np.random.Generator) -> dict[str, Array]:
    """Parameters of a result, for a posterior those of one of its draws."""
    dataset = tree[schema.kind(tree)].to_dataset()
    if "chain" in dataset.dims:
        dataset = dataset.isel(chain=rng.integers(dataset.sizes["chain"]), draw=rng.integers(dataset.sizes["draw"]))
    known = [str(term) for term in dataset["term"].to_numpy()]
    lacking = [term for term in design.terms if term not in known and term != "intercept"]
    if lacking:
        raise SpecificationError(
            f"the result that is to be the truth has no {listing(lacking)}{closest(lacking[0], known)}; it has"
            f" {listing(known, 20)}."
        )
    beta = dataset["beta"].to_series()
    values = {"beta": np.array([[float(beta.get(term, 0.0)) for term in design.terms]])}
    if "intercept" not in known and design.spec.distribution.outcome != "number" and design.has_intercept:
        raise SpecificationError("the result that is to be the truth has no intercept, so that shares are not known.")
    for name in (name for name in design.spec.distribution.parameters if name not in design.spec.predictors):
        if name not in dataset:
            raise SpecificationError(_unsaid(name, dataset))
        values[name] = (
            np.atleast_1d(dataset[name].to_numpy())[None] if name == "cut" else dataset[name].to_numpy()[None]
        )
    for group in design.groups:
        if f"tau_{group.name}" not in dataset:
            raise SpecificationError(_unsaid(f"tau_{group.name}", dataset))
        values[f"tau_{group.name}"] = dataset[f"tau_{group.name}"].to_numpy()[None]
        if group.pairs:
            rho = dataset.get(f"rho_{group.name}")
            values[f"rho_{group.name}"] = np.zeros((1, len(group.pairs))) if rho is None else rho.to_numpy()[None]
    return values


def _unsaid(name: str, dataset: xr.Dataset) -> str:
    return (
        f"the result that is to be the truth does not say {name}; it has {listing(dataset.data_vars)}. Give numbers by"
        " name instead, as in truth={'contact': 0.2, 'icc': 0.1}."
    )


def _truths(design: Design, values: Mapping[str, Array]) -> dict[Any, float]:
    """What claims may speak of, by name, as far as a truth has it."""
    found = dict(zip(design.terms, values["beta"][0].tolist(), strict=True))
    found |= {one.name: float(values[one.name][0]) for one in design.scalars}
    for group in design.groups:
        for effect, sd in zip(group.effects, values[f"tau_{group.name}"][0], strict=True):
            found |= {f"tau_{group.name}[{effect}]": float(sd), f"variance_tau_{group.name}[{effect}]": float(sd) ** 2}
    return found


def _shares(design: Design) -> list[str]:
    return [f"vpc_{group.name}" for group in design.groups]


def _effects(group: GroupTerm, values: Mapping[str, Array], rng: np.random.Generator) -> Array:
    """Varying effects ``(J, q)`` of the groups, drawn."""
    root = np.linalg.cholesky(group.covariance(values)[0] + 1e-12 * np.eye(len(group.effects)))
    return np.asarray(rng.standard_normal((len(group.levels), len(group.effects))) @ root.T)


def _replicate(plan: _Plan, item: tuple[tuple[int, int], np.random.SeedSequence]) -> list[dict[str, float]]:
    """One simulated study: what it says of every claim, beside the truth."""
    cell, sequence = item
    rng = np.random.default_rng(sequence)
    frame = plan.frame(cell, rng)
    design = build_design(plan.spec, frame)
    values = plan.parameters(design, rng)
    effects = {group.name: _effects(group, values, rng)[None] for group in design.groups}
    eta = linear_predictor(Rows.of(design), values, effects)
    y = draw_outcomes(design, eta, values, rng)[0]
    if design.categories:
        column, codes = frame[plan.outcome], y.astype(int)
        ordered = plan.spec.distribution.outcome == "ordered"
        drawn = pd.Categorical.from_codes(codes, column.cat.categories, ordered=True) if ordered else None
        frame[plan.outcome] = _recoded(column, design.categories, codes) if drawn is None else drawn
    elif design.ends is not None:
        place = np.searchsorted(design.brackets.ends[:, 0], y, side="right") - 1
        frame[plan.outcome] = np.array(design.brackets.names)[np.maximum(place, 0)]
    else:
        frame[plan.outcome] = y
    if plan.engine is None:
        table = hypothesis(estimate(plan.spec, frame), dict(plan.claims))
        table["probability"] = 1 - table["p"]
    else:
        tree = fit(plan.spec, frame, engine=plan.engine, seed=int(rng.integers(2**31)))
        table = hypothesis(tree, dict(plan.claims))
    ends = table.filter(regex="_lower$|_upper$").to_numpy()
    truths = _truths(design, values)
    rows = []
    for place, (text, row) in enumerate(zip(plan.claims.values(), table.to_dict("records"), strict=True)):
        subject = parse_claim(text, [*truths, *_shares(design)]).subject
        known = subject is not None and all(name in truths for name in subject.quantities())
        truth = float(subject.of(truths)) if known and subject is not None else math.nan
        lower, upper = ends[place]
        rows.append(
            {key: row[key] for key in ("estimate", "probability")} | {"lower": lower, "upper": upper, "truth": truth}
        )
    return rows


def _recoded(column: pd.Series, categories: Sequence[str], codes: Codes) -> Any:
    """Yes-or-no answers as the column has them."""
    by_text = {str(value): value for value in column.unique()}
    return [by_text.get(categories[code], categories[code]) for code in codes]


def _simulated(plan: _Plan, cell: tuple[int, int], n: int, sequence: np.random.SeedSequence) -> list[dict[str, Any]]:
    """Rows of the table for one combination."""
    items = {f"study {k + 1}": (cell, child) for k, child in enumerate(sequence.spawn(n))}
    what = f"studies of {cell[0]} × {cell[1]}" if plan.group else f"studies of {cell[1]}"
    try:
        kept = [
            each for each in map_fits(partial(_replicate, plan), items, what).values() if not isinstance(each, Failure)
        ]
    except InferenceFailure as error:  # such as four predictors of three groups: that is an answer, too
        warnings.warn(str(error), stacklevel=3)
        kept = []
    return [
        _row(plan, name, cell, pd.DataFrame([each[place] for each in kept]), n)
        for place, name in enumerate(plan.claims)
    ]


def _row(plan: _Plan, name: str, cell: tuple[int, int], found: pd.DataFrame, n: int) -> dict[str, Any]:
    row = _head(plan, name, cell) | {"failed": n - len(found)}
    if found.empty:
        return row | dict.fromkeys(("truth", "width", "coverage", "type_s", "type_m"), math.nan) | _share(0, n)
    truth = found["truth"].to_numpy()
    decided = ((found["lower"] > 0) | (found["upper"] < 0)).to_numpy() & np.isfinite(truth) & (truth != 0)
    wrong = np.sign(found["estimate"].to_numpy()) != np.sign(truth)
    size = np.abs(found["estimate"].to_numpy()[decided]).sum() / (np.abs(truth[decided]).sum() or math.nan)
    covered = (found["lower"] <= truth) & (truth <= found["upper"])
    return row | {
        "truth": truth.mean(),
        "width": float((found["upper"] - found["lower"]).mean()),
        "coverage": float(covered.mean()) if np.isfinite(truth).all() else math.nan,
        **_share(int((found["probability"] > plan.sure).sum()), n),
        "type_s": float(wrong[decided].mean()) if decided.any() else math.nan,
        "type_m": float(size),
    }


def _head(plan: _Plan, name: str, cell: tuple[int, int]) -> dict[str, Any]:
    groups, size = cell
    return {"hypothesis": name, "groups": groups if plan.group else 0, "per_group": size, "people": groups * size}


def _share(count: int, n: int) -> dict[str, float]:
    """A share of simulated studies with its 95 % interval by Wilson's score."""
    share, square = count / n, Z95**2 / n
    centre, half = share + square / 2, Z95 * math.sqrt(share * (1 - share) / n + square / (4 * n))
    return {
        "assurance": share,
        "assurance_lower": (centre - half) / (1 + square),
        "assurance_upper": (centre + half) / (1 + square),
    }


def _closed(plan: _Plan, name: str, claim: Claim, cell: tuple[int, int]) -> dict[str, Any]:
    """A row in closed form: the t test of a coefficient in a balanced design, whose information is the expected one."""
    from scipy import stats

    term, sign, against = _linear(plan, claim)
    groups, size = cell
    truth = _stated_truth(plan)
    planned, icc = plan.predictors[term], float(truth.get("icc", 0.0))
    sigma2 = float(truth.get("sigma", math.sqrt(1 - icc))) ** 2
    tau = truth.get(f"tau_{plan.group}[intercept]", truth.get(f"tau_{plan.group}"))
    tau2 = icc / (1 - icc) * sigma2 if tau is None else float(tau) ** 2
    share = planned.shares.get("1")
    variance, people = (1.0 if share is None else share * (1 - share)), groups * size
    between_part = 1.0 if planned.of == "group" else planned.icc
    means = variance * (between_part + (1 - between_part) / size)
    free = 1 if share is None or planned.of == "person" else 0
    within = people * (variance - means) / sigma2
    information = within + (groups - free) * size * means / (sigma2 + size * tau2)
    if plan.group is None:
        information = (people - 1) * variance / sigma2
    group_level = [each for each in plan.predictors.values() if each.of == "group"]
    df = (
        groups - 1 - len(group_level)
        if planned.of == "group"
        else people - groups - (len(plan.predictors) - len(group_level))
    )
    effect = float(truth.get(term, 0.0))
    row = _head(plan, name, cell) | {"truth": effect}
    if df < 1:
        return row | dict.fromkeys(("width", "coverage", "type_s", "type_m"), math.nan) | _exactly(0.0) | {"failed": 1}
    error = information**-0.5
    power = stats.nct.sf(stats.t.ppf(plan.sure, df), df, sign * (effect - against) / error)
    errors = errors_of_design(effect, error, float(df)) if effect and df > 1 else None
    return row | {
        "width": 2 * stats.t.ppf(0.975, df) * error,
        "coverage": 0.95,
        **_exactly(float(power)),
        "type_s": errors.type_s if errors else math.nan,
        "type_m": errors.type_m if errors else math.nan,
        "failed": 0,
    }


def _exactly(share: float) -> dict[str, float]:
    return dict.fromkeys(("assurance", "assurance_lower", "assurance_upper"), share)


def _stated_truth(plan: _Plan) -> Mapping[str, Any]:
    if isinstance(plan.truth, xr.DataTree):
        raise SpecificationError("the closed form needs a truth in numbers by name; say n=200 to simulate.")
    return plan.truth


def _linear(plan: _Plan, claim: Claim) -> tuple[str, int, float]:
    """The coefficient, the direction and the bar of a claim that the closed form covers."""
    formula = plan.formula
    simple = plan.data is None and plan.spec.is_gaussian and not plan.spec.standardise
    simple &= all(term.effects.strip() == "1" for term in formula.varying)
    names = [str(name) for name in claim.quantities]
    terms = {part.strip() for part in formula.common.split("+")} - {"1"}
    simple &= terms == set(plan.predictors) and len(claim.comparisons) == 1 and len(names) == 1
    simple &= names[0] in plan.predictors and not isinstance(plan.predictors[names[0]].share, Mapping)
    if simple:
        difference = claim.comparisons[0].difference
        at = [float(difference.of({names[0]: value})) for value in (0.0, 1.0, 2.0)]
        slope = at[1] - at[0]
        if abs(at[2] - at[1] - slope) < 1e-9 and slope and not claim.is_equality:
            return names[0], int(math.copysign(1, slope)), -at[0] / slope
    raise SpecificationError(
        f"there is no closed form for {claim.text!r} of {plan.spec.formula!r}: it needs a Gaussian outcome, planned"
        " predictors without interactions, a varying intercept at most, and one coefficient held against a number. Say"
        " n=200 to simulate."
    )
