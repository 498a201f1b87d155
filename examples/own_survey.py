"""Your own survey: from a CSV file to a report, with two typical errors and how to mend them.

There is no such survey: the script first writes the file that you would have. 900 people in 30
neighbourhoods were asked, one of them alone in hers; 8 % of them left an answer out; -8 stands for
a refused income; the labels are Chinese; each person has a weight.

    python examples/own_survey.py
    python examples/own_survey.py --report own_survey.html
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import bayesmig as bm

HUKOU = ("本地城镇", "本地农村", "外来城镇", "外来农村")

CODEBOOK = (
    bm.Variable("belonging", "归属感", unit="分", minimum=1, maximum=10),
    bm.Variable(
        "hukou",
        "户口",
        dict(zip(HUKOU, HUKOU, strict=True)),  # code in the file: label in tables and pictures
        reference="本地城镇",
    ),
    bm.Variable("age", "年龄", unit="岁", minimum=16, maximum=110),
    bm.Variable("income", "月收入", unit="千元", minimum=0),
    bm.Variable("neighbourhood", "社区"),
)

MODEL = bm.ModelSpec(
    "belonging ~ hukou * income + age + (1 | neighbourhood)",
    title="外来人口的归属感",
    variables=CODEBOOK,
    standardise={"age": "person", "income": "person"},
    weights=bm.Weights("weight", kind="survey"),  # kind="frequency": each row is that many people
)


def write_survey(path: Path) -> None:
    """A household survey as it comes: missing answers, codes for refusals, a very small group."""
    rng = np.random.default_rng(2020)
    n, areas = 900, 30
    area = np.append(rng.integers(0, areas - 1, n - 1), areas - 1)
    hukou = rng.choice(HUKOU, n, p=[0.5, 0.1, 0.1, 0.3])
    age = rng.integers(18, 75, n).astype(float)
    income = rng.gamma(4, 1.5, n).round(1)
    belonging = 6 + rng.normal(0, 0.6, areas)[area] + 0.01 * (age - 45)
    belonging += np.where(hukou == "外来农村", -1.0 + 0.15 * (income - 6), 0)
    belonging = np.clip(np.rint(belonging + rng.normal(0, 1.4, n)), 1, 10)
    data = pd.DataFrame({"belonging": belonging, "hukou": hukou, "age": age, "income": income})
    for column in data:
        data[column] = data[column].mask(rng.random(n) < 0.02)  # four questions, 2 % each
    data.loc[rng.choice(n, 5, replace=False), "income"] = -8
    data.loc[7, "hukou"] = "外地农村"
    data["neighbourhood"] = [f"社区{code + 1:02d}" for code in area]
    data["weight"] = np.where(hukou == "外来农村", 1.4, 0.8).round(2)
    data.to_csv(path, index=False, encoding="utf-8")


def mended(data: pd.DataFrame) -> pd.DataFrame:
    """Mend what the codebook does not allow; every change is a line that a reader can see."""
    complain(data)
    data = data.assign(hukou=data["hukou"].replace("外地农村", "外来农村"))
    complain(data)
    return data.assign(income=data["income"].mask(data["income"] == -8))


def complain(data: pd.DataFrame) -> None:
    """Say what is wrong with the data; bayesmig looks before it computes anything."""
    try:
        bm.fit(MODEL, data)
    except bm.BayesmigError as error:
        print(f"Error: {error}\n")


def show(head: str, frame: pd.DataFrame) -> None:
    """A table under its heading."""
    print(f"\n{head}\n{frame.round(2).to_string()}")


def main() -> None:
    """Read, mend, fit, check, report."""
    parser = argparse.ArgumentParser(description="From your own CSV file to a report.")
    parser.add_argument("--report", type=Path, help="where the page goes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "survey.csv"
        write_survey(file)
        data = mended(pd.read_csv(file, encoding="utf-8"))

    posterior = bm.fit(MODEL, data, seed=1)
    ml = bm.estimate(MODEL, data)
    print("Checks")
    for check in bm.check(posterior).to_dict("records"):
        word = {True: "passed", False: "FAILED"}.get(check["passed"], "note")
        print(f"  {word}  {check['check']}: {check['message']}")
    show("Coefficients", bm.coefficients(posterior).rename(MODEL.label))
    show("Between and within neighbourhoods", bm.variance_components(posterior))
    alone = data["neighbourhood"].value_counts().idxmin()
    effects = bm.varying_effects(posterior, "neighbourhood")
    show("The neighbourhood with one person", effects.loc[[alone]])
    both = bm.compare({"ML": ml, "posterior": posterior}).rename(MODEL.label)
    show("Errors; those of ML allow for the weights", both.xs("error", axis="columns", level=1))
    if options.report:
        print(f"\nWritten: {bm.report(posterior, options.report, against={'ML': ml})}")


if __name__ == "__main__":
    main()
