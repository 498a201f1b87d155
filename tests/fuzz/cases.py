"""Random surveys, specifications and verbs, each determined by one number.

A case is what a user might type: an outcome of any family, predictors of any dtype with answers missing, groups that
may hold one person, a formula that now and then has a slip of the pen. Nothing here knows what the library does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

import bayesmig as bm

LEVELS = (
    ("urban", "rural"),
    ("本地城镇", "本地农村", "外来城镇", "外来农村"),
    ("18:30", "19:00", "a[b]", "c,d"),
    ("<low>", "mid & more", "high~"),
    ("yes", "no", "don't know", " yes"),
)
NAMES = ("x", "age", "family income", "年龄", "year", "is_migrant", "t.score", "hukou", "class", "log_income")
GROUPS = ("area", "city", "居委会", "interview id", "province")
SLIPS = ("~", "+", "(", ")", "|", "*", " ** 2", "1|", "log", "intercept", "-1", "0 + ", "/", ":", "`")


@dataclass(frozen=True)
class Case:
    """A specification, data for it, people to predict for, and what is asked of the result."""

    make: Callable[[], bm.ModelSpec]
    data: pd.DataFrame
    new: pd.DataFrame
    verbs: tuple[str, ...]


def case(seed: int) -> Case:
    """The case of a number."""
    rng = np.random.default_rng([20260, seed])
    n = int(rng.choice([8, 40, 120, 250], p=[0.05, 0.25, 0.4, 0.3]))
    names = [str(name) for name in rng.permutation(NAMES)[: rng.integers(1, 4)]]
    groups = [str(name) for name in rng.permutation(GROUPS)[: rng.choice(3, p=[0.25, 0.55, 0.2])]]
    numbers = {name: rng.normal(size=n) for name in names}
    frame = pd.DataFrame({name: _predictor(rng, name, values) for name, values in numbers.items()})
    eta = 0.4 * sum(numbers.values())
    for name in groups:
        codes = rng.integers(0, rng.choice([2, 5, 12, max(n // 3, 2)]), n)
        eta = eta + rng.normal(0, rng.choice([0, 0.5, 1.5]), codes.max() + 1)[codes]
        frame[name] = _labels(rng, codes)
    family = str(
        rng.choice(
            ["gaussian", "student", "bernoulli", "binomial", "cumulative", "poisson", "negative_binomial"],
            p=[0.4, 0.05, 0.2, 0.1, 0.1, 0.1, 0.05],
        )
    )
    settings: dict[str, object] = {"family": family}
    frame["y"], more = _outcome(rng, family, np.asarray(eta, dtype=float))
    for name, column in more.items():
        frame[name] = column
    if family == "binomial" and rng.random() < 0.95:
        settings["trials"] = "trials"
    if rng.random() < 0.15:
        frame["w"] = rng.choice([1, 2, 3], n) if rng.random() < 0.5 else rng.uniform(0.3, 3, n)
        settings["weights"] = bm.Weights("w", str(rng.choice(["survey", "frequency", "precision"])))
    if rng.random() < 0.1:
        frame["exposure"] = rng.normal(size=n)
        settings["offset"] = "exposure"
    if rng.random() < 0.15:
        settings["standardise"] = {names[0]: "person"}
    if rng.random() < 0.4:
        for name in rng.permutation(frame.columns)[: rng.integers(1, 3)]:
            frame[name] = frame[name].mask(pd.Series(rng.random(n) < 0.08))
    if rng.random() < 0.2:
        frame.index = pd.Index(rng.permutation(n) + 1000, name="id")
    formula = _formula(rng, names, groups)
    new = frame.sample(min(n, 15), random_state=seed).drop(columns="y")
    if groups and rng.random() < 0.3:
        new[groups[0]] = "a new place"
    verbs = tuple(str(verb) for verb in rng.permutation(sorted(VERBS))[:3])
    return Case(lambda: bm.ModelSpec(formula, **settings), frame, new, verbs)


def several(seed: int) -> Case:
    """A case with another outcome: categories, many zeros, or a parameter of the family that has predictors."""
    this, rng = case(seed), np.random.default_rng([20261, seed])
    data, n = this.data, len(this.data)
    families = {
        "categorical": rng.choice(["stay", "leave (soon)", "not ~ sure", "none"], n, p=[0.4, 0.3, 0.2, 0.1]),
        "hurdle_poisson": rng.poisson(2, n) * (rng.random(n) < 0.7),
        "hurdle_negative_binomial": rng.negative_binomial(2, 0.4, n) * (rng.random(n) < 0.7),
        "zero_inflated_poisson": rng.poisson(2, n) * (rng.random(n) < 0.7),
        "hurdle_lognormal": np.exp(rng.normal(size=n)) * (rng.random(n) < 0.7),
        "gaussian": rng.normal(size=n),
        "negative_binomial": rng.negative_binomial(2, 0.4, n),
    }
    family = str(rng.choice(list(families)))
    y = pd.Series(families[family], data.index)
    data = data.assign(y=y.mask(data["y"].isna() & (n > 8)))
    own = {"categorical": "", "gaussian": "sigma", "negative_binomial": "dispersion"}.get(
        family, family.rpartition("_")[0]
    )
    own = {"hurdle_negative": "hurdle", "zero_inflated": "zero_inflation"}.get(own, own)

    def make() -> bm.ModelSpec:
        given = this.make()
        right = given.formula.partition("~")[2].strip()
        more = (
            {own: str(rng.choice([right, right.split("+")[0].split("*")[0], "1"]))}
            if own and rng.random() < 0.8
            else {}
        )
        weights = given.weights if given.weights is None or given.weights.kind != "precision" else None
        offset = given.offset if family != "categorical" else ""
        return bm.ModelSpec(f"y ~ {right}", family=family, predictors=more, weights=weights, offset=offset)

    return Case(make, data, this.new, this.verbs)


def _predictor(rng: np.random.Generator, name: str, values: np.ndarray) -> pd.Series:
    """A predictor of some dtype that goes with hidden numbers."""
    column = pd.Series(values)
    kind = rng.choice(
        ["number", "whole", "years", "flag", "text", "category", "ordered", "nullable", "arrow", "odd"],
        p=[0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05],
    )
    levels = LEVELS[rng.integers(len(LEVELS))]
    cut = pd.qcut(column.rank(method="first"), min(len(levels), len(column)), labels=False)
    match kind:
        case "number":
            return column
        case "whole":
            return (2 * column).round().astype(int)
        case "years":
            return 2010 + (4 * column).round().astype(int)
        case "flag":
            return column > 0
        case "text":
            return cut.map(lambda code: levels[code])
        case "category":
            return cut.map(lambda code: levels[code]).astype("category")
        case "ordered":
            return pd.Series(pd.Categorical.from_codes(cut.astype(int), list(levels), ordered=True))
        case "nullable":
            return (2 * column).round().astype("Int64")
        case "arrow":
            return column.astype("float64[pyarrow]")
        case _:
            return pd.Series(
                rng.choice(
                    [0 * column, 1e9 * column, 1e-9 * column, column.where(column < 1, np.inf)][0:3][
                        rng.integers(3)
                    ].to_numpy(),
                    len(column),
                )
            )


def _labels(rng: np.random.Generator, codes: np.ndarray) -> pd.Series:
    """Group labels of some dtype."""
    column = pd.Series(codes)
    match rng.integers(5):
        case 0:
            return column
        case 1:
            return column.map(lambda code: f"社区{code}")
        case 2:
            return column.map(lambda code: f"a:{code}").astype("category")
        case 3:
            return column.astype(float)
        case _:
            return column.astype("string")


def _outcome(rng: np.random.Generator, family: str, eta: np.ndarray) -> tuple[pd.Series, dict[str, pd.Series]]:
    """An outcome of a family, and the columns that belong to it."""
    n = len(eta)
    p = 1 / (1 + np.exp(-eta))
    match family:
        case "bernoulli":
            yes = rng.random(n) < p
            return [pd.Series(yes.astype(int)), pd.Series(yes), pd.Series(np.where(yes, "yes", "no"))][
                rng.integers(3)
            ], {}
        case "binomial":
            trials = rng.integers(1, 12, n)
            return pd.Series(rng.binomial(trials, p)), {"trials": pd.Series(trials)}
        case "cumulative":
            codes = np.clip(np.digitize(eta + rng.logistic(size=n), [-1, 0, 1.5]), 0, 3)
            if rng.random() < 0.5:
                return pd.Series(codes + 1), {}
            return pd.Series(pd.Categorical.from_codes(codes, ["never", "seldom", "often", "always"], ordered=True)), {}
        case "poisson" | "negative_binomial":
            return pd.Series(rng.poisson(np.exp(np.clip(eta, -5, 3)))), {}
        case _:
            scale = rng.choice([1e-3, 1, 1, 1e4])
            return pd.Series(scale * (eta + rng.normal(size=n) + rng.choice([0, 2000]))), {}


def _formula(rng: np.random.Generator, names: list[str], groups: list[str]) -> str:
    """A formula over these columns, with a slip in one of fifteen."""
    quoted = {name: name if name.isidentifier() else f"`{name}`" for name in (*names, *groups)}
    first = quoted[names[0]]
    common = str(rng.choice([" + ", " * "])).join(quoted[name] for name in names)
    if rng.random() < 0.15:
        function = str(rng.choice(["center", "scale", "np.log", "C", "I", "exp", "s", "s"]))
        call = f"{function}({first})"
        common = common.replace(first, call, 1) if function == "s" else f"{common} + {call}"
    varying = [
        f"({rng.choice(['1', f'1 + {first}', f'{first}', f'0 + {first}'], p=[0.7, 0.2, 0.05, 0.05])}"
        f" {rng.choice(['|', '||'], p=[0.9, 0.1])} {quoted[group]})"
        for group in groups
    ]
    if len(groups) == 2 and rng.random() < 0.4:
        varying = [f"(1 | {quoted[groups[0]]}{rng.choice(['/', ':'])}{quoted[groups[1]]})"]
    formula = " + ".join([common, *varying])
    if rng.random() < 1 / 15:
        place = int(rng.integers(len(formula)))
        formula = formula[:place] + str(rng.choice(SLIPS)) + formula[place:]
    return f"y ~ {formula}"


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The same survey in numpy's numbers and Python's text, categories with their order kept."""
    return pd.DataFrame({name: _plain(column) for name, column in frame.items()}, index=frame.index)


def _plain(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column
    if pd.api.types.is_bool_dtype(column.dropna().infer_objects()):
        return column.astype("boolean").astype("Float64").astype(float)
    if pd.api.types.is_numeric_dtype(column):
        return column.astype("Float64").astype(float)
    return column.astype(object).where(column.notna(), None)


# what is asked of a result besides its tables
VERBS: dict[str, Callable[..., object]] = {
    "effects": lambda tree, new: bm.effects(tree, random="zero"),
    "effects_integrated": lambda tree, new: bm.effects(tree),
    "interval": lambda tree, new: bm.coefficients(tree, interval=0.5),
    "margins": lambda tree, new: bm.margins(tree),
    "predict_new": lambda tree, new: bm.predict(tree, new, seed=1),
    "r2": lambda tree, new: bm.r2(tree),
    "loo": lambda tree, new: bm.loo(tree),
    "table": lambda tree, new: str(bm.table(tree)),
    "latex": lambda tree, new: bm.table({"model": tree}).to_latex(),
    "compare": lambda tree, new: bm.compare({"a": tree, "b": tree}),
    "variance_of_outcome": lambda tree, new: bm.variance_components(tree, scale="response"),
    "predictive_check": lambda tree, new: bm.predictive_check(tree, seed=1),
}
