"""The posterior contract: what variables, dims and groups every result has.

======================  ==================================  ==============================================
variable                dims                                meaning
======================  ==================================  ==============================================
``beta``                term                                coefficients in the design's own units;
                                                            ``intercept`` at reference levels and zeros
``u_<group>``           <group>, <group>_effect             varying effects, as deviations
``tau_<group>``         <group>_effect                      their standard deviations
``rho_<group>``         <group>_pair                        their correlations, if any; of groups that are alike what
                                                            is shared with neighbours, or the correlation at a unit
``sd_smooth``           smooth                              sds of the coefficients of smooths, how far curves are
                                                            expected to be from straight lines
``sigma``, ``nu``,                                          residual standard deviation, degrees of freedom,
``dispersion``                                              dispersion, in families that have them
``cut``                 cutpoint                            thresholds of ordered outcomes
``loading``             item                                loadings of items on their factor, which the
                                                            coordinate ``factor_of_item`` names
``item_intercept``      item                                continuous items at the factor's zero
``item_sd``             item                                their residual standard deviations
``item_cut``            item_cutpoint                       thresholds of ordinal items, as in ``work:1|2``
``psi``                 factor                              residual sds of factors that have a marker;
                                                            of the others they are 1
``rho_factor``          factor_pair                         residual correlations of several factors
``imputed_<name>``      <name>_row                          missing values of predictors, where they are
                                                            modelled, in the data's units
``eta``                 row, factor                         scores of people, where ordinal items are sampled
                                                            with them
======================  ==================================  ==============================================

``posterior`` (from ``fit`` and ``published_posterior``) has ``chain`` and ``draw`` in front. ``estimate``
and ``published`` hold the same names without them, with companions ``<name>_se``, ``<name>_lower``,
``<name>_upper`` (and ``beta_df``, where degrees of freedom were asked for): a point with its error is not a posterior
of one draw. An ``estimate`` keeps the ``covariance`` of its parameters over ``(parameter, parameter_)``, zero for what
is at a boundary; that of least squares ends with the coefficients. Effects carry their group's name in their dim,
because an intercept-only factor and one with slopes can stand side by side in one model. With several
latent factors, categories, or parameters that have predictors, each term and effect names its own, as in
``visual ~ age``, ``leave ~ age`` and ``sigma ~ age``.

``sample_stats`` of independent draws says how they were weighted (``pareto_k``, ``importance_ess``) and has the
``log_marginal_likelihood`` with its ``log_marginal_likelihood_mcse``, where priors are proper and weights count people.

The root's attributes carry the specification (JSON), engine, seed, provenance, versions and the data flow.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract.names import cutpoints
from bayesmig.contract.seal import check_seal, seal
from bayesmig.contract.tree import Result
from bayesmig.errors import BayesmigError, listing

if TYPE_CHECKING:
    from bayesmig.data.cross_products import SummedDesign
    from bayesmig.data.design import Design, LatentOutcome, Outline

COMPANIONS = ("_se", "_lower", "_upper", "_df")  # endings of what stands beside an estimate
KINDS = ("posterior", "estimate", "published")
RECONSTRUCTED = "reconstructed"
ADDED_UP = "rows_added_up"
SAME_GROUPS = "are the same groups under two names"  # in a note on two grouping factors that nothing tells apart


def effect_dim(group: str) -> str:
    """Dim of the varying effects of a grouping factor."""
    return f"{group}_effect"


def pair_dim(group: str) -> str:
    """Dim of the correlated pairs of varying effects of a grouping factor."""
    return f"{group}_pair"


def dims(design: Outline) -> dict[str, tuple[str, ...]]:
    """The variables that a fit of this design must have, with their dims (chain and draw left out)."""
    names: dict[str, tuple[str, ...]] = {"beta": ("term",)}
    for name in (name for name in design.spec.distribution.parameters if name not in design.spec.predictors):
        names[name] = ("cutpoint",) if name == "cut" else ()
    for group in design.groups:
        names[f"u_{group.name}"] = (group.name, effect_dim(group.name))
        names[f"tau_{group.name}"] = (effect_dim(group.name),)
        if group.rho_names:
            names[f"rho_{group.name}"] = (pair_dim(group.name),)
    names |= {"sd_smooth": ("smooth",)} if design.smooths else {}
    names |= {f"imputed_{gap.name}": (f"{gap.name}_row",) for gap in design.imputed}
    return names if design.latent is None else names | _latent_dims(design.latent)


def _latent_dims(latent: LatentOutcome) -> dict[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {"loading": ("item",)}
    if latent.is_ordinal:
        names |= {"item_cut": ("item_cutpoint",), "eta": ("row", "factor")}
    else:
        names |= {"item_intercept": ("item",), "item_sd": ("item",)}
    names |= {"psi": ("factor",)} if latent.has_markers else {}
    return names | ({"rho_factor": ("factor_pair",)} if latent.pairs else {})


def coords(design: Outline) -> dict[str, Any]:
    """Coordinates of those dims."""
    values: dict[str, Any] = {"term": list(design.terms)}
    if "cut" in design.spec.distribution.parameters:
        values["cutpoint"] = list(cutpoints(design.categories))
    values |= {"smooth": [smooth.name for smooth in design.smooths]} if design.smooths else {}
    for group in design.groups:
        values |= {group.name: list(group.levels), effect_dim(group.name): list(group.effects)}
        values |= {pair_dim(group.name): list(group.rho_names)} if group.rho_names else {}
    if not design.has_rows:
        return values
    rows: np.ndarray = design.rows  # type: ignore[attr-defined]
    values |= {f"{gap.name}_row": rows[gap.rows] for gap in design.imputed}
    return values if design.latent is None else values | _latent_coords(design.latent, rows)


def _latent_coords(latent: LatentOutcome, rows: np.ndarray) -> dict[str, Any]:
    factors = list(latent.effects)
    values: dict[str, Any] = {"item": list(latent.names)}
    values["factor_of_item"] = ("item", [factors[owner] for owner in latent.owner])
    if latent.is_ordinal:
        values |= {"item_cutpoint": list(latent.cut_names), "row": rows}
    values |= {"factor": factors} if latent.is_ordinal or latent.has_markers else {}
    return values | ({"factor_pair": list(latent.pair_names)} if latent.pairs else {})


def posterior(design: Outline, draws: Mapping[str, np.ndarray]) -> xr.Dataset:
    """A dataset of draws in the contract; arrays have chain and draw as their first two axes.

    Varying effects of a design that is centred stand at zero of its columns again.
    """
    for group in design.groups:
        draws = group.at_zero(draws)
    variables = {name: (("chain", "draw", *where), draws[name]) for name, where in dims(design).items()}
    chains, length = draws["beta"].shape[:2]
    return xr.Dataset(variables, coords(design) | {"chain": np.arange(chains), "draw": np.arange(length)})


def estimate(design: Outline, values: Mapping[str, np.ndarray]) -> xr.Dataset:
    """A dataset of points in the contract; ``values`` may hold companions (``beta_se``, ``tau_g_lower`` ...).

    ``covariance`` is of the first parameters in the order of :func:`dims`, effects of groups left out.
    """
    variables: dict[str, Any] = {}
    for name, where in dims(design).items():
        for key in (name, *(f"{name}{ending}" for ending in COMPANIONS)):
            if key in values:
                variables[key] = (where, values[key])
    dataset = xr.Dataset(variables, coords(design))
    if "covariance" not in values:
        return dataset
    names = [label for name in dims(design) if name in values for label in parameter_labels(dataset, name)]
    names = names[: len(values["covariance"])]
    return dataset.assign_coords(parameter=names, parameter_=names).assign(
        covariance=(("parameter", "parameter_"), values["covariance"])
    )


def parameter_labels(dataset: xr.Dataset, name: str) -> list[str]:
    """What a variable's values are called in ``covariance``, as in ``tau_g[intercept]``; none of effects of groups."""
    array = dataset[name]
    if array.ndim == 0:
        return [name]
    if array.ndim > 1:
        return []
    labels = [str(label) for label in array[str(array.dims[0])].to_numpy()]
    return labels if name == "beta" else [f"{name}[{label}]" for label in labels]


def data_groups(design: Design) -> dict[str, xr.Dataset]:
    """``observed_data``, ``constant_data`` and ``data`` of a tree: the outcome, the design, and the columns used."""
    row = {"row": design.rows}
    weighted = [group for group in design.groups if group.weights is not None]
    several = [group for group in design.groups if group.amounts is not None]
    levels = {group.name: list(group.levels) for group in (*weighted, *several)}
    constant: dict[str, Any] = {"x": (("row", "term"), design.x)}
    constant |= {f"{group.name}_code": ("row", group.codes) for group in design.groups if group.amounts is None}
    constant |= {f"{group.name}_size": (group.name, group.sizes) for group in several}
    if design.weights is not None:
        constant["weight"] = ("row", design.weights)
    observed: dict[str, Any] = {"y": ("row", design.y)}
    if design.ends is not None:
        observed |= {"y_lower": ("row", design.ends[:, 0]), "y_upper": ("row", design.ends[:, 1])}
    items = {} if design.latent is None else {"item": list(design.latent.names)}
    if design.latent is not None:
        observed["answer"] = (("row", "item"), design.latent.items)
    constant |= {f"{group.name}_weight": (group.name, group.weights) for group in weighted}
    return {
        "observed_data": xr.Dataset(observed, row | items),
        "constant_data": xr.Dataset(constant, row | {"term": list(design.terms)} | levels),
        "data": _columns(design.frame, design.rows),
    }


def _columns(frame: pd.DataFrame, rows: np.ndarray) -> xr.Dataset:
    """A frame as one array of numbers, categories as codes, with their levels beside them.

    One array, not a variable a column: names of columns may hold signs that no file format allows.
    """
    levels = {}
    values = np.empty(frame.shape)
    for position, (name, column) in enumerate(frame.items()):
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels[str(name)] = [str(level) for level in column.cat.categories]
            values[:, position] = column.cat.codes
        else:
            values[:, position] = column
    cells = xr.DataArray(values, dims=("row", "column"), attrs={"levels": json.dumps(levels, ensure_ascii=False)})
    return xr.Dataset({"cell": cells}, {"row": rows, "column": [str(name) for name in frame.columns]})


def _summed_groups(design: SummedDesign) -> dict[str, xr.Dataset]:
    """``constant_data`` and ``specimen`` of a tree whose rows were added up: moments, sizes, and how rows are coded."""
    x_mean, x_sd, y_mean, y_sd = design.moments
    constant: dict[str, Any] = {"x_mean": ("term", x_mean), "x_sd": ("term", x_sd), "y_mean": y_mean, "y_sd": y_sd}
    where: dict[str, Any] = {"term": list(design.terms)}
    for group, (mean, sd) in zip(design.groups, design.varying_moments, strict=True):
        effects = effect_dim(group.name)
        constant |= {f"{group.name}_size": (group.name, group.sizes)}
        constant |= {f"{group.name}_effect_mean": (effects, mean), f"{group.name}_effect_sd": (effects, sd)}
        where |= {group.name: list(group.levels), effects: list(group.effects)}
    if design.effective is not None:
        constant["effective"] = design.effective
    return {
        "constant_data": xr.Dataset(constant, where),
        "specimen": _columns(design.specimen, np.arange(len(design.specimen))),
    }


def check_rows(tree: xr.DataTree) -> None:
    """Refuse what needs the rows of a result that was fitted to chunks. Raises BayesmigError if it keeps none."""
    check_seal(tree)
    if ADDED_UP in tree.attrs:
        raise BayesmigError(
            f"this needs rows, and the result was fitted to {int(tree.attrs['n_used'])} that were read in chunks and"
            " not kept. Give the people that it is about, where it takes any, as predict(tree, people) does; or fit a"
            " random sample of the rows as a data frame."
        )


def data_frame(tree: xr.DataTree) -> pd.DataFrame:
    """The used rows of the used columns, as a fit or an estimate was given them.

    ``tree``: from ``fit`` or ``estimate``. Indexed by the row's position in the data that were given;
    categories are ordered categoricals. Raises BayesmigError if the tree holds no data, as one from a printed table.
    """
    check_rows(tree)
    if "data" not in tree.children:
        raise BayesmigError(f"the tree holds no data, only {listing(tree.children)}; fit or estimate the model again.")
    return frame_of(tree["data"].to_dataset())


def flow(tree: xr.DataTree) -> tuple[int, int, str]:
    """How many were given, how many are used, and what is counted: rows, or people where rows stand for several."""
    what = "people" if "people_given" in tree.attrs else "rows"
    names = ("people_given", "people_used") if what == "people" else ("n_given", "n_used")
    return int(tree.attrs[names[0]]), int(tree.attrs[names[1]]), what


def group_sizes(tree: xr.DataTree, group: str) -> np.ndarray:
    """Rows per group of a grouping factor, of a tree from ``fit`` or ``estimate``."""
    constant = tree["constant_data"]
    if f"{group}_size" in constant:
        return constant[f"{group}_size"].to_numpy()
    return np.bincount(constant[f"{group}_code"].to_numpy(), minlength=tree[kind(tree)].sizes.get(group, 0))


def frame_of(columns: xr.Dataset) -> pd.DataFrame:
    """The frame that a group ``data`` or ``specimen`` holds."""
    cells = columns["cell"]
    levels = json.loads(cells.attrs["levels"])
    frame = pd.DataFrame(cells.to_numpy(), index=cells["row"].to_numpy(), columns=cells["column"].to_numpy())
    for name, labels in levels.items():
        frame[name] = pd.Categorical.from_codes(frame[name].astype(int), labels, ordered=True)
    return frame


def stamp(groups: Mapping[str, xr.Dataset], design: Outline, **about: object) -> xr.DataTree:
    """A tree of these groups that says what made it.

    ``about``: ``engine`` or ``estimator``, ``seed`` and whatever else the maker states; values that are neither text
    nor number are written as JSON. ``packages`` are those that computed beside the ones always at work; their versions
    are stated.
    """
    facts: dict[str, object] = {
        "spec": design.spec.to_json(),
        "outcome": design.spec.parsed.outcome,
        "provenance": design.provenance,
        "data_digest": design.digest,
        "n_given": design.n_given,
        "n_weightless": design.n_weightless,
        "n_used": design.n,
        "missing": dict(design.missing),
        "notes": list(design.notes),
        "levels": dict(design.levels),
        "categories": list(design.categories),
        "scaling": {name: vars(scaling) for name, scaling in design.scaling.items()},
        "versions": versions(*about.pop("packages", ())),  # type: ignore[misc]
        **about,
    }
    if design.people_given is not None:
        facts |= {"people_given": design.people_given, "people_used": design.people_used}
    if not design.has_rows:
        return stamped({**groups, **_summed_groups(design)}, {**facts, ADDED_UP: "yes"})  # type: ignore[arg-type]
    facts |= {"not_asked": dict(design.not_asked)} if design.not_asked else {}  # type: ignore[attr-defined]
    return stamped({**groups, **data_groups(design)}, facts)  # type: ignore[arg-type]


def stamped(groups: Mapping[str, xr.Dataset], facts: Mapping[str, object]) -> xr.DataTree:
    """A tree whose root attributes are text and numbers only, so that it can be saved."""
    tree = Result.from_dict({f"/{name}": dataset for name, dataset in groups.items()})
    for key, value in facts.items():
        tree.attrs[key] = value if isinstance(value, (str, int, float)) else json.dumps(value, ensure_ascii=False)
    return seal(tree)


@cache
def versions(*packages: str) -> dict[str, str]:
    """Versions of bayesmig and of what computes for it: what is always at work, and these packages."""
    names = ("bayesmig", "numpy", "scipy", "formulae", "xarray", *packages)
    return {name: importlib.metadata.version(name) for name in names}


def read(tree: xr.DataTree, key: str) -> Any:
    """A root attribute, JSON decoded. Raises BayesmigError if the tree has none, or it is no JSON."""
    check_seal(tree)
    try:
        return json.loads(tree.attrs[key])
    except (KeyError, TypeError, ValueError):
        raise BayesmigError(f"the tree has no attribute {key!r} in JSON, as every result of bayesmig has.") from None


def categories(tree: xr.DataTree) -> list[str]:
    """Categories of a binary or ordered outcome; none where a result does not say."""
    return list(read(tree, "categories")) if "categories" in tree.attrs else []


def kind(tree: xr.DataTree) -> str:
    """Which of ``posterior``, ``estimate`` and ``published`` a tree holds.

    Raises BayesmigError if it holds none of them.
    """
    if isinstance(tree, xr.DataTree):
        check_seal(tree)
        for name in KINDS:
            if name in tree.children:
                return name
        raise BayesmigError(f"the tree has no group {listing(KINDS)}; it has {listing(tree.children)}.")
    raise BayesmigError(
        f"expected a DataTree from fit, estimate, published or published_posterior, got {type(tree).__name__}."
    )


def drawn(tree: xr.DataTree, what: str = "this") -> xr.Dataset:
    """The draws of a posterior. Raises BayesmigError, saying what needs them, if the tree holds none."""
    if kind(tree) != "posterior":
        raise BayesmigError(f"{what} needs a posterior from fit, not a tree with the group {kind(tree)!r}.")
    return tree["posterior"].to_dataset()


def groups(dataset: xr.Dataset) -> list[str]:
    """Grouping factors of a result."""
    return [str(name)[4:] for name in dataset.data_vars if str(name).startswith("tau_") and not is_companion(name)]


def is_companion(name: object) -> bool:
    """Whether a variable is the error or a bound of another."""
    return str(name).endswith(COMPANIONS)


def validate(tree: xr.DataTree, design: Outline) -> None:
    """Check a fitted tree against the contract.

    Raises BayesmigError naming what is missing, has the wrong dims, or is not finite.
    """
    dataset = tree[kind(tree)]
    extra = ("chain", "draw") if kind(tree) == "posterior" else ()
    for name, where in dims(design).items():
        if name not in dataset:
            raise BayesmigError(f"the result lacks {name!r}.")
        if dataset[name].dims != (*extra, *where):
            raise BayesmigError(f"{name!r} has dims {dataset[name].dims}, the contract says {(*extra, *where)}.")
        if extra and not np.isfinite(dataset[name].to_numpy()).all():
            raise BayesmigError(f"{name!r} is not finite in some draws.")
