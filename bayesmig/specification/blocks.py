"""Pieces of a specification that more than one study uses.

Formula pieces are text, codebook pieces are :class:`~bayesmig.Variable`; a study's file puts them together::

    formula("trust", "age", "hukou", interactions("hukou", ["age"]), varying_intercept("neighbourhood"))
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bayesmig.errors import SpecificationError, closest, listing
from bayesmig.specification.model import Factor, Margin, ModelSpec, Population, Variable
from bayesmig.specification.priors import PriorSet

HUKOU_LEVELS = {
    "urban_local": "Urban local",
    "rural_local": "Rural local",
    "urban_migrant": "Urban migrant",
    "rural_migrant": "Rural migrant",
}
INTEGRATION = {
    "economic": "income, work, what the living costs",
    "social": "friends, neighbours, meetings",
    "cultural": "behaviour, customs, language",
    "psychological": "belonging, identity, confidence",
}

NUMBERS = {2: "two", 3: "three", 4: "four"}


def formula(outcome: str, *terms: str) -> str:
    """A formula from its pieces.

    Examples
    --------
    >>> formula("trust", "age", varying_intercept("neighbourhood"))
    'trust ~ age + (1 | neighbourhood)'
    """
    return f"{outcome} ~ {' + '.join(terms) or '1'}"


def interactions(variable: str, moderators: Iterable[str]) -> str:
    """The products of one variable with each of several others; their own terms are not included.

    What it means: the effect of each moderator may differ between the levels of the variable.

    Examples
    --------
    >>> interactions("hukou", ["age", "income"])
    'hukou:age + hukou:income'
    """
    return " + ".join(f"{variable}:{moderator}" for moderator in moderators)


def varying_intercept(*groups: str) -> str:
    """An intercept of its own for every group of each grouping variable.

    What it means: people of one neighbourhood share circumstances that no predictor records. Nested groups
    are written ``"province/city"``.

    Examples
    --------
    >>> varying_intercept("province", "city")
    '(1 | province) + (1 | city)'
    """
    return " + ".join(f"(1 | {group})" for group in groups)


def varying_slope(variable: str, group: str) -> str:
    """An intercept and an effect of ``variable`` of its own for every group, correlated with each other.

    Examples
    --------
    >>> varying_slope("hukou", "neighbourhood")
    '(1 + hukou | neighbourhood)'
    """
    return f"(1 + {variable} | {group})"


def hukou(reference: str = "urban_local") -> Variable:
    """Registration status by place (local or migrant) and kind (urban or rural).

    Examples
    --------
    >>> hukou().coding_order
    ('urban_local', 'rural_local', 'urban_migrant', 'rural_migrant')
    """
    return Variable("hukou", "Hukou", HUKOU_LEVELS, reference)


def gender(reference: str = "male") -> Variable:
    """Sex of the respondent; papers differ in the level they compare with.

    Examples
    --------
    >>> gender("female").coding_order
    ('female', 'male')
    """
    return Variable("gender", "Gender", {"male": "Male", "female": "Female"}, reference)


def age(youngest: float = 16) -> Variable:
    """Age in completed years.

    Examples
    --------
    >>> age().unit
    'years'
    """
    return Variable("age", "Age", unit="years", minimum=youngest, maximum=110)


def household_size() -> Variable:
    """Number of household members, the respondent included.

    Examples
    --------
    >>> household_size().minimum
    1
    """
    return Variable("household_size", "Household size", unit="persons", minimum=1)


def members(name: str, label: str) -> Variable:
    """How many household members are so, or do so.

    Examples
    --------
    >>> members("self_employed_members", "Self-employed members").unit
    'members'
    """
    return Variable(name, label, unit="members", minimum=0)


def share_of_members(name: str, label: str) -> Variable:
    """Which share of the household's members are so; a coefficient compares all of them with none.

    Examples
    --------
    >>> share_of_members("rural_migrant_share", "Rural migrants in the household").maximum
    1
    """
    return Variable(name, label, unit="share of members", minimum=0, maximum=1)


def yes_no(name: str, label: str) -> Variable:
    """Whether something is so; the reference is that it is not.

    Examples
    --------
    >>> yes_no("split_household", "Split household").coding_order
    ('no', 'yes')
    """
    return Variable(name, label, {"no": "No", "yes": "Yes"})


def integration_index(
    dimension: str, name: str, label: str, unit: str, minimum: float | None = None, maximum: float | None = None
) -> Variable:
    """An index of one of the four dimensions of migrants' integration, made of several items.

    Papers name and scale such indices in their own ways; the dimension says what is compared with what.

    Parameters
    ----------
    dimension : {"economic", "social", "cultural", "psychological"}
    name, label, unit : str
        As the paper calls the index, and in what it counts.
    minimum, maximum : float, optional

    Raises
    ------
    SpecificationError
        If there is no such dimension.

    Examples
    --------
    >>> integration_index("social", "neighbourly_interaction", "Neighbourly interaction", "sd").label
    'Neighbourly interaction (social)'
    """
    if dimension not in INTEGRATION:
        known = listing(f"{key} ({meaning})" for key, meaning in INTEGRATION.items())
        raise SpecificationError(
            f"index {name!r}: {dimension!r} is no dimension of integration{closest(dimension, INTEGRATION)}; there are"
            f" {known}."
        )
    return Variable(name, f"{label} ({dimension})", unit=unit, minimum=minimum, maximum=maximum)


def likert(name: str, label: str, points: int = 5, note: str = "", overlaps: tuple[str, ...] = ()) -> Variable:
    """An answer from 1, wholly against, to the highest point, wholly in favour.

    Examples
    --------
    >>> likert("housing_security", "Satisfied with the dwelling").maximum
    5
    """
    unit = f"from 1 (not at all) to {points} (wholly)"
    return Variable(name, label, unit=unit, minimum=1, maximum=points, note=note, overlaps=overlaps)


def region(group: str = "", reference: str = "eastern") -> Variable:
    """Part of China, of the grouping variable that lies within one.

    Examples
    --------
    >>> region("province").coding_order
    ('eastern', 'central', 'western')
    """
    levels = {"eastern": "Eastern", "central": "Central", "western": "Western"}
    return Variable("region", "Region", levels, reference, group=group)


def among(variable: str, level: str, *margins: Margin) -> tuple[Margin, ...]:
    """Margins of the people with one level of a variable only; the variable's own margin must come before.

    Examples
    --------
    >>> [margin.variable for margin in among("gender", "female", Margin("age", mean=40))]
    ['age | gender[female]']
    """
    return tuple(dataclasses.replace(margin, variable=f"{margin.variable} | {variable}[{level}]") for margin in margins)


def assumed(source: str, *margins: Margin) -> tuple[Margin, ...]:
    """Margins that are not printed for some people, taken over from others.

    Examples
    --------
    >>> (margin,) = assumed("as in the whole sample", Margin("age", mean=40, source="Table 2"))
    >>> margin.assumed, margin.source
    (True, 'as in the whole sample')
    """
    return tuple(dataclasses.replace(margin, assumed=True, source=source) for margin in margins)


@dataclass(frozen=True)
class IndexModel:
    """A printed least-squares model of an index, with the latent factors that its items measure.

    Parameters
    ----------
    number : int
        As the paper counts its models.
    table : str
    formula : str
    factors : tuple of Factor
        One, or several of which the index is a weighted sum.
    factor_priors : PriorSet
    sample : str
        Whom the model is about, if not everybody.
    also : str
        What the model adds to the one before.

    Examples
    --------
    >>> IndexModel(1, "Table 4", "belonging ~ age", (Factor("belonging", ("home", "stay")),), PriorSet()).index
    'belonging'
    """

    number: int
    table: str
    formula: str
    factors: tuple[Factor, ...]
    factor_priors: PriorSet
    sample: str = ""
    also: str = ""

    @property
    def index(self) -> str:
        """The outcome."""
        return self.formula.partition(" ~ ")[0]

    @property
    def title(self) -> str:
        """What the model is called beside its counterparts."""
        return f"Model {self.number}, {self.sample}," if self.sample else f"Model {self.number}"


def index_models(
    *printed: IndexModel, group: str, priors: PriorSet, standardise: Mapping[str, str] | None = None
) -> dict[str, ModelSpec]:
    """Printed models of indices, the same with varying group intercepts, and with latent factors in the indices' place.

    Parameters
    ----------
    *printed : IndexModel
    group : str
        Where people live together.
    priors : PriorSet
        Of the models of indices.
    standardise : mapping of str to str, optional
        Predictors in standard deviations; the indices then are too.

    Returns
    -------
    dict of str to ModelSpec
        ``model_1``, ``model_1_multilevel``, ``model_1_latent`` and so on, first all printed ones.

    Examples
    --------
    >>> model = IndexModel(1, "Table 4", "belonging ~ age", (Factor("belonging", ("home", "stay")),), PriorSet())
    >>> models = index_models(model, group="village", priors=PriorSet())
    >>> [spec.formula for spec in models.values()]
    ['belonging ~ age', 'belonging ~ age + (1 | village)', 'belonging ~ age']
    """
    predictors = dict(standardise or {})
    as_printed, multilevel, latent = {}, {}, {}
    for model in printed:
        key, called = f"model_{model.number}", model.index.replace("_", " ")
        scaled = {model.index: "person", **predictors} if predictors else {}
        where = f" in {model.sample}" if model.sample else ""
        as_printed[key] = ModelSpec(
            model.formula,
            title=f"{model.table}, Model {model.number}: {called}{where}{model.also}",
            priors=priors,
            standardise=scaled,
            estimator="ols",
            printed=(model.table, f"Model {model.number}"),
        )
        multilevel[f"{key}_multilevel"] = ModelSpec(
            f"{model.formula} + {varying_intercept(group)}",
            title=f"{model.title} with varying {group} intercepts",
            priors=priors,
            standardise=scaled,
            estimator="reml",
        )
        several = len(model.factors) > 1
        factors = " + ".join(factor.name for factor in model.factors)
        latent[f"{key}_latent"] = ModelSpec(
            f"{factors} ~ {model.formula.partition(' ~ ')[2]}",
            title=f"{model.title} with {called} as a "
            + (f"weighted sum of {NUMBERS[len(model.factors)]} latent factors" if several else "latent factor"),
            priors=model.factor_priors,
            standardise=predictors,
            factors=model.factors,
        )
    return as_printed | multilevel | latent


def about(population: Population, *printed: IndexModel) -> dict[str, Population]:
    """The people whom some printed models and their counterparts are about, by model.

    Examples
    --------
    >>> model = IndexModel(6, "Table 6", "belonging ~ age", (Factor("belonging", ("home", "stay")),), PriorSet())
    >>> list(about(Population(257, {}, ()), model))
    ['model_6', 'model_6_multilevel', 'model_6_latent']
    """
    return dict.fromkeys(index_models(*printed, group="group", priors=PriorSet()), population)


def each(claim: str, names: Iterable[str]) -> str:
    """A claim of every one of these quantities together; ``{}`` stands for the name.

    Parameters
    ----------
    claim : str
        In the language of :func:`bayesmig.hypothesis`.
    names : iterable of str

    Examples
    --------
    >>> each("{} > 0", ("training", "amenity"))
    'training > 0 and amenity > 0'
    """
    return " and ".join(claim.format(name) for name in names)


def exposure(own: str, beside: str, share: float) -> dict[str, str]:
    """What an exposure does where some people of a group are exposed and the others live beside them.

    Parameters
    ----------
    own, beside : str
        Coefficients of the exposed, and of those who are not but live among exposed people, both against people of
        groups without any.
    share : float
        Of the exposed among the people of groups that have any, from 0 to 1.

    Returns
    -------
    dict of str to str
        Expressions for claims of :func:`bayesmig.hypothesis`: ``direct``, one's own exposure where others are exposed;
        ``spillover``, that of the others; ``total``, both; and ``overall``, the average of all people of such a group
        (Hudgens & Halloran 2008, Journal of the American Statistical Association 103(482)).

    Raises
    ------
    SpecificationError
        If the share is none.

    Notes
    -----
    What it means: who takes part in an organisation is compared with neighbours who do not (direct), and these with
    people who have no organisation near (spillover). Papers often call the total effect direct.

    Examples
    --------
    >>> exposure("member", "neighbour", 0.4)["overall"]
    '0.4 * member + 0.6 * neighbour'
    """
    if not 0 <= share <= 1:
        raise SpecificationError(f"share={share!r} of exposed people must lie between 0 and 1.")
    overall = f"{share:g} * {own} + {1 - share:g} * {beside}"
    return {"direct": f"{own} - {beside}", "spillover": beside, "total": own, "overall": overall}
