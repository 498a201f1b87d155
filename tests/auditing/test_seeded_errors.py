"""Correct papers and papers with one slip: how often the audit is right about either.

A paper is simulated from data: least-squares tables of a composite outcome and its parts, nested models, a
logistic table, descriptive statistics and loadings, all rounded as print rounds. Then one cell is spoilt.
"""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayesmig.printed.auditing import PublishedTables, audit

PARTS = ("economic", "social", "psychological", "cultural")
LEGEND = ((0.001, "***"), (0.01, "**"), (0.05, "*"), (1.0, ""))
DUMMIES = ("gender", "hukou", "tenure")
ITEMS = ("security", "amenity", "training")
NUMBERS = ("distance", "income", "schooling", "contacts")


class Paper:
    """The rows of a simulated paper's CSV files."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.rng, self.n = rng, int(rng.integers(150, 600))
        self.data = self._people()
        self.terms = [f"{name}[yes]" for name in DUMMIES] + [*ITEMS, *NUMBERS]
        self.coefficients, self.statistics, self.descriptives, self.loadings = [], [], [], []
        y = self._outcomes()
        for number, outcome in enumerate(("composite", *PARTS), 1):
            self._regression("Table 3", f"Model {number}", outcome, y[outcome], self.terms)
        for number, outcome in enumerate(PARTS):
            self._regression("Table 4", f"Model {2 * number + 11}", outcome, y[outcome], self.terms[:-2])
            self._regression("Table 4", f"Model {2 * number + 12}", outcome, y[outcome], self.terms)
        self._logit()
        self._describe(y)
        self._components()

    def _people(self):
        rng, n = self.rng, self.n
        latent = rng.standard_normal((n, 10)) @ np.linalg.cholesky(0.7 * np.eye(10) + 0.3).T
        columns = {name: (latent[:, i] > rng.normal(0, 0.5)).astype(float) for i, name in enumerate(DUMMIES)}
        columns |= {name: np.clip(np.round(3.5 + latent[:, 3 + i]), 1, 5) for i, name in enumerate(ITEMS)}
        columns |= {name: rng.uniform(0.5, 2) * latent[:, 6 + i] + rng.uniform(1, 9) for i, name in enumerate(NUMBERS)}
        return pd.DataFrame(columns)

    def _outcomes(self):
        rng = self.rng
        x = (self.data - self.data.mean()) / self.data.std()
        y = {part: x.to_numpy() @ rng.normal(0, 0.2, x.shape[1]) + rng.standard_normal(self.n) for part in PARTS}
        weights = rng.uniform(0.2, 0.8, len(PARTS))
        return {"composite": sum(w * y[part] for w, part in zip(weights, PARTS, strict=True))} | y

    def _regression(self, table, model, outcome, y, terms):
        columns = [term.partition("[")[0] for term in terms]
        x = np.column_stack([np.ones(self.n), self.data[columns]])
        k, df = len(terms), self.n - len(terms) - 1
        inverse = np.linalg.inv(x.T @ x)
        b = inverse @ x.T @ y
        rss, tss = float(((y - x @ b) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
        se = np.sqrt(rss / df * np.diag(inverse))
        for term, estimate, error in zip(["intercept", *terms], b, se, strict=True):
            p = 2 * stats.t.sf(abs(estimate / error), df)
            self._cell(table, model, outcome, term, f"{estimate:.3f}", f"{error:.3f}", p)
        r2 = 1 - rss / tss
        numbers = {"n": f"{self.n}", "r2": f"{r2:.3f}", "adjusted_r2": f"{1 - (1 - r2) * (self.n - 1) / df:.3f}"}
        numbers |= {"f": f"{r2 / k / ((1 - r2) / df):.3f}"}
        numbers |= {"aic": f"{self.n * (np.log(2 * np.pi * rss / self.n) + 1) + 2 * (k + 1):.0f}"}
        self.statistics += [[table, model, outcome, name, value] for name, value in numbers.items()]

    def _cell(self, table, model, outcome, term, estimate, error, p, odds="", printed_p=""):
        at = next(i for i, (bound, _) in enumerate(LEGEND) if p < bound or bound == 1)
        lower, (upper, stars) = LEGEND[at - 1][0] if at else 0.0, LEGEND[at]
        name, _, level = term.rstrip("]").partition("[")
        row = [
            table,
            model,
            outcome,
            name,
            level,
            "",
            estimate,
            error,
            printed_p,
            f"{lower:g}",
            f"{upper:g}",
            odds,
            stars,
        ]
        self.coefficients.append(row)

    def _logit(self):
        for term in self.terms:
            b = self.rng.normal(0, 0.5)
            p = 2 * stats.norm.sf(abs(b) / 0.2)
            self._cell("Table 5", "logit", "owner", term, f"{b:.3f}", "", p, f"{np.exp(b):.3f}", f"{p:.3f}")

    def _describe(self, y):
        x = self.data.to_numpy()
        vif = np.diag(np.linalg.inv(np.corrcoef(x.T)))
        for column, factor in zip(self.data, vif, strict=True):
            values, level = self.data[column], "yes" if column in DUMMIES else ""
            numbers = {"mean": f"{values.mean():.3f}", "sd": f"{values.std():.3f}", "vif": f"{factor:.2f}"}
            numbers |= {"min": "1", "max": "5"} if column in ITEMS else {}
            self.descriptives += [
                ["Table 1", "full_sample", column, level, name, text] for name, text in numbers.items()
            ]
        for name, values in y.items():
            for statistic, number in (("mean", values.mean()), ("sd", values.std(ddof=1))):
                self.descriptives.append(["Table 1", "full_sample", name, "", statistic, f"{number:.3f}"])
        counts = self.rng.multinomial(self.n, [0.2, 0.3, 0.4, 0.1])
        for level, count in zip("abcd", counts, strict=True):
            for statistic, text in (("n", f"{count}"), ("percent", f"{100 * count / self.n:.1f}")):
                self.descriptives.append(["Table 2", "full_sample", "occupation", level, statistic, text])

    def _components(self):
        loadings = np.linalg.qr(self.rng.standard_normal((8, 8)))[0][:, :3] * np.sqrt([2.5, 1.8, 1.2])
        for component in range(3):
            for item in range(8):
                self.loadings.append(
                    ["Table 6", f"item {item}", f"component {component}", f"{loadings[item, component]:.3f}"]
                )
            share = 100 * (loadings[:, component] ** 2).mean()
            name = f"component {component}"
            self.statistics.append(["Table 6", "pca", name, "explained_variance_percent", f"{share:.3f}"])
        for item in range(8):
            self.loadings.append(["Table 6", f"item {item}", "communality", f"{(loadings[item] ** 2).sum():.3f}"])

    def tables(self):
        columns = {
            "coefficients": "table model outcome term level reference estimate std_error p_value p_lower p_upper"
            " odds_ratio stars",
            "fit_statistics": "table model outcome statistic value",
            "descriptives": "table group variable level statistic value",
            "loadings": "table item component loading",
        }
        rows = {
            "coefficients": self.coefficients,
            "fit_statistics": self.statistics,
            "descriptives": self.descriptives,
            "loadings": self.loadings,
        }
        frames = {name: pd.DataFrame(part, columns=columns[name].split(), dtype=str) for name, part in rows.items()}
        frames["design"] = pd.DataFrame([["n_analysed", str(self.n)]], columns=["fact", "value"])
        items = [[name, "support", "1", "5", "1=no;5=yes"] for name in ITEMS]
        names = ["item", "dimension", "scale_min", "scale_max", "scale_labels"]
        return PublishedTables("simulated", **frames, questionnaire=pd.DataFrame(items, columns=names))


ESTIMATE, ERROR, ODDS, STARS = 6, 7, 11, 12


def carriers(paper):
    """Cells of the composite table that carry a standard error, the constant's apart."""
    return [row for row in paper.coefficients if row[0] == "Table 3" and row[3] != "intercept"]


def pick(paper, rows):
    return rows[int(paper.rng.integers(len(rows)))]


def shift_rows(paper):
    """A block of cells of one column stands one row too low, the last one on top."""
    model = f"Model {paper.rng.integers(1, 6)}"
    column = [row for row in carriers(paper) if row[1] == model]
    size = int(paper.rng.integers(2, 7))
    start = int(paper.rng.integers(0, len(column) - size + 1))
    block = column[start : start + size]
    contents = [row[ESTIMATE:] for row in block]
    for row, content in zip(block, contents[-1:] + contents[:-1], strict=True):
        row[ESTIMATE:] = content


def flip_sign(paper):
    row = pick(paper, carriers(paper))
    row[ESTIMATE] = f"{-float(row[ESTIMATE]):.3f}"


def move_point(paper):
    row = pick(paper, carriers(paper))
    row[ESTIMATE] = f"{float(row[ESTIMATE]) * paper.rng.choice([10, 0.1]):.3f}"


def change_stars(paper):
    row = pick(paper, carriers(paper))
    at = [stars for _, stars in LEGEND].index(row[STARS])
    new = at + (1 if at == 0 or (at < 3 and paper.rng.random() < 0.5) else -1)
    row[9:11] = [f"{LEGEND[new - 1][0] if new else 0:g}", f"{LEGEND[new][0]:g}"]
    row[STARS] = LEGEND[new][1]


def change_unit(paper):
    """One predictor enters all models in another unit than the one it is described in."""
    name, factor = pick(paper, NUMBERS), paper.rng.choice([10, 0.1])
    for row in paper.coefficients:
        if row[3] == name and row[ERROR]:
            row[ESTIMATE], row[ERROR] = (f"{float(text) * factor:.3f}" for text in row[ESTIMATE : ERROR + 1])


def in_steps(paper):
    """Cells of the nested models, the constants apart."""
    return [row for row in paper.coefficients if row[0] == "Table 4" and row[3] != "intercept"]


def change_unit_of_one_model(paper):
    """One predictor enters one of two nested models in another unit."""
    row, factor = pick(paper, in_steps(paper)), paper.rng.choice([10, 0.1, 100, 12])
    row[ESTIMATE], row[ERROR] = (f"{float(text) * factor:.3f}" for text in row[ESTIMATE : ERROR + 1])


def slip(text, rng):
    """One digit is another one."""
    places = [i for i, character in enumerate(text) if character.isdigit()]
    at = int(rng.choice(places))
    return text[:at] + str((int(text[at]) + rng.integers(1, 10)) % 10) + text[at + 1 :]


def slip_in(rows_of, column):
    def spoil(paper):
        row = pick(paper, rows_of(paper))
        row[column] = slip(row[column], paper.rng)

    return spoil


def described(*statistics, of=None):
    return lambda paper: [r for r in paper.descriptives if r[4] in statistics and (of is None or r[2] in of)]


def fitted(name):
    return lambda paper: [row for row in paper.statistics if row[3] == name and row[0] == "Table 3"]


SLIPS = {
    "rows shifted": shift_rows,
    "sign": flip_sign,
    "decimal point": move_point,
    "stars": change_stars,
    "unit of a predictor": change_unit,
    "unit of a predictor in one of two nested models": change_unit_of_one_model,
    "digit of a coefficient in nested models": slip_in(in_steps, ESTIMATE),
    "digit of a coefficient": slip_in(carriers, ESTIMATE),
    "digit of a standard error": slip_in(carriers, ERROR),
    "digit of an odds ratio": slip_in(lambda paper: [row for row in paper.coefficients if row[ODDS]], ODDS),
    "digit of a percentage": slip_in(described("percent"), 5),
    "digit of a count": slip_in(described("n"), 5),
    "digit of a dummy's mean": slip_in(described("mean", of=DUMMIES), 5),
    "digit of a dummy's sd": slip_in(described("sd", of=DUMMIES), 5),
    "digit of an item's mean": slip_in(described("mean", of=ITEMS), 5),
    "digit of an item's sd": slip_in(described("sd", of=ITEMS), 5),
    "digit of R²": slip_in(fitted("r2"), 4),
    "digit of adjusted R²": slip_in(fitted("adjusted_r2"), 4),
    "digit of F": slip_in(fitted("f"), 4),
    "digit of n": slip_in(fitted("n"), 4),
    "digit of AIC": slip_in(fitted("aic"), 4),
    "digit of a loading": slip_in(lambda paper: paper.loadings, 3),
}
TARGETS = ("rows shifted", "sign", "decimal point")


def spoilt(seed, kind):
    """A paper with one slip that changes what is printed."""
    paper = Paper(seed)
    before = paper.tables()
    frames = ("coefficients", "fit_statistics", "descriptives", "loadings")
    while all(getattr(before, name).equals(getattr(paper.tables(), name)) for name in frames):
        SLIPS[kind](paper)
    return paper.tables()


def run(papers, kinds_of):
    """False alarms on correct papers, and detections and trials by kind of slip."""
    alarms, found, tried = [], Counter(), Counter()
    for seed in range(papers):
        alarms += [f"paper {seed}: {item}" for item in audit(Paper(seed).tables()).items]
        for kind in kinds_of(seed):
            tried[kind] += 1
            found[kind] += bool(audit(spoilt(seed, kind)).items)
    return alarms, found, tried


def rates(found, tried):
    return {kind: f"{found[kind]}/{tried[kind]} = {found[kind] / tried[kind]:.3f}" for kind in tried}


def test_no_false_alarm_and_most_slips_found_in_10_papers():
    others = [kind for kind in SLIPS if kind not in TARGETS]
    alarms, found, tried = run(10, lambda seed: (*TARGETS, others[seed % len(others)]))
    assert not alarms
    # 0.95 is the target of the 1,000 papers; of 10, at least 8 are found with probability 0.99 at a true rate of 0.95
    assert min(found[kind] for kind in TARGETS) >= 8, rates(found, tried)


@pytest.mark.slow
def test_no_false_alarm_and_most_slips_found_in_1000_papers():
    others = [kind for kind in SLIPS if kind not in TARGETS]
    alarms, found, tried = run(1000, lambda seed: (*TARGETS, others[seed % len(others)]))
    print(rates(found, tried))
    assert not alarms
    assert min(found[kind] / tried[kind] for kind in TARGETS) > 0.95, rates(found, tried)
