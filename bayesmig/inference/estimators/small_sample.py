"""Degrees of freedom of coefficients of Gaussian mixed models, which few groups know less well than a normal says.

Satterthwaite's match the variance of a squared standard error to that of a chi-square (Giesbrecht & Burns 1985,
Biometrics 41; Kuznetsova, Brockhoff & Christensen 2017, Journal of Statistical Software 82). Kenward & Roger (1997,
Biometrics 53) do so with the expected information, and enlarge the standard errors, which take the variances as known.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np
from scipy import linalg

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design, GroupTerm, Outline
from bayesmig.errors import EngineRefusal, closest, listing

METHODS = ("satterthwaite", "kenward-roger")
STEP = 1e-4
MOST_EFFECTS = 3_000


def check_df(design: Outline, method: str, errors: str, df: str | None) -> None:
    """Refuse degrees of freedom that there are not. Raises EngineRefusal saying what there is."""
    if df is None:
        return
    if df not in METHODS:
        raise EngineRefusal(f"df={df!r}{closest(df, METHODS)}; allowed are {listing(METHODS)} and None.")
    if errors != "classical":
        raise EngineRefusal(f"df={df!r} is said of classical errors; with errors={errors!r} leave it out.")
    if df == "kenward-roger" and method != "reml":
        raise EngineRefusal(f"df='kenward-roger' needs method='reml', not {method!r}.")
    if df == "kenward-roger" and not isinstance(design, Design):
        raise EngineRefusal("df='kenward-roger' needs all rows at once; with chunks use df='satterthwaite'.")


def satterthwaite(covariance: Callable[[Array], Array], point: Array, of_point: Array) -> Array:
    """Degrees of freedom ``(p,)``: ``2 v^2 / (g'Ag)``, v a squared error, g its gradient and A the point's covariance.

    ``covariance``: from variance parameters to the covariance ``(p, p)`` of the coefficients. ``point``: (d,) array.
    ``of_point``, (d, d) array: zero for what is at a boundary.
    """
    variances = np.diag(covariance(point))
    gradient = np.zeros((len(point), len(variances)))
    for place in np.flatnonzero(of_point.any(axis=0)):
        step = STEP * np.eye(1, len(point), place)[0]
        gradient[place] = np.diag(covariance(point + step) - covariance(point - step)) / (2 * STEP)
    with np.errstate(divide="ignore"):
        return np.asarray(2 * variances**2 / np.einsum("dk,de,ek->k", gradient, of_point, gradient))


def kenward_roger(design: Design, values: Mapping[str, Array]) -> tuple[Array, Array]:
    """Covariance ``(p, p)`` of the coefficients, with what estimating variances adds, and degrees of freedom ``(p,)``.

    ``design``: without weights. ``values``: ``sigma``, ``tau_<group>`` and ``rho_<group>`` of a REML fit. Raises
    EngineRefusal if there are too many effects, or weights. With ``V`` the outcome's covariance, linear in its
    parameters with derivatives ``G_r``, products such as ``X'V^-1 G_r V^-1 G_s V^-1 X`` (Kenward & Roger's Q) are
    small, because ``V^-m = sigma^-2m (I - Z R_m Z')``.
    """
    if design.weights is not None:
        raise EngineRefusal("df='kenward-roger' takes no weights; use df='satterthwaite'.")
    x, z = design.x, np.concatenate([_columns(group) for group in design.groups], axis=1)
    if z.shape[1] > MOST_EFFECTS:
        raise EngineRefusal(
            f"df='kenward-roger' takes at most {MOST_EFFECTS:,} effects of groups, and there are {z.shape[1]:,}; use"
            " df='satterthwaite', which hardly differs with that many."
        )
    variance = float(values["sigma"]) ** 2
    between = _block_diagonal([(group.covariance(values), len(group.levels)) for group in design.groups])
    xx, xz, zz = x.T @ x, x.T @ z, z.T @ z
    one = between @ np.linalg.inv(variance * np.eye(len(zz)) + zz @ between)
    two = 2 * one - one @ zz @ one
    three = 3 * one - 3 * one @ zz @ one + one @ zz @ one @ zz @ one

    def of_x(power: int, root: Array) -> Array:
        return np.asarray((xx - xz @ root @ xz.T) / variance**power)

    a, a_twice = (zz - zz @ one @ zz) / variance, (zz - zz @ two @ zz) / variance**2
    b, b_twice = (xz - xz @ one @ zz) / variance, (xz - xz @ two @ zz) / variance**2
    phi = np.linalg.inv(of_x(1, one))
    pairs = _pairs(design)
    count, terms = len(pairs) + 1, x.shape[1]
    p, q = np.zeros((count, terms, terms)), np.zeros((count, count, terms, terms))
    traces = np.zeros((count, count))
    p[0], q[0, 0] = -of_x(2, two), of_x(3, three)
    traces[0, 0] = (len(x) - np.trace(two @ zz)) / variance**2
    for r, first in enumerate(pairs, 1):
        p[r] = -_between(b, first, b)
        q[0, r] = _between(b_twice, first, b)
        q[r, 0] = q[0, r].T
        traces[0, r] = traces[r, 0] = sum(a_twice[j, i].sum() for i, j in first)
        for s, second in enumerate(pairs, 1):
            q[r, s] = sum(b[:, i] @ _between(a[j], second, b) for i, j in first)
            both = itertools.product(first, second)
            traces[r, s] = sum((a[np.ix_(j, k)] * a[np.ix_(m, i)].T).sum() for (i, j), (k, m) in both)
    information = 0.5 * (
        traces - 2 * np.einsum("ab,rsba->rs", phi, q) + np.einsum("ab,rbc,cd,sda->rs", phi, p, phi, p, optimize=True)
    )
    w = np.linalg.pinv(information, hermitian=True)
    added = np.einsum("rs,rsab->ab", w, q - np.einsum("rab,bc,scd->rsad", p, phi, p, optimize=True))
    adjusted = phi + 2 * phi @ added @ phi
    turned = np.einsum("kb,rbc,ck->rk", phi, p, phi) / np.diag(phi)
    return 0.5 * (adjusted + adjusted.T), 2 / np.einsum("rk,rs,sk->k", turned, w, turned)


Entries = list[tuple["Codes", "Codes"]]


def _columns(group: GroupTerm) -> Array:
    """Columns of all effects of all groups, ``(n, J q)``, groups outermost."""
    n, q = group.z.shape
    columns = np.zeros((n, len(group.levels), q))
    columns[np.arange(n), group.codes] = group.z
    return columns.reshape(n, -1)


def _block_diagonal(blocks: list[tuple[Array, int]]) -> Array:
    """Each matrix as many times as it is wanted, along the diagonal."""
    return linalg.block_diag(*(np.kron(np.eye(count), matrix) for matrix, count in blocks))


def _pairs(design: Design) -> list[Entries]:
    """For each variance and covariance where it stands among the covariances of all effects."""
    found: list[Entries] = []
    start = 0
    for group in design.groups:
        q, first = len(group.effects), start + len(group.effects) * np.arange(len(group.levels))
        for block in group.blocks:
            for i, j in itertools.combinations_with_replacement(block, 2):
                found.append([(first + i, first + j)] if i == j else [(first + i, first + j), (first + j, first + i)])
        start += q * len(group.levels)
    return found


def _between(left: Array, entries: Entries, right: Array) -> Array:
    """``L E R'``, E one at the entries."""
    return np.asarray(sum(left[:, i] @ right[:, j].T for i, j in entries))
