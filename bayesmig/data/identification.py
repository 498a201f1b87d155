"""Whether the data can tell the parameters of a model apart."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.contract.names import pieces, smooth_of
from bayesmig.data.columns import is_categorical
from bayesmig.data.design import Grouped, GroupTerm
from bayesmig.errors import DataError, SpecificationError, listing
from bayesmig.families.registry import scalars
from bayesmig.specification.formula import Formula
from bayesmig.specification.model import ModelSpec

SMALLEST, LARGEST = 1e-50, 1e50  # of columns: squares of ratios of two are within the range of floats
FAR_ZERO = 2.0  # sds of the mean, from which it matters that uncorrelated effects stand at zero
FARTHEST_ZERO = 1e6  # a correlation there keeps four digits of what is left of the variance at the mean
ALIASED = 1e-12  # of a column's squared length; rounding of cross products is 1e-4 of what then is its own
MOSTLY = 0.75  # share of groups with a single child from which the split of the variance is remarked on
Spread = Literal["free", "known", "none"]  # of rows around their expectation: estimated, given by it, or none at all
RESERVED = (
    *("beta", "category", "chain", "covariance", "cut", "cutpoint", "draw"),
    *("parameter", "parameter_", "row", "term", "y", *scalars()),
)


def check_finite(columns: Array, names: tuple[str, ...]) -> None:
    for name, broken in zip(names, (~np.isfinite(columns)).sum(axis=0), strict=True):
        if broken:
            raise DataError(
                f"{name!r} is not finite in {broken} of {len(columns)} rows (the log of zero or less, say);"
                " mend these rows or set them to missing."
            )
    for name, size in zip(names, abs(columns).max(axis=0, initial=0.0), strict=True):
        if size and not SMALLEST < size < LARGEST:
            raise DataError(
                f"{name!r} is of the size of {size:.0e}, and coefficients and variances with it leave the range of"
                f" numbers that a computer has; values between {SMALLEST:.0e} and {LARGEST:.0e} are allowed. Give it"
                " in other units."
            )


def check_group(group: GroupTerm, spread: Spread, trials: Array | None, notes: list[str]) -> None:
    """Whether a grouping factor can have varying effects; ``trials`` are those of binomial rows."""
    check_finite(group.z, group.effects)
    check_zeros(group, group.z.mean(axis=0), group.z.std(axis=0), notes)
    within = pd.DataFrame(group.z, columns=list(range(len(group.effects)))).groupby(group.codes)
    constant = (within.max() == within.min()).all().to_numpy()
    seen = _variances_seen(group, spread, trials)
    if seen and np.isin(group.z[:, constant], (0, 1)).all():  # an own variance in each of several arms
        constant = np.zeros_like(constant)
    check_sizes(group, group.sizes, constant, notes, seen)


def check_zeros(group: Grouped, mean: Array, sd: Array, notes: list[str]) -> None:
    """Whether zero of the varying predictors lies where their effects can be told apart.

    ``mean``, ``sd``, (q,) arrays: of the effects' columns. ``notes``: gets what a reader must know. Raises DataError if
    digits do not suffice.
    """
    for block in group.blocks:
        for k in block:
            effect, by, far = group.effects[k], group.name, abs(mean[k]) / sd[k] if sd[k] > 0 else 0.0
            if far > FARTHEST_ZERO:
                raise DataError(
                    f"zero of {effect} lies {far:.0e} of its sds from its mean, so far that the varying effects by {by}"
                    f" at zero lose their digits; subtract a value near {mean[k]:.6g} from it."
                )
            if far > FAR_ZERO and len(block) == 1 and "intercept" in group.effects:
                notes.append(
                    f"intercepts and slopes of {effect} by {by} are taken as uncorrelated at {effect} = 0, {far:.0f}"
                    f" sds from its mean; (1 + {effect} | {by}) does not depend on where zero is, or subtract the mean"
                )


def spread_of(spec: ModelSpec) -> Spread:
    """What a family says of the spread of rows around their expectation."""
    if "sigma" in spec.distribution.parameters:
        return "free"
    return "known" if spec.distribution.outcome == "count" else "none"


def _variances_seen(group: GroupTerm, spread: Spread, trials: Array | None) -> bool:
    """Whether variances and covariances of rows determine those of the varying effects.

    Var(row i) and Cov(row i, row k of the same group) are linear in the entries of the effects' covariance; a free
    residual variance adds to the former, and a single yes or no has no variance of its own.
    """
    first = np.unique(group.codes, return_index=True)[1][group.codes]
    paired = first != np.arange(len(first))
    alone = np.full(len(first), spread != "none") if trials is None else trials > 1
    own, other = np.concatenate([group.z, group.z[paired]]), np.concatenate([group.z, group.z[first[paired]]])
    entries = [(k, k) for k in range(len(group.effects))] + list(group.pairs)
    columns = [own[:, i] * other[:, k] + (own[:, k] * other[:, i] if i != k else 0.0) for i, k in entries]
    if spread == "free":
        columns.append(np.repeat([1.0, 0.0], [len(first), paired.sum()]))
    equations = np.column_stack(columns)[np.concatenate([alone, np.ones(paired.sum(), bool)])]
    lengths = np.sqrt((equations**2).sum(axis=0))
    return bool((lengths > 0).all()) and np.linalg.matrix_rank(equations / lengths, tol=1e-8) == len(columns)


def check_several(group: Grouped) -> None:
    """A grouping factor has two groups or more."""
    if len(group.levels) < 2:
        raise DataError(
            f"grouping factor {group.name!r} has a single group ({group.levels[0]!r}); effects cannot vary over it."
            f" Take (... | {group.name}) out."
        )


def check_sizes(group: Grouped, sizes: Codes, constant: Flags, notes: list[str], seen: bool = False) -> None:
    """Whether a grouping factor can have varying effects.

    ``sizes``, (J,) int array: rows per group. ``constant``, (q,) bool array: which effects have a column with one value
    within each group, by which they cannot be told. ``notes``: gets what a reader must know. ``seen``: whether rows
    tell the variances of the effects even where each has a group of its own. Raises DataError or SpecificationError if
    it cannot.
    """
    count, n = len(group.levels), int(sizes.sum())
    if group.name in RESERVED or group.name.endswith(schema.COMPANIONS):
        raise SpecificationError(
            f"a grouping column cannot be called {group.name!r}: results use {listing(RESERVED)} themselves, and names"
            f" with {listing(schema.COMPANIONS)} at the end; rename it."
        )
    check_several(group)
    if count == n and not seen:
        raise DataError(
            f"every row is its own {group.name} ({n} groups, {n} rows): its sd and the scatter of single rows cannot be"
            " told apart (of counts they could). Is this the column of respondents' numbers?"
        )
    unseen = [effect for effect, one in zip(group.effects, constant, strict=True) if one and effect != "intercept"]
    if unseen:
        raise DataError(
            f"{listing(unseen)} has one value within each {group.name}, so its effect cannot be"
            f" seen to vary by {group.name}; take it out of (... | {group.name})."
        )
    singles = int((sizes == 1).sum())
    if count == n:
        notes.append(f"every row is its own {group.name}: its sd is what rows scatter beyond the rest of the model")
    elif singles:
        notes.append(f"{singles} of {count} groups of {group.name} have a single row; they borrow all they can")
    if count < 6:
        notes.append(f"{group.name} has only {count} groups: its sd rests mainly on the prior")


def check_identified(
    x: Array, terms: tuple[str, ...], formula_terms: tuple[str, ...], frame: pd.DataFrame, people: float
) -> None:
    """Every coefficient is identified; ``people`` is their number."""
    n = len(x)
    check_count(n, formula_terms, people)
    check_variation(terms, np.ptp(x, axis=0) == 0, n)
    scaled = _scaled(x, terms)
    if not scaled.size or np.linalg.eigvalsh(scaled.T @ scaled)[0] > 1e-8:
        return
    _, triangle = np.linalg.qr(scaled)
    first = len(terms) - scaled.shape[1]
    aliased = [first + k for k in np.flatnonzero(np.diag(triangle) ** 2 < ALIASED)]
    if aliased:
        owners = dict.fromkeys(formula_terms[k] for k in aliased)
        cells = listing((cell for owner in owners for cell in _empty_cells(owner, frame)), 5)
        advice = "Leave it out, or merge the levels that always occur together."
        if cells != "none":
            advice = f"No row has {cells}: merge levels, or leave the interaction out."
        raise DataError(_aliased(terms, aliased, advice))


def check_count(n: int, formula_terms: tuple[str, ...], people: float) -> None:
    """There are more people than coefficients."""
    p = len(formula_terms)
    if p > n or p >= people:
        widest = max(formula_terms, key=formula_terms.count)
        most = formula_terms.count(widest)
        raise DataError(
            f"{p} coefficients from {n} rows"
            + (f" ({widest} alone has {most})" if most > 1 else "")
            + "; leave out terms or find more data."
        )


def check_variation(terms: tuple[str, ...], constant: Flags, n: int) -> None:
    """No column but the intercept's is constant."""
    names = [term for term, one in zip(terms, constant, strict=True) if one and term != "intercept"]
    if names:
        raise DataError(f"no variation in {listing(names)} among the {n} rows used; leave it out of the formula.")


def check_products(formula: Formula, products: Array, terms: tuple[str, ...]) -> None:
    """Every coefficient is identified, and something is left to estimate, by the rows' cross products.

    ``products``, (p + 1, p + 1) array: of the common columns and the outcome, around their means where there is an
    intercept.
    """
    first = int(terms[:1] == ("intercept",))
    lengths = np.sqrt(np.diag(products)[first:])
    scaled = products[first:, first:] / np.outer(lengths, lengths)
    left = scaled.copy()
    aliased = []
    for k in range(len(scaled)):  # what the columns before it leave of each, a squared length of at most one
        if left[k, k] < ALIASED:
            aliased.append(first + k)
            continue
        left[k + 1 :, k + 1 :] -= np.outer(left[k + 1 :, k], left[k, k + 1 :]) / left[k, k]
    if aliased and aliased[0] < len(terms):
        raise DataError(
            _aliased(
                terms,
                [k for k in aliased if k < len(terms)],
                "Leave it out, or merge the levels that always occur together.",
            )
        )
    if aliased:
        raise DataError(_reproduced(formula))


def _aliased(terms: tuple[str, ...], places: list[int], advice: str) -> str:
    named = dict.fromkeys(smooth_of(terms[k]) or terms[k] for k in places)
    curves = [*dict.fromkeys(name for name in map(smooth_of, (terms[k] for k in places)) if name)]
    if curves:
        advice = f"Give {listing(curves)} fewer knots, as in s(x, k=5), or leave out what it repeats."
    parts = "parts of " if curves else ""
    return (
        f"the design matrix is rank deficient: {parts}{listing(named)} can be computed from the terms before it."
        f" {advice}"
    )


def _reproduced(formula: Formula) -> str:
    return (
        f"the predictors reproduce the outcome {formula.outcome!r} exactly; nothing is left to estimate."
        " Is one of them computed from it, or a part of it?"
    )


def _scaled(x: Array, terms: tuple[str, ...]) -> Array:
    """Columns of length one, centred where there is an intercept, which is left out."""
    columns = x[:, 1:] - x[:, 1:].mean(axis=0) if terms[:1] == ("intercept",) else x
    return np.asarray(columns / np.sqrt((columns**2).sum(axis=0)))


def _empty_cells(owner: str, frame: pd.DataFrame) -> list[str]:
    """Combinations of levels without rows, if the term is an interaction of categorical columns."""
    names = [name for name, _ in pieces(owner)]
    if len(names) < 2 or not all(name in frame and is_categorical(frame[name]) for name in names):
        return []
    sizes = frame.groupby(names, observed=False).size()
    empty = sizes.index[sizes == 0]
    return [" and ".join(f"{name} = {level}" for name, level in zip(names, cell, strict=True)) for cell in empty]


def check_not_reproduced(formula: Formula, x: Array, y: Array, terms: tuple[str, ...]) -> None:
    scaled = _scaled(x, terms)
    centred = y - y.mean() if terms[:1] == ("intercept",) else y
    fitted = scaled @ np.linalg.lstsq(scaled.T @ scaled, scaled.T @ centred)[0]
    if np.linalg.norm(centred - fitted) < 1e-6 * np.linalg.norm(centred):
        raise DataError(_reproduced(formula))


def check_factors(groups: Sequence[Grouped], together: Callable[[int, int], Codes], notes: list[str]) -> None:
    """Grouping factors that are hardly, or not at all, told from each other.

    ``together``: of the places of two of them: (m, 2) codes of the groups that have rows in common. Raises
    SpecificationError if one is called like the effects of another in a result.
    """
    names = {group.name for group in groups}
    for group in groups:
        clash = names & {f"{group.name}_effect", f"{group.name}_pair"}
        if clash:
            raise SpecificationError(
                f"a grouping column cannot be called {clash.pop()!r}: results call the effects of {group.name} so;"
                " rename it."
            )
    order = sorted(range(len(groups)), key=lambda place: len(groups[place].levels))
    for one, other, pairs in ((groups[k], groups[m], together(k, m)) for k, m in itertools.combinations(order, 2)):
        shared = [name for name in one.effects if name in other.effects]
        if len(pairs) > len(other.levels) or not shared:
            continue
        alone = int((np.bincount(pairs[:, 0]) == 1).sum())
        if len(one.levels) == len(other.levels):
            notes.append(
                f"{one.name} and {other.name} {schema.SAME_GROUPS} ({one.levels[0]!r} is"
                f" {other.levels[pairs[0, 1]]!r}): the data say how large the variance of {listing(shared)} is in"
                f" all, and nothing of how it is split between the two. Take"
                f" (... | {other.name}) or (... | {one.name}) out"
            )
        elif alone > MOSTLY * len(one.levels):
            notes.append(
                f"{alone} of {len(one.levels)} groups of {one.name} hold a single group of {other.name}: how the"
                f" variance is split between the two rests on the other {len(one.levels) - alone}"
            )


def check_told_apart(
    group: GroupTerm,
    columns: tuple[str, ...],
    x: Array,
    formula_terms: tuple[str, ...],
    frame: pd.DataFrame,
    notes: list[str],
) -> None:
    """Common terms that leave the intercepts of a grouping factor nothing to explain."""
    if all(is_categorical(frame[name]) for name in columns):
        check_not_predictor(columns, formula_terms)
    if np.count_nonzero(group.sizes) > x.shape[1] or "intercept" not in group.effects:
        return
    basis, _ = np.linalg.qr(x)
    member = np.eye(len(group.levels))[group.codes]
    if abs(member - basis @ (basis.T @ member)).max() < 1e-8:
        notes.append(told_apart(group.name))


def check_not_predictor(columns: tuple[str, ...], formula_terms: tuple[str, ...]) -> None:
    """A grouping factor of categories is no predictor as well."""
    name = ":".join(columns)
    if name in formula_terms:
        raise SpecificationError(
            f"{name!r} is both a categorical predictor and a grouping factor, and each explains what the other"
            f" does; take out the predictor or (1 | {name})."
        )


def told_apart(name: str) -> str:
    """What to say of a grouping factor whose groups the predictors distinguish."""
    return f"the predictors tell all groups of {name} apart: its sd rests on the prior alone"
