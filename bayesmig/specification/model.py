"""Specifications as frozen values: a codebook, a formula, priors, and the study they belong to.

Nothing here touches data. A changed specification is a new value::

    spec.with_terms("+ hukou:area_poverty").with_priors(slopes=priors.Normal(0, 0.5))
"""

from __future__ import annotations

import dataclasses
import html
import itertools
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from bayesmig.arguments import check_fields, fits
from bayesmig.contract.names import FACTOR_MARK, along, as_code, both, columns_of, of_factor, pieces
from bayesmig.errors import NotFound, SpecificationError, closest, listing, require
from bayesmig.families.record import Family
from bayesmig.families.registry import FAMILIES, LATENT, meant_by
from bayesmig.specification.claims import parse_claim
from bayesmig.specification.formula import MEMBERSHIPS, Formula, parse
from bayesmig.specification.neighbours import STRUCTURES, Neighbours, Points, from_dict, grouped_by
from bayesmig.specification.priors import WEAK, Prior, PriorSet, preset

WeightKind = Literal["survey", "frequency", "precision"]
WEIGHT_KINDS = ("survey", "frequency", "precision")
WEIGHT_SCALINGS = ("size", "effective", "none")
ESTIMATORS = ("ml", "reml", "ols")
SCALES = ("continuous", "ordinal")
LINKS = ("logit", "probit")
ANSWERS = ("listwise", "full")
VERDICTS = ("supported", "partly supported", "not supported", "claimed", "no effect", "not tested")
VARYING = r"\(([^()|]*)\|+((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)"
FULL_WIDTH = frozenset("～＋－＊：｜（）")


def _require(value: str, allowed: Collection[str], before: str, there: str = "allowed are", after: str = "") -> None:
    """Refuse a value that is none of those allowed."""
    require([value], allowed, before, after, f"; {there}", error=SpecificationError)


def _texts(given: Any, what: str) -> tuple[str, ...]:
    """Several texts as a tuple."""
    if not fits(given, tuple[str, ...]):
        raise SpecificationError(f"{what}, got {given!r}.")
    return tuple(given)


SHARED = {  # what effects that are alike are called after
    "spatial": "{} and its neighbours",
    "bym2": "{} and its neighbours",
    "ar1": "{} and those before and after",
    "gp": "{} and those near it",
}


@dataclass(frozen=True)
class Variable:
    """One entry of a codebook.

    Parameters
    ----------
    name : str
        Column of the data.
    label : str
        What tables and plots call it.
    levels : mapping of str to str
        Code to label, for a categorical variable, in order; the first is the reference unless
        ``reference`` says otherwise. Empty for a number.
    reference : str
        The level that coefficients compare with.
    unit : str
        Unit of a number ("years", "recipients").
    group : str
        The grouping variable within which this one is constant ("neighbourhood"), if it describes groups.
    minimum, maximum : float
        Smallest and largest value that can occur.
    note : str
        What a reader must know wherever its coefficients stand, in sentences: a coding that print contradicts.
    brackets : mapping of (str or number) to (float, float)
        Code of each answer to the two numbers between which it lies, where people chose a bracket instead of giving a
        number: ``{"under 2000": (0, 2000), "2000-4000": (2000, 4000), "over 4000": (4000, inf)}``. Where one ends the
        next begins. They are the levels, unless ``levels`` has labels for the codes.
    overlaps : tuple of str
        Of an item of an index: predictors about which the item itself asks, so that an effect of these on the index is
        there by construction.

    Raises
    ------
    SpecificationError
        If levels are no mapping, are fewer than two or repeat, the reference is no level, the smallest value exceeds
        the largest, or brackets turn round, overlap or leave a gap.

    Examples
    --------
    >>> Variable("gender", levels={"male": "Man", "female": "Woman"}).reference
    'male'
    """

    name: str
    label: str = ""
    levels: Mapping[str, str] = field(default_factory=dict)
    reference: str = ""
    unit: str = ""
    group: str = ""
    minimum: float | None = None
    maximum: float | None = None
    note: str = ""
    overlaps: tuple[str, ...] = ()
    brackets: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self, but=("levels", "reference", "overlaps", "brackets"))
        object.__setattr__(self, "label", self.label or self.name.replace("_", " "))
        object.__setattr__(
            self, "overlaps", _texts(self.overlaps, f"variable {self.name!r}: overlaps must be a tuple of names")
        )
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise SpecificationError(f"variable {self.name!r}: minimum {self.minimum} exceeds maximum {self.maximum}.")
        if not isinstance(self.levels, Mapping):
            raise SpecificationError(
                f"variable {self.name!r}: levels must map codes to labels, as in {{'1': 'yes', '2': 'no'}};"
                f" got {self.levels!r}."
            )
        if not isinstance(self.brackets, Mapping) or self.brackets:
            self._check_brackets()
        levels = {as_code(code): str(label) for code, label in self.levels.items()}
        if len(levels) < len(self.levels):
            raise SpecificationError(f"variable {self.name!r} has a level twice: {listing(map(repr, self.levels))}.")
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "reference", as_code(self.reference))
        if not self.levels:
            if self.reference:
                raise SpecificationError(f"variable {self.name!r} has a reference but no levels.")
            return
        if len(self.levels) < 2:
            raise SpecificationError(f"variable {self.name!r} needs at least two levels, got {listing(self.levels)}.")
        if not self.reference:
            object.__setattr__(self, "reference", next(iter(self.levels)))
        what = f"variable {self.name!r}: reference "
        _require(self.reference, self.levels, what, "levels are", after=" is no level")

    def _check_brackets(self) -> None:
        """Brackets lie beside each other, from the lowest to the highest, and are the levels."""
        what, pair = f"variable {self.name!r}: brackets", "a pair of numbers, the lower one first"
        if not isinstance(self.brackets, Mapping):
            raise SpecificationError(
                f"{what} must map codes to pairs, as in {{'under 2000': (0, 2000)}}; got {self.brackets!r}."
            )
        found = {}
        for code, ends in self.brackets.items():
            try:
                low, high = map(float, ends)
            except (TypeError, ValueError):
                raise SpecificationError(f"{what}[{code!r}] = {ends!r}: write {pair}.") from None
            if not low < high:
                turned = " (they are turned round)" if low > high else ""
                raise SpecificationError(f"{what}[{code!r}] = ({low:g}, {high:g}){turned}: write {pair}.")
            found[as_code(code)] = (low, high)
        found = dict(sorted(found.items(), key=lambda each: each[1]))
        for (one, (_, end)), (other, (start, _)) in itertools.pairwise(found.items()):
            if start != end:
                raise SpecificationError(
                    f"{what} {one!r} and {other!r} {'overlap' if start < end else 'leave a gap'} between"
                    f" {min(start, end):g} and {max(start, end):g}; one begins where the one before ends, as in"
                    " (0, 2000), (2000, 4000), also where answers read '2000-3999'."
                )
        object.__setattr__(self, "brackets", found)
        object.__setattr__(self, "levels", self.levels or {code: code for code in found})
        if {as_code(code) for code in self.levels} != set(found):
            raise SpecificationError(f"{what} are of {listing(found)}, and levels are {listing(self.levels)}.")

    @property
    def is_categorical(self) -> bool:
        """Whether the variable has levels."""
        return bool(self.levels)

    @property
    def coding_order(self) -> tuple[str, ...]:
        """Levels with the reference first, the others in codebook order."""
        return (self.reference, *(level for level in self.levels if level != self.reference))


@dataclass(frozen=True)
class Weights:
    """Columns of weights and what they mean.

    Parameters
    ----------
    column : str
        Column of the data, positive numbers (zero drops a row). Empty if only groups have weights.
    kind : {"survey", "frequency", "precision"}
        ``survey``: inverse sampling probabilities; they are scaled to sum to n and give a
        pseudo-posterior, whose intervals do not account for the design (see :func:`bayesmig.adjust`).
        ``frequency``: each row stands for that many identical people. ``precision``: the residual variance is sigma
        squared over the weight.
    groups : mapping of str to str
        Grouping factor to the column with its survey weights, one value a group: the inverse probability with which
        the group was drawn. The weights of people are then those within their group.
    scaling : {"size", "effective", "none"}
        How the weights of people are scaled within the finest factor that has weights, or within the only factor
        of the formula. ``size``: to sum to the group's number of people; ``effective``: to sum to its effective
        number, (sum w)^2 / sum w^2 (methods A and B of Carle 2009, BMC Medical Research Methodology 9(49));
        ``none``: to average one over all people, no group apart. By default ``size`` where groups have weights and
        ``none`` elsewhere.

    Raises
    ------
    SpecificationError
        For an unknown kind or scaling, no column at all, or group weights that are no survey weights.

    Notes
    -----
    The pseudo-posterior is the prior times ``prod_j [p(u_j) prod_i p(y_ij | u_j)^w_ij]^w_j`` (Savitsky & Williams
    2022, Journal of Official Statistics 38(4)): the weight of a group counts for its effect and all its people. Group
    weights are scaled to average one. With ``size`` or ``effective`` it makes no difference whether the
    weights of people have the group's weight in them already, because it cancels.

    What it means: without group weights a group that was twice as likely to be drawn counts twice.

    Examples
    --------
    >>> Weights("w_student", groups={"school": "w_school"}).scaling
    'size'
    """

    column: str
    kind: WeightKind = "survey"
    groups: Mapping[str, str] = field(default_factory=dict)
    scaling: Literal["", "size", "effective", "none"] = ""

    def __post_init__(self) -> None:
        check_fields(self, but=("groups",))
        _require(self.kind, WEIGHT_KINDS, f"weights {self.column!r}: kind ")
        if not isinstance(self.groups, Mapping) or not all(isinstance(name, str) for name in self.groups.values()):
            raise SpecificationError(
                "weights of groups must map grouping factors to columns, as in {'school': 'w_school'};"
                f" got {self.groups!r}."
            )
        object.__setattr__(self, "groups", dict(self.groups))
        object.__setattr__(self, "scaling", self.scaling or ("size" if self.groups else "none"))
        _require(self.scaling, WEIGHT_SCALINGS, "weights: scaling ")
        if not self.columns:
            raise SpecificationError("weights name no column; give that of people, of groups, or both.")
        if self.kind != "survey" and (self.groups or self.scaling != "none"):
            raise SpecificationError(
                f"weights {self.column!r} of kind {self.kind!r} have neither groups nor scaling;"
                " both belong to kind='survey'."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of weights, that of people first."""
        return tuple(filter(None, (self.column, *self.groups.values())))

    def __str__(self) -> str:
        of_groups = [f"{column} of {group}" for group, column in self.groups.items()]
        scaled = "" if self.scaling == "none" else f", scaled by {self.scaling}"
        return f"{' and '.join(filter(None, [self.column, *of_groups]))} ({self.kind}{scaled})"


@dataclass(frozen=True)
class Factor:
    """A latent factor: what several items measure, each with error.

    Parameters
    ----------
    name : str
        One word, by which the formula names the factor as outcome: ``integration ~ age + (1 | community)``.
    items : tuple of str
        Columns of the data, two or more. The first fixes the direction of the factor, so it should measure the
        factor well: its loading is positive.
    scale : {"continuous", "ordinal"}
        ``continuous``: ``item = intercept + loading * factor + error``. ``ordinal``: the graded response model
        (Samejima 1969), for answers in ordered categories, two or more; the codebook gives their order.
    link : {"logit", "probit"}
        Of ordinal items; logit unless given.
    marker : str
        The item whose loading is 1, so that the factor counts in this item's units and its residual sd is
        estimated (``psi``; the default of lavaan and Mplus). Without one the residual sd of the factor is 1, given
        the predictors.
    missing : {"listwise", "full"}
        ``listwise``: rows that lack an answer to any item are left out. ``full``: the answers that a row has are used
        (full information), which assumes that answers are missing at random given the rest.

    Raises
    ------
    SpecificationError
        If the name is no word, items repeat or are fewer than two, or a choice does not exist.

    Notes
    -----
    A factor has no intercept in its formula: the items' own intercepts (or thresholds) take its place. Its zero is
    a person at the reference levels and zeros of the predictors in an average group.

    What it means: nobody can see integration; what can be seen is whether people have friends, work and plans to stay.
    Items that go together because they share a cause tell about the cause, each as far as its loading says. The
    rest of an item is its own.

    Examples
    --------
    >>> Factor("integration", ("friends", "work", "stay"), scale="ordinal").link
    'logit'
    """

    name: str
    items: tuple[str, ...]
    scale: Literal["continuous", "ordinal"] = "continuous"
    link: Literal["", "logit", "probit"] = ""
    marker: str = ""
    missing: Literal["listwise", "full"] = "listwise"

    def __post_init__(self) -> None:
        check_fields(self, but=("name", "items"))
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise SpecificationError(
                f"factor {self.name!r}: a factor's name is one word of letters, digits and _, as in 'integration'."
            )
        object.__setattr__(self, "items", _texts(self.items, f"factor {self.name!r}: items must be a tuple of columns"))
        if len(self.items) < 2:
            raise SpecificationError(
                f"factor {self.name!r} has {len(self.items)} items ({listing(self.items)}); one item cannot tell the"
                " factor from its own error, so give two or more, or use the item itself as outcome."
            )
        twice = sorted({item for item in self.items if self.items.count(item) > 1})
        if twice:
            raise SpecificationError(f"factor {self.name!r} has the item {listing(twice)} twice.")
        for what, value, allowed in (("scale", self.scale, SCALES), ("missing", self.missing, ANSWERS)):
            _require(value, allowed, f"factor {self.name!r}: {what} ")
        if self.link not in ("", *LINKS) or (self.link and self.scale == "continuous"):
            raise SpecificationError(
                f"factor {self.name!r}: link {self.link!r} with scale {self.scale!r}; ordinal items have the link"
                f" {' or '.join(LINKS)}, continuous ones none."
            )
        object.__setattr__(self, "link", self.link or ("logit" if self.scale == "ordinal" else ""))
        what = f"factor {self.name!r}: marker "
        _require(self.marker or self.items[0], self.items, what, "they are", after=" is none of its items")

    @property
    def first(self) -> str:
        """The item that fixes the direction: the marker, or else the first."""
        return self.marker or self.items[0]

    @property
    def roles(self) -> tuple[str, ...]:
        """Which priors of a :class:`~bayesmig.specification.priors.PriorSet` the factor and its items have."""
        own = ("cut",) if self.scale == "ordinal" else ("item_intercept", "item_sd")
        return ("loading", *own, *(("sigma",) if self.marker else ()))


@dataclass(frozen=True)
class ModelSpec:
    """A multilevel model without data.

    Parameters
    ----------
    formula : str
        lme4/Bambi dialect: ``trust ~ hukou * area_poverty + age + (1 + age | neighbourhood)``. Varying
        effects are written ``(1 | g)``, ``(1 + x | g)``, ``(x || g)`` (uncorrelated), ``(1 | a/b)``
        (b nested in a), several of them crossed; ``(1 | mm(area1, area2, weights=(w1, w2)))`` adds up effects of
        several groups that a person belongs to, times their parts, equal ones unless given. ``cs(x)`` has an effect at
        each threshold of a ``sequential`` or ``adjacent`` outcome, called ``low|middle ~ x``. An outcome may be a
        latent factor, or several correlated ones with the same predictors: ``visual + speed ~ age``.
    name, title : str
        Key in a study, and a line for people.
    variables : tuple of Variable
        Codebook. Columns without an entry are taken as they are: numbers as numbers, text as
        categories with the alphabetically first as reference.
    priors : PriorSet
    predictors : mapping of str to str
        Right sides of formulas for parameters that the family adds to the coefficients, such as ``{"sigma": "hukou"}``:
        on the log scale, probabilities on the logit scale. Their terms are called ``sigma ~ hukou``. Varying effects of
        several predictors are correlated where they share a name, as in ``(1 |a| area)``.
    family : str
        ``gaussian``, ``student`` (heavier tails), ``lognormal`` and ``gamma`` (positive numbers), ``beta`` (shares),
        ``poisson``, ``negative_binomial`` (counts), and of categories:
        ``bernoulli``: an outcome of 0 and 1, or of two levels, the codebook's reference being 0. ``binomial``:
        successes out of the column ``trials``. ``cumulative``: ordered categories in the codebook's order;
        ``sequential``: ones that are reached step by step; ``adjacent``: each against the one before;
        ``categorical``: ones without order, each with coefficients of its own, called ``leave ~ hukou``, against the
        codebook's reference. Numbers with many zeros: ``hurdle_...`` of any of ``poisson``, ``negative_binomial``,
        ``lognormal`` and ``gamma``, ``zero_inflated_...`` of the two of counts. ``zero_inflated_beta`` and
        ``zero_one_inflated_beta``: shares of which some are zero, or zero and one. ``gaussian`` and ``lognormal`` of an
        outcome ``Interval(low, high)``, or of one with brackets in the codebook, are ``interval_...`` of these.
    link : str
        ``"logit"``, ``"probit"`` or ``"cloglog"`` for binary and ordered outcomes; the family's default unless given.
    trials : str
        Column with the number of trials, for ``binomial``.
    offset : str
        Column that is added to the linear predictor, such as the log of an exposure.
    standardise : mapping of str to str
        Numeric predictor (or outcome) to whose standard deviation it is divided by, after its mean is taken off:
        ``"person"`` counts every row once, the name of a grouping variable counts each group once. Of a categorical
        predictor every column is, as "standardised coefficients" of SPSS are counted.
    weights : Weights, optional
    estimator : {"ml", "reml", "ols"}
        The frequentist method of record.
    printed : tuple of (str, str), optional
        Table and model in the study's printed results.
    factors : tuple of Factor
        The latent factors that the formula has as its outcome. The family is then ``latent``; what the items are is
        said by each factor.
    impute : tuple of str
        Numeric predictors of persons whose missing values are modelled, normal around a linear regression on the
        predictors without gaps, and drawn with the parameters; their rows stay in. Only the engine NUTS can.
    complete : tuple of str
        Columns that the model does not use, and that rows must answer all the same: models are held against each
        other only if they have the same people. See :func:`bayesmig.sequence`.
    neighbours : mapping of str to Neighbours or Points
        Grouping column to which of its areas are neighbours, for ``(1 | spatial(area))`` and ``(1 | bym2(area))``, or
        where its groups lie, for ``(1 | ar1(wave))`` and ``(1 | gp(area))``. Waves that are numbers lie at these, and
        ``rho`` is the correlation at the median distance from one to the next.

    Raises
    ------
    SpecificationError
        For an empty formula, an unknown family, a codebook that names a variable twice, or factors that the formula
        does not have as its outcome.

    Examples
    --------
    >>> spec = ModelSpec("trust ~ age + (1 | area)")
    >>> spec.with_terms("+ income").formula
    'trust ~ age + (1 | area) + income'
    """

    formula: str
    name: str = "model"
    title: str = ""
    variables: tuple[Variable, ...] = ()
    priors: PriorSet = WEAK
    family: str = "gaussian"
    link: str = ""
    trials: str = ""
    offset: str = ""
    standardise: Mapping[str, str] = field(default_factory=dict)
    weights: Weights | None = None
    estimator: Literal["ml", "reml", "ols"] = "ml"
    printed: tuple[str, str] | None = None
    factors: tuple[Factor, ...] = ()
    impute: tuple[str, ...] = ()
    complete: tuple[str, ...] = ()
    predictors: Mapping[str, str] = field(default_factory=dict)
    neighbours: Mapping[str, Neighbours | Points] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.formula, str) or self.formula.count("~") != 1:
            wide = FULL_WIDTH & set(str(self.formula))
            raise SpecificationError(
                f"formula {self.formula!r}: write 'outcome ~ predictors + (1 | group)' with exactly one '~'."
                + (f" It has full-width signs ({listing(sorted(wide))}); type them half-width." if wide else "")
            )
        check_fields(self, but=("impute", "complete", "standardise", "weights", "neighbours"))
        self._check_factors()
        if self.family not in FAMILIES and not self.factors:
            meant = meant_by(re.sub(r"[\W_]+", "_", str(self.family).strip().casefold()))
            here = f" is family {meant} here" if meant else closest(self.family, FAMILIES)
            raise SpecificationError(f"family {self.family!r}{here}; available: {listing(FAMILIES)}.")
        links = self.distribution.links
        if self.link and self.link not in links:
            raise SpecificationError(f"link {self.link!r} of family {self.family!r}; allowed are {listing(links)}.")
        object.__setattr__(self, "link", self.link or links[0])
        if self.distribution.has_trials != bool(self.trials):
            raise SpecificationError(
                f"family {self.family!r} with trials={self.trials!r}: binomial needs the column of trials, others none;"
                " outcomes of 0 and 1 have the family 'bernoulli'."
            )
        _require(self.estimator, ESTIMATORS, "estimator ", "available:")
        if not isinstance(self.weights, Weights | None):
            raise SpecificationError(f"weights must be Weights(column, kind), got {self.weights!r}.")
        if not isinstance(self.standardise, Mapping):
            raise SpecificationError(
                f"standardise must map predictors to 'person' or a group, as in {{'age': 'person'}};"
                f" got {self.standardise!r}."
            )
        object.__setattr__(self, "variables", tuple(self.variables))
        names = [variable.name for variable in self.variables]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise SpecificationError(f"codebook names a variable twice: {listing(repeated)}.")
        self._check_ends()
        self._check_impute()
        self._check_predictors()
        self._check_thresholds()
        self._check_neighbours()
        complete = _texts(self.complete, "complete must be a tuple of columns, as in ('income',)")
        object.__setattr__(self, "complete", tuple(dict.fromkeys(complete)))
        object.__setattr__(self, "title", self.title or self.name.replace("_", " "))

    def _check_ends(self) -> None:
        """An outcome between two ends, in brackets of the codebook, or seen within bounds has a family of its own."""
        outcome = self.formula.partition("~")[0].strip()
        plain = re.sub("^(interval|truncated)_", "", self.family)
        truncated = outcome.startswith("Truncated(")
        entry = self.variable(self.parsed.outcome.strip("`") if truncated else outcome.strip("`"))
        bracketed = entry is not None and entry.brackets and self.distribution.outcome in ("number", "count")
        if truncated and bracketed:
            raise SpecificationError(f"{outcome!r} has brackets in the codebook; brackets within bounds are not there.")
        if truncated or bracketed or outcome.startswith("Interval("):
            kind, what = (
                ("truncated", "seen within bounds") if truncated else ("interval", "of which two ends are known")
            )
            if f"{kind}_{plain}" not in FAMILIES:
                known = [name.removeprefix(f"{kind}_") for name in FAMILIES if name.startswith(f"{kind}_")]
                instead = "" if truncated else "; or take brackets as ordered answers, family='cumulative'"
                raise SpecificationError(
                    f"family {self.family!r} of {outcome!r}, {what}: there are {listing(known)}{instead}."
                )
            object.__setattr__(self, "family", f"{kind}_{plain}")
        elif self.distribution.ends:
            raise SpecificationError(
                f"family {self.family!r} needs an outcome of which two ends are known: 'Interval(low, high) ~ ...', or"
                f" Variable({outcome!r}, brackets={{'under 2000': (0, 2000), ...}}) in the codebook."
            )
        elif self.distribution.bounds:
            raise SpecificationError(
                f"family {self.family!r} needs the bounds within which outcomes are seen: 'Truncated({outcome}, low,"
                " high) ~ ...'."
            )
        if truncated and self.weights is not None and self.weights.kind == "precision":
            raise SpecificationError(f"precision weights of {outcome!r} are not there; leave weights or bounds out.")

    def _check_impute(self) -> None:
        """Gaps are modelled in plain models without weights."""
        impute = _texts(self.impute, "impute must be a tuple of predictors, as in ('income',)")
        object.__setattr__(self, "impute", tuple(dict.fromkeys(impute)))
        if self.impute and (self.weights is not None or self.factors):
            raise SpecificationError(
                f"impute={self.impute!r} models missing values in models without weights and latent factors; for others"
                " impute before, and pass the completed data sets as a list."
            )

    def _check_predictors(self) -> None:
        """Further parameters with predictors are the family's own; one with an intercept alone is a single number."""
        own = [parameter.name for parameter in self.distribution.scalars]
        for name, right in self.predictors.items():
            if name not in own:
                raise SpecificationError(
                    f"predictors of {name!r}{closest(name, own)}: family {self.family!r} has {listing(own)} beside the"
                    " expectation, which the formula itself is about."
                )
            if not right.strip().removeprefix("~").strip() or right.count("~") > right.strip().startswith("~"):
                raise SpecificationError(
                    f"predictors[{name!r}] = {right!r}: write the right side of a formula, as in 'hukou + (1 | area)'."
                )
        plain = {name: right.strip().removeprefix("~").strip() for name, right in self.predictors.items()}
        object.__setattr__(self, "predictors", {name: right for name, right in plain.items() if right != "1"})
        if self.impute and (self.predictors or self.parsed.by_threshold or self.distribution.outcome == "nominal"):
            raise SpecificationError(
                f"impute={self.impute!r} models missing values where one linear predictor describes the outcome; impute"
                " before, and pass the completed data sets as a list."
            )

    def _check_thresholds(self) -> None:
        """Effects at each threshold have families whose thresholds need not be in order."""
        texts = " ".join((self.formula, *self.predictors.values()))
        if not re.search(r"\bcs\s*\(", texts):  # terms of a printed table need be no formula
            return
        if not self.parsed.by_threshold or not self.distribution.rising:
            return
        rise = "whose thresholds must rise, and with effects of their own they cross for some people"
        raise SpecificationError(
            f"formula {self.formula!r} has cs() in family {self.family!r},"
            f" {rise if self.distribution.ordered else 'which has no thresholds'}; take family="
            + " or ".join(repr(name) for name, family in FAMILIES.items() if not family.rising)
            + "."
        )

    def _check_neighbours(self) -> None:
        """Every map belongs to a term whose effects are alike, and the other way round."""
        if not isinstance(self.neighbours, Mapping) or not all(
            isinstance(each, Neighbours | Points) for each in self.neighbours.values()
        ):
            raise SpecificationError(
                "neighbours map grouping columns to Neighbours or Points, as in {'area': Neighbours([('a', 'b'), ('b',"
                " 'c')])}."
            )
        object.__setattr__(self, "neighbours", dict(self.neighbours))
        texts = " ".join((self.formula, *self.predictors.values()))
        if not self.neighbours and not any(f"{name}(" in texts for name in STRUCTURES):
            return  # terms of a printed table need be no formula
        terms = [term for term in self.parsed.varying if term.structure in STRUCTURES]
        for term in terms:
            (column,), wanted = term.columns, Points if term.structure in ("ar1", "gp") else Neighbours
            given = self.neighbours.get(column)
            if isinstance(given, wanted) or (given is None and term.structure == "ar1"):
                continue
            example = "Points({'a': (0.0, 1.5), ...})" if wanted is Points else "Neighbours(pairs)"
            what = "where its groups lie" if wanted is Points else "which of its areas are neighbours"
            raise SpecificationError(
                f"formula {self.formula!r} has {term.group}, and neighbours "
                + (f"do not say {what}" if given is None else f"have {type(given).__name__} of {column!r}")
                + f": neighbours={{{column!r}: {example}}}."
            )
        if unused := sorted({*self.neighbours} - {term.columns[0] for term in terms}):
            raise SpecificationError(
                f"neighbours are given for {unused[0]!r}, and formula {self.formula!r} has no"
                f" (1 | spatial({unused[0]}))."
            )

    @property
    def parsed(self) -> Formula:
        """The formula taken apart, with the predictors of further parameters."""
        return parse(self.formula, self.predictors)

    @property
    def predictor_columns(self) -> list[str]:
        """Columns that coefficients belong to, in the order in which they are written."""
        return sorted(self.parsed.predictors, key=self.written.index)

    def _check_factors(self) -> None:
        """Factors are the outcome, all of one kind; the family then follows from them."""
        object.__setattr__(self, "factors", tuple(self.factors))
        if not self.factors:
            return
        if self.family not in ("gaussian", LATENT.name) or self.link not in ("", "identity") or self.offset:
            raise SpecificationError(
                "a latent factor has no family, link or offset of its own; say what the items are by Factor(scale=...,"
                " link=...)."
            )
        object.__setattr__(self, "family", LATENT.name)
        names = [factor.name for factor in self.factors]
        outcome = self.formula.split("~")[0]
        named = [part.strip() for part in outcome.split("+")]
        if sorted(named) != sorted(names):
            raise SpecificationError(
                f"formula {self.formula!r} has the outcome {outcome.strip()!r}, but the factors are {listing(names)};"
                f" write {' + '.join(dict.fromkeys(names))!r} before '~', each factor once."
            )
        items = [item for factor in self.factors for item in factor.items]
        for name in dict.fromkeys((*names, *items)):
            if items.count(name) > 1 or (name in names and name in items):
                raise SpecificationError(f"{name!r} belongs to more than one factor, or is item and factor at once.")
        for what in ("scale", "link", "marker"):
            if len({bool(f.marker) if what == "marker" else getattr(f, what) for f in self.factors}) > 1:
                raise SpecificationError(
                    f"the factors {listing(names)} differ in {what}; give all of them the same scale and link, and a"
                    " marker to all or to none."
                )

    @property
    def distribution(self) -> Family:
        """The outcome's family."""
        return LATENT if self.factors else FAMILIES[self.family]

    @property
    def written(self) -> str:
        """The formula, and those of further parameters.

        >>> ModelSpec("y ~ x", predictors={"sigma": "x"}).written
        'y ~ x, sigma ~ x'
        """
        return ", ".join((self.formula, *(f"{name} ~ {right}" for name, right in self.predictors.items())))

    @property
    def is_gaussian(self) -> bool:
        """Whether the outcome is normal with one residual sd, so that the Gaussian algebra holds."""
        return self.distribution.name == "gaussian" and not self.predictors

    def variable(self, name: str) -> Variable | None:
        """The codebook entry of a column, if it has one."""
        return next((variable for variable in self.variables if variable.name == name), None)

    @property
    def nameable(self) -> tuple[str, ...]:
        """What a claim can name, as far as formula and codebook tell: coefficients (all products if there is one), sds,
        variances and shares of variance.

        >>> ModelSpec("y ~ hukou + (1 | g)", variables=(Variable("hukou", levels={"a": "", "b": ""}),)).nameable[:4]
        ('intercept', 'hukou[b]', 'sigma', 'tau_g[intercept]')
        """
        common = re.sub(VARYING, "", self.formula.partition("~")[2])
        names = self._called(common)
        products = itertools.permutations(names, 2) if re.search(r"[:*]", common) else ()
        joined = (":".join(pair) for sides in products for pair in itertools.product(*sides))
        sds, shares = ["sigma"] * ("sigma" in self.distribution.parameters), []
        for effects, columns in re.findall(VARYING, self.formula):
            columns = re.sub(r",\s*", ", ", re.sub(r",\s*\w+\s*=.*(?=\))", "", columns))
            for group in itertools.accumulate((each.strip() for each in columns.split("/")), "{}:{}".format):
                sds += [f"tau_{group}[{effect}]" for effect in ("intercept", *itertools.chain(*self._called(effects)))]
                shares += [f"vpc_{group}", *[f"mor_{group}"] * (self.link == "logit")]
        variances = [f"variance_{sd}" for sd in sds]
        return ("intercept", *itertools.chain(*names), *joined, *sds, *variances, *shares)

    def _called(self, text: str) -> list[list[str]]:
        """The coefficients of every variable in a text."""
        entries = {name: self.variable(name) for name in re.findall(r"[^\W\d]\w*", text)}
        return [
            [f"{name}[{level}]" for level in entry.coding_order[1:]] if entry and entry.is_categorical else [name]
            for name, entry in entries.items()
        ]

    def label(self, name: str) -> str:
        """A term, group or variable in the codebook's words.

        >>> spec = ModelSpec("y ~ x", variables=(Variable("hukou", "Hukou", {"a": "urban", "b": "rural"}),))
        >>> spec.label("hukou[b]:age")
        'Hukou: rural × age'
        """
        factor, term = of_factor(name)
        if factor:
            return f"{self.label_of_predictor(factor)}{FACTOR_MARK}{self.label(term)}"
        parts = []
        for column, level in pieces(name):
            if by := grouped_by(column):
                parts.append(SHARED[column.partition("(")[0]].format(self.label(by)))
                continue
            if column.startswith(f"{MEMBERSHIPS}("):
                several = next(term for term in self.parsed.memberships if term.group == column)
                *others, last = map(self.label, several.columns)
                parts.append(f"{', '.join(others)} or {last}")
                continue
            if along(column):
                whole = "mean" if ", period=" in column else "straight line"
                parts.append(f"{whole if level is None else 'curve'} of {self.mention(along(column))}")
                continue
            entry = self.variable(column)
            label = entry.label if entry else column.replace("_", " ")
            shown = entry.levels.get(level or "", level) if entry else level
            parts.append(label if level is None else f"{label}: {shown}")
        return " × ".join(parts)

    def label_of_predictor(self, predictor: str) -> str:
        """What a linear predictor is of: a factor, a category of the outcome, a parameter and its scale.

        >>> ModelSpec("remittances ~ age", family="hurdle_lognormal").label_of_predictor("hurdle")
        'share of zeros (log odds)'
        """
        scales = {"log": "log", "logit": "log odds"}
        own = {one.name: f"{one.label} ({scales[one.link]})" for one in self.distribution.scalars}
        if predictor in own:
            return own[predictor]
        entry = self.variable(self.parsed.outcome.strip("`"))
        if self.factors or entry is None:
            return self.label(predictor)
        parts = both(predictor, tuple(entry.levels), "|") if self.distribution.ordered else (predictor,)
        return " | ".join(entry.levels.get(part, part) for part in parts)

    def heading(self, name: str) -> str:
        """A label where a line begins: the codebook's words as they are, a bare column name with a capital.

        >>> spec = ModelSpec("y ~ x", variables=(Variable("acid", "pH value"),))
        >>> spec.heading("acid"), spec.heading("birth_year"), spec.heading("GDP")
        ('pH value', 'Birth year', 'GDP')
        """
        label, entry = self.label(name), self.variable(columns_of(name)[0])
        as_called = entry is None or entry.label in (entry.name, entry.name.replace("_", " "))
        first = label.split(" ")[0]
        return label[:1].upper() + label[1:] if as_called and first == first.lower() else label

    def mention(self, name: str) -> str:
        """A label within a sentence: of a column that the codebook calls by its name, the name as it is written.

        >>> spec = ModelSpec("y ~ x", variables=(Variable("village", "Village"), Variable("country", "EU country")))
        >>> spec.mention("village"), spec.mention("country")
        ('village', 'EU country')
        """
        label, words = self.label(name), name.replace("_", " ")
        return words if label.casefold() == words.casefold() else label

    def with_priors(self, priors: PriorSet | None = None, **changes: Prior) -> ModelSpec:
        """A copy with another set of priors, or with some of them changed."""
        chosen = priors or self.priors
        return dataclasses.replace(self, priors=chosen.changed(**changes) if changes else chosen)

    def with_weights(
        self,
        column: str,
        kind: WeightKind = "survey",
        groups: Mapping[str, str] | None = None,
        scaling: Literal["", "size", "effective", "none"] = "",
    ) -> ModelSpec:
        """A copy that weights its rows by a column, and groups by theirs; see :class:`Weights`."""
        return dataclasses.replace(self, weights=Weights(column, kind, groups or {}, scaling))

    def with_imputed(self, *names: str) -> ModelSpec:
        """A copy that models the missing values of these predictors; see the parameter ``impute``."""
        return dataclasses.replace(self, impute=names)

    def with_family(self, family: str, link: str = "") -> ModelSpec:
        """A copy with another outcome family; its estimator of record is maximum likelihood."""
        return dataclasses.replace(self, family=family, link=link)

    def with_terms(self, terms: str) -> ModelSpec:
        """A copy with terms added (``"+ income"``) or taken away (``"- age"``)."""
        if terms.strip()[:1] not in ("+", "-"):
            raise SpecificationError(f"with_terms({terms!r}): begin with '+' to add terms or '-' to take them away.")
        return dataclasses.replace(self, formula=f"{self.formula} {terms.strip()}")

    def to_json(self) -> str:
        """The whole specification as JSON, as it travels in the attributes of every result."""
        values = vars(self) | {
            "variables": [vars(variable) for variable in self.variables],
            "priors": self.priors.to_dict(),
            "weights": vars(self.weights) if self.weights else None,
            "factors": [vars(factor) for factor in self.factors],
            "neighbours": {name: each.to_dict() for name, each in self.neighbours.items()},
        }
        return json.dumps(values, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> ModelSpec:
        """The specification that :meth:`to_json` wrote.

        Raises
        ------
        SpecificationError
            If the text is none.
        """
        try:
            values = json.loads(text)
            values["variables"] = tuple(Variable(**variable) for variable in values["variables"])
            values["priors"] = PriorSet.from_dict(values["priors"])
            values["weights"] = Weights(**values["weights"]) if values["weights"] else None
            values["printed"] = tuple(values["printed"]) if values["printed"] else None
            values["factors"] = tuple(Factor(**factor) for factor in values.get("factors", ()))
            values |= {name: tuple(values.get(name, ())) for name in ("impute", "complete")}
            maps = values.get("neighbours", {}).items()
            values["neighbours"] = {name: from_dict(each) for name, each in maps}
            return cls(**values)
        except (AttributeError, KeyError, RecursionError, TypeError, json.JSONDecodeError) as error:
            raise SpecificationError(
                f"this is no specification that bayesmig wrote ({type(error).__name__}: {error}); take spec.to_json()."
            ) from None

    def _facts(self) -> list[tuple[str, str]]:
        centre = "cut" if "cut" in self.distribution.parameters else "intercept"
        own = [role for factor in self.factors for role in factor.roles]
        names = dict.fromkeys((*(own or [centre]), "slopes", *self.distribution.parameters, "tau", "rho"))
        family = {parameter.name: self.priors.own(parameter) for parameter in self.distribution.own}
        roles = {role: family[role] if role in family else getattr(self.priors, role) for role in names}
        prior_lines = [
            f"{key}: {prior}. {prior.why}".strip() for key, prior in {**roles, **self.priors.specific}.items()
        ]
        scaled = [f"{name} (by {by})" for name, by in self.standardise.items()]
        measured = [f"{factor.name} by {listing(factor.items, 20)} ({factor.scale})" for factor in self.factors]
        return [
            ("formula", self.formula),
            *((f"{name} ~", right) for name, right in self.predictors.items()),
            ("factors", "\n".join(measured)) if measured else ("family", f"{self.family}, {self.link} link"),
            ("standardised", ", ".join(scaled) or "nothing"),
            ("weights", str(self.weights) if self.weights else "none"),
            *([("gaps modelled", listing(self.impute))] if self.impute else []),
            *([("rows also complete in", listing(self.complete))] if self.complete else []),
            (f"priors ({self.priors.name})", "\n".join(prior_lines)),
        ]

    def __str__(self) -> str:
        lines = [f"ModelSpec {self.name}: {self.title}"]
        for key, value in self._facts():
            lines.append(f"  {key}: " + value.replace("\n", "\n      "))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(key)}</th><td>{html.escape(value).replace(chr(10), '<br>')}</td></tr>"
            for key, value in self._facts()
        )
        return f"<table><caption>{html.escape(self.title)}</caption>{rows}</table>"


class Choices(TypedDict, total=False):
    """What may be said of a model beside its formula, as :class:`ModelSpec` takes it."""

    family: str
    link: str
    weights: Weights | str
    priors: PriorSet | str
    standardise: Mapping[str, str]
    trials: str
    offset: str
    variables: tuple[Variable, ...]
    factors: tuple[Factor, ...]
    impute: tuple[str, ...]
    complete: tuple[str, ...]
    predictors: Mapping[str, str]
    neighbours: Mapping[str, Neighbours | Points]


def as_spec(spec: ModelSpec | str, **choices: Unpack[Choices]) -> ModelSpec:
    """A formula is a specification with default priors, unless something else is chosen.

    ``choices``, with a formula only: parameters of :class:`ModelSpec`. ``weights`` may be the name of a column of
    survey weights, ``priors`` that of a preset; None is what a choice is without a word. Raises SpecificationError if
    there is no such parameter, or a specification has its own.

    >>> as_spec("vote ~ age", family="bernoulli", weights="w").weights.kind
    'survey'
    """
    unknown = next((name for name in choices if name not in Choices.__annotations__), None)
    if unknown:
        raise SpecificationError(
            f"{unknown}={closest(unknown, Choices.__annotations__)}: no such choice; beside a formula there are"
            f" {listing(Choices.__annotations__)}."
        )
    chosen: dict[str, Any] = {name: value for name, value in choices.items() if value is not None}
    if isinstance(spec, ModelSpec):
        if chosen:
            raise SpecificationError(
                f"{listing(chosen)} given beside a ModelSpec, which says this itself; change it by its own with_..."
                " methods or dataclasses.replace, or give a formula."
            )
        return spec
    if not isinstance(spec, str):
        raise SpecificationError(f"expected a ModelSpec or a formula, got {type(spec).__name__}.")
    if isinstance(chosen.get("weights"), str):
        chosen["weights"] = Weights(chosen["weights"])
    if isinstance(chosen.get("priors"), str):
        chosen["priors"] = preset(chosen["priors"])
    return ModelSpec(spec, **chosen)


@dataclass(frozen=True)
class Range:
    """An unprinted number, drawn uniformly between two bounds for each reconstruction."""

    lower: float
    upper: float


@dataclass(frozen=True)
class Margin:
    """How one variable is distributed in a reconstructed data set.

    Parameters
    ----------
    variable : str
        A name of the codebook; ``"age | household_type[mixed_status]"`` for the margin among one level of another
        variable; ``"contract_members <= household_size"`` for a count that another one bounds.
    counts : mapping of str to float, optional
        Level to its printed frequency; scaled to the sample size, or to the number of groups, and met exactly.
    people : mapping of str to float, optional
        Of a variable that describes groups, level to the assumed share of people in groups of that level, where groups
        are not all of one size.
    assumed : bool
        Whether the shares (or the mean and sd) are an assumption, not printed. Assumed shares vary by seed.
    mean, sd, minimum, maximum : float, optional
        For a number: a normal distribution cut to the range, around a mean that is met. Where mean and sd are printed
        and no range is given, both are met.
    whole : bool
        Round to whole numbers.
    clustering : float
        Share of the variable's latent variance that lies between groups, from 0 to 1.
    source : str
        Where the numbers come from, or what the assumption rests on.
    """

    variable: str
    counts: Mapping[str, float] = field(default_factory=dict)
    people: Mapping[str, float] = field(default_factory=dict)
    assumed: bool = False
    mean: float = 0.0
    sd: float = 1.0
    minimum: float = float("-inf")
    maximum: float = float("inf")
    whole: bool = False
    clustering: float = 0.0
    source: str = ""


@dataclass(frozen=True)
class Population:
    """What is printed or assumed about a sample, enough to rebuild one like it.

    Parameters
    ----------
    n : int
        People analysed.
    groups : mapping of str to int
        Grouping variable to its number of groups, of sizes as equal as possible unless a margin gives them; finer
        groups lie within coarser ones.
    margins : tuple of Margin
    correlations : mapping of (str, str) to Range
        Latent correlations that are not printed. Between two group-level variables, or where either
        describes groups, they hold between groups; otherwise within.
    """

    n: int
    groups: Mapping[str, int]
    margins: tuple[Margin, ...]
    correlations: Mapping[tuple[str, str], Range] = field(default_factory=dict)


@dataclass(frozen=True)
class Exchange:
    """Two levels of a variable that a paper's tables have under each other's names, if its text is right.

    Parameters
    ----------
    variable : str
    levels : tuple of (str, str)

    Examples
    --------
    >>> Exchange("hukou", ("rural", "urban")).meant("hukou:age", "rural")
    'urban'
    """

    variable: str
    levels: tuple[str, str]

    def meant(self, name: str, level: str) -> str:
        """The level that a printed one stands for, of a variable or of a term that begins with it."""
        one, other = self.levels if name.partition(":")[0] == self.variable else ("", "")
        return {one: other, other: one}.get(level, level)

    def population(self, people: Population) -> Population:
        """People with the shares that are meant."""
        margins = []
        for each in people.margins:
            name = re.sub(r"(\w+)\[(.*?)\]", lambda found: f"{found[1]}[{self.meant(*found.groups())}]", each.variable)
            counts = {self.meant(name, level): count for level, count in each.counts.items()}
            margins.append(dataclasses.replace(each, variable=name, counts=counts))
        return dataclasses.replace(people, margins=tuple(margins))

    def entry(self, entry: Variable) -> Variable:
        """An entry of the codebook with the order and reference that are meant."""
        if entry.name != self.variable:
            return entry
        levels = [self.meant(entry.name, level) for level in entry.levels]
        return dataclasses.replace(
            entry,
            levels={level: entry.levels[level] for level in levels},
            reference=self.meant(entry.name, entry.reference),
            note="",
        )


@dataclass(frozen=True)
class Hypothesis:
    """What a paper expects or says, as a claim about coefficients that a probability can answer.

    Parameters
    ----------
    name : str
        As in the paper (``"H1b"``), or a short one of your own.
    claim : str, or mapping of str to str
        As :func:`bayesmig.hypothesis` takes it: ``"hukou[rural] < 0"``. The word ``absent`` stands for the number of
        that name: ``"abs(age) < absent"``. Of models with outcomes of their own each may have its claim: ``{"income":
        "hukou[rural] < 0", "trust": "abs(hukou[rural]) < absent"}``.
    models : tuple of str
        Models of the study that the claim is about, those of a mapping if left out; of several it holds if it holds in
        each.
    printed : {"supported", "partly supported", "not supported", "claimed", "no effect", "not tested"}
        The paper's verdict; ``claimed`` where it states a finding that it did not announce as a hypothesis, ``no
        effect`` where the finding is that there is none, ``not tested`` where it presumes what no model compares.
    where : str
        Section, table or page of the paper.
    words : str
        The claim in a sentence.
    absent : tuple of (float, str), optional
        The largest size that counts as no effect, in the unit of what is compared, and why it does.

    Raises
    ------
    SpecificationError
        If something is missing, the verdict is none of these, or the size is not positive or has no reason.

    Notes
    -----
    What it means: that an effect was not significant does not make it absent. A claim that there is none needs a size
    that would not matter, and so does the claim that there is one that does.

    Examples
    --------
    >>> Hypothesis("H0", "abs(x) < absent", ("m",), "no effect", "p. 4", absent=(0.1, "Too small.")).text
    'abs(x) < 0.1'
    """

    name: str
    claim: str | Mapping[str, str]
    models: tuple[str, ...] = ()
    printed: str = ""
    where: str = ""
    words: str = ""
    absent: tuple[float, str] | None = None

    def __post_init__(self) -> None:
        check_fields(self, but=("models",))
        models = _texts(self.models, f"hypothesis {self.name!r}: models must be a tuple of keys")
        of_each = () if isinstance(self.claim, str) else tuple(self.claim)
        object.__setattr__(self, "models", models or of_each)
        if of_each and set(self.models) != set(of_each):
            raise SpecificationError(
                f"hypothesis {self.name!r} has claims of {listing(of_each)}, but is about {listing(self.models)}; leave"
                " models out where each has its claim."
            )
        for what in ("name", "claim", "models", "where"):
            if not getattr(self, what):
                raise SpecificationError(f"hypothesis {self.name!r} says no {what}.")
        _require(self.printed, VERDICTS, f"hypothesis {self.name!r}: printed verdict ")
        if self.absent is not None and not (len(self.absent) == 2 and self.absent[0] > 0 and self.absent[1]):
            raise SpecificationError(
                f"hypothesis {self.name!r}: absent={self.absent!r} must be a positive size and why it counts as none,"
                " as in (0.1, 'a tenth of a point')."
            )

    @property
    def text(self) -> str:
        """The claim with its numbers, of all models."""
        if isinstance(self.claim, str):
            return self.text_of("")
        return "; ".join(f"{self.text_of(model)} in {model}" for model in self.models)

    def text_of(self, model: str) -> str:
        """The claim about one model, with its numbers."""
        claim = self.claim if isinstance(self.claim, str) else self.claim[model]
        return claim if self.absent is None else re.sub(r"\babsent\b", f"{self.absent[0]:g}", claim)

    @property
    def is_of_absence(self) -> bool:
        """Whether the claim, or one of them, is that something lies within the size that counts as none."""
        claims = [self.claim] if isinstance(self.claim, str) else self.claim.values()
        return self.absent is not None and any(re.search(r"\babsent\b", claim) for claim in claims)

    def __str__(self) -> str:
        about = f" in {listing(self.models)}" * isinstance(self.claim, str)
        return f"{self.name}: {self.text}{about} ({self.printed}, {self.where})"


@dataclass(frozen=True)
class Study:
    """A paper: codebook, models, and what is known of its sample.

    Parameters
    ----------
    name, title, citation, doi : str
    variables : tuple of Variable
        The codebook that a researcher's own data must follow.
    models : mapping of str to ModelSpec
        The models by key; printed ones and counterparts.
    data_statement : str
        Whether the microdata are open, and what follows.
    population : Population, optional
        What :func:`bayesmig.reconstruct` builds from.
    populations : mapping of str to Population
        By model key, where a model is about other people than ``population``, such as a part of the sample.
    alternatives : mapping of str to Population or Exchange
        Other assumptions about the people of ``population`` that print allows as well, by a phrase that completes
        "assumed ...": ``{"as the text says": Population(...)}``. What hangs on them ``replicate`` says. Or levels that
        tables seem to print under each other's names: ``{"hukou as the text says": Exchange("hukou", ("urban",
        "rural"))}``.
    assumptions : str
        Which of these is in force; set by :meth:`assuming`.
    exchange : Exchange, optional
        How the printed tables are to be read then; set by :meth:`assuming`.
    errors : mapping of str to str
        Which standard errors the paper names, by model, where they are not the classical ones: ``{"main":
        "cluster"}``, as :func:`bayesmig.estimate` takes them. ``replicate`` shows a refit with them beside.
    focus : tuple of (str, str), optional
        Predictor and moderator of the interaction that the paper turns on.
    hypotheses : tuple of Hypothesis
        What the paper expects or says; see :func:`bayesmig.hypotheses`.
    readings : mapping of str to str
        What a word of ``descriptives.csv`` means in data, where it is no column or level of the codebook. A group:
        ``{"old_migrants": "hukou[migrant] > 0 and age > 60"}``, or ``"people"`` for everybody; a variable:
        ``{"income_yuan": "income * 10000"}``, or ``"people"`` where rows are counted; a level of its row's variable:
        ``{"at_least_one": "{} > 0"}``, or of one variable only: ``{"age 18_45": "age[19_45] > 0"}``; a set of items:
        ``{"all_items": "trust_1 trust_2"}``.
    folder : Path, optional
        Where ``published/<name>/`` lies; set by the catalogue.

    Raises
    ------
    SpecificationError
        If a hypothesis is there twice; what each is about is checked when the study's file is read, or they are asked.
    """

    name: str
    title: str
    citation: str
    variables: tuple[Variable, ...]
    models: Mapping[str, ModelSpec]
    doi: str = ""
    data_statement: str = ""
    population: Population | None = None
    populations: Mapping[str, Population] = field(default_factory=dict)
    alternatives: Mapping[str, Population | Exchange] = field(default_factory=dict)
    assumptions: str = ""
    exchange: Exchange | None = None
    errors: Mapping[str, str] = field(default_factory=dict)
    focus: tuple[str, str] | None = None
    hypotheses: tuple[Hypothesis, ...] = ()
    readings: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        models = {
            key: dataclasses.replace(spec, name=key, variables=self.variables) for key, spec in self.models.items()
        }
        object.__setattr__(self, "models", models)
        object.__setattr__(self, "hypotheses", tuple(self.hypotheses))
        names = [hypothesis.name for hypothesis in self.hypotheses]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise SpecificationError(f"study {self.name!r} has the hypothesis {twice!r} twice.")

    def check_hypotheses(self) -> None:
        """Refuse hypotheses about models or coefficients that are not there; files of studies are read so.

        Raises
        ------
        SpecificationError
            If one is about a model that the study does not have, cannot be read as a claim about its coefficients, or
            compares those of several models.
        """
        for hypothesis in self.hypotheses:
            try:
                for key in hypothesis.models:
                    text, known = hypothesis.text_of(key), self.model(key).nameable
                    named = [other for other in self.models if re.search(rf"\b{re.escape(other)}\b", text)]
                    apart = [other for other in named if not any(other in name for name in known)]
                    if apart:
                        outcomes = {other: self.model(other).formula.partition(" ~ ")[0] for other in (key, *apart)}
                        raise SpecificationError(
                            f"{text!r} compares coefficients of models, each of which counts in units of its own"
                            f" outcome ({listing(f'{other}: {outcome}' for other, outcome in outcomes.items())}) and is"
                            " a fit of its own; state what holds in each, claim={'model': 'a > 0', 'other': 'b > 0'}."
                        )
                    if parse_claim(text, known).is_equality:
                        raise SpecificationError("'=' has no probability; give a region, as in 'abs(a - b) < absent'.")
            except (NotFound, SpecificationError) as error:
                raise SpecificationError(f"study {self.name!r}, hypothesis {hypothesis.name!r}: {error}") from None

    def model(self, key: str) -> ModelSpec:
        """One model, with an error that lists the others if the key is wrong."""
        require([key], self.models, f"study {self.name!r} has no model ", there="; it has", error=NotFound)
        return self.models[key]

    def population_of(self, key: str) -> Population | None:
        """The people whom a model is about."""
        return self.populations.get(key, self.population)

    def assuming(self, name: str) -> Study:
        """The same study with other assumptions about its people or tables, one of ``alternatives``.

        Raises
        ------
        NotFound
            If the study has no such alternative.
        """
        before = f"study {self.name!r} has no alternative "
        require([name], self.alternatives, before, there="; it has", error=NotFound)
        chosen = self.alternatives[name]
        same = dataclasses.replace(self, alternatives={}, assumptions=name)
        if isinstance(chosen, Population):
            return dataclasses.replace(same, population=chosen)
        return dataclasses.replace(
            same,
            variables=tuple(map(chosen.entry, self.variables)),
            population=chosen.population(self.population) if self.population else None,
            populations={key: chosen.population(people) for key, people in self.populations.items()},
            exchange=chosen,
        )

    @property
    def source(self) -> str:
        """What reconstructed data name as their source: the study, and assumptions that are not its usual ones."""
        return f"{self.name} ({self.assumptions})" if self.assumptions else self.name

    def about(self, key: str, people: Population) -> Study:
        """The same study with others for the people of a model, and of every model about the same people."""
        usual = self.population_of(key)
        populations = {other: people if each == usual else each for other, each in self.populations.items()}
        whole = people if self.population == usual else self.population
        return dataclasses.replace(self, population=whole, populations=populations)

    def _codebook_rows(self) -> list[tuple[str, str, str]]:
        rows = []
        for entry in self.variables:
            if entry.is_categorical:
                shown = ", ".join(f"{level}*" if level == entry.reference else level for level in entry.levels)
            else:
                bounds = [("" if b is None else f"{b:g}") for b in (entry.minimum, entry.maximum)]
                shown = " ".join(filter(None, [entry.unit or "number", " to ".join(bounds) if any(bounds) else ""]))
            rows.append((entry.name, entry.label, shown + (f" (one value per {entry.group})" if entry.group else "")))
        return rows

    def __str__(self) -> str:
        width = max(len(entry.name) for entry in self.variables)
        lines = [f"Study {self.name}: {self.title}", self.citation, self.data_statement, "", "Codebook (* = reference)"]
        lines += [f"  {name:<{width}}  {label}: {values}" for name, label, values in self._codebook_rows()]
        lines += ["", "Models"] + ["  " + str(spec).replace("\n", "\n  ") for spec in self.models.values()]
        if self.alternatives:
            lines += ["", f"May be replicated assuming {listing(self.alternatives)}"]
        if self.hypotheses:
            lines += ["", "Hypotheses", *(f"  {hypothesis}" for hypothesis in self.hypotheses)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self._codebook_rows()
        )
        models = "".join(spec._repr_html_() for spec in self.models.values())
        claims = "".join(f"<li>{html.escape(str(hypothesis))}</li>" for hypothesis in self.hypotheses)
        return (
            f"<h3>{html.escape(self.title)}</h3><p>{html.escape(self.citation)}</p>"
            f"<p>{html.escape(self.data_statement)}</p>"
            f"<table><caption>Codebook (* = reference)</caption>{rows}</table>{models}"
            + (f"<p>Hypotheses</p><ul>{claims}</ul>" if claims else "")
        )
