"""Whether a result can be trusted, a line for every check."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special
from scipy.stats import rankdata

from bayesmig.checking.maps import LEAST_TAIL, moran
from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.contract.seal import UNSEALED, is_sealed
from bayesmig.contract.tree import Shown
from bayesmig.errors import BayesmigError, listing
from bayesmig.results.summaries import common_columns
from bayesmig.specification.neighbours import grouped_by

RHAT = 1.01
LEAST_ESS = 400
FEW_GROUPS = 6
FEW_CLUSTERS = 20
MOST_DROPPED = 0.10
LEAST_EBFMI = 0.3
MORAN_DRAWS = 400
TAILS = (0.05, 0.95)
PARAMETERS = 256  # at once
LEAST_HALF = 4  # draws of half a chain, of which ArviZ takes shorter ones as parts of whole chains only
VARYING = ("u_", "eta", "imputed_")  # as many as there are groups or people
FARTHEST_MAXIMUM = 0.3  # standard errors; farther off, a 95 % interval covers less than 94 %
ROUNDING = 1e-9  # of the number of rows: weights that cost nothing


def check(tree: xr.DataTree, *, varying: bool = True) -> pd.DataFrame:
    """Check a result.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior or an estimate.
    varying : bool
        False looks at R-hat and effective draws of coefficients, thresholds and variance components only, which is
        quicker where thousands of groups vary.

    Returns
    -------
    pandas.DataFrame
        One row a check: ``check``, ``value``, ``threshold``, ``passed``, ``message`` (a sentence) and ``verdict``:
        ``passed`` or ``failed`` where something was held against a threshold, ``note`` where nothing could be.
        ``passed`` is False for what failed only. Posteriors:
        Pareto k of the importance sampler against its sample-size threshold min(0.7, 1 - 1 / log10 S) (Vehtari et al.
        2024), effective draws, rank-normalised split R-hat and bulk and tail effective sample sizes over all parameters
        (Vehtari et al. 2021), and whether terms separate a binary, ordered or count outcome, so that only the priors
        keep coefficients finite; of models of neighbours Moran's I of residuals and of effects taken for independent,
        as :func:`bayesmig.checking.moran` has it (left out with ``varying=False``). Estimates: singularity, the
        likelihood-ratio test against no groups, and how many standard errors the maximum of an approximate likelihood
        is from that of finer quadrature (at most 0.3: farther off, a 95 % interval covers less than 94 %). Both: rows
        lost to missing values, survey weights, the clusters that adjusted intervals rest on (20 or more, a convention),
        whether data were imputed often enough (100 times the largest fraction of missing information; White, Royston &
        Wood 2011, Statistics in Medicine 30(4)), notes on the data, number of groups, whether the data are the
        researcher's own, and that a result has no seal, so that nothing tells whether it was damaged or edited.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": rng.integers(0, 12, 300), "x": rng.normal(size=300)})
    >>> data["y"] = data["x"] + rng.normal(size=12)[data["area"]] + rng.normal(size=300)
    >>> from bayesmig import fit
    >>> bool(check(fit("y ~ x + (1 | area)", data, seed=1))["passed"].all())
    True
    """
    rows = _computation(tree, varying) if schema.kind(tree) == "posterior" else _estimation(tree)
    rows += _neighbours(tree) if varying and schema.kind(tree) == "posterior" else []
    rows += _data(tree) if "n_given" in tree.attrs else []
    provenance = str(tree.attrs.get("provenance", "unknown"))
    sentence = f"{provenance}: good for learning and sensitivity, not as evidence"
    if provenance == "own data":
        sentence = "the researcher's own data"
    rows.append(("provenance", "", "", None, sentence))
    if not is_sealed(tree):
        rows.append(("seal", "none", "", None, UNSEALED))
    table = Shown(rows, columns=["check", "value", "threshold", "passed", "message"])
    verdicts = ["note" if passed is None else "passed" if passed else "failed" for passed in table["passed"]]
    return table.assign(passed=[verdict != "failed" for verdict in verdicts], verdict=verdicts)


Row = tuple[str, object, object, bool | None, str]


def _computation(tree: xr.DataTree, varying: bool) -> list[Row]:
    rows: list[Row] = []
    stats = tree["sample_stats"].to_dataset() if "sample_stats" in tree.children else xr.Dataset()
    if tree.attrs.get("interrupted") == "yes":
        message = "the sampler was interrupted; these are the draws it had made"
        rows.append(("interrupted", int(tree.attrs["draws"]), "", False, message))
    if "instead_of" in tree.attrs:
        rows.append(("engine", "NUTS", "", None, f"drew where another did not settle; {tree.attrs['instead_of']}"))
    if "diverging" in stats:
        rows += _hamiltonian(stats)
    if "pareto_k" in stats:
        limit = min(0.7, 1 - 1 / math.log10(float(tree.attrs["draws"]) / int(tree.attrs.get("imputations", 1))))
        k, ess = float(stats["pareto_k"].max()), float(stats["importance_ess"].min())
        rows.append(("Pareto k", round(k, 2), round(limit, 2), k < limit, "importance weights have a finite variance"))
        message = f"{ess:.0f} effective draws by their weights"
        rows.append(("importance sampling", round(ess), LEAST_ESS, ess >= LEAST_ESS, message))
    rhat, ess = _worst_diagnostics(tree, varying)
    over = "all parameters" if varying else "parameters but varying effects"
    rows.append(("R-hat", round(rhat, 4), RHAT, rhat < RHAT, f"largest over {over}"))
    message = f"smallest bulk or tail size over {over}"
    rows.append(("effective draws", round(ess), LEAST_ESS, ess >= LEAST_ESS, message))
    for term, contradicted in (schema.read(tree, "contradicted") if "contradicted" in tree.attrs else {}).items():
        message = f"{term} is printed with {contradicted}; the posterior follows B and SE"
        rows.append(("printed p", term, "", False, message))
    if "separated" in tree.attrs:
        terms = listing(schema.read(tree, "separated"))
        message = f"{terms} predict answers perfectly (separation), so that how large coefficients are rests on the"
        message += " priors; show them under other priors, or merge levels"
        rows.append(("separation", terms, "none", False, message))
    return rows


def _hamiltonian(stats: xr.Dataset) -> list[Row]:
    """Divergences, and the energy diagnostic of Betancourt (2016)."""
    count = int(stats["diverging"].sum())
    message = "transitions left the posterior's typical set" if count else "no transition diverged"
    rows: list[Row] = [("divergences", count, 0, count == 0, message)]
    if "energy" in stats:
        energy = stats["energy"]
        fraction = float(((energy.diff("draw") ** 2).mean("draw") / energy.var("draw")).min())
        rows.append(("E-BFMI", round(fraction, 2), LEAST_EBFMI, fraction > LEAST_EBFMI, "smallest over chains"))
    return rows


def _estimation(tree: xr.DataTree) -> list[Row]:
    rows: list[Row] = []
    if "singular" in tree.attrs:
        singular = tree.attrs["singular"] == "yes"
        message = "a variance is estimated as zero, or a correlation as one: the model is too rich for the data"
        message = message if singular else "no variance is at its boundary"
        rows.append(("singular fit", singular, False, not singular, message))
    if "approximation" in tree.attrs:
        rows.append(_approximation(tree))
    if "likelihood_ratio_test" in tree.attrs:
        test = schema.read(tree, "likelihood_ratio_test")
        p = "p < 0.001" if test["p"] < 0.001 else f"p = {test['p']:.3f}"
        message = f"varying effects against none: chi2 = {test['statistic']:.1f}, {p} ({test['reference']})"
        rows.append(("likelihood-ratio test", p, "", None, message))
    return rows


def _approximation(tree: xr.DataTree) -> Row:
    """How far the maximum of an approximate likelihood is from that of the exact one."""
    distance = float(tree.attrs["approximation"])
    groups, dataset = schema.groups(tree["estimate"].to_dataset()), tree["estimate"].to_dataset()
    few = len(groups) == 1 and dataset[f"tau_{groups[0]}"].size <= 2  # which quadrature can integrate
    finer = "use method='agq', or fit" if few and tree.attrs["estimator"] == "ml" else "use fit"
    how = "Laplace's approximation" if tree.attrs["estimator"] == "ml" else "quadrature"
    near = distance < FARTHEST_MAXIMUM
    message = f"by {how} estimates are about {distance:.2f} standard errors at most from those without it"
    message += "" if near else f": groups differ much, and have few rows each; {finer}"
    return ("approximation", round(distance, 2), FARTHEST_MAXIMUM, near, message)


def _worst_diagnostics(tree: xr.DataTree, varying: bool) -> tuple[float, float]:
    """Largest R-hat, and smallest bulk or tail effective sample size, over parameters with or without varying effects.

    Completed data sets have different posteriors, so that chains are compared within them, and their sizes added up.
    """
    posterior = tree["posterior"].to_dataset()
    shape = (-1, posterior.sizes["chain"], posterior.sizes["draw"])
    kept = [array for name, array in posterior.data_vars.items() if varying or not str(name).startswith(VARYING)]
    draws = np.concatenate([array.transpose(..., "chain", "draw").to_numpy().reshape(shape) for array in kept])
    whose = posterior["imputation"].to_numpy() if "imputation" in posterior.coords else np.ones(shape[1])
    worst, least = [], []
    for block in np.array_split(draws, math.ceil(len(draws) / PARAMETERS)):
        found = [_mixing(block[:, whose == number]) for number in np.unique(whose)]
        worst.append(max(rhat.max() for rhat, _ in found))
        least.append(np.fmin.reduce(np.sum([sizes for _, sizes in found], axis=0), axis=None))
    return float(np.max(worst)), float(np.fmin.reduce(least))  # what is fixed has no size


def _mixing(draws: Array) -> tuple[Array, Array]:
    """Rank-normalised split R-hat, and effective draws of bulk, lower and upper tail (Vehtari et al. 2021).

    As ArviZ has them, of ``draws``, (parameters, chains, draws) array, all at once. What is fixed, as a marker's
    loading is, has no chains to compare.
    """
    from arviz_stats.base import array_stats

    half = draws.shape[2] // 2
    halves = np.concatenate([draws[..., :half], draws[..., -half:]], axis=1)
    rows = halves.reshape(len(draws), -1)
    folded = np.abs(rows - np.median(rows, axis=1, keepdims=True))
    bulk, spread = (_normal_scores(each).reshape(halves.shape) for each in (rows, folded))
    tails = np.quantile(draws, TAILS, axis=(1, 2))[..., None, None]
    with np.errstate(invalid="ignore"):
        rhat = np.maximum(*(array_stats.rhat(each, method="identity") for each in (bulk, spread)))
    rhat = np.where(np.ptp(rows, axis=1) == 0, 1.0, rhat if draws.shape[1] > 1 else np.nan)
    if half < LEAST_HALF:
        whole = (array_stats.ess(draws), array_stats.ess(draws, method="tail", prob=TAILS))
        return rhat, np.array(whole)
    sizes = [array_stats.ess(each, method="identity") for each in (bulk, halves <= tails[0], halves <= tails[1])]
    return rhat, np.array(sizes)


def _normal_scores(rows: Array) -> Array:
    """Normal scores of the ranks within rows (Blom 1958); equal draws share a rank."""
    order = rows.argsort(axis=1)
    ranks = np.empty(rows.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, rows.shape[1] + 1)[None], axis=1)
    tied = ~(np.diff(np.take_along_axis(rows, order, axis=1)) > 0).all(axis=1)
    ranks[tied] = rankdata(rows[tied], axis=1)
    scores: Array = special.ndtri((ranks - 3 / 8) / (rows.shape[1] + 1 / 4))
    return scores


def _neighbours(tree: xr.DataTree) -> list[Row]:
    """Whether neighbours are alike beyond the term that lets them be."""
    maps = schema.read(tree, "spec").get("neighbours", {}) if "spec" in tree.attrs else {}
    if not any("pairs" in each for each in maps.values()) or "imputations" in tree.attrs:
        return []
    try:
        table = common_columns(moran(tree, draws=MORAN_DRAWS))
    except BayesmigError as reason:
        return [("Moran's I", "none", "", None, f"not computed: {reason}")]
    rows: list[Row] = []
    for row in table[[not grouped_by(of.partition("[")[0]) for of in table["of"]]].to_dict("records"):
        passed = row["tail"] >= LEAST_TAIL
        message = (
            f"{row['of']} of areas ({row['by']}): {row['estimate']:.2f} ({row['lower']:.2f} to {row['upper']:.2f}),"
        )
        message += f" by chance {row['expected']:.2f}, tail {row['tail']:.3f}: {row['reading']}"
        message += "" if passed else " still: something that changes over the map is left out"
        rows.append(("Moran's I", round(row["estimate"], 2), f"tail {LEAST_TAIL} or more", passed, message))
    return rows


def _data(tree: xr.DataTree) -> list[Row]:
    weightless = int(tree.attrs.get("n_weightless", 0))
    given, used, what = schema.flow(tree)
    given -= weightless if what == "rows" else 0
    share = 1 - used / given
    not_asked = schema.read(tree, "not_asked") if "not_asked" in tree.attrs else {}
    gaps = ", ".join(
        f"{name} {count}" + (f" ({not_asked[name]} of them not asked)" if name in not_asked else "")
        for name, count in schema.read(tree, "missing").items()
    )
    message = f"{used} of {given} {what} used" + (f"; missing: {gaps}" if gaps else "")
    message += f"; of weight zero, so counted neither as used nor as lost: {weightless}" if weightless else ""
    rows: list[Row] = [
        ("complete rows", f"{100 * share:.1f} % dropped", f"at most {MOST_DROPPED:.0%}", share <= MOST_DROPPED, message)
    ]
    for group in schema.groups(tree[schema.kind(tree)].to_dataset()):
        count = int((schema.group_sizes(tree, group) > 0).sum())  # areas of a map may have no rows
        message = f"{count} groups of {group}" + ("" if count >= FEW_GROUPS else ": their sd rests mainly on the prior")
        rows.append(("number of groups", count, FEW_GROUPS, count >= FEW_GROUPS, message))
    rows += _weights(tree)
    rows += _imputations(tree)
    for note in schema.read(tree, "notes"):
        row = (
            ("grouping factors", "not told apart", "", False)
            if schema.SAME_GROUPS in note
            else ("note on the data", "", "", None)
        )
        rows.append((*row, note))
    return rows


def _weights(tree: xr.DataTree) -> list[Row]:
    """Survey weights cost precision (Kish 1965), which a posterior from a weighted likelihood does not see."""
    weights = schema.read(tree, "spec")["weights"]
    if weights is None or weights["kind"] != "survey":
        return []
    constant, used = tree["constant_data"], int(tree.attrs["n_used"])
    if "effective" in constant:  # of rows that were added up
        effective = float(constant["effective"])
    elif "weight" in constant:
        effective = float(constant["weight"].sum() ** 2 / (constant["weight"] ** 2).sum())
    else:  # all are equal
        effective = used
    if used - effective < ROUNDING * used:
        return []
    adjusted = "adjusted" in tree.attrs
    robust = adjusted or tree.attrs.get("errors", "classical") != "classical"
    message = f"the weights of {used} rows are worth {effective:.0f} unweighted ones; "
    message += "the errors allow for it" if robust else "the intervals do not know that and are too short; see adjust"
    return [("survey weights", round(effective), "", robust, message)] + (_clusters(tree) if adjusted else [])


def _clusters(tree: xr.DataTree) -> list[Row]:
    """The units that a sandwich adjustment rests on."""
    count, ratios = int(tree.attrs["clusters"]), schema.read(tree, "sd_ratios").values()
    enough = count >= FEW_CLUSTERS
    message = f"intervals rest on the scores of {count} clusters of {tree.attrs['cluster_of']}; sds are"
    message += f" {min(ratios):.2f} to {max(ratios):.2f} times those of the plain posterior"
    message += "" if enough else ", and too small with so few clusters"
    return [("clusters", count, FEW_CLUSTERS, enough, message)]


def _imputations(tree: xr.DataTree) -> list[Row]:
    """Whether there are enough completed data sets: 100 times the share lost (White, Royston & Wood 2011)."""
    if "imputations" not in tree.attrs:
        return []
    count, information = int(tree.attrs["imputations"]), tree["imputation"].to_dataset()
    largest, where = 0.0, ""
    for name, array in information.data_vars.items():
        if str(name).endswith("_fmi") and bool((array > largest).any()):
            largest, where = float(array.max()), _called(str(name).removesuffix("_fmi"), array)
    needed = math.ceil(100 * largest)
    filled = ", ".join(f"{name} {number}" for name, number in schema.read(tree, "imputed").items())
    message = f"{count} completed data sets differ in {filled}; at most {largest:.0%} of the information is missing"
    message += f" ({where})" + ("" if count >= needed else "; impute more often, or intervals are too short")
    return [("imputations", count, needed, count >= needed, message)]


def _called(name: str, array: xr.DataArray) -> str:
    """What the largest entry of an array is called."""
    if not array.dims:
        return name
    place = str(array[array.dims[0]].to_numpy()[int(np.argmax(array.to_numpy()))])
    return place if name == "beta" else f"{name}[{place}]"
