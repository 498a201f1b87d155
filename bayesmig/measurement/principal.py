"""Principal components of several items, and indices made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.errors import BayesmigError, UnknownColumn, closest, listing, require
from bayesmig.measurement.items import Shown, principal_axes, read_items, read_numbers

ROTATIONS = ("varimax", None)
MISSING = ("listwise", "pairwise")
R_TOLERANCE = 1e-5  # eps of varimax in R's stats
MOST_STEPS = 10_000


class Sphericity(NamedTuple):
    """Bartlett's test of sphericity: chi-square, its degrees of freedom, p."""

    chi2: float
    df: int
    p: float


@dataclass(frozen=True, eq=False, repr=False)
class Components(Shown):
    """Principal components of the correlations of several items.

    Attributes
    ----------
    loadings : pandas.DataFrame
        Correlation of every item (row) with every component kept (column), after rotation. Components stand in the
        order of the variance that they explain, and their loadings sum to a positive number.
    unrotated : pandas.DataFrame
        The same before rotation.
    eigenvalues : pandas.Series
        Of all components, by number from 1; they sum to the number of items.
    score_coefficients : pandas.DataFrame
        Weights of the standardised items in each score.
    kmo : float
        Kaiser-Meyer-Olkin measure of sampling adequacy.
    kmo_by_item : pandas.Series
        The same for each item ("MSA").
    bartlett : Sphericity
        Test that all correlations are zero.
    correlation : pandas.DataFrame
    mean, sd : pandas.Series
        Of each item, over the rows used; sd with n - 1.
    n, n_given : int
        Rows used (the fewest rows of a pair, if ``missing`` is pairwise), rows given.
    missing_answers : mapping of str to int
        Missing answers of each item that has any.
    missing, rotation, kept_by, provenance : str
        ``kept_by`` says how the number of components was chosen.
    notes : tuple of str
        What a reader must know of the items.
    """

    loadings: pd.DataFrame
    unrotated: pd.DataFrame
    eigenvalues: pd.Series
    score_coefficients: pd.DataFrame
    kmo: float
    kmo_by_item: pd.Series
    bartlett: Sphericity
    correlation: pd.DataFrame
    mean: pd.Series
    sd: pd.Series
    n: int
    n_given: int
    missing_answers: Mapping[str, int]
    missing: str
    rotation: str
    kept_by: str
    provenance: str
    notes: tuple[str, ...]

    @property
    def communalities(self) -> pd.Series:
        """Share of each item's variance that the components kept explain."""
        return (self.loadings**2).sum(axis=1).rename("communality")

    @property
    def explained(self) -> pd.DataFrame:
        """Variance explained by each component kept, in percent of all items' variance.

        Columns: ``eigenvalue`` and ``percent_before`` rotation, ``percent`` and ``cumulative_percent`` after it. A
        rotation shares out what the components explain together; the total stays.
        """
        kept, items = len(self.loadings.columns), len(self.eigenvalues)
        percent = 100 * (self.loadings**2).sum() / items
        before = self.eigenvalues.to_numpy()[:kept]
        return pd.DataFrame(
            {
                "eigenvalue": before,
                "percent_before": 100 * before / items,
                "percent": percent,
                "cumulative_percent": percent.cumsum(),
            },
            index=self.loadings.columns,
        )

    def scores(self, items: AnyFrame) -> pd.DataFrame:
        """Component scores of people, by the regression method.

        Parameters
        ----------
        items : pandas.DataFrame
            The items, and other columns if there are any; these rows or those of other people.

        Returns
        -------
        pandas.DataFrame
            A row for each row given, a column a component. In the rows that the components were computed from (without
            missing answers) each score has mean 0 and sd 1 and the scores are uncorrelated. Rows with a
            missing answer have missing scores.

        Raises
        ------
        UnknownColumn, DataError
            If an item is not there, or is no number.

        Notes
        -----
        ``Z B`` with the items standardised by *these components'* means and sds (n - 1), and ``B = R^-1 L``, the
        ``/METHOD=CORRELATION /SAVE REG`` of SPSS's FACTOR. So people of another wave or place are placed on the
        scale of the first.
        """
        items = frame_of(items)
        absent = [str(name) for name in self.mean.index if name not in items.columns]
        if absent:
            raise UnknownColumn(
                f"the scores need item {listing(absent)}, which is no column{closest(absent[0], items.columns)}; the"
                f" data have {listing(items.columns)}."
            )
        answers = items[self.mean.index].apply(read_numbers)
        scores: pd.DataFrame = ((answers - self.mean) / self.sd) @ self.score_coefficients
        return scores

    def _parts(self) -> tuple[str, list[tuple[str, str]], list[tuple[str, pd.DataFrame]]]:
        p = "p < 0.001" if self.bartlett.p < 0.001 else f"p = {self.bartlett.p:.3f}"
        total = self.explained["cumulative_percent"].iloc[-1]
        facts = [
            self._rows(self.missing),
            ("provenance", self.provenance),
            ("KMO", f"{self.kmo:.3f}"),
            ("Bartlett", f"chi2 = {self.bartlett.chi2:.3f}, df = {self.bartlett.df}, {p}"),
            ("components", f"{len(self.loadings.columns)}, {self.kept_by}; {total:.1f} % of the variance"),
            ("rotation", self.rotation),
        ]
        tables = [("", self.loadings.assign(communality=self.communalities)), ("", self.explained)]
        return f"Principal components of {len(self.loadings)} items", facts, tables


def components(
    items: AnyFrame,
    n: int | None = None,
    *,
    rotation: Literal["varimax"] | None = "varimax",
    missing: Literal["listwise", "pairwise"] = "listwise",
    tolerance: float = R_TOLERANCE,
) -> Components:
    """Principal components of several items: the published way from answers to an index.

    Parameters
    ----------
    items : pandas.DataFrame
        One row a person, one column an item, all numbers. A column ``provenance`` is set aside.
    n : int, optional
        How many components to keep. By default those with an eigenvalue above 1 (Kaiser's criterion).
    rotation : {"varimax", None}
        Varimax with Kaiser's normalisation. One component is not rotated.
    missing : {"listwise", "pairwise"}
        Rows with a missing answer are left out; or each correlation, mean and sd uses all the rows that it can.
    tolerance : float
        The rotation stops when its criterion grows by a smaller share. The default is that of ``varimax`` in R, and
        so of ``psych::principal``; it can leave a loading 0.003 from where 1e-12 puts it.

    Returns
    -------
    Components
        With loadings, communalities, explained variance, KMO, Bartlett's test and ``scores(items)``.

    Raises
    ------
    DataError
        If an item is text or constant, is (nearly) a sum of others, or no rows are left.
    BayesmigError
        If there cannot be so many components, or a rotation that is not there is asked for.

    Notes
    -----
    Correlations ``R = V D V'`` give loadings ``V D^(1/2)``; varimax (Kaiser 1958) turns the kept ones, each item's
    divided by the root of its communality, with the algorithm of R's ``varimax``. Score coefficients are
    ``R^-1 L``, KMO (Kaiser 1974) is ``sum r^2 / (sum r^2 + sum q^2)`` over pairs with anti-image correlations q, and
    Bartlett's (1951) chi-square ``-(n - 1 - (2 p + 5) / 6) log det R`` with p (p - 1) / 2 degrees of freedom.

    What it means: a component is the weighted sum of the items that varies most among people. A rotation turns
    the components so that each goes with few items and can be given a name. A score is that sum for one person, in sds
    of the sample: 1 is one sd above the average of those asked. It takes the items as they are: their measurement error
    is in it, and a regression on it does not know that.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> trust, income = rng.normal(size=(2, 400))
    >>> items = pd.DataFrame({f"trust_{k}": trust + rng.normal(size=400) for k in (1, 2, 3, 4)})
    >>> items = items.assign(**{f"income_{k}": income + rng.normal(size=400) for k in (1, 2, 3)})
    >>> found = components(items)
    >>> found.loadings["component_1"].round(1).head(4).tolist()
    [0.8, 0.8, 0.8, 0.8]
    >>> found.scores(items).std().round(3).tolist()
    [1.0, 1.0]
    """
    if rotation not in ROTATIONS:
        raise BayesmigError(f"rotation={rotation!r} is not available; use 'varimax' or None for no rotation.")
    require([missing], MISSING, "missing=", there=" must be one of")
    pairwise = missing == "pairwise"
    answers = read_items(items, incomplete=pairwise)
    used = answers.answers if pairwise else answers.answers.dropna()
    correlation = used.corr()
    values, vectors = principal_axes(correlation)
    kept = _number_kept(n, values)
    unrotated = vectors[:, :kept] * np.sqrt(values[:kept])
    turn = varimax(unrotated, tolerance) if rotation and kept > 1 else np.eye(kept)
    loadings = unrotated @ turn
    order = np.argsort(-(loadings**2).sum(axis=0), kind="stable")
    turn = turn[:, order] * _signs(loadings[:, order])
    labels = [f"component_{k}" for k in range(1, kept + 1)]
    table = _frame(unrotated @ turn, correlation, labels)
    kmo, by_item = sampling_adequacy(correlation.to_numpy())
    rows = int((used.notna().T.astype(int) @ used.notna().astype(int)).to_numpy().min())
    bartlett_note = ["Bartlett's test takes n from the pair of items with the fewest rows"] if pairwise else []
    return Components(
        loadings=table,
        unrotated=_frame(unrotated * _signs(unrotated), correlation, labels),
        eigenvalues=pd.Series(values, pd.RangeIndex(1, len(values) + 1, name="component"), name="eigenvalue"),
        score_coefficients=_frame(vectors[:, :kept] / np.sqrt(values[:kept]) @ turn, correlation, labels),
        kmo=kmo,
        kmo_by_item=pd.Series(by_item, correlation.index.rename("item"), name="kmo"),
        bartlett=sphericity(correlation, rows),
        correlation=correlation,
        mean=used.mean(),
        sd=used.std(),
        n=rows,
        n_given=answers.n_given,
        missing_answers=answers.missing,
        missing=missing,
        rotation="varimax, Kaiser normalisation" if rotation and kept > 1 else "none",
        kept_by="eigenvalue above 1" if n is None else "as asked",
        provenance=answers.provenance,
        notes=(*answers.notes, *bartlett_note, *_reversed(table)),
    )


def _frame(values: Array, correlation: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    return pd.DataFrame(values, index=correlation.index.rename("item"), columns=labels)


def _signs(loadings: Array) -> Array:
    """Signs that make the loadings of each component sum to a positive number."""
    return np.where(loadings.sum(axis=0) < 0, -1.0, 1.0)


def _number_kept(n: int | None, eigenvalues: Array) -> int:
    if n is None:
        return max(int((eigenvalues > 1).sum()), 1)
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= len(eigenvalues):
        raise BayesmigError(f"n={n!r} components: give a whole number from 1 to {len(eigenvalues)}, or None.")
    return int(n)


def _reversed(loadings: pd.DataFrame) -> list[str]:
    """Items whose strongest loading is negative."""
    values = loadings.to_numpy()
    strongest = np.abs(values).argmax(axis=1)
    against = [
        f"{item} ({row[k]:.2f} on {loadings.columns[k]})"
        for item, row, k in zip(loadings.index, values, strongest, strict=True)
        if row[k] < 0
    ]
    if not against:
        return []
    return [
        f"negative loadings: {listing(against)}. Right for items worded the other way round; else check their codes"
    ]


def varimax(loadings: Array, tolerance: float = R_TOLERANCE) -> Array:
    """The orthogonal matrix that turns loadings to the largest varimax criterion, Kaiser normalised.

    ``loadings``: (p, k) array. ``tolerance``: stop when the criterion's bound, the sum of singular values, grows by a
    smaller share. Returns a (k, k) array.
    """
    if not tolerance > 0:
        raise BayesmigError(f"tolerance={tolerance!r} must be positive; 1e-5 is that of R, 1e-12 the maximum itself.")
    length = np.sqrt((loadings**2).sum(axis=1, keepdims=True))
    normalised = loadings / np.where(length > 0, length, 1.0)
    turn, reached = np.eye(loadings.shape[1]), 0.0
    for _ in range(MOST_STEPS):
        turned = normalised @ turn
        slope = normalised.T @ (turned**3 - turned * (turned**2).mean(axis=0))
        left, singular, right = np.linalg.svd(slope)
        turn, before, reached = left @ right, reached, float(singular.sum())
        if reached < before * (1 + tolerance):
            break
    return np.asarray(turn)


def sampling_adequacy(correlation: Array) -> tuple[float, Array]:
    """Kaiser-Meyer-Olkin measure of all items together and of each."""
    inverse = np.linalg.inv(correlation)
    scale = np.sqrt(np.diag(inverse))
    r, q = correlation**2, (inverse / np.outer(scale, scale)) ** 2
    np.fill_diagonal(r, 0.0)
    np.fill_diagonal(q, 0.0)
    own, all_of = r.sum(axis=0), (r + q).sum(axis=0)
    return float(own.sum() / all_of.sum()), own / all_of


def sphericity(correlation: pd.DataFrame, n: int) -> Sphericity:
    """Bartlett's test that n people's items are uncorrelated."""
    p = len(correlation)
    chi2 = -(n - 1 - (2 * p + 5) / 6) * float(np.linalg.slogdet(correlation.to_numpy())[1])
    df = p * (p - 1) // 2
    return Sphericity(chi2, df, float(special.chdtrc(df, max(chi2, 0.0))))


def composite(
    scores: pd.DataFrame,
    weights: Mapping[str, float] | pd.Series | Sequence[float],
    *,
    limits: tuple[float, float] | None = None,
) -> pd.Series:
    """One index from 0 to 100 of several component scores.

    Parameters
    ----------
    scores : pandas.DataFrame
        One row a person, one column a component. One column alone is put on the scale from 0 to 100.
    weights : mapping, Series or sequence
        Positive, one a column; ``found.explained["percent"]`` weighs components by the variance that they explain.
    limits : (float, float), optional
        The weighted means that become 0 and 100; by default the smallest and largest of these people.

    Returns
    -------
    pandas.Series
        ``composite``, a value for each row (missing where a score is). ``attrs`` hold the ``limits`` and the
        ``weights`` as shares.

    Raises
    ------
    BayesmigError
        If weights and columns do not match, a weight is not positive, or all people score the same.

    Notes
    -----
    ``100 (m - low) / (high - low)`` with ``m = sum_k w_k F_k / sum_k w_k``. Pan et al. 2024 weigh components by their
    explained variance and express the result in percent, without printing the formula. Their means (71.4, 53.6, 56.5
    and 14.1 for the four components) rule out a scale on which every component averages 50 and are what the smallest
    and largest score of a sample can give.

    What it means: 0 is the lowest and 100 the highest person *asked*, not the end of any scale. One person with
    an extreme answer moves everybody else's index, and two samples have different zeros, so
    their means cannot be compared unless ``limits`` of one are used for both
    (``composite(later, weights, limits=first.attrs["limits"])``; values may then leave 0 to 100).

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame({"economic": [-1.0, 0.0, 2.0], "cultural": [-1.0, 1.0, 0.0]})
    >>> composite(scores, {"economic": 30.0, "cultural": 10.0}).tolist()
    [0.0, 50.0, 100.0]
    """
    shares = _shares(scores, weights)
    mean = scores.mul(shares).sum(axis=1, skipna=False)
    low, high = (float(mean.min()), float(mean.max())) if limits is None else limits
    if not low < high:
        raise BayesmigError(f"the index has no range: its lower limit is {low:g}, its upper limit {high:g}.")
    index = (100 * (mean - low) / (high - low)).rename("composite")
    index.attrs = {"limits": (low, high), "weights": shares.to_dict()}
    return index


def _shares(scores: pd.DataFrame, weights: Mapping[str, float] | pd.Series | Sequence[float]) -> pd.Series:
    """The weights as shares of 1, in the order of the columns."""
    if isinstance(weights, (Mapping, pd.Series)):
        given = pd.Series(weights, dtype=float)
        if set(given.index) != set(scores.columns):
            raise BayesmigError(f"weights are for {listing(given.index)}, the scores are {listing(scores.columns)}.")
    elif len(weights) != len(scores.columns):
        raise BayesmigError(f"{len(weights)} weights for {len(scores.columns)} scores ({listing(scores.columns)}).")
    else:
        given = pd.Series([*weights], scores.columns, dtype=float)
    if not (given > 0).all() or not np.isfinite(given).all():
        raise BayesmigError(
            f"weights must be positive, got {listing(f'{value:g}' for value in given)}. Turn a score that runs the"
            " other way round first."
        )
    return given[scores.columns] / given.sum()
